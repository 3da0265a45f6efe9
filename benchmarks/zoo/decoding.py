"""A whole decoder built from a verification step, with switches for the mistakes of caches and batches.

Each side keeps what it believes was written: the contents of its cache. With every switch off both hold the
text, and the decoder is right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.zoo.asked import race
from benchmarks.zoo.controls_step import ratio_step
from benchmarks.zoo.sampling import Floats, Integers, Step, draw, filtered, floats

VerificationStep = Callable[..., Step]
Written = tuple[Integers, list[list[int]]]


@dataclass(frozen=True, kw_only=True)
class Mistakes:
    """What is done wrong.

    Attributes
    ----------
    target_keeps_rejected, draft_keeps_rejected
        After a rejection that side's cache holds the rejected token in the place of its replacement.
    target_lacks_bonus, draft_lacks_bonus
        A bonus token is not written to that side's cache.
    prompt_ignored
        Both sides see a prompt of zeros.
    prompt_cut
        Both sides see the last token of the prompt only.
    prompt_of_first
        Both sides see the first row's prompt in every row.
    in_step
        All rows go on where the longest one is; the places between are padding, token 0, and are read.
    same_seed
        Every round begins with the same seed.
    target_room
        Tokens that the target's cache has room for: after them it reads the row of its last place.
    state_keeps_rejected
        The target's state has gone through the rejected tokens of a round before it sees their replacement.
    stale_page
        Pages of this many tokens are lost once they are full, but for the last two tokens of a text.
    forget_before_test
        The target sees the drafted tokens of a round only.
    greedy_first
        The first token after the prompt is the target's likeliest.
    rows_not_moved
        When texts end and the others move up, the draft rows of a round stay where they were.
    """

    target_keeps_rejected: bool = False
    draft_keeps_rejected: bool = False
    target_lacks_bonus: bool = False
    draft_lacks_bonus: bool = False
    prompt_ignored: bool = False
    prompt_cut: bool = False
    prompt_of_first: bool = False
    in_step: bool = False
    same_seed: bool = False
    target_room: int | None = None
    state_keeps_rejected: bool = False
    stale_page: int | None = None
    forget_before_test: bool = False
    greedy_first: bool = False
    rows_not_moved: bool = False


class Cache:
    """The tokens that one side believes were written, a row of its own length for every text."""

    def __init__(self, prompts: Integers, room: int, most: int | None = None) -> None:
        batch, length = prompts.shape
        self.most = length + room if most is None else most
        self.tokens = np.zeros((batch, length + room), dtype=np.int64)
        self.tokens[:, :length] = prompts
        self.lengths = np.full(batch, length, dtype=np.int64)
        self.rows = np.arange(batch)

    def put(self, tokens: Integers, offset: int) -> None:
        """Write one token per row after its end, without moving the end."""
        self.tokens[self.rows, self.lengths + offset] = tokens

    def append(self, tokens: Integers, counts: Integers) -> None:
        """Write the first ``counts[b]`` tokens of each row, and move its end."""
        for i in range(tokens.shape[1]):
            kept = i < counts
            self.tokens[self.rows[kept], self.lengths[kept] + i] = tokens[kept, i]
        self.lengths = self.lengths + counts

    def read(
        self, model: Callable[[Integers], Any], ahead: int, places: Integers, lost: Integers | None = None
    ) -> Floats:
        """Call a model with `ahead` tokens after the longest row; return the rows after these places.

        The first ``lost[b]`` tokens of row b are read as 0.
        """
        tokens = self.tokens[:, : int(self.lengths.max()) + ahead]
        if lost is not None:
            tokens = np.where(np.arange(tokens.shape[1]) < lost[:, None], 0, tokens)
        rows = floats(model(tokens))
        places = np.minimum(self.lengths[:, None] - 1 + places, self.most - 1)
        found: Floats = rows[self.rows[:, None], places]
        return found


def decode(
    models: Any,
    prompts: Any,
    new_tokens: int,
    seed: int,
    *,
    step: VerificationStep = ratio_step,
    mistakes: Mistakes | None = None,
    greedy: bool = False,
    coins_of: str = "",
    drafts_kept: bool = False,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Written:
    """Write texts round by round; return the tokens and, for each row, the accepted lengths.

    Parameters
    ----------
    models, prompts, new_tokens, seed
        Of the protocol decoder.
    step
        Verifies the drafts of a round.
    mistakes
        Defaults to None: none.
    greedy
        Whether drafts are the likeliest tokens, of probability 1.
    coins_of
        Coins of the tests that do not depend on the round: ``"place"``, one for every place in the text;
        ``"draft"``, the next ones after those of the accepted drafts. Defaults to "": fresh ones.
    drafts_kept
        Whether drafts are drawn by races with the noise of their place in the text, the same in every round.
    temperature, top_k, top_p
        Applied to both sides.
    """
    wrong = mistakes or Mistakes()
    written = np.asarray(prompts, dtype=np.int64)
    batch, length = written.shape
    drafts = models.draft_length
    text = Cache(written, new_tokens + drafts + 1)
    # A text ends when it is long enough; padding and rounds may carry a cache that is out of step further.
    room = (new_tokens + 1) * (drafts + 1)
    seen = _seen_prompts(written, wrong)
    target_side, draft_side = Cache(seen, room, wrong.target_room), Cache(seen, room)
    accepted: list[list[int]] = [[] for _ in range(batch)]
    places = np.arange(drafts + 1)
    kept_coins = np.random.default_rng([seed, 7]).random((batch, (new_tokens + 2) * (drafts + 1)))
    used = np.zeros(batch, dtype=np.int64)
    if drafts_kept:
        size = (batch, new_tokens + 2 * drafts + 1, models.vocabulary)
        kept_noise = np.random.default_rng([seed, 8]).random(size)
    if wrong.greedy_first:
        first = target_side.read(models.target, 0, np.zeros(1, dtype=np.int64))[:, 0].argmax(axis=1)
        for side in (text, target_side, draft_side):
            side.append(first[:, None], np.ones(batch, dtype=np.int64))
        accepted = [[0] for _ in range(batch)]
    active = np.arange(batch)
    turn = 0
    while (text.lengths < length + new_tokens).any():
        rng = np.random.default_rng([seed, 0 if wrong.same_seed else turn])
        turn += 1
        if wrong.in_step:
            for side in (target_side, draft_side):
                side.lengths[:] = side.lengths.max()
        rows: list[Floats] = []
        drafted = np.zeros((batch, drafts), dtype=np.int64)
        for i in range(drafts):
            row: Floats = draft_side.read(models.draft, i, np.array([i]))[:, 0]
            rows.append(filtered(row, temperature, top_k, top_p))
            drafted[:, i] = draw(rows[-1], rng.random((batch,)))
            if drafts_kept:
                drafted[:, i] = race(rows[-1], kept_noise[np.arange(batch), text.lengths - length + i])
            if greedy:
                drafted[:, i] = rows[-1].argmax(axis=1)
                rows[-1] = np.eye(rows[-1].shape[1])[drafted[:, i]]
            draft_side.put(drafted[:, i], i)
            target_side.put(drafted[:, i], i)
        lost = _lost(target_side, wrong)
        target = filtered(target_side.read(models.target, drafts, places, lost), temperature, top_k, top_p)
        draft = np.stack(rows, axis=1)
        if wrong.rows_not_moved:
            now = np.flatnonzero(text.lengths < length + new_tokens)
            draft[now], active = draft[active[: len(now)]], now
        options = {}
        if coins_of:
            begin = used if coins_of == "draft" else text.lengths - length
            tests = kept_coins[np.arange(batch)[:, None], begin[:, None] + np.arange(drafts)]
            options["coins"] = np.concatenate([tests, rng.random((batch, 1))], axis=1)
        tokens, counts = step(target, draft, drafted, int(rng.integers(2**31)), **options)
        used = used + np.maximum(counts - 1, 0)
        counts = np.where(text.lengths < length + new_tokens, counts, 0)
        for b in np.flatnonzero(counts):
            accepted[b].append(int(counts[b]) - 1)
        text.append(tokens, counts)
        if wrong.state_keeps_rejected:
            rejected = (counts > 0) & (counts <= drafts)
            last = tokens[np.arange(batch), np.maximum(counts - 1, 0)]
            through = np.where(rejected[:, None], np.column_stack([drafted, last]), tokens)
            target_side.append(through, np.where(rejected, drafts + 1, counts))
        else:
            keeps, lacks = wrong.target_keeps_rejected, wrong.target_lacks_bonus
            _remember(target_side, tokens, drafted, counts, keeps, lacks)
        _remember(draft_side, tokens, drafted, counts, wrong.draft_keeps_rejected, wrong.draft_lacks_bonus)
    return text.tokens[:, length : length + new_tokens], accepted


def _lost(side: Cache, wrong: Mistakes) -> Integers | None:
    """Return how many of the first tokens of each row the target no longer sees."""
    if wrong.forget_before_test:
        return side.lengths
    if wrong.stale_page:
        return np.minimum(side.lengths // wrong.stale_page * wrong.stale_page, side.lengths - 2)
    return None


def _seen_prompts(prompts: Integers, wrong: Mistakes) -> Integers:
    if wrong.prompt_ignored:
        return np.zeros_like(prompts)
    if wrong.prompt_cut:
        return prompts[:, -1:]
    if wrong.prompt_of_first:
        return np.repeat(prompts[:1], len(prompts), axis=0)
    return prompts


def _remember(
    side: Cache,
    tokens: Integers,
    drafted: Integers,
    counts: Integers,
    keeps_rejected: bool,
    lacks_bonus: bool,
) -> None:
    """Append what was emitted to a cache, or what a mistake makes of it."""
    stored, kept = tokens.copy(), counts
    drafts = drafted.shape[1]
    if keeps_rejected:
        rejected = np.flatnonzero((counts > 0) & (counts <= drafts))
        stored[rejected, counts[rejected] - 1] = drafted[rejected, counts[rejected] - 1]
    if lacks_bonus:
        kept = np.where(counts == drafts + 1, drafts, counts)
    side.append(stored, kept)
