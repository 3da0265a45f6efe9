"""Simulators that take one verification rule for another, most of them for a lossless one."""

from specsim.validation.mutants.model import Mutant
from specsim.validation.mutants.substitutions import substitute_rule

#: The rule that is asked for, the one that runs, and what the mix-up amounts to.
_MIXED_UP = (
    ("batch-as-printed", "recursive", "Neither error of the paper is made.", "2411.00841, Algorithm 4"),
    ("confidence-tree", "summed-coin", "All drafted tokens are kept.", "2406.16858"),
    ("gumbel", "ratio", "Drafting and testing share no noise.", "2408.07978"),
    ("greedy-drafts", "recursive", "The likeliest tokens are not fixed.", "2502.18779"),
    ("greedy-block", "two-step", "The selected path is verified token by token.", "2602.16961"),
    ("k-seq", "recursive", "Failures update the target between the tests of siblings.", "2310.15141"),
    (
        "match",
        "recursive",
        "Children are tested by ratios instead of one draw from the target.",
        "2310.15141",
    ),
    ("minhash", "gumbel", "The noise races tokens instead of throwing points at them.", "2408.07978"),
    (
        "naive-draws",
        "match",
        "One draw from the target serves all children.",
        "foundation-model-stack/fms-extras#12",
    ),
    ("one-hot", "recursive", "Drafts without rows are tested with rows.", "SafeAILab/EAGLE#329"),
    ("recursive-any-order", "match", "One draw from the target decides over all children.", "2305.09781"),
    ("recursive-distinct", "summed-coin", "Siblings are tested by one coin.", "sgl-project/sglang#7207"),
    ("spechub", "recursive", "Children are drawn alike and tested in turn.", "2411.05289"),
    ("summed-coin", "recursive-distinct", "Siblings are tested by ratios.", "sgl-project/sglang#7207"),
    ("traversal", "recursive", "The root is tested first instead of the leaves.", "2505.12398"),
    ("two-step", "recursive", "No child is selected; all are tested in turn.", "2410.18234"),
    ("transport", "recursive", "Children are tested in turn instead of by a plan.", "2310.15141"),
    (
        "transport-distinct",
        "recursive-distinct",
        "Children are tested in turn instead of by a plan.",
        "2310.15141",
    ),
    (
        "traversal-distinct",
        "recursive-distinct",
        "The root is tested first instead of the leaves.",
        "2505.12398",
    ),
    ("lenience", "ratio", "The draft is not scaled.", "2211.17192, Appendix A.5"),
    ("entropy-lenience", "ratio", "The entropy changes nothing.", "vllm-project/vllm-ascend#9772"),
    ("typical", "ratio", "Tokens are tested by ratios.", "2401.10774"),
    ("near-best", "match", "A target token is drawn instead of its best one.", "NVIDIA/TensorRT-LLM#3865"),
    ("ensemble", "ratio", "The target is decoded alone.", "2405.19261"),
    ("cascade", "ratio", "The draft always defers.", "2405.19261"),
    ("mentored", "ratio", "No divergence is allowed.", "2609.30474"),
    ("summed-coin-thresholds", "summed-coin", "Thresholds change nothing.", "sgl-project/sglang#7207"),
    ("window-override", "ratio", "No rejection is overridden.", "2511.22972"),
    ("block-uncapped-whole", "block", "The product is capped: the repair.", "2601.05724"),
    (
        "block-product-coins",
        "block",
        "Every test has its own coin: the repair.",
        "vllm-project/vllm-ascend#7807",
    ),
    ("block-kept-coins", "block", "Every round has its own coins: the repair.", "vLLM 0.30.0"),
    ("block-token-residual", "block", "The residual has its weight: the repair.", "2403.10444"),
    ("drop-unlikely", "ratio", "All drafted tokens are submitted: the repair.", "ggml-org/llama.cpp#22506"),
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
