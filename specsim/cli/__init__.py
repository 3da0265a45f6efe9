"""The command line: `main` is the command `specsim`, whose subcommands are loaded when they are called."""

from specsim.cli.group import main

__all__ = ["main"]
