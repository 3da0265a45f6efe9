"""The rule ``match`` (2310.15141, Section 3): draw from the target and see whether that was drafted."""

from __future__ import annotations

import torch
from torch import Tensor

from specsim.models.sampling import draw
from specsim.models.verification import Node, Round, Verdict, walk


def decide(node: Node) -> tuple[Tensor, Tensor]:
    """Take the first child that is the target's token, else that token, by the coin of the first child."""
    drawn = draw(node.target, node.coins[:, :1])
    met = node.there & (node.tokens == drawn)
    first = torch.where(met.any(dim=1), met.to(torch.int64).argmax(dim=1), -1)
    return first, torch.zeros_like(node.target).scatter(-1, drawn, 1.0)


def verify(round: Round) -> Verdict:
    """Go down the tree."""
    return walk(round, decide)
