"""The rule ``traversal`` (2505.12398): leaves first; a path is accepted by its weight, or its leaf deleted.

The order in which nodes come up is that of the tree alone, so that a batch goes through it together; what
happens to a sequence that has accepted a path, or at nodes after its end, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from specsim.models.verification import Round, Verdict


class _Open(NamedTuple):
    """A node of the present path: its number, the weight of the path to it, and its rows.

    weight: float64, shape ``(batch,)``.
    target: what the deleted children have left of the target row, ``(batch, vocabulary)``.
    draft: the row that the next child was drawn from.
    """

    number: int
    weight: Tensor
    target: Tensor
    draft: Tensor


def verify(round: Round) -> Verdict:
    """Traverse a tree of children that were drawn independently."""
    return traverse(round, lambda draft, tried: draft)


def traverse(round: Round, next_row: Callable[[Tensor, Tensor], Tensor]) -> Verdict:
    """Go through the nodes of a tree, leaves first.

    next_row: the draft row of a node and the tokens of its deleted children, ``(batch, n)``, to the row that
        the next one was drawn from.
    """
    structure, batch = round.tree.structure, len(round.lengths)
    stop = torch.full_like(round.lengths, -1)
    weights = torch.zeros_like(round.draft[:, 0])

    def opened(number: int, weight: Tensor) -> _Open:
        rows = round.target.after(torch.full_like(round.lengths, number))
        return _Open(number, weight, rows, round.draft[:, number])

    def accept(node: int, weight: Tensor) -> Tensor:
        passed = (round.coins[:, node] < weight) if node else torch.ones_like(stop, dtype=torch.bool)
        return (stop < 0) & (structure.depths[node] <= round.lengths) & passed

    path = [opened(0, torch.ones(batch, dtype=torch.float64, device=stop.device))]
    child = 1
    while path:
        here = path[-1]
        children = structure.children(here.number)
        depth = len(path)
        if child in children and depth <= round.length:
            token = round.tokens[:, child, None]
            ratio = here.target.gather(-1, token).double() / here.draft.gather(-1, token).double()
            weight = (here.weight * ratio[:, 0]).clamp(max=1)
            if depth < round.length and structure.children(child):
                path.append(opened(child, weight))
                child = structure.children(child).start
                continue
            stop = torch.where(accept(child, weight), child, stop)
        else:
            # All children of the last node are deleted: it is the leaf now.
            path.pop()
            now = accept(here.number, here.weight)
            # At the end of a sequence a node that has children is a leaf, and its row is not a residual.
            stop = torch.where(now, here.number, stop)
            weights = torch.where(now[:, None], here.target, weights)
            child = here.number
            if not path:
                break
        path[-1] = _deleted(round, path[-1], child, stop, next_row)
        child += 1
    rejected = round.tree.first[stop + 1] > round.tree.first[stop]
    rejected = rejected & (round.tree.depths[stop] < round.lengths)
    return round.verdict(stop, rejected, weights)


def _deleted(
    round: Round, parent: _Open, child: int, stop: Tensor, next_row: Callable[[Tensor, Tensor], Tensor]
) -> _Open:
    """Return a node after its child was deleted, in the sequences where it was."""
    structure = round.tree.structure
    deleted = (stop < 0) & (structure.depths[child] <= round.lengths)
    left = (parent.weight[:, None].to(parent.target.dtype) * parent.target - parent.draft).clamp(min=0)
    mass = left.sum(dim=-1, dtype=torch.float64)
    usable = deleted & (mass > 0)
    target = torch.where(usable[:, None], left / mass[:, None].to(left.dtype), parent.target)
    below = mass + 1 - parent.weight
    weight = torch.where(deleted & (below > 0), mass / below, parent.weight)
    first = structure.children(parent.number).start
    draft = next_row(round.draft[:, parent.number], round.tokens[:, first : child + 1])
    return _Open(parent.number, weight, target, draft)
