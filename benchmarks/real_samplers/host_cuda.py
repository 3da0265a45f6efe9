"""Compiling sampling kernels written in CUDA for the host: one thread per block, blocks one after the other.

With one thread the collectives of a block (reductions, scans, differences with the neighbour) are plain loops
over that thread's own values; everything that decides about tokens is the library's code. Needs g++.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import shutil
import subprocess
import tempfile
from typing import Any

from specsim.errors import InputError

#: What kernels use of CUDA, CUB, cuRAND and flashinfer's vectors.
_SHIMS = r"""
#include <cmath>
#include <cstdint>
#include <numeric>
#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__
#define __align__(bytes) __attribute__((aligned(bytes)))
#define FLASHINFER_SAMPLING_LAUNCH_BOUNDS(threads)
#define FLASHINFER_CUB_SUBTRACTLEFT_DEFINED
struct Index { uint32_t x = 0, y = 0, z = 0; };
static Index blockIdx, threadIdx;
static inline void __syncthreads() {}
static inline float max(float a, float b) { return std::fmax(a, b); }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline void atomicMin(int32_t* place, int32_t value) { if (value < *place) *place = value; }
template <class N> static inline N ceil_div(N number, uint32_t size) { return (number + size - 1) / size; }

enum BlockScanAlgorithm { BLOCK_SCAN_WARP_SCANS };
enum BlockReduceAlgorithm { BLOCK_REDUCE_WARP_REDUCTIONS };
struct MaxReduceOp { template <class T> T operator()(T a, T b) const { return max(a, b); } };
struct Nothing {};
template <class T, uint32_t THREADS, BlockReduceAlgorithm A = BLOCK_REDUCE_WARP_REDUCTIONS>
struct BlockReduce {
  static_assert(THREADS == 1, "one thread");
  using TempStorage = Nothing;
  BlockReduce(TempStorage&) {}
  T Sum(T value) { return value; }
  template <uint32_t N> T Sum(T (&values)[N]) {
    T sum = values[0];
    for (uint32_t i = 1; i < N; ++i) sum += values[i];
    return sum;
  }
  template <class Op> T Reduce(T value, Op) { return value; }
  template <uint32_t N, class Op> T Reduce(T (&values)[N], Op op) {
    T found = values[0];
    for (uint32_t i = 1; i < N; ++i) found = op(found, values[i]);
    return found;
  }
};
template <class T, uint32_t THREADS, BlockScanAlgorithm A>
struct BlockScan {
  static_assert(THREADS == 1, "one thread");
  using TempStorage = Nothing;
  BlockScan(TempStorage&) {}
  template <uint32_t N> void InclusiveSum(T (&in)[N], T (&out)[N]) {
    T sum = 0;
    for (uint32_t i = 0; i < N; ++i) out[i] = sum += in[i];
  }
};
template <class T, uint32_t THREADS>
struct BlockAdjacentDifference {
  static_assert(THREADS == 1, "one thread");
  using TempStorage = Nothing;
  BlockAdjacentDifference(TempStorage&) {}
  template <uint32_t N, class Op> void SubtractLeft(T (&in)[N], T (&out)[N], Op op) {
    out[0] = in[0];
    for (uint32_t i = 1; i < N; ++i) out[i] = op(in[i], in[i - 1]);
  }
};
template <class T, uint32_t N>
struct vec_t {
  T data[N];
  T& operator[](uint32_t i) { return data[i]; }
  void fill(T value) { for (uint32_t i = 0; i < N; ++i) data[i] = value; }
  void load(const T* from) { for (uint32_t i = 0; i < N; ++i) data[i] = from[i]; }
  template <class S> void cast_load(const S* from) { for (uint32_t i = 0; i < N; ++i) data[i] = T(from[i]); }
};

