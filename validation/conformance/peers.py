"""Published tests of other projects, rebuilt from their descriptions, to stand beside the oracle.

Each is a function ``peer(subject, seed)`` that returns a `PeerOutcome`, for subjects of the protocols step
and draft-and-verify. Sizes, rows, statistics and thresholds are those of the originals (as of 2026); what the
protocols made different is said in each docstring. Common to all: the originals call one product's function
and take a fixed or no seed, here the subject is called in batches and the rows follow `seed` where the
original draws them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from specsim.validation.conformance.calling import SEED_RANGE, Caller, ContractError, SubjectError
from specsim.validation.conformance.instances import Floats, Instance, Integers, number, prefix_contexts
from specsim.validation.conformance.probes import Models
from specsim.validation.conformance.subjects import Subject

#: Entries of target rows that one call gets, at most.
LARGEST_CALL = 2**22


@dataclass(frozen=True, kw_only=True)
class PeerOutcome:
    """What one test said about one subject.

    Attributes
    ----------
    rejected
        Whether the test fails; None where it cannot be run, or does not decide.
    samples
        Verification steps that it took.
    seconds
        Of wall time.
    statistic
        What is compared with the threshold; larger is worse unless the peer says otherwise.
    reason
        Why there is no decision, or what failed; one line.
    """

    rejected: bool | None
    samples: int
    seconds: float
    statistic: float = math.nan
    reason: str = ""


Peer = Callable[[Subject, int], PeerOutcome]


class _Failed(Exception):
    """The test has failed; the message says where."""


class _Unfit(Exception):
    """The test does not fit the subject; the message says why."""


class _Bench:
    """One subject under one test: calls, samples counted, and the worst statistic so far."""

    def __init__(self, subject: Subject, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.caller = Caller(subject=subject, seed=seed * 1_000_003 % SEED_RANGE)
        self.subject = subject
        self.samples = 0
        self.statistic = math.nan

    def worst(self, value: float) -> None:
        """Keep the largest statistic."""
        self.statistic = value if math.isnan(self.statistic) else max(self.statistic, value)

    def fail_unless(self, holds: Any, what: str) -> None:
        """Fail the test."""
        if not holds:
            raise _Failed(what)

    def verify(
        self, instances: Sequence[Instance], which: Integers, drafted: Integers | None = None
    ) -> tuple[Integers, Integers, Integers]:
        """Verify one draft for every entry of `which`; return drafted tokens, tokens and lengths.

        Drafts are drawn from the draft rows, unless they are given (step) or the subject draws (its own).
        """
        self.samples += len(which)
        length, vocabulary = instances[0].draft_length, instances[0].vocabulary
        size = max(1, min(LARGEST_CALL // ((length + 1) * vocabulary), self.subject.max_batch or len(which)))
        parts = []
        for begin in range(0, len(which), size):
            part = slice(begin, begin + size)
            given = None if drafted is None else drafted[part]
            parts.append(self._one(instances, which[part], given))
        return tuple(np.concatenate(found) for found in zip(*parts, strict=True))  # type: ignore[return-value]

    def _one(
        self, instances: Sequence[Instance], which: Integers, drafted: Integers | None
    ) -> tuple[Integers, Integers, Integers]:
        if self.subject.protocol == "draft-and-verify":
            result = self.caller.call(Models(self.caller, instances, which))
            own, tokens, lengths = (self.caller.take(value, "result").astype(np.int64) for value in result)
            return own, tokens, lengths
        first = instances[0]
        chosen = np.empty((len(which), first.draft_length), dtype=np.int64) if drafted is None else drafted
        target = np.empty((len(which), first.draft_length + 1, first.vocabulary))
        draft = np.empty((len(which), first.draft_length, first.vocabulary))
        for index, instance in enumerate(instances):
            rows = np.flatnonzero(which == index)
            if drafted is None:
                chosen[rows] = instance.draw_drafted(self.rng, len(rows))
            target[rows], draft[rows] = instance.rows(chosen[rows])
        given = None if self.subject.draft == "never" else draft
        tokens, lengths = self.caller.step(target, given, chosen, check=False)
        return chosen, tokens, lengths

    def counts(self, values: Integers, vocabulary: int) -> Integers:
        """Count tokens; one outside of the vocabulary fails the test."""
        inside = (values >= 0) & (values < vocabulary)
        self.fail_unless(inside.all(), f"a token outside of 0..{vocabulary - 1}")
        return np.bincount(values, minlength=vocabulary)


def _run(
    subject: Subject, seed: int, test: Callable[[_Bench], None], *, vocabulary: int, draft_length: int
) -> PeerOutcome:
    """Run a test; a failed assertion, like an exception of the subject, rejects."""
    begin = time.perf_counter()
    unable = ""
    if subject.protocol not in ("step", "draft-and-verify"):
        unable = f"not for protocol {subject.protocol}"
    elif vocabulary > (subject.max_vocabulary or vocabulary):
        unable = f"needs {vocabulary} tokens; the subject takes {subject.max_vocabulary}"
    elif draft_length > (subject.max_draft_length or draft_length):
        unable = f"needs drafts of {draft_length} tokens; the subject takes {subject.max_draft_length}"
    if unable:
        return PeerOutcome(rejected=None, samples=0, seconds=0.0, reason=unable)
    bench = _Bench(subject, seed)
    reason, rejected = "", True
    try:
        with np.errstate(all="ignore"):
            test(bench)
        rejected = False
    except _Unfit as error:
        unable = str(error)
    except (_Failed, SubjectError, ContractError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
    return PeerOutcome(
        rejected=None if unable else rejected,
        samples=bench.samples,
        seconds=time.perf_counter() - begin,
        statistic=bench.statistic,
        reason=reason or unable,
    )


def softmax(logits: Floats) -> Floats:
    """Return the laws of rows of logits."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    rows: Floats = weights / weights.sum(axis=-1, keepdims=True)
    return rows


