"""The interface: reproducibility, splitting, merging, tallies that fit together, bad input, interruption."""

import signal
import threading
from functools import partial

import numpy as np
import pytest

from specsim import (
    Autoregressive,
    Batch,
    BlockVerification,
    InputError,
    ModelPair,
    RejectionBased,
    Speculative,
    merge,
    simulate,
)
from specsim.algorithms import get_rule
from specsim.engines.lockstep import engine as lockstep
from specsim.engines.running import memory, scheduling
from specsim.engines.tallies.tally import Shape
from specsim.errors import TooLargeError, UnsupportedError

ALGORITHMS = [
    Autoregressive(),
    Speculative(),
    Speculative(draft_length=3),
    Batch(drafts=3),
    Batch(drafts=2, draft_length=2, bonus=True),
    BlockVerification(draft_length=4),
]


@pytest.fixture(scope="module")
def pair():
    generator = np.random.default_rng(1)
    target, draft = generator.random((2, 6, 5, 5))
    return ModelPair.from_probabilities(
        target / target.sum(-1, keepdims=True),
        draft / draft.sum(-1, keepdims=True),
        initial=np.full(5, 0.2),
        name="five",
    )


def equal(one, two):
    return set(one.data_vars) == set(two.data_vars) and all(
        np.array_equal(one[name].values, two[name].values) for name in one.data_vars
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: a.label)
def test_result__does_not_depend_on_threads_chunks_or_stages(algorithm, pair, monkeypatch):
    whole = simulate(pair, algorithm, runs=5000, seed=3, threads=1, per_run=True)
    assert equal(whole, simulate(pair, algorithm, runs=5000, seed=3, threads=3, per_run=True))
    monkeypatch.setattr(lockstep, "_CHUNK", 700)
    assert equal(whole, simulate(pair, algorithm, runs=5000, seed=3, threads=2, per_run=True))
    if whole.attrs["engine"] != "lockstep":
        return
    # Tables for two of the six steps at a time, groups of 1400 runs.
    step = lockstep.prepare(algorithm, pair, 6).step_bytes(pair)
    monkeypatch.setattr(lockstep, "_STAGED_STATE_BYTES", 4 * 14 * 1400)
    monkeypatch.setattr(lockstep, "run", partial(lockstep.run, table_bytes=2 * step))
    assert equal(whole, simulate(pair, algorithm, runs=5000, seed=3, threads=2, per_run=True))


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: a.label)
def test_merge__of_a_split_equals_the_whole(algorithm, pair):
    whole = simulate(pair, algorithm, runs=3000, seed=2**64 - 1, threads=1, per_run=True, first_run=10)
    parts = [
        simulate(pair, algorithm, runs=runs, seed=2**64 - 1, threads=2, per_run=True, first_run=first)
        for first, runs in ((1010, 1), (10, 1000), (1011, 1999))
    ]
    merged = merge(parts)
    assert equal(merged, whole)
    assert merged.attrs == whole.attrs
    assert equal(merge([merge(parts[:2]), parts[2]]), whole)
    assert merge(parts[::2]).attrs["run_ranges"] == "1010:3010"
    assert merge(parts[1:]).attrs["run_ranges"] == "10:1010,1011:3010"
    assert list(merge(parts[1:]).run.values[999:1002]) == [1009, 1011, 1012]


def test_merge__single_runs_give_the_sums_of_squares(pair):
    parts = [simulate(pair, Speculative(), runs=1, seed=5, first_run=run, threads=1) for run in range(60)]
    for part in parts:
        assert np.array_equal(
            part.accepted_length_square_sum.values, part.accepted_length_count.values.astype(int) ** 2
        )
    assert equal(merge(parts), simulate(pair, Speculative(), runs=60, seed=5, threads=1))


