"""The rule ``over-acceptance`` (2411.00841, section 4.2 and Appendix G)."""

from __future__ import annotations

from fractions import Fraction

from torch import Tensor

from specsim.models.coins import RoundCoins
from specsim.models.verification import Drafts, TargetRows, Verdict, walk


def verify(
    drafts: Drafts, target: TargetRows, coins: RoundCoins, *, epsilon: float | Fraction, residual: str
) -> Verdict:
    """Accept with min(1, (target + epsilon) / draft) and replace by the chosen residual."""
    extra = float(epsilon)

    def passes(coin: Tensor, target: Tensor, draft: Tensor) -> Tensor:
        return coin * draft < target + extra

    def replaced(target: Tensor, draft: Tensor, token: Tensor) -> Tensor:
        return {"optimal": (target - draft).clamp(min=0), "target": target, "draft": draft}[residual]

    return walk(drafts, target, coins, passes, replaced)
