"""Known laws compared with what the main experiment of a subject saw."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance.checks.base import FITS
from specsim.validation.conformance.checks.step import STEPS, main_probe, owns_drafts
from specsim.validation.conformance.evidence import Evidence
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.probes import StepProbe
from specsim.validation.conformance.remedies import change_for
from specsim.validation.conformance.results import Suspect
from specsim.validation.conformance.rules.base import Rule, ratio_law
from specsim.validation.conformance.tables import Views, normalised, path_law

#: A law whose log likelihood is this far below the best is none.
HOPELESS = 100.0
#: Suspects that are listed.
MOST_SUSPECTS = 5
#: Observations that a diagnosis wants.
WANTED = 16_384

#: One way to look at counts: what stands in strata and cells, of counts and of laws alike.
View = Callable[[NDArray[np.number]], NDArray[np.number]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """A known law and what was observed.

    rule: whose law it is.
    log_likelihood: of what was seen, up to a constant.
    fits: whether the data agree with it, view by view.
    """

    rule: Rule
    log_likelihood: float
    fits: Mapping[str, bool]

    @property
    def agrees(self) -> bool:
        """Whether the data agree with it in every view."""
        return all(self.fits.values())


def known_laws(lab: Laboratory) -> list[Known]:
    """Compare the main experiment with every known law; those that agree first, then by likelihood.

    Of laws that the data cannot distinguish from the likeliest, lossless ones come first; laws under which
    the data are impossible come last. Empty where nothing was observed.
    """
    if lab.subject.protocol in STEPS:
        found = _of_steps(lab)
    elif lab.subject.protocol == "tree":
        from specsim.validation.conformance.tree_suspects import known_tree_laws

        found = known_tree_laws(lab)
    else:
        from specsim.validation.conformance.decoder_suspects import known_decoder_laws

        found = known_decoder_laws(lab)
    best = max((item.log_likelihood for item in found), default=0.0)
    return sorted(found, key=lambda item: _rank(item, best))


def _rank(item: Known, best: float) -> tuple[bool, bool, float]:
    close = item.log_likelihood >= best - math.log(FITS)
    return not item.agrees, not (close and item.rule.lossless), -item.log_likelihood


def suspects_of(lab: Laboratory, known: list[Known]) -> tuple[Suspect, ...]:
    """Return the first of the known laws for a report.

    Ratios are against the declared rule, or against the best lossless rule when none is declared.
    """
    rule = lab.subject.rule
    own = [item for item in known if (item.rule.lossless if rule is None else item.rule.name == rule.name)]
    base = max((item.log_likelihood for item in own), default=-math.inf)
    return tuple(
        Suspect(
            name=item.rule.name,
            title=item.rule.title,
            source=item.rule.source,
            lossless=item.rule.lossless,
            log10_ratio=(item.log_likelihood - base) / math.log(10) if math.isfinite(base) else math.inf,
            fits=item.agrees,
            change="" if item.rule.lossless else change_for(item.rule),
        )
        for item in [item for item in known if math.isfinite(item.log_likelihood)][:MOST_SUSPECTS]
    )


def log_likelihood(counts: Integers, law: Floats) -> float:
    """Return the log likelihood of counts, up to a constant."""
    seen = counts > 0
    if (law[seen] <= 0).any():
        return -math.inf
    return float((counts[seen] * np.log(law[seen])).sum())


def fits(counts: Integers, table: Floats, view: View, tolerance: float) -> bool:
    """Return whether counts agree with a law, in one view of both."""
    laws, reachable = normalised(np.asarray(view(table), dtype=np.float64))
    seen = np.asarray(view(counts), dtype=np.int64)
    if (seen[~reachable] > 0).any():
        return False
    return Evidence(laws, tolerance=tolerance).log_e(seen) <= math.log(FITS)


def observed(lab: Laboratory) -> StepProbe | None:
    """Return the main experiment of a step, with enough observations for a diagnosis if there is time."""
    probe = main_probe(lab)
    if probe.total < WANTED:
        probe.sample(WANTED - probe.total)
    return probe if probe.total else None


def step_views(probe: StepProbe, *, own: bool) -> dict[str, View]:
    """Return the views in which laws of steps are compared."""
    views = Views(probe.vocabulary, probe.draft_length)
    first = probe.vocabulary
    found: dict[str, View] = {
        "first acceptance": lambda table: views.acceptance(table)[:first],
        "later acceptance": lambda table: views.acceptance(table)[first:],
        "residual": views.residual,
        "bonus": views.bonus,
        "outcome": views.outcome,
    }
    if own:
        found["drafted"] = views.drafted
    if probe.draft_length == 1:
        del found["later acceptance"]
    return found


def _of_steps(lab: Laboratory) -> list[Known]:
    probe = observed(lab)
    if probe is None:
        return []
    own = owns_drafts(lab)
    instance = probe.effective[0]
    laws = dict(lab.known_laws(instance, one_hot=probe.one_hot, own=own))
    if not probe.one_hot:
        for rule in permuted_rules(probe.vocabulary, own=own):
            joint = rule.law(*instance.rows(instance.paths), instance.paths)
            laws[rule.title] = (rule, joint * path_law(instance, rule if own else None)[:, None, None])
    if lab.rule is not None and lab.rule.name not in laws:
        laws[lab.rule.name] = (lab.rule, lab.joint(lab.rule, instance, one_hot=probe.one_hot, own=own))
    counts = probe.table[0]
    views = step_views(probe, own=own)
    values = {}
    for name, (_, table) in laws.items():
        given = table if own else table / np.maximum(table.sum(axis=(1, 2), keepdims=True), 1e-300)
        values[name] = log_likelihood(counts, given)
    best = max(values.values())
    found = []
    for name, (rule, table) in laws.items():
        agree = {"outcome": False}
        # A wrong rule that is much less likely than another one need not be looked at.
        if rule.lossless or rule is lab.rule or values[name] > best - HOPELESS:
            agree = {key: fits(counts, table, view, lab.tolerance) for key, view in views.items()}
        found.append(Known(rule=rule, log_likelihood=values[name], fits=agree))
    return found


def permuted_rules(vocabulary: int, *, own: bool) -> list[Rule]:
    """Return the ratio rule with the draft's probabilities, or its drafts, at other ids, in every order."""
    found = []
    for order in itertools.permutations(range(vocabulary)):
        if order == tuple(range(vocabulary)):
            continue
        words = " ".join(map(str, order))
        read = Rule(
            name="vocabulary-permuted",
            title=f"the test reads the draft's probabilities at other ids (for 0 1 2 ... at {words})",
            source="alibaba/rtp-llm#1311",
            lossless=False,
            bug_class="12 vocabulary map",
            law=_reading(list(order)),
        )
        found.append(read)
        if own:
            title = f"drafted tokens are other ids than those that were drawn (for 0 1 2 ... {words})"
            found.append(replace(read, title=title, law=ratio_law, draw=_drawing(list(order))))
    return found


def _reading(order: list[int]) -> Callable[[Floats, Floats | None, Integers], Floats]:
    def law(target: Floats, draft: Floats | None, drafted: Integers) -> Floats:
        return ratio_law(target, None if draft is None else draft[..., order], drafted)

    return law


def _drawing(order: list[int]) -> Callable[[Floats], Floats]:
    return lambda rows: rows[..., order]
