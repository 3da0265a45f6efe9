"""Figures 2a, 2b, 5a, 5b: the running mean of simulated rejections against its exact expectation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from specsim.algorithms import Algorithm, Batch, Speculative
from specsim.paper_figures import style
from specsim.paper_figures.comparison import Row, simulation_meets
from specsim.paper_figures.efforts import FigureEffort
from specsim.paper_figures.paper_values import PaperValue
from specsim.paper_figures.registry import Progress
from specsim.paper_figures.simulated import provenance, simulate_rejections

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

#: The paper's axis: 100, 200, ... runs.
SPACING = 100
#: Number of repetitions of the paper's experiment, each with its own runs.
REPETITIONS = 10


def algorithm_of(drafts: int) -> Algorithm:
    """Return speculative decoding for one draft and its batch version for more."""
    return Speculative() if drafts == 1 else Batch(drafts=drafts)


def compute(
    name: str,
    horizon: int,
    drafts: tuple[int, ...],
    effort: FigureEffort,
    seed: int,
    threads: int | None,
    progress: Progress | None,
) -> xarray.Dataset:
    """Simulate each number of drafts on the paper's pair, and compute what must come out.

    name: the figure's.
    horizon: 50 or 100 in the paper.
    drafts: numbers of parallel drafts; 1 is speculative decoding.
    effort, seed, threads, progress: as in `specsim.paper_figures.draw`.
    """
    import xarray

    from specsim import paper_pair, theory

    pair = paper_pair(horizon)
    along = min(effort.curve_runs, effort.main_runs)
    repetitions = min(REPETITIONS, effort.main_runs // along)
    runs = np.arange(SPACING, along + 1, SPACING)
    curves, exact, spreads, shifted, totals, seeds = [], [], [], [], [], []
    for number in drafts:
        algorithm = algorithm_of(number)
        if progress:
            progress(f"{name}: {algorithm.label}, {effort.main_runs:,} runs")
        result = simulate_rejections(
            pair,
            algorithm,
            runs=effort.main_runs,
            seed=seed,
            label=f"{name}/{number}",
            threads=threads,
            first=along * repetitions,
        )
        curves.append(np.cumsum(result.first.reshape(repetitions, along), axis=1)[:, runs - 1] / runs)
        totals.append(result.total)
        seeds.append(result.seed)
        exact.append(float(theory.expected_rejections(pair, algorithm)))
        spreads.append(math.sqrt(theory.rejection_variance(pair, algorithm)))
        shifted.append(float(theory.shifted_batch_rejections(pair, number)))
    spread = np.array(spreads)
    return xarray.Dataset(
        {
            "running_mean": (
                ("drafts", "repetition", "runs"),
                np.array(curves),
                _doc("mean of the runs so far, in disjoint blocks of runs"),
            ),
            "standard_error": (
                ("drafts", "runs"),
                spread[:, None] / np.sqrt(runs),
                _doc("exact standard deviation of one run, divided by the root of the number of runs"),
            ),
            "expected": ("drafts", exact, _doc("exact expectation")),
            "standard_deviation": ("drafts", spread, _doc("exact standard deviation of one run")),
            "shifted": ("drafts", shifted, _doc("the index-shifted sum that the paper plots (erratum)")),
            "total": ("drafts", np.array(totals, np.int64), {"long_name": "rejections over all runs"}),
            "simulated": ("drafts", np.array(totals) / effort.main_runs, _doc("mean of all runs")),
            "simulation_seed": ("drafts", np.array(seeds, np.int64), {"long_name": "seed of the simulation"}),
        },
        coords={
            "drafts": ("drafts", list(drafts), {"long_name": "parallel drafts; 1 is speculative decoding"}),
            "repetition": ("repetition", np.arange(1, repetitions + 1), {"long_name": "block of runs"}),
            "runs": ("runs", runs, {"long_name": "simulated runs"}),
        },
        attrs=provenance(
            seed,
            effort.name,
            figure=name,
            horizon=horizon,
            all_runs=effort.main_runs,
            pair=pair.name,
            pair_identity=pair.identity,
        ),
    )


def simulation_rows(dataset: xarray.Dataset) -> list[Row]:
    """Return the rows that compare the simulation with the exact expectation."""
    rows = []
    for number in dataset["drafts"].values:
        one = dataset.sel(drafts=number)
        rows.append(
            simulation_meets(
                f"{method(int(number))}: simulated",
                total=int(one["total"]),
                runs=int(dataset.attrs["all_runs"]),
                expected=float(one["expected"]),
                variance=float(one["standard_deviation"]) ** 2,
                high=float(dataset.attrs["horizon"]),
            )
        )
    return rows


def method(drafts: int) -> str:
    """Return the words for a number of drafts."""
    return "speculative" if drafts == 1 else f"M = {drafts}"


def draw_running_means(
    dataset: xarray.Dataset,
    *,
    colours: dict[int, str],
    span: tuple[float, float],
    gap: float,
    ends: dict[int, PaperValue] | None = None,
) -> Figure:
    """Draw the running means with exact bands, the exact lines, and the mean of all runs at the right.

    dataset: as `compute` returns it.
    colours: by number of drafts.
    span: limits of the vertical axis.
    gap: least distance of two labels.
    ends: by number of drafts, where the paper's own simulated curve ends; with them the paper's lines are
        drawn. Defaults to None (its line is the exact one).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.1))
    axes = figure.subplots()
    runs = dataset["runs"].values
    end = float(runs[-1])
    last = end * 1.05
    heights, texts, tints = [], [], []
    for number in dataset["drafts"].values.tolist():
        one = dataset.sel(drafts=number)
        colour = colours[number]
        expected = float(one["expected"])
        error = one["standard_error"].values
        axes.fill_between(
            runs, expected - 1.96 * error, expected + 1.96 * error, color=colour, alpha=0.13, linewidth=0
        )
        axes.plot(runs, one["running_mean"].values.T, color=colour, linewidth=0.6, alpha=0.6)
        axes.plot([0, last], [expected, expected], color=style.EXACT, linewidth=1.3)
        whole = float(one["simulated"])
        whole_error = 1.96 * float(one["standard_deviation"]) / math.sqrt(dataset.attrs["all_runs"])
        axes.errorbar([last], [whole], yerr=[whole_error], fmt="o", color=colour, markersize=3.5)
        batch = f", M = {number}" if number > 1 else ""
        heights += [expected, whole - 1e-9 * expected]
        texts += [f"{expected:.4f}  exact{batch}", f"{whole:.4f}  simulated"]
        tints += [style.EXACT, colour]
        if ends is not None:
            shifted = float(one["shifted"])
            axes.plot([0, last], [shifted, shifted], color=style.PAPER, linestyle=(0, (4, 2)), linewidth=1.2)
            axes.plot([end], [ends[number].value], "D", color=style.PAPER, markerfacecolor="white", zorder=5)
            heights.append(shifted)
            texts.append(f"{shifted:.4f}  paper's line*{batch}")
            tints.append(style.PAPER)
    axes.set_xlim(0, end * 1.08)
    axes.set_ylim(*span)
    style.end_labels(axes, last, heights, texts, tints, gap=gap, offset=0.03)
    axes.set_xticks([tick for tick in (0, 5000, 10000, 15000, 20000) if tick <= end])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("Runs averaged")
    axes.set_ylabel(f"Mean rejections in {dataset.attrs['horizon']} tokens")
    repetitions = dataset.sizes["repetition"]
    plural = f"{repetitions} repetitions" if repetitions > 1 else "One simulation"
    runs_text = short(int(dataset.attrs["all_runs"]))
    heading = f"{plural}, exact mean and 95 % band;\nthe point is the mean of all {runs_text} runs"
    axes.set_title(heading, fontweight="normal")
    if ends is not None:
        top = max(ends.values(), key=lambda value: value.value)
        axes.annotate(
            "the paper's own\nsimulation ends here",
            xy=(end, top.value),
            xytext=(-14, 10),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=7,
            color=style.PAPER,
            arrowprops={"arrowstyle": "-", "color": style.PAPER, "linewidth": 0.6, "shrinkB": 4},
        )
    return figure


def short(number: int) -> str:
    """Return a number of runs in as few characters as is readable."""
    if number % 1_000_000 == 0:
        return f"{number // 1_000_000} million"
    return f"{number:,}"


def _doc(text: str) -> dict[str, str]:
    return {"long_name": text, "units": "rejections per run"}
