"""The exact front between bias and rejections of whole sequences (2411.00841, Remark 6)."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.errors import InputError, TooLargeError
from specsim.theory.arithmetic.pair_tables import Pair, tables_of
from specsim.theory.arithmetic.rational_pair import as_rational
from specsim.theory.arithmetic.rows import Number, as_array, read_number
from specsim.theory.certificates.formats import FrontCertificate, FrontLine, FrontPoint
from specsim.theory.statements.prefix_programs import (
    PrefixTree,
    check_outputs,
    exact_law,
    exact_line,
    solve_price,
)

#: Neighbouring points this close to their chord are not refined when exact recovery has failed.
_FLAT = Fraction(1, 10**9)


@dataclass(frozen=True, kw_only=True)
class SequenceFront:
    """Smallest expected rejections against the bias of the whole output: a convex broken line.

    Attributes
    ----------
    bias, rejections
        Corners of the front in increasing order of bias, shape ``(corners,)``. The first is unbiased
        (speculative decoding), the last is the draft itself.
    joint_total_variation
        Distance of the draft's law of the output to the target's; the last bias.
    gap
        Upper bound of the distance of the front below the corners' broken line; 0 means that it is exact.
    certificate
        Laws and dual solutions that prove all this; see
        `specsim.theory.certificates.checker.check_certificate`.
    exact
        Whether numbers are `fractions.Fraction`.

    Examples
    --------
    >>> from specsim import parse_pair, theory
    >>> front = theory.sequence_front(parse_pair("random:contexts=2,horizon=2,seed=1"))
    >>> front.rejections_at(0) >= front.lower_bound_at(0)
    True
    """

    bias: NDArray[Any]
    rejections: NDArray[Any]
    joint_total_variation: Number
    gap: Number
    certificate: FrontCertificate
    exact: bool

    @property
    def is_linear(self) -> bool:
        """Whether the front is the straight line between its ends, as at one position (Theorem 5)."""
        points = self.certificate.points
        first, last = points[0], points[-1]
        return all(p.rejections * last.bias == first.rejections * (last.bias - p.bias) for p in points)

    def rejections_at(self, bias: float | Fraction) -> Number:
        """Smallest expected rejections with at most this bias (within `gap` above the truth).

        Raises
        ------
        InputError
            `bias` is negative or not finite.
        """
        value = Fraction(read_number("bias", bias, exact=True))
        return self._number(self._mix(value)[0])

    def lower_bound_at(self, bias: float | Fraction) -> Number:
        """Certified lower bound on the expected rejections with at most this bias.

        Raises
        ------
        InputError
            `bias` is negative or not finite.
        """
        value = Fraction(read_number("bias", bias, exact=True))
        lowest = max(
            (line.intercept - line.price * value for line in self.certificate.lines), default=Fraction(0)
        )
        return self._number(max(lowest, Fraction(0)))

    def law_at(self, bias: float | Fraction) -> NDArray[Any]:
        """Law of (first context, output) with at most this bias that attains `rejections_at`.

        Entries are ordered as in `specsim.theory.certificates.checker.FrontPoint`. Speculative decoding
        aimed at this law has these rejections.

        Raises
        ------
        InputError
            `bias` is negative or not finite.
        """
        value = Fraction(read_number("bias", bias, exact=True))
        return as_array([self._number(v) for v in self._mix(value)[1]], exact=self.exact)

    def _number(self, value: Fraction) -> Number:
        return value if self.exact else float(value)

    def _mix(self, bias: Fraction) -> tuple[Fraction, list[Fraction]]:
        points = self.certificate.points
        if bias >= points[-1].bias:
            return points[-1].rejections, list(points[-1].law)
        right = next(k for k, p in enumerate(points) if p.bias > bias)
        a, b = points[right - 1], points[right]
        weight = (bias - a.bias) / (b.bias - a.bias)
        return (
            (1 - weight) * a.rejections + weight * b.rejections,
            [(1 - weight) * v + weight * w for v, w in zip(a.law, b.law, strict=True)],
        )


def sequence_front(
    pair: Pair,
    *,
    horizon: int | None = None,
    exact: bool = False,
    resolution: float | Fraction = 0,
    max_corners: int = 400,
) -> SequenceFront:
    """Compute the whole front between bias and expected rejections of the rejection-based family.

    A member with output law o has at least half of the sum over all prefixes of
    abs(o(x_1..x_n) - o(x_1..x_{n-1}) D_n(x_n)) expected rejections, and speculative decoding aimed at o has
    exactly these. So the front is the linear programme that minimises this over all laws o whose joint total
    variation distance to the target is at most the bias (2411.00841, Remark 6, left open there). The joint
    law is that of the first context and the output; the first context is the prompt and keeps its law.

    HiGHS solves it at one price of bias per edge of the front; tight constraints then give the exact primal
    and dual solutions in rationals. Where that recovery fails, rounded solutions, still exactly feasible, are
    kept and `gap` says how much they leave open.

    Parameters
    ----------
    pair
        A `ModelPair`, or a `RationalPair` for probabilities that are not multiples of 2^-32.
    horizon
        Number of tokens. Defaults to None, the pair's own.
    exact
        Whether numbers are `fractions.Fraction`. Defaults to False, float64 (rounded from the exact ones).
    resolution
        Corners that lie less than this below the chord of their neighbours are omitted; the certified `gap`
        then is about as large. Defaults to 0, the exact front. Raise it for large trees, whose fronts have
        hundreds of corners.
    max_corners
        Give up beyond this many corners.

    Raises
    ------
    InputError
        `horizon` does not fit the pair, or `resolution` is negative or not finite.
    TooLargeError
        More than 1024 outputs, or more than `max_corners` corners.

    Examples
    --------
    >>> from fractions import Fraction as F
    >>> from specsim.theory import RationalPair
    >>> pair = RationalPair.independent((F(1, 3), F(2, 3)), (F(2, 3), F(1, 3)), horizon=3)
    >>> front = sequence_front(pair, exact=True)
    >>> str(front.joint_total_variation), str(front.rejections_at(F(13, 54)))
    ('13/27', '1/3')
    """
    tables = tables_of(pair)
    length = tables.check_horizon(horizon)
    check_outputs(int(np.count_nonzero(tables.initial_weights)), tables.tokens, length)
    if isinstance(max_corners, bool) or not isinstance(max_corners, int | np.integer) or max_corners < 1:
        raise InputError(f"max_corners is {max_corners!r}; give a whole number of at least 1")
    rational = as_rational(tables.pair, length)
    tree = PrefixTree.unroll(rational)
    points, lines = _explore(tree, Fraction(read_number("resolution", resolution, exact=True)), max_corners)
    certificate = FrontCertificate(
        pair=tables.pair.identity,
        horizon=length,
        points=tuple(points),
        lines=tuple(lines),
        gap=_open_gap(points, lines),
    )

    def convert(values: list[Fraction]) -> NDArray[Any]:
        return as_array(values, exact=True) if exact else np.array([float(v) for v in values])

    return SequenceFront(
        bias=convert([p.bias for p in points]),
        rejections=convert([p.rejections for p in points]),
        joint_total_variation=points[-1].bias if exact else float(points[-1].bias),
        gap=certificate.gap if exact else float(certificate.gap),
        certificate=certificate,
        exact=exact,
    )


def _explore(
    tree: PrefixTree, resolution: Fraction, max_corners: int
) -> tuple[list[FrontPoint], list[FrontLine]]:
    """All corners and edges: the price of a chord either proves it an edge or finds a point below it."""
    start = tree.point(tree.target_mass[tree.first_leaf :])
    end = tree.point(tree.draft_law())
    if start.bias == end.bias:
        return [start], []
    points: list[FrontPoint] = [start]
    lines: list[FrontLine] = []
    pending = [end]
    while pending:
        left, right = points[-1], pending[-1]
        price = (left.rejections - right.rejections) / (right.bias - left.bias)
        found = solve_price(tree, price)
        point = tree.point(exact_law(tree, found.mass))
        chord = left.rejections + price * left.bias
        best = point.rejections + price * point.bias
        refine = left.bias < point.bias < right.bias and chord - best > resolution
        if refine and chord - best > _FLAT:
            _add_corner(pending, point, points, max_corners)
            continue
        line = exact_line(tree, price, found)
        if refine and line.intercept == best:
            _add_corner(pending, point, points, max_corners)
            continue
        lines.append(line)
        points.append(pending.pop())
    return points, lines


def _add_corner(
    pending: list[FrontPoint], point: FrontPoint, points: list[FrontPoint], max_corners: int
) -> None:
    if len(points) + len(pending) >= max_corners:
        raise TooLargeError(f"the front has more than {max_corners} corners; raise resolution or max_corners")
    pending.append(point)


def _open_gap(points: list[FrontPoint], lines: list[FrontLine]) -> Fraction:
    """Largest height of a stretch between neighbouring points above its line."""
    return max(
        (
            p.rejections - line.intercept + line.price * p.bias
            for k, line in enumerate(lines)
            for p in points[k : k + 2]
        ),
        default=Fraction(0),
    )
