"""Figure 3, right: how much less often a root is rejected with M parallel drafts than with one."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from specsim.paper_figures import paper_values, style
from specsim.paper_figures.comparison import Row, against_paper, erratum, worst_point
from specsim.paper_figures.registry import PaperFigure, Task
from specsim.paper_figures.running_mean import algorithm_of
from specsim.paper_figures.simulated import documented, simulate_rejections

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from specsim.pairs import ModelPair

#: The paper's axis ends here.
LARGEST = 250
#: Numbers of drafts that are simulated; the first is speculative decoding.
SIMULATED = (1, 2, 4, 8, 16, 32, 64, 128, 250)
#: The curve of figure 3 whose label in the paper is wrong, and one that it belongs to.
_MISLABELLED, _RIGHTLY = 0.3, 0.4

per_step = partial(documented, units="rejections per step")


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
    task: Task,
    pairs: dict[float, ModelPair],
    improvement: Callable[[float, int | float], float],
    meaning: str,
) -> xarray.Dataset:
    """Evaluate the closed form of each curve for 1 to 250 drafts, and simulate single steps.

    pairs: a single-step pair for each curve, by its parameter.
    improvement: the closed form: parameter and number of drafts to batch improvement.
    meaning: what the parameter of a curve is.
    """
    import xarray

    from specsim import theory

    runs, drafts = task.effort.cell_runs, np.arange(1, LARGEST + 1)
    curves = np.array([[float(improvement(key, int(m))) for m in drafts] for key in pairs])
    limits = [float(improvement(key, math.inf)) for key in pairs]
    plain = [float(theory.expected_rejections(pair, algorithm_of(1))) for pair in pairs.values()]
    counts = np.zeros((len(pairs), len(SIMULATED)), np.int64)
    for row, (key, pair) in enumerate(pairs.items()):
        task.tell(f"curve {key:g}, {len(SIMULATED)} x {runs:,} single steps")
        for column, number in enumerate(SIMULATED):
            counts[row, column] = simulate_rejections(
                task, pair, algorithm_of(number), runs=runs, label=f"{key}/{number}"
            ).total
    chance = np.array(plain)[:, None] - curves[:, np.array(SIMULATED) - 1]
    variance = np.maximum(chance * (1 - chance), 0.0) / runs
    return xarray.Dataset(
        {
            "improvement": (("curve", "drafts"), curves, per_step("batch improvement TV - B_M, closed form")),
            "limit": ("curve", limits, per_step("its limit for infinitely many drafts")),
            "total_variation": ("curve", plain, per_step("rejection probability of one draft")),
            "rejected": (("curve", "simulated"), counts, {"long_name": "single steps rejected"}),
            "rejection": (("curve", "simulated"), chance, per_step("exact rejection probability B_M")),
            "simulated_improvement": (
                ("curve", "simulated"),
                (counts[:, :1] - counts) / runs,
                per_step("rejected with one draft minus rejected with M, per step"),
            ),
            "standard_error": (
                ("curve", "simulated"),
                np.sqrt(variance[:, :1] + variance),
                per_step("exact standard error of the simulated improvement"),
            ),
        },
        coords={
            "curve": ("curve", list(pairs), {"long_name": meaning}),
            "drafts": ("drafts", drafts, {"long_name": "parallel drafts"}),
            "simulated": ("simulated", list(SIMULATED), {"long_name": "parallel drafts"}),
        },
        attrs=task.attributes(all_runs=runs),
    )


def simulation_rows(dataset: xarray.Dataset, spell: Callable[[float], str]) -> list[Row]:
    """Return one row per curve: the worst of its simulated points, by exact binomial tails.

    dataset: as `compute` returns it.
    spell: words for a curve's parameter.
    """
    runs = int(dataset.attrs["all_runs"])
    return [
        worst_point(
            f"{spell(key)}: worst of {len(SIMULATED)} points",
            dataset["rejected"].sel(curve=key).values,
            runs,
            dataset["rejection"].sel(curve=key).values,
            "exact, B_M",
        )
        for key in dataset["curve"].values.tolist()
    ]


@style.styled
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
    figure, axes = style.canvas(4.6, 3.1)
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


def _bernoulli(u: float, drafts: int | float) -> float:
    from specsim import theory

    return float(theory.batch_improvement_bernoulli(u, paper_values.FIGURE_3_BERNOULLI_TARGET, drafts))


def _bernoulli_data(task: Task) -> xarray.Dataset:
    """Evaluate and simulate the six drafts of the paper, and the curve that one label belongs to."""
    target = paper_values.FIGURE_3_BERNOULLI_TARGET
    pairs = {
        u: single_step_pair([1 - target, target], [1 - u, u], f"Ber({u:g})")
        for u in paper_values.FIGURE_3_BERNOULLI
    }
    dataset = compute(task, pairs, _bernoulli, "success probability of the draft; the target's is 0.5")
    return dataset.assign(
        mislabelled=("drafts", [_bernoulli(_RIGHTLY, int(m)) for m in dataset["drafts"].values]),
        mislabelled_limit=((), _bernoulli(_RIGHTLY, math.inf)),
    )


def _bernoulli_plot(dataset: xarray.Dataset) -> Figure:
    """Draw the six curves and the mislabelled one."""

    def mislabelled(axes: Axes) -> tuple[list[float], list[str], list[str]]:
        values = dataset["mislabelled"]
        axes.plot(dataset["drafts"], values, color=style.PAPER, linestyle=(0, (4, 2)), linewidth=1.2)
        return [float(values[-1])], ["paper's “Ber(0.3)” → 0.1"], [style.PAPER]

    heading = "Target Ber(0.5); the draft and its limit at the right"
    return draw_improvement(
        dataset, spell=_bernoulli_name, gap=0.033, top=0.5, heading=heading, more=mislabelled
    )


def _bernoulli_rows(dataset: xarray.Dataset) -> list[Row]:
    """Compare the limits with the paper's, with its wrong label, and the simulation with the curves."""
    rows = []
    for u, paper in paper_values.FIGURE_3_BERNOULLI.items():
        quantity, ours = f"limit for {_bernoulli_name(u)}", float(dataset["limit"].sel(curve=u))
        if u != _MISLABELLED:
            rows.append(against_paper(quantity, paper, ours))
            continue
        rows.append(erratum(quantity, paper, ours, "wrong label (erratum)"))
        right = float(dataset["mislabelled_limit"])
        rows.append(
            against_paper("limit for Ber(0.4), Ber(0.6)", paper, right, agrees="that curve is theirs")
        )
    return rows + simulation_rows(dataset, _bernoulli_name)


