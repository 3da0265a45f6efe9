"""The tests of vLLM's rejection samplers, rebuilt from their descriptions; see `peers`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.peers.bench import Bench, PeerOutcome, run_test, same_rows, softmax
from specsim.support.arrays import Floats
from specsim.validation.conformance.subjects import Subject


def vllm_v1(subject: Subject, seed: int) -> PeerOutcome:
    """Return what vLLM's first distribution test says (tests/v1/sample/test_rejection_sampler.py).

    Ten tokens, two drafted, softmax of uniform numbers on both sides. The pooled frequencies of both drafted
    positions come closer to the target as 10 samples become 100 000; the L2 distance has to shrink more than
    20 times as much as that to 100 random laws. The statistic is that factor: smaller is worse. The token of
    the last position is ignored, as the original mocks it.
    """

    def test(bench: Bench) -> None:
        draft, target = softmax(bench.rng.random(10)), softmax(bench.rng.random(10))
        others = softmax(bench.rng.random((100, 10)))
        instance = same_rows(target, draft, 2)
        distances = []
        for size in (10, 100, 1_000, 10_000, 100_000):
            _, tokens, lengths = bench.verify([instance], np.zeros(size, dtype=np.int64))
            emitted = tokens[:, :2][np.arange(2) < lengths[:, None]]
            # The original's histogram drops what is outside of the vocabulary.
            found = np.bincount(emitted[(emitted >= 0) & (emitted < 10)], minlength=10)
            law = found / found.sum()
            distances.append((np.linalg.norm(law - target), np.linalg.norm(law - others) / len(others)))
        (first, first_other), (last, last_other) = distances[0], distances[-1]
        bench.statistic = float((first / last) / (first_other / last_other))
        bench.fail_unless(bench.statistic > 20, f"the distance shrinks {bench.statistic:.3g} times as much")

    return run_test(subject, seed, test, vocabulary=10, draft_length=2)


def vllm_v1_support(subject: Subject, seed: int) -> PeerOutcome:
    """Return what vLLM's tests of top-k and top-p say (tests/v1/sample/test_rejection_sampler.py).

    100 tokens, 100 rows, three drafted; top-k of 1, 5, 99 and top-p of 0.5, 0.9, 0.99: no token outside of
    what the target keeps may come at a drafted position. No law is tested; the statistic is the number of
    tokens outside. The original filters the target alone, subjects of the protocol filter both sides. For
    subjects that take one of the options.
    """

    def test(bench: Bench) -> None:
        rng, rows, every = bench.rng, 3 * 100, np.arange(3) + 3 * np.arange(100)[:, None]
        for option, values in (("top_k", (1, 5, 99)), ("top_p", (0.5, 0.9, 0.99))):
            for value in values if option in subject.options else ():
                order = np.argsort(rng.random((rows, 100)), axis=1)
                logits = rng.standard_normal((rows, 100)) if option == "top_p" else np.zeros((rows, 100))
                if option == "top_k":
                    np.put_along_axis(logits, order[:, :value], 0.1, axis=1)
                target = softmax(logits)
                kept = _kept(target, option, value)
                draft = softmax(rng.random((rows, 100)))
                drafted = np.array([rng.choice(100, p=row) for row in draft]).reshape(100, 3)
                padded = np.concatenate([target[every], np.full((100, 1, 100), 0.01)], axis=1)
                bench.samples += 100
                tokens, lengths = bench.caller.step(
                    padded, draft[every], drafted, options={option: value}, check=False
                )
                emitted = np.arange(3) < lengths[:, None]
                inside = np.take_along_axis(kept[every], np.clip(tokens[:, :3, None], 0, 99), axis=2)[..., 0]
                bench.worst(float((emitted & ~inside).sum()))
                bench.fail_unless(inside[emitted].all(), f"{option} of {value}: a token is outside")

    if not {"top_k", "top_p"} & subject.options or subject.protocol != "step":
        return PeerOutcome(rejected=None, samples=0, seconds=0.0, reason="for steps with top_k or top_p")
    return run_test(subject, seed, test, vocabulary=100, draft_length=3)


def _kept(target: Floats, option: str, value: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    order = np.argsort(-target, axis=1, kind="stable")
    ranked = np.take_along_axis(target, order, axis=1)
    first = (
        np.arange(target.shape[1]) < value if option == "top_k" else ranked.cumsum(axis=1) - ranked < value
    )
    kept = np.zeros(target.shape, dtype=bool)
    np.put_along_axis(kept, order, np.broadcast_to(first, target.shape), axis=1)
    return kept


def _every_position(
    bench: Bench, target: Floats, draft: Floats, draft_length: int, trials: int, temperature: float = 1.0
) -> None:
    """Test every position, given that it was emitted, by chi-square < df + 10 sqrt(2 df), from logits."""
    which = np.zeros(trials, dtype=np.int64)
    cold = same_rows(softmax(target / temperature), softmax(draft / temperature), draft_length)
    if temperature != 1.0 and "temperature" in bench.subject.options:
        drafted = cold.draw_drafted(bench.rng, trials)
        warm = same_rows(softmax(target), softmax(draft), draft_length)
        _, tokens, lengths = bench.verify([warm], which, drafted, temperature=temperature)
    else:
        _, tokens, lengths = bench.verify([cold], which)
    target = cold.target[0]
    for position in range(draft_length + 1):
        counts = bench.counts(tokens[lengths >= position + 1, position], len(target))
        expected = target * counts.sum()
        large = expected >= 5
        observed, wanted = counts[large].astype(np.float64), expected[large]
        if expected[~large].sum() >= 5:
            observed = np.append(observed, counts[~large].sum())
            wanted = np.append(wanted, expected[~large].sum())
        freedom = len(wanted) - 1
        if freedom < 1:
            continue
        value = float(((observed - wanted) ** 2 / wanted).sum())
        bench.worst((value - freedom) / math.sqrt(2 * freedom))
        limit = freedom + 10 * math.sqrt(2 * freedom)
        bench.fail_unless(
            value < limit, f"position {position + 1}: chi-square {value:.1f}, limit {limit:.1f}"
        )


def vllm_v2_wide(
    subject: Subject,
    seed: int,
    *,
    cases: Sequence[tuple[int, float]] = ((1, 0.6), (3, 0.6), (1, 1.0), (3, 1.0)),
) -> PeerOutcome:
    """Return what vLLM's second test says (tests/v1/spec_decode/test_rejection_sampler_utils.py).

    4096 tokens, 40 960 trials, normal logits, every position; the statistic is the worst
    (chi-square - df) / sqrt(2 df), limit 10. A subject that takes a temperature applies it to both sides (the
    original's kernel to the draft only); others get rows to which it is applied. The original's second pass,
    with draft logits in bfloat16, would only change the rows here, and is left out.

    Parameters
    ----------
    cases
        Pairs of draft length and temperature.
    """

    def test(bench: Bench) -> None:
        for draft_length, temperature in cases:
            target, draft = bench.rng.standard_normal((2, 4096))
            _every_position(bench, target, draft, draft_length, 40_960, temperature)

    return run_test(subject, seed, test, vocabulary=4096, draft_length=max(length for length, _ in cases))


def vllm_v2_narrow(subject: Subject, seed: int) -> PeerOutcome:
    """Return what vLLM's test of shared Gumbel noise says (the same file).

    16 tokens, 200 000 trials, draft logits the negative of the target's; draft lengths 1 and 3. The original
    drafts with the product's own sampler, on the stream that verification uses: so do subjects that draft
    themselves. Those of the protocol step get independent drafts, and cannot show that bug.
    """

    def test(bench: Bench) -> None:
        for draft_length in (1, 3):
            logits = bench.rng.standard_normal(16)
            _every_position(bench, logits, -logits, draft_length, 200_000)

    return run_test(subject, seed, test, vocabulary=16, draft_length=3)
