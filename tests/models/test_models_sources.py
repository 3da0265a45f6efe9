"""Checkpoints from the hub: downloads, unknown ids, and a hub that does not answer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from specsim.errors import InputError

if os.environ.get("SPECSIM_REQUIRE_ALL") != "1":
    pytest.importorskip("torch", reason="the extra torch is not installed")
    pytest.importorskip("transformers", reason="the extra torch is not installed")

import huggingface_hub
import torch
import transformers
from click.testing import CliRunner

from specsim.cli import main
from specsim.models import load_pair, sources

COMMIT = "a" * 40


class Unanswered(Exception):
    """What httpx raises, by its name."""


TransportError = type("TransportError", (Unanswered,), {})


def save(folder: Path, seed: int) -> None:
    torch.manual_seed(seed)
    config = transformers.GPTNeoXConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=20,
    )  # fmt: skip
    transformers.GPTNeoXForCausalLM(config).save_pretrained(folder)


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """Of a hub that does not answer: the addresses asked for. Nothing is in its cache."""
    seen: list[str] = []

    def fail(url: str) -> None:
        seen.append(url)
        raise TransportError("no route\nto the host")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", fail)
    monkeypatch.setattr(sources, "_PAUSE", 0.0)
    return seen


def test_unanswered__one_line_after_two_questions(asked):
    arguments = ["models", "decode", "nobody/nothing", "nobody/else", "speculative", "--prompt", "the"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert "the hub cannot be reached (no route); give a folder" in lines[0]
    assert len([url for url in asked if "nobody/nothing" in url]) == 2


def test_unanswered__reward_model_too(asked):
    from specsim.models.scoring import RewardModel

    with pytest.raises(InputError, match=r"reward model nobody/judge is not a folder .* \(no route\)"):
        RewardModel("nobody/judge")


def test_answers__are_left_to_transformers(monkeypatch):
    for name in ("HfHubHTTPError", "FileMetadataError"):
        # A refusal is also an OSError and, by httpx, no transport error.
        kind = type(name, (OSError,), {})
        monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda url, kind=kind: _raise(kind()))
        assert sources.source("nobody/nothing", "target").options == {}


def test_folders__ask_nobody(asked, tmp_path):
    save(tmp_path / "one", 1)
    assert sources.source(str(tmp_path / "one"), "target").options == {}
    assert asked == []


def test_empty_name__is_refused():
    with pytest.raises(InputError, match="draft is empty; give a folder or an id"):
        sources.source("", "draft")


def _raise(error: Exception) -> None:
    raise error


class _Hub(BaseHTTPRequestHandler):
    """So much of the hub as a download asks for."""

    def __init__(self, folder: Path, *arguments: Any) -> None:
        self.folder = folder
        super().__init__(*arguments)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[:2] == ["api", "models"] and (self.folder / parts[3]).is_dir():
            names = sorted(path.name for path in (self.folder / parts[3]).iterdir())
            if "tree" in parts:
                answer: Any = [{"type": "file", "path": name, "size": 1, "oid": COMMIT} for name in names]
            else:
                siblings = [{"rfilename": name} for name in names]
                answer = {"id": "/".join(parts[2:4]), "sha": COMMIT, "siblings": siblings}
            return self._send(200, json.dumps(answer).encode(), {}, body)
        file = self.folder.joinpath(parts[1], *parts[4:]) if "resolve" in parts else self.folder / "none"
        if file.is_file():
            headers = {"ETag": f'"{file.name}"', "X-Repo-Commit": COMMIT}
            return self._send(200, file.read_bytes(), headers, body)
        known = len(parts) > 1 and (self.folder / parts[1]).is_dir()
        code = "EntryNotFound" if known else "RepoNotFound"
        return self._send(404, b"", {"X-Error-Code": code, "X-Repo-Commit": COMMIT}, body)

    def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def hub(tmp_path) -> Iterator[ThreadingHTTPServer]:
    for seed, name in enumerate(("target", "draft")):
        save(tmp_path / "hub" / name, seed)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Hub, tmp_path / "hub"))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


_SCRIPT = """
import sys
from specsim.errors import InputError
from specsim.models import load_pair, sources
sources._PAUSE = 0.0
for names in (("we/target", "we/draft"), ("we/target", "we/nothing")):
    try:
        print("loaded", load_pair(*names).vocabulary)
    except InputError as error:
        print(error)
"""


@pytest.mark.slow
def test_hub__downloads_and_then_does_without(hub, tmp_path):
    """What is downloaded is loaded again when the hub is gone."""

    def run() -> list[str]:
        environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
        address = f"http://127.0.0.1:{hub.server_address[1]}"
        environment |= {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()

    loaded, unknown = run()
    assert loaded == "loaded 9"
    assert unknown.startswith("draft we/nothing: the configuration cannot be read:")
    assert unknown.endswith("check the id, or give a local folder")
    hub.shutdown()
    hub.server_close()
    loaded, unknown = run()
    assert loaded == "loaded 9"
    assert "draft we/nothing is not a folder here" in unknown
    assert "the hub cannot be reached" in unknown
    # Without a cache there is nothing to load.
    shutil.rmtree(tmp_path / "home")
    assert "target we/target is not a folder here" in run()[0]


def test_shape_of_weights__is_told_by_name(tmp_path):
    from safetensors.torch import load_file, save_file

    for seed, name in enumerate(("target", "draft")):
        save(tmp_path / name, seed)
    file = tmp_path / "draft" / "model.safetensors"
    weights = load_file(file)
    weights["embed_out.weight"] = weights["embed_out.weight"][:5].clone()
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"in another shape \(.*\.weight: \(5, 8\) for \(9, 8\)\)"):
        load_pair(tmp_path / "target", tmp_path / "draft")
