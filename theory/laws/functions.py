"""The exact laws of every descriptor: expectations, whole laws, marginals.

Every function takes the pair and the descriptor, ``horizon=None`` (the pair's own) and ``exact=False``.
With ``exact=True`` numbers are `fractions.Fraction` (arrays have dtype object), otherwise float64. The
recursion is that of 2411.00841 (proofs of Theorems 1 and 3) carried through whole rounds; it is checked
against `specsim.theory.enumerate_outcomes`.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm, BlockVerification
from specsim.theory.arithmetic.pair_tables import Pair, tables_of
from specsim.theory.laws.block_laws import BlockLaws
from specsim.theory.laws.local_laws import LocalLaws

Array = NDArray[Any]


class Laws(Protocol):
    """What a family of descriptors provides; the functions of this module only pass on."""

    def rejections_by_step(self) -> Array:
        """Shape ``(horizon,)``."""

    def expected_rejections(self) -> Any:
        """Return a number."""

    def expected_target_calls(self) -> Any:
        """Return a number."""

    def rejection_law(self) -> Array:
        """Shape ``(horizon + 1,)``."""

    def target_call_law(self) -> Array:
        """Shape ``(horizon + 1,)``."""

    def rejection_variance(self) -> Any:
        """Return a number."""

    def accepted_length_counts(self, first_round: bool = False) -> Array:
        """Shape ``(horizon + 1,)``."""

    def output_law(self) -> Array:
        """Shape ``(tokens ** horizon,)``."""

    def output_marginals(self) -> Array:
        """Shape ``(horizon, tokens)``."""

    def transition_marginals(self) -> Array:
        """Shape ``(horizon, contexts, tokens)``."""


@singledispatch
def laws_class(algorithm: Algorithm) -> Any:
    """Return the class that computes the laws of a descriptor; register other recursions here."""
    return LocalLaws


@laws_class.register
def _(algorithm: BlockVerification) -> Any:
    return BlockLaws


def _laws(pair: Pair, algorithm: Algorithm, horizon: int | None, exact: bool) -> Laws:
    tables = tables_of(pair)
    laws: Laws = laws_class(algorithm)(tables, algorithm, tables.check_horizon(horizon), exact)
    return laws


def expected_rejections(
    pair: Pair, algorithm: Algorithm, *, horizon: int | None = None, exact: bool = False
) -> Any:
    """Return the expected number of rejections, E[N_rej].

    Parameters
    ----------
    pair, algorithm
        What decodes.
    horizon
        Tokens to emit. Defaults to None, the pair's own.
    exact
        Whether to return a `fractions.Fraction`. Defaults to False.

    Returns
    -------
    float or Fraction

    Raises
    ------
    UnsupportedError
        Theory does not know the descriptor.
    TooLargeError
        The exact numbers would have absurdly many digits.

    Notes
    -----
    2411.00841, Theorems 1 and 3, by the recursion F_n = (mu_{n-1} - F_{n-1}) H_n + F_{n-1} W_n with H the
    follow and W the root rejection kernel, generalised to finite draft lengths and bonus tokens.
    """
    return _laws(pair, algorithm, horizon, exact).expected_rejections()


def expected_target_calls(
    pair: Pair, algorithm: Algorithm, *, horizon: int | None = None, exact: bool = False
) -> Any:
    """Return the expected number of target calls, that is of rounds (2411.00841, Definition 1).

    Parameters, errors and the type returned are those of `expected_rejections`.
    """
    return _laws(pair, algorithm, horizon, exact).expected_target_calls()


def rejections_by_step(
    pair: Pair, algorithm: Algorithm, *, horizon: int | None = None, exact: bool = False
) -> Array:
    """Return Pr(R_n = 1) for n = 1..horizon, shape ``(horizon,)``.

    Parameters and errors are those of `expected_rejections`.
    """
    return _laws(pair, algorithm, horizon, exact).rejections_by_step()


def rejection_law(
    pair: Pair, algorithm: Algorithm, *, horizon: int | None = None, exact: bool = False
) -> Array:
    """Return the law of the number of rejections, shape ``(horizon + 1,)``.

    Parameters and errors are those of `expected_rejections`. The count is one more coordinate of the state.
    """
    return _laws(pair, algorithm, horizon, exact).rejection_law()


def target_call_law(
    pair: Pair, algorithm: Algorithm, *, horizon: int | None = None, exact: bool = False
) -> Array:
    """Return the law of the number of target calls, shape ``(horizon + 1,)``.

    Parameters and errors are those of `expected_rejections`. Calls are counted where rounds start; no
    identity between calls and rejections is used.
    """
    return _laws(pair, algorithm, horizon, exact).target_call_law()


def rejection_variance(
    pair: Pair, algorithm: Algorithm, *, horizon: int | None = None, exact: bool = False
) -> Any:
    """Return the variance of the number of rejections.

    Parameters, errors and the type returned are those of `expected_rejections`. The first two moments are
    carried along, which is cheaper than the whole law.
    """
    return _laws(pair, algorithm, horizon, exact).rejection_variance()


def block_efficiency(
    pair: Pair, algorithm: Algorithm, *, horizon: int | None = None, exact: bool = False
) -> Any:
    """Return horizon / E[target calls], the tokens per call of many runs (2211.17192).

    Parameters, errors and the type returned are those of `expected_rejections`.
    """
    return tables_of(pair).check_horizon(horizon) / expected_target_calls(
        pair, algorithm, horizon=horizon, exact=exact
    )


def accepted_length_counts(
    pair: Pair, algorithm: Algorithm, *, horizon: int | None = None, exact: bool = False
) -> Array:
    """Return the expected number of rounds per run with each accepted length, shape ``(horizon + 1,)``.

    The accepted length of a round is its number of accepted drafted tokens, without bonus and residual.
    The sum is the expected number of target calls. Parameters and errors are those of
    `expected_rejections`.
    """
    return _laws(pair, algorithm, horizon, exact).accepted_length_counts()


def accepted_length_law(
    pair: Pair, algorithm: Algorithm, *, horizon: int | None = None, exact: bool = False
) -> Array:
    """Return the accepted-length law of a round picked uniformly among all rounds of many runs.

    `accepted_length_counts` divided by its sum, shape ``(horizon + 1,)``. Parameters and errors are those
    of `expected_rejections`.
    """
    counts = accepted_length_counts(pair, algorithm, horizon=horizon, exact=exact)
    return counts / counts.sum()


def first_accepted_length_law(
    pair: Pair, algorithm: Algorithm, *, horizon: int | None = None, exact: bool = False
) -> Array:
    """Return the law of the accepted length of the first round of a run, shape ``(horizon + 1,)``.

    Parameters and errors are those of `expected_rejections`.
    """
    return _laws(pair, algorithm, horizon, exact).accepted_length_counts(first_round=True)


def output_law(pair: Pair, algorithm: Algorithm, *, horizon: int | None = None, exact: bool = False) -> Array:
    """Return the law of the emitted sequence, shape ``(tokens ** horizon,)``.

    Sequences are numbered in base `tokens`, first token most significant. Parameters are those of
    `expected_rejections`.

    Raises
    ------
    TooLargeError
        There are too many sequences; use `output_marginals`.
    """
    return _laws(pair, algorithm, horizon, exact).output_law()


def output_marginals(
    pair: Pair, algorithm: Algorithm, *, horizon: int | None = None, exact: bool = False
) -> Array:
    """Return the law of the token at each position, shape ``(horizon, tokens)``.

    Parameters and errors are those of `expected_rejections`.
    """
    return _laws(pair, algorithm, horizon, exact).output_marginals()


def transition_marginals(
    pair: Pair, algorithm: Algorithm, *, horizon: int | None = None, exact: bool = False
) -> Array:
    """Return the law of (context, emitted token) at each step, shape ``(horizon, contexts, tokens)``.

    Parameters and errors are those of `expected_rejections`.
    """
    return np.asarray(_laws(pair, algorithm, horizon, exact).transition_marginals())
