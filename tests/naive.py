"""A slow, eager, literal decoder that shares no code with the project: the reference of the engine's tests.

Whole responses are drafted before anything is tested, as printed. `decode` is written over a function
``choose(probabilities) -> index``: a random one samples it, and `exact_law` runs it through every choice,
which gives the exact law of its outcomes.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import Any, NamedTuple

UNIT = 2**32


class Outcome(NamedTuple):
    """One decoded run: tokens, rejected positions (from 0), accepted drafted tokens of each round."""

    tokens: tuple[Any, ...]
    rejected: tuple[Any, ...]
    rounds: tuple[Any, ...]


def exact_law(run):
    """Return {outcome: probability} of ``run(choose)`` over all choices of positive probability."""
    law = defaultdict(Fraction)
    open_prefixes = [()]
    while open_prefixes:
        prefix = open_prefixes.pop()
        picks = []
        probability = Fraction(1)

        def choose(probabilities, prefix=prefix, picks=picks):
            nonlocal probability
            if len(picks) < len(prefix):
                pick = prefix[len(picks)]
            else:
                pick, *others = (index for index, weight in enumerate(probabilities) if weight > 0)
                open_prefixes.extend((*picks, other) for other in others)
            picks.append(pick)
            probability *= probabilities[pick]
            return pick

        law[run(choose)] += probability
    return dict(law)


def positive_part(row, other, scale=1):
    """(scale * row - other)_+, normalised; None when empty."""
    part = [max(scale * t - d, Fraction(0)) for t, d in zip(row, other, strict=True)]
    total = sum(part)
    return [value / total for value in part] if total else None


class Models:
    """Exact rows of a pair."""

    def __init__(self, pair):
        self.pair = pair

    def initial(self):
        return [Fraction(int(w), UNIT) for w in self.pair.initial_weights]

    def rows(self, step, context):
        index = 0 if len(self.pair.target_weights) == 1 else step
        return (
            [Fraction(int(w), UNIT) for w in self.pair.target_weights[index, context]],
            [Fraction(int(w), UNIT) for w in self.pair.draft_weights[index, context]],
        )

    def after(self, context, token):
        return int(self.pair.next_context[context, token])


def ratio(target, draft, token):
    """min(1, T / D)."""
    return min(Fraction(1), target[token] / draft[token])


def decode(
    choose,
    pair,
    horizon,
    *,
    drafts=1,
    draft_length=None,
    bonus=False,
    accept=None,
    residual=None,
    slip=None,
):
    """Decode one run by Algorithm 1, 2 or 4 of 2411.00841, or by plain decoding (``draft_length=0``).

    ``accept(step, context, token)`` and ``residual(step, context)`` replace the rules of Algorithm 1.
    """
    models = Models(pair)
    context = choose(models.initial())
    tokens, rejected, rounds = [], [], []

    def emit(token):
        nonlocal context
        tokens.append(token)
        context = models.after(context, token)

    while len(tokens) < horizon:
        if draft_length == 0:
            rounds.append(0)
            emit(choose(models.rows(len(tokens), context)[0]))
            continue
        start = len(tokens)
        left = horizon - start
        length = left if draft_length is None else min(draft_length, left)
        responses = []
        for _ in range(drafts):
            response, at = [], context
            for step in range(start, start + length):
                response.append(choose(models.rows(step, at)[1]))
                at = models.after(at, response[-1])
            responses.append(response)

        current, draft = models.rows(start, context)
        chosen = None
        for response in responses:
            if accept is None:
                chance = ratio(current, draft, response[0])
            else:
                chance = accept(start, context, response[0])
            if choose([chance, 1 - chance]) == 0:
                chosen = response
                break
            current = positive_part(current, draft)
            if slip == "inside-loop":
                break
        if chosen is None:
            if slip is not None:
                current = positive_part(current, draft)
            law = current if residual is None else residual(start, context)
            rejected.append(start)
            rounds.append(0)
            emit(choose(law))
            continue
        emit(chosen[0])
        kept = 1
        for token in chosen[1:]:
            step = len(tokens)
            target, draft = models.rows(step, context)
            chance = ratio(target, draft, token) if accept is None else accept(step, context, token)
            if choose([chance, 1 - chance]) == 0:
                emit(token)
                kept += 1
                continue
            law = positive_part(target, draft) if residual is None else residual(step, context)
            rejected.append(step)
            emit(choose(law))
            break
        rounds.append(kept)
        if kept == length and bonus and draft_length is not None and len(tokens) < horizon:
            emit(choose(models.rows(len(tokens), context)[0]))
    return Outcome(tuple(tokens), tuple(rejected), tuple(rounds))


def verify_blocks(choose, pair, horizon, *, draft_length=None, bonus=True):
    """Decode one run by block verification (2403.10444)."""
    models = Models(pair)
    context = choose(models.initial())
    tokens, rejected, rounds = [], [], []
    while len(tokens) < horizon:
        start = len(tokens)
        left = horizon - start
        length = left if draft_length is None else min(draft_length, left)
        contexts, block = [context], []
        for step in range(start, start + length):
            block.append(choose(models.rows(step, contexts[-1])[1]))
            contexts.append(models.after(contexts[-1], block[-1]))
        ratios = [Fraction(1)]
        for i, token in enumerate(block):
            target, draft = models.rows(start + i, contexts[i])
            ratios.append(min(Fraction(1), ratios[-1] * target[token] / draft[token]))
        kept = 0
        for i in range(1, length + 1):
            success = ratios[i]
            if i < length:
                target, draft = models.rows(start + i, contexts[i])
                mass = sum(max(ratios[i] * t - d, Fraction(0)) for t, d in zip(target, draft, strict=True))
                rest = mass + 1 - ratios[i]
                success = mass / rest if rest else Fraction(1)
            if choose([success, 1 - success]) == 0:
                kept = i
        block = block[:kept]
        rounds.append(kept)
        step = start + kept
        if kept < length:
            target, draft = models.rows(step, contexts[kept])
            block.append(choose(positive_part(target, draft, ratios[kept])))
            rejected.append(step)
        elif bonus and draft_length is not None and step < horizon:
            block.append(choose(models.rows(step, contexts[kept])[0]))
        for token in block:
            tokens.append(token)
            context = models.after(context, token)
    return Outcome(tuple(tokens), tuple(rejected), tuple(rounds))
