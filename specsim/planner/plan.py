"""`specsim.plan`: which rule and draft length are fastest, by how much, and whether the data can decide."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from specsim.algorithms import Algorithm
from specsim.clocks import Clock, CostModel
from specsim.errors import InputError
from specsim.grammar import PAIRS, parse_clock, parse_pair
from specsim.pairs import ModelPair
from specsim.planner.candidates import Candidate, candidates_of_log, candidates_of_pair
from specsim.planner.costs import fit_costs, misfit
from specsim.planner.estimates import DRAWS, estimate
from specsim.records.servers import ServerLog, read_server_log
from specsim.support.checks import whole
from specsim.support.intervals import check_confidence

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

Objective = Literal["latency", "throughput"]
#: Assumed where nothing else is said.
USUAL_COSTS = Clock(draft=0.1)
#: Largest batch that is looked at for the break-even.
MOST_BATCH = 2**20


@dataclass(frozen=True, kw_only=True)
class Row:
    """One candidate at one batch size.

    Attributes
    ----------
    label
        Its spelling; ``plain`` for plain decoding.
    draft_length
        Drafted tokens on the longest path.
    levels
        Drafted tokens at each depth.
    tokens, tokens_low, tokens_high
        Emitted tokens per round, with their interval; equal for a pair, where they are exact.
    time
        Of a round, in target calls of one token of one sequence.
    speed_up, low, high
        Over plain decoding at the same batch size, with the interval.
    constant
        Tokens per round by the formula of constant acceptance; NaN where it has none.
    measured
        A measured speed-up from the log; NaN where there is none.
    """

    label: str
    draft_length: int
    levels: tuple[int, ...]
    tokens: float
    tokens_low: float
    tokens_high: float
    time: float
    speed_up: float
    low: float
    high: float
    constant: float
    measured: float = math.nan

    @property
    def constant_error(self) -> float:
        """Relative error of the formula of constant acceptance."""
        return self.constant / self.tokens - 1


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is best at one batch size.

    Attributes
    ----------
    batch
        Sequences in each call.
    rows
        All candidates, in the order in which they were given; plain decoding first.
    best, runner_up
        Labels.
    margin, margin_low, margin_high
        Relative lead in speed of the best over the runner-up, with its interval.
    undecided
        Labels of the candidates that the data cannot distinguish from the best.
    throughput
        Tokens of the whole batch per target call.
    """

    batch: int
    rows: tuple[Row, ...]
    best: str
    runner_up: str
    margin: float
    margin_low: float
    margin_high: float
    undecided: tuple[str, ...]
    throughput: float

    def row(self, label: str) -> Row:
        """Return a candidate by its label."""
        return next(row for row in self.rows if row.label == label)


