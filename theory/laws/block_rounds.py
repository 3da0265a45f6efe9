"""Whole rounds of block verification in float64: every draft path at once, as arrays.

The level of a node is the number of tokens drafted before it. `BlockLaws` merges paths of equal ratio and is
exact; here nothing is merged, but all paths of a level are one array, which reaches much larger pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.theory.arithmetic.pair_tables import PairTables
from specsim.theory.laws.counters import Counter, FullCount, Moments, NoCount

Array = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Level:
    origin: NDArray[np.intp]  # context in which the round started
    context: NDArray[np.intp]
    ratio: Floats
    drafted: Floats  # probability of drafting this path from the origin
    parent: NDArray[np.intp]
    token: NDArray[np.intp]


@dataclass(frozen=True)
class Round:
    """The round that starts at one position, linear in the law of its first context.

    Attributes
    ----------
    stopped
        Entry j, ``(contexts, contexts)``: probability that j tokens are kept and the round ends in a
        rejection, by first context and by the context after the residual token.
    whole
        ``(contexts, contexts)``: probability that the whole block is kept, by first and last context.
    levels, kept, residuals
        Per level: the nodes, the probability given the path that the node is kept, and the mass of each
        residual token, for the marginals.
    """

    stopped: list[Floats]
    whole: Floats
    levels: list[_Level]
    kept: list[Floats]
    residuals: list[Floats]


class BlockRounds:
    """Forward recursion over the starts of rounds.

    Parameters
    ----------
    pair, horizon
        What decodes; ``contexts * tokens ** length`` nodes must fit in memory.
    length
        Drafted tokens per round, at most the horizon.
    has_bonus
        Whether a whole kept block is followed by a bonus token where a position is left.
    """

    def __init__(self, pair: PairTables, horizon: int, length: int, has_bonus: bool) -> None:
        self.pair = pair
        self.horizon = horizon
        self.length = length
        self.has_bonus = has_bonus
        self._cached: dict[tuple[int, int], Round] = {}

    def run(self, count: str | None = None, first_round: bool = False) -> Tallies:
        """Carry the law of the first contexts of rounds from position to position."""
        horizon, contexts = self.horizon, self.pair.contexts
        counter: Counter = NoCount()
        if count == "moments":
            counter = Moments()
        elif count is not None:
            counter = FullCount(horizon)
        shape = (horizon + 1, counter.width, contexts)
        starts, bonus = np.zeros(shape), np.zeros(shape)
        starts[0, 0] = self.pair.initial
        tallies = Tallies(horizon, contexts, self.pair.tokens)
        rejections = count in ("rejections", "moments")
        for position in range(horizon):
            pending = bonus[position]
            if pending.any():
                target = self.pair.target[self.pair.step_index(position)]
                tallies.joint[position] += pending[0][:, None] * target
                starts[position + 1] += _move(pending, target, self.pair.next_context)
            mass = starts[position]
            if not mass.any():
                continue
            tallies.calls += mass[0].sum()
            if count == "calls":
                mass = counter.shift(mass)
            length = min(self.length, horizon - position)
            result = self.round(position, length)
            self._add_joint(tallies, position, mass[0], result)
            for kept, matrix in enumerate(result.stopped):
                flow = mass @ matrix
                tallies.rejected[position + kept] += flow[0].sum()
                tallies.lengths[kept] += flow[0].sum()
                if not first_round:
                    starts[position + kept + 1] += counter.shift(flow) if rejections else flow
            flow = mass @ result.whole
            tallies.lengths[length] += flow[0].sum()
            if not first_round:
                waits = self.has_bonus and position + length < horizon
                (bonus if waits else starts)[position + length] += flow
        tallies.final = (starts[horizon] + bonus[horizon]).sum(axis=1)
        return tallies

    def round(self, position: int, length: int) -> Round:
        """Compute the round of `length` drafted tokens that starts at `position`."""
        key = (self.pair.step_index(position), length)
        if key not in self._cached:
            self._cached.clear()
            self._cached[key] = self._round(position, length)
        return self._cached[key]

    def _round(self, position: int, length: int) -> Round:
        contexts = self.pair.contexts
        every = np.arange(contexts)
        levels = [_Level(every, every, np.ones(contexts), np.ones(contexts), every, every)]
        for depth in range(length):
            levels.append(self._draft(levels[-1], position + depth))
        kept = [levels[-1].ratio]
        stopped: list[Floats] = []
        residuals: list[Floats] = []
        for depth in range(length - 1, -1, -1):
            level, following = levels[depth], levels[depth + 1]
            index = self.pair.step_index(position + depth)
            target, draft = self.pair.target[index][level.context], self.pair.draft[index][level.context]
            weight = draft[following.parent, following.token]
            later = np.bincount(following.parent, weight * kept[0], minlength=len(level.context))
            excess = np.maximum(level.ratio[:, None] * target - draft, 0.0)
            mass = excess.sum(axis=1)
            below = mass + 1 - level.ratio
            test = np.divide(mass, below, out=np.ones_like(mass), where=below > 0)
            here = test * np.maximum(1 - later, 0.0)
            residual = np.divide(excess, mass[:, None], out=np.zeros_like(excess), where=mass[:, None] > 0)
            residual *= here[:, None]
            landed = level.origin[:, None] * contexts + self.pair.next_context[level.context]
            flow = level.drafted[:, None] * residual
            stopped.insert(0, _by_pairs(landed.ravel(), flow.ravel(), contexts))
            residuals.insert(0, residual)
            kept.insert(0, here + later)
        last = levels[-1]
        whole = _by_pairs(last.origin * contexts + last.context, last.drafted * last.ratio, contexts)
        return Round(stopped, whole, levels, kept, residuals)

    def _draft(self, level: _Level, position: int) -> _Level:
        index = self.pair.step_index(position)
        target, draft = self.pair.target[index][level.context], self.pair.draft[index][level.context]
        parent, token = np.nonzero(draft)
        weight = draft[parent, token]
        ratio = np.minimum(1.0, level.ratio[parent] * target[parent, token] / weight)
        following = self.pair.next_context[level.context[parent], token]
        return _Level(level.origin[parent], following, ratio, level.drafted[parent] * weight, parent, token)

    def _add_joint(self, tallies: Tallies, position: int, start: Floats, result: Round) -> None:
        for depth in range(len(result.stopped)):
            level, following = result.levels[depth], result.levels[depth + 1]
            joint = tallies.joint[position + depth]
            mass = start[level.origin] * level.drafted
            np.add.at(joint, level.context, mass[:, None] * result.residuals[depth])
            emitted = start[following.origin] * following.drafted * result.kept[depth + 1]
            np.add.at(joint, (level.context[following.parent], following.token), emitted)


class Tallies:
    """What a pass over the rounds adds up; shapes as in `specsim.theory.laws.functions`."""

    def __init__(self, horizon: int, contexts: int, tokens: int) -> None:
        self.rejected = np.zeros(horizon)
        self.calls = 0.0
        self.lengths = np.zeros(horizon + 1)
        self.joint = np.zeros((horizon, contexts, tokens))
        #: By count after the last position.
        self.final = np.zeros(1)


def _by_pairs(index: Array, mass: Floats, contexts: int) -> Floats:
    total = np.bincount(index, mass, minlength=contexts**2).astype(np.float64)
    return total.reshape(contexts, contexts)


def _move(mass: Floats, kernel: Floats, next_context: Array) -> Floats:
    joint = mass[:, :, None] * kernel
    moved = np.zeros_like(mass)
    for row, values in zip(moved, joint, strict=True):
        np.add.at(row, next_context.ravel(), values.ravel())
    return moved
