"""The alias engine against exact enumeration, against the literal engine, and against itself."""

from fractions import Fraction

import numpy as np
import pytest

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
    merge,
    random_pair,
    simulate,
)
from specsim.engines.alias import engine as alias
from specsim.engines.alias.tables import Layout
from specsim.engines.compiled.words import fill_block
from specsim.engines.lockstep.plans import prepare
from specsim.errors import TooLargeError, UnsupportedError
from specsim.theory import enumerate_outcomes

RUNS = 60_000
ALGORITHMS = [
    Autoregressive(),
    Speculative(),
    Speculative(draft_length=1),
    Speculative(draft_length=2, bonus=False),
    Speculative(draft_length=2),
    Batch(drafts=1),
    Batch(drafts=2),
    Batch(drafts=2, draft_length=1, bonus=True),
    Batch(drafts=3, draft_length=2, bonus=False),
    BatchAsPrinted(drafts=2, slip="inside-loop"),
    BatchAsPrinted(drafts=2, slip="extra-subtraction"),
    OverAcceptance(epsilon=0.125),
    OverAcceptance(epsilon=Fraction(1, 16), residual="target", draft_length=1, bonus=False),
    OverAcceptance(epsilon=0.0625, residual="draft", draft_length=2, bonus=True),
]
NAMES = [
    "markov",
    "zeros",
    "prefix",
    "prefix with zeros",
    "equal rows",
    "disjoint",
    "point masses",
    "same point mass",
    "one token",
]


def fast(pair, algorithm, **options):
    settings = {"runs": 5000, "seed": 3, "threads": 1, "engine": "alias", **options}
    return simulate(pair, algorithm, **settings)


def equal(one, two):
    return set(one.data_vars) == set(two.data_vars) and all(
        np.array_equal(one[name].values, two[name].values) for name in one.data_vars
    )


@pytest.fixture(scope="module")
def pair():
    return random_pair(contexts=5, horizon=6, seed=1)


@pytest.fixture(scope="module")
def general():
    return random_pair(contexts=6, tokens=4, horizon=7, seed=2, family="dirichlet", stationary=True)


def law_of(law, function):
    image = {}
    for outcome, probability in law.items():
        image[function(outcome)] = image.get(function(outcome), 0) + probability
    return image


def disagreements(pair, algorithm, violations, **options):
    """Everything in a result that its exact law makes all but impossible."""
    horizon = min(2, pair.horizon) if isinstance(algorithm, Batch | BatchAsPrinted) else pair.horizon
    dataset = fast(pair, algorithm, runs=RUNS, horizon=horizon, outcomes=True, **options)
    # A table's mass may be off by 2^-32: nothing that this many runs could see.
    exact = enumerate_outcomes(pair, algorithm, horizon=horizon).law
    counts = dataset.outcome_count.values
    joint = {(int(p), int(r)): int(counts[p, r]) for p, r in np.argwhere(counts)}
    law = law_of(exact, lambda o: (o.path, o.rejected))
    found = violations({key: joint.get(key, 0) for key in {*joint, *law}}, law)
    for name, function in {
        "rejection_count": lambda o: o.rejected.bit_count(),
        "target_call_count": lambda o: o.calls,
        "first_accepted_length_count": lambda o: o.accepted_lengths[0],
    }.items():
        numbers = dict(enumerate(map(int, dataset[name].values)))
        found += [f"{name} {text}" for text in violations(numbers, law_of(exact, function))]
    for step in range(horizon):
        got = int(dataset.rejections_by_step.values[step])
        law = law_of(exact, lambda o, step=step: bool(o.rejected >> step & 1))
        found += [f"step {step} {text}" for text in violations({True: got, False: RUNS - got}, law)]
    for power, name in ((1, "accepted_length_count"), (2, "accepted_length_square_sum")):
        # Bounded terms: Hoeffding with false alarms below 1e-9.
        band = horizon**power * np.sqrt(np.log(4 * (horizon + 1) / 1e-9) / (2 * RUNS))
        for length in range(horizon + 1):
            wanted = sum(p * o.accepted_lengths.count(length) ** power for o, p in exact.items())
            if abs(int(dataset[name].values[length]) / RUNS - float(wanted)) > band:
                found.append(f"{name}[{length}]")
    return found


def on_all_pairs():
    """The fast tests have every algorithm on one pair, and two algorithms on every pair."""
    for name in NAMES:
        for algorithm in ALGORITHMS:
            fast_too = name == "markov" or algorithm in (Speculative(draft_length=2), Batch(drafts=2))
            marks = [] if fast_too else [pytest.mark.slow]
            yield pytest.param(name, algorithm, id=f"{name}-{algorithm.label}", marks=marks)


@pytest.mark.parametrize(("name", "algorithm"), list(on_all_pairs()))
def test_outcomes__have_the_exact_law(name, algorithm, pairs, violations):
    assert disagreements(pairs[name], algorithm, violations) == []


