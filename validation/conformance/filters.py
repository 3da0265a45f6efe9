"""Temperature, top-k and top-p on rows of probabilities, as reference."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from specsim.errors import InputError
from specsim.support.arrays import Floats
from specsim.support.checks import whole


def filtered(rows: Floats, options: Mapping[str, Any]) -> Floats:
    """Apply ``temperature``, ``top_k`` and ``top_p``, in this order, to rows ``(..., V)``."""
    for name, change in (("temperature", tempered), ("top_k", top_k), ("top_p", top_p)):
        if options.get(name) is not None:
            rows = change(rows, options[name])
    return rows


def tempered(rows: Floats, temperature: float) -> Floats:
    """Return rows to the power ``1 / temperature``, normalised; zeros stay zero."""
    if not temperature > 0:
        raise InputError(f"temperature is {temperature}; give a positive number")
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
    order = np.argsort(-rows, axis=-1, kind="stable")
    ranked = np.take_along_axis(rows, order, axis=-1)
    before = np.cumsum(ranked, axis=-1) - ranked
    kept = np.zeros(rows.shape, dtype=bool)
    np.put_along_axis(kept, order, before < mass, axis=-1)
    return _normalised(np.where(kept, rows, 0.0))


def _normalised(rows: Floats) -> Floats:
    return rows / rows.sum(axis=-1, keepdims=True)
