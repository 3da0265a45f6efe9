"""The engines other than lockstep, checked against theory: what they take from theorems, and run by run."""

from collections.abc import Callable, Iterator

from specsim import Batch, BatchAsPrinted, ModelPair, OverAcceptance, Speculative
from specsim.algorithms import Algorithm, catalogue, tree
from specsim.validation.builders import agreement_check
from specsim.validation.claims_model import Claim, StatisticalCheck, Verdict
from specsim.validation.instances import large_pairs, paper_pairs, small_trees
from specsim.validation.running.effort import Effort

#: Each meets every pair in turn; together they reach every table and every kernel of the fast engines.
ALGORITHMS: tuple[Algorithm, ...] = (
    Speculative(),
    Batch(drafts=4),
    Speculative(draft_length=4),
    OverAcceptance(epsilon=0.05, residual="target"),
    Batch(drafts=3, draft_length=3, bonus=True),
    BatchAsPrinted(drafts=2, slip="inside-loop"),
)

_TREE = tree((-1, 0, 0, 1))

_STATISTICS = (
    "expected_rejections",
    "expected_target_calls",
    "rejection_law",
    "target_call_law",
    "first_accepted_length_law",
    "rejections_by_step",
    "output_marginals",
)
_DEMANDS = {"expected_rejections": 0.1, "rejections_by_step": 0.01}
#: Largest number of states (rejections x accepted x contexts) for which counts of runs are moved fast.
_MOST_STATES = 60_000


def _at_size(most_states: int | None) -> Callable[[Effort], Iterator[tuple[ModelPair, Algorithm]]]:
    def cases(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
        every = effort.pick(quick=2, standard=2, deep=len(ALGORITHMS))
        for number, pair in enumerate((*paper_pairs(), *large_pairs(effort.name))):
            states = pair.contexts * (pair.horizon + 1) ** 2
            if most_states is not None and states > most_states:
                continue
            if effort.name == "quick" and pair.contexts * pair.horizon > 2000:
                continue
            for turn in range(every):
                yield pair, ALGORITHMS[(number + turn) % len(ALGORITHMS)]

    return cases


def _on_trees(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    for number, pair in enumerate(small_trees(effort.name)):
        for turn in range(effort.pick(quick=2, standard=3, deep=len(ALGORITHMS))):
            yield pair, ALGORITHMS[(number + turn) % len(ALGORITHMS)]


def _with_kernels(effort: Effort) -> Iterator[tuple[ModelPair, Algorithm]]:
    """Every rule with a kernel, and a program to enumerate, on a chain or on a tree whose nodes differ."""
    pairs = list(small_trees(effort.name))
    rules = [
        rule
        for rule in catalogue().values()
        if {"kernel", "program"} <= set(rule.texts) and not rule.parameters
    ]
    for number, rule in enumerate(rules):
        algorithm = rule(tree=_TREE) if "tree" in rule.structures else rule(draft_length=2)
        for turn in range(effort.pick(quick=1, standard=2, deep=len(pairs))):
            yield pairs[(number + turn) % len(pairs)], algorithm


def _claim(
    engine: str,
    title: str,
    statement: str,
    checks: tuple[StatisticalCheck, ...],
    source: str = "2411.00841, Theorems 1 and 3, of which this engine makes use",
) -> Claim:
    return Claim(
        id=f"specsim.engine-{engine}",
        title=title,
        statement=statement,
        source=source,
        verdict=Verdict.HOLDS,
        checks=checks,
        mutants=("epsilon-ignored", "one-draft-fewer", "residual-from-target"),
    )


CLAIMS = (
    _claim(
        "literal",
        "The literal engine has the laws of every rule, and of what the lockstep engine runs",
        "Rounds that are drafted whole and verified by the rule's kernel give every tally the law that "
        "theory computes, with which lockstep is compared elsewhere.",
        (
            agreement_check(
                "joint law of every rule",
                _with_kernels,
                statistics=("joint_law", "accepted_length_counts"),
                demands={"joint_law": 0.03},
                engine="literal",
            ),
            agreement_check(
                "joint law on small trees",
                _on_trees,
                statistics=("joint_law", "accepted_length_counts"),
                demands={"joint_law": 0.03},
                engine="literal",
            ),
        ),
        source="2411.00841, Algorithms 1, 2 and 4; 2403.10444; the other rules as their facts say",
    ),
    _claim(
        "lockstep",
        "The lockstep engine has the laws of the literal engine",
        "A word that drafts, tests and replaces gives every tally the law that theory computes, which the "
        "literal engine is compared with as well.",
        (
            agreement_check(
                "joint law on small trees",
                _on_trees,
                statistics=("joint_law", "accepted_length_counts"),
                demands={"joint_law": 0.03},
                engine="lockstep",
            ),
        ),
    ),
    _claim(
        "alias",
        "The alias engine has the laws of the literal algorithm",
        "One draw of (token, rejected or not) per position gives every tally the law that theory computes.",
        (
            agreement_check(
                "laws at size", _at_size(None), statistics=_STATISTICS, demands=_DEMANDS, engine="alias"
            ),
            agreement_check(
                "joint law on small trees",
                _on_trees,
                statistics=("joint_law", "accepted_length_counts"),
                demands={"joint_law": 0.03},
                engine="alias",
            ),
        ),
    ),
    _claim(
        "population",
        "The population engine has the laws of the literal algorithm",
        "Moving counts of runs instead of runs gives every tally the law that theory computes.",
        (
            agreement_check(
                "laws at size",
                _at_size(_MOST_STATES),
                statistics=_STATISTICS,
                demands=_DEMANDS,
                engine="population",
            ),
        ),
    ),
)
