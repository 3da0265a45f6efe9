"""Compiled kernels of the alias engine."""
