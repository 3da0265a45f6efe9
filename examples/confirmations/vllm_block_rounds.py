"""vLLM 0.30, V2 model runner, block verification: uniforms that failed are used again in the next round.

``rejection_sample`` with ``use_block_verification`` compares every drafted token with a uniform keyed by
the request's seed and the token's position alone (``u = tl_rand32(seed, pos)``, then ``accepted_length =
tl.where(u <= h, i + 1, accepted_length)``). A round that ends before its last draft has thrown the uniforms
of the places after it, too, and they were above their thresholds; the next round drafts at these places
and throws the same ones. Steps and rounds are right one by one, texts are not. 0.33 mixes the draft's number
in the round into the seed (``spec_step_seed(seed, i)``), so that a place has another uniform each time.
The noise of a sampled draft is keyed alike (``tl.randint(seed, pos)`` in ``sample/gumbel.py``; 0.33 mixes in
the draft's number): where the rows are the same, a rejected place draws the same token again.

First part, exact: the law of two tokens, drafts of two, rows that do not depend on the text, in rationals;
with uniforms by position and with fresh ones, for drafts that are the likeliest tokens and for sampled ones,
and for sampled ones also with noise of drafts by position.
Second part, with the folder of an unpacked vllm wheel on the command line (``pip download --no-deps
vllm==0.30.0``): vLLM's own kernel writes such texts on a NumPy stand-in for Triton, and counts of the second
token are compared with the target; run from a checkout, for the stand-in. Exits with 1 when the wheel
disagrees with the target.
"""

import itertools
import math
import os
import sys
from fractions import Fraction

TARGET = [Fraction(n, 20) for n in (10, 6, 3, 1)]
DRAFT = [Fraction(n, 20) for n in (4, 9, 2, 5)]
TOKENS, LENGTH = range(4), 2


def one_hot(token):
    """Return the row that a deterministic draft stands for."""
    return [Fraction(int(y == token)) for y in TOKENS]


def plus(row, weight):
    """Return the positive part of weight * target - row."""
    return [max(weight * t - d, Fraction(0)) for t, d in zip(TARGET, row, strict=True)]


def block(drafted, rows):
    """Return thresholds of the uniforms, and the law of the token after each number of accepted ones.

    2403.10444, Algorithm 2: the accepted length is the last place whose uniform is below its threshold.
    """
    weight, weights = Fraction(1), []
    for x, row in zip(drafted, rows, strict=True):
        weight = min(weight * TARGET[x] / row[x], Fraction(1))
        weights.append(weight)
    thresholds = []
    for i in range(LENGTH - 1):
        mass = sum(plus(rows[i + 1], weights[i]))
        below = mass + 1 - weights[i]
        thresholds.append(mass / below if below else Fraction(1))
    thresholds.append(weights[-1])
    finals = []
    for before, row in zip([Fraction(1), *weights[:-1]], rows, strict=True):
        left = plus(row, before)
        # A place whose residual is empty is never where a draft ends.
        finals.append([y / sum(left) for y in left] if sum(left) else [])
    return thresholds, [*finals, TARGET]


def drafts(greedy):
    """Yield every draft, its probability, and the rows that verification reads."""
    if greedy:
        token = max(TOKENS, key=lambda y: DRAFT[y])
        yield (token,) * LENGTH, Fraction(1), [one_hot(token)] * LENGTH
        return
    for drafted in itertools.product(TOKENS, repeat=LENGTH):
        yield drafted, math.prod(DRAFT[x] for x in drafted), [DRAFT] * LENGTH


def first_of_next(greedy, above, again=None):
    """Return the law of a round's first token when its first uniform is known to lie above a value.

    Its first draft is the token `again`, or drawn anew.
    """
    law = [Fraction(0)] * 4
    for drafted, mass, rows in drafts(greedy):
        if again is not None:
            mass = mass / DRAFT[again] if drafted[0] == again else Fraction(0)
        (first, second), finals = block(drafted, rows)
        hit = max(first - above, Fraction(0)) / (1 - above)
        none = (1 - hit) * (1 - second)
        law[drafted[0]] += mass * (1 - none)
        if none:
            for y in TOKENS:
                law[y] += mass * none * finals[0][y]
    return law


