"""Figure 4c: rejection and bias against the over-acceptance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from specsim.paper_figures import paper_values, style
from specsim.paper_figures.comparison import Row, exact, remark
from specsim.paper_figures.efforts import FigureEffort
from specsim.paper_figures.registry import Progress
from specsim.paper_figures.trade_off import INSTANCE, compute, simulation_rows

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

caption = (
    "Rejection probability and bias of Decoding-OPT against the over-acceptance epsilon; their sum is "
    "the total variation distance at every epsilon (Theorem 5). Lines are exact, filled points "
    "simulated (95 % bars), diamonds the paper's rejection probabilities, read off its figure. "
    f"{INSTANCE} The shape is to be compared, not the values."
)


def data(
    effort: FigureEffort, seed: int, threads: int | None = None, progress: Progress | None = None
) -> xarray.Dataset:
    """Compute and simulate the three decoders over epsilon."""
    return compute("figure-4c", effort, seed, threads, progress)


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw rejection, bias and their sum against epsilon."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 2.9))
    axes = figure.subplots()
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


def comparison(dataset: xarray.Dataset) -> list[Row]:
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
