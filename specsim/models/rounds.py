"""Sequences decoded side by side, round by round.

All sequences of a batch draft equally many tokens at once and are verified in one target call; each then
keeps what its own round gave. A batch talks to the host once per round, when the round is over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from specsim.errors import InputError
from specsim.models.caches import CachedModel
from specsim.models.coins import Coins, RoundCoins
from specsim.models.results import Clock, Decoded, RoundRecord
from specsim.models.sampling import Sampling, draw, draw_children
from specsim.models.trees import Tree
from specsim.models.verification import Round, TargetRows, Verdict, Verifier

#: A batch closes its ranks when so small a share of it is still being decoded.
_SPARSE = 0.8


class Rounds:
    """A batch of sequences.

    models: a `LoadedPair`.
    rule: what decides a round.
    sampling: what is sampled.
    prompts: token ids, each prompt at least one.
    sequences: the number of each sequence, which names its coins.
    new_tokens: tokens to emit.
    seed: of the coins.
    eos: tokens that end a sequence.
    limit: positions that both models know, or None.
    record: called with the `RoundRecord` of every round, or None.
    clock: where the time goes.
    """

    def __init__(
        self,
        models: Any,
        rule: Verifier,
        sampling: Sampling,
        prompts: list[list[int]],
        sequences: list[int],
        *,
        new_tokens: int,
        seed: int,
        eos: list[int],
        limit: int | None,
        record: Callable[[RoundRecord], None] | None,
        clock: Clock,
    ) -> None:
        self.models, self.rule, self.sampling, self.clock = models, rule, sampling, clock
        self.record, self.new_tokens = record, new_tokens
        self.most = rule.structure.depth
        device = self.device = torch.device(models.device)
        lengths = [len(prompt) for prompt in prompts]
        longest = max(lengths)
        # After the last token there is room for a whole round, of which nothing may be written.
        ids = np.zeros((len(prompts), longest + new_tokens + self.most + 1), dtype=np.int64)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = prompt
        self.ids = torch.from_numpy(ids).to(device)
        #: Tokens of each sequence, prompt included, and tokens that it may still emit (0: it has ended).
        self.total = torch.tensor(lengths, dtype=torch.int64, device=device)
        self.left = torch.full_like(self.total, new_tokens)
        self.eos = torch.tensor(eos, dtype=torch.int64, device=device) if eos else None
        self.tree = Tree(rule.structure, device)
        numbers = torch.tensor(sequences, dtype=torch.int64, device=device)
        self.sequences = numbers
        self.coins = Coins(seed, numbers, positions=new_tokens, nodes=1 + rule.drafted)
        # The same, known on the host.
        self.rows = list(range(len(prompts)))
        self.totals, self.lefts = lengths, [new_tokens] * len(prompts)
        size = capacity(longest, new_tokens, rule.drafted)
        # Equal prompts are read once; the paper's experiment has hundreds of each.
        self._distinct, self._of_prompt = distinct(prompts)
        self.target = CachedModel(models.target, len(self._distinct), size, limit)
        self.draft = CachedModel(models.draft, len(self._distinct), size, limit) if self.most else None
        #: Newest tokens that the draft model has not read: 1, or 2 after a bonus token.
        self.behind = 1
        self.rounds = 0

    @property
    def readers(self) -> list[CachedModel]:
        """The models that read this batch."""
        return [self.target] if self.draft is None else [self.target, self.draft]

    def prefill(self) -> None:
        """Read all prompts but their last tokens, equal ones once."""
        width = max(self.totals) - 1
        with self.clock.part("prefill"):
            for model in self.readers:
                if width:
                    model.prefill(self.ids[self._distinct, :width])
                if len(self._distinct) < len(self.rows):
                    model.keep(torch.tensor(self._of_prompt, device=self.device))
            self._roll_back()

    def run(self, decoded: Decoded, progress: Callable[[int], None] | None = None) -> None:
        """Decode to the end.

        decoded: gets the tokens and rounds of sequence ``rows[i]``.
        progress: called after every round with the number of tokens emitted so far.
        InputError: a model returned logits that are not finite.
        """
        self.prefill()
        while any(self.lefts):
            self.round(decoded)
            if progress is not None:
                progress(sum(len(decoded.tokens[row]) for row in range(len(decoded.tokens))))

    def round(self, decoded: Decoded) -> None:
        """Decode one round of every sequence."""
        most_left = max(self.lefts)
        length = min(self.most, most_left)
        bonus_possible = self.rule.bonus and most_left > length
        first = self.new_tokens - self.left + 1
        with self.clock.part("overhead"):
            coins = self.coins.of_round(first)
        with self.clock.part("draft"):
            tokens, rows, broken = self._draft(length, coins)
        with self.clock.part("verify"):
            # The deepest nodes are asked only for the bonus after them.
            deepest = length if bonus_possible else max(length - 1, 0)
            logits = self._ask_target(tokens, self.tree.within[deepest])
        with self.clock.part("overhead"):
            target = TargetRows(logits, self.sampling)
            lengths = self.left.clamp(max=length)
            round = Round(self.tree, length, lengths, tokens, rows, target, coins.accept)
            verdict = self.rule.verify(round) if length else self._plain(round)
            path = self.tree.path(verdict.node, length)
            outcome = self._outcome(round, verdict, path, coins)
            if self.record is not None:
                self._show(first, round, path, deepest, outcome)
            self._straighten(path, length, deepest)
            known = self._write(outcome, broken, target.broken)
        self.clock.settle()
        with self.clock.part("overhead"):
            self._account(decoded, known, length)

    def _draft(self, length: int, coins: RoundCoins) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Draw the nodes level by level.

        Returns: their tokens, the newest written one first, ``(batch, nodes)``; the draft rows after all but
            the deepest nodes, ``(batch, nodes, vocabulary)``; which sequences had a row that is not finite.
        """
        tokens = self.ids.gather(1, self.total[:, None] - 1)
        if self.draft is None:
            none = torch.zeros(len(self.rows), dtype=torch.bool, device=self.device)
            return tokens, torch.zeros(len(self.rows), 0, 0, device=self.device), none
        tree = self.tree
        newest = (self.total - self.behind)[:, None] + torch.arange(self.behind, device=self.device)
        logits = self.draft.read(self.ids.gather(1, newest), newest, keep=1)
        rows = []
        for depth in range(length):
            rows.append(self.sampling.rows(logits))
            tokens = torch.cat([tokens, self._level(rows[-1], depth, coins.draft)], dim=1)
            level = tree.level(depth + 1)
            if depth + 1 < length:
                places = (self.total + depth)[:, None].expand(-1, level.stop - level.start)
                if tree.chain:
                    logits = self.draft.read(tokens[:, level], places, keep=1)
                else:
                    logits = self.draft.read_tree(tokens[:, level], places, tree.sees[level, 1 : level.stop])
        stacked = torch.cat(rows, dim=1)
        return tokens, stacked, stacked[..., 0].isnan().any(dim=1)

    def _level(self, rows: torch.Tensor, depth: int, coins: torch.Tensor) -> torch.Tensor:
        """Draw the children of all nodes of a depth from the rows after them, ``(batch, nodes of it, V)``."""
        tree, level, below = self.tree, self.tree.level(depth), self.tree.level(depth + 1)
        children, _ = tree.children(torch.arange(level.start, level.stop, device=self.device), depth)
        drawn = draw_children(rows, coins[:, children], self.rule.drawing).flatten(1)
        if drawn.shape[1] == below.stop - below.start:
            return drawn
        # Nodes with fewer children than others drew some that are not there.
        node = torch.arange(below.start, below.stop, device=self.device)
        parent = tree.parents[below]
        return drawn[:, (parent - level.start) * tree.most[depth] + node - tree.first[parent]]

    def _ask_target(self, tokens: torch.Tensor, nodes: int) -> torch.Tensor:
        """Return the target's logits after the first nodes."""
        places = self.total[:, None] - 1 + self.tree.depths[:nodes]
        if self.tree.chain or nodes == 1:
            return self.target.read(tokens[:, :nodes], places, keep=nodes)
        return self.target.read_tree(tokens[:, :nodes], places, self.tree.sees[:nodes, :nodes])

    def _plain(self, round: Round) -> Verdict:
        """Return the verdict of a round without drafts: one token of the target."""
        none = torch.zeros_like(self.left)
        return Verdict(none, none.to(torch.bool), round.target.after(none))

    def _outcome(
        self, round: Round, verdict: Verdict, path: torch.Tensor, coins: RoundCoins
    ) -> dict[str, torch.Tensor]:
        """Turn a verdict into tokens: the accepted ones, a last one, cut at an end of sequence."""
        length = round.length
        accepted, rejected = self.tree.depths[verdict.node], verdict.rejected
        bonus = ~rejected & (self.left > accepted) if self.rule.bonus else torch.zeros_like(rejected)
        count = accepted + (rejected | bonus)
        last = draw(verdict.weights, coins.last[:, None])
        drafted = round.tokens.gather(1, path)
        tokens = torch.cat([drafted, torch.zeros_like(last)], dim=1).scatter(1, accepted[:, None], last)
        left = self.left - count
        if self.eos is not None:
            index = torch.arange(length + 1, device=self.device)
            ends = torch.isin(tokens, self.eos) & (index < count[:, None])
            ended = ends.any(dim=1)
            # What follows an end is thrown away unread, so its rejection never happened.
            cut = torch.where(ended, ends.to(torch.int64).argmax(dim=1) + 1, count)
            kept = cut == count
            rejected, bonus = rejected & kept, bonus & kept
            accepted, count = torch.minimum(accepted, cut), cut
            left = torch.where(ended, 0, left)
        return {
            "tokens": tokens, "count": count, "accepted": accepted, "rejected": rejected, "bonus": bonus,
            "left": left,
        }  # fmt: skip

    def _straighten(self, path: torch.Tensor, length: int, deepest: int) -> None:
        """Move the path that was accepted to where a sequence's tokens belong, in both caches.

        deepest: depth that the target has read to; the draft model has read all nodes but the last level.
        """
        if self.tree.chain:
            return
        root = self.total - 1
        self.target.cache.straighten(root, path.clamp(max=self.tree.within[deepest] - 1))
        if self.draft is not None:
            self.draft.cache.straighten(root, path.clamp(max=self.tree.within[length - 1] - 1))

    def _write(
        self, outcome: dict[str, torch.Tensor], broken_draft: torch.Tensor, broken_target: torch.Tensor
    ) -> torch.Tensor:
        """Write what was emitted; return all that the host needs in one tensor, the round's only transfer."""
        tokens = outcome["tokens"]
        index = self.total[:, None] + torch.arange(tokens.shape[1], device=self.device)
        self.ids.scatter_(1, index, tokens)
        going = self.left > 0
        columns = [outcome[name] for name in ("count", "accepted", "rejected", "bonus", "left")]
        columns += [broken_draft & going, broken_target & going]
        self.total = self.total + outcome["count"]
        self.left = outcome["left"]
        return torch.cat([tokens, torch.stack([column.to(torch.int64) for column in columns], 1)], 1).cpu()

    def _account(self, decoded: Decoded, known: torch.Tensor, length: int) -> None:
        """Enter a round on the host and get ready for the next."""
        self.rounds += 1
        bonus_met = False
        for place, (row, values) in enumerate(zip(self.rows, known.tolist(), strict=True)):
            if not self.lefts[place]:
                continue
            count, accepted, rejected, bonus, left, bad_draft, bad_target = values[length + 1 :]
            if bad_draft or bad_target:
                role = "draft" if bad_draft else "target"
                raise InputError(
                    f"the {role} model's logits after {self.totals[place]} tokens of sequence {row} are not "
                    "finite; check the checkpoint, or use a wider dtype"
                )
            emitted = decoded.tokens[row]
            decoded.first_positions[row].append(len(emitted) + 1)
            emitted += values[:count]
            decoded.accepted_lengths[row].append(accepted)
            decoded.drafted_lengths[row].append(min(length, self.lefts[place]))
            if rejected:
                decoded.rejected_positions[row].append(len(emitted))
            if bonus:
                decoded.bonus_positions[row].append(len(emitted))
                bonus_met = True
            self.totals[place] += count
            self.lefts[place] = left
        # Only a bonus token after a whole draft leaves a token that the draft model never read.
        self.behind = 2 if bonus_met and self.draft is not None else 1
        going = [place for place, left in enumerate(self.lefts) if left]
        if going and len(going) <= _SPARSE * len(self.lefts):
            self._keep(going)
        self._roll_back()

    def _keep(self, places: list[int]) -> None:
        """Drop the sequences that have ended."""
        self.rows, self.totals, self.lefts = (
            [values[place] for place in places] for values in (self.rows, self.totals, self.lefts)
        )
        index = torch.tensor(places, device=self.device)
        self.ids, self.total, self.left = self.ids[index], self.total[index], self.left[index]
        self.sequences = self.sequences[index]
        self.coins.keep(index)
        for model in self.readers:
            model.keep(index)

    def _roll_back(self) -> None:
        """Set what each model has read of each sequence."""
        longest, equal = max(self.totals), len(set(self.totals)) == 1
        self.target.roll_back(self.total - 1, longest - 1, equal)
        if self.draft is not None:
            self.draft.roll_back(self.total - self.behind, longest - self.behind, equal)

    def _show(
        self,
        first: torch.Tensor,
        round: Round,
        path: torch.Tensor,
        deepest: int,
        outcome: dict[str, torch.Tensor],
    ) -> None:
        going = torch.tensor([place for place, left in enumerate(self.lefts) if left], device=self.device)
        above = torch.cat([torch.zeros_like(first)[:, None], path], dim=1)
        sequence = torch.arange(len(path), device=self.device)[:, None]
        # The deepest nodes have no draft row, and a target row only where a bonus was possible.
        inner = above[:, : round.length].clamp(max=max(round.draft.shape[1] - 1, 0))
        values = {
            "sequences": self.sequences, "first": first, "drafted": round.lengths,
            "draft_tokens": round.tokens[:, 1:], "path": path, "draft_rows": round.draft[sequence, inner],
            "target_rows": round.target.after(above[:, : deepest + 1]),
            **{name: outcome[name] for name in ("accepted", "rejected", "bonus", "tokens", "count")},
        }  # fmt: skip
        assert self.record is not None
        self.record(RoundRecord(**{name: value[going] for name, value in values.items()}))


def capacity(longest: int, new_tokens: int, drafted: int) -> int:
    """Return how many slots a cache needs for prompts of `longest` tokens and rounds of `drafted` nodes."""
    return longest + new_tokens + drafted + 1


def distinct(prompts: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """Return the indices of the distinct prompts, and for every prompt which of these it equals."""
    number: dict[tuple[int, ...], int] = {}
    places: list[int] = []
    equals: list[int] = []
    for place, prompt in enumerate(prompts):
        key = tuple(prompt)
        if key not in number:
            number[key] = len(places)
            places.append(place)
        equals.append(number[key])
    return places, equals
