"""The front between bias and rejection at one position (2411.00841, Theorem 5)."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from numpy.typing import NDArray

from specsim.errors import InputError, TooLargeError
from specsim.theory.arithmetic.rows import (
    TOLERANCE,
    Number,
    Row,
    as_array,
    read_number,
    read_row,
    same_length,
)

_MAX_SUBSET_TOKENS = 16


@dataclass(frozen=True, kw_only=True)
class ParetoFront:
    """What pairs of bias and rejection probability the rejection-based family reaches at one position.

    The front is the segment from (bias 0, rejection TV) to (bias TV, rejection 0). A law o can be written
    with rejection probability rho exactly when TV(o, D) <= rho, which gives the whole attainable set.

    Attributes
    ----------
    total_variation
        TV(T, D).
    target, draft
        The two rows, shape ``(tokens,)``.
    exact
        Whether numbers are `fractions.Fraction`.

    Examples
    --------
    >>> from specsim import theory
    >>> front = theory.pareto_front([0.5, 0.5], [0.25, 0.75])
    >>> front.smallest_rejection(0.125), front.dominates(0.0, 0.125)
    (0.125, False)
    """

    total_variation: Number
    target: NDArray[Any]
    draft: NDArray[Any]
    exact: bool

    @property
    def _slack(self) -> Number:
        return Fraction(0) if self.exact else TOLERANCE

    @property
    def ends(self) -> tuple[tuple[Number, Number], tuple[Number, Number]]:
        """The two ends of the front as (bias, rejection): speculative decoding, and the draft itself."""
        zero = 0 * self.total_variation
        return (zero, self.total_variation), (self.total_variation, zero)

    def smallest_rejection(self, bias: float | Fraction) -> Number:
        """Return the smallest rejection probability with at most this bias, (TV - bias)_+."""
        value = read_number("bias", bias, exact=self.exact)
        return max(self.total_variation - value, 0 * self.total_variation)

    def smallest_bias(self, rejection: float | Fraction) -> Number:
        """Return the smallest bias at this rejection probability, (TV - rejection)_+."""
        value = read_number("rejection", rejection, exact=self.exact, most=1)
        return max(self.total_variation - value, 0 * self.total_variation)

    def largest_bias(self, rejection: float | Fraction) -> Number:
        """Return the largest bias at this rejection probability; never above TV + rejection.

        It is the largest of min(1, D(A) + rejection) - T(A) over the non-empty sets A of tokens.

        Raises
        ------
        InputError
            `rejection` is not a probability.
        TooLargeError
            TV + rejection is out of reach and the sets of more than 16 tokens would have to be searched.
        """
        rho = read_number("rejection", rejection, exact=self.exact, most=1)
        gains = [(d, t) for d, t in zip(self.draft, self.target, strict=True) if d > t]
        if gains and sum(d for d, _ in gains) + rho <= 1:
            return self.total_variation + rho
        if len(self.draft) > _MAX_SUBSET_TOKENS:
            raise TooLargeError(
                f"the largest bias at rejection {rho} needs a search over sets of {len(self.draft)} tokens; "
                f"at most {_MAX_SUBSET_TOKENS} are searched, use smallest_bias() or dominates()"
            )
        sets: list[tuple[Any, Any]] = []
        for d, t in zip(self.draft, self.target, strict=True):
            sets += [(drafted + d, aimed + t) for drafted, aimed in sets] + [(d, t)]
        one = 1 + 0 * rho
        return max(min(one, drafted + rho) - aimed for drafted, aimed in sets)

    def band(self, rejection: float | Fraction) -> tuple[Number, Number]:
        """Return the smallest and largest bias at this rejection probability; all between are attained."""
        return self.smallest_bias(rejection), self.largest_bias(rejection)

    def attains(self, bias: float | Fraction, rejection: float | Fraction) -> bool:
        """Whether some acceptance and residual have exactly this bias and this rejection probability."""
        value = read_number("bias", bias, exact=self.exact)
        low, high = self.band(rejection)
        return bool(low - self._slack <= value <= high + self._slack)

    def dominates(self, bias: float | Fraction, rejection: float | Fraction) -> bool:
        """Whether some member is at least as good in both: bias + rejection >= TV.

        This, and not `attains`, is what the shaded region of the paper's Figure 4 shows.
        """
        value = read_number("bias", bias, exact=self.exact)
        rho = read_number("rejection", rejection, exact=self.exact)
        return bool(value + rho >= self.total_variation - self._slack)

    def member(self, bias: float | Fraction) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return an acceptance and a residual on the front: speculative decoding aimed between the rows.

        With weight = bias / TV the law written is o = (1 - weight) T + weight D.

        Returns
        -------
        tuple of ndarray
            acceptance and residual, each of shape ``(tokens,)``.

        Raises
        ------
        InputError
            `bias` is above TV.
        """
        value = read_number("bias", bias, exact=self.exact)
        if value > self.total_variation:
            raise InputError(f"bias is {value}; on the front it is at most TV = {self.total_variation}")
        if self.total_variation == 0:
            return as_array([1 + value] * len(self.draft), exact=self.exact), self.target
        weight = value / self.total_variation
        aimed = [(1 - weight) * t + weight * d for t, d in zip(self.target, self.draft, strict=True)]
        one = 1 + 0 * weight
        acceptance = [min(one, o / d) if d else one for o, d in zip(aimed, self.draft, strict=True)]
        spare = [
            max(t - d, 0 * t) / self.total_variation for t, d in zip(self.target, self.draft, strict=True)
        ]
        return as_array(acceptance, exact=self.exact), as_array(spare, exact=self.exact)


def pareto_front(target_row: Row, draft_row: Row, *, exact: bool = False) -> ParetoFront:
    """Return the front between bias and rejection probability at one position (2411.00841, Theorem 5).

    Parameters
    ----------
    target_row, draft_row
        Laws over the tokens.
    exact
        Whether to compute in `fractions.Fraction`. Defaults to False, float64.

    Raises
    ------
    InputError
        A row is not a law, or the lengths differ.

    Examples
    --------
    >>> from fractions import Fraction as F
    >>> front = pareto_front((F(1, 3), F(2, 3)), (F(2, 3), F(1, 3)), exact=True)
    >>> str(front.total_variation), front.attains(0, F(1, 3)), front.attains(0, F(1, 4))
    ('1/3', True, False)
    """
    target = read_row("target_row", target_row, exact=exact)
    draft = read_row("draft_row", draft_row, exact=exact)
    same_length(target_row=target, draft_row=draft)
    return ParetoFront(
        total_variation=sum(abs(t - d) for t, d in zip(target, draft, strict=True)) / 2,
        target=as_array(target, exact=exact),
        draft=as_array(draft, exact=exact),
        exact=exact,
    )
