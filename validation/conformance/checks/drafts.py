"""Checks of drafts that are not whole chains over the target's vocabulary: narrower ones, shorter ones."""

import numpy as np

from specsim.support.arrays import Integers
from specsim.validation.conformance.calling import NotApplicable
from specsim.validation.conformance.checks.base import (
    Look,
    Statistical,
    check,
    lossless_only,
    make_look,
    needs_option,
    needs_rule,
)
from specsim.validation.conformance.checks.step import (
    STEPS,
    main_probe,
    output_looks,
    step_looks,
    step_probe,
)
from specsim.validation.conformance.checks.texts import text_instance, text_probe
from specsim.validation.conformance.instances import Instance, digits
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.probes import StepProbe, spelled
from specsim.validation.conformance.rules.base import Rule
from specsim.validation.conformance.subjects import Subject
from specsim.validation.conformance.tables import step_table


def narrowed(instance: Instance) -> tuple[Instance, Integers]:
    """Return an instance whose draft has no mass on some tokens, 0 among them, and the ids that it has."""
    vocabulary = instance.vocabulary
    ids = np.arange(1, vocabulary, 2) if vocabulary < 5 else np.delete(np.arange(1, vocabulary), 2)

    def kept(rows: np.ndarray) -> np.ndarray:
        left = np.zeros_like(rows)
        left[:, ids] = rows[:, ids]
        return left / left.sum(axis=1, keepdims=True)

    return (
        Instance(
            name="a narrower draft",
            target=instance.target,
            draft=kept(instance.draft),
            next_context=instance.next_context,
            start=instance.start,
            draft_length=instance.draft_length,
        ),
        ids,
    )


def _no_map(subject: Subject) -> str:
    if subject.draft == "never":
        return "the sampler takes no draft rows"
    few = "the vocabulary has fewer than 4 tokens" if (subject.max_vocabulary or 4) < 4 else ""
    return needs_option(subject, "d2t") or few or lossless_only(subject)


@check(
    "draft-vocabulary",
    "draft rows over some of the target's tokens, with the map of their ids",
    protocols=(*STEPS, "decoder"),
    why_not=_no_map,
    catches="ids of the draft taken for the target's, in the test or in the residual",
)
def _draft_vocabulary(lab: Laboratory) -> Statistical:
    if lab.subject.protocol == "decoder":
        instance, ids = narrowed(text_instance(lab))
        text = text_probe(lab, "draft vocabulary", instance, options={"d2t": ids})
        found = text.looks(tolerance=lab.tolerance)
        return Statistical(probe=text, looks=found, planned=lab.side_samples)
    instance, ids = narrowed(lab.main_instance)
    probe = step_probe(
        lab, "draft vocabulary", [instance], min(instance.draft_length + 1, 3), options={"d2t": ids}
    )
    looks = output_looks(lab, probe, 0, probe.length, known=False)
    rule = lab.rule_or_none()
    if rule is not None:
        looks += step_looks(lab, probe, 0, rule, ("acceptance",))
    return Statistical(probe=probe, looks=looks, planned=lab.side_samples)


@check(
    "chosen-lengths",
    "with drafts as long as the sampler likes: acceptance and final tokens given each draft",
    kind="rule",
    protocols=("draft-and-verify",),
    why_not=needs_rule,
    catches="shorter drafts verified as if they were whole, a bonus token from the row of the last position",
)
def _chosen_lengths(lab: Laboratory) -> Statistical:
    probe, rule = main_probe(lab), lab.rule
    assert rule is not None
    instance = probe.effective[0]
    looks = [_outcome_look(lab, probe, rule, length) for length in range(1, instance.draft_length + 1)]
    looks.append(_drafted_look(lab, probe, instance))
    return _Chosen(probe=probe, looks=looks, planned=lab.main_samples)


def _outcome_look(lab: Laboratory, probe: StepProbe, rule: Rule, length: int) -> Look:
    """Return the look at accepted length and final token given each draft of this many tokens."""
    instance = probe.effective[0]
    table = step_table(rule, instance.cut(length))
    vocabulary = instance.vocabulary

    def name_cell(path: int, cell: int) -> str:
        draft = spelled(path, vocabulary, length)
        return f"drafted {draft}: {cell // vocabulary} accepted, then {cell % vocabulary}"

    return make_look(
        lambda counts: counts.reshape(len(counts), -1),
        table / len(table),
        {},
        lambda: probe.shorter[length],
        name_cell,
        tolerance=lab.tolerance,
    )


def _drafted_look(lab: Laboratory, probe: StepProbe, instance: Instance) -> Look:
    """Return the look at every drafted token given those before it.

    That it was drafted may depend on what stands before it, and not on the token itself.
    """
    vocabulary, most = instance.vocabulary, instance.draft_length
    drawn = instance.draft if lab.rule is None or lab.rule.draw is None else lab.rule.draw(instance.draft)
    prefixes = [digits(np.arange(vocabulary**n), vocabulary, n) for n in range(most)]
    null = np.concatenate([drawn[instance.contexts(texts)[:, -1]] for texts in prefixes])

    def observe() -> Integers:
        found = []
        for n, texts in enumerate(prefixes):
            tables = [table.sum(axis=(1, 2)) for table in probe.shorter[n + 1 :]]
            found.append(sum(table.reshape(len(texts), vocabulary, -1).sum(axis=2) for table in tables))
        return np.concatenate(found)

    return make_look(
        lambda table: table,
        null / most / np.concatenate([np.full((len(texts), 1), len(texts)) for texts in prefixes]),
        {},
        observe,
        lambda stratum, cell: f"drafted token {cell} after prefix {stratum}",
        tolerance=lab.tolerance,
    )


class _Chosen(Statistical):
    """The check of drafts that are shorter in some rows, which only some samplers make."""

    def log_e(self) -> float:
        """Return the evidence, or say that all drafts were whole, or that none was reported."""
        probe = self.probe
        assert isinstance(probe, StepProbe)
        if probe.whole_drafts:
            raise NotApplicable("all its drafts have full length")
        if not any(table.any() for table in probe.shorter):
            raise NotApplicable("the sampler does not report its drafts")
        return super().log_e()


CHECKS = (_draft_vocabulary, _chosen_lengths)
