"""Certificates of optimality and their independent checker."""
