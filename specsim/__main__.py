"""Runs the command line: ``python -m specsim``."""

import os
import sys

# What lies in the working folder, such as a user's scipy.py, must not stand for a library that we import.
_here = os.getcwd() if os.path.isdir(os.curdir) else None
for _path in [path for path in sys.path[:1] if path in ("", _here)]:
    sys.path.remove(_path)
    sys.path.append(_path)

from specsim.support.interrupts import run  # noqa: E402
from specsim.support.standard_streams import replace_closed  # noqa: E402


def main() -> None:
    """Run the command line as the main function of a process."""
    replace_closed()
    run(_commands)


def _commands() -> None:
    from specsim.cli import main as commands

    commands()


if __name__ == "__main__":
    main()
