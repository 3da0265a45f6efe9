"""Tables 1 and 2: the printed win rates with intervals and tests, which the paper omits."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from specsim.paper_figures import paper_values, style
from specsim.paper_figures.comparison import Row, row
from specsim.paper_figures.paper_values import PROMPTS, PaperValue
from specsim.paper_figures.registry import PaperFigure, Task
from specsim.support.intervals import clopper_pearson, holm, sign_test

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Printed win rates in percent by judge and epsilon (None where there is none).
Cells = dict[tuple[str, float | None], PaperValue]

#: Level at which a cell is called significant.
LEVEL = 0.05


def compute(task: Task, cells: Cells) -> xarray.Dataset:
    """Return counts, intervals and p-values of a table's cells. Nothing is simulated.

    cells: win rate in percent by judge and epsilon (None where there is none).
    """
    import xarray

    rates = np.array([paper.value for paper in cells.values()])
    wins = np.rint(rates / 100 * PROMPTS).astype(np.int64)
    p_values = [sign_test(int(count), PROMPTS - int(count)) for count in wins]
    scores = np.array([wilson(int(count), PROMPTS) for count in wins])
    exact = np.stack(clopper_pearson(wins, PROMPTS), axis=-1)
    return xarray.Dataset(
        {
            "win_rate": ("cell", rates, {"long_name": "win rate as printed", "units": "percent"}),
            "wins": ("cell", wins, {"long_name": "prompts won"}),
            "p_value": ("cell", p_values, {"long_name": "two-sided sign test"}),
            "p_holm": ("cell", holm(p_values), {"long_name": "the same, Holm's correction over the table"}),
            "wilson": (("cell", "bound"), scores, {"long_name": "Wilson's 95 % interval"}),
            "clopper_pearson": (("cell", "bound"), exact, {"long_name": "exact 95 % interval"}),
            "detectable": (
                (),
                detectable_rate(PROMPTS, level=LEVEL),
                {"long_name": "smallest win probability found with probability 0.8"},
            ),
        },
        coords={
            "judge": ("cell", [judge for judge, _ in cells]),
            "epsilon": ("cell", [np.nan if epsilon is None else epsilon for _, epsilon in cells]),
            "bound": ("bound", ["lower", "upper"]),
        },
        attrs=task.attributes(prompts=PROMPTS),
    )


@style.styled
def draw_win_rates(dataset: xarray.Dataset, *, winner: str, loser: str, span: tuple[float, float]) -> Figure:
    """Draw every cell as a point with its exact interval, with p-values beside it.

    dataset: as `compute` returns it.
    winner, loser: who wins to the right and to the left of one half.
    span: limits of the horizontal axis in percent.
    """
    places, marks = _layout(dataset)
    figure = style.new_figure(5.0, 0.95 + 0.235 * (max(places) + 1))
    axes = figure.subplots()
    axes.axvline(50, color=style.EXACT, linewidth=1.0)
    for cell, place in enumerate(places):
        one = dataset.isel(cell=cell)
        low, high = 100 * one["clopper_pearson"].values
        rate = float(one["win_rate"])
        significant = float(one["p_holm"]) <= LEVEL
        colour = style.SIMULATED if significant else style.MUTED
        axes.plot([low, high], [place, place], color=colour, linewidth=1.6, solid_capstyle="butt")
        axes.plot([rate], [place], "o", color=colour, markersize=4.5)
        texts = (f"{rate:.1f} %", _p(float(one["p_value"])), _p(float(one["p_holm"])))
        _columns(axes, place, texts, colour)
    _columns(axes, -0.95, ("win rate", "p", "p (Holm)"), style.EXACT)
    axes.text(50, -0.95, "95 % interval", ha="left", va="center", fontsize=7.5, color=style.EXACT)
    axes.set_yticks([place for place, _ in marks], [text for _, text in marks])
    for label, (_, text) in zip(axes.get_yticklabels(), marks, strict=True):
        label.set_fontweight("normal" if text.startswith("ε") else "bold")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlim(*span)
    axes.set_ylim(max(places) + 0.6, -0.6)
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")
    axes.set_xlabel(f"← {loser} wins    prompts won, %    {winner} wins →")
    return figure


def significance_rows(dataset: xarray.Dataset, cells: Cells) -> list[Row]:
    """Return, for each cell, the sign test beside the printed rate.

    dataset: as `compute` returns it.
    cells: the printed rates, in the same order.
    """
    rows = []
    for cell, ((judge, epsilon), paper) in enumerate(cells.items()):
        one = dataset.isel(cell=cell)
        rate = 100 * float(one["wins"]) / PROMPTS
        adjusted = float(one["p_holm"])
        passed = abs(rate - paper.value) < 1e-9
        words = ", significant" if adjusted <= LEVEL else ""
        verdict = f"p {_p(float(one['p_value']))}, Holm {_p(adjusted)}{words}"
        rows.append(
            row(
                judge if epsilon is None else f"{judge}, epsilon = {epsilon:g}",
                50.0,
                rate,
                "one half",
                verdict if passed else f"no count out of {PROMPTS}",
                passed=passed,
                sigma=(rate - 50) / (50 / PROMPTS**0.5),
            )
        )
    return rows


def _columns(axes: Axes, place: float, texts: tuple[str, ...], colour: str) -> None:
    """Write a line of the table at the right of the axes."""
    for points, text in zip((38, 76, 118), texts, strict=True):
        axes.annotate(
            text,
            xy=(1, place),
            xycoords=axes.get_yaxis_transform(),
            xytext=(points, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=7.5,
            color=colour,
            annotation_clip=False,
        )


def _layout(dataset: xarray.Dataset) -> tuple[list[float], list[tuple[float, str]]]:
    """Return the height of each cell and the labels at the left, with a gap between judges."""
    places: list[float] = []
    marks = []
    judges = dataset["judge"].values.tolist()
    grouped = len(set(judges)) < len(judges)
    height = 0.0
    for cell, judge in enumerate(judges):
        if grouped and (cell == 0 or judges[cell - 1] != judge):
            height += 0.0 if cell == 0 else 0.5
            marks.append((height, judge))
            height += 1
        places.append(height)
        marks.append((height, f"ε = {float(dataset['epsilon'][cell]):g}" if grouped else judge))
        height += 1
    return places, marks


def _p(value: float) -> str:
    if value >= 0.001:
        return f"{value:.3f}"
    exponent = int(np.floor(np.log10(value)))
    return f"{value / 10**exponent:.1f}e{exponent}"


def wilson(wins: int, prompts: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of the probability of a win."""
    from scipy.stats import binomtest

    interval = binomtest(wins, prompts).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def detectable_rate(prompts: int, *, level: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest win probability above one half that the two-sided sign test finds with `power`.

    prompts: number of prompts.
    level: level of the test.
    power: probability of finding it.
    """
    from scipy.optimize import brentq
    from scipy.stats import binom

    wins = next(
        count for count in range(prompts // 2, prompts + 1) if sign_test(count, prompts - count) <= level
    )
    return float(brentq(lambda rate: binom.sf(wins - 1, prompts, rate) - power, 0.5, 1 - 1e-9))


def _table_1(dataset: xarray.Dataset) -> list[Row]:
    """Compare every printed win rate with one half."""
    rate, largest = 100 * float(dataset["detectable"]), float(dataset["win_rate"].max())
    verdict = "some cell is" if float(dataset["p_holm"].min()) <= LEVEL else "none is"
    found = row(
        "found with power 0.8",
        largest,
        rate,
        "Table 1, largest (printed)",
        f"{verdict} significant",
        required=False,
    )
    return [*significance_rows(dataset, paper_values.TABLE_1), found]


FIGURES = {
    "table-1": PaperFigure(
        caption=(
            "Win rates of Decoding-OPT over Decoding-UNO on 200 prompts, as printed, with exact "
            "(Clopper-Pearson) 95 % intervals, two-sided sign tests and Holm's correction over the eight "
            "cells (valid although the cells share their prompts), none of which the paper gives. One cell "
            "is individually significant; none is after correction. With 200 prompts a test finds a true win"
            " rate of 60 % with probability 0.8, and hardly a smaller one."
        ),
        data=lambda task: compute(task, paper_values.TABLE_1),
        plot=partial(draw_win_rates, winner="Decoding-OPT", loser="UNO", span=(43, 66)),
        comparison=_table_1,
    ),
    "table-2": PaperFigure(
        caption=(
            "Win rates of pythia-2.8b over pythia-70m on 200 prompts, as printed (the caption misprints the "
            "models), with exact (Clopper-Pearson) 95 % intervals, two-sided sign tests and Holm's "
            "correction over the two cells. Both are significant: the judges can tell the two models apart."
        ),
        data=lambda task: compute(task, paper_values.TABLE_2),
        plot=partial(draw_win_rates, winner="pythia-2.8b", loser="70m", span=(43, 78)),
        comparison=partial(significance_rows, cells=paper_values.TABLE_2),
    ),
}
