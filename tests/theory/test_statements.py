"""The statement functions: against enumeration, against the paper's numbers, and their wrong variants."""

from __future__ import annotations

import math
from fractions import Fraction as F
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from specsim import theory
from specsim.algorithms import (
    Autoregressive,
    Batch,
    BatchAsPrinted,
    BlockVerification,
    OverAcceptance,
    RejectionBased,
    Speculative,
)
from specsim.errors import InputError, TooLargeError
from specsim.pairs import ModelPair
from specsim.theory import RationalPair


def fixture_a(horizon: int) -> RationalPair:
    return RationalPair.independent([F(1, 3), F(2, 3)], [F(2, 3), F(1, 3)], horizon=horizon)


B_TARGET = [F(1, 2), F(3, 10), F(3, 20), F(1, 20)]
B_DRAFT = [F(1, 5), F(9, 20), F(1, 10), F(1, 4)]


def fixture_b(horizon: int) -> RationalPair:
    return RationalPair.independent(B_TARGET, B_DRAFT, horizon=horizon)


def fixture_c(horizon: int, prompt: int = 0) -> ModelPair:
    return ModelPair.from_probabilities(
        [[0.9, 0.1], [0.2, 0.8]], [[0.6, 0.4], [0.3, 0.7]], initial=np.eye(2)[prompt], horizon=horizon
    )


def recovered_pair(horizon: int) -> ModelPair:
    state = np.random.RandomState(10)
    draft, target = state.rand(horizon, 7, 7), state.rand(horizon, 7, 7)
    return ModelPair.from_probabilities(
        target / target.sum(-1, keepdims=True), draft / draft.sum(-1, keepdims=True), initial=[1 / 7] * 7
    )


PAPER = {50: recovered_pair(50), 100: recovered_pair(100)}


@st.composite
def tiny_pairs(draw: st.DrawFn, covered: bool = False) -> ModelPair:
    """Non-stationary Markov pairs in sixteenths; `covered` keeps the target inside the draft's support."""
    tokens = draw(st.integers(2, 3))
    horizon = draw(st.integers(1, 3))
    lowest = 1 if covered else 0

    def row(least: int) -> list[float]:
        cuts = draw(st.lists(st.integers(0, 8), min_size=tokens - 1, max_size=tokens - 1))
        parts = np.diff([0, *sorted(cuts), 8]) + least
        return list(parts + (np.arange(tokens) == 0) * (16 - parts.sum()))

    target = [[[*row(0)] for _ in range(tokens)] for _ in range(horizon)]
    draft = [[[*row(lowest)] for _ in range(tokens)] for _ in range(horizon)]
    initial = np.array(row(0)) / 16
    return ModelPair.from_probabilities(
        np.array(target) / 16, np.array(draft) / 16, initial=initial, horizon=horizon
    )


class TestTheorem1:
    @settings(deadline=None, max_examples=25)
    @given(pair=tiny_pairs())
    def test_equals_enumeration_step_by_step_for_every_draft_length(self, pair: ModelPair) -> None:
        expected = list(theory.theorem_1_rejections_by_step(pair, exact=True))
        for length in (None, 1, 2):
            algorithm = Speculative(draft_length=length, bonus=False)
            assert list(theory.enumerate_outcomes(pair, algorithm).rejections_by_step()) == expected
        assert theory.theorem_1_rejections(pair, exact=True) == sum(expected)
        assert theory.theorem_1_rejections(pair) == pytest.approx(float(sum(expected)), abs=1e-14)

    def test_bonus_tokens_are_never_rejected(self) -> None:
        pair = fixture_a(3)
        with_bonus = theory.expected_rejections(pair, Speculative(draft_length=1), exact=True)
        assert with_bonus < theory.theorem_1_rejections(pair, exact=True) == 1

    @pytest.mark.parametrize(("horizon", "printed"), [(50, 16.4049), (100, 33.5348)])
    def test_the_papers_instance(self, horizon: int, printed: float) -> None:
        assert round(theory.theorem_1_rejections(PAPER[horizon]), 4) == printed


