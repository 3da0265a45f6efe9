"""More drafts can make greedy multi-path block verification worse.

The rule (2602.16961) keeps the drafted path of the largest target / draft and verifies it as a block by the
law that such a path has. For one token, draft (1/2, 1/2) and target (3/4, 1/4), token 0 is kept unless all
drafts are token 1, so that the kept token has the law (1 - 2^-M, 2^-M), and is accepted with the overlap of
that law and the target: 3/4, 1, 7/8, 13/16, ... for M = 1, 2, 3, 4. Needs nothing but Python; exits with 1
when the numbers are others.
"""

from fractions import Fraction
from itertools import product

DRAFT, TARGET = (Fraction(1, 2), Fraction(1, 2)), (Fraction(3, 4), Fraction(1, 4))


def acceptance(drafts):
    """Return the overlap of the kept token's law and the target."""
    kept = [Fraction(0), Fraction(0)]
    for drawn in product((0, 1), repeat=drafts):
        best = max(drawn, key=lambda token: TARGET[token] / DRAFT[token])
        kept[best] += Fraction(1, 2**drafts)
    return sum(min(k, t) for k, t in zip(kept, TARGET, strict=True))


found = [acceptance(drafts) for drafts in (1, 2, 3, 4)]
print("accepted with 1, 2, 3, 4 drafts:", ", ".join(map(str, found)))
raise SystemExit(found != [Fraction(3, 4), 1, Fraction(7, 8), Fraction(13, 16)])
