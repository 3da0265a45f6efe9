"""``specsim conform --peers``: the published tests of other projects beside the oracle, on wrong samplers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import click

from specsim.cli.output import show, show_json


def show_peers(
    mutants: tuple[Any, ...],
    controls: tuple[Any, ...],
    options: dict[str, Any],
    progress: Callable[[str, int, int], None],
) -> int:
    """Put every peer's test and the oracle to every mutant and control of protocols 1 and 2.

    Returns 1 when the oracle passes a mutant or fails a control, else 0.
    """
    from specsim.validation.conformance.peer_table import OURS, compare_with_peers, oracle

    items = [item for item in (*mutants, *controls) if item.subject.protocol in ("step", "draft-and-verify")]
    done = 0

    def tell(subject: str, test: str, outcome: Any) -> None:
        nonlocal done
        done += 1
        progress(f"{subject}: {test}", done, len(items) * (1 + 5))

    def ours(subject: Any, seed: int) -> Any:
        settings = {"effort": options["effort"], "alpha": options["alpha"], "budget": options["budget"]}
        return oracle(subject, seed, **settings)

    found = compare_with_peers(items, seed=options["seed"], ours=ours, progress=tell)
    if options["as_json"]:
        show_json({"tests": found.tests, "rows": [dataclasses.asdict(row) for row in found.rows]})
    else:
        _show(found)
    missed = [row for row in found.rows if row.kind == "mutant" and row.outcomes[OURS].rejected is not True]
    alarms = [row for row in found.rows if row.kind == "control" and row.outcomes[OURS].rejected is True]
    return 1 if missed or alarms else 0


def _show(found: Any) -> None:
    from rich.table import Table

    table = Table(title="Verification steps and seconds until rejection (✗), or passed", title_justify="left")
    table.add_column("sampler", overflow="fold")
    for test in found.tests:
        table.add_column(test, justify="right", overflow="fold")
    for row in found.rows:
        table.add_row(row.name, *(_cell(row.outcomes[test]) for test in found.tests))
    show(table)
    for kind in ("mutant", "control"):
        for test in found.tests:
            click.echo(
                f"{test}: {found.rejected(test, kind)} of {found.decided(test, kind)} {kind}s rejected"
            )


def _cell(outcome: Any) -> str:
    if outcome.rejected is None:
        return "-"
    return f"{'✗ ' if outcome.rejected else 'passed '}{outcome.samples:,} {outcome.seconds:.1f} s"
