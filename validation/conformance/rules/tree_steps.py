"""Pieces of which the laws of wrong rules for trees are made; for any rows and drafts."""

from __future__ import annotations

from functools import partial

import numpy as np

from specsim.theory.step_laws import NodeStep, node_wise as node_wise_law
from specsim.validation.conformance.rules.base import (
    Floats,
    Integers,
    TreeLaw,
    at_token,
    positive_part,
    ratio,
)


def node_wise(step: NodeStep) -> TreeLaw:
    """Return the law of verifying node by node: `step` at a node with children, the target at a leaf."""
    return partial(node_wise_law, step)


def without_tokens(row: Floats, tried: Integers) -> Floats:
    """Return the row without the tried tokens ``(..., j)``, normalised; uniform over the others if empty."""
    left = np.ones(row.shape)
    for j in range(tried.shape[-1]):
        np.put_along_axis(left, tried[..., j, None], 0.0, axis=-1)
    return positive_part(row * left, positive_part(left, row))


def recursive_step(replacement: bool) -> NodeStep:
    """Return recursive rejection at one node: each failure replaces the target by its residual."""

    def step(target: Floats, draft: Floats, tokens: Integers) -> tuple[Floats, Floats]:
        taken = np.zeros(tokens.shape)
        left = np.ones(tokens.shape[:-1])
        row, drafts = target, draft
        for k in range(tokens.shape[-1]):
            accepted = np.minimum(1.0, at_token(ratio(row, drafts), tokens[..., k]))
            taken[..., k] = left * accepted
            left = left * (1.0 - accepted)
            row = positive_part(row - drafts, row)
            if not replacement:
                drafts = without_tokens(draft, tokens[..., : k + 1])
        return taken, left[..., None] * row

    return step


def summed_coin_step(*, reuse: bool = False, whole: float = 1.0, single: float = 1.0) -> NodeStep:
    """Return the rule with one coin for all children, accepted once the sum of their target masses passes it.

    Parameters
    ----------
    reuse
        Whether the coin that all children have failed also draws the final token.
    whole, single
        Thresholds: sums are divided by `whole`; a child of at least the mass `single` is always accepted.
        Below 1 the rule is lossy.
    """

    def step(target: Floats, draft: Floats, tokens: Integers) -> tuple[Floats, Floats]:
        taken = np.zeros(tokens.shape)
        covered, summed = np.zeros(tokens.shape[:-1]), np.zeros(tokens.shape[:-1])
        left = target.copy()
        for k in range(tokens.shape[-1]):
            mass = at_token(target, tokens[..., k])
            summed = summed + mass
            edge = np.where((single < 1.0) & (mass >= single), 1.0, np.minimum(summed / whole, 1.0))
            taken[..., k] = np.maximum(edge - covered, 0.0)
            covered = np.maximum(covered, edge)
            np.put_along_axis(left, tokens[..., k, None], 0.0, axis=-1)
        residual = positive_part(left, target)
        if not reuse:
            return taken, (1.0 - covered)[..., None] * residual
        edges = np.cumsum(residual, axis=-1)
        edges[..., -1] = 1.0
        starts = np.concatenate((np.zeros((*edges.shape[:-1], 1)), edges[..., :-1]), axis=-1)
        final = np.maximum(edges - np.maximum(starts, covered[..., None]), 0.0)
        return taken, final

    return step
