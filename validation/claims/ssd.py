"""What is stated about speculative speculative decoding: its text and time, hits, bounds, batches, misses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np

from specsim import Clock, ModelPair, Speculative, random_pair
from specsim.validation.assertions import Assertion, MeanTest, ProbabilityTest
from specsim.validation.claims_model import (
    Claim,
    Comparison,
    ExactCheck,
    StatisticalCheck,
    Verdict,
    counterexample,
    equal,
    near,
)
from specsim.validation.instances import FOUR_TOKENS, THIRDS, row_pair, thirds
from specsim.validation.mutants.model import Mutant, defined, mutant
from specsim.validation.mutants.theories import formula
from specsim.validation.running.effort import Effort
from specsim.validation.systems import (
    SystemRequest,
    assert_mean_time,
    compare_times,
    distance,
    simulating,
    text_law,
)
from specsim.validation.witnesses import Witnesses

ROUNDING = 1e-9
#: The call is longer than making the cache in some rounds and shorter in others, and the start matters.
CLOCK = Clock(
    draft=Fraction(2, 5), overhead=Fraction(1, 10), token=Fraction(1, 10), free=2, context=Fraction(1, 10)
)
BACKUP_CLOCK = Clock(draft=Fraction(1, 5))
#: Distance of the text from the target with greedy misses: thirds, 3 tokens.
GREEDY_THIRDS = Fraction(5, 27)


def _request(pair: ModelPair, longest: int, clock: Clock, options: dict[str, Any]) -> SystemRequest:
    return SystemRequest(
        pair=pair,
        algorithm=Speculative(draft_length=longest),
        loop="simulate_ssd",
        arguments=(pair, longest, clock),
        options=options,
        system=f"two devices, {longest} drafted, {', '.join(options)}",
    )


def other_draft(pair: ModelPair, rows: Any, name: str) -> ModelPair:
    """Return the pair with other draft rows."""
    return ModelPair.from_probabilities(
        pair.target, rows, initial=pair.initial, next_context=pair.next_context, horizon=pair.horizon,
        name=name,
    )  # fmt: skip


def small_systems() -> Iterator[tuple[str, ModelPair, int, dict[str, Any]]]:
    """Yield systems that are small enough to enumerate: a name, a pair, the draft length and the options."""
    pair = random_pair(contexts=2, horizon=4, family="uniform", seed=731)
    yield "one fan-out", pair, 1, {"fan_out": 1}
    backup = other_draft(pair, pair.draft[::-1], "backup")
    yield "a backup", pair, 2, {"fan_out": (1, 0, 1), "miss_fan_out": (0, 1, 1), "backup": backup}
    wide = random_pair(contexts=3, horizon=3, family="dirichlet", seed=732)
    ranked = other_draft(wide, wide.target[:, ::-1], "ranks")
    yield "other ranks", wide, 1, {"fan_out": (1, 2), "ranked_by": ranked}
    uniform = other_draft(wide, np.full(wide.draft.shape, 1 / 3), "uniform")
    yield "a random backup", wide, 1, {"fan_out": (2, 1), "backup": uniform}


def _time(outcome: Any, longest: int, horizon: int, options: dict[str, Any], finishes: bool) -> Fraction:
    """Return the time of an outcome, round by round, by `CLOCK`, of which the backup drafts by its own."""
    total = Fraction(0)
    hit_guesses = options["fan_out"]
    miss_guesses = options.get("miss_fan_out", hit_guesses)
    for number, (who, start) in enumerate(outcome.rounds):
        drafted = min(longest, horizon - start)
        if number == 0:
            total += drafted * BACKUP_CLOCK.draft_time(1, 1, 0)
        call = CLOCK.target_time(drafted + 1, 1, start)
        counts = hit_guesses if who else miss_guesses
        guesses = counts * (longest + 1) if isinstance(counts, int) else sum(counts)
        steps = min(longest, horizon - start - 1)
        made = (CLOCK.draft_time(drafted + 1, 1, start) if steps else 0) + steps * CLOCK.draft_time(
            guesses, 1, start
        )
        last = number + 1 == len(outcome.rounds)
        if last:
            total += call
        elif outcome.rounds[number + 1][0]:
            total += max(call, made)
        else:
            following = outcome.rounds[number + 1][1]
            total += max(call, made) if finishes else call
            total += min(longest, horizon - following) * BACKUP_CLOCK.draft_time(1, 1, following)
        total += CLOCK.overhead_time()
    return total


def _text_and_time(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for number, (name, pair, longest, options) in enumerate(small_systems()):
        where = f"{name}, {longest} drafted, {pair.name}"
        guessing = {key: value for key, value in options.items() if key != "fan_out"}
        law = theory.enumerate_ssd(pair, longest, options["fan_out"], **guessing)
        output = text_law(law, pair.tokens, pair.horizon)
        counts = np.full((2, pair.horizon), Fraction(0), dtype=object)
        times: dict[Fraction, Fraction] = defaultdict(Fraction)
        finishes = number % 2 == 1
        for outcome, probability in law.items():
            times[_time(outcome, longest, pair.horizon, options, finishes)] += probability
            for who, start in outcome.rounds:
                counts[who, start] += probability
        yield equal(f"law of the text, {where}", output, list(theory.target_law(pair, exact=True)))
        found = theory.ssd_round_counts(pair, longest, options["fan_out"], **guessing, exact=True)
        yield equal(f"rounds, {where}", found.ravel().tolist(), counts.ravel().tolist())
        timing = options | {"backup_clock": BACKUP_CLOCK, "finishes_cache": finishes, "exact": True}
        timed = theory.ssd_time_law(pair, longest, CLOCK, **timing)
        yield from compare_times(timed, times, where)
        mean = sum(time * probability for time, probability in times.items())
        yield equal(f"E[time], {where}", theory.expected_ssd_time(pair, longest, CLOCK, **timing), mean)


def _simulated(witnesses: Witnesses, effort: Effort) -> Iterator[Assertion]:
    theory = witnesses.theory
    pair = random_pair(contexts=4, horizon=12, family="dirichlet", seed=733)
    other = random_pair(contexts=4, horizon=12, family="dirichlet", seed=734)
    for options in (
        {"fan_out": (2, 1, 0, 1), "miss_fan_out": (0, 1, 2, 1), "backup_clock": BACKUP_CLOCK,
         "backup": other_draft(pair, other.draft, "backup")},
        {"fan_out": 1, "finishes_cache": True, "ranked_by": other_draft(pair, other.target, "ranks")},
    ):  # fmt: skip
        request = _request(pair, 3, CLOCK, options)
        law = theory.ssd_time_law(pair, 3, CLOCK, **options)
        mean = float(theory.expected_ssd_time(pair, 3, CLOCK, **options))
        yield assert_mean_time(request, law, mean, effort)
        guessing = {
            key: value for key, value in options.items() if key in ("miss_fan_out", "backup", "ranked_by")
        }
        for name, expected, observe in (
            ("tokens by position", theory.target_marginals(pair), lambda runs: runs.tokens.sum(axis=1)),
            (
                "rounds by who drafted and start",
                theory.ssd_round_counts(pair, 3, options["fan_out"], **guessing),
                lambda runs: runs.rounds,
            ),
        ):
            yield Assertion(
                label=f"{name}, {request.label}",
                request=request,
                test=ProbabilityTest(np.asarray(expected)),
                observe=observe,
                discrepancy=0.04 * effort.discrepancy_factor,
            )


def _round(
    pair: ModelPair,
    start: int,
    guesses: Sequence[int],
    draft: list[list[float]] | None = None,
    room: int = 1000,
) -> Iterator[tuple[bool, int, int, float]]:
    """Yield, for every draft and coin of a round: hit, the next context, emitted tokens, probability.

    guesses: fan-outs by accepted tokens. draft: rows that the tokens are drawn from. room: positions left.
    """
    target, ranked, after = pair.target[0].tolist(), pair.draft[0].tolist(), pair.next_context.tolist()
    draft = ranked if draft is None else draft
    longest = min(len(guesses) - 1, room)

    def guessed(context: int, without: int, accepted: int) -> list[int]:
        others = [token for token in range(pair.tokens) if token != without]
        likely = sorted(others, key=lambda token: (-ranked[context][token], token))
        return likely[: guesses[accepted]]

    for drafted in product(range(pair.tokens), repeat=longest):
        here, alive, accepted = start, 1.0, 0
        # The draft is drawn as a whole, before any test.
        for token in drafted:
            alive, here = alive * draft[here][token], after[here][token]
        here = start
        for token in drafted:
            wanted, drawn = target[here], draft[here]
            kept = min(1.0, wanted[token] / drawn[token]) if drawn[token] else 0.0
            excess = [max(t - d, 0.0) for t, d in zip(wanted, drawn, strict=True)]
            for other in range(pair.tokens):
                if kept < 1 and excess[other]:
                    mass = alive * (1 - kept) * excess[other] / sum(excess)
                    yield other in guessed(here, token, accepted), after[here][other], accepted + 1, mass
            alive, here, accepted = alive * kept, after[here][token], accepted + 1
        if room == longest:
            yield False, here, accepted, alive
            continue
        for other, chance in enumerate(target[here]):
            yield other in guessed(here, -1, accepted), after[here][other], accepted + 1, alive * chance


def _enumerated(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for seed in range(effort.pick(quick=2, standard=6, deep=30)):
        pair = random_pair(contexts=3, horizon=4, family="dirichlet", seed=720 + seed, stationary=True)
        for longest, guesses in ((1, 1), (3, 1), (2, 2)):
            moves, emitted = np.zeros((2, 3, 3)), np.zeros(3)
            for start in range(3):
                for hit, context, tokens, mass in _round(pair, start, [guesses] * (longest + 1)):
                    moves[int(hit), start, context] += mass
                    emitted[start] += tokens * mass
            begin = np.linalg.matrix_power(moves.sum(axis=0), 4096)[0]
            where = f"{longest} drafted, {guesses} guessed, {pair.name}"
            found = theory.ssd_rounds(pair, longest, guesses)
            hits, misses = begin @ moves[1], begin @ moves[0]
            yield near(f"hits, {where}", found.hit, hits.sum(), ROUNDING)
            yield near(f"tokens after hits, {where}", found.after_hit, hits @ emitted / hits.sum(), ROUNDING)
            yield near(
                f"tokens after misses, {where}", found.after_miss, misses @ emitted / misses.sum(), ROUNDING
            )
            algorithm = Speculative(draft_length=longest)
            yield near(
                f"tokens per round, {where}",
                found.tokens,
                float(theory.stationary_block_efficiency(pair, algorithm)),
                ROUNDING,
            )
            # Without a cache every round waits: it is speculative decoding.
            none = theory.ssd_rounds(pair, longest, 0).speed_up(0.0, 0.2 * longest)
            plain = theory.stationary_speed_up(pair, algorithm, Clock(draft=Fraction(1, 5)))
            yield near(f"nothing guessed, {where}", none, plain, ROUNDING)
            everything = theory.ssd_rounds(pair, longest, 3).speed_up(1.5, 0.2)
            yield near(f"all guessed, {where}", everything, found.tokens / 1.5, ROUNDING)


def contrast(hits_are_good: bool) -> ModelPair:
    """Return a chain of a good context, where all is accepted, and a bad one; hits lead to one of them."""
    bad_token, bad_row = (1, [0.0, 1.0, 0.0]) if hits_are_good else (0, [1.0, 0.0, 0.0])
    good_row = [0.5, 0.5, 0.0]
    to = [1 if token == bad_token else 0 for token in range(3)]
    return ModelPair.from_probabilities(
        [[good_row, [0.0, 0.0, 1.0]]],
        [[good_row, bad_row]],
        initial=[1.0, 0.0],
        next_context=np.array([to, to]),
        horizon=4,
        name=f"hits lead to {'the good' if hits_are_good else 'the bad'} context",
    )


def _two_sided(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    time = Fraction(1, 2)
    for good, name in ((True, "lower"), (False, "upper")):
        found = witnesses.theory.ssd_rounds(contrast(good), 1, 1)
        hit, after_hit, tokens = (
            Fraction(value).limit_denominator(1000) for value in (found.hit, found.after_hit, found.tokens)
        )
        yield equal(
            f"hits and tokens, {name}", [hit, after_hit, tokens], [Fraction(1, 5), 1 + good, Fraction(9, 5)]
        )
        speed = Fraction(found.speed_up(0.5, 0.5)).limit_denominator(1000)
        gain = speed * (1 + time) / tokens
        scale = (1 + time) / (1 + time * (1 - hit)) if good else 1 + time
        bound = scale * after_hit / tokens
        yield counterexample(
            f"{name} bound, one drafted, one guessed, drafting takes half a call",
            gain < bound if good else gain > bound,
            f"hits {hit}, {after_hit} tokens after a hit and {tokens} on average: the gain over speculative "
            f"decoding is {gain} = {float(gain):.4f}, the {name} bound {bound} = {float(bound):.4f}",
            printed=bound,
            exact=gain,
        )


def batch_times(
    pair: ModelPair, longest: int, guesses: int, backup: ModelPair, clock: Clock, batch: int
) -> dict[Fraction, float]:
    """Return the law of the time of a batch of a stationary pair, from the rounds of all its sequences."""
    horizon, done = pair.horizon, {}
    fan_outs = [guesses] * (longest + 1)
    # Where each sequence is, who drafts, and the time so far.
    states: dict[Any, float] = defaultdict(float)
    first = longest * clock.draft_time(1, batch)
    for contexts in product(range(pair.contexts), repeat=batch):
        chance = float(np.prod([pair.initial[context] for context in contexts]))
        states[tuple((0, context) for context in contexts), 0, first] += chance
    law: dict[Fraction, float] = defaultdict(float)
    while states:
        after: dict[Any, float] = defaultdict(float)
        for (lanes, who, time), chance in states.items():
            running = [lane for lane in lanes if lane[0] < horizon]
            least = min(place for place, _ in running)
            drafted, steps = min(longest, horizon - least), min(longest, horizon - least - 1)
            call = clock.target_time(drafted + 1, len(running))
            made = steps and clock.draft_time(drafted + 1, len(running)) + steps * clock.draft_time(
                guesses * (longest + 1), len(running)
            )
            for lane in running:
                key = (lane, who)
                if key not in done:
                    found: dict[Any, float] = defaultdict(float)
                    rows = (backup, pair)[who].draft[0].tolist()
                    for hit, context, tokens, mass in _round(
                        pair, lane[1], fan_outs, rows, horizon - lane[0]
                    ):
                        place = lane[0] + tokens
                        found[(place, context if place < horizon else 0), hit or place == horizon] += mass
                    done[key] = found
            for moves in product(*(done[lane, who].items() for lane in running)):
                mass = float(np.prod([value for _, value in moves]))
                new = [lane for (lane, _), _ in moves if lane[0] < horizon]
                spent = time + call + clock.overhead_time(len(running))
                if not new:
                    law[spent] += chance * mass
                    continue
                all_hit = all(hit for (_, hit), _ in moves)
                if all_hit:
                    spent += max(made - call, 0)
                else:
                    spent += min(longest, horizon - min(new)[0]) * clock.draft_time(1, len(new))
                after[tuple(sorted(new)), int(all_hit), spent] += chance * mass
        states = after
    return dict(law)


def _batches(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    pair = random_pair(contexts=3, horizon=4, family="dirichlet", seed=735, stationary=True)
    alone = theory.ssd_rounds(pair, 2, 2)
    for batch in (2, 3):
        together = theory.ssd_rounds(pair, 2, 2, batch=batch)
        yield near(
            f"all hit, batch {batch}, one draft, {pair.name}", together.hit, alone.hit**batch, ROUNDING
        )
        yield near(f"tokens, batch {batch}, one draft, {pair.name}", together.tokens, alone.tokens, ROUNDING)
    target, draft = FOUR_TOKENS
    rows = row_pair(tuple(map(float, target)), tuple(map(float, draft)), horizon=4, name="fours")
    uniform = other_draft(rows, [[0.25] * 4], "uniform")
    after_hit, after_miss = (
        sum(mass for hit, _, _, mass in _round(rows, 0, [2, 2, 2], drafter.draft[0].tolist()) if hit)
        for drafter in (rows, uniform)
    )
    for batch in (1, 2, 4):
        found = theory.ssd_rounds(rows, 2, 2, backup=uniform, batch=batch).hit
        expected = after_miss**batch / (1 - after_hit**batch + after_miss**batch)
        yield near(f"all hit, batch {batch}, a random backup, fours", found, expected, ROUNDING)
    one, four = (theory.ssd_rounds(rows, 2, 2, backup=uniform, batch=batch).hit for batch in (1, 4))
    yield counterexample(
        "batch of 4, a backup that drafts at random, 2 drafted, 2 guessed, draft (.20, .45, .10, .25) and "
        "target (.50, .30, .15, .05)",
        abs(four - one**4) > 1e-3,
        f"the outcome of one sequence alone is guessed in {one:.6f} of the rounds, that of all four in "
        f"{four:.6f}, not in {one**4:.6f}: sequences that hit together were drafted by one speculator",
        printed=f"{one**4:.6f}",
        exact=f"{four:.6f}",
    )


def _backups(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    # Zipf's law, and a draft that has every second token too often.
    target = 1 / np.arange(1.0, 65)
    draft = target * np.exp(0.5 * (-1.0) ** np.arange(64))
    pair = row_pair(tuple(target / target.sum()), tuple(draft / draft.sum()), horizon=4, name="Zipf")
    random_backup = {
        "backup": other_draft(pair, np.full((1, 64), 1 / 64), "uniform"),
        "backup_clock": Clock(),
    }
    speeds = {
        (batch, name): witnesses.theory.stationary_ssd_speed_up(
            pair, 4, Clock(draft=Fraction(1, 10)), fan_out=8, batch=batch, **options
        )
        for batch in (1, 12)
        for name, options in (("good", {}), ("random", random_backup))
    }
    yield counterexample(
        "Zipf's law with 64 tokens, 4 drafted, 8 guessed, a draft step of 1/10",
        speeds[1, "random"] > speeds[1, "good"] and speeds[12, "random"] < speeds[12, "good"],
        f"alone, a sequence is {speeds[1, 'random']:.4f} times as fast as plain decoding with a backup that "
        f"drafts at random, and {speeds[1, 'good']:.4f} times with the primary just in time; in a batch of "
        f"12, {speeds[12, 'random']:.4f} and {speeds[12, 'good']:.4f} times",
        printed="the random backup for the large batch",
        exact="the random backup for one sequence",
    )


def _batch_simulated(witnesses: Witnesses, effort: Effort) -> Iterator[Assertion]:
    pair = random_pair(contexts=2, horizon=5, family="uniform", seed=736, stationary=True)
    backup = other_draft(pair, pair.draft[:, ::-1], "backup")
    clock = Clock(draft=Fraction(2, 5), overhead=Fraction(1, 10), token=Fraction(1, 10))
    law = batch_times(pair, 1, 1, backup, clock, 3)
    times = np.array([float(time) for time in law])
    mean = float(times @ np.array(list(law.values())))
    request = _request(pair, 1, clock, {"fan_out": 1, "backup": backup, "batch": 3})
    unit = 0.1
    yield Assertion(
        label=f"mean time of a batch of 3, {request.label}",
        request=request,
        test=MeanTest(
            mean=mean / unit,
            variance=float((times - mean) ** 2 @ np.array(list(law.values()))) / unit**2,
            low=0.0,
            high=float(times.max()) / unit,
            unit="tenths of a target call",
        ),
        observe=lambda runs: round(float(runs.ticks.sum()) * float(runs.unit) / unit),
        discrepancy=0.3 / unit * effort.discrepancy_factor,
    )


def _greedy_misses(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for name, (target, draft) in (("thirds", THIRDS), ("fours", FOUR_TOKENS)):
        tokens, best = len(target), max(target)
        pair = theory.RationalPair.independent(list(target), list(draft), horizon=1)
        uniform = theory.RationalPair.independent(list(target), [Fraction(1, tokens)] * tokens, horizon=1)
        law = theory.enumerate_ssd(pair, 1, 1, backup=uniform, greedy_miss=True)
        written = text_law(law, tokens, 1)
        found = distance(written, list(target))
        bias = (1 - best) / tokens
        yield counterexample(
            f"{name}, a backup that drafts at random, first token",
            found == bias,
            f"the likeliest token is written with {max(written)} instead of {best}: {found}, that is "
            "(1 - max T) / V, from the target in total variation",
            printed=0,
            exact=found,
        )
    pair, uniform = (
        thirds(3),
        theory.RationalPair.independent(list(THIRDS[0]), [Fraction(1, 2)] * 2, horizon=3),
    )
    law = theory.enumerate_ssd(pair, 1, 1, backup=uniform, greedy_miss=True)
    found = distance(text_law(law, 2, 3), list(theory.target_law(pair, exact=True)))
    yield counterexample(
        "draft (2/3, 1/3), target (1/3, 2/3), 3 tokens, 1 drafted, 1 guessed",
        found == GREEDY_THIRDS,
        f"the law of the text is {found} from the target's in total variation",
        printed=0,
        exact=found,
    )


@mutant(formula("ssd_rounds"), cite="a hit rate and lengths taken for independent")
def theory_ssd_alike_after_hits(theory: Any, *arguments: Any, **options: Any) -> Any:
    """Rounds after hits and after misses emit alike."""
    found = theory.ssd_rounds(*arguments, **options)
    return replace(found, after_hit=found.tokens, after_miss=found.tokens)


@mutant(formula("ssd_rounds"), cite="2603.03251: the token that is verified is no guess")
def theory_ssd_guesses_one_more(
    theory: Any, pair: Any, draft_length: int, fan_out: int, **options: Any
) -> Any:
    """One token more is guessed than the fan-out says."""
    return theory.ssd_rounds(pair, draft_length, fan_out + 1, **options)


@mutant(formula("ssd_rounds"), cite="2603.03251, batches: p_hit^b, as secondary sources report it")
def theory_ssd_batch_is_a_power(theory: Any, *arguments: Any, batch: int = 1, **options: Any) -> Any:
    """All sequences of a batch are guessed with the power of what one alone is."""
    found = theory.ssd_rounds(*arguments, **options)
    return replace(found, hit=found.hit**batch)


@mutant(formula("stationary_ssd_speed_up"), cite="a hit rate counted by sequence in logs of batches")
def theory_ssd_batch_is_one(theory: Any, *arguments: Any, **options: Any) -> Any:
    """A sequence of a batch waits for no other."""
    return theory.stationary_ssd_speed_up(*arguments, **{**options, "batch": 1})


@mutant(formula("ssd_round_counts"), cite="a backup taken for the primary, just in time")
def theory_ssd_one_speculator(theory: Any, *arguments: Any, **options: Any) -> Any:
    """The backup drafts with the rows of the primary."""
    return theory.ssd_round_counts(*arguments, **{**options, "backup": None})


@mutant(formula("expected_ssd_time"), cite="one device for both models")
def theory_ssd_never_ahead(theory: Any, *arguments: Any, fan_out: Any = 3, **options: Any) -> Any:
    """Nothing is drafted ahead."""
    kept = {name: value for name, value in options.items() if name != "miss_fan_out"}
    return theory.expected_ssd_time(*arguments, fan_out=0, **kept)


@mutant(formula("expected_ssd_time"), cite="2603.03251, Theorem 7: max(1, T_p)")
def theory_ssd_cache_is_free(theory: Any, *arguments: Any, **options: Any) -> Any:
    """No round waits for the cache."""
    pair, longest, clock = arguments
    backup_clock = options.get("backup_clock") or clock
    free = replace(clock, draft=0)
    return theory.expected_ssd_time(pair, longest, free, **{**options, "backup_clock": backup_clock})


@mutant(formula("enumerate_ssd"), cite="a repair that is taken for granted")
def theory_ssd_misses_verified(theory: Any, *arguments: Any, **options: Any) -> Any:
    """Drafts of the backup are verified as the primary's are."""
    return theory.enumerate_ssd(*arguments, **{**options, "greedy_miss": False})


