"""Figure 2a: speculative decoding, 50 tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from specsim.paper_figures import paper_values, style
from specsim.paper_figures.comparison import Row, against_paper
from specsim.paper_figures.efforts import FigureEffort
from specsim.paper_figures.registry import Progress
from specsim.paper_figures.running_mean import compute, draw_running_means, simulation_rows

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

caption = (
    "Running mean of the rejections of speculative decoding over 50 tokens (blue), with the exact value"
    " of Theorem 1 (black line) and the exact 95 % band around it. The point at the right is the mean "
    "of all runs. The paper draws no band."
)


def data(
    effort: FigureEffort, seed: int, threads: int | None = None, progress: Progress | None = None
) -> xarray.Dataset:
    """Simulate speculative decoding of 50 tokens on the paper's pair."""
    return compute("figure-2a", 50, (1,), effort, seed, threads, progress)


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw the running mean."""
    return draw_running_means(dataset, colours={1: style.SIMULATED}, span=(16.15, 16.65), gap=0.03)


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Hold Theorem 1 and the acceleration against the paper, and the simulation against Theorem 1."""
    expected = float(dataset["expected"].sel(drafts=1))
    return [
        against_paper("Theorem 1", paper_values.FIGURE_2A_PRINTED, expected, slack=0.001),
        against_paper("Theorem 1", paper_values.FIGURE_2A_LINE, expected),
        against_paper("50 / rejections", paper_values.FIGURE_2A_ACCELERATION, 50 / expected),
        *simulation_rows(dataset),
    ]
