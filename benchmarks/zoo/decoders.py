"""Decoders that write whole texts: wrong in their caches, prompts and batches, and right in unusual ways."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.zoo.controls_step import block_step, no_bonus_step, one_hot_step
from benchmarks.zoo.decoding import Mistakes, VerificationStep, decode
from benchmarks.zoo.model import Control, Mutant, mutant_of, mutant_of_law
from benchmarks.zoo.step_acceptance import first_unverified
from benchmarks.zoo.step_coins import coins_of_eight_places
from benchmarks.zoo.step_recovery import recovery_from_target
from benchmarks.zoo.step_rows import bonus_row_before
from specsim.validation.conformance.rules import bugs
from specsim.validation.conformance.rules.base import Rule
from specsim.validation.conformance.rules.lossless import BLOCK, ONE_HOT, RATIO
from specsim.validation.conformance.subjects import Subject

CACHES = "9 bonus, caches"
PROMPTS = "5 parameters, history"
BATCH = "10 batch, padding"
COINS = "4 randomness"


def _mutant(
    name: str, bug_class: str, description: str, cite: str, killed_by: tuple[str, ...], **mistakes: bool
) -> Mutant:
    run = partial(decode, mistakes=Mistakes(**mistakes))
    return mutant_of(run, bug_class, cite, killed_by, name=name, description=description, protocol="decoder")


def _wrong_step(step: VerificationStep, law: Rule) -> Mutant:
    return mutant_of_law(
        partial(decode, step=step),
        law,
        ("transitions",),
        name=f"decoder-{law.name}",
        description=f"a decoder whose verification is wrong: {law.title}",
        protocol="decoder",
    )


MUTANTS = (
    _wrong_step(recovery_from_target, bugs.recovery_from_target),
    _wrong_step(first_unverified, bugs.first_unverified),
    _wrong_step(bonus_row_before, bugs.bonus_row_before),
    _mutant(
        "cache-keeps-rejected",
        CACHES,
        "after a rejection the target's cache holds the rejected token",
        "eBay/spec_dec; 2510.22876, caches out of step",
        ("transitions",),
        target_keeps_rejected=True,
    ),
    _mutant(
        "cache-lacks-bonus",
        CACHES,
        "the bonus token is not in the target's cache: the context is one token short",
        "vllm-project/vllm#9730; vllm-project/vllm#8320, on the target's side",
        ("transitions",),
        target_lacks_bonus=True,
    ),
    _mutant(
        "prompt-ignored",
        PROMPTS,
        "the models see zeros in the place of the prompt",
        "huggingface/transformers#28166, inputs lost on the way to the assistant",
        ("prompts",),
        prompt_ignored=True,
    ),
    _mutant(
        "prompt-cut",
        PROMPTS,
        "the models see the last token of the prompt only",
        "easily made: a cache that is primed with one token",
        ("prompts",),
        prompt_cut=True,
    ),
    _mutant(
        "prompt-of-first",
        BATCH,
        "all rows of a batch see the first row's prompt",
        "eBay/spec_dec; vllm-project/vllm#35398",
        ("prompts",),
        prompt_of_first=True,
    ),
    _mutant(
        "batch-in-step",
        BATCH,
        "rows go on where the longest one is, and read the padding between",
        "eBay/spec_dec; 2510.22876, ragged batches",
        ("transitions",),
        in_step=True,
    ),
    mutant_of(
        partial(decode, step=coins_of_eight_places),
        COINS,
        "easily made: room for a fixed number of coins, indexed modulo",
        ("repeated-draws",),
        name="decoder-coins-of-eight-places",
        description="from the ninth drafted token of a round on, tests use the first eight coins again",
        protocol="decoder",
    ),
    _mutant(
        "same-seed-every-round",
        COINS,
        "each round begins with the same random numbers",
        "vllm-project/vllm#6034; ohdearquant/lattice#388",
        ("transitions",),
        same_seed=True,
    ),
)


def _control(name: str, description: str, source: str, run: Any, **fields: Any) -> Control:
    subject = Subject(name=name, protocol="decoder", run=run, **fields)
    return Control(name=name, description=description, source=source, subject=subject)


_FILTERS = frozenset({"temperature", "top_k", "top_p"})

CONTROLS = (
    _control(
        "decoder-ratio",
        "the published decoder: ragged batches, prompts, accepted lengths, every filter",
        "2211.17192, Algorithm 1; 2302.01318, Algorithm 2",
        decode,
        rule=RATIO,
        options=_FILTERS,
    ),
    _control(
        "decoder-block",
        "rounds verified as blocks",
        "2403.10444, Algorithm 2",
        partial(decode, step=block_step),
        rule=BLOCK,
    ),
    _control(
        "decoder-one-hot",
        "rounds verified by the one-hot rule, though drafts are sampled",
        "SafeAILab/EAGLE#329",
        partial(decode, step=one_hot_step),
        rule=ONE_HOT,
    ),
    _control(
        "decoder-no-bonus",
        "rounds without bonus tokens",
        "2411.00841, Algorithm 2",
        partial(decode, step=no_bonus_step),
    ),
    _control(
        "draft-cache-keeps-rejected",
        "the draft's cache holds rejected tokens: fewer acceptances, right law",
        "vllm-project/vllm#9730",
        partial(decode, mistakes=Mistakes(draft_keeps_rejected=True)),
    ),
    _control(
        "draft-cache-lacks-bonus",
        "the draft's cache lacks bonus tokens: fewer acceptances, right law",
        "vllm-project/vllm#8320",
        partial(decode, mistakes=Mistakes(draft_lacks_bonus=True)),
    ),
)