def test_merge__refuses_what_does_not_belong_together(pair):
    one = simulate(pair, Speculative(), runs=10, seed=5, threads=1)
    with pytest.raises(InputError, match="overlap in run 9"):
        merge([one, simulate(pair, Speculative(), runs=10, seed=5, first_run=9, threads=1)])
    others = {
        "seed": simulate(pair, Speculative(), runs=10, seed=6, first_run=10, threads=1),
        "algorithm": simulate(pair, Autoregressive(), runs=10, seed=5, first_run=10, threads=1),
        "horizon": simulate(pair, Speculative(), runs=10, seed=5, first_run=10, threads=1, horizon=4),
        "pair_identity": simulate(
            pair.with_horizon(5), Speculative(), runs=10, seed=5, first_run=10, threads=1, horizon=5
        ),
    }
    for name, other in others.items():
        with pytest.raises(InputError, match=f"different {name}"):
            merge([one, other])
    with pytest.raises(InputError, match="empty"):
        merge([])


def test_merge__tells_rejection_based_algorithms_apart(pair):
    table = np.full((1, 5, 5), 0.5)
    residual = np.full((1, 5, 5), 0.2)
    parts = [
        simulate(
            pair, RejectionBased(acceptance=table * scale, residual=residual), runs=5, seed=1, first_run=first
        )
        for first, scale in ((0, 1), (5, 0.5))
    ]
    with pytest.raises(InputError, match="different algorithm_identity"):
        merge(parts)


def test_horizon__shorter_is_a_prefix_of_longer(pair):
    long = simulate(pair, Speculative(), runs=2000, seed=1, threads=1)
    short = simulate(pair, Speculative(), runs=2000, seed=1, threads=1, horizon=4)
    assert np.array_equal(short.transition_count.values, long.transition_count.values[:4])
    assert np.array_equal(short.rejections_by_step.values, long.rejections_by_step.values[:4])


def test_stationary_pair__equals_the_same_rows_spelled_out():
    generator = np.random.default_rng(2)
    target, draft = generator.dirichlet(np.ones(4), (2, 4))
    one = ModelPair.from_probabilities(target, draft, initial=[1, 0, 0, 0], horizon=7)
    many = ModelPair.from_probabilities([one.target[0]] * 7, [one.draft[0]] * 7, initial=[1, 0, 0, 0])
    for algorithm in ALGORITHMS:
        first = simulate(one, algorithm, runs=3000, seed=1, threads=1)
        assert equal(first, simulate(many, algorithm, runs=3000, seed=1, threads=1))


def test_algorithms__that_mean_the_same_agree_run_by_run(pair):
    base = simulate(pair, Speculative(), runs=3000, seed=8, threads=1, per_run=True)
    for algorithm in (Speculative(draft_length=6), Speculative(draft_length=50, bonus=False)):
        assert equal(base, simulate(pair, algorithm, runs=3000, seed=8, threads=1, per_run=True))
    batch = simulate(pair, Batch(drafts=1), runs=3000, seed=8, threads=1, per_run=True)
    assert np.array_equal(base.rejections_by_step.values[:1], batch.rejections_by_step.values[:1])


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: a.label)
def test_tallies__fit_together(algorithm, pair):
    dataset = simulate(pair, algorithm, runs=4000, seed=9, threads=2, per_run=True, outcomes=False)
    numbers = np.arange(7)
    rejected = dataset.rejections_by_step.values.sum()
    calls = (dataset.target_call_count.values * numbers).sum()
    accepted = (dataset.accepted_length_count.values * numbers).sum()
    assert (
        rejected == (dataset.rejection_count.values * numbers).sum() == dataset.rejections_of_run.values.sum()
    )
    assert calls == dataset.accepted_length_count.values.sum()
    bonuses = 6 * 4000 - accepted - rejected
    if isinstance(algorithm, Autoregressive):
        assert bonuses == calls == 6 * 4000
    elif algorithm.draft_length is None:
        assert bonuses == 0
    assert np.array_equal(dataset.transition_count.values.sum(axis=1), dataset.token_count.values)
    inflow = dataset.transition_count.values.sum(axis=2)[1:]
    assert np.array_equal(inflow, dataset.token_count.values[:-1])
    assert np.array_equal(
        np.bincount(dataset.rejections_of_run.values, minlength=7), dataset.rejection_count.values
    )
    assert dataset.first_accepted_length_count.values.sum() == 4000