def _bernoulli_name(draft: float) -> str:
    return f"Ber({draft:g})"


def _uniform_data(task: Task) -> xarray.Dataset:
    """Evaluate and simulate the six ratios of the paper."""
    from specsim import theory

    pairs = {
        float(ratio): single_step_pair(np.eye(1, ratio)[0], np.full(ratio, 1 / ratio), f"ratio {ratio}")
        for ratio in paper_values.FIGURE_3_UNIFORM
    }
    meaning = "tokens of the draft for each token of the target"
    return compute(task, pairs, theory.batch_improvement_uniform, meaning)


def _uniform_plot(dataset: xarray.Dataset) -> Figure:
    """Draw the six curves."""
    heading = "Draft uniform on r times the target's tokens"
    return draw_improvement(dataset, spell=_uniform_name, gap=0.064, top=1.05, heading=heading)


def _uniform_rows(dataset: xarray.Dataset) -> list[Row]:
    """Compare the limits with the paper's, and the simulation with the curves."""
    limits = dataset["limit"]
    rows = [
        against_paper(f"limit for {_uniform_name(ratio)}", paper, float(limits.sel(curve=float(ratio))))
        for ratio, paper in paper_values.FIGURE_3_UNIFORM.items()
    ]
    return rows + simulation_rows(dataset, _uniform_name)


def _uniform_name(ratio: float) -> str:
    return f"r = {ratio:g}"


FIGURES = {
    "figure-3-bernoulli": PaperFigure(
        caption=(
            "Batch improvement for one step with target Ber(0.5) and the drafts named at the right, with "
            "limits: closed form (lines) and simulated single steps (points, 95 % bars). The curve that the "
            "paper labels Ber(0.3), with limit 0.10 (dashed), is that of Ber(0.4) and of Ber(0.6); the limit"
            " for Ber(0.3) is 0.20. The axis is logarithmic, since all that happens happens early."
        ),
        data=_bernoulli_data,
        plot=_bernoulli_plot,
        comparison=_bernoulli_rows,
    ),
    "figure-3-uniform": PaperFigure(
        caption=(
            "Batch improvement for one step with a draft that is uniform on r times as many tokens as the "
            "target, with limits 1 − 1/r: closed form (lines) and simulated single steps (points, 95 % "
            "bars). A draft that is far too wide needs many parallel drafts before it gains anything."
        ),
        data=_uniform_data,
        plot=_uniform_plot,
        comparison=_uniform_rows,
    ),
}
