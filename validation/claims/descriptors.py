"""The algorithms on which claims are checked, and descriptors made from the rows of a pair."""

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim import (
    ModelPair,
    RejectionBased,
    Speculative,
)
from specsim.pairs import UNIT

SPECULATIVE = (
    Speculative(),
    Speculative(draft_length=1),
    Speculative(draft_length=2),
    Speculative(draft_length=2, bonus=False),
    Speculative(draft_length=3),
)


def rows(pair: ModelPair) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return target and draft rows as `fractions.Fraction`, shape ``(steps, contexts, tokens)``."""
    target, draft = (
        np.array([Fraction(int(weight), UNIT) for weight in weights.ravel()], dtype=object).reshape(
            weights.shape
        )
        for weights in (pair.target_weights, pair.draft_weights)
    )
    return target, draft


def biased_member(
    pair: ModelPair, *, seed: int, draft_length: int | None = None, bonus: bool = False
) -> RejectionBased:
    """Return a member of the rejection-based family with arbitrary acceptances and residuals, in 64ths."""
    generator = np.random.RandomState(seed)
    shape = pair.target.shape
    acceptance = generator.randint(0, 65, size=shape)
    cuts = np.sort(generator.randint(0, 65, size=(*shape[:2], shape[2] - 1)), axis=-1)
    residual = np.diff(cuts, axis=-1, prepend=0, append=64)
    return RejectionBased(
        acceptance=acceptance / 64.0, residual=residual / 64.0, draft_length=draft_length, bonus=bonus
    )


def speculative_member(pair: ModelPair, *, draft_length: int | None = None) -> RejectionBased:
    """Return speculative decoding as tables of the rejection-based family, exact."""
    target, draft = rows(pair)
    one, zero = Fraction(1), Fraction(0)
    acceptance = np.empty(target.shape, dtype=object)
    residual = np.empty(target.shape, dtype=object)
    for index in np.ndindex(*target.shape[:2]):
        for token in range(pair.tokens):
            there = (*index, token)
            acceptance[there] = min(one, target[there] / draft[there]) if draft[there] else one
        excess = [max(t - d, zero) for t, d in zip(target[index], draft[index], strict=True)]
        total = sum(excess)
        # Where the rows are equal nothing is rejected and any law will do.
        residual[index] = [value / total for value in excess] if total else list(target[index])
    return RejectionBased(acceptance=acceptance, residual=residual, draft_length=draft_length, bonus=False)
