"""Decoders that are wrong for some inputs only: one row, one draft, one token asked for, prompts that share.

And steps of decoders that are wrong on some rows only: zeros of the draft, certain tokens, rows nearly equal.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.zoo.controls_step import ratio_step
from benchmarks.zoo.decoders import BATCH, COINS, PROMPTS
from benchmarks.zoo.decoding import Written, decode
from benchmarks.zoo.model import Control, Mutant, mutant_of
from benchmarks.zoo.sampling import Floats, Integers, Step, at, draw, emit, finals, floats, gap, quotient
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject

#: Tokens of a page of a cache; probability of a draft that is sure; distance of rows that are alike.
PAGE, SURE, ALIKE = 16, 0.95, 0.1
ZEROS = "8 zeros, NaN, edges"
RECOVERY = "2 recovery law"


class _Shown:
    """Models of which the target is shown something else than the text."""

    def __init__(self, models: Any, seen: Callable[[Integers], Integers]) -> None:
        self._models, self._seen = models, seen
        self.draft_length, self.vocabulary, self.draft = models.draft_length, models.vocabulary, models.draft

    def target(self, tokens: Any) -> Any:
        """Return the row after every token, as the target would give it after what it is shown."""
        return self._models.target(self._seen(np.array(tokens)))


def _prompts_shown(models: Any, seen: Integers) -> _Shown:
    def shown(tokens: Integers) -> Integers:
        tokens[:, : seen.shape[1]] = seen
        return tokens

    return _Shown(models, shown)


def step(
    target: Any,
    draft: Any,
    drafted: Any,
    seed: int,
    *,
    untested: Callable[[Floats, Floats, Integers], Any] | None = None,
    replaced: Callable[[Floats, Floats], Floats] = gap,
    one_coin: bool = False,
) -> Step:
    """Follow the ratio rule.

    Parameters
    ----------
    untested
        Which drafts ``(B, K)`` are accepted whatever their coins, by target rows, draft rows and drafts.
        Defaults to None: none.
    replaced
        Weights of the replacements by target and draft rows.
    one_coin
        Whether the coin of the first test draws the last token.
    """
    rows, read, drafted = floats(target), floats(draft), np.asarray(drafted)
    generator = np.random.default_rng(seed)
    coins, last_coin = generator.random(drafted.shape), generator.random(len(drafted))
    accepted = coins < quotient(at(rows[:, :-1], drafted), at(read, drafted))
    if untested is not None:
        accepted = accepted | untested(rows[:, :-1], read, drafted)
    last_coins = np.repeat((coins[:, 0] if one_coin else last_coin)[:, None], rows.shape[1], axis=1)
    return emit(drafted, accepted, draw(finals(replaced(rows[:, :-1], read), rows[:, -1]), last_coins))


def _whole_target(target: Floats, draft: Floats) -> Floats:
    return target


def _in_support(target: Floats, draft: Floats) -> Floats:
    """Return the residual where the draft has mass, or the target where nothing is left."""
    part = np.where(draft > 0, np.maximum(target - draft, 0.0), 0.0)
    return np.where(part.sum(axis=-1, keepdims=True) > 0, part, target)


def one_row(models: Any, prompts: Any, new_tokens: int, seed: int) -> Written:
    """Replace rejected tokens from the whole target in calls of one row."""
    wrong = partial(step, replaced=_whole_target)
    return decode(models, prompts, new_tokens, seed, step=wrong if len(prompts) == 1 else ratio_step)


def one_draft(models: Any, prompts: Any, new_tokens: int, seed: int) -> Written:
    """Replace rejected tokens from the whole target where a draft has one token."""
    wrong = partial(step, replaced=_whole_target)
    return decode(models, prompts, new_tokens, seed, step=wrong if models.draft_length == 1 else ratio_step)


def one_draft_coin(models: Any, prompts: Any, new_tokens: int, seed: int) -> Written:
    """Draw the last token with the coin of the test where a draft has one token."""
    wrong = partial(step, one_coin=True)
    return decode(models, prompts, new_tokens, seed, step=wrong if models.draft_length == 1 else ratio_step)


def one_asked(models: Any, prompts: Any, new_tokens: int, seed: int) -> Written:
    """Return the draft's token where one token is asked for."""
    if new_tokens > 1:
        return decode(models, prompts, new_tokens, seed)
    rows = floats(models.draft(np.asarray(prompts)))[:, -1]
    return draw(rows, np.random.default_rng(seed).random(len(rows)))[:, None], [[0] for _ in rows]


def eight_bits(models: Any, prompts: Any, new_tokens: int, seed: int) -> Written:
    """Show the target ids of eight bits."""
    return decode(_Shown(models, lambda tokens: tokens & 0xFF), prompts, new_tokens, seed)


