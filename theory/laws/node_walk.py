"""Rounds as a walk from node to node: the description ``nodes`` of `specsim.theory.laws.laws.Laws`.

The recursion of 2411.00841 (proofs of Theorems 1 and 3), carried over (node of the draft structure, count,
state): at each position a mass descends into a child, or stops and starts a new round. Nodes with equal
subtrees at one depth are one class, so that a chain of K tokens has K + 1 classes and a tree with the same
number of children at each depth is never listed node by node. Everything is a linear map of non-negative
masses, so float64 loses no digits to cancellation; exact masses are integers over a common denominator.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm, Structure
from specsim.errors import InputError, TooLargeError
from specsim.theory.arithmetic.integer_chains import IntegerChain
from specsim.theory.arithmetic.numbers import rational, zeros
from specsim.theory.laws.counters import Counter, FullCount, Moments, NoCount
from specsim.theory.laws.drawings import children_laws
from specsim.theory.laws.rule_rows import RuleRows
from specsim.theory.laws.states import ContextStates, PathStates, States, scatter
from specsim.theory.laws.tally import Regime, Tally
from specsim.theory.step_laws import StepLaw

Array = NDArray[Any]

_MOST_EXACT_WORK = 1e12
_MOST_KERNEL_BITS = 1e11
_MOST_NUMBERS = 2**26
#: Entries of kernels that are computed at once.
_CHUNK = 2**17

#: Indices, as a slice where they follow one another.
_Index = Array | slice
#: Names a kernel: (at the root?, children of the node, which of them; None stands for all).
_Kernel = tuple[bool, int | float, tuple[int, ...] | None]


@dataclass(frozen=True)
class _Move:
    """Masses of the classes `sources` that descend by one kernel into the classes `each`.

    `targets` has the same classes as an index, where none comes twice.
    """

    kernel: _Kernel
    sources: _Index
    targets: _Index | None
    each: list[int]

    def add(self, after: Array, block: Array) -> None:
        """Add the moved masses to those after the step."""
        if self.targets is not None:
            after[self.targets] += block
        else:
            for target, mass in zip(self.each, block, strict=True):
                after[target] += mass


class _Classes:
    """The classes of nodes of a structure.

    Attributes
    ----------
    depth
        Depth of each class; class 0 is the root.
    leaves
        The classes without children.
    groups
        Classes that stop by the same kernel, by (at the root?, children).
    moves
        How masses descend.
    """

    def __init__(self, structure: Structure, endless: bool, other_root: bool) -> None:
        if structure.widths is not None:
            children, self.depth = _regular(structure.widths, endless)
        else:
            children, self.depth = _irregular(structure)
        leaves = [c for c, below in enumerate(children) if not below]
        self.leaves = _index(leaves) if leaves else slice(0)
        groups: dict[tuple[bool, int | float], list[int]] = {}
        moves: dict[_Kernel, list[tuple[int, int]]] = {}
        for c, below in enumerate(children):
            if not below:
                continue
            root = other_root and c == 0
            count = sum(number for _, number in below)
            groups.setdefault((root, count), []).append(c)
            for target in dict.fromkeys(target for target, _ in below):
                which = None
                if len(below) > 1:
                    which = tuple(k for k, (child, _) in enumerate(below) if child == target)
                    which = None if len(which) == len(below) else which
                moves.setdefault((root, count, which), []).append((c, target))
        self.groups = {key: _index(members) for key, members in groups.items()}
        self.moves = []
        for kernel, pairs in moves.items():
            sources, targets = (list(column) for column in zip(*pairs, strict=True))
            once = _index(targets) if len(set(targets)) == len(targets) else None
            self.moves.append(_Move(kernel, _index(sources), once, targets))


def _index(members: list[int]) -> _Index:
    if members == list(range(members[0], members[-1] + 1)):
        return slice(members[0], members[-1] + 1)
    return np.array(members)


def _regular(
    widths: tuple[int | float, ...], endless: bool
) -> tuple[list[list[tuple[int, int | float]]], list[int]]:
    """Return the children (class, number) of each class, and depths.

    Where drafts reach to the horizon, all depths from the last change of widths on are one class.
    """
    last = len(widths)
    if endless and widths:
        last = 1
        while any(width != widths[-1] for width in widths[last:]):
            last += 1
        loop = [(last, widths[-1])]
        return [[(depth + 1, widths[depth])] for depth in range(last)] + [loop], list(range(last + 1))
    return [[(depth + 1, width)] for depth, width in enumerate(widths)] + [[]], list(range(last + 1))


def _irregular(structure: Structure) -> tuple[list[list[tuple[int, int | float]]], list[int]]:
    """Merge nodes of one depth whose subtrees are equal."""
    shape: list[Any] = [None] * len(structure.parents)
    known: dict[Any, int] = {}
    for node in reversed(range(len(shape))):
        key = (structure.depths[node], tuple(shape[child] for child in structure.children(node)))
        shape[node] = known.setdefault(key, len(known))
    order = list(dict.fromkeys(shape))
    place = {number: c for c, number in enumerate(order)}
    keys = {number: key for key, number in known.items()}
    children: list[list[tuple[int, int | float]]] = [
        [(place[child], 1) for child in keys[number][1]] for number in order
    ]
    return children, [keys[number][0] for number in order]


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

    Parameters
    ----------
    rows
        Rows and parameters.
    algorithm, step_law, horizon
        What decodes, and how far.
    """

    def __init__(self, rows: RuleRows, algorithm: Algorithm, step_law: StepLaw, horizon: int) -> None:
        self.pair = rows.pair
        self.exact = rows.exact
        self.horizon = horizon
        self.structure = algorithm.structure(horizon)
        #: Whether all positions have the same rows.
        self.stationary = rows.stationary
        self._rows = rows
        self._law = step_law
        self._drawing = algorithm.drawing
        self._bonus = algorithm.whole_bonus
        # The closed forms are for the usual way of drawing.
        self._usual = algorithm.drawing == algorithm.rule.drawings[0]
        self._integers = self.exact and step_law.scales and not rows.has_parameters

    def run(self, count: str = "", *, depths: bool = False, emitted: str = "") -> Tally:
        """Carry the mass over all positions.

        Parameters
        ----------
        count
            ``"rejections"`` or ``"calls"`` for the law of the count, ``"moments"`` for the moments of the
            number of rejections.
        depths
            Whether rounds are counted by start and accepted length.
        emitted
            ``"tokens"`` or ``"transitions"``: the law of the token, or of context and token, at each step.
        """
        counter: Counter = NoCount()
        if count:
            counter = Moments() if count == "moments" else FullCount(self.horizon)
        tally = Tally.empty(self.pair, self.horizon, self.structure.depth, self.exact, emitted)
        classes = self._classes(not depths)
        for flow in self._flows(classes, counter, count, ContextStates(self.pair)):
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

    def _classes(self, may_merge: bool) -> _Classes:
        endless = may_merge and self.structure.depth >= self.horizon
        return _Classes(self.structure, endless, self._law.root_total is not None)

    def _flows(self, classes: _Classes, counter: Counter, count: str, states: States) -> Iterator[_Flow]:
        leaves = classes.leaves
        law = states.start(self.pair.initial_weights.astype(object) if self.exact else self.pair.initial)
        mass = np.zeros((len(classes.depth), counter.width, len(law)), dtype=law.dtype)
        mass[0, 0] = law
        denominator: Any = self.pair.unit if self.exact else 1
        if count == "origin":
            mass[0] = np.eye(len(law), dtype=law.dtype)
            denominator = 1
        if count == "calls":
            mass[0] = counter.shift(mass[0])
        for step, kernels in zip(range(self.horizon), self._kernels(classes), strict=False):
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
                ended = counter.shift(ended)
            if count != "origin":
                after[0] += ended
            following = denominator * kernels["denominator"] if self.exact else 1
            yield _Flow(step, mass, denominator, stopped, whole, after, following, kernels)
            mass, denominator = after, following

    def _kernels(self, classes: _Classes) -> Iterator[dict[Any, Any]]:
        """Yield the kernels ``(contexts, tokens)`` of every step, by name.

        ``kernels[root, children]`` stops, ``kernels[root, children, which]`` descends, ``"target"`` draws
        bonus tokens, and ``"denominator"`` is what exact kernels are counted in. Floats of many steps are
        computed at once.
        """
        pair = self.pair
        if self._rows.stationary:
            kernels = next(self._some_kernels(classes, np.array([0])))
            while True:
                yield kernels
        chunk = 1 if self.exact else max(1, _CHUNK // (pair.contexts * pair.tokens))
        for first in range(0, self.horizon, chunk):
            yield from self._some_kernels(classes, np.arange(first, min(self.horizon, first + chunk)))

    def _some_kernels(self, classes: _Classes, steps: Array) -> Iterator[dict[Any, Any]]:
        if self._integers:
            weights = self.pair.target_weights[steps], self.pair.draft_weights[steps]
            target, draft = (table.astype(object) for table in weights)
            parameters: dict[str, Any] = {}
        else:
            target, draft, parameters = self._rows.at(steps)
        found: dict[Any, Any] = {"target": target}
        for root, children in classes.groups:
            wanted = [
                which for r, m, which in (move.kernel for move in classes.moves) if (r, m) == (root, children)
            ]
            taken, final = self._node(root, children, target, draft, parameters, wanted)
            found[root, children] = final
            for which, kernel in zip(wanted, taken, strict=True):
                found[root, children, which] = kernel
        for index in range(len(steps)):
            kernels = {key: kernel[index] for key, kernel in found.items()}
            if self._integers:
                kernels["denominator"] = self.pair.unit
            elif self.exact:
                kernels = _over_common_denominator(kernels)
            yield kernels

    def _node(
        self,
        root: bool,
        children: int | float,
        target: Array,
        draft: Array,
        parameters: dict[str, Any],
        wanted: list[tuple[int, ...] | None],
    ) -> tuple[list[Array], Array]:
        """Return the kernels that descend into the wanted children, and the one that stops."""
        law = self._law
        total = law.root_total if root else law.node_total
        self._refuse_children(children)
        if total is not None and self._usual and wanted == [None]:
            taken, final = total(target, draft, children, **parameters)
            return [taken], final
        if law.node is not None and self._usual:
            if children * target.size > _MOST_NUMBERS:
                raise TooLargeError(
                    f"a node has {children} children, each with {target.size} numbers; use fewer drafts"
                )
            taken, final = law.node(target, draft, int(children), **parameters)
        else:
            taken, final = self._by_tuples(int(children), target, draft, parameters)
        parts = [
            taken.sum(axis=-2) if which is None else taken[..., list(which), :].sum(axis=-2)
            for which in wanted
        ]
        return parts, final

    def _by_tuples(
        self, children: int, target: Array, draft: Array, parameters: dict[str, Any]
    ) -> tuple[Array, Array]:
        """Sum the rule's ``node_step`` over the tokens of all children."""
        step = self._law.node_step
        assert step is not None
        shape, vocabulary = target.shape, target.shape[-1]

        def flat(table: Any) -> Any:
            return table.reshape(-1, vocabulary) if isinstance(table, np.ndarray) else table

        target, draft = flat(target), flat(draft)
        tables = {name: flat(value) for name, value in parameters.items()}
        rows = len(target)
        taken, final = zeros((rows, children, vocabulary), target), zeros((rows, vocabulary), target)
        for tokens, mass in children_laws(draft, children, self._drawing, self._law.next_child):

            def wide(table: Any, tuples: int = tokens.shape[1]) -> Any:
                if not isinstance(table, np.ndarray):
                    return table
                return np.broadcast_to(table[:, None, :], (rows, tuples, vocabulary))

            options = {name: wide(value) for name, value in tables.items()}
            descend, stop = step(wide(target), wide(draft), tokens, **options)
            final = final + (mass[..., None] * stop).sum(axis=1)
            index = np.arange(rows * children).reshape(rows, 1, children) * vocabulary + tokens
            added = scatter(index.ravel(), (mass[..., None] * descend).ravel(), taken.size)
            taken = taken + added.reshape(taken.shape)
        return taken.reshape(*shape[:-1], children, vocabulary), final.reshape(shape)

    def chain(self) -> IntegerChain | None:
        """Return the chain of contexts in integers, where it does not matter where rounds start.

        That is so where all positions have the same kernel and there are no bonus tokens: a context moves by
        what is emitted and costs what it rejects.
        """
        classes = self._classes(True)
        waits = self._bonus and self.structure.depth < self.horizon
        if not self._integers or len(classes.groups) != 1 or waits:
            return None
        ((root, children),) = classes.groups

        def rows(first: int, last: int) -> tuple[Array, Array]:
            target, draft = self.pair.integer_rows(first, last)
            taken, final = self._node(root, children, target, draft, {}, [None])
            return taken[0] + final, final.sum(axis=-1)

        return IntegerChain(self.pair, self.horizon, rows)

    def _count_rounds(self, rounds: Array, classes: _Classes, flow: _Flow) -> None:
        depth, step = np.array(classes.depth), flow.step

        def add(start: Array, masses: Array) -> None:
            inside = (start >= 0) & (start < self.horizon)
            counts = self._vector(masses.sum(axis=(1, 2))[inside], flow.denominator)
            np.add.at(rounds, (start[inside], depth[inside]), counts)

        add(step - depth, flow.stopped)
        add(step - depth + (not self._bonus), flow.whole)
        if step + 1 == self.horizon:
            # What starts at the horizon is no round.
            add(step + 1 - depth, flow.after)

    def _add_emitted(self, tally: Tally, emitted: str, classes: _Classes, flow: _Flow) -> None:
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

    def _refuse_children(self, children: int | float) -> None:
        if self._drawing != "independent" and children > self.pair.tokens:
            raise InputError(
                f"a node has {children} children, more than the {self.pair.tokens} tokens, and they differ; "
                "use fewer drafts"
            )
        rows = self.pair.contexts * self.pair.tokens
        if self.exact and children != math.inf and 16.0 * children**2 * rows > _MOST_KERNEL_BITS:
            raise TooLargeError(
                f"{children} children of a node with {self.pair.contexts} contexts and {self.pair.tokens} "
                f"tokens: exact kernels have numbers of {32 * children} bits; use exact=False, fewer drafts, "
                "or drafts=inf"
            )

    def _refuse_absurd(self, kernels: dict[Any, Any], rows: int) -> None:
        bits = kernels["denominator"].bit_length() * self.horizon / 2
        work = 2.0 * rows * self.pair.contexts * self.pair.tokens * self.horizon * bits
        if work > _MOST_EXACT_WORK:
            raise TooLargeError(
                f"horizon is {self.horizon} with {self.pair.contexts} contexts, {self.pair.tokens} tokens: "
                f"exact numbers would reach {int(2 * bits)} bits; use exact=False or a smaller problem"
            )


def _over_common_denominator(kernels: dict[Any, Array]) -> dict[Any, Any]:
    """Write arrays of fmpq as Python integers over one denominator."""
    every = {int(value.q) for kernel in kernels.values() for value in kernel.ravel().tolist()}
    common = math.lcm(*every)
    found: dict[Any, Any] = {"denominator": common}
    for key, kernel in kernels.items():
        numbers = np.empty(kernel.size, dtype=object)
        numbers[:] = [int(value.p) * (common // int(value.q)) for value in kernel.ravel().tolist()]
        found[key] = numbers.reshape(kernel.shape)
    return found
