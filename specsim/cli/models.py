"""``specsim models``: the commands for real language models, loaded on use."""

import click

from specsim.cli.group import LazyGroup

#: As `specsim.cli.group.COMMANDS`.
COMMANDS: dict[str, tuple[str, str]] = {
    "decode": ("specsim.cli.models_decode:command", "Decode prompts with a target and a draft model."),
    "measure": (
        "specsim.cli.models_measure:command",
        "Decode prompts and compare rejections and speed with theory.",
    ),
    "table1": (
        "specsim.cli.models_table1:command",
        "Run the paper's Table 1: compare Decoding-OPT and Decoding-UNO.",
    ),
    "train": ("specsim.cli.models_train:command", "Train a small pair of models on a text."),
    "trace": ("specsim.cli.models_trace:command", "Record decoding runs; read traces and acceptance logs."),
}

_EPILOG = """\
\b
Examples:
  specsim models train book.txt --out pair
  specsim models decode pair/target pair/draft speculative:draft_length=4 --prompt "Once"
"""


@click.group("models", cls=LazyGroup, subcommands=COMMANDS, epilog=_EPILOG)
def command() -> None:
    """Decode and measure real language models. Needs torch: pip install 'specsim-decoding[torch]'."""
