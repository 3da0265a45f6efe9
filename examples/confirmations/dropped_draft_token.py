"""Dropping a sampled draft token because the draft model finds it unlikely is biased.

Some engines cut a draft before a token whose draft probability is below a bar, and let the round go on as if
the draft had been shorter: the target draws the next token. With drafts that are sampled and tested by ratios
this is biased, because the tokens that remain are no draws from the draft row. (llama.cpp's ``p_min`` was
discussed in ggml-org/llama.cpp#22506; with its greedy drafts, or where the drawn token is still submitted and
only later drafting stops, nothing is wrong. Which engine drops the token was not verified here, engine by
engine; this script is about the rule.)

Needs Python alone. Adds up the law of one token in exact fractions; exits with 1 when it is biased.
"""

import sys
from fractions import Fraction

TARGET = tuple(Fraction(value, 10) for value in (2, 3, 5))
DRAFT = tuple(Fraction(value, 10) for value in (5, 3, 2))
BAR = Fraction(1, 4)


def emitted(drop):
    """Return the law of one token: `drop` says whether unlikely draft tokens are dropped or submitted."""
    residual = [max(t - d, Fraction(0)) for t, d in zip(TARGET, DRAFT, strict=True)]
    law = [Fraction(0)] * len(TARGET)
    for x, d in enumerate(DRAFT):
        if drop and d < BAR:
            for y, t in enumerate(TARGET):
                law[y] += d * t
            continue
        accepted = min(Fraction(1), TARGET[x] / d)
        law[x] += d * accepted
        for y, weight in enumerate(residual):
            law[y] += d * (1 - accepted) * weight / sum(residual)
    return law


def main():
    """Print both laws; return 1 when dropping is biased."""
    for drop in (False, True):
        law = emitted(drop)
        distance = sum(abs(a - b) for a, b in zip(law, TARGET, strict=True)) / 2
        shown = ", ".join(f"{float(value):.2f}" for value in law)
        print(f"{'dropped' if drop else 'submitted'}: ({shown}), total variation {distance}")
    print("target:   ", ", ".join(f"{float(value):.2f}" for value in TARGET))
    return int(distance != 0)


if __name__ == "__main__":
    sys.exit(main())
