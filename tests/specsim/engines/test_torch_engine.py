"""The torch engine gives the tallies of the lockstep engine, to the bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner

import specsim
from specsim import (
    Autoregressive,
    Batch,
    BatchAsPrinted,
    BlockVerification,
    InputError,
    ModelPair,
    OverAcceptance,
    RejectionBased,
    Speculative,
    paper_pair,
    random_pair,
    random_prefix_pair,
    simulate,
)
from specsim.cli import main
from specsim.engines.compiled.philox import philox
from specsim.engines.lockstep import engine as lockstep
from specsim.engines.simulation import check_request
from specsim.engines.tallies.tally import Shape
from specsim.engines.torch import engine as torch_engine, positions as torch_positions
from specsim.engines.torch.tables import StepTables
from specsim.errors import TooLargeError, UnsupportedError

if os.environ.get("SPECSIM_REQUIRE_ALL") != "1":
    pytest.importorskip("torch", reason="the extra torch is not installed")

import torch

from specsim.engines.torch import words as torch_words

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
RUNS = 700
ALGORITHMS = [
    Autoregressive(),
    Speculative(),
    Speculative(draft_length=1),
    Speculative(draft_length=1, bonus=False),
    Speculative(draft_length=3),
    Speculative(draft_length=2, bonus=False),
    Speculative(draft_length=50),
    OverAcceptance(epsilon=0.1),
    OverAcceptance(epsilon=0.05, residual="target", draft_length=2, bonus=False),
    OverAcceptance(epsilon=Fraction(1, 7), residual="draft", draft_length=3, bonus=False),
    Batch(drafts=1, draft_length=2, bonus=False),
    Batch(drafts=2),
    Batch(drafts=3, draft_length=2, bonus=True),
    Batch(drafts=6, draft_length=1, bonus=False),
    BatchAsPrinted(drafts=2, slip="extra-subtraction"),
    BatchAsPrinted(drafts=3, slip="inside-loop"),
]
LARGE_PAIRS = {
    "paper": lambda: paper_pair(9),
    "sparse": lambda: random_pair(contexts=6, horizon=7, family="sparse", seed=4),
    "stationary": lambda: random_pair(
        contexts=5, horizon=6, family="equal-rows", density=0.5, seed=5, stationary=True
    ),
    "tree": lambda: random_prefix_pair(tokens=3, horizon=4, family="uniform", seed=7),
    "40 tokens": lambda: random_pair(contexts=40, horizon=5, seed=8),
    "few contexts": lambda: wide_pair(tokens=300, contexts=3, horizon=4, seed=9),
}


def wide_pair(tokens, contexts, horizon, seed):
    """Many tokens, few contexts."""
    generator = np.random.default_rng(seed)
    rows = generator.random((2, contexts, tokens)) ** 4
    rows = rows / rows.sum(axis=2, keepdims=True)
    return ModelPair.from_probabilities(
        *rows,
        initial=np.full(contexts, 1 / contexts),
        next_context=generator.integers(0, contexts, (contexts, tokens)),
        horizon=horizon,
    )


def rejection_based(pair, seed, denominator, draft_length=None):
    """Random acceptance and residual tables in fractions of a large denominator."""
    generator = np.random.default_rng(seed)
    shape = (1, pair.contexts, pair.tokens)
    acceptance = np.vectorize(lambda n: Fraction(int(n), 2**40), otypes=[object])(
        generator.integers(0, 2**40, shape)
    )
    cuts = np.sort(
        [[int(denominator * x) for x in generator.random(pair.tokens - 1)] for _ in range(pair.contexts)]
    )
    ends = [[0, *map(int, row), denominator] for row in cuts]
    residual = np.array([[[Fraction(b - a, denominator) for a, b in pairwise(row)] for row in ends]])
    return RejectionBased(acceptance=acceptance, residual=residual, draft_length=draft_length, bonus=False)


def equal_results(pair, algorithm, device=None, **options):
    """Compare everything that both engines return."""
    options = {"runs": RUNS, "seed": 2**64 - 5, "first_run": 2**33 - 100, "per_run": True} | options
    expected = simulate(pair, algorithm, engine="lockstep", **options)
    found = simulate(pair, algorithm, engine="torch", device=device, **options)
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name].values, expected[name].values, err_msg=name)
    return found


def tallies(engine, pair, algorithm, *, first_run=0, runs=RUNS, seed=3, **options):
    request = check_request(pair, algorithm, runs=runs, seed=seed, engine=engine.__name__.split(".")[-2])
    return engine.run(request, first_run, runs, **{"threads": 1} | options)


def assert_equal_tallies(one, other):
    for name, counts in vars(one).items():
        if name != "shape":
            np.testing.assert_array_equal(getattr(other, name), counts, err_msg=name)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda algorithm: algorithm.label)
def test_tallies__are_those_of_the_lockstep_engine(algorithm, device, pairs):
    """Every algorithm meets some of the pairs in turn."""
    chosen = [pairs[name] for name in ("markov", "zeros", "prefix with zeros", "disjoint", "one token")]
    every = [*chosen, *(build() for build in LARGE_PAIRS.values())]
    for pair in every[ALGORITHMS.index(algorithm) % 3 :: 3]:
        equal_results(pair, algorithm, device=device)


@pytest.mark.parametrize("name", ["paper", "tree", "few contexts"])
def test_rejections_only__are_those_of_the_lockstep_engine(name):
    pair = LARGE_PAIRS[name]()
    for algorithm in ALGORITHMS[::4]:
        equal_results(pair, algorithm, tallies="rejections", horizon=3, outcomes=pair.tokens < 10)


@pytest.mark.parametrize("algorithm", ALGORITHMS[::4], ids=lambda algorithm: algorithm.label)
def test_chunks_and_stages__do_not_change_the_result(algorithm):
    """Split runs, split steps, both, and everything at once."""
    pair = LARGE_PAIRS["sparse"]()
    expected = tallies(lockstep, pair, algorithm)
    for options in (
        {},
        {"chunk_runs": 300},
        {"table_bytes": 1},
        {"chunk_runs": 300, "table_bytes": 3 * 10**4},
    ):
        assert_equal_tallies(expected, tallies(torch_engine, pair, algorithm, **options))
    whole = specsim.simulate(pair, algorithm, runs=RUNS, seed=3, engine="torch")
    parts = [
        specsim.simulate(pair, algorithm, runs=RUNS // 2, first_run=first, seed=3, engine="torch")
        for first in (0, RUNS // 2)
    ]
    assert specsim.merge(parts).equals(whole)


def test_chunks_in_a_store__are_found_again(tmp_path):
    pair, options = paper_pair(5), {"runs": 500, "seed": 3, "engine": "torch", "chunk_runs": 100}
    first = simulate(pair, Speculative(draft_length=2), store=tmp_path, **options)
    again = simulate(pair, Speculative(draft_length=2), store=tmp_path, **options)
    assert first.equals(again)
    assert first.equals(simulate(pair, Speculative(draft_length=2), **options))


def walks(monkeypatch):
    """Note the level and the sign of every pass over a chunk."""
    seen = []
    walk = torch_positions.Positions._walk

    def noted(self, state, tally, begin, end, sign, level):
        seen.append((sign, level))
        return walk(self, state, tally, begin, end, sign, level)

    monkeypatch.setattr(torch_positions.Positions, "_walk", noted)
    return seen


@pytest.mark.parametrize("draft_length", [None, 2])
@pytest.mark.parametrize("options", [{}, {"chunk_runs": 200}, {"chunk_runs": 200, "table_bytes": 1}])
def test_dropped_words__are_retried(monkeypatch, draft_length, options):
    """A quarter of the words is dropped: passes that had too few retries are taken back."""
    pair = random_pair(contexts=5, horizon=4, seed=11)
    algorithm = rejection_based(pair, 1, 7 * 10**18 - 37, draft_length)
    seen = walks(monkeypatch)
    assert_equal_tallies(
        tallies(lockstep, pair, algorithm), tallies(torch_engine, pair, algorithm, **options)
    )
    assert {sign for sign, _ in seen} == {1, -1}
    assert max(level for _, level in seen) >= 3


def test_open_tests__are_continued(monkeypatch):
    """Words that equal the upper bits of a threshold are rare: many tokens of little weight help."""
    # The draft is often rejected (token 0), and then a word is open with a chance of 2^-14.
    light = np.full((2**18,), 2.0**-18)
    rows = [np.concatenate([[0, 0.35], 0.65 * light]), np.concatenate([[0.4, 0], 0.6 * light])]
    seen = walks(monkeypatch)
    # The second threshold ends in one half, so that the continuation decides.
    cases = [(rows, Batch(drafts=2)), (rows[::-1], OverAcceptance(epsilon=2.0**-33, residual="target"))]
    for (target, draft), algorithm in cases:
        pair = ModelPair.from_probabilities(
            target[None],
            draft[None],
            initial=[1],
            next_context=np.zeros((1, 2**18 + 2), np.int64),
            horizon=4,
        )
        expected = tallies(lockstep, pair, algorithm, runs=30_000)
        assert_equal_tallies(expected, tallies(torch_engine, pair, algorithm, runs=30_000))
    assert (-1, 0) in seen
    assert (1, 1) in seen


@pytest.mark.parametrize("number", [0, 1, 4])
@pytest.mark.parametrize("margin", [0, 1])
def test_continuation__is_the_word_of_its_candidate(compiled, number, margin):
    """One token, and a threshold that the first word of one run hits, so that a second word decides."""
    pair = ModelPair.from_probabilities([[1.0]], [[1.0]], initial=[1], horizon=3)
    plan = specsim.engines.lockstep.plans.prepare(Batch(drafts=6), pair, 3)
    engine = torch_positions.Positions(pair, plan, Shape.of(pair, 3, None), 9, torch.device("cpu"))
    state, run, position = engine.start(40, 5), 42, 2

    def words(slot):
        counter = (np.uint64(value) for value in (position, slot, run, 0, 9, 0))
        return [int(word) for word in compiled(philox)(*counter)]

    thresholds = torch.zeros(5, dtype=torch.int64)
    continued = words(2**29 + number)[2] >> 1
    thresholds[number] = (words(2 + number // 4)[number % 4] << 31) | (continued + margin)
    tables = StepTables(
        start=torch.tensor([0, 2**32]), accept=torch.zeros(1, dtype=torch.int64), root_accept=thresholds
    )
    flags = torch.zeros(3, dtype=torch.int64)
    nobody = torch.zeros(5, dtype=torch.int64)
    _, left = engine._candidates(state, tables, nobody, nobody == 0, position, 1, flags)
    # Other runs are accepted or not, by their first words, which differ from the threshold.
    assert bool(left[run - 40]) == (margin == 0)
    assert flags.tolist() == [0, 0, 1]
    _, _ = engine._candidates(state, tables, nobody, nobody == 0, position, 0, flags)
    assert flags.tolist() == [0, 1, 1]


def test_level__falls_again_when_nothing_needs_it(monkeypatch):
    pair = random_pair(contexts=5, horizon=4, seed=11)
    algorithm = rejection_based(pair, 1, 7 * 10**18 - 37)
    engine = torch_positions.Positions(
        pair,
        specsim.engines.lockstep.plans.prepare(algorithm, pair, 4),
        Shape.of(pair, 4, outcomes=None),
        3,
        torch.device("cpu"),
    )
    flags = iter([[0, 1, 1], [0, 0, 0], [0, 0, 1], [0, 0, 0]])
    seen = []

    def walk(state, tally, begin, end, sign, level):
        seen.append((sign, level))
        return torch.tensor([0, 0, 0] if sign < 0 else next(flags))

    monkeypatch.setattr(engine, "_walk", walk)
    state = engine.start(0, 3)
    for _ in range(3):
        engine.advance(state, None, 0, 4)
    assert seen == [(1, 0), (-1, 0), (1, 1), (1, 0), (1, 0)]


@pytest.mark.parametrize(("flags", "message"), [([1, 0, 0], "an empty residual"), ([0, 1, 1], "255 retries")])
def test_impossible_draws__are_reported(monkeypatch, flags, message):
    monkeypatch.setattr(
        torch_positions.Positions, "_walk", lambda self, *passed: torch.tensor(flags, dtype=torch.int64)
    )
    with pytest.raises(RuntimeError, match=message):
        simulate(paper_pair(4), Batch(drafts=2), runs=10, seed=1, engine="torch")


def test_empty_residual__is_noticed():
    """A residual row of zeros that is needed: the descriptor refuses it, so the plan is broken by hand."""
    pair = paper_pair(4)
    engine = torch_positions.Positions(
        pair,
        specsim.engines.lockstep.plans.prepare(OverAcceptance(epsilon=0.1), pair, 4),
        Shape.of(pair, 4, outcomes=None),
        3,
        torch.device("cpu"),
    )
    engine.load(0, 4)
    for tables in engine._tables:
        tables.separate.total.zero_()
    with pytest.raises(RuntimeError, match="empty residual"):
        engine.advance(engine.start(0, 100), torch_positions.DeviceTally(engine.shape, engine.device), 0, 4)


def test_philox__gives_the_words_of_the_kernels(compiled):
    generator = np.random.default_rng(5)
    edges = [0, 1, 2**31 - 1, 2**31, 2**32 - 1]
    counters = generator.integers(0, 2**32, (4, 400))
    counters[:, :5] = edges
    for seed in (0, 1, 2**63, 2**64 - 1, 0x243F6A8885A308D3):
        found = torch_words.philox(*map(torch.from_numpy, counters), seed=seed)
        for column in range(0, 400, 7):
            c0, c1, c2, c3 = (np.uint64(value) for value in counters[:, column])
            expected = compiled(philox)(c0, c1, c2, c3, np.uint64(seed % 2**32), np.uint64(seed >> 32))
            assert [int(words[column]) for words in found] == [int(word) for word in expected]


def test_products_and_numbers_below_bounds__are_exact():
    """Against Python's integers, at the edges of 32 and 63 bits too."""
    generator = np.random.default_rng(6)
    edges = [0, 1, 2, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 2, 2**32 - 1]
    grid = [(a, b) for a in edges for b in edges]
    one, other = np.array(grid + generator.integers(0, 2**32, (200, 2)).tolist()).T
    high, low = torch_words.product(torch.from_numpy(one), torch.from_numpy(other))
    for a, b, upper, lower in zip(*(part.tolist() for part in (one, other, high, low)), strict=True):
        assert (upper << 32) + lower == a * b

    bounds = [1, 2, 3, 2**32 - 1, 2**32, 2**32 + 1, 2**62, 2**63 - 1, 7 * 10**18 - 37]
    cases = [(a, b, n) for a, b in zip(one.tolist(), other.tolist(), strict=True) for n in bounds]
    columns = [torch.tensor(column) for column in zip(*cases, strict=True)]
    dropped = torch.tensor([2**64 % bound for _, _, bound in cases])
    numbers, kept = torch_words.below(*columns, dropped=dropped)
    for (a, b, bound), number, keep in zip(cases, numbers.tolist(), kept.tolist(), strict=True):
        full = ((a << 32) + b) * bound
        assert number == full >> 64
        assert keep == (full % 2**64 >= 2**64 % bound)


