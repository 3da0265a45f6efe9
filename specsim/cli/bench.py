"""``specsim bench``: simulators side by side, each checked against theory before it is timed."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from specsim.cli.output import show
from specsim.errors import InputError

_HELP = """Time specsim's engines beside hand-written C, NumPy and JAX, in CPU time per emitted token.

All contenders run in one process on one core, in turn. Each is first compared with exact theory; a wrong one
is not timed. Needs a checkout of the project (folder benchmarks/); C is timed where a compiler is found.

\b
Examples:
  specsim bench
  specsim bench --workload "S=7 T=50" --repetitions 21
  specsim bench --contender "specsim alias" --contender "C gather" --json bench.json
"""


@click.command("bench", help=_HELP)
@click.option("--repetitions", type=click.IntRange(1), default=9, show_default=True, help="Timed calls.")
@click.option(
    "--seconds", type=click.FloatRange(0.001), default=0.2, show_default=True, help="CPU time of one call."
)
@click.option("--workload", "workloads", multiple=True, help="Only this workload; may be repeated.")
@click.option("--contender", "contenders", multiple=True, help="Only this contender; may be repeated.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False), help="Write everything to this file.")
def command(
    repetitions: int,
    seconds: float,
    workloads: tuple[str, ...],
    contenders: tuple[str, ...],
    json_file: str | None,
) -> None:
    """Run the benchmark; exit with 1 when a contender is wrong."""
    runner = load("benchmarks.runner")
    known = {
        "workload": [workload.name for workload in load("benchmarks.workloads").WORKLOADS],
        "contender": [contender.name for contender in load("benchmarks.contenders").all_contenders()],
    }
    for option, asked in (("workload", workloads), ("contender", contenders)):
        for name in asked:
            if name not in known[option]:
                raise InputError(f"{option} is {name!r}; give one of: {'; '.join(known[option])}")
    result = runner.run_all(
        repetitions=repetitions,
        seconds=seconds,
        workloads=workloads or None,
        contenders=contenders or None,
        report=lambda line: click.echo(line, err=True),
    )
    if json_file is not None:
        write(Path(json_file), result)
    _print(result)
    wrong = [row for row in result["timings"] if row["problem"]]
    if wrong:
        sys.exit(1)


def load(name: str) -> Any:
    """Import a module of the folder ``benchmarks`` that lies beside the package in a checkout."""
    import specsim

    root = Path(specsim.__file__).resolve().parents[1]
    if not (root / "benchmarks" / "runner.py").is_file():
        raise InputError(f"bench needs the folder {root / 'benchmarks'}; run it in a checkout")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return import_module(name)


def write(path: Path, result: dict[str, Any]) -> None:
    """Write the result as JSON."""
    import json

    from specsim.files import replacing

    with replacing(path) as temporary:
        Path(temporary).write_text(json.dumps(result, indent=2) + "\n")


def _print(result: dict[str, Any]) -> None:
    from rich.table import Table

    machine = result["environment"]
    times = Table(title=f"CPU nanoseconds per token; {machine['processor']}, one core", title_justify="left")
    for column in ("workload", "contender", "median", "low", "high", "method"):
        times.add_column(column, justify="right" if column in ("median", "low", "high") else "left")
    for row in result["timings"]:
        numbers = (
            [f"{row[name]:.3g}" for name in ("median", "low", "high")]
            if row["nanoseconds"]
            else ["wrong", "", ""]
        )
        times.add_row(row["workload"], row["contender"], *numbers, row["problem"] or row["note"])
    quotients = Table(title="Ratios of interleaved times", title_justify="left")
    for column in ("workload", "contender", "against", "median", "low", "high", "asked", "met"):
        quotients.add_column(column, justify="right" if column in ("median", "low", "high") else "left")
    for row in result["ratios"]:
        numbers = [f"{row[name]:.3g}" for name in ("ratio", "low", "high")]
        met = "yes" if row["met"] else "no"
        quotients.add_row(row["workload"], row["contender"], row["against"], *numbers, row["limit"], met)
    speeds = Table(title="Tokens per second and core", title_justify="left")
    for column in ("workload", "contender", "1e9 tokens/s", "asked", "met"):
        speeds.add_column(column)
    for row in result["rates"]:
        speeds.add_row(
            row["workload"],
            row["contender"],
            f"{row['tokens_per_second'] / 1e9:.3g}",
            f"{row['least'] / 1e9:g}",
            "yes" if row["met"] else "no",
        )
    show(times, quotients, speeds)
