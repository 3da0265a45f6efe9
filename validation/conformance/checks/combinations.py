"""The check of options that are given together, and at large sizes."""

from specsim.validation.conformance.checks.base import Statistical, check, law_picture, lossless_only
from specsim.validation.conformance.checks.step import STEPS
from specsim.validation.conformance.combinations import Combinations
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.step_combinations import StepCombinations, step_pairs
from specsim.validation.conformance.subjects import Subject
from specsim.validation.conformance.text_combinations import TextCombinations, text_pairs

#: Rows for each pair, at least, if a call were for one pair alone.
ROWS = 150
#: The same of texts, which take longer, and texts in all.
TEXTS, ALL_TEXTS = 30, 1500


def _why_not(subject: Subject) -> str:
    pairs = text_pairs(subject) if subject.protocol == "decoder" else step_pairs(subject)
    return lossless_only(subject) if pairs else "the sampler has no option to combine"


class Together(Statistical):
    """A procedure that says which options are wrong together."""

    def where_wrong(self) -> str:
        """Return the options that all wrong pairs have."""
        assert isinstance(self.probe, Combinations)
        common = self.probe.where()
        return f"only with {common}" if common else ""


@check(
    "combinations",
    "two options at a time and more, processing, long drafts, many rows, wide vocabularies, long texts",
    protocols=(*STEPS, "decoder"),
    why_not=_why_not,
    catches="options that are right alone and wrong together, or wrong at some sizes",
    weight=2.0,
)
def _combinations(lab: Laboratory) -> Statistical:
    caller, rng = lab.caller("combinations"), lab.rng("combinations")
    probe: Combinations
    if lab.subject.protocol == "decoder":
        probe = TextCombinations(caller, rng, seed=lab.instance_seed)
        planned = max(ALL_TEXTS, max(TEXTS, lab.per_level // 4) * len(probe.pairs))
    else:
        probe = StepCombinations(caller, rng, seed=lab.instance_seed)
        planned = max(2 * lab.side_samples, ROWS * len(probe.pairs))
    looks = probe.looks(lab.tolerance)
    return Together(
        probe=probe,
        looks=looks,
        planned=planned,
        picture=lambda: law_picture("place of tokens in their row, one pair of options", looks[0]),
    )


CHECKS = (_combinations,)
