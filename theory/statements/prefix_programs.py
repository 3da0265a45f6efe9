"""The linear programme of the sequence-level front: its tree, HiGHS, and recovery of exact solutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.errors import TooLargeError
from specsim.theory.arithmetic.rational_pair import RationalPair
from specsim.theory.certificates.formats import FrontLine, FrontPoint

MAX_OUTPUTS = 1024
_TIGHT = 1e-9
_ROUND = 2**40

Equation = tuple[dict[int, Fraction], Fraction]


@dataclass(frozen=True, kw_only=True)
class PrefixTree:
    """Every prefix of every output, level by level, with exact probabilities.

    Node 0..roots-1 are the first contexts of positive probability; the children of a node follow one another
    in the order of tokens, and levels follow one another.

    tokens: children per node.
    offsets: first node of each level 0..horizon, and the number of nodes as the last entry.
    parents: parent of every node; -1 for roots.
    draft: draft probability of the node's last token; 1 for roots.
    target_mass: probability of the prefix under the target, first context included.
    """

    tokens: int
    offsets: tuple[int, ...]
    parents: tuple[int, ...]
    draft: tuple[Fraction, ...]
    target_mass: tuple[Fraction, ...]

    @classmethod
    def unroll(cls, pair: RationalPair) -> PrefixTree:
        """Unroll the contexts of a pair into prefixes.

        TooLargeError: more than 1024 outputs.
        """
        contexts = [c for c, mass in enumerate(pair.initial) if mass]
        check_outputs(len(contexts), pair.tokens, pair.horizon)
        parents = [-1] * len(contexts)
        draft = [Fraction(1)] * len(contexts)
        mass = [pair.initial[c] for c in contexts]
        offsets = [0, len(contexts)]
        level = contexts
        for step in range(pair.horizon):
            following = []
            for i, context in enumerate(level):
                node = offsets[-2] + i
                for x, (t, d) in enumerate(
                    zip(pair.target_row(step, context), pair.draft_row(step, context), strict=True)
                ):
                    parents.append(node)
                    draft.append(d)
                    mass.append(mass[node] * t)
                    following.append(pair.next_context[context][x])
            offsets.append(len(parents))
            level = following
        return cls(
            tokens=pair.tokens,
            offsets=tuple(offsets),
            parents=tuple(parents),
            draft=tuple(draft),
            target_mass=tuple(mass),
        )

    @property
    def roots(self) -> int:
        """Number of roots."""
        return self.offsets[1]

    @property
    def nodes(self) -> int:
        """Number of nodes, roots included."""
        return self.offsets[-1]

    @property
    def first_leaf(self) -> int:
        """The first node that is a whole output."""
        return self.offsets[-2]

    def children(self, node: int) -> range:
        """Return the children of a node that is not a leaf."""
        first = self.roots + node * self.tokens
        return range(first, first + self.tokens)

    def masses(self, law: Sequence[Fraction]) -> list[Fraction]:
        """Return the masses of all nodes under a law of the outputs."""
        mass = [Fraction(0)] * self.first_leaf + list(law)
        for node in range(self.nodes - 1, self.roots - 1, -1):
            mass[self.parents[node]] += mass[node]
        return mass

    def point(self, law: Sequence[Fraction]) -> FrontPoint:
        """Return bias and smallest expected rejections of a law of the outputs."""
        mass = self.masses(law)
        zero = Fraction(0)
        leaves = range(self.first_leaf, self.nodes)
        return FrontPoint(
            bias=sum((max(self.target_mass[v] - mass[v], zero) for v in leaves), zero),
            rejections=sum(
                (
                    max(mass[v] - self.draft[v] * mass[self.parents[v]], zero)
                    for v in range(self.roots, self.nodes)
                ),
                zero,
            ),
            law=tuple(law),
        )

    def draft_law(self) -> list[Fraction]:
        """Return the law of the outputs under the draft."""
        mass = list(self.target_mass[: self.roots])
        for node in range(self.roots, self.nodes):
            mass.append(mass[self.parents[node]] * self.draft[node])
        return mass[self.first_leaf :]

    def line(self, price: Fraction, y: Sequence[Fraction], z: Sequence[Fraction]) -> FrontLine:
        """Return the lower line that multipliers in their boxes prove, with its exact intercept."""
        zero = Fraction(0)
        least = self.least_costs(list(y), [-value for value in z], zero)
        leaves = range(self.first_leaf, self.nodes)
        intercept = sum((self.target_mass[v] * value for v, value in zip(leaves, z, strict=True)), zero)
        intercept += sum((self.target_mass[r] * least[r] for r in range(self.roots)), zero)
        start = self.roots
        return FrontLine(
            price=price,
            intercept=intercept,
            rejection_prices=tuple(
                tuple(y[a - start : b - start])
                for a, b in zip(self.offsets[1:-1], self.offsets[2:], strict=True)
            ),
            bias_prices=tuple(z),
        )

    def least_costs(self, y: list[Any], leaf_costs: list[Any], zero: Fraction | float) -> list[Any]:
        """Return the cost per unit of mass at each node when all mass below goes to the cheapest children."""
        cost = [zero] * self.first_leaf + leaf_costs
        for node in range(self.first_leaf - 1, -1, -1):
            below = self.children(node)
            cost[node] = min(y[w - self.roots] + cost[w] for w in below) - sum(
                y[w - self.roots] * (self.draft[w] if isinstance(zero, Fraction) else float(self.draft[w]))
                for w in below
            )
        return cost


def check_outputs(roots: int, tokens: int, horizon: int) -> None:
    """Raise `TooLargeError` when there are more outputs than are unrolled."""
    outputs = roots * tokens ** min(horizon, 64)
    if outputs > MAX_OUTPUTS:
        raise TooLargeError(
            f"horizon {horizon} with {tokens} tokens and {roots} first contexts has "
            f"{outputs if outputs < 10**9 else 'over 10^9'} outputs; at most {MAX_OUTPUTS} are unrolled, "
            "use a shorter horizon"
        )


@dataclass(frozen=True, kw_only=True)
class FloatSolution:
    """What HiGHS found: node masses, multipliers of rejections per node (no roots) and of bias per leaf."""

    mass: NDArray[np.float64]
    y: NDArray[np.float64]
    z: NDArray[np.float64]


def solve_price(tree: PrefixTree, price: Fraction) -> FloatSolution:
    """Minimise rejections + price * bias over all laws of the outputs, in float64 with HiGHS.

    Variables: masses of the non-root nodes, their rejections u_v >= o_v - D_v o_parent, and the shortfalls
    e_l >= T_l - o_l of the leaves.
    """
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    roots, first, count = tree.roots, tree.first_leaf, tree.nodes - tree.roots
    leaves = tree.nodes - first
    inner = np.arange(count)
    parents = np.array(tree.parents[roots:])
    draft = np.array([float(d) for d in tree.draft[roots:]])
    target = np.array([float(t) for t in tree.target_mass])
    free = parents >= roots

    flow = coo_array(
        (
            np.concatenate([np.ones(count), -np.ones(first - roots)]),
            (
                np.concatenate([parents, np.arange(roots, first)]),
                np.concatenate([inner, np.arange(first - roots)]),
            ),
        ),
        shape=(first, 2 * count + leaves),
    )
    supply = np.zeros(first)
    supply[:roots] = target[:roots]
    limits = coo_array(
        (
            np.concatenate(
                [np.ones(count), -draft[free], -np.ones(count), -np.ones(leaves), -np.ones(leaves)]
            ),
            (
                np.concatenate(
                    [inner, inner[free], inner, count + np.arange(leaves), count + np.arange(leaves)]
                ),
                np.concatenate(
                    [
                        inner,
                        parents[free] - roots,
                        count + inner,
                        first - roots + np.arange(leaves),
                        2 * count + np.arange(leaves),
                    ]
                ),
            ),
        ),
        shape=(count + leaves, 2 * count + leaves),
    )
    bounds = np.concatenate([np.where(free, 0.0, draft * target[np.maximum(parents, 0)]), -target[first:]])
    cost = np.concatenate([np.zeros(count), np.ones(count), np.full(leaves, float(price))])
    found = linprog(
        cost,
        A_ub=limits.tocsr(),
        b_ub=bounds,
        A_eq=flow.tocsr(),
        b_eq=supply,
        method="highs-ds",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if found.x is None:
        raise RuntimeError(f"HiGHS did not solve the programme of the front: {found.message}")
    prices = -np.asarray(found.ineqlin.marginals)
    return FloatSolution(
        mass=np.concatenate([target[:roots], found.x[:count]]),
        y=np.clip(prices[:count], 0, 1),
        z=np.clip(prices[count:], 0, float(price)),
    )


def exact_law(tree: PrefixTree, mass: NDArray[np.float64]) -> list[Fraction]:
    """Exact law near a float solution: the vertex its tight constraints define, or else a rounded law."""
    known: list[Fraction | None] = list(tree.target_mass[: tree.roots])
    unknown: list[tuple[int, Fraction] | None] = [None] * tree.roots
    equations: list[Equation] = []
    guesses: list[float] = []

    def term(node: int) -> Equation:
        if known[node] is not None:
            return {}, known[node]  # type: ignore[return-value]
        index, factor = unknown[node]  # type: ignore[misc]
        return {index: factor}, Fraction(0)

    for v in range(tree.roots, tree.nodes):
        parent, d = tree.parents[v], tree.draft[v]
        fixed: Fraction | None = None
        if v >= tree.first_leaf and abs(mass[v] - float(tree.target_mass[v])) < _TIGHT:
            fixed = tree.target_mass[v]
        elif mass[v] < _TIGHT:
            fixed = Fraction(0)
        if abs(mass[v] - float(d) * mass[parent]) < _TIGHT:
            if known[parent] is not None:
                known.append(d * known[parent])  # type: ignore[operator]
                unknown.append(None)
            else:
                index, factor = unknown[parent]  # type: ignore[misc]
                known.append(None)
                unknown.append((index, factor * d))
            if fixed is not None:
                coefficients, constant = term(v)
                equations.append((coefficients, fixed - constant))
        elif fixed is not None:
            known.append(fixed)
            unknown.append(None)
        else:
            known.append(None)
            unknown.append((len(guesses), Fraction(1)))
            guesses.append(float(mass[v]))
    for parent in range(tree.first_leaf):
        coefficients, constant = term(parent)
        left = {i: -c for i, c in coefficients.items()}
        for child in tree.children(parent):
            more, extra = term(child)
            constant -= extra
            for i, c in more.items():
                left[i] = left.get(i, Fraction(0)) + c
        equations.append((left, constant))
    values = solve_near(equations, guesses)
    if values is not None:
        law = []
        for v in range(tree.first_leaf, tree.nodes):
            coefficients, constant = term(v)
            law.append(constant + sum((c * values[i] for i, c in coefficients.items()), Fraction(0)))
        if min(law) >= 0 and tree.masses(law)[: tree.roots] == list(tree.target_mass[: tree.roots]):
            return law
    return _rounded_law(tree, mass)


def _rounded_law(tree: PrefixTree, mass: NDArray[np.float64]) -> list[Fraction]:
    law = [Fraction(round(max(value, 0.0) * _ROUND), _ROUND) for value in mass[tree.first_leaf :]]
    per_root = len(law) // tree.roots
    out: list[Fraction] = []
    for r in range(tree.roots):
        part = law[r * per_root : (r + 1) * per_root]
        total = sum(part, Fraction(0))
        wanted = tree.target_mass[r]
        if total == 0:
            # All mass was lost to rounding; the target's own law is always feasible.
            start = tree.first_leaf + r * per_root
            out += tree.target_mass[start : start + per_root]
        else:
            out += [value * wanted / total for value in part]
    return out


def exact_line(tree: PrefixTree, price: Fraction, found: FloatSolution) -> FrontLine:
    """Exact dual solution near a float one: the vertex its tight constraints define, else rounded."""
    zero, one = Fraction(0), Fraction(1)
    roots, first = tree.roots, tree.first_leaf
    guesses: list[float] = []

    def read(value: float, top: Fraction) -> Equation:
        if value < _TIGHT:
            return {}, zero
        if value > float(top) - _TIGHT:
            return {}, top
        guesses.append(float(value))
        return {len(guesses) - 1: one}, zero

    y = [read(value, one) for value in found.y]
    z = [read(value, price) for value in found.z]
    cost = tree.least_costs(found.y.tolist(), (-found.z).tolist(), 0.0)
    # `through[p]` is the cheapest y + cost among the children of p, one more unknown per inner node.
    through = len(guesses)
    for p in range(first):
        guesses.append(min(found.y[w - roots] + cost[w] for w in tree.children(p)))
    equations: list[Equation] = []
    for w in range(roots, tree.nodes):
        p = tree.parents[w]
        if found.y[w - roots] + cost[w] - guesses[through + p] > _TIGHT:
            continue
        left: dict[int, Fraction] = {through + p: -one}
        right = zero
        parts = [(one, y[w - roots])]
        if w >= first:
            parts.append((-one, z[w - first]))
        else:
            left[through + w] = one
            parts += [(-tree.draft[x], y[x - roots]) for x in tree.children(w)]
        for factor, (coefficients, constant) in parts:
            right -= factor * constant
            for i, c in coefficients.items():
                left[i] = left.get(i, zero) + factor * c
        equations.append((left, right))
    values = solve_near(equations, guesses)

    def value(entry: Equation, top: Fraction) -> Fraction:
        coefficients, constant = entry
        if values is None:
            constant += sum(
                (c * Fraction(round(guesses[i] * _ROUND), _ROUND) for i, c in coefficients.items()), zero
            )
        else:
            constant += sum((c * values[i] for i, c in coefficients.items()), zero)
        return min(max(constant, zero), top)

    return tree.line(price, [value(entry, one) for entry in y], [value(entry, price) for entry in z])


def solve_near(equations: Sequence[Equation], guesses: Sequence[float]) -> list[Fraction] | None:
    """Solve linear equations exactly; unknowns left free take their rounded guess; None if inconsistent.

    Gauss elimination on sparse rows, shortest row first; the equations of a tree hardly fill in.
    """
    from flint import fmpq

    rows: dict[int, dict[int, Any]] = {}
    right: dict[int, Any] = {}
    using: dict[int, set[int]] = {}
    for r, (left, constant) in enumerate(equations):
        row = {i: fmpq(c.numerator, c.denominator) for i, c in left.items() if c}
        if not row:
            if constant:
                return None
            continue
        rows[r] = row
        right[r] = fmpq(constant.numerator, constant.denominator)
        for i in row:
            using.setdefault(i, set()).add(r)
    solved: list[tuple[int, dict[int, Any], Any]] = []
    waiting = [(len(row), r) for r, row in rows.items()]
    heapify(waiting)
    while waiting:
        size, r = heappop(waiting)
        if r not in rows:
            continue
        row, constant = rows[r], right[r]
        if not row:
            if constant != 0:
                return None
            del rows[r]
            continue
        if len(row) != size:
            heappush(waiting, (len(row), r))
            continue
        del rows[r]
        for i in row:
            using[i].discard(r)
        pivot = min(row, key=lambda i: (len(using[i]), i))
        scale = row.pop(pivot)
        row = {i: c / scale for i, c in row.items()}
        constant /= scale
        solved.append((pivot, row, constant))
        for other in list(using[pivot]):
            target = rows[other]
            factor = target.pop(pivot)
            for i, c in row.items():
                value = target.get(i, 0) - factor * c
                if value == 0:
                    if target.pop(i, None) is not None:
                        using[i].discard(other)
                else:
                    target[i] = value
                    using[i].add(other)
            right[other] -= factor * constant
            heappush(waiting, (len(target), other))
        using[pivot].clear()
    exact: list[Any] = [fmpq(round(guess * _ROUND), _ROUND) for guess in guesses]
    for pivot, row, constant in reversed(solved):
        exact[pivot] = constant - sum((c * exact[i] for i, c in row.items()), fmpq(0))
    return [Fraction(int(value.p), int(value.q)) for value in exact]
