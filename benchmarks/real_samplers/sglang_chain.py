"""SGLang: ``chain_speculative_sampling_triton``, token-wise and by block verification, its kernel on NumPy.

Needs an unpacked wheel of sglang (0.5.23 was tried) and torch.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from benchmarks.real_samplers import triton_numpy
from benchmarks.real_samplers.unpacked import Library, load, locate
from specsim.validation.conformance.adapters import libraries
from specsim.validation.conformance.rules.lossless import BLOCK, RATIO
from specsim.validation.conformance.subjects import Subject

#: Environment variable that names the folder of the unpacked wheel.
VARIABLE = "SPECSIM_SGLANG_WHEEL"
_MODULE = "sglang.kernels.ops.speculative.reject_sampling"


def library() -> Library:
    """Find the wheel; see `benchmarks.real_samplers.unpacked.locate`."""
    return locate("sglang", "sglang", VARIABLE)


@functools.cache
def _module(library: Library, stand_in: bool = True) -> Any:
    return load(library, _MODULE, given=triton_numpy.modules() if stand_in else None)


class ChainSampling:
    """The function, by the protocol ``step``; `block` asks for block verification.

    On a device other than the processor the kernel is Triton's own.
    """

    def __init__(self, library: Library, *, block: bool = False, device: str = "cpu") -> None:
        self.library = library
        self.block = block
        self.device = device

    def __call__(
        self, target: Any, draft: Any, drafted: Any, seed: int, *, coins: Any = None
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
            Seeds the uniforms, which the caller draws in SGLang too.
        coins
            The uniforms: one per drafted token and one for the last token, shape
            ``(batch, draft_length + 1)``. Defaults to None: drawn.
        """
        torch = libraries.load("torch", package="torch")
        rows = torch.as_tensor(np.array(target)).to(torch.float32).contiguous()
        drafts = torch.as_tensor(np.array(draft)).to(torch.float32).contiguous()
        ids = torch.as_tensor(np.array(drafted), dtype=torch.long)
        batch, length = ids.shape
        slots = length + 1
        if coins is None:
            generator = torch.Generator().manual_seed(libraries.narrow_seed(seed))
            uniforms = torch.rand((batch, slots), generator=generator)
            final = torch.rand((batch,), generator=generator)
        else:
            given = torch.as_tensor(np.array(coins)).to(torch.float32)
            uniforms = torch.cat((given[:, :length], torch.zeros(batch, 1)), dim=1)
            final = given[:, length].contiguous()
        predicted = torch.full((batch * slots,), -1, dtype=torch.int32)
        accepted_index = torch.full((batch, slots), -1, dtype=torch.int32)
        accepted = torch.zeros(batch, dtype=torch.int32)
        # Slot 0 of a request is its last emitted token.
        candidates = torch.cat((torch.zeros(batch, 1, dtype=torch.long), ids), dim=1)
        index = torch.arange(batch * slots).reshape(batch, slots)
        with triton_numpy.lanes(triton_numpy.next_power_of_2(rows.shape[-1])):
            predicted, accepted_index, accepted, candidates, index, uniforms, final, rows, drafts = (
                tensor.to(self.device)
                for tensor in (
                    predicted, accepted_index, accepted, candidates, index, uniforms, final, rows, drafts
                )
            )  # fmt: skip
            _module(self.library, self.device == "cpu").chain_speculative_sampling_triton(
                predicted,
                accepted_index,
                accepted,
                candidates,
                index,
                None,
                None,
                uniforms,
                final,
                rows,
                drafts,
                1.0,
                1.0,
                True,
                block_verification=self.block,
            )
        tokens, lengths = predicted.reshape(batch, slots).cpu().numpy(), accepted.cpu().numpy()
        return tokens.astype(np.int64), lengths.astype(np.int64) + 1


def subjects(device: str = "cpu") -> tuple[Subject, ...]:
    """Return the token-wise and the block step."""
    found = library()
    where = "a NumPy stand-in for Triton" if device == "cpu" else device
    notes = f"The kernel runs on {where}; uniforms are drawn outside of it."
    return tuple(
        Subject(
            name=f"sglang {found.version}: chain_speculative_sampling_triton, {kind}",
            protocol="step",
            run=ChainSampling(found, block=block, device=device),
            rule=rule,
            options=frozenset({"coins"}),
            dtypes=("float32", "float64"),
            notes=notes,
        )
        for kind, block, rule in (("token by token", False, RATIO), ("block verification", True, BLOCK))
    )
