"""SGLang: the CUDA kernel of ``tree_speculative_sampling_target_only``, compiled for the host.

It looks at target rows only: siblings share one coin, which is compared with the target mass of those tried
so far. SGLang hands it rows of zeros for the draft. Needs unpacked wheels of sglang (0.5.23 was tried) and of
flashinfer-python, whose sampling functions the kernel includes, and g++. The scan that adds up the final
token's weights is the plain one (``deterministic=False``); the other one needs the threads of a warp.
flashinfer-python 0.7.2.post1 was tried; the header of 0.7.4 does not compile with this kernel.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np

from benchmarks.real_samplers import flashinfer_chain, host_cuda, sglang_chain
from benchmarks.real_samplers.unpacked import Library
from specsim.validation.conformance.rules.lossless import SUMMED_COIN
from specsim.validation.conformance.subjects import Subject

_SOURCE = "sglang/kernels/jit/include/sgl_kernel/speculative/sampling.cuh"
_HELPERS = "flashinfer/data/include/flashinfer/sampling.cuh"

_DRIVER = r"""
uint8_t smem_sampling[1 << 16];
template <uint32_t VEC>
void blocks(int32_t* predicts, int32_t* index, int32_t* accepted, int64_t* candidates, int64_t* own,
            int64_t* next, int64_t* sibling, float* coins, float* final, float* target, float* draft,
            uint32_t batch, uint32_t depth, uint32_t nodes, uint32_t vocabulary) {
  for (uint32_t row = 0; row < batch; ++row) {
    blockIdx.x = row;
    TreeSpeculativeSamplingTargetOnly<1, BLOCK_SCAN_WARP_SCANS, BLOCK_REDUCE_WARP_REDUCTIONS, VEC, false,
                                      float, int32_t, int64_t>(
        predicts, index, accepted, candidates, own, next, sibling, coins, final, target, draft,
        batch, depth, nodes, vocabulary, 1.0f, 1.0f);
  }
}
extern "C" void tree(int32_t* predicts, int32_t* index, int32_t* accepted, int64_t* candidates, int64_t* own,
                     int64_t* next, int64_t* sibling, float* coins, float* final, float* target, float* draft,
                     uint32_t batch, uint32_t depth, uint32_t nodes, uint32_t vocabulary) {
#define CALL(VEC)                                                                                       \
  return blocks<VEC>(predicts, index, accepted, candidates, own, next, sibling, coins, final, target, \
                     draft, batch, depth, nodes, vocabulary)
  switch (std::gcd(4u, vocabulary)) {
    case 4: CALL(4);
    case 2: CALL(2);
    default: CALL(1);
  }
}
"""


@functools.cache
def _compiled(library: Library, helpers: Library) -> Any:
    kernel = (library.folder / _SOURCE).read_text(encoding="utf-8")
    functions = (helpers.folder / _HELPERS).read_text(encoding="utf-8")
    return host_cuda.compiled(
        host_cuda.sampling_helpers(functions)
        + host_cuda.definition(kernel, r"void TreeSpeculativeSamplingTargetOnly\(")
        + _DRIVER
    )


def tree_sampling(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> tuple[Any, Any]:
    """Verify by the protocol ``tree``, in float32; uniforms come from NumPy (in SGLang, from the caller)."""
    parents = np.asarray(parents)
    rows = np.ascontiguousarray(target, np.float32).copy()
    batch, nodes, vocabulary = rows.shape
    depths = np.zeros(nodes, int)
    following, sibling = np.full(nodes, -1), np.full(nodes, -1)
    youngest: dict[int, int] = {}
    for node in range(1, nodes):
        parent = int(parents[node])
        depths[node] = depths[parent] + 1
        if parent in youngest:
            sibling[youngest[parent]] = node
        else:
            following[parent] = node
        youngest[parent] = node
    slots = int(depths.max()) + 1
    rng = np.random.default_rng(seed)
    arrays = (
        (predicts := np.full((batch, nodes), -1, np.int32)),
        (index := np.full((batch, slots), -1, np.int32)),
        (accepted := np.zeros(batch, np.int32)),
        np.maximum(np.asarray(tokens), 0).astype(np.int64),
        np.arange(batch * nodes, dtype=np.int64),
        np.tile(following.astype(np.int64), (batch, 1)),
        np.tile(sibling.astype(np.int64), (batch, 1)),
        rng.random((batch, nodes), np.float32),
        rng.random(batch, np.float32),
        rows,
        np.zeros_like(rows),
    )
    sizes = (ctypes.c_uint32(size) for size in (batch, slots, nodes, vocabulary))
    _compiled(sglang_chain.library(), flashinfer_chain.library()).tree(
        *(ctypes.c_void_p(np.ascontiguousarray(array).ctypes.data) for array in arrays), *sizes
    )
    emitted = np.full((batch, slots), -1, np.int64)
    flat = predicts.reshape(-1)
    for row in range(batch):
        count = int(accepted[row]) + 1
        emitted[row, :count] = flat[index[row, :count]]
    return emitted, accepted.astype(np.int64) + 1


def subjects() -> tuple[Subject, ...]:
    """Return the tree verification at thresholds 1, SGLang's defaults."""
    return (
        Subject(
            name=f"sglang {sglang_chain.library().version}: tree_speculative_sampling_target_only",
            protocol="tree",
            run=tree_sampling,
            rule=SUMMED_COIN,
            dtypes=("float32", "float64"),
            draft="never",
            drawing="without",
            notes="CUDA source compiled for the host with one thread per block, deterministic=False.",
        ),
    )
