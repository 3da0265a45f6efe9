"""The rule ``block`` (2403.10444, Algorithm 2): a draft is judged as a whole, so all its coins are tossed."""

from __future__ import annotations

import torch

from specsim.models.verification import Chain, Round, Verdict


def verify(round: Round) -> Verdict:
    """Keep the longest prefix of the draft whose own coin passes."""
    path = Chain(round)
    wanted, drafted = path.target_of_token, path.draft_of_token
    length = path.tokens.shape[1]
    # ratio[:, i] belongs to the first i tokens; excess[:, i] is the residual of the token after them.
    ratios = [torch.ones_like(wanted[:, 0])]
    for depth in range(length):
        ratios.append((ratios[-1] * wanted[:, depth] / drafted[:, depth]).clamp(max=1))
    ratio = torch.stack(ratios, dim=1)
    excess = ratio[:, :length, None].to(path.target.dtype) * path.target[:, :length]
    # In place: a row for every drafted token is the largest tensor of a round.
    excess.sub_(path.draft).clamp_(min=0)
    over = torch.nn.functional.pad(excess.sum(dim=-1, dtype=torch.float64)[:, 1:], (0, 1))
    own = ratio[:, 1:]
    below = over + 1 - own
    index = torch.arange(1, length + 1, device=own.device)
    last = index == round.lengths[:, None]
    threshold = torch.where(last, own, torch.where(below > 0, over / below, 1.0))
    passes = (path.coins < threshold) & (index <= round.lengths[:, None])
    accepted = (passes * index).amax(dim=1)
    return path.verdict(accepted, path.first_rejected(accepted, excess))
