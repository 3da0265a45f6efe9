"""What the claims about systems share: requests of their simulations, laws of text and time, mutants."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from specsim.validation.assertions import Assertion, MeanTest, SimulationRequest
from specsim.validation.claims_model import Comparison, equal
from specsim.validation.running.effort import Effort
from specsim.validation.witnesses import Witnesses


@dataclass(frozen=True, kw_only=True, eq=False)
class SystemRequest(SimulationRequest):
    """A simulation of a system with its own loop.

    loop: name of the witness, such as ``"simulate_pearl"``.
    arguments, options: its other arguments, except horizon, runs and seed.
    system: the system in words.
    """

    loop: str
    arguments: tuple[Any, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    system: str

    @cached_property
    def identity(self) -> str:
        """See `SimulationRequest`."""
        given = _spelled((self.arguments, sorted(self.options.items())))
        return hashlib.sha256(f"{self.loop} {given} {super().identity}".encode()).hexdigest()

    @property
    def label(self) -> str:
        """See `SimulationRequest`."""
        return f"{self.system}, on {self.pair.name}"

    def simulate(self, witnesses: Witnesses, **options: Any) -> Any:
        """Simulate; there are no outcomes, and nothing is kept."""
        kept = {name: options[name] for name in ("runs", "seed", "threads", "progress") if name in options}
        loop = getattr(witnesses, self.loop)
        return loop(*self.arguments, horizon=self.horizon, **self.options, **kept)


def _spelled(value: Any) -> str:
    """Return a text that differs where results may differ."""
    if isinstance(value, tuple | list):
        return "(" + " ".join(map(_spelled, value)) + ")"
    return str(getattr(value, "identity", None) or getattr(value, "label", None) or value)


def text_law(law: Mapping[Any, Fraction], tokens: int, horizon: int) -> list[Fraction]:
    """Return the law of the text, in the order of `target_law`, from that of outcomes with ``.tokens``."""
    found = [Fraction(0)] * tokens**horizon
    for outcome, probability in law.items():
        found[int(np.ravel_multi_index(outcome.tokens, (tokens,) * horizon))] += probability
    return found


def simulating(loop: str) -> Callable[[Any], Any]:
    """Return how a mutant of a loop is applied: the loop is called through the mutant."""

    def application(change: Any) -> Any:
        return lambda right: right.replace(
            **{loop: lambda *arguments, **options: change(getattr(right, loop), *arguments, **options)}
        )

    return application


def distance(law: list[Fraction], other: list[Fraction]) -> Fraction:
    """Return the total variation distance of two laws."""
    return sum((abs(a - b) for a, b in zip(law, other, strict=True)), Fraction(0)) / 2


def compare_times(found: Any, times: Mapping[Fraction, Fraction], where: str) -> Iterator[Comparison]:
    """Compare theory's law of the time, a `TimeLaw`, with that of enumerated outcomes."""
    by_time = {index * found.unit: value for index, value in enumerate(found.law) if value}
    yield equal(f"times, {where}", sorted(by_time), sorted(times))
    yield equal(
        f"law of the time, {where}",
        [by_time[time] for time in sorted(by_time)],
        [times[time] for time in sorted(times)],
    )


def assert_mean_time(request: SystemRequest, law: Any, mean: float, effort: Effort) -> Assertion:
    """Assert the mean time of a run, half a target call apart at standard effort.

    law: theory's law of the time, a `TimeLaw`. mean: theory's expected time, in target calls.
    """
    unit = float(law.unit)
    return Assertion(
        label=f"mean time in ticks of {law.unit} target calls, {request.label}",
        request=request,
        test=MeanTest(
            mean=mean / unit,
            variance=float(law.variance()) / unit**2,
            low=0.0,
            high=float(len(law.law) - 1),
            unit="ticks",
        ),
        observe=lambda runs: int(runs.ticks.sum()),
        discrepancy=0.5 / unit * effort.discrepancy_factor,
    )
