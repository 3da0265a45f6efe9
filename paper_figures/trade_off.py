"""Figures 4b and 4c: over-acceptance with three residuals, exact and simulated.

The paper's instance is not known. Ours is stated, and only the shape can be compared.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import OverAcceptance, Residual
from specsim.paper_figures import paper_values, style
from specsim.paper_figures.comparison import Row, exact, remark, row, worst_point
from specsim.paper_figures.paper_values import FIGURE_4C_EPSILONS
from specsim.paper_figures.registry import PaperFigure, Task
from specsim.paper_figures.simulated import documented, total_rejections
from specsim.support.hashes import derived_seed

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from specsim.pairs import ModelPair

#: Decoders by residual.
DECODERS: dict[str, str] = {
    "optimal": "OPT",
    "target": "UNO (target)",
    "draft": "UNO (draft)",
}

INSTANCE = (
    "The paper's instance is not known; ours is random_pair(contexts=7, horizon=1, family='dirichlet', "
    "concentration=1.2, seed=303), averages over a uniform prompt, picked among 1,600 random pairs "
    "as the closest to the values read off the paper's figure; only the shape is compared."
)

#: Colours of the decoders.
_TINTS = (style.SIMULATED, style.SECOND, style.THIRD)


def instance() -> ModelPair:
    """Return the stated pair: seven contexts, one step."""
    from specsim import random_pair

    return random_pair(contexts=7, horizon=1, family="dirichlet", concentration=1.2, seed=303)


def compute(task: Task) -> xarray.Dataset:
    """Compute rejection and bias of the three decoders over epsilon, and simulate the paper's epsilons.

    The bias is the total variation distance between the laws of (prompt, token), that is the mean over the
    prompts. It is simulated as P(A) minus the target's P(A), A the set where theory says that the
    written law exceeds the target's: an unbiased estimate, since A is not chosen by the simulation.
    """
    import xarray

    from specsim import simulate, theory

    pair, runs = instance(), task.effort.cell_runs
    aim = pair.initial[:, None] * pair.target[0]
    grid = np.linspace(0.0, 0.45, 91)
    shape = (len(DECODERS), len(FIGURE_4C_EPSILONS))
    rejection, bias = np.zeros((2, len(DECODERS), len(grid)))
    exact_rejection, exact_bias, over, aimed = np.zeros((4, *shape))
    rejected, counted = np.zeros((2, *shape), np.int64)
    for place, residual in enumerate(DECODERS):
        for column, epsilon in enumerate(grid):
            rejection[place, column], law = _exact(pair, float(epsilon), residual)
            bias[place, column] = np.abs(law - aim).sum() / 2
        for column, epsilon in enumerate(FIGURE_4C_EPSILONS):
            algorithm = over_acceptance(epsilon, residual)
            task.tell(f"{algorithm.label}, {runs:,} single steps")
            exact_rejection[place, column], law = _exact(pair, epsilon, residual)
            exact_bias[place, column] = np.abs(law - aim).sum() / 2
            chosen = law - aim > 1e-12
            over[place, column], aimed[place, column] = law[chosen].sum(), aim[chosen].sum()
            result = simulate(
                pair,
                algorithm,
                runs=runs,
                seed=derived_seed(task.seed, f"figure-4/{residual}/{epsilon}"),
                threads=task.threads,
            )
            rejected[place, column] = total_rejections(result)
            counted[place, column] = int(result["transition_count"].values[0][chosen].sum())
    best = [
        float(
            pair.initial
            @ [
                float(
                    theory.over_acceptance_loss(
                        t, d, np.where(d > 0, np.minimum(1, (t + e) / _positive(d)), 1)
                    )
                )
                for t, d in zip(pair.target[0], pair.draft[0], strict=True)
            ]
        )
        for e in FIGURE_4C_EPSILONS
    ]
    simulated = counted / runs - aimed
    names = ("decoder", "epsilon")
    return xarray.Dataset(
        {
            "rejection_curve": (("decoder", "grid"), rejection, documented("exact rejection probability")),
            "bias_curve": (("decoder", "grid"), bias, documented("exact bias")),
            "rejection": (names, exact_rejection, documented("exact rejection probability")),
            "bias": (names, exact_bias, documented("exact bias")),
            "smallest_loss": ("epsilon", best, documented("Theorem 4's smallest bias for this acceptance")),
            "rejected": (names, rejected, {"long_name": "steps rejected"}),
            "over_count": (names, counted, {"long_name": "steps that wrote a token of the set A"}),
            "over_probability": (names, over, documented("exact probability of A")),
            "simulated_rejection": (names, rejected / runs, documented("rejected per step")),
            "simulated_bias": (names, simulated, documented("share of A minus the target's")),
            "rejection_error": (
                names,
                _error(exact_rejection, runs),
                documented("exact standard error of the simulated rejection probability"),
            ),
            "bias_error": (names, _error(over, runs), documented("the same of the simulated bias")),
            "total_variation": (
                (),
                float(exact_rejection[0, 0]),
                documented("TV(T, D), mean over the prompts"),
            ),
        },
        coords={
            "decoder": ("decoder", list(DECODERS.values())),
            "epsilon": ("epsilon", list(FIGURE_4C_EPSILONS), {"long_name": "over-acceptance"}),
            "grid": ("grid", grid, {"long_name": "over-acceptance"}),
        },
        attrs=task.attributes(all_runs=runs, instance=INSTANCE, pair=pair.name, pair_identity=pair.identity),
    )


def over_acceptance(epsilon: float, residual: str) -> OverAcceptance:
    """Return the descriptor of one decoder."""
    return OverAcceptance(epsilon=epsilon, residual=cast(Residual, residual))


def simulation_rows(dataset: xarray.Dataset) -> list[Row]:
    """Return, for each decoder, the worst of its simulated rejection rates and biases."""
    rows = []
    for decoder in dataset["decoder"].values.tolist():
        one = dataset.sel(decoder=decoder)
        counts, chances = (
            np.concatenate([one[name].values for name in names])
            for names in (("rejected", "over_count"), ("rejection", "over_probability"))
        )
        quantity = f"{decoder}: worst of {2 * one.sizes['epsilon']} points"
        rows.append(worst_point(quantity, counts, int(dataset.attrs["all_runs"]), chances, "exact"))
    return rows


def _exact(pair: ModelPair, epsilon: float, residual: str) -> tuple[float, NDArray[np.float64]]:
    """Return the rejection probability and the law of (prompt, token), shape (contexts, tokens)."""
    from specsim import theory

    algorithm = over_acceptance(epsilon, residual)
    law: Any = theory.transition_marginals(pair, algorithm)
    return float(theory.expected_rejections(pair, algorithm)), np.asarray(law, dtype=np.float64)[0]


def _positive(row: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(row > 0, row, 1.0)


def _error(probability: NDArray[np.float64], runs: int) -> NDArray[np.float64]:
    return np.sqrt(np.clip(probability * (1 - probability), 0.0, None)) / math.sqrt(runs)


@style.styled
def _plot_front(dataset: xarray.Dataset) -> Figure:
    """Draw the front with the decoders' paths in the plane of bias and rejection."""
    figure, axes = style.canvas(4.2, 3.6)
    tv = float(dataset["total_variation"])
    axes.fill([0, 0, tv], [0, tv, 0], color="#eeeeee", linewidth=0)
    axes.plot([0, tv], [tv, 0], color=style.EXACT, linewidth=2.2, alpha=0.35)
    for decoder, colour in zip(dataset["decoder"].values, _TINTS, strict=True):
        one = dataset.sel(decoder=decoder)
        axes.plot(one["bias_curve"], one["rejection_curve"], color=colour, linewidth=1.2)
        axes.errorbar(
            one["simulated_bias"],
            one["simulated_rejection"],
            xerr=1.96 * one["bias_error"],
            yerr=1.96 * one["rejection_error"],
            fmt="o",
            color=colour,
            markersize=3.5,
            linewidth=0.8,
            capsize=0,
        )
    for epsilon in (0.03, 0.05, 0.1, 0.15, 0.2, 0.3):
        here = dataset.isel(decoder=0).sel(epsilon=epsilon)
        axes.annotate(
            f"{epsilon:g}",
            xy=(float(here["bias"]), float(here["rejection"])),
            xytext=(-4, -3),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=7,
            color=style.SIMULATED,
        )
    words: dict[str, Any] = {"fontsize": 7.5, "va": "center"}
    axes.text(tv * 0.25, tv * 0.25, "no decoder of\nthe family", color=style.MUTED, ha="center", **words)
    axes.text(
        tv * 0.41,
        tv * 0.655,
        "Decoding-OPT",
        color=_TINTS[0],
        ha="center",
        rotation=-45,
        rotation_mode="anchor",
        **words,
    )
    axes.text(tv * 0.665, tv * 0.78, "Decoding-UNO\nfrom target", color=_TINTS[1], ha="center", **words)
    axes.text(tv * 0.885, tv * 0.78, "Decoding-UNO\nfrom draft", color=_TINTS[2], ha="left", **words)
    _beside(axes, 0.0, tv, "speculative decoding (ε = 0)", (3, 15))
    _beside(axes, tv, 0.0, "the draft\nalone", (8, 22))
    axes.set_xlim(-0.012, tv * 1.1)
    axes.set_ylim(-0.012, tv * 1.15)
    axes.set_aspect("equal")
    axes.grid(False)
    axes.set_xlabel("Bias, TV(output law, target)")
    axes.set_ylabel("Rejection probability")
    return figure


