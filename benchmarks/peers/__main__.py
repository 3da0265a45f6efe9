"""``python -m benchmarks.peers``: published tests of other projects beside the oracle, on wrong samplers.

Prints the number of verification steps and the seconds of every test on every mutant and control. The exit
code is 1 when the oracle passes a mutant or rejects a control.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import click

from benchmarks.kill_matrix_report import chosen, progress_bar
from benchmarks.peers.table import OURS, Comparison, compare_with_peers, oracle
from benchmarks.peers.tests_of_others import PEERS
from specsim.cli.output import JSON_HELP, show_json


@click.command("python -m benchmarks.peers")
@click.argument("names", required=False, metavar="[NAME,NAME...]")
@click.option("--effort", type=click.Choice(("quick", "standard", "deep")), default="quick")
@click.option("--alpha", type=float, default=1e-6, show_default=True, help="False alarms of the oracle.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--budget", type=float, metavar="SECONDS", help="Time of the oracle for each sampler.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(
    names: str | None, effort: str, alpha: float, seed: int, budget: float | None, as_json: bool
) -> None:
    """Run every peer's test and the oracle on the wrong samplers and the right ones (all, or those named)."""
    mutants, controls = chosen(names)
    items = [item for item in (*mutants, *controls) if item.subject.protocol in ("step", "draft-and-verify")]
    done = 0

    def ours(subject: Any, seed: int) -> Any:
        return oracle(subject, seed, effort=effort, alpha=alpha, budget=budget)

    with progress_bar() as progress:

        def count(subject: str, test: str, outcome: Any) -> None:
            nonlocal done
            done += 1
            progress(f"{subject}: {test}", done, len(items) * (1 + len(PEERS)))

        found = compare_with_peers(items, seed=seed, ours=ours, progress=count)
    if as_json:
        show_json({"tests": found.tests, "rows": [dataclasses.asdict(row) for row in found.rows]})
    else:
        click.echo("\n".join(found.lines()))
    sys.exit(int(_wrong(found)))


def _wrong(found: Comparison) -> bool:
    """Tell whether the oracle passes a mutant or rejects a control."""
    return any(
        row.outcomes[OURS].rejected is not True if row.kind == "mutant" else row.outcomes[OURS].rejected
        for row in found.rows
    )


if __name__ == "__main__":
    command()
