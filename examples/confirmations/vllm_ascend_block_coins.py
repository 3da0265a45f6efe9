"""vllm-ascend: the kernel of block verification multiplies the coins, and accepts too much.

Read: vllm-project/vllm-ascend at 05226df, ``vllm_ascend/ops/triton/reject_sample.py``, kernel
``rejection_random_sample_block_verify_kernel`` (on by ``enable_block_verify`` for 3 or more drafted tokens;
whether later versions have it was not read). It accepts up to the last position whose weight is at least the
product of all coins so far, and replaces from (target - draft)_+. Block verification (2403.10444) has a coin
of its own for every position, a test that looks at the mass that is left, and a residual with the weight. The
project's issue 7807 says that the kernel is not correct.

Needs NumPy. The law of two drafted tokens is exact; for three the kernel's loop is run on many rows. Exits
with 1 when the output is not the target's.
"""

import math
import sys
from itertools import product

import numpy as np

TARGET = np.array([1 / 3, 2 / 3])
DRAFT = np.array([2 / 3, 1 / 3])
RESIDUAL = np.maximum(TARGET - DRAFT, 0) / np.maximum(TARGET - DRAFT, 0).sum()


def text_law(length):
    """Return the target's law of texts of this length."""
    return np.array([math.prod(TARGET[list(text)]) for text in product(range(2), repeat=length)])


def bound(length):
    """Return what no lossless rule exceeds in expected accepted tokens."""
    return sum(
        min(math.prod(TARGET[list(text)]), math.prod(DRAFT[list(text)]))
        for n in range(1, length + 1)
        for text in product(range(2), repeat=n)
    )


def two_tokens():
    """Return the exact law of a round of two drafted tokens, and the expected accepted length."""
    law, expected = np.zeros((2, 2)), 0.0
    for x, y in product(range(2), repeat=2):
        first = min(1.0, TARGET[x] / DRAFT[x])
        second = min(1.0, first * TARGET[y] / DRAFT[y])
        mass = DRAFT[x] * DRAFT[y]
        # U1 U2 <= second; U1 <= first but U1 U2 > second; the rest.
        both = second * (1 - math.log(second))
        one = first - second - second * math.log(first / second) if first > second else 0.0
        law[x, y] += mass * both
        law[x] += mass * one * RESIDUAL
        law += mass * (1 - both - one) * RESIDUAL[:, None] * TARGET
        expected += mass * (2 * both + one)
    return law.ravel(), expected


def sampled(length, rows, seed=1):
    """Return the law of a round as the kernel's loop gives it on many rows, and the mean accepted length."""
    rng = np.random.default_rng(seed)
    drafted = (rng.random((rows, length)) >= DRAFT[0]).astype(int)
    pi, uniform, stop = np.ones(rows), np.ones(rows), np.zeros(rows, int)
    for pos in range(length):
        uniform = uniform * rng.random(rows)
        pi = np.minimum(pi * (TARGET / DRAFT)[drafted[:, pos]], 1.0)
        stop = np.where(pi >= uniform, pos + 1, stop)
    recovered = (rng.random(rows) >= RESIDUAL[0]).astype(int)
    later = (rng.random((rows, length)) >= TARGET[0]).astype(int)
    place = np.arange(length)
    text = np.where(
        place < stop[:, None], drafted, np.where(place > stop[:, None], later, recovered[:, None])
    )
    number = text @ (2 ** np.arange(length)[::-1])
    return np.bincount(number, minlength=2**length) / rows, stop.mean()


def main():
    """Print distances and accepted lengths; return 1 when the output is biased."""
    law, expected = two_tokens()
    biased = abs(law - text_law(2)).sum() / 2
    print(f"2 tokens, exact: total variation {biased:.4f}, E[accepted] {expected:.4f}, bound {bound(2):.4f}")
    for length, rows in ((2, 1_000_000), (3, 2_000_000)):
        law, mean = sampled(length, rows)
        distance = abs(law - text_law(length)).sum() / 2
        first = law[: 2 ** (length - 1)].sum()
        print(
            f"{length} tokens, {rows:,} rows: total variation {distance:.4f}, mean accepted {mean:.4f}, "
            f"bound {bound(length):.4f}, first token a {first:.4f} (target {TARGET[0]:.4f})"
        )
    return int(biased > 0.001)


if __name__ == "__main__":
    sys.exit(main())
