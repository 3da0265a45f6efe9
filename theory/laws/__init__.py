"""Exact laws of a pair and an algorithm."""
