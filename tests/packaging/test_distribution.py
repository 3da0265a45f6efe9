"""What is built and published: wheel, source distribution, versions, and what the repository mentions."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import specsim

ROOT = Path(specsim.__file__).resolve().parent.parent
LINKED = ("theory", "validation", "paper_figures")

pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="needs a checkout")


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pins():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9a-z.]*", line) for line in lines)
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def git(*arguments):
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    command = ["git", "-c", f"safe.directory={ROOT}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_constraints__pin_every_dependency_within_its_range():
    pinned = pins()
    wanted = [*project()["dependencies"], *project()["optional-dependencies"]["dev"]]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_version__has_one_home_and_the_citation_follows():
    assert "version" in project()["dynamic"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {specsim.__version__}\n" in citation
    assert f"\n## {specsim.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_repository__mentions_no_machine_and_no_download_host():
    places = ["/" + "home/", "/" + "root/", "/" + "Users/", "\\" + "Users\\", "pythonhosted" + ".org"]
    if len(ROOT.parts) > 2:
        places.append(str(ROOT))
    found = []
    for name in git("ls-files").splitlines():
        path = ROOT / name
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()
        if b"\0" in content:
            continue
        found += [(name, place) for place in places if place.encode() in content]
    assert found == []


def test_ci_run__is_executable():
    assert git("ls-files", "--stage", ".ci/run").startswith("100755 ")


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@needs_make
@pytest.mark.parametrize(
    "target", ["validate", "test", "test-all", "figures", "lint", "clean", "docs", "docs-check"]
)
def test_make__has_the_target(target):
    result = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@needs_make
def test_make__without_a_suitable_python_says_so(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    old = tmp_path / "bin" / "python3"
    old.parent.mkdir()
    # A Python that is too old answers every question with failure.
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    result = subprocess.run(
        [shutil.which("make") or "make", "test"],
        cwd=tmp_path,
        env={"PATH": str(old.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert "make: no Python 3.11 or newer found; install one, or name it" in result.stderr
    assert not (tmp_path / ".venv").exists()


def build(kind, folder, source=ROOT):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(folder)],
        cwd=source,
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    (built,) = folder.iterdir()
    return built


def check_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry_points = archive.read(next(name for name in names if name.endswith("entry_points.txt")))
    assert len(names) == len(set(names))
    tops = {name.split("/")[0] for name in names}
    assert tops == {"specsim", f"specsim_decoding-{specsim.__version__}.dist-info"}
    assert b"specsim = specsim.__main__:main" in entry_points
    assert "specsim/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    for folder in LINKED:
        for path in (ROOT / folder).rglob("*.py"):
            assert f"specsim/{path.relative_to(ROOT).as_posix()}" in names
    assert not any("__pycache__" in name or name.startswith(("tests", "theory")) for name in names)
    return sorted(names)


@pytest.mark.slow
def test_wheel__holds_all_of_specsim_and_nothing_else_and_works(tmp_path):
    wheel = build("wheel", tmp_path / "dist")
    check_wheel(wheel)
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    result = subprocess.run(
        [sys.executable, "-c", "import specsim.theory, specsim.validation; print(specsim.theory.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(result.stdout.strip()).resolve() == (site / "specsim/theory/__init__.py").resolve()


@pytest.mark.slow
def test_description__has_no_picture_and_no_link_into_the_repository(tmp_path):
    with zipfile.ZipFile(build("wheel", tmp_path)) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("METADATA")]
        description = archive.read(name).decode().partition("\n\n")[2]
    assert description.startswith("# specsim")
    assert "Verify a paper" in description
    assert not re.search(r"\]\((?!https?:)", description)
    assert "Figure 2c" not in description


def test_sdist__builds_the_same_wheel(tmp_path):
    sdist = build("sdist", tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    for name in ("README.md", "LICENSE", "Makefile", "constraints.txt", "tests/packaging", *LINKED):
        assert (source / name).exists(), name
    assert check_wheel(build("wheel", tmp_path / "first")) == check_wheel(
        build("wheel", tmp_path / "second", source)
    )
