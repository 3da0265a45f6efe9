"""Figure 5c: rejections against the number of parallel drafts, 100 tokens."""

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
MARKED = (1, 2, 5, 10, 20, 50, 150, 200, 400, 1000, 2000)

caption = (
    "As Figure 2c, over 100 tokens, for the eleven numbers of parallel drafts that the paper draws as "
    "horizontal lines: the exact values of the corrected Algorithm 4 (black), simulation (blue, 95 % "
    "bars) and the paper's lines (diamonds), reproduced by the index-shifted sum (dashed). Below, "
    "everything minus the exact curve."
)


def data(
    effort: FigureEffort, seed: int, threads: int | None = None, progress: Progress | None = None
) -> xarray.Dataset:
    """Compute the curve for 100 tokens on the paper's pair, and simulate the marked numbers of drafts."""
    return compute("figure-5c", 100, MARKED, effort, seed, threads, progress)


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw the curve, and the differences from it."""
    return draw_over_drafts(dataset, readings=paper_values.FIGURE_5C, labelled=(1, 2, 5, 10, 50, 200, 2000))


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Hold curve, simulation and the paper's plotted values against each other."""
    runs = int(dataset.attrs["all_runs"])
    return [*exact_rows(dataset), *plotted_rows(dataset, paper_values.FIGURE_5C, runs)]
