"""The facts of the rule ``rejection-based``."""

from specsim.algorithms.rule import Parameter, Rule

RULE = Rule(
    name="rejection-based",
    title="test each drafted token by a table of acceptances, and replace it by a table of residuals",
    source="2411.00841, Algorithm 2",
    lossless=False,
    structures=("chain",),
    drawings=("independent",),
    parameters={
        "acceptance": Parameter(
            meaning="Probability of accepting each token, (steps or 1, contexts, tokens).", kind="table"
        ),
        "residual": Parameter(
            meaning="Law of the token after a rejection, same shape.", kind="table", law=True
        ),
    },
    absent={
        "torch_rule": "its tables have a row for each context, which language models do not have",
        "claims": "its statements are those of the paper: theorem_2.py, trade_off.py",
    },
)
