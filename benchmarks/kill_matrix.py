"""The kill matrix: wrong samplers that checks must reject, unusual right ones that they must pass."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.zoo.model import Control, Mutant
from specsim.validation.conformance.laboratory import EFFORTS, Effort, get_effort
from specsim.validation.conformance.results import CheckResult, CheckStatus, Verdict
from specsim.validation.conformance.running import DEFAULT_ALPHA, DEFAULT_SEED, Session, check_sampler

#: Observations that the main experiment of a mutant makes at most, by effort.
MOST_OBSERVATIONS = {"quick": 150_000, "standard": 400_000, "deep": 4_000_000}

#: What each effort means for the whole zoo: a little less than for one sampler.
MATRIX_EFFORTS = {
    "quick": Effort(name="quick", eps=0.12, seconds=900.0, widest=509, least_side=1000, wide_samples=1500),
    "standard": dataclasses.replace(EFFORTS["quick"], name="standard", seconds=1800.0),
    "deep": dataclasses.replace(EFFORTS["standard"], name="deep", seconds=7200.0),
}


def _effort(effort: str | Effort) -> Effort:
    if isinstance(effort, Effort):
        return effort
    return MATRIX_EFFORTS[get_effort(effort).name]


@dataclass(frozen=True, kw_only=True)
class MutantOutcome:
    """What became of one mutant.

    Attributes
    ----------
    mutant
        The wrong sampler.
    checks
        Results of the checks that ran.
    seconds
        Of all of them.
    """

    mutant: Mutant
    checks: tuple[CheckResult, ...]
    seconds: float

    @property
    def killers(self) -> tuple[CheckResult, ...]:
        """The checks that rejected it."""
        return tuple(c for c in self.checks if c.status in (CheckStatus.FAILED, CheckStatus.BROKEN))

    @property
    def missed(self) -> tuple[str, ...]:
        """The checks that had to reject it and did not."""
        names = {check.name for check in self.killers}
        return tuple(name for name in self.mutant.killed_by if name not in names)

    @property
    def killed(self) -> bool:
        """Whether something rejected it, and all that had to."""
        return bool(self.killers) and not self.missed

    @property
    def samples(self) -> int:
        """Observations of the check that needed fewest; 0 for an exact one."""
        return min((check.samples for check in self.killers), default=0)


@dataclass(frozen=True, kw_only=True)
class ControlOutcome:
    """What became of one control."""

    control: Control
    checks: tuple[CheckResult, ...]
    verdict: Verdict
    certified: float
    seconds: float

    @property
    def lives(self) -> bool:
        """Whether it was found right."""
        wanted = Verdict.LOSSLESS if self.control.lossless else Verdict.LOSSY_AS_DECLARED
        return self.verdict is wanted


def judge_mutant(
    mutant: Mutant,
    *,
    effort: str | Effort = "quick",
    alpha: float = DEFAULT_ALPHA,
    seed: int = DEFAULT_SEED,
    every_check: bool = False,
    most_observations: int | None = None,
    budget: float | None = None,
) -> MutantOutcome:
    """Run the checks that must reject a mutant, or all of them.

    The level of every check is that of a whole run, so that a kill counts.

    Parameters
    ----------
    every_check
        Whether to run the other checks, too.
    most_observations
        Observations of the main experiment at most. Defaults to None: the effort's.
    effort
        An `Effort`, or a name of `MATRIX_EFFORTS`.
    alpha, seed, budget
        As in `check_sampler`.
    """
    chosen = _effort(effort)
    session = Session(
        mutant.subject,
        effort=chosen,
        alpha=alpha,
        seed=seed,
        budget=budget,
        least_samples=MOST_OBSERVATIONS.get(chosen.name, MOST_OBSERVATIONS["quick"])
        if most_observations is None
        else most_observations,
    )
    begin = time.monotonic()
    wanted = [c for c in session.checks if every_check or not mutant.killed_by or c.name in mutant.killed_by]
    results = tuple(session.run(check) for check in wanted)
    return MutantOutcome(mutant=mutant, checks=results, seconds=time.monotonic() - begin)


def judge_control(
    control: Control,
    *,
    effort: str | Effort = "quick",
    alpha: float = DEFAULT_ALPHA,
    seed: int = DEFAULT_SEED,
    budget: float | None = None,
) -> ControlOutcome:
    """Run every check on a control."""
    report = check_sampler(control.subject, effort=_effort(effort), alpha=alpha, seed=seed, budget=budget)
    if report.interrupted:
        raise KeyboardInterrupt
    return ControlOutcome(
        control=control,
        checks=report.checks,
        verdict=report.verdict,
        certified=report.certified,
        seconds=report.seconds,
    )


def kill_matrix(
    mutants: Iterable[Mutant],
    controls: Iterable[Control],
    *,
    effort: str | Effort = "quick",
    alpha: float = DEFAULT_ALPHA,
    seed: int = DEFAULT_SEED,
    every_check: bool = False,
    budget: float | None = None,
    progress: Callable[[str, int, int], object] | None = None,
) -> tuple[list[MutantOutcome], list[ControlOutcome]]:
    """Judge mutants and controls, one after the other.

    Parameters
    ----------
    progress
        Called with a name, how many are done, and how many there are.
    mutants, controls, effort, alpha, seed, every_check, budget
        As in `judge_mutant` and `judge_control`.
    """
    wrong, right = list(mutants), list(controls)
    total = len(wrong) + len(right)
    killed, living = [], []
    for number, mutant in enumerate(wrong):
        if progress:
            progress(mutant.name, number, total)
        killed.append(
            judge_mutant(
                mutant, effort=effort, alpha=alpha, seed=seed, every_check=every_check, budget=budget
            )
        )
    for number, control in enumerate(right, start=len(wrong)):
        if progress:
            progress(control.name, number, total)
        living.append(judge_control(control, effort=effort, alpha=alpha, seed=seed, budget=budget))
    return killed, living
