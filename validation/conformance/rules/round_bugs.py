"""Laws of decoders whose rounds are not independent: coins of one round are used again in the next.

The law of a round given its drafted tokens is right; what is wrong shows in the tokens that follow a round of
a known accepted length. A coin that failed against h is known to be above h; against h' it then succeeds with
probability (h' - h) / (1 - h) at most. The tests of a block look at all drafted tokens, also those that are
dropped; if their places draw them again, the next round has the drafts of a block that failed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance.instances import Instance
from specsim.validation.conformance.rules.base import at_token, gap_residual, positive_part, ratio

#: Of target rows (paths, K + 1, V), draft rows (paths, K, V) and paths: thresholds of the tests (paths, K),
#: and the law of the token after 0 to K accepted ones (paths, K + 1, V).
Tests = Callable[[Floats, Floats, Integers], tuple[Floats, Floats]]


@dataclass(frozen=True, kw_only=True)
class RoundBug:
    """A decoder that uses coins of one round again in the next.

    name, title, source: as of a rule.
    tests: thresholds and final laws of a round.
    last: whether the last successful test decides (blocks), or the first failed one.
    shift: coin i of a round with t accepted tokens is coin i - t - shift of the next. 1: coins belong to
        places in the text. 0: the coin that rejected a token is used once more.
    greedy: whether drafts are the likeliest tokens, of probability 1.
    """

    name: str
    title: str
    source: str
    tests: Tests
    last: bool
    shift: int
    greedy: bool = False

    def after(self, instance: Instance, start: int) -> Floats:
        """Return the joint law of a first round and the token after it.

        Returns: shape ``(K + 1, contexts, V)``: accepted length of the first round from context `start`, the
            context after it, and the first token of the second round.
        """
        if self.greedy:
            hot = np.eye(instance.vocabulary)[instance.draft.argmax(axis=1)]
            instance = replace(instance, draft=hot)
        here = replace(instance, start=start)
        paths, length = here.paths, here.draft_length
        fresh = np.zeros((1, length))
        mass, thresholds, finals = self._round(here)
        stops = self._stops(thresholds, fresh)[0]
        table = np.zeros((length + 1, *instance.target.shape))
        nexts, bounds = self._left(thresholds, length)
        for accepted in range(length + 1):
            ends = here.contexts(paths[:, :accepted])[:, -1]
            joint = (mass * stops[:, accepted])[:, None] * finals[:, accepted]
            for context in range(len(instance.target)):
                leads = instance.next_context[ends] == context
                weight = np.where(leads, joint, 0.0).sum(axis=1)
                known = np.bincount(nexts[:, accepted], weights=weight, minlength=len(bounds))
                if known.any():
                    table[accepted, context] = known @ self._first(instance, context, bounds)
        return table

    def after_drafts(self, instance: Instance) -> Floats:
        """Return the law of the token after a round if rejected positions draw the same drafts again.

        Coins of the tests are fresh. instance: of one context, where a coin draws one token in all rounds.

        Returns: shape ``(K + 1, V)``, given the accepted length of the round.
        """
        paths, length = instance.paths, instance.draft_length
        mass, thresholds, finals = self._round(instance)
        stops = self._stops(thresholds, np.zeros((1, length)))[0]
        first = stops[:, :1] * finals[:, 0]
        first[np.arange(len(paths)), paths[:, 0]] += 1.0 - stops[:, 0]
        table = np.empty((length + 1, instance.vocabulary))
        for accepted in range(length + 1):
            again = paths[:, accepted + 1 :]
            following = (paths[None, :, : again.shape[1]] == again[:, None, :]).all(axis=2) * mass
            following /= following.sum(axis=1, keepdims=True)
            table[accepted] = (mass * stops[:, accepted]) @ following @ first
        return table / table.sum(axis=1, keepdims=True)

    def text_law(self, instance: Instance, start: int) -> Floats:
        """Return the law of the first two tokens, shape ``(V * V,)``."""
        if self.greedy:
            instance = replace(instance, draft=np.eye(instance.vocabulary)[instance.draft.argmax(axis=1)])
        here = replace(instance, start=start)
        paths, length, vocabulary = here.paths, here.draft_length, here.vocabulary
        mass, thresholds, finals = self._round(here)
        stops = self._stops(thresholds, np.zeros((1, length)))[0]
        nexts, bounds = self._left(thresholds, length)
        law = np.zeros((vocabulary, vocabulary))
        for first in range(vocabulary):
            begins = mass * (paths[:, 0] == first)
            law[first] = (begins * stops[:, 1]) @ finals[:, 1]
            for second in range(vocabulary if length > 1 else 0):
                whole = begins * (paths[:, 1] == second)
                law[first, second] += (whole * stops[:, 2:].sum(axis=1)).sum()
            weight = mass * stops[:, 0] * finals[:, 0, first]
            known = np.bincount(nexts[:, 0], weights=weight, minlength=len(bounds))
            law[first] += known @ self._first(instance, int(here.next_context[start, first]), bounds)
        return law.ravel()

    def _round(self, here: Instance) -> tuple[Floats, Floats, Floats]:
        """Return probabilities of the paths, thresholds and final laws of a round."""
        target, draft = here.rows(here.paths)
        with np.errstate(all="ignore"):
            thresholds, finals = self.tests(target, draft, here.paths)
        return here.path_law(), thresholds, finals

    def _stops(self, thresholds: Floats, bounds: Floats) -> Floats:
        """Return the law of the accepted length, ``(bounds, paths, K + 1)``, of coins above the bounds."""
        low = bounds[:, None, :]
        passes = np.clip(thresholds - low, 0.0, None) / np.where(low < 1, 1.0 - low, 1.0)
        length = thresholds.shape[1]
        law = np.empty((*passes.shape[:2], length + 1))
        if self.last:
            behind = np.ones(passes.shape[:2])
            for i in range(length, 0, -1):
                law[..., i] = behind * passes[..., i - 1]
                behind = behind * (1.0 - passes[..., i - 1])
            law[..., 0] = behind
        else:
            reached = np.ones(passes.shape[:2])
            for i in range(length):
                law[..., i] = reached * (1.0 - passes[..., i])
                reached = reached * passes[..., i]
            law[..., length] = reached
        return law

    def _left(self, thresholds: Floats, length: int) -> tuple[Integers, Floats]:
        """Return what is known of the next round's coins, by path and accepted length.

        Returns: row numbers, ``(paths, K + 1)``, and rows of lower bounds, ``(rows, K)``.
        """
        known = np.zeros((len(thresholds), length + 1, length))
        for accepted in range(length + 1):
            failed = np.zeros((len(thresholds), 2 * length + 2))
            if self.last:
                failed[:, accepted:length] = thresholds[:, accepted:]
            elif accepted < length:
                failed[:, accepted] = thresholds[:, accepted]
            begin = accepted + self.shift
            known[:, accepted] = failed[:, begin : begin + length]
        rows, numbers = np.unique(known.reshape(-1, length), axis=0, return_inverse=True)
        return numbers.reshape(len(thresholds), length + 1), rows

    def _first(self, instance: Instance, context: int, bounds: Floats) -> Floats:
        """Return the law of the first token of a round, ``(bounds, V)``, given what is known of its coins."""
        here = replace(instance, start=context)
        mass, thresholds, finals = self._round(here)
        none = self._stops(thresholds, bounds)[..., 0]
        law = (mass * none) @ finals[:, 0]
        for token in range(here.vocabulary):
            law[:, token] += (1.0 - none) @ (mass * (here.paths[:, 0] == token))
        return law


def block_tests(target: Floats, draft: Floats, drafted: Integers) -> tuple[Floats, Floats]:
    """Return the tests of block verification (2403.10444, Algorithm 2)."""
    length = drafted.shape[1]
    quotients = ratio(at_token(target[:, :-1], drafted), at_token(draft, drafted))
    weight = np.ones(len(drafted))
    thresholds, finals = np.empty(drafted.shape), target.copy()
    for i in range(length + 1):
        if i:
            weight = np.where(weight > 0, np.minimum(1.0, weight * quotients[:, i - 1]), 0.0)
        if i == length:
            thresholds[:, i - 1] = weight
            break
        part = weight[:, None] * target[:, i] - draft[:, i]
        mass = np.maximum(part, 0.0).sum(axis=1)
        if i:
            rest = mass + 1.0 - weight
            thresholds[:, i - 1] = np.where(rest > 0, mass / np.where(rest > 0, rest, 1.0), 1.0)
        finals[:, i] = positive_part(part, target[:, i])
    return thresholds, finals


def ratio_tests(target: Floats, draft: Floats, drafted: Integers) -> tuple[Floats, Floats]:
    """Return the tests of the ratio rule."""
    quotients = ratio(at_token(target[:, :-1], drafted), at_token(draft, drafted))
    residuals = gap_residual(target[:, :-1], draft)
    return np.minimum(1.0, quotients), np.concatenate([residuals, target[:, -1:]], axis=1)


_SOURCE = "vllm-project/vllm 0.30.0, V2 runner, rejection_sample_method='block'"

BLOCK_COINS_KEPT = RoundBug(
    name="block-coins-kept",
    title="block verification with one coin per position in the text: coins that failed are used again",
    source=_SOURCE,
    tests=block_tests,
    last=True,
    shift=1,
)

ROUND_BUGS = (
    BLOCK_COINS_KEPT,
    RoundBug(
        name="greedy-block-coins-kept",
        title="the same with greedy drafts",
        source=_SOURCE,
        tests=block_tests,
        last=True,
        shift=1,
        greedy=True,
    ),
    RoundBug(
        name="failed-coin-kept",
        title="the ratio rule, but the coin that rejected a token tests the first one of the next round",
        source="easily made: coins counted by accepted drafts, forgetting the token that replaces one",
        tests=ratio_tests,
        last=False,
        shift=0,
    ),
)
