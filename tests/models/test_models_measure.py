"""Measuring: exact where the models are tables, right about who is wrong, and calibrated."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from specsim import (
    Autoregressive,
    Batch,
    BlockVerification,
    ModelPair,
    OverAcceptance,
    Speculative,
    random_pair,
    random_prefix_pair,
    theory,
    tree,
)
from specsim.algorithms import get_rule
from specsim.errors import InputError
from specsim.support.labelled import check

if os.environ.get("SPECSIM_REQUIRE_ALL") != "1":
    pytest.importorskip("torch", reason="the extra torch is not installed")
    pytest.importorskip("transformers", reason="the extra torch is not installed")

import torch

from specsim.models import LoadedPair, decode, measuring, row_pass, table_models
from specsim.models.along_path import outcomes_of_rounds, path_law
from specsim.models.measured_variables import ATTRIBUTES, VARIABLES
from specsim.models.measuring import measure
from specsim.models.paired_test import ODDS, _log_wealth, bet_on_rejections, bet_on_tokens
from specsim.models.position_numbers import kinds_of, masses, place_numbers
from specsim.models.rules import ratio
from specsim.models.sampling import Sampling

# False alarms of each statistical test below, at most.
ALPHA = 1e-9
# A pair whose models are far apart, so that a few hundred places say much.
PAIR = random_pair(contexts=4, horizon=5, seed=3, stationary=True)
RULES = [
    Speculative(),
    Speculative(draft_length=1),
    Speculative(draft_length=2),
    Speculative(draft_length=2, bonus=False),
    Speculative(draft_length=9),
    Batch(drafts=3),
    Batch(drafts=2, draft_length=2, bonus=False),
    Batch(drafts=2, draft_length=2, bonus=True),
    get_rule("one-hot")(drafts=2, draft_length=2),
    get_rule("match")(drafts=2, draft_length=2),
    get_rule("one-hot")(tree=(2, 2), drawn="greedy"),
    get_rule("summed-coin")(tree=(2, 1, 2), drawn="greedy"),
    get_rule("recursive")(tree=(2, 3)),
    get_rule("k-seq")(tree=(2, 1, 2)),
    BlockVerification(),
    BlockVerification(draft_length=3),
    BlockVerification(draft_length=2, bonus=False),
    get_rule("traversal")(drafts=2, draft_length=3),
    get_rule("traversal")(tree=(2, 2)),
]


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from threads, and lose much on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tables(pair=PAIR, **options):
    target, draft = table_models(pair, **options)
    return LoadedPair(target=target, draft=draft)


def every_path(pair, horizon):
    paths = np.indices((pair.tokens,) * horizon).reshape(horizon, -1).T
    before = np.concatenate([np.zeros((len(paths), 1), dtype=np.int64), paths[:, :-1]], axis=1)
    return paths, before, pair.target[0][before, paths].prod(axis=1)


@pytest.mark.parametrize("algorithm", RULES, ids=lambda rule: rule.label)
def test_path_law__summed_over_all_continuations_is_theory(algorithm):
    horizon = 5
    start = ModelPair.from_probabilities(PAIR.target, PAIR.draft, initial=[1, 0, 0, 0], horizon=horizon)
    paths, before, weights = every_path(PAIR, horizon)
    numbers = place_numbers(algorithm, PAIR.target[0][before], PAIR.draft[0][before], paths)
    law = path_law(numbers.kept, kinds_of(algorithm, horizon), bonus=algorithm.whole_bonus)
    counts = weights @ law.accepted_length_counts
    wanted = theory.accepted_length_counts(start, algorithm)
    np.testing.assert_allclose(counts, wanted[: len(counts)], atol=1e-12)
    assert np.abs(wanted[len(counts) :]).max(initial=0) < 1e-12
    rejected = (law.tested * numbers.rejection).sum(axis=-1)
    np.testing.assert_allclose(weights @ rejected, theory.rejections_by_step(start, algorithm), atol=1e-12)


@pytest.mark.parametrize("residual", ["optimal", "target", "draft"])
def test_masses_of_over_acceptance__have_theorys_losses(residual):
    algorithm = OverAcceptance(epsilon=0.1, residual=residual)
    target, draft = PAIR.target[0], PAIR.draft[0]
    accepted, rejected = masses(algorithm, target, draft, 1)
    loss = 0.5 * np.abs(accepted + rejected - target).sum(axis=1)
    for context in range(4):
        exact = theory.over_acceptance_losses(target[context], draft[context], 0.1)
        assert abs(rejected[context].sum() - exact.rejection) < 1e-12
        assert abs(loss[context] - getattr(exact, residual)) < 1e-12


@pytest.mark.parametrize("algorithm", RULES, ids=lambda rule: rule.label)
@pytest.mark.parametrize("eos", [None, 1])
def test_outcomes_of_rounds__are_those_of_the_decoder(algorithm, eos):
    decoded = decode(tables(), [[0], [1], [2]] * 5, algorithm=algorithm, new_tokens=7, seed=5, eos=eos)
    for index, tokens in enumerate(decoded.tokens):
        run = outcomes_of_rounds(
            decoded.accepted_lengths[index],
            len(tokens),
            draft_length=algorithm.structure(7).depth,
            bonus=algorithm.whole_bonus,
            horizon=7,
        )
        assert (np.flatnonzero(run.rejected) + 1).tolist() == decoded.rejected_positions[index]
        assert (np.flatnonzero(run.bonus) + 1).tolist() == decoded.bonus_positions[index]
        assert run.drafted.tolist() == decoded.drafted_lengths[index]
        assert run.tested.sum() == sum(decoded.accepted_lengths[index]) + run.rejected.sum()
        assert (np.flatnonzero(run.depth == 0) == run.start).all()


@pytest.mark.parametrize(
    ("accepted", "length", "message"),
    [
        ([3], 4, "round 1 starts at position 1 of 4 and accepts 3 of 2"),
        ([0], 4, "the rounds emit 1 tokens, the sequence has 4"),
        ([2, 2, 0], 4, "round 2 starts at position 4 of 4 and accepts 2 of 1"),
        ([2, 1, 0], 4, "round 3 starts at position 5 of 4"),
        ([-1], 4, "accepts -1"),
    ],
)
def test_outcomes_of_rounds__refuse_runs_that_cannot_be(accepted, length, message):
    with pytest.raises(InputError, match=message):
        outcomes_of_rounds(accepted, length, draft_length=2, bonus=True)


def test_bets__keep_their_false_alarm_rate():
    """500 right decoders at level 0.2: 150 alarms or more have probability below 1e-7 at rate 0.2."""
    rng = np.random.default_rng(7)
    alarms = 0
    for _ in range(500):
        probability = rng.random(60) * rng.random()
        alarms += not bet_on_rejections(probability, rng.random(60) < probability, level=0.2).agrees
    assert 0 < alarms < 150


def test_bets__grow_in_the_mean_by_no_factor_at_all():
    """The expected product of one bet, exactly: 1 where nothing is off, less with room for rounding."""
    for probability in (0.0, 0.1, 0.5, 0.97, 1.0):
        rule = np.array([probability])
        for rounding, exact in ((0.0, True), (1e-3, False)):
            total = 0.0
            for rejected, chance in ((True, probability), (False, 1 - probability)):
                wealth = [np.exp(_log_wealth(odds, rule, np.array([rejected]), rounding)) for odds in ODDS]
                total += chance * np.array(wealth)
            assert (total <= 1 + 1e-12).all()
            if exact:
                np.testing.assert_allclose(total, 1, atol=1e-12)


def test_bets__find_a_wrong_rate_of_the_size_they_promise():
    rng = np.random.default_rng(1)
    probability = np.full(6000, 0.2)
    promise = bet_on_rejections(probability, rng.random(6000) < probability, level=1e-6)
    assert promise.agrees
    assert 1.1 < promise.detectable < 1.4
    # A miss has probability about 0.001 by design.
    off = rng.random(6000) < promise.detectable * probability
    assert not bet_on_rejections(probability, off, level=1e-6).agrees
    assert np.isnan(bet_on_rejections(probability[:3], off[:3], level=1e-6).detectable)


def test_bets_on_tokens__know_an_impossible_token():
    numbers = place_numbers(
        Speculative(), np.array([[1.0, 0.0]] * 40), np.array([[0.5, 0.5]] * 40), np.array([1] * 2 + [0] * 38)
    )
    numbers = numbers.at(np.zeros(40, dtype=np.int64))
    all_of = np.ones(40, dtype=bool)
    assert bet_on_tokens(numbers, all_of, level=1e-6).p_value < 1e-4
    # One such token in many may be a border moved by rounding.
    assert bet_on_tokens(numbers, np.arange(40) > 0, level=1e-6).agrees
    with pytest.raises(InputError, match="level is 0"):
        bet_on_tokens(numbers, all_of, level=0)


@pytest.mark.parametrize(
    "algorithm",
    [
        Speculative(draft_length=3),
        pytest.param(Speculative(draft_length=3, bonus=False), marks=pytest.mark.slow),
        pytest.param(Batch(drafts=2, draft_length=3, bonus=False), marks=pytest.mark.slow),
        get_rule("traversal")(tree=(2, 2)),
    ],
    ids=lambda rule: rule.label,
)
def test_measure__on_tables_agrees_with_exact_theory(algorithm):
    """Means of 300 continuations of 8 tokens, each within [0, 8]: false alarms at most 1e-9 each."""
    from specsim.validation.statistics import decide_mean_by_empirical_bernstein

    pair = ModelPair.from_probabilities(PAIR.target, PAIR.draft, initial=np.full(4, 0.25), horizon=8)
    result = measure(
        tables(), [[token] for token in range(4)] * 50, algorithm=algorithm, new_tokens=8, seed=3, repeats=2
    )
    check(result, VARIABLES, ATTRIBUTES, "the measurement")
    assert result.attrs["agrees"] == 1
    assert float(result["row_difference"]) < 1e-12
    calls = theory.expected_target_calls(pair, algorithm)
    for name, wanted in (
        ("theorem_1", theory.expected_rejections(pair, Speculative())),
        ("predicted_rejections", theory.expected_rejections(pair, algorithm)),
        ("rejections", theory.expected_rejections(pair, algorithm)),
        ("conditional_rejections", theory.expected_rejections(pair, algorithm)),
        ("target_calls", calls),
        ("predicted_target_calls", calls),
    ):
        values = result[name].values.ravel()
        decision = decide_mean_by_empirical_bernstein(
            total=[values.sum()],
            square_total=[(values**2).sum()],
            runs=values.size,
            mean=[wanted],
            high=[8],
            alpha=ALPHA,
        )
        assert decision.agrees, (name, decision)
    predicted = result["predicted_accepted_length_law"].values
    law = theory.accepted_length_law(pair, algorithm)[: len(predicted)]
    assert (np.abs(predicted[:, 0] - law) < 6.5 * predicted[:, 1]).all()
    assert predicted[:, 0].sum() == pytest.approx(1)
    observed = result["accepted_length_law"].values
    assert (np.abs(observed[:, 0] - law) < 6.5 * observed[:, 1]).all()
    assert result["accepted_length_count"].values.sum() == result["target_calls"].values.sum()
    assert (result["seconds"].values >= 0).all()
    assert (result["speed_up"].values > 0).all()
    assert float(result["speed_up_range"][2]) <= float(result["speed_up_range"][0])


@pytest.mark.parametrize("name", ["one-hot", "match"])
def test_measure__rules_that_read_no_draft_row(name):
    algorithm = get_rule(name)(drafts=2, draft_length=3)
    result = measure(tables(), [[0], [1]] * 50, algorithm=algorithm, new_tokens=8, seed=4, repeats=1)
    assert (result.attrs["agrees"], result.attrs["lossless"]) == (1, 1)
    difference = (result["predicted_target_calls"] - result["target_calls"]).values.ravel()
    assert abs(difference.mean()) < 6.5 * difference.std() / len(difference) ** 0.5


@pytest.mark.parametrize(
    "residual", ["optimal", *(pytest.param(name, marks=pytest.mark.slow) for name in ("target", "draft"))]
)
def test_measure__a_lossy_rule_is_held_against_its_own_law(residual):
    algorithm = OverAcceptance(epsilon=0.05, residual=residual, draft_length=3, bonus=False)
    result = measure(tables(), [[0], [1]] * 50, algorithm=algorithm, new_tokens=8, seed=4, repeats=1)
    assert (result.attrs["agrees"], result.attrs["lossless"]) == (1, 0)
    assert "predicted_target_calls" not in result
    assert "predicted_accepted_length_law" not in result
    assert (result["predicted_rejections"] == result["conditional_rejections"]).all()


@pytest.mark.parametrize("repeats", [1, 2])
def test_figures__of_the_smallest_results(repeats):
    from specsim.models import LogLikelihood, opt_against_uno
    from specsim.paper_figures.measured import plot_measurement, plot_opt_against_uno

    for rule in (Speculative(draft_length=2), OverAcceptance(epsilon=0.05, draft_length=2, bonus=False)):
        result = measure(tables(), [[0]], algorithm=rule, new_tokens=2, seed=4, repeats=repeats)
        figure = plot_measurement(result)
        assert [len(axes.get_lines()) > 0 for axes in figure.axes[:2]] == [True, True]
        assert len(figure.axes[2].patches) == 8
    cells = opt_against_uno(
        tables(), [[0]], LogLikelihood(tables().target), new_tokens=2, epsilons=(0.1,), comparisons=3, seed=1
    )
    assert len(plot_opt_against_uno(cells).axes) == 1


def accepts_too_much(coin, target, draft):
    return coin * draft < 1.3 * target


def accepts_too_little(coin, target, draft):
    return coin * draft < 0.8 * target


def accepts_greedily(coin, target, draft):
    return target >= draft


def target_for_residual(target, draft, token):
    return target


def draft_for_residual(target, draft, token):
    return draft


def residual_the_wrong_way_round(target, draft, token):
    return (draft - target).clamp(min=0)


@pytest.mark.parametrize(
    ("name", "wrong", "finder"),
    [
        ("passes", accepts_too_much, "rejection_p_value"),
        pytest.param("passes", accepts_too_little, "rejection_p_value", marks=pytest.mark.slow),
        pytest.param("passes", accepts_greedily, "rejection_p_value", marks=pytest.mark.slow),
        ("residual", target_for_residual, "token_p_value"),
        pytest.param("residual", draft_for_residual, "token_p_value", marks=pytest.mark.slow),
        pytest.param("residual", residual_the_wrong_way_round, "token_p_value", marks=pytest.mark.slow),
    ],
)
def test_measure__finds_a_decoder_that_is_wrong(name, wrong, finder, monkeypatch):
    """Misses have probability far below 1e-3; the seed is fixed."""
    monkeypatch.setattr(ratio, name, wrong)
    result = measure(
        tables(), [[token] for token in range(4)] * 75, algorithm=Speculative(draft_length=3), new_tokens=12,
        seed=5, repeats=1,
    )  # fmt: skip
    assert result.attrs["agrees"] == 0
    assert float(result[finder]) < 5e-7


def test_measure__finds_a_theory_that_is_wrong(monkeypatch):
    real = measuring.place_numbers

    def off(algorithm, target, draft, token):
        return real(algorithm, target, 0.7 * draft + 0.3 * target, token)

    monkeypatch.setattr(measuring, "place_numbers", off)
    result = measure(
        tables(), [[0], [1], [2], [3]] * 75, algorithm=Speculative(draft_length=3), new_tokens=12, seed=5,
        repeats=1,
    )  # fmt: skip
    assert result.attrs["agrees"] == 0


@pytest.mark.slow
def test_measure__finds_a_rule_on_a_tree_that_is_wrong(monkeypatch):
    """A leaf that is deleted leaves its parent's weight as it was, so too much is accepted."""
    from specsim.models.rules import traversal

    deleted = traversal._deleted
    request = {"algorithm": get_rule("traversal")(tree=(2, 2)), "new_tokens": 12, "seed": 5, "repeats": 1}
    assert measure(tables(), [[0], [1], [2], [3]] * 75, **request).attrs["agrees"] == 1
    monkeypatch.setattr(
        traversal,
        "_deleted",
        lambda round, parent, *rest: deleted(round, parent, *rest)._replace(weight=parent.weight),
    )
    assert measure(tables(), [[0], [1], [2], [3]] * 75, **request).attrs["agrees"] == 0


