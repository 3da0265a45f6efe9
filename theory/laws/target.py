"""The target model's own laws, against which every output law is held."""

from collections.abc import Iterator

import numpy as np

from specsim.errors import TooLargeError
from specsim.support.arrays import Array
from specsim.theory.arithmetic.pair_tables import Pair, PairTables, tables_of
from specsim.theory.laws.states import land

_MAX_PATHS = 2**20
_MAX_EXACT_PATHS = 2**16


def rows_of(pair: PairTables, step: int, exact: bool) -> tuple[Array, Array]:
    """Return target and draft rows of `step` (from 0), ``(contexts, tokens)``, as floats or Fractions."""
    index = pair.step_index(step)
    if not exact:
        return pair.target[index], pair.draft[index]
    return pair.fractions(pair.target_weights[index]), pair.fractions(pair.draft_weights[index])


def initial_law(pair: PairTables, exact: bool) -> Array:
    """Return the law of the first context, ``(contexts,)``."""
    return pair.fractions(pair.initial_weights) if exact else pair.initial.copy()


def emit(pair: PairTables, mass: Array, kernel: Array) -> Array:
    """Mass on the contexts after emitting a token: ``(contexts,)`` by ``(contexts, tokens)``."""
    return land(pair, mass[:, None] * kernel)


def target_context_laws(pair: PairTables, horizon: int, exact: bool) -> Iterator[Array]:
    """Yield the target's law of the context before each step, ``(contexts,)``."""
    law = initial_law(pair, exact)
    for step in range(horizon):
        yield law
        law = emit(pair, law, rows_of(pair, step, exact)[0])


def target_law(pair: Pair | PairTables, *, horizon: int | None = None, exact: bool = False) -> Array:
    """Return the target's law of the whole sequence, shape ``(tokens ** horizon,)``.

    Parameters
    ----------
    pair
        Only its target and its initial law matter.
    horizon
        Tokens to emit. Defaults to None, the pair's own.
    exact
        Whether to return Fractions. Defaults to False.

    Raises
    ------
    TooLargeError
        There are too many sequences; use `target_marginals`.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> theory.target_law(paper_pair(2)).shape
    (49,)
    """
    pair = tables_of(pair)
    horizon = pair.check_horizon(horizon)
    limit = _MAX_EXACT_PATHS if exact else _MAX_PATHS
    if pair.tokens**horizon > limit:
        raise TooLargeError(
            f"horizon is {horizon} with {pair.tokens} tokens: the law of the whole sequence has "
            f"{pair.tokens}**{horizon} entries (at most {limit}); use target_marginals"
        )
    total: Array | None = None
    initial = initial_law(pair, exact)
    for prompt in np.flatnonzero(initial):
        law = initial[prompt : prompt + 1]
        contexts = np.array([prompt])
        for step in range(horizon):
            row = rows_of(pair, step, exact)[0][contexts]
            law = (law[:, None] * row).ravel()
            contexts = pair.next_context[contexts].ravel()
        total = law if total is None else total + law
    assert total is not None
    return total


def target_marginals(pair: Pair | PairTables, *, horizon: int | None = None, exact: bool = False) -> Array:
    """Return the target's law of the token at each position, shape ``(horizon, tokens)``.

    Parameters are those of `target_law`.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> theory.target_marginals(paper_pair(2)).round(2)[0]
    array([0.14, 0.14, 0.16, 0.13, 0.12, 0.13, 0.19])
    """
    pair = tables_of(pair)
    horizon = pair.check_horizon(horizon)
    laws = target_context_laws(pair, horizon, exact)
    return np.array(
        [law @ rows_of(pair, step, exact)[0] for step, law in enumerate(laws)],
        dtype=object if exact else np.float64,
    )
