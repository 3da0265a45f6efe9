"""Samplers that draw their own drafts, and from another law than the test believes (classes 1 and 12)."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.zoo.model import Mutant, mutant_of, mutant_of_law
from benchmarks.zoo.sampling import (
    Floats,
    Integers,
    at,
    draft_tokens,
    draw,
    emit,
    filtered,
    finals,
    floats,
    gap,
    quotient,
    to_bfloat16,
    without,
)
from specsim.validation.conformance.rules import bugs, coin_bugs, draft_bugs
from specsim.validation.conformance.rules.base import Rule
from specsim.validation.conformance.rules.drafters import ARGMAX_ONE_HOT
from specsim.validation.conformance.rules.lossless import RATIO

Result = tuple[Integers, Integers, Integers]


def _verify(models: Any, drafted: Integers, draft: Floats, generator: np.random.Generator) -> Result:
    """Apply the ratio rule with these draft rows."""
    target = floats(models.target(drafted))
    accepted = generator.random(drafted.shape) < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    rows = finals(gap(target[:, :-1], draft), target[:, -1])
    return drafted, *emit(drafted, accepted, draw(rows, generator.random(rows.shape[:2])))


def drafts_top_2(models: Any, seed: int) -> Result:
    """Draw among the two likeliest tokens, test with the raw rows."""
    generator = np.random.default_rng(seed)
    drafted, rows = draft_tokens(
        models, lambda row: draw(filtered(row, top_k=2), generator.random(models.batch))
    )
    return _verify(models, drafted, rows, generator)


def drafts_argmax(models: Any, seed: int) -> Result:
    """Draft greedily, test with the soft rows."""
    drafted, rows = draft_tokens(models, lambda row: row.argmax(axis=-1))
    return _verify(models, drafted, rows, np.random.default_rng(seed))


def drafts_temperature(models: Any, seed: int) -> Result:
    """Draft at temperature 0.7, test as if it were 1."""
    generator = np.random.default_rng(seed)
    drafted, rows = draft_tokens(
        models, lambda row: draw(filtered(row, temperature=0.7), generator.random(models.batch))
    )
    return _verify(models, drafted, rows, generator)


def drafts_top_p(models: Any, seed: int) -> Result:
    """Draft after top-p, test with the rows before it."""
    generator = np.random.default_rng(seed)
    drafted, rows = draft_tokens(
        models, lambda row: draw(filtered(row, top_p=0.8), generator.random(models.batch))
    )
    return _verify(models, drafted, rows, generator)


def drafts_bfloat16(models: Any, seed: int) -> Result:
    """Draft from logits that were rounded to bfloat16."""
    generator = np.random.default_rng(seed)

    def choose(row: Floats) -> Integers:
        with np.errstate(divide="ignore"):
            logits = to_bfloat16(np.log(row) + 20.0)
        return draw(np.exp(logits - 20.0), generator.random(models.batch))

    drafted, rows = draft_tokens(models, choose)
    return _verify(models, drafted, rows, generator)


def drafts_divided_in_place(models: Any, seed: int) -> Result:
    """Draw by a race that divides the rows in place, and test with what is left of them."""
    generator = np.random.default_rng(seed)

    def choose(row: Floats) -> Integers:
        row /= generator.standard_exponential(row.shape)
        chosen: Integers = row.argmax(axis=-1)
        return chosen

    drafted, rows = draft_tokens(models, choose)
    return _verify(models, drafted, rows, generator)


def vocabulary_shifted(models: Any, seed: int) -> Result:
    """Look a drafted id up one place too low in the draft's rows."""
    generator = np.random.default_rng(seed)
    drafted, rows = draft_tokens(models, lambda row: draw(row, generator.random(models.batch)))
    moved = np.empty_like(rows)
    for token in range(rows.shape[-1]):
        moved[..., token] = rows[..., token - 1]
    return _verify(models, drafted, moved, generator)


def shared_gumbel(models: Any, seed: int) -> Result:
    """Draw drafts and replacements with the same Gumbel noise."""
    generator = np.random.default_rng(seed)
    noises = []

    def choose(row: Floats) -> Integers:
        noises.append(generator.gumbel(size=row.shape))
        return _gumbel_argmax(row, noises[-1])

    drafted, rows = draft_tokens(models, choose)
    target = floats(models.target(drafted))
    accepted = generator.random(drafted.shape) < quotient(at(target[:, :-1], drafted), at(rows, drafted))
    noises.append(generator.gumbel(size=noises[0].shape))
    last = _gumbel_argmax(finals(gap(target[:, :-1], rows), target[:, -1]), np.stack(noises, axis=1))
    return drafted, *emit(drafted, accepted, last)


