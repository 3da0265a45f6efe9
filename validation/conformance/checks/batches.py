"""Checks of batches and seeds: rows of different pairs, ragged drafts, batch sizes, independence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specsim.validation.conformance.checks.base import Check, Look, Statistical, make_look, worst_cells
from specsim.validation.conformance.checks.step import (
    STEPS,
    law_picture,
    main_probe,
    output_looks,
    step_looks,
)
from specsim.validation.conformance.independence import IndependenceEvidence
from specsim.validation.conformance.instances import Instance, tree_instance
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.probes import PairProbe, ProbeGroup, StepProbe, spelled
from specsim.validation.conformance.results import Deviation
from specsim.validation.conformance.rules.lossless import ONE_HOT, RATIO
from specsim.validation.conformance.subjects import Subject

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Different pairs in a batch.
ROWS = 5


def batch_instances(lab: Laboratory, draft_length: int) -> list[Instance]:
    """Return instances of one size whose rows have nothing in common."""
    return [
        tree_instance(
            lab.instance_seed + 1 + row,
            vocabulary=lab.vocabulary,
            draft_length=draft_length,
            name=f"row {row}",
        )
        for row in range(ROWS)
    ]


def _needs_batch(subject: Subject) -> str:
    return "it takes one row at a time" if subject.max_batch == 1 else ""


def _make_batch_rows(lab: Laboratory) -> Statistical:
    length = min(2, lab.draft_length)
    instances = batch_instances(lab, length)
    limit = lab.subject.max_batch or 40 * ROWS
    probe = StepProbe(
        caller=lab.caller("batch rows"),
        rng=lab.rng("batch rows"),
        instances=instances,
        length=length + 1,
        batch=max(2, min(limit, 40 * ROWS) // ROWS * ROWS),
        one_hot=lab.subject.draft == "never",
    )
    looks: list[Look] = []
    for index, instance in enumerate(instances):
        more = {}
        for other, name in ((index - 1, "the row before"), (index + 1, "the row after"), (0, "row 0")):
            neighbour = instances[other % ROWS]
            if neighbour is not instance:
                more[f"target rows of {name}"] = neighbour.target_law(length + 1)
        looks += output_looks(lab, probe, index, length + 1, prefix=f"row {index}: ", more=more)
        if lab.rule is not None and _rule_applies(lab.subject):
            looks += step_looks(lab, probe, index, lab.rule, ("acceptance",), prefix=f"row {index}: ")
    return Statistical(
        probe=probe,
        looks=looks,
        planned=lab.side_samples,
        picture=lambda: law_picture("joint law of the first tokens, one row of a mixed batch", looks[0]),
    )


def _rule_applies(subject: Subject) -> bool:
    return subject.draft != "never" or bool(getattr(subject.rule, "any_draft", False))


def _make_ragged(lab: Laboratory) -> Statistical:
    length = lab.draft_length
    instances = batch_instances(lab, length)[: length + 1]
    lengths = np.array([row % (length + 1) for row in range(len(instances))], dtype=np.int64)
    lengths = lengths[::-1].copy()
    if not (lengths > 0).any():
        lengths[:] = 1
    probe = StepProbe(
        caller=lab.caller("ragged"),
        rng=lab.rng("ragged"),
        instances=instances,
        length=2 if length > 1 else 1,
        batch=40 * len(instances),
        one_hot=lab.subject.draft == "never",
        draft_lengths=lengths,
    )
    looks = [_ragged_look(lab, probe, index, int(lengths[index])) for index in range(len(instances))]
    return Statistical(probe=probe, looks=looks, planned=lab.side_samples)


def _ragged_look(lab: Laboratory, probe: StepProbe, index: int, drafted: int) -> Look:
    law = probe.instances[index].target_law(probe.length)
    cells = np.arange(len(law))

    def name_cell(stratum: int, cell: int) -> str:
        return f"row with {drafted} drafted tokens: text {spelled(cell, lab.vocabulary, probe.length)}"

    return make_look(
        lambda table: table[None, :],
        law,
        {},
        lambda: probe.texts[index],
        name_cell,
        directions={"equal chances": np.full(len(law), 1 / len(law))},
        partitions=[cells // lab.vocabulary] if probe.length > 1 else [],
        tolerance=lab.tolerance,
    )


def _make_invariance(lab: Laboratory) -> Statistical:
    limit = lab.subject.max_batch or 33
    sizes = tuple(dict.fromkeys(min(size, limit) for size in (1, 2, 7, 33)))
    instance = main_probe(lab).instances[0]
    group = ProbeGroup([
        StepProbe(
            caller=lab.caller(f"batches of {size}"),
            rng=lab.rng(f"batches of {size}"),
            instances=[instance],
            length=min(2, lab.draft_length + 1),
            batch=size,
            one_hot=lab.subject.draft == "never",
        )
        for size in sizes
    ])  # fmt: skip
    looks: list[Look] = []
    for size, probe in zip(sizes, group.probes, strict=True):
        looks += output_looks(lab, probe, 0, probe.length, prefix=f"batches of {size}: ")
    for look in looks:
        look.shares = look.shares / len(sizes)
    return Statistical(probe=group, looks=looks, planned=max(lab.effort.least_side, lab.side_samples // 4))


class _TokenPairs:
    """Pairs of first tokens that must be independent, of subjects that draw their own drafts."""

    def __init__(self, lab: Laboratory, apart: str) -> None:
        self._caller = lab.caller(f"pairs {apart}")
        self._rng = lab.rng(f"pairs {apart}")
        self._apart = apart
        self._lab = lab
        self.cells = lab.vocabulary
        self.counts = np.zeros((self.cells, self.cells), dtype=np.int64)
        self.total = 0

    def sample(self, count: int) -> None:
        """Observe about `count` more pairs."""
        from specsim.validation.conformance.checks.contract import one_call

        caller, rng = self._caller, self._rng
        limit = self._lab.subject.max_batch or 64
        wanted = self.total + count
        while self.total < wanted and not caller.out_of_time():
            size = max(2, min(limit, 64) // 2 * 2) if self._apart == "rows" else max(1, min(limit, 8))
            call = one_call(self._lab, caller, rng, size, prompt=0)
            first = self._first(call(caller.next_seed()))
            if self._apart == "rows":
                left, right = first[0::2], first[1::2]
            else:
                left, right = first, self._first(call(caller.next_seed()))
            np.add.at(self.counts, (left, right), 1)
            self.total += len(left)

    def _first(self, result: tuple[Integers, ...]) -> Integers:
        tokens = result[-2] if len(result) > 1 else result[0]
        return np.asarray(tokens)[:, 0]


def _make_pairs(lab: Laboratory, apart: str) -> Statistical:
    vocabulary = lab.vocabulary
    probe: PairProbe | _TokenPairs
    if lab.subject.protocol == "step":
        probe = PairProbe(
            caller=lab.caller(f"pairs {apart}"),
            rng=lab.rng(f"pairs {apart}"),
            instance=lab.main_instance,
            apart=apart,
            path=_telling_path(lab),
        )
        outcomes = np.arange(probe.cells)
        lengths, finals = outcomes // vocabulary, outcomes % vocabulary
        evidence = IndependenceEvidence({"lengths": lengths, "last tokens": finals, "outcomes": outcomes})

        def name_one(outcome: int) -> str:
            return f"{outcome // vocabulary} accepted then {outcome % vocabulary}"

    else:
        probe = _TokenPairs(lab, apart)
        evidence = IndependenceEvidence({"first tokens": np.arange(probe.cells)})

        def name_one(outcome: int) -> str:
            return f"first token {outcome}"

    size = evidence.outcomes
    return _Pairs(
        probe=probe,
        looks=(),
        planned=lab.side_samples,
        evidence=evidence,
        name_pair=lambda cell: f"one has {name_one(cell // size)}, the other {name_one(cell % size)}",
    )


@dataclass(kw_only=True, eq=False)
class _Pairs(Statistical):
    """A procedure whose null is independence, whatever the laws of the two outcomes are."""

    evidence: IndependenceEvidence
    name_pair: Callable[[int], str]

    def log_e(self) -> float:
        """Return the logarithm of the e-value so far."""
        return self.evidence.log_e(self._counts)

    def catches(self, log_threshold: float) -> float:
        """Return the distance from independence that the plan catches with probability 0.999."""
        return min(1.0, self.evidence.power(self.planned, log_threshold))

    def looks_like(self, count: int = 3) -> tuple[str, ...]:
        """Return how often the two outcomes were the same, beside what independence would give."""
        counts = self._counts
        size = max(int(counts.sum()), 1)
        chance = float(np.trace(self.evidence.expected(counts).reshape(counts.shape)))
        same = float(np.trace(counts)) / size
        return (f"equal outcomes in {same:.3f} of the pairs, {chance:.3f} if they were independent",)

    def deviations(self, alpha: float, count: int = 4) -> tuple[Deviation, ...]:
        """Return the pairs that differ most from the product of the margins."""
        law = self.evidence.expected(self._counts)
        return worst_cells(
            self._counts.reshape(1, -1), law, lambda _, cell: self.name_pair(cell), alpha, count
        )

    @property
    def _counts(self) -> Integers:
        counts: Integers = self.probe.counts  # type: ignore[attr-defined]
        return counts


def _telling_path(lab: Laboratory) -> Integers:
    """Return the draft whose outcome is most uncertain."""
    instance = lab.main_instance
    one_hot = lab.subject.draft == "never"
    rule = lab.rule_or_none(one_hot=one_hot) or (ONE_HOT if one_hot else RATIO)
    joint = lab.joint(rule, instance, one_hot=one_hot)
    law = joint / np.maximum(joint.sum(axis=(1, 2), keepdims=True), 1e-300)
    entropy = -(law * np.log(np.maximum(law, 1e-300))).sum(axis=(1, 2))
    path: Integers = instance.paths[int(entropy.argmax())]
    return path


BATCH_ROWS = Check(
    name="batch-rows",
    title="every row of a batch follows its own pair of models",
    kind="output",
    protocols=STEPS,
    make=_make_batch_rows,
    why_not=_needs_batch,
    catches="rows, seeds or coins of another request",
)
RAGGED = Check(
    name="ragged",
    title="rows of a batch with different numbers of drafted tokens, none included",
    kind="output",
    protocols=("step",),
    make=_make_ragged,
    why_not=lambda subject: (
        _needs_batch(subject)
        or ("" if "draft_lengths" in subject.options else "it takes no option draft_lengths")
        or ("its declared law is lossy" if subject.rule is not None and not subject.rule.lossless else "")
    ),
    catches="padding verified as tokens, lengths of another row",
)
INVARIANCE = Check(
    name="batch-invariance",
    title="the law does not depend on the size of the batch",
    kind="output",
    protocols=STEPS,
    make=_make_invariance,
    why_not=_needs_batch,
    catches="code that is right for one row only, or for many only",
)
BATCH_INDEPENDENCE = Check(
    name="batch-independence",
    title="neighbouring rows of a batch are independent",
    kind="output",
    protocols=("step", "draft-and-verify", "decoder"),
    make=lambda lab: _make_pairs(lab, "rows"),
    why_not=_needs_batch,
    catches="one coin for all rows",
)
SEED_INDEPENDENCE = Check(
    name="seed-independence",
    title="neighbouring seeds give independent outputs",
    kind="output",
    protocols=("step", "draft-and-verify", "decoder"),
    make=lambda lab: _make_pairs(lab, "seeds"),
    catches="seeds ignored or truncated, streams that overlap",
)

CHECKS = (SEED_INDEPENDENCE, BATCH_ROWS, RAGGED, INVARIANCE, BATCH_INDEPENDENCE)
