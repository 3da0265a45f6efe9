"""One file for each published statement."""
