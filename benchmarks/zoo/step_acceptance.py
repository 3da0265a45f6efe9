"""Verification steps with a wrong test (classes 3 and 7), or lossy by an option left on (class 13)."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.zoo.model import Control, mutant_of_law
from benchmarks.zoo.sampling import (
    Floats,
    Integers,
    Step,
    at,
    draw,
    emit,
    emit_count,
    finals,
    floats,
    gap,
    quotient,
)
from specsim.validation.conformance.rules import bugs, lossy
from specsim.validation.conformance.rules.base import Rule
from specsim.validation.conformance.rules.lossless import MATCH
from specsim.validation.conformance.subjects import Subject

SEEN = ("acceptance", "joint-law")


def _replace(target: Floats, draft: Floats, generator: np.random.Generator) -> Integers:
    """Draw a replacement for each position, and the bonus token."""
    rows = finals(gap(target[:, :-1], draft), target[:, -1])
    return draw(rows, generator.random(rows.shape[:2]))


def always_accept(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Accept whatever was drafted."""
    target, draft = floats(target), floats(draft)
    accepted = np.ones(drafted.shape, dtype=bool)
    return emit(drafted, accepted, _replace(target, draft, np.random.default_rng(seed)))


def inverted_ratio(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Accept with draft / target instead of its inverse."""
    target, draft = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    ratios = quotient(at(draft, drafted), at(target[:, :-1], drafted))
    return emit(drafted, generator.random(drafted.shape) < ratios, _replace(target, draft, generator))


def double_ratio(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Leave a factor of 2 in the test."""
    target, draft = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    ratios = 2.0 * quotient(at(target[:, :-1], drafted), at(draft, drafted))
    return emit(drafted, generator.random(drafted.shape) < ratios, _replace(target, draft, generator))


def match_or_ratio(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Accept a token that equals a draw from the target without asking for the ratio."""
    target, draft = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    samples = draw(target[:, :-1], generator.random(drafted.shape))
    ratios = quotient(at(target[:, :-1], drafted), at(draft, drafted))
    accepted = (samples == drafted) | (generator.random(drafted.shape) < ratios)
    return emit(drafted, accepted, _replace(target, draft, generator))


def first_unverified(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Start testing at the second drafted token."""
    target, draft = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    accepted = generator.random(drafted.shape) < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    accepted[:, 0] = True
    return emit(drafted, accepted, _replace(target, draft, generator))


def counts_all(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Count the tests that succeed, also those after a failed one."""
    target, draft = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    accepted = generator.random(drafted.shape) < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    return emit_count(drafted, accepted.sum(axis=1), _replace(target, draft, generator))


def greedy_test(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Accept the likeliest token and nothing else; otherwise draw from the target."""
    target = floats(target)
    generator = np.random.default_rng(seed)
    accepted = drafted == target[:, :-1].argmax(axis=-1)
    return emit(drafted, accepted, draw(target, generator.random(target.shape[:2])))


def silently_greedy(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Decode as at temperature 0, whatever was asked for."""
    likeliest = floats(target).argmax(axis=-1)
    return emit(drafted, drafted == likeliest[:, :-1], likeliest)


def lenience(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Divide the draft's probability by 2 in the test."""
    target, draft = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    ratios = quotient(at(target[:, :-1], drafted), 0.5 * at(draft, drafted))
    return emit(drafted, generator.random(drafted.shape) < ratios, _replace(target, draft, generator))


def over_acceptance(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Add 0.1 to the target's probability in the test."""
    target, draft = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    ratios = quotient(at(target[:, :-1], drafted) + 0.1, at(draft, drafted))
    return emit(drafted, generator.random(drafted.shape) < ratios, _replace(target, draft, generator))


def typical_acceptance(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Accept what is likely enough for the target's entropy."""
    target = floats(target)
    generator = np.random.default_rng(seed)
    rows = target[:, :-1]
    entropy = -(rows * np.log(np.where(rows > 0, rows, 1.0))).sum(axis=-1)
    accepted = at(rows, drafted) > np.minimum(0.09, 0.3 * np.exp(-entropy))
    return emit(drafted, accepted, draw(target, generator.random(target.shape[:2])))


def fixed_threshold(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Accept what has at least a tenth of the target's mass."""
    target = floats(target)
    generator = np.random.default_rng(seed)
    accepted = at(target[:, :-1], drafted) >= 0.1
    return emit(drafted, accepted, draw(target, generator.random(target.shape[:2])))


def synthetic_acceptance(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Accept at a fixed rate, as in benchmarks; replace from the target."""
    target = floats(target)
    generator = np.random.default_rng(seed)
    accepted = generator.random(drafted.shape) < 0.7
    return emit(drafted, accepted, draw(target, generator.random(target.shape[:2])))


def ensemble(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Decode from the average of the two models, and the bonus token from the target."""
    target, draft = floats(target), floats(draft)
    target[:, :-1] = 0.5 * target[:, :-1] + 0.5 * draft
    generator = np.random.default_rng(seed)
    accepted = generator.random(drafted.shape) < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    return emit(drafted, accepted, _replace(target, draft, generator))


_LOSSY: tuple[tuple[Any, Rule], ...] = (
    (lenience, lossy.LENIENCE),
    (over_acceptance, lossy.OVER_ACCEPTANCE),
    (typical_acceptance, lossy.TYPICAL),
    (fixed_threshold, lossy.FIXED_THRESHOLD),
    (synthetic_acceptance, lossy.SYNTHETIC),
    (ensemble, lossy.ENSEMBLE),
)

MUTANTS = (
    mutant_of_law(always_accept, bugs.always_accept, SEEN),
    mutant_of_law(inverted_ratio, bugs.inverted_ratio, SEEN),
    mutant_of_law(double_ratio, bugs.double_ratio, SEEN),
    mutant_of_law(match_or_ratio, bugs.match_or_ratio, SEEN),
    mutant_of_law(first_unverified, bugs.first_unverified, ("first-token", "joint-law")),
    mutant_of_law(counts_all, bugs.counts_all, ("accepted-length", "joint-law")),
    mutant_of_law(greedy_test, bugs.greedy_test, SEEN, rule=MATCH, draft="optional"),
    mutant_of_law(silently_greedy, bugs.silently_greedy, SEEN, rule=MATCH, draft="optional"),
    *(mutant_of_law(run, law, ("joint-law",), rule=None) for run, law in _LOSSY),
)

CONTROLS = tuple(
    Control(
        name=f"declared-{law.name}",
        description=f"lossy, and says so: {law.title}",
        source=law.source,
        subject=Subject(name=f"declared-{law.name}", protocol="step", run=run, rule=law),
        lossless=False,
    )
    for run, law in _LOSSY
)