class TestTheorem3:
    @settings(deadline=None, max_examples=25)
    @given(pair=tiny_pairs(), drafts=st.integers(1, 3))
    def test_equation_22_is_the_enumerated_mass(self, pair: ModelPair, drafts: int) -> None:
        outcomes = theory.enumerate_outcomes(pair, Batch(drafts=drafts))
        masses = theory.batch_rejection_masses(pair, drafts, exact=True)
        floats = theory.batch_rejection_masses(pair, drafts)
        for n, (mass, approximate) in enumerate(zip(masses, floats, strict=True), start=1):
            expected = outcomes.rejected_prefix_masses(n)
            assert list(mass) == list(expected)
            assert np.abs(approximate - expected.astype(float)).max() < 1e-14
        assert theory.batch_rejections(pair, drafts, exact=True) == outcomes.expected_rejections()
        steps = theory.batch_rejections_by_recursion(pair, drafts, exact=True)
        assert list(steps) == list(outcomes.rejections_by_step())

    def test_on_prefixes(self) -> None:
        rows = np.array([[5, 3], [2, 6], [7, 1], [4, 4], [1, 7], [8, 0], [3, 5]]) / 8
        tree = np.array([[1, 2], [3, 4], [5, 6], [0, 0], [0, 0], [0, 0], [0, 0]])
        pair = ModelPair.from_probabilities(
            rows, rows[::-1], initial=np.eye(7)[0], next_context=tree, horizon=3
        )
        outcomes = theory.enumerate_outcomes(pair, Batch(drafts=2))
        masses = theory.batch_rejection_masses(pair, 2, exact=True)
        assert [list(m) for m in masses] == [list(outcomes.rejected_prefix_masses(n)) for n in (1, 2, 3)]
        assert theory.batch_rejections(pair, 2, exact=True) == outcomes.expected_rejections()

    @pytest.mark.parametrize(
        ("horizon", "right", "wrong"),
        [(2, F(43, 81), F(17, 27)), (3, F(605, 729), F(226, 243)), (4, F(7414, 6561), F(2690, 2187))],
    )
    def test_the_unprinted_base_case(self, horizon: int, right: F, wrong: F) -> None:
        pair = fixture_a(horizon)
        assert theory.batch_rejections(pair, 2, exact=True) == right
        assert theory.enumerate_outcomes(pair, Batch(drafts=2)).expected_rejections() == right
        assert theory.batch_rejections(pair, 2, base_case=0, exact=True) == wrong
        by_prefix = theory.batch_rejection_masses(pair, 2, base_case=0, exact=True)
        assert sum(mass.sum() for mass in by_prefix) == wrong

    def test_one_draft_is_theorem_1(self) -> None:
        assert theory.batch_rejections(fixture_a(4), 1, exact=True) == F(4, 3)

    def test_finite_draft_lengths_change_batch_rejections(self) -> None:
        pair = fixture_a(4)
        rejections = [F(8, 9), F(6994, 6561), F(7162, 6561), F(7414, 6561)]
        calls = [F(4), F(1754, 729), F(1586, 729), F(1334, 729)]
        plain_calls = [F(4), F(70, 27), F(62, 27), F(2)]
        for length, n, c, p in zip((1, 2, 3, None), rejections, calls, plain_calls, strict=True):
            batch = Batch(drafts=2, draft_length=length, bonus=False)
            assert theory.expected_rejections(pair, batch, exact=True) == n
            assert theory.expected_target_calls(pair, batch, exact=True) == c
            plain = Speculative(draft_length=length, bonus=False)
            assert theory.expected_rejections(pair, plain, exact=True) == F(4, 3)
            assert theory.expected_target_calls(pair, plain, exact=True) == p

    def test_laws_of_fixture_a(self) -> None:
        assert list(theory.rejections_by_step(fixture_a(4), Batch(drafts=2), exact=True)) == [
            F(2, 9), F(25, 81), F(218, 729), F(1969, 6561)
        ]  # fmt: skip
        laws = {
            2: [F(14, 27), F(35, 81), F(4, 81)],
            3: [F(28, 81), F(119, 243), F(112, 729), F(8, 729)],
            4: [F(56, 243), F(112, 243), F(7, 27), F(308, 6561), F(16, 6561)],
        }
        three = {2: (F(331, 729), F(31, 27)), 3: (F(14383, 19683), F(1060, 729))}
        three[4] = (F(538258, 531441), F(34066, 19683))
        for horizon, law in laws.items():
            pair = fixture_a(horizon)
            assert list(theory.rejection_law(pair, Batch(drafts=2), exact=True)) == law
            assert theory.expected_rejections(pair, Batch(drafts=3), exact=True) == three[horizon][0]
            assert theory.expected_target_calls(pair, Batch(drafts=3), exact=True) == three[horizon][1]

    @pytest.mark.parametrize(
        ("horizon", "drafts", "mean", "calls", "deviation", "shifted"),
        [
            (50, 1, 16.4049, 17.1186, 3.329, 16.4049),
            (50, 2, 15.0023, 15.7428, 2.980, 15.0705),
            (50, 4, 14.0901, 14.8463, 2.739, 14.2198),
            (50, 5, 13.8684, 14.6259, 2.679, 14.0120),
            (50, 10, 13.3150, 14.0764, 2.527, 13.4833),
            (50, 20, 12.9076, 13.6730, 2.411, 13.0948),
            (50, 50, 12.5331, 13.3018, 2.300, 12.7416),
            (50, 100, 12.3460, 13.1177, 2.242, 12.5779),
            (50, 500, 12.1502, 12.9291, 2.182, 12.4053),
            (50, 1000, 12.1188, 12.8985, 2.172, 12.3666),
            (50, 2000, 12.1045, 12.8843, 2.168, 12.3440),
            (100, 2, 30.8675, 31.5686, 4.241, 30.9600),
            (100, 5, 28.5981, 29.3111, 3.808, 28.7352),
            (100, 10, 27.4432, 28.1647, 3.576, 27.5836),
            (100, 20, 26.6087, 27.3391, 3.404, 26.7393),
            (100, 50, 25.8509, 26.5887, 3.246, 25.9777),
            (100, 150, 25.3376, 26.0842, 3.136, 25.4740),
            (100, 200, 25.2556, 26.0043, 3.118, 25.3939),
            (100, 400, 25.1130, 25.8649, 3.086, 25.2576),
            (100, 1000, 25.0048, 25.7577, 3.062, 25.1606),
            (100, 2000, 24.9678, 25.7209, 3.054, 25.1271),
        ],
    )
    def test_the_papers_instance(
        self, horizon: int, drafts: int, mean: float, calls: float, deviation: float, shifted: float
    ) -> None:
        pair, batch = PAPER[horizon], Batch(drafts=drafts)
        assert round(theory.expected_rejections(pair, batch), 4) == mean
        assert round(theory.expected_target_calls(pair, batch), 4) == calls
        assert round(math.sqrt(theory.rejection_variance(pair, batch)), 3) == deviation
        assert theory.batch_rejections(pair, drafts) == pytest.approx(mean, abs=6e-5)
        assert round(theory.shifted_batch_rejections(pair, drafts), 4) == shifted

    def test_the_shifted_sum_is_not_the_expectation(self) -> None:
        pair = fixture_a(3)
        truth = theory.enumerate_outcomes(pair, Batch(drafts=2)).expected_rejections()
        assert theory.batch_rejections(pair, 2, exact=True) == truth
        assert theory.shifted_batch_rejections(pair, 2, exact=True) != truth
        assert theory.shifted_batch_rejections(pair, 1, exact=True) == 1  # no batch, nothing to shift

    def test_exact_and_generic_recursion_agree_on_the_papers_instance(self) -> None:
        value = theory.batch_rejections(PAPER[50], 3, horizon=12, exact=True)
        assert value == theory.expected_rejections(PAPER[50], Batch(drafts=3), horizon=12, exact=True)

    @settings(deadline=None, max_examples=20)
    @given(pair=tiny_pairs())
    def test_more_drafts_never_reject_more(self, pair: ModelPair) -> None:
        values = [theory.batch_rejections(pair, drafts, exact=True) for drafts in (1, 2, 3, 4)]
        values.append(theory.batch_limit_rejections(pair, exact=True))
        assert values == sorted(values, reverse=True)

    @pytest.mark.parametrize("drafts", [0, 1.5, True, math.inf])
    def test_bad_drafts(self, drafts: Any) -> None:
        with pytest.raises(InputError, match="drafts is"):
            theory.batch_rejections(fixture_a(2), drafts)

    def test_too_many_prefixes(self) -> None:
        with pytest.raises(TooLargeError, match="batch_rejections"):
            theory.batch_rejection_masses(PAPER[50], 2)