@pytest.mark.parametrize("tokens", [1, 2, 3, 8, 9])
def test_searches__find_the_segment_of_every_number(tokens):
    """Empty segments at both ends and inside; every number of short rows, with both kinds of tables."""
    generator = np.random.default_rng(tokens)
    weights = generator.integers(0, 4, (6, tokens))
    weights[:, generator.integers(tokens)] += 1
    rows = np.repeat(np.arange(6), weights.sum(axis=1))
    numbers = np.concatenate([np.arange(total) for total in weights.sum(axis=1)])
    expected = np.concatenate([np.repeat(np.arange(tokens), row) for row in weights])
    rows, numbers = torch.from_numpy(rows), torch.from_numpy(numbers)
    ends = np.cumsum(weights, axis=1)
    found = torch_positions._find_in_rows(torch.from_numpy(ends.ravel()), rows, tokens, numbers)
    np.testing.assert_array_equal(found, expected)

    # The last segment reaches to the end of the line, as weights that sum to 2^32 do.
    ends[:, -1] = 2**32
    line = (np.arange(6)[:, None] << 32) + ends
    cell, offset = torch_positions._find(torch.from_numpy(np.append(0, line)), rows, numbers)
    np.testing.assert_array_equal(cell - rows * tokens, expected)
    starts = np.pad(ends[:, :-1], ((0, 0), (1, 0)))[rows.numpy(), expected]
    np.testing.assert_array_equal(offset, numbers.numpy() - starts)


