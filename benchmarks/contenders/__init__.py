"""The contenders: each turns (pair, runs, seed) into the same counts."""

from __future__ import annotations

from benchmarks.contenders import (
    c_reference,
    jax_alias,
    numpy_alias,
    numpy_user,
    specsim_engines,
    torch_engine,
)
from benchmarks.contenders.base import Contender


def all_contenders() -> list[Contender]:
    """Return every contender that this machine can run."""
    found: list[Contender] = []
    for module in (specsim_engines, c_reference, numpy_alias, numpy_user, jax_alias, torch_engine):
        found += module.contenders()
    return found
