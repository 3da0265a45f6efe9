"""Decoding: the exact law of everything a run does, through the code path of real checkpoints.

A table model forgets nothing when its pair has a row for every prefix, so stale caches, wrong masks and wrong
positions all change rows. Its `check_positions` refuses any position that does not count what is seen.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import specsim
from specsim import Autoregressive, Batch, BlockVerification, OverAcceptance, Speculative
from specsim.algorithms import catalogue, get_rule
from specsim.errors import InputError, TooLargeError, UnsupportedError
from specsim.theory import enumerate_outcomes
from specsim.validation.statistics import decide_law_by_cells_and_entropy

if os.environ.get("SPECSIM_REQUIRE_ALL") != "1":
    pytest.importorskip("torch", reason="the extra torch is not installed")
    pytest.importorskip("transformers", reason="the extra torch is not installed")

import torch

from specsim.models import (
    LoadedPair,
    Sampling,
    coins as coins_module,
    decode,
    rounds as rounds_module,
    table_models,
)
from specsim.models.caches import CachedModel, RaggedCache
from specsim.models.rounds import Rounds
from specsim.models.rules import one_hot, ratio, torch_rules

#: False alarms of each statistical test, at most.
ALPHA = 1e-9
RUNS = 2000

RULES = [
    Autoregressive(),
    Speculative(),
    Speculative(draft_length=1),
    Speculative(draft_length=2),
    Speculative(draft_length=2, bonus=False),
    Speculative(draft_length=3),
    Speculative(draft_length=9),
    OverAcceptance(epsilon=0.1, draft_length=2, bonus=False),
    OverAcceptance(epsilon=0.1, residual="target", draft_length=2, bonus=True),
    OverAcceptance(epsilon=0.2, residual="draft"),
    Batch(drafts=1, draft_length=2, bonus=True),
    Batch(drafts=2),
    Batch(drafts=2, draft_length=2, bonus=False),
    Batch(drafts=3, draft_length=2, bonus=True),
    BlockVerification(),
    BlockVerification(draft_length=2),
    BlockVerification(draft_length=3, bonus=False),
    get_rule("one-hot")(draft_length=2),
    get_rule("one-hot")(drafts=2, draft_length=2, bonus=False),
    get_rule("match")(drafts=2, draft_length=2),
    get_rule("recursive")(drafts=2, draft_length=2),
]
SOME = [rule for rule in RULES if rule in (
    Autoregressive(), Speculative(draft_length=2), Speculative(draft_length=2, bonus=False),
    OverAcceptance(epsilon=0.2, residual="draft"), Batch(drafts=3, draft_length=2, bonus=True),
    BlockVerification(draft_length=2),
)]  # fmt: skip


def prefix_pair(tokens: int = 2, horizon: int = 4, seed: int = 5, **options: Any) -> specsim.ModelPair:
    return specsim.random_prefix_pair(tokens=tokens, horizon=horizon, seed=seed, **options)


def loaded(pair: specsim.ModelPair, **options: Any) -> LoadedPair:
    options.setdefault("check_positions", True)
    target, draft = table_models(pair, skip=1, **options)
    return LoadedPair(target=target, draft=draft)


def outcomes(decoded: Any, tokens: int) -> list[tuple[int, int, int, tuple[int, ...]]]:
    """What `enumerate_outcomes` gives the law of, for each sequence."""
    out = []
    for number, ids in enumerate(decoded.tokens):
        path = 0
        for token in ids:
            path = path * tokens + token
        rejected = sum(1 << (position - 1) for position in decoded.rejected_positions[number])
        lengths = tuple(decoded.accepted_lengths[number])
        out.append((path, rejected, len(lengths), lengths))
    return out


def verdict(seen: Iterable[Any], law: dict[Any, Any], alpha: float = ALPHA) -> Any:
    """Hold what was seen against a law; what cannot happen goes into a cell of probability zero."""
    places = {key: place for place, key in enumerate(law)}
    counts = np.zeros(len(places) + 1, dtype=np.int64)
    for key in seen:
        counts[places.get(key, len(places))] += 1
    probabilities = np.array([*(float(value) for value in law.values()), 0.0])
    return decide_law_by_cells_and_entropy(
        counts=counts, runs=int(counts.sum()), probabilities=probabilities, alpha=alpha
    )


def run(pair: specsim.ModelPair, algorithm: Any, runs: int = RUNS, **options: Any) -> Any:
    options = {"new_tokens": pair.horizon, "seed": 7, **options}
    return decode(loaded(pair), [[0]] * runs, algorithm=algorithm, **options)


@pytest.mark.parametrize("algorithm", RULES, ids=lambda rule: rule.label)
def test_decode__joint_law_of_tokens_rejections_calls_and_lengths(algorithm):
    pair = prefix_pair()
    decoded = run(pair, algorithm)
    result = verdict(outcomes(decoded, pair.tokens), enumerate_outcomes(pair, algorithm).law)
    assert result.agrees, result


@pytest.mark.parametrize("algorithm", SOME, ids=lambda rule: rule.label)
def test_decode__marginal_laws_of_theory(algorithm):
    pair = prefix_pair(tokens=3, horizon=3, seed=6)
    decoded = run(pair, algorithm)
    # The law functions are computed by other code than the enumeration.
    paths = [path for path, *_ in outcomes(decoded, pair.tokens)]
    laws = {
        "output": (paths, specsim.theory.output_law(pair, algorithm)),
        "first length": (
            [lengths[0] for lengths in decoded.accepted_lengths],
            specsim.theory.first_accepted_length_law(pair, algorithm),
        ),
        "rejections": (decoded.rejections.tolist(), specsim.theory.rejection_law(pair, algorithm)),
        "calls": (decoded.target_calls.tolist(), specsim.theory.target_call_law(pair, algorithm)),
    }
    for name, (seen, law) in laws.items():
        assert verdict(seen, dict(enumerate(law)), ALPHA / len(laws)).agrees, name


def test_decode__lossless_rules_write_the_target_law_of_a_sparse_pair():
    pair = prefix_pair(tokens=3, horizon=3, seed=2, family="sparse")
    law = dict(enumerate(specsim.theory.target_law(pair)))
    for algorithm in (Speculative(draft_length=2), Batch(drafts=2, draft_length=2, bonus=True)):
        decoded = run(pair, algorithm)
        assert verdict([path for path, *_ in outcomes(decoded, 3)], law).agrees


def drafted_law(pair: specsim.ModelPair, path: tuple[int, ...]) -> tuple[float, list[int]]:
    """Probability that the draft model writes a path, and the context of each of its tokens."""
    context, probability, contexts = 0, 1.0, []
    for token in path:
        contexts.append(context)
        probability *= pair.draft[0, context, token]
        context = int(pair.next_context[context, token])
    return probability, contexts


@pytest.mark.parametrize("name", ["one-hot", "match"])
@pytest.mark.parametrize("drawn", ["independent", "greedy"])
@pytest.mark.parametrize("drafts", [1, 2])
def test_decode__rules_that_read_no_draft_row(name, drawn, drafts):
    """Lossless whatever is drafted, and the first round accepts what the target's own draws would."""
    pair = prefix_pair(tokens=3, horizon=3, seed=6)
    decoded = run(pair, get_rule(name)(drafts=drafts, draft_length=2, drawn=drawn))
    paths = [path for path, *_ in outcomes(decoded, 3)]
    assert verdict(paths, dict(enumerate(specsim.theory.target_law(pair)))).agrees
    first, law = pair.draft[0, 0], np.zeros(3)
    likeliest = np.argsort(-first, kind="stable")[:drafts]
    for path in itertools.product(range(3), repeat=2):
        contexts = drafted_law(pair, path)[1]
        row = pair.draft[0, contexts[1]]
        # Probability that the first token is among the drafts, and then the second one below it.
        met = 1 - (1 - first[path[0]]) ** drafts if drawn == "independent" else float(path[0] in likeliest)
        follows = row[path[1]] if drawn == "independent" else float(path[1] == row.argmax())
        wanted = pair.target[0, 0, path[0]] * met
        law[2] += wanted * follows * pair.target[0, contexts[1], path[1]]
        law[1] += wanted * follows * (1 - pair.target[0, contexts[1], path[1]])
    law[0] = 1 - law.sum()
    assert verdict([lengths[0] for lengths in decoded.accepted_lengths], dict(enumerate(law))).agrees


