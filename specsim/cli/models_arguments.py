"""What the commands for language models share: the models, how they are sampled, where they run."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import wraps
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


@dataclass(kw_only=True)
class Decoding:
    """What the options of `decoding_options` say, checked before torch is imported.

    rule, sampling, texts: made from them; `rule` is None for commands that choose their own algorithms.
    """

    target: str
    draft: str
    algorithm: str | None = None
    prompt: tuple[str, ...]
    prompts: Path | None
    new_tokens: int
    temperature: float
    top_k: int | None
    top_p: float
    seed: int | None
    batch: int | None
    device: str | None
    dtype: str | None
    threads: int | None
    rule: Algorithm | None = field(init=False, default=None)
    sampling: Sampling = field(init=False)
    texts: list[str | list[int]] = field(init=False)

    def __post_init__(self) -> None:
        from specsim.models.prompt_files import read_prompts
        from specsim.models.rules import check_algorithm
        from specsim.models.sampling import Sampling

        if self.algorithm is not None:
            self.rule = parse_algorithm(self.algorithm)
            check_algorithm(self.rule, self.new_tokens)
        self.sampling = Sampling(temperature=self.temperature, top_k=self.top_k, top_p=self.top_p)
        self.texts = [*self.prompt, *(read_prompts(self.prompts) if self.prompts is not None else ())]
        if not self.texts:
            raise InputError("prompt is missing; give --prompt TEXT or --prompts FILE")
        self.seed = secrets.randbits(64) if self.seed is None else self.seed

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments that all functions of `specsim.models` take which decode."""
        named = {name: getattr(self, name) for name in ("new_tokens", "sampling", "seed", "batch")}
        return named if self.rule is None else {"algorithm": self.rule, **named}

    @contextmanager
    def loaded(self) -> Iterator[LoadedPair]:
        """Load the pair, within `quiet_torch`."""
        from specsim.models import load_pair

        with quiet_torch(self.threads):
            yield load_pair(self.target, self.draft, device=self.device, dtype=self.dtype)


def decoding_options(
    *, algorithm: bool = True, new_tokens: int = 64, per: str = "continuation", batch: int | None = None
) -> Callable[[F], F]:
    """Give a command the arguments and options of `Decoding`, and as its first argument that object."""
    all_of_them = "Default: all." if batch is None else ""
    parameters = [
        click.argument("target", metavar="TARGET"),
        click.argument("draft", metavar="DRAFT"),
        *([click.argument("algorithm", metavar="ALGORITHM")] if algorithm else []),
        click.option("--prompt", multiple=True, metavar="TEXT", help="A prompt; may be repeated."),
        click.option(
            "--prompts",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Prompts from a file: one per line, or JSON or JSON Lines of texts or lists of token ids.",
        ),
        click.option(
            "--new-tokens", type=Count(1), default=new_tokens, show_default=True, metavar="N",
            help=f"Tokens per {per}.",
        ),
        click.option(
            "--temperature", type=float, default=1.0, show_default=True, metavar="T",
            help="Temperature of both models; 0 takes the likeliest token.",
        ),
        click.option("--top-k", type=Count(1), metavar="K", help="Keep K tokens of a row. Default: all."),
        click.option(
            "--top-p", type=float, default=1.0, show_default=True, metavar="P",
            help="Keep the likeliest tokens with total probability P.",
        ),
        click.option(
            "--seed", type=Count(0, 2**64 - 1), metavar="N",
            help="0 to 2^64 - 1. Default: drawn at random and printed.",
        ),
        click.option(
            "--batch", type=Count(1), default=batch, show_default=True, metavar="N",
            help=f"Largest number of sequences in a batch. {all_of_them}",
        ),
        click.option("--device", metavar="NAME", help="cpu, cuda, cuda:1. Default: a GPU if there is one."),
        click.option(
            "--dtype",
            metavar="NAME",
            help="float32, bfloat16, float16 or float64. Default: float32 on a CPU, else the checkpoint's.",
        ),
        click.option("--threads", type=Count(1), metavar="N", help="CPU threads. Default: torch decides."),
    ]  # fmt: skip

    def decorate(command: F) -> F:
        @wraps(command)
        def collected(**given: Any) -> Any:
            names = [item.name for item in fields(Decoding) if item.name in given]
            return command(Decoding(**{name: given.pop(name) for name in names}), **given)

        for parameter in reversed(parameters):
            collected = parameter(collected)
        return collected

    return decorate


def end_options(command: F) -> F:
    """Give a command the options ``--eos`` and ``--ignore-eos``; see `ends`."""
    command = click.option(
        "--ignore-eos", is_flag=True, help="Generate --new-tokens tokens, even after an end token."
    )(command)
    words = "Token that ends a text. Default: the target's own."
    return click.option("--eos", type=int, multiple=True, metavar="ID", help=words)(command)


def ends(models: LoadedPair, eos: Sequence[int] = (), ignore_eos: bool = False) -> list[int]:
    """Return the tokens that end a text: those given, else those that the target's configuration names."""
    if ignore_eos or eos:
        return [] if ignore_eos else list(eos)
    for source in (getattr(models.target, "generation_config", None), models.target.config):
        found = getattr(source, "eos_token_id", None)
        if found is not None:
            return [found] if isinstance(found, int) else list(found)
    return []


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
