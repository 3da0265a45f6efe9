"""What can be compared between a simulation and theory: each quantity's law, its tally and its test."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm
from specsim.errors import InputError
from specsim.pairs import ModelPair
from specsim.validation.assertions import (
    EmpiricalMeanTest,
    LawTest,
    MeanTest,
    ProbabilityTest,
    StatisticalTest,
    Unusable,
)
from specsim.validation.witnesses import Witnesses

Kind = Literal["law", "probabilities", "mean", "counts"]
Expected = Callable[[Witnesses, ModelPair, Algorithm], Any]

#: How far theory's float64 numbers may leave [0, 1], or a law's sum leave 1, by rounding.
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A quantity that theory computes and a simulation tallies.

    name: the theory function's name.
    words: for labels.
    kind: ``"law"``: rows of laws. ``"probabilities"``: one per step. ``"mean"``: of a count per run whose
        variance theory knows. ``"counts"``: expected counts per run of unknown variance.
    expected: takes witnesses, pair and algorithm; for a mean, returns the pair (mean, variance).
    observe: takes the tallies, returns the observation that the kind's test wants.
    variable: the tally that it reads.
    entry: names a flat index of the expected values, given the pair.
    """

    name: str
    words: str
    kind: Kind
    expected: Expected
    observe: Callable[[Any], Any]
    variable: str
    entry: Callable[[int, ModelPair], str] = lambda index, pair: ""


def _values(dataset: Any, variable: str) -> NDArray[np.int64]:
    if variable not in dataset:
        raise InputError(f"the simulation has no {variable}; use a smaller pair, or ask for outcomes")
    return np.asarray(dataset[variable].values)


def _histogram(variable: str) -> Callable[[Any], NDArray[np.int64]]:
    return lambda dataset: _values(dataset, variable)[None, :]


def _total(variable: str) -> Callable[[Any], int]:
    def total(dataset: Any) -> int:
        counts = _values(dataset, variable)
        return sum(int(count) * value for value, count in enumerate(counts))

    return total


def _law(name: str, words: str, variable: str, counted: str) -> Quantity:
    """Return the law of a number of runs, whose histogram is a tally."""
    return Quantity(
        name=name,
        words=words,
        kind="law",
        expected=_call(name),
        observe=_histogram(variable),
        variable=variable,
        entry=lambda index, pair: f"{index} {counted}",
    )


def _mean(name: str, words: str, law: str, variable: str) -> Quantity:
    """Return the mean of a law whose histogram is a tally."""
    return Quantity(
        name=name,
        words=words,
        kind="mean",
        expected=_mean_of_law(law, name),
        observe=_total(variable),
        variable=variable,
    )


def _call(name: str) -> Expected:
    return lambda witnesses, pair, algorithm: getattr(witnesses.theory, name)(pair, algorithm)


def _mean_of_law(law: str, mean: str) -> Expected:
    def both(witnesses: Witnesses, pair: ModelPair, algorithm: Algorithm) -> tuple[float, float]:
        center = float(getattr(witnesses.theory, mean)(pair, algorithm))
        probabilities = np.asarray(getattr(witnesses.theory, law)(pair, algorithm), dtype=np.float64)
        values = np.arange(len(probabilities))
        average = float(values @ probabilities)
        return center, float(((values - average) ** 2) @ probabilities)

    return both