def test_rejection_based__has_the_exact_law(pairs, violations):
    acceptance = np.array([[[0.5, 0.125], [1, 0.25]]])
    residual = np.array([[[0.25, 0.75], [0.5, 0.5]]])
    algorithm = RejectionBased(acceptance=acceptance, residual=residual, draft_length=2, bonus=False)
    assert disagreements(pairs["markov"], algorithm, violations) == []


MUTANTS = {
    "rejected counted as accepted": ("collapse", lambda a, r: (a + r, np.zeros_like(r))),
    "residual shifted": ("collapse", lambda a, r: (a, np.roll(r, 1, axis=1))),
    "kinds exchanged": ("collapse", lambda a, r: (r, a)),
    "root loses a candidate": ("root_laws", None),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants__are_seen(mutant, pairs, violations, monkeypatch):
    from specsim.engines.alias import tables as alias_tables

    name, change = MUTANTS[mutant]
    right = getattr(alias_tables, name)
    if change is None:
        monkeypatch.setattr(alias_tables, name, lambda t, d, m, s: right(t, d, m - 1, s - 1))
    else:
        monkeypatch.setattr(alias_tables, name, lambda *arguments: change(*right(*arguments)))
    algorithm = Batch(drafts=2) if name == "root_laws" else Speculative()
    assert disagreements(pairs["markov"], algorithm, violations)


@pytest.mark.parametrize(
    "algorithm",
    [*ALGORITHMS, Speculative(draft_length=4), Batch(drafts=4, draft_length=3, bonus=True)],
    ids=lambda a: a.label,
)
def test_alias__agrees_with_literal(algorithm):
    pair = random_pair(contexts=5, horizon=12, seed=9)
    runs = 40_000
    one = fast(pair, algorithm, runs=runs)
    two = simulate(pair, algorithm, runs=runs, seed=4, threads=1)
    for name in ("rejections_by_step", "rejection_count", "target_call_count", "token_count"):
        first, second = (np.asarray(d[name].values, float) / runs for d in (one, two))
        pooled = (first + second) / 2
        spread = np.sqrt(pooled * (1 - pooled) * 2 / runs) + 10 / runs
        assert (np.abs(first - second) < 5 * spread).all(), name


def staged(monkeypatch, steps, group, **options):
    """Make the engine keep the tables of so many steps, and so many runs between stages."""
    right = alias.run

    def run(request, *arguments, **keywords):
        plan = prepare(request.algorithm, request.pair, request.shape.horizon)
        table_bytes = steps * Layout.of(request.pair, plan).step_bytes
        return right(request, *arguments, **keywords, table_bytes=table_bytes, **options)

    monkeypatch.setattr(alias, "_STAGED_STATE_BYTES", group)
    monkeypatch.setattr(alias, "run", run)


@pytest.mark.parametrize("tallies", ["all", "rejections"])
@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: a.label)
def test_result__does_not_depend_on_threads_chunks_or_stages(algorithm, tallies, pair, monkeypatch):
    options = {"tallies": tallies, "per_run": True, "first_run": 77}
    whole = fast(pair, algorithm, **options)
    assert equal(whole, fast(pair, algorithm, threads=3, **options))
    monkeypatch.setattr(alias, "_chunk_runs", lambda *_: 700)
    assert equal(whole, fast(pair, algorithm, threads=2, **options))
    # Two of six steps at a time: stages begin inside Philox blocks of four positions.
    staged(monkeypatch, 2, 14 * 1400)
    assert equal(whole, fast(pair, algorithm, threads=2, **options))


@pytest.mark.parametrize("tallies", ["all", "rejections"])
@pytest.mark.parametrize("which", ["pair", "general"])
@pytest.mark.parametrize("algorithm", ALGORITHMS[1::4], ids=lambda a: a.label)
def test_merge__of_a_split_across_2_32_equals_the_whole(algorithm, which, tallies, request):
    pair = request.getfixturevalue(which)
    start = 2**32 - 1500
    options = {"tallies": tallies, "per_run": True, "seed": 2**64 - 1}
    whole = fast(pair, algorithm, runs=3000, first_run=start, **options)
    ranges = ((start + 1501, 1499), (start, 1), (start + 1, 1500))
    parts = [fast(pair, algorithm, runs=runs, first_run=first, **options) for first, runs in ranges]
    assert equal(merge(parts), whole)
    assert not equal(whole, fast(pair, algorithm, runs=3000, first_run=start - 2**32 + 2**33, **options))


@pytest.mark.parametrize("which", ["pair", "general"])
@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: a.label)
def test_rejections_only__equal_the_same_counts_of_all(algorithm, which, request):
    pair = request.getfixturevalue(which)
    few = fast(pair, algorithm, tallies="rejections")
    assert set(few.data_vars) == {"rejections_by_step", "rejection_count", "token_count"}
    whole = fast(pair, algorithm)
    assert {"target_call_count", "transition_count"} <= set(whole.data_vars)
    for name in few.data_vars:
        assert np.array_equal(few[name].values, whole[name].values), name


