"""Figure 3, right: how much less often a root is rejected with M parallel drafts than with one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from specsim.paper_figures import style
from specsim.paper_figures.comparison import ALPHA, Row
from specsim.paper_figures.efforts import FigureEffort
from specsim.paper_figures.registry import Progress
from specsim.paper_figures.running_mean import algorithm_of
from specsim.paper_figures.simulated import provenance, simulate_rejections

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from specsim.pairs import ModelPair

#: The paper's axis ends here.
LARGEST = 250
#: Numbers of drafts that are simulated; the first is speculative decoding.
SIMULATED = (1, 2, 4, 8, 16, 32, 64, 128, 250)


def single_step_pair(target: ArrayLike, draft: ArrayLike, name: str) -> ModelPair:
    """Return the pair with one context and one token to emit that has these two rows."""
    from specsim.pairs import ModelPair

    rows = np.asarray(target, dtype=np.float64)
    return ModelPair.from_probabilities(
        rows[None],
        np.asarray(draft, dtype=np.float64)[None],
        initial=[1.0],
        next_context=np.zeros((1, rows.size), dtype=np.int64),
        horizon=1,
        name=name,
    )


def compute(
    name: str,
    pairs: dict[float, ModelPair],
    improvement: Callable[[float, int | float], float],
    effort: FigureEffort,
    seed: int,
    threads: int | None,
    progress: Progress | None,
) -> xarray.Dataset:
    """Evaluate the closed form of each curve for 1 to 250 drafts, and simulate single steps.

    name: the figure's.
    pairs: a single-step pair for each curve, by its parameter.
    improvement: the closed form: parameter and number of drafts to batch improvement.
    effort, seed, threads, progress: as in `specsim.paper_figures.draw`.
    """
    import xarray

    from specsim import theory

    drafts = np.arange(1, LARGEST + 1)
    curves = np.array([[float(improvement(key, int(m))) for m in drafts] for key in pairs])
    limits = [float(improvement(key, math.inf)) for key in pairs]
    plain = [float(theory.expected_rejections(pair, algorithm_of(1))) for pair in pairs.values()]
    counts = np.zeros((len(pairs), len(SIMULATED)), np.int64)
    for row, (key, pair) in enumerate(pairs.items()):
        if progress:
            progress(f"{name}: curve {key:g}, {len(SIMULATED)} x {effort.cell_runs:,} single steps")
        for column, number in enumerate(SIMULATED):
            counts[row, column] = simulate_rejections(
                pair,
                algorithm_of(number),
                runs=effort.cell_runs,
                seed=seed,
                label=f"{name}/{key}/{number}",
                threads=threads,
            ).total
    chance = np.array(plain)[:, None] - curves[:, np.array(SIMULATED) - 1]
    variance = np.maximum(chance * (1 - chance), 0.0) / effort.cell_runs
    return xarray.Dataset(
        {
            "improvement": (("curve", "drafts"), curves, _doc("batch improvement TV - B_M, closed form")),
            "limit": ("curve", limits, _doc("its limit for infinitely many drafts")),
            "total_variation": ("curve", plain, _doc("rejection probability of one draft")),
            "rejected": (("curve", "simulated"), counts, {"long_name": "single steps rejected"}),
            "rejection": (("curve", "simulated"), chance, _doc("exact rejection probability B_M")),
            "simulated_improvement": (
                ("curve", "simulated"),
                (counts[:, :1] - counts) / effort.cell_runs,
                _doc("rejected with one draft minus rejected with M, per step"),
            ),
            "standard_error": (
                ("curve", "simulated"),
                np.sqrt(variance[:, :1] + variance),
                _doc("exact standard error of the simulated improvement"),
            ),
        },
        coords={
            "curve": ("curve", list(pairs)),
            "drafts": ("drafts", drafts, {"long_name": "parallel drafts"}),
            "simulated": ("simulated", list(SIMULATED), {"long_name": "parallel drafts"}),
        },
        attrs=provenance(seed, effort.name, figure=name, all_runs=effort.cell_runs),
    )


def simulation_rows(dataset: xarray.Dataset, spell: Callable[[float], str]) -> list[Row]:
    """Return one row per curve: the worst of its simulated points, by exact binomial tails.

    dataset: as `compute` returns it.
    spell: words for a curve's parameter.
    """
    from specsim.validation.statistics import decide_probability_by_binomial_tails

    runs = int(dataset.attrs["all_runs"])
    rows = []
    for key in dataset["curve"].values.tolist():
        one = dataset.sel(curve=key)
        decision = decide_probability_by_binomial_tails(
            count=one["rejected"].values,
            runs=runs,
            probability=np.clip(one["rejection"].values, 0.0, 1.0),
            alpha=ALPHA,
        )
        apart = float(decision.observed) - float(decision.expected)
        error = float(decision.standard_error)
        rows.append(
            Row(
                quantity=f"{spell(key)}: worst of {len(SIMULATED)} points",
                reference=float(decision.expected),
                source="exact, B_M",
                ours=float(decision.observed),
                difference=apart / error if error > 0 else 0.0,
                unit="sigma",
                verdict=f"met, {runs:,} steps" if decision.agrees else "NOT met",
                required=True,
                passed=bool(decision.agrees),
            )
        )
    return rows


def draw_improvement(
    dataset: xarray.Dataset,
    *,
    spell: Callable[[float], str],
    gap: float,
    top: float,
    heading: str,
    more: Callable[[Axes], tuple[list[float], list[str], list[str]]] | None = None,
) -> Figure:
    """Draw the curves with simulated points and a label at the end of each.

    dataset: as `compute` returns it.
    spell: words for a curve's parameter.
    gap: least distance of two labels.
    top: upper end of the vertical axis.
    heading: written above.
    more: draws further curves, and returns heights, texts and colours of their labels. Defaults to None.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.1))
    axes = figure.subplots()
    heights, texts, tints = more(axes) if more else ([], [], [])
    order = sorted(dataset["curve"].values.tolist(), key=lambda key: -float(dataset["limit"].sel(curve=key)))
    for key, colour in zip(order, style.SERIES, strict=True):
        one = dataset.sel(curve=key)
        axes.plot(dataset["drafts"], one["improvement"], color=colour, linewidth=1.3)
        axes.errorbar(
            dataset["simulated"].values[1:],
            one["simulated_improvement"].values[1:],
            yerr=1.96 * one["standard_error"].values[1:],
            fmt="o",
            color=colour,
            markersize=3,
            linewidth=0.8,
        )
        heights.append(float(one["improvement"][-1]))
        texts.append(f"{spell(key)} → {float(one['limit']):.3g}")
        tints.append(colour)
    axes.set_xscale("log")
    axes.set_xlim(1, LARGEST * 1.06)
    axes.set_ylim(-0.02 * top, top)
    axes.set_xticks([1, 2, 5, 10, 20, 50, 100, 250])
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}")
    axes.set_title(heading, fontweight="normal")
    style.end_labels(axes, LARGEST, heights, texts, tints, gap=gap, offset=0.035)
    axes.set_xlabel("Parallel drafts M")
    axes.set_ylabel("Batch improvement,\nrejections saved per step")
    return figure


def _doc(text: str) -> dict[str, str]:
    return {"long_name": text, "units": "rejections per step"}
