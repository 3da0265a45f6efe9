"""Claims reduced to their smallest instances, so that many mutants are tested in little time."""

import dataclasses
from collections.abc import Iterator

from specsim.validation.assertions import Assertion
from specsim.validation.claims_model import Check, Claim, RegressionCheck, StatisticalCheck
from specsim.validation.running.effort import Effort
from specsim.validation.witnesses import Witnesses

#: Four times the discrepancies of standard effort; the claims scale the runs by them.
SMALL_EFFORT = Effort(name="quick", discrepancy_factor=4.0, max_runs=4_000_000)


def cut_down(claim: Claim, *, smallest: int = 5) -> Claim:
    """Return the claim with fewer assertions and without regression checks.

    Of each statistical check the assertions on the `smallest` pairs (by positions times contexts times
    tokens) are kept; exact checks are kept whole. A claim that fails when cut down fails in full.
    """
    checks: list[Check] = [
        _cut(check, smallest) for check in claim.checks if not isinstance(check, RegressionCheck)
    ]
    return dataclasses.replace(claim, checks=tuple(checks))


def _cut(check: Check, smallest: int) -> Check:
    if not isinstance(check, StatisticalCheck):
        return check

    def plan(witnesses: Witnesses, effort: Effort) -> Iterator[Assertion]:
        planned = list(check.plan(witnesses, effort))
        sizes = sorted({_size(assertion) for assertion in planned})[:smallest]
        yield from (assertion for assertion in planned if _size(assertion) <= sizes[-1])

    return StatisticalCheck(check.name, plan)


def _size(assertion: Assertion) -> int:
    pair = assertion.request.pair
    return assertion.request.length * pair.contexts * pair.tokens
