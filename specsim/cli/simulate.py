"""``specsim simulate``: simulated results of a pair and an algorithm, compared with theory."""

import time
from pathlib import Path

import click

from specsim.cli.arguments import (
    GRAMMAR,
    engine_option,
    horizon_option,
    pair_and_algorithm,
    plot_option,
)
from specsim.cli.expect import describe
from specsim.cli.output import (
    JSON_HELP,
    Count,
    doing,
    output_file,
    progress,
    show,
    show_json,
    write_dataset,
)
from specsim.cli.scaling import resumable, scale_options
from specsim.grammar import parse_algorithm, parse_pair

_HELP = """Simulate ALGORITHM on PAIR. Print the observed means with their standard errors and, if
they can be computed, the exact values. The same seed gives the same numbers on every machine, with
any number of threads, on a cluster, and after an interruption (--resume).

\b
Examples:
  specsim simulate paper:50 speculative --runs 100000 --seed 1
  specsim simulate paper:50 batch:drafts=4 --runs 1e6 --seed 1 --out batch.nc
  specsim simulate paper:50 speculative --runs 1e10 --seed 1 --engine alias --resume chunks
  specsim simulate paper:50 speculative --runs 1e12 --seed 1 --resume chunks --cluster tcp://10.0.0.1:8786
  specsim simulate prefix:tokens=2,horizon=4,seed=1 speculative:draft_length=2 --runs 1e5 --json"""


@click.command("simulate", help=_HELP, epilog=GRAMMAR)
@pair_and_algorithm
@click.option(
    "--runs",
    type=Count(),
    required=True,
    metavar="N",
    help="Number of simulated texts, such as 200000 or 2e5.",
)
@click.option("--seed", type=int, metavar="N", help="Seed, 0 to 2^64 - 1. Default: random; it is printed.")
@horizon_option
@click.option("--threads", type=int, metavar="N", help="Number of threads. Default: one per core.")
@engine_option
@scale_options
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.nc", help="Write all counts as netCDF.")
@plot_option
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(
    pair: str,
    algorithm: str,
    runs: int,
    seed: int | None,
    horizon: int | None,
    threads: int | None,
    engine: str,
    resume: Path | None,
    cluster: str | None,
    chunk_runs: int | None,
    out: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Simulate and compare."""
    import specsim
    from specsim.comparison.beside_theory import as_document
    from specsim.comparison.summaries import SimulationSummary, summary

    with doing(f"reading {pair}"):
        model = parse_pair(pair)
    decoder = parse_algorithm(algorithm)
    length = model.check_horizon(horizon)
    # The files are opened first: an unwritable folder is found out before the work, not after it.
    with output_file(out) as temporary, output_file(plot) as picture, resumable(resume, seed):
        start = time.perf_counter()
        with progress("simulating", runs) as update:
            dataset = specsim.simulate(
                model,
                decoder,
                runs=runs,
                seed=seed,
                horizon=length,
                engine=engine,
                threads=threads,
                progress=update,
                store=resume,
                cluster=cluster,
                chunk_runs=chunk_runs,
            )
        seconds = time.perf_counter() - start
        if temporary is not None:
            write_dataset(dataset, temporary)
        if picture is not None:
            specsim.plot.save(specsim.plot.laws(model, decoder, simulated=dataset), picture)
    with doing(f"computing the exact laws of {decoder.label} on {model.name}"):
        found = summary(dataset, model, decoder)
    assert isinstance(found, SimulationSummary)
    if as_json:
        provenance = {
            "runs": runs,
            "seed": int(dataset.attrs["seed"]),
            "engine": dataset.attrs["engine"],
            "out": None if out is None else str(out),
        }
        document = {**describe(model, decoder, length), **provenance}
        show_json({**document, **as_document(found.lines, found.extremes, found.silence)})
    else:
        tallies = [f"tallies: {out}"] if out is not None else []
        show(*found.renderables(), f"{seconds:.1f} s", *tallies)
