"""The rule ``summed-coin`` (sgl-project/sglang#7207): one coin against the summed target of the children."""

from __future__ import annotations

import torch
from torch import Tensor

from specsim.models.verification import Node, Round, Verdict, walk


def decide(node: Node) -> tuple[Tensor, Tensor]:
    """Take the child whose part of the sum the first child's coin falls into, else another token."""
    covered = (node.at_children(node.target) * node.there).cumsum(dim=1)
    below = node.there & (node.coins[:, :1] < covered)
    first = torch.where(below.any(dim=1), below.to(torch.int64).argmax(dim=1), -1)
    return first, node.without_children(node.target)


def verify(round: Round) -> Verdict:
    """Go down the tree."""
    return walk(round, decide)
