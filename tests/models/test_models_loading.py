"""Loading checkpoints and the command line: what works, and one clear line for what does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from specsim.errors import InputError, TooLargeError

if os.environ.get("SPECSIM_REQUIRE_ALL") != "1":
    pytest.importorskip("torch", reason="the extra torch is not installed")
    pytest.importorskip("transformers", reason="the extra torch is not installed")

import torch
import transformers
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers

import specsim
from specsim.cli import main
from specsim.cli.group import BAD_INPUT
from specsim.models import LoadedPair, decode, load_pair, table_models

ROOT = Path(specsim.__file__).resolve().parent.parent
WORDS = ["the", "a", "cat", "dog", "sat", "ran", "on", "mat", ".", "<unk>"]


def save(folder: Path, seed: int, *, vocabulary: int = len(WORDS), words: list[str] | None = None) -> Path:
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=vocabulary, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=40, initializer_range=0.5,
        bos_token_id=None, eos_token_id=8, pad_token_id=None,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    if words is not None:
        tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(
            folder
        )
    return folder


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pair")
    return save(folder / "target", 1, words=WORDS), save(folder / "draft", 2, words=WORDS)


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_load_pair__decodes_texts(checkpoints):
    pair = load_pair(*checkpoints)
    assert pair.target.dtype == torch.float32
    assert pair.vocabulary == len(WORDS)
    algorithm = specsim.Speculative(draft_length=2)
    texts = decode(pair, ["the cat", "a dog sat"], algorithm=algorithm, new_tokens=6, seed=1)
    ids = decode(pair, [[0, 2], [1, 3, 4]], algorithm=algorithm, new_tokens=6, seed=1)
    assert texts.tokens == ids.tokens
    wide = load_pair(*checkpoints, dtype="float64", device="cpu")
    assert wide.target.dtype == torch.float64


def test_load_pair__device_names(checkpoints):
    pair = load_pair(*checkpoints, device="cpu:0")
    assert pair.device == torch.device("cpu")
    elsewhere = type(pair.draft)(pair.draft.config).to("meta")
    with pytest.raises(InputError, match="on cpu and meta, wanted on cpu"):
        LoadedPair(target=pair.target, draft=elsewhere)


def test_load_pair__reads_folders_of_table_models(tmp_path):
    pair = specsim.random_pair(contexts=3, horizon=5, seed=1, stationary=True)
    for model, name in zip(table_models(pair), ("target", "draft"), strict=True):
        model.save_pretrained(tmp_path / name)
    again = load_pair(tmp_path / "target", tmp_path / "draft", dtype="float64")
    assert again.tokenizer is None
    ids = torch.tensor([[1]])
    torch.testing.assert_close(
        again.draft(ids).logits[0].softmax(-1), torch.tensor(pair.draft[0, 1:2].copy()), atol=1e-15, rtol=0
    )


def damage(kind: str, folder: Path) -> None:
    weights = folder / "model.safetensors"
    if kind == "truncated":
        weights.write_bytes(weights.read_bytes()[:-40])
    elif kind == "garbage":
        weights.write_bytes(b"not weights at all")
    elif kind == "no weights":
        weights.unlink()
    elif kind == "missing weight":
        tensors = load_file(weights)
        del tensors["model.norm.weight"]
        save_file(tensors, weights, metadata={"format": "pt"})
    elif kind == "other shape":
        tensors = load_file(weights)
        tensors["model.norm.weight"] = torch.ones(17)
        save_file(tensors, weights, metadata={"format": "pt"})
    elif kind == "no config":
        (folder / "config.json").unlink()
    elif kind == "broken config":
        (folder / "config.json").write_text("{")
    elif kind == "unknown kind":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "model_type": "nonsense"}))
    elif kind == "encoder":
        transformers.T5Config(vocab_size=len(WORDS)).save_pretrained(folder)
    elif kind == "broken tokenizer":
        (folder / "tokenizer.json").write_text("{")
    else:
        raise AssertionError(kind)


@pytest.mark.parametrize(
    "kind",
    [
        "truncated", "garbage", "no weights", "missing weight", "other shape", "no config", "broken config",
        "unknown kind", "encoder", "broken tokenizer",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_damaged_checkpoint__is_one_line_and_code_2(kind, tmp_path, checkpoints):
    folder = save(tmp_path / "target", 1, words=WORDS)
    damage(kind, folder)
    result = run("models", "decode", folder, checkpoints[1], "speculative:draft_length=2", "--prompt", "the")
    assert result.exit_code == BAD_INPUT, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("specsim: error: target")
    assert str(folder) in lines[0] or kind == "no config"


def test_other_vocabulary__is_refused_before_loading(tmp_path, checkpoints):
    wide = save(tmp_path / "wide", 1, vocabulary=11)
    with pytest.raises(InputError, match="draft has 10 tokens and target 11"):
        load_pair(wide, checkpoints[1])


def test_other_tokenizer__is_refused(tmp_path, checkpoints):
    other = save(tmp_path / "other", 1, words=WORDS[::-1])
    with pytest.raises(InputError, match=r"tokenizers of .* differ"):
        load_pair(checkpoints[0], other)


def test_weights_that_do_not_fit__are_refused_before_they_are_read(monkeypatch, checkpoints):
    monkeypatch.setattr("specsim.models.loading.available_bytes", lambda: 1000)
    monkeypatch.setattr("specsim.models.loading._model", None)
    with pytest.raises(TooLargeError, match=r"take .* bytes and 1000 are free") as error:
        load_pair(*checkpoints)
    counted = int(str(error.value).split(" take ")[1].split()[0])
    files = sum((folder / "model.safetensors").stat().st_size for folder in checkpoints)
    assert abs(counted - files) < 4000


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "int8"}, "dtype is 'int8'"),
        ({"dtype": torch.int64}, "dtype is torch.int64"),
        ({"device": "nonsense"}, "device is 'nonsense'"),
        ({"target": "./nowhere"}, "not a folder here"),
        ({"target": "a/b/c"}, "not a folder here"),
    ],
)
def test_load_pair__refuses(options, words, checkpoints):
    target = options.pop("target", checkpoints[0])
    with pytest.raises(InputError, match=words) as error:
        load_pair(target, checkpoints[1], **options)
    assert "\n" not in str(error.value)


def python(*arguments: str, **environment: str) -> Any:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env={**os.environ, **environment}, capture_output=True,
        text=True, timeout=300, check=False,
    )  # fmt: skip


def test_unknown_hub_id__without_network(checkpoints, monkeypatch):
    # As the variable HF_HUB_OFFLINE does.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = run("models", "decode", "nobody/nothing", checkpoints[1], "speculative", "--prompt", "the")
    assert result.exit_code == BAD_INPUT
    assert len(result.stderr.strip().splitlines()) == 1
    assert "nobody/nothing is not a folder here" in result.stderr
    assert "(HF_HUB_OFFLINE is set); give a folder" in result.stderr


def test_without_torch__every_entry_point_says_so(tmp_path):
    # A path hook hides the library, as if it were not installed.
    code = (
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name in ('torch', 'transformers') else real(name, *a)\n"
        "from specsim.errors import InputError\n"
        "for name in ('specsim.models', 'specsim.models.decoding'):\n"
        "    try: __import__(name)\n"
        "    except InputError as error: print(error)\n"
        "import sys; from specsim.cli import main\n"
        "main(['models', 'decode', 'a', 'b', 'speculative', '--prompt', 'x'])\n"
    )
    result = python("-c", code)
    assert result.returncode == BAD_INPUT
    line = "specsim.models needs torch and transformers, not installed here; pip install"
    assert [text.startswith(line) for text in result.stdout.splitlines()] == [True, True]
    assert result.stderr.startswith(f"specsim: error: {line}")


def test_help_of_the_group__imports_no_torch():
    code = (
        "import sys; from specsim.cli import main\n"
        "try: main(['models', '--help'])\n"
        "finally: print('torch' in sys.modules)"
    )
    result = python("-c", code)
    assert result.stdout.splitlines()[-1] == "False"
    assert "decode" in result.stdout


def test_command__prints_texts_and_numbers(checkpoints):
    result = run(
        "models", "decode", *checkpoints, "batch:drafts=2,draft_length=2,bonus=no", "--prompt", "the cat",
        "--prompt", "a", "--new-tokens", 8, "--seed", 3, "--ignore-eos", "--temperature", 0.9,
        "--top-k", 8, "--top-p", 0.95,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "the cat" in result.output
    assert "seed 3" in result.output
    assert "peak memory" in result.output
    assert "16" in result.output


def test_command__json_file_and_library_agree(checkpoints, tmp_path):
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps(["the dog", [1, 3]]))
    out = tmp_path / "texts.jsonl"
    result = run(
        "models", "decode", *checkpoints, "speculative:draft_length=3", "--prompts", prompts,
        "--new-tokens", 12, "--seed", 5, "--out", out, "--json", "--threads", 1,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    decoded = decode(
        load_pair(*checkpoints), [[0, 3], [1, 3]], algorithm=specsim.Speculative(draft_length=3),
        new_tokens=12, seed=5, eos=8,
    )  # fmt: skip
    assert [entry["tokens"] for entry in document["sequences"]] == decoded.tokens
    assert [json.loads(line) for line in out.read_text().splitlines()] == document["sequences"]
    first = document["sequences"][0]
    assert first["text"].split() == [WORDS[token] for token in first["tokens"]]
    assert document["tokens"] == decoded.lengths.sum()
    assert document["target_calls"] == decoded.target_calls.sum()
    assert document["rejections"] == decoded.rejections.sum()
    assert document["bytes"] == {**document["bytes"], "caches": decoded.memory.caches}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "prompt is missing"),
        (["--prompt", ""], "is empty"),
        (["--prompt", "the", "--new-tokens", "40"], "context of 40"),
        (["--prompt", "the", "--seed", "-1"], "'--seed': -1 is out of range"),
        (["--prompt", "the", "--eos", "10"], "eos is 10"),
        (["--prompt", "the", "--temperature", "-1"], "temperature is -1"),
        (["--prompt", "the", "--threads", "0"], "'--threads': 0 is out of range"),
        (["--prompt", "the", "--out", "/proc/nowhere/x"], "cannot write"),
        (["--prompts", "nowhere.txt"], "nowhere.txt"),
    ],
)
def test_command__bad_options_are_one_line_and_code_2(arguments, words, checkpoints):
    result = run("models", "decode", *checkpoints, "speculative:draft_length=2", *arguments)
    assert result.exit_code == BAD_INPUT
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_command__unknown_rule(checkpoints):
    result = run(
        "models", "decode", *checkpoints, "batch-as-printed:drafts=2,slip=inside-loop", "--prompt", "the"
    )
    assert result.exit_code == BAD_INPUT
    assert "cannot decode language models: kept to show the error of t" in result.stderr
