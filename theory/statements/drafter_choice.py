"""Which of two drafters is the faster: tokens per round against the cost of a draft step (2402.01528)."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from specsim.algorithms import Autoregressive
from specsim.errors import InputError
from specsim.support.checks import whole
from specsim.theory.arithmetic.pair_tables import Pair, tables_of
from specsim.theory.arithmetic.rows import read_number
from specsim.theory.laws.functions import transition_marginals


def break_even_draft(
    tokens: Any,
    other_tokens: Any,
    other_draft: Any,
    *,
    draft_length: int,
    target: Any = 1,
    exact: bool = False,
) -> Any:
    """Return the cost of a draft step below which a drafter is faster than another one.

    With K drafted tokens a round takes K draft steps and a target call, so that a drafter is faster if
    tokens / other_tokens > (K draft + target) / (K other_draft + target).

    Parameters
    ----------
    tokens, other_tokens
        Tokens emitted per round by each, at least 1.
    other_draft
        Cost of a draft step of the other one.
    draft_length
        K, at least 1, of both.
    target
        Cost of the target call, in the same unit.
    exact
        Whether to compute in `fractions.Fraction`. Defaults to False, float64.

    Returns
    -------
    number
        Below 0: the drafter is slower even if it costs nothing.

    Raises
    ------
    InputError
        A number is out of range.

    Notes
    -----
    2402.01528, whose TAR counts the corrected or bonus token, too.

    Examples
    --------
    >>> from specsim import theory
    >>> round(theory.break_even_draft(3.70, 3.81, 13.13, draft_length=8, target=60), 2)
    12.53
    """
    ours = _tokens("tokens", tokens, exact)
    others = _tokens("other_tokens", other_tokens, exact)
    step = read_number("other_draft", other_draft, exact=exact)
    call = read_number("target", target, exact=exact)
    length = whole("draft_length", draft_length, 1)
    return (ours / others * (length * step + call) - call) / length


def implied_round(
    first: tuple[Any, Any, Any], second: tuple[Any, Any, Any], *, exact: bool = False
) -> tuple[Any, Any]:
    """Return the draft length and the time of a target call that two reported drafters imply.

    Parameters
    ----------
    first, second
        Of each drafter: tokens emitted per round, time of a draft step, and tokens per unit of time. Both
        were run with one draft length and one target.
    exact
        Whether to compute in `fractions.Fraction`. Defaults to False, float64.

    Returns
    -------
    tuple
        (draft length, time of a target call): the solution of tokens / rate = length x step + call. A whole
        length is not enforced; one far from whole says that rounds cost something else.

    Raises
    ------
    InputError
        A number is out of range, or both draft steps take as long.

    Examples
    --------
    >>> from specsim import theory
    >>> wide, deep = (3.70, 6.69, 32.59 / 1000), (3.81, 13.13, 23.10 / 1000)
    >>> length, call = theory.implied_round(wide, deep)
    >>> round(length, 2), round(call, 1)
    (7.98, 60.1)
    """
    rounds = []
    for name, given in (("first", first), ("second", second)):
        if not isinstance(given, tuple | list) or len(given) != 3:
            raise InputError(f"{name} is {given!r}; give tokens per round, time of a draft step, and rate")
        rate = read_number(f"rate of {name}", given[2], exact=exact)
        if not rate:
            raise InputError(f"rate of {name} is {given[2]!r}; give a number above 0")
        step = read_number(f"draft step of {name}", given[1], exact=exact)
        rounds.append((_tokens(f"tokens of {name}", given[0], exact) / rate, step))
    (time, step), (other_time, other_step) = rounds
    if step == other_step:
        raise InputError(f"draft steps of first and second both take {first[1]!r}; give drafters that differ")
    length = (other_time - time) / (other_step - step)
    return length, time - length * step


def draft_log_likelihood(pair: Pair, *, horizon: int | None = None) -> float:
    """Return the mean logarithm of the draft's probability of a token of the target's texts, in nats.

    Minus infinity where the target emits what the draft does not know; ``exp(-value)`` is the perplexity.

    Parameters
    ----------
    pair
        Draft and target.
    horizon
        Tokens to emit. Defaults to None, the pair's own.

    Raises
    ------
    InputError
        The horizon is out of range.

    Examples
    --------
    >>> from specsim import paper_pair, theory
    >>> round(theory.draft_log_likelihood(paper_pair(50)), 4)
    -2.234
    """
    tables = tables_of(pair)
    steps = tables.check_horizon(horizon)
    emitted = np.asarray(transition_marginals(pair, Autoregressive(), horizon=steps), dtype=np.float64)
    with np.errstate(divide="ignore"):
        logs = np.broadcast_to(np.log(tables.draft[:steps]), emitted.shape)
    return float(np.multiply(emitted, logs, out=np.zeros(emitted.shape), where=emitted > 0).sum() / steps)


def _tokens(field: str, value: Any, exact: bool) -> float | Fraction:
    found = read_number(field, value, exact=exact)
    if found < 1:
        raise InputError(f"{field} is {value!r}; a round emits at least 1 token")
    return found
