"""The figures and tables of arXiv 2411.00841, drawn again from simulation and exact theory.

``draw(name)`` computes one of `names()`, draws it, and compares it with what the paper plots or prints. Names
are loaded on first use, so that importing the package stays light.
"""

from specsim.support.lazy import attach

if __name__ != "specsim.paper_figures":
    raise ImportError(f"import this package as specsim.paper_figures, not as {__name__}")

__getattr__, __dir__, __all__ = attach(__name__, __file__)