@mutant(formula("enumerate_ssd"), cite="tanishqkumar/ssd, 6ed3022, ssd/utils/verify.py: misses")
def theory_ssd_greedy_on_misses(theory: Any, *arguments: Any, **options: Any) -> Any:
    """Drafts of the backup are accepted where they are the target's likeliest token."""
    return theory.enumerate_ssd(*arguments, **{**options, "greedy_miss": True})


@mutant(simulating("simulate_ssd"), cite="2603.03251: the token that is verified is no guess")
def ssd_verified_token_is_a_guess(simulate: Any, *arguments: Any, **options: Any) -> Any:
    """The token that is being verified takes one of the guesses after each rejection."""
    for name in {"fan_out", "miss_fan_out"} & options.keys():
        counts = options[name]
        counts = [counts] * (arguments[1] + 1) if isinstance(counts, int) else list(counts)
        options[name] = [max(count - 1, 0) for count in counts[:-1]] + counts[-1:]
    return simulate(*arguments, **options)


@mutant(simulating("simulate_ssd"), cite="a backup that is configured and never called")
def ssd_backup_ignored(simulate: Any, *arguments: Any, **options: Any) -> Any:
    """The primary drafts after misses, too."""
    return simulate(*arguments, **{**options, "backup": None})


@mutant(simulating("simulate_ssd"), cite="ranks of the row that was drafted with")
def ssd_ranks_of_the_pair(simulate: Any, *arguments: Any, **options: Any) -> Any:
    """Guesses are the likeliest tokens of the row that is drafted with."""
    return simulate(*arguments, **{**options, "ranked_by": None})


