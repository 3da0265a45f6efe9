"""Runs the command line: ``python -m specsim``."""

from specsim.support.interrupts import run


def main() -> None:
    """Run the command line as the main function of a process."""
    run(_commands)


def _commands() -> None:
    from specsim.cli import main as commands

    commands()


if __name__ == "__main__":
    main()
