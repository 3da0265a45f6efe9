"""The rule ``transport-distinct``: the plan of most acceptance for children that differ."""

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import Program, Rows, Tokens, without
from specsim.theory.programs.transport import follow


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens) -> Program:
    """Follow the plan for children that were drawn without replacement."""
    return follow(structure, target, draft, tokens, without)
