"""`specsim.compare`: algorithms side by side on one pair, exact beside simulated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from specsim.algorithms import Algorithm
from specsim.errors import TooLargeError, UnsupportedError
from specsim.pairs import ModelPair
from specsim.scale import sweep
from specsim.scale.sweeps import by_name
from specsim.support.intervals import check_confidence

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


@dataclass(frozen=True)
class Comparison:
    """What `compare` found; print it for a table.

    Attributes
    ----------
    data
        One entry along ``algorithm`` for each, with ``exact_...`` (theory, NaN where it is silent),
        ``mean_...`` (simulated), ``low_...`` and ``high_...`` (its interval) for target calls, rejections and
        block efficiency, and ``distance``, the total variation distance of the output law from the target's
        by theory; coordinates say whether the rule is declared lossless, what was found of it (``output``),
        and the description that theory used.
    """

    data: xarray.Dataset

    def __str__(self) -> str:
        data = self.data
        heads = ["algorithm", *(f"{head}: exact, simulated" for head in _QUANTITIES.values())]
        lines = [[*heads, "output", "theory by"]]
        for index in range(data.sizes["algorithm"]):
            row = data.isel(algorithm=index)
            cells = [str(row["algorithm"].item())]
            for name in _QUANTITIES:
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
