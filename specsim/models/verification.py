"""What a verification rule is given and returns, and which text decides the rounds of an algorithm.

The rules are the files of `specsim.models.rules`: a function ``verify(drafts, target, coins, **parameters)``
in the file of the rule's name. It works on a whole batch and never asks for a value on the host.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from specsim.algorithms import Algorithm
from specsim.models.coins import RoundCoins
from specsim.models.rules import check_algorithm, text_of
from specsim.models.sampling import Sampling

#: ``passes(coin, target, draft)``: whether tokens of these probabilities are accepted.
Passes = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
#: ``residual(target, draft, token)``: law of the token after a rejection up to a factor, from rows ``(batch,
#: tokens)`` and the rejected token ``(batch, 1)``.
Residual = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Drafts:
    """What the draft model proposed in one round.

    tokens: shape ``(batch, length, drafts)``.
    rows: the draft row that each of them was drawn from, shape ``(batch, length, drafts, tokens)``; those of
        depth 0 are the same for all drafts.
    lengths: how many of the tokens of a draft count (a sequence near its end drafts fewer), shape
        ``(batch,)``.
    """

    tokens: torch.Tensor
    rows: torch.Tensor
    lengths: torch.Tensor

    def along(self, branch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the tokens (batch, length) and rows (batch, length, tokens) of one draft per sequence."""
        if self.tokens.shape[2] == 1:
            return self.tokens[:, :, 0], self.rows[:, :, 0]
        sequence = torch.arange(len(branch), device=branch.device)
        return self.tokens[sequence, :, branch], self.rows[sequence, :, branch]


class TargetRows:
    """The target rows of one round, computed where a rule asks for them.

    logits: shape ``(batch, 1 + nodes, tokens)``: after the last written token, then after each drafted token,
        all drafts of depth 0 first. The deepest tokens are missing where no bonus is due.
    drafts: number of drafts.
    sampling: turns logits into rows.
    broken: sequences of which a row was not finite, bool, shape ``(batch,)``.
    """

    def __init__(self, logits: torch.Tensor, drafts: int, sampling: Sampling) -> None:
        self._logits, self._drafts, self._sampling = logits, drafts, sampling
        self._along: tuple[torch.Tensor, torch.Tensor] | None = None
        self.broken = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)

    def root(self) -> torch.Tensor:
        """Return the rows of the first position of the round, shape ``(batch, tokens)``."""
        rows = self._sampling.rows(self._logits[:, 0])
        self.broken |= rows[:, 0].isnan()
        return rows

    def along(self, branch: torch.Tensor) -> torch.Tensor:
        """Return the rows along one draft per sequence, shape ``(batch, depths, tokens)``, the root's first.

        There are ``length + 1`` depths, or `length` where no bonus is due.
        """
        if self._along is not None and self._along[0] is branch:
            return self._along[1]
        if self._drafts == 1:
            logits = self._logits
        else:
            sequence = torch.arange(len(branch), device=branch.device)
            after = self._logits[:, 1:].unflatten(1, (-1, self._drafts))[sequence, :, branch]
            logits = torch.cat([self._logits[:, :1], after], dim=1)
        rows = self._sampling.rows(logits)
        self.broken |= rows[..., 0].isnan().any(dim=1)
        self._along = branch, rows
        return rows


@dataclass(frozen=True)
class Verdict:
    """What a rule decided about one round.

    Attributes
    ----------
    branch
        The draft that was walked along, shape ``(batch,)``.
    accepted
        How many of its tokens are kept, shape ``(batch,)``.
    rejected
        Whether the token after them was written after a rejection, bool, shape ``(batch,)``.
    weights
        The law of that token or of the bonus token, up to a factor, shape ``(batch, tokens)``.
    """

    branch: torch.Tensor
    accepted: torch.Tensor
    rejected: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True)