def test_measure__finds_a_cache_that_is_not_rolled_back(monkeypatch):
    """Whole-prefix tables: a rejected token left in the cache changes every later row."""
    from specsim.models.caches import CachedModel

    models = tables(random_prefix_pair(tokens=2, horizon=9, seed=8), skip=1)
    request = {"algorithm": Speculative(draft_length=3), "new_tokens": 8, "seed": 1, "repeats": 1}
    right = measure(models, [[0]] * 20, **request)
    assert float(right["row_difference"]) < 1e-12
    original = CachedModel.roll_back

    def to_the_longest(self, lengths, longest, equal):
        # Sequences that advanced less keep slots of rejected tokens.
        original(self, torch.full_like(lengths, longest), longest, True)

    monkeypatch.setattr(CachedModel, "roll_back", to_the_longest)
    wrong = measure(models, [[0]] * 20, **request)
    assert float(wrong["row_difference"]) > 1e-3


def tiny_gpt(seed, hidden):
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(seed)
    config = GPTNeoXConfig(
        vocab_size=12, hidden_size=hidden, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=2 * hidden, max_position_embeddings=64, initializer_range=0.6,
    )  # fmt: skip
    return GPTNeoXForCausalLM(config).eval()


@pytest.fixture(scope="module")
def gpt():
    return LoadedPair(target=tiny_gpt(1, 16), draft=tiny_gpt(2, 8))


