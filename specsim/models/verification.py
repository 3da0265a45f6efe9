"""What a verification rule is given and returns, and which text decides the rounds of an algorithm.

The rules are the files of `specsim.models.rules`: a function ``verify(round, **parameters)`` in the file of
the rule's name. It works on a whole batch and never asks for a value on the host. Rules that go from node to
node say by a function ``decide`` what happens at one node and leave the walk to `walk`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import torch

from specsim.algorithms import Algorithm, Structure
from specsim.algorithms.rule import Drawing
from specsim.models.rules import check_algorithm, text_of
from specsim.models.sampling import Sampling
from specsim.models.trees import Tree

#: ``passes(coin, target, draft)``: whether tokens of these probabilities are accepted.
Passes = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
#: ``residual(target, draft, token)``: law of the token after a rejection up to a factor, from rows ``(batch,
#: tokens)`` and the rejected token ``(batch, 1)``.
Residual = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class TargetRows:
    """The target rows of one round, computed where a rule asks for them.

    logits: shape ``(batch, nodes, tokens)``, after the newest written token and after each drafted one. The
        deepest ones are missing where no bonus is due.
    sampling: turns logits into rows.
    broken: sequences of which a row was not finite, bool, shape ``(batch,)``.
    """

    def __init__(self, logits: torch.Tensor, sampling: Sampling) -> None:
        self._logits, self._sampling = logits, sampling
        self.broken = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)

    def after(self, node: torch.Tensor) -> torch.Tensor:
        """Return the rows after one node per sequence, ``(batch,)``, or after several, ``(batch, n)``.

        Of a node whose row is missing comes some row, which no rule uses.
        """
        node = node.clamp(max=self._logits.shape[1] - 1)
        sequence = torch.arange(len(node), device=node.device)
        place = sequence if node.ndim == 1 else sequence[:, None], node
        return self.every[place] if "every" in self.__dict__ else self._rows(self._logits[place])

    @cached_property
    def every(self) -> torch.Tensor:
        """The rows after all nodes, shape ``(batch, nodes, tokens)``."""
        return self._rows(self._logits)

    def _rows(self, logits: torch.Tensor) -> torch.Tensor:
        rows = self._sampling.rows(logits)
        self.broken |= rows[..., 0].isnan().reshape(len(rows), -1).any(dim=1)
        return rows


@dataclass(frozen=True)
class Round:
    """One round of a batch: what was drafted, the rows of both models, and the coins.

    tree: the nodes; the round uses those of depth at most ``length``.
    length: the deepest drafted tokens.
    lengths: how deep the tokens of each sequence count (one near its end drafts fewer), shape ``(batch,)``.
    tokens: of each node, shape ``(batch, nodes)``; node 0 is the newest written token.
    draft: the draft rows after the nodes of depth less than ``length``, from which their children were drawn,
        shape ``(batch, nodes, vocabulary)``.
    target: the target rows.
    coins: a coin for each node, float64 on [0, 1), shape ``(batch, nodes)``.
    """

    tree: Tree
    length: int
    lengths: torch.Tensor
    tokens: torch.Tensor
    draft: torch.Tensor
    target: TargetRows
    coins: torch.Tensor

    def verdict(self, node: torch.Tensor, rejected: torch.Tensor, weights: torch.Tensor) -> Verdict:
        """Return a verdict, the weights of which are used where a rejection left any.

        Elsewhere, after a whole path, the next token is one of the target. Rows that are equal up to rounding
        leave no residual; they are rejected by rounding alone.
        """
        usable = rejected & (weights.sum(dim=-1) > 0)
        return Verdict(node, rejected, torch.where(usable[:, None], weights, self.target.after(node)))


@dataclass(frozen=True)
class Verdict:
    """What became of the drafts of one round, shape ``(batch,)`` each.

    node: the last accepted node, 0 where all were rejected.
    rejected: whether a rejection followed.
    weights: law of the next token (after a rejection, or the bonus) up to a factor, ``(batch, vocabulary)``.
    """

    node: torch.Tensor
    rejected: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True)
class Node:
    """The node that the walk has come to in every sequence, and its children.

    there: which children there are, bool, shape ``(batch, children)``; those that are come first.
    tokens, coins: of the children, the same shape.
    target, draft: the rows after the node, shape ``(batch, vocabulary)``.
    """

    there: torch.Tensor
    tokens: torch.Tensor
    coins: torch.Tensor
    target: torch.Tensor
    draft: torch.Tensor

    def at_children(self, rows: torch.Tensor) -> torch.Tensor:
        """Return what rows ``(batch, vocabulary)`` have for the children's tokens, in float64."""
        return rows.gather(-1, self.tokens).double()

    def without_children(self, rows: torch.Tensor) -> torch.Tensor:
        """Return rows ``(batch, vocabulary)`` with nothing at the children's tokens."""
        # In place of a child that is not there stands the first one once more.
        tokens = torch.where(self.there, self.tokens, self.tokens[:, :1])
        return rows.scatter(-1, tokens, 0.0)


