"""vLLM 0.30.0: block verification looks at the coins of a position again in the next round.

Read: the wheel of vllm 0.30.0, ``vllm/v1/worker/gpu/spec_decode/rejection_sampler_utils.py``, kernel
``_rejection_kernel``, option ``rejection_sample_method="block"``: ``u = tl_rand32(seed, pos)`` for every
drafted position, and ``accepted_length = where(u <= h, i + 1, accepted_length)``. Every position of the draft
is looked at, also those behind the accepted prefix, and the next round drafts some of them again: with the
same seed and position they have the same u, of which it is known that it has failed. 0.33.0 has a seed for
each step.

The ratio rule of the same kernel stops at the first failure, which is the position it replaces, so that no u
is looked at twice.

Needs Python alone. Adds up the law of the first two tokens of a text in exact fractions, with drafts of two
tokens, for sampled drafts and for greedy ones (the default), with kept and with fresh coins. Exits with 1
when kept coins are biased.
"""

import sys
from fractions import Fraction
from itertools import product

TARGET = tuple(Fraction(value, 20) for value in (10, 6, 3, 1))
TOKENS = range(len(TARGET))
ONE, ZERO = Fraction(1), Fraction(0)
DRAFTS = {
    "sampled drafts": tuple(Fraction(value, 20) for value in (4, 9, 2, 5)),
    "greedy drafts": (ZERO, ONE, ZERO, ZERO),
}


def tests(draft, x, y):
    """Return what the two coins are compared with, and the residual after one accepted token."""
    first = min(ONE, TARGET[x] / draft[x])
    excess = [max(first * t - d, ZERO) for t, d in zip(TARGET, draft, strict=True)]
    passes = sum(excess) / (sum(excess) + 1 - first) if first < 1 else ONE
    return passes, min(ONE, first * TARGET[y] / draft[y]), excess


def drafted(draft):
    """Yield both tokens of a draft, and its probability."""
    for x, y in product(TOKENS, repeat=2):
        if draft[x] * draft[y]:
            yield x, y, draft[x] * draft[y]


def second_token(draft, failed):
    """Return the law of the token after a replaced first one; its coin has failed a test at `failed`."""
    replaced = [max(t - d, ZERO) for t, d in zip(TARGET, draft, strict=True)]
    law = [ZERO] * len(TARGET)
    for x, y, mass in drafted(draft):
        passes, whole, _ = tests(draft, x, y)
        # The coin is uniform above `failed`; that of the second drafted token is fresh.
        again = max(passes - failed, ZERO) / (1 - failed)
        stays = whole + (1 - whole) * again
        law[x] += mass * stays
        for token in TOKENS:
            law[token] += mass * (1 - stays) * replaced[token] / sum(replaced)
    return law


def two_tokens(draft, kept):
    """Return the law of the first two tokens."""
    replaced = [max(t - d, ZERO) for t, d in zip(TARGET, draft, strict=True)]
    law = dict.fromkeys(product(TOKENS, repeat=2), ZERO)
    for x, y, mass in drafted(draft):
        passes, whole, excess = tests(draft, x, y)
        law[x, y] += mass * whole
        for token in TOKENS:
            if passes and whole < 1:
                law[x, token] += mass * (1 - whole) * passes * excess[token] / sum(excess)
            none = mass * (1 - whole) * (1 - passes)
            if none:
                # The coin of the second position has failed the test of the whole draft.
                after = second_token(draft, whole if kept else ZERO)
                for later in TOKENS:
                    law[token, later] += none * replaced[token] / sum(replaced) * after[later]
    return law


def main():
    """Print the distances; return 1 when kept coins are biased."""
    biased = False
    for name, draft in DRAFTS.items():
        for kept in (False, True):
            law = two_tokens(draft, kept)
            distance = sum(abs(mass - TARGET[x] * TARGET[y]) for (x, y), mass in law.items()) / 2
            second = [sum(law[x, y] for x in TOKENS) for y in TOKENS]
            print(
                f"{name}, {'kept' if kept else 'fresh'} coins: total variation {float(distance):.4f} "
                f"({distance}), second token {', '.join(f'{float(p):.4f}' for p in second)}"
            )
            biased |= kept and distance != 0
    print("target:", ", ".join(f"{float(p):.4f}" for p in TARGET))
    return int(biased)


if __name__ == "__main__":
    sys.exit(main())
