"""What to change: one sentence for every known bug, for every class of bugs, and for every check."""

from __future__ import annotations

from specsim.validation.conformance.rules.base import Rule

#: By the name of a wrong rule.
CHANGES = {
    # Replacement of a rejected token.
    "recovery-from-target": (
        "replace a rejected token by a draw from normalised max(target - draft, 0), not from target"
    ),
    "recovery-excess": "the residual is max(target - draft, 0); swap the two rows in the subtraction",
    "recovery-distance": "take the positive part max(target - draft, 0), not abs(target - draft)",
    "ratio-without-rejected": (
        "subtract the draft row and cut at 0; zeroing the rejected token is for drafts without rows"
    ),
    "one-hot-gap": (
        "sampled drafts are accepted with min(1, target / draft); target alone is for drafts without rows"
    ),
    "recovery-log-ratio": (
        "compute max(target - draft, 0) from probabilities in float32, not log(1 - ratio) from logits"
    ),
    "residual-clamped": "cut the residual at 0, and only where its sum is 0 draw from the target",
    "zeroed-residual": "after a failed child replace the row by max(target - draft, 0), normalised",
    "block-plain-residual": (
        "the residual of block verification is max(weight * target - draft, 0), with the prefix's weight"
    ),
    "block-one-hot": "give block verification the draft rows, or verify token by token where there are none",
    "traversal-row-kept": "when a leaf is deleted, replace its parent's target row by the residual",
    "residual-from-root-rows": "read the rows of the node at which the descent stopped",
    # Acceptance.
    "always-accept": "accept token x only when a fresh uniform is below target[x] / draft[x]",
    "double-ratio": "accept with min(1, target / draft); remove the factor",
    "inverted-ratio": "accept with min(1, target / draft); the draft's probability is the divisor",
    "match-or-ratio": "use one test, not two: a draw from the target that matches, or the ratio test",
    "match-or-one-hot": "use one test, not two: a draw from the target that matches, or the one-hot test",
    "first-unverified": "start the loop over drafted tokens at position 0",
    "first-child-unverified": "test the first child of the root like every other",
    "counts-all": (
        "stop at the first rejection: the accepted length is the number of leading tests that succeed"
    ),
    "capped-ratio": "do not cap the ratio below 1, and draw from the target where the residual is empty",
    "traversal-weight-kept": "when a leaf is deleted, update its parent's weight",
    # Greedy.
    "greedy-test": "at temperature > 0 test by target / draft, not by equality with the target's argmax",
    "greedy-tokens": "at temperature > 0 sample at drafted positions, too, not only the bonus token",
    "greedy-acceptance": (
        "at temperature > 0 test children by probabilities, not by equality with the target's argmax"
    ),
    "silently-greedy": "at temperature > 0 draw from the target row instead of taking its argmax",
    # Bonus token.
    "bonus-from-draft": "draw the bonus token from the target row after the last drafted token",
    "bonus-row-before": "draw the bonus token from target row K (the last), not from row K - 1",
    "bonus-residual": "after a whole accepted draft draw from the target row itself; nothing is subtracted",
    "bonus-unwritten": "write the bonus token before it is counted, and make the buffer K + 1 tokens long",
    "bonus-penalty": "apply penalties to every row that is verified, or to none",
    # Drafts and vocabularies.
    "drafts-top-2": "divide by the row that the drafts were drawn from: after top-k",
    "drafts-argmax": "sample the drafts, or verify greedy drafts as one-hot (accept with target[x])",
    "drafts-temperature": "divide by the row that the drafts were drawn from: at the draft's temperature",
    "drafts-top-p": "divide by the row that the drafts were drawn from: after top-p",
    "drafts-bfloat16": "draw the drafts from the same rounded row that the test divides by",
    "vocabulary-shifted": "map the draft's ids onto the target's before its probabilities are read",
    "vocabulary-permuted": "map the columns of the draft's rows with the same table as the drafted ids",
    # Rows.
    "target-row-after": "test drafted token i with target row i; the rows are read one position too late",
    "target-row-before": "test drafted token i with target row i; the rows are read one position too early",
    "draft-row-after": "test drafted token i with draft row i; the rows are read one position too late",
    "first-row": "index the target rows by position; row 0 is read everywhere",
    "draft-rows-reversed": "append the draft rows in the order of drafting",
    "recovery-row-after": "emit the draw from the row of the rejected token, not from the row after it",
    "zeroed-in-place": "test the token before its mass is taken out, and work on a copy of the row",
    "wrong-logits-slice": "the target row of a node is at the node's own slot; the slice starts one too late",
    "first-sibling-rows": "below a child read that child's target row, not its first sibling's",
    "draft-row-of-child": "a child is tested with the draft row of its parent",
    # Random numbers.
    "shared-gumbel": "draw fresh noise for the replacement; key it by more than seed and position",
    "reused-coin": (
        "draw a fresh uniform for the replacement; the one that failed the test is above the ratio"
    ),
    "reused-coin-blocks": (
        "draw a fresh uniform for the replacement; the one that failed the test is above the ratio"
    ),
    "reused-last-coin": "draw a new uniform for the token after the last test",
    "final-coin-reused": "draw a fresh uniform for the final token",
    "draft-coin": (
        "draw a fresh uniform for every test; drafts and tests must not share a stream or a counter"
    ),
    "one-coin-per-block": "draw one uniform for each drafted token: shape (batch, K), not (batch, 1)",
    "match-one-coin": "draw one uniform for each position: shape (batch, K + 1), not (batch, 1)",
    "one-coin-for-siblings": "draw one uniform for each child",
    "coarse-coins": "use uniforms of at least 24 bits (random 32-bit words, not bytes or half floats)",
    "coarse-gumbel": "make Gumbel noise from uniforms of at least 24 bits",
    "gumbel-24-bits": "make Gumbel noise from float64 uniforms, or -log of an exponential variate",
    # Trees.
    "independent-tests": (
        "after a failed child test the next against the residual, not against the target again"
    ),
    "target-draw-per-branch": "draw from the target once per node and look which child matches",
    "draft-row-not-renormalised": "renormalise the draft row after taking out the children tried before",
    "with-verified-as-without": "declare how children are drawn, and verify them so",
    "duplicates-dropped": "keep equal children, or draw without replacement and verify so",
    "duplicates-summed": "count equal children once when masses are summed",
    "k-seq-factor-one": "use the factor that k-seq prescribes for the number of children",
    "longest-of-independent-chains": (
        "verify the paths jointly; keeping the longest of several favours accepted ones"
    ),
    # Decoders.
    "first-token-greedy": "sample the first token after the prompt like every other",
    "first-token-from-draft": "draw the first token after the prompt from the target",
    "target-keeps-rejected": "cut the target's cache or state back to the accepted tokens after a rejection",
    "target-misses-last": (
        "feed the last emitted token (replacement or bonus) to the target before the next round"
    ),
    "target-forgets": "keep the target's cache between rounds: it sees only the tokens since the round began",
    "draft-for-target": "verify with the target's rows; the draft's are read",
}

