"""Speculative speculative decoding: the loop against the recursion, and against SimPy's processes."""

import contextlib
import random
from fractions import Fraction

import numpy as np
import pytest
import simpy

from specsim import Clock, InputError, ModelPair, Speculative, paper_pair, random_pair, theory
from specsim.engines.systems.ssd import END, HIT, MISS, simulate_ssd
from specsim.errors import TooLargeError

CLOCK = Clock(draft=0.3, overhead=0.05, token=0.1, free=2)
PAIR = random_pair(contexts=3, horizon=12, seed=4, family="dirichlet")
OTHER = random_pair(contexts=3, horizon=12, seed=5, family="dirichlet")
BACKUP = ModelPair.from_probabilities(
    PAIR.target, OTHER.draft, initial=PAIR.initial, next_context=PAIR.next_context, horizon=12
)


class Devices:
    """A verifier and a drafter that are processes of SimPy and talk through stores.

    The drafter draws the drafts of all guesses, and a process stands for the time that this takes; a hit
    waits for it, a miss interrupts it. Nothing of the library's loop is used.
    """

    def __init__(self, longest, guesses, batch, source):
        self.longest, self.guesses, self.source = longest, guesses, source
        self.target, self.draft, self.backup = (
            np.broadcast_to(rows, (12, *rows.shape[1:])).tolist()
            for rows in (PAIR.target, PAIR.draft, BACKUP.draft)
        )
        self.after = PAIR.next_context.tolist()
        self.texts = [[] for _ in range(batch)]
        self.contexts = source.choices(range(3), PAIR.initial.tolist(), k=batch)
        self.time = simpy.Environment()
        self.ready, self.outcomes = simpy.Store(self.time), simpy.Store(self.time)
        self.hits = []

    def run(self):
        drafter = self.time.process(self.draft_for_all())
        self.time.run(self.time.process(self.verify()))
        assert not drafter.triggered
        return self.texts, self.time.now, self.hits

    def running(self):
        return [lane for lane, text in enumerate(self.texts) if len(text) < 12]

    def line(self, rows, context, place):
        """Return a draft from a context: each token with the row that drew it."""
        found = []
        for at in range(place, min(place + self.longest, 12)):
            row = rows[at][context]
            (token,) = self.source.choices(range(3), row)
            found.append((token, context, row))
            context = self.after[context][token]
        return found, context

    def verify(self):
        while self.running():
            drafts = yield self.ready.get()
            width = max(len(line) for line, _ in drafts.values()) + 1
            yield self.time.timeout(float(CLOCK.target_time(width, len(drafts))))
            keys = {lane: self.verify_one(lane, *drafts[lane]) for lane in drafts}
            if self.running():
                yield self.outcomes.put(keys)
        yield self.time.timeout(float(CLOCK.overhead_time()))

    def verify_one(self, lane, line, last):
        text, final = self.texts[lane], None
        accepted = 0
        for token, context, drawn in line:
            wanted = self.target[len(text)][context]
            if self.source.random() * drawn[token] >= wanted[token]:
                left = [max(t - d, 0.0) for t, d in zip(wanted, drawn, strict=True)]
                (final,) = self.source.choices(range(3), left)
                last = context
                break
            text.append(token)
            accepted += 1
        else:
            if len(text) < 12:
                (final,) = self.source.choices(range(3), self.target[len(text)][last])
        if final is not None:
            text.append(final)
            self.contexts[lane] = self.after[last][final]
        return accepted, final

    def draft_for_all(self):
        hit, cache, keys = False, {}, {}
        while True:
            lanes = self.running()
            if hit:
                drafts = {lane: cache[lane, *keys[lane]] for lane in lanes}
            else:
                steps = max(min(self.longest, 12 - len(self.texts[lane])) for lane in lanes)
                yield self.time.timeout(float(steps * CLOCK.draft_time(1, len(lanes))))
                drafts = {
                    lane: self.line(self.backup, self.contexts[lane], len(self.texts[lane])) for lane in lanes
                }
            starts = {lane: len(self.texts[lane]) for lane in lanes}
            yield self.ready.put(drafts)
            cache, made = self.cache_of(drafts, starts)
            making = self.time.process(self.busy(made))
            keys = yield self.outcomes.get()
            hit = all((lane, *keys[lane]) in cache for lane in self.running())
            self.hits.append(hit)
            if hit:
                yield making
            elif making.is_alive:
                making.interrupt()
            yield self.time.timeout(float(CLOCK.overhead_time(len(lanes))))

    def busy(self, time):
        with contextlib.suppress(simpy.Interrupt):
            yield self.time.timeout(time)

    def cache_of(self, drafts, starts):
        """Return the drafts of all guesses, and the time that it takes to make them."""
        cache, guesses = {}, sum(self.guesses)
        for lane, (line, last) in drafts.items():
            tested = [(token, context) for token, context, _ in line] + [(None, last)]
            for accepted, (verified, context) in enumerate(tested):
                place = starts[lane] + accepted
                if place >= 12:
                    continue
                row = self.draft[place][context]
                others = [token for token in range(3) if token != verified]
                for token in sorted(others, key=lambda t: (-row[t], t))[: self.guesses[accepted]]:
                    key = (lane, accepted, token)
                    cache[key] = self.line(self.draft, self.after[context][token], place + 1)
        least = min(starts.values())
        steps = min(self.longest, 12 - least - 1)
        if not steps or not guesses:
            return cache, 0.0
        width = max(len(line) for line, _ in drafts.values()) + 1
        batch = len(drafts)
        return cache, float(CLOCK.draft_time(width, batch) + steps * CLOCK.draft_time(guesses, batch))


