"""A draft over fewer tokens than the target: acceptance, the law written, and time by the number of tokens.

2602.13836 prints no theory; what stands here is derived.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Literal

from numpy.typing import ArrayLike, NDArray

from specsim.algorithms import Algorithm
from specsim.clocks import DrafterCosts
from specsim.errors import InputError
from specsim.grammar import as_algorithm, as_pair
from specsim.pairs import ModelPair
from specsim.pairs.derived import restricted_vocabulary
from specsim.support.checks import whole
from specsim.theory.arithmetic.rows import Row, as_array, read_row, same_length
from specsim.theory.laws.times import expected_time

#: Which draft row a part of a sampler reads.
DraftRow = Literal["restricted", "full"]


def restricted_acceptance(
    target_row: Row, draft_row: Row, tokens: Iterable[int], *, exact: bool = False
) -> Any:
    """Return the acceptance of a token drafted from the draft row restricted to `tokens` and renormalised.

    It is the sum over S of min(T, D / D(S)); it lies between the acceptance of the whole row less the
    overlap outside S, and min(T(S), 1), so that it can be larger or smaller than with all tokens.

    Parameters
    ----------
    target_row, draft_row
        T and D, laws over the same tokens.
    tokens
        S, whole numbers; D(S) has to be positive.
    exact
        Whether to compute in `fractions.Fraction`. Defaults to False, float64.

    Raises
    ------
    InputError
        A row is no law, the lengths differ, a token is none, or the draft has nothing on `tokens`.

    Examples
    --------
    >>> from specsim import theory
    >>> target, draft = [0.5, 0.3, 0.2], [0.3, 0.2, 0.5]
    >>> round(theory.restricted_acceptance(target, draft, range(3)), 6)
    0.7
    >>> round(theory.restricted_acceptance(target, draft, [0, 1]), 6)
    0.8
    """
    target, _, narrow = _rows(target_row, draft_row, tokens, exact)
    return sum(min(t, d) for t, d in zip(target, narrow, strict=True))


def restricted_written_law(
    target_row: Row,
    draft_row: Row,
    tokens: Iterable[int],
    *,
    test: DraftRow = "restricted",
    residual: DraftRow = "restricted",
    exact: bool = False,
) -> NDArray[Any]:
    """Return the law of the token that is written when test and residual read one draft row or the other.

    The token is always drawn from the restricted row. With both ``"restricted"`` the law is the target's.

    Parameters
    ----------
    target_row, draft_row, tokens, exact
        As in `restricted_acceptance`.
    test
        The draft row in min(1, target / draft).
    residual
        The draft row in (target - draft)+. Where that is zero everywhere, the target's row is written.

    Returns
    -------
    ndarray
        Shape ``(tokens,)``; float64, or objects when exact.

    Raises
    ------
    InputError
        As in `restricted_acceptance`; or `test` or `residual` is no such word.

    Examples
    --------
    >>> from specsim import theory
    >>> rows = [0.5, 0.3, 0.2], [0.3, 0.2, 0.5]
    >>> theory.restricted_written_law(*rows, [0, 1], residual="full").round(6)
    array([0.633333, 0.366667, 0.      ])
    """
    target, draft, narrow = _rows(target_row, draft_row, tokens, exact)
    kinds = {"restricted": narrow, "full": draft}
    for name, word in (("test", test), ("residual", residual)):
        if word not in kinds:
            raise InputError(f"{name} is {word!r}; give 'restricted' or 'full'")
    kept = [
        min(drawn, drawn * t / d) if d else drawn
        for drawn, t, d in zip(narrow, target, kinds[test], strict=True)
    ]
    gaps = [max(t - d, t * 0) for t, d in zip(target, kinds[residual], strict=True)]
    if not any(gaps):
        gaps = target
    total, rejected = sum(gaps), 1 - sum(kept)
    return as_array([k + rejected * g / total for k, g in zip(kept, gaps, strict=True)], exact=exact)


def vocabulary_times(
    pair: ModelPair | str,
    algorithm: Algorithm | str,
    costs: DrafterCosts,
    *,
    sizes: Iterable[int] | None = None,
    depth: int = 1,
    by: str | ArrayLike = "context",
    noise: float = 0.0,
    seed: int = 0,
    batch: int = 1,
    horizon: int | None = None,
    exact: bool = False,
) -> dict[int, Any]:
    """Return the expected time of a run by the number of tokens that the draft may propose.

    The best size is the key of the least value. A head that scores all tokens selects nothing.

    Parameters
    ----------
    pair, algorithm
        What decodes; the draft of `pair` has all tokens.
    costs, depth
        What a draft step costs; see `DrafterCosts`.
    sizes
        Defaults to None, every number of tokens.
    by, noise, seed
        As in `restricted_vocabulary`.
    batch, horizon, exact
        As in `expected_time`.

    Raises
    ------
    InputError
        As in `restricted_vocabulary` and `expected_time`.

    Examples
    --------
    >>> from specsim import DrafterCosts, Speculative, parse_pair, theory
    >>> pair = parse_pair("random:contexts=6,horizon=20,seed=1,family=peaked,stationary=yes")
    >>> costs = DrafterCosts(layer=0.02, head=0.2, selection=0.02)
    >>> times = theory.vocabulary_times(pair, Speculative(draft_length=3), costs)
    >>> min(times, key=times.get)
    2
    """
    if not isinstance(costs, DrafterCosts):
        raise InputError(f"costs is {costs!r}; give a specsim.DrafterCosts")
    wide, algorithm, found = as_pair(pair), as_algorithm(algorithm), {}
    sizes = _each("sizes", range(1, wide.tokens + 1) if sizes is None else sizes)
    for size in sizes:
        narrow = restricted_vocabulary(wide, size=size, by=by, noise=noise, seed=seed)
        clock = costs.clock(depth=depth, vocabulary=Fraction(int(size), wide.tokens))
        found[int(size)] = expected_time(narrow, algorithm, clock, batch=batch, horizon=horizon, exact=exact)
    return found


def _each(field: str, values: Iterable[int]) -> list[int]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InputError(f"{field} is {values!r}; give whole numbers, such as [0, 1]")
    return list(values)


def _rows(
    target_row: Row, draft_row: Row, tokens: Iterable[int], exact: bool
) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the target row, the draft row, and the draft row over `tokens` alone."""
    target = read_row("target_row", target_row, exact=exact)
    draft = read_row("draft_row", draft_row, exact=exact)
    last = same_length(target_row=target, draft_row=draft) - 1
    kept = {whole("tokens", token, 0, last) for token in _each("tokens", tokens)}
    mass = sum(draft[token] for token in kept)
    if not mass:
        raise InputError(f"tokens is {sorted(kept)}, where the draft has probability 0; add others")
    return target, draft, [d / mass if token in kept else d * 0 for token, d in enumerate(draft)]
