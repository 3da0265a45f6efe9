"""The rule ``traversal-distinct`` as published (2505.12398, drafts without replacement)."""

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import Program, Row, Rows, Tokens, without
from specsim.theory.programs.traversal import traverse


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens) -> Program:
    """Traverse a tree whose children were drawn without replacement."""
    return traverse(structure, target, draft, tokens, _without)


def _without(row: Row, tried: list[int]) -> Row:
    return without(row, tried) if len(tried) < len(row) else row
