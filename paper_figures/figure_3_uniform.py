"""Figure 3, right, lower panel: batch improvement for uniform rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from specsim.paper_figures import paper_values, style
from specsim.paper_figures.comparison import Row, against_paper
from specsim.paper_figures.efforts import FigureEffort
from specsim.paper_figures.improvement import (
    compute,
    draw_improvement,
    simulation_rows,
    single_step_pair,
)
from specsim.paper_figures.registry import Progress

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

caption = (
    "Batch improvement for one step with a draft that is uniform on r times as many tokens as the "
    "target, with limits 1 − 1/r: closed form (lines) and simulated single steps (points, 95 % bars). A"
    " draft that is far too wide needs many parallel drafts before it gains anything."
)


def data(
    effort: FigureEffort, seed: int, threads: int | None = None, progress: Progress | None = None
) -> xarray.Dataset:
    """Evaluate and simulate the six ratios of the paper."""
    from specsim import theory

    pairs = {
        float(ratio): single_step_pair(np.eye(1, ratio)[0], np.full(ratio, 1 / ratio), f"ratio {ratio}")
        for ratio in paper_values.FIGURE_3_UNIFORM
    }

    def improvement(ratio: float, drafts: int | float) -> float:
        return float(theory.batch_improvement_uniform(ratio, drafts))

    dataset = compute("figure-3-uniform", pairs, improvement, effort, seed, threads, progress)
    dataset["curve"].attrs["long_name"] = "tokens of the draft for each token of the target"
    return dataset


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw the six curves."""
    return draw_improvement(
        dataset,
        spell=spell,
        gap=0.064,
        top=1.05,
        heading="Draft uniform on r times the target's tokens",
    )


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Hold the limits against the paper's, and the simulation against the curves."""
    rows = [
        against_paper(f"limit for {spell(ratio)}", paper, float(dataset["limit"].sel(curve=float(ratio))))
        for ratio, paper in paper_values.FIGURE_3_UNIFORM.items()
    ]
    return rows + simulation_rows(dataset, spell)


def spell(ratio: float) -> str:
    """Return the words for a ratio."""
    return f"r = {ratio:g}"
