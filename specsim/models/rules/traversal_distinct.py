"""The rule ``traversal-distinct`` (2505.12398): `traversal` for children that differ."""

from __future__ import annotations

from specsim.models.rules.traversal import traverse
from specsim.models.sampling import untried
from specsim.models.verification import Round, Verdict


def verify(round: Round) -> Verdict:
    """Traverse a tree of children that were drawn without replacement."""
    return traverse(round, untried)
