"""Checker of certificates: rational arithmetic only, and no code in common with what produces them.

The producers are `specsim.theory.statements.lower_bounds` and `specsim.theory.statements.remark_6`; the
only thing shared with them is the format, `specsim.theory.certificates.formats`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import lcm
from typing import Any, NoReturn

from specsim.pairs import ModelPair
from specsim.theory.arithmetic.rational_pair import RationalPair
from specsim.theory.certificates.formats import (
    Certificate,
    CertificateError,
    FrontCertificate,
    FrontLine,
    FrontPoint,
    RejectionCertificate,
    certificate_from_json,
)

__all__ = [
    "Certificate",
    "CertificateError",
    "FrontCertificate",
    "FrontLine",
    "FrontPoint",
    "RejectionCertificate",
    "certificate_from_json",
    "check_certificate",
]

_SCALE = 2**32


def check_certificate(pair: ModelPair | RationalPair, certificate: Certificate | str) -> bool:
    """Check in exact arithmetic that a certificate proves what it claims about `pair`.

    A `RejectionCertificate` proves that every unbiased member of the rejection-based family (2411.00841,
    Algorithm 2) has at least ``value`` expected rejections. Checked: the context masses start at the initial
    law and follow the target's recursion, every multiplier lies in [0, 1] (dual feasibility; the programme is
    in `specsim.theory.lower_bound`), and the dual objective equals ``value``. A weaker bound with consistent
    numbers is a valid certificate of that weaker bound.

    A `FrontCertificate` proves that the sequence-level front lies between its points and its lines. Checked:
    every law is one, its bias and rejections are as stated, every line's dual solution is feasible and gives
    its intercept, the points span every bias from 0 to the joint total variation distance, and no stretch
    between neighbouring points is farther from its line than the stated gap.

    Parameters
    ----------
    pair
        The pair that the certificate is about.
    certificate
        A certificate, or its JSON text.

    Returns
    -------
    bool
        True.

    Raises
    ------
    CertificateError
        The certificate does not prove its claim; the message says which part fails.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> pair = paper_pair(2)
    >>> theory.check_certificate(pair, theory.lower_bound(pair).certificate)
    True
    """
    if isinstance(certificate, str):
        certificate = certificate_from_json(certificate)
    if not isinstance(pair, ModelPair | RationalPair):
        raise CertificateError(f"pair is a {type(pair).__name__}; a ModelPair or RationalPair is needed")
    if isinstance(certificate, FrontCertificate):
        _check_front(pair, certificate)
    elif isinstance(certificate, RejectionCertificate):
        _check_rejections(pair, certificate)
    else:
        raise CertificateError(f"a {type(certificate).__name__} is not a certificate")
    return True


def _fail(reason: str) -> NoReturn:
    raise CertificateError(reason)


def _show(value: Any) -> str:
    """Spell a number shortly; Python refuses to spell integers of more than 4,300 digits."""
    if isinstance(value, int | Fraction) and abs(Fraction(value)) >= 10**300:
        return f"a number above 10^{int(abs(Fraction(value))).bit_length() * 30103 // 100000 - 1}"
    return f"{float(value):.17g}" if isinstance(value, Fraction) else repr(value)


def _check_subject(pair: ModelPair | RationalPair, certificate: Certificate) -> None:
    if certificate.pair != pair.identity:
        _fail(f"certificate is about the pair {certificate.pair[:12]}, not {pair.identity[:12]}")
    rows = len(pair.target)
    length = certificate.horizon
    if isinstance(length, bool) or not isinstance(length, int) or length < 1 or (rows > 1 and length > rows):
        _fail(f"certificate has the horizon {_show(length)}, which the pair cannot have")


def _whole_weights(pair: ModelPair | RationalPair) -> tuple[int, list[Any], list[Any], list[int]]:
    """Read all probabilities as whole multiples of 1 / scale; return scale, target, draft, initial law."""
    if isinstance(pair, ModelPair):
        tables = (pair.target_weights, pair.draft_weights, pair.initial_weights)
        target, draft, initial = (table.tolist() for table in tables)
        return _SCALE, target, draft, initial
    scale = 1
    for table in (*pair.target, *pair.draft, (pair.initial,)):
        for row in table:
            for value in row:
                scale = lcm(scale, value.denominator)

    def whole(values: Any) -> Any:
        return int(values * scale) if isinstance(values, Fraction) else [whole(value) for value in values]

    return scale, whole(pair.target), whole(pair.draft), whole(pair.initial)


def _check_rejections(pair: ModelPair | RationalPair, certificate: RejectionCertificate) -> None:
    _check_subject(pair, certificate)
    length, contexts, tokens = certificate.horizon, pair.contexts, pair.tokens
    if len(certificate.masses) != length or len(certificate.multipliers) != length:
        _fail(f"certificate needs masses and multipliers for each of {length} steps")
    scale, target, draft, exact = _whole_weights(pair)
    following = [[int(c) for c in row] for row in pair.next_context]
    # `exact` holds the context masses before step n as integers over `denominator`, scale^(n + 1).
    denominator = scale
    total = Fraction(0)
    for n in range(length):
        table = 0 if len(target) == 1 else n
        stated, prices = certificate.masses[n], certificate.multipliers[n]
        if len(stated) != contexts or len(prices) != contexts:
            _fail(f"step {n + 1} needs a mass and a row of multipliers for each of {contexts} contexts")
        step_total: int | Fraction = 0
        for c in range(contexts):
            if (
                not isinstance(stated[c], Fraction)
                or stated[c].numerator * denominator != exact[c] * stated[c].denominator
            ):
                _fail(f"step {n + 1}, context {c}: the mass is not what the target's recursion gives")
            if len(prices[c]) != tokens:
                _fail(f"step {n + 1}, context {c}: {len(prices[c])} multipliers for {tokens} tokens")
            gain: int | Fraction = 0
            for m, d, t in zip(prices[c], draft[table][c], target[table][c], strict=True):
                if not isinstance(m, Fraction) or not 0 <= m <= 1:
                    _fail(f"step {n + 1}, context {c}: the multiplier {_show(m)} is not in [0, 1]")
                gain += (d - t) * m.numerator if m.denominator == 1 else (d - t) * m
            step_total += exact[c] * gain
        total += Fraction(step_total, denominator * scale)
        onward = [0] * contexts
        for c in range(contexts):
            if exact[c]:
                for x in range(tokens):
                    onward[following[c][x]] += exact[c] * target[table][c][x]
        exact = onward
        denominator *= scale
    if not isinstance(certificate.value, Fraction) or certificate.value != total:
        _fail(
            f"value is {_show(certificate.value)} and differs from the dual objective, about {_show(total)}"
        )


class _Tree:
    """The tree of outputs with exact draft probabilities, level by level, read afresh from the pair."""

    def __init__(self, pair: ModelPair | RationalPair, length: int) -> None:
        rational = isinstance(pair, RationalPair)

        def number(value: object) -> Fraction:
            # A float64 of a ModelPair is a multiple of 2^-32 and converts without error.
            return value if rational else Fraction(float(value))  # type: ignore[arg-type,return-value]

        self.tokens = pair.tokens
        steps = len(pair.target)
        contexts = [c for c in range(pair.contexts) if pair.initial[c] > 0]
        self.roots = [number(pair.initial[c]) for c in contexts]
        self.draft: list[list[Fraction]] = []
        self.target_law = list(self.roots)
        for n in range(length):
            table = 0 if steps == 1 else n
            draws, law, after = [], [], []
            for mass, c in zip(self.target_law, contexts, strict=True):
                for x in range(self.tokens):
                    draws.append(number(pair.draft[table][c][x]))
                    law.append(mass * number(pair.target[table][c][x]))
                    after.append(int(pair.next_context[c][x]))
            self.draft.append(draws)
            self.target_law = law
            contexts = after

    def sums(self, level: Sequence[Fraction]) -> list[Fraction]:
        """Masses of the parents of a level."""
        s = self.tokens
        return [sum(level[i : i + s], Fraction(0)) for i in range(0, len(level), s)]


def _check_front(pair: ModelPair | RationalPair, certificate: FrontCertificate) -> None:
    _check_subject(pair, certificate)
    tree = _Tree(pair, certificate.horizon)
    if not certificate.points or len(certificate.lines) != len(certificate.points) - 1:
        _fail(
            "a front certificate needs at least one point, and one line between any two neighbouring points"
        )
    for k, point in enumerate(certificate.points):
        _check_point(tree, point, f"point {k}")
    for k, line in enumerate(certificate.lines):
        _check_line(tree, line, f"line {k}")
    biases = [point.bias for point in certificate.points]
    if any(not a < b for a, b in pairwise(biases)):
        _fail("the points are not in increasing order of bias")
    if biases[0] != 0:
        _fail("the first point has positive bias; the front starts at 0")
    if certificate.points[-1].rejections != 0:
        _fail("the last point has rejections; the front ends where none are left")
    gap = _gap(certificate.points, certificate.lines)
    if not isinstance(certificate.gap, Fraction) or gap != certificate.gap:
        _fail(f"the gap is stated as {_show(certificate.gap)} and is {_show(gap)}")


def _check_point(tree: _Tree, point: FrontPoint, name: str) -> None:
    law = list(point.law)
    if len(law) != len(tree.target_law):
        _fail(f"{name}: the law has {len(law)} entries for {len(tree.target_law)} outputs")
    if not isinstance(point.bias, Fraction) or not isinstance(point.rejections, Fraction):
        _fail(f"{name}: bias and rejections must be Fraction objects")
    if any(not isinstance(v, Fraction) or v < 0 for v in law):
        _fail(f"{name}: the law has an entry that is negative or not a Fraction")
    half_sum = sum((abs(o - t) for o, t in zip(law, tree.target_law, strict=True)), Fraction(0)) / 2
    if half_sum != point.bias:
        _fail(f"{name}: the bias is stated as {_show(point.bias)} and is {_show(half_sum)}")
    rejections = Fraction(0)
    level = law
    for draws in reversed(tree.draft):
        above = tree.sums(level)
        for i, (o, d) in enumerate(zip(level, draws, strict=True)):
            rejections += abs(o - above[i // tree.tokens] * d)
        level = above
    if level != tree.roots:
        _fail(f"{name}: the law does not have the pair's law of the first context")
    if rejections / 2 != point.rejections:
        _fail(f"{name}: rejections are stated as {_show(point.rejections)}, are {_show(rejections / 2)}")


def _check_line(tree: _Tree, line: FrontLine, name: str) -> None:
    """Weak duality: with y in [0, 1] and z in [0, price], cost + price * bias is at least a linear function.

    Rejections are sum_v (o_v - D_v o_parent)_+ >= sum_v y_v (o_v - D_v o_parent), and price times the bias is
    at least sum_leaves z (T - o). The minimum over all laws o of the sum of the two right sides is found from
    the leaves up: below each prefix, all mass goes to the cheapest child.
    """
    if not isinstance(line.price, Fraction) or line.price < 0:
        _fail(f"{name}: the price is {_show(line.price)}; it must be a Fraction, at least 0")
    if len(line.rejection_prices) != len(tree.draft) or any(
        len(y) != len(draws) for y, draws in zip(line.rejection_prices, tree.draft, strict=False)
    ):
        _fail(f"{name}: a row of rejection prices is missing or has the wrong length")
    if len(line.bias_prices) != len(tree.target_law):
        _fail(f"{name}: {len(line.bias_prices)} bias prices for {len(tree.target_law)} outputs")
    if any(not isinstance(y, Fraction) or not 0 <= y <= 1 for row in line.rejection_prices for y in row):
        _fail(f"{name}: a rejection price is not in [0, 1]")
    if any(not isinstance(z, Fraction) or not 0 <= z <= line.price for z in line.bias_prices):
        _fail(f"{name}: a bias price is not in [0, {_show(line.price)}]")
    s = tree.tokens
    cheapest = [-z for z in line.bias_prices]
    for y, draws in zip(reversed(line.rejection_prices), reversed(tree.draft), strict=True):
        cheapest = [
            min(y[i + x] + cheapest[i + x] for x in range(s)) - sum(y[i + x] * draws[i + x] for x in range(s))
            for i in range(0, len(y), s)
        ]
    intercept = sum((z * t for z, t in zip(line.bias_prices, tree.target_law, strict=True)), Fraction(0))
    intercept += sum((m * v for m, v in zip(tree.roots, cheapest, strict=True)), Fraction(0))
    if not isinstance(line.intercept, Fraction) or intercept != line.intercept:
        _fail(f"{name}: the intercept is stated as {_show(line.intercept)} and is {_show(intercept)}")


def _gap(points: Sequence[FrontPoint], lines: Sequence[FrontLine]) -> Fraction:
    """Largest distance of a stretch of the broken line to its line; both are straight, so at an end."""
    worst = Fraction(0)
    for (a, b), line in zip(pairwise(points), lines, strict=True):
        for point in (a, b):
            worst = max(worst, point.rejections - (line.intercept - line.price * point.bias))
    return worst
