"""Chains of models: the loop against the recursion, a model of nested processes, and counts by hand."""

import random
from fractions import Fraction

import numpy as np
import pytest
import simpy

from specsim import Clock, InputError, ModelPair, Speculative, model_chain, paper_pair, random_pair, theory
from specsim.engines.systems.polybasic import simulate_polybasic
from specsim.errors import TooLargeError

CLOCK = Clock(draft=0.1, overhead=0.05, token=0.1)
PAIR = random_pair(contexts=3, horizon=8, seed=4, family="dirichlet")
CHAIN = model_chain(PAIR, 0.6)
LONG = model_chain(PAIR, 0.8, 0.3)
#: Three models of two tokens: rows of the target, between, and of the drafter.
THREE = model_chain(
    ModelPair.from_probabilities(
        [[0.9, 0.1], [0.2, 0.8]], [[0.6, 0.4], [0.3, 0.7]], initial=[1.0, 0.0], horizon=30
    ),
    [[0.8, 0.2], [0.25, 0.75]],
)


def nested_processes(chain, lengths, middle, exact_blocks, source):
    """Return text, time and calls of one run: a call is a process that waits for calls of the model below.

    Nothing of the library's loop is used: each call returns the tokens that it passes, and what the model
    above does not keep is gone.
    """
    horizon = chain[0].horizon
    rows = [chain[0].target.tolist(), *(pair.draft.tolist() for pair in chain)]
    after = chain[0].next_context.tolist()
    shares, drafter = [1.0, *middle], len(chain)
    device, calls = simpy.Environment(), [0] * (drafter + 1)
    (start,) = source.choices(range(len(after)), chain[0].initial.tolist())

    def row(model, place, context):
        return rows[model][min(place, len(rows[model]) - 1)][context]

    def call(model, place, context):
        calls[model] += 1
        if model == drafter:
            yield device.timeout(float(CLOCK.draft_time(1)))
            return source.choices(range(len(after[0])), row(model, place, context))
        block, here = [], context
        while len(block) < lengths[model] and place + len(block) < horizon:
            handed = yield device.process(call(model + 1, place + len(block), here))
            block += handed
            for token in handed:
                here = after[here][token]
        block = block[: lengths[model]] if exact_blocks else block
        yield device.timeout(shares[model] * float(CLOCK.target_time(len(block) + 1)))
        passed = []
        for token in block:
            wanted, drawn = (row(which, place + len(passed), context) for which in (model, model + 1))
            if source.random() * drawn[token] >= wanted[token]:
                excess = [max(t - d, 0.0) for t, d in zip(wanted, drawn, strict=True)]
                return passed + source.choices(range(len(excess)), excess)
            passed.append(token)
            context = after[context][token]
        if place + len(passed) < horizon:
            passed += source.choices(range(len(after[0])), row(model, place + len(passed), context))
        return passed

    def run():
        text, context = [], start
        while len(text) < horizon:
            passed = yield device.process(call(0, len(text), context))
            yield device.timeout(float(CLOCK.overhead_time()))
            text += passed
            for token in passed:
                context = after[context][token]
        return text

    text = device.run(device.process(run()))
    return text, device.now, calls


@pytest.mark.parametrize(
    ("chain", "lengths", "exact_blocks"),
    [
        (CHAIN, (3, 2), True),
        (LONG, (2, 2, 1), False),
        pytest.param(CHAIN, (3, 2), False, marks=pytest.mark.slow),
        pytest.param(LONG, (3, 1, 2), True, marks=pytest.mark.slow),
    ],
)
def test_nested_processes__agree_in_calls_time_and_text(chain, lengths, exact_blocks):
    source, middle = random.Random(7), [0.4, 0.2][: len(chain) - 1]
    runs = [nested_processes(chain, lengths, middle, exact_blocks, source) for _ in range(400)]
    calls = np.array([each for _, _, each in runs])
    expected = theory.polybasic_rounds(chain, lengths, exact_blocks=exact_blocks).sum(axis=(1, 2))
    error = calls.std(axis=0) / np.sqrt(len(runs))
    assert (np.abs(calls.mean(axis=0) - expected) < 4.5 * error + 1e-9).all()
    times = np.array([time for _, time, _ in runs])
    time = theory.expected_polybasic_time(chain, lengths, CLOCK, middle=middle, exact_blocks=exact_blocks)
    assert abs(times.mean() - time) < 4.5 * times.std() / np.sqrt(len(runs))
    last = np.bincount([text[-1] for text, _, _ in runs], minlength=3) / len(runs)
    np.testing.assert_allclose(last, theory.target_marginals(PAIR)[-1], atol=0.11)
    found = simulate_polybasic(
        chain, lengths, CLOCK, middle=middle, exact_blocks=exact_blocks, runs=10_000, seed=3
    )
    error = found.run_calls.std(axis=1) / np.sqrt(10_000)
    assert (np.abs(np.array(found.mean_calls) - expected) < 4.5 * error + 1e-9).all()
    assert abs(found.mean_time - time) < 4.5 * float(found.unit) * found.ticks.std() / np.sqrt(10_000)
    # Calls of the models between vary as much, too.
    ratio = calls.std(axis=0) / np.maximum(found.run_calls.std(axis=1), 1e-9)
    assert (np.abs(ratio - 1) < 0.15).all()


