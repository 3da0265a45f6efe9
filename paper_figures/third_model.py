"""Where a model between drafter and target makes decoding faster, by how near it is and what it costs."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from specsim import ModelPair, model_chain, theory
from specsim.paper_figures import style
from specsim.paper_figures.comparison import Row, row
from specsim.paper_figures.registry import PaperFigure, Task

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Share of the drafter's tokens that the target accepts.
ACCEPTANCES = (0.5, 0.8)
#: A draft step, in target calls.
DRAFT = Fraction(1, 20)
#: How far the model between is from the drafter's row to the target's.
SHARES = (0.25, 0.5, 0.7, 0.85, 0.95)
COSTS = np.linspace(0.02, 0.8, 79)
#: Lengths from which the best are taken: of blocks for the target, and of drafts.
BLOCKS, DRAFTS = (2, 4, 7), (1, 3)

_CAPTION = (
    "How much faster decoding gets by a model between drafter and target, each system at its best lengths "
    "(2, 4 or 7 tokens in a block and 1 or 3 drafted; 1 to 12 drafted with two models), against its "
    "acceptance by the target and the cost of its call. Tokens are independent; the target accepts 50 % "
    "(left) or 80 % (right) of the drafter's, whose step costs 1/20 of a target call; the row of the "
    "model between is a mixture of the other two. Blocks are whole buffers. Line: no gain. Dashed: where "
    "it would be if every model had N / L calls, as Lemma 3.1 of 2510.26527 counts, at the same lengths. "
    "Exact."
)


def data(task: Task) -> xarray.Dataset:
    """Compute the times of both systems at their best lengths."""
    import xarray

    shape = (len(ACCEPTANCES), len(SHARES), len(COSTS))
    three, printed = np.empty(shape), np.empty(shape)
    two, accepted = np.empty(len(ACCEPTANCES)), np.empty(shape[:2])
    for panel, acceptance in enumerate(ACCEPTANCES):
        two[panel] = min(
            float((1 + length * DRAFT) / theory.constant_acceptance_tokens(acceptance, length))
            for length in range(1, 13)
        )
        pair = ModelPair.from_probabilities(
            [[acceptance, 1 - acceptance]], [[1.0, 0.0]], initial=[1.0], next_context=[[0, 0]], horizon=1
        )
        for column, share in enumerate(SHARES):
            task.tell(f"acceptance {acceptance}, share {share}")
            accepted[panel, column] = 1 - (1 - share) * (1 - acceptance)
            rates = [
                theory.stationary_polybasic_rates(model_chain(pair, share), lengths, exact_blocks=False)
                for lengths in product(BLOCKS, DRAFTS)
            ]
            times, wrong = (
                np.array([
                    one.time(DRAFT, [0], printed=choice)
                    + COSTS * (one.printed_calls[1] if choice else one.calls[1])
                    for one in rates
                ])
                for choice in (False, True)
            )  # fmt: skip
            best = times.argmin(axis=0)
            three[panel, column], printed[panel, column] = (
                np.take_along_axis(values, best[None], axis=0)[0] for values in (times, wrong)
            )
    cells = ("acceptance", "share", "cost")
    return xarray.Dataset(
        {
            "two": ("acceptance", two, {"long_name": "target calls per token, two models"}),
            "three": (cells, three, {"long_name": "target calls per token, three models"}),
            "printed": (cells, printed, {"long_name": "the same with N / L calls of every model"}),
            "accepted": (cells[:2], accepted, {"long_name": "acceptance of the model between"}),
        },
        coords={"acceptance": list(ACCEPTANCES), "share": list(SHARES), "cost": COSTS},
        attrs=task.attributes(draft=str(DRAFT)),
    )


def break_even(dataset: xarray.Dataset, name: str) -> np.ndarray:
    """Return the largest cost of a call of the model between at which it helps, by acceptance and share."""
    helps = dataset[name].values < dataset["two"].values[:, None, None]
    return np.asarray(np.where(helps, dataset["cost"].values, 0.0).max(axis=-1))


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw a map for each acceptance of the drafter."""
    figure = style.new_figure(7.2, 3.6)
    grid = figure.add_gridspec(1, 3, width_ratios=(1, 1, 0.06))
    scale = figure.add_subplot(grid[2])
    panels = [figure.add_subplot(grid[column]) for column in (0, 1)]
    for axes, acceptance in zip(panels, dataset["acceptance"].values.tolist(), strict=True):
        filled = _panel(axes, dataset.sel(acceptance=acceptance), acceptance)
    panels[0].set_ylabel("Cost of its call, in target calls")
    bar = figure.colorbar(filled, cax=scale, ticks=[0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8])
    bar.set_label("Time of two models / time of three")
    return figure


def _panel(axes: Axes, chosen: xarray.Dataset, acceptance: float) -> Any:
    across, costs = chosen["accepted"].values, chosen["cost"].values
    gains, wrong = (float(chosen["two"]) / chosen[name].values.T for name in ("three", "printed"))
    filled = axes.contourf(
        across, costs, gains, levels=np.linspace(0.6, 1.8, 25), cmap="RdBu_r", vmin=0.4, vmax=1.6,
        extend="both",
    )  # fmt: skip
    axes.contour(across, costs, gains, levels=[1.0], colors=style.EXACT, linewidths=1.4)
    axes.contour(across, costs, wrong, levels=[1.0], colors=style.EXACT, linewidths=1.0, linestyles="dashed")
    axes.set_xlabel("Acceptance of the model between")
    axes.set_title(f"Drafter accepted with {acceptance:.0%}", fontsize=9)
    return filled


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Demand that the boundary by N / L calls differs from the true one."""
    rows = []
    true, printed = break_even(dataset, "three"), break_even(dataset, "printed")
    for panel, acceptance in enumerate(dataset["acceptance"].values.tolist()):
        for column in (0, 1):
            share = float(dataset["share"][column])
            rows.append(
                row(
                    f"largest cost at which a third model helps, drafter {acceptance:.0%}, "
                    f"between {float(dataset['accepted'][panel, column]):.2f}",
                    float(printed[panel, column]),
                    float(true[panel, column]),
                    f"N / L calls, share {share:g}",
                    "another" if abs(printed[panel, column] - true[panel, column]) > 0.005 else "the SAME",
                    passed=bool(abs(printed[panel, column] - true[panel, column]) > 0.005),
                )
            )
    return rows


FIGURES = {"third-model": PaperFigure(caption=_CAPTION, data=data, plot=plot, comparison=comparison)}
