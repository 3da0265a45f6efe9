"""Holds engines and theory against each other: claims, statistics with stated error rates, mutants, reports.

The public names load on first use, so that importing this package is cheap.
"""

from specsim.support.lazy import attach

if __name__ != "specsim.validation":
    raise ImportError(f"import this package as specsim.validation, not as {__name__}")

__getattr__, __dir__, __all__ = attach(__name__, __file__)