@pytest.mark.parametrize(
    "sampling",
    [
        pytest.param(Sampling(), id="plain", marks=pytest.mark.slow),
        pytest.param(Sampling(temperature=0.7, top_k=6, top_p=0.9), id="filtered"),
    ],
)
def test_measure__transformers_in_float32(gpt, sampling):
    prompts = [[1, 2, 3], [4], [5, 6], [7, 8, 9, 10, 11]] * 6
    result = measure(
        gpt,
        prompts,
        algorithm=Speculative(draft_length=3),
        new_tokens=12,
        seed=2,
        repeats=2,
        sampling=sampling,
    )
    assert result.attrs["agrees"] == 1
    assert float(result["row_difference"]) < 1e-4
    again = measure(
        gpt,
        prompts,
        algorithm=Speculative(draft_length=3),
        new_tokens=12,
        seed=2,
        repeats=2,
        sampling=sampling,
    )
    assert (result["outcome"] == again["outcome"]).all()
    assert (result["theorem_1"] == again["theorem_1"]).all()


def test_measure__in_batches_is_the_same(gpt):
    prompts = [[1, 2, 3], [4], [5, 6]]
    request = {"algorithm": Speculative(draft_length=2), "new_tokens": 6, "seed": 2, "repeats": 1}
    one, other = measure(gpt, prompts, **request), measure(gpt, prompts, batch=2, **request)
    assert (one["outcome"] == other["outcome"]).all()
    done = []
    measure(gpt, prompts, progress=done.append, **request)
    assert done == list(range(1, measuring.steps(1) + 1))


