"""flashinfer: the CUDA kernel of ``chain_speculative_sampling``, compiled for the host.

Needs an unpacked wheel of flashinfer-python (0.7.2.post1 was tried) and g++. The scan that adds up the final
token's weights is the plain one (``deterministic=False``); the other one needs the threads of a warp.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from benchmarks.real_samplers import host_cuda
from benchmarks.real_samplers.unpacked import Library, locate
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject

#: Environment variable that names the folder of the unpacked wheel.
VARIABLE = "SPECSIM_FLASHINFER_WHEEL"
_SOURCE = "flashinfer/data/include/flashinfer/sampling.cuh"

_DRIVER = r"""
uint8_t smem_sampling[1 << 16];
template <uint32_t VEC>
void blocks(float* draft, int* ids, float* target, int* out, int* accepted, int* emitted,
            uint32_t batch, uint32_t length, uint32_t vocabulary, uint64_t seed) {
  for (uint32_t row = 0; row < batch; ++row) {
    blockIdx.x = row;
    ChainSpeculativeSampling<1, BLOCK_SCAN_WARP_SCANS, BLOCK_REDUCE_WARP_REDUCTIONS, VEC, false, float, int>(
        draft, ids, target, out, accepted, emitted, length, vocabulary, nullptr, seed, nullptr, 0, 0, 0);
  }
}
extern "C" void chain(float* draft, int* ids, float* target, int* out, int* accepted, int* emitted,
                      uint32_t batch, uint32_t length, uint32_t vocabulary, uint64_t seed) {
  // The library's own choice of vectors, 16 bytes at most.
  switch (std::gcd(4u, vocabulary)) {
    case 4: return blocks<4>(draft, ids, target, out, accepted, emitted, batch, length, vocabulary, seed);
    case 2: return blocks<2>(draft, ids, target, out, accepted, emitted, batch, length, vocabulary, seed);
    default: return blocks<1>(draft, ids, target, out, accepted, emitted, batch, length, vocabulary, seed);
  }
}
"""


def library() -> Library:
    """Find the wheel; see `benchmarks.real_samplers.unpacked.locate`."""
    return locate("flashinfer", "flashinfer-python", VARIABLE)


@functools.cache
def _compiled(library: Library) -> Any:
    source = (library.folder / _SOURCE).read_text(encoding="utf-8")
    kernel = host_cuda.definition(source, r"void ChainSpeculativeSampling\(")
    return host_cuda.compiled(host_cuda.sampling_helpers(source) + kernel + _DRIVER)


def _pointer(array: Any, kind: Any) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(kind))


def chain_speculative_sampling(target: Any, draft: Any, drafted: Any, seed: int) -> tuple[Any, Any]:
    """Verify by the protocol ``step``, in float32; the seed is the kernel's, of its Philox generator."""
    rows = np.ascontiguousarray(target, np.float32).copy()
    drafts = np.ascontiguousarray(draft, np.float32).copy()
    ids = np.ascontiguousarray(drafted, np.int32).copy()
    batch, length = ids.shape
    out = np.full((batch, length + 1), -1, np.int32)
    accepted, emitted = np.zeros(batch, np.int32), np.zeros(batch, np.int32)
    _compiled(library()).chain(
        _pointer(drafts, ctypes.c_float),
        _pointer(ids, ctypes.c_int),
        _pointer(rows, ctypes.c_float),
        _pointer(out, ctypes.c_int),
        _pointer(accepted, ctypes.c_int),
        _pointer(emitted, ctypes.c_int),
        ctypes.c_uint32(batch),
        ctypes.c_uint32(length),
        ctypes.c_uint32(rows.shape[-1]),
        ctypes.c_uint64(seed),
    )
    return out.astype(np.int64), emitted.astype(np.int64) + 1


def subjects() -> tuple[Subject, ...]:
    """Return the step."""
    return (
        Subject(
            name=f"flashinfer-python {library().version}: chain_speculative_sampling",
            protocol="step",
            run=chain_speculative_sampling,
            rule=RATIO,
            dtypes=("float32", "float64"),
            notes="CUDA source compiled for the host with one thread per block, deterministic=False.",
        ),
    )
