"""Check of repeated draws: none is found again in another row, at another place, or under a nearby seed.

What is drawn by one random number on the same row is the same token. A test of a draft shows whether it is
accepted only: it is made where that has probability one half, more often, and within calls alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from specsim.support.arrays import Integers
from specsim.validation.conformance.calling import Caller
from specsim.validation.conformance.checks.base import Statistical, check, lossless_only
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.probes import ProbeGroup
from specsim.validation.conformance.repeated_draws import FEW_FAR, TIMES, DrawsProbe, many_seeds
from specsim.validation.conformance.repeated_settings import (
    LONG,
    NARROW,
    ROWS,
    WIDE,
    Setting,
    long_drafts,
    options_of,
    sizes_of,
)
from specsim.validation.conformance.results import Deviation
from specsim.validation.conformance.subjects import PROTOCOLS, Subject

#: Seeds near each other that are tried, and the range that they are drawn from, by effort. Each difference up
#: to the range occurs about seeds^2 / (2 * range) times.
NEAR = {"quick": (160, 1536), "standard": (320, 4096), "deep": (640, 8192)}
#: The same with options, where every row of a call has a seed, at unusual sizes, and of tests.
NEAR_WITH_OPTIONS, NEAR_BY_ROW, NEAR_AT_SIZES, NEAR_OF_TESTS = (60, 256), (400, 512), (24, 48), (60, 256)
#: The same on a wide vocabulary in a type of 16 bits, whose sums and uniforms may leave few tokens.
NEAR_IN_NARROW = (200, 1024)
#: With options, seeds where one place of a row is drawn, or two, divided by those where all are.
FEWER = 3


@dataclass(kw_only=True, eq=False)
class RepeatedDraws(Statistical):
    """A procedure whose null is that draws are independent and have the target's law, with every option.

    parts: the experiments; the e-value is the average of theirs.
    """

    parts: list[DrawsProbe]

    def log_e(self) -> float:
        """Return the logarithm of the e-value so far."""
        # To compare all pairs takes long: it is done once for each.
        values = [part.log_e() for part in self._done()]
        return float(np.logaddexp.reduce(values)) - math.log(len(self.parts)) if values else -math.inf

    def output_log_e(self) -> float:
        """Return the same: no rule is involved."""
        return self.log_e()

    def catches(self, log_threshold: float) -> float:
        """Return NaN: what is caught is no distance."""
        return math.nan

    def about(self, kind: str) -> str:
        """Return "output" where tokens are the same wherever they are drawn, and in no way above all."""
        part = max(self._done(), key=lambda part: part.log_e())
        return "output" if part.law_is_wrong() else kind

    def _done(self) -> list[DrawsProbe]:
        return [part for part in self.parts if part.total == len(part.seeds)]

    def looks_like(self, count: int = 3) -> tuple[str, ...]:
        """Return the most telling way, or how few tokens are drawn."""
        done = self._done()
        found = [(way.log_e, part, str(way)) for part in done for way in part.ways()[:1]]
        for part in done:
            counts = part.drawn_tokens()
            words = f"{counts.sum():,} draws of equally likely tokens gave only {len(counts):,} of them"
            found.append((part.log_few_tokens(), part, words))
        found.sort(key=lambda each: -each[0])
        return tuple(f"{f'with {part.name}, ' if part.name else ''}{words}" for _, part, words in found[:1])

    def shared_rows(self) -> list[tuple[int, int]]:
        """Return by how much seeds and rows differ in the most telling ways that are of one place."""
        ways = [way for part in self._done() for way in part.ways()[:3] if not way.places]
        return [(way.seeds, way.rows) for way in sorted(ways, key=lambda way: -way.log_e)[:5]]

    def deviations(self, alpha: float, count: int = 4) -> tuple[Deviation, ...]:
        """Return nothing: what was seen is in `looks_like`."""
        return ()


def _why_not(subject: Subject) -> str:
    return lossless_only(subject) or (
        "" if subject.process is None else "processing changes the rows by the text before them"
    )


@check(
    "repeated-draws",
    "a draw is not found again under seeds near it, in other rows of a call, or at other places",
    kind="independence",
    protocols=tuple(PROTOCOLS),
    why_not=_why_not,
    catches="seed + 3 * row, seed + 1,000 * round, rows that share random numbers with an option only",
    weight=2.0,
)
def _repeated(lab: Laboratory) -> RepeatedDraws:
    caller, rng = lab.caller("repeated draws"), lab.rng("near seeds")
    parts = [
        DrawsProbe(
            caller,
            setting.draws(),
            _seeds(lab, rng, setting),
            name=setting.words,
            by_row=setting.size if setting.by_row else 0,
            within=setting.tests,
            tolerance=lab.tolerance,
        )
        for setting in _settings(lab, caller)
    ]
    planned = sum(len(part.seeds) for part in parts)
    return RepeatedDraws(probe=ProbeGroup(parts), looks=(), planned=planned, parts=parts)


def _seeds(lab: Laboratory, rng: np.random.Generator, setting: Setting) -> Integers:
    """Return the seeds of a setting; where all places of a row are drawn, and not one, fewer say as much."""
    times = TIMES if setting.few_places else 1
    if not setting.words:
        near, most = NEAR.get(lab.effort.name, NEAR["quick"])
        return many_seeds(rng, near if setting.few_places else near // 2, most, times=times)
    near, most = NEAR_WITH_OPTIONS
    if setting.tests or setting.sizes:
        near, most = NEAR_OF_TESTS if setting.tests else NEAR_AT_SIZES
        if WIDE in setting.sizes and setting.dtype in NARROW:
            near, most = NEAR_IN_NARROW
    elif setting.by_row:
        near, most = NEAR_BY_ROW
    if not setting.few_places:
        near, most = near // FEWER, most // FEWER
    far = () if setting.tests or setting.sizes else FEW_FAR
    return many_seeds(rng, near, most, far=far, times=times)


def _settings(lab: Laboratory, caller: Caller) -> list[Setting]:
    """Return the settings: no option, each, all of them, and unusual sizes; and with tests of drafts."""
    every, sizes = options_of(lab.subject), sizes_of(lab.subject)
    alone = [Setting(lab, caller, [name]) for name in every]
    found = [Setting(lab, caller), *(setting for setting in alone if setting.names)]
    if len(found) > 2:
        found.append(Setting(lab, caller, every))
    if {"seeds", "samples"} <= set(every):
        found.append(Setting(lab, caller, ["seeds", "samples"]))
    found += [Setting(lab, caller, sizes=[name]) for name in sizes]
    if WIDE in sizes and lab.subject.protocol == "step":
        narrow = [dtype for dtype in lab.subject.dtypes[1:] if dtype in NARROW]
        found += [Setting(lab, caller, sizes=[WIDE], dtype=dtype) for dtype in narrow]
    without_seeds = [name for name in every if name != "seeds"]
    if without_seeds and "many rows" in sizes:
        found.append(Setting(lab, caller, without_seeds, ["many rows"]))
    if (lab.subject.max_batch or ROWS) < ROWS:
        return found
    tested = [Setting(lab, caller, [name], tests=True) for name in without_seeds]
    found += [Setting(lab, caller, tests=True), *(setting for setting in tested if setting.names)]
    return found + ([Setting(lab, caller, sizes=[LONG], tests=True)] if long_drafts(lab.subject) else [])


CHECKS = (_repeated,)
