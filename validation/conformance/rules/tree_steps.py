"""Pieces of which the laws of wrong rules for trees are made; for any rows and drafts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps

import numpy as np

from specsim.theory.arithmetic.numbers import without_tokens as zeroed
from specsim.theory.step_laws import NodeStep, node_wise as node_wise_law
from specsim.validation.conformance.rules.base import (
    Floats,
    Integers,
    Rule,
    TreeLaw,
    at_token,
    positive_part,
    ratio,
    wrong_rule,
)


def node_wise(step: NodeStep) -> TreeLaw:
    """Return the law of verifying node by node: `step` at a node with children, the target at a leaf."""
    return partial(node_wise_law, step)


def without_tokens(row: Floats, tried: Integers) -> Floats:
    """Return the row without the tried tokens ``(..., j)``, normalised; uniform over the others if empty."""
    left = zeroed(np.ones(row.shape), tried)
    return positive_part(row * left, positive_part(left, row))


def tested_in_turn(
    target: Floats,
    draft: Floats,
    tokens: Integers,
    update: Callable[[Floats, Floats, int], tuple[Floats, Floats]],
) -> tuple[Floats, Floats]:
    """Test the children one after the other by min(1, target / draft).

    `update` takes the rows and the number of a child that has failed, and returns the next rows.
    """
    taken = np.zeros(tokens.shape)
    left = np.ones(tokens.shape[:-1])
    row, drafts = target, draft
    for k in range(tokens.shape[-1]):
        accepted = np.minimum(1.0, at_token(ratio(row, drafts), tokens[..., k]))
        taken[..., k] = left * accepted
        left = left * (1.0 - accepted)
        row, drafts = update(row, drafts, k)
    return taken, left[..., None] * row


def recursive(target: Floats, draft: Floats, tokens: Integers) -> tuple[Floats, Floats]:
    """Verify one node by recursive rejection: each failure replaces the target by its residual."""
    return tested_in_turn(
        target, draft, tokens, lambda row, drafts, k: (positive_part(row - drafts, row), drafts)
    )


def node_bug(bug_class: str, source: str) -> Callable[[NodeStep], Rule]:
    """Return a decorator that makes a wrong rule for trees of what it does at a node with children.

    The function's name and docstring are the rule's.
    """

    def make(step: NodeStep) -> Rule:
        return tree_bug(bug_class, source)(wraps(step)(node_wise(step)))

    return make


def tree_bug(bug_class: str, source: str) -> Callable[[TreeLaw], Rule]:
    """Return a decorator that makes a wrong rule for trees of its law, as `node_bug` does."""
    return lambda law: wrong_rule(law, bug_class, source, tree_law=law)


def summed_coin(
    target: Floats, tokens: Integers, *, reuse: bool = False, whole: float = 1.0, single: float = 1.0
) -> tuple[Floats, Floats]:
    """Verify one node by one coin for all children, accepted once the sum of their target masses passes it.

    Parameters
    ----------
    reuse
        Whether the coin that all children have failed also draws the final token.
    whole, single
        Thresholds: sums are divided by `whole`; a child of at least the mass `single` is always accepted.
        Below 1 the rule is lossy.
    """
    taken = np.zeros(tokens.shape)
    covered, summed = np.zeros(tokens.shape[:-1]), np.zeros(tokens.shape[:-1])
    for k in range(tokens.shape[-1]):
        mass = at_token(target, tokens[..., k])
        summed = summed + mass
        edge = np.where((single < 1.0) & (mass >= single), 1.0, np.minimum(summed / whole, 1.0))
        taken[..., k] = np.maximum(edge - covered, 0.0)
        covered = np.maximum(covered, edge)
    residual = positive_part(zeroed(target, tokens), target)
    if not reuse:
        return taken, (1.0 - covered)[..., None] * residual
    edges = np.cumsum(residual, axis=-1)
    edges[..., -1] = 1.0
    starts = np.concatenate((np.zeros((*edges.shape[:-1], 1)), edges[..., :-1]), axis=-1)
    return taken, np.maximum(edges - np.maximum(starts, covered[..., None]), 0.0)