def test_runs__are_functions_of_seed_and_number():
    def run(runs, seed, threads=None):
        return simulate_polybasic(
            CHAIN, (3, 2), CLOCK, middle=[0.4], runs=runs, seed=seed, threads=threads, exact_blocks=False
        )

    one, three = run(9000, 5, 1), run(9000, 5, 3)
    for name in ("ticks", "run_calls", "calls", "blocks", "rejections", "tokens"):
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))
    np.testing.assert_array_equal(run(70, 5).ticks, one.ticks[:70])
    assert (run(70, 6).ticks != one.ticks[:70]).any()


def test_counts__add_up():
    found = simulate_polybasic(CHAIN, (3, 2), CLOCK, middle=[0.4], runs=1000, seed=1)
    assert (found.tokens.sum(axis=(1, 2)) == 1000).all()
    np.testing.assert_array_equal(found.calls.sum(axis=1), found.run_calls.sum(axis=1))
    np.testing.assert_array_equal(found.blocks.sum(axis=(1, 2)), found.run_calls[:-1].sum(axis=1))
    tested, accepted = np.indices(found.blocks.shape[1:])
    # What a call rejects is what was tested and not accepted as a whole.
    np.testing.assert_array_equal(
        (found.blocks * (accepted < tested)).sum(axis=(1, 2)), found.rejections.sum(axis=1)
    )
    assert found.blocks[0].sum(axis=1)[3] > 0
    assert not found.blocks[:, 4:].any()


def test_two_models__are_speculative_decoding():
    pair, algorithm = paper_pair(12), Speculative(draft_length=3)
    rounds = theory.polybasic_rounds(pair, 3, exact=True)
    assert (
        rounds[0].sum(axis=1).tolist()
        == theory.round_counts(pair, algorithm, exact=True).sum(axis=1).tolist()
    )
    assert theory.expected_polybasic_time(pair, 3, CLOCK, exact=True) == theory.expected_time(
        pair, algorithm, CLOCK, exact=True
    )
    found = simulate_polybasic(pair, 3, CLOCK, runs=20_000, seed=2)
    law = theory.target_call_law(pair, algorithm)
    np.testing.assert_allclose(np.bincount(found.run_calls[0], minlength=13) / 20_000, law, atol=0.02)
    np.testing.assert_allclose(
        found.rejections[0] / 20_000, theory.rejections_by_step(pair, algorithm), atol=0.02
    )


@pytest.mark.parametrize(
    ("lengths", "exact_blocks", "tokens", "middle", "passed"),
    [
        ((4, 1), True, 4.2285, 0.5379, 0.9948),
        ((4, 1), False, 4.3689, 0.5206, 0.9628),
        ((4, 4), True, 4.2285, 0.3403, 1.2679),
        ((4, 4), False, 5.0513, 0.2858, 1.0620),
        ((8, 4), True, 6.4995, 0.4016, 1.5061),
        ((8, 4), False, 7.2242, 0.3620, 1.3551),
    ],
)
def test_rates__of_three_models(lengths, exact_blocks, tokens, middle, passed):
    rates = theory.stationary_polybasic_rates(THREE, lengths, exact_blocks=exact_blocks)
    found = (rates.tokens_per_call[0], rates.calls[1], rates.passed[1])
    assert found == pytest.approx((tokens, middle, passed), abs=5.1e-5)
    # One text in a row of 30 tokens: the ends weigh little.
    runs = simulate_polybasic(
        THREE, lengths, CLOCK, middle=[0.4], exact_blocks=exact_blocks, runs=40, seed=1, horizon=1000
    )
    assert np.array(runs.mean_calls) / 1000 == pytest.approx(rates.calls, rel=0.03)


def test_equal_models__pass_everything():
    same = random_pair(contexts=2, horizon=13, seed=1, family="equal-rows", density=1.0, stationary=True)
    exact, whole = (
        simulate_polybasic(
            model_chain(same, 0.5), (4, 2), Clock(draft=1), middle=[1], exact_blocks=rule, runs=3, seed=1
        )
        for rule in (True, False)
    )
    # Blocks of 4 and a token of the target's own: starts 0, 5, 10. Two calls of 3 tokens make a block; the
    # last block has 3 tokens.
    assert exact.run_calls.T.tolist() == [[3, 5, 10]] * 3
    # Whole buffers of 6 and one more: starts 0 and 7.
    assert whole.run_calls.T.tolist() == [[2, 4, 8]] * 3
    for rule, found in ((True, exact), (False, whole)):
        rounds = theory.polybasic_rounds(model_chain(same, 0.5), (4, 2), exact_blocks=rule, exact=True)
        assert rounds.sum(axis=(1, 2)).tolist() == found.run_calls[:, 0].tolist()


