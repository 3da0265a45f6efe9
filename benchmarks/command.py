"""``specsim bench``: compare the speed of simulators, each checked against theory before it is timed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from benchmarks import runner
from benchmarks.contenders import all_contenders
from benchmarks.runner import PARTS
from benchmarks.workloads import WORKLOADS
from specsim.cli.output import show
from specsim.errors import InputError
from specsim.support.files import write_text

_HELP = """Compare the speed of specsim's engines with hand-written C, NumPy and JAX, in CPU time per token.

All programs (contenders) take turns in one process on one core. Each is first compared with exact theory; a
wrong one is not timed. This needs a checkout of the project (folder benchmarks/); C is timed if a compiler is
found.

\b
PART is one or more of these; default: all.
  engines   Algorithm 1, every contender
  ceilings  speed of random words and of memory access alone, and the share of it that contenders reach
  batch     Algorithm 4 with 1, 4 and 16 drafts
  literal   the loop of the engine literal and the same loop in C; compilation of its kernels
  systems   the loops of PEARL, of chains of models and of SSD, and the same loops in C
  exact     computation of exact expected rejections
  scaling   growth of time with runs, horizon, vocabulary, drafts and threads
  startup   time from process start to the first result; compilation without a cache

\b
Examples:
  specsim bench
  specsim bench --quick
  specsim bench engines ceilings --json-file bench.json
  specsim bench engines ceilings --json-file bench.json --resume
  specsim bench --workload "S=7 T=50" --repetitions 21
  specsim bench --contender "specsim alias" --contender "C gather" --json-file bench.json
"""


@click.command("bench", help=_HELP)
@click.argument("parts", nargs=-1, metavar="[PART]...", type=click.Choice(PARTS))
@click.option("--quick", is_flag=True, help="Fewer and shorter calls; skips parts that take minutes.")
@click.option(
    "--repetitions", type=click.IntRange(1), help="Number of timed calls. Default: 9, or 3 with --quick."
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.001),
    help="CPU time of one call. Default: 0.2, or 0.05 with --quick.",
)
@click.option(
    "--workload", "workloads", multiple=True, help="Only this workload (name in the tables); may be repeated."
)
@click.option(
    "--contender",
    "contenders",
    multiple=True,
    help="Only this program (name in the tables); may be repeated.",
)
@click.option(
    "--json-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the results as JSON to FILE, again after every workload.",
)
@click.option("--resume", is_flag=True, help="Continue the interrupted run in --json-file FILE.")
def command(
    parts: tuple[str, ...],
    quick: bool,
    repetitions: int | None,
    seconds: float | None,
    workloads: tuple[str, ...],
    contenders: tuple[str, ...],
    json_file: Path | None,
    resume: bool,
) -> None:
    """Run the benchmark; exit with 1 when a contender is wrong."""
    known = {
        "workload": [workload.name for workload in WORKLOADS],
        "contender": [contender.name for contender in all_contenders()],
    }
    for option, asked in (("workload", workloads), ("contender", contenders)):
        for name in asked:
            if name not in known[option]:
                raise InputError(f"{option} is {name!r}; give one of: {'; '.join(known[option])}")
    if resume and json_file is None:
        raise InputError("resume is given without a file; add --json-file FILE")
    result = runner.run_all(
        repetitions=repetitions or (3 if quick else 9),
        seconds=seconds or (0.05 if quick else 0.2),
        parts=parts or PARTS,
        quick=quick,
        workloads=workloads or None,
        contenders=contenders or None,
        report=lambda line: click.echo(line, err=True),
        earlier=read(json_file) if resume and json_file is not None and json_file.exists() else None,
        keep=lambda result: None if json_file is None else write(json_file, result),
    )
    _print(result)
    rows = [
        *result["timings"],
        *(row for part in ("literal", "systems", "exact", "scaling") for row in result.get(part, ())),
    ]
    if any(row["problem"] for row in rows):
        sys.exit(1)


def write(path: Path, result: dict[str, Any]) -> None:
    """Write the result as JSON."""
    write_text(path, json.dumps(result, indent=2) + "\n")


def read(path: Path) -> dict[str, Any]:
    """Read what `write` wrote."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        result = None
    if not isinstance(result, dict) or not isinstance(result.get("pieces"), list):
        raise InputError(f"{path} is not an interrupted benchmark; give another file")
    return result


def _print(result: dict[str, Any]) -> None:
    from benchmarks.tables import tables

    show(*tables(result))
