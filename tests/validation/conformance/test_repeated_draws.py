"""Random numbers that are used again: found however they are, and not where all are new."""

import itertools
import math

import numpy as np
import pytest

from benchmarks.kill_matrix import judge_mutant
from benchmarks.zoo.controls_step import ratio_step
from benchmarks.zoo.model import get_mutants
from specsim.testing import Subject, check_sampler
from specsim.validation.conformance.calling import ContractError
from specsim.validation.conformance.repeated_draws import FAR, DrawsProbe, many_seeds
from specsim.validation.conformance.repeated_settings import two_places

TOKENS, PLACES, ROWS = 64, 3, 4


class Endless:
    """A caller whose time never ends."""

    def out_of_time(self):
        return False

    def next_seed(self):
        return 12345


def probe(stream, seeds, *, by_row=0, tokens=TOKENS):
    """Return what is seen of draws ``stream(seed, row, place)``, which are uniform numbers."""

    def draws(given):
        rows = len(given) if by_row else ROWS
        found = [
            [int(stream(int(given[row if by_row else 0]), row, place) * tokens) for place in range(PLACES)]
            for row in range(rows)
        ]
        return np.array(found), np.full((rows, PLACES), 1 / tokens)

    made = DrawsProbe(Endless(), draws, seeds, by_row=by_row, tolerance=0.0)
    made.sample(len(seeds))
    return made


def no_draws(seeds):
    raise AssertionError("nothing is to be drawn")


def uniform(*words):
    return np.random.default_rng([*words, 7]).random()


SEEDS = many_seeds(np.random.default_rng(1), 100, 512)
FEW_SEEDS = SEEDS[:60]