def test_outcomes__on_request_and_where_small(pair):
    tiny = pair.with_horizon(2)
    assert "outcome_count" in simulate(tiny, Speculative(), runs=5, seed=1)
    assert "outcome_count" not in simulate(tiny, Speculative(), runs=5, seed=1, outcomes=False)
    assert "outcome_count" not in simulate(pair, Speculative(), runs=5, seed=1)
    asked = simulate(pair, Speculative(), runs=500, seed=1, outcomes=True)
    assert asked.outcome_count.shape == (5**6, 2**6)
    assert asked.outcome_count.sum() == 500


def test_transitions__are_left_out_where_large():
    rows = np.full((1, 300), 1 / 300)
    wide = ModelPair.from_probabilities(
        rows, rows, initial=[1.0], next_context=np.zeros((1, 300), int), horizon=4000
    )
    assert not Shape.of(wide, 4000, None).transitions
    dataset = simulate(wide, Speculative(draft_length=5), runs=3, seed=1, threads=1)
    assert "transition_count" not in dataset
    assert dataset.token_count.values.sum() == 12_000


def test_seed__none_is_drawn_and_recorded(pair):
    first, second = (simulate(pair, Speculative(), runs=100, threads=1) for _ in range(2))
    assert first.attrs["seed"] != second.attrs["seed"]
    assert equal(first, simulate(pair, Speculative(), runs=100, seed=first.attrs["seed"], threads=1))


def test_streams__differ_between_runs_and_seeds(pair):
    runs = [
        simulate(pair, Speculative(), runs=1, seed=1, first_run=2**31 * k, outcomes=True) for k in range(40)
    ]
    paths = {int(np.argmax(run.outcome_count.values.sum(axis=1))) for run in runs}
    assert len(paths) > 30
    low, high = (simulate(pair, Speculative(), runs=500, seed=seed, per_run=True) for seed in (1, 1 + 2**32))
    assert not np.array_equal(low.rejections_of_run.values, high.rejections_of_run.values)


def test_attributes__state_provenance(pair):
    attributes = simulate(pair, Batch(drafts=3), runs=7, seed=5, first_run=4, horizon=3).attrs
    assert attributes["algorithm"] == "batch:drafts=3"
    assert attributes["pair"] == "five"
    assert attributes["pair_identity"] == pair.identity
    assert (attributes["runs"], attributes["first_run"], attributes["horizon"]) == (7, 4, 3)
    assert attributes["engine"] == "lockstep"


def test_thousands_of_drafts__on_the_size_of_the_paper():
    state = np.random.RandomState(10)
    draft, target = state.rand(2, 10, 7, 7)
    pair = ModelPair.from_probabilities(
        target / target.sum(-1, keepdims=True),
        draft / draft.sum(-1, keepdims=True),
        initial=np.full(7, 1 / 7),
    )
    few, many = (
        simulate(pair, Batch(drafts=drafts), runs=4000, seed=1).rejections_by_step.values.sum()
        for drafts in (2, 2000)
    )
    assert 0 < many < few


