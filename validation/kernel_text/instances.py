"""Tiny rational instances on which a text is enumerated: rows after every prefix of one round."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from flint import fmpq

from specsim.algorithms import Structure
from specsim.algorithms.rule import Drawing
from specsim.errors import InputError, TooLargeError
from specsim.pairs import ModelPair
from specsim.validation.kernel_text.reading import exact

Prefix = tuple[int, ...]
Row = tuple[Any, ...]

#: Most sets of drafted tokens that are enumerated.
MOST_DRAFTS = 100_000


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A target and a draft row after every prefix of at most `depth` tokens.

    Attributes
    ----------
    target, draft
        Row by prefix, the empty one included.
    depth
        Length of the longest prefix.
    name
        For reports.
    """

    target: dict[Prefix, Row] = field(repr=False)
    draft: dict[Prefix, Row] = field(repr=False)
    depth: int
    name: str

    @property
    def tokens(self) -> int:
        """Size of the vocabulary."""
        return len(self.target[()])

    def text(self, depth: int) -> str:
        """Return the rows after prefixes of at most `depth` tokens, as text."""
        lines = [f"{self.name}: rows of target | draft"]
        for prefix, row in self.target.items():
            if len(prefix) <= depth:
                after = f"after {' '.join(map(str, prefix))}" if prefix else "at the start"
                lines.append(f"  {after}: {_spell(row)} | {_spell(self.draft[prefix])}")
        return "\n".join(lines)


def random_instances(tokens: int, depth: int, count: int, seed: int) -> Iterator[Instance]:
    """Yield `count` instances whose rows are random twelfths; every other one has zeros."""
    if tokens < 2 or tokens > 12:
        raise InputError(f"tokens is {tokens}; give 2 to 12")
    if tokens**depth > MOST_DRAFTS:
        raise TooLargeError(f"{tokens} tokens at depth {depth} have {tokens**depth} prefixes; take fewer tokens")
    generator = np.random.default_rng(seed)
    for number in range(count):
        least = 1 - number % 2

        def row(least: int = least) -> Row:
            cuts = np.sort(generator.integers(0, 13 - least * tokens, size=tokens - 1))
            parts = np.diff(cuts, prepend=0, append=12 - least * tokens) + least
            return tuple(fmpq(int(part), 12) for part in parts)

        prefixes = [prefix for length in range(depth + 1) for prefix in product(range(tokens), repeat=length)]
        target = {prefix: row() for prefix in prefixes}
        draft = {prefix: row() for prefix in prefixes}
        yield Instance(target=target, draft=draft, depth=depth, name=f"random instance {number} of seed {seed}")


def pair_instances(pair: ModelPair, depth: int) -> Iterator[Instance]:
    """Yield one instance for each context in which a run of the pair may begin."""
    if pair.tokens**depth > MOST_DRAFTS:
        raise TooLargeError(
            f"{pair.name} has {pair.tokens**depth} prefixes of length {depth}; take a smaller pair"
        )
    last = len(pair.target) - 1
    for start in np.flatnonzero(pair.initial):
        target: dict[Prefix, Row] = {}
        draft: dict[Prefix, Row] = {}
        contexts = {(): int(start)}
        for length in range(depth + 1):
            for prefix in product(range(pair.tokens), repeat=length):
                if prefix:
                    contexts[prefix] = int(pair.next_context[contexts[prefix[:-1]], prefix[-1]])
                there = min(length, last), contexts[prefix]
                target[prefix] = tuple(exact(value) for value in pair.target[there])
                draft[prefix] = tuple(exact(value) for value in pair.draft[there])
        yield Instance(target=target, draft=draft, depth=depth, name=f"{pair.name} from context {start}")


def drafts(
    instance: Instance, structure: Structure, drawing: Drawing, nodes: int
) -> Iterator[tuple[list[int], list[Prefix], Any]]:
    """Yield ``(tokens, prefixes, probability)`` of every draft of the first `nodes` nodes.

    ``tokens[n]`` is the token of node n and ``prefixes[n]`` the path that ends in it; the root has the token
    -1 and the empty prefix.
    """
    parents = structure.parents

    def grow(tokens: list[int], prefixes: list[Prefix], probability: Any) -> Iterator[tuple[Any, ...]]:
        node = len(tokens)
        if node == nodes:
            yield tokens, prefixes, probability
            return
        parent = parents[node]
        taken = tokens[structure.first[parent] : node]
        for token, chance in _child(instance.draft[prefixes[parent]], taken, drawing):
            yield from grow(
                [*tokens, token], [*prefixes, (*prefixes[parent], token)], probability * chance
            )

    return grow([-1], [()], fmpq(1))


def _child(row: Row, taken: list[int], drawing: Drawing) -> Iterator[tuple[int, Any]]:
    """Yield the tokens that the next child may have, with their probabilities."""
    if drawing == "independent":
        weights = list(row)
    elif drawing == "distinct":
        weights = [0 if token in taken else value for token, value in enumerate(row)]
        if not any(weights):
            # The support is exhausted: uniform over the tokens not yet drawn.
            weights = [0 if token in taken else 1 for token in range(len(row))]
    elif drawing == "greedy":
        best = sorted(range(len(row)), key=lambda token: (-row[token], token))[len(taken)]
        weights = [int(token == best) for token in range(len(row))]
    else:
        raise InputError(f"drafts are drawn {drawing!r}, by the rule itself; enumeration needs their law")
    total = sum(weights)
    for token, weight in enumerate(weights):
        if weight:
            yield token, fmpq(1) * weight / total


def _spell(row: Row) -> str:
    return " ".join(map(str, row))