class TestPrintedAlgorithm4:
    """The tables of the two slips: biased, and invisible when the last residual is a point mass."""

    @pytest.mark.parametrize(
        ("algorithm", "horizon", "bias", "rejections"),
        [
            (Batch(drafts=2), 1, F(0), F(49, 200)),
            (Batch(drafts=2), 2, F(0), F(22771, 40000)),
            (BatchAsPrinted(drafts=2, slip="inside-loop"), 1, F(1, 35), F(7, 20)),
            (BatchAsPrinted(drafts=2, slip="inside-loop"), 2, F(33, 980), F(7, 10)),
            (BatchAsPrinted(drafts=2, slip="extra-subtraction"), 1, F(3, 200), F(49, 200)),
            (BatchAsPrinted(drafts=2, slip="extra-subtraction"), 2, F(657, 40000), F(22771, 40000)),
            (BatchAsPrinted(drafts=3, slip="extra-subtraction"), 1, F(0), F(181, 1000)),
        ],
        ids=lambda value: getattr(value, "label", str(value)),
    )
    def test_fixture_b(self, algorithm: Any, horizon: int, bias: F, rejections: F) -> None:
        pair = fixture_b(horizon)
        target = theory.target_law(pair, exact=True)
        for law in (
            theory.output_law(pair, algorithm, exact=True),
            theory.enumerate_outcomes(pair, algorithm).output_law(),
        ):
            assert np.abs(law - target).sum() / 2 == bias
        assert theory.expected_rejections(pair, algorithm, exact=True) == rejections


