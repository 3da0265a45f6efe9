"""``specsim plan``: which rule and draft length pay."""

from __future__ import annotations

from pathlib import Path

import click

from specsim.cli import completing
from specsim.cli.arguments import plot_option
from specsim.cli.output import COSTS_HELP, JSON_HELP, output_file, show_json
from specsim.grammar import parse_algorithm
from specsim.records.servers import FORMATS
from specsim.support.expansion import expand

_HELP = """Find the rule and draft length with the best expected speed-up, with intervals.

INPUT is a pair ('specsim expect --help' lists them) or the log of an inference server. A log contains only
what one rule accepted; it can choose a draft length, but not a rule.

\b
Formats of logs (detected automatically, or set by --format):
{formats}

\b
Examples:
  specsim plan random:contexts=7,horizon=50,seed=1,stationary=yes --costs draft=0.1,overhead=0.02
  specsim plan metrics.txt --since earlier.txt --costs draft=0.08 --batch 1,8,64 --emit vllm
  specsim plan golden.yaml --select minimax-m3/thinking_on --costs draft=0.05 --html plan.html
"""
_HELP = _HELP.format(formats="\n".join(f"  {name:20}{each.title}" for name, each in FORMATS.items()))


@click.command("plan", help=_HELP)
@click.argument("source", metavar="INPUT", shell_complete=completing.pairs)
@click.option(
    "--costs", metavar="COSTS", help=COSTS_HELP + " Default: fitted to measured speed-ups, or draft=0.1."
)
@click.option(
    "--objective", type=click.Choice(["latency", "throughput"]), default="latency", show_default=True,
    help="latency: choose for the first batch size; throughput: for the one with most tokens per time.",
)  # fmt: skip
@click.option("--batch", default="1", show_default=True, metavar="N,N,...", help="Batch sizes to plan for.")
@click.option(
    "--algorithm", "algorithms", multiple=True, metavar="ALGORITHM", shell_complete=completing.algorithms,
    help="A candidate, if INPUT is a pair; repeatable, with ranges such as block:draft_length={1..4}.",
)  # fmt: skip
@click.option(
    "--horizon",
    type=int,
    metavar="N",
    help="Number of tokens to emit, if INPUT is a pair. Default: very long texts.",
)
@click.option("--format", type=click.Choice(list(FORMATS)), metavar="NAME", help="Format of the log.")
@click.option(
    "--draft-length", type=int, metavar="K", help="Drafted tokens per round, if the log does not say it."
)
@click.option("--select", metavar="NAME", help="Which model or table, if the log has several.")
@click.option(
    "--since",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Earlier counters of the same server, to subtract.",
)
@click.option("--level", type=float, default=0.95, show_default=True, help="Confidence of each interval.")
@click.option(
    "--emit",
    type=click.Choice(["vllm", "sglang", "trtllm"]),
    help="Also print the configuration for this inference server.",
)
@click.option(
    "--html", type=click.Path(path_type=Path), metavar="FILE", help="Write a web page with sliders."
)
@plot_option
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(
    source: str,
    costs: str | None,
    objective: str,
    batch: str,
    algorithms: tuple[str, ...],
    horizon: int | None,
    format: str | None,
    draft_length: int | None,
    select: str | None,
    since: Path | None,
    level: float,
    emit: str | None,
    html: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Plan and print."""
    from specsim.planner.plan import plan, read_batches

    # The files are opened first: an unwritable folder is found out before the work, not after it.
    with output_file(html) as page, output_file(plot) as picture:
        found = plan(
            source,
            costs=costs,
            objective=objective,  # type: ignore[arg-type]
            batch=read_batches(batch),
            algorithms=[parse_algorithm(text) for given in algorithms for text in expand(given)] or None,
            horizon=horizon,
            format=format,
            draft_length=draft_length,
            select=select,
            since=since,
            level=level,
        )
        if page is not None:
            page.write_text(found.html(), encoding="utf-8")
        if picture is not None:
            from specsim.plot import save

            save(found.plot(), picture)
    if as_json:
        document = found.to_dict()
        show_json({**document, "configuration": found.emit(emit)} if emit else document)
        return
    click.echo(str(found))
    if emit:
        click.echo(f"\nFor {emit}:\n{found.emit(emit)}", nl=False)
