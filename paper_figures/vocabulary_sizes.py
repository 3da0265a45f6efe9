"""Speed-up by the number of tokens that the draft may propose, for three ways of choosing them."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from specsim import DrafterCosts, ModelPair, Speculative, blended_draft, random_pair, theory
from specsim.paper_figures import style
from specsim.paper_figures.comparison import Row, row
from specsim.paper_figures.registry import PaperFigure, Task
from specsim.support.streams import normalised

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

TOKENS = 32
#: Parameters read in a step over those of the target, 8 billion: a layer, a head of 151,936 x 4,096.
_LAYER, _HEAD = Fraction(25, 1000), Fraction(78, 1000)
#: A head of an eighth of the dimensions chooses the tokens of each row; a fixed subset is not chosen.
CHOICES: dict[str, tuple[DrafterCosts, dict[str, Any]]] = {
    "likeliest of each row": (DrafterCosts(layer=_LAYER, head=_HEAD, selection=_HEAD / 8), {}),
    "each row, noisy choice": (
        DrafterCosts(layer=_LAYER, head=_HEAD, selection=_HEAD / 8),
        {"noise": 0.5, "seed": 1},
    ),
    "one subset for all rows": (DrafterCosts(layer=_LAYER, head=_HEAD), {"by": "global"}),
}
_ALGORITHM = Speculative(draft_length=4)

_CAPTION = (
    "Speed-up over plain decoding by the number of tokens that the draft may propose, on a pair of 32 tokens "
    "with skewed random rows, the draft three fifths target, four drafted tokens per round. A draft step "
    "costs a layer and the head over the tokens proposed; choosing them for each row costs an eighth of the "
    "whole head (2602.13836), a fixed subset nothing. Noisy: the choice is by logits with Gumbel noise of "
    "scale 1/2. Dashed: all tokens. Exact; nothing is simulated here (the claim "
    "specsim.vocabulary-best-size compares with simulation)."
)


def example() -> ModelPair:
    """Return a pair of skewed rows in which a few tokens are frequent everywhere (Zipf's law)."""
    base = random_pair(
        contexts=TOKENS, horizon=32, family="dirichlet", concentration=0.4, seed=1, stationary=True
    )
    target, other = (normalised(rows / np.arange(1, TOKENS + 1)) for rows in (base.target, base.draft))
    pair = ModelPair.from_probabilities(target, other, horizon=32, name="skewed rows, 32 tokens")
    return blended_draft(pair, 0.6)


def data(task: Task) -> xarray.Dataset:
    """Compute the speed-up for every choice and size."""
    import xarray

    pair = example()
    sizes = list(range(1, TOKENS + 1))
    speed_up = np.empty((len(CHOICES), len(sizes)))
    for number, (costs, options) in enumerate(CHOICES.values()):
        times = theory.vocabulary_times(pair, _ALGORITHM, costs, sizes=sizes, **options)
        speed_up[number] = [pair.horizon / times[size] for size in sizes]
    return xarray.Dataset(
        {"speed_up": (("choice", "size"), speed_up, {"long_name": "plain time over expected time"})},
        coords={"choice": list(CHOICES), "size": sizes},
        attrs=task.attributes(pair=pair.name, algorithm=_ALGORITHM.label),
    )


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw the speed-ups against the number of tokens, and mark each largest."""
    figure, axes = style.canvas(5.6, 3.6)
    sizes = dataset["size"].values
    for index, choice in enumerate(dataset["choice"].values.tolist()):
        values = dataset["speed_up"].sel(choice=choice).values
        axes.plot(sizes, values, color=style.SERIES[index], label=choice)
        axes.plot(sizes[values.argmax()], values.max(), "o", color=style.SERIES[index], markersize=4)
    every = float(dataset["speed_up"].isel(choice=0, size=-1))
    axes.axhline(every, color=style.MUTED, linestyle="--", linewidth=1, label="all tokens")
    axes.set_xlabel("Tokens that the draft may propose, of 32")
    axes.set_ylabel("Speed-up")
    axes.set_xlim(1, int(sizes[-1]))
    axes.legend(fontsize=7.5, frameon=False, loc="lower right")
    return figure


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Report the best sizes; demand that a subset of each row wins and a noisy choice loses."""
    speed_up = dataset["speed_up"]
    every = float(speed_up.isel(choice=0, size=-1))
    rows = []
    for choice in dataset["choice"].values.tolist():
        values = speed_up.sel(choice=choice).values
        best = int(dataset["size"].values[values.argmax()])
        rows.append(
            row(
                f"{choice}: gain of the best size, {best}, over all tokens",
                0.0,
                float(values.max() / every - 1),
                "0 or more",
                "reported" if values.max() >= every else "BELOW all tokens",
                passed=bool(values.max() >= every - 1e-12),
            )
        )
    exact, noisy = (float(speed_up.isel(choice=number).max()) for number in (0, 1))
    rows.append(
        row(
            "likeliest of each row less a noisy choice",
            0.0,
            exact - noisy,
            "at least 0",
            "as expected" if exact >= noisy else "NOT",
            passed=exact >= noisy,
        )
    )
    return rows


FIGURES = {"vocabulary-sizes": PaperFigure(caption=_CAPTION, data=data, plot=plot, comparison=comparison)}
