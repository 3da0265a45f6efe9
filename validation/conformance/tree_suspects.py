"""Known laws of tree verification, compared with what was seen."""

from __future__ import annotations

import math

from specsim.validation.conformance.checks.tree import (
    MAIN_SHAPE,
    STAR,
    rule_tables,
    stop_law,
    text_law,
    tree_probe,
)
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.rules import all_tree_rules
from specsim.validation.conformance.suspects import WANTED, Known, fits, log_likelihood


def known_tree_laws(lab: Laboratory) -> list[Known]:
    """Compare texts and accepted lengths of two shapes with every known rule for trees."""
    probes = [tree_probe(lab, name) for name in (MAIN_SHAPE, STAR)]
    for probe in probes:
        if probe.total < WANTED:
            probe.sample(WANTED - probe.total)
    if not all(probe.total for probe in probes):
        return []
    found = []
    rules = dict.fromkeys((*all_tree_rules(), *((lab.subject.rule,) if lab.subject.rule else ())))
    for rule in rules:
        value, agree = 0.0, {"stops": True, "texts": True}
        for probe in probes:
            tables = rule_tables(rule, probe.shape_name, lab.subject.drawing, probe.vocabulary)
            if tables is None:
                value = -math.inf
                break
            texts, stops = text_law(probe, tables), stop_law(probe, tables)
            value += log_likelihood(probe.texts, texts)
            value += log_likelihood(probe.stops, stops / stops.sum(axis=1, keepdims=True).clip(1e-300))
            agree["texts"] &= fits(probe.texts[None, :], texts[None, :], lambda table: table, lab.tolerance)
            agree["stops"] &= fits(probe.stops, stops, lambda table: table, lab.tolerance)
        found.append(Known(rule=rule, log_likelihood=value, fits=agree))
    return found
