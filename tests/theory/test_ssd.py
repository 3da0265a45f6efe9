"""Speculative speculative decoding: the renewal identity against two clocks that run round by round."""

import random

import pytest

from specsim import InputError, Speculative, paper_pair, random_pair, theory

PAIR = random_pair(contexts=4, horizon=9, seed=6, family="dirichlet", stationary=True)


def run(pair, longest, guesses, primary, backup, rounds, source):
    """Return hits per round and tokens per time of one long run, drawn token by token."""
    target, draft, after = pair.target[0].tolist(), pair.draft[0].tolist(), pair.next_context.tolist()
    here, time, tokens, hits, ready = 0, 0.0, 0, 0, False
    for _ in range(rounds):
        time += max(1.0, primary) if ready else 1 + backup
        for _ in range(longest):
            token = source.choices(range(pair.tokens), draft[here])[0]
            if source.random() * draft[here][token] >= target[here][token]:
                left = [max(t - d, 0.0) for t, d in zip(target[here], draft[here], strict=True)]
                final, verified = source.choices(range(pair.tokens), left)[0], token
                break
            here, tokens = after[here][token], tokens + 1
        else:
            final, verified = source.choices(range(pair.tokens), target[here])[0], None
        ranked = sorted(range(pair.tokens), key=lambda token: (-draft[here][token], token))
        ready = final in [token for token in ranked if token != verified][:guesses]
        hits += ready
        here, tokens = after[here][final], tokens + 1
    return hits / rounds, tokens / time


@pytest.mark.parametrize(("longest", "guesses"), [(3, 1), (2, 2)])
def test_clocks__agree(longest, guesses):
    found = theory.ssd_rounds(PAIR, longest, guesses)
    hit, speed = run(PAIR, longest, guesses, 0.8, 0.3, 40_000, random.Random(longest))
    assert hit == pytest.approx(found.hit, abs=0.015)
    assert speed == pytest.approx(found.speed_up(0.8, 0.3), rel=0.02)


def test_limits():
    everything, nothing = theory.ssd_rounds(PAIR, 3, 4), theory.ssd_rounds(PAIR, 3, 0)
    assert everything.hit == pytest.approx(1)
    assert nothing.hit == 0
    tokens = theory.stationary_block_efficiency(PAIR, Speculative(draft_length=3))
    assert everything.speed_up(1, 0.5) == pytest.approx(tokens)
    assert nothing.speed_up(1, 0.5) == pytest.approx(tokens / 1.5)


def test_refusals():
    with pytest.raises(InputError, match="stationary"):
        theory.ssd_rounds(paper_pair(5), 2, 1)
    with pytest.raises(InputError, match="fan_out is -1"):
        theory.ssd_rounds(PAIR, 2, -1)
    with pytest.raises(InputError, match="at least 0"):
        theory.ssd_rounds(PAIR, 2, 1).speed_up(-1, 0)
