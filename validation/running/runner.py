"""Runs claims: plans everything, splits the budget, compares, simulates, evaluates."""

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from specsim.errors import InputError
from specsim.support.checks import whole
from specsim.validation.claims_model import Claim, Comparison, ExactCheck, RegressionCheck, StatisticalCheck
from specsim.validation.registry import all_claims, check_unique
from specsim.validation.running.effort import Effort, get_effort
from specsim.validation.running.evaluation import evaluate
from specsim.validation.running.events import (
    CheckFinished,
    Comparing,
    Event,
    Note,
    Planned,
    Planning,
    Simulated,
)
from specsim.validation.running.exact_process import Answer, ExactProcess, run_check
from specsim.validation.running.outcomes import (
    AssertionOutcome,
    CheckOutcome,
    ClaimOutcome,
    RunReport,
    Status,
    worst_status,
)
from specsim.validation.running.planning import Place, Plan, PlannedSimulation, describe_error, make_plan
from specsim.validation.running.regression import run_regression
from specsim.validation.running.store import ComparisonStore, provenance
from specsim.validation.witnesses import Witnesses, as_built

#: Seed of a run that is given none: the command is deterministic by default.
DEFAULT_SEED = 2411

#: False-alarm budget of a whole run.
DEFAULT_ALPHA = 1e-6

#: Seconds that an interrupted run waits for its threads.
STOP_SECONDS = 20.0

#: Seconds after which the calling thread stops waiting for an event, so that Ctrl-C is noticed at once.
TICK = 0.2


class _Stopped(Exception):
    """Raised inside a worker when the run is being stopped."""


def validate(
    claims: Iterable[Claim] | None = None,
    *,
    effort: str | Effort = "standard",
    seed: int = DEFAULT_SEED,
    alpha: float = DEFAULT_ALPHA,
    threads: int | None = None,
    resume_dir: str | os.PathLike[str] | None = None,
    update: bool = False,
    witnesses: Witnesses | None = None,
    progress: Callable[[Event], object] | None = None,
    stop_at_failure: bool = False,
    second_process: bool = False,
) -> RunReport:
    """Check claims and report.

    The report depends on the claims, the effort, the seed and alpha only: not on threads, resuming or timing.

    Parameters
    ----------
    claims
        Defaults to None: all of them.
    effort
        ``"quick"``, ``"standard"`` or ``"deep"``.
    seed
        Each simulation's own seed is derived from it and from what is simulated.
    alpha
        Bound of the probability that correct code is reported as wrong anywhere in the run, in (0, 1). It is
        split evenly over all statistical assertions before anything is simulated.
    threads
        Threads of a simulation. Defaults to None: one per core. Unless it is 1, exact checks run in parallel
        with the simulations.
    resume_dir
        Folder of finished work: what is there is not done again, what gets finished is put there. A damaged
        simulation is computed again, with a `specsim.errors.StoreWarning`. Defaults to None: nothing is kept.
    update
        Whether to rewrite the stored integers of regression checks. Defaults to False.
    witnesses
        Defaults to None: the project's own.
    progress
        Called in the calling thread with every `Event`.
    stop_at_failure
        Whether to stop at the first check that fails; the rest is then reported as not run.
    second_process
        Whether exact checks of registered claims run in a second process, which is faster. As always
        with `multiprocessing`, a script then needs ``if __name__ == "__main__":``. Defaults to False.

    Returns
    -------
    RunReport
        After Ctrl-C, with what was finished and ``interrupted`` set.

    Raises
    ------
    InputError
        A bad argument, or a folder that cannot be written.

    Examples
    --------
    >>> from specsim.validation import select_claims, validate
    >>> report = validate(select_claims(["yin2024.remark-2*"]), effort="quick", threads=1)
    >>> report.exit_code
    0
    """
    chosen = check_unique(all_claims() if claims is None else claims)
    if not 0 < alpha < 1:
        raise InputError(f"alpha is {alpha}; give a probability strictly between 0 and 1")
    seed = whole("seed", seed, 0, 2**64 - 1)
    if threads is not None:
        whole("threads", threads, 1)
    run = _Run(
        claims=chosen,
        effort=get_effort(effort),
        seed=seed,
        alpha=alpha,
        threads=threads,
        update=update,
        witnesses=witnesses or as_built(),
        stop_at_failure=stop_at_failure,
        # Another process knows registered claims and the project's own witnesses only.
        second_process=second_process
        and witnesses is None
        and threads != 1
        and set(map(id, chosen)) <= set(map(id, all_claims())),
    )
    if resume_dir is not None:
        run.store = ComparisonStore(resume_dir, run.witnesses.name, run.note)
    return run.execute(progress or (lambda event: None))


