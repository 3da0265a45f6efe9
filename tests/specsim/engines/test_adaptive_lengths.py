"""Adaptive draft lengths: theory's rule and policy against simulation, and the rules of engines."""

import random

import numpy as np
import pytest

from specsim import Clock, InputError, Speculative, paper_pair, random_pair, theory
from specsim.engines.systems.adaptive_lengths import Goodput, Heuristic, MovingAverage, simulate_lengths
from specsim.errors import TooLargeError

PAIR = random_pair(contexts=4, horizon=9, seed=1, family="uniform", stationary=True)
CLOCK = Clock(draft=0.1, overhead=0.05)


def rate(runs):
    """Time per token with its standard error, over independent runs."""
    ratio = runs.times.sum() / runs.tokens.sum()
    errors = runs.times - ratio * runs.tokens
    return ratio, np.sqrt((errors**2).sum()) / runs.tokens.sum()


def test_rule_time__is_what_a_simulation_finds():
    exact = theory.rule_time(
        PAIR, CLOCK, lambda drafted, accepted: min(drafted + 2, 6) if accepted == drafted else max(1,
        drafted - 1), longest=6,
    )  # fmt: skip
    found, error = rate(
        simulate_lengths(PAIR, Heuristic(longest=6), CLOCK, runs=3000, rounds=60, skip=40, seed=2)
    )
    assert abs(found - exact) < 4 * error
    assert error < 0.002


def naive_policy(found, pair, rounds):
    """Run the best policy of `found` token by token, by a text of its own."""
    source = random.Random(5)
    target, draft = pair.target[0].tolist(), pair.draft[0].tolist()
    tokens, drafted_total, here = 0, 0, 0
    for _ in range(rounds):
        start, path, number = here, [], 0
        context = here
        while not found.stops[len(path)][start, number]:
            token = source.choices(range(pair.tokens), draft[context])[0]
            path.append(token)
            number, context = number * pair.tokens + token, token
        drafted_total += len(path)
        for token in path:
            if source.random() * draft[here][token] < target[here][token]:
                tokens, here = tokens + 1, token
                continue
            left = [max(t - d, 0) for t, d in zip(target[here], draft[here], strict=True)]
            tokens, here = tokens + 1, source.choices(range(pair.tokens), left)[0]
            break
        else:
            tokens, here = tokens + 1, source.choices(range(pair.tokens), target[here])[0]
    return (rounds + 0.1 * drafted_total) / tokens


def test_draft_policies__are_what_a_plain_decoder_finds():
    found = theory.draft_policies(PAIR, Clock(draft=0.1), longest=6)
    assert naive_policy(found, PAIR, 40_000) == pytest.approx(found.best, rel=0.01)
    assert found.oracle < found.best < found.fixed.min() < 1
    assert 0 < found.reachable < 1
    for length in (1, 3):
        fixed = theory.stationary_speed_up(PAIR, Speculative(draft_length=length), Clock(draft=0.1))
        assert found.fixed[length] == pytest.approx(1 / fixed)


def test_draft_policies__with_free_drafts_draft_as_much_as_they_can():
    found = theory.draft_policies(PAIR, Clock(), longest=4)
    assert found.best_length == 4
    assert found.best == pytest.approx(found.fixed[4])
    assert found.oracle == pytest.approx(found.fixed[4])


def test_draft_policies__with_dear_drafts_draft_nothing():
    found = theory.draft_policies(PAIR, Clock(draft=2), longest=3)
    assert found.best_length == 0
    assert found.best == pytest.approx(1)


@pytest.mark.parametrize("rule", [MovingAverage(), Goodput(longest=7), Heuristic(longest=7)])
def test_engine_rules__stay_between_oracle_and_plain_decoding(rule):
    found = theory.draft_policies(PAIR, CLOCK, longest=7)
    runs = simulate_lengths(PAIR, rule, CLOCK, runs=500, rounds=60, skip=60, seed=3)
    time, error = rate(runs)
    assert found.best - 4 * error < time < 1
    assert runs.lengths.sum() == 500 * 60


def test_moving_average__follows_its_thresholds():
    rule = MovingAverage(candidates=(1, 3, 7), warmup=0, interval=1, share=1.0)
    lengths = rule.begin(4)
    assert lengths.tolist() == [3, 3, 3, 3]
    # With share 1 the average is the last accepted length: down at 0.25 and below, up above 2.5.
    lengths = rule.following(lengths, np.array([0, 1, 2, 3]))
    assert lengths.tolist() == [1, 3, 3, 7]
    lengths = rule.following(lengths, np.array([1, 0, 3, 2]))
    assert lengths.tolist() == [3, 1, 7, 3]


def test_refusals():
    with pytest.raises(InputError, match="stationary"):
        theory.draft_policies(paper_pair(5), CLOCK)
    with pytest.raises(InputError, match="stationary"):
        simulate_lengths(paper_pair(5), Heuristic(), CLOCK, runs=1, rounds=1)
    with pytest.raises(TooLargeError, match="smaller longest"):
        theory.draft_policies(PAIR, CLOCK, longest=20)
