"""Draft structures: a chain, several paths or a tree of drafted tokens, all as one thing.

The nodes of a structure are numbered in breadth-first order. Node 0 is the root, the context of the round,
and carries no token; every other node is one drafted token. The children of a node follow one another, so a
structure that is cut at a depth is a prefix of its nodes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, Literal

import numpy as np

from specsim.errors import InputError, TooLargeError
from specsim.support.checks import whole

#: The kinds of structures; a chain is also a case of paths, and paths are a case of a tree.
Kind = Literal["chain", "paths", "tree"]

#: Most nodes that are ever numbered.
MOST_NODES = 2**20
#: Most drafted tokens of a shape that is searched for.
_MOST_OF_SHAPE = 256


@dataclass(frozen=True)
class Structure:
    """What a round drafts; build it with `chain`, `paths`, `levels` or `tree`.

    Attributes
    ----------
    widths
        Children of each node by depth, where all nodes of a depth have equally many: ``(1, 1, 1)`` is a chain
        of three tokens, ``(4, 1)`` four paths of two, ``(2, 2)`` a binary tree. None for an irregular tree.
    listed
        Parent of each node of an irregular tree, ``listed[0]`` is -1; empty for a regular one.

    Examples
    --------
    >>> from specsim import tree
    >>> shape = tree([-1, 0, 0, 1])
    >>> shape.depth, shape.children(0)
    (2, range(1, 3))
    """

    widths: tuple[int | float, ...] | None
    listed: tuple[int, ...] = ()

    @property
    def kind(self) -> Kind:
        """The narrowest kind of structure that this is."""
        if self.widths is None:
            return "tree"
        if all(width == 1 for width in self.widths):
            return "chain"
        return "paths" if all(width == 1 for width in self.widths[1:]) else "tree"

    @property
    def depth(self) -> int:
        """Number of drafted tokens on the longest path."""
        return len(self.widths) if self.widths is not None else max(self.depths)

    @property
    def shortest(self) -> int:
        """Number of drafted tokens on the shortest path to a leaf."""
        if self.widths is not None:
            return len(self.widths)
        return min(self.depths[node] for node in range(len(self.listed)) if not self.children(node))

    @property
    def size(self) -> int | float:
        """Number of nodes, the root included; infinite for the limit of infinitely many drafts."""
        if self.widths is None:
            return len(self.listed)
        return 1 + sum(accumulate(self.widths, lambda nodes, width: nodes * width))

    @cached_property
    def parents(self) -> tuple[int, ...]:
        """Parent of each node in breadth-first order; that of the root is -1.

        Raises
        ------
        TooLargeError
            There are more than 2^20 nodes.
        """
        if self.widths is None:
            return self.listed
        if self.size > MOST_NODES:
            raise TooLargeError(
                f"the draft structure has {self.size} nodes, more than {MOST_NODES}; "
                "use fewer drafts, a shorter draft_length or a narrower tree"
            )
        parents = [-1]
        level = [0]
        for width in self.widths:
            first = len(parents)
            parents += [node for node in level for _ in range(int(width))]
            level = list(range(first, len(parents)))
        return tuple(parents)

    @cached_property
    def first(self) -> tuple[int, ...]:
        """Length ``nodes + 1``: the children of node n are ``first[n] .. first[n + 1] - 1``."""
        counts = [0] * len(self.parents)
        for parent in self.parents[1:]:
            counts[parent] += 1
        return tuple(accumulate(counts, initial=1))

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """Depth of each node; that of the root is 0."""
        depths = [0]
        for parent in self.parents[1:]:
            depths.append(depths[parent] + 1)
        return tuple(depths)

    @cached_property
    def nodes_within(self) -> tuple[int, ...]:
        """Length ``depth + 1``: number of nodes of depth at most j, which survive a cut at depth j."""
        counts = [0] * (self.depth + 1)
        for depth in self.depths:
            counts[depth] += 1
        return tuple(accumulate(counts))

    @cached_property
    def level_sizes(self) -> tuple[int, ...]:
        """Number of drafted tokens at each depth from 1 on, without listing the nodes of a regular structure.

        Raises
        ------
        InputError
            There are infinitely many.
        """
        if self.size == math.inf:
            raise InputError("infinitely many drafts have no number of nodes; give a number of drafts")
        if self.widths is not None:
            return tuple(
                accumulate((int(width) for width in self.widths), lambda nodes, width: nodes * width)
            )
        within = self.nodes_within
        return tuple(after - before for before, after in pairwise(within))

    def children(self, node: int) -> range:
        """Return the children of a node."""
        return range(self.first[node], self.first[node + 1])

    def path(self, node: int) -> tuple[int, ...]:
        """Return the nodes from the first drafted token down to `node`, without the root."""
        found: list[int] = []
        while node > 0:
            found.append(node)
            node = self.parents[node]
        return tuple(reversed(found))

    def cut(self, depth: int) -> Structure:
        """Return the structure without the nodes deeper than `depth`."""
        whole("depth", depth, 0)
        if self.widths is not None:
            return self if depth >= len(self.widths) else Structure(self.widths[:depth])
        if depth >= self.depth:
            return self
        return tree(self.listed[: self.nodes_within[depth]])

    @property
    def label(self) -> str:
        """The structure in the grammar of the command line, such as ``drafts=4,draft_length=2``."""
        if self.widths is None:
            return "tree=" + ".".join(str(parent) for parent in self.listed[1:])
        if self.kind == "chain":
            return f"draft_length={self.depth}"
        if self.kind == "paths":
            return f"drafts={self.widths[0]},draft_length={self.depth}"
        return "tree=" + "-".join(str(width) for width in self.widths)


def chain(length: int) -> Structure:
    """Return a chain of `length` drafted tokens (0: nothing is drafted).

    Examples
    --------
    >>> chain(2).parents
    (-1, 0, 1)
    """
    return Structure((1,) * _length(length))


def paths(drafts: int | float, length: int) -> Structure:
    """Return `drafts` independent paths of `length` tokens from one root; ``math.inf`` is the limit.

    Examples
    --------
    >>> paths(2, 2).parents
    (-1, 0, 0, 1, 2)
    """
    if not (isinstance(drafts, float) and drafts == math.inf):
        drafts = whole("drafts", drafts, 1)
    length = _length(length)
    return Structure((drafts, *(1,) * (length - 1)) if length else ())


def levels(widths: Sequence[int]) -> Structure:
    """Return the tree whose nodes at depth j all have ``widths[j]`` children.

    Examples
    --------
    >>> levels((2, 1)).parents
    (-1, 0, 0, 1, 2)
    """
    given = _sequence("widths", widths, "the number of children by depth")
    return Structure(tuple(whole(f"widths[{index}]", width, 1) for index, width in enumerate(given)))


def tree(parents: Sequence[int]) -> Structure:
    """Return the tree with these parents, in breadth-first order; the root's parent is -1.

    Raises
    ------
    InputError
        The list is empty, does not begin with -1, names a later node, or is not in breadth-first order.

    Examples
    --------
    >>> tree((-1, 0, 0, 1)).first
    (1, 3, 4, 4, 4)
    """
    listed = _sequence("parents", parents, "the parent of each node")
    given = tuple(whole(f"parents[{node}]", parent, -1) for node, parent in enumerate(listed))
    if not given or given[0] != -1:
        raise InputError(
            f"parents is {given}; give the parent of each node, -1 for the root, which comes first"
        )
    for node, parent in enumerate(given[1:], start=1):
        if not 0 <= parent < node:
            raise InputError(f"parents[{node}] is {parent}; give an earlier node, 0 to {node - 1}")
    if list(given[1:]) != sorted(given[1:]):
        raise InputError(
            f"parents is {given}; number the nodes in breadth-first order, so that parents never decrease"
        )
    found = Structure(None, given)
    by_depth: dict[int, set[int]] = {}
    for node, depth in enumerate(found.depths):
        by_depth.setdefault(depth, set()).add(found.first[node + 1] - found.first[node])
    # A regular tree has one representation, so that equal structures are equal.
    if all(len(counts) == 1 for counts in by_depth.values()):
        widths = [counts.pop() for _, counts in sorted(by_depth.items())]
        return levels(widths[:-1])
    return found


def best_shape(acceptance: Sequence[Any], size: int) -> Structure:
    """Return the tree of `size` drafted tokens of which most are accepted on average (2402.12374, Sequoia).

    Child k of a node is taken to be the accepted one with probability ``acceptance[k]``, whatever the node:
    an approximation wherever rows differ. A node then counts the product along its path, and the dynamic
    programme over (nodes, children of the root) finds the largest sum, with the same numbers as given.

    Parameters
    ----------
    acceptance
        Probabilities by sibling number, such as the differences of the acceptance with 1, 2, ...
        children. A node gets at most as many children.
    size
        Drafted tokens, 1 to 256.

    Raises
    ------
    InputError
        The acceptance is empty, has a negative entry or one above 1, or the size is out of range.

    Examples
    --------
    >>> best_shape([0.6, 0.25, 0.1], 4).label
    'tree=0.0.1.3'
    """
    given = _sequence("acceptance", acceptance, "the probability of each sibling number")
    if not given or any(not 0 <= value <= 1 for value in given):  # type: ignore[operator]
        raise InputError(f"acceptance is {given}; give one probability or more, each 0 to 1")
    most = whole("size", size, 1, otherwise=f" and at most {_MOST_OF_SHAPE}")
    if most > _MOST_OF_SHAPE:
        raise TooLargeError(f"size is {most}, more than {_MOST_OF_SHAPE}; give a smaller tree")
    # Best subtree of n nodes, its root included: its value, and the sizes of its children's subtrees.
    best: list[tuple[Any, tuple[int, ...]]] = [(0, ()), (1, ())]
    by_children: list[dict[int, tuple[Any, tuple[int, ...]]]] = [{1: (1, ())}, *({} for _ in given)]
    for nodes in range(2, most + 2):
        for places, chance in enumerate(given, start=1):
            candidates = [
                (value + chance * best[last][0], (*sizes, last))
                for last in range(1, nodes)
                for value, sizes in [by_children[places - 1].get(nodes - last, (None, ()))]
                if value is not None
            ]
            if candidates:
                by_children[places][nodes] = max(candidates, key=lambda found: found[0])
        best.append(max((row[nodes] for row in by_children if nodes in row), key=lambda found: found[0]))
    parents, queue = [-1], [(0, most + 1)]
    for node, nodes in queue:
        for below in best[nodes][1]:
            queue.append((len(parents), below))
            parents.append(node)
    return tree(parents)


def _length(length: int) -> int:
    length = whole("draft_length", length, 0)
    if length > MOST_NODES:
        raise TooLargeError(f"draft_length is {length}, more than {MOST_NODES}; use a shorter draft")
    return length


def _sequence(field: str, values: object, what: str) -> tuple[object, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray):
        raise InputError(f"{field} is {values!r}; give a list, {what}")
    return tuple(values)
