"""The table of `tests/conftest.py` names parametrised tests that exist."""

import runpy
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_fast_cases__exist():
    for name in runpy.run_path(str(TESTS / "conftest.py"))["FAST_CASES"]:
        file, test = name.split("::")
        (path,) = TESTS.rglob(file)
        assert f"def {test}(" in path.read_text(encoding="utf-8"), name