@pytest.mark.parametrize(
    ("stream", "way"),
    [
        (lambda seed, row, place: uniform(seed + 37 * row, place), (37, -1, 0)),
        (lambda seed, row, place: uniform(seed - 5 * row, place), (5, 1, 0)),
        (lambda seed, row, place: uniform(seed + 100_000 * place, row), (100_000, 0, -1)),
        (lambda seed, row, place: uniform(seed, row + place), (0, 1, -1)),
        (lambda seed, row, place: uniform(seed, row // 2, place), (0, 1, 0)),
        (lambda seed, row, place: uniform(seed & ~(1 << 20), row, place), (1 << 20, 0, 0)),
        (lambda seed, row, place: uniform(seed % 9973, row, place), (9973, 0, 0)),
    ],
)
def test_draws_that_share_random_numbers__are_found(stream, way):
    found = probe(stream, SEEDS)
    assert found.log_e() > math.log(1e9)
    best = found.ways()[0]
    assert (best.seeds, best.rows, best.places) == way


def test_rows_with_seeds_of_their_own__are_compared_by_seed_and_within_calls():
    seeds = many_seeds(np.random.default_rng(1), 200, 256)
    halved = probe(lambda seed, row, place: uniform(seed >> 1, place), seeds, by_row=ROWS)
    assert halved.log_e() > math.log(1e9)
    assert halved.ways()[0].seeds == 1

    def first_of_call(seed, row, place):
        return uniform(int(np.searchsorted(seeds, seed - 12345)) // ROWS, place)

    shared = probe(first_of_call, seeds, by_row=ROWS)
    assert shared.log_e() > math.log(1e9)
    assert shared.ways()[0].seeds == 0


def test_draws_that_are_all_new__are_not_found():
    values = [
        probe(lambda seed, row, place, n=n: uniform(n, seed, row, place), SEEDS).log_e() for n in range(10)
    ]
    assert max(values) < math.log(100)
    assert np.exp(values).mean() <= 1


def test_e_value__has_a_mean_of_at_most_one():
    # All outcomes of three calls of two rows, whose tokens are two: 2^6 of the same probability.
    total = 0.0
    for outcome in itertools.product((0, 1), repeat=6):
        table = np.array(outcome).reshape(3, 2, 1)
        found = DrawsProbe(Endless(), no_draws, np.array([0, 1, 2]), tolerance=0.0)
        found.tokens, found.masses = list(table), list(np.full((3, 2, 1), 0.5))
        found.total = 3
        total += math.exp(found.log_e()) / 2**6
    assert 0 < total <= 1


def test_few_tokens__are_a_wrong_law_and_shared_numbers_are_none():
    # Uniforms of four bits: sixteen of the tokens are drawn, in every way alike.
    coarse = probe(lambda *words: np.floor(uniform(*words) * 16) / 16, FEW_SEEDS)
    assert len(coarse.drawn_tokens()) == 16
    assert coarse.log_few_tokens() > math.log(1e9)
    assert coarse.law_is_wrong()
    always = probe(lambda seed, row, place: 0.5 * (uniform(seed, row, place) < 0.9), FEW_SEEDS)
    assert always.log_e() > math.log(1e9)
    assert always.law_is_wrong()
    shared = probe(lambda seed, row, place: uniform(seed // 2, row, place), FEW_SEEDS)
    assert not shared.law_is_wrong()
    # One number for each row and place, whatever the seed is: few tokens, and it is the seed that is ignored.
    unseeded = probe(lambda seed, row, place: uniform(row, place), FEW_SEEDS)
    assert unseeded.log_few_tokens() > math.log(1e9)
    assert not unseeded.law_is_wrong()
    assert not probe(lambda seed, row, place: uniform(place), FEW_SEEDS).law_is_wrong()
    assert probe(lambda seed, row, place: 0.5, FEW_SEEDS).law_is_wrong()


def test_tests_that_fail_too_seldom__are_a_wrong_law():
    def tests(accepted):
        draws = lambda seeds: (  # noqa: E731
            np.array(
                [[uniform(int(seeds[0]), row, place) < accepted for place in range(2)] for row in range(32)]
            ).astype(int),
            np.full((32, 2), 0.5),
        )
        made = DrawsProbe(Endless(), draws, FEW_SEEDS, within=True, tolerance=0.0)
        made.sample(60)
        return made

    often = tests(0.7)
    assert often.log_e() > math.log(1e6)
    assert often.law_is_wrong()
    assert tests(0.5).log_e() < math.log(100)


def test_coarse_uniforms_of_one_type__are_said_to_be_a_bias():
    def run(target, draft, drafted, seed):
        coins = np.random.default_rng(seed).random((len(drafted), drafted.shape[1] + 1))
        if target.dtype == np.float16:
            coins[:, -1] = np.floor(coins[:, -1] * 256) / 256
        return ratio_step(target, draft, drafted, seed, coins=coins)

    subject = Subject(name="mine", protocol="step", run=run, dtypes=("float32", "float16"))
    report = check_sampler(subject, effort="quick", only=["repeated-draws"])
    assert report.verdict.value == "biased"
    assert "rows of float16" in report.diagnosis.cause
    assert "narrow type" in report.diagnosis.change
    assert report.script is None


def test_calls_that_are_no_function_of_the_seed__are_refused():
    generator = np.random.default_rng(1)
    with pytest.raises(ContractError, match="two outputs for the same inputs and seed"):
        probe(lambda seed, row, place: generator.random(), SEEDS)


def test_seeds__have_all_far_differences():
    assert (np.diff(SEEDS) > 0).all()
    differences = np.subtract.outer(SEEDS, SEEDS)
    for distance in FAR:
        assert distance < 512 or (differences == distance).sum() >= 3


@pytest.mark.parametrize("option", ["top_k", "temperature", "draft_lengths", "seeds"])
def test_check__looks_at_options(option):
    def run(target, draft, drafted, seed, **options):
        if options.get(option) is None:
            return ratio_step(target, draft, drafted, seed)
        coins = np.random.default_rng([seed, 3]).random((len(drafted) // 2 + 1, drafted.shape[1] + 1))
        if option == "seeds":
            coins = np.stack([np.random.default_rng(seed >> 1).random(3) for seed in options.pop("seeds")])
            return ratio_step(target, draft, drafted, seed, coins=coins)
        return ratio_step(
            target, draft, drafted, seed, coins=np.repeat(coins, 2, axis=0)[: len(drafted)], **options
        )

    subject = Subject(name="mine", protocol="step", run=run, options=frozenset({option}))
    report = check_sampler(subject, effort="quick", only=["repeated-draws"])
    assert report.verdict.value == "not independent"
    assert f"with {option}" in report.diagnosis.cause


@pytest.mark.parametrize(
    ("mutant", "places"),
    [
        ("coins-of-eight-places", 8),
        pytest.param("round-coins-of-ten-places", 10, marks=pytest.mark.slow),
        pytest.param("decoder-coins-of-eight-places", 8, marks=pytest.mark.slow),
    ],
)
def test_coins_that_late_places_of_a_draft_use_again__are_found(mutant, places):
    outcome = judge_mutant(get_mutants([mutant])[0], effort="quick")
    assert outcome.killed
    assert f"in the same call, {places} places later" in outcome.checks[0].looks_like[0]


def test_two_places__are_at_all_distances_within_their_draft():
    counts = np.repeat([1, 2, 16], 2000)
    first, second = two_places(np.random.default_rng(1), counts).T
    assert (first >= 0).all()
    assert (second < counts).all()
    assert ((second - first)[counts == 1] == 0).all()
    assert ((second - first)[counts == 2] == 1).all()
    _, often = np.unique((second - first)[counts == 16], return_counts=True)
    assert len(often) == 15
    assert often.min() > 80
