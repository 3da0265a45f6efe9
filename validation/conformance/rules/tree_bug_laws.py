"""Laws of wrong rules for trees that are not a matter of one node alone: rows, paths, the bonus token."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from specsim.algorithms import Structure
from specsim.validation.conformance.rules.base import (
    Floats,
    Integers,
    TreeLaw,
    at_token,
    positive_part,
    ratio,
)
from specsim.validation.conformance.rules.tree_steps import node_wise, recursive_step


def first_unverified(structure: Structure, target: Floats, draft: Floats, tokens: Integers) -> Floats:
    """Accept the first child of the root whatever it is."""
    table = np.zeros(target.shape)
    reached = np.zeros(tokens.shape)
    reached[..., 0] = 1.0
    step = recursive_step(True)
    for node, children in enumerate(map(structure.children, range(len(structure.parents)))):
        here = reached[..., node, None]
        if not children:
            table[..., node, :] = here * target[..., node, :]
        elif node == 0:
            reached[..., children[0]] = 1.0
        else:
            taken, final = step(target[..., node, :], draft[..., node, :], tokens[..., children])
            reached[..., children] = here * taken
            table[..., node, :] = here * final
    return table


def residual_from_root(structure: Structure, target: Floats, draft: Floats, tokens: Integers) -> Floats:
    """Take the residual of the root's rows at every node."""
    table = node_wise(recursive_step(True))(structure, target, draft, tokens)
    root = positive_part(target[..., 0, :] - draft[..., 0, :], target[..., 0, :])
    for node, children in enumerate(map(structure.children, range(len(structure.parents)))):
        if node and children:
            table[..., node, :] = table[..., node, :].sum(axis=-1, keepdims=True) * root
    return table


def bonus_from_draft(structure: Structure, target: Floats, draft: Floats, tokens: Integers) -> Floats:
    """Draw the bonus token from the draft row of the leaf."""
    table = node_wise(recursive_step(True))(structure, target, draft, tokens)
    for node, children in enumerate(map(structure.children, range(len(structure.parents)))):
        if not children:
            table[..., node, :] = table[..., node, :].sum(axis=-1, keepdims=True) * draft[..., node, :]
    return table


def rows_of(slots: str) -> TreeLaw:
    """Return recursive rejection with target rows of the ``"next"`` slot or of the first ``"sibling"``."""

    def law(structure: Structure, target: Floats, draft: Floats, tokens: Integers) -> Floats:
        children = [structure.children(node) for node in range(len(structure.parents))]
        nodes = len(children)
        if slots == "next":
            source = [(node + 1) % nodes for node in range(nodes)]
        else:
            source = [0] + [children[structure.parents[node]][0] for node in range(1, nodes)]
        return node_wise(recursive_step(True))(structure, target[..., source, :], draft, tokens)

    return law


def draft_row_of_child(structure: Structure, target: Floats, draft: Floats, tokens: Integers) -> Floats:
    """Read the draft row in the slot of the child that is tested."""
    table = np.zeros(target.shape)
    reached = np.zeros(tokens.shape)
    reached[..., 0] = 1.0
    for node, children in enumerate(map(structure.children, range(len(structure.parents)))):
        left = reached[..., node].copy()
        row = target[..., node, :]
        for child in children:
            drafts = draft[..., child, :]
            # The token may have no mass in this row: it is accepted unless the target has none either.
            accepted = np.minimum(1.0, at_token(ratio(row, drafts), tokens[..., child]))
            reached[..., child] = left * accepted
            left = left * (1.0 - accepted)
            row = positive_part(row - drafts, row)
        table[..., node, :] = left[..., None] * row
    return table


def longest_chain(structure: Structure, target: Floats, draft: Floats, tokens: Integers) -> Floats:
    """Verify every path on its own coins and keep the longest accepted one."""
    children = [structure.children(node) for node in range(len(structure.parents))]
    leaves = [node for node in range(len(children)) if not children[node]]
    chains = []
    for leaf in leaves:
        path = [leaf]
        while path[0]:
            path.insert(0, structure.parents[path[0]])
        chains.append(path)
    # stops[c][j]: probability that chain c, verified on its own coins, has exactly j accepted tokens.
    stops = []
    for path in chains:
        reached, law = np.ones(tokens.shape[:-1]), []
        for node, child in pairwise(path):
            accepted = np.minimum(
                1.0, at_token(ratio(target[..., node, :], draft[..., node, :]), tokens[..., child])
            )
            law.append(reached * (1.0 - accepted))
            reached = reached * accepted
        stops.append([*law, reached])
    table = np.zeros(target.shape)
    for c, path in enumerate(chains):
        for j, node in enumerate(path):
            mass = stops[c][j]
            for other, law in enumerate(stops):
                if other != c:
                    # The first of the longest chains is kept.
                    shorter = law[:j] if other < c else law[: j + 1]
                    mass = mass * sum(shorter, np.zeros(mass.shape))
            row = target[..., node, :]
            final = positive_part(row - draft[..., node, :], row) if children[node] else row
            table[..., node, :] += mass[..., None] * final
    return table
