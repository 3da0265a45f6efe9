"""When a tree of drafts beats a longer chain of as many tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from specsim import parse_algorithm, theory
from specsim.paper_figures import style
from specsim.paper_figures.comparison import Row, row
from specsim.paper_figures.registry import PaperFigure, Task
from specsim.validation.instances import row_pair

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

TARGET = np.array([0.50, 0.30, 0.15, 0.05])
#: Four drafted tokens each.
SHAPES = {
    "chain of 4, block verification": "block:draft_length=4",
    "2 paths of 2, traversal": "traversal:drafts=2,draft_length=2",
    "2 distinct paths of 2, traversal": "traversal-distinct:drafts=2,draft_length=2",
    "4 children, recursive": "recursive:drafts=4,draft_length=1",
    "4 children, transport": "transport:drafts=4,draft_length=1",
}
_PARTS = np.linspace(0, 1, 17)

_CAPTION = (
    "Tokens per target call (accepted drafted tokens and one more) of rounds with four drafted tokens, as a "
    "chain or as trees, for one target row (.50, .30, .15, .05) at every position and draft rows between it "
    "and its reverse; horizontal: their total variation distance. Trees pay where drafts are poor, and then "
    "with distinct children. Exact; nothing is simulated."
)


def data(task: Task) -> xarray.Dataset:
    """Compute the expected accepted length of a round for every shape and distance."""
    import xarray

    tokens = np.empty((len(SHAPES), len(_PARTS)))
    distances = []
    for column, part in enumerate(_PARTS.tolist()):
        draft = (1 - part) * TARGET + part * TARGET[::-1]
        distances.append(float(abs(draft - TARGET).sum() / 2))
        pair = row_pair(tuple(TARGET), tuple(draft), horizon=5, name="mixture")
        for number, spelling in enumerate(SHAPES.values()):
            law = theory.first_accepted_length_law(pair, parse_algorithm(spelling))
            tokens[number, column] = 1 + law @ np.arange(len(law))
    return xarray.Dataset(
        {"tokens": (("shape", "distance"), tokens, {"long_name": "expected tokens per target call"})},
        coords={"shape": list(SHAPES), "distance": distances},
        attrs=task.attributes(target="0.50, 0.30, 0.15, 0.05"),
    )


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw the tokens per call against the distance."""
    figure, axes = style.canvas(5.6, 3.6)
    for index, shape in enumerate(dataset["shape"].values.tolist()):
        axes.plot(
            dataset["distance"],
            dataset["tokens"].sel(shape=shape),
            color=style.SERIES[index],
            linestyle=("-", "-", "--", "-", "--")[index],
            label=shape,
        )
    axes.set_xlabel("Total variation distance of the rows")
    axes.set_ylabel("Tokens per target call")
    axes.set_xlim(0, float(dataset["distance"].max()))
    axes.legend(fontsize=7.5, frameon=False)
    return figure


def crossing(dataset: xarray.Dataset, shape: str) -> float:
    """Return the distance from which on a shape beats the chain, linear between those computed."""
    gain = (dataset["tokens"].sel(shape=shape) - dataset["tokens"].isel(shape=0)).values
    distance = dataset["distance"].values
    after = int(np.argmax(gain > 0))
    if gain[after] <= 0 or after == 0:
        return float("nan")
    before = after - 1
    part = gain[before] / (gain[before] - gain[after])
    return float(distance[before] + part * (distance[after] - distance[before]))


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Report where each tree overtakes the chain; demand the ends."""
    equal, poor = dataset["tokens"].isel(distance=0).values, dataset["tokens"].isel(distance=-1).values
    rows = [
        row(
            "equal rows: the chain",
            5.0,
            float(equal[0]),
            "all four drafts accepted",
            "equal" if abs(equal[0] - 5) < 1e-9 else "NOT equal",
            passed=bool(abs(equal[0] - 5) < 1e-9),
        ),
        row(
            "reversed rows: best tree less the chain",
            0.0,
            float(poor[1:].max() - poor[0]),
            "above 0",
            "the tree wins" if poor[1:].max() > poor[0] else "the tree does NOT win",
            passed=bool(poor[1:].max() > poor[0]),
        ),
    ]
    for shape in dataset["shape"].values[1:].tolist():
        place = crossing(dataset, shape)
        found = np.isfinite(place)
        rows.append(
            row(
                f"{shape}: beats the chain from TV",
                0.0,
                place if found else float(dataset["distance"].max()),
                "linear between points",
                "reported" if found else "never here",
                required=False,
            )
        )
    return rows


FIGURES = {"tree-or-chain": PaperFigure(caption=_CAPTION, data=data, plot=plot, comparison=comparison)}