class TestBatchLimit:
    @settings(deadline=None, max_examples=25)
    @given(pair=tiny_pairs())
    def test_both_ways_to_the_limit_agree(self, pair: ModelPair) -> None:
        masses = theory.batch_limit_rejection_masses(pair, exact=True)
        limit = theory.batch_limit_rejections(pair, exact=True)
        assert sum(mass.sum() for mass in masses) == limit
        assert limit == theory.expected_rejections(pair, Batch(drafts=math.inf), exact=True)
        assert theory.batch_limit_rejections(pair) == pytest.approx(float(limit), abs=1e-13)
        assert theory.batch_rejections(pair, 600) == pytest.approx(float(limit), abs=1e-9)
        printed = theory.batch_limit_rejections(pair, support_term=False, exact=True)
        if theory.support_condition(pair):
            assert printed == limit
        target = theory.target_law(pair, exact=True)
        assert all(0 <= f <= t for f, t in zip(masses[-1], target, strict=True))
        assert theory.limit_is_positive(pair) == (limit > 0)

    @settings(deadline=None, max_examples=10)
    @given(pair=tiny_pairs(covered=True))
    def test_a_positive_draft_meets_the_support_condition(self, pair: ModelPair) -> None:
        assert theory.support_condition(pair)

    def test_the_support_term_is_needed(self) -> None:
        """D = (1, 0), T = (1/2, 1/2): the root rejects half the time whatever M is."""
        pair = RationalPair.independent([F(1, 2), F(1, 2)], [F(1), F(0)], horizon=1)
        assert not theory.support_condition(pair)
        assert theory.batch_rejections(pair, 50, exact=True) == F(1, 2)
        assert theory.batch_limit_rejections(pair, exact=True) == F(1, 2)
        assert theory.batch_limit_rejections(pair, support_term=False, exact=True) == 0
        assert list(theory.batch_limit_rejection_masses(pair, exact=True)[0]) == [0, F(1, 2)]

    def test_only_reachable_contexts_count_for_the_support(self) -> None:
        target = [[1, 0], [0.5, 0.5]]
        draft = [[1, 0], [1, 0]]
        pair = ModelPair.from_probabilities(target, draft, initial=[1, 0], horizon=3)
        assert theory.support_condition(pair)
        prompted = ModelPair.from_probabilities(target, draft, initial=[0, 1], horizon=3)
        assert not theory.support_condition(prompted)

    def test_the_limit_can_be_zero(self) -> None:
        """Against item (4): D = (9/10, 1/10), T = (1/10, 9/10), one position."""
        rows = [F(1, 10), F(9, 10)], [F(9, 10), F(1, 10)]
        one = RationalPair.independent(*rows, horizon=1)
        values = [theory.batch_rejections(one, drafts) for drafts in (1, 5, 20, 80)]
        assert [round(value, 5) for value in values] == [0.8, 0.52488, 0.10807, 0.00019]
        assert theory.batch_limit_rejections(one, exact=True) == 0
        assert not theory.limit_is_positive(one)
        assert theory.limit_is_positive(RationalPair.independent(*rows, horizon=2))

    @pytest.mark.parametrize(("horizon", "limit"), [(50, 12.0994), (100, 24.9515)])
    def test_the_papers_instance(self, horizon: int, limit: float) -> None:
        assert round(theory.batch_limit_rejections(PAPER[horizon]), 4) == limit


