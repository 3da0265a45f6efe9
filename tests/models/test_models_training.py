"""A pair trained on a text: what is written, that it is reproducible, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from specsim.errors import InputError

if os.environ.get("SPECSIM_REQUIRE_ALL") != "1":
    pytest.importorskip("torch", reason="the extra torch is not installed")
    pytest.importorskip("transformers", reason="the extra torch is not installed")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from specsim.cli import main
from specsim.models import train_pair, training
from specsim.models.byte_tokenizer import byte_characters, byte_tokenizer
from specsim.models.folders import new_folder
from specsim.models.training_sizes import SIZES, Architecture, Size
from specsim.models.training_state import WARM_UP, share_of_rate

MICRO = Size(
    draft=Architecture(hidden=8, layers=1, heads=1, rate=1e-2),
    target=Architecture(hidden=8, layers=2, heads=2, rate=1e-2),
    context=16,
    batch=2,
    steps=3,
)
WEIGHTS = ("draft/model.safetensors", "target/model.safetensors")


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


def weights(out: Path) -> list[bytes]:
    return [(out / name).read_bytes() for name in WEIGHTS]


def stop_after(steps):
    def progress(done, *rest):
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
        prompt = torch.tensor([list(b"The cat ")])
        assert model.generate(prompt, do_sample=False, max_new_tokens=5, min_new_tokens=5).shape == (1, 13)
    assert trained.draft_parameters * 4 < trained.target_parameters
    assert sorted(path.name for path in out.iterdir()) == sorted(training.ENTRIES)


def test_losses_and_total_variation__are_those_of_the_written_models(tiny, text):
    """Computed again, byte by byte, from what was written."""
    out, trained = tiny
    data = text.read_bytes()
    held_out = data[len(data) - len(data) // 10 :]
    assert trained.text_bytes == len(data)
    assert trained.held_out_bytes == len(held_out)
    laws, losses = {}, {}
    sequences = (len(held_out) - 1) // 64
    assert sequences <= 64
    for name in ("draft", "target"):
        model = AutoModelForCausalLM.from_pretrained(out / name)
        rows, nats = [], []
        for start in range(0, sequences * 64, 64):
            ids = list(held_out[start : start + 65])
            with torch.no_grad():
                logits = model(torch.tensor([ids[:-1]])).logits[0].double().numpy()
            law = np.exp(logits - logits.max(axis=1, keepdims=True))
            law /= law.sum(axis=1, keepdims=True)
            nats.append(-np.log(law[np.arange(64), ids[1:]]))
            rows.append(law)
        laws[name], losses[name] = np.array(rows), float(np.mean(nats))
    distances = np.maximum(laws["target"] - laws["draft"], 0).sum(axis=2).mean(axis=1)
    assert trained.draft_loss == pytest.approx(losses["draft"], rel=1e-5)
    assert trained.target_loss == pytest.approx(losses["target"], rel=1e-5)
    assert trained.total_variation == pytest.approx(distances.mean(), rel=1e-4)
    assert trained.total_variation_error == pytest.approx(
        distances.std(ddof=1) / len(distances) ** 0.5, rel=1e-3
    )
    frequencies = np.bincount(list(data[: -len(held_out)]), minlength=256) + 1
    expected = -np.log(frequencies[list(held_out)] / frequencies.sum()).mean()
    assert trained.frequency_loss == pytest.approx(expected, rel=1e-9)


def test_models__have_learned(tiny):
    """Contexts are of use, to the larger model more; with this seed the margins are wide."""
    _, trained = tiny
    assert trained.target_loss < trained.draft_loss - 0.1
    assert trained.draft_loss < trained.frequency_loss - 0.1
    assert 0.05 < trained.total_variation < 0.8


def test_report__is_what_was_returned(tiny):
    out, trained = tiny
    written = json.loads((out / "training.json").read_text())
    assert written.pop("format") == training.FORMAT
    assert written == trained.__dict__
    assert written["text"] == "text.txt"


def test_same_seed__gives_the_same_bytes(text, tmp_path, micro):
    """Whatever the state of torch's own generator and default precision."""
    train_pair(text, tmp_path / "one", size="micro", seed=2**64 - 1)
    torch.manual_seed(99)
    torch.set_default_dtype(torch.float64)
    try:
        train_pair(text, tmp_path / "two", size="micro", seed=2**64 - 1)
    finally:
        assert torch.get_default_dtype() == torch.float64
        torch.set_default_dtype(torch.float32)
    train_pair(text, tmp_path / "three", size="micro", seed=2**63 - 1)
    for one, two, three in zip(*(weights(tmp_path / name) for name in ("one", "two", "three")), strict=True):
        assert one == two
        assert one != three


