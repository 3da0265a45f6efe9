"""What the commands for language models share: the models, how they are sampled, where they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specsim.cli.output import Count
from specsim.errors import InputError
from specsim.grammar import parse_algorithm

if TYPE_CHECKING:
    from specsim.algorithms import Algorithm
    from specsim.models import LoadedPair, Sampling

F = Callable[..., Any]

threads_option = click.option(
    "--threads", type=Count(1), metavar="N", help="Threads of torch. Default: its own choice."
)
batch_option = click.option(
    "--batch", type=Count(1), metavar="N", help="Prompts decoded side by side, at most. Default: all."
)
seed_option = click.option(
    "--seed", type=Count(0, 2**64 - 1), metavar="N", help="0 to 2^64 - 1. Default: drawn, and printed."
)


def target_and_draft(command: F) -> F:
    """Give a command the arguments ``target`` and ``draft``, and where to load them."""
    for decorator in (
        threads_option,
        click.option(
            "--dtype",
            metavar="NAME",
            help="float32, bfloat16, float16 or float64. Default: float32 on a CPU, else the checkpoint's.",
        ),
        click.option("--device", metavar="NAME", help="cpu, cuda, cuda:1. Default: a GPU when there is one."),
        click.argument("draft", metavar="DRAFT"),
        click.argument("target", metavar="TARGET"),
    ):
        command = decorator(command)
    return command


def sampling_options(command: F) -> F:
    """Give a command the options ``--temperature``, ``--top-k`` and ``--top-p``."""
    for decorator in (
        click.option(
            "--top-p", type=float, default=1.0, show_default=True, metavar="P", help="Mass of the nucleus."
        ),
        click.option("--top-k", type=Count(1), metavar="K", help="Most likely tokens kept. Default: all."),
        click.option(
            "--temperature",
            type=float,
            default=1.0,
            show_default=True,
            metavar="T",
            help="Of both models; 0 takes the most likely token.",
        ),
    ):
        command = decorator(command)
    return command


def prompt_options(command: F) -> F:
    """Give a command the options ``--prompt`` and ``--prompts``."""
    for decorator in (
        click.option(
            "--prompts",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Prompts from a file: one per line, or JSON or JSON Lines of texts or lists of token ids.",
        ),
        click.option("--prompt", multiple=True, metavar="TEXT", help="A prompt; may be given several times."),
    ):
        command = decorator(command)
    return command


def chosen_algorithm(text: str, new_tokens: int) -> Algorithm:
    """Return the algorithm; refuse one that language models cannot be decoded with. Imports no torch."""
    from specsim.models.rules import check_algorithm

    algorithm = parse_algorithm(text)
    check_algorithm(algorithm, new_tokens)
    return algorithm


def chosen_sampling(temperature: float, top_k: int | None, top_p: float) -> Sampling:
    """Return what the options of `sampling_options` say. Imports no torch."""
    from specsim.models.sampling import Sampling

    return Sampling(temperature=temperature, top_k=top_k, top_p=top_p)


def chosen_prompts(prompt: tuple[str, ...], prompts: Path | None) -> list[str | list[int]]:
    """Return what the options of `prompt_options` say.

    InputError: there is no prompt, or the file cannot be read.
    """
    from specsim.models.prompt_files import read_prompts

    found: list[str | list[int]] = list(prompt)
    if prompts is not None:
        found += read_prompts(prompts)
    if not found:
        raise InputError("prompt is missing; give --prompt TEXT or --prompts FILE")
    return found


@contextmanager
def quiet_torch(threads: int | None) -> Iterator[None]:
    """Silence the libraries' own messages and set torch's number of threads (None: leave it) in the block."""
    import huggingface_hub
    import torch
    import transformers

    before = torch.get_num_threads()
    loggers = (transformers.utils.logging, huggingface_hub.utils.logging)
    shown = [logger.get_verbosity() for logger in loggers]
    bars = transformers.utils.logging.is_progress_bar_enabled()
    for logger in loggers:
        logger.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(before if threads is None else threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        for logger, level in zip(loggers, shown, strict=True):
            logger.set_verbosity(level)
        if bars:
            transformers.utils.logging.enable_progress_bar()


@contextmanager
def loaded(
    target: str, draft: str, *, device: str | None, dtype: str | None, threads: int | None
) -> Iterator[LoadedPair]:
    """Load the pair of `target_and_draft`, within `quiet_torch`."""
    from specsim.models import load_pair

    with quiet_torch(threads):
        yield load_pair(target, draft, device=device, dtype=dtype)
