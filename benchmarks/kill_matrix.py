"""The kill matrix: wrong samplers that checks must reject, unusual right ones that they must pass."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.zoo.model import Control, Mutant, code_digest
from specsim.validation.conformance.documents import check_document, check_of
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
        Of CPU, for all of them.
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
    """What became of one control; `seconds` are of CPU."""

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
    begin = time.process_time()
    wanted = [c for c in session.checks if every_check or not mutant.killed_by or c.name in mutant.killed_by]
    results = tuple(session.run(check) for check in wanted)
    return MutantOutcome(mutant=mutant, checks=results, seconds=time.process_time() - begin)


def judge_control(
    control: Control,
    *,
    effort: str | Effort = "quick",
    alpha: float = DEFAULT_ALPHA,
    seed: int = DEFAULT_SEED,
    budget: float | None = None,
) -> ControlOutcome:
    """Run every check on a control."""
    begin = time.process_time()
    report = check_sampler(control.subject, effort=_effort(effort), alpha=alpha, seed=seed, budget=budget)
    if report.interrupted:
        raise KeyboardInterrupt
    return ControlOutcome(
        control=control,
        checks=report.checks,
        verdict=report.verdict,
        certified=report.certified,
        seconds=time.process_time() - begin,
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
    keep: Path | None = None,
) -> tuple[list[MutantOutcome], list[ControlOutcome]]:
    """Judge mutants and controls, one after the other.

    Parameters
    ----------
    progress
        Called with a name, how many are done, and how many there are.
    keep
        File of finished outcomes of the same settings and the same code, which are not judged again. Defaults
        to None: none.
    mutants, controls, effort, alpha, seed, every_check, budget
        As in `judge_mutant` and `judge_control`.
    """
    wrong, right = list(mutants), list(controls)
    total = len(wrong) + len(right)
    settings = _settings(_effort(effort).name, alpha, seed, every_check)
    kept = _kept(keep, settings) if keep else {}
    killed, living = [], []
    for number, mutant in enumerate(wrong):
        if progress:
            progress(mutant.name, number, total)
        if mutant.name in kept:
            killed.append(MutantOutcome(mutant=mutant, **kept[mutant.name]))
            continue
        killed.append(
            judge_mutant(
                mutant, effort=effort, alpha=alpha, seed=seed, every_check=every_check, budget=budget
            )
        )
        if keep:
            _add(keep, settings, mutant.name, killed[-1])
    for number, control in enumerate(right, start=len(wrong)):
        if progress:
            progress(control.name, number, total)
        if control.name in kept:
            living.append(ControlOutcome(control=control, **kept[control.name]))
            continue
        living.append(judge_control(control, effort=effort, alpha=alpha, seed=seed, budget=budget))
        if keep:
            _add(keep, settings, control.name, living[-1])
    return killed, living


def kept_matrices(
    keep: Path | None,
    mutants: Iterable[Mutant],
    controls: Iterable[Control],
    *,
    alpha: float = DEFAULT_ALPHA,
    seed: int = DEFAULT_SEED,
    every_check: bool = False,
) -> dict[str, tuple[list[MutantOutcome], list[ControlOutcome]]]:
    """Return the finished outcomes in a file, by effort; efforts of which there are none are left out.

    Parameters
    ----------
    keep, mutants, controls, alpha, seed, every_check
        As in `kill_matrix`.
    """
    wrong, right = list(mutants), list(controls)
    found: dict[str, tuple[list[MutantOutcome], list[ControlOutcome]]] = {}
    if keep is None:
        return found
    for effort in MATRIX_EFFORTS:
        kept = _kept(keep, _settings(effort, alpha, seed, every_check))
        killed = [MutantOutcome(mutant=item, **kept[item.name]) for item in wrong if item.name in kept]
        living = [ControlOutcome(control=item, **kept[item.name]) for item in right if item.name in kept]
        if killed or living:
            found[effort] = (killed, living)
    return found


def _settings(effort: str, alpha: float, seed: int, every_check: bool) -> dict[str, Any]:
    return {
        "effort": effort,
        "alpha": alpha,
        "seed": seed,
        "every_check": every_check,
        "source": code_digest(),
    }


def _add(file: Path, settings: dict[str, Any], name: str, outcome: MutantOutcome | ControlOutcome) -> None:
    found = {"checks": [check_document(check) for check in outcome.checks], "seconds": outcome.seconds}
    if isinstance(outcome, ControlOutcome):
        found |= {"verdict": outcome.verdict.value, "certified": outcome.certified}
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({"settings": settings, "name": name, "outcome": found}) + "\n")


def _kept(file: Path, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the outcomes of a file that had these settings; a line that was cut short is none."""
    found = {}
    for line in file.read_text(encoding="utf-8").split("\n")[:-1] if file.exists() else ():
        item = json.loads(line)
        if item["settings"] == settings:
            outcome = item["outcome"]
            outcome["checks"] = tuple(check_of(check) for check in outcome["checks"])
            if "verdict" in outcome:
                outcome["verdict"] = Verdict(outcome["verdict"])
            found[item["name"]] = outcome
    return found
