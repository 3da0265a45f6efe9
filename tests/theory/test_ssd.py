"""Speculative speculative decoding: the renewal identity against two clocks that run round by round."""

import random

import numpy as np
import pytest

from specsim import InputError, Speculative, cache_favouring_draft, paper_pair, random_pair, theory
from specsim.validation.claims.ssd_cache import fours

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


def test_hits__of_the_reference_rows():
    assert theory.ssd_rounds(fours(), 2, 1).hit == pytest.approx(0.12675)
    assert theory.ssd_rounds(fours(), 2, 2).hit == pytest.approx(0.642875)
    hits = [
        theory.ssd_rounds(cache_favouring_draft(fours(), size=2, factor=factor), 2, 2, ranked_by=fours()).hit
        for factor in (1, 0.5, 0.2)
    ]
    assert np.round(hits, 3).tolist() == [0.643, 0.569, 0.474]


def test_fan_outs__sum_over_places():
    table = theory.fan_out_hits(PAIR, 3)
    assert table.shape == (4, 5)
    split = (1, 0, 3, 2)
    share = sum(table[place, count] for place, count in enumerate(split))
    assert theory.ssd_rounds(PAIR, 3, split).hit == pytest.approx(share)
    assert (np.diff(table, axis=1) > -1e-12).all()
    # More guesses than tokens are worth nothing, and more than can be made are not.
    assert sum(theory.best_fan_out(PAIR, 3, 99)) <= 16
    assert theory.best_fan_out(PAIR, 3, 0) == (0, 0, 0, 0)


def test_geometric_fan_out__is_least_for_a_power_of_misses():
    found = theory.geometric_fan_out(0.7, 3, 20.0, 0.5)
    weights = 0.7 ** np.arange(4.0) * [0.3, 0.3, 0.3, 1]
    source = np.random.default_rng(1)
    others = source.dirichlet(np.ones(4), 2000) * 20
    assert found.sum() == pytest.approx(20)
    assert (weights @ found**-0.5 <= (others**-0.5) @ weights + 1e-12).all()
    assert theory.whole_fan_out(found) == (6, 4, 4, 6)


def test_refusals():
    with pytest.raises(InputError, match="acceptance is 1"):
        theory.geometric_fan_out(1, 2, 3, 1)
    with pytest.raises(InputError, match="budget is -1"):
        theory.best_fan_out(PAIR, 2, -1)
    with pytest.raises(InputError, match="stationary"):
        theory.best_fan_out(paper_pair(5), 2, 3)
    with pytest.raises(InputError, match="factor is nan"):
        cache_favouring_draft(PAIR, size=1, factor=float("nan"))
    with pytest.raises(InputError, match="outside its 4 likeliest tokens"):
        cache_favouring_draft(PAIR, size=4, factor=0)
    with pytest.raises(InputError, match="stationary"):
        theory.ssd_rounds(paper_pair(5), 2, 1)
    with pytest.raises(InputError, match="fan_out is -1"):
        theory.ssd_rounds(PAIR, 2, -1)
    with pytest.raises(InputError, match="at least 0"):
        theory.ssd_rounds(PAIR, 2, 1).speed_up(-1, 0)
