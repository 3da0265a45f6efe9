"""Figure 4a: which pairs of bias and rejection are attainable, on an exact instance."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.paper_figures import style
from specsim.paper_figures.comparison import Row, exact
from specsim.paper_figures.registry import PaperFigure, Task
from specsim.paper_figures.simulated import documented

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

#: One step with four tokens.
TARGET = (Fraction(50, 100), Fraction(30, 100), Fraction(15, 100), Fraction(5, 100))
DRAFT = (Fraction(20, 100), Fraction(45, 100), Fraction(10, 100), Fraction(25, 100))

_CAPTION = (
    "All pairs of bias and rejection probability that the rejection-based family attains in one step "
    "(shaded), computed exactly for the target (.50, .30, .15, .05) and the draft (.20, .45, .10, .25)."
    " The Pareto front is the segment of slope −1 below; along it the output moves from the target to "
    "the draft. Beyond the right edge no pair is attained, though better ones are: without any "
    "rejection only the draft's own bias is possible. The paper shades everything above the front."
)


def data(task: Task) -> xarray.Dataset:
    """Compute the exact region of the stated instance. Nothing is simulated."""
    import xarray

    from specsim import theory

    front = theory.pareto_front(TARGET, DRAFT, exact=True)
    tv = Fraction(front.total_variation)
    rejections = [Fraction(step, 200) for step in range(201)]
    bands = [front.band(value) for value in rejections]
    points = [_member(value, front) for value in (Fraction(0), tv / 4, tv / 2, 3 * tv / 4, tv)]
    return xarray.Dataset(
        {
            "smallest_bias": ("rejection", [float(low) for low, _ in bands], documented("smallest bias")),
            "largest_bias": ("rejection", [float(high) for _, high in bands], documented("largest bias")),
            "member_bias": ("member", [b for b, _ in points], documented("bias of members on the front")),
            "member_rejection": ("member", [r for _, r in points], documented("their rejection probability")),
            "total_variation": ((), float(tv), documented("TV(T, D)")),
        },
        coords={"rejection": ("rejection", [float(value) for value in rejections], documented("rejection"))},
        attrs=task.attributes(target=_spell(TARGET), draft=_spell(DRAFT)),
    )


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw the region, its front and its corners."""
    figure, axes = style.canvas(4.0, 3.75)
    tv = float(dataset["total_variation"])
    rejection = dataset["rejection"].values
    low, high = dataset["smallest_bias"].values, dataset["largest_bias"].values
    axes.fill_betweenx(rejection, low, high, color=style.SIMULATED, alpha=0.16, linewidth=0)
    axes.plot(high, rejection, color=style.SIMULATED, linewidth=0.9)
    axes.plot([0, 0], [tv, 1], color=style.SIMULATED, linewidth=0.9)
    axes.plot([0, tv], [tv, 0], color=style.EXACT, linewidth=2.4)
    axes.plot(dataset["member_bias"], dataset["member_rejection"], "o", color=style.EXACT, markersize=4)
    words: dict[str, Any] = {"fontsize": 7.5, "va": "center", "color": style.EXACT}
    axes.text(0.40, 0.68, "attainable", fontsize=9, color=style.SIMULATED, ha="center")
    axes.text(tv * 0.27, tv * 0.27, "impossible", fontsize=7.5, color=style.MUTED, ha="center", rotation=-42)
    axes.text(
        0.80, 0.22, "not attainable,\nbut a better\npair is", fontsize=7.5, color=style.MUTED, ha="center"
    )
    axes.text(tv * 0.56, tv * 0.56, "Pareto front", rotation=-42, ha="center", **words)
    axes.annotate("speculative decoding\n(0, TV)", xy=(0, tv), xytext=(12, 16), **_leader(), **words)
    axes.annotate("the draft alone (TV, 0)", xy=(tv, 0), xytext=(16, 9), **_leader(), **words)
    axes.annotate("always reject,\nwrite from the target", xy=(0, 1), xytext=(12, -14), **_leader(), **words)
    axes.plot([0], [1], "o", color=style.EXACT, markersize=4, clip_on=False)
    axes.set_xlim(-0.015, 1.0)
    axes.set_ylim(-0.015, 1.02)
    axes.set_aspect("equal")
    axes.grid(False)
    axes.set_xlabel("Bias, TV(output law, target)")
    axes.set_ylabel("Rejection probability")
    return figure


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Hold the region against Theorem 5 and its converse."""
    tv = float(dataset["total_variation"])
    half = dataset.sel(rejection=tv / 2, method="nearest")
    worst = np.abs(dataset["member_bias"] + dataset["member_rejection"] - tv).max()
    return [
        exact("smallest bias at rejection 0", tv, float(dataset["smallest_bias"][0]), "Theorem 5, converse"),
        exact("largest bias at rejection 0", tv, float(dataset["largest_bias"][0]), "the draft's own bias"),
        exact("smallest bias at TV / 2", tv / 2, float(half["smallest_bias"]), "Theorem 5, slope -1"),
        exact("largest bias at TV / 2", 1.5 * tv, float(half["largest_bias"]), "TV + rejection"),
        exact("bias + rejection - TV, members", 0.0, float(worst), "Theorem 5"),
    ]


def _member(bias: Fraction, front: object) -> tuple[float, float]:
    """Return bias and rejection, from its definition, of the front's member with this bias."""
    from specsim.theory.statements.theorem_4 import loss, rejection_probability
    from specsim.theory.statements.theorem_5 import ParetoFront

    assert isinstance(front, ParetoFront)
    acceptance, residual = front.member(bias)
    lost = loss(TARGET, DRAFT, acceptance, residual, exact=True)
    return float(lost), float(rejection_probability(DRAFT, acceptance, exact=True))


def _leader() -> dict[str, Any]:
    return {
        "textcoords": "offset points",
        "arrowprops": {"arrowstyle": "-", "color": style.EXACT, "linewidth": 0.6, "shrinkB": 3},
    }


def _spell(row: tuple[Fraction, ...]) -> str:
    return ", ".join(f"{float(value):.2f}" for value in row)


FIGURES = {"figure-4a": PaperFigure(caption=_CAPTION, data=data, plot=plot, comparison=comparison)}