@mutant(simulating("simulate_ssd"), cite="a batch whose sequences do not wait for one another")
def ssd_batch_redrafts_misses_alone(simulate: Any, *arguments: Any, **options: Any) -> Any:
    """In a batch a sequence that was guessed keeps its draft, and waits for nobody."""
    return simulate(*arguments, **{**options, "batch": 1})


CLAIMS = (
    Claim(
        id="specsim.ssd-time",
        title="Speculative speculative decoding emits the target's law, and its time is a walk",
        statement=(
            "With drafts tested against the rows that they were drawn from, the text has the target's law, "
            "whatever is guessed and whoever drafts; the time, by who drafted, start and what became of the "
            "outcome, has the law of a walk over emitted tokens, who drafted and context. Enumeration of "
            "every draft and coin, recursion and simulation agree."
        ),
        source="2603.03251; docs/systems.md",
        verdict=Verdict.HOLDS,
        checks=(ExactCheck("enumeration", _text_and_time), StatisticalCheck("simulation", _simulated)),
        mutants=(
            "theory-ssd-one-speculator",
            "theory-ssd-never-ahead",
            "theory-ssd-cache-is-free",
            "theory-ssd-greedy-on-misses",
            "ssd-verified-token-is-a-guess",
            "ssd-backup-ignored",
            "ssd-ranks-of-the-pair",
        ),
    ),
    Claim(
        id="specsim.ssd-renewal",
        title="Speculative speculative decoding as a renewal identity",
        statement=(
            "With p the share of guessed outcomes and E_hit, E_miss the tokens of rounds after hits and "
            "misses, all averages of long runs, the speed-up is (p E_hit + (1 - p) E_miss) / "
            "(p max(1, T_p) + (1 - p) (1 + T_b)); all three follow from matrices between "
            "contexts, and if both drafters draw from the same rows the tokens per "
            "round are those of speculative decoding."
        ),
        source="2603.03251, Theorem 7, as secondary sources report it",
        verdict=Verdict.HOLDS,
        checks=(ExactCheck("every draft and coin of a round", _enumerated),),
        mutants=("theory-ssd-alike-after-hits", "theory-ssd-guesses-one-more"),
    ),
    Claim(
        id="specsim.ssd-two-sided-bound",
        title="The two-sided bound of the gain over speculative decoding",
        statement=(
            "The gain lies between (1 + T) / (1 + T (1 - p)) E_hit / E_SD and (1 + T) E_hit / E_SD, where "
            "both drafters take T."
        ),
        source="2603.03251, Corollary 9, as secondary sources report it",
        verdict=Verdict.FAILS,
        checks=(ExactCheck("hits that lead to good and to bad contexts", _two_sided),),
        mutants=("theory-ssd-alike-after-hits",),
    ),
    Claim(
        id="specsim.ssd-batch",
        title="All b sequences of a batch are guessed with probability p^b",
        statement="Where one outcome is guessed with probability p, those of a batch are with p^b.",
        source="2603.03251, as secondary sources report it",
        verdict=Verdict.CONDITION,
        condition="primary and backup draw from the same rows; the sequences are then independent",
        checks=(
            ExactCheck("one draft; a backup that drafts at random", _batches),
            StatisticalCheck("simulation of a batch", _batch_simulated),
        ),
        mutants=("theory-ssd-batch-is-a-power", "ssd-batch-redrafts-misses-alone"),
    ),
    Claim(
        id="specsim.ssd-batch-backup",
        title="A good backup is for small batches, a fast one for large batches",
        statement="Of two backups of which each is faster at some batch sizes, the good one is at the small.",
        source="2603.03251, as secondary sources report it",
        verdict=Verdict.FAILS,
        checks=(ExactCheck("Zipf's law", _backups),),
        mutants=("theory-ssd-batch-is-one",),
    ),
    Claim(
        id="specsim.ssd-greedy-miss",
        title="Misses that are verified greedily emit the target's law",
        statement=(
            "Where the backup drafts at random, a token is accepted if it is the target's likeliest one, and "
            "otherwise replaced by a draw from the target; the engine is described as exact."
        ),
        source="2603.03251; tanishqkumar/ssd, commit 6ed3022, ssd/utils/verify.py, with --backup fast",
        verdict=Verdict.FAILS,
        checks=(ExactCheck("a backup that drafts at random", _greedy_misses),),
        mutants=("theory-ssd-misses-verified",),
    ),
)

MUTANTS: tuple[Mutant, ...] = defined(globals())
