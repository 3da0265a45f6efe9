"""Mistakes of public reports that no other file of the zoo has: steps, and rounds that draft themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.zoo.controls_drafting import Result
from benchmarks.zoo.controls_step import ratio_step
from benchmarks.zoo.model import Control, mutant_of
from benchmarks.zoo.sampling import (
    Floats,
    Step,
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
)
from specsim.validation.conformance.rules import bugs, coin_bugs
from specsim.validation.conformance.rules.lossless import MATCH
from specsim.validation.conformance.subjects import Subject

#: Beams of a draft, and the least target probability of a draft that is kept.
BEAMS, LEAST = 3, 0.2


# Steps.


def forbidden_from_target(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Replace a drafted token that the target forbids by a draw from the target."""
    target, draft = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    mass = at(target[:, :-1], drafted)
    accepted = generator.random(drafted.shape) < quotient(mass, at(draft, drafted))
    rows = np.where((mass > 0)[..., None], gap(target[:, :-1], draft), target[:, :-1])
    last = finals(rows, target[:, -1])
    return emit(drafted, accepted, draw(last, generator.random(last.shape[:2])))


def one_coin_match(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Draw from all target rows of a step with one uniform; keep the drafts that are drawn."""
    target = floats(target)
    coins = np.repeat(np.random.default_rng(seed).random((len(target), 1)), target.shape[1], axis=1)
    samples = draw(target, coins)
    return emit(drafted, samples[:, :-1] == drafted, samples)


def filtered_argmax(
    target: Any,
    draft: Any,
    drafted: Any,
    seed: int,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Step:
    """Filter the target's rows, and then take their likeliest tokens."""
    options = (temperature, top_k, top_p)
    if all(option is None for option in options):
        return ratio_step(target, draft, drafted, seed)
    best = filtered(floats(target), *options).argmax(axis=-1)
    return emit(drafted, best[:, :-1] == drafted, best)


def argmax_but_bonus(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Take the target's likeliest token at every drafted position, and draw the bonus token."""
    target = floats(target)
    last = target.argmax(axis=-1)
    last[:, -1] = draw(target[:, -1], np.random.default_rng(seed).random(len(target)))
    return emit(drafted, last[:, :-1] == drafted, last)


def failed_coin_picks_half(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Draw the replacement in two stages: the half of the ids by the failed coin, the id by a new one."""
    target, draft = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    coins = generator.random((len(drafted), drafted.shape[1] + 1))
    accepted = coins[:, :-1] < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    rows = finals(gap(target[:, :-1], draft), target[:, -1])
    half = rows.shape[-1] // 2
    lower = rows[..., :half].sum(axis=-1) > coins * rows.sum(axis=-1)
    kept = np.where(lower[..., None] == (np.arange(rows.shape[-1]) < half), rows, 0.0)
    kept = np.where(kept.sum(axis=-1, keepdims=True) > 0, kept, rows)
    return emit(drafted, accepted, draw(kept, generator.random(coins.shape)))


def bfloat16_sums(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Add up the probabilities of a row in bfloat16 before it is inverted."""
    target, draft = floats(target), floats(draft)
    generator = np.random.default_rng(seed)
    accepted = generator.random(drafted.shape) < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    rows = finals(gap(target[:, :-1], draft), target[:, -1])
    rows /= rows.sum(axis=-1, keepdims=True)
    total, sums = np.zeros(rows.shape[:2]), np.empty(rows.shape)
    for token in range(rows.shape[-1]):
        total = to_bfloat16(total + rows[..., token])
        sums[..., token] = total
    coins = generator.random(rows.shape[:2])
    last = (sums <= (coins * total)[..., None]).sum(axis=-1)
    return emit(drafted, accepted, np.minimum(last, rows.shape[-1] - 1))


def infinite_gumbel(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Divide 10-bit hashes by the largest of them: a uniform of 1 is infinite noise, and its token wins."""
    target = floats(target)
    words = np.random.default_rng(seed).integers(2**10, size=target.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = np.log(target) - np.log(-np.log(np.maximum(words, 0.5) / (2**10 - 1)))
    samples = np.where(target > 0, scores, -np.inf).argmax(axis=-1)
    return emit(drafted, samples[:, :-1] == drafted, samples)


# Rounds that draft themselves.


def _generators(seed: int) -> tuple[np.random.Generator, int]:
    first, second = np.random.SeedSequence(seed).generate_state(2)
    return np.random.default_rng(first), int(second)


def ids_mapped_rows_not(models: Any, seed: int) -> Result:
    """Map drafted ids to the target's, and leave the draft's probabilities in the order of its own ids."""
    generator, verify = _generators(seed)
    order = np.roll(np.arange(models.vocabulary), 1)
    drafted, rows = draft_tokens(models, lambda row: draw(row, generator.random(models.batch)))
    return drafted, *ratio_step(models.target(drafted), rows[..., order], drafted, verify)


def beam_as_sample(models: Any, seed: int) -> Result:
    """Draft the likeliest of a few sampled candidates, and verify it as if it had been drawn from the row."""
    generator, verify = _generators(seed)

    def best(row: Floats) -> Any:
        candidates = np.stack([draw(row, generator.random(models.batch)) for _ in range(BEAMS)], axis=1)
        scores = np.take_along_axis(row, candidates, axis=1)
        return candidates[np.arange(models.batch), scores.argmax(axis=1)]

    drafted, rows = draft_tokens(models, best)
    return drafted, *ratio_step(models.target(drafted), rows, drafted, verify)


def ties_drawn_not_verified(models: Any, seed: int, top_k: int | None = None) -> Result:
    """Draw drafts with all that tie for the k-th place, and verify with exactly k tokens."""
    generator, verify = _generators(seed)
    drafted, rows = draft_tokens(
        models, lambda row: draw(filtered(row, top_k=top_k), generator.random(models.batch))
    )
    return drafted, *ratio_step(
        exactly(floats(models.target(drafted)), top_k), exactly(rows, top_k), drafted, verify
    )


def ties_verified_not_drawn(models: Any, seed: int, top_k: int | None = None) -> Result:
    """Draw drafts from exactly k tokens, and verify with all that tie for the k-th place."""
    generator, verify = _generators(seed)
    drafted, rows = draft_tokens(
        models, lambda row: draw(exactly(row, top_k), generator.random(models.batch))
    )
    target = filtered(floats(models.target(drafted)), top_k=top_k)
    return drafted, *ratio_step(target, filtered(rows, top_k=top_k), drafted, verify)


def exactly_k(models: Any, seed: int, top_k: int | None = None) -> Result:
    """Keep exactly k tokens on both sides, the lower ids among equals."""
    generator, verify = _generators(seed)
    drafted, rows = draft_tokens(
        models, lambda row: draw(exactly(row, top_k), generator.random(models.batch))
    )
    target = exactly(floats(models.target(drafted)), top_k)
    return drafted, *ratio_step(target, exactly(rows, top_k), drafted, verify)


def ties_kept(models: Any, seed: int, top_k: int | None = None) -> Result:
    """Keep all that tie for the k-th place on both sides."""
    generator, verify = _generators(seed)
    drafted, rows = draft_tokens(
        models, lambda row: draw(filtered(row, top_k=top_k), generator.random(models.batch))
    )
    target = filtered(floats(models.target(drafted)), top_k=top_k)
    return drafted, *ratio_step(target, filtered(rows, top_k=top_k), drafted, verify)


def exactly(rows: Floats, top_k: int | None) -> Floats:
    """Keep the `top_k` likeliest tokens of each row, lower ids first among equals."""
    if top_k is None:
        return rows
    order = np.argsort(-rows, axis=-1, kind="stable")
    kept = np.zeros(rows.shape)
    chosen = order[..., :top_k]
    np.put_along_axis(kept, chosen, np.take_along_axis(rows, chosen, axis=-1), axis=-1)
    return kept / kept.sum(axis=-1, keepdims=True)


def _stopped(models: Any, seed: int, keep: Any) -> Result:
    """Verify drafts up to the first that is not kept; `keep` sees tokens, draft rows and target rows."""
    generator, verify = _generators(seed)
    drafted, rows = draft_tokens(models, lambda row: draw(row, generator.random(models.batch)))
    target = floats(models.target(drafted))
    ends = np.cumprod(keep(drafted, rows, target), axis=1).sum(axis=1)
    return drafted, *ratio_step(target, rows, drafted, verify, draft_lengths=ends)


def drafts_dropped_by_target(models: Any, seed: int) -> Result:
    """Stop a draft before a token that the target finds unlikely."""
    return _stopped(models, seed, lambda drafted, rows, target: at(target[:, :-1], drafted) >= LEAST)


def stop_before_flat_row(models: Any, seed: int) -> Result:
    """Stop a draft before a draft row whose likeliest token is unlikely, whatever is drawn from it."""
    return _stopped(models, seed, lambda drafted, rows, target: rows.max(axis=2) >= 0.5)


def stop_by_entropy(models: Any, seed: int) -> Result:
    """Stop a draft before a draft row of large entropy."""

    def low(drafted: Any, rows: Floats, target: Floats) -> Any:
        return -(rows * np.log(np.maximum(rows, 1e-300))).sum(axis=2) < 1.0

    return _stopped(models, seed, low)


def stop_by_target_row(models: Any, seed: int) -> Result:
    """Stop a draft before a target row without a likely token: a function of the tokens before."""
    return _stopped(models, seed, lambda drafted, rows, target: target[:, :-1].max(axis=2) >= 0.5)


_OWN = "draft-and-verify"
_TOP_K: dict[str, Any] = {"options": frozenset({"top_k"}), "rule": None}

MUTANTS = (
    mutant_of(
        forbidden_from_target,
        bugs.RECOVERY,
        bugs.forbidden_from_target.source,
        ("joint-law", "zero-mass", "sizes"),
        law=bugs.forbidden_from_target,
    ),
    mutant_of(
        one_coin_match,
        coin_bugs.COINS,
        coin_bugs.one_coin_match.source,
        ("joint-law",),
        law=coin_bugs.one_coin_match,
        rule=MATCH,
    ),
    mutant_of(
        filtered_argmax,
        "7 greedy at temperature > 0",
        "EricLBuehler/mistral.rs#2424; EricLBuehler/mistral.rs#2329",
        ("temperature",),
        options=frozenset({"temperature", "top_k", "top_p"}),
    ),
    mutant_of(
        argmax_but_bonus, "7 greedy at temperature > 0", "ROCm/ATOM#2318", ("joint-law", "sizes"), rule=MATCH
    ),
    mutant_of(failed_coin_picks_half, coin_bugs.COINS, "vllm-project/vllm-ascend#16370", ("residual",)),
    mutant_of(bfloat16_sums, "4 randomness", "NVIDIA/Megatron-LM#7182", ("wide-vocabulary",)),
    mutant_of(
        infinite_gumbel,
        coin_bugs.COINS,
        "sgl-project/sglang#25133; sgl-project/sglang#25106, for a narrower type",
        ("wide-vocabulary",),
        rule=MATCH,
    ),
    mutant_of(
        ids_mapped_rows_not, "12 vocabulary map", "alibaba/rtp-llm#1311", ("joint-law",), protocol=_OWN
    ),
    mutant_of(
        beam_as_sample,
        "1 draft law",
        "apple/ml-recurrent-drafter#6",
        ("joint-law", "draft-law"),
        protocol=_OWN,
    ),
    mutant_of(
        drafts_dropped_by_target,
        "3 acceptance",
        "easily made: a threshold on what is to be tested",
        ("joint-law",),
        protocol=_OWN,
    ),
    mutant_of(
        ties_drawn_not_verified,
        "5 parameters, history",
        "easily made: logits in bfloat16 have ties; two implementations of top-k",
        ("top-k-ties",),
        protocol=_OWN,
        **_TOP_K,
    ),
    mutant_of(
        ties_verified_not_drawn,
        "5 parameters, history",
        "easily made: logits in bfloat16 have ties; two implementations of top-k",
        ("top-k-ties",),
        protocol=_OWN,
        **_TOP_K,
    ),
)


def _control(run: Any, source: str, **fields: Any) -> Control:
    name = run.__name__.replace("_", "-")
    subject = Subject(name=name, protocol=_OWN, run=run, **fields)
    return Control(name=name, description=(run.__doc__ or "").rstrip("."), source=source, subject=subject)


CONTROLS = (
    _control(exactly_k, "top-k by a sort that is stable", **_TOP_K),
    _control(ties_kept, "top-k by a threshold", **_TOP_K),
    _control(stop_before_flat_row, "2405.04304; ggml-org/llama.cpp, p-min on the row"),
    _control(stop_by_entropy, "2402.01528, drafts stopped by their entropy"),
    _control(stop_by_target_row, "a length that depends on the accepted prefix alone"),
)
