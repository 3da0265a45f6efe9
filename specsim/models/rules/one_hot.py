"""The rule ``one-hot`` (2211.17192 with a deterministic draft): the draft rows are never read."""

from __future__ import annotations

from torch import Tensor

from specsim.models.coins import RoundCoins
from specsim.models.verification import Drafts, TargetRows, Verdict, walk


def passes(coin: Tensor, target: Tensor, draft: Tensor) -> Tensor:
    """Accept with the target's probability."""
    return coin < target


def residual(target: Tensor, draft: Tensor, token: Tensor) -> Tensor:
    """Return the target row without the rejected token."""
    return target.scatter(-1, token, 0.0)


def verify(drafts: Drafts, target: TargetRows, coins: RoundCoins) -> Verdict:
    """Test the first tokens of all drafts in turn, then the tokens of the accepted draft."""
    return walk(drafts, target, coins, passes, residual)
