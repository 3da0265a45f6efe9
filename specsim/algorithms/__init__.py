"""Descriptors of decoding algorithms: what decodes, without any behaviour."""

from specsim.algorithms.descriptors import (
    Algorithm,
    Autoregressive,
    Batch,
    BatchAsPrinted,
    BlockVerification,
    OverAcceptance,
    RejectionBased,
    Residual,
    Slip,
    Speculative,
    Verification,
)
from specsim.algorithms.rule import Parameter, Rule, catalogue, get_rule
from specsim.algorithms.structures import Structure, best_shape, chain, levels, paths, tree

__all__ = [
    "Algorithm",
    "Autoregressive",
    "Batch",
    "BatchAsPrinted",
    "BlockVerification",
    "OverAcceptance",
    "Parameter",
    "RejectionBased",
    "Residual",
    "Rule",
    "Slip",
    "Speculative",
    "Structure",
    "Verification",
    "best_shape",
    "catalogue",
    "chain",
    "get_rule",
    "levels",
    "paths",
    "tree",
]
