"""The registry of what `specsim.models.measure` returns."""

from __future__ import annotations

from specsim.support.labelled import Variable, registry

_RUN = ("repeat", "prompt")
_PLACE = ("repeat", "prompt", "step")
_ESTIMATE = ("statistic",)

VARIABLES = registry(
    (
        Variable(
            name="total_variation",
            dims=_PLACE,
            meaning="Total variation distance of draft and target row along plain continuations.",
        ),
        Variable(
            name="outcome",
            dims=_PLACE,
            dtype="int8",
            meaning="What happened at each place: 0 accepted, 1 rejected, 2 bonus token.",
        ),
        Variable(
            name="conditional_rejection",
            dims=_PLACE,
            meaning="Probability of a rejection at the place given everything before it, along the "
            "continuation that was written; nan at bonus tokens.",
        ),
        Variable(
            name="predicted_rejection",
            dims=_PLACE,
            meaning="One sample of the probability of a rejection at the place: total_variation times the "
            "probability that no bonus token stands there; for lossy rules conditional_rejection.",
        ),
        Variable(name="theorem_1", dims=_RUN, meaning="Sum of total_variation: one sample of Theorem 1."),
        Variable(
            name="predicted_rejections",
            dims=_RUN,
            meaning="Sum of predicted_rejection: one sample of the expected rejections.",
        ),
        Variable(name="rejections", dims=_RUN, dtype="int64", meaning="Rejections that happened."),
        Variable(
            name="conditional_rejections",
            dims=_RUN,
            meaning="Sum of conditional_rejection: what was to be expected on this very continuation.",
        ),
        Variable(name="target_calls", dims=_RUN, dtype="int64", meaning="Target calls that were made."),
        Variable(
            name="predicted_target_calls",
            dims=_RUN,
            meaning="Expected target calls given the plain continuation.",
            required=False,
        ),
        Variable(
            name="accepted_length_count",
            dims=("accepted",),
            dtype="int64",
            meaning="Number of rounds with k accepted drafted tokens.",
        ),
        Variable(
            name="accepted_length_law",
            dims=("accepted", "statistic"),
            meaning="Observed share of the rounds with k accepted drafted tokens.",
        ),
        Variable(
            name="predicted_accepted_length_law",
            dims=("accepted", "statistic"),
            meaning="The same as theory has it along the plain continuations.",
            required=False,
        ),
        Variable(
            name="theorem_1_estimate",
            dims=_ESTIMATE,
            meaning="Theorem 1: expected rejections of speculative decoding without bonus tokens.",
        ),
        Variable(
            name="predicted_rejections_estimate", dims=_ESTIMATE, meaning="Expected rejections of this rule."
        ),
        Variable(name="rejections_estimate", dims=_ESTIMATE, meaning="Rejections per sequence, observed."),
        Variable(
            name="difference_estimate",
            dims=_ESTIMATE,
            meaning="Rejections minus predicted ones, paired by prompt.",
        ),
        Variable(
            name="paired_difference_estimate",
            dims=_ESTIMATE,
            meaning="Rejections minus what was to be expected on the very same continuation; the error is "
            "that of the martingale, known from the rows.",
        ),
        Variable(
            name="block_efficiency_estimate", dims=_ESTIMATE, meaning="Tokens per target call, observed."
        ),
        Variable(
            name="predicted_block_efficiency_estimate",
            dims=_ESTIMATE,
            meaning="The same as theory has it along the plain continuations.",
            required=False,
        ),
        Variable(
            name="seconds",
            dims=("decoder", "repeat", "part"),
            meaning="Wall-clock time of each decoder, split into prompts, draft, verify and overhead.",
        ),
        Variable(
            name="speed_up",
            dims=("repeat",),
            meaning="Wall-clock time of plain decoding over that of this rule, same code, same prompts.",
        ),
        Variable(
            name="speed_up_range", dims=_ESTIMATE, meaning="Median of speed_up, nan, smallest and largest."
        ),
        Variable(name="rejection_p_value", dims=(), meaning="Of the betting test of rejections."),
        Variable(name="token_p_value", dims=(), meaning="Of the betting test of the tokens written."),
        Variable(
            name="detectable_factor",
            dims=(),
            meaning="Factor on all rejection probabilities that this run would have given away with "
            "probability about 0.999.",
        ),
        Variable(
            name="row_difference",
            dims=(),
            meaning="Largest total variation distance between a row that the decoder used, from its cache, "
            "and the row of a whole forward pass, over the first prompts.",
        ),
    )
)

#: Attributes that every measurement carries.
ATTRIBUTES = (
    "specsim", "torch", "transformers", "target", "draft", "vocabulary", "device", "sampling", "seed",
    "algorithm", "lossless", "new_tokens", "prompts", "repeats", "alpha", "agrees", "confidence",
)  # fmt: skip
