"""Checks of temperature, top-k, top-p, min-p and typical-p, applied alike to draft and target."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from specsim.errors import InputError
from specsim.support.arrays import Bools, Floats, Integers
from specsim.validation.conformance.checks.base import (
    Check,
    Look,
    Probe,
    Statistical,
    check,
    law_picture,
    lossless_only,
    needs_option,
    together,
)
from specsim.validation.conformance.checks.sizes import sized
from specsim.validation.conformance.checks.step import (
    STEPS,
    output_looks,
    step_looks,
    step_probe,
)
from specsim.validation.conformance.evidence import Evidence, mixture
from specsim.validation.conformance.filters import filtered, untypical
from specsim.validation.conformance.instances import Instance, tree_instance
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.option_settings import DecoderSettings, StepSettings
from specsim.validation.conformance.probes import StepProbe
from specsim.validation.conformance.ranked import RANKS, Laws, laws_by_rank
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.sizes import SizesProbe, StepSizes
from specsim.validation.conformance.subjects import Subject
from specsim.validation.conformance.tables import completed_law

#: Values tried of each option.
VALUES: dict[str, tuple[float, ...]] = {
    "temperature": (0.7, 1.5),
    "top_k": (2,),
    "top_p": (0.8,),
    "min_p": (0.3,),
    "typical_p": (0.6,),
}

#: Tried together, as far as the subject takes them: what top-p keeps depends on what was applied before.
COMBINED_OPTIONS: dict[str, float] = {"temperature": 1.5, "top_k": 3, "top_p": 0.8}

#: Options that are tried with drafts of every length.
SIZED = ("temperature", "top_k", "top_p", "min_p")

#: Laws of the ranks with a tie for the second place under target and draft, in units of 1/256, on which
#: drafts of one reading that are verified by the other show; and a draft without a tie.
TIED: Laws = ((160, 40, 40, 16), (80, 72, 72, 32))
UNTIED_DRAFT = (80, 104, 40, 32)

#: Total variation distance of the texts' laws, at least, when the order of options is another.
LEAST_ORDER = 0.1


@cache
def _clear_instance(seed: int, vocabulary: int, draft_length: int) -> Instance:
    for offset in range(100):
        instance = tree_instance(
            seed + 100 + offset,
            vocabulary=vocabulary,
            draft_length=draft_length,
            name="rows without ties",
            fits=lambda rows: _clear(rows) & _clear_together(rows),
        )
        if _orders_differ(instance):
            return instance
    raise InputError(f"no rows without ties for {vocabulary} tokens; declare a larger max_vocabulary")


def clear_instance(lab: Laboratory) -> Instance:
    """Return an instance without ties, on which every reading of top-k and top-p keeps the same tokens.

    The order in which they are applied shows.
    """
    return _clear_instance(lab.instance_seed, lab.vocabulary, min(2, lab.draft_length))


def distinct_rows(option: str, build: Callable[[int], Instance]) -> Instance:
    """Return the first instance on which every reading of an option keeps the same tokens.

    With min-p, the first row of the target also has a token that one side's likeliest token keeps, and the
    other side's does not.

    build: makes an instance of a number.
    """
    for seed in range(1000):
        instance = build(seed)
        sides = (instance.target, instance.draft)
        if all(_clear(rows).all() and _clear_of(option, rows) for rows in sides) and _sides(option, instance):
            return instance
    raise InputError(f"no rows without ties for the option {option}; declare a larger max_vocabulary")


def _sides(option: str, instance: Instance) -> bool:
    """Return whether it shows at the start of a text whose likeliest token min-p looks at."""
    if option != "min_p":
        return True
    target, draft = (rows[instance.start] for rows in (instance.target, instance.draft))
    kept = [[target >= share * row.max() for row in (target, draft)] for share in VALUES[option]]
    return any((own != other).any() for own, other in kept)


def _clear_of(option: str, rows: Floats) -> bool:
    """Return whether no token is at the edge of what an option keeps, and some are removed."""
    if option == "min_p":
        shares = rows / rows.max(axis=1, keepdims=True)
        return all(np.abs(shares - share).min() > 1e-3 for share in VALUES[option])
    if option == "typical_p":
        scores = untypical(rows)
        ranked = np.sort(scores, axis=1)
        masses = np.take_along_axis(rows, np.argsort(scores, axis=1), axis=1).cumsum(axis=1)
        apart = (ranked[:, 1:] - ranked[:, :-1]).min() > 1e-3
        return bool(apart and min(np.abs(masses - mass).min() for mass in VALUES[option]) > 1e-3)
    return True


def _clear(rows: Floats) -> Bools:
    """Return which rows have no ties, and no sum of the likeliest tokens near a mass of top-p."""
    ranked = -np.sort(-rows, axis=1)
    sums = np.cumsum(ranked, axis=1)
    found: Bools = (ranked[:, :-1] - ranked[:, 1:]).min(axis=1) > 1e-3
    for mass in VALUES["top_p"]:
        found &= np.abs(sums - mass).min(axis=1) > 1e-3
    return found


def option_instance(lab: Laboratory, option: str) -> Instance:
    """Return rows of a step on which every reading of an option keeps the same tokens."""
    if option in COMBINED_OPTIONS:
        return clear_instance(lab)
    return distinct_rows(
        option,
        lambda seed: tree_instance(
            lab.instance_seed + 2000 + seed, vocabulary=lab.vocabulary, draft_length=min(2, lab.draft_length)
        ),
    )


def _settings(subject: Subject, option: str) -> list[dict[str, Any]]:
    """Return what is tried for an option: each of its values, and for top-p all that can be combined."""
    found: list[dict[str, Any]] = [{option: value} for value in VALUES[option]]
    together = {name: value for name, value in COMBINED_OPTIONS.items() if name in subject.options}
    if option == "top_p" and len(together) > 1:
        found.append(together)
    return found


def _make(lab: Laboratory, option: str) -> Statistical:
    instance = option_instance(lab, option)
    probes: list[Probe] = []
    looks: list[Look] = []
    for chosen in _settings(lab.subject, option):
        words = ", ".join(f"{name} {value:g}" for name, value in chosen.items())
        probe = step_probe(lab, words, [instance], instance.draft_length + 1, options=chosen)
        prefix = f"{words}: "
        more = mistakes(lab, probe, 0, chosen)
        looks += output_looks(lab, probe, 0, probe.length, prefix=prefix, more=more)
        rule = lab.rule_or_none(one_hot=probe.one_hot)
        if rule is not None and not probe.one_hot:
            looks += step_looks(lab, probe, 0, rule, ("acceptance",), prefix=prefix)
        probes.append(probe)
        if option in SIZED and not lossless_only(lab.subject) and lab.subject.process is None:
            sized, more_looks = _at_every_length(lab, chosen, words)
            probes.append(sized)
            looks += more_looks
    planned = lab.side_samples * len(probes) // len(VALUES[option])
    return together(probes, looks, planned, lambda: law_picture(f"joint law with {option}", looks[0]))


def _at_every_length(lab: Laboratory, chosen: dict[str, Any], words: str) -> tuple[Probe, list[Look]]:
    """Return an experiment with drafts of 1 to 16 tokens under options, and looks at it."""
    name = f"{words}, every length"
    probe = StepSizes(lab.caller(name), lab.rng(name), lab.per_level, seed=lab.instance_seed, options=chosen)
    ignored = {"the option ignored": laws_by_rank(probe.ranks)[0]}
    return probe, probe.counts.looks(probe.laws(), lab.tolerance, f"{words}: ", ignored)


def _clear_together(rows: Floats) -> Bools:
    """Return in which rows every reading of top-p keeps the same tokens after any other options, too."""
    found: Bools = np.ones(len(rows), dtype=bool)
    for names in (("temperature",), ("top_k",), ("temperature", "top_k")):
        found &= _clear(filtered(rows, {name: COMBINED_OPTIONS[name] for name in names}))
    return found


def _orders_differ(instance: Instance) -> bool:
    """Return whether the order of the options shows in the target's texts."""
    if instance.vocabulary <= COMBINED_OPTIONS["top_k"]:
        return True

    def law(names: tuple[str, ...]) -> Floats:
        changed = _with_target(instance, in_order(instance.target, names, COMBINED_OPTIONS))
        return changed.target_law(instance.draft_length + 1)

    for names in (("temperature", "top_p"), ("top_k", "top_p"), ("temperature", "top_k", "top_p")):
        right = law(names)
        for order in itertools.permutations(names):
            # Top-k keeps the same tokens at every temperature: only the place of top-p counts.
            if order[-1] != "top_p" and 0.5 * np.abs(law(order) - right).sum() < LEAST_ORDER:
                return False
    return True


