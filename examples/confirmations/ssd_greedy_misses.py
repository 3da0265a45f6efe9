"""Verification of cache misses in the authors' code of speculative speculative decoding is biased.

tanishqkumar/ssd, commit 6ed3022, ssd/utils/verify.py: without `jit_speculate` (`--backup fast`) and with a
temperature, drafts of rows that missed the cache are accepted as long as their tokens are the target's
likeliest ones; the token after them is drawn from the target row. Such drafts are random tokens
(`hit_cache_and_respond` in ssd/engine/draft_runner.py). So the likeliest token is written with probability
1/V + (1 - 1/V) max T, and the law of a token is (1 - max T) / V from the target in total variation.
The code was read, not run: it needs GPUs. Its decision is repeated here, by enumeration and by 100,000 draws.
Needs nothing but Python; exits with 1 when a number is another one.
"""

import random
from fractions import Fraction

TARGETS = {
    "thirds": [Fraction(1, 3), Fraction(2, 3)],
    "fours": [Fraction(n, 20) for n in (10, 6, 3, 1)],
}


def written(target):
    """Return the law of the token that a miss writes first."""
    size, likeliest = len(target), target.index(max(target))
    law = [Fraction(0)] * size
    for drafted in range(size):
        if drafted == likeliest:
            law[drafted] += Fraction(1, size)
            continue
        for final, chance in enumerate(target):
            law[final] += Fraction(1, size) * chance
    return law


wrong = False
for name, target in TARGETS.items():
    law = written(target)
    distance = sum(abs(a - b) for a, b in zip(law, target, strict=True)) / 2
    bias = (1 - max(target)) / len(target)
    source, likeliest, count = random.Random(1), target.index(max(target)), 0
    for _ in range(100_000):
        drafted = source.randrange(len(target))
        if drafted != likeliest:
            (drafted,) = source.choices(range(len(target)), [float(chance) for chance in target])
        count += drafted == likeliest
    print(
        f"{name}: the likeliest token is written with {max(law)} (drawn: {count / 100_000:.4f}) instead of "
        f"{max(target)}; total variation {distance}"
    )
    wrong |= distance != bias or abs(count / 100_000 - float(max(law))) > 0.01
print(f"with 128,256 tokens and max T = 1/2: {(1 - 0.5) / 128_256:.1e}")
raise SystemExit(wrong)