class Path:
    """One draft per sequence, with its rows and coins.

    branch, lengths: which draft, and how many of its tokens count, shape ``(batch,)``.
    tokens, coins: drafted tokens and the coins that test them, shape ``(batch, length)``.
    target: target rows, shape ``(batch, length or length + 1, tokens)``, the root's first.
    draft: draft rows, shape ``(batch, length, tokens)``.
    """

    branch: torch.Tensor
    lengths: torch.Tensor
    tokens: torch.Tensor
    coins: torch.Tensor
    target: torch.Tensor
    draft: torch.Tensor

    @classmethod
    def along(cls, drafts: Drafts, target: TargetRows, coins: RoundCoins, branch: torch.Tensor) -> Path:
        """Return the path of draft `branch`, shape ``(batch,)``."""
        tokens, draft = drafts.along(branch)
        sequence = torch.arange(len(branch), device=branch.device)
        return cls(
            branch, drafts.lengths, tokens, coins.accept[sequence, :, branch], target.along(branch), draft
        )

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
        return (passes & (depth < self.lengths[:, None])).to(torch.int64).cumprod(dim=1).sum(dim=1)

    def first_rejected(self, accepted: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return the entries of ``(batch, length, ...)`` at the token after the accepted ones."""
        sequence = torch.arange(len(accepted), device=accepted.device)
        return values[sequence, accepted.clamp(max=self.tokens.shape[1] - 1)]

    def verdict(self, accepted: torch.Tensor, residual: torch.Tensor) -> Verdict:
        """Return the verdict with the first `accepted` tokens and, after a rejection, one of `residual`."""
        sequence = torch.arange(len(accepted), device=accepted.device)
        row = self.target[sequence, accepted.clamp(max=self.target.shape[1] - 1)]
        rejected = accepted < self.lengths
        # Rows that are equal up to rounding leave no residual; they are rejected by rounding alone.
        usable = rejected & (residual.sum(dim=-1) > 0)
        return Verdict(self.branch, accepted, rejected, torch.where(usable[:, None], residual, row))


def walk(
    drafts: Drafts, target: TargetRows, coins: RoundCoins, passes: Passes, residual: Residual
) -> Verdict:
    """Test the first tokens of all drafts in turn, then the further tokens of the draft that passed.

    drafts, target, coins: the round's.
    passes, residual: the test of one token, and what replaces the target row after each failure at the root
        and gives the token after a rejection.
    """
    branch = torch.zeros_like(drafts.lengths)
    count = drafts.tokens.shape[2]
    if count == 1:
        path = Path.along(drafts, target, coins, branch)
        accepted = path.leading(passes(path.coins, path.target_of_token, path.draft_of_token))
        return path.verdict(accepted, _residual(path, accepted, residual))
    draft = drafts.rows[:, 0, 0]
    current = target.root()
    waiting = drafts.lengths > 0
    for number in range(count):
        token = drafts.tokens[:, 0, number, None]
        tested = passes(
            coins.accept[:, 0, number],
            current.gather(-1, token)[:, 0].double(),
            draft.gather(-1, token)[:, 0].double(),
        )
        branch = torch.where(waiting & tested, number, branch)
        waiting = waiting & ~tested
        left = residual(current, draft, token)
        total = left.sum(dim=-1, keepdim=True)
        # Only where all tokens so far failed is the row replaced.
        current = torch.where(waiting[:, None] & (total > 0), left / total, current)
    path = Path.along(drafts, target, coins, branch)
    tests = passes(path.coins, path.target_of_token, path.draft_of_token)
    tests[:, 0] = ~waiting
    accepted = path.leading(tests)
    walked = path.verdict(accepted, _residual(path, accepted, residual))
    weights = torch.where(waiting[:, None], current, walked.weights)
    return Verdict(branch, accepted, walked.rejected, weights)


def _residual(path: Path, accepted: torch.Tensor, residual: Residual) -> torch.Tensor:
    return residual(
        path.first_rejected(accepted, path.target),
        path.first_rejected(accepted, path.draft),
        path.first_rejected(accepted, path.tokens)[:, None],
    )


@dataclass(frozen=True, kw_only=True)
class Verifier:
    """An algorithm ready to decode.

    verify: ``verify(drafts, target, coins)`` decides a round.
    length, drafts: tokens of a draft (0: none is made) and number of drafts.
    bonus: whether a token of the target follows a draft that was accepted whole.
    greedy: whether drafts are the likeliest tokens instead of draws.
    """

    verify: Callable[[Drafts, TargetRows, RoundCoins], Verdict]
    length: int
    drafts: int
    bonus: bool
    greedy: bool


def verifier(algorithm: Algorithm, new_tokens: int) -> Verifier:
    """Return what decodes up to `new_tokens` tokens by an algorithm.

    UnsupportedError: as `specsim.models.rules.check_algorithm`.

    Examples
    --------
    >>> from specsim import Batch
    >>> made = verifier(Batch(drafts=3, draft_length=2), 10)
    >>> made.length, made.drafts
    (2, 3)
    """
    structure = check_algorithm(algorithm, new_tokens)
    return Verifier(
        verify=partial(text_of(algorithm.rule).verify, **algorithm.parameters),
        length=structure.depth,
        drafts=int(structure.widths[0]) if structure.widths else 1,
        bonus=algorithm.whole_bonus,
        greedy=algorithm.drawing == "greedy",
    )
