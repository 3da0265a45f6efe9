"""What a check is: a name, when it applies, and a procedure that samples and decides."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Bools, Floats, Integers
from specsim.validation.conformance.evidence import Component, Evidence, mixture, total_variation_bound
from specsim.validation.conformance.probes import ProbeGroup
from specsim.validation.conformance.results import Deviation, Picture
from specsim.validation.conformance.subjects import Subject
from specsim.validation.conformance.tables import normalised

#: Evidence up to which a law is said to fit, and up to which one of two laws is not much likelier.
FITS = 1e3
#: Shares of anything in every stratum that other explanations have to beat.
SPREADS = (0.001, 0.01, 0.1)

if TYPE_CHECKING:
    from specsim.validation.conformance.laboratory import Laboratory


class Probe(Protocol):
    """An experiment that can always be continued."""

    @property
    def total(self) -> int:
        """Observations made so far."""

    def sample(self, count: int) -> None:
        """Make about `count` more observations."""


@dataclass(kw_only=True, eq=False)
class Look:
    """One view of an experiment: a law for each stratum, and how to read the counts.

    evidence: the test.
    observe: reads the counts, shape ``(strata, cells)``, off the experiment.
    shares: expected observations of each stratum per observation of the experiment, shape ``(strata,)``.
    reachable: strata that the null can reach; a count elsewhere is infinite evidence.
    name_cell: spells (stratum, cell) for reports.
    kind: ``"output"`` or ``"rule"``: whether it is evidence about the law of the emitted tokens, or about the
        declared rule.
    levels: what the strata are split by, in words; every level has the same number of strata. Empty for none.
    place: the part of the experiment that is looked at, in words. Empty for all of it.
    tokens: which tokens are looked at, in words, where other looks are at the other tokens. Empty for all.
    """

    evidence: Evidence
    observe: Callable[[], Integers]
    shares: Floats
    reachable: Bools
    name_cell: Callable[[int, int], str]
    kind: str = "output"
    levels: tuple[str, ...] = ()
    place: str = ""
    tokens: str = ""

    def counts(self) -> Integers:
        """Return the counts so far."""
        return self.observe()

    def components(self) -> list[Component]:
        """Return the likelihood ratios so far."""
        counts = self.counts()
        if (counts[~self.reachable] > 0).any():
            return [Component(name="an event that cannot happen", weight=1.0, log_ratio=math.inf)]
        return self.evidence.components(counts)

    def wrong_level(self) -> str:
        """Return the one level at which all evidence is; empty if there is none.

        The others must be unlike it: what they saw is unlikely under the law that was observed there.
        """
        counts, null = self.counts(), self.evidence.null
        by_level = np.split(counts, len(self.levels))
        laws = np.split(null, len(self.levels))
        wrong = [
            number
            for number, (seen, law) in enumerate(zip(by_level, laws, strict=True))
            if Evidence(law, tolerance=self.evidence.tolerance).log_e(seen) > math.log(FITS)
        ]
        if len(wrong) != 1:
            return ""
        inside = by_level[wrong[0]]
        outside = np.sum(by_level, axis=0) - inside
        observed = (inside + 0.5) / (inside + 0.5).sum(axis=1, keepdims=True)
        right = outside > 0
        unlike = float((outside[right] * np.log(laws[0][right] / observed[right])).sum())
        # What a law loses that was only observed.
        sizes = outside.sum(axis=1) / np.maximum(inside.sum(axis=1), 1)
        if unlike - 0.5 * (counts.shape[1] - 1) * float(sizes.sum()) < math.log(FITS):
            return ""
        return f"only {self.levels[wrong[0]]}"


@dataclass(kw_only=True, eq=False)
class Statistical:
    """A procedure that samples until the evidence decides or the plan is fulfilled.

    probe: the experiment.
    looks: views of it; the e-value is the average of theirs.
    planned: observations of the experiment after which the check passes.
    certificate: gives ``(counts, law)`` pairs; the largest distance of them is certified. None: no
        certificate.
    """

    probe: Probe
    looks: Sequence[Look]
    planned: int
    certificate: Callable[[], Sequence[tuple[Integers, Floats]]] | None = None
    picture: Callable[[], Picture] | None = None
    _looked: int = field(default=0, init=False)

    def log_e(self) -> float:
        """Return the logarithm of the e-value so far."""
        return self._mixed(self.looks)

    def longest(self, times: int) -> int:
        """Return how many observations are made at most where evidence asks for more than the plan."""
        return times * self.planned

    def output_log_e(self) -> float:
        """Return the part of it that is evidence about the output, whatever rule is declared."""
        return self._mixed([look for look in self.looks if look.kind == "output"])

    def about(self, kind: str) -> str:
        """Return the kind of the evidence, as in `CheckResult.kind`; by default that of the check."""
        return kind

    def _mixed(self, looks: Sequence[Look]) -> float:
        parts = [(1 / len(self.looks), mixture(_parts(look))) for look in looks]
        return mixture(parts) if parts else -math.inf

    def catches(self, log_threshold: float) -> float:
        """Return the average total variation distance that the plan catches with probability 0.999."""
        level = log_threshold + math.log(len(self.looks))
        return min(look.evidence.power(look.shares * self.planned, level) for look in self.looks)

    def certified(self, delta: float) -> float:
        """Return the certified distance so far."""
        if self.certificate is None:
            return math.nan
        self._looked += 1
        pairs = self.certificate()
        return max(
            total_variation_bound(counts, law, delta / len(pairs), self._looked) for counts, law in pairs
        )

    def looks_like(self, count: int = 3) -> tuple[str, ...]:
        """Return the alternatives that the counts agree with where they are wrong, the likeliest first."""
        looks = self._wrong()
        found: dict[str, tuple[int, float]] = {}
        for look in looks:
            counts = look.counts()
            for name in look.evidence.alternatives:
                impossible, value = look.evidence.gain(counts, name)
                before = found.get(name, (0, 0.0))
                found[name] = before[0] + impossible, before[1] + value
        ranked = sorted((name for name in found if found[name] > (0, 0.0)), key=lambda name: found[name])[
            ::-1
        ]
        agreeing = (name for name in ranked if _agree(_knowing(looks, name), name))
        return tuple(itertools.islice(agreeing, count))

    def explained_by(self, name: str, *, where_wrong: bool = False) -> bool | None:
        """Return whether an alternative explains what was seen; None where its law is not known.

        It leaves no evidence, and nothing else that is known is much likelier: no other alternative, and not
        the null with a little of anything in every stratum. A cell that the null forbids makes every law that
        allows it likelier than the null, however badly it fits otherwise.

        where_wrong: ask about the looks that reject the null, and not about the others.
        """
        looks = _knowing(self._wrong() if where_wrong else self.looks, name)
        if not _agree(looks, name):
            return False
        if not any(name in look.evidence.alternatives for look in looks):
            return None
        tables = [(look.evidence, look.counts()) for look in looks]
        own = sum(evidence.log_likelihood(counts, name) for evidence, counts in tables)
        others = set().union(*(evidence.alternatives for evidence, _ in tables)) - {name}
        best = max(
            [
                *(sum(e.log_likelihood(counts, other) for e, counts in tables) for other in others),
                *(sum(e.log_likelihood(counts, "", spread) for e, counts in tables) for spread in SPREADS),
            ]
        )
        return own >= best - math.log(FITS)

    def where_wrong(self) -> str:
        """Return where all evidence is, if it is in one place: a level, some tokens, a part of the whole.

        Of several ways to split by levels, the first that names so few.
        """
        by_level = (look.wrong_level() for look in self.looks if look.levels)
        level = next(filter(None, by_level), "")
        if level:
            return level
        wrong = {look.tokens for look in self._wrong()} - {""}
        if len(wrong) == 1 and len({look.tokens for look in self.looks} - {""}) > 1:
            return f"only {wrong.pop()}"
        places = {look.place for look in self._wrong()}
        others = {look.place for look in self.looks} - places - {""}
        return f"only {places.pop()}" if others and len(places) == 1 and "" not in places else ""

    def _wrong(self) -> list[Look]:
        """Return the looks that reject the null on their own; all, if none does."""
        wrong = [look for look in self.looks if mixture(_parts(look)) > math.log(FITS)]
        return wrong or list(self.looks)

    def deviations(self, alpha: float, count: int = 4) -> tuple[Deviation, ...]:
        """Return the cells that differ most, by the likelihood ratio of the cell alone."""
        found: list[Deviation] = []
        for look in self.looks:
            law = np.where(look.reachable[:, None], look.evidence.null, 0.0)
            found += worst_cells(look.counts(), law, look.name_cell, alpha, count)
        found.sort(key=lambda item: -item.gain)
        unique = {item.where: item for item in reversed(found)}
        return tuple(sorted(unique.values(), key=lambda item: -item.gain))[:count]


def _knowing(looks: Sequence[Look], name: str) -> list[Look]:
    """Return the looks in which the law of a name is known, the null's included."""
    return [look for look in looks if name in look.evidence.alternatives | look.evidence.equal]