@dataclass(kw_only=True)
class _Run:
    claims: tuple[Claim, ...]
    effort: Effort
    seed: int
    alpha: float
    threads: int | None
    update: bool
    witnesses: Witnesses
    stop_at_failure: bool
    second_process: bool
    store: ComparisonStore | None = None
    process: ExactProcess | None = None
    plan: Plan | None = None
    interrupted: bool = False
    outcomes: dict[Place, CheckOutcome] = field(default_factory=dict)
    found: dict[Place, dict[int, AssertionOutcome]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    events: queue.SimpleQueue[Event | BaseException | None] = field(default_factory=queue.SimpleQueue)
    stop: threading.Event = field(default_factory=threading.Event)
    positions: int = 0

    def execute(self, progress: Callable[[Event], object]) -> RunReport:
        jobs: list[Callable[[], None]] = [self._statistical_lane, self._exact_lane]
        if self.threads == 1:
            jobs = [self._one_lane]
        workers = [threading.Thread(target=self._guarded, args=(job,), daemon=True) for job in jobs]
        running = len(workers)
        try:
            for worker in workers:
                worker.start()
            while running:
                try:
                    event = self.events.get(timeout=TICK)
                except queue.Empty:
                    continue
                if event is None:
                    running -= 1
                elif isinstance(event, BaseException):
                    raise event
                else:
                    progress(event)
        except KeyboardInterrupt:
            self.interrupted = True
        finally:
            self.stop.set()
            if self.process is not None:
                self.process.end()
            for worker in workers:
                if worker.ident is not None:
                    worker.join(STOP_SECONDS)
        return self._report()

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.events.put(Note(text=text))

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except _Stopped:
            pass
        except BaseException as error:
            self.events.put(error)
        self.events.put(None)

    def _check_stop(self) -> None:
        if self.stop.is_set():
            raise _Stopped

    def _finish(self, place: Place, outcome: CheckOutcome) -> None:
        claim = self.claims[place[0]]
        self.outcomes[place] = outcome
        self.events.put(
            CheckFinished(claim=claim.id, check=outcome.name, kind=outcome.kind, status=outcome.status)
        )
        if self.stop_at_failure and outcome.status in (Status.DISAGREES, Status.ERROR):
            self.stop.set()

    def _one_lane(self) -> None:
        # One core: one lane after the other, exact checks first.
        self._exact_lane()
        self._statistical_lane()

    # Exact checks: pure Python, one after the other, in a second process where that is possible.

    def _exact_lane(self) -> None:
        waiting: deque[tuple[Place, Claim, ExactCheck]] = deque()
        for index, claim in enumerate(self.claims):
            for number, check in enumerate(claim.checks):
                if isinstance(check, ExactCheck):
                    stored = self.store.load(self._exact_key(claim, check)) if self.store else None
                    if stored is None:
                        waiting.append(((index, number), claim, check))
                    else:
                        self._finish_exact((index, number), check, stored, "")
        if waiting and self.second_process:
            try:
                self.process = ExactProcess(
                    self.effort, [(claim.id, check.name) for _, claim, check in waiting]
                )
                self._take(self.process.answers(), waiting)
            except (EOFError, OSError) as error:
                self._check_stop()
                self.note(f"the process of the exact checks ended early ({error}); going on in this one")
        while waiting:
            self._take(run_check(waiting[0][2], self.witnesses, self.effort), waiting)

    def _take(self, answers: Iterable[Answer], waiting: deque[tuple[Place, Claim, ExactCheck]]) -> None:
        """Collect the answers to the checks that wait, in order."""
        comparisons: list[Comparison] = []
        for answer in answers:
            self._check_stop()
            place, claim, check = waiting[0]
            if isinstance(answer, Comparison):
                comparisons.append(answer)
                self.events.put(Comparing(claim=claim.id, check=check.name, comparisons=len(comparisons)))
                continue
            if self.store and not answer:
                self.store.save(self._exact_key(claim, check), tuple(comparisons))
            self._finish_exact(place, check, tuple(comparisons), answer)
            waiting.popleft()
            comparisons = []

    def _exact_key(self, claim: Claim, check: ExactCheck) -> str:
        return f"exact {claim.id} {check.name} {self.effort.name}"

    def _finish_exact(
        self, place: Place, check: ExactCheck, comparisons: tuple[Comparison, ...], error: str
    ) -> None:
        status, message = Status.AGREES, error
        if error:
            status = Status.ERROR
        elif not comparisons:
            status, message = Status.ERROR, "the check compared nothing, so it could never fail"
        elif not all(comparison.agrees for comparison in comparisons):
            status = Status.DISAGREES
        self._finish(
            place,
            CheckOutcome(
                name=check.name, kind="exact", status=status, comparisons=comparisons, message=message
            ),
        )

    # Statistical checks: plan all, then simulate one request after the other; then regressions.

    def _statistical_lane(self) -> None:
        def planning(done: int, total: int) -> None:
            self._check_stop()
            self.events.put(Planning(done=done, total=total))

        plan = make_plan(self.claims, self.witnesses, self.effort, self.alpha, self.seed, planning)
        self.plan = plan
        self.events.put(
            Planned(
                assertions=plan.count,
                alpha_each=plan.alpha_each,
                simulations=len(plan.simulations),
                positions=sum(simulation.positions for simulation in plan.simulations.values()),
            )
        )
        for place, message in plan.errors.items():
            name = self.claims[place[0]].checks[place[1]].name
            self._finish(
                place, CheckOutcome(name=name, kind="statistical", status=Status.ERROR, message=message)
            )
        for simulation in plan.simulations.values():
            self._check_stop()
            try:
                dataset = self._simulate(simulation)
            except _Stopped:
                raise
            except Exception as error:
                self._settle(simulation, None, describe_error(error))
            else:
                self._settle(simulation, dataset, "")
        for index, claim in enumerate(self.claims):
            for number, check in enumerate(claim.checks):
                if isinstance(check, RegressionCheck):
                    self._check_stop()
                    self._finish((index, number), self._regression(claim, check))

    def _simulate(self, simulation: PlannedSimulation) -> Any:
        request, done = simulation.request, self.positions

        def progress(runs: int) -> None:
            self._check_stop()
            self.positions = done + runs * request.length
            self.events.put(Simulated(label=request.label, positions=self.positions))

        return request.simulate(
            self.witnesses,
            runs=simulation.runs,
            seed=simulation.seed,
            threads=self.threads,
            outcomes=True if simulation.outcomes else None,
            store=self.store.folder if self.store else None,
            progress=progress,
        )

    def _settle(self, simulation: PlannedSimulation, dataset: Any, error: str) -> None:
        """Evaluate what waits for a simulation, and finish the checks that are complete by it."""
        assert self.plan is not None
        plan = self.plan
        for place, number in simulation.assertions:
            assertion = plan.assertions[place][number]
            if error:
                outcome = AssertionOutcome(label=assertion.label, status=Status.ERROR, detail=error)
            else:
                outcome = evaluate(
                    assertion,
                    simulation,
                    dataset,
                    alpha=plan.alpha_each,
                    required=plan.required[place][number],
                    run_command=self._command(),
                )
            self.found.setdefault(place, {})[number] = outcome
            if len(self.found[place]) == len(plan.assertions[place]):
                self._finish(place, self._statistical(place))

    def _statistical(self, place: Place) -> CheckOutcome:
        assert self.plan is not None
        check = self.claims[place[0]].checks[place[1]]
        done = self.found.get(place, {})
        planned = self.plan.assertions.get(place, [])
        outcomes = tuple(
            done.get(number) or AssertionOutcome(label=assertion.label, status=Status.NOT_RUN)
            for number, assertion in enumerate(planned)
        )
        status = worst_status([outcome.status for outcome in outcomes]) if outcomes else Status.NOT_RUN
        return CheckOutcome(name=check.name, kind="statistical", status=status, assertions=outcomes)

    def _regression(self, claim: Claim, check: RegressionCheck) -> CheckOutcome:
        try:
            return run_regression(claim, check, self.witnesses, update=self.update)
        except Exception as error:
            if self.update and isinstance(error, InputError):
                raise
            return CheckOutcome(
                name=check.name, kind="regression", status=Status.ERROR, message=describe_error(error)
            )

    def _command(self) -> str:
        ids = " ".join(claim.id for claim in self.claims) if len(self.claims) <= 3 else ""
        return f"specsim validate{' ' if ids else ''}{ids} --effort {self.effort.name} --seed {self.seed}"

    def _report(self) -> RunReport:
        claims = []
        for index, claim in enumerate(self.claims):
            checks = []
            for number, check in enumerate(claim.checks):
                outcome = self.outcomes.get((index, number))
                if outcome is None and isinstance(check, StatisticalCheck) and self.plan is not None:
                    outcome = self._statistical((index, number))
                checks.append(
                    outcome or CheckOutcome(name=check.name, kind=check.kind, status=Status.NOT_RUN)
                )
            claims.append(ClaimOutcome(claim=claim, checks=tuple(checks)))
        plan = self.plan
        return RunReport(
            claims=tuple(claims),
            effort=self.effort.name,
            seed=self.seed,
            alpha=self.alpha,
            planned=plan.count if plan else None,
            alpha_each=plan.alpha_each if plan else self.alpha,
            simulations=len(plan.simulations) if plan else 0,
            runs=sum(simulation.runs for simulation in plan.simulations.values()) if plan else 0,
            interrupted=self.interrupted,
            notes=tuple(self.notes),
            provenance=provenance(),
            witnesses=self.witnesses.name,
        )
