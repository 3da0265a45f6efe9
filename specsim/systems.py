"""`specsim.time_systems`: systems around a verification rule, timed exactly and by simulation.

A system decides what drafts, and when; its rounds are not those of one algorithm. `SYSTEMS` says which there
are and how they are spelled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from specsim.algorithms import Algorithm
from specsim.clocks import CostModel, check_clock
from specsim.comparison.compare import exact_time, simulated_time
from specsim.errors import InputError, TooLargeError
from specsim.grammar import (
    ALGORITHMS,
    DECIMAL,
    WHOLE,
    Entry,
    Kind,
    as_pair,
    check_text,
    parse_algorithm,
    parse_clock,
    parse_entry,
)
from specsim.pairs import ModelPair
from specsim.pairs.model_chains import model_chain
from specsim.support.checks import whole
from specsim.support.intervals import Estimate, ratio_over

_LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class System:
    """A system, as `time_systems` runs it.

    label: its spelling.
    simulate: called with a pair, a clock, and by name runs, seed, horizon and threads; returns an object with
        the time of each run, `ticks`, in units of `unit` target calls.
    expected_time: called with a pair, a clock, and by name the horizon; returns target calls.
    """

    label: str
    simulate: Callable[..., Any]
    expected_time: Callable[..., float]


def _pearl(*, draft_length: int) -> System:
    length = whole("draft_length", draft_length, 1)

    def simulate(pair: ModelPair, clock: CostModel, **options: Any) -> Any:
        from specsim.engines.systems.pearl import simulate_pearl

        return simulate_pearl(pair, length, clock, **options)

    def expected_time(pair: ModelPair, clock: CostModel, horizon: int) -> float:
        from specsim.theory import expected_pearl_time

        return float(expected_pearl_time(pair, length, clock, horizon=horizon))

    return System(label=f"pearl:draft_length={length}", simulate=simulate, expected_time=expected_time)


def _ssd(*, draft_length: int, fan_out: int | tuple[int, ...] = 3) -> System:
    length = whole("draft_length", draft_length, 1)
    fans = "-".join(map(str, fan_out)) if isinstance(fan_out, tuple) else str(fan_out)

    def simulate(pair: ModelPair, clock: CostModel, **options: Any) -> Any:
        from specsim.engines.systems.ssd import simulate_ssd

        return simulate_ssd(pair, length, clock, fan_out=fan_out, **options)

    def expected_time(pair: ModelPair, clock: CostModel, horizon: int) -> float:
        from specsim.theory import expected_ssd_time

        return float(expected_ssd_time(pair, length, clock, fan_out=fan_out, horizon=horizon))

    label = f"ssd:draft_length={length},fan_out={fans}"
    return System(label=label, simulate=simulate, expected_time=expected_time)


def _polybasic(*, lengths: tuple[int, ...], target_share: float, cost: float) -> System:
    def simulate(pair: ModelPair, clock: CostModel, **options: Any) -> Any:
        from specsim.engines.systems.polybasic import simulate_polybasic

        return simulate_polybasic(model_chain(pair, target_share), lengths, clock, middle=[cost], **options)

    def expected_time(pair: ModelPair, clock: CostModel, horizon: int) -> float:
        from specsim.theory import expected_polybasic_time

        chain = model_chain(pair, target_share)
        return float(expected_polybasic_time(chain, lengths, clock, middle=[cost], horizon=horizon))

    spelled = "-".join(map(str, lengths))
    label = f"polybasic:lengths={spelled},target_share={target_share:g},cost={float(cost):g}"
    return System(label=label, simulate=simulate, expected_time=expected_time)


def _read_several(text: str) -> tuple[int, ...]:
    return tuple(WHOLE.read(part) for part in text.split("-"))


def _read_fans(text: str) -> int | tuple[int, ...]:
    return _read_several(text) if "-" in text else int(WHOLE.read(text))


_FANS = Kind(description="a whole number, or one for each accepted length such as 4-2-1", read=_read_fans)
_SEVERAL = Kind(description="whole numbers such as 4-2", read=_read_several)

#: Systems by keyword.
SYSTEMS: dict[str, Entry] = {
    "pearl": Entry(
        build=_pearl,
        keys={"draft_length": WHOLE},
        required=("draft_length",),
        help="PEARL (2408.11850): draft while verifying, on two devices.",
    ),
    "ssd": Entry(
        build=_ssd,
        keys={"draft_length": WHOLE, "fan_out": _FANS},
        required=("draft_length",),
        help="Speculative speculative decoding (2603.03251): draft for guessed outcomes, on two devices.",
    ),
    "polybasic": Entry(
        build=_polybasic,
        keys={"lengths": _SEVERAL, "target_share": DECIMAL, "cost": DECIMAL},
        required=("lengths", "target_share", "cost"),
        help="Polybasic decoding (2510.26527): a third model between the two, a mixture with this share of "
        "the target, whose calls cost this part of a target call.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class SystemTime:
    """Times of one system, in target calls; NaN where one is not known.

    Attributes
    ----------
    system
        Its spelling.
    exact_time, exact_speed_up
        By theory: expected time of a run, and the time of plain decoding over it.
    time, time_error
        Mean time of a simulated run, and its standard error.
    speed_up, speed_up_error
        Time of plain decoding over the mean time, and its standard error.

    Examples
    --------
    >>> from specsim import time_systems
    >>> (row,) = time_systems("paper:20", "autoregressive", "draft=0.25", runs=10)
    >>> row.exact_time, row.speed_up
    (20.0, 1.0)
    """

    system: str
    exact_time: float
    time: float
    time_error: float
    exact_speed_up: float
    speed_up: float
    speed_up_error: float


def parse_system(text: str) -> System | Algorithm:
    """Return the system, or the algorithm, that a text spells.

    InputError: there is none of this name, or a key is wrong.
    """
    check_text("system", text)
    keyword = text.strip().partition(":")[0]
    if keyword in ALGORITHMS or ".py:" in text:
        return parse_algorithm(text)
    found: System = parse_entry("system", text, SYSTEMS)
    return found


def time_systems(
    pair: ModelPair | str,
    systems: Iterable[Algorithm | str] | str,
    clock: CostModel | str,
    *,
    runs: float = 100_000,
    seed: int = 0,
    horizon: int | None = None,
    threads: int | None = None,
) -> tuple[SystemTime, ...]:
    """Time systems and algorithms on one pair with one clock, exactly and by simulation.

    Parameters
    ----------
    pair
        The models, or a text such as ``"paper:50"``.
    systems
        Texts such as ``"pearl:draft_length=4"``, for systems, and ``"speculative:draft_length=4"``, for
        algorithms; or descriptors of algorithms.
    clock
        What steps, calls and rounds cost, or a text such as ``"draft=0.25"``.
    runs, seed, horizon, threads
        As in `specsim.simulate`.

    Raises
    ------
    InputError
        A text is no system, or an argument is out of range.

    Examples
    --------
    >>> from specsim import time_systems
    >>> systems = ["pearl:draft_length=4", "speculative:draft_length=4"]
    >>> found = time_systems("paper:50", systems, "draft=0.25", runs=1000)
    >>> [round(row.exact_speed_up, 3) for row in found]
    [1.617, 1.298]
    """
    model, costs = as_pair(pair), parse_clock(clock) if isinstance(clock, str) else clock
    check_clock(costs)
    listed = [systems] if isinstance(systems, str) else list(systems)
    chosen = [parse_system(each) if isinstance(each, str) else each for each in listed]
    if not chosen:
        raise InputError("systems is empty; give at least one, such as pearl:draft_length=4")
    length, count = model.check_horizon(horizon), whole("runs", runs, 1, floats=True)
    options: dict[str, Any] = {"runs": count, "seed": seed, "horizon": length, "threads": threads}
    return tuple(_time(model, each, costs, options) for each in chosen)


def _time(
    pair: ModelPair, system: System | Algorithm, clock: CostModel, options: dict[str, Any]
) -> SystemTime:
    horizon = options["horizon"]
    plain = float(sum(clock.plain_times(horizon)))
    exact, time, faster = math.nan, _NOTHING, _NOTHING
    if isinstance(system, System):
        with suppress(TooLargeError):
            exact = system.expected_time(pair, clock, horizon=horizon)
        found = system.simulate(pair, clock, **options)
        times = np.asarray(found.ticks, dtype=np.float64) * float(found.unit)
        one = np.ones(len(times))
        time, faster = ratio_over(times, one, _LEVEL), ratio_over(plain * one, times, _LEVEL)
    elif isinstance(system, Algorithm):
        exact = exact_time(pair, system, clock, horizon)
        time, faster = simulated_time(pair, system, clock, level=_LEVEL, **options)
    else:
        raise InputError(f"systems has {system!r}; give texts such as 'pearl:draft_length=4', or algorithms")
    return SystemTime(
        system=system.label,
        exact_time=exact,
        time=time.value,
        time_error=time.standard_error,
        exact_speed_up=plain / exact,
        speed_up=faster.value,
        speed_up_error=faster.standard_error,
    )


_NOTHING = Estimate(value=math.nan, standard_error=math.nan, low=math.nan, high=math.nan)
