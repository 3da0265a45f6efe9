"""The published tests of other projects beside the oracle; run with ``python -m benchmarks.peers``."""
