"""The facts of the rule ``confidence-tree``.

EAGLE-2 expands at most as many nodes of a level as a node has children. That changes the tree only where more
of a level are among those that are kept.
"""

from specsim.algorithms.rule import Parameter, Rule

RULE = Rule(
    name="confidence-tree",
    title="keep the tree nodes with the largest draft probabilities; draw from the target at each node",
    source="2406.16858 (EAGLE-2, dynamic draft trees); verification as in sgl-project/sglang#7207",
    aliases=("eagle-tree",),
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("greedy",),
    parameters={
        "size": Parameter(
            meaning="Drafted tokens that are kept; what is emitted where none is left counts as rejected.",
            default=60,
            kind="whole",
            examples=(2, 1, 3),
        )
    },
    absent={
        "torch_rule": "the decoder gives every round the same tree",
        "claims": "only the generated claims about all distributions are checked",
    },
)
