"""The best lossless verifier of the drafts of one round: a linear programme, solved and certified."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_array

from specsim.algorithms import Algorithm, Structure
from specsim.errors import TooLargeError, UnsupportedError
from specsim.grammar import as_algorithm
from specsim.theory.arithmetic.numbers import as_fraction
from specsim.theory.arithmetic.pair_tables import Pair, tables_of
from specsim.theory.certificates.formats import RoundCertificate
from specsim.theory.laws.drawings import children_laws
from specsim.theory.laws.rule_rows import RuleRows
from specsim.theory.statements.prefix_programs import Equation, solve_near

#: Most constraints of a programme, one for each draft, node and final token.
_MOST = 200_000
#: Constraints this close to equality are taken to be equalities of the exact solution.
_TIGHT = 1e-7

_Prefix = tuple[int, ...]
#: A draft: the tokens of the path to each node, and its probability.
_Draft = tuple[list[_Prefix], Fraction]


@dataclass(frozen=True, kw_only=True)
class RoundOptimum:
    """The largest expected accepted length of one round, over all lossless verifiers of its drafts.

    Attributes
    ----------
    value
        The bound that the certificate proves. Equal to the optimum where the programme's solution was
        recovered exactly, and above it by rounding otherwise.
    attained
        The value of the programme in floats; it differs from `value` by rounding only.
    certificate
        Accepted by `specsim.theory.check_certificate`.

    Examples
    --------
    >>> from specsim import Speculative, parse_pair
    >>> found = round_optimum(parse_pair("random:contexts=2,horizon=2,seed=1"), Speculative(draft_length=1))
    >>> abs(found.attained - float(found.value)) < 1e-9
    True
    """

    value: Fraction
    attained: float
    certificate: RoundCertificate


def round_optimum(pair: Pair, algorithm: Algorithm | str, *, horizon: int | None = None) -> RoundOptimum:
    """Return the best that any lossless verifier can do with the drafts of the first round.

    A verifier sees all drafted tokens and all rows. It stops at a node and writes one more token, where a
    position is left; after that the text goes on from the target. Lossless means that the text then has the
    target's law. The largest expected accepted length is a linear programme over the probabilities of
    stopping. Its dual has a price v(z) for each text z as long as a round can make it; with v(w) the
    target's mean of v over the texts that begin with w, the optimum is

        min over v of  E_target[v] + E_drafts[max over node and token y of (depth of node - v(path y))].

    Any prices give an upper bound, which is what the certificate states and the checker computes again.

    Parameters
    ----------
    pair
        A tiny pair.
    algorithm
        Its draft structure and drawing; its rule does not matter otherwise.
    horizon
        Tokens to emit. Defaults to None, the pair's own.

    Raises
    ------
    TooLargeError
        The programme has more than 200,000 constraints.
    UnsupportedError
        The rule draws its own drafts.

    Notes
    -----
    For one path block verification attains it (2403.10444, Theorem 2; 2602.16961). For several children of
    one node it is the optimal transport of 2310.15141. For several paths greedy multi-path blocks
    (2602.16961) attain it on some pairs and not on others.

    Examples
    --------
    >>> from specsim import Speculative
    >>> from specsim.theory import RationalPair
    >>> third = Fraction(1, 3)
    >>> pair = RationalPair.independent([third, 2 * third], [2 * third, third], horizon=3)
    >>> round_optimum(pair, Speculative(draft_length=2)).value
    Fraction(11, 9)
    """
    tables = tables_of(pair)
    horizon = tables.check_horizon(horizon)
    algorithm = as_algorithm(algorithm)
    structure = algorithm.structure(horizon)
    if algorithm.drawing == "own":
        raise UnsupportedError(
            f"algorithm is {algorithm.label}, which draws its own drafts; the optimum is known for drafts "
            "that are independent, distinct or greedy"
        )
    length = min(structure.depth + 1, horizon)
    nodes = structure.size
    count = nodes * tables.tokens**nodes if nodes < 64 else float("inf")
    if count > _MOST:
        raise TooLargeError(
            f"{nodes - 1} drafted tokens of {tables.tokens} make {count:.0e} constraints, at most {_MOST}; "
            "use a smaller structure or vocabulary"
        )
    rows = RuleRows(tables, algorithm, horizon, True)
    target, draft, _ = rows.at(np.arange(length))
    prices: list[tuple[Fraction, ...]] = []
    value, attained = Fraction(0), 0.0
    for context, initial in enumerate(rows.initial.tolist()):
        if not initial:
            prices.append(())
            continue
        programme = _Programme(
            _prefixes(target, tables.next_context, context, length),
            list(_drafts(structure, draft, tables.next_context, context, algorithm)),
            structure,
        )
        found = programme.solve()
        mass = as_fraction(initial)
        prices.append(found.prices)
        value += mass * found.value
        attained += float(mass) * found.attained
    certificate = RoundCertificate(
        pair=tables.pair.identity,
        horizon=horizon,
        parents=tuple(structure.parents),
        drawing=algorithm.drawing,
        value=value,
        prices=tuple(prices),
    )
    return RoundOptimum(value=value, attained=attained, certificate=certificate)


def _prefixes(
    target: NDArray[Any], following: NDArray[np.int64], context: int, length: int
) -> dict[_Prefix, list[Fraction]]:
    """Return the target's row after each prefix shorter than `length`, shorter prefixes first."""
    contexts: dict[_Prefix, int] = {(): context}
    found = {}
    for n in range(length):
        for prefix in product(range(target.shape[-1]), repeat=n):
            here = contexts.pop(prefix)
            found[prefix] = [as_fraction(value) for value in target[n, here]]
            for token, after in enumerate(following[here].tolist()):
                contexts[*prefix, token] = after
    return found


