"""Wide vocabularies: token by token there are too few counts, so tokens are lumped in telling ways."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from specsim.validation.conformance.calling import Caller
from specsim.validation.conformance.checks.base import Look, Statistical
from specsim.validation.conformance.evidence import Evidence
from specsim.validation.conformance.filters import tempered
from specsim.validation.conformance.instances import Instance, wide_instance
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.probes import Models
from specsim.validation.conformance.results import Picture

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Groups of about equal mass that tokens are lumped into, finely and coarsely.
GROUPS, FEW_GROUPS = 16, 4
#: Mass of the rarest tokens that may be drawn a third less often than they should be.
RARE = (0.05, 0.2)
#: Bytes of rows of one call, at most.
CALL_BYTES = 2**26


class WideProbe:
    """First and second tokens on a wide instance, by the context they were emitted in.

    Half of the drafts have one token, so that bonus tokens are among the second ones.

    Attributes
    ----------
    counts
        Shape ``(1 + contexts, vocabulary)``: the first token, then the second token by its context.
    total
        Texts so far.
    """

    def __init__(self, lab: Laboratory, instance: Instance, caller: Caller) -> None:
        self.instance = instance
        self.caller = caller
        self.total = 0
        self._short = dataclasses.replace(instance, draft_length=1)
        self._rng = lab.rng("wide")
        self.counts = np.zeros((1 + len(instance.target), instance.vocabulary), dtype=np.int64)

    def sample(self, count: int) -> None:
        """Observe about `count` more texts."""
        wanted = self.total + count
        bytes_per_row = 8 * self.instance.vocabulary * (2 * self.instance.draft_length + 1)
        largest = max(1, CALL_BYTES // bytes_per_row)
        while self.total < wanted and not self.caller.out_of_time():
            size = min(largest, wanted - self.total)
            for instance, part in ((self.instance, size - size // 2), (self._short, size // 2)):
                if part:
                    self._round(instance, part)

    def _round(self, instance: Instance, size: int) -> None:
        subject = self.caller.subject
        if subject.protocol == "step":
            drafted = instance.draw_drafted(self._rng, size)
            target, draft = instance.rows(drafted)
            rows = None if subject.draft == "never" else draft
            tokens, lengths = self.caller.step(target, rows, drafted)
        else:
            size = min(size, subject.max_batch or size)
            models = Models(self.caller, [instance], np.zeros(size, dtype=np.int64))
            _, tokens, lengths = self.caller.draft_and_verify(models)
        texts = instance.complete(self._rng, tokens, lengths, 2)
        second = instance.next_context[instance.start, texts[:, 0]]
        np.add.at(self.counts, (np.zeros(size, dtype=np.int64), texts[:, 0]), 1)
        np.add.at(self.counts, (1 + second, texts[:, 1]), 1)
        self.total += size


def make_wide(lab: Laboratory) -> Statistical:
    """Build the procedure of the check ``wide-vocabulary``."""
    vocabulary = min(lab.effort.widest, lab.subject.max_vocabulary or lab.effort.widest)
    instance = wide_instance(lab.instance_seed, vocabulary=vocabulary, draft_length=min(2, lab.draft_length))
    probe = WideProbe(lab, instance, lab.caller("wide"))
    laws = np.concatenate([instance.target[[instance.start]], instance.target])
    drafts = np.concatenate([instance.draft[[instance.start]], instance.draft])
    uniform = np.full(laws.shape, 1.0 / vocabulary)
    alternatives: dict[str, Floats] = {
        "tempered by 0.8": tempered(laws, 0.8),
        "tempered by 1.25": tempered(laws, 1.25),
    }
    for name, law in (("the draft", drafts), ("equal chances", uniform)):
        for weight in (0.03, 0.2):
            alternatives[f"{weight:g} of the way to {name}"] = (1 - weight) * laws + weight * law
    for mass in RARE:
        alternatives[f"the rarest tokens, of mass {mass:g}, a third less likely"] = rarer(laws, mass)
    evidence = Evidence(
        laws,
        alternatives=alternatives,
        partitions=telling_partitions(laws, drafts),
        tolerance=max(lab.tolerance, 1e-6),
    )
    seconds = np.bincount(
        instance.next_context[instance.start],
        weights=instance.target[instance.start],
        minlength=len(instance.target),
    )
    shares = np.concatenate([[1.0], seconds])
    look = Look(
        evidence=evidence,
        observe=lambda: probe.counts,
        shares=shares,
        reachable=np.ones(len(laws), dtype=bool),
        name_cell=lambda stratum, cell: (
            f"first token {cell}" if stratum == 0 else f"second token {cell} in context {stratum - 1}"
        ),
    )
    return Statistical(
        probe=probe,
        looks=[look],
        planned=lab.effort.wide_samples,
        picture=lambda: _picture(probe, laws, drafts),
    )


def telling_partitions(laws: Floats, drafts: Floats) -> list[Integers]:
    """Group the tokens of each row by likelihood ratio, by rank and by id, in groups of about equal mass.

    Each in `GROUPS`, then each in `FEW_GROUPS`; last, tokens that the target likes better apart from others.
    """
    with np.errstate(divide="ignore"):
        orders = [np.argsort(np.log(laws) - np.log(drafts), axis=1), np.argsort(-laws, axis=1)]
    orders.append(np.broadcast_to(np.arange(laws.shape[1]), laws.shape))
    found = []
    for count in (GROUPS, FEW_GROUPS):
        for order in orders:
            mass = np.cumsum(np.take_along_axis(laws, order, axis=1), axis=1)
            groups = np.minimum((mass * count).astype(np.int64), count - 1)
            table = np.empty(laws.shape, dtype=np.int64)
            np.put_along_axis(table, order, groups, axis=1)
            found.append(table)
    found.append((laws >= drafts).astype(np.int64))
    return found


def rarer(laws: Floats, mass: float) -> Floats:
    """Return rows in which the rarest tokens, of this mass together, are a third less likely than before."""
    order = np.argsort(laws, axis=1)
    below = np.cumsum(np.take_along_axis(laws, order, axis=1), axis=1) <= mass
    weights = np.ones(laws.shape)
    np.put_along_axis(weights, order, np.where(below, 2 / 3, 1.0), axis=1)
    changed = weights * laws
    result: Floats = changed / changed.sum(axis=1, keepdims=True)
    return result


def _picture(probe: WideProbe, laws: Floats, drafts: Floats) -> Picture:
    groups = telling_partitions(laws[:1], drafts[:1])[0][0]
    seen = np.bincount(groups, weights=probe.counts[0], minlength=GROUPS)
    mass = np.bincount(groups, weights=laws[0], minlength=GROUPS)
    size = max(int(probe.counts[0].sum()), 1)
    return Picture(
        title="first token, lumped by likelihood ratio of target and draft",
        cells=tuple(f"group {group + 1}, target / draft rising" for group in range(GROUPS)),
        observed=tuple(float(value) / size for value in seen),
        expected=tuple(float(value) for value in mass),
        samples=size,
    )