class TestBatchImprovement:
    @settings(deadline=None, max_examples=40)
    @given(size=st.integers(1, 6), part=st.integers(1, 6), drafts=st.integers(1, 6))
    def test_uniform(self, size: int, part: int, drafts: int) -> None:
        part = min(part, size)
        draft = [F(1, size)] * size
        target = [F(1, part)] * part + [F(0)] * (size - part)
        formula = theory.batch_improvement_uniform(F(size, part), drafts)
        assert formula == theory.batch_improvement_of_rows(target, draft, drafts)
        limit = theory.batch_improvement_uniform(F(size, part), math.inf)
        assert limit == theory.batch_improvement_of_rows(target, draft, math.inf) == 1 - F(part, size)

    @settings(deadline=None, max_examples=60)
    @given(u=st.integers(0, 8), v=st.integers(0, 8), drafts=st.integers(1, 6))
    def test_bernoulli(self, u: int, v: int, drafts: int) -> None:
        draft, target = F(u, 8), F(v, 8)
        rows = [1 - target, target], [1 - draft, draft]
        assert theory.batch_improvement_bernoulli(draft, target, drafts) == theory.batch_improvement_of_rows(
            *rows, drafts
        )
        assert theory.batch_improvement_bernoulli(
            draft, target, math.inf
        ) == theory.batch_improvement_of_rows(*rows, math.inf)

    def test_one_position_is_theorem_1_minus_theorem_3(self) -> None:
        gain = theory.batch_improvement_of_rows(B_TARGET, B_DRAFT, 3)
        assert gain == F(7, 20) - F(181, 1000)
        assert gain == theory.theorem_1_rejections(fixture_b(1), exact=True) - theory.batch_rejections(
            fixture_b(1), 3, exact=True
        )
        assert theory.batch_improvement_of_rows(B_TARGET, B_DRAFT, 4) == F(7, 20) - F(181, 1250)

    def test_figure_3_limits(self) -> None:
        """T = Ber(1/2); the legend's Ber(0.3) would reach 0.20, the drawn curve 0.10."""
        limits = [
            theory.batch_improvement_bernoulli(F(u, 100), F(1, 2), math.inf)
            for u in (10, 20, 30, 40, 65, 85, 95)
        ]
        assert limits == [F(2, 5), F(3, 10), F(1, 5), F(1, 10), F(3, 20), F(7, 20), F(9, 20)]

    def test_floats_stay_floats(self) -> None:
        assert theory.batch_improvement_uniform(2.0, 3) == pytest.approx(0.375)
        assert isinstance(theory.batch_improvement_bernoulli(0.3, 0.5, 250), float)

    @pytest.mark.parametrize(
        "call",
        [
            lambda: theory.batch_improvement_uniform(0.5, 2),
            lambda: theory.batch_improvement_uniform(2, 0),
            lambda: theory.batch_improvement_bernoulli(1.5, 0.5, 2),
            lambda: theory.batch_improvement_bernoulli(0.5, float("nan"), 2),
            lambda: theory.batch_improvement_of_rows([1], [0.5, 0.5], 2),
            lambda: theory.batch_improvement_of_rows([1], [1], True),
        ],
    )
    def test_bad_input(self, call: Any) -> None:
        with pytest.raises(InputError, match="give"):
            call()


