"""flashinfer: after a draft row of NaN, ``chain_speculative_sampling`` emits an id that is not a token.

A drafted token whose draft probability is NaN is rejected, because ``u * p < q`` is false. Its replacement is
drawn from ``max(q - p, 0)``; CUDA's ``max`` of NaN and 0 is 0, so that no token has weight. The kernel then
falls back to ``last_valid_id``. In 0.7.4 this is -1, the id for padding, although the row has not ended. In
0.7.2.post1 it is not set at all, and what was in shared memory before is emitted.

Needs g++, ``pip install numpy`` and the folder of an unpacked flashinfer-python wheel (``pip download
--no-deps flashinfer-python==0.7.4``), named on the command line. The kernel and the functions that it calls
are cut out of the wheel's ``sampling.cuh`` and compiled for the processor with one thread per block: sums and
scans over a block are then sums and scans over one value. Shared memory is filled with 12345 before each
call. Prints the ids that follow a rejected token; exits with 1 when one of them is not a token.
"""

import ctypes
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

RUNS, VOCABULARY, DIRTY = 1000, 3, 12345
#: The target forbids token 0, which is drafted: every draft is rejected.
TARGET = [[0.0, 0.5, 0.5], [0.0, 0.5, 0.5]]
ROWS = {"uniform": [1 / 3] * 3, "NaN": [float("nan")] * 3}
PARTS = (
    r"struct ValueCount",
    r"struct BoolDiffOp",
    r"struct SamplingTempStorage",
    r"void DeviceSamplingFromProb\(",
    r"void ChainSpeculativeSampling\(",
)

BEFORE = r"""
#include <cmath>
#include <cstdint>
#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__
#define __align__(bytes)
#define FLASHINFER_SAMPLING_LAUNCH_BOUNDS(threads)
#define FLASHINFER_CUB_SUBTRACTLEFT_DEFINED
struct { uint32_t x; } blockIdx, threadIdx;
void __syncthreads() {}
float max(float a, float b) { return std::fmax(a, b); }  // As in CUDA, NaN loses.
void atomicMin(int32_t* place, int32_t value) { if (value < *place) *place = value; }
uint32_t ceil_div(uint32_t a, uint32_t b) { return (a + b - 1) / b; }
struct curandStatePhilox4_32_10_t { uint64_t state; };
void curand_init(uint64_t seed, uint64_t, uint64_t, curandStatePhilox4_32_10_t* s) { s->state = seed; }
float curand_uniform(curandStatePhilox4_32_10_t* s) {  // Any good generator will do: SplitMix64, in (0, 1].
  uint64_t z = (s->state += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return ((z ^ (z >> 31)) >> 40) * 0x1p-24f + 0x1p-25f;
}
enum BlockScanAlgorithm { SCAN };
enum BlockReduceAlgorithm { REDUCE };
struct MaxReduceOp {};
template <class T, uint32_t N> struct vec_t {
  T data;
  T& operator[](uint32_t) { return data; }
  void fill(T value) { data = value; }
  template <class S> void cast_load(const S* from) { data = *from; }
};
template <class T, uint32_t, BlockReduceAlgorithm = REDUCE> struct BlockReduce {
  struct TempStorage {};
  BlockReduce(TempStorage&) {}
  T Sum(T value) { return value; }
  template <uint32_t N> T Sum(T (&values)[N]) { return values[0]; }
  template <class Op> T Reduce(T value, Op) { return value; }
  template <class Op> T Reduce(T (&values)[1], Op) { return values[0]; }
};
template <class T, uint32_t, BlockScanAlgorithm> struct BlockScan {
  struct TempStorage {};
  BlockScan(TempStorage&) {}
  template <uint32_t N> void InclusiveSum(T (&in)[N], T (&out)[N]) { out[0] = in[0]; }
};
template <class T, uint32_t> struct BlockAdjacentDifference {
  struct TempStorage {};
  BlockAdjacentDifference(TempStorage&) {}
  template <uint32_t N, class Op> void SubtractLeft(T (&in)[N], T (&out)[N], Op) { out[0] = in[0]; }
};
template <uint32_t, uint32_t, BlockScanAlgorithm, BlockReduceAlgorithm, class... A>
void DeterministicInclusiveSum(A...);
"""

AFTER = r"""
uint8_t smem_sampling[4096];
extern "C" int rejected(float* draft, float* target, int vocabulary, uint64_t seed, int dirty) {
  for (int i = 0; i < 1024; ++i) ((int*)smem_sampling)[i] = dirty;
  int drafted = 0, out[2] = {-2, -2}, accepted = 0, emitted = 0;
  ChainSpeculativeSampling<1, SCAN, REDUCE, 1, false, float, int>(
      draft, &drafted, target, out, &accepted, &emitted, 1, vocabulary, nullptr, seed, nullptr, 0, 0, 0);
  return out[0];
}
"""


def part(source, start):
    """Cut out a definition that starts so, with its template line, up to the brace that closes it."""
    found = re.search(start, source)
    begin = source.rfind("\n\n", 0, found.start())
    depth = 0
    for end in range(source.index("{", found.end()), len(source)):
        depth += {"{": 1, "}": -1}.get(source[end], 0)
        if depth == 0:
            # The compiler of CUDA does not need the word `template` here, g++ does.
            return re.sub(r"\.(Sum|SubtractLeft)<", r".template \1<", source[begin : end + 1]) + ";\n"
    raise SystemExit(f"{start} does not end")


def compiled(folder):
    """Compile the kernel for the processor and return the function `rejected`."""
    source = Path(folder, "flashinfer", "data", "include", "flashinfer", "sampling.cuh").read_text()
    with tempfile.TemporaryDirectory() as place:
        code, library = Path(place, "kernel.cpp"), Path(place, "kernel.so")
        code.write_text(BEFORE + "".join(part(source, start) for start in PARTS) + AFTER)
        subprocess.run(
            ["g++", "-std=c++17", "-O1", "-w", "-shared", "-fPIC", code, "-o", library], check=True
        )
        return ctypes.CDLL(str(library)).rejected


def main():
    """Reject drafts of both kinds and print what is emitted instead."""
    if len(sys.argv) != 2 or not Path(sys.argv[1], "flashinfer").is_dir():
        print(f"usage: {sys.argv[0]} FOLDER-OF-AN-UNPACKED-FLASHINFER-WHEEL")
        return 2
    if shutil.which("g++") is None:
        print("g++ is missing; install a C++ compiler")
        return 2
    function = compiled(sys.argv[1])
    version = next(Path(sys.argv[1]).glob("flashinfer_python-*.dist-info")).name.removesuffix(".dist-info")
    print(f"{version}: ids emitted after token 0 was rejected, {RUNS} runs; right: 1 and 2, half each")
    pointer = ctypes.POINTER(ctypes.c_float)
    wrong = 0
    for name, row in ROWS.items():
        draft, target = np.array(row, np.float32), np.array(TARGET, np.float32)
        ids = [
            function(
                draft.ctypes.data_as(pointer), target.ctypes.data_as(pointer),
                VOCABULARY, ctypes.c_uint64(seed), DIRTY,
            )
            for seed in range(RUNS)
        ]  # fmt: skip
        found, counts = np.unique(ids, return_counts=True)
        counted = ", ".join(f"id {id_} {count} times" for id_, count in zip(found, counts, strict=True))
        print(f"  draft row {name}: {counted}")
        wrong += sum(id_ not in (1, 2) for id_ in ids)
    print("ids that are not tokens were emitted" if wrong else "only tokens of the target were emitted")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
