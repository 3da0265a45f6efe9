"""Subjects from real libraries, each imported on use."""

from __future__ import annotations

from importlib import import_module

from specsim.validation.conformance.subjects import Subject

#: Name on the command line: (module, what it runs).
ADAPTERS = {
    "transformers-step": ("transformers_step", "transformers, _speculative_sampling of one verification"),
    "transformers-generate": (
        "transformers_decoder",
        "transformers, generate(assistant_model=..., do_sample=True)",
    ),
    "vllm-legacy": ("vllm_legacy", "vLLM up to 0.9, RejectionSampler and TypicalAcceptanceSampler"),
    "vllm-v1": ("vllm_v1", "vLLM, rejection_sample of the V1 engine"),
    "vllm-v2": ("vllm_v2", "vLLM, rejection_sample and gumbel_sample of the V2 model runner"),
    "sglang-chain": ("sglang_chain", "SGLang, chain_speculative_sampling_triton"),
    "sglang-tree": ("sglang_tree", "SGLang, tree_speculative_sampling_target_only"),
    "flashinfer-chain": ("flashinfer_chain", "flashinfer, chain_speculative_sampling"),
    "eagle": ("eagle", "eagle-llm, tree sampling and evaluate_posterior"),
    "medusa": ("medusa", "medusa-llm, posterior evaluation"),
    "litgpt": ("litgpt", "litgpt, speculative_decoding"),
    "mlx-lm": ("mlx_decoder", "mlx-lm, speculative_generate_step"),
    "openvino": ("openvino_decoder", "OpenVINO GenAI, ContinuousBatchingPipeline(draft_model=...)"),
    "llama-cpp": ("llamacpp_decoder", "llama.cpp through xllamacpp, with a draft model"),
    "lucidrains": ("lucidrains_decoder", "lucidrains/speculative-decoding"),
}


def adapter_lines() -> list[tuple[str, str]]:
    """Return the names of the built-in adapters and what they run."""
    return [(name, title) for name, (_, title) in ADAPTERS.items()]


def adapter_names() -> tuple[str, ...]:
    """Return the names of the built-in adapters."""
    return tuple(ADAPTERS)


def adapter_subjects(name: str) -> tuple[Subject, ...]:
    """Return the subjects of an adapter.

    Raises
    ------
    InputError
        The library behind it is missing.
    """
    module = import_module(f"{__name__}.{ADAPTERS[name][0]}")
    return tuple(module.subjects())
