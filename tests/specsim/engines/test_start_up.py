"""What a process loads until its first result, and that kernels can be compiled before they are needed."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from specsim import BlockVerification, Speculative, paper_pair, simulate
from specsim.engines.compiled import ahead, cache as kernel_cache
from specsim.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
#: Not needed for a simulation whose kernels are in the cache; half a second or more to import.
UNNEEDED = {"numba", "dask", "distributed", "scipy", "h5netcdf", "h5py", "sympy", "matplotlib", "rich"}


def loaded(code, *arguments):
    """Run Python and return which of the unneeded packages it has loaded in the end."""
    end = (
        f"import atexit, sys; atexit.register(lambda: print('loaded', *({UNNEEDED!r} & set(sys.modules)))); "
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", end + code, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("engine", ["lockstep", "alias", "population"])
def test_simulate__with_compiled_kernels_loads_no_compiler(engine):
    simulate(paper_pair(3), Speculative(), runs=10, seed=1, engine=engine)
    call = f"simulate(paper_pair(3), Speculative(), runs=10, seed=1, engine={engine!r})"
    code = f"from specsim import *; result = {call}; merge([result]); result['token_count'].values"
    assert loaded(code) == set()


def test_command__with_compiled_kernels_loads_no_compiler():
    simulate(paper_pair(3), BlockVerification(), runs=10, seed=1)
    code = "import sys; from specsim.cli import main; main(sys.argv[1:])"
    arguments = ["simulate", "paper:3", "block-verification", "--runs", "10", "--seed", "1"]
    assert loaded(code, *arguments) <= {"rich"}


def test_ahead__names_all_kernels_that_there_are(monkeypatch):
    monkeypatch.setattr(ahead, "permutes_bytes", lambda: True)
    found = set()
    for path in kernel_cache.sources():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and any(
                isinstance(made, ast.Call) and getattr(made.func, "id", "") == "kernel"
                for made in node.decorator_list
            ):
                module = path.relative_to(ROOT / "specsim" / "engines").with_suffix("").as_posix()
                found.add((module.replace("/", "."), node.name))
    assert sorted(ahead.kernels()) == sorted(found)
    monkeypatch.setattr(ahead, "permutes_bytes", lambda: False)
    assert found - set(ahead.kernels()) == {("alias.kernels.permute", "advance_permuted")}


AHEAD = """
from specsim.engines.compiled import ahead
ahead._EVERYWHERE = (("alias.kernels.build", "build"), ("compiled.guides", "build_rows"))
ahead.permutes_bytes = lambda: False
lines = []
first = ahead.compile_all(jobs=int(sys.argv[1]), report=lines.append)
print(first, ahead.compile_all(jobs=1), *sorted(lines))
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_compile_all__compiles_what_is_missing(tmp_path, jobs):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import sys" + AHEAD, str(jobs)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "SPECSIM_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "2 0 compiled alias.kernels.build.build compiled compiled.guides.build_rows\n"
    assert len(list(tmp_path.glob("kernels/*/*.o"))) == 2


def test_compile_all__needs_a_cache(monkeypatch):
    monkeypatch.setattr(ahead, "cache_folder", lambda: None)
    with pytest.raises(InputError, match="SPECSIM_CACHE_DIR"):
        ahead.compile_all()