BAD = [
    ({"runs": 0}, "runs is 0"),
    ({"runs": 1.5}, "runs is 1.5"),
    ({"runs": True}, "runs is True"),
    ({"runs": 2**62 + 1}, "runs is 4611686018427387905"),
    ({"runs": 2**62}, r"could pass 2\^63"),
    ({"seed": -1}, "seed is -1"),
    ({"seed": 2**64}, "seed is 18446744073709551616"),
    ({"seed": "x"}, "seed is 'x'"),
    ({"engine": "warp"}, "engine is 'warp'; give one of .*literal"),
    ({"horizon": 0}, "horizon is 0"),
    ({"horizon": 7}, "horizon is 7"),
    ({"threads": 0}, "threads is 0"),
    ({"first_run": -1}, "first_run is -1"),
    ({"algorithm": Batch(drafts=float("inf"))}, "drafts is inf; the limit is known to specsim.theory only"),
    ({"algorithm": "speculativ"}, "unknown algorithm 'speculativ'"),
    (
        {"algorithm": RejectionBased(acceptance=np.ones((1, 2, 2)), residual=np.full((1, 2, 2), 0.5))},
        "acceptance has shape",
    ),
    (
        {"algorithm": RejectionBased(acceptance=np.ones((2, 5, 5)), residual=np.full((1, 5, 5), 0.2))},
        "acceptance has 2 steps",
    ),
    ({"pair": None}, "pair is None"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input__is_named_in_one_line(change, message, pair):
    arguments = {"pair": pair, "algorithm": Speculative(), "runs": 10, "seed": 1, **change}
    with pytest.raises(InputError, match=message) as caught:
        simulate(arguments.pop("pair"), arguments.pop("algorithm"), **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("engine", ["lockstep", "alias", "population", "torch"])
def test_rules_and_structures__that_are_not_verified_by_position_are_unsupported(pair, engine):
    for algorithm in (get_rule("k-seq")(drafts=2), get_rule("recursive")(tree=(2, 2))):
        with pytest.raises(UnsupportedError, match="use engine='literal'"):
            simulate(pair, algorithm, runs=1, seed=1, engine=engine)


def test_rules__by_name_are_those_of_the_descriptors(pair):
    named = get_rule("recursive")(drafts=3, draft_length=2)
    for one, other in (
        (named, Batch(drafts=3, draft_length=2, bonus=True)),
        (get_rule("ratio")(draft_length=2, bonus=False), Speculative(draft_length=2, bonus=False)),
    ):
        assert equal(simulate(pair, one, runs=500, seed=1), simulate(pair, other, runs=500, seed=1))


def test_too_much_memory__is_refused_before_it_is_taken(pair, monkeypatch):
    for engine in ("lockstep", "alias", "population"):
        with pytest.raises(TooLargeError, match="drafts is 1000000000000; engines take at most"):
            simulate(pair, Batch(drafts=10**12), runs=10, engine=engine)
    with pytest.raises(TooLargeError, match="per_run"):
        simulate(pair, Speculative(), runs=2**50, seed=1, per_run=True)
    with pytest.raises(TooLargeError, match="outcomes"):
        simulate(
            pair.with_horizon(6), Speculative(), runs=1, seed=1, horizon=6, outcomes=True
        ) if False else (Shape.of(pair, 40, True))
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    with pytest.raises(TooLargeError, match="1000 are available"):
        simulate(pair, Speculative(), runs=1, seed=1)


@pytest.mark.parametrize("threads", [1, 3])
def test_progress__counts_finished_runs_in_the_calling_thread(threads, pair, monkeypatch):
    monkeypatch.setattr(lockstep, "_CHUNK", 512)
    seen = []
    caller = threading.get_ident()

    def progress(done):
        assert threading.get_ident() == caller
        seen.append(done)

    simulate(pair, Speculative(), runs=3000, seed=1, threads=threads, progress=progress)
    assert seen[-1] == 3000
    assert seen == sorted(seen)
    assert len(seen) == 6


@pytest.mark.parametrize("threads", [1, 2])
def test_interrupt__stops_promptly(threads, pair):
    calls = []
    # Shells start background jobs with the signal ignored, and then nothing would ever stop this.
    before_handler = signal.signal(signal.SIGINT, signal.default_int_handler)

    def progress(done):
        calls.append(done)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)

    before = threading.active_count()
    # Hours of work, if it were not interrupted.
    try:
        with pytest.raises(KeyboardInterrupt):
            simulate(pair, Speculative(), runs=10**12, seed=1, threads=threads, progress=progress)
    finally:
        signal.signal(signal.SIGINT, before_handler)
    assert len(calls) == 2
    assert threading.active_count() == before


def test_work_through__passes_on_an_error_and_stops():
    started = []

    def work(worker, task):
        started.append(task)
        if task == 5:
            raise ValueError("five")

    with pytest.raises(ValueError, match="five"):
        scheduling.work_through(range(10**9), work, threads=2, done=lambda task: None)
    assert len(started) < 10**6
