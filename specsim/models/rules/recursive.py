"""The rule ``recursive`` (2305.09781; 2401.06706; 2411.00841, Algorithm 4, corrected).

Each failure replaces the target row by the residual of `ratio`, which the next child is tested against.
"""

from __future__ import annotations

from torch import Tensor

from specsim.models.rules.ratio import passes, residual
from specsim.models.verification import Node, Round, Verdict, in_turn, walk


def decide(node: Node) -> tuple[Tensor, Tensor]:
    """Test the children in turn."""
    return in_turn(node, passes, residual)


def verify(round: Round) -> Verdict:
    """Go down the tree."""
    return walk(round, decide)