def test_measure__the_result_can_be_stored(gpt, tmp_path):
    import xarray

    result = measure(gpt, [[1]], algorithm=Speculative(draft_length=2), new_tokens=4, seed=2, repeats=3)
    result.to_netcdf(tmp_path / "result.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "result.nc", engine="h5netcdf") as copy:
        assert copy.attrs["algorithm"] == "speculative:draft_length=2,bonus=yes"
        assert copy["theorem_1"].dims == ("repeat", "prompt")
    assert np.isfinite(result["rejections_estimate"].values).all()


def test_row_pass__names_a_model_that_is_broken(gpt):
    broken = tiny_gpt(3, 8)
    with torch.no_grad():
        broken.gpt_neox.final_layer_norm.weight.fill_(float("nan"))
    pair = LoadedPair(target=gpt.target, draft=broken)
    with pytest.raises(InputError, match="the draft model returned logits that are not finite"):
        list(row_pass.rows_along(pair, [[1]], [[2, 3]], sampling=Sampling()))
    with pytest.raises(InputError, match="a prompt or a continuation is empty"):
        list(row_pass.rows_along(gpt, [[1]], [[]], sampling=Sampling()))
    assert list(row_pass.rows_along(gpt, [], [], sampling=Sampling())) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": []}, "prompts is empty"),
        ({"new_tokens": 0}, "new_tokens is 0"),
        ({"repeats": True}, "repeats is True"),
        ({"batch": 0}, "batch is 0"),
        ({"alpha": 1.5}, "alpha is 1.5"),
        ({"level": 95}, "level is 95"),
        ({"seed": -1}, "seed is -1"),
        ({"algorithm": Autoregressive()}, "drafts nothing"),
        ({"algorithm": get_rule("recursive-distinct")(tree=(2, 2))}, "drawn as 'distinct' .* over all sets"),
        ({"algorithm": get_rule("recursive")(tree=tree((-1, 0, 0, 1)))}, "position by position.*tree=3-2-1"),
        ({"algorithm": Batch(drafts=float("inf"))}, "drafts is inf"),
        ({"prompts": [[99]]}, r"prompts\[0\]\[0\] is 99"),
        ({"new_tokens": 70}, "more than the context of 64"),
    ],
)
def test_measure__refuses(gpt, change, message):
    request = {
        "prompts": [[1]],
        "algorithm": Speculative(draft_length=2),
        "new_tokens": 4,
        "seed": 1,
    } | change
    with pytest.raises(InputError, match=message) as caught:
        measure(gpt, request.pop("prompts"), repeats=request.pop("repeats", 1), **request)
    assert "\n" not in str(caught.value)


