"""Files, signals, random streams and small helpers that every part uses."""
