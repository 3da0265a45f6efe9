"""What adapters share: the stand-in for Triton, modules from unpacked wheels, CUDA functions on the host."""

import shutil
import sys

import numpy as np
import pytest

from benchmarks.real_samplers import host_cuda, triton_numpy, unpacked
from specsim.errors import InputError

triton = triton_numpy.modules()["triton"]
tl = triton_numpy.modules()["triton.language"]


@triton.jit
def _doubled(block):
    block *= 2
    return block


@triton.jit(do_not_specialize=["size"])
def _kernel(out_ptr, in_ptr, size, BLOCK: tl.constexpr):  # type: ignore[name-defined]
    row = tl.program_id(0).to(tl.int64)
    offsets = tl.arange(0, BLOCK)
    mask = offsets < size
    block = tl.load(in_ptr + row * size + offsets, mask=mask, other=-1.0)
    twice = _doubled(block)
    # A block is a value: doubling a copy of it leaves it as it was.
    tl.store(out_ptr + row * size + offsets, (twice - block).to(tl.float32), mask=mask)


@triton.jit
def _past_the_end(out_ptr):
    tl.store(out_ptr + 3, 1)


@pytest.mark.parametrize("lanes", [4, 16])
def test_a_kernel_computes_on_shared_memory(lanes):
    given = np.arange(6, dtype=np.float32).reshape(2, 3)
    out = np.zeros_like(given)
    with triton_numpy.lanes(lanes):
        _kernel[(2,)](out, given, 3, BLOCK=16, num_warps=1)
    np.testing.assert_array_equal(out, given)


def test_a_kernel_that_leaves_its_memory_is_refused():
    with pytest.raises(IndexError, match="3 to 3 of 3"):
        _past_the_end[(1,)](np.zeros(3, np.int32))


def test_philox_gives_the_published_words():
    # Known answers of Random123: all zeros, and all ones.
    assert triton_numpy._philox(0, 0, 0) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    words = tl.randint4x(2**40 + 7, np.array([3, 2**33 + 5]))
    assert [int(word[1]) for word in words] == list(triton_numpy._philox(2**40 + 7, 5, 2))


def test_uniforms_are_uniform():
    drawn = tl.rand(12345, np.arange(4000))
    assert drawn.dtype == np.float32
    assert 0 <= drawn.min() <= drawn.max() < 1
    # Twelve-fold bins; the statistic exceeds 60 with probability below 1e-8.
    counts = np.histogram(drawn, 12, (0, 1))[0]
    assert ((counts - 4000 / 12) ** 2 / (4000 / 12)).sum() < 60


def _wheel(folder, version="1.2.3"):
    package = folder / "biglib"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('the top level is not imported')\n")
    (package / "inner.py").write_text(
        "from biglib.other import decorate, Base\n"
        "import heavy.part as part\n"
        "from biglib.real import NUMBER\n"
        "@decorate\n"
        "def twice(x): return 2 * x + NUMBER\n"
        "class Child(Base): pass\n"
    )
    (package / "real.py").write_text("NUMBER = 1\n")
    (folder / f"biglib_tool-{version}.dist-info").mkdir()
    (folder / f"biglib_tool-{version}.dist-info" / "METADATA").write_text("")
    return folder


def test_one_module_of_an_unpacked_wheel_is_imported(tmp_path, monkeypatch):
    monkeypatch.setenv("BIGLIB_WHEEL", str(_wheel(tmp_path)))
    before = dict(sys.modules)
    library = unpacked.locate("biglib", "biglib-tool", "BIGLIB_WHEEL", variant="1.2")
    module = unpacked.load(library, "biglib.inner", real=("biglib.real",), stubbed=("heavy",))
    assert library.version == "1.2.3"
    assert module.twice(4) == 9
    assert module.Child().__class__.__mro__[1] is object
    assert dict(sys.modules) == before


def test_a_missing_library_is_named_with_its_remedy(tmp_path, monkeypatch):
    monkeypatch.delenv("BIGLIB_WHEEL", raising=False)
    with pytest.raises(InputError, match=r"biglib-tool is not installed; unpack .* set BIGLIB_WHEEL"):
        unpacked.locate("biglib", "biglib-tool", "BIGLIB_WHEEL")
    monkeypatch.setenv("BIGLIB_WHEEL", str(tmp_path))
    with pytest.raises(InputError, match="holds no folder biglib"):
        unpacked.locate("biglib", "biglib-tool", "BIGLIB_WHEEL")
    _wheel(tmp_path)
    with pytest.raises(InputError, match=r"1\.2\.3 found, 2\.0 wanted"):
        unpacked.locate("biglib", "biglib-tool", "BIGLIB_WHEEL", variant="2.0")
    library = unpacked.locate("biglib", "biglib-tool", "BIGLIB_WHEEL")
    with pytest.raises(InputError, match=r"has no biglib\.gone"):
        unpacked.load(library, "biglib.gone")


_CUDA = """
struct Pair {
  int a;
};

template <uint32_t VEC_SIZE>
__device__ __forceinline__ float Total(float (&values)[VEC_SIZE]) {
  if (threadIdx.x == 0) { __syncthreads(); }
  Nothing storage;
  return BlockReduce<float, 1>(storage).Sum<VEC_SIZE>(values);
}

int unrelated;
"""


def test_functions_are_cut_out_of_a_cuda_source():
    struct = host_cuda.definition(_CUDA, "struct Pair")
    assert struct.strip().endswith("};")
    function = host_cuda.definition(_CUDA, r"float Total\(")
    assert function.startswith("template")
    assert "unrelated" not in function
    with pytest.raises(InputError, match="source has no"):
        host_cuda.definition(_CUDA, "Absent")


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
def test_a_cut_out_function_runs_on_the_host():
    import ctypes

    body = 'extern "C" float total() { float v[4] = {1, 2, 3, 4}; return Total<4>(v); }\n'
    code = host_cuda.compiled(host_cuda.definition(_CUDA, r"float Total\(") + body)
    code.total.restype = ctypes.c_float
    assert code.total() == 10
    # cuRAND's uniforms are (word + 1/2) / 2^32 in float32; second word of the first block of key 0.
    draw = """
    extern "C" float drawn(int skip) {
      curandStatePhilox4_32_10_t state;
      curand_init(0, 0, skip, &state);
      return curand_uniform(&state);
    }
    """
    code = host_cuda.compiled(draw)
    code.drawn.restype = ctypes.c_float
    assert code.drawn(1) == pytest.approx(0xE169C58D / 2**32, abs=1e-6)
    with pytest.raises(InputError, match="refuses the kernel"):
        host_cuda.compiled("int broken( {\n")
