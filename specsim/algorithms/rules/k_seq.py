"""The facts of the rule ``k-seq``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="k-seq",
    title="test every child with the target divided by a factor; if all fail, draw from one residual",
    source="2310.15141, Algorithm 2",
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("independent",),
    inexact="the factor solves a polynomial equation and is irrational in general",
    absent={
        "claims": "only the generated claims about all distributions are checked",
    },
)