def test_point_masses__reach_the_largest_threshold():
    """A threshold of 2^63 is a negative number of torch."""
    rows = np.eye(3)[[1, 2, 0]]
    pair = ModelPair.from_probabilities(rows, rows, initial=[0, 1, 0], horizon=5)
    result = equal_results(pair, OverAcceptance(epsilon=0.25, residual="draft", draft_length=2, bonus=False))
    assert not result["rejections_by_step"].values.any()


def test_progress_and_interruption():
    seen = []
    pair = paper_pair(4)
    tallies(torch_engine, pair, Speculative(), chunk_runs=300, progress=seen.append)
    assert seen == [300, 600, 700]

    def interrupt(done):
        raise KeyboardInterrupt

    threads = torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        tallies(torch_engine, pair, Speculative(), chunk_runs=300, progress=interrupt, threads=threads + 1)
    assert torch.get_num_threads() == threads


def test_memory__is_refused_before_it_is_taken(monkeypatch):
    pair = LARGE_PAIRS["sparse"]()
    loaded = []
    monkeypatch.setattr(torch_positions.Positions, "load", lambda self, *steps: loaded.append(steps))
    monkeypatch.setattr("specsim.engines.running.memory.available_bytes", lambda: 10**5)
    with pytest.raises(TooLargeError, match=r"would take \d+ bytes and 100000 are available; use fewer"):
        simulate(pair, Speculative(), runs=10**6, seed=1, engine="torch")
    assert not loaded


