"""Verification steps whose random numbers are reused, shared, fixed or coarse (class 4)."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from benchmarks.zoo.model import Control, Mutant, mutant_of, mutant_of_law
from benchmarks.zoo.sampling import (
    Floats,
    Integers,
    Step,
    at,
    draw,
    emit,
    finals,
    floats,
    gap,
    quotient,
)
from specsim.validation.conformance.rules import coin_bugs
from specsim.validation.conformance.rules.lossless import MATCH, RATIO
from specsim.validation.conformance.subjects import Subject


def _step(target: Any, draft: Any, drafted: Integers, tests: Floats, last: Floats) -> Step:
    """Apply the ratio rule with coins ``(B, K)`` for the tests and ``(B, K + 1)`` for what follows."""
    target, draft = floats(target), floats(draft)
    accepted = tests < quotient(at(target[:, :-1], drafted), at(draft, drafted))
    return emit(drafted, accepted, draw(finals(gap(target[:, :-1], draft), target[:, -1]), last))


def reused_coin(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Draw the replacement with the coin that rejected; the bonus token has one of its own."""
    coins = np.random.default_rng(seed).random((len(drafted), drafted.shape[1] + 1))
    return _step(target, draft, drafted, coins[:, :-1], coins)


def reused_last_coin(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Draw whatever comes last with the coin of the last test."""
    coins = np.random.default_rng(seed).random(drafted.shape)
    return _step(target, draft, drafted, coins, np.concatenate([coins, coins[:, -1:]], axis=1))


def one_coin_per_block(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Test all tokens of a row with one coin."""
    generator = np.random.default_rng(seed)
    tests = np.repeat(generator.random((len(drafted), 1)), drafted.shape[1], axis=1)
    return _step(target, draft, drafted, tests, generator.random((len(drafted), drafted.shape[1] + 1)))


def one_coin_per_batch(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Use the coins of one row for all rows of the batch."""
    batch, length = drafted.shape
    coins = np.repeat(np.random.default_rng(seed).random((1, 2 * length + 1)), batch, axis=0)
    return _step(target, draft, drafted, coins[:, :length], coins[:, length:])


def last_draw_per_batch(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Test every row with its own coins, but draw all last tokens with the same ones."""
    generator = np.random.default_rng(seed)
    batch, length = drafted.shape
    last = np.repeat(generator.random((1, length + 1)), batch, axis=0)
    return _step(target, draft, drafted, generator.random(drafted.shape), last)


def paired_rows(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Give two neighbouring rows the same coins."""
    batch, length = drafted.shape
    coins = np.random.default_rng(seed).random(((batch + 1) // 2, 2 * length + 1))
    coins = np.repeat(coins, 2, axis=0)[:batch]
    return _step(target, draft, drafted, coins[:, :length], coins[:, length:])


def seed_ignored(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Use the same seed in every call."""
    generator = np.random.default_rng(42)
    tests, last = generator.random(drafted.shape), generator.random((len(drafted), drafted.shape[1] + 1))
    return _step(target, draft, drafted, tests, last)


def coins_of_eight_places(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """From the ninth drafted token on, tests use the coins of the first eight again."""
    generator = np.random.default_rng(seed)
    tests = generator.random((len(drafted), 8))[:, np.arange(drafted.shape[1]) % 8]
    return _step(target, draft, drafted, tests, generator.random((len(drafted), drafted.shape[1] + 1)))


_CALLS = itertools.count()


def unseeded(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Go on with one stream from call to call, whatever the seed."""
    generator = np.random.default_rng([7, next(_CALLS)])
    tests, last = generator.random(drafted.shape), generator.random((len(drafted), drafted.shape[1] + 1))
    return _step(target, draft, drafted, tests, last)


def coarse_coins(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Draw coins as bfloat16 does: multiples of 1 / 256."""
    generator = np.random.default_rng(seed)
    tests = generator.integers(256, size=drafted.shape) / 256.0
    last = generator.integers(256, size=(len(drafted), drafted.shape[1] + 1)) / 256.0
    return _step(target, draft, drafted, tests, last)


def coarse_gumbel(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Draw from the target with Gumbel noise of bfloat16 uniforms, multiples of 1 / 256."""
    target = floats(target)
    generator = np.random.default_rng(seed)
    uniforms = np.maximum(generator.integers(256, size=target.shape), 0.5) / 256.0
    with np.errstate(divide="ignore"):
        samples = (np.log(target) - np.log(-np.log(uniforms))).argmax(axis=-1)
    return emit(drafted, samples[:, :-1] == drafted, samples)


def coins_follow_batch(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Take coins from the stream only where a test is made: a row's depend on the rows before it."""
    target, draft = floats(target), floats(draft)
    ratios = quotient(at(target[:, :-1], drafted), at(draft, drafted))
    rows = finals(gap(target[:, :-1], draft), target[:, -1])
    batch, length = drafted.shape
    stream = np.random.default_rng(seed).random(batch * (length + 1))
    used = 0
    accepted = np.zeros(drafted.shape, dtype=bool)
    last = np.zeros((batch, length + 1))
    for b in range(batch):
        for i in range(length):
            accepted[b, i] = stream[used] < ratios[b, i]
            used += 1
            if not accepted[b, i]:
                break
        last[b] = stream[used]
        used += 1
    return emit(drafted, accepted, draw(rows, last))


def _right_law(name: str, description: str, cite: str, run: Any, killed_by: tuple[str, ...]) -> Mutant:
    """Return a mutant whose single rows have the right law: what is wrong lies between rows or calls."""
    return mutant_of(run, coin_bugs.COINS, cite, killed_by, name=name, description=description)


MUTANTS = (
    mutant_of_law(reused_coin, coin_bugs.reused_coin, ("residual", "joint-law")),
    mutant_of_law(reused_last_coin, coin_bugs.reused_last_coin, ("residual", "bonus")),
    mutant_of_law(one_coin_per_block, coin_bugs.one_coin_per_block, ("accepted-length", "joint-law")),
    mutant_of_law(coarse_coins, coin_bugs.COARSE_COINS, ("tiny-mass",)),
    mutant_of_law(coarse_gumbel, coin_bugs.COARSE_GUMBEL, ("wide-vocabulary",), rule=MATCH),
    _right_law(
        "one-coin-per-batch",
        "all rows of a batch use the coins of one row",
        "vllm-project/vllm#35398; flashinfer-ai/flashinfer#424",
        one_coin_per_batch,
        ("batch-independence",),
    ),
    _right_law(
        "last-draw-per-batch",
        "the last tokens of all rows of a batch are drawn with the same coin",
        "ohdearquant/lattice#388",
        last_draw_per_batch,
        ("batch-independence",),
    ),
    _right_law(
        "paired-rows",
        "neighbouring rows of a batch use the same coins",
        "vllm-project/vllm#35398, one seed where there is one per request",
        paired_rows,
        ("batch-independence",),
    ),
    _right_law(
        "seed-ignored",
        "every call uses the same random numbers",
        "vllm-project/vllm#6038",
        seed_ignored,
        ("seed-independence",),
    ),
    _right_law(
        "unseeded",
        "the same seed gives another result in every call",
        "ohdearquant/lattice#388, seeds from the clock",
        unseeded,
        ("determinism",),
    ),
    mutant_of(
        coins_of_eight_places,
        coin_bugs.COINS,
        "easily made: room for a fixed number of coins, indexed modulo",
        ("repeated-draws",),
    ),
)

CONTROLS = (
    Control(
        name="coins-follow-batch",
        description="a row's coins depend on how many tests the rows before it needed; every law is right",
        source="vllm-project/vllm-ascend#13755",
        subject=Subject(name="coins-follow-batch", protocol="step", run=coins_follow_batch, rule=RATIO),
    ),
)
