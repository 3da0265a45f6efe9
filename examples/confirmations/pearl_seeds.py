"""PEARL, the authors' code (smart-lty/ParallelSpeculativeDecoding, commit 1e61cc3): two losses of the target.

``parallel_speculative_decoding`` in ``src/engine.py`` seeds the generator anew before every coin. The test of
a round of pre-verify uses ``seed + prefix_len``, at a text of that length; if it passes, ``gamma`` tokens are
appended, and the first test of the next round, for the token after, uses ``seed + prefix_len - gamma``: the
same seed, so the same coin. And the loop ends when the text with its appended tokens is long enough; up to
``gamma - 1`` of them, at the end, were never tested.

This script repeats that arithmetic of seeds and lengths with Python's generator, for rows that do not depend
on the text, and compares the frequencies of texts of three tokens with the target and with exact values. It
does not run the authors' code, which needs two GPUs and two models. Exits with 1 when texts miss the target.
"""

import itertools
import random
import sys
from collections import Counter
from fractions import Fraction

TARGET, DRAFT = (1 / 3, 2 / 3), (2 / 3, 1 / 3)
LENGTH, RUNS = 3, 100_000


def decode(gamma, wanted, seed, drafts):
    """Return at least `wanted` tokens, by the published loop; an end is cut off."""
    text: list[int] = []
    untested, pre = 0, True
    while len(text) < wanted:
        length = len(text)
        new = drafts.choices((0, 1), DRAFT, k=gamma)
        if pre:
            places, first_seed = [length], seed + length
        else:
            # Of the appended tokens all but the first are untested, and so is the first new one.
            places, first_seed = list(range(length - untested, length + 1)), seed + length - gamma
        line = text + new
        for number, place in enumerate(places):
            coins = random.Random(first_seed + number)
            if coins.random() > TARGET[line[place]] / DRAFT[line[place]]:
                # The excess of the target over the draft is all on token 1.
                text, untested, pre = [*line[:place], 1], 0, True
                break
        else:
            text, untested, pre = line, gamma - 1, False
    return tuple(text[:wanted])


def main():
    """Compare; return the exit code."""
    texts = list(itertools.product((0, 1), repeat=LENGTH))
    wrong = False
    # Long enough a text shows the coins alone; its first three tokens were tested.
    for name, wanted, exact in (
        ("coins thrown twice", LENGTH + 4, Fraction(4, 27)),
        ("and an end that is not tested", LENGTH, Fraction(8, 27)),
    ):
        source = random.Random(1)
        counts = Counter(decode(3, wanted, source.getrandbits(60), source)[:LENGTH] for _ in range(RUNS))
        target = dict.fromkeys(texts, 1.0)
        for text in texts:
            for token in text:
                target[text] *= TARGET[token]
        distance = sum(abs(counts[text] / RUNS - target[text]) for text in texts) / 2
        print(f"{name}: total variation from the target {distance:.4f}, exact {float(exact):.4f}")
        wrong |= distance > 0.02
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
