"""What is stated about drafting over fewer tokens: loss, acceptance, the best number of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Any

from specsim import (
    BlockVerification,
    DrafterCosts,
    ModelPair,
    Speculative,
    random_pair,
    restricted_vocabulary,
)
from specsim.algorithms import Algorithm
from specsim.clocks import to_ticks
from specsim.validation.assertions import Assertion, MeanTest, SimulationRequest
from specsim.validation.builders import lossless_check
from specsim.validation.claims_model import (
    Claim,
    Comparison,
    ExactCheck,
    StatisticalCheck,
    Verdict,
    counterexample,
    decided,
    equal,
)
from specsim.validation.instances import tiny
from specsim.validation.mutants.model import defined, mutant
from specsim.validation.mutants.theories import formula
from specsim.validation.running.effort import Effort
from specsim.validation.witnesses import Witnesses

#: Target, draft, tokens kept. In the first, fewer tokens accept more; the last keeps one token.
ROWS = (
    ((8, 5, 3), (4, 4, 8), (0, 1)),
    ((8, 7, 1), (6, 6, 4), (0, 1)),
    ((10, 1, 5), (2, 9, 5), (1, 2)),
    ((4, 4, 8), (8, 8, 0), (0, 1)),
    ((0, 8, 8), (12, 4, 0), (0, 1)),
    ((5, 5, 6), (6, 5, 5), (0,)),
)
WORDS = ("restricted", "full")
COSTS = DrafterCosts(layer=Fraction(1, 50), head=Fraction(1, 5), selection=Fraction(1, 50))


def _rows() -> Iterator[tuple[list[Fraction], list[Fraction], tuple[int, ...]]]:
    for target, draft, tokens in ROWS:
        yield [Fraction(n, 16) for n in target], [Fraction(n, 16) for n in draft], tokens


def _narrow(row: list[Fraction], tokens: tuple[int, ...]) -> list[Fraction]:
    return [
        p / sum(row[t] for t in tokens) if token in tokens else Fraction(0) for token, p in enumerate(row)
    ]


def _written(
    target: list[Fraction], drawn: list[Fraction], tested: list[Fraction], subtracted: list[Fraction]
) -> list[Fraction]:
    """Return the law of the token by going through the sampler: draw, toss the coin, replace."""
    law = [Fraction(0)] * len(target)
    gaps = [t - s if t > s else Fraction(0) for t, s in zip(target, subtracted, strict=True)]
    replaced = [gap / sum(gaps) for gap in gaps] if any(gaps) else target
    for token, probability in enumerate(drawn):
        if probability:
            coin = min(Fraction(1), target[token] / tested[token]) if tested[token] else Fraction(1)
            law[token] += probability * coin
            for other, share in enumerate(replaced):
                law[other] += probability * (1 - coin) * share
    return law


def _laws(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    for target, draft, tokens in _rows():
        rows = {"restricted": _narrow(draft, tokens), "full": draft}
        where = f"{[str(t) for t in target]}, {[str(d) for d in draft]}, tokens {tokens}"
        for test in WORDS:
            for residual in WORDS:
                law = witnesses.theory.restricted_written_law(
                    target, draft, tokens, test=test, residual=residual, exact=True
                )
                walked = _written(target, rows["restricted"], rows[test], rows[residual])
                yield equal(f"{test} row tested, {residual} row subtracted; {where}", list(law), walked)
                if test == residual == "restricted":
                    yield equal(f"is the target's; {where}", walked, target)


def _bias(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    target, draft, tokens = next(_rows())
    for test, residual in (("restricted", "full"), ("full", "restricted"), ("full", "full")):
        law = witnesses.theory.restricted_written_law(
            target, draft, tokens, test=test, residual=residual, exact=True
        ).tolist()
        distance = sum(abs(p - t) for p, t in zip(law, target, strict=True)) / 2
        yield counterexample(
            f"{test} row in the test, {residual} row in the residual",
            distance > 0,
            f"target (8, 5, 3)/16, draft (4, 4, 8)/16 restricted to the first two tokens: "
            f"({', '.join(str(p) for p in law)}) is written, at a distance of {distance} from the target",
            printed=0,
            exact=distance,
        )


def _cases(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    for pair in tiny(effort)[3:5]:
        narrow = restricted_vocabulary(pair, size=2)
        yield narrow, Speculative(draft_length=2)
        yield narrow, BlockVerification(draft_length=2)


def _sequences(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    for number, pair in enumerate(tiny(effort)):
        size = max(1, pair.tokens - 1)
        narrow = restricted_vocabulary(pair, size=size, noise=number % 2, seed=number)
        for algorithm in (Speculative(draft_length=2), BlockVerification(draft_length=2)):
            yield equal(
                f"output of {algorithm.label} with {size} of {pair.tokens} tokens on {pair.name}",
                list(witnesses.enumerate_outcomes(narrow, algorithm).output_law()),
                list(witnesses.theory.target_law(pair, exact=True)),
            )


def _acceptance(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    for seed in range(effort.pick(quick=4, standard=20, deep=200)):
        pair = random_pair(contexts=1, tokens=6, horizon=1, family="dirichlet", seed=seed)
        target, draft = ([Fraction(p) for p in rows[0, 0].tolist()] for rows in (pair.target, pair.draft))
        for size in (1, 3, 5):
            kept = tuple(sorted(range(6), key=lambda token: -draft[token])[:size])
            found = witnesses.theory.restricted_acceptance(target, draft, kept, exact=True)
            overlap = [min(t, d) for t, d in zip(target, draft, strict=True)]
            least, most = sum(overlap[t] for t in kept), min(sum(target[t] for t in kept), Fraction(1))
            yield decided(
                f"{size} of 6 tokens, seed {seed}: within its bounds",
                least <= found <= most,
                observed=f"{float(found):.6f}",
                expected=f"{float(least):.6f} to {float(most):.6f}",
            )
            narrow = restricted_vocabulary(pair, size=size)
            law = witnesses.enumerate_outcomes(
                narrow, Speculative(draft_length=1, bonus=False)
            ).accepted_length_law()
            # The rows of the derived pair are rounded to multiples of 2^-32.
            yield decided(
                f"{size} of 6 tokens, seed {seed}: enumeration",
                abs(law[1] - found) <= Fraction(6, 2**32),
                observed=f"{float(found):.9f}",
                expected=f"{float(law[1]):.9f}",
            )


def _rises(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    for (target, draft, tokens), (before, after) in zip(_rows(), ((11, 13), (13, 15)), strict=False):
        every = witnesses.theory.restricted_acceptance(target, draft, range(3), exact=True)
        found = witnesses.theory.restricted_acceptance(target, draft, tokens, exact=True)
        yield equal(
            f"all tokens, then the first two; {[str(t) for t in target]}, {[str(d) for d in draft]}",
            [every, found],
            [Fraction(before, 16), Fraction(after, 16)],
        )


def _greedy(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    for pair in tiny(effort):
        same = all(
            (restricted_vocabulary(pair, size=size).draft.argmax(axis=-1) == pair.draft.argmax(axis=-1)).all()
            for size in range(1, pair.tokens + 1)
        )
        yield decided(f"greedy drafts on {pair.name}", bool(same))
    # One subset for all rows can lose the likeliest token of a row.
    pair = ModelPair.from_probabilities(
        [[0.5, 0.5], [0.5, 0.5]], [[0.625, 0.375], [0.25, 0.75]], initial=[1, 0], horizon=2
    )
    found = restricted_vocabulary(pair, size=1, by="global").draft.argmax(axis=-1).tolist()
    yield equal("one subset for all rows", found, [[1, 1]])


@cache
def _peaked() -> ModelPair:
    return random_pair(contexts=6, horizon=20, family="peaked", seed=1, stationary=True)


def _best_size(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    times = witnesses.theory.vocabulary_times(_peaked(), Speculative(draft_length=3), COSTS)
    best = min(times, key=times.__getitem__)
    yield decided("the best size is inside", 1 < best < 6, observed=best, expected="2 to 5")


def _times(witnesses: Witnesses, effort: Effort) -> Iterator[Assertion]:
    algorithm = Speculative(draft_length=3)
    times = witnesses.theory.vocabulary_times(_peaked(), algorithm, COSTS)
    ordered = sorted(times.values())
    for size, time in times.items():
        narrow = restricted_vocabulary(_peaked(), size=size)
        clock = COSTS.clock(vocabulary=Fraction(size, 6))
        ticks = to_ticks(clock.round_times(algorithm, narrow.horizon))
        unit = float(ticks.unit)
        # An accepted observation is never accepted for the best size's time; at the best, for the next.
        other = ordered[1] if time == ordered[0] else ordered[0]

        def observe(dataset: Any, counts: tuple[int, ...] = ticks.counts) -> int:
            rounds = dataset["round_count"].values.sum(axis=1)
            return sum(int(number) * count for number, count in zip(rounds, counts, strict=True))

        yield Assertion(
            label=f"mean time with {size} of 6 tokens drafted, in ticks of {ticks.unit} target calls",
            request=SimulationRequest(pair=narrow, algorithm=algorithm),
            test=MeanTest(
                mean=time / unit,
                variance=float(witnesses.theory.time_law(narrow, algorithm, clock).variance()) / unit**2,
                low=0.0,
                high=float(sum(ticks.counts)),
                excluded=other / unit,
                unit="ticks",
            ),
            observe=observe,
            discrepancy=0.2 / unit * effort.discrepancy_factor,
        )


@mutant(formula("restricted_acceptance"), cite="logits masked after the softmax")
def theory_restricted_without_renormalising(
    theory: Any, target: Any, draft: Any, tokens: Any, **_: Any
) -> Any:
    """The restricted draft row is not divided by its sum."""
    return sum(min(target[token], draft[token]) for token in tokens)


@mutant(formula("restricted_written_law"), cite="the draft's row passed on before its subset was taken")
def theory_any_draft_row_will_do(theory: Any, *rows: Any, test: str, residual: str, **options: Any) -> Any:
    """Test and residual may read any draft row: the target's law is written."""
    return theory.restricted_written_law(*rows, **options)


