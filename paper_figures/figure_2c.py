"""Figure 2c: rejections against the number of parallel drafts, 50 tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from specsim.paper_figures import paper_values, style
from specsim.paper_figures.comparison import Row
from specsim.paper_figures.efforts import FigureEffort
from specsim.paper_figures.over_drafts import compute, draw_over_drafts, exact_rows
from specsim.paper_figures.plotted_batch import plotted_rows
from specsim.paper_figures.registry import Progress

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

#: Numbers of drafts that are simulated.
MARKED = (1, 2, 4, 5, 10, 20, 50, 100, 500, 2000)

caption = (
    "Expected rejections over 50 tokens against the number of parallel drafts: the exact curve of the "
    "corrected Algorithm 4 (black), its limit for infinitely many drafts (dotted), simulation (blue, 95"
    " % bars) and the curve that the paper plots (dashed; diamonds where it was read off), which pairs "
    "masses and rows an index apart. Below, everything minus the exact curve."
)


def data(
    effort: FigureEffort, seed: int, threads: int | None = None, progress: Progress | None = None
) -> xarray.Dataset:
    """Compute the curve for 50 tokens on the paper's pair, and simulate the marked numbers of drafts."""
    return compute("figure-2c", 50, MARKED, effort, seed, threads, progress)


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw the curve, and the differences from it."""
    return draw_over_drafts(dataset, readings=paper_values.FIGURE_2C, labelled=(1, 2, 5, 20, 100, 2000))


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Hold curve, simulation and the paper's plotted values against each other."""
    runs = int(dataset.attrs["all_runs"])
    return [*exact_rows(dataset), *plotted_rows(dataset, paper_values.FIGURE_2C, runs)]
