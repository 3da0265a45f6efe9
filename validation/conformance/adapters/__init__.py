"""Subjects from real libraries, each imported on use."""
