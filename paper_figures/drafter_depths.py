"""Speed-up by the depth of a drafter, and two drafters of one size whose numbers are printed."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from specsim import DrafterCosts, Speculative, blended_draft, random_pair, theory
from specsim.paper_figures import style
from specsim.paper_figures.comparison import Row, row
from specsim.paper_figures.registry import PaperFigure, Task

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

#: Tokens per round, milliseconds of a draft step, tokens per second; 2402.01528, from secondary sources.
PRINTED = {"wide, 12 layers": (3.70, 6.69, 32.59), "deep, 24 layers": (3.81, 13.13, 23.10)}
#: Draft length and milliseconds of a target call that the printed numbers imply.
LENGTH, CALL = 8, 60
#: The line through both printed draft steps, in target calls.
COSTS = DrafterCosts(fixed=Fraction(25, 6000), layer=Fraction(644, 1200 * CALL))
DEPTHS = tuple(range(1, 25))
LENGTHS = (2, 4, 8)

_CAPTION = (
    "Left: speed-up by the depth of the drafter for three draft lengths, on a random pair. A draft step "
    "costs 0.0042 + 0.0089 depth target calls, the line through the two printed drafters; the draft row of "
    "depth d is target to 1 - 2^(-d / 6), which is an assumption, so that likelihood always grows with "
    "depth. Dots: the fastest. Right: tokens per second by the time of a draft step, for the printed tokens "
    "per round, 8 drafted tokens and a target call of 60 ms, which the printed numbers imply; dots: as "
    "printed. Exact."
)


def data(task: Task) -> xarray.Dataset:
    """Compute the speed-ups of every depth and draft length."""
    import xarray

    base = random_pair(contexts=6, horizon=32, family="dirichlet", seed=1, stationary=True)
    speed_up = np.empty((len(LENGTHS), len(DEPTHS)))
    likelihood = np.empty(len(DEPTHS))
    for column, depth in enumerate(DEPTHS):
        pair = blended_draft(base, 1 - 2 ** (-depth / 6))
        likelihood[column] = theory.draft_log_likelihood(pair)
        for line, length in enumerate(LENGTHS):
            algorithm = Speculative(draft_length=length)
            speed_up[line, column] = theory.speed_up(pair, algorithm, COSTS.clock(depth=depth))
    return xarray.Dataset(
        {
            "speed_up": (("drafted", "depth"), speed_up, {"long_name": "plain time over expected time"}),
            "likelihood": ("depth", likelihood, {"long_name": "mean draft log-probability, nats"}),
            "tokens": ("drafter", [tokens for tokens, _, _ in PRINTED.values()]),
            "step": ("drafter", [step for _, step, _ in PRINTED.values()], {"units": "ms"}),
            "rate": ("drafter", [rate for _, _, rate in PRINTED.values()], {"units": "1/s"}),
        },
        coords={"drafted": list(LENGTHS), "depth": list(DEPTHS), "drafter": list(PRINTED)},
        attrs=task.attributes(pair=base.name),
    )


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw speed-ups by depth on the left, the printed drafters on the right."""
    figure = style.new_figure(7.2, 3.4)
    left, right = figure.subplots(1, 2)
    depths = dataset["depth"].values
    for index, drafted in enumerate(dataset["drafted"].values.tolist()):
        values = dataset["speed_up"].sel(drafted=drafted).values
        left.plot(depths, values, color=style.SERIES[index], label=f"{drafted} drafted")
        left.plot(depths[values.argmax()], values.max(), "o", color=style.SERIES[index], markersize=4)
    left.set_xlabel("Layers of the drafter")
    left.set_ylabel("Speed-up")
    left.legend(fontsize=7.5, frameon=False)
    steps = np.linspace(0, 16, 65)
    for index, drafter in enumerate(dataset["drafter"].values.tolist()):
        chosen = dataset.sel(drafter=drafter)
        rates = 1000 * float(chosen["tokens"]) / (LENGTH * steps + CALL)
        right.plot(steps, rates, color=style.SERIES[index], label=drafter)
        right.plot(float(chosen["step"]), float(chosen["rate"]), "o", color=style.SERIES[index], markersize=4)
    right.set_xlabel("Milliseconds of a draft step")
    right.set_ylabel("Tokens per second")
    right.set_xlim(0, 16)
    right.legend(fontsize=7.5, frameon=False)
    return figure


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Compare with the printed rates; demand that the likeliest drafter is not the fastest."""
    rows = []
    for drafter in dataset["drafter"].values.tolist():
        chosen = dataset.sel(drafter=drafter)
        ours = 1000 * float(chosen["tokens"]) / (LENGTH * float(chosen["step"]) + CALL)
        printed = float(chosen["rate"])
        rows.append(
            row(
                f"{drafter}: tokens per second",
                printed,
                ours,
                "8 drafted, 60 ms",
                "within 0.2 %" if abs(ours / printed - 1) < 2e-3 else "NOT within 0.2 %",
                passed=abs(ours / printed - 1) < 2e-3,
            )
        )
    wide, deep = PRINTED.values()
    rows.append(
        row(
            "step at which the wide drafter is as slow as the deep one, ms",
            wide[1],
            theory.break_even_draft(wide[0], deep[0], deep[1], draft_length=LENGTH, target=CALL),
            "printed step",
            "above the printed step",
            required=False,
        )
    )
    likeliest = int(dataset["depth"].values[dataset["likelihood"].values.argmax()])
    for drafted in dataset["drafted"].values.tolist():
        best = int(dataset["depth"].values[dataset["speed_up"].sel(drafted=drafted).values.argmax()])
        rows.append(
            row(
                f"fastest depth, {drafted} drafted",
                likeliest,
                best,
                "likeliest depth",
                "not the likeliest" if best < likeliest else "the LIKELIEST",
                passed=best < likeliest,
            )
        )
    return rows


FIGURES = {"drafter-depths": PaperFigure(caption=_CAPTION, data=data, plot=plot, comparison=comparison)}
