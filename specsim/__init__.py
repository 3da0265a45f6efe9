"""Simulation, exact theory and Monte Carlo verification of speculative decoding.

Everything is imported on first use, so that what needs nothing of it starts at once.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from specsim import theory, validation
    from specsim.algorithms import (
        Autoregressive,
        Batch,
        BatchAsPrinted,
        BlockVerification,
        OverAcceptance,
        RejectionBased,
        Rule,
        Speculative,
        Structure,
        catalogue,
        chain,
        get_rule,
        levels,
        paths,
        tree,
    )
    from specsim.engines import merge
    from specsim.errors import InputError
    from specsim.grammar import parse_algorithm, parse_pair
    from specsim.own_rules import rule
    from specsim.pairs import ModelPair
    from specsim.pairs.families import paper_pair, random_pair, random_prefix_pair
    from specsim.scale import simulate, sweep

__version__ = "0.1.0"

__all__ = [
    "Autoregressive",
    "Batch",
    "BatchAsPrinted",
    "BlockVerification",
    "InputError",
    "ModelPair",
    "OverAcceptance",
    "RejectionBased",
    "Rule",
    "Speculative",
    "Structure",
    "__version__",
    "catalogue",
    "chain",
    "get_rule",
    "levels",
    "merge",
    "paper_pair",
    "parse_algorithm",
    "parse_pair",
    "paths",
    "random_pair",
    "random_prefix_pair",
    "rule",
    "simulate",
    "sweep",
    "theory",
    "tree",
    "validation",
]

_LAZY = {
    **dict.fromkeys(
        (
            "Autoregressive",
            "Batch",
            "BatchAsPrinted",
            "BlockVerification",
            "OverAcceptance",
            "RejectionBased",
            "Rule",
            "Speculative",
            "Structure",
            "catalogue",
            "chain",
            "get_rule",
            "levels",
            "paths",
            "tree",
        ),
        "specsim.algorithms",
    ),
    "InputError": "specsim.errors",
    "ModelPair": "specsim.pairs",
    "merge": "specsim.engines",
    "simulate": "specsim.scale",
    "sweep": "specsim.scale",
    "paper_pair": "specsim.pairs.families",
    "random_pair": "specsim.pairs.families",
    "random_prefix_pair": "specsim.pairs.families",
    "parse_algorithm": "specsim.grammar",
    "parse_pair": "specsim.grammar",
    "rule": "specsim.own_rules",
}
_SUBPACKAGES = ("theory", "validation")

# Not by pathlib, whose import takes longer than all the rest here.
_here = os.path.dirname(os.path.realpath(__file__))
if not os.path.isdir(os.path.join(_here, "theory")):
    _around = os.path.dirname(_here)
    if os.path.isdir(os.path.join(_around, "theory")):
        # A checkout without symbolic links: theory/, validation/ and paper_figures/ lie beside this folder.
        __path__.append(_around)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(import_module(_LAZY[name]), name)
        globals()[name] = value
        return value
    if name in _SUBPACKAGES:
        return import_module(f"specsim.{name}")
    raise AttributeError(f"module 'specsim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
