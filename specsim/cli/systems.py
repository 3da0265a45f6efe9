"""``specsim systems``: the time that a system takes, exact and simulated."""

import math
from dataclasses import asdict
from typing import Any

import click

from specsim.cli import completing
from specsim.cli.arguments import horizon_option
from specsim.cli.output import COSTS_HELP, JSON_HELP, Count, doing, show, show_json, table
from specsim.errors import InputError
from specsim.grammar import parse_clock, parse_pair
from specsim.support.expansion import expand
from specsim.systems import SYSTEMS, SystemTime, parse_system, time_systems

_HELP = """Time each SYSTEM on PAIR, exactly and by simulation; without arguments, list the systems.

A system drafts on a second device, or with a third model (docs/systems.md). Times are in target calls. The
speed-up is the time of plain decoding divided by the mean time.

\b
Examples:
  specsim systems
  specsim systems paper:50 pearl:draft_length=4 --costs draft=0.25
  specsim systems paper:50 ssd:draft_length=4,fan_out=4-3-2-1-1 --costs draft=0.02
  specsim systems paper:50 polybasic:lengths=6-4,target_share=0.8,cost=0.2 --costs draft=0.02
  specsim systems paper:50 pearl:draft_length={{2,4,8}} speculative:draft_length=4 --costs draft=0.25

\b
SYSTEM is one of
{systems}
or an ALGORITHM, such as speculative:draft_length=4. PAIR and ALGORITHM: see 'specsim expect --help'.
"""
_HELP = _HELP.format(
    systems="\n".join(f"  {entry.usage(name)}\n      {entry.help}" for name, entry in SYSTEMS.items())
)


@click.command("systems", help=_HELP)
@click.argument("pair", metavar="[PAIR", required=False, shell_complete=completing.pairs)
@click.argument("systems", metavar="SYSTEM...]", nargs=-1, shell_complete=completing.systems)
@click.option("--costs", metavar="COSTS", help=COSTS_HELP)
@click.option(
    "--runs", type=Count(1), default=100_000, show_default=True, metavar="N", help="Simulated runs."
)
@click.option(
    "--seed", type=Count(), default=0, show_default=True, metavar="N", help="Seed of the simulations."
)
@horizon_option
@click.option("--threads", type=int, metavar="N", help="Threads. Default: one per core.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(
    pair: str | None,
    systems: tuple[str, ...],
    costs: str | None,
    runs: int,
    seed: int,
    horizon: int | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Time and print."""
    if pair is None:
        _list(as_json)
        return
    if not systems:
        raise InputError(f"no system is given for the pair {pair!r}; give one, such as pearl:draft_length=4")
    if costs is None:
        raise InputError("costs are missing, on which times depend; give them, such as --costs draft=0.25")
    chosen = [text for given in systems for text in expand(given)]
    for text in chosen:
        parse_system(text)
    clock = parse_clock(costs)
    with doing(f"reading {pair}"):
        model = parse_pair(pair)
    length = model.check_horizon(horizon)
    with doing("timing; kernels are compiled on first use, which takes up to a minute"):
        found = time_systems(model, chosen, clock, runs=runs, seed=seed, horizon=length, threads=threads)
    plain = float(sum(clock.plain_times(length)))
    head = {
        "pair": model.name,
        "horizon": length,
        "costs": costs,
        "runs": runs,
        "seed": seed,
        "plain_time": plain,
    }
    if as_json:
        show_json({**head, "systems": [asdict(row) for row in found]})
        return
    rows: list[tuple[Any, ...]] = [("plain decoding", f"{plain:.6g}", "", "", "1", "", "")]
    rows += [_row(each) for each in found]
    columns = ("time", "simulated", "s.e.", "speed-up", "simulated", "s.e.")
    made = table(
        f"{model.name}, horizon {length}, costs {costs}, in target calls", ("system",), columns, rows
    )
    for column in made.columns[1:]:
        column.no_wrap = True
    show(made, f"{runs} runs, seed {seed}; time and speed-up are exact, followed by the simulated values")


def _row(found: SystemTime) -> tuple[str, ...]:
    times = (found.exact_time, found.time, found.time_error)
    speeds = (found.exact_speed_up, found.speed_up, found.speed_up_error)
    digits = (".6g", ".6g", ".2g", ".5g", ".5g", ".2g")
    return found.system, *(
        "-" if math.isnan(value) else format(value, spelling)
        for value, spelling in zip((*times, *speeds), digits, strict=True)
    )


def _list(as_json: bool) -> None:
    if as_json:
        listed = [
            {"name": name, "spelling": entry.usage(name), "help": entry.help}
            for name, entry in SYSTEMS.items()
        ]
        show_json({"systems": listed})
        return
    rows = [(name, entry.usage(name), entry.help) for name, entry in SYSTEMS.items()]
    show(table("Systems (docs/systems.md)", ("system", "spelling", "what it is"), rows=rows))