def test_state_of_torch__is_left_alone(text, tmp_path, micro):
    threads = torch.get_num_threads()
    before = torch.random.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        train_pair(text, tmp_path / "out", size="micro", threads=threads + 1, progress=stop_after(1))
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.random.get_rng_state(), before)


def test_held_out_bytes__are_not_learned(text, tmp_path, micro):
    data = text.read_bytes()
    (tmp_path / "other.txt").write_bytes(data[: -(len(data) // 10)] + b"x" * (len(data) // 10))
    one = train_pair(text, tmp_path / "one", size="micro")
    other = train_pair(tmp_path / "other.txt", tmp_path / "other", size="micro")
    assert weights(tmp_path / "one") == weights(tmp_path / "other")
    assert one.text_sha256 != other.text_sha256
    assert one.target_loss != other.target_loss


def test_batches__are_pieces_of_the_text_after_one_that_begins_it():
    data = np.arange(100, dtype=np.uint8)
    seen = set()
    for number in range(200):
        rows = training._batch(data, MICRO, 5, number).numpy()
        assert rows.shape == (2, 17)
        assert rows[0, 0] == 256
        rows[0, 0] = rows[0, 1] - 1
        assert (np.diff(rows, axis=1) == 1).all()
        seen |= set(rows[:, 0].tolist())
    assert seen == set(range(100 - 16))
    first, other = (training._batch(data, MICRO, seed, 3) for seed in (5, 6))
    assert torch.equal(first, training._batch(data, MICRO, 5, 3))
    assert not torch.equal(first, other)


def test_rate__rises_and_falls():
    rates = [share_of_rate(number, 100) for number in range(100)]
    assert rates[WARM_UP - 1] == rates[WARM_UP] == 1
    assert np.all(np.diff(rates[:WARM_UP]) > 0)
    assert np.all(np.diff(rates[WARM_UP:]) < 0)
    assert share_of_rate(100, 100) == pytest.approx(0.1)
    assert share_of_rate(3, 4) == share_of_rate(3, 100) == 4 / WARM_UP


def test_minutes__become_steps_that_give_the_same_weights(text, tmp_path, micro, monkeypatch):
    """A clock by which every step takes a tenth of a second."""
    ticks = count()
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: next(ticks) / 10))
    seen = []
    trained = train_pair(
        text, tmp_path / "timed", size="micro", minutes=0.0425, progress=lambda *now: seen.append(now[:2])
    )
    assert trained.steps == 25
    assert seen == [(done, 25 if done >= WARM_UP else None) for done in range(1, 26)]
    train_pair(text, tmp_path / "counted", size="micro", steps=25)
    assert weights(tmp_path / "timed") == weights(tmp_path / "counted")
    assert train_pair(text, tmp_path / "short", size="micro", minutes=1e-9).steps == WARM_UP


@pytest.mark.parametrize("again", [{}, {"steps": 6}])
def test_resumed_training__gives_the_same_bytes(text, tmp_path, micro, monkeypatch, again):
    monkeypatch.setattr(training, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    options = {"size": "micro", "seed": 3}
    train_pair(text, tmp_path / "whole", steps=6, **options)
    checkpoint = tmp_path / "state" / "now.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_pair(text, tmp_path / "cut", steps=6, resume=checkpoint, progress=stop_after(4), **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state", "whole"]
    seen = []
    train_pair(
        text,
        tmp_path / "cut",
        resume=checkpoint,
        progress=lambda *now: seen.append(now[0]),
        **options,
        **again,
    )
    assert seen == [5, 6]
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert not list(checkpoint.parent.iterdir())


def test_checkpoint_of_something_else__is_refused(text, tmp_path, micro, monkeypatch):
    monkeypatch.setattr(training, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    checkpoint = tmp_path / "now.safetensors"
    monkeypatch.setitem(SIZES, "other", replace(MICRO, draft=replace(MICRO.draft, hidden=16)))

    def go_on(**options):
        train_pair(text, tmp_path / "out", resume=checkpoint, **{"size": "micro", "seed": 3, **options})

    with pytest.raises(KeyboardInterrupt):
        go_on(steps=6, progress=stop_after(3))
    whole = checkpoint.read_bytes()
    with pytest.raises(InputError, match="the checkpoint has seed 3, not 4; remove"):
        go_on(seed=4)
    with pytest.raises(InputError, match="the checkpoint has threads 1, not 2; remove"):
        go_on(threads=2)
    with pytest.raises(InputError, match="steps is 7, but the checkpoint is of 6 steps"):
        go_on(steps=7)
    with pytest.raises(InputError, match="the checkpoint has size micro, not other"):
        go_on(size="other")
    for damaged in (whole[:-100], b"", b"text", whole.replace(b"draft.weight", b"draft.wEight")):
        checkpoint.write_bytes(damaged)
        with pytest.raises(InputError, match=r"is no checkpoint of a training .*; remove"):
            go_on()
    assert [path.name for path in tmp_path.iterdir()] == ["now.safetensors"]


def test_checkpoint_that_could_not_be_written__is_refused_before_the_work(text, tmp_path, micro, monkeypatch):
    monkeypatch.setattr(training.Learner, "step", lambda self, *passed: pytest.fail("too late"))
    (tmp_path / "file").write_text("x")
    for resume, message in (
        (tmp_path / "file" / "now", "it is a file; give a folder"),
        (tmp_path, "is no checkpoint of a training"),
        (tmp_path / "out" / "now", "a file in .*, which is made at the end; give another place"),
        (tmp_path / "out" / "draft" / "now", "which is made at the end"),
    ):
        with pytest.raises(InputError, match=message):
            train_pair(text, tmp_path / "out", size="micro", resume=resume)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_interruption__leaves_nothing(text, tmp_path, micro, monkeypatch):
    for steps in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            train_pair(text, tmp_path / "new" / "out", size="micro", progress=stop_after(steps))
    assert not any((tmp_path / "new").iterdir())

    def interrupt(*passed):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "write_text", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_pair(text, tmp_path / "new" / "out", size="micro")
    assert not any((tmp_path / "new").iterdir())


def test_loss_that_is_not_finite__is_an_input_error(text, tmp_path, micro, monkeypatch):
    monkeypatch.setattr(training.Learner, "step", lambda self, *passed: float("nan"))
    with pytest.raises(InputError, match="the loss is not finite after 1 steps; give another seed"):
        train_pair(text, tmp_path / "out", size="micro")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "huge"}, "size is 'huge'; give one of tiny, small"),
        ({"steps": 0}, "steps is 0; give a whole number from 1"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"steps": 5, "minutes": 1}, "steps is 5 and minutes is 1; give one of them"),
        ({"minutes": 0}, "minutes is 0; give a number above 0"),
        ({"minutes": float("nan")}, "minutes is nan"),
        ({"minutes": float("inf")}, "minutes is inf"),
        ({"minutes": True}, "minutes is True"),
        ({"seed": -1}, "seed is -1; give a whole number from 0"),
        ({"seed": 2**64}, f"seed is {2**64}"),
        ({"threads": 0}, "threads is 0; give a whole number from 1"),
    ],
)
def test_settings_out_of_range__are_refused(text, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        train_pair(text, tmp_path / "out", **options)
    assert not any(tmp_path.iterdir())


def test_texts_that_cannot_serve__are_refused(tmp_path):
    empty, short, least = (tmp_path / name for name in ("empty", "short", "least"))
    empty.write_bytes(b"")
    short.write_bytes(b"x" * 649)
    least.write_bytes(b"x" * 650)
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"cannot read .*missing: No such file or directory; give a file"):
        train_pair(tmp_path / "missing", out)
    with pytest.raises(InputError, match="which is no file; give a file of text"):
        train_pair(tmp_path, out)
    with pytest.raises(InputError, match=r"empty has 0 bytes, and size small needs 2570 .* or size tiny"):
        train_pair(empty, out)
    with pytest.raises(
        InputError, match="short has 649 bytes, and size tiny needs 650 at least; give a longer"
    ):
        train_pair(short, out, size="tiny")
    assert not out.exists()
    trained = train_pair(least, out, size="tiny", steps=1)
    assert np.isnan(trained.total_variation_error)
    assert json.loads((out / "training.json").read_text())["total_variation_error"] is None


