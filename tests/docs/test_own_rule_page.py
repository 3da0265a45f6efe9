"""docs/own-rule.md, run word for word."""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from specsim.cli.group import main

PAGE = Path(__file__).parents[2] / "docs" / "own-rule.md"
_BLOCK = re.compile(r"```(python|console)\n(.*?)```", re.DOTALL)


def test_page__runs_word_for_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    names: dict[str, object] = {}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
    ran, said = 0, []
    for kind, text in _BLOCK.findall(PAGE.read_text()):
        if kind == "console":
            for line in text.splitlines():
                result = CliRunner().invoke(main, line.removeprefix("$ specsim ").split())
                assert result.exit_code == 0, result.output
                ran += 1
        elif text.startswith("# "):
            file = tmp_path / text.split()[1]
            with file.open("a") as out:
                out.write("\n\n" + text)
            # Functions that were imported before stay; their file has grown.
            sys.modules.pop(file.stem, None)
        else:
            examples = doctest.DocTestParser().get_examples(text)
            assert examples, text
            test = doctest.DocTest(examples, names, "own-rule.md", str(PAGE), 0, text)
            runner.run(test, out=said.append, clear_globs=False)
            names = test.globs
            ran += len(examples)
    assert not said, "".join(said)
    assert ran > 15
