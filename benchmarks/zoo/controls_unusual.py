"""Right samplers that use coins, tries and laws in ways that look wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.zoo.controls_drafting import Result
from benchmarks.zoo.controls_step import one_hot_step, ratio_step
from benchmarks.zoo.model import Control
from benchmarks.zoo.sampling import (
    Floats,
    Integers,
    Step,
    at,
    draft_tokens,
    draw,
    emit,
    emit_count,
    filtered,
    finals,
    floats,
    gap,
    quotient,
)
from benchmarks.zoo.tree_walk import Visit, normal, walk
from specsim.validation.conformance.subjects import Subject

#: Share of the ratio with which drafts are accepted.
SHARE = 0.7


def coin_recycled(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Use one uniform per row for everything, stretched after every test to what it still leaves open."""
    target, draft = floats(target), floats(draft)
    batch, length = drafted.shape
    coin = np.random.default_rng(seed).random(batch)
    count, last = np.zeros(batch, dtype=np.int64), np.zeros((batch, length + 1))
    going = np.ones(batch, dtype=bool)
    for i in range(length):
        edge = np.minimum(1.0, quotient(at(target[:, i], drafted[:, i]), at(draft[:, i], drafted[:, i])))
        passed = going & (coin < edge)
        failed = going & ~passed
        with np.errstate(divide="ignore", invalid="ignore"):
            coin = np.where(passed, coin / edge, np.where(failed, (coin - edge) / (1 - edge), coin))
        last[failed, i] = coin[failed]
        count += passed
        going = passed
    last[:, length] = coin
    return emit_count(drafted, count, draw(finals(gap(target[:, :-1], draft), target[:, -1]), last))