def bonus_law(pair: specsim.ModelPair, algorithm: Any) -> dict[tuple[int, ...], float]:
    """Law of the set of bonus positions: ends of rounds without rejection before the horizon."""
    law: dict[tuple[int, ...], float] = {}
    for outcome, probability in enumerate_outcomes(pair, algorithm).law.items():
        position, found = 0, []
        for length in outcome.accepted_lengths:
            position += length + 1
            if position <= pair.horizon and not outcome.rejected >> (position - 1) & 1:
                found.append(position)
        law[tuple(found)] = law.get(tuple(found), 0.0) + float(probability)
    return law


@pytest.mark.parametrize(
    "algorithm",
    [Speculative(draft_length=1), Speculative(draft_length=2), Batch(drafts=2, draft_length=1, bonus=True)],
    ids=lambda rule: rule.label,
)  # fmt: skip
def test_decode__law_of_the_bonus_positions(algorithm):
    pair = prefix_pair(family="perturbed")
    law = bonus_law(pair, algorithm)
    assert len(law) > 2
    decoded = run(pair, algorithm)
    assert verdict(map(tuple, decoded.bonus_positions), law).agrees


def test_decode__no_bonus_form_writes_no_bonus():
    decoded = run(prefix_pair(), Speculative(draft_length=2, bonus=False), 100)
    assert not any(decoded.bonus_positions)