class TestCalls:
    @settings(deadline=None, max_examples=20)
    @given(pair=tiny_pairs(), drafts=st.integers(1, 3))
    def test_calls_are_rejections_plus_the_last_round(self, pair: ModelPair, drafts: int) -> None:
        for algorithm in (
            Speculative(),
            Batch(drafts=drafts),
            OverAcceptance(epsilon=F(1, 8)),
            BatchAsPrinted(drafts=drafts, slip="extra-subtraction"),
            BlockVerification(),
        ):
            calls = theory.enumerate_outcomes(pair, algorithm).expected_target_calls()
            assert theory.calls_from_rejections(pair, algorithm, exact=True) == calls

    def test_every_run_obeys_the_identity(self) -> None:
        outcomes = theory.enumerate_outcomes(fixture_b(3), Batch(drafts=2))
        for outcome in outcomes.law:
            last = outcome.rejected >> 2 & 1
            assert outcome.calls == outcome.rejected.bit_count() + 1 - last == len(outcome.accepted_lengths)

    def test_equal_models(self) -> None:
        pair = RationalPair.independent([F(1, 2), F(1, 2)], [F(1, 2), F(1, 2)], horizon=7)
        assert theory.acceleration(pair, Speculative()) == math.inf
        assert theory.acceleration_per_call(pair, Speculative(), exact=True) == 7

    def test_constant_rate(self) -> None:
        """Fixture A has rate 1/3 everywhere (Remark 2 for a finite horizon)."""
        for horizon in (1, 2, 5):
            calls = theory.expected_target_calls(fixture_a(horizon), Speculative(), exact=True)
            assert theory.constant_rate_calls(F(1, 3), horizon) == calls
            per_call = theory.acceleration_per_call(fixture_a(horizon), Speculative(), exact=True)
            assert theory.constant_rate_tokens_per_call(F(1, 3), horizon) == per_call
        assert theory.constant_rate_tokens_per_call(F(1, 3), math.inf) == 3
        assert theory.acceleration(fixture_a(4), Speculative(), exact=True) == 3

    def test_the_papers_acceleration(self) -> None:
        assert round(theory.acceleration(PAPER[50], Speculative()), 4) == 3.0479

    def test_refuses_rounds_that_end_otherwise(self) -> None:
        with pytest.raises(InputError, match="drafts 1 tokens, below the horizon 3"):
            theory.calls_from_rejections(fixture_a(3), Speculative(draft_length=1))
        with pytest.raises(InputError, match="autoregressive"):
            theory.calls_from_rejections(fixture_a(3), Autoregressive())
        with pytest.raises(InputError, match="rejection_rate"):
            theory.constant_rate_calls(1.5, 3)


