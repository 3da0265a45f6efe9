"""Options of the commands that can be resumed and can use a cluster."""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from specsim.cli.output import Count
from specsim.errors import StoreWarning

F = Callable[..., Any]


def scale_options(command: F) -> F:
    """Give a command the options ``--resume``, ``--cluster`` and ``--chunk-runs``."""
    command = click.option(
        "--chunk-runs",
        type=Count(),
        metavar="N",
        help="Runs per chunk for --resume and --cluster; does not change the result. Default: automatic.",
    )(command)
    command = click.option(
        "--cluster",
        metavar="ADDRESS",
        help="Compute on the Dask cluster whose scheduler is at ADDRESS, such as tcp://10.0.0.1:8786.",
    )(command)
    return click.option(
        "--resume",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Keep finished chunks in DIR and continue from them; needs --seed.",
    )(command)


@contextmanager
def resumable(resume: Path | None, seed: int | None) -> Iterator[None]:
    """Check ``--seed``; within the block, report damaged chunks, and what is kept after an interruption.

    click.UsageError: there is no seed.
    """
    if resume is not None and seed is None:
        raise click.UsageError(
            "--resume needs --seed: the next call must use the same random numbers; add --seed N"
        )
    with store_notes():
        try:
            yield
        except KeyboardInterrupt:
            if resume is not None:
                _note(f"finished chunks are in {resume}; to continue, run the same command again")
            raise


@contextmanager
def store_notes() -> Iterator[None]:
    """Print warnings about damaged chunks as notes."""

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, StoreWarning):
            _note(str(message))
        else:
            usual(message, category, *place, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("always", StoreWarning)
        usual = warnings.showwarning
        warnings.showwarning = show
        yield


def _note(text: str) -> None:
    with suppress(OSError):
        print(f"specsim: note: {' '.join(text.split())}", file=sys.stderr, flush=True)
