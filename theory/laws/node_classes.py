"""The nodes of a draft structure, merged into classes with equal subtrees."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from specsim.algorithms import Structure
from specsim.support.arrays import Array

#: Indices, as a slice where they follow one another.
Index: TypeAlias = Array | slice
#: Names a kernel: (at the root?, children of the node, which of them; None stands for all).
Kernel: TypeAlias = tuple[bool, int | float, tuple[int, ...] | None]


@dataclass(frozen=True)
class Move:
    """Masses of the classes `sources` that descend by one kernel into the classes `each`.

    `targets` has the same classes as an index, where none comes twice.
    """

    kernel: Kernel
    sources: Index
    targets: Index | None
    each: list[int]

    def add(self, after: Array, block: Array) -> None:
        """Add the moved masses to those after the step."""
        if self.targets is not None:
            after[self.targets] += block
        else:
            for target, mass in zip(self.each, block, strict=True):
                after[target] += mass


class Classes:
    """The classes of nodes of a structure.

    depth: depth of each class; class 0 is the root.
    leaves: the classes without children.
    groups: classes that stop by the same kernel, by (at the root?, children).
    moves: how masses descend.
    """

    def __init__(self, structure: Structure, endless: bool, other_root: bool) -> None:
        children, self.depth = classes_below(structure, endless)
        leaves = [c for c, below in enumerate(children) if not below]
        self.leaves = _index(leaves) if leaves else slice(0)
        groups: dict[tuple[bool, int | float], list[int]] = {}
        moves: dict[Kernel, list[tuple[int, int]]] = {}
        for c, below in enumerate(children):
            if not below:
                continue
            root = other_root and c == 0
            count = sum(number for _, number in below)
            groups.setdefault((root, count), []).append(c)
            for target in dict.fromkeys(target for target, _ in below):
                which = None
                if len(below) > 1:
                    which = tuple(k for k, (child, _) in enumerate(below) if child == target)
                    which = None if len(which) == len(below) else which
                moves.setdefault((root, count, which), []).append((c, target))
        self.groups = {key: _index(members) for key, members in groups.items()}
        self.moves = []
        for kernel, pairs in moves.items():
            sources, targets = (list(column) for column in zip(*pairs, strict=True))
            once = _index(targets) if len(set(targets)) == len(targets) else None
            self.moves.append(Move(kernel, _index(sources), once, targets))


def classes_below(
    structure: Structure, endless: bool = False
) -> tuple[list[list[tuple[int, int | float]]], list[int]]:
    """Return the children (class, number) of each class in order, and the depths of classes."""
    if structure.widths is not None:
        return _regular(structure.widths, endless)
    return _irregular(structure)


def _index(members: list[int]) -> Index:
    if members == list(range(members[0], members[-1] + 1)):
        return slice(members[0], members[-1] + 1)
    return np.array(members)


def _regular(
    widths: tuple[int | float, ...], endless: bool
) -> tuple[list[list[tuple[int, int | float]]], list[int]]:
    """Return the children (class, number) of each class, and depths.

    Where drafts reach to the horizon, all depths from the last change of widths on are one class.
    """
    last = len(widths)
    if endless and widths:
        last = 1
        while any(width != widths[-1] for width in widths[last:]):
            last += 1
        loop = [(last, widths[-1])]
        return [[(depth + 1, widths[depth])] for depth in range(last)] + [loop], list(range(last + 1))
    return [[(depth + 1, width)] for depth, width in enumerate(widths)] + [[]], list(range(last + 1))


def _irregular(structure: Structure) -> tuple[list[list[tuple[int, int | float]]], list[int]]:
    """Merge nodes of one depth whose subtrees are equal."""
    shape: list[Any] = [None] * len(structure.parents)
    known: dict[Any, int] = {}
    for node in reversed(range(len(shape))):
        key = (structure.depths[node], tuple(shape[child] for child in structure.children(node)))
        shape[node] = known.setdefault(key, len(known))
    order = list(dict.fromkeys(shape))
    place = {number: c for c, number in enumerate(order)}
    keys = {number: key for key, number in known.items()}
    children: list[list[tuple[int, int | float]]] = [
        [(place[child], 1) for child in keys[number][1]] for number in order
    ]
    return children, [keys[number][0] for number in order]
