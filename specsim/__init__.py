"""Simulation, exact theory and Monte Carlo verification of speculative decoding.

Everything is imported on first use, so that importing the package is fast.
"""

import os

from specsim.support.lazy import attach

__version__ = "0.1.0"

# Not by pathlib, whose import takes longer than all the rest here.
_here = os.path.dirname(os.path.realpath(__file__))
if not os.path.isdir(os.path.join(_here, "theory")):
    _around = os.path.dirname(_here)
    if os.path.isdir(os.path.join(_around, "theory")):
        # A checkout without symbolic links: theory/, validation/ and paper_figures/ are next to this folder.
        __path__.append(_around)

__getattr__, __dir__, __all__ = attach(__name__, __file__)
__all__.append("__version__")
