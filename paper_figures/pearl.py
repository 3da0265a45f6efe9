"""Speed-up of PEARL by draft length, exact and simulated, beside speculative decoding."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from specsim import Clock, Speculative, paper_pair, theory
from specsim.paper_figures import style
from specsim.paper_figures.comparison import Row, row, simulation_meets
from specsim.paper_figures.registry import PaperFigure, Task

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LENGTHS = tuple(range(1, 11))
#: A target call takes as long as 4 draft steps, and as 8.
CLOCKS = tuple(Clock(draft=Fraction(1, steps)) for steps in (4, 8))
HORIZON = 50

_CAPTION = (
    "Speed-up over plain decoding by draft length, for a drafter of which 4 steps (left) or 8 steps (right) "
    "take as long as a target call, on the paper's instance of 50 tokens. PEARL (2408.11850) drafts on one "
    "device while the other verifies; a round takes the longer of both. Lines: exact; dots: simulated. "
    "Speculative decoding has a bonus token, PEARL has none. Dotted: the number of steps that fit into a "
    "call, up to which drafting costs PEARL nothing."
)


def data(task: Task) -> xarray.Dataset:
    """Compute the exact times, and simulate PEARL at every draft length."""
    import xarray

    from specsim.engines.systems.pearl import simulate_pearl

    pair, runs = paper_pair(HORIZON), task.effort.cell_runs
    names = ("speculative", "unit", "ticks", "variance", "most", "total")
    found = {name: np.empty((len(CLOCKS), len(LENGTHS))) for name in names}
    for line, clock in enumerate(CLOCKS):
        for column, length in enumerate(LENGTHS):
            task.tell(f"a draft step of {clock.draft}, {length} drafted")
            law = theory.pearl_time_law(pair, length, clock)
            runs_of = simulate_pearl(pair, length, clock, runs=runs, seed=task.seed, threads=task.threads)
            unit = runs_of.unit
            values = (
                theory.speed_up(pair, Speculative(draft_length=length), clock),
                unit,
                law.mean() / float(unit),
                law.variance() / float(unit) ** 2,
                (len(law.law) - 1) * law.unit / unit,
                runs_of.ticks.sum(),
            )
            for name, value in zip(names, values, strict=True):
                found[name][line, column] = value
    meanings = (
        "speed-up of speculative decoding",
        "target calls of a tick",
        "expected ticks of a run of PEARL",
        "variance of the ticks of a run",
        "most ticks of a run",
        "ticks of all simulated runs",
    )
    return xarray.Dataset(
        {
            name: (("step", "drafted"), found[name], {"long_name": meaning})
            for name, meaning in zip(names, meanings, strict=True)
        },
        coords={"step": [float(clock.draft) for clock in CLOCKS], "drafted": list(LENGTHS)},
        attrs=task.attributes(pair=pair.name, runs=runs),
    )


def _speed_ups(chosen: xarray.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the speed-ups of PEARL by draft length, exact and simulated."""
    exact = HORIZON / (chosen["ticks"] * chosen["unit"]).values
    return exact, HORIZON * chosen.attrs["runs"] / (chosen["total"] * chosen["unit"]).values


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw one panel for each cost of a draft step."""
    figure = style.new_figure(7.2, 3.8)
    panels = figure.subplots(1, 2)
    for axes, step in zip(panels, dataset["step"].values.tolist(), strict=True):
        _panel(axes, dataset.sel(step=step), step)
    entries = panels[0].get_legend_handles_labels()
    figure.legend(*entries, fontsize=7.5, frameon=False, loc="outside lower center", ncols=4)
    return figure


def _panel(axes: Axes, chosen: xarray.Dataset, step: float) -> None:
    lengths = chosen["drafted"].values
    exact, simulated = _speed_ups(chosen)
    axes.plot(lengths, exact, color=style.EXACT, label="PEARL, exact")
    axes.plot(lengths, simulated, "o", color=style.SIMULATED, markersize=4, label="PEARL, simulated")
    axes.plot(lengths, chosen["speculative"].values, color=style.SECOND, label="speculative decoding, exact")
    axes.axhline(1, color=style.MUTED, linestyle="--", linewidth=1, label="plain decoding")
    axes.axvline(1 / step, color=style.MUTED, linestyle=":", linewidth=1)
    axes.set_xlabel("Draft length")
    axes.set_ylabel("Speed-up over plain decoding")
    axes.set_ylim(0.75, 1.8)
    axes.set_title(f"{1 / step:.0f} draft steps per target call", fontsize=9)


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Demand that simulated times meet exact ones; report the best length of each system."""
    rows, runs = [], int(dataset.attrs["runs"])
    for step in dataset["step"].values.tolist():
        chosen = dataset.sel(step=step)
        for drafted in chosen["drafted"].values.tolist():
            here = chosen.sel(drafted=drafted)
            rows.append(
                simulation_meets(
                    f"ticks of a run, a draft step of {step:g}, {drafted} drafted",
                    total=int(here["total"]),
                    runs=runs,
                    expected=float(here["ticks"]),
                    variance=max(float(here["variance"]), 0.0),
                    high=float(here["most"]),
                )
            )
        exact, _ = _speed_ups(chosen)
        best, plain = (
            int(chosen["drafted"].values[values.argmax()]) for values in (exact, chosen["speculative"].values)
        )
        rows.append(
            row(
                f"best draft length of PEARL, a draft step of {step:g}",
                round(1 / step),
                best,
                "steps that fit into a call",
                f"{exact.max():.3f} times as fast; speculative decoding with {plain}: "
                f"{float(chosen['speculative'].max()):.3f}",
                required=False,
            )
        )
    return rows


FIGURES = {"pearl": PaperFigure(caption=_CAPTION, data=data, plot=plot, comparison=comparison)}
