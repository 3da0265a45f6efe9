"""Every law of a descriptor whose positions have root and follow kernels, by forward recursion."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm, Speculative
from specsim.errors import TooLargeError
from specsim.theory.arithmetic.integer_chains import IntegerChain
from specsim.theory.arithmetic.pair_tables import PairTables
from specsim.theory.laws.counters import FullCount, Moments
from specsim.theory.laws.position_kernels import StepRows, position_kernels, rounds_of
from specsim.theory.laws.recursion import Flow, Recursion
from specsim.theory.laws.states import PathStates

Array = NDArray[Any]

_MAX_PATHS = 2**20
_MAX_EXACT_PATHS = 2**14
_MAX_TRANSITIONS = 2**27
_MAX_EXACT_TRANSITIONS = 2**20


class LocalLaws:
    """The laws of one algorithm on one pair; see `laws.functions` for what each method returns."""

    def __init__(self, pair: PairTables, algorithm: Algorithm, horizon: int, exact: bool) -> None:
        self.pair = pair
        self.algorithm = algorithm
        self.horizon = horizon
        self.exact = exact

    def rejections_by_step(self) -> Array:
        """Probability that each position is rejected."""
        chain = self._chain()
        if chain is not None:
            return self._vector(chain.by_step())
        return self._vector([_ratio(flow.rejected.sum(), flow.denominator) for flow in self._flows()])

    def expected_rejections(self) -> Any:
        """Sum of `rejections_by_step`."""
        chain = self._chain()
        if chain is not None:
            return chain.total()
        return sum(self.rejections_by_step().tolist())

    def expected_target_calls(self) -> Any:
        """Return the expected number of rounds."""
        return sum(_ratio(flow.before[0].sum(), flow.before_denominator) for flow in self._flows())

    def rejection_law(self) -> Array:
        """Law of the number of rejections."""
        return self._count_law("rejections")

    def target_call_law(self) -> Array:
        """Law of the number of target calls."""
        return self._count_law("calls")

    def rejection_variance(self) -> Any:
        """Variance of the number of rejections, from two moments carried along."""
        flow = self._last(count="rejections", counter=Moments())
        _, first, second = (_ratio(total, flow.denominator) for total in flow.after.sum(axis=(0, 2)))
        return second - first * first

    def accepted_length_counts(self, first_round: bool = False) -> Array:
        """Count rounds by accepted length; with `first_round` only the first round of a run."""
        counts = [Fraction(0) if self.exact else 0.0] * (self.horizon + 1)
        recursion = Recursion(
            self.pair, self.algorithm, self.horizon, self.exact, depths=True, first_round=first_round
        )
        for flow in recursion:
            # Depth 0 ends no round by acceptance, unless there is no draft at all.
            for depth, mass in enumerate(flow.rejected.sum(axis=(1, 2))):
                counts[depth] += _ratio(mass, flow.denominator)
            counts[recursion.length] += _ratio(flow.whole.sum() + flow.bonus.sum(), flow.denominator)
        for depth, mass in enumerate(flow.after.sum(axis=(1, 2))):
            if depth > 0:
                counts[depth] += _ratio(mass, flow.denominator)
        return self._vector(counts)

    def output_law(self) -> Array:
        """Law of the whole sequence."""
        states = PathStates(self.pair, self.horizon, _MAX_EXACT_PATHS if self.exact else _MAX_PATHS)
        flow = self._last(states=states)
        law = np.zeros(self.pair.tokens**self.horizon, dtype=flow.after.dtype)
        np.add.at(law, states.paths, flow.after.sum(axis=(0, 1)))
        if self.exact:
            return self._vector([Fraction(int(mass), flow.denominator) for mass in law])
        return law

    def output_marginals(self) -> Array:
        """Law of the token at each step."""
        marginals = []
        for flow, shares in self._shares():
            tokens: Array = reduce(np.add, [mass @ kernel for mass, kernel in shares])
            marginals.append([_ratio(mass, flow.denominator) for mass in tokens])
        return self._vector(marginals)

    def transition_marginals(self) -> Array:
        """Law of (context, emitted token) at each step."""
        shape = (self.horizon, self.pair.contexts, self.pair.tokens)
        if math.prod(shape) > (_MAX_EXACT_TRANSITIONS if self.exact else _MAX_TRANSITIONS):
            raise TooLargeError(
                f"horizon is {shape[0]} with {shape[1]} contexts and {shape[2]} tokens: too many transitions "
                "for one array; use output_marginals or a smaller horizon"
            )
        marginals = np.zeros(shape, dtype=object if self.exact else np.float64)
        for flow, shares in self._shares():
            joint: Array = reduce(np.add, [mass[:, None] * kernel for mass, kernel in shares])
            if self.exact:
                joint = self._vector([_ratio(mass, flow.denominator) for mass in joint.ravel()])
            marginals[flow.step] = joint.reshape(shape[1:])
        return marginals

    def _shares(self) -> Iterator[tuple[Flow, list[tuple[Array, Array]]]]:
        """Yield the flow of each step with (mass of the contexts, kernel by which it emits a token)."""
        recursion = self._flows()
        for flow in recursion:
            kernels = flow.kernels
            by_depth = flow.before.sum(axis=1)
            follow_depths = by_depth[1:] if recursion.merged else by_depth[1 : recursion.length]
            shares = []
            if recursion.length:
                shares.append((by_depth[0], kernels.root.accept + kernels.root.reject))
            if len(follow_depths):
                shares.append((follow_depths.sum(axis=0), kernels.follow.accept + kernels.follow.reject))
            if recursion.has_bonus:
                shares.append((by_depth[recursion.length], kernels.target))
            yield flow, shares

    def _chain(self) -> IntegerChain | None:
        """Return the chain of contexts in integers, for plain speculative decoding without bonus tokens.

        Where every position has the same kernels, it does not matter where rounds start: a context moves by
        accept + reject and costs what it rejects. Other descriptors need `Recursion`, and so do bonus tokens.
        """
        rounds = rounds_of(self.algorithm)
        bonus = rounds.has_bonus and rounds.draft_length is not None and rounds.draft_length < self.horizon
        if not self.exact or type(self.algorithm) is not Speculative or bonus:
            return None

        def rows(first: int, last: int) -> tuple[Array, Array]:
            target, draft = self.pair.integer_rows(first, last)
            shape = target.shape
            stacked = StepRows(
                target.reshape(-1, shape[-1]), draft.reshape(-1, shape[-1]), self.pair.unit, first, True
            )
            # Both kinds of position have these kernels.
            root, _ = position_kernels(self.algorithm, stacked)
            return (root.accept + root.reject).reshape(shape), root.reject.sum(axis=-1).reshape(shape[:2])

        return IntegerChain(self.pair, self.horizon, rows)

    def _flows(self, **options: Any) -> Recursion:
        return Recursion(self.pair, self.algorithm, self.horizon, self.exact, **options)

    def _last(self, **options: Any) -> Flow:
        for flow in self._flows(**options):
            last = flow
        return last

    def _count_law(self, count: str) -> Array:
        flow = self._last(count=count, counter=FullCount(self.horizon))
        return self._vector([_ratio(mass, flow.denominator) for mass in flow.after.sum(axis=(0, 2))])

    def _vector(self, values: list[Any]) -> Array:
        return np.array(values, dtype=object if self.exact else np.float64)


def _ratio(mass: Any, denominator: Any) -> Any:
    if isinstance(mass, float):
        return float(mass)
    return Fraction(int(mass), denominator)