# What a sequence gives does not depend on its company.


@pytest.mark.parametrize("algorithm", [*SOME, Batch(drafts=2)], ids=lambda rule: rule.label)
def test_decode__a_sequence_is_the_same_in_any_batch(algorithm):
    pair = specsim.random_pair(contexts=7, tokens=5, horizon=20, seed=1, stationary=True)
    target, draft = table_models(pair, check_positions=True)
    models = LoadedPair(target=target, draft=draft)
    generator = np.random.default_rng(1)
    prompts = [generator.integers(5, size=size).tolist() for size in (1, 4, 2, 3)]
    options: dict[str, Any] = {"algorithm": algorithm, "new_tokens": 9, "seed": 2**63 + 5}
    together = decode(models, prompts, **options)
    in_threes = decode(models, prompts, batch=3, **options)
    alone = [decode(models, [prompt], first_sequence=n, **options) for n, prompt in enumerate(prompts)]
    for field in ("tokens", "accepted_lengths", "drafted_lengths", "rejected_positions", "bonus_positions"):
        assert getattr(together, field) == getattr(in_threes, field)
        assert getattr(together, field) == [getattr(one, field)[0] for one in alone]
    assert together.tokens != decode(models, prompts, **{**options, "seed": 1}).tokens
    assert together.rounds == max(one.rounds for one in alone)
    assert all(len(tokens) == 9 for tokens in together.tokens)


def test_decode__equal_prompts_get_coins_of_their_own():
    decoded = run(prefix_pair(tokens=3), Speculative(draft_length=2), 200)
    assert len(set(map(tuple, decoded.tokens))) > 20


def test_decode__equal_prompts_are_read_once(monkeypatch):
    """Among others, in any order, and with the same tokens as one by one."""
    pair = prefix_pair(horizon=8)
    prompts = [[0, 1, 1], [0, 0], [0, 1, 1], [0, 1, 0, 1], [0, 0], [0], [0, 1, 1]]
    models = loaded(pair)
    options: dict[str, Any] = {"algorithm": Speculative(draft_length=2), "new_tokens": 4, "seed": 3}
    alone = decode(models, prompts, batch=1, **options)
    shapes = []
    prefill = CachedModel.prefill

    def seen(self: CachedModel, ids: torch.Tensor) -> None:
        shapes.append(tuple(ids.shape))
        prefill(self, ids)

    monkeypatch.setattr(CachedModel, "prefill", seen)
    together = decode(models, prompts, **options)
    assert shapes == [(4, 3), (4, 3)]
    assert together.tokens == alone.tokens
    assert together.accepted_lengths == alone.accepted_lengths