def in_order(rows: Floats, names: Sequence[str], options: Mapping[str, Any]) -> Floats:
    """Apply options one after the other."""
    for name in names:
        rows = filtered(rows, {name: options[name]})
    return rows


def mistakes(
    lab: Laboratory,
    probe: StepProbe,
    index: int,
    options: dict[str, Any],
    verified: Mapping[str, tuple[Floats, Floats]] | None = None,
) -> dict[str, Floats]:
    """Return the laws of texts when the option is ignored, or applied twice, on one side or both.

    The drafts are drawn from rows with the option applied once, and texts continued so.

    index: of the instance.
    verified: further target and draft rows that drafts may be verified with, by what they are.
    """
    instance, right = probe.instances[index], probe.effective[index]
    twice = filtered(right.target, options)
    found = {"the option ignored": instance.target, "the option applied twice": twice}
    sides = {
        "the option ignored on the target": (instance.target, right.draft),
        "the option ignored on the draft": (right.target, instance.draft),
        "the option ignored in verification": (instance.target, instance.draft),
        "the option applied twice to the target": (twice, right.draft),
        "the option applied to the draft, too": (right.target, filtered(instance.draft, options)),
    }
    for order in itertools.permutations(options) if len(options) > 1 else ():
        words = f"the options in the order {', '.join(order)}"
        rows = in_order(instance.target, order, options)
        if np.abs(rows - right.target).max() > 1e-9:
            found[words] = rows
            sides[f"{words}, on both sides"] = rows, in_order(instance.draft, order, options)
    sides.update(verified or {})
    laws = {name: _with_target(right, rows).target_law(probe.length) for name, rows in found.items()}
    rule = lab.rule_or_none(one_hot=probe.one_hot)
    if (rule is not None and not rule.lossless) or probe.one_hot:
        return laws
    # Without a declared rule it may be the published one.
    rule = rule or RATIO
    if lab.subject.protocol != "step":
        # The sampler draws the drafts, and verifies them as if they were drawn from the changed row.
        with np.errstate(all="ignore"):
            table = rule.law(*right.rows(right.paths), right.paths) * instance.path_law()[:, None, None]
        table = np.nan_to_num(table, nan=0.0)
        if rule.draw is None and abs(table.sum() - 1) < 1e-9:
            laws["the option ignored when drafts are drawn"] = completed_law(
                table, np.ones(len(table)), right, probe.length
            )
        return laws
    for name, (target, draft) in sides.items():
        wrong = _with_target(right, target, draft)
        with np.errstate(all="ignore"):
            rows_target, rows_draft = wrong.rows(right.paths)
            table = rule.law(rows_target, rows_draft, right.paths) * right.path_law()[:, None, None]
        table = np.nan_to_num(table, nan=0.0)
        if abs(table.sum() - 1) < 1e-9:
            laws[name] = completed_law(table, np.ones(len(table)), right, probe.length)
    rows_target, rows_draft = right.rows(right.paths)
    rows_target[:, -1] = instance.rows(right.paths)[0][:, -1]
    table = rule.law(rows_target, rows_draft, right.paths) * right.path_law()[:, None, None]
    laws["the option ignored for the bonus token"] = completed_law(
        table, np.ones(len(table)), right, probe.length
    )
    return laws


