"""Simulations of systems whose rounds are not those of one algorithm: adaptive draft lengths, two devices."""
