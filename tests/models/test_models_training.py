"""A pair trained on a text: what is written, that it goes on after an interruption, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from specsim.errors import InputError

if os.environ.get("SPECSIM_REQUIRE_ALL") != "1":
    for package in ("torch", "transformers", "accelerate"):
        pytest.importorskip(package, reason="the extra torch is not installed")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from specsim.cli import main
from specsim.models import train_pair, training
from specsim.models.training import SIZES, Architecture, Size

MICRO = Size(
    draft=Architecture(hidden=8, layers=1, heads=1, rate=1e-2),
    target=Architecture(hidden=8, layers=2, heads=2, rate=1e-2),
    context=16,
    batch=2,
    steps=3,
)


def write_sentences(path: Path, size: int) -> Path:
    """Sentences of a few words in random order, and some bytes that are no UTF-8."""
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "then", "saw", "another", "old", "red", "house"]
    generator = np.random.default_rng(1)
    sentences: list[bytes] = []
    while sum(map(len, sentences)) < size:
        chosen = generator.choice(words, int(generator.integers(3, 9)))
        sentences.append(" ".join(chosen).capitalize().encode() + b". ")
    path.write_bytes(b"\xff\xfe" + b"".join(sentences))
    return path


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small tensors gain nothing from threads, and lose much on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_sentences(tmp_path_factory.mktemp("text") / "text.txt", 12_000)


@pytest.fixture(scope="module")
def tiny(text, tmp_path_factory):
    out = tmp_path_factory.mktemp("tiny") / "pair"
    return out, train_pair(text, out, size="tiny", seed=4)


@pytest.fixture
def micro(monkeypatch):
    monkeypatch.setitem(SIZES, "micro", MICRO)


def weights(out: Path) -> list[torch.Tensor]:
    return [
        weight
        for name in ("draft", "target")
        for weight in AutoModelForCausalLM.from_pretrained(out / name).parameters()
    ]


def same(one: Path, other: Path) -> bool:
    return all(torch.allclose(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def stop_after(steps):
    def progress(done):
        if done == steps:
            raise KeyboardInterrupt

    return progress


def test_folders__load_without_network(tiny, monkeypatch):
    out, trained = tiny
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name, parameters in (("draft", trained.draft_parameters), ("target", trained.target_parameters)):
        model = AutoModelForCausalLM.from_pretrained(out / name)
        assert model.num_parameters() == parameters
        assert {weight.dtype for weight in model.parameters()} == {torch.float32}
        assert model.config.vocab_size == 257
        assert model.config.eos_token_id == 256
        tokenizer = AutoTokenizer.from_pretrained(out / name)
        assert len(tokenizer) == 257
        assert tokenizer.eos_token_id == tokenizer.bos_token_id == tokenizer.pad_token_id == 256
        assert tokenizer.model_max_length == model.config.max_position_embeddings == 64
        sentence = "Hé llo \n\t 中 , .  \x00é"
        assert tokenizer(sentence)["input_ids"] == list(sentence.encode())
        assert tokenizer.decode(list(sentence.encode())) == sentence
        assert tokenizer("a<|endoftext|>")["input_ids"] == [97, 256]
        assert tokenizer.decode([0xE4, 0xB8]) == "�"
        prompt = torch.tensor([list(b"The cat ")])
        assert model.generate(prompt, do_sample=False, max_new_tokens=5, min_new_tokens=5).shape == (1, 13)
    assert trained.draft_parameters * 4 < trained.target_parameters
    assert sorted(path.name for path in out.iterdir()) == ["draft", "target", "training.json"]


def test_losses__are_those_of_the_written_models_on_the_held_out_bytes(tiny, text):
    """Computed again, block by block, from what was written."""
    out, trained = tiny
    data = text.read_bytes()
    held_out = data[len(data) - len(data) // 10 :]
    for name in ("draft", "target"):
        model = AutoModelForCausalLM.from_pretrained(out / name)
        nats = []
        for start in range(0, len(held_out) - 63, 64):
            ids = list(held_out[start : start + 64])
            with torch.no_grad():
                logits = model(torch.tensor([ids[:-1]])).logits[0].double().numpy()
            law = np.exp(logits - logits.max(axis=1, keepdims=True))
            nats.append(-np.log(law[np.arange(63), ids[1:]] / law.sum(axis=1)))
        assert getattr(trained, f"{name}_loss") == pytest.approx(float(np.mean(nats)), rel=1e-4)


def test_models__have_learned(tiny, text):
    """Contexts are of use, to the larger model more; with this seed the margins are wide."""
    _, trained = tiny
    counts = np.bincount(list(text.read_bytes()), minlength=256)
    shares = counts[counts > 0] / counts.sum()
    assert trained.target_loss < trained.draft_loss - 0.1
    assert trained.draft_loss < -(shares * np.log(shares)).sum() - 0.1


def test_report__is_what_was_returned(tiny):
    out, trained = tiny
    assert json.loads((out / "training.json").read_text()) == trained.__dict__


@pytest.mark.slow
def test_weights__depend_on_the_seed_and_not_on_the_held_out_bytes(text, tmp_path, micro):
    data = text.read_bytes()
    (tmp_path / "other.txt").write_bytes(data[: -(len(data) // 10)] + b"x" * (len(data) // 10))
    one = train_pair(text, tmp_path / "one", size="micro", seed=2**32 - 1)
    other = train_pair(tmp_path / "other.txt", tmp_path / "other", size="micro", seed=2**32 - 1)
    assert same(tmp_path / "one", tmp_path / "other")
    assert one.target_loss != other.target_loss
    train_pair(text, tmp_path / "third", size="micro", seed=1)
    assert not same(tmp_path / "one", tmp_path / "third")


@pytest.mark.parametrize("stop", [5, pytest.param(15, marks=pytest.mark.slow)])
def test_interrupted_training__goes_on_from_its_checkpoints(text, tmp_path, micro, stop):
    """Stopped in the draft (steps 1 to 10) and in the target (11 to 20)."""
    place, request = tmp_path / "new", {"size": "micro", "steps": 10, "resume": tmp_path / "checkpoints"}
    with pytest.raises(KeyboardInterrupt):
        train_pair(text, place / "out", **request, progress=stop_after(stop))
    assert not any(place.iterdir())
    done: list[int] = []
    train_pair(text, place / "out", **request, progress=done.append)
    # There is a checkpoint at every step; the step that was cut short is taken again.
    assert done == list(range(stop, 21))
    train_pair(text, place / "whole", size="micro", steps=10)
    assert same(place / "out", place / "whole")
    for change in ({"seed": 1}, {"steps": 11}, {"size": "tiny"}, {"resume": tmp_path}):
        with pytest.raises(InputError, match="holds something else; give another folder"):
            train_pair(text, place / "other", **{**request, **change})
    assert sorted(path.name for path in place.iterdir()) == ["out", "whole"]


def test_loss_that_is_not_finite__is_an_input_error(text, tmp_path, micro, monkeypatch):
    from transformers import Trainer

    monkeypatch.setattr(Trainer, "evaluate", lambda self: {"eval_loss": float("nan")})
    with pytest.raises(InputError, match="the loss of the draft is nan after 3 steps; give another seed"):
        train_pair(text, tmp_path / "out", size="micro")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "huge"}, "size is 'huge'; give one of tiny, small"),
        ({"steps": 0}, "steps is 0; give a whole number from 1"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"seed": -1}, "seed is -1; give a whole number from 0"),
        ({"seed": 2**32}, f"seed is {2**32}"),
    ],
)
def test_settings_out_of_range__are_refused(text, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        train_pair(text, tmp_path / "out", **options)
    assert not any(tmp_path.iterdir())


def test_places_that_cannot_serve__are_refused_before_the_work(text, tmp_path, micro, monkeypatch):
    monkeypatch.setattr(training, "_train", lambda *passed: pytest.fail("too late"))
    (short := tmp_path / "short").write_bytes(b"x" * 639)
    (full := tmp_path / "full").mkdir()
    (full / "file").write_text("x")
    for source, out, options, message in (
        (tmp_path / "missing", "out", {}, "cannot read .*missing: No such file or directory; give a file"),
        (tmp_path, "out", {}, "cannot read .*: Is a directory"),
        (short, "out", {"size": "tiny"}, "short has 639 bytes, and size tiny needs 640; give a longer text"),
        (text, "full", {}, "exists and is not an empty folder; give a new one"),
        (text, "short", {}, "exists and is not an empty folder"),
        (text, "short/below", {}, "cannot write .*; choose a writable folder"),
        (text, "out", {"resume": short}, "cannot write .*short.*; give another folder"),
    ):
        with pytest.raises(InputError, match=message):
            train_pair(source, tmp_path / out, **{"size": "micro", **options})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full", "short"]


def test_without_torch__says_what_to_install():
    code = "import sys; sys.modules['torch'] = None; from specsim.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "models", "train", "text.txt", "--out", "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("specsim: error: ")
    assert "pip install 'specsim-decoding[torch]'" in done.stderr


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(["models", "train", *map(str, arguments)])
    printed = capsys.readouterr()
    return stopped.value.code, printed.out, printed.err


def test_command__prints_what_came_of_it_and_progress_on_standard_error(text, tmp_path, micro, capsys):
    code, out, err = run(capsys, text, "--out", tmp_path / "one", "--size", "micro", "--steps", "20")
    assert code == 0
    assert "held-out loss" in out
    assert err.splitlines() == [f"step {4 * tenth} of 40" for tenth in range(1, 11)]
    code, out, err = run(
        capsys, text, "--out", tmp_path / "two", "--size", "micro", "--steps", "20", "--json"
    )
    assert code == 0
    assert json.loads(out)["steps"] == 20


def test_command__refuses_in_one_line(text, tmp_path, capsys):
    for arguments in (
        (tmp_path / "missing", "--out", tmp_path / "out"),
        (text, "--out", text),
        (text, "--out", tmp_path / "out", "--size", "huge"),
        (text, "--out", tmp_path / "out", "--steps", "0"),
        (text,),
    ):
        code, out, err = run(capsys, *arguments)
        assert code == 2
        assert not out
        assert err.startswith("specsim: error: ")
        assert len(err.splitlines()) == 1
    assert not any(tmp_path.iterdir())


REFUSED = [
    (["train", "missing", "--out", "out"], "cannot read missing"),
    (["decode", "a", "b", "speculative", "--prompt", "x", "--temperature", "-1"], "temperature is -1"),
    (["decode", "a", "b", "batch-as-printed:drafts=2,slip=inside-loop"], "rules that can: block"),
    (["decode", "a", "b", "speculative"], "prompt is missing"),
    (["decode", "a", "b", "speculative", "--batch", "0"], "0 is out of range"),
    (["measure", "a", "b", "speculative", "--repeats", "0"], "0 is out of range"),
    (["measure", "a", "b", "speculative", "--prompt", "x", "--figure", "x.pdf"], "figure is x.pdf"),
    (["table1", "a", "b", "--prompt", "x", "--top-p", "2"], "top_p is 2"),
]


def test_commands__refuse_options_before_torch_is_imported():
    """In a process of its own: here torch is loaded already."""
    code = (
        "import json, sys\nfrom click.testing import CliRunner\nfrom specsim.cli import main\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    result = CliRunner().invoke(main, ['models', *arguments])\n"
        "    print(json.dumps([result.exit_code, result.stderr, 'torch' in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps([arguments for arguments, _ in REFUSED])],
        capture_output=True,
        text=True,
        check=False,
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    for (arguments, message), (exit_code, said, torch_was_loaded) in zip(REFUSED, results, strict=True):
        assert exit_code == 2, (arguments, said)
        assert message in said, arguments
        assert not torch_was_loaded, arguments
