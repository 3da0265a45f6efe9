"""Exact numbers: rational pairs, rows and integer chains."""
