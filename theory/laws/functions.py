"""The laws of every algorithm: expectations, whole laws, marginals, and averages of very long runs.

Every function takes the pair and the descriptor, ``horizon=None`` (the pair's own) and ``exact=False``. With
``exact=True`` numbers are `fractions.Fraction` (arrays have dtype object), otherwise float64. All of them are
methods of `specsim.theory.laws.laws.Laws`, which reads the step law of the descriptor's rule; they are
checked against `specsim.theory.enumerate_outcomes`.
"""

import inspect
from collections.abc import Callable
from fractions import Fraction
from functools import wraps
from typing import Any, Literal, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm
from specsim.support.arrays import Array
from specsim.theory.arithmetic.pair_tables import Pair
from specsim.theory.laws.laws import Laws


class NumberLaw(Protocol):
    """A function whose result is a number."""

    @overload
    def __call__(
        self,
        pair: Pair,
        algorithm: Algorithm | str,
        *,
        horizon: int | None = None,
        exact: Literal[False] = False,
    ) -> float: ...
    @overload
    def __call__(
        self, pair: Pair, algorithm: Algorithm | str, *, horizon: int | None = None, exact: Literal[True]
    ) -> Fraction: ...
    @overload
    def __call__(
        self, pair: Pair, algorithm: Algorithm | str, *, horizon: int | None = None, exact: bool
    ) -> float | Fraction: ...


class ArrayLaw(Protocol):
    """A function whose result is an array: float64, or dtype object with Fractions."""

    @overload
    def __call__(
        self,
        pair: Pair,
        algorithm: Algorithm | str,
        *,
        horizon: int | None = None,
        exact: Literal[False] = False,
    ) -> NDArray[np.float64]: ...
    @overload
    def __call__(
        self, pair: Pair, algorithm: Algorithm | str, *, horizon: int | None = None, exact: bool
    ) -> Array: ...


def number_law(function: Any) -> NumberLaw:
    """Return the function, with the signatures of `NumberLaw` for type checkers."""
    return function


def _number(law: Callable[[Laws], Any]) -> NumberLaw:
    return _public(law)


def _array(law: Callable[[Laws], Any]) -> ArrayLaw:
    return _public(law)


def _public(law: Callable[[Laws], Any]) -> Any:
    """Return the public function of a law, with the common parameters."""

    def function(
        pair: Pair, algorithm: Algorithm | str, *, horizon: int | None = None, exact: bool = False
    ) -> Any:
        return law(_laws(pair, algorithm, horizon, exact))

    signature = inspect.signature(function)
    function = wraps(law)(function)
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


#: The last pair and laws whose rounds took long to build.
_last: list[tuple[Pair, Laws]] = []


def _laws(pair: Pair, algorithm: Algorithm | str, horizon: int | None, exact: bool) -> Laws:
    """Return laws, those of the last call where they are the same: rounds once built serve all functions."""
    laws = Laws(pair, algorithm, horizon=horizon, exact=exact)
    if laws.description == "nodes":
        return laws
    for known, last in _last:
        if known is pair and last.same(laws):
            return last
    _last[:] = [(pair, laws)]
    return laws


@_number
def expected_rejections(laws: Laws) -> Any:
    """Return the expected number of rejections, E[N_rej].

    Parameters
    ----------
    pair, algorithm
        What decodes.
    horizon
        Tokens to emit. Defaults to None, the pair's own.
    exact
        Whether to return a `fractions.Fraction`. Defaults to False.

    Raises
    ------
    UnsupportedError
        The rule has no step law, or no exact mode.
    TooLargeError
        Too many drafts, or exact numbers with absurdly many digits.

    Notes
    -----
    2411.00841, Theorems 1 and 3, by the recursion F_n = (mu_{n-1} - F_{n-1}) H_n + F_{n-1} W_n with H the
    follow and W the root rejection kernel, generalised to finite draft lengths, bonus tokens and trees.

    Examples
    --------
    >>> from fractions import Fraction
    >>> from specsim.algorithms import Speculative
    >>> from specsim.theory import RationalPair
    >>> half, quarter = Fraction(1, 2), Fraction(1, 4)
    >>> pair = RationalPair.independent([half, half], [quarter, 3 * quarter], horizon=8)
    >>> expected_rejections(pair, Speculative(), exact=True)
    Fraction(2, 1)
    """
    return laws.expected_rejections()


@_number
def expected_target_calls(laws: Laws) -> Any:
    """Return the expected number of target calls, that is of rounds (2411.00841, Definition 1).

    Parameters, errors and the type returned are those of `expected_rejections`.

    Examples
    --------
    >>> from specsim import Speculative, paper_pair, theory
    >>> round(theory.expected_target_calls(paper_pair(50), Speculative(draft_length=4)), 4)
    19.5356
    """
    return laws.expected_target_calls()


