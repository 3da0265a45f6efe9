"""Which known rule or bug the data of the main experiment look like."""

import math
from typing import Any

import numpy as np

from specsim.validation.conformance.checks.step import STEPS, main_probe, owns_drafts
from specsim.validation.conformance.evidence import Evidence
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.results import Suspect
from specsim.validation.conformance.tables import Views, normalised

#: A law is said to fit while the evidence against it is below this.
FITS = 1e3

#: Suspects that are listed.
MOST_SUSPECTS = 5


def suspects_of(lab: Laboratory) -> tuple[Suspect, ...]:
    """Rank the known laws of verification steps by the likelihood of what the main experiment saw.

    Ratios are against the declared rule, or against the best lossless rule when none is declared. Empty for
    other protocols, and when the main experiment did not run.
    """
    if lab.subject.protocol not in STEPS:
        return ()
    probe = main_probe(lab)
    if not probe.total:
        return ()
    own = owns_drafts(lab)
    instance = probe.effective[0]
    laws = lab.known_laws(instance, one_hot=probe.one_hot, own=own)
    counts = probe.table[0]
    scores = {name: _log_likelihood(counts, table, own) for name, (_, table) in laws.items()}
    base = _base(lab, laws, scores)
    # Laws that the data cannot tell from the best come first when they are lossless.
    best = max(scores.values(), default=-math.inf)
    ranked = sorted(
        scores,
        key=lambda name: (
            scores[name] < best - math.log(FITS),
            not laws[name][0].lossless if scores[name] >= best - math.log(FITS) else False,
            -scores[name],
        ),
    )[:MOST_SUSPECTS]
    found = []
    for name in ranked:
        if not math.isfinite(scores[name]):
            continue
        rule, table = laws[name]
        ratio = (scores[name] - base) / math.log(10) if math.isfinite(base) else math.inf
        found.append(
            Suspect(
                name=name,
                title=rule.title,
                source=rule.source,
                lossless=rule.lossless,
                log10_ratio=ratio,
                fits=_fits(counts, table, probe.vocabulary, probe.draft_length, lab.tolerance),
            )
        )
    return tuple(found)


def _base(lab: Laboratory, laws: dict[str, Any], scores: dict[str, float]) -> float:
    rule = lab.rule
    if rule is not None and rule.name in scores:
        return scores[rule.name]
    return max((scores[name] for name, (item, _) in laws.items() if item.lossless), default=-math.inf)


def _log_likelihood(counts: np.ndarray, table: np.ndarray, own: bool) -> float:
    """Return the log likelihood, up to a constant; given the drafted paths unless the subject drew them."""
    law = table if own else table / np.maximum(table.sum(axis=(1, 2), keepdims=True), 1e-300)
    seen = counts > 0
    if (law[seen] <= 0).any():
        return -math.inf
    return float((counts[seen] * np.log(law[seen])).sum())


def _fits(
    counts: np.ndarray, table: np.ndarray, vocabulary: int, draft_length: int, tolerance: float
) -> bool:
    views = Views(vocabulary, draft_length)
    for view in (views.outcome, views.acceptance, views.residual, views.drafted):
        laws, reachable = normalised(np.asarray(view(table), dtype=np.float64))
        seen = np.asarray(view(counts))
        if (seen[~reachable] > 0).any():
            return False
        if Evidence(laws, tolerance=tolerance).log_e(seen) > math.log(FITS):
            return False
    return True
