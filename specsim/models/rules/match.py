"""The rule ``match`` (2310.15141, Section 3): draw from the target and see whether that was drafted."""

from __future__ import annotations

import torch

from specsim.models.coins import RoundCoins
from specsim.models.sampling import draw
from specsim.models.verification import Drafts, Path, TargetRows, Verdict


def verify(drafts: Drafts, target: TargetRows, coins: RoundCoins) -> Verdict:
    """Follow the draft that begins with the target's token, up to where it leaves the target's tokens."""
    first = draw(target.root(), coins.accept[:, 0, :1])
    branch = (drafts.tokens[:, 0] == first).to(torch.int64).argmax(dim=1)
    path = Path.along(drafts, target, coins, branch)
    drawn = draw(path.target[:, : path.tokens.shape[1]], path.coins[..., None])[..., 0]
    drawn[:, :1] = first
    accepted = path.leading(drawn == path.tokens)
    final = path.first_rejected(accepted, drawn)[:, None]
    return path.verdict(accepted, torch.zeros_like(path.target[:, 0]).scatter(-1, final, 1.0))
