"""Holds engines and theory against each other: claims, statistics with stated error rates, mutants, reports.

The public names load on first use, so that importing this package is cheap.
"""

if __name__ != "specsim.validation":
    raise ImportError(f"import this package as specsim.validation, not as {__name__}")

from importlib import import_module
from typing import Any

_HOME = {
    "Assertion": "assertions",
    "Claim": "claims_model",
    "Comparison": "claims_model",
    "ExactCheck": "claims_model",
    "Mutant": "mutants",
    "RegressionCheck": "claims_model",
    "SimulationRequest": "assertions",
    "StatisticalCheck": "claims_model",
    "Verdict": "claims_model",
    "Witnesses": "witnesses",
    "all_claims": "registry",
    "as_built": "witnesses",
    "counterexample": "claims_model",
    "decided": "claims_model",
    "equal": "claims_model",
    "select_claims": "registry",
    "validate": "running.runner",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
