"""Rounds as a walk from node to node: the description ``nodes`` of `specsim.theory.laws.laws.Laws`.

The recursion of 2411.00841 (proofs of Theorems 1 and 3), carried over (node of the draft structure, count,
state): at each position a mass descends into a child, or stops and starts a new round. Nodes with equal
subtrees at one depth are one class, so that a chain of K tokens has K + 1 classes and a tree with the same
number of children at each depth is never listed node by node. Everything is a linear map of non-negative
masses, so float64 loses no digits to cancellation; exact masses are integers over a common denominator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np

from specsim.algorithms import Algorithm
from specsim.errors import TooLargeError
from specsim.support.arrays import Array
from specsim.theory.arithmetic.integer_chains import IntegerChain
from specsim.theory.arithmetic.numbers import rational, zeros
from specsim.theory.laws.counters import Counter, FullCount, Moments, NoCount
from specsim.theory.laws.node_classes import Classes
from specsim.theory.laws.node_kernels import NodeKernels
from specsim.theory.laws.rule_rows import RuleRows
from specsim.theory.laws.states import ContextStates, PathStates, States
from specsim.theory.laws.tally import Regime, Tally
from specsim.theory.step_laws import StepLaw

_MOST_EXACT_WORK = 1e12
_MOST_NUMBERS = 2**26


@dataclass(frozen=True)
class _Flow:
    """What happens at one step; masses have shape ``(classes, width, states)``.

    `stopped` is rejected at the node of its class. `whole` has ended at a leaf: with a bonus token, or at
    once where there are none.
    `before` is counted in `before_denominator`, everything after the step in `denominator` (1 for floats).
    """

    step: int
    before: Array
    before_denominator: Any
    stopped: Array
    whole: Array
    after: Array
    denominator: Any
    kernels: dict[Any, Array]


class NodeWalk:
    """Forward recursion over positions, for a rule that goes from node to node.

    rows: rows and parameters.
    algorithm, step_law, horizon: what decodes, and how far.
    """

    def __init__(self, rows: RuleRows, algorithm: Algorithm, step_law: StepLaw, horizon: int) -> None:
        self.pair = rows.pair
        self.exact = rows.exact
        self.horizon = horizon
        self.structure = algorithm.structure(horizon)
        #: Whether all positions have the same rows.
        self.stationary = rows.stationary
        self._rows = rows
        self._kernels = NodeKernels(rows, algorithm, step_law, horizon)
        self._other_root = step_law.root_total is not None
        self._bonus = algorithm.whole_bonus

    def run(
        self, count: str = "", *, depths: bool = False, emitted: str = "", ticks: Sequence[int] | None = None
    ) -> Tally:
        """Carry the mass over all positions.

        count: ``"rejections"`` or ``"calls"`` for the law of the count, ``"moments"`` for the moments of the
            number of rejections.
        ticks: what a call counts for by the position at which its round starts. Defaults to None: one.
        depths: whether rounds are counted by start and accepted length.
        emitted: ``"tokens"`` or ``"transitions"``: the law of the token, or of context and token, at each
            step.
        """
        counter: Counter = NoCount()
        if count:
            counter = Moments() if count == "moments" else FullCount(sum(ticks or [1] * self.horizon))
        tally = Tally.empty(self.pair, self.horizon, self.structure.depth, self.exact, emitted)
        classes = self._classes(not depths)
        for flow in self._flows(classes, counter, count, ContextStates(self.pair), ticks):
            if not count:
                tally.rejected[flow.step] = self._number(flow.stopped.sum(), flow.denominator)
                tally.calls += self._number(flow.before[0].sum(), flow.before_denominator)
            if depths:
                self._count_rounds(tally.rounds, classes, flow)
            if emitted:
                self._add_emitted(tally, emitted, classes, flow)
        totals = flow.after.sum(axis=(0, 2))
        tally.final = self._vector(totals, flow.denominator)
        return tally

    def output_law(self) -> Array:
        """Law of the whole sequence, ``(tokens ** horizon,)``."""
        states = PathStates(self.pair, self.horizon, self.exact)
        for last in self._flows(self._classes(True), NoCount(), "", states):
            flow = last
        return self._vector(states.sequences(flow.after.sum(axis=(0, 1))), flow.denominator)

    def regime(self) -> Regime:
        """Return one uncut round of a stationary pair from every context; see `Regime`."""
        classes = self._classes(False)
        contexts = self.pair.contexts
        if len(classes.depth) * contexts**2 > _MOST_NUMBERS:
            raise TooLargeError(
                f"moves between {contexts} contexts in {len(classes.depth)} kinds of nodes are too many "
                "numbers; use a shorter draft or a pair with fewer contexts"
            )
        # The count axis is used for the first context of the round.
        flows = self._flows(classes, FullCount(contexts - 1), "origin", ContextStates(self.pair))
        zero = rational(zeros((contexts,), self._rows.initial))
        following, tokens = np.outer(zero, zero), zero
        lengths = np.outer(zero, zeros((self.structure.depth + 1,), zero))
        for flow in islice(flows, self.structure.depth + 1):
            ended = flow.stopped + flow.whole
            following = following + self._vector(ended.sum(axis=0), flow.denominator)
            by_class = self._vector(ended.sum(axis=-1), flow.denominator)
            for c, depth in enumerate(classes.depth):
                lengths[:, depth] += by_class[c]
            tokens = tokens + (flow.step + 1) * by_class.sum(axis=0)
        return Regime(rational(self._rows.initial), following, lengths, tokens)

    def _classes(self, may_merge: bool) -> Classes:
        endless = may_merge and self.structure.depth >= self.horizon
        return Classes(self.structure, endless, self._other_root)

    def _flows(
        self,
        classes: Classes,
        counter: Counter,
        count: str,
        states: States,
        ticks: Sequence[int] | None = None,
    ) -> Iterator[_Flow]:
        leaves = classes.leaves
        law = states.start(self.pair.initial_weights.astype(object) if self.exact else self.pair.initial)
        mass = np.zeros((len(classes.depth), counter.width, len(law)), dtype=law.dtype)
        mass[0, 0] = law
        denominator: Any = self.pair.unit if self.exact else 1
        if count == "origin":
            mass[0] = np.eye(len(law), dtype=law.dtype)
            denominator = 1
        if count == "calls":
            mass[0] = counter.shift(mass[0], ticks[0] if ticks else 1)
        for step, kernels in zip(range(self.horizon), self._kernels.by_step(classes), strict=False):
            if step == 0 and self.exact:
                self._refuse_absurd(kernels, len(classes.depth) * counter.width)

            def move(block: Array, kernel: Array, step: int = step) -> Array:
                moved = states.move(step, block.reshape(-1, block.shape[-1]), kernel)
                return moved.reshape(*block.shape[:-1], moved.shape[-1])

            after = np.zeros((len(classes.depth), counter.width, states.size(step + 1)), dtype=mass.dtype)
            stopped, whole = np.zeros_like(after), np.zeros_like(after)
            for key, members in classes.groups.items():
                stopped[members] = move(mass[members], kernels[key])
            for each in classes.moves:
                each.add(after, move(mass[each.sources], kernels[each.kernel]))
            if self._bonus:
                whole[leaves] = move(mass[leaves], kernels["target"])
            else:
                whole[leaves] = after[leaves]
                after[leaves] = 0
            ended = stopped.sum(axis=0)
            if count in ("rejections", "moments"):
                ended = counter.shift(ended)
            ended += whole[leaves].sum(axis=0)
            if count == "calls" and step + 1 < self.horizon:
                ended = counter.shift(ended, ticks[step + 1] if ticks else 1)
            if count != "origin":
                after[0] += ended
            following = denominator * kernels["denominator"] if self.exact else 1
            yield _Flow(step, mass, denominator, stopped, whole, after, following, kernels)
            mass, denominator = after, following

    def chain(self) -> IntegerChain | None:
        """Return the chain of contexts in integers, where it does not matter where rounds start.

        That is so where all positions have the same kernel and there are no bonus tokens: a context moves by
        what is emitted and costs what it rejects.
        """
        classes = self._classes(True)
        waits = self._bonus and self.structure.depth < self.horizon
        if not self._kernels.integers or len(classes.groups) != 1 or waits:
            return None
        ((root, children),) = classes.groups

        def rows(first: int, last: int) -> tuple[Array, Array]:
            target, draft = self.pair.integer_rows(first, last)
            taken, final = self._kernels.node(root, children, target, draft, {}, [None])
            return taken[0] + final, final.sum(axis=-1)

        return IntegerChain(self.pair, self.horizon, rows)

    def _count_rounds(self, rounds: Array, classes: Classes, flow: _Flow) -> None:
        depth, step = np.array(classes.depth), flow.step

        def add(start: Array, masses: Array) -> None:
            inside = (start >= 0) & (start < self.horizon)
            counts = self._vector(masses.sum(axis=(1, 2))[inside], flow.denominator)
            np.add.at(rounds, (start[inside], depth[inside]), counts)

        add(step - depth, flow.stopped)
        add(step - depth + (not self._bonus), flow.whole)
        if step + 1 == self.horizon:
            # A round cannot start at the horizon.
            add(step + 1 - depth, flow.after)

    def _add_emitted(self, tally: Tally, emitted: str, classes: Classes, flow: _Flow) -> None:
        by_class = flow.before.sum(axis=1)
        used = [*classes.groups.items(), *((move.kernel, move.sources) for move in classes.moves)]
        shares = [(by_class[members].sum(axis=0), flow.kernels[kernel]) for kernel, members in used]
        if self._bonus:
            shares.append((by_class[classes.leaves].sum(axis=0), flow.kernels["target"]))
        if emitted == "tokens":
            found = sum(mass @ kernel for mass, kernel in shares)
        else:
            found = sum(mass[:, None] * kernel for mass, kernel in shares)
        tally.emitted[flow.step] = self._vector(found, flow.denominator)

    def _number(self, mass: Any, denominator: Any) -> Any:
        return Fraction(int(mass), denominator) if self.exact else float(mass)

    def _vector(self, masses: Any, denominator: Any) -> Array:
        if not self.exact:
            return np.asarray(masses, dtype=np.float64)
        found = np.empty(np.shape(masses), dtype=object)
        for index, mass in np.ndenumerate(masses):
            found[index] = Fraction(int(mass), denominator)
        return found

    def _refuse_absurd(self, kernels: dict[Any, Any], rows: int) -> None:
        bits = kernels["denominator"].bit_length() * self.horizon / 2
        work = 2.0 * rows * self.pair.contexts * self.pair.tokens * self.horizon * bits
        if work > _MOST_EXACT_WORK:
            raise TooLargeError(
                f"horizon is {self.horizon} with {self.pair.contexts} contexts, {self.pair.tokens} tokens: "
                f"exact numbers would reach {int(2 * bits)} bits; use exact=False or a smaller problem"
            )