@pytest.mark.parametrize(
    ("longest", "guesses"), [pytest.param(1, (2, 1), marks=pytest.mark.slow), (3, (1, 0, 2, 1))]
)
def test_processes__agree_in_time_hits_and_text(longest, guesses):
    source, runs = random.Random(longest), 600
    found = [Devices(longest, guesses, 1, source).run() for _ in range(runs)]
    times = np.array([time for _, time, _ in found])
    law = theory.ssd_time_law(PAIR, longest, CLOCK, fan_out=guesses, backup=BACKUP)
    assert abs(times.mean() - float(law.mean())) < 4.5 * np.sqrt(float(law.variance()) / runs)
    ticks = np.rint(times / float(law.unit)).astype(int)
    np.testing.assert_allclose(times, ticks * float(law.unit), atol=1e-9)
    shares = np.bincount(ticks, minlength=len(law.law)) / runs
    assert np.abs(shares - law.law).sum() < 4 * np.sqrt(np.count_nonzero(law.law > 1e-4) / runs)
    last = np.bincount([texts[0][-1] for texts, _, _ in found], minlength=3) / runs
    np.testing.assert_allclose(last, theory.target_marginals(PAIR)[-1], atol=0.09)
    hits = sum(sum(hit) for _, _, hit in found) / runs
    counts = theory.ssd_round_counts(PAIR, longest, guesses, backup=BACKUP)
    assert hits == pytest.approx(counts[1].sum(), abs=0.25)
    simulated = simulate_ssd(PAIR, longest, CLOCK, fan_out=guesses, backup=BACKUP, runs=20_000, seed=3)
    assert abs(simulated.mean_time - float(law.mean())) < 4.5 * np.sqrt(float(law.variance()) / 20_000)
    assert simulated.outcomes[:, :, HIT].sum() == simulated.rounds[1].sum()


def test_processes__agree_in_batches():
    source, runs, options = random.Random(8), 300, {"fan_out": (1, 2, 2), "backup": BACKUP}
    found = [Devices(2, (1, 2, 2), 3, source).run() for _ in range(runs)]
    times = np.array([time for _, time, _ in found])
    simulated = simulate_ssd(PAIR, 2, CLOCK, batch=3, runs=20_000, seed=3, **options)
    ours = simulated.ticks * float(simulated.unit)
    assert times.mean() == pytest.approx(ours.mean(), abs=4.5 * ours.std() / np.sqrt(runs))
    assert times.std() == pytest.approx(ours.std(), rel=0.2)
    # One miss makes the backup draft for all, so that fewer rounds are the primary's than were guessed.
    assert simulated.rounds[1].sum() < simulated.outcomes[:, :, HIT].sum()


def test_runs__are_functions_of_seed_and_number():
    options = {"fan_out": 1, "backup": BACKUP, "batch": 2}
    one, three = (
        simulate_ssd(PAIR, 3, CLOCK, runs=5000, seed=5, threads=threads, **options) for threads in (1, 3)
    )
    for name in ("ticks", "rounds", "outcomes", "rejections", "tokens"):
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))
    few = simulate_ssd(PAIR, 3, CLOCK, runs=70, seed=5, **options)
    np.testing.assert_array_equal(few.ticks, one.ticks[:70])
    assert (simulate_ssd(PAIR, 3, CLOCK, runs=70, seed=6, **options).ticks != few.ticks).any()


def test_counts__add_up():
    found = simulate_ssd(PAIR, 4, CLOCK, fan_out=2, runs=1000, seed=1)
    assert (found.tokens.sum(axis=(1, 2)) == 1000).all()
    assert found.rounds.sum() == found.outcomes.sum()
    assert found.outcomes[:, :, END].sum() == 1000
    assert found.rounds[0, 0] == 1000
    assert found.rounds[1].sum() == found.outcomes[:, :, HIT].sum()
    assert found.rounds[0].sum() == 1000 + found.outcomes[:, :, MISS].sum()


