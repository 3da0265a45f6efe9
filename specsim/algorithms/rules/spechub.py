"""The facts of the rule ``spechub``."""

from specsim.algorithms.rule import Rule

RULE = Rule(
    name="spechub",
    title="one of two children is the draft's most probable token; the other one is tested first",
    source="2411.05289; MasterGodzilla/Speculative_decoding_OT, Sequoia/Tree/MyTree.py",
    lossless=True,
    structures=("chain", "paths", "tree"),
    drawings=("own",),
    absent={
        "torch_rule": "the decoder draws every draft token by one law; here the children have two",
        "claims": "only the generated claims about all distributions are checked",
    },
)
