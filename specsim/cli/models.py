"""``specsim models``: the commands for real language models, loaded on use."""

import click

from specsim.cli.group import LazyGroup

#: As `specsim.cli.group.COMMANDS`.
COMMANDS: dict[str, tuple[str, str]] = {
    "decode": ("specsim.cli.models_decode:command", "Decode prompts with a target and a draft."),
    "measure": ("specsim.cli.models_measure:command", "Hold what decoding does against theory."),
    "table1": (
        "specsim.cli.models_table1:command",
        "The paper's Table 1: Decoding-OPT against Decoding-UNO.",
    ),
    "train": ("specsim.cli.models_train:command", "Train a small pair on a text."),
    "trace": ("specsim.cli.models_trace:command", "Record rows and outcomes; read acceptance logs."),
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
