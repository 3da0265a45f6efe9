"""Simulators that take one verification rule for another, which leaves the law of the output right."""

from specsim.validation.mutants.model import Mutant
from specsim.validation.mutants.substitutions import substitute_rule

#: The rule that is asked for, the one that runs, and what the mix-up amounts to.
_MIXED_UP = (
    ("batch-as-printed", "recursive", "Neither slip of the print is made.", "2411.00841, Algorithm 4"),
    ("gumbel", "ratio", "Drafting and testing share no noise.", "2408.07978"),
    ("greedy-drafts", "recursive", "The likeliest tokens are not fixed.", "2502.18779"),
    ("k-seq", "recursive", "Failures update the target between the tests of siblings.", "2310.15141"),
    (
        "match",
        "recursive",
        "Children are tested by ratios instead of one draw from the target.",
        "2310.15141",
    ),
    ("one-hot", "recursive", "Drafts without rows are tested with rows.", "SafeAILab/EAGLE#329"),
    ("recursive-any-order", "match", "One draw from the target decides over all children.", "2305.09781"),
    ("recursive-distinct", "summed-coin", "Siblings are tested by one coin.", "sgl-project/sglang#7207"),
    ("summed-coin", "recursive-distinct", "Siblings are tested by ratios.", "sgl-project/sglang#7207"),
    ("traversal", "recursive", "The root is tested first instead of the leaves.", "2505.12398"),
    (
        "traversal-distinct",
        "recursive-distinct",
        "The root is tested first instead of the leaves.",
        "2505.12398",
    ),
)

MUTANTS = tuple(
    Mutant(
        name=f"{rule}-is-{other}",
        description=f"Where the rule {rule} is asked for, {other} runs. {amounts_to}",
        cite=cite,
        apply=substitute_rule(rule, other),
        kills=(f"specsim.laws-{rule}",),
    )
    for rule, other, amounts_to, cite in _MIXED_UP
)
