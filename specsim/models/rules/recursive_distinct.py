"""The rule ``recursive-distinct`` (2402.14160; 2402.12374): `recursive` for children that differ.

A child was drawn from the draft row without the children before it, and is tested against that row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from specsim.models.rules.ratio import passes, residual
from specsim.models.sampling import untried
from specsim.models.verification import Node, Round, Verdict, replaced, walk


def decide(node: Node) -> tuple[Tensor, Tensor]:
    """Test the children in turn, each by the residual so far and the row that it was drawn from."""
    row = node.target
    chosen = torch.full_like(node.tokens[:, 0], -1)
    for number in range(node.tokens.shape[1]):
        token, draft = node.tokens[:, number, None], untried(node.draft, node.tokens[:, :number])
        waiting = node.there[:, number] & (chosen < 0)
        passed = passes(
            node.coins[:, number],
            row.gather(-1, token)[:, 0].double(),
            draft.gather(-1, token)[:, 0].double(),
        )
        chosen = torch.where(waiting & passed, number, chosen)
        row = replaced(row, residual(row, draft, token), waiting & ~passed)
    return chosen, row


def verify(round: Round) -> Verdict:
    """Go down the tree."""
    return walk(round, decide)