def same_rows(target: Floats, draft: Floats, draft_length: int) -> Instance:
    """Return the instance with the same two rows at every position."""
    return Instance(
        name="same rows",
        target=target[None, :],
        draft=draft[None, :],
        next_context=np.zeros((1, len(target)), dtype=np.int64),
        start=0,
        draft_length=draft_length,
    )


def vllm_v1(subject: Subject, seed: int) -> PeerOutcome:
    """Return what vLLM's first distribution test says (tests/v1/sample/test_rejection_sampler.py).

    Ten tokens, two drafted, softmax of uniform numbers on both sides. The pooled frequencies of both drafted
    positions come closer to the target as 10 samples become 100 000; the L2 distance has to shrink more than
    20 times as much as that to 100 random laws. The statistic is that factor: smaller is worse. The token of
    the last position is ignored, as the original mocks it.
    """

    def test(bench: _Bench) -> None:
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

    return _run(subject, seed, test, vocabulary=10, draft_length=2)


def _every_position(bench: _Bench, instance: Instance, trials: int) -> None:
    """Test every position, given that it was emitted, by chi-square < df + 10 sqrt(2 df)."""
    _, tokens, lengths = bench.verify([instance], np.zeros(trials, dtype=np.int64))
    target = instance.target[0]
    for position in range(instance.draft_length + 1):
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
    (chi-square - df) / sqrt(2 df), limit 10. Rows are given as probabilities with the temperature applied to
    both sides; the original's second pass with draft logits in bfloat16 only changes the rows here, and is
    left out.

    Parameters
    ----------
    cases
        Pairs of draft length and temperature.
    """

    def test(bench: _Bench) -> None:
        for draft_length, temperature in cases:
            target = softmax(bench.rng.standard_normal(4096) / temperature)
            draft = softmax(bench.rng.standard_normal(4096) / temperature)
            _every_position(bench, same_rows(target, draft, draft_length), 40_960)

    return _run(subject, seed, test, vocabulary=4096, draft_length=max(length for length, _ in cases))


def vllm_v2_narrow(subject: Subject, seed: int) -> PeerOutcome:
    """Return what vLLM's test of shared Gumbel noise says (the same file).

    16 tokens, 200 000 trials, draft logits the negative of the target's; draft lengths 1 and 3. The original
    drafts with the product's own sampler, on the stream that verification uses: so do subjects that draft
    themselves. Those of the protocol step get independent drafts, and cannot show that bug.
    """

    def test(bench: _Bench) -> None:
        for draft_length in (1, 3):
            logits = bench.rng.standard_normal(16)
            _every_position(bench, same_rows(softmax(logits), softmax(-logits), draft_length), 200_000)

    return _run(subject, seed, test, vocabulary=16, draft_length=3)


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

    def test(bench: _Bench) -> None:
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
            raise _Unfit(f"{same.sum()} of {runs} drafts are 1, 4, 5, which the test supposes")
        tokens, lengths = tokens[same], lengths[same]
        bench.fail_unless((lengths == 3).all(), "not always two drafted tokens are accepted")
        bench.fail_unless((tokens[:, :2] == drafts[:2]).all(), "accepted tokens are not the drafted ones")
        counts = bench.counts(tokens[:, 2], 10)
        bench.fail_unless(counts[[1, 3, 7, 8]].sum() == len(tokens), "a token of mass zero is emitted")
        leads = (counts[1] - counts[3], counts[3] - counts[7], counts[7], counts[8] - counts[3])
        bench.statistic = min(leads) / len(tokens)
        bench.fail_unless(min(leads) > 0, "a likelier token is not emitted more often")

    return _run(subject, seed, test, vocabulary=10, draft_length=3)


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

    The original drives whole generators through mock networks. Here single tokens are the first token of a
    verification with draft length 1, and texts are written by rounds of verification that draft all missing
    tokens; the bonus row after the third token is uniform and its token is cut off, where the original's
    networks end the text. Random pairs with a single token are left out: nothing is random in them.
    """

    def test(bench: _Bench) -> None:
        for trial in range(20):
            weights = 3 * bench.rng.random((2, 27))
            _smell(bench, _texts(bench, *softmax(weights)), softmax(weights)[0], f"texts {trial}")
        pairs = [tuple(np.asarray(weights) / sum(weights) for weights in pair) for pair in SMELL_PAIRS]
        for _ in range(20):
            size = int(bench.rng.integers(1, 11))
            pairs.append(tuple(softmax(3 * bench.rng.random((2, size)))))
        for trial, (target, draft) in enumerate(pairs):
            if len(target) > 1:
                instance = same_rows(target, draft, 1)
                _, tokens, _ = bench.verify([instance], np.zeros(1000, dtype=np.int64))
                _smell(bench, tokens[:, 0], target, f"pair {trial}")

    return _run(subject, seed, test, vocabulary=10, draft_length=3)


