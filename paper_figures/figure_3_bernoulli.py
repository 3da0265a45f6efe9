"""Figure 3, right, upper panel: batch improvement for Bernoulli rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from specsim.paper_figures import paper_values, style
from specsim.paper_figures.comparison import Row, against_paper, erratum
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
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The curve whose label in the paper is wrong, and one that it belongs to.
MISLABELLED, RIGHTLY = 0.3, 0.4

caption = (
    "Batch improvement for one step with target Ber(0.5) and the drafts named at the right, with "
    "limits: closed form (lines) and simulated single steps (points, 95 % bars). The curve that the "
    "paper labels Ber(0.3), with limit 0.10 (dashed), is that of Ber(0.4) and of Ber(0.6); the limit "
    "for Ber(0.3) is 0.20. The axis is logarithmic, since all that happens happens early."
)


def data(
    effort: FigureEffort, seed: int, threads: int | None = None, progress: Progress | None = None
) -> xarray.Dataset:
    """Evaluate and simulate the six drafts of the paper, and the curve that one label belongs to."""
    from specsim import theory

    target = paper_values.FIGURE_3_BERNOULLI_TARGET
    pairs = {
        u: single_step_pair([1 - target, target], [1 - u, u], f"Ber({u:g})")
        for u in paper_values.FIGURE_3_BERNOULLI
    }

    def improvement(u: float, drafts: int | float) -> float:
        return float(theory.batch_improvement_bernoulli(u, target, drafts))

    dataset = compute("figure-3-bernoulli", pairs, improvement, effort, seed, threads, progress)
    dataset["curve"].attrs["long_name"] = "success probability of the draft; the target's is 0.5"
    return dataset.assign(
        mislabelled=("drafts", [improvement(RIGHTLY, int(m)) for m in dataset["drafts"].values]),
        mislabelled_limit=((), improvement(RIGHTLY, math.inf)),
    )


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw the six curves and the mislabelled one."""

    def mislabelled(axes: Axes) -> tuple[list[float], list[str], list[str]]:
        values = dataset["mislabelled"]
        axes.plot(dataset["drafts"], values, color=style.PAPER, linestyle=(0, (4, 2)), linewidth=1.2)
        return [float(values[-1])], ["paper's “Ber(0.3)” → 0.1"], [style.PAPER]

    return draw_improvement(
        dataset,
        spell=spell,
        gap=0.033,
        top=0.5,
        heading="Target Ber(0.5); the draft and its limit at the right",
        more=mislabelled,
    )


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Hold the limits against the paper's, with its wrong label, and the simulation against the curves."""
    rows = []
    for u, paper in paper_values.FIGURE_3_BERNOULLI.items():
        ours = float(dataset["limit"].sel(curve=u))
        if u == MISLABELLED:
            rows.append(erratum(f"limit for {spell(u)}", paper, ours, "wrong label (erratum)"))
            mislabelled = float(dataset["mislabelled_limit"])
            rows.append(
                against_paper(
                    "limit for Ber(0.4), Ber(0.6)",
                    paper,
                    mislabelled,
                    agrees="that curve is theirs",
                )
            )
        else:
            rows.append(against_paper(f"limit for {spell(u)}", paper, ours))
    return rows + simulation_rows(dataset, spell)


def spell(draft: float) -> str:
    """Return the words for a draft."""
    return f"Ber({draft:g})"
