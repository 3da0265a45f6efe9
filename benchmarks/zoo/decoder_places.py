"""Decoders with random numbers for every place of a text, and with models that see a part of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.zoo.decoders import CACHES, COINS, PROMPTS
from benchmarks.zoo.decoding import Written, decode
from benchmarks.zoo.model import Control, Mutant, mutant_of
from benchmarks.zoo.sampling import Floats, Integers, at, draw, emit, finals, floats, gap, quotient
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject

#: Tokens of a window and of a page of a cache; tokens of a page of a prompt.
WINDOW, PAGE, PROMPT_PAGE = 8, 16, 64

#: What the target is shown in the place of a text: ``seen(tokens)``.
Seen = Callable[[Integers], Integers]


def write(
    models: Any,
    prompts: Any,
    new_tokens: int,
    seed: int,
    *,
    coins_of: Callable[[Integers, int], Integers] = lambda place, turn: (turn << 20) + place,
    draft_coins_of: Callable[[Integers, int], Integers] | None = None,
    last_kept: bool = False,
) -> Written:
    """Write texts by rounds of the ratio rule.

    Parameters
    ----------
    coins_of
        Which coins a place of the text has in a round: equal numbers are equal coins.
    draft_coins_of
        The same for the coins that draw drafts. Defaults to None: the same.
    last_kept
        Whether the coin that drew the last token of a round tests the first draft of the next.
    """
    begun = np.asarray(prompts, dtype=np.int64)
    batch, length = begun.shape
    drafts, rows = models.draft_length, np.arange(batch)
    text = np.zeros((batch, length + new_tokens + drafts + 1), dtype=np.int64)
    text[:, :length] = begun
    ends = np.full(batch, length)
    rounds: list[list[int]] = [[] for _ in range(batch)]
    kept: dict[int, Floats] = {}
    last_coin: Floats | None = None

    def coins(which: Integers, kind: int) -> Floats:
        found = np.empty(batch)
        for number in np.unique(which):
            key = int(number) * 3 + kind
            if key not in kept:
                kept[key] = np.random.default_rng([seed, key]).random((batch,))
            found[which == number] = kept[key][which == number]
        return found

    for turn in range(new_tokens):
        drawn_by = draft_coins_of or coins_of
        draft = []
        for i in range(drafts):
            row = floats(models.draft(text[:, : int(ends.max()) + i]))[rows, ends + i - 1]
            draft.append(row)
            text[rows, ends + i] = draw(row, coins(drawn_by(ends + i, turn), 0))
        at_ends = ends[:, None] - 1 + np.arange(drafts + 1)
        target = floats(models.target(text[:, : int(ends.max()) + drafts]))[rows[:, None], at_ends]
        drafted = text[rows[:, None], at_ends[:, 1:]]
        tests = np.stack([coins(coins_of(ends + i, turn), 1) for i in range(drafts)], axis=1)
        if last_kept and last_coin is not None:
            tests[:, 0] = last_coin
        read = np.stack(draft, axis=1)
        accepted = tests < quotient(at(target[:, :-1], drafted), at(read, drafted))
        count = np.cumprod(accepted, axis=1).sum(axis=1)
        weights = finals(gap(target[:, :-1], read), target[:, -1])[rows, count]
        last_coin = coins(coins_of(ends + count, turn), 2)
        tokens, _ = emit(drafted, accepted, np.repeat(draw(weights, last_coin)[:, None], drafts + 1, axis=1))
        for b in np.flatnonzero(ends < length + new_tokens):
            size = int(count[b]) + 1
            text[b, ends[b] : ends[b] + size] = tokens[b, :size]
            rounds[b].append(size - 1)
            ends[b] += size
        if (ends >= length + new_tokens).all():
            break
        ends = np.minimum(ends, length + new_tokens)
    return text[:, length : length + new_tokens], rounds


class _Shown:
    """Models of which the target is shown something else than the text."""

    def __init__(self, models: Any, seen: Callable[[Integers, int], Integers]) -> None:
        self._models, self._seen = models, seen
        self.draft_length, self.vocabulary, self.draft = models.draft_length, models.vocabulary, models.draft

    def target(self, tokens: Any) -> Floats:
        """Return the row after every token, as the target would give it after what it is shown."""
        given = np.asarray(tokens)
        found = [
            floats(self._models.target(self._seen(given[:, : n + 1], n)))[:, -1]
            for n in range(given.shape[1])
        ]
        return np.stack(found, axis=1)


def window(models: Any, prompts: Any, new_tokens: int, seed: int) -> Written:
    """Let the target see the last eight tokens alone."""
    return decode(_Shown(models, lambda text, n: text[:, -WINDOW:]), prompts, new_tokens, seed)


def page_edges(models: Any, prompts: Any, new_tokens: int, seed: int) -> Written:
    """Let the target see another token in the last place of every page that is full."""

    def seen(text: Integers, n: int) -> Integers:
        shown = text.copy()
        shown[:, PAGE - 1 : n : PAGE] = 0
        return shown

    return decode(_Shown(models, seen), prompts, new_tokens, seed)


def whole_pages(models: Any, prompts: Any, new_tokens: int, seed: int) -> Written:
    """Lose the last token of a prompt that fills its pages."""
    given = np.array(prompts)
    if given.shape[1] % PROMPT_PAGE == 0:
        given[:, -1] = 0
    return decode(models, given, new_tokens, seed)


def _mutant(
    name: str, bug_class: str, description: str, cite: str, run: Any, killed_by: tuple[str, ...]
) -> Mutant:
    return mutant_of(run, bug_class, cite, killed_by, name=name, description=description, protocol="decoder")


_PLACES = "easily made: a counter of few bits; compare vllm-project/vllm#54282, noise of (seed, position)"

MUTANTS = (
    _mutant(
        "coins-of-16-places",
        COINS,
        "coins of (seed, place in the text), of whose number four bits are kept",
        _PLACES,
        partial(write, coins_of=lambda place, turn: place % 16),
        ("whole-prefix",),
    ),
    _mutant(
        "coins-of-128-places",
        COINS,
        "coins of (seed, place in the text), of whose number seven bits are kept",
        _PLACES,
        partial(write, coins_of=lambda place, turn: place % 128),
        ("sizes",),
    ),
    _mutant(
        "last-coin-kept",
        COINS,
        "the coin that drew the last token of a round tests the first draft of the next",
        "easily made: a buffer that moves on by the accepted drafts; compare sgl-project/sglang#7231",
        partial(write, last_kept=True),
        ("transitions",),
    ),
    _mutant(
        "window-of-eight",
        CACHES,
        "the target sees only the last eight tokens",
        "easily made: a sliding window where there is none; compare ml-explore/mlx-lm#1914",
        window,
        ("whole-prefix",),
    ),
    _mutant(
        "page-edges-lost",
        CACHES,
        "the last token of every full page of sixteen is overwritten",
        "vllm-project/vllm#53505, one token of a block",
        page_edges,
        ("whole-prefix",),
    ),
    _mutant(
        "prompt-of-whole-pages",
        PROMPTS,
        "a prompt that fills its pages of 64 tokens loses the last one",
        "easily made: a last page that is taken for an empty one",
        whole_pages,
        ("sizes",),
    ),
)

CONTROLS = (
    Control(
        name="draft-coins-by-place",
        description="drafts use one coin per position of the text; those after a rejection were not tested",
        source="2211.17192, Algorithm 1: what is after the first rejection is dropped unread",
        subject=Subject(
            name="draft-coins-by-place",
            protocol="decoder",
            run=partial(write, draft_coins_of=lambda place, turn: place),
            rule=RATIO,
        ),
    ),
)
