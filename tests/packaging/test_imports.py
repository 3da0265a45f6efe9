"""What importing costs, and that nobody else's modules get in the way."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import specsim

ROOT = Path(specsim.__file__).resolve().parent.parent
HEAVY = ("numba", "scipy", "xarray", "sympy", "matplotlib", "flint", "pandas", "h5py", "rich", "jinja2")
LINKED = ("theory", "validation", "paper_figures")


def python(*arguments, folder=None, path=ROOT):
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder or ROOT,
        env={**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("module", ["specsim", "specsim.cli", "specsim.theory", "specsim.grammar"])
def test_import__is_light(module):
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & sys.modules.keys()))".replace(
        repr(HEAVY), f"set({HEAVY!r})"
    )
    result = python("-c", code)
    assert result.stderr == ""
    assert result.stdout.split() == []


@pytest.mark.parametrize(
    ("command", "allowed"),
    [
        ("--help", set()),
        ("conform --list", {"rich"}),
        ("plan paper:4 --costs draft=0.1 --algorithm speculative:draft_length=2 --json", {"scipy"}),
        ("expect paper:4 speculative --json", {"scipy"}),
    ],
)
def test_commands__import_what_they_use_and_no_more(command, allowed):
    code = (
        f"import sys; sys.argv = ['specsim', *{command!r}.split()]; from specsim.cli import main\n"
        "try: main()\n"
        f"except SystemExit: print(*sorted(set({HEAVY!r}) & sys.modules.keys()), file=sys.stderr)"
    )
    result = python("-c", code)
    assert set(result.stderr.split()) <= allowed


def test_public_names__are_all_there():
    for name in specsim.__all__:
        assert getattr(specsim, name) is not None
    assert set(specsim.__all__) <= set(dir(specsim))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = specsim.nonsense


def test_a_users_own_modules_do_not_get_in_the_way(tmp_path):
    for name in LINKED:
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong module')\n")
    imports = "; ".join(f"import specsim.{name}" for name in LINKED)
    result = python("-c", f"{imports}; print(specsim.theory.__file__)", folder=tmp_path)
    assert result.stderr == ""
    assert Path(result.stdout.strip()).resolve() == ROOT / "theory" / "__init__.py"
    result = python("-m", "specsim", "expect", "paper:2", "speculative", folder=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


def test_theory__is_not_importable_twice():
    result = python("-c", "import theory")
    assert result.returncode == 1
    assert "import this package as specsim.theory" in result.stderr


def test_links__a_checkout_without_them_works(tmp_path):
    # As git makes them where symbolic links are not allowed: small files that hold the path.
    shutil.copytree(
        ROOT / "specsim", tmp_path / "specsim", ignore=shutil.ignore_patterns("__pycache__", *LINKED)
    )
    for name in LINKED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        (tmp_path / "specsim" / name).write_text(f"../{name}")
    result = python("-m", "specsim", "expect", "paper:2", "speculative", folder=tmp_path, path=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    result = python("-c", "import specsim.theory as t; print(t.__file__)", folder=tmp_path, path=tmp_path)
    assert Path(result.stdout.strip()).resolve() == tmp_path.resolve() / "theory" / "__init__.py"


@pytest.mark.skipif(os.name == "nt", reason="checked out without symbolic links")
def test_links__lead_to_the_real_folders():
    if (ROOT / "pyproject.toml").exists():
        for name in LINKED:
            assert os.readlink(ROOT / "specsim" / name) == f"../{name}"


def test_main__leaves_the_checkout_that_runs_in_front(tmp_path):
    """Another working folder goes to the end of the path; second processes take the path over."""
    code = "import runpy, sys; runpy.run_module('specsim.__main__', run_name='x'); print(sys.path[0] == '')"
    (tmp_path / "specsim").symlink_to(Path(specsim.__file__).parent)
    for folder, first in ((tmp_path, "True"), (tmp_path.parent, "False")):
        result = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
        assert result.stdout.strip() == first, result.stderr
