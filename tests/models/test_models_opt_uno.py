"""Table 1's experiment: exact counts, the right winner where it is known, scorers, prompts, the command."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from specsim import ModelPair, random_pair, random_prefix_pair
from specsim.errors import InputError
from specsim.support.hashes import derived_seed

if os.environ.get("SPECSIM_REQUIRE_ALL") != "1":
    pytest.importorskip("torch", reason="the extra torch is not installed")
    pytest.importorskip("transformers", reason="the extra torch is not installed")

import torch

from specsim.models import LoadedPair, table_models
from specsim.models.opt_uno import VARIABLES, compare_scores, opt_against_uno, responses
from specsim.models.prompt_files import encode, read_prompts
from specsim.models.rules import over_acceptance
from specsim.models.scoring import LogLikelihood, RewardModel, TextScorer, parse_scorer
from specsim.support.labelled import check

PAIR = random_pair(contexts=4, horizon=6, seed=3, stationary=True)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tables(pair=PAIR):
    target, draft = table_models(pair)
    return LoadedPair(target=target, draft=draft)


class Letters:
    """A tokenizer of the four tokens, as texts."""

    def decode(self, ids, skip_special_tokens=True):
        return "".join("abcd"[token] for token in ids)

    def __call__(self, text):
        return {"input_ids": ["abcd".index(letter) for letter in text]}


def test_compare_scores__counts_by_hand():
    first = np.array([[3.0, 1, 1, 5], [0, 0, 0, 0], [1, 2, 3, 4], [2, 2, 0, 0]])
    second = np.array([[2.0, 2, 1, 4], [0, 0, 0, 0], [2, 3, 4, 5], [1, 1, 1, 1]])
    values = compare_scores([(first, second)])
    assert values["preferences"][0].tolist() == [2.5, 2, 0, 2]
    assert values["equal_scores"][0].tolist() == [1, 4, 0, 0]
    assert (values["wins"], values["losses"], values["ties"]) == ([1], [1], [2])
    assert values["win_rate"] == [50]
    assert values["p_value"] == [1]
    assert values["preference"] == [pytest.approx((2.5 + 2 + 0 + 2) / 16)]
    assert values["score_difference"] == [pytest.approx((0.25 + 0 - 1 + 0) / 4)]


def test_compare_scores__the_papers_cell():
    """115 of 200 prompts: 57.5 %, p = 0.040, the one significant cell of Table 1."""
    first = np.where(np.arange(200) < 115, 1.0, -1.0)[:, None]
    values = compare_scores([(first, np.zeros((200, 1)))] * 8)
    assert values["win_rate"][0] == 57.5
    assert values["p_value"][0] == pytest.approx(0.0400, abs=5e-5)
    assert values["p_holm"][0] == pytest.approx(0.320, abs=5e-4)


def test_compare_scores__nothing_to_divide_by():
    ones, zeros = np.ones((5, 2)), np.zeros((5, 2))
    values = compare_scores([(ones, zeros), (zeros, zeros), (ones[:1], zeros[:1])])
    assert values["preference_p_value"] == [pytest.approx(2 / 32), 1.0, 1.0]
    assert values["ties"] == [0, 5, 0]
    assert np.isnan(values["win_rate"][1])
    assert values["clopper_pearson"][1] == [0, 1]


def test_opt_against_uno__has_the_winner_that_theory_names():
    """A scorer that knows a token's worth: means over all prompts equal those of the exact written laws.

    One token per response, so that Pr(token) of every decoder is known: mean scores are within 6.5 standard
    errors of the exact ones, which fails by chance below 1e-9 for each of 24 means.
    """
    pair = ModelPair.from_probabilities(
        [[0.50, 0.30, 0.15, 0.05]] * 4, [[0.20, 0.45, 0.10, 0.25]] * 4, initial=[1, 0, 0, 0], horizon=1
    )
    worth = np.array([1.0, -0.5, 0.25, -2.0])

    def scorer(prompts, answers):
        return worth[[answer[0] for answer in answers]]

    scorer.name = "worth"
    result = opt_against_uno(
        tables(pair), [[0], [1]], scorer, new_tokens=1, epsilons=(0.05, 0.1, 0.2), comparisons=4000, seed=1,
        batch=4000,
    )  # fmt: skip
    check(result, VARIABLES, ("scorer", "comparisons", "target", "seed"), "the result")
    target, draft = pair.target[0, 0], pair.draft[0, 0]
    scores = result["mean_score"].mean("prompt")
    residuals = {"OPT": np.array([6 / 7, 0, 1 / 7, 0]), "UNO from target": target, "UNO from draft": draft}
    for name, residual in residuals.items():
        for epsilon, rejection in ((0.05, 0.25), (0.1, 0.15), (0.2, 0.0)):
            written = np.minimum(draft, target + epsilon) + rejection * residual
            exact = float(written @ worth)
            spread = float(np.sqrt(written @ worth**2 - exact**2))
            found = float(scores.sel(decoder=name, epsilon_level=epsilon))
            assert abs(found - exact) < 6.5 * spread / np.sqrt(8000)
            rate = float(result["rejection_rate"].sel(decoder=name, epsilon_level=epsilon))
            assert abs(rate - rejection) < 6.5 * 0.5 / np.sqrt(8000)
    assert abs(float(result["lossless_score"].mean()) - target @ worth) < 6.5 * 1.1 / np.sqrt(8000)
    # Without rejections the three decoders are one.
    assert result.sel(cell=result["epsilon"].values == 0.2)["win_rate"].shape == (2,)
    near = result["preference"].values[result["epsilon"].values == 0.05]
    assert (near > 0.5).all()
    assert near[1] > near[0]


def test_opt_against_uno__tells_a_wrong_residual(monkeypatch):
    """Decoding-OPT that resamples from the draft is no better than UNO from the draft."""
    pair = ModelPair.from_probabilities(
        [[0.50, 0.30, 0.15, 0.05]] * 4, [[0.20, 0.45, 0.10, 0.25]] * 4, initial=[1, 0, 0, 0], horizon=1
    )
    request = {"new_tokens": 8, "epsilons": (0.05,), "comparisons": 100, "seed": 1, "batch": 2000}
    prompts = [[0], [1], [2], [3]] * 5
    right = opt_against_uno(tables(pair), prompts, LogLikelihood(tables(pair).target), **request)
    assert float(right["preference_p_holm"][1]) < 1e-6
    assert float(right["preference"][1]) > 0.55
    assert (right["wins"].values >= right["losses"].values).all()
    right_verify = over_acceptance.verify

    def from_draft(*given, residual, **options):
        return right_verify(*given, residual="draft", **options)

    monkeypatch.setattr(over_acceptance, "verify", from_draft)
    wrong = opt_against_uno(tables(pair), prompts, LogLikelihood(tables(pair).target), **request)
    # Six standard errors of a mean of 2000 comparisons.
    assert abs(float(wrong["preference"][1]) - 0.5) < 6 * 0.5 / np.sqrt(2000)


def test_opt_against_uno__is_reproducible_and_counts_progress():
    done = []
    request = {"new_tokens": 5, "epsilons": (0.1, 0.4), "comparisons": 7, "seed": 4, "eos": 2}
    scorer = LogLikelihood(tables().target)
    one = opt_against_uno(tables(), [[0], [1, 2]], scorer, batch=5, progress=done.append, **request)
    other = opt_against_uno(tables(), [[0], [1, 2]], scorer, batch=100, **request)
    for name in ("preferences", "rejection_rate", "mean_score"):
        np.testing.assert_allclose(one[name], other[name], atol=1e-12)
    assert done[-1] == responses(2, 2, 7) == 2 * 7 * 7
    assert derived_seed(4, "a") != derived_seed(4, "b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": []}, "prompts is empty"),
        ({"epsilons": ()}, "give at least one, each once"),
        ({"epsilons": (0.1, 0.1)}, "give at least one, each once"),
        ({"epsilons": (-0.1,)}, "epsilon is -0.1"),
        ({"comparisons": 0}, "comparisons is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"seed": 2**64}, "seed is 18446744073709551616"),
        ({"draft_length": 0}, "draft_length is 0"),
        ({"scorer": lambda prompts, answers: np.full(len(answers), np.nan)}, "returned a score that is not"),
    ],
)
def test_opt_against_uno__refuses(change, message):
    request = {"prompts": [[0]], "epsilons": (0.1,), "comparisons": 2, "new_tokens": 2, "seed": 1} | change
    scorer = request.pop("scorer", LogLikelihood(tables().target))
    if not hasattr(scorer, "name"):
        scorer.name = "nan"
    with pytest.raises(InputError, match=message):
        opt_against_uno(tables(), request.pop("prompts"), scorer, **request)


def test_log_likelihood__by_hand():
    scorer = LogLikelihood(tables().target)
    rows = PAIR.target[0]
    wanted = [
        np.log(rows[1, 3] * rows[3, 0]) / 2,
        np.log(rows[2, 2]),
        np.log(rows[1, 3] * rows[3, 0]) / 2,
        np.log(rows[0, 1] * rows[1, 1] * rows[1, 2]) / 3,
    ]
    found = scorer([[0, 1], [2], [0, 1], [0]], [[3, 0], [2], [3, 0], [1, 1, 2]])
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_log_likelihoods__of_shared_prompts_are_those_of_whole_passes(monkeypatch):
    from specsim.models import shared_prompts

    # Rows that depend on everything before them; the first token stands for nothing.
    pair = random_prefix_pair(tokens=2, horizon=8, seed=5)
    target, _ = table_models(pair, skip=1, check_positions=True)
    random = np.random.default_rng(4)
    few = [[0], [0, 1], [0, 1, 1], [0, 0, 1]]
    prompts = [few[place] for place in random.integers(len(few), size=60)]
    answers = [random.integers(2, size=random.integers(1, 4)).tolist() for _ in prompts]
    wanted = []
    for prompt, answer in zip(prompts, answers, strict=True):
        logs = target(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        wanted.append(float(logs[torch.arange(len(answer)), answer].mean()))
    for most in (1, 40, 2**24):
        monkeypatch.setattr(shared_prompts, "_MOST_LOGITS", most)
        found = shared_prompts.log_likelihoods(target, prompts, answers)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    with pytest.raises(InputError, match="a prompt or a continuation is empty"):
        shared_prompts.log_likelihoods(target, [[0]], [[]])
    assert shared_prompts.log_likelihoods(target, [], []).shape == (0,)


def test_parse_scorer__of_all_kinds(tmp_path, monkeypatch):
    models = tables()
    assert isinstance(parse_scorer("log-likelihood", models), LogLikelihood)
    (tmp_path / "my_scores.py").write_text("def length(prompts, answers): return [len(a) for a in answers]\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="reads texts, but the pair has no tokenizer"):
        parse_scorer("my_scores:length", models)
    lettered = LoadedPair(target=models.target, draft=models.draft, tokenizer=Letters())
    scorer = parse_scorer("my_scores:length", lettered)
    assert scorer([[0]], [[1, 2, 3]]).tolist() == [3]
    for text, message in (
        ("likelihood", "give log-likelihood, reward:PATH_OR_ID or module:function"),
        ("reward:", "write reward:PATH_OR_ID"),
        ("my_scores:breadth", "module my_scores has no function breadth"),
        ("no_such_module:score", "cannot import the scorer's module no_such_module"),
        ("reward:./nowhere", "reward model is './nowhere', which is not a folder here; give a folder"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            parse_scorer(text, lettered)
        assert "\n" not in str(caught.value)


def test_text_scorer__checks_what_comes_back():
    scorer = TextScorer(lambda prompts, answers: [1.0], Letters(), "short")
    with pytest.raises(InputError, match=r"scorer short returned \(1,\) for 2 responses"):
        scorer([[0], [1]], [[1], [2]])
    seen = []

    def look(prompts, answers):
        seen.append((prompts, answers))
        return np.arange(len(answers))

    assert TextScorer(look, Letters(), "look")([[0], [1]], [[1, 1], [2]]).tolist() == [0, 1]
    assert seen == [(["a", "b"], ["bb", "c"])]


def test_reward_model__of_transformers(tmp_path):
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, GPTNeoXForSequenceClassification
    from transformers.utils import logging

    from specsim.models.training import byte_tokenizer

    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=257, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=32, num_labels=1, pad_token_id=256, eos_token_id=256, bos_token_id=256,
    )  # fmt: skip
    logging.disable_progress_bar()
    GPTNeoXForSequenceClassification(config).save_pretrained(tmp_path / "one")
    byte_tokenizer(32).save_pretrained(tmp_path / "one")
    config.num_labels = 3
    GPTNeoXForSequenceClassification(config).save_pretrained(tmp_path / "three")
    byte_tokenizer(32).save_pretrained(tmp_path / "three")
    model = RewardModel(str(tmp_path / "one"), batch=2)
    prompts, answers = ["ab", "c", "d"], ["x", "yyy", "zz"]
    together = model(prompts, answers)
    alone = [float(model([prompt], [answer])[0]) for prompt, answer in zip(prompts, answers, strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert len(set(np.round(together, 6))) == 3
    with pytest.raises(InputError, match="has 3 labels; give one with a single score"):
        RewardModel(str(tmp_path / "three"))
    # A language model that names one label has no head for it; transformers would draw one.
    config.num_labels = 1
    GPTNeoXForCausalLM(config).save_pretrained(tmp_path / "none")
    byte_tokenizer(32).save_pretrained(tmp_path / "none")
    with pytest.raises(InputError, match=r"reward model .* lacks weights \(score\.weight\)"):
        RewardModel(str(tmp_path / "none"))
    logging.enable_progress_bar()


def test_read_prompts__of_all_kinds(tmp_path):
    (tmp_path / "a.txt").write_text("one\n\n two \n")
    assert read_prompts(tmp_path / "a.txt") == ["one", " two "]
    assert read_prompts(tmp_path / "a.txt", limit=1) == ["one"]
    (tmp_path / "b.json").write_text('["x", [1, 2], {"instruction": "do", "input": "this"}, {"prompt": "p"}]')
    assert read_prompts(tmp_path / "b.json") == ["x", [1, 2], "do\nthis", "p"]
    (tmp_path / "c.jsonl").write_text('{"text": "t"}\n\n{"question": "q"}\n')
    assert read_prompts(tmp_path / "c.jsonl") == ["t", "q"]
    models = tables()
    lettered = LoadedPair(target=models.target, draft=models.draft, tokenizer=Letters())
    assert encode(lettered, ["abd", [3, 3]]) == [[0, 1, 3], [3, 3]]
    with pytest.raises(InputError, match="prompt 1 is a text, but the models have no tokenizer"):
        encode(models, ["ab"])
    with pytest.raises(InputError, match="prompt 2 has no tokens"):
        encode(lettered, ["a", ""])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"\n \n", "has no prompts"),
        ("a.txt", b"\xff\xfe", "not UTF-8"),
        ("a.json", b"[1", "line 1: Expecting"),
        ("a.json", b'{"prompt": "x"}', "holds no list"),
        ("a.json", b"[[]]", "prompt 1 is empty"),
        ("a.json", b"[[1, true]]", "is not a text or token ids"),
        ("a.json", b'["", "x"]', "prompt 1 is empty"),
        ("a.json", b'[0, "x"]', "prompt 1: '0' is not a text or token ids"),
        ("a.json", b"[" * 100000, "line 1: maximum recursion depth"),
        ("a.jsonl", b'\n"x"\n{"text": ', "line 3: Expecting value"),
        ("a.jsonl", b'{"answer": "x"}', "no prompt, no instruction, no text, no question"),
    ],
)
def test_read_prompts__refuses(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_prompts(tmp_path / name)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="limit is 0"):
        read_prompts(tmp_path / name, limit=0)
    with pytest.raises(InputError, match="No such file"):
        read_prompts(tmp_path / "none.txt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from transformers.utils import logging

    logging.disable_progress_bar()
    place = tmp_path_factory.mktemp("pair")
    for name, model in zip(("target", "draft"), table_models(PAIR), strict=True):
        model.save_pretrained(place / name)
    logging.enable_progress_bar()
    (place / "prompts.json").write_text("[[0], [1], [2], [3], [0, 1]]")
    return place


def run(*arguments):
    from click.testing import CliRunner

    from specsim.cli import main

    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_command__end_to_end(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    arguments = (
        "models", "table1", folder / "target", folder / "draft", "--prompts", folder / "prompts.json",
        "--new-tokens", 4, "--comparisons", 20, "--epsilons", "0.05,0.1", "--seed", 1, "--threads", 1,
    )  # fmt: skip
    result = run(*arguments, "--out", tmp_path / "run.nc", "--figure", tmp_path / "run.svg", "--limit", 4)
    assert result.exit_code == 0, result.output
    for words in ("UNO from target", "UNO from draft", "win rate", "p (Holm)", "scorer log-likelihood"):
        assert words in result.output
    assert {path.name for path in tmp_path.iterdir()} == {"run.nc", "run.svg"}
    document = json.loads(run(*arguments, "--json").output)
    assert document["epsilon"] == [0.05, 0.1, 0.05, 0.1]
    assert document["wins"][0] + document["losses"][0] + document["ties"][0] == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epsilons", "small"), "is not a list of numbers"),
        (("--limit", 0), "'--limit': 0 is out of range"),
        (("--scorer", "judge"), "scorer is 'judge'"),
        (("--figure", "x.gif"), "figure is x.gif"),
    ],
)
def test_command__refuses(folder, arguments, message):
    result = run(
        "models", "table1", folder / "target", folder / "draft", "--prompts", folder / "prompts.json",
        "--new-tokens", 2, *arguments,
    )  # fmt: skip
    assert result.exit_code == 2
    assert message in result.output


def test_command__weights_that_cannot_be_had(monkeypatch):
    """Ids on the hub without a hub: one line, code 2, nothing half done."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = run(
        "models", "table1", "EleutherAI/pythia-2.8b", "EleutherAI/pythia-70m", "--prompt", "Once", "--seed", 1
    )
    assert result.exit_code == 2
    lines = [line for line in result.output.splitlines() if line.strip()]
    assert len(lines) == 1
    assert "EleutherAI/pythia-2.8b" in lines[0]