def _agree(looks: Sequence[Look], name: str) -> bool:
    return all(look.evidence.agrees(look.counts(), name, math.log(FITS)) for look in looks)


def worst_cells(
    counts: Integers, law: Floats, name_cell: Callable[[int, int], str], alpha: float, count: int
) -> tuple[Deviation, ...]:
    """Return the cells whose counts are least likely under the law, each against all others of its stratum.

    counts, law: shape ``(strata, cells)``.
    name_cell: spells (stratum, cell).
    alpha: level of the intervals.
    count: how many.
    """
    from scipy.stats import beta

    sizes = counts.sum(axis=1, keepdims=True)
    frequency = counts / np.maximum(sizes, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        gains = np.where(counts > 0, counts * np.log(frequency / law), 0.0)
        rest = sizes - counts
        gains += np.where(rest > 0, rest * np.log((1 - frequency) / (1 - law)), 0.0)
    gains = np.nan_to_num(gains, nan=0.0, posinf=np.inf)
    # Of cells that cannot occur, the one with most counts says most.
    order = np.lexsort((-counts.ravel(), -gains.ravel()))
    found = []
    for flat in order[:count]:
        stratum, cell = (int(v) for v in np.unravel_index(flat, counts.shape))
        seen, size = int(counts[stratum, cell]), int(sizes[stratum, 0])
        if size == 0 or not gains[stratum, cell] > 0:
            continue
        found.append(
            Deviation(
                where=name_cell(stratum, cell),
                observed=seen,
                samples=size,
                expected=float(law[stratum, cell]),
                low=0.0 if seen == 0 else float(beta.ppf(alpha / 2, seen, size - seen + 1)),
                high=1.0 if seen == size else float(beta.isf(alpha / 2, seen + 1, size - seen)),
                gain=float(gains[stratum, cell]),
            )
        )
    return tuple(found)


def _parts(look: Look) -> list[tuple[float, float]]:
    return [(part.weight, part.log_ratio) for part in look.components()]


@dataclass(kw_only=True, eq=False)
class Exact:
    """A procedure without random numbers: it raises when something is wrong.

    run: does the work, returns how many cases were tried; raises `AssertionError` with the reason.
    """

    run: Callable[[], int]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check of a subject.

    name, title: lower case with hyphens; and what it checks, in one line.
    kind: as in `CheckResult`.
    protocols: those it is for.
    make: builds the procedure.
    why_not: says why a subject cannot be checked so; returns "" when it can.
    catches: the classes of bugs it is for, in words.
    rows_by_text: whether it knows the law of rows that depend on the whole text, as processing makes them.
    weight: its claim to the time, relative to the others.
    """

    name: str
    title: str
    protocols: tuple[str, ...]
    make: Callable[[Laboratory], Statistical | Exact]
    kind: str = "output"
    why_not: Callable[[Subject], str] = lambda subject: ""
    catches: str = ""
    rows_by_text: bool = True
    weight: float = 1.0

    def skip_reason(self, subject: Subject) -> str:
        """Return why the subject cannot be checked so, or an empty text."""
        if subject.protocol not in self.protocols:
            return f"protocol is {subject.protocol}"
        if subject.process is not None and not self.rows_by_text:
            return "its processing makes rows depend on the whole text"
        return self.why_not(subject)


def check(
    name: str, title: str, **facts: Any
) -> Callable[[Callable[[Laboratory], Statistical | Exact]], Check]:
    """Make a check of the function that builds its procedure; `facts` are the other fields of `Check`."""
    return lambda make: Check(name=name, title=title, make=make, **facts)


def together(
    probes: Sequence[Probe], looks: Sequence[Look], planned: int, picture: Callable[[], Picture] | None = None
) -> Statistical:
    """Return the procedure of several experiments that are continued by equal shares."""
    for look in looks:
        look.shares = look.shares / len(probes)
    return Statistical(probe=ProbeGroup(probes), looks=looks, planned=planned, picture=picture)


def law_picture(title: str, look: Look) -> Picture:
    """Return the picture of the stratum of a look with most observations."""
    counts = look.counts()
    stratum = int(counts.sum(axis=1).argmax())
    size = int(counts[stratum].sum())
    cells = range(counts.shape[1])
    return Picture(
        title=title,
        cells=tuple(look.name_cell(stratum, cell) for cell in cells),
        observed=tuple(float(value) / max(size, 1) for value in counts[stratum]),
        expected=tuple(float(value) for value in look.evidence.null[stratum]),
        samples=size,
    )


def lossless_only(subject: Subject) -> str:
    """Say why the output is not the target's."""
    return "the declared rule is lossy" if subject.rule is not None and not subject.rule.lossless else ""


def needs_option(subject: Subject, *names: str) -> str:
    """Say why a check of options cannot be made: the subject takes none of them."""
    return "" if subject.options & set(names) else "the sampler has no such option"


def needs_rule(subject: Subject) -> str:
    """Say why the rule's laws cannot be checked."""
    if subject.rule is None:
        return "no rule is declared"
    if (
        subject.protocol in ("step", "draft-and-verify")
        and subject.draft == "never"
        and not subject.rule.any_draft
    ):
        return f"rule {subject.rule.name} needs draft rows, but the sampler takes none"
    return ""


def make_look(
    view: Callable[[NDArray[np.number]], NDArray[np.number]],
    null: Floats,
    alternatives: Mapping[str, Floats],
    observe: Callable[[], Integers],
    name_cell: Callable[[int, int], str],
    *,
    directions: Mapping[str, Floats] | None = None,
    weights: tuple[float, ...] = (0.1, 0.4),
    partitions: Sequence[Integers] = (),
    tolerance: float = 0.0,
    kind: str = "output",
    place: str = "",
) -> Look:
    """Build a look from tables: the same view of the null's, of every alternative's, and of the counts.

    view: Table to ``(strata, cells)``.
    null, alternatives: joint laws as tables.
    observe: returns the table of counts.
    name_cell: spells (stratum, cell).
    directions: laws, ``(strata, cells)`` or ``(cells,)``, towards which the null is bent by each of
        `weights`.
    partitions, tolerance: as in `Evidence`.
    kind, place: as in `Look`.
    """
    sums = np.asarray(view(null), dtype=np.float64)
    laws, reachable = normalised(sums)
    others: dict[str, Any] = {}
    for name, table in alternatives.items():
        bent, _ = normalised(np.asarray(view(table), dtype=np.float64))
        others[name] = np.where(reachable[:, None], bent, laws)
    for name, law in (directions or {}).items():
        for weight in weights:
            others[f"{weight:g} of the way to {name}"] = (1 - weight) * laws + weight * np.broadcast_to(
                law, laws.shape
            )
    return Look(
        evidence=Evidence(laws, alternatives=others, partitions=partitions, tolerance=tolerance),
        observe=lambda: np.asarray(view(observe())),
        shares=sums.sum(axis=1),
        reachable=reachable,
        name_cell=name_cell,
        kind=kind,
        place=place,
    )
