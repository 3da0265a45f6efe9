"""Polybasic speculative decoding by brute force: every draft, coin and replacement, in rationals.

Every model but the last has a buffer of the tokens that the model below has handed to it, as
`specsim.engines.systems.polybasic` says; no law is used. An option makes a mistake that is easily made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from specsim.errors import InputError, TooLargeError
from specsim.support.checks import whole
from specsim.theory.arithmetic.pair_tables import Pair, tables_of

#: States that are followed, each of which takes about 50 microseconds, and texts.
_MOST_STATES, _MOST_TEXTS = 2**18, 2**12
_REMEDY = "use fewer models, shorter blocks, a smaller pair or horizon"


class PolybasicOutcome(NamedTuple):
    """What a run of a chain of models did.

    Attributes
    ----------
    tokens
        The emitted text.
    calls
        How often each model was called after how many tokens that it had passed, and tested how many:
        (model, passed, tested, calls), in order; steps of the last model test 0 tokens.

    Examples
    --------
    >>> PolybasicOutcome(tokens=(1, 0), calls=((0, 0, 1, 1), (1, 0, 0, 1)))[0]
    (1, 0)
    """

    tokens: tuple[int, ...]
    calls: tuple[tuple[int, int, int, int], ...]


class _State(NamedTuple):
    """A run: the text, the buffer of each model but the last, and its calls."""

    text: tuple[int, ...]
    buffers: tuple[tuple[int, ...], ...]
    calls: tuple[tuple[int, int, int, int], ...]

    def called(self, model: int, passed: int, tested: int) -> _State:
        """Return the state with one call more."""
        counts = {call[:3]: call[3] for call in self.calls}
        counts[model, passed, tested] = counts.get((model, passed, tested), 0) + 1
        return self._replace(calls=tuple((*call, count) for call, count in sorted(counts.items())))


def enumerate_polybasic(
    pairs: Pair | Sequence[Pair],
    lengths: int | Sequence[int],
    *,
    exact_blocks: bool = True,
    horizon: int | None = None,
    against_drafter: bool = False,
) -> dict[PolybasicOutcome, Fraction]:
    """Enumerate every draft, coin and replacement of a chain of models, in rationals.

    Parameters
    ----------
    pairs
        The chain as its neighbouring pairs from the target down, tiny ones.
    lengths
        Tokens of a block of each model but the last.
    exact_blocks
        Whether a block has exactly its length; with False it is all that is in the buffer.
    horizon
        Tokens to emit. Defaults to None, the first pair's own.
    against_drafter
        Whether every model tests by the rows of the last model, as if it had drawn all that is handed up.
        Defaults to False: by those of the model below.

    Raises
    ------
    TooLargeError
        The enumeration would take too long.

    Examples
    --------
    >>> from specsim.theory import RationalPair
    >>> low, half, high = ([Fraction(k, 4), Fraction(4 - k, 4)] for k in (1, 2, 3))
    >>> chain = [RationalPair.independent(*rows, horizon=2) for rows in ((low, half), (half, high))]
    >>> law = enumerate_polybasic(chain, (2, 1))
    >>> sum(probability for outcome, probability in law.items() if outcome.tokens == (1, 1))
    Fraction(9, 16)
    """
    listed = [pairs] if isinstance(pairs, str) or not isinstance(pairs, Sequence) else list(pairs)
    tables = [tables_of(pair) for pair in listed]
    given = [lengths] if isinstance(lengths, int) else list(lengths)
    if len(given) != len(tables):
        raise InputError(f"lengths has length {len(given)} for {len(tables)} pairs; give one number for each")
    wanted = [whole(f"lengths[{place}]", length, 1) for place, length in enumerate(given)]
    first = tables[0]
    end = first.check_horizon(horizon)
    models = [first.fractions(first.target_weights).tolist()]
    models += [one.fractions(one.draft_weights).tolist() for one in tables]
    for number, (upper, lower) in enumerate(pairwise(tables)):
        if models[number + 1] != lower.fractions(lower.target_weights).tolist():
            raise InputError(f"the draft of pairs[{number}] is not the target of pairs[{number + 1}]")
        if (upper.next_context != lower.next_context).any():
            raise InputError(f"the next contexts of pairs[{number}] are not those of pairs[{number + 1}]")
    if first.tokens**end > _MOST_TEXTS:
        raise TooLargeError(f"{first.tokens} tokens have {first.tokens**end} texts; {_REMEDY}")
    drafter = len(tables)
    following = first.next_context.tolist()

    def rows(model: int, place: int, context: int) -> list[Fraction]:
        row: list[Fraction] = models[model][first.step_index(place)][context]
        return row

    def context_after(context: int, tokens: Sequence[int]) -> int:
        for token in tokens:
            context = following[context][token]
        return context

    def ready(state: _State) -> int | None:
        """Return the model whose turn it is to verify, the lowest one; None: a token is drafted."""
        known = len(state.text) + sum(map(len, state.buffers))
        for model in reversed(range(drafter)):
            waiting = state.buffers[model]
            if len(waiting) >= wanted[model] or (waiting and known == end):
                return model
            if waiting:
                return None
        return None

    def verified(state: _State, model: int, start: int) -> Iterator[tuple[_State, Fraction]]:
        """Let a model verify its buffer, and hand on what it passes."""
        before = state.text + sum(state.buffers[:model], ())
        block = state.buffers[model]
        if exact_blocks:
            block = block[: wanted[model]]
        state = state.called(model, len(before), len(block))
        alive, context = Fraction(1), context_after(start, before)
        for number in range(len(block) + 1):
            place = len(before) + number
            if number == len(block):
                # All passed: a token of the model's own, if a position is left.
                bonus = enumerate(rows(model, place, context)) if place < end else [(None, Fraction(1))]
                for token, chance in bonus:
                    if chance:
                        own = () if token is None else (token,)
                        yield handed(state, model, block + own), alive * chance
                return
            upper = rows(model, place, context)
            lower = rows(drafter if against_drafter else model + 1, place, context)
            token = block[number]
            kept = min(Fraction(1), upper[token] / lower[token]) if lower[token] else Fraction(1)
            if kept < 1:
                excess = [max(u - w, Fraction(0)) for u, w in zip(upper, lower, strict=True)]
                for other, weight in enumerate(excess):
                    if weight:
                        text = (*block[:number], other)
                        yield handed(state, model, text), alive * (1 - kept) * weight / sum(excess)
            alive *= kept
            if not alive:
                return
            context = following[context][token]

    def handed(state: _State, model: int, tokens: tuple[int, ...]) -> _State:
        """Give tokens to the model above, and empty the buffers from this model on."""
        buffers = list(state.buffers[:model]) + [()] * (drafter - model)
        if model == 0:
            return state._replace(text=state.text + tokens, buffers=tuple(buffers))
        buffers[model - 1] += tokens
        return state._replace(buffers=tuple(buffers))

    def drafted(state: _State, start: int) -> Iterator[tuple[_State, Fraction]]:
        known = state.text + sum(state.buffers, ())
        state = state.called(drafter, len(known), 0)
        for token, chance in enumerate(rows(drafter, len(known), context_after(start, known))):
            if chance:
                buffers = (*state.buffers[:-1], (*state.buffers[-1], token))
                yield state._replace(buffers=buffers), chance

    law: dict[PolybasicOutcome, Fraction] = defaultdict(Fraction)
    seen = 0
    for start, chance in enumerate(first.fractions(first.initial_weights).tolist()):
        states = {_State((), ((),) * drafter, ()): chance} if chance else {}
        while states:
            after: dict[_State, Fraction] = defaultdict(Fraction)
            seen += len(states)
            if seen > _MOST_STATES:
                raise TooLargeError(f"there are more than {_MOST_STATES} states; {_REMEDY}")
            for state, mass in states.items():
                model = ready(state)
                moves = drafted(state, start) if model is None else verified(state, model, start)
                for new, probability in moves:
                    if len(new.text) == end:
                        law[PolybasicOutcome(new.text, new.calls)] += mass * probability
                    else:
                        after[new] += mass * probability
            states = after
    return dict(law)
