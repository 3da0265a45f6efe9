"""Target calls against rejections, and the conventions for acceleration.

2411.00841 identifies the number of target calls with the number of rejections. Exactly, for drafts that
reach the horizon, calls = rejections + 1{the last token was not rejected}.
"""

import math
from fractions import Fraction
from typing import Any

import numpy as np

from specsim.algorithms import Algorithm
from specsim.errors import InputError
from specsim.grammar import as_algorithm
from specsim.theory.arithmetic.pair_tables import Pair, tables_of
from specsim.theory.laws.functions import (
    block_efficiency,
    expected_rejections,
    number_law,
    rejections_by_step,
)
from specsim.theory.statements.batch_improvement import probability

Number = int | float | Fraction


@number_law
def calls_from_rejections(
    pair: Pair, algorithm: Algorithm | str, *, horizon: int | None = None, exact: bool = False
) -> Any:
    """Return E[N_rej] + 1 - Pr(R_horizon = 1), which equals E[calls] for drafts that reach the horizon.

    Parameters
    ----------
    pair, algorithm
        What decodes; any descriptor whose rounds end only by a rejection or at the horizon.
    horizon
        Tokens to emit. Defaults to None, the pair's own.
    exact
        Whether to return a Fraction. Defaults to False.

    Raises
    ------
    InputError
        The rounds of `algorithm` can end otherwise (a finite draft length, or no draft at all).

    Notes
    -----
    Corrects the identification of calls and rejections in section 2 of 2411.00841. `expected_target_calls`
    counts rounds and does not use this identity.

    Examples
    --------
    >>> from specsim import Speculative, paper_pair, theory
    >>> round(theory.calls_from_rejections(paper_pair(50), Speculative()), 4)
    17.1186
    """
    horizon = tables_of(pair).check_horizon(horizon)
    algorithm = as_algorithm(algorithm)
    if algorithm.plain:
        raise InputError(f"algorithm is {algorithm.label}, which has no rejections to count calls from")
    length = algorithm.structure(horizon).shortest
    if length < horizon:
        raise InputError(
            f"{algorithm.label} drafts {length} tokens, below the horizon {horizon}: rounds also end without "
            "rejection; use expected_target_calls"
        )
    steps = rejections_by_step(pair, algorithm, horizon=horizon, exact=exact)
    return sum(steps.tolist()) + 1 - steps.tolist()[-1]


@number_law
def acceleration(
    pair: Pair, algorithm: Algorithm | str, *, horizon: int | None = None, exact: bool = False
) -> Any:
    """Return horizon / E[N_rej], the acceleration in the paper's convention; ``math.inf`` without rejections.

    Parameters
    ----------
    pair, algorithm, horizon, exact
        As in `calls_from_rejections`, any descriptor.

    Notes
    -----
    2411.00841, section 2. `acceleration_per_call` divides by what is really spent.

    Examples
    --------
    >>> from specsim import Speculative, paper_pair, theory
    >>> round(theory.acceleration(paper_pair(50), Speculative()), 4)
    3.0479
    """
    horizon = tables_of(pair).check_horizon(horizon)
    rejections = expected_rejections(pair, algorithm, horizon=horizon, exact=exact)
    return horizon / rejections if rejections else math.inf


@number_law
def acceleration_per_call(
    pair: Pair, algorithm: Algorithm | str, *, horizon: int | None = None, exact: bool = False
) -> Any:
    """Return horizon / E[calls], the acceleration when each target call costs one unit and drafts are free.

    Parameters
    ----------
    pair, algorithm, horizon, exact
        As in `calls_from_rejections`, any descriptor.

    Examples
    --------
    >>> from specsim import Speculative, paper_pair, theory
    >>> round(theory.acceleration_per_call(paper_pair(50), Speculative()), 4)
    2.9208
    """
    return block_efficiency(pair, algorithm, horizon=horizon, exact=exact)


def constant_rate_calls(rejection_rate: Number, horizon: int) -> Any:
    """Return E[calls] = horizon b + 1 - b when every E[TV_n] equals b (2411.00841, Remark 2, finite horizon).

    Parameters
    ----------
    rejection_rate
        b, a probability.
    horizon
        Tokens to emit, at least 1.

    Raises
    ------
    InputError
        A rate outside [0, 1] or a horizon below 1.

    Examples
    --------
    >>> from fractions import Fraction
    >>> from specsim import theory
    >>> theory.constant_rate_calls(Fraction(1, 4), 9)
    Fraction(3, 1)
    """
    rejection_rate = probability("rejection_rate", rejection_rate)
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer) or horizon < 1:
        raise InputError(f"horizon is {horizon!r}; give a whole number of tokens, at least 1")
    return horizon * rejection_rate + 1 - rejection_rate


def constant_rate_tokens_per_call(rejection_rate: Number, horizon: int | float) -> Any:
    """Return horizon / E[calls] for a constant rejection rate; its limit for long horizons is 1 / b.

    Parameters
    ----------
    rejection_rate
        b, a probability.
    horizon
        Tokens to emit, at least 1, or ``math.inf`` for the limit 1 / b of Remark 2 (2211.17192's rate for
        unlimited draft length); ``math.inf`` is returned when b is 0.

    Raises
    ------
    InputError
        As in `constant_rate_calls`.

    Examples
    --------
    >>> import math
    >>> from specsim import theory
    >>> theory.constant_rate_tokens_per_call(0.25, 9), theory.constant_rate_tokens_per_call(0.25, math.inf)
    (3.0, 4.0)
    """
    if isinstance(horizon, float) and horizon == math.inf:
        rejection_rate = probability("rejection_rate", rejection_rate)
        return 1 / rejection_rate if rejection_rate else math.inf
    return horizon / constant_rate_calls(rejection_rate, horizon)  # type: ignore[arg-type]