@mutant(formula("vocabulary_times"), cite="2602.13836: the cost of the head by the tokens it scores")
def theory_head_of_one_size(theory: Any, pair: Any, algorithm: Any, costs: Any, **options: Any) -> Any:
    """The output head costs the same for every number of tokens."""
    return {
        size: theory.expected_time(
            restricted_vocabulary(pair, size=size), algorithm, costs.clock(), **options
        )
        for size in range(1, pair.tokens + 1)
    }


CLAIMS = (
    Claim(
        id="specsim.vocabulary-lossless",
        title="A draft over fewer tokens is lossless",
        statement=(
            "When the draft row is restricted to some tokens and renormalised, the law written is the "
            "target's; the exact law is known for each choice of the rows that test and residual read."
        ),
        source="2602.13836 (the drafter); derived",
        verdict=Verdict.CONDITION,
        condition="test and residual both read the restricted row that the token was drawn from",
        checks=(
            ExactCheck("one token, draw by draw", _laws),
            ExactCheck("the full row in one of them", _bias),
            ExactCheck("sequences, enumerated", _sequences),
            lossless_check("sequences, simulated", _cases),
        ),
        mutants=("theory-any-draft-row-will-do",),
    ),
    Claim(
        id="specsim.vocabulary-acceptance",
        title="Acceptance of a draft over fewer tokens",
        statement=(
            "It is the sum over the tokens S of min(T, D / D(S)), at least the overlap of T and D on S and "
            "at most min(T(S), 1), and larger than with all tokens on some rows. The likeliest tokens of "
            "each row keep greedy drafts as they are; one subset for all rows need not."
        ),
        source="docs/systems.md",
        verdict=Verdict.HOLDS,
        checks=(
            ExactCheck("bounds and enumeration", _acceptance),
            ExactCheck("it can rise", _rises),
            ExactCheck("greedy drafts", _greedy),
        ),
        mutants=("theory-restricted-without-renormalising",),
    ),
    Claim(
        id="specsim.vocabulary-best-size",
        title="The best number of drafted tokens",
        statement=(
            "The time by the number of tokens that the draft proposes, with a head that costs as much as it "
            "scores, has its minimum where theory says; simulation of the derived pairs agrees."
        ),
        source="2602.13836 (the cost); derived",
        verdict=Verdict.HOLDS,
        checks=(ExactCheck("an inner optimum", _best_size), StatisticalCheck("simulation", _times)),
        mutants=("theory-head-of-one-size",),
    ),
)

MUTANTS = defined(globals())
