"""The verification rules as published, one file each: programs in rationals that a brute force can enumerate.

Every module of a rule's name has ``program(structure, target, draft, tokens, **parameters)``, a generator.
The drafted tokens are given: ``tokens[n]`` is that of node n, ``target[n]`` and ``draft[n]`` are the rows
after it, lists of Fractions. It yields finite laws, lists of ``(value, probability)``, and is sent the value
that was drawn. It returns the node at which it stops and the final token, or None where a path was accepted
to its leaf, so that a token of the target's row there may follow. The programs use no theorem.

A rule that keeps something from round to round returns that as well; the program of the next round gets it
as ``kept``, and that of a first round nothing.

A rule that draws its own drafts has ``propose(row, before, children)`` as well: the law of the next child of
a node with this draft row and `children` children, given the tokens of those before.
"""

from importlib import import_module
from typing import Any

from specsim.algorithms import Rule
from specsim.errors import UnsupportedError


def get_program(rule: Rule) -> Any:
    """Return the module with the program of a rule; for a user's rule, its text, which has `program` too.

    UnsupportedError: the rule has none.

    Examples
    --------
    >>> from specsim.algorithms import get_rule
    >>> get_program(get_rule("block")).__name__
    'specsim.theory.programs.block'
    """
    if rule.own_text is not None:
        return rule.own_text
    if "program" in rule.absent:
        reason = rule.absent["program"]
        raise UnsupportedError(f"rule {rule.name} has no program to enumerate: {reason}")
    return import_module(f"{__name__}.{rule.module}")
