"""Time per token by fixed draft lengths, adaptive rules of engines, the best policy, and an oracle."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from specsim import Clock, random_pair, theory
from specsim.paper_figures import style
from specsim.paper_figures.comparison import Row, row
from specsim.paper_figures.registry import PaperFigure, Task

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

LONGEST = 7
#: Costs of a draft step in target calls.
STEPS = tuple(Fraction(number, 40) for number in (1, 2, 4, 8, 12, 20))
#: The one of the left panel.
SHOWN = 0.1
#: Rounds of each run of an adaptive rule that do not count, and that do.
SKIP, ROUNDS = 100, 200

_CAPTION = (
    "Time per token on a stationary random chain of 4 tokens, in target calls. Left: by fixed draft length, "
    "a draft step of 0.1. The best policy of all that know the path drafted so far (rows, entropies and "
    "confidences among them) stops by a threshold; the oracle drafts exactly what will be accepted. Rules "
    "of engines choose the next length by what was accepted; they are simulated, each run of 200 rounds "
    "after 100 that do not count. The vLLM branch assumes a draft step of 0.1144, whatever it is. Right: the "
    "same by the cost of a draft step, with the best fixed length. At most 7 drafted tokens everywhere. "
    "Lines are exact."
)


def data(task: Task) -> xarray.Dataset:
    """Compute fixed lengths, policy and oracle exactly; simulate the rules of engines."""
    import xarray

    from specsim.engines.systems.adaptive_lengths import (
        Goodput,
        Heuristic,
        LengthRule,
        MovingAverage,
        simulate_lengths,
    )

    rules: dict[str, LengthRule] = {
        "SGLang, moving average": MovingAverage(),
        "transformers, heuristic": Heuristic(longest=LONGEST),
        "vLLM branch, goodput": Goodput(longest=LONGEST),
    }
    pair = random_pair(contexts=4, horizon=9, seed=1, stationary=True)
    runs = max(20, task.effort.cell_runs // 100)
    fixed = np.empty((len(STEPS), LONGEST + 1))
    best, oracle = np.empty(len(STEPS)), np.empty(len(STEPS))
    engines, errors = np.empty((2, len(rules), len(STEPS)))
    for column, step in enumerate(STEPS):
        task.tell(f"a draft step of {float(step)}")
        clock = Clock(draft=step)
        found = theory.draft_policies(pair, clock, longest=LONGEST)
        fixed[column], best[column], oracle[column] = found.fixed, found.best, found.oracle
        for line, rule in enumerate(rules.values()):
            seen = simulate_lengths(pair, rule, clock, runs=runs, rounds=ROUNDS, skip=SKIP, seed=task.seed)
            mean = seen.times.sum() / seen.tokens.sum()
            engines[line, column] = mean
            # Of a ratio of means over independent runs.
            errors[line, column] = (
                (seen.times - mean * seen.tokens).std() / seen.tokens.mean() / np.sqrt(runs)
            )
    return xarray.Dataset(
        {
            "fixed": (("step", "drafted"), fixed, {"long_name": "fixed draft length"}),
            "best": ("step", best, {"long_name": "best policy of a drafter"}),
            "oracle": ("step", oracle, {"long_name": "drafts exactly what will be accepted"}),
            "engines": (("rule", "step"), engines, {"long_name": "simulated rule of an engine"}),
            "errors": (("rule", "step"), errors, {"long_name": "its standard error"}),
        },
        coords={"step": [float(step) for step in STEPS], "drafted": range(LONGEST + 1), "rule": list(rules)},
        attrs=task.attributes(pair=pair.name, runs=runs),
    )


@style.styled
def plot(dataset: xarray.Dataset) -> Figure:
    """Draw times by draft length on the left, by the cost of a draft step on the right."""
    figure = style.new_figure(7.6, 3.8)
    left, right = figure.subplots(1, 2)
    shown = dataset.sel(step=SHOWN)
    rules = dataset["rule"].values.tolist()
    colours = style.SERIES[3:6]
    left.plot(shown["drafted"], shown["fixed"], "o-", color=style.EXACT, markersize=3)
    steps = dataset["step"].values
    right.plot(
        steps, dataset["fixed"].min("drafted"), color=style.EXACT, label="fixed length (right: the best)"
    )
    for name, label, colour in (
        ("best", "best policy", style.SIMULATED),
        ("oracle", "oracle", style.SECOND),
    ):
        left.axhline(float(shown[name]), color=colour, linewidth=1)
        right.plot(steps, dataset[name], color=colour, label=label)
    for rule, colour, marker in zip(rules, colours, "sD^", strict=True):
        left.axhline(float(shown["engines"].sel(rule=rule)), color=colour, linewidth=1, linestyle="--")
        right.plot(steps, dataset["engines"].sel(rule=rule), marker, color=colour, markersize=4, label=rule)
    left.set_xlabel("Fixed draft length")
    for axes in (left, right):
        axes.set_ylabel("Time per token, in target calls")
    right.set_xlabel("Cost of a draft step, in target calls")
    right.axvline(SHOWN, color=style.MUTED, linestyle=":", linewidth=1)
    figure.legend(
        *right.get_legend_handles_labels(), fontsize=7.5, frameon=False, loc="outside lower center", ncols=3
    )
    return figure


def comparison(dataset: xarray.Dataset) -> list[Row]:
    """Demand the order oracle, best policy, fixed lengths, and that no rule of an engine beats the policy."""
    rows = []
    fixed = dataset["fixed"].min("drafted")
    for step in dataset["step"].values.tolist():
        here, length = dataset.sel(step=step), float(fixed.sel(step=step))
        best, oracle = float(here["best"]), float(here["oracle"])
        ordered = oracle <= best + 1e-12 and best <= length + 1e-12
        share = (length - best) / (length - oracle)
        rows.append(
            row(
                f"best policy, a draft step of {step:g}",
                length,
                best,
                "best fixed length",
                f"closes {share:.0%} of the gap to the oracle" if ordered else "NOT between",
                passed=ordered,
            )
        )
        for rule in dataset["rule"].values.tolist():
            seen, error = (float(here[name].sel(rule=rule)) for name in ("engines", "errors"))
            slower = seen > best
            words = f"{'slower' if seen > length else 'faster'} than the best fixed length, s.e. {error:.4f}"
            rows.append(
                row(
                    f"{rule}, a draft step of {step:g}",
                    best,
                    seen,
                    "best policy",
                    words if slower else "FASTER than the best policy",
                    passed=slower,
                )
            )
    return rows


FIGURES = {"draft-policies": PaperFigure(caption=_CAPTION, data=data, plot=plot, comparison=comparison)}
