"""Checks at every size, and of decoders on texts whose every token counts."""

from specsim.validation.conformance.checks.base import Statistical, check, law_picture, lossless_only
from specsim.validation.conformance.checks.step import STEPS
from specsim.validation.conformance.decoder_sizes import DecoderSizes
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.sizes import SizesProbe, StepSizes
from specsim.validation.conformance.tree_sizes import TreeSizes


def sized(lab: Laboratory, probe: SizesProbe) -> Statistical:
    """Return the procedure of an experiment at many sizes, or under many settings."""
    looks = probe.looks(lab.tolerance)
    return Statistical(
        probe=probe,
        looks=looks,
        planned=probe.planned,
        picture=lambda: law_picture("ranks of emitted tokens, one level", looks[0]),
    )


def _make(lab: Laboratory) -> Statistical:
    caller, rng, seed = lab.caller("sizes"), lab.rng("sizes"), lab.instance_seed
    protocol = lab.subject.protocol
    if protocol == "tree":
        return sized(lab, TreeSizes(caller, rng, lab.per_level, seed=seed))
    if protocol == "decoder":
        few = max(48, lab.per_level // 3)
        return sized(lab, DecoderSizes(caller, rng, few, seed=seed, drafts=lab.draft_length, long=True))
    return sized(lab, StepSizes(caller, rng, lab.per_level, seed=seed))


SIZES = check(
    "sizes",
    "drafts of 1 to 16 tokens; batches, vocabularies, trees, prompts and texts of every octave",
    protocols=(*STEPS, "tree", "decoder"),
    rows_by_text=False,
    why_not=lossless_only,
    catches="buffers, pages, masks and kernels that are right for some sizes only",
    weight=2.0,
)(_make)


@check(
    "whole-prefix",
    "rank of every token in rows that depend on every token before, from the first of the prompt on",
    protocols=("decoder",),
    rows_by_text=False,
    why_not=lossless_only,
    catches="tokens of the past forgotten, kept after a rejection, or read from a stale page",
    weight=2.0,
)
def _whole_prefix(lab: Laboratory) -> Statistical:
    probe = DecoderSizes(
        lab.caller("whole prefix"),
        lab.rng("whole prefix"),
        max(48, lab.per_level // 3),
        seed=lab.instance_seed,
        drafts=lab.draft_length,
        long=False,
    )
    return sized(lab, probe)


CHECKS = (_whole_prefix, SIZES)
