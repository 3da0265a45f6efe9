"""``specsim compare``: algorithms side by side on one pair, exact beside simulated."""

import click

from specsim.cli.arguments import help_with_grammar, horizon_option
from specsim.cli.output import COSTS_HELP, JSON_HELP, Count, show_json
from specsim.grammar import parse_algorithm, parse_clock, parse_pair
from specsim.support.expansion import expand

_HELP = help_with_grammar(
    "Compare each ALGORITHM on PAIR: target calls, rejections and tokens per call, exact and simulated, and "
    "whether the output has the target's law.",
    """\
  specsim compare paper:50 speculative:draft_length=4 block:draft_length=4 batch:drafts=3,draft_length=4
  specsim compare random:contexts=3,horizon=4,seed=1 ratio:draft_length=2 my_rules.py:damped:draft_length=2
  specsim compare paper:20 ratio:draft_length={1..6} --runs 1e5 --json
  specsim compare paper:50 ratio:draft_length={1..6} --costs draft=0.1,overhead=0.02""",
)


@click.command("compare", help=_HELP)
@click.argument("pair", metavar="PAIR")
@click.argument("algorithms", metavar="ALGORITHM...", nargs=-1, required=True)
@click.option("--runs", type=Count(), default=100_000, show_default=True, metavar="N", help="Simulated runs.")
@click.option(
    "--seed", type=Count(), default=0, show_default=True, metavar="N", help="Seed of the simulations."
)
@horizon_option
@click.option("--threads", type=int, metavar="N", help="Threads. Default: one per core.")
@click.option("--costs", metavar="COSTS", help=COSTS_HELP)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(
    pair: str,
    algorithms: tuple[str, ...],
    runs: int,
    seed: int,
    horizon: int | None,
    threads: int | None,
    costs: str | None,
    as_json: bool,
) -> None:
    """Compare and print."""
    from specsim.comparing import compare

    chosen = [parse_algorithm(text) for given in algorithms for text in expand(given)]
    clock = None if costs is None else parse_clock(costs)
    found = compare(
        parse_pair(pair), chosen, runs=runs, seed=seed, horizon=horizon, threads=threads, clock=clock
    )
    if not as_json:
        click.echo(str(found))
        return
    data = found.data
    rows = [
        {
            str(name): data[name].values[index].item()
            for name in ("algorithm", "lossless", "output", "description", "engine", *data.data_vars)
        }
        for index in range(data.sizes["algorithm"])
    ]
    show_json({**data.attrs, "algorithms": rows})
