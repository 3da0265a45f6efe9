"""The check of options that are given together, and at large sizes."""

from specsim.validation.conformance.checks.base import Statistical, check, law_picture, lossless_only
from specsim.validation.conformance.checks.step import STEPS
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.step_combinations import StepCombinations, step_pairs
from specsim.validation.conformance.subjects import Subject

#: Rows for each pair, at least, if a call were for one pair alone.
ROWS = 150


def _why_not(subject: Subject) -> str:
    few = "" if step_pairs(subject) else "the sampler has no option to combine"
    return few or lossless_only(subject)


@check(
    "combinations",
    "two options at a time and more, also with long drafts, many rows, a wide vocabulary",
    protocols=STEPS,
    why_not=_why_not,
    catches="options that are right alone and wrong together, or wrong at some sizes",
    weight=2.0,
)
def _combinations(lab: Laboratory) -> Statistical:
    probe = StepCombinations(lab.caller("combinations"), lab.rng("combinations"), seed=lab.instance_seed)
    looks = probe.looks(lab.tolerance)
    return Statistical(
        probe=probe,
        looks=looks,
        planned=max(2 * lab.side_samples, ROWS * len(probe.pairs)),
        picture=lambda: law_picture("place of tokens in their row, one pair of options", looks[0]),
    )


CHECKS = (_combinations,)
