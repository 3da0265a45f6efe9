"""Figures 2c and 5c: expected rejections against the number of parallel drafts."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.algorithms import Batch
from specsim.paper_figures import paper_values, style
from specsim.paper_figures.comparison import Row, exact, row, simulation_meets
from specsim.paper_figures.paper_values import PaperValue
from specsim.paper_figures.plotted_batch import plotted_rows
from specsim.paper_figures.registry import PaperFigure, Task
from specsim.paper_figures.running_mean import algorithm_of, per_run, short
from specsim.paper_figures.simulated import simulate_rejections

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The largest number of drafts in the paper.
LARGEST = 2000
#: Where the index-shifted sum is evaluated between the marked numbers of drafts.
_BETWEEN = (3, 7, 14, 30, 70, 300, 1400)
#: Numbers of drafts that are simulated, by figure.
_MARKED_2C = (1, 2, 4, 5, 10, 20, 50, 100, 500, 2000)
_MARKED_5C = (1, 2, 5, 10, 20, 50, 150, 200, 400, 1000, 2000)


def compute(task: Task, horizon: int, marked: tuple[int, ...]) -> xarray.Dataset:
    """Compute the curve from 1 to 2000 drafts and its limit, and simulate the marked numbers of drafts.

    horizon: 50 or 100 in the paper.
    marked: numbers of drafts to simulate.
    """
    import xarray

    from specsim import paper_pair, theory

    pair, effort = paper_pair(horizon), task.effort
    grid = np.unique(np.rint(np.geomspace(1, LARGEST, 70)).astype(int))
    drafts = sorted({*grid.tolist(), *marked, *_BETWEEN})
    task.tell(f"exact means for {len(drafts)} numbers of drafts")
    expected = [float(theory.expected_rejections(pair, algorithm_of(number))) for number in drafts]
    summed = {*marked, *_BETWEEN}
    shifted = [
        float(theory.shifted_batch_rejections(pair, number)) if number in summed else math.nan
        for number in drafts
    ]
    totals = np.full(len(drafts), -1, np.int64)
    seeds = np.full(len(drafts), -1, np.int64)
    spreads = np.full(len(drafts), math.nan)
    for number in marked:
        algorithm = algorithm_of(number)
        task.tell(f"{algorithm.label}, {effort.point_runs:,} runs")
        result = simulate_rejections(task, pair, algorithm, runs=effort.point_runs, label=f"{number}")
        place = drafts.index(number)
        totals[place], seeds[place] = result.total, result.seed
        spreads[place] = math.sqrt(theory.rejection_variance(pair, algorithm))
    simulated = np.where(totals >= 0, totals / effort.point_runs, math.nan)
    return xarray.Dataset(
        {
            "expected": ("drafts", expected, per_run("exact expectation")),
            "shifted": ("drafts", shifted, per_run("the index-shifted sum that the paper plots (erratum)")),
            "simulated": ("drafts", simulated, per_run("mean of all runs")),
            "standard_deviation": ("drafts", spreads, per_run("exact standard deviation of one run")),
            "total": ("drafts", totals, {"long_name": "rejections over all runs; -1: not simulated"}),
            "simulation_seed": ("drafts", seeds, {"long_name": "seed of the simulation; -1: none"}),
            "limit": (
                (),
                float(theory.expected_rejections(pair, Batch(drafts=math.inf))),
                per_run("exact expectation in the limit of infinitely many drafts"),
            ),
            "theorem_3": (
                (),
                float(theory.batch_rejections(pair, 4)),
                per_run("Theorem 3 with f(empty) = 1, for 4 drafts"),
            ),
        },
        coords={"drafts": ("drafts", drafts, {"long_name": "parallel drafts; 1 is speculative decoding"})},
        attrs=task.attributes(
            horizon=horizon,
            all_runs=effort.point_runs,
            pair=pair.name,
            pair_identity=pair.identity,
        ),
    )


def exact_rows(dataset: xarray.Dataset) -> list[Row]:
    """Return the rows on the simulation, on Theorem 3 and on the limit."""
    runs = int(dataset.attrs["all_runs"])
    rows = [
        exact(
            "M = 4: recursion",
            float(dataset["theorem_3"]),
            float(dataset["expected"].sel(drafts=4)),
            "Theorem 3",
        )
    ]
    for number in dataset["drafts"].values[dataset["total"].values >= 0].tolist():
        one = dataset.sel(drafts=number)
        rows.append(
            simulation_meets(
                f"M = {number}: simulated",
                total=int(one["total"]),
                runs=runs,
                expected=float(one["expected"]),
                variance=float(one["standard_deviation"]) ** 2,
                high=float(dataset.attrs["horizon"]),
            )
        )
    falling = np.append(dataset["expected"].values, float(dataset["limit"]))
    rise = float(np.diff(falling).max())
    falls = rise <= 1e-12
    rows.append(
        row(
            "largest rise",
            0.0,
            rise,
            "falls with M, to the limit",
            "falls" if falls else "RISES",
            passed=falls,
        )
    )
    return rows


@style.styled
def draw_over_drafts(
    dataset: xarray.Dataset, *, readings: dict[int, PaperValue], labelled: tuple[int, ...]
) -> Figure:
    """Draw the curve above, and what simulation and paper differ from it below.

    dataset: as `compute` returns it.
    readings: the paper's plotted values, by number of drafts.
    labelled: the numbers of drafts whose exact values are written beside the curve.
    """
    figure = style.new_figure(4.6, 4.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.55, 1])
    _draw_curve(upper, dataset, labelled)
    _draw_differences(lower, dataset, readings)
    lower.set_xscale("log")
    lower.set_xlim(0.7, LARGEST * 1.2)
    lower.set_xticks([1, 10, 100, 1000])
    lower.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    lower.set_xlabel("Parallel drafts M")
    figure.align_ylabels()
    return figure


def _draw_curve(axes: Axes, dataset: xarray.Dataset, labelled: tuple[int, ...]) -> None:
    drafts = dataset["drafts"].values
    limit = float(dataset["limit"])
    shifted = dataset["shifted"].dropna("drafts")
    axes.axhline(limit, color=style.MUTED, linewidth=0.8, linestyle=(0, (1, 1.5)))
    axes.plot(shifted["drafts"], shifted, color=style.PAPER, linestyle=(0, (4, 2)), linewidth=1.2)
    axes.plot(drafts, dataset["expected"], color=style.EXACT, linewidth=1.5)
    done = dataset["total"].values >= 0
    axes.plot(drafts[done], dataset["simulated"].values[done], "o", color=style.SIMULATED, markersize=4)
    top = float(dataset["expected"].max())
    for number in labelled:
        value = float(dataset["expected"].sel(drafts=number))
        first = number == 1
        axes.annotate(
            f"{value:.4f}",
            xy=(number, value),
            xytext=(6, 1) if first else (-3, -5),
            textcoords="offset points",
            ha="left" if first else "right",
            va="center" if first else "top",
            fontsize=7,
            color=style.EXACT,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )
    axes.set_ylim(limit - 0.13 * (top - limit), top + 0.06 * (top - limit))
    axes.set_ylabel(f"Expected rejections in {dataset.attrs['horizon']} tokens")
    axes.annotate(
        rf"M → ∞: {limit:.4f}",
        xy=(0.75, limit),
        xytext=(0, 2.5),
        textcoords="offset points",
        ha="left",
        va="bottom",
        fontsize=7,
        color=style.MUTED,
    )
    heading: dict[str, Any] = {"transform": axes.transAxes, "ha": "right", "va": "top", "fontsize": 7.5}
    axes.text(0.99, 0.97, "exact, corrected Algorithm 4 (line)", color=style.EXACT, **heading)
    runs = f"simulated, {short(int(dataset.attrs['all_runs']))} runs each (points)"
    axes.text(0.99, 0.87, runs, color=style.SIMULATED, **heading)
    axes.text(0.99, 0.77, "paper's curve, shifted by an index (dashed)", color=style.PAPER, **heading)


def _draw_differences(axes: Axes, dataset: xarray.Dataset, readings: dict[int, PaperValue]) -> None:
    drafts = dataset["drafts"].values
    expected = dataset["expected"]
    shifted = (dataset["shifted"] - expected).dropna("drafts")
    axes.axhline(0, color=style.EXACT, linewidth=1.5)
    axes.plot(shifted["drafts"], shifted, color=style.PAPER, linestyle=(0, (4, 2)), linewidth=1.2)
    numbers = [number for number in readings if number > 1]
    axes.errorbar(
        numbers,
        [readings[number].value - float(expected.sel(drafts=number)) for number in numbers],
        yerr=[readings[number].precision for number in numbers],
        fmt="D",
        color=style.PAPER,
        markerfacecolor="white",
        markersize=3.5,
        linewidth=0.9,
    )
    done = dataset["total"].values >= 0
    error = dataset["standard_deviation"].values[done] / math.sqrt(dataset.attrs["all_runs"])
    axes.errorbar(
        drafts[done],
        (dataset["simulated"] - expected).values[done],
        yerr=1.96 * error,
        fmt="o",
        color=style.SIMULATED,
        markersize=3.5,
        linewidth=1.0,
    )
    top = max(float(shifted.max()), *(readings[n].value - float(expected.sel(drafts=n)) for n in numbers))
    low = float(((dataset["simulated"] - expected).values[done] - 1.96 * error).min())
    axes.set_ylim(min(-0.2 * top, 1.2 * low), 1.35 * top)
    axes.set_ylabel("Difference from exact")
    axes.text(
        0.02,
        0.95,
        "diamonds: read off the paper's figure",
        transform=axes.transAxes,
        ha="left",
        va="top",
        fontsize=7.5,
        color=style.PAPER,
    )


def _rows(dataset: xarray.Dataset, readings: dict[int, PaperValue]) -> list[Row]:
    """Compare curve, simulation and the paper's plotted values."""
    return [*exact_rows(dataset), *plotted_rows(dataset, readings, int(dataset.attrs["all_runs"]))]