def test_decode__progress_counts_tokens():
    seen: list[int] = []
    decoded = run(prefix_pair(), Speculative(draft_length=2), 5, progress=seen.append, batch=2)
    assert seen == sorted(seen)
    assert seen[-1] == 20 == decoded.lengths.sum()
    assert len(seen) == decoded.rounds


# End of sequence.


@pytest.mark.parametrize("algorithm", SOME, ids=lambda rule: rule.label)
def test_decode__ends_at_the_first_end_token_with_the_law_of_a_cut_run(algorithm):
    pair = prefix_pair(tokens=3, horizon=3, seed=9)
    decoded = run(pair, algorithm, eos=2)
    whole = run(pair, algorithm)
    law: dict[tuple[int, ...], float] = {}
    for path, probability in enumerate(specsim.theory.output_law(pair, algorithm)):
        tokens = [path // 9, path // 3 % 3, path % 3]
        cut = tuple(tokens[: tokens.index(2) + 1] if 2 in tokens else tokens)
        law[cut] = law.get(cut, 0.0) + float(probability)
    assert verdict(map(tuple, decoded.tokens), law).agrees
    # The same coins: a run is the uncut one up to its end, and nothing is counted beyond it.
    for number, tokens in enumerate(decoded.tokens):
        length = len(tokens)
        assert tokens == whole.tokens[number][:length]
        for field in ("rejected_positions", "bonus_positions"):
            expected = [n for n in getattr(whole, field)[number] if n <= length]
            assert getattr(decoded, field)[number] == expected
        written = len(decoded.rejected_positions[number]) + len(decoded.bonus_positions[number])
        if not isinstance(algorithm, Autoregressive):
            assert sum(decoded.accepted_lengths[number]) + written == length


# Sampling options.


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.5), Sampling(top_k=2), Sampling(top_p=0.7),
        Sampling(temperature=2, top_k=3, top_p=0.8),
    ],
    ids=str,
)  # fmt: skip
def test_decode__sampling_changes_both_sides_alike(sampling):
    pair = prefix_pair(tokens=4, horizon=2, seed=3)
    changed = specsim.ModelPair.from_probabilities(
        sampling.rows(torch.as_tensor(pair.target.copy()).log()).numpy(),
        sampling.rows(torch.as_tensor(pair.draft.copy()).log()).numpy(),
        initial=pair.initial, next_context=pair.next_context, horizon=2,
    )  # fmt: skip
    algorithm = Speculative(draft_length=1)
    decoded = run(pair, algorithm, sampling=sampling)
    assert verdict(outcomes(decoded, 4), enumerate_outcomes(changed, algorithm).law).agrees
    assert not verdict(outcomes(decoded, 4), enumerate_outcomes(pair, algorithm).law).agrees


def test_decode__temperature_zero_is_the_greedy_sequence_whatever_the_draft():
    pair = prefix_pair(tokens=3, horizon=4)
    context, greedy = 0, []
    for _ in range(4):
        greedy.append(int(pair.target[0, context].argmax()))
        context = int(pair.next_context[context, greedy[-1]])
    for algorithm in (
        Speculative(draft_length=2),
        Batch(drafts=2, draft_length=3, bonus=False),
        Autoregressive(),
    ):
        decoded = run(pair, algorithm, 3, sampling=Sampling(temperature=0))
        assert decoded.tokens == [greedy] * 3


# Instructive mistakes: each is what somebody's decoder once did, and the law above tells it.


