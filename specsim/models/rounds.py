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
from specsim.models.sampling import Sampling, draw, likeliest
from specsim.models.verification import Drafts, TargetRows, Verdict, Verifier

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
        self.most = rule.length
        device = self.device = torch.device(models.device)
        lengths = [len(prompt) for prompt in prompts]
        longest = max(lengths)
        # Behind the last token there is room for a whole round, of which nothing may be written.
        ids = np.zeros((len(prompts), longest + new_tokens + self.most + 1), dtype=np.int64)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = prompt
        self.ids = torch.from_numpy(ids).to(device)
        #: Tokens of each sequence, prompt included, and tokens that it may still emit (0: it has ended).
        self.total = torch.tensor(lengths, dtype=torch.int64, device=device)
        self.left = torch.full_like(self.total, new_tokens)
        self.eos = torch.tensor(eos, dtype=torch.int64, device=device) if eos else None
        numbers = torch.tensor(sequences, dtype=torch.int64, device=device)
        self.sequences = numbers
        self.coins = Coins(seed, numbers, positions=new_tokens, length=self.most, drafts=rule.drafts)
        # The same, known on the host.
        self.rows = list(range(len(prompts)))
        self.totals, self.lefts = lengths, [new_tokens] * len(prompts)
        size = capacity(longest, new_tokens, self.most, rule.drafts)
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
            coins = self._coins(first, length)
        with self.clock.part("draft"):
            drafts, broken = self._draft(length, coins)
        with self.clock.part("verify"):
            depths = length if bonus_possible else max(length - 1, 0)
            logits = self._ask_target(drafts, depths)
        with self.clock.part("overhead"):
            target = TargetRows(logits, self.rule.drafts, self.sampling)
            verdict = self.rule.verify(drafts, target, coins) if length else self._plain(target)
            outcome = self._outcome(drafts, verdict, coins)
            if self.record is not None:
                self._show(first, drafts, target, verdict, outcome)
            self._straighten(verdict, length, depths)
            known = self._write(outcome, broken, target.broken)
        self.clock.settle()
        with self.clock.part("overhead"):
            self._account(decoded, known, length, drafts)

    def _coins(self, first: torch.Tensor, length: int) -> RoundCoins:
        coins = self.coins.of_round(first)
        return RoundCoins(coins.draft[:, :length], coins.accept[:, :length], coins.last)

    def _draft(self, length: int, coins: RoundCoins) -> tuple[Drafts, torch.Tensor]:
        """Draw all drafts; return them and which sequences had a row that is not finite."""
        batch, drafts = len(self.rows), self.rule.drafts
        counted = self.left.clamp(max=length)
        if self.draft is None:
            none = torch.zeros(batch, 0, drafts, dtype=torch.int64, device=self.device)
            return Drafts(none, none[..., None].float(), counted), torch.zeros_like(counted, dtype=torch.bool)
        newest = (self.total - self.behind)[:, None] + torch.arange(self.behind, device=self.device)
        logits = self.draft.read(self.ids.gather(1, newest), newest, keep=1)
        tokens, rows = [], []
        for depth in range(length):
            row = self.sampling.rows(logits)
            if depth == 0:
                coin = coins.draft[:, 0]
                tokens.append(likeliest(row[:, 0], drafts) if self.rule.greedy else draw(row[:, 0], coin))
                row = row.expand(-1, drafts, -1)
            else:
                coin = coins.draft[:, depth, :, None]
                tokens.append((likeliest(row, 1) if self.rule.greedy else draw(row, coin))[..., 0])
            rows.append(row)
            if depth + 1 < length:
                places = (self.total + depth)[:, None].expand(-1, drafts)
                if drafts == 1:
                    logits = self.draft.read(tokens[-1], places, keep=1)
                else:
                    sees = torch.eye(drafts, dtype=torch.bool, device=self.device).repeat(1, depth + 1)
                    logits = self.draft.read_tree(tokens[-1], places, sees)
        stacked = torch.stack(rows, dim=1)
        broken = stacked[..., 0].isnan().flatten(1).any(dim=1)
        return Drafts(torch.stack(tokens, dim=1), stacked, counted), broken

    def _ask_target(self, drafts: Drafts, depths: int) -> torch.Tensor:
        """Return the target's logits after the newest token and after the drafted ones."""
        count = self.rule.drafts
        newest = self.ids.gather(1, self.total[:, None] - 1)
        tokens = torch.cat([newest, drafts.tokens[:, :depths].flatten(1)], dim=1)
        depth = torch.arange(depths, device=self.device).repeat_interleave(count)
        places = torch.cat([self.total[:, None] - 1, self.total[:, None] + depth], dim=1)
        if count == 1 or depths == 0:
            return self.target.read(tokens, places, keep=1 + depths)
        nodes = torch.arange(depths * count, device=self.device)
        own = (nodes[:, None] % count == nodes % count) & (nodes <= nodes[:, None])
        sees = torch.nn.functional.pad(own, (1, 0, 1, 0))
        sees[:, 0] = True
        return self.target.read_tree(tokens, places, sees)

    def _plain(self, target: TargetRows) -> Verdict:
        """Return the verdict of a round without drafts: one token of the target."""
        none = torch.zeros_like(self.left)
        return Verdict(none, none, none.to(torch.bool), target.along(none)[:, 0])

    def _outcome(self, drafts: Drafts, verdict: Verdict, coins: RoundCoins) -> dict[str, torch.Tensor]:
        """Turn a verdict into tokens: the accepted ones, a last one, cut at an end of sequence."""
        length = drafts.tokens.shape[1]
        accepted, rejected = verdict.accepted, verdict.rejected
        bonus = ~rejected & (self.left > accepted) if self.rule.bonus else torch.zeros_like(rejected)
        count = accepted + (rejected | bonus)
        last = draw(verdict.weights, coins.last[:, None])
        path = drafts.along(verdict.branch)[0] if length else drafts.tokens[:, :, 0]
        tokens = torch.cat([path, torch.zeros_like(last)], dim=1).scatter(1, accepted[:, None], last)
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

    def _straighten(self, verdict: Verdict, length: int, depths: int) -> None:
        """Move the draft that was walked along to where a sequence's tokens belong."""
        self.target.cache.straighten(self.total, verdict.branch, depths, self.rule.drafts)
        if self.draft is not None:
            self.draft.cache.straighten(self.total, verdict.branch, length - 1, self.rule.drafts)

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

    def _account(self, decoded: Decoded, known: torch.Tensor, length: int, drafts: Drafts) -> None:
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
        drafts: Drafts,
        target: TargetRows,
        verdict: Verdict,
        outcome: dict[str, torch.Tensor],
    ) -> None:
        going = torch.tensor([place for place, left in enumerate(self.lefts) if left], device=self.device)
        branch = verdict.branch
        rows = drafts.along(branch)[1] if drafts.tokens.shape[1] else drafts.rows[:, :, 0]
        values = {
            "sequences": self.sequences, "first": first, "drafted": drafts.lengths,
            "draft_tokens": drafts.tokens, "branch": branch, "draft_rows": rows,
            "target_rows": target.along(branch),
            **{name: outcome[name] for name in ("accepted", "rejected", "bonus", "tokens", "count")},
        }  # fmt: skip
        assert self.record is not None
        self.record(RoundRecord(**{name: value[going] for name, value in values.items()}))


def capacity(longest: int, new_tokens: int, length: int, drafts: int) -> int:
    """Return how many slots a cache needs for prompts up to `longest` tokens."""
    return longest + new_tokens + length * drafts + 1


def distinct(prompts: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """Return the places of prompts that none before equals, and for every prompt which of those it equals."""
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
