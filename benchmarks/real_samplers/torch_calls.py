"""Seeding of torch's global generator, and torch.compile left out, around calls of a library."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from specsim.validation.conformance.adapters.libraries import narrow_seed


@contextlib.contextmanager
def seeded(torch: Any, seed: int) -> Iterator[None]:
    """Seed the global generator, and put its state back afterwards; refuse seeds that it would cut."""
    state = torch.random.get_rng_state()
    torch.manual_seed(narrow_seed(seed))
    try:
        yield
    finally:
        torch.random.set_rng_state(state)


@contextlib.contextmanager
def uncompiled(torch: Any) -> Iterator[None]:
    """Make ``torch.compile`` leave functions as they are, while a library is imported."""
    kept = torch.compile
    torch.compile = lambda function=None, **ignored: function if function is not None else (lambda f: f)
    try:
        yield
    finally:
        torch.compile = kept