class TestBlockVerification:
    """Outside the family of Theorem 2: lossless with fewer rejections than its bound."""

    @pytest.mark.parametrize(
        ("horizon", "rejections", "calls"),
        [(2, F(5, 9), F(4, 3)), (3, F(7, 9), F(14, 9)), (4, F(79, 81), F(16, 9))],
    )
    def test_beats_the_bound_of_the_family(self, horizon: int, rejections: F, calls: F) -> None:
        pair = fixture_a(horizon)
        outcomes = theory.enumerate_outcomes(pair, BlockVerification())
        assert outcomes.expected_rejections() == rejections
        assert theory.expected_rejections(pair, BlockVerification(), exact=True) == rejections
        assert theory.expected_target_calls(pair, BlockVerification(), exact=True) == calls
        assert list(outcomes.output_law()) == list(theory.target_law(pair, exact=True))
        assert rejections < theory.theorem_1_rejections(pair, exact=True)

    @pytest.mark.parametrize(
        ("length", "token", "block"),
        [(1, 0.65, 0.65), (2, 1.0725, 1.1350), (3, 1.347125, 1.516250), (4, 1.525631, 1.821787)],
    )
    def test_accepted_lengths_of_fixture_b(self, length: int, token: float, block: float) -> None:
        pair = fixture_b(5)
        for algorithm, expected in (
            (Speculative(draft_length=length), token),
            (BlockVerification(draft_length=length), block),
        ):
            law = theory.first_accepted_length_law(pair, algorithm)
            assert law @ np.arange(6) == pytest.approx(expected, abs=1e-6)

    def test_accepted_lengths_of_fixture_c(self) -> None:
        for length, expected in ((1, (0.7, 0.9)), (2, (1.22, 1.73)), (4, (1.9792, 3.0795))):
            for prompt in (0, 1):
                algorithm = BlockVerification(draft_length=length)
                law = theory.first_accepted_length_law(fixture_c(6, prompt), algorithm)
                assert law @ np.arange(7) == pytest.approx(expected[prompt], abs=5e-5)


class TestBonusTokens:
    """2211.17192 on a chain: tokens of the first call, and the long-run block efficiency."""

    @pytest.mark.parametrize(
        ("length", "means", "variances", "efficiency"),
        [
            (1, (1.7, 1.9), (0.21, 0.09), 1.760870),
            (2, (2.21, 2.67), (0.7659, 0.4211), 2.337591),
            (4, (2.8869, 3.8363), (2.641908, 2.047502), 3.107790),
            (8, (3.551305, 5.106517), (7.28129, 7.791634), 3.831388),
        ],
    )
    def test_fixture_c(
        self, length: int, means: tuple[float, float], variances: tuple[float, float], efficiency: float
    ) -> None:
        algorithm = Speculative(draft_length=length)
        for prompt in (0, 1):
            law = theory.first_accepted_length_law(fixture_c(12, prompt), algorithm)
            tokens = np.arange(13) + 1
            mean = law @ tokens
            assert mean == pytest.approx(means[prompt], abs=1e-6)
            assert law @ tokens**2 - mean**2 == pytest.approx(variances[prompt], abs=1e-6)
        pair = fixture_c(1)
        calls = [theory.expected_target_calls(pair, algorithm, horizon=h) for h in (400, 800)]
        assert 400 / (calls[1] - calls[0]) == pytest.approx(efficiency, abs=1e-6)


class TestTheorem2:
    @settings(deadline=None, max_examples=20)
    @given(pair=tiny_pairs())
    def test_the_bound_is_attained_by_speculative_decoding(self, pair: ModelPair) -> None:
        bound = theory.optimal_rejections(pair, exact=True)
        assert theory.enumerate_outcomes(pair, Speculative()).expected_rejections() == bound
        assert theory.optimal_rejections(pair) == pytest.approx(float(bound), abs=1e-14)