def two_tokens(greedy, *, fresh, drafts_again=False):
    """Return the law of the first two tokens; sampled drafts of a place may be drawn again."""
    law = {pair: Fraction(0) for pair in itertools.product(TOKENS, repeat=2)}
    for drafted, mass, rows in drafts(greedy):
        (first, second), finals = block(drafted, rows)
        law[drafted] += mass * second
        only_first = mass * (1 - second) * first
        none = mass * (1 - second) * (1 - first)
        above, again = Fraction(0) if fresh else second, drafted[1] if drafts_again else None
        after = first_of_next(greedy, above, again) if none else []
        for y in TOKENS:
            if only_first:
                law[drafted[0], y] += only_first * finals[1][y]
            if none:
                for z in TOKENS:
                    law[y, z] += none * finals[0][y] * after[z]
    assert sum(law.values()) == 1
    return law


def distance(law):
    """Return the total variation distance from two draws of the target."""
    return sum(abs(mass - TARGET[a] * TARGET[b]) for (a, b), mass in law.items()) / 2


def wheel(folder, greedy, runs):
    """Write texts with the wheel's own kernel; return its version and how often each second token came."""
    import numpy as np

    sys.path.insert(0, os.getcwd())
    os.environ["SPECSIM_VLLM_WHEEL"] = folder
    from benchmarks.real_samplers.vllm_v2 import Decoder, library

    class Rows:
        """The two models: the same row after every token."""

        vocabulary, draft_length = 4, LENGTH

        def target(self, tokens):
            return np.broadcast_to(np.array(TARGET, float), (*np.shape(tokens), 4))

        def draft(self, tokens):
            return np.broadcast_to(np.array(DRAFT, float), (*np.shape(tokens), 4))

    found = library()
    write = Decoder(found, block=True, draft_rows=not greedy, greedy_drafts=greedy)
    counts, batch = np.zeros(4, int), 500
    for seed in range(runs // batch):
        # The first token is the prompt's own draw; rounds begin after it.
        texts = write(Rows(), np.zeros((batch, 1), int), 3, seed)
        counts += np.bincount(texts[:, 2], minlength=4)
    return found.version, counts


failed = False
for greedy in (True, False):
    words = "likeliest tokens as drafts" if greedy else "sampled drafts"
    reused, fresh = (two_tokens(greedy, fresh=fresh) for fresh in (False, True))
    second = [float(sum(reused[y, z] for y in TOKENS)) for z in TOKENS]
    print(f"{words}: TV {float(distance(reused)):.4f} by position, {distance(fresh)} with fresh uniforms")
    if not greedy:
        for fresh, what in ((True, "drafts alone"), (False, "drafts and uniforms")):
            again = distance(two_tokens(greedy, fresh=fresh, drafts_again=True))
            print(f"   {what} by position: {again} = {float(again):.4f}")
    print(f"   second token: {[round(mass, 4) for mass in second]}, target {[float(t) for t in TARGET]}")
    if len(sys.argv) > 1 and greedy:
        version, counts = wheel(sys.argv[1], greedy, int(sys.argv[2]) if len(sys.argv) > 2 else 3000)
        n = counts.sum()
        z = [
            (c - n * float(t)) / math.sqrt(n * float(t * (1 - t)))
            for c, t in zip(counts, TARGET, strict=True)
        ]
        print(f"   vllm {version}, {n} texts: {[round(c / int(n), 4) for c in counts.tolist()]}")
        print(f"   standard errors from the target: {[round(float(v), 1) for v in z]}")
        failed |= max(map(abs, z)) > 5
sys.exit(int(failed))