def caught(algorithm: Any = None, **options: Any) -> bool:
    pair = prefix_pair(**options)
    algorithm = algorithm or Speculative(draft_length=2)
    decoded = run(pair, algorithm)
    return not verdict(outcomes(decoded, pair.tokens), enumerate_outcomes(pair, algorithm).law).agrees


def test_mutant__cache_not_rolled_back(monkeypatch):
    monkeypatch.setattr(rounds_module, "capacity", lambda *sizes: 64)
    original = CachedModel.roll_back
    started: set[int] = set()

    def forgets(self: Any, lengths: Any, longest: int, equal: bool) -> None:
        # Set once, after the prompt; what was read later stays.
        if id(self) not in started:
            started.add(id(self))
            original(self, lengths, longest, equal)

    monkeypatch.setattr(CachedModel, "roll_back", forgets)
    # The positions no longer count what is seen, which the table model would refuse.
    pair = prefix_pair()
    models = loaded(pair, check_positions=False)
    algorithm = Speculative(draft_length=2)
    decoded = decode(models, [[0]] * RUNS, algorithm=algorithm, new_tokens=4, seed=1)
    assert not verdict(outcomes(decoded, 2), enumerate_outcomes(pair, algorithm).law).agrees
    started.clear()
    with pytest.raises(InputError, match="position_ids"):
        decode(loaded(pair), [[0]] * 50, algorithm=algorithm, new_tokens=4, seed=1)


def test_mutant__last_token_of_a_whole_draft_never_read_by_the_draft_model(monkeypatch):
    # The output law is the target's all the same; the accepted lengths tell it.
    original = Rounds._account

    def forgets(self: Any, *arguments: Any) -> None:
        original(self, *arguments)
        self.behind = 1
        self._roll_back()

    monkeypatch.setattr(Rounds, "_account", forgets)
    pair = prefix_pair(family="perturbed")
    algorithm = Speculative(draft_length=1)
    with pytest.raises(InputError, match="position_ids"):
        run(pair, algorithm, 50)
    models = loaded(pair, check_positions=False)
    decoded = decode(models, [[0]] * RUNS, algorithm=algorithm, new_tokens=4, seed=1)
    law = enumerate_outcomes(pair, algorithm)
    assert not verdict(outcomes(decoded, 2), law.law).agrees
    assert verdict([path for path, *_ in outcomes(decoded, 2)], dict(enumerate(law.output_law()))).agrees


def test_mutant__bonus_dropped(monkeypatch):
    original = Rounds._outcome

    def drops(self: Any, *arguments: Any) -> Any:
        self.rule = replace(self.rule, bonus=False)
        return original(self, *arguments)

    monkeypatch.setattr(Rounds, "_outcome", drops)
    assert caught()


def test_mutant__residual_from_the_target(monkeypatch):
    monkeypatch.setattr(ratio, "residual", lambda target, draft, token: target)
    assert caught()


def test_mutant__rejected_token_left_in_the_residual(monkeypatch):
    monkeypatch.setattr(one_hot, "residual", lambda target, draft, token: target)
    pair = prefix_pair(tokens=3, horizon=3)
    decoded = run(pair, get_rule("one-hot")(draft_length=2))
    law = dict(enumerate(specsim.theory.target_law(pair)))
    assert not verdict([path for path, *_ in outcomes(decoded, 3)], law).agrees


def test_mutant__bonus_from_the_draft(monkeypatch):
    original = ratio.one_by_one

    def wrong(round: Any, *arguments: Any) -> Any:
        decided = original(round, *arguments)
        weights = torch.where(decided.rejected[:, None], decided.weights, round.draft[:, -1])
        return replace(decided, weights=weights)

    monkeypatch.setattr(ratio, "one_by_one", wrong)
    assert caught(family="perturbed", tokens=3, horizon=3, tv=0.3)


def test_mutant__coin_of_the_test_draws_the_residual_too(monkeypatch):
    original = coins_module.Coins.of_round

    def shared(self: Any, first: Any) -> Any:
        coins = original(self, first)
        return coins._replace(last=coins.accept[:, 1])

    monkeypatch.setattr(coins_module.Coins, "of_round", shared)
    assert caught(tokens=3, horizon=3)


