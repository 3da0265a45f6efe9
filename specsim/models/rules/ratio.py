"""The rule ``ratio`` (2411.00841, Algorithm 1; 2211.17192, Algorithm 1)."""

from __future__ import annotations

from torch import Tensor

from specsim.models.coins import RoundCoins
from specsim.models.verification import Drafts, TargetRows, Verdict, walk


def passes(coin: Tensor, target: Tensor, draft: Tensor) -> Tensor:
    """Accept with min(1, target / draft)."""
    return coin * draft < target


def residual(target: Tensor, draft: Tensor, token: Tensor) -> Tensor:
    """Return (target - draft)+."""
    return (target - draft).clamp(min=0)


def verify(drafts: Drafts, target: TargetRows, coins: RoundCoins) -> Verdict:
    """Keep the tokens before the first that fails."""
    return walk(drafts, target, coins, passes, residual)
