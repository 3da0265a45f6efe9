"""The draft structure of a decoding as index tensors: one numbering of nodes for everything on a device.

Nodes are numbered in breadth-first order as in `specsim.algorithms.structures`. Node 0 is the newest written
token, every other node a drafted one. A round that is cut at a depth uses the first nodes alone.
"""

from __future__ import annotations

from functools import cached_property

import torch

from specsim.algorithms import Structure


class Tree:
    """A draft structure on a device.

    structure: chain, paths or tree, not infinite.
    device: where the tensors are.
    chain: whether it is a chain, which needs no mask of its own and whose slots are in order.
    within: number of nodes of depth at most j, by j.
    most: most children of a node of depth j, by j.
    parents, depths: of each node, int64; the root's parent is itself.
    first: the children of node n are ``first[n] .. first[n + 1] - 1``.

    Examples
    --------
    >>> from specsim import levels
    >>> made = Tree(levels((2, 1)), "cpu")
    >>> made.within, made.most
    ((1, 3, 5), (2, 1))
    >>> made.path(torch.tensor([4, 1]), 2).tolist()
    [[2, 4], [1, 1]]
    """

    def __init__(self, structure: Structure, device: torch.device | str) -> None:
        self.structure, self.chain = structure, structure.kind == "chain"
        self.within = structure.nodes_within
        first = structure.first
        starts = (0, *self.within)
        self.most = tuple(
            max(first[node + 1] - first[node] for node in range(starts[depth], starts[depth + 1]))
            for depth in range(structure.depth)
        )

        def tensor(numbers: tuple[int, ...]) -> torch.Tensor:
            return torch.tensor(numbers, dtype=torch.int64, device=device)

        self.parents = tensor(structure.parents).clamp(min=0)
        self.depths, self.first = tensor(structure.depths), tensor(first)

    def level(self, depth: int) -> slice:
        """Return the nodes of a depth."""
        return slice(self.within[depth - 1] if depth else 0, self.within[depth])

    @cached_property
    def sees(self) -> torch.Tensor:
        """Which nodes each node sees, itself and those above it: bool, ``(nodes, nodes)``."""
        seen = torch.eye(len(self.parents), dtype=torch.bool, device=self.parents.device)
        for depth in range(1, len(self.within)):
            level = self.level(depth)
            seen[level] |= seen[self.parents[level]]
        return seen

    def children(self, nodes: torch.Tensor, depth: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the children of nodes of one depth, and which of them there are.

        nodes: shape ``(...)``.
        Returns: node numbers and bool, shape ``(..., most[depth])``; where there is no child, some node.
        """
        number = torch.arange(self.most[depth], device=nodes.device)
        first = self.first[nodes][..., None]
        there = first + number < self.first[nodes + 1][..., None]
        return (first + number).clamp(max=len(self.parents) - 1), there

    def path(self, node: torch.Tensor, length: int) -> torch.Tensor:
        """Return the nodes from depth 1 down to `node`, filled up with it, shape ``(batch, length)``."""
        if self.chain:
            steps = torch.arange(1, length + 1, device=node.device)
            return torch.minimum(steps, node[:, None])
        found = [node]
        for depth in range(length, 1, -1):
            # Nodes that are not so deep wait for their turn.
            found.append(torch.where(self.depths[found[-1]] == depth, self.parents[found[-1]], found[-1]))
        return torch.stack(found[::-1], dim=1)[:, :length]
