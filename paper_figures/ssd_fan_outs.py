"""Speculative speculative decoding: hits and speed-up by the number of guesses, exact and simulated."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from specsim import Clock, ModelPair, Speculative, blended_draft, random_pair, theory
from specsim.engines.systems.ssd import simulate_ssd
from specsim.paper_figures import style
from specsim.paper_figures.comparison import ALPHA, Row, row
from specsim.paper_figures.registry import PaperFigure, Task

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

LENGTH, TOKENS = 4, 16
FAN_OUTS = tuple(range(TOKENS))
#: A draft step of 15 guesses takes a tenth of a call, each further one a 400th more.
CLOCK = Clock(draft=Fraction(1, 10), token=Fraction(1, 40), free=15)
_SHOWN = (1, 2, 4, 8, 12)
_HORIZON = 100
#: No run takes longer: a call, a cache and a backup's draft for every token.
_LONGEST = 3.0 * _HORIZON

_CAPTION = (
    "Speculative speculative decoding of a random pair of 16 tokens, the draft three fifths target, four "
    "drafted tokens. Left: share of guessed outcomes in long runs, by the guesses of each accepted length; "
    "the best split has the same number of guesses in all. Right: speed-up of texts of 100 tokens over plain "
    "decoding. A draft step takes a tenth of a call, and each of its tokens beyond 15 adds a 40th of that, so"
    " that the cache of many guesses takes longer than a call. Lines: exact. Dots: simulated. Dashed: "
    "speculative decoding."
)


def example() -> ModelPair:
    """Return the pair of the figure."""
    base = random_pair(
        contexts=TOKENS, horizon=_HORIZON, family="dirichlet", concentration=0.3, seed=1, stationary=True
    )
    return blended_draft(base, 0.6)


def data(task: Task) -> xarray.Dataset:
    """Compute both curves, and simulate some fan-outs."""
    import xarray

    pair = example()
    hits, speed_up = np.zeros((2, 2, len(FAN_OUTS)))
    for number, fan_out in enumerate(FAN_OUTS):
        same = (fan_out,) * (LENGTH + 1)
        splits = (same, theory.best_fan_out(pair, LENGTH, sum(same)))
        for line, split in enumerate(splits):
            hits[line, number] = theory.ssd_rounds(pair, LENGTH, split).hit
            speed_up[line, number] = _HORIZON / theory.expected_ssd_time(pair, LENGTH, CLOCK, fan_out=split)
    runs = max(100, task.effort.point_runs // _HORIZON)
    found, times, squares = np.zeros((3, len(_SHOWN)))
    for number, fan_out in enumerate(_SHOWN):
        task.tell(f"{fan_out} guesses")
        simulated = simulate_ssd(
            pair, LENGTH, CLOCK, fan_out=fan_out, runs=runs, seed=task.seed, threads=task.threads
        )
        calls = simulated.ticks * float(simulated.unit)
        found[number], times[number], squares[number] = simulated.hit_share, calls.sum(), (calls**2).sum()
    plain = theory.speed_up(pair, Speculative(draft_length=LENGTH), CLOCK)
    return xarray.Dataset(
        {
            "hits": (("split", "fan_out"), hits, {"long_name": "share of guessed outcomes"}),
            "speed_up": (("split", "fan_out"), speed_up, {"long_name": "plain time over expected time"}),
            "simulated_hits": ("shown", found),
            "simulated_speed_up": ("shown", runs * _HORIZON / times),
            "time": ("shown", times, {"long_name": "sum of the simulated times", "units": "target calls"}),
            "time_squares": ("shown", squares, {"long_name": "sum of their squares"}),
            "speculative": ((), plain, {"long_name": "speed-up of speculative decoding"}),
        },
        coords={
            "split": ["the same everywhere", "best split"],
            "fan_out": list(FAN_OUTS),
            "shown": list(_SHOWN),
        },
        attrs=task.attributes(pair=pair.name, runs=runs),
    )


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw hits on the left, speed-ups on the right."""
    figure = style.new_figure(7.2, 3.4)
    axes = figure.subplots(1, 2)
    names = ("hits", "speed_up")
    for axis, name in zip(axes, names, strict=True):
        for index, split in enumerate(dataset["split"].values.tolist()):
            values = dataset[name].sel(split=split).values
            axis.plot(dataset["fan_out"].values, values, color=style.SERIES[index], label=split)
        axis.plot(
            dataset["shown"].values, dataset[f"simulated_{name}"].values, "o", color=style.SERIES[0],
            markersize=4, label="simulated",
        )  # fmt: skip
        axis.set_xlabel("Guesses for each accepted length")
        axis.set_xlim(0, FAN_OUTS[-1])
    axes[0].set_ylabel("Share of guessed outcomes")
    axes[0].set_ylim(0, 1.03)
    axes[1].set_ylabel("Speed-up")
    plain = float(dataset["speculative"])
    axes[1].axhline(plain, color=style.MUTED, linestyle="--", linewidth=1, label="speculative decoding")
    axes[0].legend(fontsize=7.5, frameon=False, loc="lower right")
    axes[1].legend(fontsize=7.5, frameon=False, loc="lower right", bbox_to_anchor=(1.0, 0.08))
    return figure


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Compare simulation with theory; demand that the best split never hits less than the same everywhere."""
    from specsim.validation.statistics import decide_mean_by_empirical_bernstein

    rows, runs = [], int(dataset.attrs["runs"])
    for fan_out in dataset["shown"].values.tolist():
        chosen = {name: dataset[name].sel(shown=[fan_out]).values for name in ("time", "time_squares")}
        expected = _HORIZON / dataset["speed_up"].isel(split=0).sel(fan_out=[fan_out]).values
        decision = decide_mean_by_empirical_bernstein(
            total=chosen["time"], square_total=chosen["time_squares"], runs=runs, mean=expected,
            high=np.array([_LONGEST]), alpha=ALPHA,
        )  # fmt: skip
        rows.append(
            row(
                f"time of {_HORIZON} tokens, {fan_out} guesses, simulated",
                float(expected[0]),
                float(chosen["time"][0]) / runs,
                "exact",
                f"met, {runs:,} runs" if decision.agrees else "NOT met",
                passed=bool(decision.agrees),
            )
        )
    same, best = (dataset["hits"].isel(split=line).values for line in (0, 1))
    gain = best - same
    rows.append(
        row(
            "what the best split hits more, at most",
            0.0,
            float(gain.max()),
            "at least 0",
            "never less" if (gain > -1e-9).all() else "LESS",
            passed=bool((gain > -1e-9).all()),
        )
    )
    speeds = dataset["speed_up"].isel(split=0)
    fastest = int(dataset["fan_out"].values[int(speeds.values.argmax())])
    rows.append(
        row(
            "fastest number of guesses",
            FAN_OUTS[-1],
            fastest,
            "the most",
            "fewer than the most" if fastest < FAN_OUTS[-1] else "the MOST",
            passed=fastest < FAN_OUTS[-1],
        )
    )
    return rows


FIGURES = {"ssd-fan-outs": PaperFigure(caption=_CAPTION, data=data, plot=plot, comparison=comparison)}
