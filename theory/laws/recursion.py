"""Forward recursion over (tokens accepted so far in the round, count, state).

The recursion of 2411.00841 for Markov pairs, extended to any contexts, finite draft lengths and bonus tokens:
the kernels of a root position apply where a round starts, those of a follow position after an accepted token.
Everything is a linear map of non-negative masses, so float64 loses no digits to cancellation, and with
integers over a common denominator the result is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm
from specsim.errors import TooLargeError
from specsim.theory.arithmetic.pair_tables import PairTables
from specsim.theory.laws.counters import Counter, NoCount
from specsim.theory.laws.position_kernels import StepKernels, kernels_by_step, rounds_of
from specsim.theory.laws.states import ContextStates, States

Array = NDArray[Any]

_MAX_EXACT_WORK = 1e12


@dataclass(frozen=True)
class Flow:
    """What happens at one step.

    Attributes
    ----------
    step
        Counted from 0.
    before
        Mass before the step, ``(depths, width, states)``; depth = tokens accepted so far in the round.
    before_denominator
        What `before` is counted in (1 for floats).
    kernels
        The kernels of the step.
    rejected
        Mass rejected at this step by depth, ``(depths, width, states after)``, over ``denominator``.
    whole
        Mass whose round ended with its whole draft accepted and no bonus, ``(width, states after)``.
    bonus
        Mass that received a bonus token at this step (or a plain target token), same shape.
    after
        Mass after the step, same layout as `before`.
    denominator
        What the masses after the step are counted in.
    """

    step: int
    before: Array
    before_denominator: Any
    kernels: StepKernels
    rejected: Array
    whole: Array
    bonus: Array
    after: Array
    denominator: Any


class Recursion:
    """A forward recursion of one algorithm on one pair.

    Parameters
    ----------
    pair, algorithm, horizon, exact
        What to compute, and whether in integers.
    depths
        Whether the tokens accepted so far are needed. Without them all follow positions are one class
        whenever a draft reaches to the horizon.
    count, counter
        The event to count (``"rejections"``, ``"calls"``) and how; None counts nothing.
    states
        Defaults to None, the contexts of the pair.
    first_round
        Whether mass is dropped when its first round ends.
    """

    def __init__(
        self,
        pair: PairTables,
        algorithm: Algorithm,
        horizon: int,
        exact: bool,
        *,
        depths: bool = False,
        count: str | None = None,
        counter: Counter | None = None,
        states: States | None = None,
        first_round: bool = False,
    ) -> None:
        self.pair = pair
        self.algorithm = algorithm
        self.horizon = horizon
        self.exact = exact
        self.count = count
        self.counter: Counter = counter if counter is not None else NoCount()
        self.states: States = states if states is not None else ContextStates(pair)
        self.first_round = first_round
        rounds = rounds_of(algorithm)
        length = horizon if rounds.draft_length is None else min(rounds.draft_length, horizon)
        self.merged = length >= horizon and not depths and not first_round
        #: Depth of a mass that has accepted its whole draft; the two classes of a merged recursion are
        #: "root" and "follow".
        self.length = 1 if self.merged else length
        self.has_bonus = rounds.has_bonus and length < horizon
        self.ends = not self.has_bonus and length < horizon

    def __iter__(self) -> Iterator[Flow]:
        mass = self._start()
        denominator: Any = self.pair.unit if self.exact else 1
        steps = kernels_by_step(self.algorithm, self.pair, self.horizon, self.exact)
        for step, kernels in enumerate(steps):
            if step == 0 and self.exact:
                self._refuse_absurd(kernels)
            flow = self._step(step, mass, denominator, kernels)
            yield flow
            mass, denominator = flow.after, flow.denominator

    def _start(self) -> Array:
        start = self.states.start(self.exact)
        mass = np.zeros((self.length + 1, self.counter.width, len(start)), dtype=start.dtype)
        mass[0, 0] = start
        if self.count == "calls":
            mass[0] = self.counter.shift(mass[0])
        return mass

    def _step(self, step: int, mass: Array, denominator: Any, kernels: StepKernels) -> Flow:
        move = self._mover(step)
        root, follow = kernels.root, kernels.follow
        width = self.counter.width
        accepted_root = move(mass[:1], root.accept) if self.length else None
        size = (accepted_root if accepted_root is not None else move(mass[:1], kernels.target)).shape[-1]
        after = np.zeros((self.length + 1, width, size), dtype=mass.dtype)
        rejected = np.zeros_like(after)
        whole = np.zeros((width, size), dtype=mass.dtype)
        bonus = np.zeros_like(whole)
        if accepted_root is not None:
            after[1:2] += accepted_root
            rejected[:1] = move(mass[:1], root.reject)
            following = mass[1:] if self.merged else mass[1 : self.length]
            if following.any():
                accepted = move(following, follow.accept)
                if self.merged:
                    after[1:] += accepted
                    rejected[1:] = move(following, follow.reject)
                else:
                    after[2:] += accepted
                    rejected[1 : self.length] = move(following, follow.reject)
        if self.has_bonus and not self.merged:
            bonus = move(mass[self.length :], kernels.target)[0]
            # Without a draft (plain decoding) the bonus position is also the root.
        if self.ends:
            whole = after[self.length].copy()
            after[self.length] = 0
        ended = rejected.sum(axis=0)
        if self.count == "rejections":
            ended = self.counter.shift(ended)
        ended = ended + whole + bonus
        if self.count == "calls" and step + 1 < self.horizon:
            ended = self.counter.shift(ended)
        if not self.first_round:
            after[0] += ended
        return Flow(
            step,
            mass,
            denominator,
            kernels,
            rejected,
            whole,
            bonus,
            after,
            denominator * kernels.denominator if self.exact else 1,
        )

    def _mover(self, step: int) -> Callable[[Array, Array], Array]:
        def move(block: Array, kernel: Array) -> Array:
            flat = block.reshape(-1, block.shape[-1])
            moved = self.states.move(step, flat, kernel)
            return moved.reshape(*block.shape[:-1], moved.shape[-1])

        return move

    def _refuse_absurd(self, kernels: StepKernels) -> None:
        bits = kernels.denominator.bit_length() * self.horizon / 2
        rows = (self.length + 1) * self.counter.width
        work = 2.0 * rows * self.pair.contexts * self.pair.tokens * self.horizon * bits
        if work > _MAX_EXACT_WORK:
            raise TooLargeError(
                f"horizon is {self.horizon} with {self.pair.contexts} contexts, {self.pair.tokens} tokens: "
                f"exact numbers would reach {int(2 * bits)} bits; use exact=False or a smaller problem"
            )
