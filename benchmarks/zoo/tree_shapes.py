"""Verifications of draft trees that are wrong for some shapes, or use coins again; and right neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.zoo.model import Control, Mutant
from benchmarks.zoo.sampling import Floats, Integers, Step, draw, floats, gap
from benchmarks.zoo.tree_walk import Visit, children, depths, recursive, walk
from specsim.validation.conformance.rules import lossless
from specsim.validation.conformance.subjects import Subject


def residual_of_four(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Leave the residual as it is after the fourth sibling that fails."""

    def residual(row: Floats, drafts: Floats, tried: int) -> Floats:
        return gap(row, drafts) if tried < 4 else row

    def test(visit: Visit) -> tuple[Integers, Integers]:
        return recursive(visit, replacement=True, residual=residual)

    return walk(parents, target, draft, tokens, seed, test)


def _pool(tokens: Any, seed: int, size: int) -> Floats:
    """Return uniforms of the nodes, of which only so many are different."""
    batch, nodes = np.shape(tokens)
    drawn: Floats = np.random.default_rng([seed, size]).random((batch, size))[:, np.arange(nodes) % size]
    return drawn


def _in_order(visit: Visit) -> tuple[Integers, Integers]:
    return recursive(visit, replacement=True)


def coins_of_eight_nodes(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Test nodes whose numbers are equal modulo 8 by one coin."""
    return walk(parents, target, draft, tokens, seed, _in_order, coins=_pool(tokens, seed, 8))


def coins_of_32_nodes(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Test nodes whose numbers are equal modulo 32 by one coin."""
    return walk(parents, target, draft, tokens, seed, _in_order, coins=_pool(tokens, seed, 32))


def parents_draft_row(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Read the parent's draft row below a later sibling, two levels down or more."""
    rows, level = floats(draft).copy(), depths(parents)
    for node in range(1, len(parents)):
        above = int(parents[node])
        if level[node] >= 2 and children(parents, above)[0] != node:
            rows[:, node] = draft[:, above]
    return walk(parents, target, rows, tokens, seed, _in_order)


def first_coin_draws(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Draw the final token by the coin of the first test, if the walk came two levels down."""
    level = depths(parents)

    def test(visit: Visit) -> tuple[Integers, Integers]:
        final = visit.first_coin if level[visit.node] >= 2 else visit.final
        return recursive(Visit(**{**vars(visit), "final": final}), replacement=True)

    return walk(parents, target, draft, tokens, seed, test)


def six_levels_tested(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Accept the first child without a test at the seventh level and below."""
    coins = np.random.default_rng([seed, 7]).random(np.shape(tokens))
    coins[:, np.array(depths(parents)) > 6] = 0.0
    return walk(parents, target, draft, tokens, seed, _in_order, coins=coins)


def coins_of_token_and_level(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Take one coin for a token and level: of a token that failed, nothing is left to test."""
    tokens, level = np.asarray(tokens), np.array(depths(parents))
    pool = np.random.default_rng([seed, 1]).random((len(tokens), level.max() + 1, np.shape(target)[2]))
    coins = pool[np.arange(len(tokens))[:, None], level[None, :], np.maximum(tokens, 0)]
    return walk(parents, target, draft, tokens, seed, _in_order, coins=coins)


def first_three_children(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Test only the first three children of a node."""

    def test(visit: Visit) -> tuple[Integers, Integers]:
        few = {"tokens": visit.tokens[:, :3], "coins": visit.coins[:, :3]}
        return recursive(Visit(**{**vars(visit), **few}), replacement=True)

    return walk(parents, target, draft, tokens, seed, test)


def three_levels(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Test nothing below the third level; draw the next token from the target's row there."""
    level = depths(parents)

    def test(visit: Visit) -> tuple[Integers, Integers]:
        if level[visit.node] >= 3:
            return np.full(len(visit.target), -1), draw(visit.target, visit.final)
        return recursive(visit, replacement=True)

    return walk(parents, target, draft, tokens, seed, test)


def future_chooses_sibling(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Draw the text from the target first, and choose among equal siblings by what comes next.

    The node that was accepted then depends on the tokens that follow.
    """
    return _matched(parents, target, tokens, np.random.default_rng([seed, 3]).random(np.shape(tokens)))


def seed_plus_five_rows(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> Step:
    """Draw the text of row b with the seed + 5 b."""
    streams = [np.random.default_rng(seed + 5 * row) for row in range(len(tokens))]
    uniforms = np.stack([stream.random(np.shape(tokens)[1]) for stream in streams])
    return _matched(parents, target, tokens, uniforms)


def _matched(parents: Any, target: Any, tokens: Any, uniforms: Floats) -> Step:
    """Draw texts from the target, as far as they are in the tree and one token more; uniforms ``(B, N)``."""
    target, tokens = floats(target), np.asarray(tokens)
    level = depths(parents)
    emitted = np.full((len(tokens), max(level) + 1), -1, dtype=np.int64)
    lengths = np.zeros(len(tokens), dtype=np.int64)
    for row in range(len(tokens)):
        here = [0]
        for place in range(max(level) + 1):
            # Equal siblings have equal rows, so that the first node of the path speaks for all.
            token = int(draw(target[row, here[:1]], uniforms[row, [place]])[0])
            emitted[row, place] = token
            lengths[row] = place + 1
            here = [
                child for node in here for child in children(parents, node) if tokens[row, child] == token
            ]
            if not here:
                break
    return emitted, lengths


def _subject(run: Callable[..., Any], rule: Any) -> Subject:
    name = "tree-" + run.__name__.replace("_", "-")
    return Subject(name=name, protocol="tree", run=run, rule=rule)


def _first_line(run: Callable[..., Any]) -> str:
    return (run.__doc__ or "").splitlines()[0].rstrip(".")


_ROOM = "easily made: room for a fixed number"
_AGAIN = "easily made: a buffer of random numbers that is used round and round"

MUTANTS = tuple(
    Mutant(
        name=(subject := _subject(run, rule)).name,
        description=_first_line(run) + ".",
        cite=cite,
        bug_class=bug_class,
        subject=subject,
        killed_by=("sizes" if rule else "repeated-draws",),
    )
    for run, rule, bug_class, cite in (
        (residual_of_four, lossless.RECURSIVE, "2 recovery law", _ROOM),
        (coins_of_eight_nodes, lossless.RECURSIVE, "4 randomness", _AGAIN),
        (coins_of_32_nodes, lossless.RECURSIVE, "4 randomness", _AGAIN),
        (parents_draft_row, lossless.RECURSIVE, "11 tree", "easily made: an index of the level above"),
        (first_coin_draws, lossless.RECURSIVE, "4 randomness", "easily made: a coin kept in a variable"),
        (six_levels_tested, lossless.RECURSIVE, "11 tree", _ROOM),
        (seed_plus_five_rows, None, "4 randomness", "vllm-project/vllm#9441, for trees"),
    )
)

CONTROLS = tuple(
    Control(
        name=(subject := _subject(run, rule)).name,
        description=_first_line(run) + ".",
        source=source,
        subject=subject,
    )
    for run, rule, source in (
        (coins_of_token_and_level, lossless.RECURSIVE, "hashes of token and position"),
        (first_three_children, None, "a limit on the children that are tried"),
        (three_levels, None, "a limit on the levels that are tried"),
        (future_chooses_sibling, None, "decoding first and looking the text up in the tree"),
    )
)