@dataclass(frozen=True, kw_only=True, repr=False)
class Plan:
    """What `plan` found; print it, or ask for a configuration or a page.

    Attributes
    ----------
    source, kind
        Where it comes from, and ``"pair"`` or ``"log"``.
    understood, warnings
        In sentences.
    costs
        The clock in words.
    clock
        The clock.
    objective
        ``"latency"`` or ``"throughput"``.
    level
        Confidence of each interval.
    choices
        One for each batch size.
    acceptance
        Acceptance probability of the first drafted token, which the formula of constant acceptance uses.
    survivals, survivals_low, survivals_high
        Probability that at least 1, 2, ... drafted tokens are accepted, with intervals; empty where unknown.
    break_even_draft
        Cost of a draft step beyond which nothing pays at the first batch size; None where costs are a table.
    best_from, best_to
        Costs of a draft step between which the choice at the first batch size stays.
    break_even_batch
        Smallest batch size at which nothing pays; None where there is none up to 2^20, or costs are a table.

    Examples
    --------
    >>> from specsim import Speculative, plan
    >>> found = plan("paper:20", costs="draft=0.1", algorithms=[Speculative(draft_length=2)])
    >>> isinstance(found, Plan), found.best.label
    (True, 'speculative:draft_length=2,bonus=yes')
    """

    source: str
    kind: str
    understood: tuple[str, ...]
    warnings: tuple[str, ...]
    costs: str
    clock: CostModel
    objective: Objective
    level: float
    choices: tuple[Choice, ...]
    acceptance: float
    survivals: tuple[float, ...] = ()
    survivals_low: tuple[float, ...] = ()
    survivals_high: tuple[float, ...] = ()
    break_even_draft: float | None = None
    best_from: float | None = None
    best_to: float | None = None
    break_even_batch: int | None = None

    @property
    def choice(self) -> Choice:
        """The choice that the objective asks for: the first batch size, or that of most tokens per time."""
        if self.objective == "throughput":
            return max(self.choices, key=lambda choice: choice.throughput)
        return self.choices[0]

    @property
    def best(self) -> Row:
        """The best candidate."""
        return self.choice.row(self.choice.best)

    def __str__(self) -> str:
        from specsim.planner.report import report

        return report(self)

    def _repr_html_(self) -> str:
        from specsim.planner.report import notebook

        return notebook(self)

    def __repr__(self) -> str:
        return f"<Plan for {self.source}: {self.best.label} at batch {self.choice.batch}>"

    def to_dataframe(self) -> DataFrame:
        """Return a row for each batch size and candidate: the attributes of `Row`, and whether it is best."""
        import pandas

        rows = [
            {"batch": choice.batch, **asdict(row), "best": row.label == choice.best}
            for choice in self.choices
            for row in choice.rows
        ]
        return pandas.DataFrame(rows).rename(columns={"label": "candidate"})

    def plot(self) -> Figure:
        """Return one picture: the speed-up of every candidate, with its interval, at each batch size."""
        from specsim import plot

        return plot.plan(self)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers, texts and lists."""
        found = {key: value for key, value in vars(self).items() if key not in ("clock", "choices")}
        choices = []
        for choice in self.choices:
            rows = [{**asdict(row), "constant_error": row.constant_error} for row in choice.rows]
            choices.append({**{k: v for k, v in vars(choice).items() if k != "rows"}, "rows": rows})
        return {**found, "recommended": {"batch": self.choice.batch, **asdict(self.best)}, "choices": choices}

    def emit(self, engine: str) -> str:
        """Return the configuration for an engine: ``"vllm"``, ``"sglang"`` or ``"trtllm"``."""
        from specsim.planner.emit import emit

        return emit(self, engine)

    def html(self) -> str:
        """Return one self-contained page with sliders."""
        from specsim.planner.page import page

        return page(self)


def plan(
    source: ModelPair | ServerLog | str | os.PathLike[str],
    *,
    costs: CostModel | str | None = None,
    objective: Objective = "latency",
    batch: int | Sequence[int] = 1,
    algorithms: Iterable[Algorithm] | None = None,
    horizon: int | None = None,
    format: str | None = None,
    draft_length: int | None = None,
    select: str | None = None,
    since: str | os.PathLike[str] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Plan:
    """Say which rule and which draft length pay.

    Parameters
    ----------
    source
        A pair, its spelling (`specsim.grammar`), or the log of an inference server.
    costs
        A clock, or its spelling such as ``draft=0.1,overhead=0.02``. Defaults to None: fitted to measured
        speed-ups where the log has some, else a draft step of 0.1 target calls.
    objective
        ``"latency"``: the first batch size counts. ``"throughput"``: the one of most tokens per time.
    batch
        Batch sizes to plan for.
    algorithms
        Candidates, for a pair. Defaults to None: some twenty of the usual ones.
    horizon
        For a pair: tokens to emit. Defaults to None: very long runs where the pair is stationary, else
        its own.
    format, draft_length, select, since
        For a log: see `specsim.read_server_log`.
    level
        Confidence of each interval.
    seed
        Seed of the random draws from which the intervals of a log are computed.

    Raises
    ------
    InputError
        The source is none of these, contradicts itself, or was written with synthetic acceptance.

    Examples
    --------
    >>> from specsim import plan
    >>> found = plan("random:contexts=3,horizon=20,seed=1,stationary=yes", costs="draft=0.1,token=0.05")
    >>> found.best.label, found.choice.undecided
    ('block-verification:draft_length=6,bonus=yes', ())
    """
    if objective not in ("latency", "throughput"):
        raise InputError(f"objective is {objective!r}; give latency or throughput")
    check_confidence(level)
    sizes = [whole("batch", size, 1, MOST_BATCH) for size in ([batch] if isinstance(batch, int) else batch)]
    if not sizes or len(set(sizes)) < len(sizes):
        raise InputError(f"batch is {batch!r}; give different batch sizes, at least one")
    clock = parse_clock(costs) if isinstance(costs, str) else costs
    read: ModelPair | ServerLog
    if isinstance(source, ModelPair | ServerLog):
        read = source
    elif _is_pair(source):
        read = parse_pair(str(source))
    else:
        read = read_server_log(source, format=format, draft_length=draft_length, select=select, since=since)
    if isinstance(read, ModelPair):
        if (format, draft_length, select, since) != (None, None, None, None):
            raise InputError("format, draft_length, select and since are for logs; leave them out for a pair")
        return _plan_pair(read, clock, objective, sizes, algorithms, horizon, level)
    if algorithms is not None or horizon is not None:
        raise InputError(
            "a log cannot compare rules, and has no horizon: it knows only what the rule that ran accepted; "
            "give a "
            "pair or a trace (trace:file=...)"
        )
    return _plan_log(read, clock, objective, sizes, level, seed)


def _is_pair(source: object) -> bool:
    text = str(source)
    return (text.split(":")[0] in PAIRS and ":" in text) or text.endswith(".nc")


def _plan_pair(
    pair: ModelPair,
    clock: CostModel | None,
    objective: Objective,
    sizes: list[int],
    algorithms: Iterable[Algorithm] | None,
    horizon: int | None,
    level: float,
) -> Plan:
    warnings = []
    if clock is None:
        clock = USUAL_COSTS
        warnings.append(_ASSUMED)
    found = candidates_of_pair(pair, algorithms, horizon)
    wide = any(each.structure.kind != "chain" for each in found.listed)
    if wide and isinstance(clock, Clock) and clock.token == 0:
        warnings.append(
            "these costs say that more tokens in a call take no longer, so that trees and paths look better "
            "than they "
            "are; give token and free"
        )
    return _finish(
        pair.name, "pair", found.notes, (*warnings, *found.warnings), clock, objective, sizes, level,
        found.listed, np.ones(1), found.acceptance,
    )  # fmt: skip


_ASSUMED = "no costs were given: a draft step of 0.1 target calls is assumed; measure yours (--costs)"


def _plan_log(
    log: ServerLog, clock: CostModel | None, objective: Objective, sizes: list[int], level: float, seed: int
) -> Plan:
    found = estimate(log, seed)
    warnings, notes = [*log.warnings, *found.warnings], [*log.understood, *found.notes]
    error = 0.0
    if clock is not None:
        differing = misfit(clock, log)
        if differing is None:
            notes.append("intervals are of the acceptance alone, for costs that are exactly these")
        else:
            error, words = differing
            notes.append(words)
    else:
        fitted = fit_costs(log)
        if fitted is None:
            clock = USUAL_COSTS
            warnings.append(_ASSUMED)
        else:
            clock = fitted.clock
            notes.append(fitted.words)
            error = fitted.error
    generator = np.random.Generator(np.random.Philox([seed, 1]))
    noise = np.exp(error * generator.standard_normal((DRAWS, len(found.lengths) + 1)))
    listed = candidates_of_log(found, log)
    longest = max(found.lengths)
    finished = _finish(
        log.source, "log", (f"{log.format}", *notes), tuple(warnings), clock, objective, sizes, level,
        listed, noise, found.acceptance,
    )  # fmt: skip
    extra = []
    if any(choice.row(choice.best).draft_length == longest for choice in finished.choices):
        extra.append(
            f"the best length is the longest measured, {longest}: longer ones may be better, and nothing is "
            "extrapolated; measure them"
        )
    tail = 100 * (1 - level) / 2
    low, high = (
        tuple(np.percentile(found.survival_draws, q, axis=0).tolist()) if len(found.survivals) else ()
        for q in (tail, 100 - tail)
    )
    return replace(
        finished,
        warnings=(*finished.warnings, *extra),
        survivals=tuple(found.survivals.tolist()),
        survivals_low=low,
        survivals_high=high,
    )


def _finish(
    source: str,
    kind: str,
    understood: Iterable[str],
    warnings: Iterable[str],
    clock: CostModel,
    objective: Objective,
    sizes: list[int],
    level: float,
    listed: Sequence[Candidate],
    noise: np.ndarray[Any, Any],
    acceptance: float,
) -> Plan:
    choices = tuple(_choose(clock, size, level, listed, noise) for size in sizes)
    found = Plan(
        source=source,
        kind=kind,
        understood=tuple(understood),
        warnings=tuple(warnings),
        costs=getattr(clock, "label", "costs"),
        clock=clock,
        objective=objective,
        level=level,
        choices=choices,
        acceptance=acceptance,
    )
    return replace(found, **_limits(clock, sizes[0], listed, choices[0].best))


def _choose(
    clock: CostModel, size: int, level: float, listed: Sequence[Candidate], noise: np.ndarray[Any, Any]
) -> Choice:
    plain = float(clock.target_time(1, size))
    times = np.array([float(clock.round_time(each.structure, size)) for each in listed])
    if not plain > 0 or not (times > 0).all():
        raise InputError("costs make a round take no time; give a target call more than 0")
    speeds = np.array([each.tokens for each in listed]) * plain / times
    # Costs are as sure for plain decoding as its own time, which is the unit.
    draws = np.stack([each.draws for each in listed], axis=1) * plain / times / noise
    draws[:, 0] = 1.0
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(draws, (tail, 100 - tail), axis=0)
    rows = []
    for index, each in enumerate(listed):
        tokens_low, tokens_high = np.percentile(each.draws, (tail, 100 - tail))
        rows.append(
            Row(
                label=each.label,
                draft_length=each.structure.depth,
                levels=each.structure.level_sizes,
                tokens=each.tokens,
                tokens_low=float(tokens_low),
                tokens_high=float(tokens_high),
                time=float(times[index]),
                speed_up=float(speeds[index]),
                low=float(low[index]),
                high=float(high[index]),
                constant=each.constant,
                measured=each.measured,
            )
        )
    order = np.argsort(-speeds, kind="stable")
    best, second = int(order[0]), int(order[min(1, len(order) - 1)])
    leads = draws[:, [best]] / draws - 1
    edges = np.percentile(leads, (tail, 100 - tail), axis=0)
    undecided = [listed[i].label for i in order if i != best and edges[0][i] <= 1e-12]
    return Choice(
        batch=size,
        rows=tuple(rows),
        best=listed[best].label,
        runner_up=listed[second].label,
        margin=float(speeds[best] / speeds[second] - 1),
        margin_low=float(edges[0][second]),
        margin_high=float(edges[1][second]),
        undecided=tuple(undecided),
        throughput=float(size * speeds[best] / plain),
    )


def _limits(clock: CostModel, size: int, listed: Sequence[Candidate], best: str) -> dict[str, Any]:
    """Return where the choice changes with the cost of a draft step and with the batch size."""
    if not isinstance(clock, Clock):
        return {}

    still, moving = replace(clock, draft=0), replace(clock, draft=1)
    tokens = np.array([each.tokens for each in listed])

    @cache
    def parts(batch: int) -> tuple[Any, Any]:
        """Return the times of rounds without drafting, and what a draft step of cost 1 adds to each."""
        low, high = (
            np.array([float(each_clock.round_time(each.structure, batch)) for each in listed])
            for each_clock in (still, moving)
        )
        return low, high - low

    def winner(draft: float, batch: int) -> tuple[str, float]:
        rest, steps = parts(batch)
        speeds = tokens * float(clock.target_time(1, batch)) / (rest + draft * steps)
        at = int(np.argmax(speeds))
        return listed[at].label, float(speeds[at])

    def edge(inside: float, outside: float, holds: Callable[[float], bool]) -> float:
        """Bisect between a cost at which something holds and one at which it does not."""
        for _ in range(44):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if holds(middle) else (inside, middle)
        return inside

    here, most = float(clock.draft), 1e3

    def pays(draft: float) -> bool:
        return winner(draft, size)[1] > 1 + 1e-12

    def stays(draft: float) -> bool:
        return winner(draft, size)[0] == best

    found: dict[str, Any] = {"break_even_draft": edge(0.0, most, pays) if pays(0.0) else 0.0}
    found["best_from"] = 0.0 if stays(0.0) else edge(here, 0.0, stays)
    found["best_to"] = math.inf if stays(most) else edge(here, most, stays)
    batch = 1
    while batch <= MOST_BATCH and winner(here, batch)[1] > 1 + 1e-12:
        batch *= 2
    if batch <= MOST_BATCH:
        low, high = batch // 2, batch
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if winner(here, middle)[1] > 1 + 1e-12 else (low, middle)
        found["break_even_batch"] = high
    return found


def read_batches(text: str) -> list[int]:
    """Return batch sizes from a text such as ``1,8,64``."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"batch is {text!r}; give whole numbers such as 1,8,64") from None


def write_page(found: Plan, path: str | os.PathLike[str]) -> None:
    """Write the page of a plan."""
    from specsim.support.files import write_text

    write_text(Path(path), found.html())
