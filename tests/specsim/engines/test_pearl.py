"""PEARL: the loop against the recursion, an event model of two devices, and what must not matter."""

import heapq
import random
from fractions import Fraction

import numpy as np
import pytest

from specsim import Clock, InputError, Speculative, paper_pair, random_pair, theory
from specsim.engines.systems.pearl import simulate_pearl
from specsim.errors import TooLargeError
from specsim.validation.claims.pearl import periodic_pair

CLOCK = Clock(draft=0.3, overhead=0.05, token=0.1, free=2)
PAIR = random_pair(contexts=3, horizon=12, seed=4, family="dirichlet")


def two_devices(pair, longest, source):
    """Return text and time of one run: a queue of events of two devices, and messages between them.

    Each device announces when it is done; the one that hears the other last decides. Nothing of the
    library's loop is used: tokens wait in a list with the rows that drew them.
    """
    target, draft = (
        np.broadcast_to(t, (pair.horizon, *t.shape[1:])).tolist() for t in (pair.target, pair.draft)
    )
    after = pair.next_context.tolist()
    (here,) = source.choices(range(pair.contexts), pair.initial.tolist())
    text, waiting, ahead, now, queue, new = [], [], here, 0.0, [], []

    def start_round():
        new.clear()
        heapq.heappush(queue, (now + calls[len(waiting)], "verifier done", None))
        draft_next(now)

    def draft_next(time):
        if len(new) < longest and len(text) + len(waiting) + len(new) < pair.horizon:
            heapq.heappush(queue, (time + step, "token drafted", None))
        else:
            heapq.heappush(queue, (time, "drafter done", None))

    step, overhead = float(CLOCK.draft_time(1)), float(CLOCK.overhead_time())
    calls = [float(CLOCK.target_time(width + 1)) for width in range(longest)]
    start_round()
    done = set()
    while queue:
        now, what, _ = heapq.heappop(queue)
        if what == "token drafted":
            place = len(text) + len(waiting) + len(new)
            (token,) = source.choices(range(pair.tokens), draft[place][ahead])
            new.append((token, ahead))
            ahead = after[ahead][token]
            draft_next(now)
            continue
        done.add(what)
        if len(done) < 2:
            continue
        done.clear()
        now += overhead
        to_test, waiting = waiting + new[:1], new[1:]
        for token, context in to_test:
            wanted, drawn = target[len(text)][context], draft[len(text)][context]
            if source.random() * drawn[token] < wanted[token]:
                text.append(token)
                continue
            left = [max(t - d, 0.0) for t, d in zip(wanted, drawn, strict=True)]
            (token,) = source.choices(range(pair.tokens), left)
            text.append(token)
            waiting, ahead = [], after[context][token]
            break
        if len(text) < pair.horizon:
            start_round()
    return text, now


@pytest.mark.parametrize("longest", [1, 3, 5])
def test_event_model__agrees_in_time_and_text(longest):
    source = random.Random(longest)
    runs = [two_devices(PAIR, longest, source) for _ in range(2000)]
    times = np.array([time for _, time in runs])
    law = theory.pearl_time_law(PAIR, longest, CLOCK)
    assert abs(times.mean() - float(law.mean())) < 4.5 * np.sqrt(float(law.variance()) / len(runs)) + 1e-9
    found = np.bincount(np.rint(times / float(law.unit)).astype(int), minlength=len(law.law)) / len(runs)
    assert np.abs(found - law.law).sum() < 4 * np.sqrt(np.count_nonzero(law.law > 1e-4) / len(runs))
    last = np.bincount([text[-1] for text, _ in runs], minlength=3) / len(runs)
    np.testing.assert_allclose(last, theory.target_marginals(PAIR)[-1], atol=0.03)
    simulated = simulate_pearl(PAIR, longest, CLOCK, runs=20_000, seed=3)
    assert abs(simulated.mean_time - float(law.mean())) < 4.5 * np.sqrt(float(law.variance()) / 20_000) + 1e-9


def test_runs__are_functions_of_seed_and_number():
    one = simulate_pearl(PAIR, 3, CLOCK, runs=9000, seed=5, threads=1)
    three = simulate_pearl(PAIR, 3, CLOCK, runs=9000, seed=5, threads=3)
    for name in ("ticks", "rounds", "rejections", "tokens"):
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))
    np.testing.assert_array_equal(simulate_pearl(PAIR, 3, CLOCK, runs=70, seed=5).ticks, one.ticks[:70])
    assert (simulate_pearl(PAIR, 3, CLOCK, runs=70, seed=6).ticks != one.ticks[:70]).any()


