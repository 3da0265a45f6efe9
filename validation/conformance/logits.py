"""Logits of rows of probabilities: their logarithms, plus a number for each row that changes no law."""

from __future__ import annotations

import numpy as np

from specsim.support.arrays import Floats

#: What is added to the logarithms of a row, by element type; the row's likeliest token says which of these.
#: The exponential of 100 is finite and that of 800 is not. In narrower types numbers this large are far
#: apart: there the rounding of logits stays within the stated tolerance.
OFFSETS: dict[str, tuple[float, ...]] = {
    "float64": (0.0, 100.0, -100.0, 800.0, -800.0),
    "float32": (0.0, 56.0, -48.0, 24.0),
    "float16": (0.0, 4.0, -2.0),
    "bfloat16": (0.0, 4.0, -2.0),
}


def logits(rows: Floats, kind: str) -> Floats:
    """Return the logits of rows ``(..., V)`` for an element type; equal rows always get equal logits."""
    offsets = np.array(OFFSETS[kind])
    with np.errstate(divide="ignore"):
        found: Floats = np.log(rows) + offsets[rows.argmax(axis=-1) % len(offsets), None]
    return found
