"""The whole set of optimal residuals for a given acceptance (2411.00841, Theorem 4)."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any

from numpy.typing import NDArray

from specsim.errors import TooLargeError
from specsim.theory.arithmetic.rows import (
    TOLERANCE,
    Number,
    Row,
    as_array,
    read_row,
    read_values,
    same_length,
)

_MAX_VERTEX_TOKENS = 16


@dataclass(frozen=True, kw_only=True)
class OptimalResiduals:
    """All laws of the replacement token that make the bias smallest.

    With Z = (T - a D) / Pr(reject), which sums to 1, they are exactly the laws r with r = 0 where Z < 0 and
    0 <= r <= Z where Z >= 0: a polytope. Nothing is ever replaced when Pr(reject) = 0; then every law is
    optimal and `excess` is None.

    Attributes
    ----------
    excess
        Z, shape ``(tokens,)``, or None.
    rejection
        Pr(reject).
    loss
        The smallest bias, `specsim.theory.over_acceptance_loss`.
    tokens
        Size of the vocabulary.
    exact
        Whether numbers are `fractions.Fraction`.

    Examples
    --------
    >>> from specsim import theory
    >>> residuals = theory.optimal_residuals([0.5, 0.5], [0.25, 0.75], [1.0, 0.5])
    >>> residuals.is_unique, residuals.contains([0.5, 0.5])
    (True, False)
    """

    excess: NDArray[Any] | None
    rejection: Number
    loss: Number
    tokens: int
    exact: bool

    @property
    def caps(self) -> NDArray[Any]:
        """Largest probability each token may get, shape ``(tokens,)``: the positive part of Z, or ones."""
        zero = Fraction(0) if self.exact else 0.0
        if self.excess is None:
            return as_array([zero + 1] * self.tokens, exact=self.exact)
        return as_array([max(z, zero) for z in self.excess], exact=self.exact)

    @property
    def is_unique(self) -> bool:
        """Whether one law only is optimal.

        So it is when Z is itself a law (a <= min(1, T / D)) and when a single token has Z > 0. With two
        tokens it is always so; the printed remark after Theorem 4 overlooks this.
        """
        if self.excess is None:
            return self.tokens == 1
        caps = self.caps
        spare = sum(caps) - 1
        slack = 0 if self.exact else TOLERANCE
        return bool(spare <= slack or sum(1 for cap in caps if cap > slack) == 1)

    def contains(self, residual: Row) -> bool:
        """Whether a law is optimal (in float64, within 1e-9).

        Raises
        ------
        InputError
            `residual` is not a law over the tokens.
        """
        row = read_row("residual", residual, exact=self.exact)
        same_length(residual=row, acceptance=range(self.tokens))
        slack = 0 if self.exact else TOLERANCE
        return all(r <= cap + slack for r, cap in zip(row, self.caps, strict=True))

    def example(self) -> NDArray[Any]:
        """Return one optimal law: the normalised positive part of Z (uniform if nothing is replaced).

        For every a >= min(1, T / D) it is the normalised positive part of T - D, the residual of speculative
        decoding; Decoding-OPT uses it.
        """
        caps = self.caps
        total = sum(caps)
        return as_array([cap / total for cap in caps], exact=self.exact)

    def vertices(self) -> list[NDArray[Any]]:
        """Return the corners of the set, each of shape ``(tokens,)``.

        In a corner every token but one has probability 0 or its cap.

        Raises
        ------
        TooLargeError
            More than 16 tokens have a positive cap.
        """
        caps = list(self.caps)
        slack = 0 if self.exact else TOLERANCE
        positive = [x for x, cap in enumerate(caps) if cap > slack]
        if self.excess is not None and len(positive) > _MAX_VERTEX_TOKENS:
            raise TooLargeError(
                f"{len(positive)} tokens can be written after a rejection; corners are listed for at most "
                f"{_MAX_VERTEX_TOKENS}, use example() or contains()"
            )
        zero = Fraction(0) if self.exact else 0.0
        found: dict[tuple[Any, ...], None] = {}
        for size in range(len(positive) if self.excess is not None else 1):
            for full in combinations(positive, size):
                rest = 1 - sum((caps[x] for x in full), zero)
                if rest <= slack:
                    continue
                for last in positive:
                    if last not in full and rest <= caps[last] + slack:
                        place = [zero] * self.tokens
                        for x in full:
                            place[x] = caps[x]
                        place[last] = rest
                        found[tuple(place)] = None
        corners: list[tuple[Any, ...]] = []
        for corner in found:
            # Rounding makes float corners that coincide differ in the last digits.
            if not any(max(abs(a - b) for a, b in zip(corner, c, strict=True)) <= slack for c in corners):
                corners.append(corner)
        return [as_array(corner, exact=self.exact) for corner in corners]


def optimal_residuals(
    target_row: Row, draft_row: Row, acceptance: Row, *, exact: bool = False
) -> OptimalResiduals:
    """Describe every residual that makes the bias smallest for a given acceptance (2411.00841, Theorem 4).

    Parameters
    ----------
    target_row, draft_row
        Laws over the tokens.
    acceptance
        Probability of accepting each token.
    exact
        Whether to compute in `fractions.Fraction`. Defaults to False, float64.

    Raises
    ------
    InputError
        A row is not a law, an acceptance is outside [0, 1], or the lengths differ.

    Examples
    --------
    >>> from fractions import Fraction as F
    >>> found = optimal_residuals((F(1, 2), F(1, 2)), (F(4, 5), F(1, 5)), (F(9, 10), 1), exact=True)
    >>> [str(z) for z in found.excess], found.is_unique
    (['-11/4', '15/4'], True)
    """
    target = read_row("target_row", target_row, exact=exact)
    draft = read_row("draft_row", draft_row, exact=exact)
    accept = read_values("acceptance", acceptance, exact=exact)
    tokens = same_length(target_row=target, draft_row=draft, acceptance=accept)
    rejection = sum((1 - a) * d for a, d in zip(accept, draft, strict=True))
    left = [t - a * d for t, a, d in zip(target, accept, draft, strict=True)]
    zero = 0 * rejection
    return OptimalResiduals(
        excess=as_array([v / rejection for v in left], exact=exact) if rejection > 0 else None,
        rejection=rejection,
        loss=max((sum(abs(v) for v in left) - rejection) / 2, zero),
        tokens=tokens,
        exact=exact,
    )
