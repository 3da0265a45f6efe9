"""Tests of speculative samplers: is it really lossless.

One generator of plain functions, three ways to use it: `check_sampler` runs them and returns a report,
`checks_for` gives them one by one, `parametrize_with_checks` hands them to pytest. Names are loaded on use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from specsim.testing.parametrizing import BoundCheck, checks_for, parametrize_with_checks
    from specsim.validation.conformance.results import (
        CheckResult,
        CheckStatus,
        ConformanceReport,
        Verdict,
    )
    from specsim.validation.conformance.rules import Rule, get_rule, position_rule
    from specsim.validation.conformance.running import ConformanceError, check_sampler
    from specsim.validation.conformance.subjects import Subject

__all__ = [
    "BoundCheck",
    "CheckResult",
    "CheckStatus",
    "ConformanceError",
    "ConformanceReport",
    "Rule",
    "Subject",
    "Verdict",
    "check_sampler",
    "checks_for",
    "get_rule",
    "parametrize_with_checks",
    "position_rule",
]

_CONFORMANCE = "specsim.validation.conformance"
_HOMES = {
    "BoundCheck": "specsim.testing.parametrizing",
    "checks_for": "specsim.testing.parametrizing",
    "parametrize_with_checks": "specsim.testing.parametrizing",
    "CheckResult": f"{_CONFORMANCE}.results",
    "CheckStatus": f"{_CONFORMANCE}.results",
    "ConformanceReport": f"{_CONFORMANCE}.results",
    "Verdict": f"{_CONFORMANCE}.results",
    "Rule": f"{_CONFORMANCE}.rules",
    "get_rule": f"{_CONFORMANCE}.rules",
    "position_rule": f"{_CONFORMANCE}.rules",
    "ConformanceError": f"{_CONFORMANCE}.running",
    "check_sampler": f"{_CONFORMANCE}.running",
    "Subject": f"{_CONFORMANCE}.subjects",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'specsim.testing' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
