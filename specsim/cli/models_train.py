"""``specsim models train``: a small draft and a larger target, trained on a text."""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from math import exp
from pathlib import Path

import click

from specsim.cli.models_arguments import quiet_torch
from specsim.cli.output import JSON_HELP, Count, progress, show, show_json, table

_HELP = """Train a small draft and a larger target on TEXT: GPT-NeoX models whose tokens are bytes.

Give DIR/target and DIR/draft as models to the other commands; transformers can load them, too. The losses
printed are measured on the last tenth of TEXT, which is not used for training. With --resume, the same
command continues an interrupted training from its last checkpoint.

\b
Examples:
  specsim models train book.txt --out pair
  specsim models train book.txt --out pair --steps 2000 --resume checkpoints
  specsim models train notes.txt --out pair --size tiny --seed 3
"""


@click.command("train", help=_HELP)
@click.argument("text", type=click.Path(path_type=Path), metavar="TEXT")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Folder to create."
)
@click.option(
    "--size",
    default="small",
    show_default=True,
    metavar="tiny|small",
    help="Model size: tiny trains in seconds, small in minutes.",
)
@click.option(
    "--steps", type=Count(1, 10**7), metavar="N", help="Training batches. Default: 60 (tiny) or 600 (small)."
)
@click.option(
    "--seed", type=Count(0, 2**32 - 1), default=0, show_default=True, metavar="N", help="0 to 2^32 - 1."
)
@click.option(
    "--threads", type=Count(1), default=1, show_default=True, metavar="N", help="CPU threads of torch."
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for checkpoints, from which to continue.",
)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(
    text: Path,
    out: Path,
    size: str,
    steps: int | None,
    seed: int,
    threads: int | None,
    resume: Path | None,
    as_json: bool,
) -> None:
    """Train and report."""
    from specsim.models.training import check_training, train_pair

    total = 2 * check_training(text, out, size=size, steps=steps, seed=seed)
    bar = progress("training", total) if sys.stderr.isatty() else nullcontext(_lines(total))
    with quiet_torch(threads), bar as update:
        trained = train_pair(text, out, size=size, steps=steps, seed=seed, resume=resume, progress=update)
    if as_json:
        show_json({**asdict(trained), "out": str(out)})
        return
    rows = [
        (name, weights, f"{loss:.4f}", f"{exp(loss):.2f}")
        for name, weights, loss in (
            ("draft", trained.draft_parameters, trained.draft_loss),
            ("target", trained.target_parameters, trained.target_loss),
        )
    ]
    headings = ("weights", "held-out loss, nats per byte", "perplexity")
    made = table(f"Trained on {text.name}", ("model",), headings, rows)
    lines = [f"{trained.steps} steps, seed {seed}; models: {out / 'draft'}, {out / 'target'}"]
    if trained.target_loss >= trained.draft_loss:
        lines.append("The target is not better than the draft: train longer, or on more text.")
    show(made, *lines)


def _lines(total: int) -> Callable[[int], None]:
    """Return what prints a line on standard error after each tenth of the steps."""

    def update(done: int) -> None:
        if done * 10 // total > (done - 1) * 10 // total:
            click.echo(f"step {done} of {total}", err=True)

    return update
