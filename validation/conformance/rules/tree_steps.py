"""Exact laws of verifying trees of drafts: the pieces of which the rules for trees are made.

Every law is vectorised: rows ``(..., N, V)`` and tokens ``(..., N)`` give a table ``(..., N, V)``; all trees
have the same parents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations, product

import numpy as np

from specsim.validation.conformance.rules.base import (
    Floats,
    Integers,
    at_token,
    positive_part,
    ratio,
)

#: (target row, draft row, tokens of the children in order), all ``(..., V)`` or ``(..., K)``, to the
#: probability of descending into each child, ``(..., K)``, and of stopping with each token, ``(..., V)``.
NodeStep = Callable[[Floats, Floats, Integers], tuple[Floats, Floats]]
TreeLaw = Callable[[Integers, Floats, Floats, Integers], Floats]


def children_of(parents: Integers | Sequence[int]) -> list[list[int]]:
    """Return the children of every node, in their order."""
    children: list[list[int]] = [[] for _ in parents]
    for node, parent in enumerate(parents):
        if node:
            children[int(parent)].append(node)
    return children


def node_wise(step: NodeStep) -> TreeLaw:
    """Return the law of verifying node by node: `step` at a node with children, the target at a leaf."""

    def law(parents: Integers, target: Floats, draft: Floats, tokens: Integers) -> Floats:
        table = np.zeros(target.shape)
        reached = np.zeros(tokens.shape)
        reached[..., 0] = 1.0
        for node, children in enumerate(children_of(parents)):
            here = reached[..., node, None]
            if not children:
                table[..., node, :] = here * target[..., node, :]
                continue
            taken, final = step(target[..., node, :], draft[..., node, :], tokens[..., children])
            reached[..., children] = here * taken
            table[..., node, :] = here * final
        return table

    return law


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


def any_order_step(target: Floats, draft: Floats, tokens: Integers) -> tuple[Floats, Floats]:
    """Average recursive rejection at one node over all orders of the children."""
    taken, final = np.zeros(tokens.shape), np.zeros(target.shape)
    orders = list(permutations(range(tokens.shape[-1])))
    step = recursive_step(True)
    for order in orders:
        here, stop = step(target, draft, tokens[..., list(order)])
        taken[..., list(order)] += here / len(orders)
        final += stop / len(orders)
    return taken, final


def k_seq_factor(target: Floats, draft: Floats, candidates: int) -> tuple[Floats, Floats]:
    """Return K-SEQ's factor and the acceptance of one candidate at it, both ``(...)``.

    The factor solves ``1 - (1 - b)^K = factor b`` with ``b = sum min(target / factor, draft)`` in
    ``[1, K]`` (2310.15141, Algorithm 2), by bisection; the end at which the last residual is not negative is
    returned.
    """

    def one(factor: Floats) -> Floats:
        accepted: Floats = np.minimum(target / factor[..., None], draft).sum(axis=-1)
        return accepted

    low, high = np.ones(target.shape[:-1]), np.full(target.shape[:-1], float(candidates))
    for _ in range(60):
        middle = 0.5 * (low + high)
        b = one(middle)
        above = 1.0 - (1.0 - b) ** candidates > middle * b
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return high, one(high)


def k_seq_step(target: Floats, draft: Floats, tokens: Integers) -> tuple[Floats, Floats]:
    """Run K-SEQ at one node: the same test for every candidate, one residual after all have failed."""
    candidates = tokens.shape[-1]
    factor, b = k_seq_factor(target, draft, candidates)
    accept = np.minimum(1.0, ratio(target / factor[..., None], draft))
    taken = np.zeros(tokens.shape)
    left = np.ones(tokens.shape[:-1])
    for k in range(candidates):
        accepted = at_token(accept, tokens[..., k])
        taken[..., k] = left * accepted
        left = left * (1.0 - accepted)
    times = np.where(b > 0, (1.0 - (1.0 - b) ** candidates) / np.where(b > 0, b, 1.0), float(candidates))
    spent = np.minimum(draft, target / factor[..., None]) * times[..., None]
    return taken, left[..., None] * positive_part(target - spent, target)


def match_step(target: Floats, draft: Floats, tokens: Integers) -> tuple[Floats, Floats]:
    """Draw from the target once for all children: descend into the first child that is this draw."""
    taken = np.zeros(tokens.shape)
    final = target.copy()
    for k in range(tokens.shape[-1]):
        token = tokens[..., k]
        taken[..., k] = at_token(final, token)
        np.put_along_axis(final, token[..., None], 0.0, axis=-1)
    return taken, final


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


def one_hot_step(target: Floats, draft: Floats, tokens: Integers) -> tuple[Floats, Floats]:
    """Accept each child with the mass of the target, from which every failure takes its token out."""
    taken = np.zeros(tokens.shape)
    left = np.ones(tokens.shape[:-1])
    row = target
    for k in range(tokens.shape[-1]):
        accepted = at_token(row, tokens[..., k])
        taken[..., k] = left * accepted
        left = left * (1.0 - accepted)
        kept = row.copy()
        np.put_along_axis(kept, tokens[..., k, None], 0.0, axis=-1)
        row = positive_part(kept, row)
    return taken, left[..., None] * row


def greedy_step(target: Floats, draft: Floats, tokens: Integers) -> tuple[Floats, Floats]:
    """Test the last child alone, by the draft row without the others, which are fixed."""
    last = tokens.shape[-1] - 1
    drafts = without_tokens(draft, tokens[..., :last])
    # The fixed candidates take no part in the test: whatever mass the target has there is in the residual.
    accepted = np.minimum(1.0, at_token(ratio(target, drafts), tokens[..., last]))
    final = (1.0 - accepted)[..., None] * positive_part(target - drafts, target)
    taken = np.zeros(tokens.shape)
    taken[..., last] = accepted
    for k in range(last):
        taken[..., k] = at_token(final, tokens[..., k])
        np.put_along_axis(final, tokens[..., k, None], 0.0, axis=-1)
    return taken, final


def traversal(replacement: bool, *, keep_weight: bool = False, keep_row: bool = False) -> TreeLaw:
    """Return the law of traversal verification (2505.12398): leaves first, each failure deletes a leaf.

    Parameters
    ----------
    replacement
        How the children were drawn.
    keep_weight, keep_row
        Leave out the update of the parent's weight or of its target row, which is wrong.
    """

    def law(parents: Integers, target: Floats, draft: Floats, tokens: Integers) -> Floats:
        rows, drafts = target.astype(np.float64), draft.astype(np.float64)
        left = children_of(parents)
        tried: list[list[int]] = [[] for _ in left]
        weights: dict[int, Floats] = {0: np.ones(tokens.shape[:-1])}
        open_mass = np.ones(tokens.shape[:-1])
        table = np.zeros(target.shape)
        while left[0]:
            node = 0
            while left[node]:
                child = left[node][0]
                if child not in weights:
                    quotient = at_token(ratio(rows[..., node, :], drafts[..., node, :]), tokens[..., child])
                    with np.errstate(invalid="ignore"):
                        grown = np.where(weights[node] == 0, 0.0, weights[node] * quotient)
                    weights[child] = np.minimum(1.0, grown)
                node = child
            table[..., node, :] = (open_mass * weights[node])[..., None] * rows[..., node, :]
            open_mass = open_mass * (1.0 - weights[node])
            parent = int(parents[node])
            left[parent].pop(0)
            tried[parent].append(node)
            weight = weights[parent]
            excess = np.maximum(weight[..., None] * rows[..., parent, :] - drafts[..., parent, :], 0.0)
            mass = excess.sum(axis=-1)
            bottom = mass + 1.0 - weight
            if not keep_row:
                rows[..., parent, :] = positive_part(excess, rows[..., parent, :])
            if not keep_weight:
                weights[parent] = np.where(bottom > 0, mass / np.where(bottom > 0, bottom, 1.0), 1.0)
            if not replacement:
                drafts[..., parent, :] = without_tokens(draft[..., parent, :], tokens[..., tried[parent]])
            for child in left[parent]:
                weights.pop(child, None)
        table[..., 0, :] = open_mass[..., None] * rows[..., 0, :]
        return table

    return law


def transport_step(replacement: bool) -> NodeStep:
    """Return the rule of most acceptance at one node, by a linear programme (for a few tokens).

    The mass given to "the candidates are this set, descend into this token" is maximised under the two laws
    that it has to respect (2310.15141, Section 4; in terms of sets).
    """

    def step(target: Floats, draft: Floats, tokens: Integers) -> tuple[Floats, Floats]:
        candidates = tokens.shape[-1]
        batch = np.broadcast_shapes(target.shape[:-1], tokens.shape[:-1])
        rows = np.broadcast_to(target, (*batch, target.shape[-1])).reshape(-1, target.shape[-1])
        drafts = np.broadcast_to(draft, (*batch, target.shape[-1])).reshape(-1, target.shape[-1])
        drawn = np.broadcast_to(tokens, (*batch, candidates)).reshape(-1, candidates)
        taken, final = np.zeros(drawn.shape), np.zeros(rows.shape)
        solved: dict[bytes, tuple[dict[frozenset[int], Floats], Floats]] = {}
        for i, (row, law, tried) in enumerate(zip(rows, drafts, drawn, strict=True)):
            key = row.tobytes() + law.tobytes()
            if key not in solved:
                solved[key] = _plan(row, law, candidates, replacement)
            plans, residual = solved[key]
            accept = plans[frozenset(tried.tolist())]
            for k, token in enumerate(tried.tolist()):
                if token not in tried[:k]:
                    taken[i, k] = accept[token]
            final[i] = (1.0 - accept.sum()) * residual
        return taken.reshape(*batch, candidates), final.reshape(*batch, -1)

    return step


def _plan(
    target: Floats, draft: Floats, candidates: int, replacement: bool
) -> tuple[dict[frozenset[int], Floats], Floats]:
    """Return the acceptance of each token for each set of candidates, and the residual."""
    from scipy.optimize import linprog

    vocabulary = len(target)
    sets: dict[frozenset[int], float] = {}
    for drawn in product(range(vocabulary), repeat=candidates):
        mass, law = 1.0, draft
        for k, token in enumerate(drawn):
            mass *= float(law[token])
            if not replacement:
                law = without_tokens(draft, np.array(drawn[: k + 1]))
        sets[frozenset(drawn)] = sets.get(frozenset(drawn), 0.0) + mass
    pairs = [(index, token) for index, held in enumerate(sets) for token in sorted(held)]
    limits = np.zeros((len(sets) + vocabulary, len(pairs)))
    for column, (index, token) in enumerate(pairs):
        limits[index, column] = limits[len(sets) + token, column] = 1.0
    found = linprog(-np.ones(len(pairs)), A_ub=limits, b_ub=np.concatenate((list(sets.values()), target)))
    plans = {held: np.zeros(vocabulary) for held in sets}
    names = list(sets)
    residual = target.copy()
    for (index, token), amount in zip(pairs, np.maximum(found.x, 0.0), strict=True):
        mass = sets[names[index]]
        plans[names[index]][token] = amount / mass if mass > 0 else 0.0
        residual[token] -= amount
    return plans, positive_part(residual, target)
