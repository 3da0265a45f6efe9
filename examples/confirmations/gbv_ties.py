"""Greedy multi-path block verification (2602.16961): the reference code selects one path and prices another.

Read, not run: github.com/Rmuk655/Distill-Spec-Research, commit b3dc0a7,
``gbv-research/references/gbv-original/verifier.py``, which that repository calls an unmodified copy of the
reference implementation; function ``gbv_verify``. The rule keeps the drafted path of the highest rank, token
by token by target / draft, and verifies it as a block by the law that such a path has. The code caps the
quotients at 1, so that all tokens of which the target has more than the draft are equal. Where it computes
the law of the kept path, the higher token wins a tie (a stable sort of all tokens); where it selects the
path, the one that was drawn first wins (a loop over the children with ``>``).

Needs Python alone. Enumerates one round in exact fractions, with the code's selection and with one that ranks
as the law does, and exits with 1 when the code's output is not the target's.
"""

import sys
from fractions import Fraction
from itertools import product

TARGET = [Fraction(part, 100) for part in (50, 30, 15, 5)]
DRAFT = [Fraction(part, 100) for part in (20, 45, 10, 25)]
TOKENS = range(len(TARGET))
NONE, ALL = Fraction(0), Fraction(1)


def kept_path(paths, as_the_code):
    """Return the path that is kept, and the law of each of its tokens that is used to verify it."""
    ratios = [t / d for t, d in zip(TARGET, DRAFT, strict=True)]
    if as_the_code:
        ratios = [min(ALL, ratio) for ratio in ratios]
    ranks = sorted(TOKENS, key=lambda token: (ratios[token], token))
    upto = {token: sum(DRAFT[y] for y in ranks[: ranks.index(token) + 1]) for token in TOKENS}
    kept, laws, mass, below = (), [], ALL, NONE
    for depth in range(len(paths[0])):
        ends = {token: below + mass * upto[token] for token in TOKENS}
        starts = {token: ends[token] - mass * DRAFT[token] for token in TOKENS}
        chances = [ends[token] ** len(paths) - starts[token] ** len(paths) for token in TOKENS]
        laws.append([chance / sum(chances) for chance in chances])
        drawn = [path[depth] for path in paths if path[:depth] == kept]
        # The first of the largest, in the order of the paths or by the order of the law.
        best = max(drawn, key=ratios.__getitem__ if as_the_code else ranks.index)
        below, mass, kept = starts[best], mass * DRAFT[best], (*kept, best)
    return kept, laws


def verify(kept, laws):
    """Yield (emitted tokens, probability) of block verification (2403.10444) of the kept path."""
    weights = [ALL]
    for token, law in zip(kept, laws, strict=True):
        weights.append(min(ALL, weights[-1] * TARGET[token] / law[token]))
    left = ALL
    for stop in range(len(kept), -1, -1):
        final, stays = TARGET, weights[stop]
        if stop < len(kept):
            residual = [max(weights[stop] * t - q, NONE) for t, q in zip(TARGET, laws[stop], strict=True)]
            total = sum(residual)
            final = [mass / total for mass in residual] if total else TARGET
            stays = ALL if stop == 0 or total + 1 == weights[stop] else total / (total + 1 - weights[stop])
        for token, mass in enumerate(final):
            yield (*kept[:stop], token), left * stays * mass
        left *= 1 - stays


def distance(drafts, length, as_the_code):
    """Return the total variation distance of `length` + 1 tokens from the target, and the first one's law."""
    law = dict.fromkeys(product(TOKENS, repeat=length + 1), NONE)

    def complete(text, mass):
        if len(text) > length:
            law[text] += mass
        elif mass:
            for token in TOKENS:
                complete((*text, token), mass * TARGET[token])

    for paths in product(product(TOKENS, repeat=length), repeat=drafts):
        chance = chance_of(DRAFT, [token for path in paths for token in path])
        for text, mass in verify(*kept_path(paths, as_the_code)):
            complete(text, chance * mass)
    off = sum(abs(mass - chance_of(TARGET, text)) for text, mass in law.items()) / 2
    first = [sum(mass for text, mass in law.items() if text[0] == token) for token in TOKENS]
    return off, first


def chance_of(row, text):
    """Return the probability of independent tokens."""
    chance = ALL
    for token in text:
        chance *= row[token]
    return chance


def main():
    """Print the distances; return 1 when the code's output is not the target's."""
    biased = False
    for drafts, length in ((2, 1), (3, 1), (4, 1), (2, 2)):
        off, first = distance(drafts, length, True)
        repaired, _ = distance(drafts, length, False)
        print(f"{drafts} drafts of {length}: total variation {off} = {float(off):.4f}, repaired {repaired}")
        print(f"  first token: {', '.join(f'{float(mass):.4f}' for mass in first)}")
        assert repaired == 0
        biased |= off != 0
    return int(biased)


if __name__ == "__main__":
    sys.exit(main())
