"""The package: every public name loads, importing stays light, and it has one import name."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from specsim import theory


@pytest.mark.parametrize("name", theory.__all__)
def test_every_public_name_loads_and_is_documented(name: str) -> None:
    value = getattr(theory, name)
    assert name in dir(theory)
    if callable(value) and not isinstance(value, type(int | str)):
        assert value.__doc__


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no_such_law"):
        theory.no_such_law  # noqa: B018


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, specsim.theory as t; t.expected_rejections; t.enumerate_outcomes; t.batch_rejections;"
        "print([m for m in ('numba', 'scipy', 'sympy', 'xarray', 'matplotlib', 'flint') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_no_other_import_name() -> None:
    path = Path(theory.__file__)
    spec = importlib.util.spec_from_file_location("theory", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.raises(ImportError, match=r"as specsim\.theory"):
        spec.loader.exec_module(module)
