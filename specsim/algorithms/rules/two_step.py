"""The facts of the rule ``two-step``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="two-step",
    title="select the child with the largest target / draft, and test it once",
    source="2410.18234 (selection and one test); selection by quotients: 2602.16961",
    aliases=("canonical-form",),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("independent",),
    absent={
        "torch_rule": "the law of the selected child needs a sort of the vocabulary at every node",
        "claims": "only the generated claims about all distributions are checked",
    },
)
