"""The rule ``one-hot`` (2211.17192 with a deterministic draft): the draft rows are never read."""

from __future__ import annotations

from torch import Tensor

from specsim.models.verification import Node, Round, Verdict, in_turn, walk


def passes(coin: Tensor, target: Tensor, draft: Tensor) -> Tensor:
    """Accept with the target's probability."""
    return coin < target


def residual(target: Tensor, draft: Tensor, token: Tensor) -> Tensor:
    """Return the target row without the rejected token."""
    return target.scatter(-1, token, 0.0)


def decide(node: Node) -> tuple[Tensor, Tensor]:
    """Test the children in turn."""
    return in_turn(node, passes, residual)


def verify(round: Round) -> Verdict:
    """Go down the tree."""
    return walk(round, decide)
