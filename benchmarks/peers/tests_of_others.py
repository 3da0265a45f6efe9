"""Published tests of other projects, rebuilt from their descriptions, to stand beside the oracle.

Each is a function ``peer(subject, seed)`` that returns a `PeerOutcome`, for subjects of the protocols step
and draft-and-verify; the smell tester takes decoders too. Sizes, rows, statistics and thresholds are those of
the originals (as of 2026); what the protocols made different is said in each docstring. Common to all: the
originals call one product's function and take a fixed or no seed, here the subject is called in batches and
the rows follow `seed` where the original draws them.
"""

from __future__ import annotations

import math

import numpy as np

from benchmarks.peers.bench import (
    Bench,
    Peer,
    PeerOutcome,
    Unfit,
    run_test,
    same_rows,
    softmax,
)
from benchmarks.peers.vllm import (
    vllm_v1,
    vllm_v1_support,
    vllm_v2_narrow,
    vllm_v2_wide,
)
from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance.instances import Instance, number, prefix_contexts
from specsim.validation.conformance.subjects import Subject


def transformers_ordering(subject: Subject, seed: int) -> PeerOutcome:
    """Return what transformers' test says (PR #34553, tests/generation/test_utils.py).

    Ten tokens, fixed drafts 1, 4, 5 with logits of +-10. The target accepts 1 and 4 and never 5; its third
    row has the logits 2, 1, -0.01, 2 at the tokens 1, 3, 7, 8 alone. Over 10 000 calls two drafts are always
    accepted, no other token is emitted, 1 comes more often than 3, 3 than 7, 8 than 3. The statistic is the
    smallest of these leads as a share of the calls: smaller is worse. The original's row for the bonus token
    has no law (all logits -inf); here it is uniform. A subject that drafts itself draws 1, 4, 5 but for a
    share of 6e-8, and other drafts are left out; one that often drafts something else cannot be judged.
    """
    drafts = np.array([1, 4, 5])

    def test(bench: Bench) -> None:
        draft = np.full((4, 10), -10.0)
        draft[np.arange(3), drafts] = 10.0
        target = np.full((4, 10), -np.inf)
        target[0, 1] = target[1, 4] = 10.0
        target[2, [1, 3, 7, 8]] = (2.0, 1.0, -0.01, 2.0)
        target[3] = 0.0
        instance = Instance(
            name="position by position",
            target=softmax(target),
            draft=softmax(draft),
            next_context=np.minimum(np.arange(4)[:, None] + 1, 3).repeat(10, axis=1),
            start=0,
            draft_length=3,
        )
        runs = 10_000
        given = np.tile(drafts, (runs, 1))
        drafted, tokens, lengths = bench.verify([instance], np.zeros(runs, dtype=np.int64), given)
        same = (drafted == drafts).all(axis=1)
        if same.mean() < 0.99:
            raise Unfit(f"{same.sum()} of {runs} drafts are 1, 4, 5, which the test supposes")
        tokens, lengths = tokens[same], lengths[same]
        bench.fail_unless((lengths == 3).all(), "not always two drafted tokens are accepted")
        bench.fail_unless((tokens[:, :2] == drafts[:2]).all(), "accepted tokens are not the drafted ones")
        counts = bench.counts(tokens[:, 2], 10)
        bench.fail_unless(counts[[1, 3, 7, 8]].sum() == len(tokens), "a token of mass zero is emitted")
        leads = (counts[1] - counts[3], counts[3] - counts[7], counts[7], counts[8] - counts[3])
        bench.statistic = min(leads) / len(tokens)
        bench.fail_unless(min(leads) > 0, "a likelier token is not emitted more often")

    return run_test(subject, seed, test, vocabulary=10, draft_length=3)


#: The fixed pairs of weights, target first, of the smell tester.
SMELL_PAIRS = (
    ([1] * 10, [1] * 10),
    ([1] * 5 + [0] * 5, [0] * 5 + [1] * 5),
    ([1, 9], [1, 9]),
    ([1, 8, 1], [4, 6, 0]),
    (
        [0.00472021, 0.93025279, 0.72573221, 0.82948926, 0.76829487],
        [0.0600189, 0.14530814, 0.29239821, 0.52915251, 0.14655781],
    ),
    (
        [0.65696466, 0.00213653, 0.412866, 0.23163313, 0.4230113],
        [0.56036961, 0.82560301, 0.88470697, 0.39371973, 0.53630775],
    ),
)