def test_mutant__coin_of_the_draft_tests_it(monkeypatch):
    original = coins_module.Coins.of_round
    monkeypatch.setattr(
        coins_module.Coins,
        "of_round",
        lambda self, first: (c := original(self, first))._replace(accept=c.draft),
    )
    assert caught()


def test_mutant__same_coins_in_every_round(monkeypatch):
    original = coins_module.Coins.of_round
    monkeypatch.setattr(
        coins_module.Coins, "of_round", lambda self, first: original(self, torch.ones_like(first))
    )
    assert caught(Speculative(draft_length=1))


def test_mutant__branches_see_each_other(monkeypatch):
    original = CachedModel.read_tree
    monkeypatch.setattr(
        CachedModel,
        "read_tree",
        lambda self, ids, places, sees: original(self, ids, places, torch.ones_like(sees)),
    )
    with pytest.raises(InputError, match="position_ids"):
        caught(Batch(drafts=2, draft_length=2, bonus=False))


def test_mutant__tree_not_straightened(monkeypatch):
    monkeypatch.setattr(RaggedCache, "straighten", lambda *arguments: None)
    pair = prefix_pair(family="perturbed")
    algorithm = Batch(drafts=2, draft_length=2, bonus=True)
    models = loaded(pair, check_positions=False)
    decoded = decode(models, [[0]] * RUNS, algorithm=algorithm, new_tokens=4, seed=1)
    assert not verdict(outcomes(decoded, 2), enumerate_outcomes(pair, algorithm).law).agrees


# What is shown of each round.


@pytest.mark.parametrize("algorithm", SOME, ids=lambda rule: rule.label)
def test_record__shows_the_rows_and_outcomes_of_every_round(algorithm):
    pair = prefix_pair(tokens=3, horizon=4)
    shown: list[Any] = []
    decoded = run(pair, algorithm, 40, record=shown.append)
    seen: dict[int, list[int]] = {}
    lengths: dict[int, list[int]] = {}
    for record in shown:
        for row, number in enumerate(record.sequences.tolist()):
            emitted = seen.setdefault(number, [])
            first, accepted = int(record.first[row]), int(record.accepted[row])
            assert first == len(emitted) + 1
            context = 0
            for token in emitted:
                context = int(pair.next_context[context, token])
            path = record.draft_tokens[row, record.path[row] - 1].tolist()
            for depth in range(accepted + 1):
                if depth < record.draft_rows.shape[1] and depth < int(record.drafted[row]):
                    np.testing.assert_allclose(
                        record.draft_rows[row, depth], pair.draft[0, context], atol=1e-12
                    )
                if depth < record.target_rows.shape[1] and first + depth <= 4:
                    np.testing.assert_allclose(
                        record.target_rows[row, depth], pair.target[0, context], atol=1e-12
                    )
                if depth < accepted:
                    context = int(pair.next_context[context, path[depth]])
            count = int(record.count[row])
            assert count == accepted + bool(record.rejected[row]) + bool(record.bonus[row])
            emitted += record.tokens[row, :count].tolist()
            lengths.setdefault(number, []).append(accepted)
    assert [seen[number] for number in range(40)] == decoded.tokens
    assert [lengths[number] for number in range(40)] == decoded.accepted_lengths


