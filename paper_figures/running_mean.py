"""Figures 2a, 2b, 5a, 5b: the running mean of simulated rejections against its exact expectation."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from specsim.algorithms import Algorithm, Batch, Speculative
from specsim.paper_figures import paper_values, style
from specsim.paper_figures.comparison import Row, against_paper, simulation_meets
from specsim.paper_figures.paper_values import PaperValue
from specsim.paper_figures.plotted_batch import end_rows, plotted_rows
from specsim.paper_figures.registry import PaperFigure, Task
from specsim.paper_figures.simulated import documented, simulate_rejections

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

#: The paper's axis: 100, 200, ... runs.
SPACING = 100
#: Number of repetitions of the paper's experiment, each with its own runs.
REPETITIONS = 10

#: Attributes of a variable in this unit.
per_run = partial(documented, units="rejections per run")


def algorithm_of(drafts: int) -> Algorithm:
    """Return speculative decoding for one draft and its batch version for more."""
    return Speculative() if drafts == 1 else Batch(drafts=drafts)


def compute(task: Task, horizon: int, drafts: tuple[int, ...]) -> xarray.Dataset:
    """Simulate each number of drafts on the paper's pair, and compute what must come out.

    horizon: 50 or 100 in the paper.
    drafts: numbers of parallel drafts; 1 is speculative decoding.
    """
    import xarray

    from specsim import paper_pair, theory

    pair, effort = paper_pair(horizon), task.effort
    along = min(effort.curve_runs, effort.main_runs)
    repetitions = min(REPETITIONS, effort.main_runs // along)
    runs = np.arange(SPACING, along + 1, SPACING)
    curves, exact, spreads, shifted, totals, seeds = [], [], [], [], [], []
    for number in drafts:
        algorithm = algorithm_of(number)
        task.tell(f"{algorithm.label}, {effort.main_runs:,} runs")
        result = simulate_rejections(
            task, pair, algorithm, runs=effort.main_runs, label=f"{number}", first=along * repetitions
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
                per_run("mean of the runs so far, in disjoint blocks of runs"),
            ),
            "standard_error": (
                ("drafts", "runs"),
                spread[:, None] / np.sqrt(runs),
                per_run("exact standard deviation of one run, divided by the root of the number of runs"),
            ),
            "expected": ("drafts", exact, per_run("exact expectation")),
            "standard_deviation": ("drafts", spread, per_run("exact standard deviation of one run")),
            "shifted": ("drafts", shifted, per_run("the index-shifted sum that the paper plots (erratum)")),
            "total": ("drafts", np.array(totals, np.int64), {"long_name": "rejections over all runs"}),
            "simulated": ("drafts", np.array(totals) / effort.main_runs, per_run("mean of all runs")),
            "simulation_seed": ("drafts", np.array(seeds, np.int64), {"long_name": "seed of the simulation"}),
        },
        coords={
            "drafts": ("drafts", list(drafts), {"long_name": "parallel drafts; 1 is speculative decoding"}),
            "repetition": ("repetition", np.arange(1, repetitions + 1), {"long_name": "block of runs"}),
            "runs": ("runs", runs, {"long_name": "simulated runs"}),
        },
        attrs=task.attributes(
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


@style.styled
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
    figure, axes = style.canvas(4.6, 3.1)
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


def _theorem_1(dataset: xarray.Dataset) -> list[Row]:
    """Compare Theorem 1 and the acceleration with the paper, and the simulation with Theorem 1."""
    expected = float(dataset["expected"].sel(drafts=1))
    if dataset.attrs["horizon"] == 50:
        rows = [
            against_paper("Theorem 1", paper_values.FIGURE_2A_PRINTED, expected, slack=0.001),
            against_paper("Theorem 1", paper_values.FIGURE_2A_LINE, expected),
            against_paper("50 / rejections", paper_values.FIGURE_2A_ACCELERATION, 50 / expected),
        ]
    else:
        rows = [against_paper("Theorem 1", paper_values.FIGURE_5A_LINE, expected)]
    return [*rows, *simulation_rows(dataset)]


def _theorem_3(
    dataset: xarray.Dataset, lines: dict[int, PaperValue], ends: dict[int, PaperValue]
) -> list[Row]:
    """Compare the simulation with Theorem 3, and both with the paper's lines and curves."""
    runs = int(dataset.attrs["all_runs"])
    return [*simulation_rows(dataset), *plotted_rows(dataset, lines, runs), *end_rows(dataset, ends)]


FIGURES = {
    "figure-2a": PaperFigure(
        caption=(
            "Running mean of the rejections of speculative decoding over 50 tokens (blue), with the exact "
            "value of Theorem 1 (black line) and the exact 95 % band around it. The point at the right is "
            "the mean of all runs. The paper draws no band."
        ),
        data=lambda task: compute(task, 50, (1,)),
        plot=partial(draw_running_means, colours={1: style.SIMULATED}, span=(16.15, 16.65), gap=0.03),
        comparison=_theorem_1,
    ),
    "figure-2b": PaperFigure(
        caption=(
            "Running mean of the rejections of batch speculative decoding (the corrected Algorithm 4) over "
            "50 tokens with M = 4 and M = 5 parallel drafts, with the exact values of Theorem 3 (black "
            "lines) and the exact 95 % bands around them. *The lines of the paper (dashed) are reproduced by"
            " pairing the mass rejected at a step with that step's own rows, an index too late; they are not"
            " the expectation, and the simulation misses them."
        ),
        data=lambda task: compute(task, 50, (4, 5)),
        plot=partial(
            draw_running_means,
            colours={4: style.SIMULATED, 5: style.SECOND},
            ends=paper_values.FIGURE_2B_ENDS,
            span=(13.7, 14.4),
            gap=0.05,
        ),
        comparison=partial(_theorem_3, lines=paper_values.FIGURE_2B_LINES, ends=paper_values.FIGURE_2B_ENDS),
    ),
    "figure-5a": PaperFigure(
        caption=(
            "As Figure 2a, over 100 tokens: running mean of the rejections of speculative decoding (blue), "
            "the exact value of Theorem 1 (black line) and the exact 95 % band around it. The point at the "
            "right is the mean of all runs."
        ),
        data=lambda task: compute(task, 100, (1,)),
        plot=partial(draw_running_means, colours={1: style.SIMULATED}, span=(33.2, 33.9), gap=0.04),
        comparison=_theorem_1,
    ),
    "figure-5b": PaperFigure(
        caption=(
            "As Figure 2b, over 100 tokens with M = 2 parallel drafts: running mean of the corrected "
            "Algorithm 4, the exact value of Theorem 3 (black line; the paper's caption credits Theorem 1) "
            "and the exact 95 % band around it. *The line of the paper (dashed) is shifted by an index."
        ),
        data=lambda task: compute(task, 100, (2,)),
        plot=partial(
            draw_running_means,
            colours={2: style.SIMULATED},
            ends=paper_values.FIGURE_5B_ENDS,
            span=(30.6, 31.15),
            gap=0.04,
        ),
        comparison=partial(_theorem_3, lines=paper_values.FIGURE_5B_LINES, ends=paper_values.FIGURE_5B_ENDS),
    ),
}
