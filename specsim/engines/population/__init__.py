"""The population engine: counts of runs instead of runs."""
