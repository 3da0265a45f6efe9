"""The rule ``ratio`` (2411.00841, Algorithm 1; 2211.17192, Algorithm 1)."""

from __future__ import annotations

from torch import Tensor

from specsim.models.verification import Round, Verdict, one_by_one


def passes(coin: Tensor, target: Tensor, draft: Tensor) -> Tensor:
    """Accept with min(1, target / draft)."""
    return coin * draft < target


def residual(target: Tensor, draft: Tensor, token: Tensor) -> Tensor:
    """Return (target - draft)+."""
    return (target - draft).clamp(min=0)


def verify(round: Round) -> Verdict:
    """Keep the tokens before the first that fails."""
    return one_by_one(round, passes, residual)
