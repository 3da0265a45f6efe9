"""Checks of batches and seeds: rows of different pairs, ragged drafts, batch sizes, independence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from specsim.validation.conformance.checks.base import Check, Look, Statistical, make_look
from specsim.validation.conformance.checks.step import (
    STEPS,
    law_picture,
    main_probe,
    output_law,
    output_looks,
    step_looks,
)
from specsim.validation.conformance.instances import Instance, number, tree_instance
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.probes import PairProbe, ProbeGroup, StepProbe
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
    looks: list[Look] = []
    vocabulary = lab.vocabulary
    for index, instance in enumerate(instances):
        law = instance.target_law(probe.length)
        cells = np.arange(len(law))
        directions = {"equal chances": np.full(len(law), 1 / len(law))}
        looks.append(
            make_look(
                lambda table: table[None, :],
                law,
                {},
                lambda index=index: probe.texts[index],
                lambda stratum, cell, index=index: (
                    f"row with {lengths[index]} drafted tokens: text "
                    f"{' '.join(str(cell // vocabulary**n % vocabulary) for n in range(probe.length))[::-1]}"
                ),
                directions=directions,
                partitions=[cells // vocabulary] if probe.length > 1 else [],
                tolerance=lab.tolerance,
            )
        )
    return Statistical(probe=probe, looks=looks, planned=lab.side_samples)


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
    return Statistical(probe=group, looks=looks, planned=max(2000, lab.side_samples // 4))


def _pair_look(lab: Laboratory, probe: PairProbe) -> Look:
    rule = lab.rule
    assert rule is not None
    instance = lab.main_instance
    table = lab.joint(rule, instance, one_hot=lab.subject.draft == "never")
    law = table[int(number(probe.path, instance.vocabulary))].ravel()
    law = law / law.sum()
    product = np.outer(law, law)
    same = np.diag(law)
    cells = np.arange(law.size**2)
    first, second = cells // law.size, cells % law.size
    vocabulary = instance.vocabulary
    lengths = first // vocabulary * (instance.draft_length + 1) + second // vocabulary
    finals = first % vocabulary * vocabulary + second % vocabulary
    return make_look(
        lambda values: values.reshape(1, -1),
        product,
        {},
        lambda: probe.counts,
        lambda stratum, cell: _pair_name(cell, law.size, vocabulary),
        directions={"equal outcomes": same.ravel()},
        partitions=[lengths, finals, (first == second).astype(np.int64)],
        tolerance=lab.tolerance,
    )


def _pair_name(cell: int, size: int, vocabulary: int) -> str:
    def spell(outcome: int) -> str:
        return f"{outcome // vocabulary} accepted then {outcome % vocabulary}"

    return f"one has {spell(cell // size)}, the other {spell(cell % size)}"


class _TokenPairs:
    """Pairs of texts that must be independent, where the subject draws its drafts or declares no rule."""

    def __init__(self, lab: Laboratory, apart: str) -> None:
        self._probe = StepProbe(
            caller=lab.caller(f"pairs {apart}"),
            rng=lab.rng(f"pairs {apart}"),
            instances=[lab.main_instance],
            length=min(2, lab.draft_length + 1),
            one_hot=lab.subject.draft == "never",
        )
        self._apart = apart
        self._lab = lab
        self.cells = lab.vocabulary
        self.counts = np.zeros((self.cells, self.cells), dtype=np.int64)
        self.total = 0

    def sample(self, count: int) -> None:
        """Observe about `count` more pairs."""
        from specsim.validation.conformance.checks.contract import one_call

        caller, rng = self._probe.caller, self._probe.rng
        limit = self._lab.subject.max_batch or 64
        wanted = self.total + count
        while self.total < wanted and not caller.out_of_time():
            size = max(2, min(limit, 64) // 2 * 2) if self._apart == "rows" else max(1, min(limit, 8))
            # Every call has drafts of its own: a draft given twice would tie its outputs together.
            call = one_call(self._lab, caller, rng, size, prompt=0)
            first = self._first(call(caller.next_seed()))
            if self._apart == "rows":
                left, right = first[0::2], first[1::2]
            else:
                other = one_call(self._lab, caller, rng, size, prompt=0)
                left, right = first, self._first(other(caller.next_seed()))
            np.add.at(self.counts, (left, right), 1)
            self.total += len(left)

    def _first(self, result: tuple[Integers, ...]) -> Integers:
        tokens = result[-2] if len(result) > 1 else result[0]
        return np.asarray(tokens)[:, 0]


def _make_pairs(lab: Laboratory, apart: str) -> Statistical:
    if lab.subject.protocol == "step" and lab.rule is not None and _rule_applies(lab.subject):
        path = _telling_path(lab)
        pairs = PairProbe(
            caller=lab.caller(f"pairs {apart}"),
            rng=lab.rng(f"pairs {apart}"),
            instance=lab.main_instance,
            apart=apart,
            path=path,
        )
        return Statistical(probe=pairs, looks=[_pair_look(lab, pairs)], planned=lab.side_samples)
    tokens = _TokenPairs(lab, apart)
    law = output_law(lab, lab.main_instance, lab.rule, 1, one_hot=lab.subject.draft == "never")
    look = make_look(
        lambda values: values.reshape(1, -1),
        np.outer(law, law),
        {},
        lambda: tokens.counts,
        lambda stratum, cell: f"one begins with {cell // len(law)}, the other with {cell % len(law)}",
        directions={"equal tokens": np.diag(law).ravel()},
        partitions=[(np.arange(law.size**2) // law.size == np.arange(law.size**2) % law.size).astype(np.int64)],
        tolerance=lab.tolerance,
    )
    return Statistical(probe=tokens, looks=[look], planned=lab.side_samples)


def _telling_path(lab: Laboratory) -> Integers:
    """Return the draft whose outcome is most uncertain."""
    instance = lab.main_instance
    assert lab.rule is not None
    joint = lab.joint(lab.rule, instance, one_hot=lab.subject.draft == "never")
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