def shared_pages(models: Any, prompts: Any, new_tokens: int, seed: int) -> Written:
    """Let the pages that all prompts begin with be those of the first, the last one whole."""
    seen = np.array(prompts)
    same = (seen == seen[:1]).all(axis=0)
    shared = seen.shape[1] if same.all() else int(same.argmin())
    if shared >= PAGE:
        pages = -(-shared // PAGE) * PAGE
        seen[:, :pages] = seen[:1, :pages]
    return decode(_prompts_shown(models, seen), prompts, new_tokens, seed)


def page_hashes(
    models: Any, prompts: Any, new_tokens: int, seed: int, *, with_parents: bool = False
) -> Written:
    """Look up pages of prompts by their number and tokens, or by those of all pages up to it.

    A page that is found brings its own beginning along: what the rows after it were computed from.
    """
    given = np.array(prompts)
    seen = given.copy()
    known: dict[tuple[int, bytes], Integers] = {}
    for row in range(len(given)):
        for begin in range(0, given.shape[1] - PAGE + 1, PAGE):
            end = begin + PAGE
            key = (begin, given[row, 0 if with_parents else begin : end].tobytes())
            seen[row, :end] = known.setdefault(key, seen[row, :end].copy())
    return decode(_prompts_shown(models, seen), prompts, new_tokens, seed)


def certain_first(target: Any, draft: Any, drafted: Any, seed: int) -> Step:
    """Compare drafts with the token of rows that have one alone, and test those of other rows."""
    rows, read, drafted = floats(target), floats(draft), np.asarray(drafted)
    sure = rows.max(axis=-1) == 1.0
    generator = np.random.default_rng(seed)
    coins = generator.random(drafted.shape)
    ratio = quotient(at(rows[:, :-1], drafted), at(read, drafted))
    accepted = np.where(sure[:, :-1], rows[:, :-1].argmax(axis=-1) == drafted, coins < ratio)
    last = draw(finals(gap(rows[:, :-1], read), rows[:, -1]), generator.random((len(rows), rows.shape[1])))
    return emit(drafted, accepted, np.where(sure, rows.argmax(axis=-1), last))


def _subject(name: str, run: Any) -> Subject:
    return Subject(name=name, protocol="decoder", run=run, rule=RATIO)


def _mutant(name: str, bug_class: str, description: str, cite: str, run: Any, killed_by: str) -> Mutant:
    return mutant_of(
        run, bug_class, cite, (killed_by,), name=name, description=description, protocol="decoder"
    )


def _on_rows(name: str, bug_class: str, description: str, cite: str, **wrong: Any) -> Mutant:
    run = partial(decode, step=partial(step, **wrong))
    return _mutant(name, bug_class, description, cite, run, "edge-rows")


MUTANTS = (
    _mutant(
        "one-row-replaced-from-target",
        BATCH,
        "in calls of one row a rejected token is replaced from the whole target",
        "easily made: a path of its own for one request",
        one_row,
        "sizes",
    ),
    _mutant(
        "one-draft-replaced-from-target",
        RECOVERY,
        "where a draft has one token a rejected one is replaced from the whole target",
        "easily made: a path of its own for one drafted token, as of multi-token prediction",
        one_draft,
        "sizes",
    ),
    _mutant(
        "one-draft-one-coin",
        COINS,
        "where a draft has one token the coin of its test draws the last token, too",
        "easily made: one uniform for each row of a round",
        one_draft_coin,
        "sizes",
    ),
    _mutant(
        "one-token-from-draft",
        PROMPTS,
        "where one token is asked for it is the draft's",
        "easily made: an end of the text that is looked at before the test",
        one_asked,
        "sizes",
    ),
    _mutant(
        "target-ids-of-eight-bits",
        "12 vocabulary map",
        "the target is shown ids of which eight bits are kept",
        "easily made: ids kept in the narrowest type that tests need",
        eight_bits,
        "sizes",
    ),
    _mutant(
        "shared-pages-rounded-up",
        PROMPTS,
        "what all prompts begin with is computed once, in whole pages, and the last one is not full",
        "easily made: a number of pages that is rounded up",
        shared_pages,
        "sizes",
    ),
    _mutant(
        "page-hash-without-parents",
        PROMPTS,
        "pages of prompts are looked up by their number and tokens, without the pages before",
        "easily made: a hash of a block without that of its parent",
        page_hashes,
        "sizes",
    ),
    _on_rows(
        "replaced-in-drafts-support",
        RECOVERY,
        "a rejected token is replaced by one that the draft may draw",
        "easily made: residuals on the draft's candidates, as of a draft of its own top-k",
        replaced=_in_support,
    ),
    _on_rows(
        "certain-rows-untested",
        ZEROS,
        "where the target has one token any draft is accepted",
        "easily made: rows of temperature 0 that were taken for verified",
        untested=lambda target, draft, drafted: target.max(axis=-1) > 1 - 1e-6,
    ),
    _on_rows(
        "sure-drafts-untested",
        "3 acceptance",
        "drafts of a probability of 0.95 and more are not tested",
        "easily made: a threshold of confidence, as drafts are stopped by",
        untested=lambda target, draft, drafted: at(draft, drafted) >= SURE,
    ),
    _on_rows(
        "like-rows-untested",
        "3 acceptance",
        "drafts are not tested where the rows are less than 0.1 apart",
        "easily made: a tolerance against rounding",
        untested=lambda target, draft, drafted: 0.5 * np.abs(target - draft).sum(axis=-1) < ALIKE,
    ),
)

CONTROLS = (
    Control(
        name="page-hash-with-parents",
        description="pages of prompts are looked up by all tokens up to their ends",
        source="the mutant page-hash-without-parents, done right",
        subject=_subject("page-hash-with-parents", partial(page_hashes, with_parents=True)),
    ),
    Control(
        name="certain-rows-compared",
        description="drafts are compared with rows of one token, without a coin",
        source="the mutant certain-rows-untested, done right",
        subject=_subject("certain-rows-compared", partial(decode, step=certain_first)),
    ),
)