@_array
def rejections_by_step(laws: Laws) -> Any:
    """Return Pr(R_n = 1) for n = 1..horizon, shape ``(horizon,)``.

    Parameters and errors are those of `expected_rejections`.

    Examples
    --------
    >>> from specsim import Speculative, paper_pair, theory
    >>> theory.rejections_by_step(paper_pair(3), Speculative()).round(4)
    array([0.3655, 0.4101, 0.2892])
    """
    return laws.rejections_by_step()


@_array
def rejection_law(laws: Laws) -> Any:
    """Return the law of the number of rejections, shape ``(horizon + 1,)``.

    Parameters and errors are those of `expected_rejections`. The count is one more coordinate of the state.

    Examples
    --------
    >>> from specsim import Speculative, paper_pair, theory
    >>> theory.rejection_law(paper_pair(3), Speculative()).round(4)
    array([0.2674, 0.4439, 0.2452, 0.0434])
    """
    return laws.rejection_law()


@_array
def target_call_law(laws: Laws) -> Any:
    """Return the law of the number of target calls, shape ``(horizon + 1,)``.

    Parameters and errors are those of `expected_rejections`. Calls are counted where rounds start; no
    identity between calls and rejections is used.

    Examples
    --------
    >>> from specsim import Batch, paper_pair, theory
    >>> theory.target_call_law(paper_pair(3), Batch(drafts=4)).round(4)
    array([0.    , 0.4532, 0.4932, 0.0536])
    """
    return laws.target_call_law()


@_number
def rejection_variance(laws: Laws) -> Any:
    """Return the variance of the number of rejections.

    Parameters, errors and the type returned are those of `expected_rejections`. The first two moments are
    carried along, which is cheaper than the whole law.

    Examples
    --------
    >>> from specsim import Speculative, paper_pair, theory
    >>> round(theory.rejection_variance(paper_pair(50), Speculative()), 4)
    11.081
    """
    return laws.rejection_variance()


@_number
def block_efficiency(laws: Laws) -> Any:
    """Return horizon / E[target calls], the tokens per call of many runs (2211.17192).

    Parameters, errors and the type returned are those of `expected_rejections`.

    Examples
    --------
    >>> from specsim import BlockVerification, paper_pair, theory
    >>> round(theory.block_efficiency(paper_pair(20), BlockVerification(draft_length=3)), 4)
    2.4201
    """
    return laws.horizon / laws.expected_target_calls()


@_number
def stationary_block_efficiency(laws: Laws) -> Any:
    """Return the tokens per target call of very long runs: the limit of `block_efficiency`.

    Parameters and the type returned are those of `expected_rejections`; the horizon has no effect.

    Raises
    ------
    InputError
        The pair is not stationary, or the draft length is not finite.

    Examples
    --------
    >>> from specsim.algorithms import Speculative
    >>> from specsim.theory import RationalPair
    >>> pair = RationalPair.independent([1, 0], [1, 0], horizon=10)
    >>> stationary_block_efficiency(pair, Speculative(draft_length=3), exact=True)
    Fraction(4, 1)
    """
    return laws.long_run()[0]


@_array
def stationary_accepted_length_law(laws: Laws) -> Any:
    """Return the accepted-length law of the rounds of very long runs, shape ``(draft length + 1,)``.

    The limit of `accepted_length_law`; parameters and errors are those of `stationary_block_efficiency`.

    Examples
    --------
    >>> from specsim import Speculative, parse_pair, theory
    >>> pair = parse_pair("random:contexts=3,horizon=9,seed=1,stationary=yes")
    >>> theory.stationary_accepted_length_law(pair, Speculative(draft_length=2)).round(4)
    array([0.2097, 0.1684, 0.622 ])
    """
    return laws.long_run()[1]