def test_rejections_only__outcomes_on_request_and_merge_with_all(pair):
    few = fast(pair, Speculative(), tallies="rejections", outcomes=True, horizon=3)
    assert equal(
        few[["outcome_count"]], fast(pair, Speculative(), horizon=3, outcomes=True)[["outcome_count"]]
    )
    rest = fast(pair, Speculative(), horizon=3, first_run=5000)
    assert "target_call_count" not in merge([few, rest])


def test_rejections_only__literal_engine_too(pair):
    few = simulate(pair, Speculative(), runs=500, seed=1, threads=1, tallies="rejections")
    whole = simulate(pair, Speculative(), runs=500, seed=1, threads=1)
    assert set(few.data_vars) == {"rejections_by_step", "rejection_count", "token_count"}
    assert all(np.array_equal(few[name].values, whole[name].values) for name in few.data_vars)
    with pytest.raises(InputError, match="tallies is 'some'; give 'all' or 'rejections'"):
        simulate(pair, Speculative(), runs=1, tallies="some")


def test_stationary_pair__equals_the_same_rows_spelled_out(general):
    spelled = ModelPair.from_probabilities(
        np.repeat(general.target, 7, axis=0),
        np.repeat(general.draft, 7, axis=0),
        initial=general.initial,
        next_context=general.next_context,
    )
    for tallies in ("all", "rejections"):
        for algorithm in ALGORITHMS:
            assert equal(fast(general, algorithm, tallies=tallies), fast(spelled, algorithm, tallies=tallies))


def test_horizon__shorter_is_a_prefix_of_longer(pair):
    for algorithm in (Speculative(draft_length=2), Batch(drafts=3)):
        long, short = fast(pair, algorithm), fast(pair, algorithm, horizon=4)
        assert np.array_equal(short.transition_count.values, long.transition_count.values[:4])


def philox(counter, key):
    """Philox4x32-10 in Python integers."""
    c, k = list(counter), list(key)
    for _ in range(10):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [second >> 32 ^ c[1] ^ k[0], second & 0xFFFFFFFF, first >> 32 ^ c[3] ^ k[1], first & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def test_words__are_those_of_the_stated_counters(compiled):
    first, seed = 2**32 - 3, 0x0123456789ABCDEF
    words = np.empty((4, 9), np.uint32)
    compiled(fill_block)(words, 9, np.uint64(seed), np.uint64(first), np.uint64(11))
    for i in range(9):
        run = first + i
        counter = (11, 2**30, run & 0xFFFFFFFF, run >> 32)
        assert list(words[:, i]) == philox(counter, (seed & 0xFFFFFFFF, seed >> 32))


def test_runs__follow_their_words_through_the_tables():
    """A run recomputed by hand: prompt from word 0, position n from word n % 4 of block n // 4."""
    from specsim.engines.alias.tables import build_tables, column_bits, pack

    pair = random_pair(contexts=7, horizon=9, seed=8)
    layout = Layout.of(pair, prepare(Speculative(), pair, 9))
    tables = build_tables(pair, prepare(Speculative(), pair, 9), layout, 0, 9).entries
    bits = column_bits(7)
    initial = pack(pair.initial_weights[None], bits)[0]

    def draw(entries, bits, word):
        column = word & (2**bits - 1)
        entry = int(entries[column])
        return column if word >> bits < entry >> bits else entry & (2**bits - 1)

    for run in (0, 5, 2**40 + 1):
        words = [w for block in range(3) for w in philox((block, 2**30, run % 2**32, run >> 32), (3, 0))]
        context = draw(initial, bits, words[0])
        tokens, rejected = [], []
        for step in range(9):
            atom = draw(tables[step][context * 16 : context * 16 + 16], 4, words[step + 1])
            context = atom & 7
            tokens.append(context)
            rejected.append(atom >> 3)
        result = fast(pair, Speculative(), runs=1, first_run=run, per_run=True)
        assert list(result.token_count.values.argmax(axis=1)) == tokens
        assert list(result.rejections_by_step.values) == rejected
        assert int(result.rejections_of_run.values[0]) == sum(rejected)


def test_block_verification__is_refused(pair):
    with pytest.raises(UnsupportedError, match="block-verification"):
        fast(pair, BlockVerification())


def test_tables__that_do_not_fit_are_refused_before_they_are_built(pair, monkeypatch):
    def never(*_):
        raise AssertionError("tables were built")

    monkeypatch.setattr(alias, "build_tables", never)
    monkeypatch.setattr("specsim.engines.running.memory.available_bytes", lambda: 10**6)
    with pytest.raises(TooLargeError, match=r"alias tables of \d+ steps .* would take \d+ bytes"):
        fast(random_pair(contexts=600, horizon=2, seed=1), Speculative())


def test_large_vocabulary__and_many_contexts():
    wide = random_pair(contexts=2, tokens=2**14, horizon=3, seed=1, stationary=True)
    long = random_pair(contexts=20_000, tokens=3, horizon=5, seed=1, stationary=True)
    for pair in (wide, long):
        result = fast(pair, Speculative(), runs=20_000)
        other = simulate(pair, Speculative(), runs=20_000, seed=9, threads=1)
        for name in ("rejections_by_step", "first_accepted_length_count"):
            assert np.abs(result[name].values - other[name].values).max() < 1000
