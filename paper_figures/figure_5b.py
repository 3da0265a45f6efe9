"""Figure 5b: batch speculative decoding with 2 drafts, 100 tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from specsim.paper_figures import paper_values, style
from specsim.paper_figures.comparison import Row
from specsim.paper_figures.efforts import FigureEffort
from specsim.paper_figures.plotted_batch import end_rows, plotted_rows
from specsim.paper_figures.registry import Progress
from specsim.paper_figures.running_mean import compute, draw_running_means, simulation_rows

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

caption = (
    "As Figure 2b, over 100 tokens with M = 2 parallel drafts: running mean of the corrected Algorithm "
    "4, the exact value of Theorem 3 (black line; the paper's caption credits Theorem 1) and the exact "
    "95 % band around it. *The line of the paper (dashed) is shifted by an index."
)


def data(
    effort: FigureEffort, seed: int, threads: int | None = None, progress: Progress | None = None
) -> xarray.Dataset:
    """Simulate the corrected Algorithm 4 with 2 drafts over 100 tokens on the paper's pair."""
    return compute("figure-5b", 100, (2,), effort, seed, threads, progress)


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw the running mean, the exact line and the paper's."""
    return draw_running_means(
        dataset, colours={2: style.SIMULATED}, ends=paper_values.FIGURE_5B_ENDS, span=(30.6, 31.15), gap=0.04
    )


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Hold the simulation against Theorem 3, and both against the paper's line and curve."""
    runs = int(dataset.attrs["all_runs"])
    return [
        *simulation_rows(dataset),
        *plotted_rows(dataset, paper_values.FIGURE_5B_LINES, runs),
        *end_rows(dataset, paper_values.FIGURE_5B_ENDS),
    ]
