"""Checks of verification steps: the declared rule by its conditional laws, and the law of what is emitted."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Floats
from specsim.validation.conformance.calling import NotApplicable
from specsim.validation.conformance.checks.base import (
    Check,
    Look,
    Statistical,
    check,
    law_picture,
    make_look,
    needs_rule,
)
from specsim.validation.conformance.instances import Instance
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.probes import StepProbe, spelled
from specsim.validation.conformance.rules.base import Rule
from specsim.validation.conformance.tables import Views, completed_law, text_partitions

STEPS = ("step", "draft-and-verify")


def step_probe(
    lab: Laboratory, name: str, instances: Sequence[Instance], length: int, **more: Any
) -> StepProbe:
    """Return an experiment of this name, without draft rows for subjects that take none."""
    return StepProbe(
        caller=lab.caller(name),
        rng=lab.rng(name),
        instances=instances,
        length=length,
        **{"one_hot": lab.subject.draft == "never", **more},
    )


def main_probe(lab: Laboratory) -> StepProbe:
    """Return the main experiment: one instance, whole batches of it."""
    probe: StepProbe = lab.keep(
        "main", lambda: step_probe(lab, "main", [lab.main_instance], min(lab.draft_length + 1, 3))
    )
    return probe


def owns_drafts(lab: Laboratory) -> bool:
    """Return whether the subject draws the drafts."""
    return lab.subject.protocol == "draft-and-verify"


def step_looks(
    lab: Laboratory,
    probe: StepProbe,
    index: int,
    rule: Rule,
    kinds: tuple[str, ...],
    *,
    tolerance: float | None = None,
    prefix: str = "",
) -> list[Look]:
    """Return looks at the table of one instance of a probe, under a rule.

    kinds: names of methods of `Views`.
    prefix: put before the names of cells.
    """
    instance = probe.effective[index]
    own = owns_drafts(lab)
    null = lab.joint(rule, instance, one_hot=probe.one_hot, own=own)
    laws = lab.known_laws(instance, one_hot=probe.one_hot, own=own)
    alternatives = {name: table for name, (_, table) in laws.items()}
    views = Views(probe.vocabulary, probe.draft_length)
    return [
        make_look(
            getattr(views, kind),
            null,
            alternatives,
            lambda: probe.table[index],
            _cell_names(views, kind, prefix),
            directions=_directions(kind, probe.vocabulary),
            tolerance=lab.tolerance if tolerance is None else tolerance,
            kind="rule",
            place=prefix.removesuffix(": "),
        )
        for kind in kinds
    ]


def _directions(kind: str, vocabulary: int) -> dict[str, Floats]:
    if kind.startswith("acceptance"):
        return {"always accepting": np.array([0.0, 1.0]), "never accepting": np.array([1.0, 0.0])}
    if kind.startswith(("residual", "bonus", "first_token")):
        return {"equal chances": np.full(vocabulary, 1 / vocabulary)}
    return {}


def _cell_names(views: Views, kind: str, prefix: str) -> Callable[[int, int], str]:
    vocabulary = views.vocabulary

    def name(stratum: int, cell: int) -> str:
        if kind == "acceptance":
            text = f"drafted {views.prefix_name(stratum, 1)}: last one {('rejected', 'accepted')[cell]}"
        elif kind == "acceptance_by_position":
            text = f"position {stratum + 1} {('rejected', 'accepted')[cell]}"
        elif kind == "residual":
            text = f"drafted {views.prefix_name(stratum, 1)}, last one rejected: replaced by {cell}"
        elif kind == "residual_by_context":
            text = f"after {views.prefix_name(stratum, 0)}: rejected token replaced by {cell}"
        elif kind == "accepted_length":
            text = f"{cell} drafted tokens accepted"
        elif kind == "accepted_length_by_path":
            text = f"drafted {views.path_name(stratum)}: {cell} accepted"
        elif kind == "bonus":
            text = f"accepted {views.path_name(stratum)}: bonus token {cell}"
        elif kind == "drafted":
            text = f"after {views.prefix_name(stratum, 0)}: drafted {cell}"
        elif kind == "outcome":
            text = (
                f"drafted {views.path_name(stratum)}: {cell // vocabulary} accepted, then {cell % vocabulary}"
            )
        else:
            text = f"first token {cell}"
        return prefix + text

    return name


def output_law(
    lab: Laboratory, instance: Instance, rule: Rule | None, length: int, *, one_hot: bool = False
) -> Floats:
    """Return the law that the first tokens must have: the target's, or a lossy rule's own."""
    if rule is None or rule.lossless:
        return instance.target_law(length)
    joint = lab.joint(rule, instance, one_hot=one_hot, own=owns_drafts(lab))
    return completed_law(joint, np.ones(len(joint)), instance, length)


def output_looks(
    lab: Laboratory,
    probe: StepProbe,
    index: int,
    length: int,
    *,
    tolerance: float | None = None,
    prefix: str = "",
    more: dict[str, Floats] | None = None,
    known: bool = True,
) -> list[Look]:
    """Return the look at the joint law of the first `length` emitted tokens of one instance.

    more: further alternatives, laws of shape ``(vocabulary ** length,)``.
    known: whether the known rules are alternatives, too.
    """
    instance = probe.effective[index]
    own = owns_drafts(lab)
    law = output_law(lab, instance, lab.rule_or_none(one_hot=probe.one_hot), length, one_hot=probe.one_hot)
    alternatives: dict[str, Floats] = dict(more or {})
    if known:
        alternatives |= lab.known_text_laws(instance, length, one_hot=probe.one_hot, own=own)
    vocabulary = instance.vocabulary
    draft_instance = replace(instance, target=instance.draft)
    directions = {} if length > instance.draft_length else {"the draft": draft_instance.target_law(length)}

    def view(table: NDArray[np.number]) -> NDArray[np.number]:
        return table.reshape(1, vocabulary**length, -1).sum(axis=2)

    return [
        make_look(
            view,
            law[None, :],
            {name: table[None, :] for name, table in alternatives.items()},
            lambda: probe.texts[index],
            lambda stratum, cell: f"{prefix}text {spelled(cell, vocabulary, length)}",
            directions=directions,
            partitions=text_partitions(vocabulary, length),
            tolerance=lab.tolerance if tolerance is None else tolerance,
            place=prefix.removesuffix(": "),
        )
    ]


class OnWholeDrafts(Statistical):
    """A procedure that looks at outcomes given whole drafts."""

    def log_e(self) -> float:
        """Return the evidence, or say that there is none."""
        assert isinstance(self.probe, StepProbe)
        if not self.probe.whole_drafts:
            raise NotApplicable("its drafts are not whole chains in all rows; chosen-lengths looks at them")
        return super().log_e()


def _rule_check(
    name: str, title: str, kinds: tuple[str, ...], catches: str, protocols: tuple[str, ...] = STEPS
) -> Check:
    def make(lab: Laboratory) -> Statistical:
        probe = main_probe(lab)
        rule = lab.rule
        assert rule is not None
        looks = step_looks(lab, probe, 0, rule, kinds)
        return OnWholeDrafts(
            probe=probe,
            looks=looks,
            planned=lab.main_samples,
            picture=lambda: law_picture(title, looks[-1]),
        )

    return Check(
        name=name,
        title=title,
        kind="rule",
        protocols=protocols,
        make=make,
        why_not=needs_rule,
        catches=catches,
    )


ACCEPTANCE = _rule_check(
    "acceptance",
    "probability of accepting each drafted token in its context",
    ("acceptance", "acceptance_by_position"),
    "wrong acceptance, draft law other than the one used, rows off by one",
)
RESIDUAL = _rule_check(
    "residual",
    "law of the token that replaces a rejected one",
    ("residual", "residual_by_context"),
    "wrong recovery law, shared random numbers",
)
ACCEPTED_LENGTH = _rule_check(
    "accepted-length",
    "law of the number of accepted drafted tokens",
    ("accepted_length_by_path", "accepted_length"),
    "coins shared within a draft, tokens not verified",
)
BONUS = _rule_check(
    "bonus",
    "law of the bonus token, given that the whole draft was accepted",
    ("bonus",),
    "bonus from the draft, from the wrong row, or from a residual",
)
DRAFT_LAW = _rule_check(
    "draft-law",
    "law of the drafted tokens, given those before",
    ("drafted",),
    "drafts filtered, tempered or greedy while the rule uses other rows",
    ("draft-and-verify",),
)


@check(
    "first-token",
    "law of the first emitted token",
    protocols=STEPS,
    catches="most biases of a single position",
    weight=8.0,
)
def _first_token(lab: Laboratory) -> Statistical:
    probe = main_probe(lab)
    looks = output_looks(lab, probe, 0, 1)
    return Statistical(
        probe=probe,
        looks=looks,
        planned=lab.main_samples,
        picture=lambda: law_picture("law of the first token", looks[0]),
    )


@check(
    "joint-law",
    "joint law of the first tokens, continued by the target where the step emits fewer",
    protocols=STEPS,
    catches="coins shared between positions, bonus tokens, rows off by one",
    weight=8.0,
)
def _joint_law(lab: Laboratory) -> Statistical:
    probe = main_probe(lab)
    looks = output_looks(lab, probe, 0, probe.length)
    law = looks[0].evidence.null[0]

    def certificate() -> list[tuple[Any, Floats]]:
        return [(probe.texts[0], law)]

    return Statistical(
        probe=probe,
        looks=looks,
        planned=lab.main_samples,
        certificate=certificate,
        picture=lambda: law_picture(f"joint law of the first {probe.length} tokens", looks[0]),
    )


CHECKS = (_first_token, _joint_law, ACCEPTANCE, RESIDUAL, ACCEPTED_LENGTH, BONUS, DRAFT_LAW)
