import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from specsim.engines import jit

ROOT = Path(__file__).resolve().parents[3]

MODULE = """
import numba
from specsim.engines.jit import kernel

@kernel(numba.int64(numba.int64))
def twice(number):
    return 2 * number
"""


def run(folder, cache):
    """Call a small kernel in a new process; returns its result and how often the cache was hit."""
    (folder / "small.py").write_text(MODULE)
    environment = {**os.environ, "SPECSIM_CACHE_DIR": str(cache), "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    code = "from small import twice; print(twice(4), sum(twice.stats.cache_hits.values()))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, cwd=folder
    )
    return done.stdout.split()


def test_cache__is_used_by_the_next_process(tmp_path):
    assert run(tmp_path, tmp_path / "cache") == ["8", "0"]
    assert run(tmp_path, tmp_path / "cache") == ["8", "1"]
    assert list((tmp_path / "cache" / "kernels").glob("*/**/*.nbc"))


def test_cache__an_unusable_folder_is_no_obstacle(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    for _ in range(2):
        assert run(tmp_path, tmp_path / "file") == ["8", "0"]


def test_digest__sees_an_edit_in_any_source(tmp_path):
    assert {path.name for path in jit.sources()} >= {
        "jit.py",
        "philox.py",
        "chain.py",
        "block.py",
        "sampling.py",
    }
    copies = []
    for path in jit.sources():
        copies.append(tmp_path / path.name)
        copies[-1].write_bytes(path.read_bytes())
    before = jit.digest(copies)
    assert before == jit.digest(jit.sources())
    for copy in copies:
        original = copy.read_bytes()
        copy.write_bytes(original + b"#")
        assert jit.digest(copies) != before
        copy.write_bytes(original)


def test_kernels__import_nothing_that_the_digest_does_not_cover():
    covered = ("specsim.engines.jit", "specsim.engines.philox", "specsim.engines.kernels")
    for path in jit.sources():
        for line in path.read_text().splitlines():
            if line.startswith(("from specsim", "import specsim")):
                assert line.split()[1].startswith(covered), f"{path.name}: {line}"


def test_kernel__leaves_the_settings_of_numba_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(jit, "cache_folder", lambda: tmp_path)
    before = numba.config.CACHE_DIR

    @jit.kernel(numba.int64(numba.int64))
    def twice(number):
        return 2 * number

    assert twice(4) == 8
    assert before == numba.config.CACHE_DIR


def test_prune__removes_only_old_folders_of_other_sources(tmp_path):
    folders = {name: tmp_path / name for name in ("mine", "old", "new")}
    for folder in folders.values():
        folder.mkdir()
    for name in ("mine", "old"):
        os.utime(folders[name], (0, 0))
    jit._prune(tmp_path, folders["mine"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "new"]


@pytest.mark.parametrize(("variable", "value"), [("SPECSIM_CACHE_DIR", "/somewhere")])
def test_cache_root__can_be_chosen(variable, value, monkeypatch):
    monkeypatch.setenv(variable, value)
    assert jit.cache_root() == Path(value) / "kernels"
