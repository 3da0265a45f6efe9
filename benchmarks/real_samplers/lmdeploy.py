"""LMDeploy: rejection sampling of its PyTorch engine, the torch backend and the Triton kernels on NumPy.

Needs an unpacked wheel of lmdeploy (0.18.0 was tried) and torch. docs/write-an-adapter.md walks through this
file.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from benchmarks.real_samplers import torch_calls, triton_numpy
from benchmarks.real_samplers.unpacked import Library, load, locate
from specsim.validation.conformance.adapters import libraries
from specsim.validation.conformance.rules.lossless import ONE_HOT, RATIO
from specsim.validation.conformance.subjects import Subject

#: Environment variable that names the folder of the unpacked wheel.
VARIABLE = "SPECSIM_LMDEPLOY_WHEEL"
_BACKENDS = "lmdeploy.pytorch.backends"
_BASE = f"{_BACKENDS}.rejection_sampling"
_KERNELS = "lmdeploy.pytorch.kernels.cuda.rejection_sampling"


@functools.cache
def _backend(library: Library, name: str) -> Any:
    """Import one backend, and as little else as it needs, with Triton on NumPy."""
    libraries.load("torch", package="torch")
    module, kind = {
        "torch": (f"{_BACKENDS}.default.rejection_sampling", "DefaultRejectionSamplingImpl"),
        "triton": (f"{_BACKENDS}.cuda.rejection_sampling", "CudaRejectionSamplingImpl"),
    }[name]
    real = (_BACKENDS, f"{_BACKENDS}.base", _BASE, _KERNELS)
    return getattr(load(library, module, real=real, given=triton_numpy.modules()), kind)()


class Verification:
    """One backend's ``forward``, by the protocol ``step``; drafts without rows are deterministic."""

    def __init__(self, library: Library, backend: str, *, draft_rows: bool) -> None:
        self.library, self.backend, self.draft_rows = library, backend, draft_rows

    def __call__(
        self, target: Any, draft: Any, drafted: Any, seed: int, *, temperatures: Any = None
    ) -> tuple[Any, Any]:
        """Verify; computed with in float32. Rows of temperature 0 are greedy, as the engine's mask says."""
        torch = libraries.load("torch", package="torch")
        logits = torch.as_tensor(np.array(target)).to(torch.float32).log()
        ids = torch.as_tensor(np.array(drafted), dtype=torch.long)
        scale, greedy = torch.ones(len(ids)), None
        if temperatures is not None:
            scale = torch.as_tensor(np.array(temperatures)).to(torch.float32)
            greedy = scale == 0
            scale = torch.where(greedy, torch.ones_like(scale), scale)
        logits = logits / scale[:, None, None]
        rows = None
        if self.draft_rows:
            read = torch.as_tensor(np.array(draft)).to(torch.float32).log() / scale[:, None, None]
            rows = read.softmax(dim=-1).contiguous()
        most = max(triton_numpy.next_power_of_2(size) for size in (logits.shape[-1], logits.shape[1]))
        with torch_calls.seeded(torch, seed), triton_numpy.lanes(most):
            # The engine draws bonus tokens with its usual sampler and hands them over.
            bonus = torch.multinomial(logits[:, -1].softmax(dim=-1), 1)[:, 0]
            if greedy is not None:
                bonus = torch.where(greedy, logits[:, -1].argmax(dim=-1), bonus)
            tokens, _, _ = _backend(self.library, self.backend).forward(
                logits[:, :-1].contiguous(), ids, bonus, is_greedy=greedy, draft_probs=rows
            )
        found = tokens.numpy().astype(np.int64)
        return found, (found >= 0).sum(axis=1)


def subjects() -> tuple[Subject, ...]:
    """Return both backends, with and without draft rows."""
    found = locate("lmdeploy", "lmdeploy", VARIABLE)
    return tuple(
        Subject(
            name=f"lmdeploy {found.version}: rejection sampling, {backend}{words}",
            protocol="step",
            run=Verification(found, backend, draft_rows=draft_rows),
            rule=RATIO if draft_rows else ONE_HOT,
            draft="required" if draft_rows else "never",
            options=frozenset({"temperatures"}),
            dtypes=("float32", "float64"),
            notes="Bonus tokens are drawn outside. Release 0.18.0 hands over no draft rows.",
        )
        for backend in ("torch", "triton")
        for draft_rows, words in ((True, ""), (False, ", no draft rows"))
    )
