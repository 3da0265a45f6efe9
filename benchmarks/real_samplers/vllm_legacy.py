"""vLLM's samplers of before the V1 engine: ``RejectionSampler`` and ``TypicalAcceptanceSampler``, pure torch.

Needs a wheel of vllm 0.9.2, the last line of releases that has them, unpacked, and torch.
"""

from __future__ import annotations

import functools
import types
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.real_samplers import torch_calls
from benchmarks.real_samplers.unpacked import Library, load, locate
from specsim.validation.conformance.adapters import libraries
from specsim.validation.conformance.rules.base import Floats, position_rule
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject

#: Environment variable that names the folder of the unpacked wheel.
VARIABLE = "SPECSIM_VLLM_LEGACY_WHEEL"
_LAYERS = "vllm.model_executor.layers"
#: vLLM's defaults of the typical sampler's options (``posterior_threshold``, ``posterior_alpha``).
THRESHOLD, ALPHA = 0.09, 0.3


def library() -> Library:
    """Find the wheel; see `benchmarks.real_samplers.unpacked.locate`."""
    return locate("vllm", "vllm", VARIABLE, versions="vllm==0.9.2", variant="0.9.2")


@functools.cache
def _class(module: str, name: str) -> Any:
    torch = libraries.load("torch", package="torch")
    platform = types.SimpleNamespace(simple_compile_backend="eager", device_type="cpu", is_cuda=lambda: False)
    platforms = types.ModuleType("vllm.platforms")
    platforms.current_platform = platform  # type: ignore[attr-defined]
    with torch_calls.uncompiled(torch):
        loaded = load(
            library(),
            f"{_LAYERS}.{module}",
            real=(f"{_LAYERS}.spec_decode_base_sampler",),
            given={"vllm.platforms": platforms},
            stubbed=("flashinfer",),
        )
    return getattr(loaded, name)


def _verify(sampler: Any, target: Any, draft: Any, drafted: Any, seed: int) -> tuple[Any, Any]:
    torch = libraries.load("torch", package="torch")
    sampler.init_tensors("cpu")
    rows = torch.as_tensor(np.asarray(target)).to(torch.float32)
    drafts = None if draft is None else torch.as_tensor(np.asarray(draft)).to(torch.float32)
    ids = torch.as_tensor(np.asarray(drafted), dtype=torch.long)
    with torch_calls.seeded(torch, seed):
        # The engine draws the bonus token with its usual sampler and hands it over.
        bonus = torch.multinomial(rows[:, -1], 1)
        found = sampler(rows, bonus, drafts, ids).numpy()
    return found, (found >= 0).sum(axis=1)


def rejection_sampler(target: Any, draft: Any, drafted: Any, seed: int) -> tuple[Any, Any]:
    """Verify with ``RejectionSampler``, without flashinfer's kernel.

    Parameters
    ----------
    target, draft
        Probabilities, shapes ``(batch, draft_length + 1, vocabulary)`` and
        ``(batch, draft_length, vocabulary)``; computed with in float32.
    drafted
        Drafted tokens, shape ``(batch, draft_length)``.
    seed
        Seeds torch's global generator, whose state is put back.
    """
    return _verify(
        _class("rejection_sampler", "RejectionSampler")(use_flashinfer=False), target, draft, drafted, seed
    )


def typical_acceptance_sampler(target: Any, draft: Any, drafted: Any, seed: int) -> tuple[Any, Any]:
    """Verify with ``TypicalAcceptanceSampler`` at vLLM's default options; parameters as above."""
    sampler = _class("typical_acceptance_sampler", "TypicalAcceptanceSampler")(THRESHOLD, ALPHA)
    return _verify(sampler, target, None, drafted, seed)


def typical_acceptance(target: Floats, draft: Floats | None) -> NDArray[np.float64]:
    """Return 1 for the tokens that pass the threshold min(0.09, 0.3 exp(-entropy)), else 0."""
    entropy = -(target * np.log(target + 1e-5)).sum(axis=-1, keepdims=True)
    return (target > np.minimum(THRESHOLD, ALPHA * np.exp(-entropy))).astype(np.float64)


def _argmax(target: Floats, draft: Floats | None) -> NDArray[np.float64]:
    return np.eye(target.shape[-1])[target.argmax(axis=-1)]


TYPICAL = position_rule(
    name="vllm-typical-acceptance",
    title="accept above a threshold that falls with the target's entropy, else the target's likeliest token",
    source="2401.10774, section 3.3.1; vLLM 0.9.2, typical_acceptance_sampler.py",
    lossless=False,
    acceptance=typical_acceptance,
    residual=_argmax,
    bug_class="13 lossy by option",
)


def subjects() -> tuple[Subject, ...]:
    """Return both samplers."""
    version = library().version
    return (
        Subject(
            name=f"vllm {version}: RejectionSampler (legacy)",
            protocol="step",
            run=rejection_sampler,
            rule=RATIO,
            dtypes=("float32", "float64"),
            notes="Bonus tokens are drawn outside of it, here by torch.multinomial; float32 inside.",
        ),
        Subject(
            name=f"vllm {version}: TypicalAcceptanceSampler",
            protocol="step",
            run=typical_acceptance_sampler,
            rule=TYPICAL,
            dtypes=("float32", "float64"),
            notes="Lossy by design, blind to draft rows; only the bonus token, drawn outside, is random.",
        ),
    )
