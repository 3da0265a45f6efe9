"""The rule ``k-seq`` (2310.15141, Algorithm 2): one test for all children of a node, one residual."""

from __future__ import annotations

import torch
from torch import Tensor

from specsim.models.verification import Node, Round, Verdict, walk

#: Halvings of the interval [1, children] for the factor; the rule is lossless at its upper end at any time.
_HALVINGS = 50


def spent(each: Tensor, children: Tensor) -> Tensor:
    """Return 1 - (1 - each)^children, the probability that one of the children is accepted."""
    return 1 - (1 - each) ** children


def factor(target: Tensor, draft: Tensor, children: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Return the factor of each node and what one child is accepted with at it, float64, ``(batch, 1)``.

    The factor f solves ``1 - (1 - b)^children = f b`` with ``b = sum min(target / f, draft)``; it is 1 where
    no node has more children than one.
    """

    def accepted(scale: Tensor) -> Tensor:
        return torch.minimum(target / scale, draft).sum(dim=-1, keepdim=True, dtype=torch.float64)

    low = torch.ones_like(children)
    high = children
    for _ in range(_HALVINGS if most > 1 else 0):
        middle = (low + high) / 2
        each = accepted(middle)
        above = spent(each, children) > middle * each
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return high, accepted(high)


def decide(node: Node) -> tuple[Tensor, Tensor]:
    """Accept the first child that passes with min(1, target / (factor draft))."""
    children = node.there.sum(dim=1, keepdim=True).clamp(min=1).double()
    scale, each = factor(node.target, node.draft, children, node.there.shape[1])
    passed = node.coins * node.at_children(node.draft) * scale < node.at_children(node.target)
    passed = passed & node.there
    first = torch.where(passed.any(dim=1), passed.to(torch.int64).argmax(dim=1), -1)
    # How often min(target / factor, draft) is spent by all tests together.
    times = torch.where(each > 0, spent(each, children) / each, children)
    return first, (node.target - torch.minimum(node.target / scale, node.draft) * times).clamp(min=0)


def verify(round: Round) -> Verdict:
    """Go down the tree."""
    return walk(round, decide)