def test_folders_that_must_not_be_replaced__are_refused_before_the_work(text, tmp_path, micro, monkeypatch):
    other = tmp_path / "file"
    other.write_text("x")
    full = tmp_path / "full"
    full.mkdir()
    (full / "training.json").write_text("{}")
    with monkeypatch.context() as context:
        context.setattr(training, "_learn", lambda *passed: pytest.fail("too late"))
        for out, message in (
            (other, "it is a file; give a folder"),
            (other / "below", "cannot write .*; choose a writable folder"),
            (full, "is not empty; give a new or an empty folder"),
        ):
            for overwrite in (False, True):
                with pytest.raises(InputError, match=message):
                    train_pair(text, out, size="micro", overwrite=overwrite)
    assert (full / "training.json").read_text() == "{}"
    assert other.read_text() == "x"


def test_former_pair__is_replaced_on_request_only(text, tmp_path, micro):
    out = tmp_path / "out"
    out.mkdir()
    train_pair(text, out, size="micro", seed=1)
    former = weights(out)
    with pytest.raises(InputError, match="holds such a result already; ask for it to be overwritten"):
        train_pair(text, out, size="micro", seed=2)
    with pytest.raises(KeyboardInterrupt):
        train_pair(text, out, size="micro", seed=2, overwrite=True, progress=stop_after(2))
    assert weights(out) == former
    train_pair(text, out, size="micro", seed=2, overwrite=True)
    assert weights(out) != former
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (out.stat().st_mode & 0o777) == (tmp_path / "out" / "draft").stat().st_mode & 0o777


