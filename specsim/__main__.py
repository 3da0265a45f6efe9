"""Runs the command line: ``python -m specsim``."""

import os
import sys

# What lies in the working folder, such as a user's scipy.py, must not stand for a library that we import. The
# checkout that runs stays in front, so that its second processes import it and not the installed one.
_here = os.getcwd() if os.path.isdir(os.curdir) else None
_checkout = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
for _path in [path for path in sys.path[:1] if path in ("", _here) and _here != _checkout]:
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
