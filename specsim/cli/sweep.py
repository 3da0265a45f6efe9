"""``specsim sweep``: many pairs, algorithms and parameters in one table, with exact results."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import specsim
from specsim.cli import completing
from specsim.cli.arguments import GRAMMAR, engine_option, plot_option
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
from specsim.errors import InputError
from specsim.grammar import parse_algorithm, parse_pair
from specsim.support.expansion import expand

if TYPE_CHECKING:
    import xarray

_HELP = """Simulate every ALGORITHM on every PAIR. Print the means with their standard errors and,
if they can be computed, the exact values. Both options can be repeated, and can contain lists such
as {1,2,4} and ranges such as {1..8} (in quotes, because shells expand braces). Each combination has
its own seed, derived from --seed and from what is simulated.

\b
Examples:
  specsim sweep --pair paper:50 --algorithm 'batch:drafts={1,2,4,8}' --runs 1e5 --seed 1
  specsim sweep --pair 'paper:{50,100}' --algorithm speculative --algorithm autoregressive --runs 1e5 --seed 1
  specsim sweep --pair 'random:contexts=7,horizon=50,seed={1..20}' --algorithm speculative \\
      --runs 1e6 --seed 1 --resume chunks --out sweep.nc
  specsim sweep --pair paper:50 --algorithm 'over-acceptance:epsilon={0,0.1}' --runs 1e5 --seed 1 --json"""


@click.command("sweep", help=_HELP, epilog=GRAMMAR)
@click.option(
    "--pair",
    "pairs",
    multiple=True,
    required=True,
    metavar="PAIR",
    shell_complete=completing.pairs,
    help="A pair, or several with braces; repeatable.",
)
@click.option(
    "--algorithm",
    "algorithms",
    multiple=True,
    required=True,
    metavar="ALGORITHM",
    shell_complete=completing.algorithms,
    help="An algorithm, or several with braces; repeatable.",
)
@click.option(
    "--runs",
    type=Count(),
    required=True,
    metavar="N",
    help="Simulated texts of each combination, such as 1e5.",
)
@click.option("--seed", type=int, required=True, metavar="N", help="Seed, 0 to 2^64 - 1.")
@click.option(
    "--horizon", type=int, metavar="N", help="Number of tokens to emit. Default: the horizon of each pair."
)
@click.option("--threads", type=int, metavar="N", help="Number of threads. Default: one per core.")
@engine_option
@click.option(
    "--tallies",
    type=click.Choice(["all", "rejections"]),
    default="all",
    show_default=True,
    help="rejections: do not count calls and accepted lengths, which is faster.",
)
@scale_options
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE.nc", help="Write all results as netCDF."
)
@plot_option
@click.option(
    "--plot-x",
    default="draft_length",
    show_default=True,
    metavar="NAME",
    help="Horizontal axis of --plot: draft_length, drafts, epsilon, horizon, contexts, tokens.",
)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(
    pairs: tuple[str, ...],
    algorithms: tuple[str, ...],
    runs: int,
    seed: int,
    horizon: int | None,
    threads: int | None,
    engine: str,
    tallies: Any,
    resume: Path | None,
    cluster: str | None,
    chunk_runs: int | None,
    out: Path | None,
    plot: Path | None,
    plot_x: str,
    as_json: bool,
) -> None:
    """Simulate and compare."""
    from specsim.comparison.beside_theory import add_theory
    from specsim.comparison.summaries import SweepSummary
    from specsim.scale.sweeps import plan_sweep, run_sweep

    plan = plan_sweep(
        [parse_pair(text) for given in pairs for text in _expand_pair(given)],
        [parse_algorithm(text) for given in algorithms for text in expand(given)],
        runs=runs,
        seed=seed,
        horizon=horizon,
        engine=engine,
        tallies=tallies,
    )
    with output_file(out) as temporary, output_file(plot) as picture, resumable(resume, seed):
        start = time.perf_counter()
        with progress("simulating", plan.runs) as update:
            dataset = run_sweep(
                plan, threads=threads, progress=update, store=resume, cluster=cluster, chunk_runs=chunk_runs
            )
        seconds = time.perf_counter() - start
        with doing("computing the exact means"):
            dataset, silence = add_theory(dataset, plan.pairs, plan.algorithms)
        if temporary is not None:
            write_dataset(dataset, temporary)
        if picture is not None:
            measure = "block_efficiency" if "block_efficiency" in dataset else "mean_rejections"
            specsim.plot.save(specsim.plot.sweep(dataset, x=plot_x, y=measure), picture)
    if as_json:
        engine = ", ".join(sorted({request.engine for request in plan.requests}))
        provenance = {"runs": runs, "seed": seed, "engine": engine, "out": None if out is None else str(out)}
        show_json({**provenance, "cells": _cells(dataset), "theory_silent": silence})
    else:
        written = [f"Dataset: {out}"] if out is not None else []
        show(*SweepSummary(data=dataset, silence=silence).renderables(), f"{seconds:.1f} s", *written)


def _expand_pair(text: str) -> list[str]:
    # A file may have braces in its name.
    try:
        exists = Path(text).exists()
    except (OSError, ValueError):
        exists = False
    return [text] if exists else expand(text)


def _cells(dataset: xarray.Dataset) -> list[dict[str, Any]]:
    """Return one record for each combination, with its numbers but without its laws."""
    names = [name for name, item in dataset.data_vars.items() if item.dims == ("pair", "algorithm")]
    records = []
    for pair in range(dataset.sizes["pair"]):
        for algorithm in range(dataset.sizes["algorithm"]):
            cell = dataset.isel(pair=pair, algorithm=algorithm)
            record: dict[str, Any] = {
                name: cell[name].item()
                for name in ("pair", "pair_identity", "horizon", "algorithm", "keyword", "draft_length")
            }
            record |= {name: cell[name].item() for name in ("drafts", "epsilon", "seed")}
            record |= {str(name): cell[name].item() for name in names}
            length = int(cell["horizon"]) + 1
            for law in ("rejection_law", "target_call_law"):
                if law in cell:
                    record[law] = cell[law].values[:length]
            records.append(record)
    if not records:
        raise InputError("the sweep has no combination; give --pair and --algorithm")
    return records