def _rows_front(dataset: xarray.Dataset) -> list[Row]:
    """Hold the shape against the paper's and against Theorems 4 and 5."""
    optimal = dataset.isel(decoder=0)
    tv = float(dataset["total_variation"])
    together = optimal["rejection_curve"] + optimal["bias_curve"]
    gap = float(np.diff(dataset["bias_curve"].values, axis=0).min())
    return [
        exact("bias at epsilon = 0", 0.0, float(optimal["bias"][0]), "end of the front"),
        exact("rejection at epsilon = 0.45", 0.0, float(optimal["rejection"][-1]), "end of the front"),
        exact("bias at epsilon = 0.45", tv, float(optimal["bias"][-1]), "end of the front"),
        exact(
            "rejection + bias, farthest",
            tv,
            float(together[int(np.abs(together.values - tv).argmax())]),
            "Theorem 5, slope -1",
        ),
        row(
            "least gap between decoders",
            0.0,
            gap,
            "OPT <= UNO(target) <= UNO(draft)",
            "ordered" if gap >= -1e-12 else "NOT ordered",
            passed=gap >= -1e-12,
        ),
        remark("intercepts of the front", paper_values.FIGURE_4_TV, tv, "shape only"),
        *simulation_rows(dataset),
    ]


def _beside(axes: Axes, bias: float, rejection: float, text: str, offset: tuple[int, int]) -> None:
    axes.annotate(
        text,
        xy=(bias, rejection),
        xytext=offset,
        textcoords="offset points",
        fontsize=7.5,
        color=style.EXACT,
        ha="left",
        va="center",
        annotation_clip=False,
        arrowprops={"arrowstyle": "-", "color": style.EXACT, "linewidth": 0.6, "shrinkB": 3},
    )


