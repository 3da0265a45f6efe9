"""Wide vocabularies: token by token there are too few counts, so tokens are lumped in telling ways."""

import dataclasses

import numpy as np

from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance.calling import Caller
from specsim.validation.conformance.checks.base import Look, Statistical
from specsim.validation.conformance.evidence import Evidence
from specsim.validation.conformance.instances import Instance, wide_instance
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.probes import Models
from specsim.validation.conformance.results import Picture
from specsim.validation.conformance.wide_laws import GROUPS, alternatives, telling_partitions

#: Bytes of rows of one call, at most.
CALL_BYTES = 2**26
#: Tokens of a block of a kernel, or a multiple. Half of the calls have a whole number of blocks.
BLOCK = 128
#: Ids of one call, and its rows: many of its tokens have ids that fit in no 15 or 16 bits.
MANY_IDS, MANY_IDS_ROWS = 80_001, 8


class WideProbe:
    """First and second tokens on a wide instance, the second ones by context and by the length of the draft.

    Half of the drafts have one token, so that a second token is a bonus token. Second tokens count only where
    the sampler emitted them. That they were emitted says nothing about which they are: a lossless sampler may
    stop before a token, and leave it to the target, by what comes before it alone.

    Half of the calls have a vocabulary of whole blocks: ids of mass zero are put between the others. The
    first call has `MANY_IDS` ids.

    counts: shape ``(2 + 2 * contexts, vocabulary)``: first tokens; second tokens of long drafts by their
        context; second tokens of drafts of one token by their context; tokens of mass zero, as token 0.
    total: texts so far.
    """

    def __init__(self, lab: Laboratory, instance: Instance, caller: Caller) -> None:
        self.instance = instance
        self.caller = caller
        self.total = 0
        self._rng = lab.rng("wide")
        self.counts = np.zeros((2 + 2 * len(instance.target), instance.vocabulary), dtype=np.int64)
        most = lab.subject.max_vocabulary or np.inf
        whole = -(-instance.vocabulary // BLOCK) * BLOCK
        sizes = dict.fromkeys((instance.vocabulary, whole if whole <= most else instance.vocabulary))
        self._kinds = [
            (dataclasses.replace(padded, draft_length=length), places)
            for padded, places in (_padded(instance, size) for size in sizes)
            for length in (instance.draft_length, 1)
        ]
        self._most = most

    def sample(self, count: int) -> None:
        """Observe about `count` more texts."""
        wanted = self.total + count
        if not self.total and self.instance.vocabulary < MANY_IDS <= self._most:
            many, places = _padded(self.instance, MANY_IDS)
            self._round(dataclasses.replace(many, draft_length=1), places, min(MANY_IDS_ROWS, wanted))
        bytes_per_row = 8 * self.instance.vocabulary * (2 * self.instance.draft_length + 1)
        largest = max(1, CALL_BYTES // bytes_per_row)
        while self.total < wanted and not self.caller.out_of_time():
            size = min(largest, wanted - self.total)
            parts = np.diff(np.arange(len(self._kinds) + 1) * size // len(self._kinds))
            for (instance, places), part in zip(self._kinds, parts[::-1], strict=True):
                if part:
                    self._round(instance, places, int(part))

    def _round(self, instance: Instance, places: Integers, size: int) -> None:
        subject = self.caller.subject
        if subject.protocol == "step":
            drafted = instance.draw_drafted(self._rng, size)
            target, draft = instance.rows(drafted)
            rows = None if subject.draft == "never" else draft
            tokens, lengths = self.caller.step(target, rows, drafted)
        else:
            size = min(size, subject.max_batch or size)
            models = Models(self.caller, [instance], np.zeros(size, dtype=np.int64))
            _, tokens, lengths = self.caller.draft_and_verify(models)
        emitted = np.arange(tokens.shape[1]) < lengths[:, None]
        number = np.full(instance.vocabulary, -1)
        number[places] = np.arange(len(places))
        tokens = np.where(emitted, number[np.where(emitted, tokens, 0)], 0)[:, :2]
        possible = (tokens >= 0).all(axis=1)
        self.counts[-1, 0] += (~possible).sum()
        tokens, lengths = tokens[possible], lengths[possible]
        np.add.at(self.counts[0], tokens[:, 0], 1)
        first, second = tokens[lengths > 1].T
        contexts = self.instance.next_context[instance.start, first]
        begin = 1 + (len(instance.target) if instance.draft_length == 1 else 0)
        np.add.at(self.counts, (begin + contexts, second), 1)
        self.total += size


def _padded(instance: Instance, vocabulary: int) -> tuple[Instance, Integers]:
    """Return the instance with ids of mass zero among the middle ones, and the new ids of its tokens."""
    size = instance.vocabulary
    end = size // 4
    middle = np.linspace(end, vocabulary - end - 1, size - 2 * end).astype(np.int64)
    places = np.concatenate([np.arange(end), middle, np.arange(vocabulary - end, vocabulary)])
    target, draft = (np.zeros((len(rows), vocabulary)) for rows in (instance.target, instance.draft))
    target[:, places], draft[:, places] = instance.target, instance.draft
    table = np.zeros((len(target), vocabulary), dtype=np.int64)
    table[:, places] = instance.next_context
    name = f"{vocabulary} tokens"
    return Instance(
        name=name, target=target, draft=draft, next_context=table,
        start=instance.start, draft_length=instance.draft_length,
    ), places  # fmt: skip


def make_wide(lab: Laboratory) -> Statistical:
    """Build the procedure of the check ``wide-vocabulary``."""
    vocabulary = min(lab.effort.widest, lab.subject.max_vocabulary or lab.effort.widest)
    instance = wide_instance(lab.instance_seed, vocabulary=vocabulary, draft_length=min(2, lab.draft_length))
    probe = WideProbe(lab, instance, lab.caller("wide"))
    contexts = len(instance.target)
    # Every stratum has the law of a context; in the last one nothing may be counted.
    of_stratum = np.concatenate(
        [[instance.start], np.arange(contexts), np.arange(contexts), [instance.start]]
    )
    reachable = np.arange(len(of_stratum)) < len(of_stratum) - 1
    bonus = (np.arange(len(of_stratum)) > contexts) & reachable
    own = lab.subject.protocol == "draft-and-verify"
    evidence = Evidence(
        instance.target[of_stratum],
        alternatives=alternatives(instance.target, instance.draft, lambda rows: rows[of_stratum], bonus, own),
        partitions=[table[of_stratum] for table in telling_partitions(instance.target, instance.draft)],
        pools=[np.flatnonzero(pool & reachable) for pool in (reachable, ~bonus, bonus)],
        tolerance=max(lab.tolerance, 1e-6),
    )

    def name_cell(stratum: int, cell: int) -> str:
        if stratum == 0:
            return f"first token {cell}"
        if not reachable[stratum]:
            return "a token of probability zero"
        words = "bonus token" if bonus[stratum] else "second token"
        return f"{words} {cell} in context {of_stratum[stratum]}"

    look = Look(
        evidence=evidence,
        observe=lambda: probe.counts,
        shares=_shares(instance, never=lab.subject.draft == "never"),
        reachable=reachable,
        name_cell=name_cell,
    )
    return Statistical(
        probe=probe,
        looks=[look],
        planned=lab.effort.wide_samples,
        picture=lambda: _picture(probe, instance),
    )


def _shares(instance: Instance, *, never: bool) -> Floats:
    """Return about how often each stratum is observed per text, if drafts are accepted by the usual rules."""
    target, draft = instance.target[instance.start], instance.draft[instance.start]
    accepted = target * draft if never else np.minimum(target, draft)
    second = np.bincount(
        instance.next_context[instance.start], weights=accepted, minlength=len(instance.target)
    )
    halves = (0.0, 1.0) if instance.draft_length == 1 else (0.5, 0.5)
    return np.concatenate([[1.0], halves[0] * second, halves[1] * second, [0.0]])


def _picture(probe: WideProbe, instance: Instance) -> Picture:
    start = [instance.start]
    groups = telling_partitions(instance.target[start], instance.draft[start])[0][0]
    seen = np.bincount(groups, weights=probe.counts[0], minlength=GROUPS)
    mass = np.bincount(groups, weights=instance.target[instance.start], minlength=GROUPS)
    size = max(int(probe.counts[0].sum()), 1)
    return Picture(
        title="first token, lumped by likelihood ratio of target and draft",
        cells=tuple(f"group {group + 1}, target / draft rising" for group in range(GROUPS)),
        observed=tuple(float(value) / size for value in seen),
        expected=tuple(float(value) for value in mass),
        samples=size,
    )
