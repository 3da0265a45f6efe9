"""`specsim.compare`: algorithms on one pair, exact and simulated results."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.algorithms import Algorithm, get_rule
from specsim.clocks import CostModel
from specsim.errors import InputError, TooLargeError, UnsupportedError
from specsim.grammar import as_pair
from specsim.pairs import ModelPair
from specsim.scale import simulate, sweep
from specsim.scale.sweeps import Algorithms, by_name
from specsim.support.checks import whole
from specsim.support.intervals import Estimate, check_confidence, clopper_pearson, ratio_over

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure
    from pandas import DataFrame

#: Most sequences whose whole law is compared with the target's; else the law at each position.
_MOST_SEQUENCES = 2**12
#: A distance of two laws of floats that is no distance, and a difference of two numbers that is none.
_ROUNDING = 1e-9
#: Most constraints of a linear programme that is solved for the optimum of one line.
_MOST_CONSTRAINTS = 6000

#: Quantities that theory and simulation both have.
QUANTITIES = {
    "block_efficiency": "tokens per target call",
    "target_calls": "target calls per run",
    "rejections": "rejections per run",
}
#: The same, where a clock is given.
TIMES = {"time": "time per run, in target calls", "speed_up": "speed-up"}
#: Simulations of equal size from which the error of a simulated time is estimated.
_GROUPS = 20
#: Quantities that theory alone has, per algorithm.
_EXACT = {
    "stationary_block_efficiency": "Tokens per target call over very long runs, by theory.",
    "accepted": "Expected accepted length of the first round, by theory.",
    "optimum": "The largest that a lossless rule can have with these drafts.",
    "joint_bound": "Bound on it for any lossless verifier: the overlap of drafted and emitted prefixes.",
    "distance": "Total variation distance of the output law from the target's, by theory.",
}

#: Optimum, how it is known, and joint bound of the first round, by its drafts.
Limits = dict[Any, tuple[float, str, float]]


@dataclass(frozen=True, repr=False)
class Comparison:
    """What `compare` found; print it for a table.

    Attributes
    ----------
    data
        One entry along ``algorithm`` for each. ``exact_...`` (theory, NaN where it is silent), ``mean_...``
        (simulated), ``low_...`` and ``high_...`` (its interval) for target calls, rejections, block
        efficiency (tokens per target call) and ``acceptance``, the probability that at least ``position``
        drafted tokens of the first round are accepted. Theory alone has ``stationary_block_efficiency``,
        ``accepted`` (expected accepted length of the first round), ``optimum`` and ``joint_bound`` (what
        lossless rules can reach with these drafts) and ``distance`` (of the output law from the target's).
        With a clock there are also ``time`` per run in target calls and ``speed_up``, plain time over time, a
        ratio of means. Coordinates say whether the rule is declared lossless, what was found of it
        (``output``), what the distance is of, and how theory, optimum and simulation were computed.
    """

    data: xarray.Dataset

    def __str__(self) -> str:
        from specsim.comparison.report import text_of

        return text_of(self.data)

    def _repr_html_(self) -> str:
        from specsim.comparison.report import notebook_of

        return notebook_of(self.data)

    def __repr__(self) -> str:
        return f"<Comparison of {self.data.sizes['algorithm']} algorithms on {self.data.attrs['pair']}>"

    def to_dataframe(self) -> DataFrame:
        """Return a row for each algorithm; what depends on the position is in ``data`` alone."""
        return self.data.drop_dims("position").to_dataframe().reset_index()

    def plot(self) -> Figure:
        """Return one picture: tokens per call, the first round and its limits, acceptance by position."""
        from specsim.comparison.report import figure_of

        return figure_of(self.data)

    def html(self) -> str:
        """Return table and picture as one page that needs nothing else."""
        from specsim.comparison.report import page_of

        return page_of(self.data)

    def rows(self) -> list[dict[str, Any]]:
        """Return a dictionary of numbers, words and lists (over positions) for each algorithm."""
        data = self.data
        names = [name for name in (*data.coords, *data.data_vars) if "algorithm" in data[name].dims]
        return [
            {str(name): data[name].values[index].tolist() for name in names}
            for index in range(data.sizes["algorithm"])
        ]


def compare(
    pair: ModelPair | str,
    algorithms: Algorithms,
    *,
    runs: float = 100_000,
    seed: int = 0,
    horizon: int | None = None,
    level: float = 0.99,
    threads: int | None = None,
    clock: CostModel | None = None,
) -> Comparison:
    """Compare algorithms on one pair: exact and simulated laws, and whether each is lossless.

    Parameters
    ----------
    pair
        The models, or a text such as ``"paper:50"``.
    algorithms
        Descriptors or texts, or these by name; the same one twice counts once. Those that no engine runs,
        such as infinitely many drafts, have theory only, and NaN for what is simulated.
    runs, seed
        Of each simulation, as in `specsim.sweep`.
    horizon
        Tokens to emit. Defaults to None, the pair's own.
    level
        Confidence of each interval by itself: of means by the normal approximation, of acceptance by
        Clopper and Pearson.
    threads
        As in `specsim.simulate`.
    clock
        What rounds cost. Defaults to None: times are not compared.

    Returns
    -------
    Comparison
        A labelled Dataset (``.data``) that prints as a table and has ``.plot()`` and ``.html()``.

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
    pair, runs = as_pair(pair), whole("runs", runs, 1, floats=True)
    named = by_name("algorithms", algorithms, Algorithm, lambda algorithm: str(algorithm.label))
    names, listed = list(named), list(named.values())
    horizon = pair.check_horizon(horizon)
    able = {name: algorithm for name, algorithm in named.items() if _simulated(algorithm)}
    limits: Limits = {}
    theory = [theory_of(pair, algorithm, horizon, limits) for algorithm in listed]
    positions = max(1, *(len(found["acceptance"]) for found in theory))
    variables: dict[str, Any] = {}

    def add(name: str, dims: str | tuple[str, str], values: Any, meaning: str) -> None:
        variables[name] = (dims, values, {"long_name": meaning})

    simulated, engines = _simulation(pair, able, runs, seed, horizon, threads, names)
    width = NormalDist().inv_cdf((1 + level) / 2)
    for name, words in QUANTITIES.items():
        mean, error = simulated[name]
        add(f"exact_{name}", "algorithm", [found[name] for found in theory], f"By theory: {words}.")
        add(f"mean_{name}", "algorithm", mean, f"Simulated mean: {words}.")
        add(f"low_{name}", "algorithm", mean - width * error, f"Lower end of its interval: {words}.")
        add(f"high_{name}", "algorithm", mean + width * error, f"Upper end of its interval: {words}.")
    exact = np.full((len(names), positions), math.nan)
    for row, found in zip(exact, theory, strict=True):
        row[: len(found["acceptance"])] = found["acceptance"]
    hits = simulated["acceptance"][:, :positions]
    hits = np.pad(hits, ((0, 0), (0, positions - hits.shape[1])), constant_values=math.nan)
    # Positions that a structure does not have are no positions at which nothing is accepted.
    beyond = np.arange(1, positions + 1) > np.array([[_depth(item, horizon)] for item in listed])
    low, high = clopper_pearson(np.nan_to_num(hits), runs, level)
    unknown = np.isnan(hits) | beyond
    words = "at least this many drafted tokens of the first round are accepted"
    for name, values, meaning in (
        ("exact", np.where(beyond, math.nan, exact), "By theory, the probability that"),
        ("mean", np.where(unknown, math.nan, hits / runs), "Share of the simulated runs in which"),
        ("low", np.where(unknown, math.nan, low), "Lower end of the interval of the probability that"),
        ("high", np.where(unknown, math.nan, high), "Upper end of the interval of the probability that"),
    ):
        add(f"{name}_acceptance", ("algorithm", "position"), values, f"{meaning} {words}.")
    for name, meaning in _EXACT.items():
        add(name, "algorithm", [found[name] for found in theory], meaning)
    if clock is not None:
        for index, algorithm in enumerate(listed):
            times = _times(pair, algorithm, clock, runs, seed, horizon, level, threads)
            for name, (value, meaning) in times.items():
                column = variables.setdefault(
                    name, ("algorithm", [math.nan] * len(listed), {"long_name": meaning})
                )
                column[1][index] = value
    coordinates = {
        "algorithm": names,
        "position": np.arange(1, positions + 1),
        "lossless": ("algorithm", [algorithm.lossless for algorithm in listed]),
        **{
            name: ("algorithm", [found[name] for found in theory])
            for name in ("output", "distance_of", "description", "optimum_by")
        },
        "engine": ("algorithm", engines),
    }
    attributes = {
        "pair": pair.name,
        "pair_identity": pair.identity,
        "horizon": horizon,
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
    plain = float(sum(clock.plain_times(horizon)))
    exact = exact_time(pair, algorithm, clock, horizon)
    time, faster = simulated_time(pair, algorithm, clock, runs, seed, horizon, level, threads)
    found = {}
    for name, known, seen in (("time", exact, time), ("speed_up", plain / exact, faster)):
        words = (
            "time per run, in target calls" if name == "time" else "plain time over time, a ratio of means"
        )
        found[f"exact_{name}"] = (known, f"By theory; NaN where it is silent: {words}.")
        for part, value in (("mean", seen.value), ("low", seen.low), ("high", seen.high)):
            found[f"{part}_{name}"] = (value, f"Simulated, {part}: {words}.")
    return found


def exact_time(pair: ModelPair, algorithm: Algorithm, clock: CostModel, horizon: int) -> float:
    """Return the expected time of a run; NaN where theory is silent."""
    from specsim.theory import expected_time

    with suppress(TooLargeError, UnsupportedError):
        return float(expected_time(pair, algorithm, clock, horizon=horizon))
    return math.nan


def simulated_time(
    pair: ModelPair,
    algorithm: Algorithm,
    clock: CostModel,
    runs: int,
    seed: int,
    horizon: int,
    level: float,
    threads: int | None,
) -> tuple[Estimate, Estimate]:
    """Return mean time and speed-up over plain decoding, a ratio of means; NaN where nothing runs it."""
    plain = float(sum(clock.plain_times(horizon)))
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
    return ratio_over(spent, done, level), ratio_over([plain * number for number in done], spent, level)


def _simulated(algorithm: Algorithm) -> bool:
    """Whether an engine runs the algorithm; the others are known to theory only."""
    rule = algorithm.rule
    return (rule.own is not None or "kernel" in rule.texts) and algorithm.structure(1).size < math.inf


def _depth(algorithm: Algorithm, horizon: int) -> int:
    return algorithm.structure(horizon).depth


def _simulation(
    pair: ModelPair,
    able: dict[str, Algorithm],
    runs: int,
    seed: int,
    horizon: int,
    threads: int | None,
    names: list[str],
) -> tuple[dict[str, Any], list[str]]:
    """Return means and errors by quantity, runs that accept at least k tokens, and engines.

    Where nothing runs an algorithm, NaN and "none".
    """
    if not able:
        nothing = np.full(len(names), math.nan)
        found: dict[str, Any] = dict.fromkeys(QUANTITIES, (nothing, nothing))
        return found | {"acceptance": np.full((len(names), 1), math.nan)}, ["none"] * len(names)
    data = sweep(pair, able, runs=runs, seed=seed, horizon=horizon, threads=threads).isel(pair=0)
    data = data.reindex(algorithm=names, fill_value={"engine": "none"})
    sources = {name: name if name == "block_efficiency" else f"mean_{name}" for name in QUANTITIES}
    found = {name: (data[source].values, data[f"{source}_error"].values) for name, source in sources.items()}
    counts = np.where(
        (data["engine"].values == "none")[:, None],
        math.nan,
        data["first_accepted_length_count"].values.astype(np.float64),
    )
    return found | {"acceptance": _at_least(counts)}, data["engine"].values.tolist()


def _at_least(law: Any) -> Any:
    """Turn the law of a count into Pr(count >= 1), Pr(count >= 2), ..., along the last axis."""
    return np.cumsum(law[..., ::-1], axis=-1)[..., ::-1][..., 1:]


def theory_of(pair: ModelPair, algorithm: Algorithm, horizon: int, limits: Limits) -> dict[str, Any]:
    """Return what theory says, and in which words.

    limits: the limits of drafts on this pair that are known; more are added.
    """
    from specsim.theory import Laws

    declared = "lossless" if algorithm.lossless else "lossy"
    found: dict[str, Any] = {
        **dict.fromkeys((*QUANTITIES, *_EXACT), math.nan),
        "acceptance": np.full(_depth(algorithm, horizon), math.nan),
        "description": "simulated only",
        "output": f"{declared} as declared",
        "distance_of": "unknown",
    }
    drafts = (algorithm.structure(horizon), algorithm.drawing, algorithm.drawing == "own" and algorithm.rule)
    if drafts not in limits:
        limits[drafts] = _limits(pair, algorithm, horizon)
    found["optimum"], found["optimum_by"], found["joint_bound"] = limits[drafts]
    try:
        laws = Laws(pair, algorithm, horizon=horizon)
        found["target_calls"] = float(laws.expected_target_calls())
        found["rejections"] = float(laws.expected_rejections())
        found["block_efficiency"] = horizon / found["target_calls"]
        found["description"] = laws.description
        law = laws.first_accepted_length_law()
        found["acceptance"] = _at_least(law)[: _depth(algorithm, horizon)]
        found["accepted"] = float(found["acceptance"].sum())
        found["distance_of"], found["distance"] = _distance(pair, laws, horizon)
    except (TooLargeError, UnsupportedError):
        return found
    # There is none where tables change, drafts reach to the horizon, or there are too many numbers.
    with suppress(InputError):
        found["stationary_block_efficiency"] = float(laws.long_run()[0])
    if found["distance"] <= _ROUNDING:
        found["output"] = "lossless" if algorithm.lossless else "lossy as declared, not here"
    else:
        found["output"] = f"{'biased' if algorithm.lossless else 'lossy'} by TV {found['distance']:.3g}"
    return found


def _distance(pair: ModelPair, laws: Any, horizon: int) -> tuple[str, float]:
    from specsim.theory import target_law, target_marginals

    if pair.tokens**horizon <= _MOST_SEQUENCES:
        difference = laws.output_law() - target_law(pair, horizon=horizon)
        return "whole sequences", float(abs(difference).sum() / 2)
    difference = laws.output_marginals() - target_marginals(pair, horizon=horizon)
    return "the token at its worst position", float(abs(difference).sum(axis=1).max() / 2)


def _limits(pair: ModelPair, algorithm: Algorithm, horizon: int) -> tuple[float, str, float]:
    """Return what lossless rules can accept of the first round, how that is known, and the joint bound."""
    from specsim.theory import joint_bound, round_optimum, transport_acceptance

    structure = algorithm.structure(horizon)
    joint = math.nan
    try:
        joint = joint_bound(pair, algorithm, horizon=horizon)
        if structure.depth == 0:
            return math.nan, "nothing is drafted", math.nan
        if algorithm.drawing == "greedy":
            return joint, "fixed drafts", joint
        if structure.kind == "chain":
            best = get_rule("block")(draft_length=structure.depth)
            return _accepted(pair, best, horizon), "block verification", joint
        if structure.depth == 1 and algorithm.drawing == "independent":
            rows = transport_acceptance(pair.target[0], pair.draft[0], structure.size - 1)
            return float(pair.initial @ rows), "transport", joint
        if structure.size * pair.tokens**structure.size <= _MOST_CONSTRAINTS:
            return float(round_optimum(pair, algorithm, horizon=horizon).value), "linear programme", joint
    except (TooLargeError, UnsupportedError):
        pass
    return math.nan, "unknown", joint


def _accepted(pair: ModelPair, algorithm: Algorithm, horizon: int) -> float:
    from specsim.theory import first_accepted_length_law

    # The first round reads no further than its own tokens.
    reach = min(horizon, _depth(algorithm, horizon) + 1)
    law = first_accepted_length_law(pair, algorithm, horizon=reach)
    return float(law @ np.arange(len(law)))