def test_nothing_guessed__is_speculative_decoding():
    clock = Clock(draft=0.25, overhead=0.125)
    time = theory.expected_time(PAIR, Speculative(draft_length=3), clock)
    assert theory.expected_ssd_time(PAIR, 3, clock, fan_out=0) == pytest.approx(time)
    found = simulate_ssd(PAIR, 3, clock, fan_out=0, runs=3, seed=1)
    # Every round drafts, verifies and exchanges; one that drafts n tokens takes n / 4 + 1 + 1 / 8.
    assert found.hit_share == 0
    assert found.rounds[1].sum() == 0


def test_everything_guessed__takes_calls_alone():
    clock = Clock(draft=0.1)
    found = simulate_ssd(PAIR, 3, clock, fan_out=3, runs=200, seed=1)
    assert found.hit_share == 1
    # The backup drafts once, three steps of a tenth; a cache takes four.
    assert found.ticks.sum() * float(found.unit) == pytest.approx(found.rounds.sum() + 200 * 0.3)
    slow = simulate_ssd(PAIR, 3, Clock(draft=1), fan_out=3, runs=1, seed=1)
    assert slow.mean_time > found.mean_time


def test_finished_cache__delays_misses_only():
    clock = Clock(draft=1)
    stopped, finished = (
        theory.expected_ssd_time(PAIR, 2, clock, fan_out=1, finishes_cache=finishes) for finishes in (0, 1)
    )
    assert finished > stopped
    assert theory.expected_ssd_time(PAIR, 2, clock, fan_out=3, finishes_cache=True) == pytest.approx(
        theory.expected_ssd_time(PAIR, 2, clock, fan_out=3)
    )


def test_draft_longer_than_the_text__is_cut():
    long, cut = (theory.ssd_round_counts(PAIR, longest, 1) for longest in (30, 12))
    np.testing.assert_allclose(long, cut)
    found = simulate_ssd(PAIR, 30, CLOCK, fan_out=1, runs=20, seed=1)
    assert found.rounds.sum() == simulate_ssd(PAIR, 12, CLOCK, fan_out=1, runs=20, seed=1).rounds.sum()


def test_long_runs__are_the_slope_of_time():
    pair = random_pair(contexts=3, horizon=4, seed=6, family="dirichlet", stationary=True)
    other = random_pair(contexts=3, horizon=4, seed=7, family="dirichlet", stationary=True)
    backup = ModelPair.from_probabilities(pair.target, other.draft, horizon=4)
    clock = Clock(draft=0.4, overhead=0.1, token=0.05)
    options = {"fan_out": (1, 2, 0), "miss_fan_out": 1, "backup": backup, "finishes_cache": True}
    long, short = (
        theory.expected_ssd_time(pair, 2, clock, horizon=horizon, **options) for horizon in (400, 300)
    )
    found = theory.stationary_ssd_speed_up(pair, 2, clock, **options)
    assert found == pytest.approx(100 / (long - short), rel=1e-8)


def test_refusals():
    def refused(match, error=InputError, **options):
        with pytest.raises(error, match=match):
            simulate_ssd(PAIR, 2, options.pop("clock", CLOCK), **{"runs": 1, "seed": 1, **options})

    refused("runs is 0", runs=0)
    refused("seed is -1", seed=-1)
    refused("batch is 0", batch=0)
    refused("fan_out is -1", fan_out=-1)
    refused("fan_out has length 2; give 3", fan_out=(1, 2))
    refused("miss_fan_out is '3'", miss_fan_out="3")
    refused("fan_out\\[1\\] is 0.5", fan_out=(1, 0.5, 1))
    refused("backup is .* the target of", backup=OTHER)
    refused("ranked_by is .* the target of", ranked_by=paper_pair(12))
    refused("clock is 3", clock=3)
    refused("depends on the length", clock=Clock(context=0.1), batch=2)
    refused("round the costs", TooLargeError, clock=Clock(draft=Fraction(1, 10**30 + 1)))
    refused("use less", TooLargeError, batch=2**20)
    with pytest.raises(TooLargeError, match="round the costs"):
        theory.ssd_time_law(PAIR, 2, Clock(draft=1 + Fraction(1, 10**9 + 7)))
    with pytest.raises(TooLargeError, match="smaller pair"):
        theory.enumerate_ssd(paper_pair(50), 2, 1)
    with pytest.raises(InputError, match="another target"):
        theory.expected_ssd_time(PAIR, 2, CLOCK, backup=OTHER)
    with pytest.raises(InputError, match="stationary"):
        theory.stationary_ssd_speed_up(PAIR, 2, CLOCK)
    stationary = random_pair(contexts=3, horizon=4, seed=6, family="dirichlet", stationary=True)
    with pytest.raises(InputError, match="depends on the length"):
        theory.stationary_ssd_speed_up(stationary, 2, Clock(context=0.1))
    with pytest.raises(TooLargeError, match="batch of 9"):
        theory.ssd_rounds(stationary, 2, 1, batch=9)
