"""Simulations of whole systems, whose rounds are not those of one algorithm: adaptive draft lengths."""
