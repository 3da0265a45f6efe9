"""What every contender takes and returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from specsim import ModelPair, Speculative
from specsim.algorithms import Algorithm
from specsim.engines.alias.tables import Layout, build_tables, column_bits, pack
from specsim.engines.lockstep.plans import prepare

Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Counts over the runs of one call: per step, per number of rejections, per step and token."""

    by_step: Counts
    rejection_count: Counts
    token_count: Counts


#: Simulates (runs, seed).
Run = Callable[[int, int], Answer]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A way to simulate an algorithm of 2411.00841 with drafts to the horizon.

    Attributes
    ----------
    name
        Short, unique.
    note
        One line: method and generator.
    prepare
        Takes a pair, builds what is reused between calls, returns the simulator; None when the contender
        cannot serve the pair.
    algorithm
        What it simulates; theory's values for it are what its answer is checked against.
    builds_tables
        Whether every call builds its tables again; the time of a call of one run is then measured too, and
        subtracted.
    gathers
        Whether it reads tables from memory, so that the ceiling of gathers applies.
    wall
        Whether it works elsewhere than on the processor, so that the wall clock is what tells.
    """

    name: str
    note: str
    prepare: Callable[[ModelPair], Run | None]
    algorithm: Algorithm = field(default_factory=Speculative)
    builds_tables: bool = False
    gathers: bool = True
    wall: bool = False


def alias_tables(pair: ModelPair) -> tuple[NDArray[np.uint32], int, NDArray[np.uint32], int]:
    """Return the alias tables of all steps, their bits, the prompt's table and its bits."""
    plan = prepare(Speculative(), pair, pair.horizon)
    layout = Layout.of(pair, plan)
    tables = build_tables(pair, plan, layout, 0, pair.horizon)
    initial_bits = column_bits(pair.contexts)
    return tables.entries, layout.bits, pack(pair.initial_weights[None], initial_bits)[0], initial_bits


def empty_answer(pair: ModelPair) -> Answer:
    """Return counts of zero."""
    return Answer(
        by_step=np.zeros(pair.horizon, np.int64),
        rejection_count=np.zeros(pair.horizon + 1, np.int64),
        token_count=np.zeros((pair.horizon, pair.tokens), np.int64),
    )
