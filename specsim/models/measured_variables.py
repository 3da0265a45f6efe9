"""The registry of what `specsim.models.measure` returns."""

from specsim.support.labelled import Variable, registry

_RUN = ("repeat", "prompt")
_PLACE = ("repeat", "prompt", "step")
_ESTIMATE = ("statistic",)

VARIABLES = registry((
    Variable("total_variation", _PLACE,
             "Total variation distance of draft and target row along plain continuations."),
    Variable("outcome", _PLACE,
             "What happened at each position: 0 accepted, 1 rejected, 2 bonus token.", dtype="int8"),
    Variable("conditional_rejection", _PLACE,
             "Probability of a rejection at the position given everything before it, along the "
             "emitted continuation; nan at bonus tokens."),
    Variable("predicted_rejection", _PLACE,
             "Estimate from one sample of the probability of a rejection at the position: total_variation "
             "times the probability that it has no bonus token; for lossy rules "
             "conditional_rejection."),
    Variable("theorem_1", _RUN, "Sum of total_variation: estimate of Theorem 1 from one sample."),
    Variable("predicted_rejections", _RUN,
             "Sum of predicted_rejection: estimate of the expected rejections from one sample."),
    Variable("rejections", _RUN, "Observed rejections.", dtype="int64"),
    Variable("conditional_rejections", _RUN,
             "Sum of conditional_rejection: expected rejections given this continuation."),
    Variable("target_calls", _RUN, "Target calls that were made.", dtype="int64"),
    Variable("predicted_target_calls", _RUN,
             "Expected target calls given the plain continuation.", required=False),
    Variable("accepted_length_count", ("accepted",),
             "Number of rounds with k accepted drafted tokens.", dtype="int64"),
    Variable("accepted_length_law", ("accepted", "statistic"),
             "Observed share of the rounds with k accepted drafted tokens."),
    Variable("predicted_accepted_length_law", ("accepted", "statistic"),
             "The same as predicted by theory along the plain continuations.", required=False),
    Variable("theorem_1_estimate", _ESTIMATE,
             "Theorem 1: expected rejections of speculative decoding without bonus tokens."),
    Variable("predicted_rejections_estimate", _ESTIMATE, "Expected rejections of this rule."),
    Variable("rejections_estimate", _ESTIMATE, "Rejections per sequence, observed."),
    Variable("difference_estimate", _ESTIMATE, "Rejections minus predicted ones, paired by prompt."),
    Variable("paired_difference_estimate", _ESTIMATE,
             "Rejections minus their expectation on the same continuation; the standard error is "
             "computed from the rows (martingale)."),
    Variable("block_efficiency_estimate", _ESTIMATE, "Tokens per target call, observed."),
    Variable("predicted_block_efficiency_estimate", _ESTIMATE,
             "The same as predicted by theory along the plain continuations.", required=False),
    Variable("seconds", ("decoder", "repeat", "part"),
             "Wall-clock time of each decoder, split into prompts, draft, verify and overhead."),
    Variable("speed_up", ("repeat",),
             "Wall-clock time of plain decoding over that of this rule, same code, same prompts."),
    Variable("speed_up_range", _ESTIMATE, "Median of speed_up, nan (no error), smallest and largest."),
    Variable("rejection_p_value", (), "P-value of the betting test of rejections."),
    Variable("token_p_value", (), "P-value of the betting test of the emitted tokens."),
    Variable("detectable_factor", (),
             "If all rejection probabilities were wrong by this factor, this run would have detected it "
             "with probability about 0.999."),
    Variable("row_difference", (),
             "Largest total variation distance between a row that the decoder used, from its cache, "
             "and the row of a whole forward pass, over the first prompts."),
))  # fmt: skip

#: Attributes that every measurement carries.
ATTRIBUTES = (
    "specsim", "torch", "transformers", "target", "draft", "vocabulary", "device", "sampling", "seed",
    "algorithm", "lossless", "new_tokens", "prompts", "repeats", "alpha", "agrees", "confidence",
)  # fmt: skip