@style.styled
def _plot_epsilon(dataset: xarray.Dataset) -> Figure:
    """Draw rejection, bias and their sum against epsilon."""
    figure, axes = style.canvas(4.6, 2.9)
    one = dataset.isel(decoder=0)
    tv = float(dataset["total_variation"])
    axes.plot(dataset["grid"], one["rejection_curve"] + one["bias_curve"], color=style.EXACT, linewidth=1.2)
    for quantity, colour in (("bias", style.SECOND), ("rejection", style.SIMULATED)):
        axes.plot(dataset["grid"], one[f"{quantity}_curve"], color=colour)
        axes.errorbar(
            dataset["epsilon"],
            one[f"simulated_{quantity}"],
            yerr=1.96 * one[f"{quantity}_error"],
            fmt="o",
            color=colour,
            markersize=4,
            linewidth=0.8,
        )
    readings = paper_values.FIGURE_4C_REJECTION
    axes.plot(
        list(readings),
        [paper.value for paper in readings.values()],
        "D",
        color=style.PAPER,
        markerfacecolor="none",
        markersize=6.5,
        markeredgewidth=0.9,
        zorder=4,
    )
    axes.set_xlim(-0.01, 0.46)
    axes.set_ylim(-0.015, tv * 1.14)
    style.end_labels(
        axes,
        0.45,
        [tv + 0.012, tv - 0.012, 0.012, -0.012],
        ["sum = TV", "bias", "rejection", "paper's rejection"],
        [style.EXACT, style.SECOND, style.SIMULATED, style.PAPER],
        gap=0.032,
        offset=0.02,
    )
    axes.set_xlabel("Over-acceptance ε")
    axes.set_ylabel("Probability in one step")
    return figure


def _rows_epsilon(dataset: xarray.Dataset) -> list[Row]:
    """Hold the shape against Theorem 5 and put the paper's readings beside ours."""
    one = dataset.isel(decoder=0)
    tv = float(dataset["total_variation"])
    together = one["rejection_curve"] + one["bias_curve"]
    loss = np.abs(one["bias"].values - dataset["smallest_loss"].values)
    worst = int(loss.argmax())
    rows = [
        exact(
            "rejection + bias, farthest",
            tv,
            float(together[int(np.abs(together.values - tv).argmax())]),
            "Theorem 5",
        ),
        exact(
            "bias, farthest",
            float(dataset["smallest_loss"][worst]),
            float(one["bias"][worst]),
            "Theorem 4, smallest loss",
        ),
    ]
    for epsilon, paper in paper_values.FIGURE_4C_REJECTION.items():
        ours = float(one["rejection"].sel(epsilon=epsilon))
        rows.append(remark(f"rejection at epsilon = {epsilon:g}", paper, ours, "shape only"))
    return rows + simulation_rows(dataset)


FIGURES = {
    "figure-4b": PaperFigure(
        caption=(
            "Rejection probability against bias of one step. Decoding-OPT runs along the Pareto front "
            "(Theorem 5), a segment of slope −1; Decoding-UNO is never on it in between, and farther off "
            "when it resamples from the draft, as the paper's listing does, than from the target, as its "
            f"text says. Lines are exact, points simulated, numbers beside them epsilon. {INSTANCE} The "
            "shape is to be compared, not the intercepts."
        ),
        data=compute,
        plot=_plot_front,
        comparison=_rows_front,
    ),
    "figure-4c": PaperFigure(
        caption=(
            "Rejection probability and bias of Decoding-OPT against the over-acceptance epsilon; their sum "
            "is the total variation distance at every epsilon (Theorem 5). Lines are exact, filled points "
            "simulated (95 % bars), diamonds the paper's rejection probabilities, read off its figure. "
            f"{INSTANCE} The shape is to be compared, not the values."
        ),
        data=compute,
        plot=_plot_epsilon,
        comparison=_rows_epsilon,
    ),
}
