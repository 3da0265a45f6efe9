"""Compiled kernels: kept between processes in a folder named by their sources, compiled ahead of time."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from specsim import Batch, OverAcceptance, Speculative, paper_pair, random_pair, simulate
from specsim.engines.compiled import ahead, cache as kernel_cache, jit, sizes
from specsim.errors import InputError

ROOT = Path(__file__).resolve().parents[3]

#: Builds a small alias table; says whether the kernel was in the cache, and the user's setting of Numba.
BUILD = """
import numba, numpy as np
before = numba.config.CACHE_DIR
from specsim.engines.alias.kernels.build import build
entries = np.zeros((1, 4), np.uint32)
masses = np.array([[2**31, 2**30, 2**30, 0]], np.uint64)
assert build(masses, np.uint64(2), entries, np.zeros((2, 4), np.uint32)) == -1
assert numba.config.CACHE_DIR == before
print(sum(build.stats.cache_hits.values()), *entries[0])
"""


def run(cache, code=BUILD, strict=True, **variables):
    """Run in a new process; returns what it prints."""
    environment = {**os.environ, "SPECSIM_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(
        [sys.executable, *(["-W", "error"] if strict else []), "-c", code],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split() + done.stderr.splitlines()[:1]


def test_cache__is_used_by_the_next_process(tmp_path):
    first = run(tmp_path)
    assert first[0] == "0"
    assert run(tmp_path) == ["1", *first[1:]]


@pytest.mark.slow
def test_cache__is_not_used_with_other_settings_of_the_compiler(tmp_path):
    for optimisation in ("3", "1"):
        assert run(tmp_path, NUMBA_OPT=optimisation)[0] == "0"
    assert len(list(tmp_path.glob("specsim-kernels/*"))) == 2


def test_cache__a_folder_that_cannot_be_used_is_a_warning(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    *numbers, warning = run(tmp_path / "file", strict=False)
    assert numbers[0] == "0"
    assert "every process compiles them again; give a folder" in warning


def test_disabled_compiler__is_one_line(tmp_path):
    code = (
        "from specsim import *\n"
        "for engine in ('lockstep', 'alias'):\n"
        "    try: simulate(paper_pair(3), Speculative(), runs=10, seed=1, engine=engine)\n"
        "    except InputError as error: print(str(error).split(';')[0])\n"
    )
    lines = " ".join(run(tmp_path, code, NUMBA_DISABLE_JIT="1"))
    assert lines.count("NUMBA_DISABLE_JIT is set") == 2


def test_digest__sees_an_edit_in_any_source(tmp_path):
    names = {path.name for path in kernel_cache.sources()}
    assert names >= {"jit.py", "cpu.py", "philox.py", "chain.py", "permute.py", "sampling.py", "sizes.py"}
    copies = []
    for number, path in enumerate(kernel_cache.sources()):
        copies.append(tmp_path / str(number) / path.name)
        copies[-1].parent.mkdir()
        copies[-1].write_bytes(path.read_bytes())
    before = kernel_cache.digest(copies, "")
    assert before == kernel_cache.digest(kernel_cache.sources(), "")
    for copy in copies:
        original = copy.read_bytes()
        copy.write_bytes(original + b"#")
        assert kernel_cache.digest(copies, "") != before
        copy.write_bytes(original)


def test_kernels__import_nothing_that_the_digest_does_not_cover():
    covered = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in kernel_cache.sources()
    }
    for path in kernel_cache.sources():
        if path.parent.name != "kernels" or path.name == "__init__.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            # Errors are raised outside of compiled code.
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("specsim."):
                if node.module == "specsim.errors":
                    continue
                assert node.module in covered or f"{node.module}.{node.names[0].name}" in covered, path.name


def test_kernels__are_compiled_for_one_signature():
    """A second one would be compiled in silence, and not ahead of time."""
    from specsim.engines.alias.kernels import build, rejections, rounds
    from specsim.engines.compiled import guides
    from specsim.engines.lockstep.kernels import chain

    pairs = (paper_pair(3), random_pair(contexts=5, horizon=4, seed=1, stationary=True))
    for pair in pairs:
        for algorithm in (Speculative(draft_length=2), Batch(drafts=3), OverAcceptance(epsilon=0.1)):
            for engine in ("lockstep", "alias"):
                for tallies in ("all", "rejections"):
                    simulate(pair, algorithm, runs=10, seed=1, engine=engine, tallies=tallies)
    for kernel in (chain.advance, guides.build_rows, build.build, rounds.advance_rounds):
        assert len(kernel.signatures) == 1, kernel
    assert len(rejections.advance_rejections.signatures) <= 1


@pytest.mark.slow
def test_compile_all__leaves_nothing_to_compile(tmp_path):
    script = "from specsim.engines.compiled import ahead; print(ahead.compile_all(lambda line: None))"
    run(tmp_path, f"from specsim.engines.compiled import ahead\nahead.jobs = lambda: [{JOB!r}]\n" + script)
    hits = (
        "from specsim import *\n"
        "simulate(paper_pair(4), Speculative(), runs=9, seed=1, engine='alias', tallies='rejections')\n"
        "from specsim.engines.alias.kernels.rejections import advance_rejections as kernel\n"
        "print(sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values()))"
    )
    assert run(tmp_path, hits, SPECSIM_ALIAS_PATH="gather") == ["1", "0"]


JOB = ("alias", "gather")


def test_compile_all__needs_a_cache(monkeypatch):
    monkeypatch.setattr(ahead, "cache_folder", lambda: None)
    with pytest.raises(InputError, match="SPECSIM_CACHE_DIR"):
        ahead.compile_all()


def test_space__begins_at_a_cache_line():
    for shape in (sizes.CHAIN_SPACE, sizes.ALIAS_SPACE, (1, 3)):
        room = jit.space(*shape)
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
    monkeypatch.delenv("SPECSIM_CACHE_DIR", raising=False)
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/elsewhere")
    assert kernel_cache.cache_root() == Path("/elsewhere") / "specsim-kernels"
    monkeypatch.setenv("SPECSIM_CACHE_DIR", "/somewhere")
    assert kernel_cache.cache_root() == Path("/somewhere") / "specsim-kernels"


#: Not needed for a simulation; half a second or more to import. Numba imports scipy.
UNNEEDED = {"dask", "distributed", "h5netcdf", "h5py", "sympy", "matplotlib", "rich"}


@pytest.mark.parametrize("engine", [pytest.param("lockstep", marks=pytest.mark.slow), "alias", "population"])
def test_simulate__loads_nothing_that_it_does_not_need(engine):
    unneeded = UNNEEDED | ({"numba"} if engine == "population" else set())
    code = (
        "import sys\nfrom specsim import *\n"
        f"result = simulate(paper_pair(3), Speculative(), runs=10, seed=1, engine={engine!r})\n"
        "merge([result]); result['token_count'].values\n"
        f"print('loaded', *({unneeded!r} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["loaded"], done.stderr
