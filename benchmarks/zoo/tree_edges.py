"""Verifications of trees that are wrong on some rows only: zeros, certain tokens, rows nearly equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from benchmarks.zoo.decoder_inputs import ALIKE, SURE
from benchmarks.zoo.model import Control, Mutant, mutant_of
from benchmarks.zoo.sampling import Floats, Integers, Step, at, draw, gap, quotient
from benchmarks.zoo.tree_walk import Visit, less_tried, normal, walk
from specsim.validation.conformance.subjects import Subject


def edges(
    parents: Any,
    target: Any,
    draft: Any,
    tokens: Any,
    seed: int,
    *,
    distinct: bool = False,
    in_support: bool = False,
    untested: Callable[[Floats, Floats, Integers], Any] | None = None,
    compared: bool = False,
) -> Step:
    """Try the children in order.

    Parameters
    ----------
    distinct
        Whether children are drawn without replacement.
    in_support
        Whether residuals are cut to the tokens that the draft may draw.
    untested
        Which children ``(b,)`` are accepted whatever their coins, by rows and token. Defaults to None: none.
    compared
        Whether children of a row of one token are compared with it.
    """

    def test(visit: Visit) -> tuple[Integers, Integers]:
        row, read = normal(visit.target), normal(visit.draft)
        choice = np.full(len(row), -1)
        for k in range(visit.tokens.shape[1]):
            token = visit.tokens[:, k]
            passed = visit.coins[:, k] < quotient(at(row, token), at(read, token))
            if untested is not None:
                passed = passed | untested(row, read, token)
            if compared:
                passed = np.where(row.max(axis=1) == 1.0, row.argmax(axis=1) == token, passed)
            choice[(choice < 0) & passed] = k
            left = np.where(read > 0, np.maximum(row - read, 0.0), 0.0)
            cut = in_support and left.sum(axis=1, keepdims=True) > 0
            row = normal(np.where(cut, left, gap(row, read)))
            if distinct:
                read = less_tried(visit.draft, visit.tokens[:, : k + 1])
        return choice, draw(row, visit.final)

    return walk(parents, target, draft, tokens, seed, test)


def _drawing(settings: Mapping[str, Any]) -> str:
    return "without" if settings.get("distinct") else "with"


def _mutant(name: str, bug_class: str, description: str, cite: str, **settings: Any) -> Mutant:
    return mutant_of(
        partial(edges, **settings),
        bug_class,
        cite,
        ("edge-rows",),
        name=name,
        description=description,
        protocol="tree",
        rule=None,
        drawing=_drawing(settings),
    )


_SUPPORT = "easily made: residuals on the draft's candidates, as of a draft of its own top-k"

MUTANTS = (
    _mutant(
        "tree-replaced-in-drafts-support",
        "11 trees",
        "residuals are cut to tokens that the draft may draw",
        _SUPPORT,
        in_support=True,
    ),
    _mutant(
        "distinct-replaced-in-drafts-support",
        "11 trees",
        "residuals of distinct children are cut to tokens that the draft may draw",
        _SUPPORT,
        in_support=True,
        distinct=True,
    ),
    _mutant(
        "tree-certain-rows-untested",
        "11 trees",
        "where the rows of a call all have one token any child is accepted",
        "easily made: rows of temperature 0 that were taken for verified",
        untested=lambda row, read, token: np.full(len(row), (row.max(axis=1) > 1 - 1e-6).all()),
    ),
    _mutant(
        "tree-sure-drafts-untested",
        "11 trees",
        "children of a probability of 0.95 and more are not tested",
        "easily made: a threshold of confidence, as drafts are stopped by",
        untested=lambda row, read, token: at(read, token) >= SURE,
    ),
    _mutant(
        "tree-like-rows-untested",
        "11 trees",
        "children are not tested where the rows are less than 0.1 apart",
        "easily made: a tolerance against rounding",
        untested=lambda row, read, token: 0.5 * np.abs(row - read).sum(axis=1) < ALIKE,
    ),
)

CONTROLS = (
    Control(
        name="tree-certain-rows-compared",
        description="children are compared with rows of one token, without a coin",
        source="the mutant tree-certain-rows-untested, done right",
        subject=Subject(
            name="tree-certain-rows-compared", protocol="tree", run=partial(edges, compared=True)
        ),
    ),
)
