"""Block verification (2403.10444): a whole draft is judged at once, so its coins are all tossed."""

from __future__ import annotations

import torch

from specsim.models.coins import RoundCoins
from specsim.models.verification import Drafts, Rule, TargetRows, Verdict


class BlockRule(Rule):
    """Keep the longest prefix of the draft whose own coin passes (2403.10444, Algorithm 2)."""

    def verify(self, drafts: Drafts, target: TargetRows, coins: RoundCoins) -> Verdict:
        """Decide a round."""
        branch = torch.zeros_like(drafts.lengths)
        tokens, draft_rows = drafts.along(branch)
        rows = target.along(branch)
        batch, length = tokens.shape
        chosen = tokens[..., None]
        drafted = draft_rows.gather(-1, chosen)[..., 0].double()
        wanted = rows[:, :length].gather(-1, chosen)[..., 0].double()
        # ratio[:, i] belongs to the first i tokens; excess[:, i] is what is then left over for the next one.
        ratios = [torch.ones(batch, dtype=torch.float64, device=tokens.device)]
        for depth in range(length):
            ratios.append((ratios[-1] * wanted[:, depth] / drafted[:, depth]).clamp(max=1))
        ratio = torch.stack(ratios, dim=1)
        # In place: a row for every drafted token is the largest thing there is.
        excess = ratio[:, :length, None].to(rows.dtype) * rows[:, :length]
        excess.sub_(draft_rows).clamp_(min=0)
        over = torch.nn.functional.pad(excess.sum(dim=-1, dtype=torch.float64)[:, 1:], (0, 1))
        own = ratio[:, 1:]
        below = over + 1 - own
        index = torch.arange(1, length + 1, device=tokens.device)
        last = index == drafts.lengths[:, None]
        threshold = torch.where(last, own, torch.where(below > 0, over / below, 1.0))
        passes = (coins.accept[:, :, 0] < threshold) & (index <= drafts.lengths[:, None])
        accepted = (passes * index).amax(dim=1)
        rejected = accepted < drafts.lengths
        sequence = torch.arange(batch, device=tokens.device)
        row = rows[sequence, accepted.clamp(max=rows.shape[1] - 1)]
        residual = excess[sequence, accepted.clamp(max=length - 1)]
        usable = rejected & (residual.sum(dim=-1) > 0)
        return Verdict(branch, accepted, rejected, torch.where(usable[:, None], residual, row))
