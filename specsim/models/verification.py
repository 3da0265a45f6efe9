"""The rules: which drafted tokens are kept, and what is written after them.

A rule is registered for its descriptor with `rule_of` (``functools.singledispatch``); a further one needs a
class with the attributes and the method of `Rule`, and nothing else of the decoder. Everything here works on
a whole batch at once and never asks for a value on the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import torch

from specsim.algorithms import (
    Algorithm,
    Autoregressive,
    Batch,
    BlockVerification,
    OverAcceptance,
    Speculative,
)
from specsim.errors import UnsupportedError
from specsim.models.coins import RoundCoins
from specsim.models.sampling import Sampling


@dataclass(frozen=True)
class Drafts:
    """What the draft model proposed in one round.

    Attributes
    ----------
    tokens
        Shape ``(batch, length, drafts)``.
    rows
        The draft row that each of them was drawn from, shape ``(batch, length, drafts, tokens)``; those of
        depth 0 are the same for all drafts.
    lengths
        How many of the tokens of a draft count (a sequence near its end drafts fewer), shape ``(batch,)``.
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

    Parameters
    ----------
    logits
        Shape ``(batch, 1 + nodes, tokens)``: after the last written token, then after each drafted token, all
        drafts of depth 0 first. The deepest tokens are missing where no bonus is due.
    drafts
        Number of drafts.
    sampling
        Turns logits into rows.

    Attributes
    ----------
    broken
        Sequences of which a row was not finite, bool, shape ``(batch,)``.
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


class Rule:
    """Speculative decoding (2411.00841, Algorithm 1; 2211.17192), and the base of the other rules.

    Attributes
    ----------
    draft_length
        Drafted tokens per round, None for up to the last position, 0 for none.
    drafts
        Number of parallel drafts.
    bonus
        Whether a token follows a draft that was kept whole.
    """

    drafts = 1

    def __init__(self, algorithm: Any) -> None:
        self.draft_length: int | None = algorithm.draft_length
        self.bonus: bool = algorithm.bonus and algorithm.draft_length is not None

    def passes(self, coin: torch.Tensor, target: torch.Tensor, draft: torch.Tensor) -> torch.Tensor:
        """Return whether drafted tokens of these probabilities are accepted: min(1, target / draft)."""
        return coin * draft < target

    def residual(self, target: torch.Tensor, draft: torch.Tensor) -> torch.Tensor:
        """Return the law of the token after a rejection, up to a factor: (target - draft)+."""
        return (target - draft).clamp(min=0)

    def verify(self, drafts: Drafts, target: TargetRows, coins: RoundCoins) -> Verdict:
        """Decide a round."""
        branch = torch.zeros_like(drafts.lengths)
        return self.walk(drafts, target, coins, branch)

    def walk(
        self,
        drafts: Drafts,
        target: TargetRows,
        coins: RoundCoins,
        branch: torch.Tensor,
        passed: torch.Tensor | None = None,
    ) -> Verdict:
        """Test the tokens of one draft per sequence in turn.

        Parameters
        ----------
        drafts, target, coins
            The round's.
        branch
            The draft of each sequence.
        passed
            Sequences whose first token needs no test any more, bool. Defaults to None, no sequence.
        """
        tokens, draft_rows = drafts.along(branch)
        rows = target.along(branch)
        length = tokens.shape[1]
        chosen = tokens[..., None]
        # Products of probabilities and coins in float64: a coin has 53 bits.
        drafted = draft_rows.gather(-1, chosen)[..., 0].double()
        wanted = rows[:, :length].gather(-1, chosen)[..., 0].double()
        coin = coins.accept[:, :length, 0] if drafts.tokens.shape[2] == 1 else _take(coins.accept, branch)
        passes = self.passes(coin[:, :length], wanted, drafted)
        if passed is not None:
            passes[:, 0] |= passed
        depth = torch.arange(length, device=tokens.device)
        passes &= depth < drafts.lengths[:, None]
        accepted = passes.to(torch.int64).cumprod(dim=1).sum(dim=1)
        rejected = accepted < drafts.lengths
        sequence = torch.arange(len(tokens), device=tokens.device)
        row = rows[sequence, accepted.clamp(max=rows.shape[1] - 1)]
        residual = self.residual(row, draft_rows[sequence, accepted.clamp(max=length - 1)])
        # Rows that are equal up to rounding leave nothing over; they are rejected by rounding alone.
        usable = rejected & (residual.sum(dim=-1) > 0)
        return Verdict(branch, accepted, rejected, torch.where(usable[:, None], residual, row))


