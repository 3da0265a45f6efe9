"""What no verifier can beat: the overlap of what is drafted and what the target emits, length by length."""

from fractions import Fraction
from typing import Any, Literal, overload

import numpy as np

from specsim.algorithms import Algorithm, Structure
from specsim.errors import TooLargeError
from specsim.grammar import as_algorithm
from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import as_fraction, one_of, ones, zeros
from specsim.theory.arithmetic.pair_tables import Pair, tables_of
from specsim.theory.laws.drawings import children_laws
from specsim.theory.laws.rule_rows import RuleRows
from specsim.theory.step_laws import step_law_of

#: Most numbers in the laws of all prefixes of the longest length.
_MOST = {False: 2**22, True: 2**17}


@overload
def joint_bound(
    pair: Pair, algorithm: Algorithm | str, *, horizon: int | None = None, exact: Literal[False] = False
) -> float: ...
@overload
def joint_bound(
    pair: Pair, algorithm: Algorithm | str, *, horizon: int | None = None, exact: Literal[True]
) -> Fraction: ...
@overload
def joint_bound(
    pair: Pair, algorithm: Algorithm | str, *, horizon: int | None = None, exact: bool
) -> float | Fraction: ...
def joint_bound(
    pair: Pair, algorithm: Algorithm | str, *, horizon: int | None = None, exact: bool = False
) -> float | Fraction:
    """Bound the expected accepted length of the first round of any lossless verifier of these drafts.

    An accepted prefix was drafted, and the target emits it. So of each prefix w at most
    ``min(Pr(w is drafted), T(w))`` is accepted, whatever the verifier looks at, and the expected accepted
    length is at most the sum of these over all lengths and prefixes. For one path the first probability is
    D(w); a node of several children drafts w when one of them does.

    Parameters
    ----------
    pair
        The models.
    algorithm
        Its draft structure and drawing; its rule does not matter otherwise.
    horizon
        Tokens to emit. Defaults to None, the pair's own.
    exact
        Whether to return a Fraction. Defaults to False, a float.

    Raises
    ------
    TooLargeError
        There are too many prefixes.

    Notes
    -----
    Stated for one path in 2403.10444. The bound need not be attained: see `round_optimum`.

    Examples
    --------
    >>> from specsim import Speculative
    >>> from specsim.theory import RationalPair
    >>> third = Fraction(1, 3)
    >>> pair = RationalPair.independent([third, 2 * third], [2 * third, third], horizon=3)
    >>> joint_bound(pair, Speculative(draft_length=2), exact=True)
    Fraction(4, 3)
    """
    tables = tables_of(pair)
    horizon = tables.check_horizon(horizon)
    algorithm = as_algorithm(algorithm)
    structure = algorithm.structure(horizon)
    # Compared by logarithms, since the power may have millions of digits.
    prefixes = structure.depth * np.log2(tables.tokens) + np.log2(tables.contexts)
    if prefixes > np.log2(_MOST[exact]):
        raise TooLargeError(
            f"{structure.depth} drafted tokens of {tables.tokens} in {tables.contexts} contexts have 2^"
            f"{prefixes:.1f} prefixes, at most 2^{np.log2(_MOST[exact]):.0f}; use a shorter draft"
        )
    rows = RuleRows(tables, algorithm, horizon, exact)
    target, draft, _ = rows.at(np.arange(max(structure.depth, 1)))
    drafted = _Drafted(structure, draft, tables.next_context, algorithm)
    total: Any = one_of(rows.initial) * 0
    for length in range(1, structure.depth + 1):
        emitted = _emitted(target[:length], tables.next_context)
        total += rows.initial @ np.minimum(emitted, drafted.law(0, length)).sum(axis=-1)
    return as_fraction(total) if exact else float(total)


def _emitted(target: Array, following: Array) -> Array:
    """Return the probability of each prefix in each context, ``(contexts, V^length)``."""
    law = ones((target.shape[1], 1), target)
    for row in target[::-1]:
        law = (row[..., None] * law[following]).reshape(len(row), -1)
    return law


class _Drafted:
    """The probability that some node of a structure spells a prefix."""

    def __init__(self, structure: Structure, draft: Array, following: Array, algorithm: Algorithm) -> None:
        self._structure, self._draft, self._following = structure, draft, following
        self._drawing = algorithm.drawing
        self._own = step_law_of(algorithm.rule).next_child if self._drawing == "own" else None

    def law(self, node: int, length: int) -> Array:
        """Return it for the nodes `length` below a node, in each context of it, ``(contexts, V^length)``."""
        row = self._draft[min(self._structure.depths[node], len(self._draft) - 1)]
        one = one_of(row)
        if length == 0:
            return ones((len(row), 1), row)
        children = self._structure.children(node)
        if not children:
            return zeros((len(row), row.shape[-1] ** length), row)
        # By first token and what follows it: the probability that this child's nodes spell the rest.
        rest = [self._following_law(child, length - 1) for child in children]
        if self._drawing == "independent":
            missed = ones(rest[0].shape, row)
            for below in rest:
                missed = missed * (one - row[..., None] * below)
            return (one - missed).reshape(len(row), -1)
        found = zeros(rest[0].shape, row)
        for tokens, mass in children_laws(row, len(children), self._drawing, self._own):
            every = np.arange(row.shape[-1])
            missed = ones((*tokens.shape[:2], *rest[0].shape[1:]), row)
            for k, below in enumerate(rest):
                spelt = (tokens[..., k, None] == every)[..., None]
                missed = np.where(spelt, missed * (one - below[:, None]), missed)
            found = found + (mass[..., None, None] * (one - missed)).sum(axis=1)
        return found.reshape(len(row), -1)

    def _following_law(self, child: int, length: int) -> Array:
        """Return `law` of a child by context of its parent and token, ``(contexts, V, V^length)``."""
        return self.law(child, length)[self._following]
