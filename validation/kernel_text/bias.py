"""How far what one round emits is from the target's law, exactly, and on which rows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np

from specsim.algorithms import Algorithm
from specsim.errors import InputError, TooLargeError
from specsim.pairs import ModelPair
from specsim.theory import RationalPair, round_errors
from specsim.theory.arithmetic.rational_pair import as_rational

#: Most prefixes of a random instance.
MOST_PREFIXES = 10_000


@dataclass(frozen=True, kw_only=True)
class Bias:
    """The largest difference found between the output law of a round and the target's.

    value: its absolute value; 0 proves that rounds are lossless on the pairs tried.
    sequence: the tokens whose probability is off by it.
    found, wanted: their probability as the rule emits them, and the target's.
    pair: the rows; its horizon is where the round is cut.
    """

    value: Fraction
    sequence: tuple[int, ...]
    found: Fraction
    wanted: Fraction
    pair: RationalPair

    def __str__(self) -> str:
        if not self.value:
            return "no bias"
        words = " ".join(map(str, self.sequence))
        lines = [
            f"bias {self.value} = {float(self.value):.4g}: the tokens {words} have probability {self.found} "
            f"instead of {self.wanted}",
            "rows of target | draft:",
        ]
        for prefix, step, context in _prefixes(self.pair):
            after = f"after {' '.join(map(str, prefix))}" if prefix else "at the start"
            target, draft = self.pair.target_row(step, context), self.pair.draft_row(step, context)
            lines.append(f"  {after}: {' '.join(map(str, target))} | {' '.join(map(str, draft))}")
        return "\n".join(lines)


def random_twelfths(tokens: int, horizon: int, count: int, seed: int) -> Iterator[RationalPair]:
    """Yield pairs with a random row of twelfths after every prefix; every other pair has zeros."""
    if not 2 <= tokens <= 12:
        raise InputError(f"tokens is {tokens}; give 2 to 12")
    contexts = sum(tokens**length for length in range(horizon))
    if contexts > MOST_PREFIXES:
        raise TooLargeError(
            f"{tokens} tokens at depth {horizon} have {contexts} prefixes, more than {MOST_PREFIXES}; "
            "use fewer tokens or a shallower structure"
        )
    # Prefixes in order of length: that of number c is followed by those of numbers tokens c + 1, ...
    following = tuple(
        tuple(child if (child := tokens * context + token + 1) < contexts else 0 for token in range(tokens))
        for context in range(contexts)
    )
    generator = np.random.default_rng(seed)
    for number in range(count):
        least = 1 - number % 2
        rest = 12 - least * tokens
        cuts = np.sort(generator.integers(0, rest + 1, size=(2, contexts, tokens - 1)), axis=-1)
        parts = np.diff(cuts, prepend=0, append=rest) + least
        target, draft = (
            (tuple(tuple(Fraction(part, 12) for part in row) for row in table),) for table in parts.tolist()
        )
        yield RationalPair(
            target=target,
            draft=draft,
            next_context=following,
            initial=tuple(Fraction(context == 0) for context in range(contexts)),
            horizon=horizon,
        )


def worst_bias(pairs: Iterable[ModelPair | RationalPair], algorithm: Algorithm) -> Bias:
    """Return the largest difference between the output law of a round and the target's.

    A round drafts the structure, or what a horizon leaves of it, and the target continues what it emits to
    the depth of the structure; the law of these sequences is compared with the target's, from each first
    context of the pair. Where none differs, every run of such rounds has the target's law on these rows,
    because each round begins anew.
    """
    worst: Bias | None = None
    for pair in pairs:
        for first in np.flatnonzero(np.asarray(pair.initial)):
            for horizon in range(1, algorithm.structure(pair.horizon).depth + 1):
                cut = _from(as_rational(pair, horizon), int(first))
                errors = round_errors(cut, algorithm)
                sequence = max(errors, key=lambda tokens: (abs(errors[tokens]), tokens))
                if worst is None or abs(errors[sequence]) > worst.value:
                    wanted = _target(cut, sequence)
                    worst = Bias(
                        value=abs(errors[sequence]),
                        sequence=sequence,
                        found=wanted + errors[sequence],
                        wanted=wanted,
                        pair=cut,
                    )
    assert worst is not None
    return worst


def _from(pair: RationalPair, first: int) -> RationalPair:
    return RationalPair(
        target=pair.target,
        draft=pair.draft,
        next_context=pair.next_context,
        initial=tuple(Fraction(context == first) for context in range(pair.contexts)),
        horizon=pair.horizon,
    )


def _prefixes(pair: RationalPair) -> Iterator[tuple[tuple[int, ...], int, int]]:
    start = pair.initial.index(Fraction(1))
    for step in range(pair.horizon):
        for prefix in product(range(pair.tokens), repeat=step):
            context = start
            for token in prefix:
                context = pair.next_context[context][token]
            yield prefix, step, context


def _target(pair: RationalPair, sequence: tuple[int, ...]) -> Fraction:
    context, probability = pair.initial.index(Fraction(1)), Fraction(1)
    for step, token in enumerate(sequence):
        probability *= pair.target_row(step, context)[token]
        context = pair.next_context[context][token]
    return probability