@_array
def round_counts(laws: Laws) -> Any:
    """Return the expected number of rounds by start and accepted length, shape ``(horizon, longest + 1)``.

    Entry ``[start, accepted]`` counts the rounds that start at position `start` (from 0) and accept
    `accepted` drafted tokens. Costs that are linear in rounds are sums over it. Parameters and errors are
    those of `expected_rejections`.

    Examples
    --------
    >>> from specsim.algorithms import Speculative
    >>> from specsim.theory import RationalPair
    >>> pair = RationalPair.independent([1, 0], [1, 0], horizon=4)
    >>> round_counts(pair, Speculative(draft_length=2)).tolist()
    [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    return laws.round_counts()


@_array
def accepted_length_counts(laws: Laws) -> Any:
    """Return the expected number of rounds per run with each accepted length, shape ``(horizon + 1,)``.

    The accepted length of a round is its number of accepted drafted tokens, without bonus and residual.
    The sum is the expected number of target calls. Parameters and errors are those of
    `expected_rejections`.

    Examples
    --------
    >>> from specsim import Speculative, paper_pair, theory
    >>> theory.accepted_length_counts(paper_pair(50), Speculative(draft_length=2)).round(4)[:3]
    array([ 7.9402,  5.4334, 10.5861])
    """
    return laws.accepted_length_counts()


@_array
def accepted_length_law(laws: Laws) -> Any:
    """Return the accepted-length law of a round picked uniformly among all rounds of many runs.

    `accepted_length_counts` divided by its sum, shape ``(horizon + 1,)``. Parameters and errors are those
    of `expected_rejections`.

    Examples
    --------
    >>> from specsim import Speculative, paper_pair, theory
    >>> theory.accepted_length_law(paper_pair(50), Speculative(draft_length=2)).round(4)[:3]
    array([0.3314, 0.2268, 0.4418])
    """
    counts = laws.accepted_length_counts()
    return counts / counts.sum()


@_array
def first_accepted_length_law(laws: Laws) -> Any:
    """Return the law of the accepted length of the first round of a run, shape ``(horizon + 1,)``.

    Parameters and errors are those of `expected_rejections`.

    Examples
    --------
    >>> from specsim import Speculative, paper_pair, theory
    >>> theory.first_accepted_length_law(paper_pair(50), Speculative(draft_length=2)).round(4)[:3]
    array([0.348 , 0.2229, 0.4291])
    """
    return laws.first_accepted_length_law()


@_array
def output_law(laws: Laws) -> Any:
    """Return the law of the emitted sequence, shape ``(tokens ** horizon,)``.

    Sequences are numbered in base `tokens`, first token most significant. Parameters are those of
    `expected_rejections`.

    Raises
    ------
    TooLargeError
        There are too many sequences; use `output_marginals`.

    Examples
    --------
    >>> from specsim import Speculative, paper_pair, theory
    >>> law = theory.output_law(paper_pair(2), Speculative(), exact=True)
    >>> bool((law == theory.target_law(paper_pair(2), exact=True)).all())
    True
    """
    return laws.output_law()


@_array
def output_marginals(laws: Laws) -> Any:
    """Return the law of the token at each position, shape ``(horizon, tokens)``.

    Parameters and errors are those of `expected_rejections`.

    Examples
    --------
    >>> from specsim import OverAcceptance, paper_pair, theory
    >>> theory.output_marginals(paper_pair(2), OverAcceptance(epsilon=0.25)).shape
    (2, 7)
    """
    return laws.output_marginals()


@_array
def transition_marginals(laws: Laws) -> Any:
    """Return the law of (context, emitted token) at each step, shape ``(horizon, contexts, tokens)``.

    Parameters and errors are those of `expected_rejections`.

    Examples
    --------
    >>> from specsim import Speculative, paper_pair, theory
    >>> theory.transition_marginals(paper_pair(2), Speculative()).shape
    (2, 7, 7)
    """
    return laws.transition_marginals()


@_number
def sequence_distance(laws: Laws) -> Any:
    """Return the total variation distance of the law of the whole sequence from the target's.

    0 for a lossless algorithm. Parameters are those of `expected_rejections`.

    Raises
    ------
    TooLargeError
        There are too many sequences; use `token_distances`.

    Examples
    --------
    >>> from fractions import Fraction
    >>> from specsim import get_rule, theory
    >>> third = Fraction(1, 3)
    >>> pair = theory.RationalPair.independent([third, 2 * third], [2 * third, third], horizon=2)
    >>> wrong = get_rule("block-uncapped-whole")(draft_length=2)
    >>> theory.sequence_distance(pair, wrong, exact=True)
    Fraction(1, 9)
    """
    return laws.sequence_distance()


@_array
def token_distances(laws: Laws) -> Any:
    """Return the expected distance of each emitted token's law from the target's row, shape ``(horizon,)``.

    Of a token only the context is given, with the law with which the algorithm meets it. A rule can be right
    by this measure and wrong by `sequence_distance`, where tokens depend on more than the context.
    Parameters and errors are those of `expected_rejections`.

    Examples
    --------
    >>> from specsim import get_rule, paper_pair, theory
    >>> half = get_rule("ensemble")(share=0.5)
    >>> theory.token_distances(paper_pair(2), half).round(3)
    array([0.149, 0.145])
    """
    return laws.token_distances()
