"""JAX with the same alias tables: one jitted scan over the steps, threefry words, on the processor."""

from __future__ import annotations

import importlib.util
import os

import numpy as np

from benchmarks.contenders.base import Answer, Contender, Run, alias_tables
from specsim import ModelPair

_BLOCK = 2**14


def contenders() -> list[Contender]:
    """Return the contender, or nothing when JAX is not installed."""
    if importlib.util.find_spec("jax") is None:
        return []
    return [Contender(name="JAX alias", note="collapsed alias tables, lax.scan, threefry", prepare=_prepare)]


def _prepare(pair: ModelPair) -> Run:
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    import jax.numpy as jnp

    entries, bits, initial, initial_bits = (jnp.asarray(part) for part in alias_tables(pair))
    bits, initial_bits = int(bits), int(initial_bits)
    half, tokens, horizon = bits - 1, pair.tokens, pair.horizon

    def draw(table, bits, index, words):
        mask = jnp.uint32(2**bits - 1)
        column = words & mask
        entry = table[index + column]
        return jnp.where((words | mask) < entry, column, entry & mask)

    @jax.jit
    def block(key):
        first, rest = jax.random.split(key)
        row = draw(initial, initial_bits, jnp.uint32(0), jax.random.bits(first, (_BLOCK,), jnp.uint32))

        def step(carry, inputs):
            row, rejections = carry
            number, key = inputs
            table = entries[jnp.where(len(entries) > 1, number, 0)]
            atom = draw(table, bits, row << bits, jax.random.bits(key, (_BLOCK,), jnp.uint32))
            rejected = atom >> half
            row = atom & jnp.uint32(2**half - 1)
            counts = jnp.zeros(tokens, jnp.int32).at[row].add(1)
            return (row, rejections + rejected), (rejected.sum(), counts)

        keys = jax.random.split(rest, horizon)
        start = (row, jnp.zeros(_BLOCK, jnp.uint32))
        (_, rejections), (by_step, counts) = jax.lax.scan(step, start, (jnp.arange(horizon), keys))
        return by_step, jnp.zeros(horizon + 1, jnp.int32).at[rejections].add(1), counts

    def run(runs: int, seed: int) -> Answer:
        if runs % _BLOCK:
            raise ValueError(f"runs is {runs}; give a multiple of {_BLOCK}")
        sums: list[np.ndarray] | None = None
        for key in jax.random.split(jax.random.key(seed), runs // _BLOCK):
            parts = [np.asarray(part).astype(np.int64) for part in block(key)]
            sums = parts if sums is None else [a + b for a, b in zip(sums, parts, strict=True)]
        assert sums is not None
        by_step, rejection_count, token_count = sums
        return Answer(by_step=by_step, rejection_count=rejection_count, token_count=token_count)

    return run
