"""Exact laws of what speculative decoding does, computed without simulation.

Names are loaded on first use, so that importing the package stays light.
"""

from specsim.support.lazy import attach

if __name__ != "specsim.theory":
    raise ImportError(f"import this package as specsim.theory, not as {__name__}")

__getattr__, __dir__, __all__ = attach(__name__, __file__)