def _with_target(instance: Instance, target: Floats, draft: Floats | None = None) -> Instance:
    return replace(instance, target=target, draft=instance.draft if draft is None else draft)


def _check(option: str, name: str, title: str) -> Check:
    def why_not(subject: Subject) -> str:
        few = "the vocabulary has fewer than 3 tokens" if (subject.max_vocabulary or 4) < 3 else ""
        return needs_option(subject, option) or few

    words = "parameters ignored, applied twice, or applied to one side"
    made = check(name, title, protocols=STEPS, why_not=why_not, catches=words)
    return made(lambda lab: _make(lab, option))


class _Readings(Statistical):
    """A procedure with several nulls, one per look, each of which a right sampler may have."""

    def log_e(self) -> float:
        """Return the logarithm of the e-value against the null that fits best."""
        return min(
            mixture([(part.weight, part.log_ratio) for part in look.components()]) for look in self.looks
        )


@check(
    "top-k-ties",
    "top-k on rows whose k-th and next token are equally likely: both kept or one, alike on both sides",
    protocols=STEPS,
    rows_by_text=False,
    why_not=lambda subject: (
        lossless_only(subject)
        if "top_k" in subject.options and (subject.max_vocabulary or 4) >= 4
        else "the sampler has no option top_k, or takes fewer than 4 tokens"
    ),
    catches="drafts drawn with ties kept, and verified without them",
)
def _ties(lab: Laboratory) -> Statistical:
    # The drafts of a step are ours: a tie there would ask for our reading of it.
    target, draft = TIED if lab.subject.protocol == "draft-and-verify" else (TIED[0], UNTIED_DRAFT)
    probe = StepSizes(
        lab.caller("ties"),
        lab.rng("ties"),
        lab.per_level,
        seed=lab.instance_seed,
        options={"top_k": 2},
        laws=(target, draft),
    )
    probe.most_drafts = min(probe.most_drafts, 4)
    looks = []
    for words, kept in (("both kept", 2), ("one kept", 1)):
        mass = np.array([target[0], kept * target[1], 0.0])
        looks.append(_tied_look(probe, mass / mass.sum(), words, lab.tolerance))
    return _Readings(
        probe=probe,
        looks=looks,
        planned=lab.side_samples,
        picture=lambda: law_picture("first of several ties", looks[0]),
    )


