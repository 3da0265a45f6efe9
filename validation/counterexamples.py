"""A search for pairs on which an inequality between two algorithms fails: random ones, then better ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from specsim.pairs import ModelPair
from specsim.support.arrays import Floats

#: The candidates that are improved.
_KEPT = 3


@dataclass(frozen=True, kw_only=True)
class Worst:
    """The pair that came nearest to a counterexample.

    pair: the pair; its tables are multiples of 2^-32.
    excess: by how much the inequality fails there; not positive where it holds.
    tried: pairs that were looked at.
    """

    pair: ModelPair
    excess: float
    tried: int


def worst_pair(
    excess: Callable[[ModelPair], float], *, tries: int, seed: int, tokens: int = 3, horizon: int = 3
) -> Worst:
    """Look for the pair with the largest excess.

    Half of the tries are random pairs: independent tokens, Markov chains and rows that change from step to
    step, of two or more tokens, flat or peaked, some with zeros. The other half change one of the best so
    far a little.

    Parameters
    ----------
    excess
        What is made large; positive where the inequality fails.
    tries
        Pairs to look at.
    seed
        Seed of the search.
    tokens
        Largest vocabulary. Defaults to 3.
    horizon
        Horizon of the pairs. Defaults to 3.
    """
    generator = np.random.default_rng(seed)
    best: list[tuple[float, Floats, Floats]] = []
    for number in range(tries):
        if number < (tries + 1) // 2:
            target, draft = _random(generator, tokens, horizon)
        else:
            _, target, draft = best[generator.integers(len(best))]
            target, draft = _changed(generator, target), _changed(generator, draft)
        best.append((excess(_pair(target, draft, horizon)), target, draft))
        best.sort(key=lambda entry: -entry[0])
        del best[_KEPT:]
    found, target, draft = best[0]
    return Worst(pair=_pair(target, draft, horizon), excess=found, tried=tries)


def _random(generator: np.random.Generator, tokens: int, horizon: int) -> tuple[Floats, Floats]:
    vocabulary = int(generator.integers(2, tokens + 1))
    steps, contexts = [(1, 1), (1, vocabulary), (horizon, 1)][generator.integers(3)]
    shape = (steps, contexts, vocabulary)
    return _rows(generator, shape), _rows(generator, shape)


def _rows(generator: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    rows = generator.dirichlet(np.full(shape[-1], generator.choice([0.2, 0.5, 1.0, 3.0])), size=shape[:-1])
    if generator.random() < 0.3:
        rows = np.where(rows < 0.05, 0.0, rows)
    return rows / rows.sum(axis=-1, keepdims=True)


def _changed(generator: np.random.Generator, rows: Floats) -> Floats:
    if generator.random() < 0.3:
        return rows
    size = generator.choice([0.5, 0.1, 0.02])
    after = rows * np.exp(size * generator.normal(size=rows.shape))
    if generator.random() < 0.3:
        after = after + size * generator.dirichlet(np.ones(rows.shape[-1]), size=rows.shape[:-1]) / 10
    if generator.random() < 0.2:
        after = np.where(after < 0.02, 0.0, after)
    totals = after.sum(axis=-1, keepdims=True)
    return after / totals if (totals > 0).all() else rows


def _pair(target: Floats, draft: Floats, horizon: int) -> ModelPair:
    contexts, tokens = target.shape[1:]
    following = np.arange(tokens) if contexts > 1 else np.zeros(tokens, dtype=np.int64)
    return ModelPair.from_probabilities(
        target if len(target) > 1 else target[0],
        draft if len(draft) > 1 else draft[0],
        initial=np.eye(contexts)[0],
        next_context=np.tile(following, (contexts, 1)),
        horizon=horizon,
        name="found by search",
    )


def spelled(pair: ModelPair) -> str:
    """Return the rows of a pair as text, as multiples of 2^-32 rounded to 6 decimals."""
    target, draft = (np.round(table, 6).tolist() for table in (pair.target, pair.draft))
    return f"target {target}, draft {draft}, horizon {pair.horizon}"
