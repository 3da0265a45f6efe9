"""Checks on rows that break careless code: zeros, equal rows, tiny masses, NaN, narrow types, wide ones."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from specsim.errors import InputError
from specsim.validation.conformance.calling import Caller, ContractError, NotApplicable, SubjectError
from specsim.validation.conformance.checks.base import (
    Exact,
    Probe,
    Statistical,
    check,
    law_picture,
    lossless_only,
    together,
)
from specsim.validation.conformance.checks.step import (
    STEPS,
    main_probe,
    output_looks,
    owns_drafts,
    step_looks,
    step_probe,
)
from specsim.validation.conformance.instances import (
    Instance,
    edge_instances,
    peaked_instances,
    tiny_instance,
)
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.subjects import Subject
from specsim.validation.conformance.wide import make_wide

#: Smallest masses that are tried, for the subject's first type; all are normal numbers of the type.
TINIEST = {"float64": 1e-300, "float32": 1e-37, "float16": 7e-5, "bfloat16": 1e-37}

#: Options with which rows that are not finite are given.
GUARDED = {"temperature": 0.7, "top_k": 3, "top_p": 0.9, "min_p": 0.05, "typical_p": 0.95}

#: Edge instances of the check on equal rows; the others are for zero-mass.
EQUAL = ("equal rows", "nearly equal rows")


def _needs_small(subject: Subject) -> str:
    return "" if (subject.max_vocabulary or 4) >= 4 else "the vocabulary has fewer than 4 tokens"


def _grouped(
    lab: Laboratory,
    instances: Sequence[Instance],
    label: str,
    *,
    dtypes: Sequence[str | None] = (None,),
    least: int = 300,
) -> Statistical:
    """Sample every instance, in every type, at least so often, and look at the rule and at the output."""
    probes, looks = [], []
    lab.learn(
        [lab.lawful(item) for item in instances], one_hot=lab.subject.draft == "never", own=owns_drafts(lab)
    )
    for instance in instances:
        for dtype in dtypes:
            name = f"{label} {instance.name} {dtype or ''}".strip()
            probe = step_probe(lab, name, [instance], min(2, instance.draft_length + 1), dtype=dtype)
            prefix = f"{dtype or instance.name}: "
            tolerance = lab.tolerance if dtype is None else lab.tolerance_of(dtype)
            found = output_looks(lab, probe, 0, probe.length, tolerance=tolerance, prefix=prefix)
            rule = lab.rule_or_none(one_hot=probe.one_hot)
            if rule is not None:
                found += step_looks(lab, probe, 0, rule, ("acceptance",), tolerance=tolerance, prefix=prefix)
            probes.append(probe)
            looks += found
    planned = max(lab.side_samples, min(least, lab.effort.least_side) * len(probes))
    return together(probes, looks, planned, lambda: law_picture(f"joint law, {label}", looks[0]))


def _edges(lab: Laboratory) -> dict[str, Instance]:
    found: dict[str, Instance] = lab.keep(
        "edges",
        lambda: _possible_edges(lab),
    )
    return found


def _possible_edges(lab: Laboratory) -> dict[str, Instance]:
    made = edge_instances(lab.instance_seed, vocabulary=lab.vocabulary, draft_length=min(2, lab.draft_length))
    return {instance.name: instance for instance in lab.possible(made.values())}


@check(
    "zero-mass",
    "rows with zeros, one-hot rows and disjoint supports",
    protocols=STEPS,
    catches="division by zero, tokens of probability zero",
)
def _zero_mass(lab: Laboratory) -> Statistical:
    instances = [instance for name, instance in _edges(lab).items() if name not in EQUAL]
    return _grouped(lab, instances, "zero mass")


@check(
    "equal-rows",
    "draft and target the same, or a sixteenth apart",
    protocols=STEPS,
    catches="empty residuals, drafts that are not tested where the rows look alike",
)
def _equal_rows(lab: Laboratory) -> Statistical:
    return _grouped(lab, [instance for name, instance in _edges(lab).items() if name in EQUAL], "equal rows")


@check(
    "peaked-rows",
    "rows in which one token has 0.97 or 0.99, as a trained model's often are",
    protocols=STEPS,
    catches="rows that are decoded greedily, or drafts that are not tested, where a model is nearly certain",
)
def _peaked_rows(lab: Laboratory) -> Statistical:
    instances = peaked_instances(
        lab.instance_seed, vocabulary=lab.vocabulary, draft_length=min(2, lab.draft_length)
    )
    return _grouped(lab, lab.possible(instances), "peaked rows", least=2000)


@check(
    "tiny-mass",
    "masses near the smallest normal number of the type",
    protocols=STEPS,
    catches="ratios that overflow, logarithms of zero, thresholds",
)
def _tiny_mass(lab: Laboratory) -> Statistical:
    instance = tiny_instance(
        lab.instance_seed,
        tiniest=TINIEST[lab.subject.dtypes[0]],
        vocabulary=lab.vocabulary,
        draft_length=min(2, lab.draft_length),
    )
    return _grouped(lab, [instance], "tiny mass")


class Unnamed:
    """An experiment in a type that the sampler has not named, and may refuse by an exception.

    probe: the experiment.
    """

    def __init__(self, probe: Probe) -> None:
        self.probe = probe

    @property
    def total(self) -> int:
        """Observations so far."""
        return self.probe.total

    def sample(self, count: int) -> None:
        """Make more observations; NotApplicable: the sampler refuses the type."""
        try:
            self.probe.sample(count)
        except SubjectError as error:
            raise NotApplicable(f"the sampler refuses rows of float32: {error}") from error


@check(
    "types",
    "rows of every type that it takes but the first, in which they are exact, too",
    protocols=("step",),
    why_not=lambda subject: "" if len(subject.dtypes) > 1 else "the sampler takes one type only",
    catches="paths for another type, sums and ratios in a narrow one",
)
def _types(lab: Laboratory) -> Statistical:
    # Of short drafts, so that the second token is a bonus token, too.
    instance = replace(lab.main_instance, draft_length=1)
    procedure = _grouped(lab, [instance], "types", dtypes=lab.subject.dtypes[1:])
    if lab.subject.dtypes == Subject.dtypes:
        procedure.probe = Unnamed(procedure.probe)
    return procedure


@check(
    "one-hot-drafts",
    "greedy drafts that come without rows",
    protocols=("step",),
    why_not=lambda subject: (
        lossless_only(subject)
        if subject.draft == "optional"
        else f"draft rows are {subject.draft} for the sampler"
    ),
    catches="a missing draft row taken for probability 1 in ratios",
)
def _one_hot(lab: Laboratory) -> Statistical:
    """Drafts without rows: the likeliest token of the draft, always."""
    instance = main_probe(lab).instances[0]
    greedy = np.eye(instance.vocabulary)[instance.draft.argmax(axis=1)]
    length = min(3, instance.draft_length + 1)
    probe = step_probe(lab, "one-hot drafts", [instance], length, drafting=[greedy], one_hot=True)
    looks = output_looks(lab, probe, 0, probe.length, known=False)
    return Statistical(
        probe=probe,
        looks=looks,
        planned=lab.side_samples,
        picture=lambda: law_picture("joint law, drafts without rows", looks[0]),
    )


@check(
    "not-finite",
    "NaN and infinity are refused or contained, never emitted",
    kind="guard",
    protocols=("step",),
    why_not=_needs_small,
    catches="NaN that compares as false and falls through to token 0 or to the vocabulary's size",
)
def _not_finite(lab: Laboratory) -> Exact:
    return Exact(run=lambda: _run_not_finite(lab))


def _run_not_finite(lab: Laboratory) -> int:
    caller = lab.caller("not finite")
    cases = 0
    sides = ["target"] if lab.subject.draft == "never" else ["draft", "target"]
    filters = [{name: value} for name, value in GUARDED.items() if name in lab.subject.options]
    for options in ({}, *filters):
        for side, value, whole, place in itertools.product(sides, (np.nan, np.inf), (True, False), (0, 1)):
            # The last row is read after an accepted draft only.
            for drafted_token in (3, 1) if place == 0 else (1,) if side == "target" else ():
                for _ in range(2 if options else 8):
                    _one_bad_row(lab, caller, side, value, whole, place, drafted_token, options)
                    cases += 1
    return cases


def _one_bad_row(
    lab: Laboratory,
    caller: Caller,
    side: str,
    value: float,
    whole: bool,
    place: int,
    token: int,
    options: dict[str, Any],
) -> None:
    size = 1 if lab.subject.max_batch == 1 else min(3, lab.subject.max_batch or 3)
    target = np.tile([0.0, 0.5, 0.5, 0.0], (size, 2, 1))
    draft = np.tile([0.25, 0.25, 0.25, 0.25], (size, 1, 1))
    drafted = np.full((size, 1), token)
    rows = {"target": target, "draft": draft}[side]
    bad = size // 2
    lossless = lab.subject.rule is None or lab.subject.rule.lossless
    rows[bad, place, slice(None) if whole else 2] = value
    what = f"{'last ' if place else ''}{side} {'row' if whole else 'entry'} of {value}"
    what += f", with {next(iter(options))}" if options else ""
    given = None if lab.subject.draft == "never" else caller.give(draft)
    with np.errstate(all="ignore"):
        try:
            result = caller.call(caller.give(target), given, caller.give_integers(drafted), **options)
        except (SubjectError, InputError):
            return
    tokens, lengths = caller.checked_step(result, drafted, 4, None, slice(None), False)
    for row in range(size):
        length = int(lengths[row])
        if not 0 <= length <= 2:
            raise ContractError(f"{what}: row {row} has length {length}; refuse the row, or contain it")
        for position in range(length):
            emitted = int(tokens[row, position])
            if not 0 <= emitted < 4:
                raise ContractError(f"{what}: row {row} emits token id {emitted} of a vocabulary of 4")
            law = target[row, position]
            if lossless and np.isfinite(law).all() and law[emitted] <= 0:
                raise ContractError(
                    f"{what}: row {row} emits token {emitted}, which the target gives probability zero; "
                    f"refuse such rows, or fall back to the target"
                )


def _wide_only(subject: Subject) -> str:
    wide = (subject.max_vocabulary or 10**9) >= 256
    return lossless_only(subject) if wide else "its vocabulary is small"


_wide = check(
    "wide-vocabulary",
    "a wide vocabulary, tokens lumped by rank, by likelihood ratio and by id",
    protocols=STEPS,
    rows_by_text=False,
    why_not=_wide_only,
    catches="ids mapped, cut or shifted; rare tokens lost; uniforms of few bits",
    weight=4.0,
)(make_wide)

CHECKS = (_not_finite, _equal_rows, _zero_mass, _peaked_rows, _tiny_mass, _types, _one_hot, _wide)
