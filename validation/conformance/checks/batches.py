"""Checks of batches and seeds: rows of different pairs, ragged drafts, batch sizes, independence."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from specsim.support.arrays import Integers
from specsim.validation.conformance.calling import Caller
from specsim.validation.conformance.checks.base import (
    Look,
    Statistical,
    check,
    law_picture,
    lossless_only,
    make_look,
    needs_option,
    worst_cells,
)
from specsim.validation.conformance.checks.step import (
    STEPS,
    output_looks,
    owns_drafts,
    step_looks,
    step_probe,
)
from specsim.validation.conformance.evidence import mixture
from specsim.validation.conformance.independence import IndependenceEvidence
from specsim.validation.conformance.instances import Instance, tree_instance
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.probes import PairProbe, StepProbe, spelled
from specsim.validation.conformance.results import Deviation
from specsim.validation.conformance.rules.lossless import ONE_HOT, RATIO
from specsim.validation.conformance.subjects import PROTOCOLS, Subject

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
    return "the sampler takes one row at a time" if subject.max_batch == 1 else ""


@check(
    "batch-rows",
    "every row of a batch follows its own pair of models",
    protocols=STEPS,
    why_not=_needs_batch,
    catches="rows, seeds or coins of another request",
)
def _batch_rows(lab: Laboratory) -> Statistical:
    length = min(2, lab.draft_length)
    instances = batch_instances(lab, length)
    limit = lab.subject.max_batch or 40 * ROWS
    batch = max(2, min(limit, 40 * ROWS) // ROWS * ROWS)
    probe = step_probe(lab, "batch rows", instances, length + 1, batch=batch)
    lab.learn(probe.effective, one_hot=probe.one_hot, own=owns_drafts(lab))
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


def _no_ragged(subject: Subject) -> str:
    return _needs_batch(subject) or needs_option(subject, "draft_lengths") or lossless_only(subject)


def _rule_applies(subject: Subject) -> bool:
    return subject.draft != "never" or (subject.rule is not None and subject.rule.any_draft)


@check(
    "ragged",
    "rows of a batch with different numbers of drafted tokens, none included",
    protocols=("step",),
    why_not=_no_ragged,
    catches="padding verified as tokens, lengths of another row",
)
def _ragged(lab: Laboratory) -> Statistical:
    length = lab.draft_length
    instances = batch_instances(lab, length)[: length + 1]
    lengths = np.array([row % (length + 1) for row in range(len(instances))], dtype=np.int64)
    lengths = lengths[::-1].copy()
    if not (lengths > 0).any():
        lengths[:] = 1
    batch = 40 * len(instances)
    probe = step_probe(lab, "ragged", instances, 2 if length > 1 else 1, batch=batch, draft_lengths=lengths)
    looks = [_ragged_look(lab, probe, index, int(lengths[index])) for index in range(len(instances))]
    return Statistical(probe=probe, looks=looks, planned=lab.side_samples)


def _ragged_look(lab: Laboratory, probe: StepProbe, index: int, drafted: int) -> Look:
    law = probe.effective[index].target_law(probe.length)
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


def _outcomes(lab: Laboratory, caller: Caller, apart: str) -> Callable[[int], Callable[[int], Integers]]:
    """Return what makes calls of a number of rows: (accepted length, final token), or the first token.

    Steps get the same draft in every row, so that a shared coin shows.
    """
    from specsim.validation.conformance.checks.contract import one_call

    rng = lab.rng(f"pairs {apart}")
    if lab.subject.protocol == "step":
        path = telling_path(lab)

        def of_steps(size: int) -> Callable[[int], Integers]:
            drafted = np.repeat(path[None, :], size, axis=0)
            target, draft = lab.main_instance.rows(drafted)
            rows = None if lab.subject.draft == "never" else draft

            def call(seed: int) -> Integers:
                tokens, lengths = caller.step(target, rows, drafted, seed=seed)
                return (lengths - 1) * lab.vocabulary + tokens[np.arange(size), lengths - 1]

            return call

        return of_steps

    def of_texts(size: int) -> Callable[[int], Integers]:
        def first(result: tuple[Integers, ...]) -> Integers:
            tokens = result[-2] if len(result) > 1 else result[0]
            return np.asarray(tokens)[:, 0]

        if lab.subject.protocol == "tree":
            # Under one seed and the next, trees must be drawn anew: outcomes share what they were given.
            return lambda seed: first(one_call(lab, caller, rng, size)(seed))
        call = one_call(lab, caller, rng, size, prompt=0)
        return lambda seed: first(call(seed))

    return of_texts


def _make_pairs(lab: Laboratory, apart: str) -> Statistical:
    vocabulary = lab.vocabulary
    steps = lab.subject.protocol == "step"
    outcomes = np.arange((lab.draft_length + 1) * vocabulary if steps else vocabulary)
    groupings = {"first tokens": outcomes}
    if steps:
        lengths, finals = outcomes // vocabulary, outcomes % vocabulary
        groupings = {"lengths": lengths, "last tokens": finals, "outcomes": outcomes}

    def name_one(outcome: int) -> str:
        if steps:
            return f"{outcome // vocabulary} accepted then {outcome % vocabulary}"
        return f"first token {outcome}"

    caller = lab.caller(f"pairs {apart}")
    return Pairs(
        probe=PairProbe(
            caller=caller, outcomes=_outcomes(lab, caller, apart), apart=apart, cells=len(outcomes)
        ),
        looks=(),
        planned=lab.side_samples,
        evidence=IndependenceEvidence(groupings),
        name_one=name_one,
    )


@dataclass(kw_only=True, eq=False)
class Pairs(Statistical):
    """A procedure whose null is independence, whatever the laws of the two outcomes are."""

    evidence: IndependenceEvidence
    name_one: Callable[[int], str]

    def log_e(self) -> float:
        """Return the logarithm of the e-value so far: the average over the ways to pair."""
        counts = self._probe.counts
        return mixture([(1 / len(counts), self.evidence.log_e(table)) for table in counts])

    def output_log_e(self) -> float:
        """Return the same: no rule is involved."""
        return self.log_e()

    def catches(self, log_threshold: float) -> float:
        """Return the distance of neighbours from independence that is caught with probability 0.999."""
        level = log_threshold + math.log(len(self._probe.counts))
        return min(1.0, self.evidence.power(self.planned, level))

    def looks_like(self, count: int = 3) -> tuple[str, ...]:
        """Return how often the two outcomes were the same, and how often they would be if independent."""
        way, counts = self._worst()
        size = max(int(counts.sum()), 1)
        chance = float(np.trace(self.evidence.expected(counts).reshape(counts.shape)))
        same = float(np.trace(counts)) / size
        name = self._probe.name(way)
        return (f"{name}: equal outcomes in {same:.3f} of the pairs, {chance:.3f} if they were independent",)

    def deviations(self, alpha: float, count: int = 4) -> tuple[Deviation, ...]:
        """Return the pairs that differ most from the product of the margins."""
        way, counts = self._worst()
        size = self.evidence.outcomes

        def name_pair(_: int, cell: int) -> str:
            one, other = self.name_one(cell // size), self.name_one(cell % size)
            return f"{self._probe.name(way)}: one has {one}, the other {other}"

        law = self.evidence.expected(counts)
        return worst_cells(counts.reshape(1, -1), law, name_pair, alpha, count)

    def _worst(self) -> tuple[int, Integers]:
        values = [self.evidence.log_e(table) for table in self._probe.counts]
        way = int(np.argmax(values))
        return way, self._probe.counts[way]

    @property
    def _probe(self) -> PairProbe:
        assert isinstance(self.probe, PairProbe)
        return self.probe


def telling_path(lab: Laboratory) -> Integers:
    """Return the draft whose outcome is most uncertain."""
    instance = lab.lawful(lab.main_instance)
    one_hot = lab.subject.draft == "never"
    rule = lab.rule_or_none(one_hot=one_hot) or (ONE_HOT if one_hot else RATIO)
    joint = lab.joint(rule, instance, one_hot=one_hot)
    law = joint / np.maximum(joint.sum(axis=(1, 2), keepdims=True), 1e-300)
    entropy = -(law * np.log(np.maximum(law, 1e-300))).sum(axis=(1, 2))
    return instance.paths[int(entropy.argmax())]


_independence = partial(check, kind="independence", protocols=tuple(PROTOCOLS))
_rows = _independence(
    "batch-independence", "rows of a batch are independent, whatever their distance",
    why_not=_needs_batch, catches="one coin for all rows",
)(partial(_make_pairs, apart="rows"))  # fmt: skip
_seeds = _independence(
    "seed-independence", "seeds near each other or far apart give independent outputs, rows crossed too",
    catches="seeds ignored or truncated, seed + row, streams that overlap",
)(partial(_make_pairs, apart="seeds"))  # fmt: skip

CHECKS = (_seeds, _batch_rows, _ragged, _rows)