def test_memory_of_a_device__is_refused_before_it_is_taken(monkeypatch):
    """A device without free memory, as far as the question of memory goes."""
    pair = paper_pair(4)
    plan = specsim.engines.lockstep.plans.prepare(Speculative(), pair, 4)
    engine = torch_positions.Positions(
        pair, plan, Shape.of(pair, 4, outcomes=None), 1, torch.device("cuda:0")
    )
    monkeypatch.setattr(engine, "free_bytes", lambda: 1000)
    with pytest.raises(TooLargeError, match=r"bytes and 1000 are free on cuda:0; use fewer"):
        torch_engine._Memory(engine, RUNS, None, None)


@pytest.mark.parametrize("algorithm", [BlockVerification(), BlockVerification(draft_length=2)])
def test_other_algorithms__are_refused(algorithm):
    with pytest.raises(UnsupportedError, match="use engine='literal'"):
        simulate(paper_pair(4), algorithm, runs=10, seed=1, engine="torch")


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "cpu:1", "meta"])
def test_unknown_device__is_an_input_error(device):
    with pytest.raises(InputError, match=f"device is '{device}'; give one of cpu"):
        simulate(paper_pair(4), Speculative(), runs=10, seed=1, engine="torch", device=device)
    with pytest.raises(InputError, match="device is 'cpu', but the engine is lockstep"):
        simulate(paper_pair(4), Speculative(), runs=10, seed=1, device="cpu")


