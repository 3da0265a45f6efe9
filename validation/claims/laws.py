"""Every law of every descriptor: recursion against enumeration, simulation against recursion, fixed seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from specsim import (
    Autoregressive,
    Batch,
    BatchAsPrinted,
    BlockVerification,
    ModelPair,
    OverAcceptance,
    Speculative,
    random_pair,
)
from specsim.algorithms import Algorithm
from specsim.validation.builders import agreement_check
from specsim.validation.claims import descriptors
from specsim.validation.claims_model import (
    Claim,
    Comparison,
    ExactCheck,
    RegressionCheck,
    Verdict,
    equal,
)
from specsim.validation.instances import large_pairs, paper_pairs, small_trees, tiny_pairs
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
    "output_law",
    "output_marginals",
    "block_efficiency",
)

AlgorithmsFor = Callable[[ModelPair], Iterable[Algorithm]]

#: Seed of the regression checks.
REGRESSION_SEED = 20241102
#: Runs of the regression checks.
REGRESSION_RUNS = 3000


def compare_laws(
    witnesses: Witnesses, pairs: Iterable[ModelPair], algorithms_for: AlgorithmsFor
) -> Iterator[Comparison]:
    """Compare every law with enumeration, exactly."""
    for pair in pairs:
        for algorithm in algorithms_for(pair):
            outcomes = witnesses.enumerate_outcomes(pair, algorithm)
            for law in LAWS:
                computed = getattr(witnesses.theory, law)(pair, algorithm, exact=True)
                yield equal(f"{law}, {algorithm.label} on {pair.name}", computed, getattr(outcomes, law)())


def _enumeration(algorithms_for: AlgorithmsFor) -> ExactCheck:
    def run(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
        yield from compare_laws(witnesses, tiny_pairs(effort.name), algorithms_for)

    return ExactCheck("enumeration", run)


def _tallies(dataset: Any) -> dict[str, Any]:
    return {
        name: dataset[name].values.tolist()
        for name in (
            "rejections_by_step",
            "rejection_count",
            "target_call_count",
            "accepted_length_count",
            "accepted_length_square_sum",
            "first_accepted_length_count",
            "token_count",
        )
    }


def _regression(algorithms_for: AlgorithmsFor) -> RegressionCheck:
    def run(witnesses: Witnesses) -> dict[str, Any]:
        pair = random_pair(contexts=3, horizon=5, family="uniform", seed=77, initial="random")
        return {
            algorithm.label: _tallies(
                witnesses.simulate(pair, algorithm, runs=REGRESSION_RUNS, seed=REGRESSION_SEED)
            )
            for algorithm in algorithms_for(pair)
        }

    return RegressionCheck("fixed seed", run)


def _claim(
    name: str,
    title: str,
    source: str,
    *,
    tiny: AlgorithmsFor,
    large: AlgorithmsFor,
    regression: AlgorithmsFor,
    mutants: tuple[str, ...],
    most_tokens: int = 64,
    most_standard: int = 10_000,
) -> Claim:
    # Quick compares the largest pair in the claims about Theorems 1 and 3 only.
    most_states = {"quick": 2000, "standard": most_standard}

    def large_cases(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
        for number, pair in enumerate((*paper_pairs(), *large_pairs(effort.name))):
            size = pair.contexts * pair.horizon
            if pair.tokens > most_tokens or size > most_states.get(effort.name, size):
                continue
            algorithms = tuple(large(pair))
            if effort.name == "quick" or (effort.name == "standard" and number >= 2):
                # The variants in turn: every pair and every variant occurs.
                algorithms = (algorithms[number % len(algorithms)],)
            for algorithm in algorithms:
                yield pair, algorithm

    def small_cases(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
        for number, pair in enumerate(small_trees(effort.name)):
            algorithms = tuple(tiny(pair))
            chosen = algorithms if effort.name != "quick" else algorithms[number % 3 :: 3]
            for algorithm in chosen:
                yield pair, algorithm

    return Claim(
        id=f"specsim.{name}",
        title=title,
        statement=(
            "Enumeration, recursion and simulation agree on the laws of rejections, target calls, accepted "
            "lengths and emitted tokens, and on the joint law of sequence and rejected positions."
        ),
        source=source,
        verdict=Verdict.HOLDS,
        checks=(
            _enumeration(tiny),
            agreement_check("laws at size", large_cases, demands=LARGE_DEMANDS),
            agreement_check(
                "joint law on small trees",
                small_cases,
                statistics=("joint_law", "output_law", "target_call_law", "accepted_length_counts"),
                demands={"joint_law": 0.03},
            ),
            _regression(regression),
        ),
        mutants=mutants,
    )


#: Discrepancies that the comparison at size has to catch at standard effort.
LARGE_DEMANDS = {"expected_rejections": 0.1, "rejections_by_step": 0.01}


def _block_length(pair: ModelPair) -> int:
    """Return a short draft length: exact laws of block verification keep a ratio per drafted path."""
    return 2 if pair.tokens > 4 else 4


def _same(algorithms: Iterable[Algorithm]) -> AlgorithmsFor:
    fixed = tuple(algorithms)
    return lambda pair: fixed


CLAIMS = (
    _claim(
        "laws-autoregressive",
        "Plain decoding: all laws",
        "2411.00841, Algorithm 3",
        tiny=_same(descriptors.AUTOREGRESSIVE),
        large=_same(descriptors.AUTOREGRESSIVE),
        regression=_same((Autoregressive(),)),
        mutants=("autoregressive-from-draft",),
    ),
    _claim(
        "laws-speculative",
        "Speculative decoding: all laws",
        "2411.00841, Algorithm 1; 2211.17192; 2302.01318",
        tiny=_same(descriptors.SPECULATIVE),
        large=_same((Speculative(), Speculative(draft_length=4), Speculative(draft_length=5, bonus=False))),
        regression=_same((Speculative(), Speculative(draft_length=2))),
        mutants=(
            "bonus-counted-as-rejection",
            "bonus-missing",
            "residual-from-target",
            "no-restart-after-rejection",
            "context-never-advances",
            "draft-length-off-by-one",
            "residual-counted-as-accepted",
            "theory-steps-shifted",
            "theory-first-round-is-every-round",
        ),
    ),
    _claim(
        "laws-rejection-based",
        "Any member of the rejection-based family: all laws",
        "2411.00841, Algorithm 2",
        tiny=lambda pair: (
            descriptors.biased_member(pair, seed=5),
            descriptors.biased_member(pair, seed=6, draft_length=2, bonus=True),
            descriptors.speculative_member(pair),
        ),
        large=lambda pair: (
            descriptors.biased_member(pair, seed=7),
            descriptors.biased_member(pair, seed=8, draft_length=3),
        ),
        regression=lambda pair: (descriptors.biased_member(pair, seed=9),),
        mutants=("acceptance-ignored",),
        most_tokens=16,
    ),
    _claim(
        "laws-over-acceptance",
        "Over-acceptance decoders: rejections and output law",
        "2411.00841, section 4.2 and Appendix G",
        tiny=_same(descriptors.OVER_ACCEPTANCE),
        large=_same(
            (
                OverAcceptance(epsilon=0.05),
                OverAcceptance(epsilon=0.05, residual="target"),
                OverAcceptance(epsilon=0.05, residual="draft", draft_length=4, bonus=False),
            )
        ),
        regression=_same((OverAcceptance(epsilon=0.0625), OverAcceptance(epsilon=0.0625, residual="target"))),
        mutants=("epsilon-ignored", "residuals-swapped"),
    ),
    _claim(
        "laws-batch",
        "Batch speculative decoding: all laws",
        "2411.00841, Algorithm 4, corrected",
        tiny=_same(descriptors.BATCH),
        large=_same((Batch(drafts=2), Batch(drafts=5), Batch(drafts=3, draft_length=4, bonus=False))),
        regression=_same((Batch(drafts=3), Batch(drafts=2, draft_length=2, bonus=False))),
        mutants=("one-draft-fewer", "chain-not-updated"),
    ),
    _claim(
        "laws-batch-as-printed",
        "Algorithm 4 as printed: all laws of what it really does",
        "2411.00841, Algorithm 4",
        tiny=_same(descriptors.AS_PRINTED),
        large=_same(
            (
                BatchAsPrinted(drafts=2, slip="inside-loop"),
                BatchAsPrinted(drafts=4, slip="extra-subtraction"),
            )
        ),
        regression=_same((BatchAsPrinted(drafts=2, slip="extra-subtraction"),)),
        mutants=("printed-is-corrected",),
    ),
    _claim(
        "laws-block-verification",
        "Block verification: all laws",
        "2403.10444",
        tiny=_same(descriptors.BLOCK),
        large=lambda pair: (
            BlockVerification(draft_length=_block_length(pair)),
            BlockVerification(draft_length=_block_length(pair), bonus=False),
        ),
        regression=_same((BlockVerification(), BlockVerification(draft_length=2))),
        mutants=("block-is-token-wise",),
        most_tokens=9,
        most_standard=500,
    ),
)
