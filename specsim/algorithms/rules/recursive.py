"""The facts of the rule ``recursive``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="recursive",
    title="test the children of a node in turn; each failure replaces the target by its residual",
    source="2305.09781; 2401.06706; 2411.00841, Algorithm 4 (root)",
    aliases=("recursive-with-replacement",),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("independent",),
    absent={
        "claims": "its statements are those of the paper: theorem_3.py, proposition_1.py, batch_examples.py",
    },
)