class TestUnbiasedMembers:
    @settings(deadline=None, max_examples=30)
    @given(pair=tiny_pairs(), seed=st.integers(0, 10**6), length=st.sampled_from([None, 1, 2]))
    def test_corollary_1_and_the_bound(self, pair: ModelPair, seed: int, length: int | None) -> None:
        member = theory.random_unbiased_member(pair, seed, draft_length=length)
        outcomes = theory.enumerate_outcomes(pair, member)
        assert list(outcomes.output_law()) == list(theory.target_law(pair, exact=True))
        rejections = theory.member_rejections(pair, member.acceptance)
        assert outcomes.expected_rejections() == rejections
        assert rejections >= theory.theorem_1_rejections(pair, exact=True)

    def test_the_largest_acceptance_is_speculative_decoding(self) -> None:
        pair = fixture_b(2)
        rows = np.array([[B_TARGET]], dtype=object), np.array([[B_DRAFT]], dtype=object)
        member = theory.member_from_acceptance(pair, theory.acceptance_from_epsilon(*rows, 0))
        assert (
            theory.enumerate_outcomes(pair, member).law == theory.enumerate_outcomes(pair, Speculative()).law
        )

    def test_members_differ_with_the_seed(self) -> None:
        pair = fixture_b(1)
        first, again, other = (theory.random_unbiased_member(pair, seed) for seed in (1, 1, 2))
        assert (first.acceptance == again.acceptance).all()
        assert (first.acceptance != other.acceptance).any()

    def test_a_residual_from_the_target_is_biased(self) -> None:
        """The mutant that forgets to subtract: same rejections, wrong law."""
        pair = fixture_b(2)
        rows = np.array([[B_TARGET]], dtype=object), np.array([[B_DRAFT]], dtype=object)
        acceptance = theory.acceptance_from_epsilon(*rows, 0)
        wrong = RejectionBased(acceptance=acceptance, residual=rows[0])
        for law in (
            theory.output_law(pair, wrong, exact=True),
            theory.enumerate_outcomes(pair, wrong).output_law(),
        ):
            assert list(law) != list(theory.target_law(pair, exact=True))
        assert theory.expected_rejections(pair, wrong, exact=True) == F(7, 10)

    def test_accepting_more_is_refused(self) -> None:
        with pytest.raises(InputError, match=r"above min\(1, target / draft\)"):
            theory.member_from_acceptance(fixture_b(1), np.ones((1, 1, 4)))
        with pytest.raises(InputError, match="acceptance has shape"):
            theory.member_from_acceptance(fixture_b(1), np.ones((1, 4)))
        with pytest.raises(InputError, match="resolution is 0"):
            theory.random_unbiased_member(fixture_b(1), 1, resolution=0)

    @settings(deadline=None, max_examples=40)
    @given(data=st.data())
    def test_lemma_1(self, data: st.DataObject) -> None:
        """Any acceptance is min(1, (T + epsilon) / D) with epsilon = a D - T, where tokens are drafted."""
        size = data.draw(st.integers(1, 4))
        eighths = st.lists(st.integers(0, 8), min_size=size, max_size=size)
        target, draft, acceptance = (
            np.array([F(k, 8) for k in data.draw(eighths)], dtype=object) for _ in range(3)
        )
        epsilon = theory.epsilon_from_acceptance(target, draft, acceptance)
        again = theory.acceptance_from_epsilon(target, draft, epsilon)
        for a, b, d in zip(acceptance, again, draft, strict=True):
            assert b == (a if d else 1)

    def test_a_negative_acceptance_is_refused(self) -> None:
        with pytest.raises(InputError, match="epsilon is below"):
            theory.acceptance_from_epsilon([0.5, 0.5], [0.5, 0.5], -0.6)


class TestTargetLaws:
    def test_law_and_marginals(self) -> None:
        law = theory.target_law(fixture_c(3), exact=True)
        assert law.sum() == 1
        assert float(law[0]) == pytest.approx(0.9**3)
        marginals = theory.target_marginals(fixture_c(3), exact=True)
        by_sequence = [[law[:4].sum(), law[4:].sum()]]
        assert [list(row) for row in marginals[:1]] == by_sequence
        assert np.allclose(theory.target_marginals(fixture_c(3)), marginals.astype(float), atol=1e-15)
        assert np.allclose(theory.target_law(fixture_c(3)), law.astype(float), atol=1e-15)

    def test_too_long(self) -> None:
        with pytest.raises(TooLargeError, match="target_marginals"):
            theory.target_law(PAPER[50])

    @settings(deadline=None, max_examples=20)
    @given(pair=tiny_pairs())
    def test_lossless_descriptors_emit_it(self, pair: ModelPair) -> None:
        target = list(theory.target_law(pair, exact=True))
        for algorithm in (Autoregressive(), Speculative(draft_length=2), Batch(drafts=2)):
            assert list(theory.output_law(pair, algorithm, exact=True)) == target
        marginals = theory.target_marginals(pair, exact=True)
        assert (theory.output_marginals(pair, BlockVerification(), exact=True) == marginals).all()