def _drafts(
    structure: Structure,
    draft: NDArray[Any],
    following: NDArray[np.int64],
    context: int,
    algorithm: Algorithm,
) -> Iterator[_Draft]:
    """Yield every draft of positive probability."""

    def grow(node: int, known: list[_Prefix], contexts: list[int], mass: Fraction) -> Iterator[_Draft]:
        while node < structure.size and not structure.children(node):
            node += 1
        if node == structure.size:
            yield known, mass
            return
        row = draft[structure.depths[node], contexts[node]][None]
        children = len(structure.children(node))
        for tuples, masses in children_laws(row, children, algorithm.drawing, None):
            for drawn, share in zip(tuples[0].tolist(), masses[0].tolist(), strict=True):
                if share:
                    yield from grow(
                        node + 1,
                        [*known, *((*known[node], token) for token in drawn)],
                        [*contexts, *(int(following[contexts[node], token]) for token in drawn)],
                        mass * as_fraction(share),
                    )

    return grow(0, [()], [context], Fraction(1))


@dataclass(frozen=True, kw_only=True)
class _Solution:
    prices: tuple[Fraction, ...]
    value: Fraction
    attained: float


class _Programme:
    """The dual programme of one first context. Unknowns: v of every prefix, then one cost per draft."""

    def __init__(self, rows: dict[_Prefix, list[Fraction]], drafts: list[_Draft], structure: Structure):
        self._rows, self._drafts = rows, drafts
        self._tokens, self._length = len(rows[()]), len(next(reversed(rows))) + 1
        lengths = range(self._length + 1)
        every = [prefix for n in lengths for prefix in product(range(self._tokens), repeat=n)]
        self._index = {prefix: number for number, prefix in enumerate(every)}
        #: Draft, depth of the node and the text after it: the cost is at least depth - v(text).
        self._limits = [
            (number, structure.depths[node], text)
            for number, (known, _) in enumerate(drafts)
            for node, path in enumerate(known)
            for text in self._texts(path)
        ]

    def _texts(self, path: _Prefix) -> list[_Prefix]:
        return [(*path, y) for y in range(self._tokens)] if len(path) < self._length else [path]

    def solve(self) -> _Solution:
        """Solve it in floats, recover the exact solution, and state what its prices prove."""
        prefixes, inner = len(self._index), len(self._rows)
        size = prefixes + len(self._drafts)
        means = [
            (row, self._index[prefix], 1.0) for row, prefix in enumerate(self._rows)
        ] + [
            (row, self._index[*prefix, y], -float(mass))
            for row, (prefix, masses) in enumerate(self._rows.items())
            for y, mass in enumerate(masses)
        ]  # fmt: skip
        limits = [(row, prefixes + draft, -1.0) for row, (draft, _, _) in enumerate(self._limits)]
        limits += [(row, self._index[text], -1.0) for row, (_, _, text) in enumerate(self._limits)]
        found = linprog(
            [0.0] * prefixes + [float(mass) for _, mass in self._drafts],
            A_ub=_matrix(limits, (len(self._limits), size)),
            b_ub=[-float(depth) for _, depth, _ in self._limits],
            A_eq=_matrix(means, (inner, size)),
            b_eq=np.zeros(inner),
            # Adding a number to all prices changes nothing, so the mean of all may be 0.
            bounds=[(0, 0)] + [(None, None)] * (size - 1),
            method="highs-ds",
        )
        if found.x is None:
            raise RuntimeError(f"HiGHS did not solve the programme of the round: {found.message}")
        leaves = self._recovered(found.x)
        least = min(leaves)
        prices = tuple(price - least for price in leaves)
        return _Solution(prices=prices, value=self._value(prices), attained=float(found.fun))

    def _recovered(self, near: NDArray[np.float64]) -> list[Fraction]:
        """Return prices of whole texts that solve exactly what holds with equality in floats."""
        one, prefixes = Fraction(1), len(self._index)
        equations: list[Equation] = [({0: one}, Fraction(0))]
        for prefix, masses in self._rows.items():
            left = {self._index[prefix]: one}
            for y, mass in enumerate(masses):
                left[self._index[*prefix, y]] = -mass
            equations.append((left, Fraction(0)))
        for draft, depth, text in self._limits:
            if near[prefixes + draft] + near[self._index[text]] - depth < _TIGHT:
                equations.append(({prefixes + draft: one, self._index[text]: one}, Fraction(depth)))
        values = solve_near(equations, near.tolist())
        first = prefixes - self._tokens**self._length
        if values is None:
            return [Fraction(value).limit_denominator(2**32) for value in near[first:prefixes].tolist()]
        return values[first:prefixes]

    def _value(self, prices: tuple[Fraction, ...]) -> Fraction:
        first = len(self._index) - len(prices)
        means = dict(zip(list(self._index)[first:], prices, strict=True))
        for prefix, masses in reversed(self._rows.items()):
            means[prefix] = sum(
                (mass * means[*prefix, y] for y, mass in enumerate(masses)), start=Fraction(0)
            )
        costs: dict[int, Fraction] = {}
        for draft, depth, text in self._limits:
            costs[draft] = max(costs.get(draft, depth - means[text]), depth - means[text])
        return means[()] + sum(
            (mass * costs[number] for number, (_, mass) in enumerate(self._drafts)), start=Fraction(0)
        )


def _matrix(entries: list[tuple[int, int, float]], shape: tuple[int, int]) -> Any:
    rows, columns, values = zip(*entries, strict=True)
    return coo_array((values, (rows, columns)), shape=shape).tocsr()
