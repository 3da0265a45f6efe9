"""The algorithms on which the claims over all laws are checked, made from the facts of the catalogue."""

from collections.abc import Iterator
from dataclasses import MISSING, fields
from itertools import cycle, islice, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim import (
    Batch,
    BatchAsPrinted,
    BlockVerification,
    ModelPair,
    OverAcceptance,
    RejectionBased,
    Rule,
    Speculative,
    tree,
)
from specsim.algorithms import Algorithm, Parameter, Structure

Options = dict[str, Any]

#: Options of a structure by its kind, small enough to enumerate: what ends a round, the cut at the horizon,
#: bonus on and off, an irregular tree.
TINY: dict[str, tuple[Options, ...]] = {
    "chain": (
        {},
        {"draft_length": 1},
        {"draft_length": 2},
        {"draft_length": 2, "bonus": False},
        {"draft_length": 3},
    ),
    "paths": (
        {"drafts": 2},
        {"drafts": 3, "draft_length": 1},
        {"drafts": 2, "draft_length": 2},
        {"drafts": 2, "draft_length": 1, "bonus": False},
    ),
    "tree": (
        {"tree": (1, 2)},
        {"tree": tree((-1, 0, 0, 1))},
        {"tree": tree((-1, 0, 0, 1, 1)), "bonus": False},
    ),
}

#: The same for simulation.
LARGE: dict[str, tuple[Options, ...]] = {
    "chain": ({"draft_length": 4}, {}, {"draft_length": 3, "bonus": False}),
    "paths": ({"drafts": 2, "draft_length": 3}, {"drafts": 3, "draft_length": 2, "bonus": False}),
    "tree": ({"tree": (2, 2)}, {"tree": tree((-1, 0, 0, 1, 1, 3))}),
}

#: Descriptors with a class of their own, by rule; claims about a rule are about them too.
NAMED: dict[str, type[Algorithm]] = {
    kind.rule_name: kind
    for kind in (Speculative, Batch, BatchAsPrinted, BlockVerification, OverAcceptance, RejectionBased)
}


def claim_name(rule: Rule) -> str:
    """Return what the claim about a rule is called after: the name people know, or the rule's."""
    return NAMED[rule.name].keyword if rule.name in NAMED else rule.name


def build(rule: Rule, options: Options) -> Algorithm:
    """Return the algorithm of these options: a descriptor with its own class where that is enough."""
    kind = NAMED.get(rule.name)
    if kind is not None:
        needed = {field.name: field.default is MISSING for field in fields(kind)}  # type: ignore[arg-type]
        if needed.keys() >= options.keys() >= {name for name, must in needed.items() if must}:
            return kind(**options)
    return rule(**options)


def variants(rule: Rule, pair: ModelPair, shapes: dict[str, tuple[Options, ...]]) -> list[Algorithm]:
    """Return the algorithms with this rule on every structure, drawing and choice that it serves.

    Structures and drawings are crossed; the values of the parameters go round, so that each occurs.

    rule: a rule of the catalogue.
    pair: tables of parameters are made for this pair.
    shapes: `TINY` or `LARGE`.
    """
    structures = [options for kind in rule.structures for options in shapes[kind]]
    values = list(_values(rule, pair))
    shaped = list(product(structures, rule.drawings))
    found = []
    for (options, drawing), value in islice(
        zip(cycle(shaped), cycle(values), strict=False), max(len(shaped), len(values))
    ):
        # The usual drawing is what an algorithm has when none is named.
        drawn = {} if drawing == rule.drawings[0] else {"drawn": drawing}
        algorithm = build(rule, {**options, **drawn, **value})
        if drawing == "independent" or _most_children(algorithm.structure(pair.horizon)) <= pair.tokens:
            found.append(algorithm)
    return found


def _most_children(structure: Structure) -> int:
    return max(len(structure.children(node)) for node in range(len(structure.parents)))


def _values(rule: Rule, pair: ModelPair) -> Iterator[Options]:
    """Yield values of all parameters: every combination of choices, numbers and tables."""
    columns = [_of_parameter(entry, pair) for entry in rule.parameters.values()]
    for combination in product(*columns):
        yield dict(zip(rule.parameters, combination, strict=True))


def _of_parameter(parameter: Parameter, pair: ModelPair) -> tuple[Any, ...]:
    if parameter.kind == "choice":
        return parameter.choices
    if parameter.kind in ("number", "whole"):
        return parameter.examples
    return tuple(table_of(parameter, pair, seed) for seed in (5, 6))


def table_of(parameter: Parameter, pair: ModelPair, seed: int) -> NDArray[Any]:
    """Return arbitrary probabilities, or laws, in 64ths for a parameter that is a table."""
    generator = np.random.RandomState(seed)
    shape = pair.target.shape
    if not parameter.law:
        return generator.randint(0, 65, size=shape) / 64.0
    cuts = np.sort(generator.randint(0, 65, size=(*shape[:2], shape[2] - 1)), axis=-1)
    return np.diff(cuts, axis=-1, prepend=0, append=64) / 64.0
