"""The lockstep engine through torch, bit for bit."""
