"""Steps whose every law is right and whose seeds are not: cut, added to rows, shared, or rightly refused."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.zoo.controls_step import ratio_step
from benchmarks.zoo.model import Control, Mutant, mutant_of
from benchmarks.zoo.sampling import Floats, Step, at, draw, emit, finals, floats, gap, quotient
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject


def _coins(words: list[int], length: int) -> Floats:
    """Return one row of coins, `length` for the tests and one for the last draw."""
    return np.random.default_rng(words).random(length + 1)


def _by_row(drafted: Any, words: Callable[[int], list[int]]) -> Floats:
    return np.stack([_coins(words(row), drafted.shape[1]) for row in range(len(drafted))])


def seed_of_16_bits(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Keep 16 bits of a seed."""
    return ratio_step(target, draft, drafted, seed & 0xFFFF)


def seed_of_32_bits(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Keep 32 bits of a seed without an error message."""
    return ratio_step(target, draft, drafted, seed & 0xFFFFFFFF)


def seed_in_float32(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Pass a seed through a 32-bit float."""
    return ratio_step(target, draft, drafted, int(np.float32(seed)))


def seed_modulo_a_prime(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Reduce a seed modulo 10,007."""
    return ratio_step(target, draft, drafted, seed % 10_007)


def pool_of_generators(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Choose one of 5,000 generators by a hash of the seed."""
    return ratio_step(target, draft, drafted, zlib.crc32(str(seed).encode()) % 5000)


def request_seeds_of_16_bits(target: Any, draft: Any, drafted: Any, seed: int, *, seeds: Any = None) -> Step:
    """Keep 16 bits of the seed of each row."""
    words = [seed] * len(drafted) if seeds is None else [int(item) & 0xFFFF for item in seeds]
    return ratio_step(
        target,
        draft,
        drafted,
        seed,
        coins=_by_row(drafted, lambda row: [row if seeds is None else 0, words[row]]),
    )


def seed_plus_row(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Seed row b with seed + b: row b + 1 has what row b has under the next seed."""
    return ratio_step(target, draft, drafted, seed, coins=_by_row(drafted, lambda row: [seed + row]))


def seed_minus_row(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Seed row b with 2^40 + seed - b."""
    return ratio_step(target, draft, drafted, seed, coins=_by_row(drafted, lambda row: [2**40 + seed - row]))


def seed_xor_row(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Seed row b with seed ^ b."""
    return ratio_step(target, draft, drafted, seed, coins=_by_row(drafted, lambda row: [seed ^ row]))


def seed_plus_three_rows(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Seed row b with seed + 3 b."""
    return ratio_step(target, draft, drafted, seed, coins=_by_row(drafted, lambda row: [seed + 3 * row]))


def seed_plus_thousand_rows(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Seed row b with seed + 1000 b."""
    return ratio_step(target, draft, drafted, seed, coins=_by_row(drafted, lambda row: [seed + 1000 * row]))


def tests_by_row_and_place(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Test place i of row b by number b + i of one sequence."""
    batch, length = drafted.shape
    generator = np.random.default_rng(seed)
    coins = generator.random((batch, length + 1))
    places = np.arange(batch)[:, None] + np.arange(length)
    coins[:, :-1] = generator.random(batch + length)[places]
    return ratio_step(target, draft, drafted, seed, coins=coins)


def draws_by_row_and_place(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Draw the token after the tests by a number of its row and its place together."""
    length = drafted.shape[1]
    generator = np.random.default_rng(seed)
    tests = generator.random(drafted.shape)
    last = generator.random(len(drafted) + length)
    rows = floats(target)
    accepted = tests < quotient(at(rows[:, :-1], drafted), at(floats(draft), drafted))
    coins = last[np.arange(len(drafted))[:, None] + np.arange(length + 1)]
    return emit(drafted, accepted, draw(finals(gap(rows[:, :-1], floats(draft)), rows[:, -1]), coins))


def coins_by_drafts(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Give each row as many places of a buffer as it has drafts: bonus tokens take the next row's first."""
    batch, length = drafted.shape
    generator = np.random.default_rng(seed)
    buffer = generator.random(batch * length + 1)
    coins = buffer[np.arange(batch)[:, None] * length + np.arange(length + 1)]
    rows = floats(target)
    accepted = coins[:, :-1] < quotient(at(rows[:, :-1], drafted), at(floats(draft), drafted))
    last = generator.random((batch, length + 1))
    last[:, -1] = coins[:, -1]
    return emit(drafted, accepted, draw(finals(gap(rows[:, :-1], floats(draft)), rows[:, -1]), last))


def first_row_unseeded(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Start a stream of its own for the first request whenever nothing else runs."""
    coins = np.random.default_rng(seed).random((len(drafted), drafted.shape[1] + 1))
    coins[0] = _coins([42], drafted.shape[1])
    return ratio_step(target, draft, drafted, seed, coins=coins)


def last_coin_of_seed_alone(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Draw the tokens after the tests with 24 bits of the seed."""
    coins = np.random.default_rng(seed).random((len(drafted), drafted.shape[1] + 1))
    coins[:, -1] = np.random.default_rng([3, seed & 0xFFFFFF]).random(len(drafted))
    return ratio_step(target, draft, drafted, seed, coins=coins)


def refuses_wide_seeds(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Take seeds of 32 bits, and say so when one is wider."""
    coins = np.random.RandomState(seed).random_sample((len(drafted), drafted.shape[1] + 1))
    return ratio_step(target, draft, drafted, seed, coins=coins)


def row_and_seed_hashed(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Seed row b with a hash of the pair of seed and b."""
    return ratio_step(target, draft, drafted, seed, coins=_by_row(drafted, lambda row: [seed, row]))


def _mutant(
    run: Callable[..., Step], cite: str, killed_by: str = "seed-independence", **fields: Any
) -> Mutant:
    return mutant_of(run, "4 randomness", cite, (killed_by,), **fields)


MUTANTS = (
    _mutant(seed_of_16_bits, "PrincetonUniversity/PsyNeuLink#3358, seeds rounded in a shorter type"),
    _mutant(seed_of_32_bits, "easily made: a 64-bit seed in a field of 32 bits"),
    _mutant(seed_in_float32, "PrincetonUniversity/PsyNeuLink#3358, seeds rounded in a shorter type"),
    _mutant(seed_plus_row, "vllm-project/vllm#9441"),
    _mutant(seed_minus_row, "vllm-project/vllm#9441, downwards"),
    _mutant(seed_xor_row, "vllm-project/vllm#9441, by bits"),
    _mutant(seed_plus_three_rows, "vllm-project/vllm#9441, three numbers for each row", "repeated-draws"),
    _mutant(seed_plus_thousand_rows, "vllm-project/vllm#9441, with room between rows", "repeated-draws"),
    _mutant(tests_by_row_and_place, "easily made: an offset without a stride", "batch-independence"),
    _mutant(draws_by_row_and_place, "easily made: an offset without a stride", "repeated-draws"),
    _mutant(coins_by_drafts, "easily made: a stride that is one too small", "batch-independence"),
    _mutant(first_row_unseeded, "NVIDIA/TensorRT-LLM#19487"),
    _mutant(seed_modulo_a_prime, "easily made: seeds in a table of fixed size", "seed-collisions"),
    _mutant(
        pool_of_generators, "easily made: generators that are made once and used again", "seed-collisions"
    ),
    _mutant(
        request_seeds_of_16_bits,
        "easily made: a 64-bit seed in a narrow field",
        "seed-collisions",
        options=frozenset({"seeds"}),
    ),
    _mutant(last_coin_of_seed_alone, "easily made: two generators, one of them seeded by a part"),
)

CONTROLS = tuple(
    Control(
        name=run.__name__.replace("_", "-"),
        description=(run.__doc__ or "").rstrip("."),
        source=source,
        subject=Subject(name=run.__name__.replace("_", "-"), protocol="step", run=run, rule=RATIO),
    )
    for run, source in (
        (refuses_wide_seeds, "numpy.random.RandomState"),
        (row_and_seed_hashed, "vllm-project/vllm#9441, done right"),
    )
)