def rule_by_coin(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Choose by a coin for every row whether the ratio or the one-hot rule verifies it."""
    one, two, three = np.random.SeedSequence(seed).generate_state(3)
    chosen = np.random.default_rng(one).random(len(drafted)) < 0.5
    first = ratio_step(target, draft, drafted, int(two))
    second = one_hot_step(target, None, drafted, int(three))
    return np.where(chosen[:, None], first[0], second[0]), np.where(chosen, first[1], second[1])


def rule_by_row(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Verify even rows by the ratio and odd rows by the one-hot rule."""
    one, two = np.random.SeedSequence(seed).generate_state(2)
    even = np.arange(len(drafted)) % 2 == 0
    first = ratio_step(target, draft, drafted, int(one))
    second = one_hot_step(target, None, drafted, int(two))
    return np.where(even[:, None], first[0], second[0]), np.where(even, first[1], second[1])


def budget_of_drafts(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Verify 1,024 drafted tokens in a call, and one token of each row behind them."""
    length = drafted.shape[1]
    ends = np.where(np.arange(1, len(drafted) + 1) * length <= 1024, length, min(length, 1))
    return ratio_step(target, draft, drafted, seed, draft_lengths=ends)


def shortest_row(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Cut all rows to the shortest one, as a cache of one length for all rows needs it."""
    tokens, lengths = ratio_step(target, draft, drafted, seed)
    return tokens, np.full(len(lengths), lengths.min())


def coupling_by_table(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Invert the law of the emitted token given the drafted one; accept when they are equal."""
    target, draft = floats(target), floats(draft)
    accepted = np.minimum(1.0, quotient(at(target[:, :-1], drafted), at(draft, drafted)))
    rows = gap(target[:, :-1], draft)
    rows = rows / rows.sum(axis=-1, keepdims=True) * (1 - accepted)[..., None]
    mine = np.arange(rows.shape[-1]) == drafted[..., None]
    table = finals(rows + np.where(mine, accepted[..., None], 0.0), target[:, -1])
    samples = draw(table, np.random.default_rng(seed).random(table.shape[:2]))
    return emit(drafted, samples[:, :-1] == drafted, samples)


def seven_tenths(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Accept with seven tenths of the ratio, and replace by what that leaves of the target."""
    target, draft = floats(target), floats(draft)
    if not (np.isfinite(target).all() and np.isfinite(draft).all()):
        raise ValueError("a row has an entry that is not finite")
    generator = np.random.default_rng(seed)
    edges = SHARE * np.minimum(1.0, quotient(at(target[:, :-1], drafted), at(draft, drafted)))
    rows = finals(target[:, :-1] - SHARE * np.minimum(target[:, :-1], draft), target[:, -1])
    accepted = generator.random(drafted.shape) < edges
    return emit(drafted, accepted, draw(rows, generator.random(rows.shape[:2])))


def common_uniform(models: Any, seed: int) -> Result:
    """Invert draft and target by one uniform per position; accept while they agree."""
    coins = np.random.default_rng(seed).random((models.draft_length + 1, models.batch))
    turn = iter(coins)
    drafted, _ = draft_tokens(models, lambda row: draw(row, next(turn)))
    samples = draw(floats(models.target(drafted)), coins.T)
    return drafted, *emit(drafted, samples[:, :-1] == drafted, samples)


def hidden_tries(models: Any, seed: int) -> Result:
    """Try a second draft at a position whose first one fails, and show the one that was tried last."""
    generator = np.random.default_rng(seed)
    batch, length = models.batch, models.draft_length
    drafted = np.zeros((batch, length), dtype=np.int64)
    count, going = np.zeros(batch, dtype=np.int64), np.ones(batch, dtype=bool)
    last: Integers = np.zeros((batch, length + 1), dtype=np.int64)
    for i in range(length):
        draft = floats(models.draft(drafted[:, :i]))
        target = floats(models.target(drafted[:, :i]))[:, -1]
        row, passed = target, np.zeros(batch, dtype=bool)
        for _ in range(2):
            token = draw(draft, generator.random(batch))
            drafted[:, i] = np.where(passed, drafted[:, i], token)
            passed |= ~passed & (generator.random(batch) < quotient(at(row, token), at(draft, token)))
            row = np.where(passed[:, None], row, normal(gap(row, draft)))
        last[:, i] = draw(row, generator.random(batch))
        going &= passed
        count += going
    last[:, length] = draw(floats(models.target(drafted))[:, -1], generator.random(batch))
    return drafted, *emit_count(drafted, count, last)


def cached_drafts(models: Any, seed: int) -> Result:
    """Draft from a table of earlier texts, by the previous token alone; verify by the one-hot rule."""
    drafted = (np.arange(models.draft_length) + seed % 5) % models.vocabulary
    drafted = np.repeat(drafted[None], models.batch, axis=0)
    return drafted, *one_hot_step(models.target(drafted), None, drafted, seed)


def cascade(models: Any, seed: int) -> Result:
    """Correct drafts to the law of a middle model, and verify them as that model's."""
    generator = np.random.default_rng(seed)
    middle: list[Floats] = []

    def corrected(row: Floats) -> Integers:
        middle.append(0.5 * row + 0.5 / row.shape[1])
        token = draw(row, generator.random(models.batch))
        passed = generator.random(models.batch) < quotient(at(middle[-1], token), at(row, token))
        return np.where(passed, token, draw(gap(middle[-1], row), generator.random(models.batch)))

    drafted, _ = draft_tokens(models, corrected)
    verify = int(generator.integers(2**31))
    return drafted, *ratio_step(models.target(drafted), np.stack(middle, axis=1), drafted, verify)


def residual_by_tries(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Draw replacements from the target, until one passes a test with what the draft leaves of it."""
    target, draft = floats(target), floats(draft)
    if not (np.isfinite(target).all() and np.isfinite(draft).all()):
        raise ValueError("rows are not finite")
    generator = np.random.default_rng(seed)
    accepted = generator.random(drafted.shape) < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    found = np.full(drafted.shape, -1)
    # Rows without a residual accept whatever is drafted.
    found[np.maximum(target[:, :-1] - draft, 0.0).sum(axis=2) < 1e-6] = 0
    while (found < 0).any():
        token = draw(target[:, :-1], generator.random(drafted.shape))
        left = 1.0 - np.minimum(1.0, quotient(at(draft, token), at(target[:, :-1], token)))
        found = np.where((found < 0) & (generator.random(drafted.shape) < left), token, found)
    bonus = draw(target[:, -1], generator.random(len(drafted)))
    return emit(drafted, accepted, np.column_stack([found, bonus]))


def stop_behind_repeat(models: Any, seed: int) -> tuple[Integers, Integers, Integers]:
    """Stop a draft after a token that it has drafted before: lengths may depend on tokens that are kept."""
    generator = np.random.default_rng(seed)
    drafted, rows = draft_tokens(models, lambda row: draw(row, generator.random(models.batch)))
    places = np.arange(drafted.shape[1])
    before = places[:, None] > places
    again = ((drafted[:, :, None] == drafted[:, None, :]) & before).any(axis=2)
    ends = np.where(again.any(axis=1), again.argmax(axis=1) + 1, len(places))
    verify = int(generator.integers(2**31))
    tokens, lengths = ratio_step(models.target(drafted), rows, drafted, verify, draft_lengths=ends)
    return np.where(places < ends[:, None], drafted, -1), tokens, lengths


def temperature_by_coin(models: Any, seed: int) -> Result:
    """Draft at a temperature that a coin chose before, and verify with the rows that were drawn from."""
    generator = np.random.default_rng(seed)
    hot = generator.random((models.batch, 1)) < 0.5
    read: list[Floats] = []

    def choose(row: Floats) -> Integers:
        read.append(np.where(hot, filtered(row, temperature=1.5), filtered(row, temperature=0.6)))
        return draw(read[-1], generator.random(models.batch))

    drafted, _ = draft_tokens(models, choose)
    verify = int(generator.integers(2**31))
    return drafted, *ratio_step(models.target(drafted), np.stack(read, axis=1), drafted, verify)


def one_child_chosen(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Choose one child of a node by a coin and verify it alone."""

    def test(visit: Visit) -> tuple[Integers, Integers]:
        chosen = visit.order.argmax(axis=1)
        rows = np.arange(len(chosen))
        token = visit.tokens[rows, chosen]
        passed = visit.coins[rows, chosen] < quotient(at(visit.target, token), at(visit.draft, token))
        return np.where(passed, chosen, -1), draw(gap(visit.target, visit.draft), visit.final)

    return walk(parents, target, draft, tokens, seed, test)


def _control(run: Any, protocol: str, source: str, **fields: Any) -> Control:
    name = run.__name__.replace("_", "-")
    subject = Subject(name=name, protocol=protocol, run=run, **fields)
    return Control(name=name, description=(run.__doc__ or "").rstrip("."), source=source, subject=subject)


_OWN = "draft-and-verify"

CONTROLS = (
    _control(coin_recycled, "step", "a uniform that passed a test is uniform below it"),
    _control(rule_by_coin, "step", "a mixture of lossless rules"),
    _control(
        rule_by_row, "step", "lossless rules side by side: rows are independent, with laws of their own"
    ),
    _control(budget_of_drafts, "step", "drafts are cut by the number of the row alone"),
    _control(shortest_row, "step", "lengths of rows depend on each other, their tokens do not", max_batch=4),
    _control(coupling_by_table, "step", "2310.15141, the maximal coupling"),
    _control(seven_tenths, "step", "a rule that accepts less often than it may"),
    _control(common_uniform, _OWN, "2408.07978, coupling by common random numbers"),
    _control(hidden_tries, _OWN, "2310.15141, more drafts than are shown"),
    _control(cached_drafts, _OWN, "drafts from earlier texts"),
    _control(cascade, _OWN, "2308.04623, drafts in stages"),
    _control(residual_by_tries, "step", "2211.17192: the residual is the target, thinned"),
    _control(stop_behind_repeat, _OWN, "a stop that looks at drafted tokens and keeps them"),
    _control(temperature_by_coin, _OWN, "drafters that are chosen before a token is drawn"),
    _control(one_child_chosen, "tree", "siblings that are ignored"),
)
