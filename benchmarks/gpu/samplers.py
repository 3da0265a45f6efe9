"""Samplers that run on the device itself: this package's decoder, transformers, Triton and CUDA kernels.

Those of sglang and flashinfer were never run on a GPU from here; elsewhere (`benchmarks.real_samplers`) the
same kernels run on stand-ins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.real_samplers import sglang_chain
from specsim.errors import InputError
from specsim.validation.conformance.adapters import libraries, specsim_decoder, transformers_step
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject

#: Of our own decoder: a chain, paths and a tree.
_OWN = ("ratio", "block", "k-seq, two paths", "traversal, a binary tree")


def samplers(device: str) -> dict[str, Callable[[], tuple[Subject, ...]]]:
    """Return what makes the subjects, by name; each raises `InputError` where something is missing."""
    return {
        "specsim-decode": partial(_own, device),
        "transformers-step": lambda: tuple(
            replace(subject, device=device) for subject in transformers_step.subjects()
        ),
        "sglang, Triton": partial(_sglang, device),
        "flashinfer, CUDA": partial(_flashinfer, device),
    }


def _own(device: str) -> tuple[Subject, ...]:
    return tuple(
        replace(subject, run=partial(subject.run, device=device))
        for subject in specsim_decoder.subjects()
        if subject.name.split(": ")[1] in _OWN
    )


def _on_gpu(device: str, package: str) -> None:
    if device == "cpu":
        raise InputError(
            f"the kernels of {package} need a GPU; python -m benchmarks.real_samplers has stand-ins"
        )


def _sglang(device: str) -> tuple[Subject, ...]:
    _on_gpu(device, "sglang")
    libraries.load("triton", package="triton")
    return sglang_chain.subjects(device=device)


def _flashinfer(device: str) -> tuple[Subject, ...]:
    _on_gpu(device, "flashinfer")
    libraries.load("flashinfer.sampling", package="flashinfer-python")
    return (
        Subject(
            name=libraries.names_version("flashinfer-python", "chain_speculative_sampling on a GPU"),
            protocol="step",
            run=partial(_chain_of_flashinfer, device=device),
            rule=RATIO,
            dtypes=("float32", "float64"),
        ),
    )


def _chain_of_flashinfer(target: Any, draft: Any, drafted: Any, seed: int, *, device: str) -> tuple[Any, Any]:
    """Verify by the protocol ``step``, in float32."""
    torch = libraries.load("torch", package="torch")
    module = libraries.load("flashinfer.sampling", package="flashinfer-python")
    rows, drafts = (
        torch.as_tensor(np.array(table), dtype=torch.float32, device=device).contiguous()
        for table in (target, draft)
    )
    ids = torch.as_tensor(np.array(drafted), dtype=torch.int32, device=device)
    generator = torch.Generator(device).manual_seed(seed)
    tokens, _, emitted = module.chain_speculative_sampling(drafts, ids, rows, generator=generator)
    return tokens.cpu().numpy().astype(np.int64), emitted.cpu().numpy().astype(np.int64) + 1
