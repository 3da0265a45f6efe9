"""Which figures and tables there are."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from specsim.support.checks import unknown

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

    from specsim.paper_figures.comparison import Row
    from specsim.paper_figures.efforts import FigureEffort

#: Told, in words, what is being computed.
Progress = Callable[[str], object]

_TITLES = {
    "figure-2a": "Figure 2a: rejections of speculative decoding, 50 tokens",
    "figure-2b": "Figure 2b: rejections of batch speculative decoding, 50 tokens",
    "figure-2c": "Figure 2c: rejections against the number of parallel drafts, 50 tokens",
    "figure-3-schematic": "Figure 3, left: one round of batch speculative decoding",
    "figure-3-bernoulli": "Figure 3, right, upper: batch improvement, Bernoulli rows",
    "figure-3-uniform": "Figure 3, right, lower: batch improvement, uniform rows",
    "figure-4a": "Figure 4a: which pairs of bias and rejection are attainable",
    "figure-4b": "Figure 4b: the Pareto front and three decoders",
    "figure-4c": "Figure 4c: rejection and bias against the over-acceptance",
    "figure-5a": "Figure 5a: rejections of speculative decoding, 100 tokens",
    "figure-5b": "Figure 5b: rejections of batch speculative decoding, 100 tokens",
    "figure-5c": "Figure 5c: rejections for eleven numbers of parallel drafts, 100 tokens",
    "table-1": "Table 1: win rates of Decoding-OPT over Decoding-UNO",
    "table-2": "Table 2: win rates of the large over the small model",
    "remark-6": "Remark 6: the front for whole sequences",
}


class FigureModule(Protocol):
    """What a module of a figure offers.

    caption: what is shown, in full sentences, with what differs from the paper.
    """

    caption: str

    def data(
        self,
        effort: FigureEffort,
        seed: int,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> xarray.Dataset:
        """Compute everything that the figure shows."""
        ...

    def plot(self, dataset: xarray.Dataset) -> Figure:
        """Draw the figure from the data alone."""
        ...

    def comparison(self, dataset: xarray.Dataset) -> list[Row]:
        """Hold the data against the paper."""
        ...


def names() -> tuple[str, ...]:
    """Return the names of all figures and tables, in the paper's order.

    Examples
    --------
    >>> from specsim.paper_figures import names
    >>> names()[:3]
    ('figure-2a', 'figure-2b', 'figure-2c')
    """
    return tuple(_TITLES)


def title(name: str) -> str:
    """Return the title of the figure of this name.

    InputError: there is none.
    """
    return _TITLES[check_name(name)]


def load(name: str) -> FigureModule:
    """Return the module of the figure of this name.

    InputError: there is none.
    """
    module = check_name(name).replace("-", "_")
    return cast(FigureModule, import_module(f"specsim.paper_figures.{module}"))


def check_name(name: str) -> str:
    """Return `name` when it is a figure's.

    InputError: it is not. The message names the nearest ones.
    """
    if name not in _TITLES:
        simple = str(name).strip().lower().replace("_", "-").replace(" ", "-")
        simple = simple.replace("fig-", "figure-", 1) if simple.startswith("fig-") else simple
        near = [known for known in _TITLES if simple and (known.startswith(simple) or known.endswith(simple))]
        unknown("figure", name, _TITLES, near=near)
    return name
