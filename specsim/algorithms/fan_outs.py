"""Fan-outs of speculative speculative decoding: guessed next tokens after each number of accepted ones."""

from __future__ import annotations

from collections.abc import Sequence

from specsim.errors import InputError
from specsim.support.checks import whole

#: One number for all places, or one for each accepted length 0..K.
FanOut = int | Sequence[int]


def fan_outs(fan_out: FanOut, draft_length: int, tokens: int, *, field: str = "fan_out") -> tuple[int, ...]:
    """Return the number of guesses after 0..K accepted tokens, ``draft_length + 1`` numbers.

    fan_out: what the user gave; numbers of at least 0, of which 0 guesses nothing.
    draft_length: K.
    tokens: size of the vocabulary. There is one guess less where a token is being verified, so that larger
    numbers are cut.
    field: name of the argument, for the message.
    InputError: there are not K + 1 numbers, or one is negative.

    Examples
    --------
    >>> fan_outs(3, 2, 100), fan_outs((3, 1, 9), 2, 4)
    ((3, 3, 3), (3, 1, 4))
    """
    places = draft_length + 1
    if not isinstance(fan_out, str) and isinstance(fan_out, Sequence):
        given = [whole(f"{field}[{place}]", number, 0) for place, number in enumerate(fan_out)]
    else:
        other = f", or {places} of them"
        given = [whole(field, fan_out, 0, otherwise=other)] * places
    if len(given) != places:
        raise InputError(
            f"{field} has length {len(given)}; give {places} numbers, one after each of 0..{draft_length}"
            " accepted"
        )
    return tuple(min(number, tokens - (place < draft_length)) for place, number in enumerate(given))
