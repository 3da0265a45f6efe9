"""Most acceptance at a node is not most acceptance in a round: optimal transport against recursive rejection.

Two paths of two tokens; the first draft row is (1/2, 1/4, 1/4), the first target row (0, 1/2, 1/2). After
token 2 draft and target agree, so that the second drafted token is accepted; otherwise they are disjoint and
it is not. Recursive rejection sampling (2305.09781) and every plan of most acceptance (2310.15141) accept one
of the first tokens with probability 3/4. A plan that descends into token 1 whenever it may leaves 5/16 for
token 2, recursive rejection 3/8. Needs nothing but Python; exits with 1 when a number is another one.
"""

from fractions import Fraction
from itertools import product

DRAFT = [Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)]
TARGET = [Fraction(0), Fraction(1, 2), Fraction(1, 2)]


def recursive():
    """Return the probability of descending into each token, by adding up both candidates and both tests."""
    taken = [Fraction(0)] * 3
    for first, second in product(range(3), repeat=2):
        left = DRAFT[first] * DRAFT[second]
        row = list(TARGET)
        for token in (first, second):
            accepted = min(Fraction(1), row[token] / DRAFT[token])
            taken[token] += left * accepted
            left *= 1 - accepted
            residual = [max(t - d, Fraction(0)) for t, d in zip(row, DRAFT, strict=True)]
            row = [r / sum(residual) for r in residual] if any(residual) else row
    return taken


def transport(order):
    """Return the same for the plan that takes the first token in `order` among those drafted that have room.

    The room never runs out here, so that every draft with token 1 or 2 is accepted: no plan accepts more.
    """
    taken = [Fraction(0)] * 3
    for drafted in product(range(3), repeat=2):
        chosen = next((token for token in order if token in drafted), None)
        if chosen is not None:
            taken[chosen] += DRAFT[drafted[0]] * DRAFT[drafted[1]]
    assert all(mass <= target for mass, target in zip(taken, TARGET, strict=True))
    return taken


def accepted(taken):
    """Return the expected accepted length: the first token, and a second one after token 2."""
    return sum(taken) + taken[2]


FOUND = {
    "recursive rejection sampling": (accepted(recursive()), Fraction(9, 8)),
    "transport that prefers token 1": (accepted(transport((1, 2))), Fraction(17, 16)),
    "transport that prefers token 2": (accepted(transport((2, 1))), Fraction(19, 16)),
}
for name, (value, _) in FOUND.items():
    print(f"{name}: {value} drafted tokens accepted")
raise SystemExit(any(value != wanted for value, wanted in FOUND.values()))
