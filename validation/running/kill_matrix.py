"""Which claim rejects which mutant."""

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from specsim.validation.claims_model import Claim, RegressionCheck
from specsim.validation.mutants.model import Mutant
from specsim.validation.running.effort import Effort
from specsim.validation.running.outcomes import ClaimOutcome, Status
from specsim.validation.running.runner import DEFAULT_ALPHA, DEFAULT_SEED, validate
from specsim.validation.witnesses import Witnesses, as_built


@dataclass(frozen=True, kw_only=True)
class Kill:
    """One mutant against one claim.

    mutant, claim: names.
    killed: whether the claim was contradicted. A crash does not count.
    status: how the claim came out.
    evidence: the first failure, in one line.
    """

    mutant: str
    claim: str
    killed: bool
    status: Status
    evidence: str


@dataclass(frozen=True, kw_only=True)
class KillMatrix:
    """All kills, and mutants that no claim is asked to reject."""

    kills: tuple[Kill, ...]
    unassigned: tuple[str, ...]
    mutants: tuple[Mutant, ...]

    @property
    def survivors(self) -> tuple[Kill, ...]:
        """Mutants that a claim should have rejected and did not."""
        return tuple(kill for kill in self.kills if not kill.killed)

    @property
    def complete(self) -> bool:
        """Whether every mutant is assigned and every assigned claim rejects its mutants."""
        return not self.survivors and not self.unassigned


def kill_matrix(
    claims: Iterable[Claim],
    mutants: Iterable[Mutant],
    effort: str | Effort = "quick",
    *,
    seed: int = DEFAULT_SEED,
    alpha: float = DEFAULT_ALPHA,
    threads: int | None = None,
    witnesses: Witnesses | None = None,
    progress: Callable[[str, int, int], object] | None = None,
) -> KillMatrix:
    """Run claims against mutants.

    A mutant meets the claims that name it and those that it names; each must be contradicted by an exact or a
    statistical check (without regression checks, which any change contradicts).

    claims, mutants: what to cross.
    effort, seed, alpha, threads: as in `specsim.validation.validate`.
    witnesses: what the mutants start from. Defaults to None: the project's own.
    progress: called with the mutant's name, the number of mutants done and of all.
    """
    listed = [without_regressions(claim) for claim in claims]
    chosen = tuple(mutants)
    start = witnesses or as_built()
    kills: list[Kill] = []
    unassigned = []
    for number, mutant in enumerate(chosen):
        if progress:
            progress(mutant.name, number, len(chosen))
        assigned = [claim for claim in listed if mutant.name in claim.mutants or claim.id in mutant.kills]
        assigned = [claim for claim in assigned if claim.checks]
        if not assigned:
            unassigned.append(mutant.name)
            continue
        report = validate(
            assigned,
            effort=effort,
            seed=seed,
            alpha=alpha,
            threads=threads,
            witnesses=mutant.apply(start).replace(name=mutant.name),
        )
        if report.interrupted:
            raise KeyboardInterrupt
        for outcome in report.claims:
            kills.append(
                Kill(
                    mutant=mutant.name,
                    claim=outcome.claim.id,
                    killed=outcome.status is Status.DISAGREES or _contradicted(outcome),
                    status=outcome.status,
                    evidence=evidence(outcome),
                )
            )
    return KillMatrix(kills=tuple(kills), unassigned=tuple(unassigned), mutants=chosen)


def without_regressions(claim: Claim) -> Claim:
    """Return the claim without its regression checks; with them when it has no other."""
    rest = tuple(check for check in claim.checks if not isinstance(check, RegressionCheck))
    return dataclasses.replace(claim, checks=rest) if rest else claim


def evidence(outcome: ClaimOutcome) -> str:
    """Return the first contradiction of a claim in one line, or why there is none."""
    for comparison in outcome.comparisons:
        if not comparison.agrees:
            return f"{comparison.label}: {comparison.observed} against {comparison.expected}"
    for assertion in outcome.assertions:
        if assertion.status is Status.DISAGREES:
            if assertion.sigma != assertion.sigma:
                return f"{assertion.label}: {assertion.detail}"
            return f"{assertion.label}: {assertion.sigma:+.1f} sigma {assertion.where}".rstrip()
    if outcome.reason:
        return outcome.reason
    messages = [check.message for check in outcome.checks if check.message]
    messages += [assertion.detail for assertion in outcome.assertions if assertion.status is Status.ERROR]
    return messages[0] if messages else "nothing noticed"


def _contradicted(outcome: ClaimOutcome) -> bool:
    # A claim may both be contradicted and have a check that could not finish on nonsense.
    return any(not comparison.agrees for comparison in outcome.comparisons) or any(
        assertion.status is Status.DISAGREES for assertion in outcome.assertions
    )
