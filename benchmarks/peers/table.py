"""The oracle and the published tests of other projects side by side, on the same subjects."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.bench import Peer, PeerOutcome
from benchmarks.peers.tests_of_others import PEERS
from specsim.errors import InputError
from specsim.validation.conformance.subjects import Subject

#: Name of the oracle's column.
OURS = "specsim"


def oracle(subject: Subject, seed: int, *, effort: str = "quick", **options: Any) -> PeerOutcome:
    """Return what the oracle says, in the words of a peer: checks until the first failure.

    Parameters
    ----------
    subject, seed, effort, options
        As for `specsim.validation.conformance.running.check_sampler`.
    """
    from specsim.validation.conformance.running import check_sampler

    report = check_sampler(subject, seed=seed, effort=effort, stop_at_failure=True, **options)
    evidence = [check.log10_e for check in report.checks if not math.isnan(check.log10_e)]
    return PeerOutcome(
        rejected={0: False, 1: True, 4: True}.get(report.exit_code),
        samples=report.samples,
        seconds=report.seconds,
        statistic=max(evidence, default=math.nan),
        reason="" if report.exit_code == 0 else report.sentence,
    )


@dataclass(frozen=True)
class Row:
    """One subject in the table.

    Attributes
    ----------
    name
        Of the mutant or control, or the subject's own.
    kind
        ``"mutant"``, ``"control"`` or ``"subject"``.
    bug_class
        Of a mutant.
    outcomes
        By test.
    """

    name: str
    kind: str
    bug_class: str
    outcomes: Mapping[str, PeerOutcome]


@dataclass(frozen=True)
class Comparison:
    """Subjects by tests.

    Attributes
    ----------
    tests
        Names of the tests, in the order of the columns.
    rows
        One per subject.
    """

    tests: tuple[str, ...]
    rows: tuple[Row, ...]

    def rejected(self, test: str, kind: str = "mutant") -> int:
        """Return how many subjects of a kind the test rejects."""
        return sum(row.outcomes[test].rejected is True for row in self.rows if row.kind == kind)

    def decided(self, test: str, kind: str = "mutant") -> int:
        """Return about how many subjects of a kind the test says anything."""
        return sum(row.outcomes[test].rejected is not None for row in self.rows if row.kind == kind)

    def lines(self) -> list[str]:
        """Return the table as text: rejected or passed, verification steps and seconds of every test."""
        width = max((len(row.name) for row in self.rows), default=8)
        found = ["  ".join(["subject".ljust(width), *(test.rjust(24) for test in self.tests)])]
        for row in self.rows:
            cells = [_cell(row.outcomes[test]).rjust(24) for test in self.tests]
            found.append("  ".join([row.name.ljust(width), *cells]))
        for kind in ("mutant", "control"):
            count = sum(row.kind == kind for row in self.rows)
            if count:
                cells = [
                    f"{self.rejected(test, kind)} of {self.decided(test, kind)} rejected".rjust(24)
                    for test in self.tests
                ]
                found.append("  ".join([f"{count} {kind}s".ljust(width), *cells]))
        return found


def _cell(outcome: PeerOutcome) -> str:
    word = {True: "REJECTED", False: "passed", None: "-"}[outcome.rejected]
    if outcome.rejected is None and not outcome.samples:
        return word
    return f"{word} {outcome.samples} {outcome.seconds:.2f} s"


def compare_with_peers(
    items: Iterable[Any],
    *,
    seed: int = 1,
    peers: Mapping[str, Peer] | None = None,
    ours: Callable[[Subject, int], PeerOutcome] | None = oracle,
    progress: Callable[[str, str, PeerOutcome], object] | None = None,
) -> Comparison:
    """Put every test to every subject.

    Parameters
    ----------
    items
        Mutants, controls or subjects.
    seed
        For all tests.
    peers
        Tests by name. Defaults to None: `benchmarks.peers.tests_of_others.PEERS`.
    ours
        The oracle, as a test. None leaves it out.
    progress
        Called with the names of subject and test, and the outcome.

    Raises
    ------
    InputError
        Something that is no subject and has none.
    """
    tests: dict[str, Peer] = {} if ours is None else {OURS: ours}
    tests |= PEERS if peers is None else dict(peers)
    rows = []
    for item in items:
        subject = getattr(item, "subject", item)
        if not isinstance(subject, Subject):
            raise InputError(f"items has {item!r}; give mutants, controls or subjects")
        bug_class = getattr(item, "bug_class", "")
        kind = "mutant" if bug_class else "control" if item is not subject else "subject"
        outcomes = {}
        for test, run in tests.items():
            outcomes[test] = run(subject, seed)
            if progress:
                progress(item.name, test, outcomes[test])
        rows.append(Row(item.name, kind, bug_class, outcomes))
    return Comparison(tuple(tests), tuple(rows))
