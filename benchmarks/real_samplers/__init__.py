"""Samplers of libraries that need more than an installation: unpacked wheels, GPU kernels run on a CPU.

``python -m benchmarks.real_samplers`` is ``specsim conform`` with these names added to the built-in ones.
They are not part of the installed package.
"""

from __future__ import annotations

_HERE = "benchmarks.real_samplers"

#: Name on the command line: (module, what it runs).
SAMPLERS = {
    "vllm-legacy": (
        f"{_HERE}.vllm_legacy",
        "vLLM up to 0.9, RejectionSampler and TypicalAcceptanceSampler",
    ),
    "vllm-v1": (f"{_HERE}.vllm_v1", "vLLM, rejection_sample of the V1 engine"),
    "vllm-v2": (f"{_HERE}.vllm_v2", "vLLM, rejection_sample and gumbel_sample of the V2 model runner"),
    "sglang-chain": (f"{_HERE}.sglang_chain", "SGLang, chain_speculative_sampling_triton"),
    "sglang-tree": (f"{_HERE}.sglang_tree", "SGLang, tree_speculative_sampling_target_only"),
    "flashinfer-chain": (f"{_HERE}.flashinfer_chain", "flashinfer, chain_speculative_sampling"),
    "eagle": (f"{_HERE}.eagle", "eagle-llm, tree sampling and evaluate_posterior"),
    "medusa": (f"{_HERE}.medusa", "medusa-llm, posterior evaluation"),
    "litgpt": (f"{_HERE}.litgpt", "litgpt, speculative_decoding"),
    "lmdeploy": (f"{_HERE}.lmdeploy", "LMDeploy, rejection sampling of the PyTorch engine"),
    "openvino": (
        f"{_HERE}.openvino_decoder",
        "OpenVINO GenAI, ContinuousBatchingPipeline(draft_model=...)",
    ),
    "llama-cpp": (f"{_HERE}.llamacpp_decoder", "llama.cpp through xllamacpp, with a draft model"),
}
