"""A simulation beside theory: observed means, their standard errors, and the distance in sigmas."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.algorithms import Algorithm
from specsim.errors import TooLargeError, UnsupportedError
from specsim.pairs import ModelPair
from specsim.support.arrays import Floats, Integers

if TYPE_CHECKING:
    import xarray


_FEW = 20


@dataclass(frozen=True, kw_only=True)
class Line:
    """One observed number beside its expectation.

    quantity: what it is.
    observed: mean over the runs.
    standard_error: of the observed mean: from theory's law where it is known, else from the runs; None where
        unknown.
    expected: theory's value, or None.
    sigma: (observed - expected) / standard error, or None.
    """

    quantity: str
    observed: float
    standard_error: float | None
    expected: float | None
    sigma: float | None


@dataclass(frozen=True, kw_only=True)
class Extreme:
    """The largest of many deviations.

    quantity: what was compared.
    cells: how many numbers were compared.
    sigma: the largest absolute deviation, in standard errors.
    typical: expected largest deviation of that number of independent normal variables, for orientation.
    """

    quantity: str
    cells: int
    sigma: float
    typical: float


def compare(
    dataset: xarray.Dataset, pair: ModelPair, algorithm: Algorithm, horizon: int
) -> tuple[list[Line], list[Extreme], str | None]:
    """Return the lines, the extremes, and why theory is silent (None where it is not).

    Parameters
    ----------
    dataset
        A result of `specsim.simulate`.
    pair, algorithm, horizon
        What was simulated.
    """
    runs = int(dataset.attrs["runs"])
    known, silence = theory_of(pair, algorithm, horizon)
    rejections = np.asarray(dataset["rejection_count"].values)
    calls = np.asarray(dataset["target_call_count"].values)
    lengths = np.asarray(dataset["accepted_length_count"].values)
    lines = [
        mean_line(
            "rejections per run", rejections, known.get("rejection_law"), known.get("expected_rejections")
        ),
        mean_line(
            "target calls per run", calls, known.get("target_call_law"), known.get("expected_target_calls")
        ),
    ]
    rounds = int(lengths.sum())
    expected_counts = known.get("accepted_length_counts")
    counts = np.arange(len(lengths))
    lines += [
        Line(
            quantity="accepted tokens per round",
            observed=float(counts @ lengths / rounds),
            standard_error=None,
            expected=_ratio(expected_counts @ counts, expected_counts.sum())
            if expected_counts is not None
            else None,
            sigma=None,
        ),
        Line(
            quantity="tokens per target call (block efficiency)",
            observed=horizon * runs / rounds,
            standard_error=None,
            expected=_ratio(horizon, known.get("expected_target_calls")),
            sigma=None,
        ),
    ]
    extremes = []
    for quantity, name, law in (
        ("rejection of each position", "rejections_by_step", known.get("rejections_by_step")),
        ("law of the rejections", "rejection_count", known.get("rejection_law")),
        ("law of the target calls", "target_call_count", known.get("target_call_law")),
        ("law of each token", "token_count", known.get("output_marginals")),
    ):
        if law is not None:
            extremes.append(_extreme(quantity, np.asarray(dataset[name].values), law, runs))
    return lines, extremes, silence


def as_document(lines: list[Line], extremes: list[Extreme], silence: str | None) -> dict[str, Any]:
    """Return the comparison as JSON's types."""
    return {
        "means": [asdict(line) for line in lines],
        "largest_deviations": [asdict(extreme) for extreme in extremes],
        "theory_silent": silence,
    }


def theory_of(
    pair: ModelPair, algorithm: Algorithm, horizon: int, names: Collection[str] | None = None
) -> tuple[dict[str, Any], str | None]:
    """Return what theory knows by the name of its function, and why it is silent on the rest, or None.

    pair, algorithm, horizon: what was simulated.
    names: the functions to ask. Defaults to None: all that are compared.
    """
    from specsim import theory

    functions: dict[str, Callable[..., Any]] = {
        "expected_rejections": theory.expected_rejections,
        "expected_target_calls": theory.expected_target_calls,
        "rejections_by_step": theory.rejections_by_step,
        "rejection_law": theory.rejection_law,
        "target_call_law": theory.target_call_law,
        "accepted_length_counts": theory.accepted_length_counts,
        "output_marginals": theory.output_marginals,
    }
    known: dict[str, Any] = {}
    silence = None
    for name, function in functions.items():
        if names is not None and name not in names:
            continue
        try:
            known[name] = function(pair, algorithm, horizon=horizon)
        except (TooLargeError, UnsupportedError) as error:
            silence = silence or str(error)
    return known, silence


def mean_line(quantity: str, counts: Integers, law: Floats | None, expected: float | None) -> Line:
    """Compare the mean of a histogram over 0, 1, ... with theory.

    quantity: what was counted.
    counts: the histogram.
    law, expected: theory's law and mean; None where it is silent.
    """
    runs = int(counts.sum())
    values = np.arange(len(counts), dtype=np.float64)
    observed = float(values @ counts / runs)
    if law is not None:
        centre = float(values @ law)
        variance = float((values - centre) ** 2 @ law)
    elif runs > 1:
        variance = float((values - observed) ** 2 @ counts / (runs - 1))
    else:
        return Line(quantity=quantity, observed=observed, standard_error=None, expected=expected, sigma=None)
    error = math.sqrt(variance / runs)
    sigma = None
    if expected is not None:
        sigma = _sigmas(observed - expected, error)
    return Line(
        quantity=quantity,
        observed=observed,
        standard_error=error,
        expected=None if expected is None else float(expected),
        sigma=sigma,
    )


def _extreme(quantity: str, counts: Integers, law: Floats, runs: int) -> Extreme:
    probabilities = np.clip(np.asarray(law, dtype=np.float64), 0.0, 1.0).reshape(-1)
    shares = counts.reshape(-1) / runs
    # A cell in which theory expects only a few runs is far from normal.
    busy = (probabilities * runs >= _FEW) & ((1 - probabilities) * runs >= _FEW)
    errors = np.sqrt(probabilities * (1 - probabilities) / runs)
    deviations = np.abs(shares - probabilities)[busy] / errors[busy]
    cells = int(busy.sum())
    impossible = (counts.reshape(-1) > 0) & (probabilities == 0)
    largest = math.inf if impossible.any() else float(deviations.max(initial=0.0))
    return Extreme(quantity=quantity, cells=cells, sigma=largest, typical=_typical_largest(cells))


def _typical_largest(cells: int) -> float:
    if cells == 0:
        return 0.0
    from statistics import NormalDist

    # The median of the largest absolute value: each stays below it with probability 2^(-1/cells).
    return NormalDist().inv_cdf(0.5 + 0.5 * 0.5 ** (1 / cells))


def _sigmas(difference: float, error: float) -> float:
    if error > 0:
        return difference / error
    return 0.0 if abs(difference) < 1e-12 else math.copysign(math.inf, difference)


def _ratio(numerator: float, denominator: float | None) -> float | None:
    return None if denominator is None else float(numerator / denominator)