def test_folder_that_cannot_be_moved__leaves_the_former_one(tmp_path, monkeypatch):
    target = tmp_path / "out"
    (target / "a").mkdir(parents=True)
    move = Path.replace

    def refuse(self, to):
        if Path(to) == target and "former" not in self.name:
            raise OSError(28, "No space left on device")
        return move(self, to)

    monkeypatch.setattr(Path, "replace", refuse)
    with (
        pytest.raises(InputError, match="No space left on device; free some space"),
        new_folder(target, entries=("a",), overwrite=True) as folder,
    ):
        (folder / "b").mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in target.iterdir()] == ["a"]


def test_characters_of_bytes__are_those_of_byte_level_tokenizers():
    from tokenizers import pre_tokenizers

    characters = byte_characters()
    assert sorted(characters) == sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = byte_tokenizer(16)
    for character in map(chr, [*range(0x250), 0x4E2D, 0x1F600]):
        assert tokenizer(character)["input_ids"] == list(character.encode())
    assert tokenizer.decode([0xE4, 0xB8]) == "�"


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
    assert "mean total variation" in out
    assert len(err.splitlines()) == 10
    assert err.splitlines()[-1].startswith("step 20 of 20, loss of this batch ")
    code, out, err = run(
        capsys, text, "--out", tmp_path / "two", "--size", "micro", "--steps", "20", "--json"
    )
    assert code == 0
    assert json.loads(out)["steps"] == 20
    assert weights(tmp_path / "one") == weights(tmp_path / "two")


def test_command__refuses_in_one_line(text, tmp_path, capsys):
    for arguments in (
        (tmp_path / "missing", "--out", tmp_path / "out"),
        (text, "--out", text),
        (text, "--out", tmp_path / "out", "--size", "huge"),
        (text, "--out", tmp_path / "out", "--steps", "3", "--minutes", "1"),
        (text,),
    ):
        code, out, err = run(capsys, *arguments)
        assert code == 2
        assert not out
        assert err.startswith("specsim: error: ")
        assert len(err.splitlines()) == 1
    assert not any(tmp_path.iterdir())