// Philox4x32-10 with cuRAND's layout: key = seed, counter = (offset / 4, sequence), words one by one.
struct curandStatePhilox4_32_10_t { uint64_t seed, sequence, place; };
static inline void curand_init(uint64_t seed, uint64_t sequence, uint64_t offset,
                               curandStatePhilox4_32_10_t* state) {
  *state = {seed, sequence, offset};
}
static inline uint32_t curand(curandStatePhilox4_32_10_t* state) {
  const uint64_t block = state->place / 4;
  uint32_t c[4] = {uint32_t(block), uint32_t(block >> 32), uint32_t(state->sequence),
                   uint32_t(state->sequence >> 32)};
  uint32_t k0 = uint32_t(state->seed), k1 = uint32_t(state->seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t(0xD2511F53u) * c[0], b = uint64_t(0xCD9E8D57u) * c[2];
    const uint32_t next[4] = {uint32_t(b >> 32) ^ c[1] ^ k0, uint32_t(b),
                              uint32_t(a >> 32) ^ c[3] ^ k1, uint32_t(a)};
    for (int i = 0; i < 4; ++i) c[i] = next[i];
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c[state->place++ % 4];
}
static inline float curand_uniform(curandStatePhilox4_32_10_t* state) {
  const float step = 2.3283064e-10f;
  return float(curand(state)) * step + step / 2.0f;
}
using std::isinf;
"""


def definition(source: str, start: str) -> str:
    """Cut one function or struct out of a CUDA source, with the template line before it.

    Parameters
    ----------
    source
        The text of the file.
    start
        A regular expression for the text up to its name.

    Raises
    ------
    InputError
        The file defines no such thing.
    """
    found = re.search(start, source)
    if found is None:
        raise InputError(f"source has no {start!r}; give a version of the library that has it")
    begin = source.rfind("\n\n", 0, found.start()) + 2
    depth = 0
    for place in range(source.index("{", found.end()), len(source)):
        depth += {"{": 1, "}": -1}.get(source[place], 0)
        if depth == 0:
            text = source[begin : place + 1] + (";" if source[place + 1] == ";" else "") + "\n\n"
            # nvcc takes a member template of a dependent type without the word; g++ does not.
            return re.sub(r"\.(Sum|SubtractLeft)<VEC_SIZE>", r".template \1<VEC_SIZE>", text)
    raise InputError(f"source does not close {start!r}; the file is cut short")


def sampling_helpers(source: str) -> str:
    """Cut out of flashinfer's sampling.cuh what kernels of both libraries call."""
    names = (
        r"struct ValueCount",
        r"struct BoolDiffOp",
        r"struct SamplingTempStorage",
        r"void DeterministicInclusiveSum\(",
        r"void DeviceSamplingFromProb\(",
    )
    declared = """
static inline float __shfl_up_sync(unsigned, float value, unsigned) { return value; }
static inline float __shfl_sync(unsigned, float value, unsigned) { return value; }
static inline float __shfl_xor_sync(unsigned, float value, unsigned) { return value; }
"""
    return declared + "".join(definition(source, name) for name in names)


@functools.cache
def compiled(text: str) -> Any:
    """Compile a translation unit, the shims before it, and load it with ctypes.

    Raises
    ------
    InputError
        g++ is missing, or it refuses the source.
    """
    compiler = os.environ.get("CXX") or shutil.which("g++")
    if compiler is None:
        raise InputError("g++ is missing; install a C++ compiler or set CXX")
    with tempfile.TemporaryDirectory(prefix="specsim-cuda-") as folder:
        source, library = os.path.join(folder, "kernel.cpp"), os.path.join(folder, "kernel.so")
        with open(source, "w", encoding="utf-8") as file:
            file.write(_SHIMS + text)
        command = [compiler, "-std=c++17", "-O2", "-w", "-ffp-contract=off", "-shared", "-fPIC"]
        done = subprocess.run([*command, source, "-o", library], capture_output=True, text=True, check=False)
        if done.returncode:
            first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[:200])
            raise InputError(f"{compiler} refuses the kernel: {first}; give a version that was tried")
        return ctypes.CDLL(library)