def test_blocks_longer_than_the_text__are_cut():
    long, cut = (theory.polybasic_rounds(CHAIN, (length, 2)).sum(axis=2) for length in (100, 8))
    np.testing.assert_array_equal(long, cut)
    options = {"middle": [0.4], "runs": 20, "seed": 1}
    found = simulate_polybasic(CHAIN, (100, 2), CLOCK, **options)
    np.testing.assert_array_equal(found.ticks, simulate_polybasic(CHAIN, (8, 2), CLOCK, **options).ticks)


def test_time__by_printed_calls():
    rates = theory.PolybasicRates(calls=(0.25, 0.5, 2.0), passed=(1.0, 1.25))
    assert rates.time(0.1, [0.4]) == pytest.approx(0.25 + 0.2 + 0.2)
    assert rates.time(0.1, [0.4], printed=True) == pytest.approx(0.25 + 0.4 * 0.4 + 0.1 * 4 * 0.4)


def test_refusals():
    options = {"middle": [0.4], "runs": 1, "seed": 1}
    with pytest.raises(InputError, match="lengths has length 1 for 3 models"):
        simulate_polybasic(CHAIN, 3, CLOCK, **options)
    with pytest.raises(InputError, match=r"lengths\[1\] is 0"):
        simulate_polybasic(CHAIN, (3, 0), CLOCK, **options)
    with pytest.raises(InputError, match="middle has 0 costs for 1 models"):
        simulate_polybasic(CHAIN, (3, 2), CLOCK, runs=1, seed=1)
    with pytest.raises(InputError, match=r"middle\[0\] is -1"):
        simulate_polybasic(CHAIN, (3, 2), CLOCK, middle=[-1], runs=1, seed=1)
    with pytest.raises(InputError, match=r"draft rows of pairs\[0\]"):
        simulate_polybasic(CHAIN[::-1], (3, 2), CLOCK, **options)
    with pytest.raises(InputError, match="pairs is empty"):
        simulate_polybasic([], (3, 2), CLOCK, **options)
    with pytest.raises(InputError, match=r"pairs\[1\] is 'paper:5'"):
        simulate_polybasic([PAIR, "paper:5"], (3, 2), CLOCK, **options)  # type: ignore[list-item]
    with pytest.raises(TooLargeError, match="round the costs"):
        simulate_polybasic(CHAIN, (3, 2), Clock(draft=Fraction(1, 10**30 + 1)), **options)
    with pytest.raises(TooLargeError, match="shorter blocks"):
        simulate_polybasic(paper_pair(2000), 2000, CLOCK, runs=1, seed=1)
    with pytest.raises(InputError, match="lengths has length 1 for 3 models"):
        theory.polybasic_rounds(CHAIN, 3)
    with pytest.raises(InputError, match=r"draft of pairs\[0\] is not the target of pairs\[1\]"):
        theory.polybasic_rounds(CHAIN[::-1], (3, 2))
    with pytest.raises(InputError, match="pairs is empty"):
        theory.polybasic_rounds([], ())
    with pytest.raises(InputError, match="stationary"):
        theory.stationary_polybasic_rates(CHAIN, (3, 2))
    with pytest.raises(TooLargeError, match="shorter blocks"):
        theory.polybasic_rounds(model_chain(paper_pair(50), 0.7), (40, 40), exact=True)
    with pytest.raises(TooLargeError, match="smaller pair"):
        theory.enumerate_polybasic(model_chain(paper_pair(50), 0.7), (2, 2))
    with pytest.raises(InputError, match=r"pairs\[0\] is not the target of pairs\[1\]"):
        theory.enumerate_polybasic(CHAIN[::-1], (3, 2))
    with pytest.raises(InputError, match="lengths has length 1 for 2 pairs"):
        theory.enumerate_polybasic(CHAIN, 3)


def test_model_chain__refusals():
    with pytest.raises(InputError, match=r"give a specsim\.ModelPair"):
        model_chain("paper:5")
    with pytest.raises(InputError, match="give a number from 0 to 1"):
        model_chain(PAIR, 1.5)
    with pytest.raises(InputError, match=r"middle\[0\] has shape \(2, 2\)"):
        model_chain(PAIR, [[0.5, 0.5]] * 2)
    with pytest.raises(InputError, match=r"middle\[1\] is not an array of real numbers"):
        model_chain(PAIR, 0.5, "rows")