#: ``decide(node)``: number of the accepted child of each node, -1 for none, shape ``(batch,)``, and the law
#: of the token after a rejection up to a factor, ``(batch, vocabulary)``.
Decide = Callable[[Node], tuple[torch.Tensor, torch.Tensor]]


def walk(round: Round, decide: Decide) -> Verdict:
    """Go down from node to node as long as a child is accepted."""
    tree = round.tree
    node = torch.zeros_like(round.lengths)
    going = torch.ones_like(node, dtype=torch.bool)
    rejected, weights = ~going, torch.empty(0)
    sequence = torch.arange(len(node), device=node.device)
    for depth in range(round.length):
        children, there = tree.children(node, depth)
        children = children.clamp(max=round.tokens.shape[1] - 1)
        # A node that the end of the sequence makes a leaf has no children, and one that was left neither.
        there = there & (going & (depth < round.lengths))[:, None]
        at = Node(
            there=there,
            tokens=round.tokens.gather(1, children),
            coins=round.coins.gather(1, children),
            target=round.target.after(node),
            draft=round.draft[sequence, node],
        )
        chosen, left = decide(at)
        going = there[:, 0] & (chosen >= 0)
        failed = there[:, 0] & (chosen < 0)
        weights = left if depth == 0 else torch.where(failed[:, None], left, weights)
        rejected = rejected | failed
        node = torch.where(going, children.gather(1, chosen.clamp(min=0)[:, None])[:, 0], node)
    return round.verdict(node, rejected, weights)


def in_turn(node: Node, passes: Passes, residual: Residual) -> tuple[torch.Tensor, torch.Tensor]:
    """Test the children of a node one after the other; each failure replaces the target row.

    passes, residual: the test of one token, and what is left of the row after its failure.
    """
    row = node.target
    chosen = torch.full_like(node.tokens[:, 0], -1)
    for number in range(node.tokens.shape[1]):
        token = node.tokens[:, number, None]
        waiting = node.there[:, number] & (chosen < 0)
        passed = passes(
            node.coins[:, number],
            row.gather(-1, token)[:, 0].double(),
            node.draft.gather(-1, token)[:, 0].double(),
        )
        chosen = torch.where(waiting & passed, number, chosen)
        row = replaced(row, residual(row, node.draft, token), waiting & ~passed)
    return chosen, row