def test_without_torch__says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"torch is not installed; pip install 'specsim-decoding\[torch\]'"):
        simulate(paper_pair(4), Speculative(), runs=10, seed=1, engine="torch")


def test_other_engines__do_not_import_torch():
    code = (
        "import sys, specsim; "
        "specsim.simulate(specsim.paper_pair(3), specsim.Speculative(), runs=10, seed=1); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_commands__take_the_engine():
    command = "paper:5 speculative:draft_length=2 --runs 2000 --seed 3 --json --engine"
    answers = []
    for engine in ("lockstep", "torch"):
        done = CliRunner().invoke(main, ["simulate", *command.split(), engine], prog_name="specsim")
        assert done.exit_code == 0, done.output
        answer = json.loads(done.stdout)
        assert answer.pop("engine") == engine
        answers.append(answer)
    assert answers[0] == answers[1]
    done = CliRunner().invoke(main, ["simulate", *command.split(), "warp"], prog_name="specsim")
    assert done.exit_code == 2
    assert "give one of auto, alias, literal, lockstep, population, torch" in done.output
    done = CliRunner().invoke(main, ["sweep", "--help"], prog_name="specsim")
    assert "torch" in done.output


def test_sweep__refuses_what_the_engine_does_not_know_before_the_work():
    with pytest.raises(InputError, match="block-verification on paper:4"):
        specsim.sweep([paper_pair(4)], [Speculative(), BlockVerification()], runs=10, seed=1, engine="torch")
