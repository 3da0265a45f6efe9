"""The figures and tables of arXiv 2411.00841, drawn again from simulation and exact theory.

``draw(name)`` computes one of `names()`, draws it, and holds it against what the paper plots or prints. Names
are loaded on first use, so that importing the package stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if __name__ != "specsim.paper_figures":
    raise ImportError(f"import this package as specsim.paper_figures, not as {__name__}")

if TYPE_CHECKING:
    from specsim.paper_figures.comparison import Row
    from specsim.paper_figures.drawing import Drawn, draw, write_summary
    from specsim.paper_figures.efforts import FigureEffort
    from specsim.paper_figures.registry import names

__all__ = ["Drawn", "FigureEffort", "Row", "draw", "names", "write_summary"]

_HOMES = {
    "Drawn": "drawing",
    "FigureEffort": "efforts",
    "Row": "comparison",
    "draw": "drawing",
    "names": "registry",
    "write_summary": "drawing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
