"""Certificates that must be refused: each breaks one condition of the checker and keeps all others.

What depends on the broken part is computed again here, so that no other condition gives the fault away. The
code shares nothing with `specsim.theory.certificates.checker`.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, product
from typing import Any

from specsim.pairs import ModelPair

_TINY = Fraction(1, 2**70)
_ZERO = Fraction(0)


def broken_rejection_certificates(pair: Any, certificate: Any) -> Iterator[tuple[str, Any]]:
    """Yield (what is wrong, certificate) for a valid `RejectionCertificate` of `pair`."""
    yield "another pair's identity", replace(certificate, pair="0" * 64)
    yield "horizon 0", replace(certificate, horizon=0, masses=(), multipliers=(), value=_ZERO)
    yield "a step without masses", replace(certificate, masses=certificate.masses[:-1])
    yield "a step without multipliers", replace(certificate, multipliers=certificate.multipliers[:-1])
    yield "a larger value", replace(certificate, value=certificate.value + _TINY)
    yield "a smaller value", replace(certificate, value=certificate.value - _TINY)
    masses, prices = certificate.masses, certificate.multipliers
    wrong_mass = (masses[-1][0] + _TINY, *masses[-1][1:])
    yield "another mass", replace(certificate, masses=(*masses[:-1], wrong_mass))
    yield "a mass too many", replace(certificate, masses=(*masses[:-1], (*masses[-1], _ZERO)))
    yield "a row of multipliers too many", _with_prices(certificate, 0, (*prices[0], prices[0][0]))
    yield "a multiplier too many", _with_prices(certificate, 0, ((*prices[0][0], _ZERO), *prices[0][1:]))
    step, context, token, slope = _steepest(pair, certificate)
    for what, wrong in (("a multiplier above 1", 1 + _TINY), ("a multiplier below 0", -_TINY)):
        row = prices[step][context]
        changed = (*row[:token], wrong, *row[token + 1 :])
        table = (*prices[step][:context], changed, *prices[step][context + 1 :])
        value = certificate.value + (wrong - row[token]) * slope
        yield what, replace(_with_prices(certificate, step, table), value=value)


def broken_front_certificates(pair: Any, certificate: Any) -> Iterator[tuple[str, Any]]:
    """Yield (what is wrong, certificate) for a valid `FrontCertificate` with two points or more."""
    tree = _Sequences(pair, certificate.horizon)
    points, lines = certificate.points, certificate.lines

    def with_points(*changed: Any) -> Any:
        return _with_gap(replace(certificate, points=changed))

    def with_line(**changes: Any) -> Any:
        line = replace(lines[0], **changes)
        if "intercept" not in changes:
            line = replace(line, intercept=tree.intercept(line))
        return _with_gap(replace(certificate, lines=(line, *lines[1:])))

    yield "another pair's identity", replace(certificate, pair="0" * 64)
    yield "horizon 0", replace(certificate, horizon=0)
    yield "no points", replace(certificate, points=(), lines=(), gap=_ZERO)
    yield "a line too many", replace(certificate, lines=(*lines, lines[-1]))
    yield "a larger gap", replace(certificate, gap=certificate.gap + _TINY)
    yield "a smaller gap", replace(certificate, gap=certificate.gap - _TINY)
    first, last = points[0], points[-1]
    yield "a point's bias too small", with_points(*points[:-1], replace(last, bias=last.bias - _TINY))
    yield (
        "a point's rejections too few",
        with_points(replace(first, rejections=first.rejections - _TINY), *points[1:]),
    )
    yield "a bias that is a float", with_points(replace(first, bias=0.0), *points[1:])
    yield "a law of the wrong length", with_points(*points[:-1], replace(last, law=(*last.law, _ZERO)))
    negative = list(first.law)
    least = min(range(len(negative)), key=negative.__getitem__)
    negative[max(range(len(negative)), key=negative.__getitem__)] += negative[least] + _TINY
    negative[least] = -_TINY
    moved = tree.point(first, negative)
    place = sum(point.bias < moved.bias for point in points)
    yield (
        "a law with a negative entry",
        _with_gap(
            replace(
                certificate,
                points=(*points[:place], moved, *points[place:]),
                lines=(*lines[:place], lines[place - 1], *lines[place:]),
            )
        ),
    )
    doubled = [2 * mass for mass in last.law]
    yield "a law that sums to 2", with_points(*points[:-1], tree.point(last, doubled))
    yield (
        "a point that stands twice",
        _with_gap(replace(certificate, points=(*points, last), lines=(*lines, lines[-1]))),
    )
    yield "a first point with bias", _with_gap(replace(certificate, points=points[1:], lines=lines[1:]))
    yield (
        "a last point with rejections",
        _with_gap(replace(certificate, points=points[:-1], lines=lines[:-1])),
    )
    line = lines[0]
    yield "a line raised", with_line(intercept=line.intercept + _TINY)
    yield "a line lowered", with_line(intercept=line.intercept - _TINY)
    yield "a price that is a float", with_line(price=float(line.price))
    yield (
        "a row of rejection prices missing",
        with_line(rejection_prices=line.rejection_prices[:-1], intercept=line.intercept),
    )
    yield "a bias price missing", with_line(bias_prices=line.bias_prices[:-1], intercept=line.intercept)
    for what, wrong in (("above 1", 1 + _TINY), ("below 0", -_TINY)):
        rows = line.rejection_prices
        yield f"a rejection price {what}", with_line(rejection_prices=((wrong, *rows[0][1:]), *rows[1:]))
    for what, wrong in (("above the price", line.price + _TINY), ("below 0", -_TINY)):
        yield f"a bias price {what}", with_line(bias_prices=(wrong, *line.bias_prices[1:]))


def _with_prices(certificate: Any, step: int, table: Any) -> Any:
    prices = certificate.multipliers
    return replace(certificate, multipliers=(*prices[:step], table, *prices[step + 1 :]))


def _steepest(pair: Any, certificate: Any) -> tuple[int, int, int, Fraction]:
    """Return (step, context, token) of a multiplier that the value depends on, and its slope."""
    for step, masses in enumerate(certificate.masses):
        rows = 0 if len(pair.target) == 1 else step
        for context, mass in enumerate(masses):
            for token in range(pair.tokens):
                slope = mass * (
                    _number(pair, pair.draft[rows][context][token])
                    - _number(pair, pair.target[rows][context][token])
                )
                if slope:
                    return step, context, token, slope
    return 0, 0, 0, _ZERO


def _number(pair: Any, value: Any) -> Fraction:
    # Entries of a `ModelPair` are multiples of 2^-32 and exact in float64.
    return Fraction(float(value)) if isinstance(pair, ModelPair) else Fraction(value)


def _with_gap(certificate: Any) -> Any:
    """Return the certificate with the gap that its points and lines have."""
    gap = _ZERO
    for ends, line in zip(pairwise(certificate.points), certificate.lines, strict=True):
        for point in ends:
            gap = max(gap, point.rejections - line.intercept + line.price * Fraction(point.bias))
    return replace(certificate, gap=gap)


def broken_round_certificates(pair: Any, certificate: Any) -> Iterator[tuple[str, Any]]:
    """Yield (what is wrong, certificate) for a valid `RoundCertificate` of `pair`.

    Prices of 0 prove nothing but the depth of the structure, whatever the structure is.
    """
    yield "another pair's identity", replace(certificate, pair="0" * 64)
    yield "a smaller value", replace(certificate, value=certificate.value - _TINY)
    yield "a larger value", replace(certificate, value=certificate.value + _TINY)
    yield "prices for a context too many", replace(certificate, prices=(*certificate.prices, ()))
    first = next(c for c, prices in enumerate(certificate.prices) if prices)

    def with_prices(*prices: Any) -> Any:
        before, after = certificate.prices[:first], certificate.prices[first + 1 :]
        return replace(certificate, prices=(*before, prices, *after))

    yield "a price too many", with_prices(*certificate.prices[first], _ZERO)
    yield "a price in floats", with_prices(*map(float, certificate.prices[first]))

    def free(parents: tuple[int, ...], depth: int, horizon: int, drawing: str = "independent") -> Any:
        texts = (_ZERO,) * pair.tokens ** min(depth + 1, horizon)
        return replace(
            certificate,
            horizon=horizon,
            parents=parents,
            drawing=drawing,
            value=Fraction(depth),
            prices=tuple(texts if mass else () for mass in pair.initial),
        )

    horizon = certificate.horizon
    yield "nodes out of order", free((-1, 0, 1, 0), 2, horizon)
    yield "a node before its parent", free((-1, 1), 1, horizon)
    yield "a structure without a root", free((0, 0), 1, horizon)
    yield "a structure deeper than the horizon", free((-1, 0, 1), 2, 1)
    yield "an unknown drawing", free((-1, 0), 1, horizon, "sorted")
    many = free((-1, *(0,) * (pair.tokens + 1)), 1, horizon, "distinct")
    yield "more distinct children than tokens", replace(many, value=_ZERO)


class _Sequences:
    """All outputs of a small pair with their probabilities under target and draft."""

    def __init__(self, pair: Any, horizon: int) -> None:
        self.tokens = pair.tokens
        self.horizon = horizon
        self.starts = [c for c in range(pair.contexts) if pair.initial[c] > 0]
        self.initial = {c: _number(pair, pair.initial[c]) for c in self.starts}
        self.draft: dict[tuple[int, ...], Fraction] = {}
        self.target: dict[tuple[int, ...], Fraction] = {(c,): self.initial[c] for c in self.starts}
        context: dict[tuple[int, ...], int] = {(c,): c for c in self.starts}
        for length in range(horizon):
            rows = 0 if len(pair.target) == 1 else length
            for prefix in self.prefixes(length):
                here = context[prefix]
                for token in range(self.tokens):
                    longer = (*prefix, token)
                    context[longer] = int(pair.next_context[here][token])
                    self.draft[longer] = _number(pair, pair.draft[rows][here][token])
                    self.target[longer] = self.target[prefix] * _number(pair, pair.target[rows][here][token])

    def prefixes(self, length: int) -> list[tuple[int, ...]]:
        """Return (first context, tokens) of all prefixes of a length, in the certificate's order."""
        return [(c, *word) for c in self.starts for word in product(range(self.tokens), repeat=length)]

    def point(self, point: Any, law: list[Fraction]) -> Any:
        """Return the point with this law and the bias and rejections that it has."""
        mass = dict(zip(self.prefixes(self.horizon), law, strict=True))
        bias = sum((abs(mass[leaf] - self.target[leaf]) for leaf in mass), _ZERO) / 2
        total = _ZERO
        level = mass
        for _ in range(self.horizon):
            above: dict[tuple[int, ...], Fraction] = {}
            for node, value in level.items():
                above[node[:-1]] = above.get(node[:-1], _ZERO) + value
            for node, value in level.items():
                total += abs(value - above[node[:-1]] * self.draft[node])
            level = above
        return replace(point, law=tuple(law), bias=bias, rejections=total / 2)

    def intercept(self, line: Any) -> Fraction:
        """Return the least value of the line's dual programme, its intercept."""
        least = {
            leaf: -price for leaf, price in zip(self.prefixes(self.horizon), line.bias_prices, strict=True)
        }
        total = -sum((value * self.target[leaf] for leaf, value in least.items()), _ZERO)
        for length in range(self.horizon, 0, -1):
            prices = dict(zip(self.prefixes(length), line.rejection_prices[length - 1], strict=True))
            shorter = {}
            for prefix in self.prefixes(length - 1):
                children = [(*prefix, token) for token in range(self.tokens)]
                shorter[prefix] = min(prices[child] + least[child] for child in children) - sum(
                    prices[child] * self.draft[child] for child in children
                )
            least = shorter
        return total + sum((self.initial[c] * least[(c,)] for c in self.starts), _ZERO)
