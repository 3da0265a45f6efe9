"""What a certificate consists of, and its JSON. No arithmetic: producers and the checker share only this."""

import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from specsim.errors import InputError

FORMAT = "specsim-certificate-1"

_Row = tuple[Fraction, ...]


class CertificateError(ValueError):
    """A certificate that does not prove what it claims; the message says which part fails.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> certificate = theory.lower_bound(paper_pair(2)).certificate
    >>> try:
    ...     theory.check_certificate(paper_pair(3), certificate)
    ... except theory.CertificateError as error:
    ...     print(str(error)[:31])
    certificate is about the pair 7
    """


@dataclass(frozen=True, kw_only=True)
class RejectionCertificate:
    """Dual solution that proves a lower bound on expected rejections (see `specsim.theory.lower_bound`).

    Attributes
    ----------
    pair
        Identity (SHA-256) of the pair.
    horizon
        Number of tokens.
    value
        The bound that is claimed.
    masses
        ``masses[n][c]``: probability that the target is in context c before it emits token n + 1.
    multipliers
        ``multipliers[n][c][x]`` in [0, 1]: dual price of the unbiasedness of token x there.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> certificate = theory.lower_bound(paper_pair(2)).certificate
    >>> round(float(certificate.value), 4)
    0.5827
    """

    pair: str
    horizon: int
    value: Fraction
    masses: tuple[_Row, ...]
    multipliers: tuple[tuple[_Row, ...], ...]

    def to_json(self) -> str:
        """Return JSON text with every rational as ``"p/q"``."""
        return json.dumps(
            {
                "format": FORMAT,
                "kind": "rejection-lower-bound",
                "pair": self.pair,
                "horizon": self.horizon,
                "value": _text(self.value),
                "masses": _texts(self.masses),
                "multipliers": _texts(self.multipliers),
            }
        )


@dataclass(frozen=True, kw_only=True)
class FrontPoint:
    """A law of the output, which proves that the front lies at or below a point.

    bias: joint total variation distance of the law to the target.
    rejections: expected rejections of the best decoder with this output law.
    law: joint law of (first context, output), ordered by first context of positive probability, then by
        output as a number in base ``tokens``, first token most significant.
    """

    bias: Fraction
    rejections: Fraction
    law: _Row


@dataclass(frozen=True, kw_only=True)
class FrontLine:
    """A dual solution, which proves that the front lies at or above ``intercept - price * bias``.

    price: rejections charged per unit of bias, at least 0.
    intercept: value of the line at bias 0.
    rejection_prices: ``rejection_prices[n][i]`` in [0, 1], one per prefix of n + 1 tokens, ordered like a
        `FrontPoint` law.
    bias_prices: one per whole output, in [0, price].
    """

    price: Fraction
    intercept: Fraction
    rejection_prices: tuple[_Row, ...]
    bias_prices: _Row


@dataclass(frozen=True, kw_only=True)
class FrontCertificate:
    """Points and lines that enclose the whole front of `specsim.theory.sequence_front`.

    Attributes
    ----------
    pair, horizon
        As in `RejectionCertificate`.
    points
        In increasing order of bias; the broken line through them is an upper bound.
    lines
        Lower bounds everywhere; ``lines[k]`` is the tight one between points k and k + 1.
    gap
        The largest vertical distance of a stretch between neighbouring points to its line; 0 when the front
        is known exactly.

    Examples
    --------
    >>> from specsim import parse_pair, theory
    >>> front = theory.sequence_front(parse_pair("random:contexts=2,horizon=2,seed=1"))
    >>> front.certificate.gap
    Fraction(0, 1)
    """

    pair: str
    horizon: int
    points: tuple[FrontPoint, ...]
    lines: tuple[FrontLine, ...]
    gap: Fraction

    def to_json(self) -> str:
        """Return JSON text with every rational as ``"p/q"``."""
        return json.dumps(
            {
                "format": FORMAT,
                "kind": "sequence-front",
                "pair": self.pair,
                "horizon": self.horizon,
                "gap": _text(self.gap),
                "points": [
                    {"bias": _text(p.bias), "rejections": _text(p.rejections), "law": _texts(p.law)}
                    for p in self.points
                ],
                "lines": [
                    {
                        "price": _text(line.price),
                        "intercept": _text(line.intercept),
                        "rejection_prices": _texts(line.rejection_prices),
                        "bias_prices": _texts(line.bias_prices),
                    }
                    for line in self.lines
                ],
            }
        )


