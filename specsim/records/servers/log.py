"""What was read of a server's log, whichever format it had; and how its numbers are read."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from specsim.errors import InputError

#: Largest count that a log may hold.
MOST_COUNT = 2**62
#: Longest draft of a round.
LONGEST_DRAFT = 1000


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Rounds of one draft length.

    Attributes
    ----------
    draft_length
        Drafted tokens of every round.
    rounds
        How many; 0 where the log does not say.
    reached
        In how many rounds the first, second, ... drafted token was accepted, as logged; None where the
        log has no more than a mean.
    mean
        Accepted drafted tokens per round, without bonus or correction.
    error
        Its standard error over independent parts of the log; NaN where there are none.
    requests
        Rounds by accepted length, for each request; empty if the log does not distinguish requests.
    speed_up
        A measured speed-up over plain decoding; NaN where there is none.
    """

    draft_length: int
    rounds: int = 0
    reached: tuple[float, ...] | None = None
    mean: float
    error: float = math.nan
    requests: tuple[tuple[int, ...], ...] = ()
    speed_up: float = math.nan


@dataclass(frozen=True, kw_only=True)
class ServerLog:
    """What a log says.

    Attributes
    ----------
    source, format
        Name of the file, and of its format.
    settings
        One for each draft length, shortest first.
    understood
        What was read and how, in sentences.
    warnings
        What may be wrong with it, in sentences.

    Examples
    --------
    >>> from specsim import ServerLog, plan
    >>> rounds = Setting(draft_length=2, rounds=100, reached=(70.0, 40.0), mean=1.1)
    >>> plan(ServerLog(source="mine", format="by hand", settings=(rounds,)), costs="draft=0.1").best.label
    'draft_length=2'
    """

    source: str
    format: str
    settings: tuple[Setting, ...]
    understood: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def longest(self) -> int:
        """The longest draft."""
        return max(setting.draft_length for setting in self.settings)


@dataclass(kw_only=True)
class Source:
    """A text that a format reads, and what the caller says of it.

    place: the file's name.
    text: what stands in it.
    draft_length: drafted tokens of every round where the log does not say.
    select: which of several servers or tables.
    earlier: an earlier scrape of the same counters.
    """

    place: str
    text: str
    draft_length: int | None = None
    select: str | None = None
    earlier: str | None = None
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def refuse(self, why: str) -> NoReturn:
        """Raise `InputError` that names the file."""
        raise InputError(f"{self.place}: {why}")

    def documents(self) -> list[Any]:
        """Return the JSON documents in the text: one, or one for each line."""
        try:
            found = json.loads(self.text)
            return found if isinstance(found, list) else [found]
        except (ValueError, RecursionError):
            pass
        documents = []
        for number, line in enumerate(self.text.splitlines(), start=1):
            if line.strip():
                try:
                    documents.append(json.loads(line))
                except (ValueError, RecursionError) as error:
                    self.refuse(f"line {number}: {str(error)[:60]}; repair the JSON")
        return documents

    def count(self, field: str, value: Any) -> int:
        """Return a count; whole floats of any spelling are taken."""
        if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,25}\s*", value):
            value = int(value)
        elif isinstance(value, str):
            value = self.number(field, value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_COUNT:
            self.refuse(f"{field} is {str(value)[:40]}; give a whole number from 0 to {MOST_COUNT}")
        return value

    def number(self, field: str, value: Any) -> float:
        """Return a number of at least 0."""
        try:
            found = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        if not 0 <= found <= MOST_COUNT:
            self.refuse(f"{field} is {str(value)[:40]}; give a number from 0 to {MOST_COUNT}")
        return found

    def rate(self, field: str, value: Any) -> float:
        """Return a fraction."""
        found = self.number(field, value)
        if found > 1:
            self.refuse(f"{field} is {found:g}; give a fraction from 0 to 1")
        return found

    def length(self, rounds: int, drafted: int) -> int:
        """Return the draft length from the drafted tokens of all rounds; says what does not fit."""
        if rounds == 0:
            self.refuse("there are no rounds; give a log with at least one")
        exact = drafted / rounds
        found = self.draft_length or math.ceil(exact - 1e-9)
        if found < 1 or found > LONGEST_DRAFT:
            self.refuse(f"{drafted} drafted tokens in {rounds} rounds; give drafts of 1 to {LONGEST_DRAFT}")
        self.check_drafted(rounds, drafted, found)
        return found

    def check_drafted(self, rounds: int, drafted: int, length: int) -> None:
        """Refuse, or warn of, drafted tokens that are not rounds times length."""
        missing = rounds * length - drafted
        if missing < 0:
            self.refuse(
                f"{drafted} drafted tokens in {rounds} rounds are more than {length} each; the counters are "
                "not "
                "of the same rounds, or give the draft length"
            )
        if missing > 0.02 * rounds * length:
            self.refuse(
                f"{drafted} drafted tokens in {rounds} rounds are {drafted / rounds:.3f} each, not {length}: "
                "draft "
                "lengths differ, so that shares by position have no common base; log each round "
                "(per_step_accepted, per_step_drafted), or keep the length fixed"
            )
        if missing:
            self.warnings.append(
                f"{missing} of {rounds * length} drafted tokens are missing: last rounds were cut short, so "
                "that "
                f"late positions are underestimated by up to {missing / (rounds * length):.2%}"
            )

    def from_reached(self, rounds: int, reached: Iterable[float], **more: Any) -> Setting:
        """Return a setting from marginal counts by position."""
        counts = tuple(float(value) for value in reached)
        if not 1 <= len(counts) <= LONGEST_DRAFT:
            self.refuse(f"{len(counts)} positions; give 1 to {LONGEST_DRAFT}")
        if rounds == 0:
            self.refuse("there are no rounds; give a log with at least one")
        if max(counts) > rounds + 0.5:
            self.refuse(
                f"position {counts.index(max(counts)) + 1} was accepted in {max(counts):g} of {rounds} "
                "rounds; the "
                "counters are not of the same rounds"
            )
        return Setting(
            draft_length=len(counts), rounds=rounds, reached=counts, mean=sum(counts) / rounds, **more
        )


def add_settings(settings: Iterable[Setting]) -> tuple[Setting, ...]:
    """Add settings of one draft length up; sort by draft length."""
    found: dict[int, Setting] = {}
    for each in settings:
        known = found.get(each.draft_length)
        if known is None:
            found[each.draft_length] = each
            continue
        rounds = known.rounds + each.rounds
        if known.reached is None or each.reached is None:
            total = known.rounds * known.mean + each.rounds * each.mean
            found[each.draft_length] = Setting(
                draft_length=each.draft_length, rounds=rounds, mean=total / rounds
            )
            continue
        reached = tuple(a + b for a, b in zip(known.reached, each.reached, strict=True))
        found[each.draft_length] = replace(
            known,
            rounds=rounds,
            reached=reached,
            mean=sum(reached) / rounds,
            requests=known.requests + each.requests,
        )
    return tuple(found[length] for length in sorted(found))


@dataclass(frozen=True)
class Format:
    """A format of logs.

    name: for ``--format``.
    title: what it is.
    recognise: whether a text looks like it.
    read: returns the settings.
    """

    name: str
    title: str
    recognise: Callable[[str], bool]
    read: Callable[[Source], Iterable[Setting]]
