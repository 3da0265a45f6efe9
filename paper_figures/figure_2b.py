"""Figure 2b: batch speculative decoding with 4 and 5 drafts, 50 tokens."""

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
    "Running mean of the rejections of batch speculative decoding (the corrected Algorithm 4) over 50 "
    "tokens with M = 4 and M = 5 parallel drafts, with the exact values of Theorem 3 (black lines) and "
    "the exact 95 % bands around them. *The lines of the paper (dashed) are reproduced by pairing the "
    "mass rejected at a step with that step's own rows, an index too late; they are not the "
    "expectation, and the simulation misses them."
)


def data(
    effort: FigureEffort, seed: int, threads: int | None = None, progress: Progress | None = None
) -> xarray.Dataset:
    """Simulate the corrected Algorithm 4 with 4 and 5 drafts over 50 tokens on the paper's pair."""
    return compute("figure-2b", 50, (4, 5), effort, seed, threads, progress)


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw both running means, the exact lines and the paper's."""
    return draw_running_means(
        dataset,
        colours={4: style.SIMULATED, 5: style.SECOND},
        ends=paper_values.FIGURE_2B_ENDS,
        span=(13.7, 14.4),
        gap=0.05,
    )


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Hold the simulation against Theorem 3, and both against the paper's lines and curves."""
    runs = int(dataset.attrs["all_runs"])
    return [
        *simulation_rows(dataset),
        *plotted_rows(dataset, paper_values.FIGURE_2B_LINES, runs),
        *end_rows(dataset, paper_values.FIGURE_2B_ENDS),
    ]
