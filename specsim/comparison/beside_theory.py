"""Simulations compared with theory: observed means, their standard errors, and the distance in sigmas."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
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

#: Histogram of a sweep, theory's law and mean, and the names of the variables that are added.
_COMPARED = (
    ("rejection_count", "rejection_law", "expected_rejections", "rejections_sigma"),
    ("target_call_count", "target_call_law", "expected_target_calls", "target_calls_sigma"),
)
_MEANINGS = {
    "expected_rejections": "Expected number of rejections per run, from theory; NaN where it is silent.",
    "rejections_sigma": "(mean_rejections - expected_rejections) in standard errors of theory's law.",
    "expected_target_calls": "Expected number of target calls per run, from theory; NaN where it is silent.",
    "target_calls_sigma": "(mean_target_calls - expected_target_calls) in standard errors of theory's law.",
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One observed number and its expectation.

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
    lines = [
        mean_line(
            "rejections per run", rejections, known.get("rejection_law"), known.get("expected_rejections")
        )
    ]
    # With tallies="rejections" nothing else was counted.
    if "target_call_count" in dataset:
        lines += _call_lines(dataset, known, horizon)
    extremes = []
    for quantity, name, law in (
        ("rejection of each position", "rejections_by_step", known.get("rejections_by_step")),
        ("law of the rejections", "rejection_count", known.get("rejection_law")),
        ("law of the target calls", "target_call_count", known.get("target_call_law")),
        ("law of each token", "token_count", known.get("output_marginals")),
    ):
        if law is not None and name in dataset:
            extremes.append(_extreme(quantity, np.asarray(dataset[name].values), law, runs))
    return lines, extremes, silence


def _call_lines(dataset: xarray.Dataset, known: dict[str, Any], horizon: int) -> list[Line]:
    calls = np.asarray(dataset["target_call_count"].values)
    lengths = np.asarray(dataset["accepted_length_count"].values)
    rounds, counts = int(lengths.sum()), np.arange(len(lengths))
    expected_counts = known.get("accepted_length_counts")
    return [
        mean_line(
            "target calls per run", calls, known.get("target_call_law"), known.get("expected_target_calls")
        ),
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
            observed=horizon * int(dataset.attrs["runs"]) / rounds,
            standard_error=None,
            expected=_ratio(horizon, known.get("expected_target_calls")),
            sigma=None,
        ),
    ]


def add_theory(
    dataset: xarray.Dataset, pairs: Mapping[str, ModelPair], algorithms: Mapping[str, Algorithm]
) -> tuple[xarray.Dataset, dict[str, str]]:
    """Add expectations and distances in standard errors to the result of a sweep.

    dataset: the result.
    pairs, algorithms: what was simulated, by the names that the result has; those that are not given stay
        without theory.
    Returns dataset: with the new variables, over ``(pair, algorithm)``.
    Returns silence: why theory does not know a combination, for those that it does not know.
    """
    compared = [row for row in _COMPARED if row[0] in dataset]
    shape = (dataset.sizes["pair"], dataset.sizes["algorithm"])
    found = {name: np.full(shape, math.nan) for row in compared for name in row[2:]}
    silence: dict[str, str] = {}
    asked = [name for row in compared for name in row[1:3]]
    for place in np.ndindex(shape):
        cell = dataset.isel(pair=place[0], algorithm=place[1])
        names, horizon = (str(cell["pair"].item()), str(cell["algorithm"].item())), int(cell["horizon"])
        if names[0] not in pairs or names[1] not in algorithms:
            continue
        known, reason = theory_of(pairs[names[0]], algorithms[names[1]], horizon, asked)
        if reason is not None:
            silence[f"{names[1]} on {names[0]}"] = reason
        for counts, law, mean, sigma in compared:
            line = mean_line(counts, cell[counts].values[: horizon + 1], known.get(law), known.get(mean))
            found[mean][place] = math.nan if line.expected is None else line.expected
            found[sigma][place] = math.nan if line.sigma is None else line.sigma
    variables = {
        name: (("pair", "algorithm"), values, {"long_name": _MEANINGS[name]})
        for name, values in found.items()
    }
    return dataset.assign(variables), silence


def as_document(lines: Sequence[Line], extremes: Sequence[Extreme], silence: str | None) -> dict[str, Any]:
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
