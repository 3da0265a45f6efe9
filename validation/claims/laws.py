"""Every law of every rule of the catalogue: recursion against enumeration, simulation against recursion.

One claim for each rule, generated from its facts: a rule that has a program, a step law and a kernel is
checked from the day its files exist.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim import Autoregressive, ModelPair, Rule, catalogue, random_pair
from specsim.algorithms import Algorithm
from specsim.engines.lockstep.plans import serves
from specsim.theory.step_laws import step_law_of
from specsim.validation.builders import agreement_check
from specsim.validation.claims.variants import LARGE, NAMED, TINY, claim_name, variants
from specsim.validation.claims_model import (
    Check,
    Claim,
    Comparison,
    ExactCheck,
    RegressionCheck,
    Verdict,
    decided,
    equal,
    near,
)
from specsim.validation.instances import (
    dyadic_fixture,
    four_tokens_rounded,
    large_pairs,
    paper_pairs,
    small_trees,
    tiny_pairs,
)
from specsim.validation.running.effort import Effort
from specsim.validation.witnesses import Witnesses

#: Laws that theory computes and enumeration yields too.
LAWS = (
    "expected_rejections",
    "expected_target_calls",
    "rejection_law",
    "target_call_law",
    "rejection_variance",
    "rejections_by_step",
    "accepted_length_counts",
    "accepted_length_law",
    "first_accepted_length_law",
    "round_counts",
    "output_law",
    "output_marginals",
    "block_efficiency",
)

AlgorithmsFor = Callable[[ModelPair], Iterable[Algorithm]]
#: The algorithms that a claim is about, for a pair and `TINY` or `LARGE`.
Algorithms = Callable[[ModelPair, dict[str, tuple[dict[str, Any], ...]]], list[Algorithm]]

#: Seed and runs of the regression checks.
REGRESSION_SEED = 20241102
REGRESSION_RUNS = 3000

#: Discrepancies that the comparison at size has to catch at standard effort.
LARGE_DEMANDS = {"expected_rejections": 0.1, "rejections_by_step": 0.01}
#: The same for rules on trees, for which only the literal engine serves, slower by an order of magnitude.
TREE_DEMANDS = {"expected_rejections": 0.4, "rejections_by_step": 0.04}

#: How far a law in float64 may be from the enumeration of a program whose numbers are not rational.
ROUNDING = 1e-9

#: Tables of parameters are Python objects, which limits the pairs they are made for.
_MOST_TOKENS_OF_TABLES = 16
#: Drafted tokens of a round times horizon, in the comparison at size.
_MOST_DRAFTED = 1000
_TALLIES = (
    "rejections_by_step",
    "rejection_count",
    "target_call_count",
    "accepted_length_count",
    "accepted_length_square_sum",
    "first_accepted_length_count",
    "token_count",
)


def compare_laws(
    witnesses: Witnesses, pairs: Iterable[ModelPair], algorithms_for: AlgorithmsFor
) -> Iterator[Comparison]:
    """Compare every law with enumeration: exactly, or within rounding where a rule is not rational."""
    for pair in pairs:
        for algorithm in algorithms_for(pair):
            outcomes = witnesses.enumerate_outcomes(pair, algorithm)
            exact = not algorithm.rule.inexact
            for law in LAWS:
                computed = getattr(witnesses.theory, law)(pair, algorithm, exact=exact)
                expected = getattr(outcomes, law)()
                if law == "round_counts":
                    # Theory has columns up to the depth of the drafts only.
                    computed = _padded(computed, expected.shape[1])
                label = f"{law}, {algorithm.label} on {pair.name}"
                yield equal(label, computed, expected) if exact else near(label, computed, expected, ROUNDING)


def _padded(counts: NDArray[Any], columns: int) -> NDArray[Any]:
    zeros = np.full((len(counts), columns - counts.shape[1]), counts.flat[0] * 0, dtype=counts.dtype)
    return np.concatenate([counts, zeros], axis=1)


def _turn(algorithms: list[Algorithm], number: int, most: int) -> list[Algorithm]:
    """Return at most `most` of the algorithms; over the numbers of the pairs each has its turn."""
    stride = -(-len(algorithms) // most)
    return algorithms[number % stride :: stride] if stride else algorithms


def _enumeration(rule: Rule, algorithms: Algorithms) -> ExactCheck:
    def run(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
        # Quick has three at a pair for the many rules, and more for those of the paper.
        most = effort.pick(quick=6 if rule.name in NAMED else 3, standard=24, deep=24)
        for number, pair in enumerate(tiny_pairs(effort.name)):
            # Deep effort has 72 pairs more, which share the variants between them.
            chosen = _turn(
                algorithms(pair, TINY), number, most if number < len(tiny_pairs("standard")) else 4
            )
            yield from compare_laws(witnesses, [pair], lambda _: chosen)  # noqa: B023

    return ExactCheck("enumeration", run)


def _output(rule: Rule, algorithms: Algorithms) -> ExactCheck:
    """Check the law of the output: the target's if the rule is lossless, else somewhere not the target's."""

    def run(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
        enumerated = "program" in rule.texts
        biased: list[str] = []
        # Some rules err only where several tokens have something left after a weight.
        more = () if rule.lossless else (four_tokens_rounded(2),)
        for number, pair in enumerate((dyadic_fixture(2), *tiny_pairs(effort.name)[1:], *more)):
            target = witnesses.theory.target_law(pair, exact=True)
            for algorithm in _turn(algorithms(pair, TINY), number, 3):
                if enumerated:
                    output = witnesses.enumerate_outcomes(pair, algorithm).output_law()
                else:
                    output = witnesses.theory.output_law(pair, algorithm, exact=not rule.inexact)
                label = f"law of the sequence, {algorithm.label} on {pair.name}"
                if not algorithm.lossless:
                    if (output != target).any():
                        biased.append(label)
                elif enumerated or not rule.inexact:
                    yield equal(label, output, target)
                else:
                    yield near(label, output, target, ROUNDING)
        if not rule.lossless:
            yield decided(
                "cases in which the output is not the target's", bool(biased), observed=len(biased),
                expected="1 or more",
            )  # fmt: skip

    return ExactCheck("lossless" if rule.lossless else "not lossless", run)


def _regression(algorithms: Algorithms) -> RegressionCheck:
    def run(witnesses: Witnesses) -> dict[str, Any]:
        pair = random_pair(contexts=3, horizon=5, family="uniform", seed=77, initial="random")
        listed = algorithms(pair, TINY)
        chosen = listed[:: max(1, len(listed) // 3)]
        return {
            f"{algorithm.label} ({engine})": _tallies(witnesses, pair, algorithm, engine)
            for algorithm in chosen
            for engine in (("auto", "literal") if serves(algorithm, pair.horizon) else ("auto",))
        }

    return RegressionCheck("fixed seed", run)


def _tallies(witnesses: Witnesses, pair: ModelPair, algorithm: Algorithm, engine: str) -> dict[str, Any]:
    dataset = witnesses.simulate(pair, algorithm, runs=REGRESSION_RUNS, seed=REGRESSION_SEED, engine=engine)
    return {name: dataset[name].values.tolist() for name in _TALLIES}


def _large_cases(
    rule: Rule, algorithms: Algorithms
) -> Callable[[Effort], Iterator[tuple[ModelPair, Algorithm]]]:
    tabled = any(parameter.kind == "table" for parameter in rule.parameters.values())

    def cases(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
        # Quick compares the largest pairs in the claims about Theorems 1 and 3 only.
        most_states = 2000 if effort.name == "quick" else 10_000
        most_tokens = _MOST_TOKENS_OF_TABLES if tabled else 64
        step, most_paths = 1, 2**62
        if step_law_of(rule).node is None:
            # Without a closed form at a node, laws take minutes where the others take a second.
            most_states, most_paths = 2000, 2**62 if step_law_of(rule).state else 50_000
        if effort.name == "quick" and rule.name not in NAMED:
            most_tokens, step, most_paths = 9, 2, 50_000
        if rule.name == "transport-distinct":
            # Its cuts lie between sets of tokens.
            most_tokens = 5
        # The pairs of deep effort belong to the claims about Theorems 1 and 3, where one rule is compared.
        size = effort.pick(quick="quick", standard="standard", deep="standard")
        for number, pair in enumerate((*paper_pairs(), *large_pairs(size))):
            if number % step or pair.tokens > most_tokens or pair.contexts * pair.horizon > most_states:
                continue
            # The literal engine draws whole drafts, also what lies after the first rejection.
            chosen = [
                algorithm
                for algorithm in algorithms(pair, LARGE)
                if algorithm.structure(pair.horizon).size * pair.horizon <= _MOST_DRAFTED
                and pair.tokens ** (algorithm.structure(pair.horizon).size - 1) * pair.steps <= most_paths
            ]
            if not chosen:
                continue
            if effort.name == "quick" or number >= 2:
                # The variants in turn: every pair and every variant occurs.
                chosen = [chosen[number % len(chosen)]]
            for algorithm in chosen:
                yield pair, algorithm

    return cases


def _small_cases(algorithms: Algorithms) -> Callable[[Effort], Iterator[tuple[ModelPair, Algorithm]]]:
    def cases(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
        most = effort.pick(quick=2, standard=8, deep=99)
        for number, pair in enumerate(small_trees(effort.name)):
            for algorithm in _turn(algorithms(pair, TINY), number, most):
                yield pair, algorithm

    return cases


def _checks(rule: Rule, algorithms: Algorithms) -> Iterator[Check]:
    joint = ("joint_law",) if "program" in rule.texts else ()
    if joint:
        yield _enumeration(rule, algorithms)
    yield _output(rule, algorithms)
    if "kernel" not in rule.texts:
        return
    known = rule.name in NAMED
    (first, *_) = algorithms(dyadic_fixture(2), TINY)
    # Laws of rules that keep something from round to round are those of small pairs.
    if step_law_of(rule).keeping is None:
        yield agreement_check(
            "laws at size",
            _large_cases(rule, algorithms),
            demands=LARGE_DEMANDS if known else TREE_DEMANDS,
            skip_too_large=True,
        )
    for engine in ("auto", "literal") if serves(first, 2) else ("auto",):
        yield agreement_check(
            "joint law on small trees" + (" by the literal engine" if engine == "literal" else ""),
            _small_cases(algorithms),
            statistics=(*joint, "output_law", "target_call_law", "accepted_length_counts"),
            demands={"joint_law" if joint else "output_law": 0.03 if engine == "auto" and known else 0.06},
            engine=engine,
        )
    yield _regression(algorithms)


#: Those that every claim here rejects; the last one without any simulation.
_MUTANTS = (
    "draft-rows-sharpened",
    "context-never-advances",
    "theory-sequences-reversed",
)


def _claim(
    rule: Rule, name: str, what: str, algorithms: Algorithms, mutants: Sequence[str] = _MUTANTS
) -> Claim:
    return Claim(
        id=f"specsim.laws-{name}",
        title=f"All laws: {name}",
        statement=(
            f"{what[0].upper()}{what[1:]}: enumeration, recursion and simulation agree on the laws of "
            "rejections, target calls, accepted lengths and emitted tokens, and on the joint law of sequence "
            "and rejected positions; the output has "
            + ("the target's law." if rule.lossless else "another law than the target.")
        ),
        source=rule.source,
        verdict=Verdict.HOLDS,
        checks=tuple(_checks(rule, algorithms)),
        mutants=tuple(mutants),
    )


def _generated() -> Iterator[Claim]:
    plain = Autoregressive()
    # Plain decoding drafts nothing.
    yield _claim(plain.rule, plain.label, "Plain decoding", lambda pair, shapes: [plain], _MUTANTS[1:])
    for rule in catalogue().values():
        if "step_law" in rule.texts:
            mutants = _MUTANTS if "kernel" in rule.texts else _MUTANTS[-1:]
            yield _claim(rule, claim_name(rule), rule.title, partial(variants, rule), mutants)


CLAIMS = tuple(_generated())
