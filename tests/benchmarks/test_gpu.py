"""The GPU benchmark: every part runs on the processor in tiny sizes; without a GPU that is said."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import pytest

if os.environ.get("SPECSIM_REQUIRE_ALL") != "1":
    pytest.importorskip("torch", reason="the extra torch is not installed")
    pytest.importorskip("transformers", reason="the extra torch is not installed")

import torch

from benchmarks.gpu import parts
from benchmarks.gpu.__main__ import main, measure


@pytest.mark.slow
def test_dry__runs_every_part_and_writes_its_figures(tmp_path):
    file = tmp_path / "gpu.json"
    assert main(["--dry", "--json", str(file), "--budget", "1e9"]) == 0
    found = json.loads(file.read_text())
    assert "no figure of it means anything" in found["device"]
    assert list(found["parts"]) == list(parts.PARTS)
    for name, part in found["parts"].items():
        assert part["status"] == "right", (name, part)
        assert part["rows"]
    samplers = {row["sampler"]: row for row in found["parts"]["samplers"]["rows"]}
    assert "need a GPU" in samplers["sglang, Triton"]["reason"]
    assert {row["batch"] for row in found["parts"]["verify"]["rows"]} == {2}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu__one_line_with_the_remedy(tmp_path, capsys):
    assert main(["--json", str(tmp_path / "gpu.json")]) == 2
    words = capsys.readouterr().err
    assert words.startswith("error: torch finds no CUDA device")
    assert "--dry" in words
    assert words.count("\n") == 1
    assert not (tmp_path / "gpu.json").exists()


def test_unknown_part__is_refused(tmp_path, capsys):
    assert main(["spedd", "--dry", "--json", str(tmp_path / "gpu.json")]) == 2
    assert "part 'spedd' is unknown; give some of engine, law" in capsys.readouterr().err


def test_parts__that_break_or_are_late_do_not_end_the_others(tmp_path, monkeypatch):
    def breaks(device: str, sizes: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal access\nwith a trace")

    monkeypatch.setitem(parts.PARTS, "engine", breaks)
    monkeypatch.setitem(parts.PARTS, "law", lambda device, sizes: {"right": False, "rows": []})
    monkeypatch.setitem(parts.PARTS, "decode", lambda device, sizes: {"right": True, "rows": []})
    file = tmp_path / "gpu.json"
    assert measure(["engine", "law", "decode"], "cpu", parts.DRY, {}, file, 60) == 1
    found = json.loads(file.read_text())["parts"]
    assert [part["status"] for part in found.values()] == ["failed", "wrong", "right"]
    assert found["engine"]["reason"] == "RuntimeError: CUDA error: an illegal access"
    assert measure(["decode"], "cpu", parts.DRY, {}, file, -1) == 0
    assert json.loads(file.read_text())["parts"]["decode"]["status"] == "not run"


def test_law__finds_a_rule_that_is_wrong(monkeypatch):
    from specsim.models.rules import ratio

    sizes = replace(parts.DRY, sequences=1500)
    monkeypatch.setattr(ratio, "residual", lambda target, draft, token: target)
    assert not parts.law("cpu", sizes)["rows"][0]["agrees"]


def test_engine__finds_other_bits(monkeypatch):
    original = parts.specsim.simulate

    def other(pair: Any, algorithm: Any, **options: Any) -> Any:
        seed = options.pop("seed") + (options["engine"] == "torch")
        return original(pair, algorithm, seed=seed, **options)

    monkeypatch.setattr(parts.specsim, "simulate", other)
    assert not parts.engine("cpu", parts.DRY)["right"]
