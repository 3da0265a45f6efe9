"""`specsim.sweep`: many pairs, algorithms and parameters in one call, as one labelled Dataset."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING, Any

from specsim.algorithms import Algorithm
from specsim.engines.request import Request
from specsim.engines.simulation import check_request
from specsim.engines.tallies.tally import Tallies
from specsim.errors import InputError
from specsim.grammar import as_algorithm, as_pair
from specsim.pairs import ModelPair
from specsim.scale.running import run_requests
from specsim.scale.summaries import Summaries
from specsim.support.checks import whole
from specsim.support.hashes import derived_seed
from specsim.support.progress import Progress, reporting

if TYPE_CHECKING:
    import xarray

#: What `sweep` takes where it takes several.
Pairs = ModelPair | str | Iterable[ModelPair | str] | Mapping[str, ModelPair | str]
Algorithms = Algorithm | str | Iterable[Algorithm | str] | Mapping[str, Algorithm | str]

_PLURALS = {"draft_length": "draft_lengths", "drafts": "drafts", "epsilon": "epsilons"}


@dataclass(frozen=True, kw_only=True)
class SweepPlan:
    """What a sweep simulates.

    pairs, algorithms: by name, in order.
    requests: one for each pair and algorithm, pair by pair.
    seed: the sweep's; the requests have their own seeds.
    """

    pairs: dict[str, ModelPair]
    algorithms: dict[str, Algorithm]
    requests: list[Request]
    seed: int

    @property
    def runs(self) -> int:
        """Runs of all requests together."""
        return sum(request.runs for request in self.requests)


def sweep(
    pairs: Pairs,
    algorithms: Algorithms,
    *,
    runs: float,
    seed: int,
    draft_lengths: Sequence[int | None] | None = None,
    drafts: Sequence[int] | None = None,
    epsilons: Sequence[float | Fraction] | None = None,
    horizon: int | None = None,
    engine: str = "auto",
    tallies: Tallies = "all",
    threads: int | None = None,
    progress: Progress = None,
    store: str | os.PathLike[str] | None = None,
    cluster: Any = None,
    chunk_runs: int | None = None,
) -> xarray.Dataset:
    """Simulate every algorithm on every pair.

    Parameters
    ----------
    pairs
        A pair, several, or several by name.
    algorithms
        A descriptor, several, or several by name.
    runs
        Number of runs of each combination.
    seed
        0 to 2^64 - 1. Each combination's own seed is derived from it and from the identities of pair and
        algorithm (SHA-256), so that it does not depend on what else is in the sweep.
    draft_lengths, drafts, epsilons
        Values to try in turn for the parameter of that name, in every descriptor that has it; descriptors
        without it are simulated once. Default to None: as the descriptors say.
    horizon
        Tokens per run. Defaults to None, each pair's own.
    engine, tallies, threads, store, cluster, chunk_runs
        As in `specsim.simulate`. All combinations share the store; the chunks of all of them are with the
        cluster at once.
    progress
        Called in the calling thread with the number of finished runs of all combinations together; True: a
        line on standard error says it, in terminals and notebooks. Defaults to None: nothing is said.

    Returns
    -------
    xarray.Dataset
        Dims ``(pair, algorithm)`` and, for counts and laws, ``step``, ``rejections``, ``calls`` or
        ``accepted`` up to the longest horizon: counts are 0, laws 0 and means NaN where a shorter pair has
        no value. The parameters and the seeds are coordinates. See `specsim.scale.summaries`.

    Raises
    ------
    InputError
        As `specsim.simulate`, before anything is simulated where that can be known; no pair, no algorithm, a
        parameter that no algorithm has, or different pairs or algorithms of one name.

    Examples
    --------
    >>> from specsim import Speculative, paper_pair, sweep
    >>> result = sweep(paper_pair(2), Speculative(), draft_lengths=[1, 2], runs=100, seed=1)
    >>> result.sizes["algorithm"]
    2
    """
    plan = plan_sweep(
        pairs,
        algorithms,
        runs=runs,
        seed=seed,
        draft_lengths=draft_lengths,
        drafts=drafts,
        epsilons=epsilons,
        horizon=horizon,
        engine=engine,
        tallies=tallies,
    )
    return run_sweep(
        plan, threads=threads, progress=progress, store=store, cluster=cluster, chunk_runs=chunk_runs
    )


def plan_sweep(
    pairs: Pairs,
    algorithms: Algorithms,
    *,
    runs: float,
    seed: int,
    draft_lengths: Sequence[int | None] | None = None,
    drafts: Sequence[int] | None = None,
    epsilons: Sequence[float | Fraction] | None = None,
    horizon: int | None = None,
    engine: str = "auto",
    tallies: Tallies = "all",
) -> SweepPlan:
    """Check a sweep and list its requests; parameters and errors are those of `sweep`."""
    seed = whole("seed", seed, 0, 2**64 - 1)
    models = by_name("pairs", pairs, ModelPair, lambda pair: str(pair.name))
    decoders = by_name("algorithms", algorithms, Algorithm, lambda algorithm: str(algorithm.label))
    values = {"draft_length": draft_lengths, "drafts": drafts, "epsilon": epsilons}
    decoders = _vary(decoders, {name: list(given) for name, given in values.items() if given is not None})
    requests = [
        _request(
            name,
            pair,
            label,
            algorithm,
            runs=runs,
            seed=cell_seed(seed, pair, algorithm, pair.check_horizon(horizon)),
            horizon=horizon,
            engine=engine,
            tallies=tallies,
        )
        for name, pair in models.items()
        for label, algorithm in decoders.items()
    ]
    return SweepPlan(pairs=models, algorithms=decoders, requests=requests, seed=seed)


def run_sweep(
    plan: SweepPlan,
    *,
    threads: int | None = None,
    progress: Progress = None,
    store: str | os.PathLike[str] | None = None,
    cluster: Any = None,
    chunk_runs: int | None = None,
) -> xarray.Dataset:
    """Simulate what a plan lists; parameters, result and errors are those of `sweep`."""
    summaries = Summaries(plan.pairs, plan.algorithms, plan.requests, plan.seed)
    with reporting(progress, plan.runs) as report:
        for index, dataset in run_requests(
            plan.requests,
            store=store,
            cluster=cluster,
            threads=threads,
            chunk_runs=chunk_runs,
            progress=report,
        ):
            summaries.add(index, dataset)
    return summaries.dataset()


def cell_seed(seed: int, pair: ModelPair, algorithm: Algorithm, horizon: int) -> int:
    """Return the seed of one combination of a sweep."""
    return derived_seed(seed, f"sweep/{pair.identity}/{algorithm.identity}/{horizon}")


def by_name(field: str, given: Any, kind: type, name: Callable[[Any], str]) -> dict[str, Any]:
    """Return things by name; the same thing twice counts once, and a text is what it spells."""
    spelled = as_pair if kind is ModelPair else as_algorithm
    if isinstance(given, kind | str):
        given = [given]
    items: list[tuple[str | None, Any]]
    if isinstance(given, Mapping):
        items = [(str(label), thing) for label, thing in given.items()]
    else:
        try:
            items = [(None, thing) for thing in given]
        except TypeError:
            raise InputError(f"{field} is {given!r}; give one or several of {kind.__name__}") from None
    if not items:
        raise InputError(f"{field} is empty; give at least one {kind.__name__}")
    found: dict[str, Any] = {}
    for label, thing in items:
        thing = spelled(thing) if isinstance(thing, str) else thing
        if not isinstance(thing, kind):
            raise InputError(f"{field} has {thing!r} in it; give objects of type {kind.__name__}")
        _put(found, field, label if label is not None else name(thing), thing)
    return found


def _put(found: dict[str, Any], field: str, label: str, thing: Any) -> None:
    if label in found and found[label].identity != thing.identity:
        raise InputError(
            f"{field} has different entries called {label!r}; give a dict of names, {field}={{name: ...}}"
        )
    found[label] = thing


def _vary(algorithms: dict[str, Algorithm], values: dict[str, list[Any]]) -> dict[str, Algorithm]:
    """Put the values into every descriptor that has the parameter."""
    taken = {name: {field.name for field in fields(item)} for name, item in algorithms.items()}  # type: ignore[arg-type]
    for parameter, given in values.items():
        if not given:
            raise InputError(f"{_PLURALS[parameter]} is empty; give values, or None for the descriptors' own")
        if not any(parameter in known for known in taken.values()):
            raise InputError(
                f"{_PLURALS[parameter]} is given, but none of the algorithms ({', '.join(algorithms)}) has a "
                f"{parameter}; leave it out"
            )
    found: dict[str, Algorithm] = {}
    for name, algorithm in algorithms.items():
        varied = [parameter for parameter in values if parameter in taken[name]]
        for combination in product(*(values[parameter] for parameter in varied)):
            changes = dict(zip(varied, combination, strict=True))
            changed = replace(algorithm, **changes)  # type: ignore[type-var]
            label = changed.label
            if name != algorithm.label:
                label = ",".join([name, *(f"{key}={value}" for key, value in changes.items())])
            _put(found, "algorithms", label, changed)
    return found


def _request(
    name: str, pair: ModelPair, label: str, algorithm: Algorithm, *, engine: str, **options: Any
) -> Request:
    """Check one combination as far as that is possible without simulating."""
    try:
        return check_request(pair, algorithm, engine=engine, **options)
    except InputError as error:
        raise type(error)(f"{label} on {name}: {error}") from None
