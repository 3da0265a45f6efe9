"""Table 2: win rates of the large over the small model, with the significance that the paper omits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from specsim.paper_figures import paper_values, style
from specsim.paper_figures.comparison import Row
from specsim.paper_figures.efforts import FigureEffort
from specsim.paper_figures.registry import Progress
from specsim.paper_figures.win_rates import compute, draw_win_rates, significance_rows

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

caption = (
    "Win rates of pythia-2.8b over pythia-70m on 200 prompts, as printed (the caption misprints the "
    "models), with exact (Clopper-Pearson) 95 % intervals, two-sided sign tests and Holm's correction "
    "over the two cells. Both are significant: the judges can tell the two models apart."
)


def data(
    effort: FigureEffort, seed: int, threads: int | None = None, progress: Progress | None = None
) -> xarray.Dataset:
    """Return the printed win rates with intervals and tests."""
    return compute("table-2", paper_values.TABLE_2, effort, seed)


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw the cells with their intervals."""
    return draw_win_rates(dataset, winner="pythia-2.8b", loser="70m", span=(43, 78))


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Hold every printed win rate against one half."""
    return significance_rows(dataset, paper_values.TABLE_2)
