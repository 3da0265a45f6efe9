"""Compiled kernels of the lockstep engine."""
