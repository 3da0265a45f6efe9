"""Subjects from real libraries that are installed, each imported on use.

Those that need more than an installed library are in ``benchmarks/real_samplers`` of a checkout.
"""

from __future__ import annotations

from importlib import import_module

from specsim.validation.conformance.subjects import Subject

#: Name on the command line: (module, what it runs).
ADAPTERS = {
    "specsim-decode": (f"{__name__}.specsim_decoder", "specsim.models.decode by every rule"),
    "transformers-step": (
        f"{__name__}.transformers_step",
        "transformers, _speculative_sampling of one verification",
    ),
    "transformers-generate": (
        f"{__name__}.transformers_decoder",
        "transformers, generate(assistant_model=..., do_sample=True)",
    ),
    "mlx-lm": (f"{__name__}.mlx_decoder", "mlx-lm, speculative_generate_step"),
    "lucidrains": (f"{__name__}.lucidrains_decoder", "lucidrains/speculative-decoding"),
}


def adapter_lines() -> list[tuple[str, str]]:
    """Return the names of the built-in adapters and what they run."""
    return [(name, title) for name, (_, title) in ADAPTERS.items()]


def adapter_names() -> tuple[str, ...]:
    """Return the names of the built-in adapters."""
    return tuple(ADAPTERS)


def adapter_subjects(name: str) -> tuple[Subject, ...]:
    """Return the subjects of an adapter.

    InputError: its library is missing.
    """
    module = import_module(ADAPTERS[name][0])
    return tuple(module.subjects())
