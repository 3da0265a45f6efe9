"""``specsim compare``: algorithms on one pair, exact and simulated results."""

from pathlib import Path

import click

from specsim.cli import completing
from specsim.cli.arguments import GRAMMAR, horizon_option, plot_option
from specsim.cli.output import COSTS_HELP, JSON_HELP, Count, output_file, show_json
from specsim.grammar import parse_algorithm, parse_clock, parse_pair
from specsim.support.expansion import expand

_HELP = """Compare each ALGORITHM on PAIR. The result has exact and simulated tokens per target
call, target calls and rejections; how close each comes to the best lossless rule; and whether its
output has the target's distribution.

\b
Examples:
  specsim compare paper:50 speculative:draft_length=4 block:draft_length=4 batch:drafts=3,draft_length=4
  specsim compare random:contexts=3,horizon=4,seed=1 ratio:draft_length=2 my_rules.py:damped:draft_length=2
  specsim compare paper:20 ratio:draft_length={1..6} --runs 1e5 --json
  specsim compare paper:50 ratio:draft_length={1..6} --costs draft=0.1,overhead=0.02
  specsim compare random:contexts=3,horizon=4,seed=1 traversal:tree=2-1 --html page.html --plot picture.png"""

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("compare", help=_HELP, epilog=GRAMMAR)
@click.argument("pair", metavar="PAIR", shell_complete=completing.pairs)
@click.argument(
    "algorithms", metavar="ALGORITHM...", nargs=-1, required=True, shell_complete=completing.algorithms
)
@click.option("--runs", type=Count(), default=100_000, show_default=True, metavar="N", help="Simulated runs.")
@click.option(
    "--seed", type=Count(), default=0, show_default=True, metavar="N", help="Seed of the simulations."
)
@horizon_option
@click.option("--threads", type=int, metavar="N", help="Threads. Default: one per core.")
@click.option("--costs", metavar="COSTS", help=COSTS_HELP)
@click.option("--html", type=_FILE, metavar="FILE", help="Write one page that needs nothing else.")
@plot_option
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(
    pair: str,
    algorithms: tuple[str, ...],
    runs: int,
    seed: int,
    horizon: int | None,
    threads: int | None,
    costs: str | None,
    html: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Compare and print."""
    from specsim.comparison.compare import compare

    chosen = [parse_algorithm(text) for given in algorithms for text in expand(given)]
    clock = None if costs is None else parse_clock(costs)
    with output_file(html) as page, output_file(plot) as picture:
        found = compare(
            parse_pair(pair), chosen, runs=runs, seed=seed, horizon=horizon, threads=threads, clock=clock
        )
        if page is not None:
            page.write_text(found.html(), encoding="utf-8")
        if picture is not None:
            from specsim.plot import save

            save(found.plot(), picture)
    if as_json:
        show_json({**found.data.attrs, "algorithms": found.rows()})
    else:
        click.echo(str(found))