def _gumbel_argmax(rows: Floats, noise: Floats) -> Integers:
    with np.errstate(divide="ignore"):
        scores = np.log(rows) + noise
    chosen: Integers = scores.argmax(axis=-1)
    return chosen


def draft_coin(models: Any, seed: int) -> Result:
    """Rewind the stream between drafting and testing."""
    generator = np.random.default_rng(seed)
    coins = generator.random((models.batch, models.draft_length))
    drafted, rows = draft_tokens(models, _next_coins(coins))
    target = floats(models.target(drafted))
    accepted = coins < quotient(at(target[:, :-1], drafted), at(rows, drafted))
    last = finals(gap(target[:, :-1], rows), target[:, -1])
    return drafted, *emit(drafted, accepted, draw(last, generator.random(last.shape[:2])))


def round_coins_of_ten_places(models: Any, seed: int) -> Result:
    """From the eleventh drafted token on, tests use the coins of the first ten again."""
    generator = np.random.default_rng(seed)
    drafted, rows = draft_tokens(models, lambda row: draw(row, generator.random(models.batch)))
    target = floats(models.target(drafted))
    coins = generator.random((models.batch, 10))[:, np.arange(drafted.shape[1]) % 10]
    accepted = coins < quotient(at(target[:, :-1], drafted), at(rows, drafted))
    last = finals(gap(target[:, :-1], rows), target[:, -1])
    return drafted, *emit(drafted, accepted, draw(last, generator.random(last.shape[:2])))


def _next_coins(coins: Floats) -> Any:
    columns = iter(coins.T)
    return lambda row: draw(row, next(columns))


def match_or_one_hot(models: Any, seed: int) -> Result:
    """Give greedy drafts two chances: a draw from the target that equals them, and the one-hot test."""
    generator = np.random.default_rng(seed)
    drafted, _ = draft_tokens(models, lambda row: row.argmax(axis=-1))
    target = floats(models.target(drafted))
    samples = draw(target[:, :-1], generator.random(drafted.shape))
    accepted = (samples == drafted) | (generator.random(drafted.shape) < at(target[:, :-1], drafted))
    rows = finals(without(target[:, :-1], drafted), target[:, -1])
    return drafted, *emit(drafted, accepted, draw(rows, generator.random(rows.shape[:2])))


def _mutant(run: Any, law: Rule, claims: Rule, killed_by: tuple[str, ...]) -> Mutant:
    return mutant_of_law(run, law, killed_by, rule=claims, protocol="draft-and-verify")


MUTANTS = (
    _mutant(drafts_top_2, draft_bugs.drafts_top_2, RATIO, ("draft-law", "joint-law")),
    _mutant(drafts_argmax, draft_bugs.drafts_argmax, RATIO, ("draft-law", "joint-law")),
    _mutant(drafts_temperature, draft_bugs.drafts_temperature, RATIO, ("draft-law", "joint-law")),
    _mutant(drafts_top_p, draft_bugs.drafts_top_p, RATIO, ("draft-law", "joint-law")),
    _mutant(drafts_bfloat16, draft_bugs.drafts_bfloat16, RATIO, ("draft-law",)),
    _mutant(vocabulary_shifted, draft_bugs.vocabulary_shifted, RATIO, ("acceptance", "joint-law")),
    _mutant(shared_gumbel, coin_bugs.shared_gumbel, RATIO, ("residual",)),
    _mutant(draft_coin, coin_bugs.draft_coin, RATIO, ("acceptance", "joint-law")),
    _mutant(match_or_one_hot, bugs.match_or_one_hot, ARGMAX_ONE_HOT, ("acceptance", "joint-law")),
    mutant_of(
        drafts_divided_in_place,
        "1 overwritten rows",
        "vllm-project/vllm#16952",
        ("acceptance", "joint-law"),
        description="the race that draws a draft divides the draft rows in place, before they are tested",
        protocol="draft-and-verify",
    ),
    mutant_of(
        round_coins_of_ten_places,
        coin_bugs.COINS,
        "easily made: room for a fixed number of coins, indexed modulo",
        ("repeated-draws",),
        protocol="draft-and-verify",
    ),
)
