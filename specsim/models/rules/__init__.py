"""The rules for language models: ``verify(round, **parameters)`` in a file of the rule's name each.

This module needs no torch, so that an algorithm can be refused before it is imported.
"""

import math
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from specsim.algorithms import Algorithm, Rule, Structure, catalogue
from specsim.errors import UnsupportedError


def torch_rules() -> list[str]:
    """Return the names of the rules that language models can be decoded with.

    Examples
    --------
    >>> torch_rules()[:3]
    ['block', 'k-seq', 'match']
    """
    return [name for name, rule in catalogue().items() if find_spec(f"{__name__}.{rule.module}")]


def text_of(rule: Rule) -> Any:
    """Return the module of a rule that is among `torch_rules`."""
    return import_module(f"{__name__}.{rule.module}")


def check_algorithm(algorithm: Algorithm, new_tokens: int) -> Structure:
    """Return what an algorithm drafts when `new_tokens` tokens are left.

    UnsupportedError: its rule has no torch text, or it drafts infinitely many drafts.

    Examples
    --------
    >>> from specsim import Batch
    >>> check_algorithm(Batch(drafts=3, draft_length=2), 10).widths
    (3, 1)
    """
    rule, structure = algorithm.rule, algorithm.structure(new_tokens)
    if rule.own is not None or rule.name not in torch_rules():
        reason = rule.absent.get("torch_rule", "rules of one's own have no torch text")
        raise UnsupportedError(
            f"{algorithm.label} cannot decode language models: {reason}; rules that can: "
            f"{', '.join(torch_rules())}"
        )
    if structure.size == math.inf:
        raise UnsupportedError("drafts is inf; decoding needs a finite number of drafts")
    return structure