FIGURES = {
    "figure-2c": PaperFigure(
        caption=(
            "Expected rejections over 50 tokens against the number of parallel drafts: the exact curve of "
            "the corrected Algorithm 4 (black), its limit for infinitely many drafts (dotted), simulation "
            "(blue, 95 % bars) and the curve that the paper plots (dashed; diamonds where it was read off), "
            "which pairs masses and rows an index apart. Below, everything minus the exact curve."
        ),
        data=lambda task: compute(task, 50, _MARKED_2C),
        plot=partial(draw_over_drafts, readings=paper_values.FIGURE_2C, labelled=(1, 2, 5, 20, 100, 2000)),
        comparison=partial(_rows, readings=paper_values.FIGURE_2C),
    ),
    "figure-5c": PaperFigure(
        caption=(
            "As Figure 2c, over 100 tokens, for the eleven numbers of parallel drafts that the paper draws "
            "as horizontal lines: the exact values of the corrected Algorithm 4 (black), simulation (blue, "
            "95 % bars) and the paper's lines (diamonds), reproduced by the index-shifted sum (dashed). "
            "Below, everything minus the exact curve."
        ),
        data=lambda task: compute(task, 100, _MARKED_5C),
        plot=partial(
            draw_over_drafts, readings=paper_values.FIGURE_5C, labelled=(1, 2, 5, 10, 50, 200, 2000)
        ),
        comparison=partial(_rows, readings=paper_values.FIGURE_5C),
    ),
}
