"""`specsim.compare`: algorithms side by side on one pair, exact beside simulated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from specsim.algorithms import Algorithm
from specsim.clocks import CostModel
from specsim.errors import TooLargeError, UnsupportedError
from specsim.pairs import ModelPair
from specsim.scale import simulate, sweep
from specsim.scale.sweeps import by_name
from specsim.support.intervals import check_confidence, ratio_over

if TYPE_CHECKING:
    import xarray

#: Most sequences whose whole law is compared with the target's; else the law at each position.
_MOST_SEQUENCES = 2**12
#: A distance of two laws of floats that is no distance.
_ROUNDING = 1e-9

#: Quantities that theory and simulation both have, with the head of their columns.
_QUANTITIES = {
    "target_calls": "target calls",
    "rejections": "rejections",
    "block_efficiency": "tokens per call",
}
#: The same, where a clock is given.
_TIMES = {"time": "time", "speed_up": "speed-up"}
#: Simulations of equal size from which the error of a simulated time is estimated.
_GROUPS = 20


@dataclass(frozen=True)
class Comparison:
    """What `compare` found; print it for a table.

    Attributes
    ----------
    data
        One entry along ``algorithm`` for each, with ``exact_...`` (theory, NaN where it is silent),
        ``mean_...`` (simulated), ``low_...`` and ``high_...`` (its interval) for target calls, rejections and
        block efficiency, and ``distance``, the total variation distance of the output law from the target's
        by theory; with a clock the same columns for ``time`` per run in target calls and ``speed_up``,
        plain time over time, a ratio of means; coordinates say whether the rule is declared lossless,
        what was found of it (``output``), and the description that theory used.
    """

    data: xarray.Dataset

    def __str__(self) -> str:
        data = self.data
        shown = {name: head for name, head in (_QUANTITIES | _TIMES).items() if f"exact_{name}" in data}
        heads = ["algorithm", *(f"{head}: exact, simulated" for head in shown.values())]
        lines = [[*heads, "output", "theory by"]]
        for index in range(data.sizes["algorithm"]):
            row = data.isel(algorithm=index)
            cells = [str(row["algorithm"].item())]
            for name in shown:
                exact, mean, low, high = (
                    float(row[f"{part}_{name}"]) for part in ("exact", "mean", "low", "high")
                )
                known = "-" if math.isnan(exact) else f"{exact:.5g}"
                seen = "-" if math.isnan(mean) else f"{mean:.5g} [{low:.5g}, {high:.5g}]"
                cells.append(f"{known}, {seen}")
            lines.append([*cells, str(row["output"].item()), str(row["description"].item())])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )


def compare(
    pair: ModelPair,
    algorithms: Algorithm | Iterable[Algorithm] | Mapping[str, Algorithm],
    *,
    runs: int = 100_000,
    seed: int = 0,
    horizon: int | None = None,
    level: float = 0.99,
    threads: int | None = None,
    clock: CostModel | None = None,
) -> Comparison:
    """Compare algorithms on one pair: exact laws beside simulation, and whether each is lossless.

    Parameters
    ----------
    pair
        The models.
    algorithms
        Descriptors, or descriptors by name; the same one twice counts once. Those that no engine runs, such
        as the rule ``transport``, have theory only, and NaN for what is simulated.
    runs, seed
        Of each simulation, as in `specsim.sweep`.
    horizon
        Tokens to emit. Defaults to None, the pair's own.
    level
        Confidence of each interval of a simulated mean, by the normal approximation.
    threads
        As in `specsim.simulate`.
    clock
        What rounds cost. Defaults to None: times are not compared.

    Returns
    -------
    Comparison
        A labelled Dataset (``.data``) that prints as a table.

    Raises
    ------
    InputError
        No algorithm, different ones of one name, or what `specsim.simulate` refuses.

    Examples
    --------
    >>> import specsim
    >>> pair = specsim.random_pair(contexts=3, horizon=4, family="uniform", seed=1)
    >>> found = specsim.compare(pair, [specsim.Speculative(draft_length=2)], runs=1000)
    >>> str(found.data["output"].item())
    'lossless'
    """
    import xarray

    check_confidence(level)
    named = by_name("algorithms", algorithms, Algorithm, lambda algorithm: str(algorithm.label))
    # Without any, the error of `sweep` says why.
    able = {name: algorithm for name, algorithm in named.items() if _simulated(algorithm)} or named
    simulated = sweep(pair, able, runs=runs, seed=seed, horizon=horizon, threads=threads).isel(pair=0)
    names, listed = list(named), list(named.values())
    simulated = simulated.reindex(algorithm=names, fill_value={"engine": "none"})
    width = NormalDist().inv_cdf((1 + level) / 2)
    theory = [_theory(pair, algorithm, pair.check_horizon(horizon)) for algorithm in listed]
    variables: dict[str, Any] = {}
    for name, words in _QUANTITIES.items():
        source = "block_efficiency" if name == "block_efficiency" else f"mean_{name}"
        mean, error = simulated[source].values, simulated[f"{source}_error"].values
        columns = {
            "exact": ([found[name] for found in theory], "By theory; NaN where it is silent"),
            "mean": (mean, "Simulated mean"),
            "low": (mean - width * error, "Lower end of the interval of the mean"),
            "high": (mean + width * error, "Upper end of the interval of the mean"),
        }
        for part, (values, meaning) in columns.items():
            long_name = (
                f"{meaning}: {words} per run." if name != "block_efficiency" else f"{meaning}: {words}."
            )
            variables[f"{part}_{name}"] = ("algorithm", values, {"long_name": long_name})
    variables["distance"] = (
        "algorithm",
        [found["distance"] for found in theory],
        {"long_name": "Total variation distance of the output law from the target's, by theory."},
    )
    if clock is not None:
        for index, algorithm in enumerate(listed):
            row = _times(pair, algorithm, clock, runs, seed, pair.check_horizon(horizon), level, threads)
            for name, (value, meaning) in row.items():
                column = variables.setdefault(
                    name, ("algorithm", [math.nan] * len(listed), {"long_name": meaning})
                )
                column[1][index] = value
    coordinates = {
        "algorithm": names,
        "lossless": ("algorithm", [algorithm.lossless for algorithm in listed]),
        "output": ("algorithm", [found["output"] for found in theory]),
        "description": ("algorithm", [found["description"] for found in theory]),
        "engine": ("algorithm", simulated["engine"].values),
    }
    attributes = {
        "pair": pair.name,
        "pair_identity": pair.identity,
        "horizon": pair.check_horizon(horizon),
        "runs": runs,
        "seed": seed,
        "level": level,
    }
    return Comparison(xarray.Dataset(variables, coords=coordinates, attrs=attributes))


def _times(
    pair: ModelPair,
    algorithm: Algorithm,
    clock: CostModel,
    runs: int,
    seed: int,
    horizon: int,
    level: float,
    threads: int | None,
) -> dict[str, tuple[float, str]]:
    """Return time and speed-up, exact and simulated, each with its meaning."""
    from specsim.theory import expected_time

    plain = float(sum(clock.plain_times(horizon)))
    exact = math.nan
    with suppress(TooLargeError, UnsupportedError):
        exact = expected_time(pair, algorithm, clock, horizon=horizon)
    sums: list[tuple[float, int]] = []
    if _simulated(algorithm):
        costs = [float(time) for time in clock.round_times(algorithm, horizon)]
        groups = min(_GROUPS, runs)
        edges = [runs * group // groups for group in range(groups + 1)]
        for first, last in pairwise(edges):
            tallies = simulate(
                pair,
                algorithm,
                runs=last - first,
                first_run=first,
                seed=seed,
                horizon=horizon,
                threads=threads,
            )
            if "round_count" in tallies:
                rounds = tallies["round_count"].values.sum(axis=1)
                sums.append((float(rounds @ costs), last - first))
    spent, done = [time for time, _ in sums], [number for _, number in sums]
    time = ratio_over(spent, done, level)
    faster = ratio_over([plain * number for number in done], spent, level)
    found = {}
    for name, known, seen in (("time", exact, time), ("speed_up", plain / exact, faster)):
        words = (
            "time per run, in target calls" if name == "time" else "plain time over time, a ratio of means"
        )
        found[f"exact_{name}"] = (known, f"By theory; NaN where it is silent: {words}.")
        for part, value in (("mean", seen.value), ("low", seen.low), ("high", seen.high)):
            found[f"{part}_{name}"] = (value, f"Simulated, {part}: {words}.")
    return found


def _simulated(algorithm: Algorithm) -> bool:
    """Whether an engine runs the algorithm; the others are known to theory only."""
    rule = algorithm.rule
    return (rule.own is not None or "kernel" in rule.texts) and algorithm.structure(1).size < math.inf


def _theory(pair: ModelPair, algorithm: Algorithm, horizon: int) -> dict[str, Any]:
    """Return what theory says, and in which words."""
    from specsim.theory import Laws

    found: dict[str, Any] = {
        **dict.fromkeys((*_QUANTITIES, "distance"), math.nan),
        "description": "simulated only",
    }
    declared = "lossless" if algorithm.lossless else "lossy"
    found["output"] = f"{declared} as declared"
    try:
        laws = Laws(pair, algorithm, horizon=horizon)
        found["target_calls"] = float(laws.expected_target_calls())
        found["rejections"] = float(laws.expected_rejections())
        found["block_efficiency"] = horizon / found["target_calls"]
        found["description"] = laws.description
        found["distance"] = distance = _distance(pair, laws, horizon)
    except (TooLargeError, UnsupportedError):
        return found
    if distance <= _ROUNDING:
        found["output"] = "lossless" if algorithm.lossless else "lossy as declared, not here"
    else:
        found["output"] = f"{'BIASED' if algorithm.lossless else 'lossy'} by TV {distance:.3g}"
    return found


def _distance(pair: ModelPair, laws: Any, horizon: int) -> float:
    from specsim.theory import target_law, target_marginals

    if pair.tokens**horizon <= _MOST_SEQUENCES:
        difference = laws.output_law() - target_law(pair, horizon=horizon)
        return float(abs(difference).sum() / 2)
    difference = laws.output_marginals() - target_marginals(pair, horizon=horizon)
    return float(abs(difference).sum(axis=1).max() / 2)
