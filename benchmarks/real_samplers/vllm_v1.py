"""vLLM's V1 engine: ``rejection_sample`` of ``vllm/v1/sample/rejection_sampler.py``, its kernels on NumPy.

Needs an unpacked wheel of vllm (0.9.2 and 0.33.0 were tried) and torch.
"""

from __future__ import annotations

import functools
import inspect
import types
from typing import Any

import numpy as np

from benchmarks.real_samplers import torch_calls, triton_numpy
from benchmarks.real_samplers.unpacked import Library, load, locate
from specsim.validation.conformance.adapters import libraries
from specsim.validation.conformance.rules.lossless import ONE_HOT, RATIO
from specsim.validation.conformance.subjects import Subject

#: Environment variable that names the folder of the unpacked wheel.
VARIABLE = "SPECSIM_VLLM_WHEEL"
_SAMPLER = "vllm.v1.sample.rejection_sampler"
_REAL = (
    "vllm.v1.sample.ops.topk_topp_sampler",
    "vllm.model_executor.warmup.jit_warmup",
    "vllm.model_executor.warmup.jit_warmup_triton_helper",
)


def library(variable: str = VARIABLE) -> Library:
    """Find the wheel; see `benchmarks.real_samplers.unpacked.locate`."""
    return locate("vllm", "vllm", variable)


def triton_modules() -> dict[str, types.ModuleType]:
    """Return the NumPy stand-ins for Triton and for ``vllm.triton_utils``."""
    given = dict(triton_numpy.modules())
    utils = types.ModuleType("vllm.triton_utils")
    utils.__dict__.update(
        triton=given["triton"],
        tl=given["triton.language"],
        tldevice=given["triton.language.extra.libdevice"],
        # Code that asks takes its torch path then; the kernels called outright run on the stand-in.
        HAS_TRITON=False,
    )
    given["vllm.triton_utils"] = utils
    return given


@functools.cache
def _module(library: Library) -> Any:
    torch = libraries.load("torch", package="torch")
    with torch_calls.uncompiled(torch):
        return load(library, _SAMPLER, real=_REAL, given=triton_modules())


class RejectionSample:
    """The function of one wheel, by the protocol ``step``.

    Parameters
    ----------
    library
        Where it is.
    draft_rows
        Whether the draft's probabilities are handed over; without them vLLM takes drafts for deterministic.
    per_request_seeds
        Whether every request has a generator of its own, as with ``SamplingParams(seed=...)``. Defaults to
        False: torch's global generator.
    """

    def __init__(self, library: Library, *, draft_rows: bool = True, per_request_seeds: bool = False) -> None:
        self.library = library
        self.draft_rows = draft_rows
        self.per_request_seeds = per_request_seeds

    def __call__(
        self,
        target: Any,
        draft: Any,
        drafted: Any,
        seed: int,
        *,
        draft_lengths: Any = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> tuple[Any, Any]:
        """Verify; computed with in float32.

        Parameters
        ----------
        target, draft
            Probabilities, shapes ``(batch, draft_length + 1, vocabulary)`` and
            ``(batch, draft_length, vocabulary)``.
        drafted
            Drafted tokens, shape ``(batch, draft_length)``.
        seed
            Seeds torch's global generator, whose state is put back.
        draft_lengths
            Drafted tokens per row, shape ``(batch,)``. Defaults to None: all.
        temperature, top_k, top_p
            Applied by vLLM's ``apply_sampling_constraints`` (``compute_probs`` in 0.9.2) to both sides.
            Default to None: not at all.
        """
        torch = libraries.load("torch", package="torch")
        module = _module(self.library)
        rows = torch.as_tensor(np.array(target)).to(torch.float32)
        ids = torch.as_tensor(np.array(drafted), dtype=torch.int32)
        batch, length = ids.shape
        counts = [length] * batch if draft_lengths is None else [int(count) for count in draft_lengths]
        kept = torch.arange(length)[None, :] < torch.tensor(counts)[:, None]
        ends = torch.tensor(counts).cumsum(0).to(torch.int32)
        generators = {}
        if self.per_request_seeds:
            words = np.random.SeedSequence(seed).generate_state(batch, np.uint64)
            generators = {
                row: torch.Generator().manual_seed(int(word >> 1)) for row, word in enumerate(words)
            }
        metadata = types.SimpleNamespace(
            all_greedy=False,
            all_random=True,
            temperature=torch.full((batch,), 1.0 if temperature is None else temperature),
            top_k=None if top_k is None else torch.full((batch,), top_k, dtype=torch.int32),
            top_p=None if top_p is None else torch.full((batch,), top_p),
            generators=generators,
        )
        vocabulary = rows.shape[-1]
        most = max(triton_numpy.next_power_of_2(vocabulary), triton_numpy.next_power_of_2(length + 1))
        with torch_calls.seeded(torch, seed), triton_numpy.lanes(most):
            flat = self._constrained(module, rows[:, :length][kept].log(), ends, metadata)
            last = rows[torch.arange(batch), torch.tensor(counts)].log()
            ones = torch.arange(1, batch + 1, dtype=torch.int32)
            bonus = self._probabilities(self._constrained(module, last, ones, metadata))
            drafts = None
            if self.draft_rows:
                given = torch.as_tensor(np.array(draft)).to(torch.float32)[kept]
                drafts = self._probabilities(self._constrained(module, given.log(), ends, metadata))
            takes_logits = "target_logits" in inspect.signature(module.rejection_sample).parameters
            found = module.rejection_sample(
                ids[kept].contiguous(),
                counts,
                max(counts),
                ends,
                drafts,
                flat if takes_logits else self._probabilities(flat),
                # The engine draws bonus tokens with its usual sampler and hands them over.
                torch.multinomial(bonus, 1).to(torch.int32),
                metadata,
            ).numpy()
        tokens = np.full((batch, length + 1), -1, np.int64)
        tokens[:, : found.shape[1]] = found
        return tokens, (tokens >= 0).sum(axis=1)

    def _constrained(self, module: Any, logits: Any, ends: Any, metadata: Any) -> Any:
        """Apply temperature, top-k and top-p as the library does; return logits."""
        if logits.shape[0] == 0:
            return logits
        if hasattr(module, "apply_sampling_constraints"):
            return module.apply_sampling_constraints(logits, ends, metadata)
        return module.compute_probs(logits, ends, metadata).log()

    @staticmethod
    def _probabilities(logits: Any) -> Any:
        return logits.softmax(dim=-1).contiguous()


def subjects(variable: str = VARIABLE) -> tuple[Subject, ...]:
    """Return the step with and without draft rows, and with a seed per request."""
    found = library(variable)
    name = f"vllm {found.version}: V1 rejection_sample"
    notes = "Kernels on a NumPy stand-in for Triton; bonus tokens are drawn outside, by torch.multinomial."
    options = frozenset({"draft_lengths", "temperature", "top_k", "top_p"})
    dtypes = ("float32", "float64")
    return (
        Subject(
            name=name,
            protocol="step",
            run=RejectionSample(found),
            rule=RATIO,
            options=options,
            dtypes=dtypes,
            notes=notes,
        ),
        Subject(
            name=f"{name}, a seed per request",
            protocol="step",
            run=RejectionSample(found, per_request_seeds=True),
            rule=RATIO,
            options=options,
            dtypes=dtypes,
            notes=notes,
        ),
        Subject(
            name=f"{name}, no draft rows",
            protocol="step",
            run=RejectionSample(found, draft_rows=False),
            rule=ONE_HOT,
            options=options,
            dtypes=dtypes,
            draft="never",
            notes=notes,
        ),
    )