class AutoregressiveRule(Rule):
    """Plain decoding from the target (2411.00841, Algorithm 3)."""

    def __init__(self, algorithm: Autoregressive) -> None:
        self.draft_length, self.bonus = 0, True

    def verify(self, drafts: Drafts, target: TargetRows, coins: RoundCoins) -> Verdict:
        """Accept nothing and write one token."""
        none = torch.zeros_like(drafts.lengths)
        return Verdict(none, none, none.to(torch.bool), target.along(none)[:, 0])


class OverAcceptanceRule(Rule):
    """Over-acceptance (2411.00841, section 4.2): accept with min(1, (target + epsilon) / draft)."""

    def __init__(self, algorithm: OverAcceptance) -> None:
        super().__init__(algorithm)
        self.epsilon = float(algorithm.epsilon)
        self.kind = algorithm.residual

    def passes(self, coin: torch.Tensor, target: torch.Tensor, draft: torch.Tensor) -> torch.Tensor:
        """Return whether drafted tokens of these probabilities are accepted."""
        return coin * draft < target + self.epsilon

    def residual(self, target: torch.Tensor, draft: torch.Tensor) -> torch.Tensor:
        """Return the residual of the variant, up to a factor."""
        if self.kind == "target":
            return target
        if self.kind == "draft":
            return draft
        return super().residual(target, draft)


class BatchRule(Rule):
    """Algorithm 4 of 2411.00841, corrected: the first tokens of the drafts in turn, then one draft along."""

    def __init__(self, algorithm: Batch) -> None:
        super().__init__(algorithm)
        if not isinstance(algorithm.drafts, int):
            raise UnsupportedError(f"drafts is {algorithm.drafts}; decoding needs a finite number of drafts")
        self.drafts = algorithm.drafts

    def verify(self, drafts: Drafts, target: TargetRows, coins: RoundCoins) -> Verdict:
        """Decide a round."""
        draft = drafts.rows[:, 0, 0]
        current = target.root()
        branch = torch.zeros_like(drafts.lengths)
        waiting = drafts.lengths > 0
        for number in range(self.drafts):
            chosen = drafts.tokens[:, 0, number, None]
            passes = self.passes(
                coins.accept[:, 0, number],
                current.gather(-1, chosen)[:, 0].double(),
                draft.gather(-1, chosen)[:, 0].double(),
            )
            branch = torch.where(waiting & passes, number, branch)
            waiting = waiting & ~passes
            excess = self.residual(current, draft)
            total = excess.sum(dim=-1, keepdim=True)
            # The chain of rows goes on only where all tokens so far failed.
            current = torch.where(waiting[:, None] & (total > 0), excess / total, current)
        walked = self.walk(drafts, target, coins, branch, passed=drafts.lengths > 0)
        return Verdict(
            branch,
            torch.where(waiting, 0, walked.accepted),
            waiting | walked.rejected,
            torch.where(waiting[:, None], current, walked.weights),
        )


def _take(values: torch.Tensor, branch: torch.Tensor) -> torch.Tensor:
    """Return the values (batch, length) of one draft per sequence."""
    return values[torch.arange(len(branch), device=branch.device), :, branch]


@singledispatch
def rule_of(algorithm: Algorithm) -> Rule:
    """Return the rule of a descriptor; register further ones here.

    Raises
    ------
    UnsupportedError
        No rule is registered for it.
    """
    raise UnsupportedError(
        f"{algorithm.label} has no rule for language models; give autoregressive, speculative, batch, "
        "block-verification or over-acceptance"
    )


rule_of.register(Autoregressive, AutoregressiveRule)
rule_of.register(Speculative, Rule)
rule_of.register(OverAcceptance, OverAcceptanceRule)
rule_of.register(Batch, BatchRule)


@rule_of.register
def _(algorithm: BlockVerification) -> Rule:
    from specsim.models.block_rule import BlockRule

    return BlockRule(algorithm)
