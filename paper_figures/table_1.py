"""Table 1: win rates of Decoding-OPT over Decoding-UNO, with the significance that the paper omits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from specsim.paper_figures import paper_values, style
from specsim.paper_figures.comparison import Row
from specsim.paper_figures.efforts import FigureEffort
from specsim.paper_figures.registry import Progress
from specsim.paper_figures.win_rates import LEVEL, compute, draw_win_rates, significance_rows

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

caption = (
    "Win rates of Decoding-OPT over Decoding-UNO on 200 prompts, as printed, with exact (Clopper-"
    "Pearson) 95 % intervals, two-sided sign tests and Holm's correction over the eight cells (valid "
    "although the cells share their prompts), none of which the paper gives. One cell is individually "
    "significant; none is after correction. With 200 prompts a test finds a true win rate of 60 % with "
    "probability 0.8, and hardly a smaller one."
)


def data(
    effort: FigureEffort, seed: int, threads: int | None = None, progress: Progress | None = None
) -> xarray.Dataset:
    """Return the printed win rates with intervals and tests."""
    return compute("table-1", paper_values.TABLE_1, effort, seed)


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw the cells with their intervals."""
    return draw_win_rates(dataset, winner="Decoding-OPT", loser="UNO", span=(43, 66))


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Hold every printed win rate against one half."""
    best = dataset["p_holm"].min()
    rows = significance_rows(dataset, paper_values.TABLE_1)
    rate = 100 * float(dataset["detectable"])
    largest = float(dataset["win_rate"].max())
    rows.append(
        Row(
            quantity="found with power 0.8",
            reference=largest,
            source="Table 1, largest (printed)",
            ours=rate,
            difference=rate - largest,
            unit="absolute",
            verdict="none is significant" if float(best) > LEVEL else "some cell is significant",
            required=False,
            passed=True,
        )
    )
    return rows
