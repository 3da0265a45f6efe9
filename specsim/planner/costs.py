"""Costs fitted to measured speed-ups, or compared with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from specsim.algorithms import chain
from specsim.clocks import Clock, CostModel
from specsim.records.servers import ServerLog


@dataclass(frozen=True)
class FittedCosts:
    """A clock fitted to measured speed-ups.

    clock: the straight line through the round times.
    error: relative error of the line at one length, from its residuals.
    words: what was fitted, in a sentence.
    """

    clock: Clock
    error: float
    words: str


def fit_costs(log: ServerLog) -> FittedCosts | None:
    """Fit a round time that grows by a constant with each drafted token; None for fewer than three."""
    rows = [
        (setting.draft_length, (1 + setting.mean) / setting.speed_up)
        for setting in log.settings
        if setting.speed_up > 0
    ]
    if len(rows) < 3:
        return None
    lengths, times = np.array(rows).T
    slope, level = np.polyfit(lengths, times, 1)
    draft, overhead = round(max(float(slope), 0.0), 4), round(max(float(level) - 1, 0.0), 4)
    misses = (1 + overhead + draft * lengths) / times - 1
    error = float(np.sqrt((misses @ misses) / max(1, len(rows) - 2)))
    shown = ", ".join(f"{time:.3f}" for time in times)
    words = (
        f"costs fitted to measured speed-ups: round times {shown} by draft length "
        f"{', '.join(f'{length:.0f}' for length in lengths)}; the line 1 + {overhead} + {draft} K misses "
        "them by up to "
        f"{abs(misses).max():.1%}, which the intervals include"
    )
    return FittedCosts(Clock(draft=draft, overhead=overhead), error, words)


def misfit(clock: CostModel, log: ServerLog) -> tuple[float, str] | None:
    """Return how far measured speed-ups are from these costs, and say it; None with fewer than two."""
    errors = [
        (1 + setting.mean) / float(clock.round_time(chain(setting.draft_length))) / setting.speed_up - 1
        for setting in log.settings
        if setting.speed_up > 0
    ]
    if len(errors) < 2:
        return None
    found = np.array(errors)
    words = (
        f"measured speed-ups differ from these costs by {found.min():+.1%} to {found.max():+.1%}, which the "
        "intervals "
        "include"
    )
    return float(np.sqrt(found @ found / len(found))), words
