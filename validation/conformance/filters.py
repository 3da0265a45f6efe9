"""Temperature, top-k, top-p, min-p and typical-p on rows of probabilities, as reference."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from specsim.errors import InputError
from specsim.support.arrays import Bools, Floats
from specsim.support.checks import whole


def filtered(rows: Floats, options: Mapping[str, Any]) -> Floats:
    """Apply the options of `FILTERS` that are given, in this order, to rows ``(..., V)``."""
    for name, change in FILTERS.items():
        if options.get(name) is not None:
            rows = change(rows, options[name])
    return rows


def of_draft(options: Mapping[str, Any], sides: str) -> dict[str, Any]:
    """Return the options that apply to draft rows: all for ``"both"``, the temperature for ``"target"``."""
    return {name: value for name, value in options.items() if sides == "both" or name == "temperature"}


def tempered(rows: Floats, temperature: float) -> Floats:
    """Return rows to the power ``1 / temperature``, normalised; zeros stay zero. 0: the likeliest token."""
    if not temperature >= 0:
        raise InputError(f"temperature is {temperature}; give a number of at least 0")
    if temperature == 0:
        return np.eye(rows.shape[-1])[rows.argmax(axis=-1)]
    with np.errstate(divide="ignore"):
        logs = np.log(rows) / temperature
    powers = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return _normalised(powers)


def top_k(rows: Floats, count: int) -> Floats:
    """Keep the `count` likeliest tokens of each row, and all that tie with the last of them."""
    whole("top_k", count, 1)
    if count >= rows.shape[-1]:
        return rows
    least = np.sort(rows, axis=-1)[..., -count, None]
    return _normalised(np.where(rows >= least, rows, 0.0))


def top_p(rows: Floats, mass: float) -> Floats:
    """Keep the fewest likeliest tokens of each row whose mass reaches `mass`."""
    if not 0 < mass <= 1:
        raise InputError(f"top_p is {mass}; give a number in (0, 1]")
    return _normalised(np.where(_reaching(rows, -rows, mass), rows, 0.0))


def min_p(rows: Floats, share: float) -> Floats:
    """Keep the tokens of each row that have at least `share` of the likeliest one's probability."""
    if not 0 <= share <= 1:
        raise InputError(f"min_p is {share}; give a number in [0, 1]")
    return _normalised(np.where(rows >= share * rows.max(axis=-1, keepdims=True), rows, 0.0))


def typical_p(rows: Floats, mass: float) -> Floats:
    """Keep the fewest tokens of each row whose mass reaches `mass`, those of typical surprise first.

    The surprise of a token is minus the logarithm of its probability; typical is the row's mean, its entropy
    (2202.00666).
    """
    if not 0 < mass <= 1:
        raise InputError(f"typical_p is {mass}; give a number in (0, 1]")
    return _normalised(np.where(_reaching(rows, untypical(rows), mass), rows, 0.0))


def untypical(rows: Floats) -> Floats:
    """Return how far each token's surprise is from the row's entropy; infinite for tokens of no mass."""
    with np.errstate(divide="ignore", invalid="ignore"):
        surprise = -np.log(rows)
        entropy = np.where(rows > 0, rows * surprise, 0.0).sum(axis=-1, keepdims=True)
    return np.abs(surprise - entropy)


#: By name, in the order in which they are applied.
FILTERS = {
    "temperature": tempered,
    "top_k": top_k,
    "top_p": top_p,
    "min_p": min_p,
    "typical_p": typical_p,
}


def _reaching(rows: Floats, scores: Floats, mass: float) -> Bools:
    """Say which tokens of each row, by rising score, have less than `mass` before them."""
    order = np.argsort(scores, axis=-1, kind="stable")
    ranked = np.take_along_axis(rows, order, axis=-1)
    before = np.cumsum(ranked, axis=-1) - ranked
    kept = np.zeros(rows.shape, dtype=bool)
    np.put_along_axis(kept, order, before < mass, axis=-1)
    return kept


def _normalised(rows: Floats) -> Floats:
    return rows / rows.sum(axis=-1, keepdims=True)