QUANTITIES: dict[str, Quantity] = {
    quantity.name: quantity
    for quantity in (
        _mean("expected_rejections", "mean rejections", "rejection_law", "rejection_count"),
        _mean("expected_target_calls", "mean target calls", "target_call_law", "target_call_count"),
        _law("rejection_law", "law of rejections", "rejection_count", "rejections"),
        _law("target_call_law", "law of target calls", "target_call_count", "calls"),
        _law(
            "first_accepted_length_law",
            "law of the first accepted length",
            "first_accepted_length_count",
            "accepted",
        ),
        Quantity(
            name="accepted_length_counts",
            words="rounds by accepted length",
            kind="counts",
            expected=_call("accepted_length_counts"),
            observe=lambda dataset: (
                _values(dataset, "accepted_length_count"),
                _values(dataset, "accepted_length_square_sum"),
            ),
            variable="accepted_length_count",
            entry=lambda index, pair: f"{index} accepted",
        ),
        Quantity(
            name="rejections_by_step",
            words="rejections by step",
            kind="probabilities",
            expected=_call("rejections_by_step"),
            observe=lambda dataset: _values(dataset, "rejections_by_step"),
            variable="rejections_by_step",
            entry=lambda index, pair: f"step {index + 1}",
        ),
        Quantity(
            name="output_marginals",
            words="emitted tokens by step",
            kind="law",
            expected=_call("output_marginals"),
            observe=lambda dataset: _values(dataset, "token_count"),
            variable="token_count",
            entry=lambda index, pair: f"step {index // pair.tokens + 1}, token {index % pair.tokens}",
        ),
        Quantity(
            name="transition_marginals",
            words="(context, token) by step",
            kind="law",
            expected=lambda witnesses, pair, algorithm: _flat_rows(
                witnesses.theory.transition_marginals(pair, algorithm)
            ),
            observe=lambda dataset: _flat_rows(_values(dataset, "transition_count")),
            variable="transition_count",
            entry=lambda index, pair: (
                f"step {index // (pair.contexts * pair.tokens) + 1}, "
                f"context {index // pair.tokens % pair.contexts}, token {index % pair.tokens}"
            ),
        ),
        Quantity(
            name="output_law",
            words="law of the sequence",
            kind="law",
            expected=_call("output_law"),
            observe=lambda dataset: _values(dataset, "outcome_count").sum(axis=1)[None, :],
            variable="outcome_count",
            entry=lambda index, pair: f"sequence {_sequence(index, pair)}",
        ),
        Quantity(
            name="joint_law",
            words="joint law of sequence and rejected positions",
            kind="law",
            expected=lambda witnesses, pair, algorithm: np.asarray(
                witnesses.enumerate_outcomes(pair, algorithm).joint_law(), dtype=np.float64
            ).ravel(),
            observe=lambda dataset: _values(dataset, "outcome_count").ravel()[None, :],
            variable="outcome_count",
            entry=lambda index, pair: (
                f"sequence {_sequence(index >> pair.horizon, pair)}, "
                f"rejected {_positions(index & (2**pair.horizon - 1)) or 'nowhere'}"
            ),
        ),
    )
}


def target_law(witnesses: Witnesses, pair: ModelPair, algorithm: Algorithm) -> Any:
    """Return what the quantity `output_law` must be for a lossless algorithm: the target's law."""
    return witnesses.theory.target_law(pair)


def target_marginals(witnesses: Witnesses, pair: ModelPair, algorithm: Algorithm) -> Any:
    """Return what `output_marginals` must be for a lossless algorithm: the target's marginals."""
    return witnesses.theory.target_marginals(pair)


def get_quantity(name: str) -> Quantity:
    """Return the quantity of this name.

    InputError: there is none.
    """
    if name not in QUANTITIES:
        raise InputError(f"statistic is {name!r}; give one of {', '.join(QUANTITIES)}")
    return QUANTITIES[name]


def make_test(
    quantity: Quantity, expected: Any, horizon: int, excluded: float | None = None
) -> StatisticalTest:
    """Return the test of `quantity` against `expected`, or an `Unusable` one that says why there is none."""
    if quantity.kind == "mean":
        mean, variance = (float(value) for value in expected)
        if not (np.isfinite(mean) and -ROUNDING <= mean <= horizon + ROUNDING and variance >= -ROUNDING):
            return Unusable(
                f"theory's mean {mean} and variance {variance} are those of no count in 0..{horizon}"
            )
        if excluded is not None and abs(excluded - mean) < ROUNDING:
            return Unusable(f"the published value {excluded} is theory's own; nothing is left to exclude")
        return MeanTest(
            mean=mean, variance=max(variance, 0.0), low=0.0, high=float(horizon), excluded=excluded
        )
    values = np.asarray(expected, dtype=np.float64)
    if not np.isfinite(values).all() or values.min() < -ROUNDING:
        return Unusable(f"theory's {quantity.words}: an entry is negative or not finite")
    values = np.maximum(values, 0.0)
    if quantity.kind == "counts":
        high = np.array([horizon // max(accepted, 1) for accepted in range(len(values))], dtype=np.float64)
        return EmpiricalMeanTest(mean=values, high=high)
    if quantity.kind == "probabilities":
        if values.max() > 1 + ROUNDING:
            return Unusable(f"theory's {quantity.words}: an entry is above 1")
        return ProbabilityTest(np.minimum(values, 1.0))
    laws = np.atleast_2d(values)
    sums = laws.sum(axis=1)
    if np.abs(sums - 1).max() > ROUNDING:
        row = int(np.abs(sums - 1).argmax())
        return Unusable(f"theory's {quantity.words}: row {row} sums to {sums[row]:.12g}, not to 1")
    return LawTest(laws)


def _sequence(path: int, pair: ModelPair) -> str:
    length = pair.horizon
    tokens = [path // pair.tokens ** (length - step) % pair.tokens for step in range(1, length + 1)]
    return " ".join(str(token) for token in tokens)


def _positions(mask: int) -> str:
    steps = [str(bit + 1) for bit in range(mask.bit_length()) if mask >> bit & 1]
    return f"at {', '.join(steps)}" if steps else ""


def _flat_rows(values: Any) -> NDArray[Any]:
    array = np.asarray(values)
    return array.reshape(array.shape[0], -1)