def replaced(row: torch.Tensor, left: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Return what is left of rows, normalised, in some sequences; the row itself where nothing is."""
    total = left.sum(dim=-1, keepdim=True)
    return torch.where(where[:, None] & (total > 0), left / total, row)


class Chain:
    """A round of one path, all its tokens side by side.

    length: drafted tokens.
    tokens, coins: of the drafted tokens, shape ``(batch, length)``.
    target: target rows, shape ``(batch, length or length + 1, vocabulary)``, the root's first.
    draft: draft rows, shape ``(batch, length, vocabulary)``.
    """

    def __init__(self, round: Round) -> None:
        self._round = round
        self.tokens, self.coins = round.tokens[:, 1:], round.coins[:, 1 : 1 + round.length]
        self.target, self.draft = round.target.every, round.draft

    @property
    def target_of_token(self) -> torch.Tensor:
        """Target probabilities of the drafted tokens, float64: coins have 53 bits."""
        rows = self.target[:, : self.tokens.shape[1]]
        return rows.gather(-1, self.tokens[..., None])[..., 0].double()

    @property
    def draft_of_token(self) -> torch.Tensor:
        """Draft probabilities of the drafted tokens, float64."""
        return self.draft.gather(-1, self.tokens[..., None])[..., 0].double()

    def leading(self, passes: torch.Tensor) -> torch.Tensor:
        """Return how many tokens pass before the first that does not, from bool ``(batch, length)``."""
        depth = torch.arange(passes.shape[1], device=passes.device)
        return (passes & (depth < self._round.lengths[:, None])).to(torch.int64).cumprod(dim=1).sum(dim=1)

    def first_rejected(self, accepted: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return the entries of ``(batch, length, ...)`` at the token after the accepted ones."""
        sequence = torch.arange(len(accepted), device=accepted.device)
        return values[sequence, accepted.clamp(max=self.tokens.shape[1] - 1)]

    def verdict(self, accepted: torch.Tensor, residual: torch.Tensor) -> Verdict:
        """Return the verdict with the first `accepted` tokens and, after a rejection, one of `residual`."""
        return self._round.verdict(accepted, accepted < self._round.lengths, residual)


def one_by_one(round: Round, passes: Passes, residual: Residual) -> Verdict:
    """Keep the tokens of a chain before the first that fails, and replace that one."""
    path = Chain(round)
    accepted = path.leading(passes(path.coins, path.target_of_token, path.draft_of_token))
    left = residual(
        path.first_rejected(accepted, path.target),
        path.first_rejected(accepted, path.draft),
        path.first_rejected(accepted, path.tokens)[:, None],
    )
    return path.verdict(accepted, left)


@dataclass(frozen=True, kw_only=True)
class Verifier:
    """An algorithm ready to decode.

    verify: ``verify(round)`` decides a round.
    structure: what a round drafts at most; of depth 0 where nothing is drafted.
    bonus: whether a token of the target follows a path that was accepted to its end.
    drawing: how the children of a node are drawn.
    """

    verify: Callable[[Round], Verdict]
    structure: Structure
    bonus: bool
    drawing: Drawing

    @property
    def drafted(self) -> int:
        """Drafted tokens of a round, at most."""
        return int(self.structure.size) - 1


def most_children(structure: Structure) -> int:
    """Return the most children of a node, 0 where nothing is drafted.

    Examples
    --------
    >>> from specsim import levels
    >>> most_children(levels((2, 3, 1)))
    3
    """
    if structure.widths is not None:
        return int(max(structure.widths, default=0))
    return max(len(structure.children(node)) for node in range(len(structure.listed)))


def verifier(algorithm: Algorithm, new_tokens: int) -> Verifier:
    """Return what decodes up to `new_tokens` tokens by an algorithm.

    UnsupportedError: as `specsim.models.rules.check_algorithm`.

    Examples
    --------
    >>> from specsim import Batch
    >>> verifier(Batch(drafts=3, draft_length=2), 10).drafted
    6
    """
    structure = check_algorithm(algorithm, new_tokens)
    return Verifier(
        verify=partial(text_of(algorithm.rule).verify, **algorithm.parameters),
        structure=structure,
        bonus=algorithm.whole_bonus,
        drawing=algorithm.drawing,
    )
