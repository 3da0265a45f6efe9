"""Block verification with the residual of the token rule is biased.

Seen in vllm-project/vllm-ascend, whose pull request 7808 corrects the PyTorch path, and in its kernel at
05226df (``vllm_ascend/ops/triton/reject_sample.py``), which draws recovered tokens from (target - draft)_+
also after block tests. Block verification (2403.10444, Algorithm 2) stops after i tokens with the residual of
(weight_i target - draft)_+. With two tokens of vocabulary the two often agree, so that small tests miss it.

Needs Python alone. Enumerates one round of two drafted tokens in exact fractions with either residual, and
exits with 1 when the token rule's is biased.
"""

import sys
from fractions import Fraction
from itertools import product

TARGET = tuple(Fraction(value, 20) for value in (10, 6, 3, 1))
DRAFT = tuple(Fraction(value, 20) for value in (4, 9, 2, 5))
TOKENS = range(len(TARGET))
ONE = Fraction(1)


def excess(scale):
    """Return (scale * TARGET - DRAFT)_+."""
    return [max(scale * t - d, Fraction(0)) for t, d in zip(TARGET, DRAFT, strict=True)]


def round_law(weighted):
    """Return the law of two tokens, completed from the target, and the expected accepted length."""
    law = dict.fromkeys(product(TOKENS, repeat=2), Fraction(0))
    expected = Fraction(0)
    for x, y in product(TOKENS, repeat=2):
        mass = DRAFT[x] * DRAFT[y]
        first = min(ONE, TARGET[x] / DRAFT[x])
        whole = min(ONE, first * TARGET[y] / DRAFT[y])
        left = sum(excess(first))
        passes = left / (left + 1 - first) if first < 1 else ONE
        both, one = whole, (1 - whole) * passes
        none = (1 - whole) * (1 - passes)
        expected += mass * (2 * both + one)
        law[x, y] += mass * both
        after_one, after_none = excess(first if weighted else ONE), excess(ONE)
        for token in TOKENS:
            if one:
                law[x, token] += mass * one * after_one[token] / sum(after_one)
            for later in TOKENS:
                law[token, later] += mass * none * after_none[token] / sum(after_none) * TARGET[later]
    return law, expected


def main():
    """Print both distances; return 1 when the token rule's residual is biased."""
    for weighted in (True, False):
        law, expected = round_law(weighted)
        distance = sum(abs(mass - TARGET[x] * TARGET[y]) for (x, y), mass in law.items()) / 2
        name = "weight target - draft" if weighted else "target - draft"
        print(
            f"residual of {name}: total variation {distance} = {float(distance):.5f}, E[accepted] {expected}"
        )
    return int(distance != 0)


if __name__ == "__main__":
    sys.exit(main())
