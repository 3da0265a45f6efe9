"""The rule ``over-acceptance`` (2411.00841, section 4.2 and Appendix G)."""

from __future__ import annotations

from fractions import Fraction

from torch import Tensor

from specsim.models.verification import Round, Verdict, one_by_one


def verify(round: Round, *, epsilon: float | Fraction, residual: str) -> Verdict:
    """Accept with min(1, (target + epsilon) / draft) and replace by the chosen residual."""
    extra = float(epsilon)

    def passes(coin: Tensor, target: Tensor, draft: Tensor) -> Tensor:
        return coin * draft < target + extra

    def replaced(target: Tensor, draft: Tensor, token: Tensor) -> Tensor:
        return {"optimal": (target - draft).clamp(min=0), "target": target, "draft": draft}[residual]

    return one_by_one(round, passes, replaced)