def _tied_look(probe: StepSizes, law: Floats, words: str, tolerance: float) -> Look:
    def observe() -> Integers:
        ranks = sum(probe.counts.counts[name].sum(axis=0) for name in ("drafts", "bonus"))
        return np.array([[ranks[0], ranks[1] + ranks[2], ranks[3]]])

    return Look(
        evidence=Evidence(law[None], tolerance=tolerance),
        observe=observe,
        shares=np.ones(1),
        reachable=np.ones(1, dtype=bool),
        name_cell=lambda stratum, cell: (
            f"{words}: {('likeliest token', 'tied tokens', 'another token')[cell]}"
        ),
    )


#: Values that are tried in turn, on rows by rank: near the ends of what is allowed, and between. None is at
#: the edge of what another reading of the option would keep.
MORE_VALUES: dict[str, tuple[float, ...]] = {
    "temperature": (0.1, 0.4, 1.0, 2.0),
    "top_k": (1, 3),
    "top_p": (0.1, 0.55, 0.93, 1.0),
    "min_p": (0.0, 0.1, 0.45, 0.65),
    "typical_p": (0.2, 0.9),
}


def more_settings(subject: Subject) -> list[dict[str, Any]]:
    """Return the further values of each option that the subject takes."""
    ranks = min(RANKS, subject.max_vocabulary or RANKS)
    return [
        {option: value}
        for option, values in MORE_VALUES.items()
        for value in values
        if option in subject.options and (option != "top_k" or value < ranks)
    ]


@check(
    "option-values",
    "other values of each option, from nearly greedy to switched off",
    protocols=(*STEPS, "decoder"),
    rows_by_text=False,
    why_not=lambda subject: needs_option(subject, *MORE_VALUES) or lossless_only(subject),
    catches="values that are clamped, rounded, fixed, or taken for off",
)
def _more_values(lab: Laboratory) -> Statistical:
    settings = more_settings(lab.subject)
    caller, rng, seed = lab.caller("option values"), lab.rng("option values"), lab.instance_seed
    probe: SizesProbe
    if lab.subject.protocol == "decoder":
        probe = DecoderSettings(
            caller, rng, lab.per_level, seed=seed, settings=settings, drafts=lab.draft_length
        )
    else:
        # Neighbouring values differ little, and short drafts cost little.
        probe = StepSettings(caller, rng, 4 * lab.per_level, seed=seed, settings=settings)
    return sized(lab, probe)


CHECKS = (
    _check("temperature", "temperature", "temperatures 0.7 and 1.5 on both sides"),
    _check("top_k", "top-k", "the two likeliest tokens of both sides"),
    _ties,
    _check("top_p", "top-p", "the likeliest tokens of both sides up to mass 0.8"),
    _check("min_p", "min-p", "the tokens of both sides that are at least 0.3 of the likeliest one"),
    _check("typical_p", "typical-p", "the tokens of typical surprise of both sides up to mass 0.6"),
    _more_values,
)
