"""Figure 3, left: one round of the corrected Algorithm 4, with exact numbers of a small instance."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.algorithms import Algorithm, Batch, BatchAsPrinted
from specsim.paper_figures import style
from specsim.paper_figures.comparison import Row, exact
from specsim.paper_figures.figure_4a import DRAFT, TARGET
from specsim.paper_figures.improvement import single_step_pair
from specsim.paper_figures.registry import PaperFigure, Task
from specsim.paper_figures.simulated import documented

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Parallel drafts in the drawing.
DRAFTS = 3

_CAPTION = (
    "One round of batch speculative decoding with M = 3 drafts (the corrected Algorithm 4). The first "
    "tokens of the drafts are tried in turn; each failure replaces the row aimed at (filled) by what "
    "the draft (outlined) leaves of it. The first accepted token decides which draft is followed, by "
    "the plain rules and with the original target. When all fail, a token of T⁽⁴⁾ is written: one "
    "rejection, and a new round. As printed, lines 25-29 stand inside the loop, or subtract the draft "
    "once too often; both write a wrong law. Numbers are exact, for the target (.50, .30, .15, .05) and"
    " the draft (.20, .45, .10, .25)."
)

_WIDTH, _LEFT, _STRIDE = 17.0, (2.0, 28.0, 54.0, 80.0), 26.0
_BASE, _HEIGHT = 43.0, 15.0


def data(task: Task) -> xarray.Dataset:
    """Compute the chain of rows and what the readings of Algorithm 4 write. Nothing is simulated."""
    import xarray

    from specsim.theory.statements.theorem_3 import root_rows

    target, draft = (np.array([row], dtype=object) for row in (TARGET, DRAFT))
    chain, masses = [TARGET], [Fraction(1)]
    for number in range(1, DRAFTS + 1):
        root = root_rows(target, draft, number)
        chain.append(tuple(root.rows[0]))
        masses.append(root.masses[0])
    failing = [late / early for early, late in pairwise(masses)]
    return xarray.Dataset(
        {
            "aimed": (("root", "token"), _floats(chain), documented("row aimed at, T^(m)")),
            "draft": ("token", _floats([DRAFT])[0], documented("draft")),
            "failing": (
                "candidate",
                [float(value) for value in failing],
                documented("s_m, m-th token rejected"),
            ),
            "reached": ("root", [float(value) for value in masses], documented("s_1 ... s_(m-1)")),
            "bias": (
                "reading",
                [_bias(algorithm) for algorithm in _readings().values()],
                documented("TV of the written token to the target, M = 2"),
            ),
        },
        coords={
            "root": ("root", np.arange(1, DRAFTS + 2)),
            "candidate": ("candidate", np.arange(1, DRAFTS + 1)),
            "reading": ("reading", list(_readings())),
        },
        attrs=task.attributes(drafts=DRAFTS),
    )


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw the round."""
    figure, axes = style.canvas(5.6, 3.75)
    axes.set_xlim(-0.5, 99.5)
    axes.set_ylim(-4, 70)
    axes.axis("off")
    failing = dataset["failing"].values
    for index, left in enumerate(_LEFT):
        last = index == DRAFTS
        _bars(axes, dataset, index, left, last)
    for index, chance in enumerate(failing.tolist()):
        left = _LEFT[index]
        _arrow(axes, (left + _WIDTH + 0.6, 49), (left + _STRIDE - 0.6, 49), style.PAPER)
        axes.text(
            left + (_WIDTH + _STRIDE) / 2,
            50.2,
            f"rejected\n{100 * chance:.0f} %",
            ha="center",
            va="bottom",
            fontsize=7,
            color=style.PAPER,
        )
        _arrow(axes, (left + _WIDTH / 2, 38.5), (left + _WIDTH / 2, 29.4), style.SECOND)
        axes.text(
            left + _WIDTH / 2 + 1.2,
            34,
            f"accepted\n{100 * (1 - chance):.0f} %",
            ha="left",
            va="center",
            fontsize=7,
            color=style.SECOND,
        )
    _box(
        axes,
        (2, 19.5, 69, 9.5),
        "Follow that draft alone, from its second token on, by the plain rule:\n"
        "accept with probability min(1, T/D), T the original target",
        style.SECOND,
    )
    _arrow(axes, (_LEFT[3] + _WIDTH / 2, 38.5), (_LEFT[3] + _WIDTH / 2, 29.4), style.PAPER)
    _box(axes, (77, 19.5, 22, 9.5), "Write a token of T⁽⁴⁾:\none rejection", style.PAPER)
    _arrow(axes, (20, 19.2), (20, 11.8), style.PAPER)
    axes.text(21.3, 15.5, "a token fails", fontsize=7, va="center", color=style.PAPER)
    _arrow(axes, (57, 19.2), (57, 11.8), style.SECOND)
    axes.text(58.3, 15.5, "none fails", fontsize=7, va="center", color=style.SECOND)
    _box(axes, (2, 2, 37, 9.5), "Write a token of (T − D)₊, normalised:\none rejection", style.PAPER)
    _box(axes, (43, 2, 28, 9.5), "All tokens are written:\nend", style.SECOND)
    axes.plot([88, 88, 20.5], [19.2, -2.2, -2.2], color=style.EXACT, linewidth=1.0)
    axes.plot([20.5, 20.5], [1.7, -2.2], color=style.EXACT, linewidth=1.0)
    axes.plot([20.5, 0, 0], [-2.2, -2.2, 46], color=style.EXACT, linewidth=1.0, clip_on=False)
    _arrow(axes, (0, 46), (1.7, 46), style.EXACT)
    axes.text(
        86.5, -0.6, "next round: M new drafts", fontsize=7.5, ha="right", va="bottom", color=style.EXACT
    )
    axes.text(
        0,
        69.5,
        "First tokens of the M drafts, tried in turn",
        fontsize=8.5,
        fontweight="bold",
        va="top",
        color=style.EXACT,
    )
    axes.text(
        99,
        69.5,
        "filled: row aimed at; outlined: draft D",
        fontsize=7.5,
        ha="right",
        va="top",
        color=style.SIMULATED,
    )
    return figure


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Hold the chain against its exact values, and the readings of Algorithm 4 against the target."""
    wanted = {"corrected": 0.0, "inside-loop": 1 / 35, "extra-subtraction": 3 / 200}
    source = {
        "corrected": "unbiased",
        "inside-loop": "1/35 (erratum)",
        "extra-subtraction": "3/200 (erratum)",
    }
    rows = [
        exact(
            f"bias, M = 2, {name}",
            value,
            float(dataset["bias"].sel(reading=name)),
            source[name],
        )
        for name, value in wanted.items()
    ]
    final = dataset["aimed"].values[-1]
    rows.append(
        exact(
            "T^(4), first token",
            1.0,
            float(final[0]),
            "q^(M+1) in the paper",
        )
    )
    return rows


def _readings() -> dict[str, Algorithm]:
    return {
        "corrected": Batch(drafts=2),
        "inside-loop": BatchAsPrinted(drafts=2, slip="inside-loop"),
        "extra-subtraction": BatchAsPrinted(drafts=2, slip="extra-subtraction"),
    }


def _bias(algorithm: Algorithm) -> float:
    from specsim import theory

    pair = single_step_pair([float(x) for x in TARGET], [float(x) for x in DRAFT], "four tokens")
    law = np.asarray(theory.output_law(pair, algorithm), dtype=np.float64)
    return float(np.abs(law - theory.target_law(pair)).sum() / 2)


def _bars(axes: Axes, dataset: xarray.Dataset, index: int, left: float, last: bool) -> None:
    from matplotlib.patches import Rectangle

    row, draft = dataset["aimed"].values[index], dataset["draft"].values
    step = _WIDTH / len(row)
    for token, (aimed, drafted) in enumerate(zip(row.tolist(), draft.tolist(), strict=True)):
        x = left + token * step
        axes.add_patch(
            Rectangle(
                (x + 0.1 * step, _BASE), 0.8 * step, _HEIGHT * aimed, color=style.SIMULATED, alpha=0.75, lw=0
            )
        )
        if not last:
            axes.add_patch(
                Rectangle(
                    (x + 0.1 * step, _BASE),
                    0.8 * step,
                    _HEIGHT * drafted,
                    fill=False,
                    edgecolor=style.EXACT,
                    lw=0.9,
                )
            )
        axes.text(
            x + step / 2, _BASE - 0.7, "abcd"[token], fontsize=7, ha="center", va="top", color=style.MUTED
        )
    axes.plot([left, left + _WIDTH], [_BASE, _BASE], color=style.EXACT, linewidth=0.8)
    label = f"T⁽{'¹²³⁴'[index]}⁾" + (" = T" if index == 0 else "")
    axes.text(left + _WIDTH / 2, _BASE + _HEIGHT + 2.2, label, ha="center", va="bottom", fontsize=8.5)


def _box(axes: Axes, place: tuple[float, float, float, float], text: str, colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y, width, height = place
    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=1.2",
            facecolor="white",
            edgecolor=colour,
            lw=1.0,
        )
    )
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=7.5, color=style.EXACT)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    axes.annotate(
        "",
        xy=end,
        xytext=start,
        arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0},
    )


def _floats(rows: list[Any]) -> np.ndarray:
    return np.array([[float(value) for value in row] for row in rows])


FIGURES = {"figure-3-schematic": PaperFigure(caption=_CAPTION, data=data, plot=plot, comparison=comparison)}
