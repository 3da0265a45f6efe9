"""Remark 6: the front for whole sequences, which the paper leaves open."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.paper_figures import style
from specsim.paper_figures.comparison import Row, exact, row
from specsim.paper_figures.registry import PaperFigure, Task

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TARGET = (Fraction(1, 3), Fraction(2, 3))
DRAFT = (Fraction(2, 3), Fraction(1, 3))
#: Numbers of tokens.
HORIZONS = (1, 2, 3, 4, 5)
_PARTS = tuple(Fraction(step, 240) for step in range(241))

_CAPTION = (
    "Smallest expected number of rejections against the bias of the whole output, for two tokens with "
    "the same rows at every step (target 1/3, 2/3; draft 2/3, 1/3) and 1 to 5 tokens, each as a part of"
    " its largest value. Exact linear programmes, certified in rationals. The paper asks for this front"
    " and does not give it: it is convex, and from three tokens on no longer the straight line of "
    "Theorem 5, so a little bias saves more rejections than its share."
)


def data(task: Task) -> xarray.Dataset:
    """Solve the programmes and check their certificates. Nothing is simulated."""
    import xarray

    from specsim.theory.arithmetic.rational_pair import RationalPair
    from specsim.theory.certificates.checker import check_certificate
    from specsim.theory.statements.remark_6 import sequence_front

    curves, distances, most, certified, gaps = [], [], [], [], []
    for horizon in HORIZONS:
        task.tell(f"front for {horizon} tokens")
        pair = RationalPair.independent(TARGET, DRAFT, horizon=horizon)
        front = sequence_front(pair, exact=True)
        certified.append(int(check_certificate(pair, front.certificate)))
        gaps.append(float(front.gap))
        distances.append(float(front.joint_total_variation))
        most.append(float(front.rejections[0]))
        corners = list(zip(front.bias, front.rejections, strict=True))
        curves.append([float(_height(corners, part * front.joint_total_variation)) for part in _PARTS])
    return xarray.Dataset(
        {
            "rejections": (("horizon", "part"), curves, {"long_name": "smallest expected rejections"}),
            "joint_total_variation": ("horizon", distances, {"long_name": "bias of the draft's output"}),
            "most_rejections": ("horizon", most, {"long_name": "rejections of speculative decoding"}),
            "certified": ("horizon", certified, {"long_name": "1 where the certificate was accepted"}),
            "gap": ("horizon", gaps, {"long_name": "what the certificate leaves open"}),
        },
        coords={
            "horizon": ("horizon", list(HORIZONS), {"long_name": "tokens"}),
            "part": ("part", [float(part) for part in _PARTS], {"long_name": "bias / largest bias"}),
        },
        attrs=task.attributes(target="1/3, 2/3", draft="2/3, 1/3"),
    )


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw the fronts, each in units of its ends."""
    figure, axes = style.canvas(4.2, 3.3)
    part = dataset["part"].values
    below = dataset["horizon"].values[dataset["horizon"].values >= 3]
    axes.plot(part, 1 - part, color=style.EXACT, linewidth=1.6)
    axes.text(0.52, 0.54, "1 and 2 tokens: straight", rotation=-36, fontsize=7.5, ha="center", va="center")
    for horizon, colour in zip(below.tolist(), style.SERIES[1:], strict=False):
        one = dataset.sel(horizon=horizon)
        height = one["rejections"].values / float(one["most_rejections"])
        axes.plot(part, height, color=colour, linewidth=1.4)
    _name(axes, dataset, 3, 0.46, (-34, -20), style.SERIES[1])
    along: dict[str, Any] = {"rotation": -36, "fontsize": 7.5, "ha": "center", "va": "center"}
    axes.text(0.545, 0.41, "4 tokens", color=style.SERIES[2], **along)
    _name(axes, dataset, 5, 0.2, (-30, -24), style.SERIES[3])
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("Bias of the sequence / bias of the draft")
    axes.set_ylabel("E[rejections] /\nE[rejections] of speculative decoding")
    return figure


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Hold the fronts against the straight line, and report the certificates."""
    rows = [
        exact(
            "certificates accepted",
            float(len(HORIZONS)),
            float(dataset["certified"].sum()),
            f"{len(HORIZONS)} linear programmes",
        ),
        exact("largest gap left open", 0.0, float(dataset["gap"].max()), "solved in rationals"),
    ]
    part = dataset["part"].values
    for horizon in HORIZONS:
        one = dataset.sel(horizon=horizon)
        height = one["rejections"].values / float(one["most_rejections"])
        sag = float((1 - part - height).max())
        straight = horizon <= 2
        passed = abs(sag) < 1e-12 if straight else sag > 0.05 and float(np.diff(height, 2).min()) > -1e-12
        verdict = "straight" if straight else "convex, not straight"
        rows.append(
            row(
                f"{horizon} token{'s' if horizon > 1 else ''}: sag",
                0.0,
                sag,
                "the straight line",
                verdict if passed else "NOT as expected",
                passed=passed,
            )
        )
    return rows


def _height(corners: list[tuple[Fraction, Fraction]], bias: Any) -> Any:
    for (left, upper), (right, lower) in pairwise(corners):
        if bias <= right:
            return upper + (lower - upper) * (bias - left) / (right - left)
    return corners[-1][1]


def _name(
    axes: Axes, dataset: xarray.Dataset, horizon: int, part: float, offset: tuple[int, int], colour: str
) -> None:
    here = dataset.sel(horizon=horizon).sel(part=part, method="nearest")
    axes.annotate(
        f"{horizon} tokens",
        xy=(float(here["part"]), float(here["rejections"]) / float(here["most_rejections"])),
        xytext=offset,
        textcoords="offset points",
        fontsize=7.5,
        color=colour,
        ha="center",
        va="center",
        arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkB": 2},
    )


FIGURES = {"remark-6": PaperFigure(caption=_CAPTION, data=data, plot=plot, comparison=comparison)}
