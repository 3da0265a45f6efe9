import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from specsim.engines.alias.kernels import build as alias_build
from specsim.engines.compiled import cache as kernel_cache, jit, native, sizes, words as alias_words

ROOT = Path(__file__).resolve().parents[3]

#: Lays out a small table; says whether Numba was needed, and prints the table.
BUILD = """
import sys
import numpy as np
from specsim.engines.compiled.native import kernel
draft, accepted, residual = np.array([[[3, 1]], [[1, 1]], [[0, 2]]], np.uint64) << np.uint64(30)
rows = [np.zeros((1, size), np.uint32) for size in (5, 16, 2, 3, 16)]
shifts = np.zeros(1, np.uint32)
kernel("compiled.guides", "build_rows")(draft, accepted, residual, True, 1, 4, *rows, shifts, np.zeros(4,
np.uint64)) print("numba" in sys.modules, *np.concatenate([*rows, shifts[None]], axis=1)[0])
"""


def run(cache, code=BUILD, **variables):
    """Run in a new process; returns what it prints."""
    environment = {**os.environ, "SPECSIM_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def stored(cache):
    return sorted(Path(cache).glob("kernels/*/*.o"))


def test_cache__is_used_by_the_next_process_without_numba(tmp_path):
    first = run(tmp_path)
    assert first[0] == "True"
    assert len(set(first)) > 10
    (path,) = stored(tmp_path)
    assert path.name == "guides.build_rows.o"
    assert run(tmp_path) == ["False", *first[1:]]
    # A damaged file is made again.
    whole = path.read_bytes()
    for damage in (whole[:-1], whole[:40], b"", whole[:-1] + bytes([whole[-1] ^ 1])):
        path.write_bytes(damage)
        assert native.MachineCode.read(path) is None
    assert run(tmp_path) == first
    assert path.read_bytes() == whole


def test_cache__is_not_used_with_other_settings_of_numba(tmp_path):
    first = run(tmp_path)
    assert run(tmp_path, NUMBA_OPT="1") == first
    assert len(stored(tmp_path)) == 2


def test_cache__an_unusable_folder_is_no_obstacle(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    assert run(tmp_path / "file")[0] == "True"


PLAIN = """
import numba.core.codegen
del numba.core.codegen.JITCodeLibrary
"""
#: Found out when the helpers are already there.
LATE = """
import specsim.engines.compiled.jit
del specsim.engines.compiled.jit._entry
"""


@pytest.mark.parametrize("change", [PLAIN, LATE])
def test_kernels__are_compiled_plainly_when_numba_has_changed(tmp_path, change):
    ours = run(tmp_path)
    theirs = run(tmp_path / "other", change + BUILD)
    assert theirs == ours
    assert not stored(tmp_path / "other")


def test_digest__sees_an_edit_in_any_source(tmp_path):
    assert {path.name for path in kernel_cache.sources()} >= {
        "jit.py",
        "cpu.py",
        "philox.py",
        "chain.py",
        "block.py",
        "sampling.py",
        "sizes.py",
    }
    copies = []
    for path in kernel_cache.sources():
        copies.append(tmp_path / path.name)
        copies[-1].write_bytes(path.read_bytes())
    made_by = kernel_cache.compiler()
    before = kernel_cache.digest(copies, made_by)
    assert before == kernel_cache.digest(kernel_cache.sources(), made_by)
    for copy in copies:
        original = copy.read_bytes()
        copy.write_bytes(original + b"#")
        assert kernel_cache.digest(copies, made_by) != before
        copy.write_bytes(original)


def test_digest__sees_the_compiler_and_the_processor(monkeypatch):
    before = kernel_cache.compiler()
    assert f"numba {numba.__version__}" in before
    for feature in ("avx512f", "avx2", "neon"):
        assert (feature in before.split("|")) == (feature in jit_features())
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    assert kernel_cache.compiler() == before
    monkeypatch.setenv("NUMBA_LOOP_VECTORIZE", "0")
    assert kernel_cache.compiler() != before


def jit_features():
    from numba.core.registry import cpu_target

    settings = cpu_target.target_context.codegen().magic_tuple()[2]
    return {feature[1:] for feature in settings.split(",") if feature.startswith("+")}


def test_kernels__import_nothing_that_the_digest_does_not_cover():
    covered = (
        "specsim.engines.compiled.jit",
        "specsim.engines.compiled.philox",
        "specsim.engines.lockstep.kernels",
        "specsim.engines.compiled.cpu",
    )
    for path in kernel_cache.sources():
        if path.name in ("jit.py", "cpu.py"):
            # What they import stores, loads and calls machine code, but does not make it.
            continue
        for line in path.read_text().splitlines():
            if line.strip().startswith(("from specsim", "import specsim")):
                assert line.split()[1].startswith(covered), f"{path.name}: {line}"


ARGUMENTS = {
    "another dtype": lambda m, e, r: (m.astype(np.int64), 2, e, r),
    "not in C order": lambda m, e, r: (m, 2, np.zeros((4, 2), np.uint32).T, r),
    "read-only": lambda m, e, r: (m, 2, np.broadcast_to(np.uint32(0), (1, 4)), r),
    "one dimension": lambda m, e, r: (m, 2, e[0], r),
    "no array": lambda m, e, r: (m, 2, e.tolist(), r),
    "negative": lambda m, e, r: (m, -1, e, r),
    "too large": lambda m, e, r: (m, 2**64, e, r),
    "no whole number": lambda m, e, r: (m, 2.0, e, r),
    "too few": lambda m, e, r: (m, 2, e),
}


@pytest.mark.parametrize("what", ARGUMENTS)
def test_kernel__refuses_other_arguments(what):
    masses = np.array([[2**31, 2**30, 2**30, 0]], np.uint64)
    entries, room = np.zeros((1, 4), np.uint32), np.zeros((2, 4), np.uint32)
    assert alias_build.build(masses.copy(), 2, entries, room) == -1
    with pytest.raises(TypeError):
        alias_build.build(*ARGUMENTS[what](masses, entries, room))


@jit.kernel("int64(int64, uint32, boolean, uint8[:, ::1])")
def told(a, b, c, d):
    return a * 1000 + b * 10 + c + d[1, 0] * d.shape[1]


def test_kernel__passes_small_and_negative_numbers_and_lengths():
    array = np.zeros((2, 7), np.uint8)
    array[1, 0] = 255
    assert told(-5, 2**32 - 1, True, array) == -5000 + (2**32 - 1) * 10 + 1 + 255 * 7
    assert told.path is None


def test_helper__called_from_python_is_refused():
    words = np.zeros((4, 2), np.uint32)
    with pytest.raises(TypeError):
        alias_words.fill(words, 0, 2, np.uint64(1), np.uint64(1), np.uint64(1))


def test_space__begins_at_a_cache_line():
    for shape in (sizes.CHAIN_SPACE, sizes.ALIAS_SPACE, (1, 3)):
        room = native.space(*shape)
        assert room.shape == shape
        assert room.flags.carray
        assert room.ctypes.data % 64 == 0


def test_prune__removes_only_old_folders_of_other_sources(tmp_path):
    folders = {name: tmp_path / name for name in ("mine", "old", "new")}
    for folder in folders.values():
        folder.mkdir()
    for name in ("mine", "old"):
        os.utime(folders[name], (0, 0))
    kernel_cache._prune(tmp_path, folders["mine"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "new"]


def test_cache_root__can_be_chosen(monkeypatch):
    monkeypatch.setenv("SPECSIM_CACHE_DIR", "/somewhere")
    assert kernel_cache.cache_root() == Path("/somewhere") / "kernels"
