"""Threads, stages and memory of a simulation."""
