"""Tokens per round by draft length, from a log, with their uncertainty.

Where a log counts accepted tokens by position, survivals (the probability that at least i drafted tokens are
accepted) are products of the shares of tested tokens that were accepted; where it has means by draft
length, the means are fitted by the nearest law of accepted lengths, so that they are concave. Uncertainty
is carried by random draws: requests are weighted anew where there are enough, else rounds; means move by
their errors or by what they miss of any law.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from specsim.errors import InputError
from specsim.records.servers.log import ServerLog, Setting
from specsim.support.arrays import Floats
from specsim.support.intervals import FEWEST_CLUSTERS

#: Random draws for each interval.
DRAWS = 2000
#: Most requests that are weighted one by one; more are added up in groups.
_MOST_REQUESTS = 1000
#: Error of a mean that is printed with two digits.
_LEAST_NOISE = 0.003
#: A log of fewer rounds than this is not tested for being synthetic.
_FEW = 30


@dataclass(frozen=True)
class Estimate:
    """What a log says of each draft length.

    lengths: draft lengths that it can speak of, from 1 on.
    tokens: emitted tokens per round, ``(lengths,)``.
    draws: the same under `DRAWS` draws, ``(draws, lengths)``.
    survivals, survival_draws: by position, ``(positions,)`` and ``(draws, positions)``; empty where only
    means are
        known.
    acceptance: of the first drafted token, for the formula of constant acceptance.
    notes, warnings: in sentences.
    """

    lengths: tuple[int, ...]
    tokens: Floats
    draws: Floats
    survivals: Floats
    survival_draws: Floats
    acceptance: float
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def estimate(log: ServerLog, seed: int = 0) -> Estimate:
    """Estimate tokens per round from a log.

    InputError: the log looks synthetic, or its positions contradict each other.
    """
    generator = np.random.Generator(np.random.Philox(seed))
    counted = [setting for setting in log.settings if setting.reached is not None]
    if not counted:
        return _from_means(log, generator)
    warnings: list[str] = []
    notes: list[str] = []
    tables = [_histogram(log, setting, warnings) for setting in counted]
    for setting, table in zip(counted, tables, strict=True):
        _refuse_synthetic(log, setting, table, warnings)
    draws = [
        _weighted(setting, table, generator, notes) for setting, table in zip(counted, tables, strict=True)
    ]
    different = _depends_on_length(counted, tables)
    if different:
        warnings.append(f"{different}; each length is planned by its own rounds")
    pooled = _survivals([table[None, :] for table in tables])[0]
    pooled_draws = _survivals(draws)
    if different:
        lengths = tuple(setting.draft_length for setting in counted)
        own = [_survivals([table[None, :]])[0] for table in tables]
        tokens = np.array([1 + part.sum() for part in own])
        token_draws = np.stack([1 + _survivals([part]).sum(axis=1) for part in draws], axis=1)
    else:
        lengths = tuple(range(1, len(pooled) + 1))
        tokens = 1 + np.cumsum(pooled)
        token_draws = 1 + np.cumsum(pooled_draws, axis=1)
    return Estimate(
        lengths=lengths,
        tokens=tokens,
        draws=token_draws,
        survivals=pooled,
        survival_draws=pooled_draws,
        acceptance=float(pooled[0]),
        notes=tuple(dict.fromkeys(notes)),
        warnings=tuple(warnings),
    )


def _histogram(log: ServerLog, setting: Setting, warnings: list[str]) -> Floats:
    """Return rounds by accepted length; positions that increase are evened out within rounding."""
    assert setting.reached is not None
    reached = np.array([setting.rounds, *setting.reached], dtype=np.float64)
    rise = float(np.diff(reached).max(initial=0.0))
    # Printed rates have three digits, so that nested counts may seem to increase by as much.
    if rise > 2 + 0.002 * setting.rounds:
        place = int(np.diff(reached).argmax())
        raise InputError(
            f"{log.source}: position {place + 1} was accepted in {reached[place + 1]:g} of {setting.rounds} "
            "rounds and "
            f"the one before in {reached[place]:g}; marginal counts never increase: give those, not "
            "conditional "
            "ones, all of the same rounds"
        )
    if rise > 1e-9:
        warnings.append(
            f"acceptance increases by {rise / setting.rounds:.2%} from one position to the next; evened out"
        )
    falling = isotonic(reached) if rise > 0 else reached
    return np.maximum(-np.diff(np.append(falling, 0.0)), 0.0)


def isotonic(values: Floats) -> Floats:
    """Return the nearest sequence that never increases, in least squares."""
    from scipy.optimize import isotonic_regression

    return np.asarray(isotonic_regression(values, increasing=False).x)


def _survivals(tables: Sequence[Floats]) -> Floats:
    """Return survivals ``(draws, positions)`` from rounds by accepted length, ``(draws, lengths + 1)``."""
    longest = max(table.shape[1] for table in tables) - 1
    tested = np.zeros((len(tables[0]), longest))
    passed = np.zeros_like(tested)
    for table in tables:
        reached = np.cumsum(table[:, ::-1], axis=1)[:, ::-1]
        tested[:, : table.shape[1] - 1] += reached[:, :-1]
        passed[:, : table.shape[1] - 1] += reached[:, 1:]
    rates = np.divide(passed, tested, out=np.zeros_like(tested), where=tested > 0)
    return np.asarray(np.cumprod(np.minimum(rates, 1.0), axis=1), dtype=np.float64)


def _weighted(setting: Setting, table: Floats, generator: np.random.Generator, notes: list[str]) -> Floats:
    """Return rounds by accepted length under random weights, ``(draws, lengths + 1)``."""
    if len(setting.requests) >= FEWEST_CLUSTERS:
        rows = np.array(setting.requests, dtype=np.float64)
        if len(rows) > _MOST_REQUESTS:
            groups = np.arange(len(rows)) % _MOST_REQUESTS
            rows = np.stack([np.bincount(groups, weights=column) for column in rows.T], axis=1)
        notes.append(f"intervals take {len(setting.requests)} requests as independent")
        return generator.exponential(size=(DRAWS, len(rows))) @ rows
    notes.append(
        "intervals take rounds as independent, which they are not within a request: they are too narrow"
    )
    return generator.gamma(np.maximum(table, 0) + 0.5, size=(DRAWS, len(table)))


def _refuse_synthetic(log: ServerLog, setting: Setting, table: Floats, warnings: list[str]) -> None:
    """Refuse the schedules with which servers fake a mean: all rounds accept m or m + 1 tokens."""
    seen = np.flatnonzero(table > 1e-9 * setting.rounds)
    if setting.rounds < _FEW or setting.draft_length < 2:
        return
    low, high = int(seen[0]), int(seen[-1])
    first = 1 - table[0] / setting.rounds
    if high - low <= 1 and high > 0 and (low > 0 or setting.rounds * first**2 > 20):
        if low == high == setting.draft_length:
            warnings.append("every drafted token was accepted: is the draft the target, or the text copied?")
            return
        raise InputError(
            f"{log.source}: every round of {setting.draft_length} accepts {low} or {high} tokens, as "
            "synthetic "
            "acceptance does; measure with real acceptance"
        )


def _depends_on_length(settings: Sequence[Setting], tables: Sequence[Floats]) -> str:
    """Say where shares of tested tokens differ between draft lengths beyond chance; empty if nowhere."""
    if len(settings) < 2:
        return ""
    from scipy.special import chdtrc

    longest = max(setting.draft_length for setting in settings)
    for place in range(longest):
        rows, labels = [], []
        for setting, table in zip(settings, tables, strict=True):
            if setting.draft_length > place:
                tested, passed = table[place:].sum(), table[place + 1 :].sum()
                if tested > 0:
                    rows.append((passed, tested - passed))
                    labels.append(f"{passed / tested:.3f} at length {setting.draft_length}")
        cells = np.array(rows)
        if len(rows) < 2 or not cells.sum(axis=0).all():
            continue
        # Pearson's statistic; scipy.stats has it, and takes a second to import.
        expected = np.outer(cells.sum(axis=1), cells.sum(axis=0)) / cells.sum()
        if chdtrc(len(rows) - 1, ((cells - expected) ** 2 / expected).sum()) < 0.001 / longest:
            return (
                f"acceptance of drafted token {place + 1} depends on the draft length ({', '.join(labels)})"
            )
    return ""


def _from_means(log: ServerLog, generator: np.random.Generator) -> Estimate:
    """Fit means by draft length by the nearest law of accepted lengths."""
    lengths = np.array([setting.draft_length for setting in log.settings])
    means = np.array([setting.mean for setting in log.settings])
    known = np.array([setting.error for setting in log.settings])
    notes, warnings = [], []
    fitted = fit_means(lengths, means)
    misfit = means - fitted
    if len(lengths) > 1:
        # A law has as many free numbers as half the points, about; rounding to two digits is the least error.
        noise = max(math.sqrt(float(misfit @ misfit) / max(1.0, len(lengths) / 2)), _LEAST_NOISE)
        worst = int(np.abs(misfit).argmax())
        notes.append(
            f"means are {abs(misfit[worst]):.3f} off any law of accepted lengths (at length "
            f"{lengths[worst]}); noise "
            f"taken as {noise:.3f} per length"
        )
        if noise == _LEAST_NOISE and np.isnan(known).any():
            warnings.append(
                "the table has no errors and fits a law: its noise cannot be seen and is taken as that of "
                "rounding, so "
                "that intervals of the acceptance are too narrow"
            )
        steps = np.diff(np.concatenate([[0.0], means])) / np.diff(np.concatenate([[0], lengths]))
        for index, step in enumerate(steps):
            if step < -1e-9 or (index and step > steps[index - 1] + 1e-9):
                warnings.append(
                    f"survivals increase or are negative at length {lengths[index]} ({step:+.2f} tokens per "
                    "drafted "
                    "one): noise, or another drafter at another length; evened out"
                )
    else:
        noise = 0.0
        warnings.append(
            "one mean says nothing of other lengths: only this length is compared with plain decoding; log "
            "positions "
            "or histograms to choose a length"
        )
    errors = np.where(np.isnan(known), noise, known)
    if not errors.any():
        warnings.append("the log has no errors, and one mean shows none: intervals have no width")
    moved = fitted + errors * generator.standard_normal((DRAWS, len(lengths)))
    draws = np.stack([fit_means(lengths, row) for row in moved]) if len(lengths) > 1 else moved
    first = float(means[0]) if lengths[0] == 1 else _constant_rate(float(means[0]), int(lengths[0]))
    return Estimate(
        lengths=tuple(lengths.tolist()),
        tokens=1 + fitted,
        draws=1 + np.clip(draws, 0, lengths),
        survivals=np.zeros(0),
        survival_draws=np.zeros((DRAWS, 0)),
        acceptance=first,
        notes=tuple(notes),
        warnings=tuple(warnings),
    )


def fit_means(lengths: np.ndarray, means: Floats) -> Floats:
    """Return the means of the law of accepted lengths that is nearest to given means by draft length.

    Examples
    --------
    >>> fit_means(np.array([1, 2, 3]), np.array([0.5, 0.8, 0.7])).round(3).tolist()
    [0.5, 0.75, 0.75]
    """
    from scipy.optimize import nnls

    values = np.array([0, *lengths])
    # The law is on the lengths themselves; between two of them a mean is a straight line.
    matrix = np.minimum(values[None, :], lengths[:, None]).astype(np.float64)
    heavy = 1e4
    law, _ = nnls(np.vstack([matrix, np.full(len(values), heavy)]), np.append(means, heavy))
    return np.asarray(matrix @ (law / law.sum()), dtype=np.float64)


def _constant_rate(mean: float, length: int) -> float:
    """Return the constant acceptance with this mean of accepted tokens."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if sum(middle**place for place in range(1, length + 1)) < mean:
            low = middle
        else:
            high = middle
    return (low + high) / 2