def test_documentation__has_the_registries():
    from pathlib import Path

    import specsim
    from specsim.models import opt_uno
    from specsim.records import acceptance_estimates, trace_files
    from specsim.support.labelled import markdown

    page = Path(specsim.__file__).resolve().parents[1] / "docs" / "models-variables.md"
    if not page.exists():
        pytest.skip("not a checkout")
    text = page.read_text()
    for registry in (VARIABLES, opt_uno.VARIABLES, trace_files.VARIABLES, acceptance_estimates.VARIABLES):
        assert markdown(registry) in text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from transformers.utils import logging

    logging.disable_progress_bar()
    place = tmp_path_factory.mktemp("pair")
    for name, model in zip(("target", "draft"), table_models(PAIR), strict=True):
        model.save_pretrained(place / name)
    logging.enable_progress_bar()
    (place / "prompts.json").write_text(json.dumps([[0], [1], [2], [3]] * 3))
    return place


def run(*arguments):
    from click.testing import CliRunner

    from specsim.cli import main

    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_command__reports_draws_and_stores(folder, tmp_path):
    arguments = (
        "models", "measure", folder / "target", folder / "draft", "speculative:draft_length=2", "--prompts",
        folder / "prompts.json", "--new-tokens", 6, "--seed", 1, "--repeats", 2, "--threads", 1,
    )  # fmt: skip
    result = run(*arguments, "--out", tmp_path / "run.nc", "--figure", tmp_path / "run.png")
    assert result.exit_code == 0, result.output
    for words in ("Theorem 1", "agrees", "tokens per target call", "times as fast as plain decoding"):
        assert words in result.output
    assert {path.name for path in tmp_path.iterdir()} == {"run.nc", "run.png"}
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    document = json.loads(run(*arguments, "--json").output)
    assert document["agrees"] == 1
    assert len(document["theorem_1_estimate"]) == 4


def test_command__disagreement_is_exit_code_1(folder, monkeypatch):
    monkeypatch.setattr(ratio, "passes", accepts_greedily)
    result = run(
        "models", "measure", folder / "target", folder / "draft", "speculative:draft_length=2", "--prompts",
        folder / "prompts.json", "--new-tokens", 40, "--seed", 1, "--repeats", 3, "--threads", 1,
    )  # fmt: skip
    assert "DISAGREES" in result.output
    assert result.return_value == 1 or result.exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--figure", "x.pdf", "--prompt", "a"],
            "figure is x.pdf; give a file name that ends in .png or .svg",
        ),
        (["--prompt", "a"], "prompt 1 is a text, but the models have no tokenizer"),
        (["--prompts", "missing.txt"], "cannot read missing.txt"),
        ([], "prompt is missing"),
    ],
)
def test_command__refuses(folder, arguments, message):
    result = run("models", "measure", folder / "target", folder / "draft", "speculative", *arguments)
    text = result.output + str(result.exception)
    assert message in text
    assert result.exit_code != 0
