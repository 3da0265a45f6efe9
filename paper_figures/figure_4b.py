"""Figure 4b: the Pareto front and three decoders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.paper_figures import paper_values, style
from specsim.paper_figures.comparison import Row, exact, remark
from specsim.paper_figures.efforts import FigureEffort
from specsim.paper_figures.registry import Progress
from specsim.paper_figures.trade_off import INSTANCE, compute, simulation_rows

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

caption = (
    "Rejection probability against bias of one step. Decoding-OPT runs along the Pareto front (Theorem 5), a "
    "segment of slope −1; Decoding-UNO is never on it in between, and farther off when it resamples from the "
    "draft, as the paper's listing does, than from the target, as its text says. Lines are exact, points "
    f"simulated, numbers beside them epsilon. {INSTANCE} The shape is to be compared, not the intercepts."
)

_TINTS = (style.SIMULATED, style.SECOND, style.THIRD)


def data(
    effort: FigureEffort, seed: int, threads: int | None = None, progress: Progress | None = None
) -> xarray.Dataset:
    """Compute and simulate the three decoders over epsilon."""
    return compute("figure-4b", effort, seed, threads, progress)


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw the front with the decoders' paths in the plane of bias and rejection."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 3.6))
    axes = figure.subplots()
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


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Hold the shape against the paper's and against Theorems 4 and 5."""
    optimal = dataset.isel(decoder=0)
    tv = float(dataset["total_variation"])
    together = optimal["rejection_curve"] + optimal["bias_curve"]
    ordered = np.diff(dataset["bias_curve"].values, axis=0).min()
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
        Row(
            quantity="least gap between decoders",
            reference=0.0,
            source="OPT <= UNO(target) <= UNO(draft)",
            ours=float(ordered),
            difference=float(ordered),
            unit="absolute",
            verdict="ordered" if ordered >= -1e-12 else "NOT ordered",
            required=True,
            passed=bool(ordered >= -1e-12),
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