# Bad input.


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompts": []}, "prompts is empty"),
        ({"prompts": "text"}, "prompts is str"),
        ({"prompts": [[]]}, r"prompts\[0\] is empty"),
        ({"prompts": [[0], [0, 2]]}, r"prompts\[1\]\[1\] is 2"),
        ({"prompts": [[-1]]}, r"prompts\[0\]\[0\] is -1"),
        ({"prompts": ["text"]}, "no tokenizer"),
        ({"prompts": [[0.5]]}, "not a text or a list"),
        ({"prompts": [[None]]}, "not a text or a list"),
        ({"new_tokens": 0}, "new_tokens is 0"),
        ({"new_tokens": 2**20}, "more than the context of .* or ask for at most"),
        ({"prompts": [[0] * 2**20]}, "more than the context of .*; shorten the prompt$"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**64}, "seed is"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"eos": 2}, "eos is 2"),
        ({"batch": 0}, "batch is 0"),
        ({"first_sequence": -1}, "first_sequence is -1"),
        ({"sampling": 3}, "sampling is 3"),
        ({"algorithm": specsim.BatchAsPrinted(drafts=2, slip="inside-loop")}, "batch-as-printed"),
        ({"algorithm": Batch(drafts=float("inf"))}, "drafts is inf"),
    ],
)  # fmt: skip
def test_decode__refuses(change, words):
    options: dict[str, Any] = {"algorithm": Speculative(draft_length=2), "new_tokens": 3, "seed": 1, **change}
    prompts = options.pop("prompts", [[0]])
    with pytest.raises(InputError, match=words) as error:
        decode(loaded(prefix_pair()), prompts, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("algorithm", "words"),
    [
        (
            specsim.BatchAsPrinted(drafts=2, slip="inside-loop"),
            "rules that can: block, k-seq, match, one-hot",
        ),
        (get_rule("gumbel")(draft_length=2), "use the same noise"),
        (get_rule("transport")(tree=(2, 2)), "one after the other"),
        (
            get_rule("one-hot")(drafts=3, draft_length=2, drawn="greedy"),
            "drafts 3 tokens .* vocabulary has 2",
        ),
        (get_rule("summed-coin")(tree=(2, 3)), "drafts 3 tokens .* vocabulary has 2; give fewer"),
    ],
)
def test_decode__what_no_torch_rule_serves_is_unsupported(algorithm, words):
    with pytest.raises(UnsupportedError, match=words):
        run(prefix_pair(), algorithm, 1)


def test_torch_rules__are_the_files_and_every_other_rule_says_why_not():
    assert torch_rules() == [
        "block", "k-seq", "match", "one-hot", "over-acceptance", "ratio", "recursive", "recursive-distinct",
        "summed-coin", "traversal", "traversal-distinct",
    ]  # fmt: skip
    for name, rule in catalogue().items():
        assert ("torch_rule" in rule.absent) == (name not in torch_rules()), name


@pytest.mark.parametrize("role", ["target", "draft"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(temperature=0), Sampling(top_k=1), Sampling(top_p=0.5)], ids=str
)
def test_decode__logits_that_are_not_finite_are_an_error(role, value, sampling):
    models = loaded(prefix_pair(), check_positions=False)
    getattr(models, role).log_rows.data[0, 0] = value
    with pytest.raises(InputError, match=f"{role} model's logits"):
        decode(
            models, [[0]] * 50, algorithm=Speculative(draft_length=2), new_tokens=4, seed=1, sampling=sampling
        )


def test_decode__memory_that_runs_out_is_one_line(monkeypatch):
    def full(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(CachedModel, "read", full)
    with pytest.raises(TooLargeError, match="ran out of memory on cpu"):
        run(prefix_pair(), Speculative(draft_length=2), 3)


def test_decode__what_does_not_fit_is_refused_before_it_is_allocated():
    with pytest.raises(TooLargeError, match="smaller batch"):
        decode(loaded(prefix_pair()), [[0]] * 1000, algorithm=Speculative(), new_tokens=2**19, seed=1)


def test_decoded__states_memory_and_times():
    decoded = run(prefix_pair(), Speculative(draft_length=2), 10)
    memory = decoded.memory
    assert memory.peak == memory.weights + memory.caches + memory.rows > 0
    # 1 layer, 1 head, 1 number, keys and values of 8 bytes; prompt 1, 4 new, a draft of 2 and one.
    assert memory.caches == 2 * 10 * 2 * 8 * (1 + 4 + 2 + 1)
    assert decoded.times.total > 0
    assert min(decoded.times.draft, decoded.times.verify, decoded.times.overhead) > 0