@dataclass(frozen=True, kw_only=True)
class RoundCertificate:
    """Dual solution that bounds the accepted length of one round (see `specsim.theory.round_optimum`).

    Attributes
    ----------
    pair, horizon
        As in `RejectionCertificate`.
    parents
        Parent of each node of the draft structure, in breadth-first order; that of the root is -1.
    drawing
        How the children of a node are drawn: ``"independent"``, ``"distinct"`` or ``"greedy"``.
    value
        The bound that is claimed.
    prices
        For each first context, the price of each text that a round can make (the depth of the structure and
        one token more, or the horizon), as a number in base ``tokens``; empty for a context of probability 0.

    Examples
    --------
    >>> from specsim import Speculative, paper_pair, theory
    >>> certificate = theory.round_optimum(paper_pair(2), Speculative(draft_length=1)).certificate
    >>> theory.certificate_from_json(certificate.to_json()) == certificate
    True
    """

    pair: str
    horizon: int
    parents: tuple[int, ...]
    drawing: str
    value: Fraction
    prices: tuple[_Row, ...]

    def to_json(self) -> str:
        """Return JSON text with every rational as ``"p/q"``."""
        return json.dumps(
            {
                "format": FORMAT,
                "kind": "round-upper-bound",
                "pair": self.pair,
                "horizon": self.horizon,
                "parents": list(self.parents),
                "drawing": self.drawing,
                "value": _text(self.value),
                "prices": _texts(self.prices),
            }
        )


Certificate = RejectionCertificate | FrontCertificate | RoundCertificate


def certificate_from_json(text: str) -> Certificate:
    """Read a certificate from JSON.

    Raises
    ------
    CertificateError
        The text is not JSON, or not a certificate of a known kind, or a number is not a rational.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> certificate = theory.lower_bound(paper_pair(2)).certificate
    >>> theory.certificate_from_json(certificate.to_json()) == certificate
    True
    """
    try:
        data = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        reason = str(error).split(";")[0]
        raise CertificateError(f"certificate is not JSON text that can be read: {reason}") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise CertificateError(f"certificate lacks the format {FORMAT!r}; write it with to_json")
    try:
        if data["kind"] == "rejection-lower-bound":
            return RejectionCertificate(
                pair=str(data["pair"]),
                horizon=_whole(data["horizon"]),
                value=_number(data["value"]),
                masses=_numbers(data["masses"], 2),
                multipliers=_numbers(data["multipliers"], 3),
            )
        if data["kind"] == "round-upper-bound":
            return RoundCertificate(
                pair=str(data["pair"]),
                horizon=_whole(data["horizon"]),
                parents=tuple(_whole(parent) for parent in data["parents"]),
                drawing=str(data["drawing"]),
                value=_number(data["value"]),
                prices=_numbers(data["prices"], 2),
            )
        if data["kind"] == "sequence-front":
            return FrontCertificate(
                pair=str(data["pair"]),
                horizon=_whole(data["horizon"]),
                gap=_number(data["gap"]),
                points=tuple(
                    FrontPoint(
                        bias=_number(p["bias"]),
                        rejections=_number(p["rejections"]),
                        law=_numbers(p["law"], 1),
                    )
                    for p in data["points"]
                ),
                lines=tuple(
                    FrontLine(
                        price=_number(line["price"]),
                        intercept=_number(line["intercept"]),
                        rejection_prices=_numbers(line["rejection_prices"], 2),
                        bias_prices=_numbers(line["bias_prices"], 1),
                    )
                    for line in data["lines"]
                ),
            )
    except (KeyError, TypeError) as error:
        raise CertificateError(f"certificate is incomplete or malformed: {error!r}") from None
    raise CertificateError(f"certificate has the unknown kind {data['kind']!r}")


# Python refuses to convert integers of more than 4300 digits; halving them keeps long horizons possible.
_DIGITS = 4000
_MOST_DIGITS = 10_000_000


def _text(value: Fraction) -> str:
    if not isinstance(value, Fraction):
        raise InputError(f"certificate holds {value!r}; only Fraction objects can be written")
    numerator = _decimal(value.numerator)
    return numerator if value.denominator == 1 else f"{numerator}/{_decimal(value.denominator)}"


def _decimal(number: int) -> str:
    if number < 0:
        return "-" + _decimal(-number)
    if number.bit_length() < 3 * _DIGITS:
        return str(number)
    digits = number.bit_length() * 30103 // 100000 // 2
    high, low = divmod(number, 10**digits)
    return _decimal(high) + _decimal(low).zfill(digits)


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise CertificateError(f"certificate has a number of {len(text)} digits, more than {_MOST_DIGITS}")
    if len(text) <= _DIGITS:
        return int(text)
    half = len(text) // 2
    return _integer(text[:-half]) * 10**half + int(_integer(text[-half:]))


def _texts(values: Any) -> Any:
    if isinstance(values, tuple):
        return [_texts(value) for value in values]
    return _text(values)


def _number(text: object) -> Fraction:
    if not isinstance(text, str):
        raise CertificateError(f"certificate has {text!r} where a rational such as '2/3' is needed")
    numerator, slash, denominator = text.partition("/")
    digits = numerator.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or (
        slash and not (denominator.isascii() and denominator.isdigit() and denominator.strip("0"))
    ):
        raise CertificateError(f"certificate has {text[:40]!r} where a rational such as '2/3' is needed")
    value = Fraction(_integer(digits), _integer(denominator) if slash else 1)
    return -value if numerator.startswith("-") else value


def _numbers(values: object, depth: int) -> Any:
    if not isinstance(values, list):
        raise CertificateError(f"certificate has {str(values)[:40]!r} where a list is needed")
    if depth == 1:
        return tuple(_number(value) for value in values)
    return tuple(_numbers(value, depth - 1) for value in values)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise CertificateError(f"certificate has {value!r} where a whole number is needed")
    return value