def smell_tester(subject: Subject, seed: int) -> PeerOutcome:
    """Return what the smell tester says (amazon-science/Approximately-Aligned-Decoding).

    First 20 random laws of three tokens out of three, drafted by another such law; then six fixed and 20
    random pairs of laws of one token out of at most ten. Each by chi-square on 1000 outputs with 1e-50 added
    to every probability; fails at p < 1e-7, and stops there. The statistic is the largest -log10 p.

    The original drives whole generators through mock networks, and so are decoders driven here, but a batch
    at a time; their texts are cut where the original's networks end them (the rows after are uniform). With
    a subject that verifies, single tokens are the first token of a verification with draft length 1, and
    texts are written by rounds of verification that draft all missing tokens. Random pairs with a single
    token are left out: nothing is random in them.
    """

    def test(bench: Bench) -> None:
        for trial in range(20):
            weights = 3 * bench.rng.random((2, 27))
            _smell(bench, _texts(bench, *softmax(weights)), softmax(weights)[0], f"texts {trial}")
        pairs = [tuple(np.asarray(weights) / sum(weights) for weights in pair) for pair in SMELL_PAIRS]
        for _ in range(20):
            size = int(bench.rng.integers(1, 11))
            pairs.append(tuple(softmax(3 * bench.rng.random((2, size)))))
        for trial, (target, draft) in enumerate(pairs):
            if len(target) > 1:
                if bench.subject.protocol == "decoder":
                    tokens = bench.decode(same_rows(target, draft, 3), 0, 1000, 3)
                else:
                    instance = same_rows(target, draft, 1)
                    _, tokens, _ = bench.verify([instance], np.zeros(1000, dtype=np.int64))
                _smell(bench, tokens[:, 0], target, f"pair {trial}")

    protocols = ("step", "draft-and-verify", "decoder")
    return run_test(subject, seed, test, vocabulary=10, draft_length=3, protocols=protocols)


def _smell(bench: Bench, outputs: Integers, law: Floats, where: str) -> None:
    from scipy.stats import chisquare

    expected = law + 1e-50
    counts = bench.counts(outputs, len(law))
    value = float(chisquare(counts, expected / expected.sum() * len(outputs)).pvalue)
    bench.worst(-math.log10(max(value, 1e-300)))
    bench.fail_unless(not value < 1e-7, f"{where}: p = {value:.1e}")


def _texts(bench: Bench, target: Floats, draft: Floats) -> Integers:
    """Write 1000 texts of three tokens; return their numbers in base 3."""
    # The last context stands before the prompt; contexts of texts are numbered level by level, in base 3.
    before = (3**4 - 1) // 2
    table = np.concatenate([prefix_contexts(3, 3), np.zeros((1, 3), dtype=np.int64)])
    rows = []
    for law in (target, draft):
        levels = [law.reshape(3**n, 3, -1).sum(axis=2) for n in range(3)]
        levels = [level / level.sum(axis=1, keepdims=True) for level in levels]
        rows.append(np.concatenate([*levels, np.full((28, 3), 1 / 3)]))

    def starting(context: int, draft_length: int) -> Instance:
        return Instance(
            name="texts",
            target=rows[0],
            draft=rows[1],
            next_context=table,
            start=context,
            draft_length=draft_length,
        )

    if bench.subject.protocol == "decoder":
        return number(bench.decode(starting(before, 3), 0, 1000, 3), 3)
    texts = np.full((1000, 3), -1, dtype=np.int64)
    written = np.zeros(1000, dtype=np.int64)
    for begun in range(3):
        here = np.flatnonzero(written == begun)
        if len(here) == 0:
            continue
        instances = [starting((3**begun - 1) // 2 + text, 3 - begun) for text in range(3**begun)]
        _, tokens, lengths = bench.verify(instances, number(texts[here, :begun], 3))
        bench.fail_unless(((lengths >= 1) & (lengths <= tokens.shape[1])).all(), "a length out of range")
        for j in range(3 - begun):
            more = here[lengths > j]
            bench.counts(tokens[lengths > j, j], 3)
            texts[more, begun + j] = tokens[lengths > j, j]
        written[here] = np.minimum(begun + lengths, 3)
    return number(texts, 3)


def deepspec(subject: Subject, seed: int) -> PeerOutcome:
    """Return what a test like that of deepseek-ai/DeepSpec PR #48 says.

    20 000 rounds; every position, given that it was emitted, by chi-square against the law in float64, at
    1e-9 each. The statistic is the largest -log10 p. Only the description is public to us: the vocabulary of
    12 and the normal logits are ours (its limit of 64 for the control fits about that many tokens), as is the
    draft length of 3. Its negative control and its test of bfloat16 drafts are no tests of a subject.
    """

    def test(bench: Bench) -> None:
        from scipy.stats import chi2

        target, draft = softmax(bench.rng.standard_normal((2, 12)))
        instance = same_rows(target, draft, 3)
        _, tokens, lengths = bench.verify([instance], np.zeros(20_000, dtype=np.int64))
        for position in range(4):
            counts = bench.counts(tokens[lengths > position, position], 12)
            if counts.sum() * target.min() < 5:
                continue
            expected = target * counts.sum()
            value = float(chi2.sf(((counts - expected) ** 2 / expected).sum(), 11))
            bench.worst(-math.log10(max(value, 1e-300)))
            bench.fail_unless(value >= 1e-9, f"position {position + 1}: p = {value:.1e}")

    return run_test(subject, seed, test, vocabulary=12, draft_length=3)


#: The peers by name, cheap ones first.
PEERS: dict[str, Peer] = {
    "transformers ordering": transformers_ordering,
    "vLLM V1 top-k/p": vllm_v1_support,
    "smell tester": smell_tester,
    "DeepSpec": deepspec,
    "vLLM V1": vllm_v1,
    "vLLM V2 narrow": vllm_v2_narrow,
    "vLLM V2 wide": vllm_v2_wide,
}
