"""Speculative decoding of real language models, through torch and transformers (the extra ``torch``).

Importing this package without the extra raises `InputError`. Names are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from specsim.models.missing import require_torch

require_torch()

_HOMES = {
    "decoding": ("decode",),
    "loading": ("LoadedPair", "load_pair"),
    "measuring": ("measure",),
    "opt_uno": ("opt_against_uno",),
    "results": ("Decoded", "Memory", "RoundRecord", "Times"),
    "sampling": ("Sampling",),
    "scoring": ("LogLikelihood", "RewardModel", "TextScorer"),
    "table_model": ("TableCausalLM", "TableConfig", "table_models"),
    "traces": ("record_trace",),
    "training": ("Trained", "train_pair"),
    "verification": ("torch_rules",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
