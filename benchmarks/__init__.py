"""Simulators of speculative decoding side by side; run with ``python -m specsim bench``."""
