"""What the published tests of other projects share: one subject called in batches, and the outcome."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance.calling import SEED_RANGE, Caller, ContractError, SubjectError
from specsim.validation.conformance.instances import Instance
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


class Failed(Exception):
    """The test has failed; the message says where."""


class Unfit(Exception):
    """The test does not fit the subject; the message says why."""


class Bench:
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
            raise Failed(what)

    def verify(
        self,
        instances: Sequence[Instance],
        which: Integers,
        drafted: Integers | None = None,
        **options: Any,
    ) -> tuple[Integers, Integers, Integers]:
        """Verify one draft for every entry of `which`; return drafted tokens, tokens and lengths.

        Drafts are drawn from the draft rows, unless they are given (step) or the subject draws (its own).
        Options go to the subject.
        """
        self.samples += len(which)
        length, vocabulary = instances[0].draft_length, instances[0].vocabulary
        size = max(1, min(LARGEST_CALL // ((length + 1) * vocabulary), self.subject.max_batch or len(which)))
        parts = []
        for begin in range(0, len(which), size):
            part = slice(begin, begin + size)
            given = None if drafted is None else drafted[part]
            parts.append(self._one(instances, which[part], given, options))
        return tuple(np.concatenate(found) for found in zip(*parts, strict=True))  # type: ignore[return-value]

    def _one(
        self,
        instances: Sequence[Instance],
        which: Integers,
        drafted: Integers | None,
        options: Mapping[str, Any],
    ) -> tuple[Integers, Integers, Integers]:
        if self.subject.protocol == "draft-and-verify":
            result = self.caller.call(Models(self.caller, instances, which), **options)
            if not isinstance(result, tuple | list) or len(result) != 3:
                raise ContractError("did not return (drafted, tokens, lengths)")
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
        tokens, lengths = self.caller.step(target, given, chosen, options=options, check=False)
        return chosen, tokens, lengths

    def decode(self, instance: Instance, prompt_token: int, texts: int, length: int) -> Integers:
        """Write texts after one prompt token, with a decoder."""
        from specsim.validation.conformance.checks.decoder import DecoderModels

        self.samples += texts
        models = DecoderModels(self.caller, instance)
        written, _ = self.caller.decode(models, np.full((texts, 1), prompt_token), length)
        return written

    def counts(self, values: Integers, vocabulary: int) -> Integers:
        """Count tokens; one outside of the vocabulary fails the test."""
        inside = (values >= 0) & (values < vocabulary)
        self.fail_unless(inside.all(), f"a token outside of 0..{vocabulary - 1}")
        return np.bincount(values, minlength=vocabulary)


def run_test(
    subject: Subject,
    seed: int,
    test: Callable[[Bench], None],
    *,
    vocabulary: int,
    draft_length: int,
    protocols: Sequence[str] = ("step", "draft-and-verify"),
) -> PeerOutcome:
    """Run a test; a failed assertion, like an exception of the subject, rejects."""
    begin = time.perf_counter()
    unable = ""
    if subject.protocol not in protocols:
        unable = f"not for protocol {subject.protocol}"
    elif vocabulary > (subject.max_vocabulary or vocabulary):
        unable = f"needs {vocabulary} tokens; the subject takes {subject.max_vocabulary}"
    elif draft_length > (subject.max_draft_length or draft_length):
        unable = f"needs drafts of {draft_length} tokens; the subject takes {subject.max_draft_length}"
    if unable:
        return PeerOutcome(rejected=None, samples=0, seconds=0.0, reason=unable)
    bench = Bench(subject, seed)
    reason, rejected = "", True
    try:
        with np.errstate(all="ignore"):
            test(bench)
        rejected = False
    except Unfit as error:
        unable = str(error)
    except (Failed, SubjectError, ContractError) as error:
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
