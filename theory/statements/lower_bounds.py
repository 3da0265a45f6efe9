"""The lower bound on expected rejections (2411.00841, Theorem 2), with a dual certificate."""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.errors import TooLargeError
from specsim.theory.arithmetic.integer_chains import IntegerChain
from specsim.theory.arithmetic.pair_tables import Pair, PairTables, tables_of
from specsim.theory.certificates.formats import RejectionCertificate

#: Largest number of (step, context, token) triples, and of bits in all context masses together.
_MAX_ENTRIES = 20_000_000
_MAX_BITS = 2**31


@dataclass(frozen=True, kw_only=True)
class LowerBound:
    """A lower bound on the expected rejections of unbiased members of the rejection-based family.

    Attributes
    ----------
    value
        The bound over the whole horizon, in tokens.
    by_step
        Its terms E_target[TV_n], shape ``(horizon,)``.
    horizon
        Number of tokens.
    certificate
        The dual solution, exact; computed when first asked for.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> pair = paper_pair(2)
    >>> theory.lower_bound(pair).certificate.value == theory.optimal_rejections(pair, exact=True)
    True
    """

    value: float | Fraction
    by_step: NDArray[Any]
    horizon: int
    _pair: Pair = field(repr=False)

    @cached_property
    def certificate(self) -> RejectionCertificate:
        """The certificate that `specsim.theory.certificates.checker.check_certificate` accepts."""
        tables = tables_of(self._pair)
        return _certificate(tables.pair.identity, tables, self.horizon)


def lower_bound(pair: Pair, *, horizon: int | None = None, exact: bool = False) -> LowerBound:
    """Bound from below the expected rejections of every unbiased member of the rejection-based family.

    The bound is C(D, T) = sum_n E_target[TV(D_n, T_n)] (2411.00841, Theorem 2); speculative decoding attains
    it (Theorem 1). The certificate proves it by weak duality, context by context. Fix a prefix with its
    context and let a(x) be the probability that a member accepts the drafted token x there, *averaged* over
    everything else it may depend on: the position in the round, earlier coins, rejected tokens, internal
    randomness. None of these changes the law D of the token drafted next, so the averages a(x) and
    w(x) = Pr(a rejection writes x) obey

        minimise sum_x (1 - a(x)) D(x)   subject to   a(x) D(x) + w(x) = T(x),  w >= 0,  0 <= a <= 1,

    because an unbiased member reaches each prefix with the target's probability and continues it with T.
    For any multipliers m(x) in [0, 1], adding sum_x m(x) (a(x) D(x) + w(x) - T(x)) = 0 to the objective gives
    sum_x (1 - a) D >= sum_x m (D - T): the coefficient of each a(x) is -(1 - m) D <= 0, so a = 1 is the worst
    case, and that of each w(x) is m >= 0. The choice m = 1{D > T} yields TV(D, T). Summing over contexts with
    the target's context masses, which the certificate also states, gives the bound.

    The bound is **not universal**. It needs acceptance that looks at the current drafted token only.
    Acceptance that looks at later drafted tokens changes the law of the token drafted next given the history:
    block verification (2403.10444) is unbiased and has 5/9 expected rejections where C = 2/3 (rows
    D = (2/3, 1/3), T = (1/3, 2/3), horizon 2). Multiple drafts are outside the family too.

    Parameters
    ----------
    pair
        The two models, a `ModelPair` or a `RationalPair`.
    horizon
        Number of tokens. Defaults to None, the pair's own.
    exact
        Whether numbers are `fractions.Fraction`. Defaults to False, float64.

    Raises
    ------
    InputError
        `horizon` does not fit the pair.
    TooLargeError
        With `exact=True` (or on reading ``certificate``): the rationals would not fit in memory, or not be
        ready in reasonable time.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> bound = theory.lower_bound(paper_pair(3))
    >>> round(bound.value, 4), bound.by_step.round(4)
    (1.0647, array([0.3655, 0.4101, 0.2892]))
    """
    tables = tables_of(pair)
    length = tables.check_horizon(horizon)
    if exact:
        by_step: NDArray[Any] = np.array(_chain(tables, length).by_step(), dtype=object)
        return LowerBound(value=by_step.sum(), by_step=by_step, horizon=length, _pair=pair)
    mass: NDArray[Any] = tables.initial.copy()
    following = tables.next_context.ravel()
    by_step = np.empty(length)
    for n in range(length):
        index = tables.step_index(n)
        by_step[n] = mass @ np.maximum(tables.draft[index] - tables.target[index], 0.0).sum(axis=1)
        flow = mass[:, None] * tables.target[index]
        mass = np.bincount(following, weights=flow.ravel(), minlength=tables.contexts)
    return LowerBound(value=float(by_step.sum()), by_step=by_step, horizon=length, _pair=pair)


def _chain(tables: PairTables, length: int) -> IntegerChain:
    def rows(first: int, last: int) -> tuple[NDArray[Any], NDArray[Any]]:
        target, draft = tables.integer_rows(first, last)
        return target, np.maximum(draft - target, 0).sum(axis=-1)

    return IntegerChain(tables, length, rows)


def _check_size(tables: PairTables, length: int) -> None:
    entries = length * tables.contexts * tables.tokens
    bits = tables.unit.bit_length() * length * (length + 1) * tables.contexts // 2
    if entries > _MAX_ENTRIES or bits > _MAX_BITS:
        raise TooLargeError(
            f"horizon {length} with {tables.contexts} contexts and {tables.tokens} tokens needs rationals of "
            f"{bits // 8} bytes in {entries} rows; use exact=False or a shorter horizon"
        )


def _forward(tables: PairTables, length: int) -> list[list[int]]:
    """Context masses before each step, as integers over unit^(n + 1)."""
    masses = [[int(w) for w in tables.initial_weights]]
    following = tables.next_context.tolist()
    weights = tables.target_weights.tolist()
    for n in range(length - 1):
        rows = weights[tables.step_index(n)]
        after = [0] * tables.contexts
        for context, mass in enumerate(masses[-1]):
            if mass:
                for weight, there in zip(rows[context], following[context], strict=True):
                    if weight:
                        after[there] += mass * weight
        masses.append(after)
    return masses


def _exact_terms(tables: PairTables, length: int) -> list[Fraction]:
    distances = [
        [
            sum(d - t for d, t in zip(draft, target, strict=True) if d > t)
            for draft, target in zip(*rows, strict=True)
        ]
        for rows in zip(tables.draft_weights.tolist(), tables.target_weights.tolist(), strict=True)
    ]
    return [
        Fraction(
            sum(m * d for m, d in zip(mass, distances[tables.step_index(n)], strict=True)),
            tables.unit ** (n + 2),
        )
        for n, mass in enumerate(_forward(tables, length))
    ]


# The certificate is made without `IntegerChain`: its value is a second computation of the bound.
def _certificate(identity: str, tables: PairTables, length: int) -> RejectionCertificate:
    _check_size(tables, length)
    zero, one = Fraction(0), Fraction(1)
    favoured = [
        tuple(tuple(one if flag else zero for flag in row) for row in table)
        for table in (tables.draft_weights > tables.target_weights).tolist()
    ]
    return RejectionCertificate(
        pair=identity,
        horizon=length,
        value=sum(_exact_terms(tables, length), zero),
        masses=tuple(
            tuple(Fraction(m, tables.unit ** (n + 1)) if m else zero for m in mass)
            for n, mass in enumerate(_forward(tables, length))
        ),
        multipliers=tuple(favoured[tables.step_index(n)] for n in range(length)),
    )
