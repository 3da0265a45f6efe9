"""Theorem 1: expected rejections of speculative decoding, and that it is lossless."""

from collections.abc import Iterator
from fractions import Fraction

from specsim import ModelPair, Speculative
from specsim.algorithms import Algorithm
from specsim.validation.builders import (
    agreement_check,
    law_check,
    lossless_check,
    mean_check,
    per_step_check,
)
from specsim.validation.claims import descriptors
from specsim.validation.claims.plans import lossless_at_size
from specsim.validation.claims_model import (
    Claim,
    Comparison,
    ExactCheck,
    Verdict,
    counterexample,
    decided,
    equal,
)
from specsim.validation.instances import (
    constant_distance_pair,
    large_pairs,
    paper_pairs,
    small_trees,
    tiny_pairs,
)
from specsim.validation.running.effort import Effort
from specsim.validation.witnesses import Witnesses

#: Draft lengths at which plain speculative decoding without bonus tokens is compared.
WITHOUT_BONUS = (
    Speculative(),
    Speculative(draft_length=1, bonus=False),
    Speculative(draft_length=2, bonus=False),
    Speculative(draft_length=3, bonus=False),
)


def _rejections(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for pair in tiny_pairs(effort.name):
        outcomes = witnesses.enumerate_outcomes(pair, Speculative())
        yield equal(
            f"E[rejections] on {pair.name}",
            theory.theorem_1_rejections(pair, exact=True),
            outcomes.expected_rejections(),
        )
        yield equal(
            f"E[R_n] for every n on {pair.name}",
            theory.theorem_1_rejections_by_step(pair, exact=True),
            outcomes.rejections_by_step(),
        )


def _masses(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    """Pr(x_{1:n}, R_n = 1) = T(x_{1:n-1}) (T_n - D_n)_+(x_n): Theorem 1 before it is summed."""
    for pair in tiny_pairs(effort.name):
        outcomes = witnesses.enumerate_outcomes(pair, Speculative())
        expected = witnesses.theory.batch_rejection_masses(pair, 1, exact=True)
        for position in range(1, pair.horizon + 1):
            yield equal(
                f"Pr(prefix, position {position} rejected) on {pair.name}",
                expected[position - 1],
                outcomes.rejected_prefix_masses(position),
            )


def _at_size(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    for pair in (*paper_pairs(), *large_pairs(effort.name)):
        yield pair, Speculative()


def _mean_and_variance(witnesses: Witnesses, pair: ModelPair, algorithm: Algorithm) -> tuple[float, float]:
    theory = witnesses.theory
    return theory.theorem_1_rejections(pair), theory.rejection_variance(pair, algorithm)


def _by_step(witnesses: Witnesses, pair: ModelPair, algorithm: Algorithm) -> object:
    return witnesses.theory.theorem_1_rejections_by_step(pair)


def _output_laws(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    for pair in tiny_pairs(effort.name):
        target = witnesses.theory.target_law(pair, exact=True)
        for algorithm in (*descriptors.SPECULATIVE, *WITHOUT_BONUS[1:]):
            yield equal(
                f"law of the sequence, {algorithm.label} on {pair.name}",
                witnesses.enumerate_outcomes(pair, algorithm).output_law(),
                target,
            )


def _lossless_at_size(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    lengths = (Speculative(), Speculative(draft_length=4), Speculative(draft_length=5, bonus=False))
    for number, pair in enumerate((*paper_pairs(), *large_pairs(effort.name))):
        yield pair, lengths[number % len(lengths)]


def _lossless_trees(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    for pair in small_trees(effort.name):
        yield pair, Speculative()
        yield pair, Speculative(draft_length=2)


def _draft_lengths(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    for pair in tiny_pairs(effort.name):
        expected = witnesses.theory.theorem_1_rejections_by_step(pair, exact=True)
        for algorithm in WITHOUT_BONUS:
            yield equal(
                f"E[R_n], {algorithm.label} on {pair.name}",
                witnesses.enumerate_outcomes(pair, algorithm).rejections_by_step(),
                expected,
            )


def _draft_length_matters(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    from specsim import Batch
    from specsim.validation.instances import dyadic_fixture

    pair = dyadic_fixture(3)
    for title, long, short in (
        ("two drafts", Batch(drafts=2), Batch(drafts=2, draft_length=1, bonus=False)),
        ("a bonus token", Speculative(), Speculative(draft_length=1)),
    ):
        values: list[Fraction] = []
        for algorithm in (long, short):
            values.append(witnesses.enumerate_outcomes(pair, algorithm).expected_rejections())
            yield equal(
                f"E[rejections], {algorithm.label} on {pair.name}",
                witnesses.theory.expected_rejections(pair, algorithm, exact=True),
                values[-1],
            )
        yield counterexample(
            f"{title} on {pair.name}",
            values[0] != values[1],
            f"with {title} the draft length matters: on independent tokens with draft (3/4, 1/4) and target "
            f"(1/4, 3/4), horizon 3, drafts to the horizon give {values[0]} expected rejections and drafts "
            f"of length 1 give {values[1]}",
            printed=values[0],
            exact=values[1],
        )


def _lengths_at_size(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    for pair in paper_pairs()[: effort.pick(quick=1, standard=2, deep=2)]:
        for length in (1, 4, 11):
            yield pair, Speculative(draft_length=length, bonus=False)


def _printed_value(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    for pair, value, printed in zip(paper_pairs(), ("16.4049", "33.5348"), ("16.406", "33.535"), strict=True):
        exact = witnesses.theory.theorem_1_rejections(pair, exact=True)
        yield decided(
            f"{pair.name}: E[rejections] is {value} to four decimals, and {printed} as drawn to the reading "
            "precision 0.002",
            abs(exact - Fraction(value)) <= Fraction(1, 20_000)
            and abs(exact - Fraction(printed)) <= Fraction(2, 1000),
            observed=f"{float(exact):.6f}",
            expected=f"{value}, drawn {printed}",
        )
    rate = 50 / witnesses.theory.theorem_1_rejections(paper_pairs()[0], exact=True)
    yield decided(
        "horizon 50: horizon / E[rejections] is the printed 3.05",
        abs(rate - Fraction("3.05")) <= Fraction("0.005"),
        observed=f"{float(rate):.5f}",
        expected="3.05 to two decimals",
    )


def _constant_distance(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    for horizon in range(1, effort.pick(quick=5, standard=6, deep=7)):
        pair = constant_distance_pair(horizon)
        rate = Fraction(1, 4)
        calls = witnesses.enumerate_outcomes(pair, Speculative()).expected_target_calls()
        yield equal(f"E[calls], horizon {horizon}", theory.constant_rate_calls(rate, horizon), calls)
        yield equal(
            f"tokens per call, horizon {horizon}",
            theory.constant_rate_tokens_per_call(rate, horizon),
            horizon / calls,
        )
    previous = Fraction(0)
    for horizon in (1, 10, 1000, 10**6):
        tokens = theory.constant_rate_tokens_per_call(Fraction(1, 4), horizon)
        yield decided(
            f"tokens per call at horizon {horizon} grow towards 1/TV = 4, within 12 / horizon",
            previous < tokens < 4 and 4 - tokens <= Fraction(12, horizon),
            observed=tokens,
        )
        previous = tokens


def _constant_at_size(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    yield constant_distance_pair(64), Speculative()


def _constant_calls(witnesses: Witnesses, pair: ModelPair, algorithm: Algorithm) -> tuple[float, float]:
    # Rejections are independent coins of probability 1/4, the last of which decides the last call.
    law = [float(value) for value in witnesses.theory.target_call_law(pair, algorithm)]
    mean = float(witnesses.theory.constant_rate_calls(Fraction(1, 4), pair.horizon))
    center = sum(calls * value for calls, value in enumerate(law))
    return mean, sum((calls - center) ** 2 * value for calls, value in enumerate(law))


CLAIMS = (
    Claim(
        id="yin2024.theorem-1-rejections",
        title="Expected rejections of speculative decoding",
        statement=(
            "The expected number of rejections is the sum over positions of the total variation distance of "
            "the two rows, averaged over prefixes drawn from the target."
        ),
        source="2411.00841, Theorem 1 (1)",
        verdict=Verdict.HOLDS,
        checks=(
            ExactCheck("enumeration", _rejections),
            ExactCheck("per prefix", _masses),
            mean_check("mean at size", _at_size, discrepancy=0.1, expected=_mean_and_variance),
            per_step_check("every step", _at_size, discrepancy=0.01, expected=_by_step),
            law_check("law of rejections", _at_size, discrepancy=0.03),
        ),
        mutants=(
            "theory-tv-without-half",
            "theory-prefixes-from-draft",
            "residual-from-target",
            "step-axis-shifted",
            "first-rejection-lost",
            "theory-independent-rejections",
        ),
    ),
    Claim(
        id="yin2024.theorem-1-lossless",
        title="Speculative decoding is lossless",
        statement="The emitted sequence has exactly the target's law, for every draft length, bonus or not.",
        source="2411.00841, Theorem 1 (2); 2211.17192; 2302.01318",
        verdict=Verdict.HOLDS,
        checks=(
            ExactCheck("enumeration", _output_laws),
            lossless_check("whole law on small trees", _lossless_trees),
            lossless_at_size("tokens at every step", _lossless_at_size),
            agreement_check(
                "transitions",
                lambda effort: ((pair, Speculative(draft_length=2)) for pair in small_trees("standard")),
                statistics=("transition_marginals",),
                demands={"transition_marginals": 0.03},
            ),
        ),
        mutants=(
            "residual-from-target",
            "residual-from-draft",
            "residual-absolute-difference",
            "residual-removes-one-token",
            "acceptance-always",
            "acceptance-doubled",
            "acceptance-inverted",
            "coin-shared-with-residual",
            "stale-context",
            "draft-law-differs",
            "target-row-late",
            "first-token-unverified",
            "bonus-from-draft",
            "token-axis-shifted",
        ),
    ),
    Claim(
        id="yin2024.figure-2a",
        title="The value printed for speculative decoding",
        statement=(
            "On the recovered instance of the paper Theorem 1 gives 16.4049 rejections for horizon 50 "
            "(printed 16.41, drawn 16.406, acceleration 3.05) and 33.5348 for horizon 100."
        ),
        source="2411.00841, Figures 2a and 5, Appendix F",
        verdict=Verdict.HOLDS,
        checks=(
            ExactCheck("printed values", _printed_value),
            mean_check(
                "simulation",
                lambda effort: ((pair, Speculative()) for pair in paper_pairs()),
                discrepancy=0.05,
                expected=_mean_and_variance,
            ),
        ),
        mutants=("theory-prefixes-from-draft", "theory-tv-without-half"),
    ),
    Claim(
        id="yin2024.draft-length",
        title="Rejections do not depend on the draft length",
        statement="The expected number of rejections is the same for every draft length.",
        source="2411.00841, section 2 (drafts to the horizon without loss of generality)",
        verdict=Verdict.CONDITION,
        condition="one draft per round and no bonus token",
        checks=(
            ExactCheck("plain, every draft length", _draft_lengths),
            ExactCheck("where the condition fails", _draft_length_matters),
            mean_check("mean at size", _lengths_at_size, discrepancy=0.1, expected=_mean_and_variance),
            per_step_check("every step", _lengths_at_size, discrepancy=0.01, expected=_by_step),
        ),
        mutants=("theory-prefixes-from-draft", "first-token-unverified", "enumeration-ignores-draft-length"),
    ),
    Claim(
        id="yin2024.remark-2",
        title="Constant distance of the rows",
        statement=(
            "When every expected total variation distance is b, a run of L tokens needs L b + 1 - b target "
            "calls on average, and tokens per call tend to 1/b."
        ),
        source="2411.00841, Remark 2; 2211.17192",
        verdict=Verdict.HOLDS,
        checks=(
            ExactCheck("enumeration and limit", _constant_distance),
            mean_check(
                "simulation",
                _constant_at_size,
                statistic="expected_target_calls",
                discrepancy=0.05,
                expected=_constant_calls,
            ),
        ),
        mutants=("constant-rate-without-last-call", "last-round-forgotten"),
    ),
)
