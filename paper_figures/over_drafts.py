"""Figures 2c and 5c: expected rejections against the number of parallel drafts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.algorithms import Batch
from specsim.paper_figures import style
from specsim.paper_figures.comparison import Row, exact, simulation_meets
from specsim.paper_figures.efforts import FigureEffort
from specsim.paper_figures.paper_values import PaperValue
from specsim.paper_figures.registry import Progress
from specsim.paper_figures.running_mean import algorithm_of, short
from specsim.paper_figures.simulated import provenance, simulate_rejections

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The largest number of drafts in the paper.
LARGEST = 2000
#: Where the index-shifted sum is evaluated between the marked numbers of drafts.
_BETWEEN = (3, 7, 14, 30, 70, 300, 1400)


def compute(
    name: str,
    horizon: int,
    marked: tuple[int, ...],
    effort: FigureEffort,
    seed: int,
    threads: int | None,
    progress: Progress | None,
) -> xarray.Dataset:
    """Compute the curve from 1 to 2000 drafts and its limit, and simulate the marked numbers of drafts.

    name: the figure's.
    horizon: 50 or 100 in the paper.
    marked: numbers of drafts to simulate.
    effort, seed, threads, progress: as in `specsim.paper_figures.draw`.
    """
    import xarray

    from specsim import paper_pair, theory

    pair = paper_pair(horizon)
    grid = np.unique(np.rint(np.geomspace(1, LARGEST, 70)).astype(int))
    drafts = sorted({*grid.tolist(), *marked, *_BETWEEN})
    if progress:
        progress(f"{name}: exact means for {len(drafts)} numbers of drafts")
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
        if progress:
            progress(f"{name}: {algorithm.label}, {effort.point_runs:,} runs")
        result = simulate_rejections(
            pair, algorithm, runs=effort.point_runs, seed=seed, label=f"{name}/{number}", threads=threads
        )
        place = drafts.index(number)
        totals[place], seeds[place] = result.total, result.seed
        spreads[place] = math.sqrt(theory.rejection_variance(pair, algorithm))
    simulated = np.where(totals >= 0, totals / effort.point_runs, math.nan)
    return xarray.Dataset(
        {
            "expected": ("drafts", expected, _doc("exact expectation")),
            "shifted": ("drafts", shifted, _doc("the index-shifted sum that the paper plots (erratum)")),
            "simulated": ("drafts", simulated, _doc("mean of all runs")),
            "standard_deviation": ("drafts", spreads, _doc("exact standard deviation of one run")),
            "total": ("drafts", totals, {"long_name": "rejections over all runs; -1: not simulated"}),
            "simulation_seed": ("drafts", seeds, {"long_name": "seed of the simulation; -1: none"}),
            "limit": (
                (),
                float(theory.expected_rejections(pair, Batch(drafts=math.inf))),
                _doc("exact expectation in the limit of infinitely many drafts"),
            ),
            "theorem_3": (
                (),
                float(theory.batch_rejections(pair, 4)),
                _doc("Theorem 3 with f(empty) = 1, for 4 drafts"),
            ),
        },
        coords={"drafts": ("drafts", drafts, {"long_name": "parallel drafts; 1 is speculative decoding"})},
        attrs=provenance(
            seed,
            effort.name,
            figure=name,
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
    rows.append(
        Row(
            quantity="largest rise",
            reference=0.0,
            source="falls with M, to the limit",
            ours=rise,
            difference=rise,
            unit="absolute",
            verdict="falls" if rise <= 1e-12 else "RISES",
            required=True,
            passed=rise <= 1e-12,
        )
    )
    return rows


def draw_over_drafts(
    dataset: xarray.Dataset, *, readings: dict[int, PaperValue], labelled: tuple[int, ...]
) -> Figure:
    """Draw the curve above, and what simulation and paper differ from it below.

    dataset: as `compute` returns it.
    readings: the paper's plotted values, by number of drafts.
    labelled: the numbers of drafts whose exact values are written beside the curve.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 4.2))
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


def _doc(text: str) -> dict[str, str]:
    return {"long_name": text, "units": "rejections per run"}
