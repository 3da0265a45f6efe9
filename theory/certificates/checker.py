"""Checker of certificates: rational arithmetic only, and no code in common with what produces them.

The producers are `lower_bounds`, `remark_6` and `round_optimum` in `specsim.theory.statements`; the only
thing shared with them is the format, `specsim.theory.certificates.formats`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    RoundCertificate,
    certificate_from_json,
)

__all__ = [
    "Certificate",
    "CertificateError",
    "FrontCertificate",
    "FrontLine",
    "FrontPoint",
    "RejectionCertificate",
    "RoundCertificate",
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

    A `RoundCertificate` proves that no lossless verifier of its drafts accepts more than ``value`` tokens of
    the first round in expectation. Checked: the structure and the drawing make sense, there is a price for
    every text, and the dual objective (see `specsim.theory.round_optimum`) equals ``value``.

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
    elif isinstance(certificate, RoundCertificate):
        _check_round(pair, certificate)
    else:
        raise CertificateError(f"a {type(certificate).__name__} is not a certificate")
    return True


def _fail(reason: str) -> NoReturn:
    raise CertificateError(reason)


def _number(value: Any) -> Fraction:
    # A float64 of a ModelPair is a multiple of 2^-32 and converts without error.
    return value if isinstance(value, Fraction) else Fraction(float(value))


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
        self.tokens = pair.tokens
        steps = len(pair.target)
        contexts = [c for c in range(pair.contexts) if pair.initial[c] > 0]
        self.roots = [_number(pair.initial[c]) for c in contexts]
        self.draft: list[list[Fraction]] = []
        self.target_law = list(self.roots)
        for n in range(length):
            table = 0 if steps == 1 else n
            draws, law, after = [], [], []
            for mass, c in zip(self.target_law, contexts, strict=True):
                for x in range(self.tokens):
                    draws.append(_number(pair.draft[table][c][x]))
                    law.append(mass * _number(pair.target[table][c][x]))
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
        _fail(f"{name}: the law has length {len(law)} for {len(tree.target_law)} outputs")
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


def _check_round(pair: ModelPair | RationalPair, certificate: RoundCertificate) -> None:
    """Weak duality: a rule that stops at a node with text w after it is charged v(w), and v averages out.

    A lossless rule leaves the target's law of the text, so that the expected charge is the target's mean of
    v. Its expected depth is that mean plus the expectation of (depth - v(w)), at most the largest one.
    """
    _check_subject(pair, certificate)
    parents, tokens = certificate.parents, pair.tokens
    if not parents or parents[0] != -1 or list(parents[1:]) != sorted(parents[1:]):
        _fail(f"the parents {parents} are not those of a structure in breadth-first order")
    if any(not 0 <= parent < node for node, parent in enumerate(parents[1:], start=1)):
        _fail(f"the parents {parents} name a node that does not come before")
    depths = [0]
    for parent in parents[1:]:
        depths.append(depths[parent] + 1)
    if max(depths) > certificate.horizon:
        _fail(f"the structure is {max(depths)} deep, more than the horizon {certificate.horizon}")
    length = min(max(depths) + 1, certificate.horizon)
    if len(certificate.prices) != pair.contexts:
        _fail(f"there are prices for {len(certificate.prices)} of {pair.contexts} contexts")
    total = Fraction(0)
    for context, prices in enumerate(certificate.prices):
        mass = _number(pair.initial[context])
        if not mass:
            continue
        if len(prices) != tokens**length or any(not isinstance(price, Fraction) for price in prices):
            _fail(f"context {context} needs a Fraction for each of {tokens**length} texts")
        total += mass * _Round(pair, certificate, length, context).bound()
    if not isinstance(certificate.value, Fraction) or total != certificate.value:
        _fail(f"the bound is stated as {_show(certificate.value)} and is {_show(total)}")


class _Round:
    """The dual objective of one first context."""

    def __init__(self, pair: Any, certificate: RoundCertificate, length: int, context: int) -> None:
        self.pair, self.drawing, self.length = pair, certificate.drawing, length
        self.context, self.prices = context, certificate.prices[context]
        self.below: list[list[int]] = [[] for _ in certificate.parents]
        for node, parent in enumerate(certificate.parents[1:], start=1):
            self.below[parent].append(node)
        self.means: dict[tuple[int, ...], Fraction] = {}

    def row(self, table: Any, step: int, context: int) -> list[Fraction]:
        return [_number(value) for value in table[0 if len(table) == 1 else step][context]]

    def mean(self, text: tuple[int, ...], context: int) -> Fraction:
        """Target's mean price of the texts that begin like this."""
        if len(text) == self.length:
            number = 0
            for token in text:
                number = number * self.pair.tokens + token
            self.means[text] = self.prices[number]
        else:
            row = self.row(self.pair.target, len(text), context)
            after = self.pair.next_context[context]
            self.means[text] = sum(
                (mass * self.mean((*text, y), int(after[y])) for y, mass in enumerate(row)), Fraction(0)
            )
        return self.means[text]

    def bound(self) -> Fraction:
        return self.mean((), self.context) + self.costs(0, [()], [self.context])

    def costs(self, node: int, texts: list[tuple[int, ...]], contexts: list[int]) -> Fraction:
        """Return the expected largest (depth - price) over the drafts that begin with these nodes."""
        if node == len(self.below):
            return max(len(text) - self.means[end] for text in texts for end in self.ends(text))
        if not self.below[node]:
            return self.costs(node + 1, texts, contexts)
        row = self.row(self.pair.draft, len(texts[node]), contexts[node])
        total = Fraction(0)
        for drawn, mass in self.draws(row, len(self.below[node])):
            longer = [*texts, *((*texts[node], x) for x in drawn)]
            after = [*contexts, *(int(self.pair.next_context[contexts[node]][x]) for x in drawn)]
            total += mass * self.costs(node + 1, longer, after)
        return total

    def ends(self, text: tuple[int, ...]) -> list[tuple[int, ...]]:
        whole = len(text) == self.length
        return [text] if whole else [(*text, y) for y in range(self.pair.tokens)]

    def draws(self, row: list[Fraction], count: int) -> Iterator[tuple[tuple[int, ...], Fraction]]:
        """Yield the children's tokens and their probability."""
        if self.drawing not in ("independent", "distinct", "greedy"):
            _fail(f"the drawing is {self.drawing!r}; it must be independent, distinct or greedy")
        if self.drawing != "independent" and count > len(row):
            _fail(f"a node has {count} children, more than the {len(row)} tokens")
        if self.drawing == "greedy":
            yield tuple(sorted(range(len(row)), key=lambda x: (-row[x], x))[:count]), Fraction(1)
        else:
            yield from _drawn(row, count, self.drawing == "distinct", ())


def _drawn(
    row: list[Fraction], count: int, differ: bool, before: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], Fraction]]:
    """Yield tokens drawn after those before, which they may have to differ from, and their probability."""
    if len(before) == count:
        yield before, Fraction(1)
        return
    left = [Fraction(0) if differ and x in before else mass for x, mass in enumerate(row)]
    if not any(left):  # no mass left: uniform over the tokens that are
        left = [Fraction(x not in before) for x in range(len(row))]
    total = sum(left)
    for x, mass in enumerate(left):
        if mass:
            for tokens, share in _drawn(row, count, differ, (*before, x)):
                yield tokens, share * mass / total
