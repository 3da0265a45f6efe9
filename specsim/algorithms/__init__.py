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
)

__all__ = [
    "Algorithm",
    "Autoregressive",
    "Batch",
    "BatchAsPrinted",
    "BlockVerification",
    "OverAcceptance",
    "RejectionBased",
    "Residual",
    "Slip",
    "Speculative",
]
