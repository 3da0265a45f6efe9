"""Tests by betting: observed rejections and tokens against the probabilities of the rows.

Each position offers a bet that is fair, or unfavourable, if the decoder is right: given everything before the
position, the expected factor of the bet is at most 1. The product over all positions is then at least 1 /
level with probability at most `level` (Ville's inequality), for any number of positions and any dependence of
the rows on what came before; no variance is estimated and nothing is asymptotic. Betting on several
alternatives at once, with the stake split between them, keeps this. The p-value is the reciprocal of the
product.
"""

import math
from dataclasses import dataclass

import numpy as np

from specsim.errors import InputError
from specsim.models.position_numbers import PlaceNumbers
from specsim.support.arrays import Bools, Floats

#: Alternatives of rejections: factors on the odds of a rejection.
ODDS = (0.25, 0.5, 0.75, 0.9, 0.95, 1.05, 1.1, 1.25, 1.5, 2.0, 4.0)
#: Shares of the stake put on an alternative of tokens; the rest is kept.
SHARES = (0.05, 0.2, 1.0)
#: How far a rejection probability may be off by rounding in the models' own arithmetic (float32).
ROUNDING = 1e-4


@dataclass(frozen=True, kw_only=True)
class Bet:
    """The outcome of a test.

    agrees: whether the p-value is above the level.
    p_value: at most 1; its distribution is valid for any number of positions.
    level: False alarms at most.
    detectable: for rejections: a factor on all rejection probabilities that these positions would detect with
        probability about 0.999; nan where none would, and for tokens.
    """

    agrees: bool
    p_value: float
    level: float
    detectable: float = math.nan


def bet_on_rejections(
    probability: Floats, rejected: Bools, *, level: float, rounding: float = ROUNDING
) -> Bet:
    """Test that positions were rejected with their probabilities given the past.

    probability: rejection probability of each position that was tested, given everything before it, shape
        ``(positions,)``.
    rejected: whether it was rejected.
    level: False-alarm rate, at most.
    rounding: how far each probability may be off under the hypothesis.
    InputError: a level outside (0, 1).
    """
    _check_level(level)
    wealth = np.array([_log_wealth(odds, probability, rejected, rounding) for odds in ODDS])
    p_value = _p_value(wealth)
    return Bet(
        agrees=p_value > level,
        p_value=p_value,
        level=level,
        detectable=_detectable(probability, level, rounding),
    )


def bet_on_tokens(numbers: PlaceNumbers, tested: Bools, *, level: float, rounding: float = ROUNDING) -> Bet:
    """Test that tokens were written with the probabilities that the algorithm gives them.

    The alternatives are those of wrong recoveries: rejected tokens replaced by a draw from the target row, or
    from the draft row, or not at all (the draft's own law).

    numbers: of the positions, by `PlaceNumbers.at` their kinds, shape ``(positions,)``.
    tested: which positions were tested; bonus tokens were not.
    level: False-alarm rate, at most.
    rounding: as in `bet_on_rejections`, for the mass of what is bet on.
    InputError: a level outside (0, 1).
    """
    from scipy.stats import binom

    _check_level(level)
    written = numbers.written[tested]
    possible = written > 0
    # Tokens that cannot be: rounding moves the border of a nucleus now and then, with no more than its mass.
    p_impossible = float(binom.sf((~possible).sum() - 1, len(written), rounding))
    wealth = []
    for alternative in (numbers.from_target, numbers.from_draft, numbers.draft_of_token):
        ratio = np.where(possible, alternative[tested] / np.where(possible, written, 1.0), 1.0)
        # Rows that are off by `rounding` raise the fair price of a bet by no more than this.
        for share in SHARES:
            with np.errstate(divide="ignore"):
                wealth.append(float((np.log1p(share * (ratio - 1)) - np.log1p(2 * share * rounding)).sum()))
    p_value = min(1.0, 2 * min(_p_value(np.array(wealth)), p_impossible))
    return Bet(agrees=p_value > level, p_value=p_value, level=level)


def _log_wealth(odds: float, probability: Floats, rejected: Bools, rounding: float) -> float:
    slack = rounding if odds > 1 else -rounding
    bound = np.clip(probability + slack, 0.0, 1.0)
    with np.errstate(divide="ignore"):
        return float(rejected.sum()) * math.log(odds) - float(np.log1p(bound * (odds - 1)).sum())


def _p_value(wealth: Floats) -> float:
    largest = float(wealth.max())
    if largest == -math.inf:
        return 1.0
    log_mean = largest + math.log(float(np.exp(wealth - largest).mean()))
    return min(1.0, math.exp(-min(log_mean, 700.0)))


def _detectable(probability: Floats, level: float, rounding: float) -> float:
    """Return the smallest factor above 1 at which some bet grows beyond the level, three deviations sure."""
    needed = math.log(len(ODDS) / level)

    def caught(factor: float) -> bool:
        actual = np.minimum(factor * probability, 1.0)
        for odds in ODDS:
            if odds <= 1:
                continue
            bound = np.clip(probability + rounding, 0.0, 1.0)
            growth = actual.sum() * math.log(odds) - np.log1p(bound * (odds - 1)).sum()
            spread = math.sqrt(float((actual * (1 - actual)).sum())) * math.log(odds)
            if growth - 3.1 * spread >= needed:
                return True
        return False

    low, high = 1.0, 64.0
    if len(probability) == 0 or not caught(high):
        return math.nan
    while high / low > 1.001:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if caught(middle) else (middle, high)
    return high


def _check_level(level: float) -> None:
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 1:
        raise InputError(f"level is {level!r}; give a number between 0 and 1, such as 1e-6")