#: By the class of a wrong rule, where it has no sentence of its own.
CLASS_CHANGES = {
    "1": "draw every drafted token from the very row that the test divides by",
    "2": "replace a rejected token by a draw from normalised max(target - draft, 0)",
    "3": "accept drafted token x when a fresh uniform is below target[x] / draft[x]",
    "4": "use every random number once, and give it enough bits",
    "6": "test drafted token i with target row i and draft row i; the bonus token has row K",
    "7": "at temperature > 0 sample instead of taking the argmax",
    "8": "treat zeros, empty residuals and NaN explicitly",
    "9": "draw the bonus token from the target row after the last drafted token",
    "11": "verify children in the way in which they were drawn",
    "12": "map ids and probabilities of the draft with the same table",
    "13": "declare the lossy rule (--rule), or turn the option off",
}

_SIDES = ", to both sides; or declare --filters target when drafts come from the whole draft row"

#: Where `repeated-draws` fails because of a wrong distribution: (cause, what to change).
FEW_TOKENS = (
    "draws are the same too often in all calls: a few tokens, or acceptance, are too likely",
    "look at sums and uniforms in a narrow type, at ids or candidates for which there is no room, and at"
    " what is taken for greedy",
)

#: What a failed check means when the main experiment shows nothing: (cause, what to change).
BY_CHECK = {
    "determinism": (
        "the output is no function of inputs and seed",
        (
            "draw everything from one generator made of the seed in the call; no global generator, no clock, "
            "and nothing that is kept between calls"
        ),
    ),
    "untouched-inputs": (
        "the call writes to its inputs",
        "copy a row before it is divided, zeroed or normalised",
    ),
    "forced-coins": (
        "a coin at the end of its range is treated wrongly",
        (
            "accept when coin < ratio (strictly), and let the last token of positive mass take what "
            "rounding leaves"
        ),
    ),
    "seed-independence": (
        "calls under different seeds share random numbers",
        (
            "make the generator of a call from all bits of its seed, and of (seed, row) as a pair, "
            "not of seed + row"
        ),
    ),
    "single-rows": (
        "calls of one row are wrong, calls of many are right",
        "look at axes of length one, and at what is drawn or computed once for each call",
    ),
    "seed-collisions": (
        "seeds are reduced to few values",
        "make the generator from all bits of the seed; no modulus, no short hash, no pool of generators",
    ),
    "repeated-draws": (
        "random numbers are used again in other rows, at other places, or under seeds near each other",
        "draw all rows and places from one generator made from the seed, or from children of it"
        " (np.random.SeedSequence.spawn); do not calculate with seeds",
    ),
    "request-independence": (
        "rows with neighbouring seeds of their own share random numbers",
        "make the generator of a row from all bits of its seed, and add nothing to it: no position, no round",
    ),
    "sample-independence": (
        "samples share random numbers",
        "make the generator of a sample from the seed of its request and its own number, as a pair",
    ),
    "batch-independence": (
        "rows of one call share random numbers",
        "draw random numbers of shape (batch, ...), one for each row",
    ),
    "option-values": (
        "an option is right for common values only: others are clamped, rounded, or taken for off",
        "use each value as it was given, on both sides, from nearly greedy to switched off",
    ),
    "combinations": (
        "options that are right alone are wrong together, or at some size",
        "look at paths that are taken for several options at once, for one row, or for large sizes",
    ),
    "mixed-temperatures": (
        "rows with temperatures of their own are treated wrongly",
        "take the temperature of each row, on both sides; 0 is greedy",
    ),
    "temperature": (
        "the temperature is not applied as asked",
        "apply it once, to target and draft rows alike",
    ),
    "top-k": ("top-k is not applied as asked", f"apply it once{_SIDES}"),
    "top-p": ("top-p is not applied as asked", f"apply it once, after temperature and top-k{_SIDES}"),
    "min-p": ("min-p is not applied as asked", f"apply it once, after temperature, top-k and top-p{_SIDES}"),
    "typical-p": ("typical-p is not applied as asked", f"apply it once, after all other filters{_SIDES}"),
    "top-k-ties": (
        "drafting and verification treat ties of top-k differently",
        "keep the same tokens on both sides where several are as likely as the k-th",
    ),
    "processing": (
        "the declared processing is missing at some tokens, or sees other tokens than those of the text",
        "process every row that is verified or drawn from, after the accepted tokens before it; rejected"
        " tokens do not count",
    ),
    "ends": (
        "texts do not end where they should",
        "look for the first end among the emitted tokens of a round, drafted ones included, and drop what"
        " follows",
    ),
    "request-law": (
        "rows with seeds of their own are not distributed as the target",
        "draw each row's tests and tokens from a generator of its own seed, and each number once",
    ),
    "samples": (
        "the samples of a request are not distributed as the target",
        "decode every sample like a single one",
    ),
    "draft-vocabulary": (
        "drafts of a smaller vocabulary are verified wrongly",
        "map the draft's ids and the columns of its rows with d2t before they are compared with the target's;"
        " tokens that the draft lacks have draft probability 0",
    ),
    "chosen-lengths": (
        "drafts whose length the sampler chooses are verified wrongly",
        "choose the length before the next token is drawn, or verify the token that was drawn; take the"
        " bonus token of a shorter draft from the target row after its last token",
    ),
    "whole-prefix": (
        "tokens depend on something else than the whole text before them",
        "look at caches: tokens that are missing, kept after a rejection, or overwritten",
    ),
    "zero-mass": (
        "rows with zeros are treated wrongly",
        (
            "reject a token of target mass 0 and replace it from the residual like any other; no "
            "epsilon, no special case"
        ),
    ),
    "equal-rows": (
        "an empty residual is treated wrongly",
        "draw from the target where max(target - draft, 0) sums to 0",
    ),
    "peaked-rows": (
        "rows with one nearly certain token are treated wrongly",
        "no threshold above which a row is greedy or a draft accepted; draw and test as always",
    ),
    "tiny-mass": (
        "small probabilities are lost",
        "no epsilon in divisions, no threshold; compare u * draft < target",
    ),
    "edge-rows": (
        "rows with zeros, of one token, nearly certain or nearly equal are treated wrongly",
        "test every draft with its ratio, whatever the rows look like; replace from normalised"
        " max(target - draft, 0), zeros of the draft included",
    ),
    "types": (
        "rows of another type are treated wrongly",
        "convert rows to float32 or float64 first, all of them, and do the same with every type",
    ),
    "one-hot-drafts": (
        "drafts without rows are verified wrongly",
        "without draft rows accept x with target[x], and replace from the target without x",
    ),
    "wide-vocabulary": (
        "something depends on the size of the vocabulary",
        (
            "look for ids cut or shifted, partial blocks that are skipped, sums in a narrow type, "
            "uniforms of few bits"
        ),
    ),
    "batch-rows": (
        "a row of a batch uses another row's data",
        "index rows, drafts, lengths and coins by the batch row",
    ),
    "ragged": (
        "short drafts of a batch are verified wrongly",
        "ignore everything after a row's own draft length",
    ),
    "sizes": (
        "the law depends on the size of a call, of a draft or of the vocabulary",
        "look for axes of length one that vanish, and for buffers and masks of a fixed size",
    ),
    "draft-lengths": (
        "the law depends on the length of the draft",
        "look for buffers and masks of a fixed size",
    ),
    "rounds": (
        "a round depends on what the round before rejected: random numbers are used again",
        "draw drafts and tests of every round with new random numbers; a key of seed and position is not "
        "enough where verification reads tokens that it then drops, as in blocks",
    ),
    "long-texts": ("texts go wrong after many tokens", "look for caches that are moved, cut or full"),
    "prompts": (
        "the prompt is not read as given",
        "feed every prompt token of every row before the first round",
    ),
    "transitions": (
        "tokens are drawn in a wrong context",
        "cut or extend caches to the emitted tokens after every round",
    ),
    "first-token": (
        "the first emitted token is not distributed as the target",
        "look at the rows of the first position, and at what decides how many tokens are drafted",
    ),
    "acceptance": (
        "drafted tokens are not accepted as by the declared rule",
        "compare the test, and the rows that it reads, with the rule",
    ),
    "residual": (
        "rejected tokens are not replaced as by the declared rule",
        "compare the residual, and the rows that it reads, with the rule",
    ),
    "accepted-length": (
        "the number of accepted tokens is not that of the declared rule",
        "look at where tests stop, and at coins that several tests share",
    ),
    "bonus": (
        "the token after a whole accepted draft is not the declared rule's",
        "draw it from target row K, unchanged, with a separate random number",
    ),
    "draft-law": (
        "drafted tokens are not distributed as the draft",
        "draw every drafted token from the very row that the test divides by",
    ),
    "tree-acceptance": (
        "children are not accepted as by the declared rule",
        "compare the test of a child, and the rows that it reads, with the rule",
    ),
    "joint-law": (
        "emitted tokens are not distributed as the target",
        "look for random numbers that are used twice, and for rows of another position",
    ),
    "tree-law": (
        "emitted tokens are not distributed as the target",
        "compare the way in which children are drawn with the way in which they are verified",
    ),
    "tree-shapes": (
        "trees of some shapes are verified wrongly",
        "read parents and rows by node; leaves may be at any depth",
    ),
}

#: What refuses rows that are not finite, by framework and inputs; logits may be minus infinity.
GUARDS = {
    ("numpy", "probabilities"): "np.isfinite(x).all()",
    ("numpy", "logits"): "(x < np.inf).all()",
    ("torch", "probabilities"): "torch.isfinite(x).all()",
    ("torch", "logits"): "(x < float('inf')).all()",
}


def change_for(rule: Rule) -> str:
    """Return what to change in a sampler that follows this wrong rule."""
    return CHANGES.get(rule.name) or CLASS_CHANGES.get(rule.bug_class.split(" ")[0], "")


def guard_line(framework: str, inputs: str, *, draft: bool) -> str:
    """Return the line that refuses rows with NaN or infinity."""
    rows = "(target, draft)" if draft else "(target,)"
    return f"if not all({GUARDS[framework, inputs]} for x in {rows}): raise ValueError('rows must be finite')"