def _smell(bench: _Bench, outputs: Integers, law: Floats, where: str) -> None:
    from scipy.stats import chisquare

    expected = law + 1e-50
    counts = bench.counts(outputs, len(law))
    value = float(chisquare(counts, expected / expected.sum() * len(outputs)).pvalue)
    bench.worst(-math.log10(max(value, 1e-300)))
    bench.fail_unless(not value < 1e-7, f"{where}: p = {value:.1e}")


def _texts(bench: _Bench, target: Floats, draft: Floats) -> Integers:
    """Write 1000 texts of three tokens in rounds; return their numbers in base 3."""
    table = prefix_contexts(3, 3)
    rows = []
    for law in (target, draft):
        levels = [law.reshape(3**n, 3, -1).sum(axis=2) for n in range(3)]
        levels = [level / level.sum(axis=1, keepdims=True) for level in levels]
        rows.append(np.concatenate([*levels, np.full((27, 3), 1 / 3)]))
    texts = np.full((1000, 3), -1, dtype=np.int64)
    written = np.zeros(1000, dtype=np.int64)
    for begun in range(3):
        here = np.flatnonzero(written == begun)
        if len(here) == 0:
            continue
        # Contexts are numbered level by level, texts of one length in base 3.
        starts = (3**begun - 1) // 2 + np.arange(3**begun)
        instances = [
            Instance(
                name="texts",
                target=rows[0],
                draft=rows[1],
                next_context=table,
                start=int(start),
                draft_length=3 - begun,
            )
            for start in starts
        ]
        which = number(texts[here, :begun], 3)
        _, tokens, lengths = bench.verify(instances, which)
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

    def test(bench: _Bench) -> None:
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

    return _run(subject, seed, test, vocabulary=12, draft_length=3)


#: The peers by name, cheap ones first.
PEERS: dict[str, Peer] = {
    "transformers ordering": transformers_ordering,
    "smell tester": smell_tester,
    "DeepSpec": deepspec,
    "vLLM V1": vllm_v1,
    "vLLM V2 narrow": vllm_v2_narrow,
    "vLLM V2 wide": vllm_v2_wide,
}