def test_text__is_the_same_for_all_draft_lengths():
    one, eight = (simulate_pearl(PAIR, longest, CLOCK, runs=500, seed=5) for longest in (1, 8))
    np.testing.assert_array_equal(one.tokens, eight.tokens)
    assert one.ticks.sum() != eight.ticks.sum()


def test_counts__add_up():
    found = simulate_pearl(PAIR, 4, CLOCK, runs=1000, seed=1)
    assert (found.tokens.sum(axis=(1, 2)) == 1000).all()
    # A round in mode 0 begins the run, or follows a rejection that is not the last token.
    assert found.rounds[0].sum() == 1000 + found.rejections[:-1].sum()
    assert found.rounds[0, 0] == 1000


def test_one_drafted__is_a_round_for_each_token():
    assert theory.pearl_rounds(PAIR, 1, exact=True).sum() == 12
    assert theory.stationary_pearl_speed_up(periodic_pair(3), 1, Clock(draft=1)) == pytest.approx(1)


def test_equal_models__draft_without_end():
    same = random_pair(contexts=2, horizon=9, seed=1, family="equal-rows", density=1.0, stationary=True)
    assert theory.stationary_pearl_speed_up(same, 4, Clock(draft=0.25)) == pytest.approx(4)
    found = simulate_pearl(same, 4, Clock(draft=0.25), runs=3, seed=1)
    # One round in mode 0, then two with four tokens each.
    assert (found.ticks * found.unit).tolist() == [3, 3, 3]


def test_periodic_rejections__are_counted_by_hand():
    # Two accepted, one replaced: mode 0 accepts the first, mode 1 the second and rejects the third.
    rounds = theory.pearl_rounds(periodic_pair(3), 2, horizon=6, exact=True)
    assert rounds.tolist() == [[1, 0, 0, 1, 0, 0], [0, 1, 0, 0, 1, 0]]
    assert theory.stationary_pearl_speed_up(periodic_pair(3), 2, Clock(draft=0.5)) == pytest.approx(1.5)


def test_draft_longer_than_the_text__is_cut():
    long, cut = (theory.pearl_rounds(PAIR, longest, exact=True) for longest in (100, 12))
    assert (long == cut).all()
    found = simulate_pearl(PAIR, 100, CLOCK, runs=20, seed=1)
    np.testing.assert_array_equal(found.ticks, simulate_pearl(PAIR, 12, CLOCK, runs=20, seed=1).ticks)


def test_enumeration__finds_rejections_of_theorem_1():
    pair = random_pair(contexts=2, horizon=3, seed=8, family="uniform")
    law = theory.enumerate_pearl(pair, 2)
    assert sum(law.values()) == 1
    rejections = sum(len(outcome.rejected) * probability for outcome, probability in law.items())
    assert rejections == theory.expected_rejections(pair, Speculative(), exact=True)


def test_refusals():
    with pytest.raises(InputError, match="draft_length is 0"):
        simulate_pearl(PAIR, 0, CLOCK, runs=1, seed=1)
    with pytest.raises(InputError, match="runs is 0"):
        simulate_pearl(PAIR, 2, CLOCK, runs=0, seed=1)
    with pytest.raises(InputError, match="seed is -1"):
        simulate_pearl(PAIR, 2, CLOCK, runs=1, seed=-1)
    with pytest.raises(TooLargeError, match="round the costs"):
        simulate_pearl(PAIR, 2, Clock(draft=Fraction(1, 10**30 + 1)), runs=1, seed=1)
    with pytest.raises(TooLargeError, match="smaller one"):
        simulate_pearl(paper_pair(2000), 2000, CLOCK, runs=1, seed=1)
    with pytest.raises(TooLargeError, match="round the costs"):
        theory.pearl_time_law(PAIR, 2, Clock(draft=1 + Fraction(1, 10**9 + 7)))
    with pytest.raises(TooLargeError, match="smaller pair"):
        theory.enumerate_pearl(paper_pair(50), 2)
    with pytest.raises(InputError, match="stationary"):
        theory.stationary_pearl_speed_up(PAIR, 2, CLOCK)
    with pytest.raises(InputError, match="depends on the length"):
        theory.stationary_pearl_speed_up(periodic_pair(3), 2, Clock(context=0.1))
    with pytest.raises(InputError, match="give a probability"):
        theory.constant_acceptance_pearl_tokens(2, 2)
