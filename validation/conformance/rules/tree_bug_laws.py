"""Laws of wrong rules for trees that are not a matter of one node alone: rows, paths, the bonus token."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from specsim.algorithms import Structure
from specsim.validation.conformance.rules.base import (
    Floats,
    Integers,
    at_token,
    positive_part,
    ratio,
)
from specsim.validation.conformance.rules.tree_steps import node_wise, recursive, tree_bug

ROWS = "6 rows"


@tree_bug("3 acceptance", "ohdearquant/lattice#243, on trees")
def first_child_unverified(structure: Structure, target: Floats, draft: Floats, tokens: Integers) -> Floats:
    """the first child of the root is always accepted"""
    table = np.zeros(target.shape)
    reached = np.zeros(tokens.shape)
    reached[..., 0] = 1.0
    for node, children in enumerate(map(structure.children, range(len(structure.parents)))):
        here = reached[..., node, None]
        if not children:
            table[..., node, :] = here * target[..., node, :]
        elif node == 0:
            reached[..., children[0]] = 1.0
        else:
            taken, final = recursive(target[..., node, :], draft[..., node, :], tokens[..., children])
            reached[..., children] = here * taken
            table[..., node, :] = here * final
    return table


@tree_bug(ROWS, "NVIDIA/TensorRT-LLM#12588 (review), as a target row")
def residual_from_root_rows(structure: Structure, target: Floats, draft: Floats, tokens: Integers) -> Floats:
    """after descending, the residual is that of the rows at the root"""
    table = node_wise(recursive)(structure, target, draft, tokens)
    root = positive_part(target[..., 0, :] - draft[..., 0, :], target[..., 0, :])
    for node, children in enumerate(map(structure.children, range(len(structure.parents)))):
        if node and children:
            table[..., node, :] = table[..., node, :].sum(axis=-1, keepdims=True) * root
    return table


@tree_bug("9 bonus, caches", "derived: recursive")
def bonus_from_draft(structure: Structure, target: Floats, draft: Floats, tokens: Integers) -> Floats:
    """after a whole accepted path the bonus token is drawn from the draft row"""
    table = node_wise(recursive)(structure, target, draft, tokens)
    for node, children in enumerate(map(structure.children, range(len(structure.parents)))):
        if not children:
            table[..., node, :] = table[..., node, :].sum(axis=-1, keepdims=True) * draft[..., node, :]
    return table


@tree_bug(ROWS, "NVIDIA/TensorRT-LLM#15098")
def wrong_logits_slice(structure: Structure, target: Floats, draft: Floats, tokens: Integers) -> Floats:
    """the target rows of the tree are read one slot further on"""
    return node_wise(recursive)(structure, np.roll(target, -1, axis=-2), draft, tokens)


@tree_bug(ROWS, "NVIDIA/TensorRT-LLM#17890 (review), as an index on siblings")
def first_sibling_rows(structure: Structure, target: Floats, draft: Floats, tokens: Integers) -> Floats:
    """below any child the target row of the first sibling is used"""
    source = [0, *(structure.children(parent)[0] for parent in structure.parents[1:])]
    return node_wise(recursive)(structure, target[..., source, :], draft, tokens)


@tree_bug(ROWS, "NVIDIA/TensorRT-LLM#12588 (review)")
def draft_row_of_child(structure: Structure, target: Floats, draft: Floats, tokens: Integers) -> Floats:
    """the draft row is read at the child's slot, not at its parent's"""
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


@tree_bug("11 tree", "foundation-model-stack/fms-extras#12, with the ratio test")
def longest_of_independent_chains(
    structure: Structure, target: Floats, draft: Floats, tokens: Integers
) -> Floats:
    """every path is verified on its own; the longest accepted one is kept"""
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
