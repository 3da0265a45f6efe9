"""Hierarchical speculative decoding (2601.05724): the public code accepts whole drafts too often.

Read: github.com/ZhouYuxuanYX/Hierarchical-Speculative-Decoding, branch ``backward``, commit b8575e2 of
2026-04-14, ``transformers/generation/utils.py``; the paper was not compared. The code walks back from the end
of the draft as block verification (2403.10444) does, with the same probabilities and residuals, but first
accepts the whole draft with min(1, product of target / draft). Block verification caps the product at 1 after
every token. Where the product has been above 1 on the way, the code accepts more than it may.

Needs Python alone. Enumerates one round of two tokens in exact fractions, with the code's test and with the
capped one, and exits with 1 when the code's output is not the target's.
"""

import sys
from fractions import Fraction
from itertools import product

TARGET = (Fraction(1, 3), Fraction(2, 3))
DRAFT = (Fraction(2, 3), Fraction(1, 3))
LENGTH = 2


def positive_part(scale):
    """Return (scale * TARGET - DRAFT)_+."""
    return [max(scale * t - d, Fraction(0)) for t, d in zip(TARGET, DRAFT, strict=True)]


def round_law(capped):
    """Return the law of LENGTH tokens, completed from the target, and the expected accepted length."""
    law = dict.fromkeys(product(range(len(TARGET)), repeat=LENGTH), Fraction(0))
    expected = Fraction(0)

    def complete(text, mass):
        if len(text) == LENGTH:
            law[text] += mass
        else:
            for token, t in enumerate(TARGET):
                complete((*text, token), mass * t)

    for draft in product(range(len(DRAFT)), repeat=LENGTH):
        mass, whole, weights = Fraction(1), Fraction(1), [Fraction(1)]
        for token in draft:
            ratio = TARGET[token] / DRAFT[token]
            mass *= DRAFT[token]
            whole *= ratio
            weights.append(min(Fraction(1), weights[-1] * ratio))
        accepted = weights[-1] if capped else min(Fraction(1), whole)
        complete(draft, mass * accepted)
        expected += mass * accepted * LENGTH
        left = mass * (1 - accepted)
        for stop in reversed(range(LENGTH)):
            residual = positive_part(weights[stop])
            # At the start the walk ends; a weight of 1 ends it, too.
            stays = (
                sum(residual) / (sum(residual) + 1 - weights[stop]) if sum(residual) else Fraction(stop == 0)
            )
            for token, weight in enumerate(residual):
                if weight:
                    complete((*draft[:stop], token), left * stays * weight / sum(residual))
            expected += left * stays * stop
            left *= 1 - stays
    return law, expected


def main():
    """Print both laws; return 1 when the code's is not the target's."""
    found = {}
    for name, capped in (("as published", False), ("with the product capped", True)):
        law, expected = round_law(capped)
        distance = Fraction(0)
        print(f"{name}: E[accepted] = {expected}")
        for text, mass in law.items():
            target = Fraction(1)
            for token in text:
                target *= TARGET[token]
            distance += abs(mass - target) / 2
            print(f"  {''.join('ab'[token] for token in text)}: {mass}, target {target}")
        print(f"  total variation distance {distance}")
        found[name] = distance
    bound = sum(
        min(a, b)
        for length in range(1, LENGTH + 1)
        for a, b in [
            (prod(TARGET, text), prod(DRAFT, text)) for text in product(range(len(TARGET)), repeat=length)
        ]
    )
    print(f"no lossless rule accepts more than {bound} of {LENGTH} drafted tokens on average")
    return int(found["as published"] != 0)


def prod(row, text):
    """Return the probability of a text of independent tokens."""
    value = Fraction(1)
    for token in text:
        value *= row[token]
    return value


if __name__ == "__main__":
    sys.exit(main())
