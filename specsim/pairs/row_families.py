"""Families of random rows: how the tables of `random_pair` and `random_prefix_pair` are drawn."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from specsim.errors import InputError
from specsim.support.arrays import Floats
from specsim.support.streams import Stream, normalised

#: Names of the families of `random_pair` and `random_prefix_pair`.
Family = Literal[
    "uniform", "dirichlet", "perturbed", "near-equal", "sparse", "disjoint", "equal-rows", "peaked"
]
#: Target rows and draft rows, each of shape (rows, tokens).
Tables = tuple[Floats, Floats]


def uniform(seed: int, rows: int, tokens: int) -> Tables:
    """Draft and target rows independent: uniform numbers on (0, 1) divided by their sum."""
    target = Stream(seed, "uniform/target").uniforms(rows, tokens)
    draft = Stream(seed, "uniform/draft").uniforms(rows, tokens)
    return normalised(target), normalised(draft)


def dirichlet(seed: int, rows: int, tokens: int, concentration: float = 1.0) -> Tables:
    """Draft and target rows independent, from a symmetric Dirichlet law of the given concentration."""
    target = Stream(seed, "dirichlet/target").dirichlet(concentration, rows, tokens)
    draft = Stream(seed, "dirichlet/draft").dirichlet(concentration, rows, tokens)
    return normalised(target), normalised(draft)


def perturbed(seed: int, rows: int, tokens: int, tv: float = 0.1) -> Tables:
    """Target rows uniform; the draft moves exactly the mass `tv` from some tokens of each row to the others.

    The total variation distance of every pair of rows is `tv`, up to the rounding to multiples of 2^-32.
    """
    target = normalised(Stream(seed, "perturbed/target").uniforms(rows, tokens))
    return target, _moved(Stream(seed, "perturbed/draft"), target, tv)


def near_equal(seed: int, rows: int, tokens: int, tv: float = 2.0**-20) -> Tables:
    """As `perturbed`, with a tiny total variation distance."""
    target = normalised(Stream(seed, "near-equal/target").uniforms(rows, tokens))
    return target, _moved(Stream(seed, "near-equal/draft"), target, tv)


def sparse(seed: int, rows: int, tokens: int, density: float = 0.5) -> Tables:
    """Independent rows with zeros: an entry is positive with probability `density`, at least one a row."""
    tables = []
    for side in ("target", "draft"):
        stream = Stream(seed, f"sparse/{side}")
        positive = stream.uniforms(rows, tokens) < density
        positive[np.arange(rows), stream.below(tokens, rows)] |= ~positive.any(axis=-1)
        tables.append(normalised(np.where(positive, stream.uniforms(rows, tokens), 0.0)))
    return tables[0], tables[1]


def disjoint(seed: int, rows: int, tokens: int) -> Tables:
    """Every row's tokens are split at random between draft and target, so that all drafts are rejected."""
    if tokens < 2:
        raise InputError(f"tokens is {tokens}; disjoint supports need at least 2 tokens")
    stream = Stream(seed, "disjoint/split")
    rank = _ranks(stream.orders(rows, tokens))
    mine = rank < 1 + stream.below(tokens - 1, rows, 1)
    target = np.where(mine, Stream(seed, "disjoint/target").uniforms(rows, tokens), 0.0)
    draft = np.where(mine, 0.0, Stream(seed, "disjoint/draft").uniforms(rows, tokens))
    return normalised(target), normalised(draft)


def equal_rows(seed: int, rows: int, tokens: int, density: float = 0.5) -> Tables:
    """As `uniform`, but in about the share `density` of the rows the draft equals the target exactly.

    At least one row is equal; where there are two rows or more and `density` is below 1, one differs.
    """
    target = normalised(Stream(seed, "equal-rows/target").uniforms(rows, tokens))
    draft = normalised(Stream(seed, "equal-rows/draft").uniforms(rows, tokens))
    count = max(1, min(rows, math.floor(density * rows + 0.5)))
    if density < 1 and rows > 1:
        count = min(count, rows - 1)
    equal = Stream(seed, "equal-rows/choice").orders(rows)[:count]
    draft[equal] = target[equal]
    return target, draft


def peaked(seed: int, rows: int, tokens: int) -> Tables:
    """Low-temperature rows: scores to the power 16, the draft's blurred, so that peaks mostly agree."""
    score = Stream(seed, "peaked/target").uniforms(rows, tokens)
    blurred = 0.75 * score + 0.25 * Stream(seed, "peaked/draft").uniforms(rows, tokens)
    for _ in range(4):
        score = score * score
        blurred = blurred * blurred
    return normalised(score), normalised(blurred)


@dataclass(frozen=True, kw_only=True)
class RowFamily:
    """One entry of `ROW_FAMILIES`.

    draw: called with seed, rows, tokens and the parameters named below.
    parameters: which of ``concentration``, ``tv`` and ``density`` the family takes.
    """

    draw: Callable[..., Tables]
    parameters: tuple[str, ...] = ()


#: The families by name.
ROW_FAMILIES: dict[str, RowFamily] = {
    "uniform": RowFamily(draw=uniform),
    "dirichlet": RowFamily(draw=dirichlet, parameters=("concentration",)),
    "perturbed": RowFamily(draw=perturbed, parameters=("tv",)),
    "near-equal": RowFamily(draw=near_equal, parameters=("tv",)),
    "sparse": RowFamily(draw=sparse, parameters=("density",)),
    "disjoint": RowFamily(draw=disjoint),
    "equal-rows": RowFamily(draw=equal_rows, parameters=("density",)),
    "peaked": RowFamily(draw=peaked),
}


def _ranks(order: NDArray[np.int64]) -> NDArray[np.int64]:
    ranks = np.empty_like(order)
    places = np.broadcast_to(np.arange(order.shape[-1]), order.shape).copy()
    np.put_along_axis(ranks, order, places, axis=-1)
    return ranks


def _moved(stream: Stream, target: Floats, tv: float) -> Floats:
    rows, tokens = target.shape
    most = 1.0 - target.min(axis=-1)
    if tv > most.min():
        raise InputError(
            f"tv is {tv:g}, but a target row has its smallest entry at {1 - most.min():g} and so no row is "
            f"farther than {most.min():g} from it; give a smaller tv or more tokens"
        )
    order = stream.orders(rows, tokens)
    # Where a random half of the tokens cannot give up so much, the heaviest tokens give it.
    giving = max(1, tokens // 2) if tokens > 1 else 1
    ordered = np.take_along_axis(target, order, axis=-1)
    enough = np.maximum((np.cumsum(ordered, axis=-1) < tv).sum(axis=-1) + 1, giving)
    stuck = enough > tokens - 1
    order[stuck] = np.argsort(-target[stuck], axis=-1, kind="stable")
    enough[stuck] = max(1, tokens - 1)
    gives = _ranks(order) < enough[:, None]
    shares = normalised(np.where(gives, 0.0, stream.uniforms(rows, tokens))) if tokens > 1 else target * 0
    given = np.where(gives, target, 0.0)
    total = np.cumsum(given, axis=-1)[:, -1:]
    return target - given * (np.minimum(tv, total) / total) + tv * shares
