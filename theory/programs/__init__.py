"""The published programs, in rationals, and their enumeration by brute force."""
