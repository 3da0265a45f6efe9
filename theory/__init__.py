"""Exact laws of what speculative decoding does, computed without simulation.

Names are loaded on first use, so that importing the package stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

if __name__ != "specsim.theory":
    raise ImportError(f"import this package as specsim.theory, not as {__name__}")

_HOMES = {
    "certificates.formats": (
        "CertificateError",
        "FrontCertificate",
        "RejectionCertificate",
        "certificate_from_json",
    ),
    "certificates.checker": ("check_certificate",),
    "enumeration": ("Outcome", "Outcomes", "enumerate_outcomes", "round_bias", "round_errors", "stop_law"),
    "laws.functions": (
        "accepted_length_counts",
        "accepted_length_law",
        "block_efficiency",
        "expected_rejections",
        "expected_target_calls",
        "first_accepted_length_law",
        "output_law",
        "output_marginals",
        "rejection_law",
        "rejection_variance",
        "rejections_by_step",
        "round_counts",
        "stationary_accepted_length_law",
        "stationary_block_efficiency",
        "target_call_law",
        "transition_marginals",
    ),
    "laws.laws": ("Laws",),
    "statements.lower_bounds": ("LowerBound", "lower_bound"),
    "arithmetic.pair_tables": ("Pair",),
    "statements.theorem_5": ("ParetoFront", "pareto_front"),
    "arithmetic.rational_pair": ("RationalPair",),
    "statements.residual_sets": ("OptimalResiduals", "optimal_residuals"),
    "statements.remark_6": ("SequenceFront", "sequence_front"),
    "statements.sequence_identity": ("OverAcceptanceIdentity", "over_acceptance_identity"),
    "laws.target": ("target_law", "target_marginals"),
    "statements.theorem_1": ("theorem_1_rejections", "theorem_1_rejections_by_step"),
    "statements.theorem_2": ("optimal_rejections",),
    "statements.theorem_3": (
        "batch_rejection_masses",
        "batch_rejections",
        "batch_rejections_by_recursion",
        "shifted_batch_rejections",
    ),
    "statements.proposition_1": (
        "batch_limit_rejection_masses",
        "batch_limit_rejections",
        "support_condition",
        "limit_is_positive",
    ),
    "statements.batch_improvement": (
        "batch_improvement_of_rows",
        "batch_improvement_bernoulli",
        "batch_improvement_uniform",
    ),
    "statements.calls": (
        "acceleration",
        "acceleration_per_call",
        "calls_from_rejections",
        "constant_rate_calls",
        "constant_rate_tokens_per_call",
    ),
    "statements.theorem_4": (
        "OverAcceptanceLosses",
        "front_excess",
        "loss",
        "over_acceptance",
        "over_acceptance_loss",
        "over_acceptance_losses",
        "rejection_probability",
        "total_variation",
        "written_law",
    ),
    "statements.unbiased_members": (
        "acceptance_from_epsilon",
        "epsilon_from_acceptance",
        "member_from_acceptance",
        "member_rejections",
        "random_unbiased_member",
    ),
}
# Modules to use as modules.
_MODULES = ("symbolic",)
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
