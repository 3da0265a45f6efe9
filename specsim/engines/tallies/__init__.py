"""Counts over runs: how they are kept, named and merged."""
