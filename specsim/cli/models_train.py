"""``specsim models train``: a small draft and a larger target, trained on a text."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING

import click

from specsim.cli.output import JSON_HELP, Count, progress, show, show_json

if TYPE_CHECKING:
    from specsim.models.training import Progress, Trained

_HELP = """Train a small draft and a larger target on TEXT: GPT-NeoX models whose tokens are bytes.

DIR/draft and DIR/target can then be given wherever a model is asked for; transformers loads them too. The
last tenth of TEXT is held out, and what is printed is measured on it. The same text, size, steps, seed and
threads give the same weights, on the same kind of processor with the same versions.

\b
Examples:
  specsim models train book.txt --out pair
  specsim models train book.txt --out pair --minutes 5 --resume pair.checkpoint
  specsim models train notes.txt --out pair --size tiny --seed 3
"""
_REPORTS = 10


@click.command("train", help=_HELP)
@click.argument("text", type=click.Path(path_type=Path), metavar="TEXT")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder to make.")
@click.option(
    "--size", default="small", show_default=True, metavar="tiny|small", help="Seconds, or some minutes."
)
@click.option(
    "--steps", type=Count(), metavar="N", help="Batches to learn from. Default: 60 or 600, by size."
)
@click.option("--minutes", type=float, metavar="M", help="Instead of --steps: about so long.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="0 to 2^64 - 1.")
@click.option("--threads", type=int, default=1, show_default=True, metavar="N", help="Of torch.")
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a checkpoint to FILE now and then, and go on from it if it is there.",
)
@click.option("--overwrite", is_flag=True, help="Replace DIR if it holds a pair trained before.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(
    text: Path,
    out: Path,
    size: str,
    steps: int | None,
    minutes: float | None,
    seed: int,
    threads: int,
    resume: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Train and report."""
    from specsim.models.training import train_pair

    start = time.perf_counter()
    with _reporting() as report:
        trained = train_pair(
            text,
            out,
            size=size,
            steps=steps,
            minutes=minutes,
            seed=seed,
            threads=threads,
            resume=resume,
            overwrite=overwrite,
            progress=report,
        )
    if as_json:
        show_json({**asdict(trained), "out": str(out)})
    else:
        _print(trained, out, time.perf_counter() - start)


@contextmanager
def _reporting() -> Iterator[Progress]:
    """Show a bar on a terminal, and otherwise ten lines on standard error."""
    terminal = sys.stderr.isatty()
    told = 0

    def tell(done: int, steps: int | None, draft_loss: float, target_loss: float) -> None:
        nonlocal told
        if steps is not None and done * _REPORTS // steps > told:
            told = done * _REPORTS // steps
            losses = f"loss of this batch {draft_loss:.3f} (draft), {target_loss:.3f} (target)"
            click.echo(f"step {done} of {steps}, {losses}", err=True)

    if not terminal:
        yield tell
        return
    with _bar() as show_done:
        yield show_done


@contextmanager
def _bar() -> Iterator[Progress]:
    """Show a bar, whose length is known from the first step whose number of steps is."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        update: Callable[[int], None] | None = None

        def show_done(done: int, steps: int | None, draft_loss: float, target_loss: float) -> None:
            nonlocal update
            if steps is None:
                return
            if update is None:
                update = stack.enter_context(progress("training", steps))
            update(done)

        yield show_done


def _print(trained: Trained, out: Path, seconds: float) -> None:
    from rich.table import Table

    table = Table(title=f"Trained on {trained.text}", title_justify="left")
    table.add_column("model")
    for heading in ("weights", "held-out loss, nats per byte", "perplexity"):
        table.add_column(heading, justify="right")
    rows = [
        ("draft", str(trained.draft_parameters), trained.draft_loss),
        ("target", str(trained.target_parameters), trained.target_loss),
        ("frequencies of bytes", "", trained.frequency_loss),
    ]
    for name, weights, loss in rows:
        table.add_row(name, weights, f"{loss:.4f}", f"{exp(loss):.2f}")
    lines = [
        f"mean total variation {trained.total_variation:.4f} (s.e. {trained.total_variation_error:.2g}), "
        f"on {trained.held_out_bytes} held-out bytes",
        f"{trained.steps} steps, seed {trained.seed}, threads {trained.threads}, {seconds:.1f} s",
        f"models: {out / 'draft'}, {out / 'target'}",
    ]
    if trained.target_loss >= trained.draft_loss:
        lines.append("The target is no better than the draft: train longer, or on more text.")
    show(table, *lines)
