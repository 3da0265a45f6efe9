"""One file for each published statement; docs/architecture.md lists statement, function and file."""
