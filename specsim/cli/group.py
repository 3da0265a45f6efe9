"""The group of all commands: subcommands loaded on use, one-line errors, exit codes.

=====  ==================================================
code   meaning
=====  ==================================================
0      done; where something was compared, it agrees
1      it disagrees
2      usage or bad input
3      could not decide within the budget
4      the sampler under test broke (`conform`)
70     a fault of specsim itself; please report it
74     standard output is closed, and the result was not written to a file either
130    interrupted; 143 if by SIGTERM
141    the reader of standard output went away
=====  ==================================================
"""

import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn

import click

from specsim import __version__
from specsim.cli.plain import PLAIN
from specsim.errors import InputError
from specsim.support.checkout import load_benchmarks
from specsim.support.distributions import foreign_distribution
from specsim.support.faults import FaultElsewhere
from specsim.support.files import files_written
from specsim.support.interrupts import INTERRUPTED
from specsim.support.standard_streams import ClosedOutput

BAD_INPUT = 2
INTERNAL = 70
LOST_OUTPUT = 74
BROKEN_PIPE = 141

#: Name of each subcommand: the attribute that holds it, and the line in ``specsim --help``.
COMMANDS: dict[str, tuple[str, str]] = {
    "validate": (
        "specsim.cli.validate:command",
        "Check published statements, exactly and by simulation.",
    ),
    "figures": (
        "specsim.cli.figures:command",
        "Draw the paper's figures and compare them with the printed ones.",
    ),
    "expect": ("specsim.cli.expect:command", "Exact results for a pair of models and an algorithm."),
    "simulate": ("specsim.cli.simulate:command", "Simulated results, compared with the exact ones."),
    "compare": ("specsim.cli.compare:command", "Compare algorithms on one pair: speed, bias, best possible."),
    "plan": (
        "specsim.cli.plan:command",
        "Find the fastest rule and draft length, from a pair or a server's log.",
    ),
    "systems": (
        "specsim.cli.systems:command",
        "Time systems with two devices or three models, such as PEARL.",
    ),
    "sweep": ("specsim.cli.sweep:command", "Simulate many pairs, algorithms and parameters at once."),
    "rules": ("specsim.cli.rules:command", "List the verification rules and their properties."),
    "conform": ("specsim.cli.conform:conform", "Test whether your sampler is lossless."),
    "bench": ("benchmarks.command:command", "Measure the speed of the engines, C, NumPy and JAX."),
    "models": ("specsim.cli.models:command", "Decode and measure real language models (extra: torch)."),
    "info": ("specsim.cli.info:command", "Print versions, caches and devices, for bug reports."),
}

_EPILOG = """\
\b
Examples:
  specsim validate
  specsim figures --out figures
  specsim conform my_sampler.py:step --rule ratio
  specsim plan random:contexts=7,horizon=50,seed=1,stationary=yes --costs draft=0.1
  specsim simulate paper:50 speculative --runs 100000 --seed 1 --plot picture.png

PAIR and ALGORITHM: 'specsim expect --help' lists what they can be.

Exit codes: 0 done or agrees, 1 disagrees, 2 wrong usage or input, 3 could not decide, 4 the sampler
under test broke, 70 an error in specsim, 74 standard output is closed, 130 interrupted.
"""


class _ReaderGone(Exception):
    """The reader of standard output, a pipe, is gone."""


class LazyGroup(click.Group):
    """A group that imports a subcommand's module when the subcommand is called, and no other.

    subcommands: a table like `COMMANDS`.
    options: of `click.Group`.
    """

    def __init__(self, *, subcommands: dict[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(**options)
        self.subcommands = subcommands

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return list(self.subcommands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a subcommand."""
        if cmd_name not in self.subcommands:
            return None
        module, _, attribute = self.subcommands[cmd_name][0].partition(":")
        load = load_benchmarks if module.startswith("benchmarks.") else import_module
        command: click.Command = getattr(load(module), attribute)
        if not isinstance(command, click.Group) and PLAIN not in command.params:
            command.params.append(PLAIN)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest subcommand if there is none of this name."""
        close = get_close_matches(args[0], self.subcommands, 1)
        if close and args[0] not in self.subcommands and not ctx.resilient_parsing:
            ctx.fail(f"No such command '{args[0]}' (did you mean {close[0]}?)")
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Print the help where nothing is asked for."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the subcommands to the help without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.subcommands.items()])

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse, as click does; `invoke` says what is different."""
        return _unless_reader_gone(
            lambda: super(LazyGroup, self).make_context(info_name, args, parent, **extra)
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand; a broken pipe reaches `main` untouched by click, which would exit with 1."""
        return _unless_reader_gone(lambda: super(LazyGroup, self).invoke(ctx))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run and exit with the documented codes; every expected failure is one line on standard error."""

        def run() -> Any:
            return super(LazyGroup, self).main(
                args,
                prog_name or "specsim",
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )

        if standalone_mode and (warning := foreign_distribution()):
            _complain(warning, 0, kind="warning: ")
        debug = "--debug" in (sys.argv[1:] if args is None else args)
        return _exit(run, debug) if standalone_mode else run()


def _unless_reader_gone(action: Callable[[], Any]) -> Any:
    try:
        return action()
    except BrokenPipeError as error:
        raise _ReaderGone from error


def _exit(run: Callable[[], Any], debug: bool) -> NoReturn:
    """Run, flush what was printed, and exit."""
    code: int
    try:
        result = run()
        code = result if isinstance(result, int) else 0
        sys.stdout.flush()
        if isinstance(sys.stdout, ClosedOutput) and sys.stdout.lost and not files_written():
            code = _complain("standard output is closed; give a file for the result", LOST_OUTPUT)
    except (click.Abort, KeyboardInterrupt):
        code = _complain("interrupted", INTERRUPTED, kind="")
    except click.UsageError as error:
        hint = f"; see '{error.ctx.command_path} --help'" if error.ctx else ""
        code = _complain(error.format_message().rstrip(".") + hint, BAD_INPUT)
    except click.ClickException as error:
        code = _complain(error.format_message(), BAD_INPUT)
    except InputError as error:
        code = _complain(str(error), BAD_INPUT)
    except (_ReaderGone, BrokenPipeError):
        code = BROKEN_PIPE
        _drop_output()
    except MemoryError as error:
        what = f" ({error})" if str(error) else ""
        code = _complain(f"not enough memory{what}; ask for less, or use a larger machine", BAD_INPUT)
    except OSError as error:
        code = _complain(_reason(error), BAD_INPUT)
        _drop_output()
    except Exception as error:
        if debug:
            traceback.print_exc()
        code = _complain(_fault(error), INTERNAL, kind="internal error: ")
    sys.exit(code)


def _fault(error: Exception) -> str:
    """Describe a fault of our own: what, where, and what to do."""
    report = "please report it with the output of 'specsim --debug ...'"
    if isinstance(error, FaultElsewhere):
        return f"{error}; {report}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(last.filename)}:{last.lineno}"
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"{what[:300]} ({where}); {report}"


def _complain(message: str, code: int, *, kind: str = "error: ") -> int:
    line = " ".join(message.split())
    # The reader of standard error may be gone too; the exit code remains.
    with suppress(OSError):
        print(f"specsim: {kind}{line}", file=sys.stderr, flush=True)
    return code


def _reason(error: OSError) -> str:
    what = f"{error.filename}: " if error.filename else ""
    remedy = (
        "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "check the path and its rights"
    )
    return f"{what}{error.strerror or error}; {remedy}"


def _drop_output() -> None:
    # What is still buffered can never be written; Python would complain about it when it ends.
    with suppress(OSError, ValueError):
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, sys.stdout.fileno())
        os.close(sink)


@click.group(
    "specsim",
    cls=LazyGroup,
    subcommands=COMMANDS,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="specsim")
@click.option("--debug", is_flag=True, help="Show the traceback of an error in specsim.")
def main(debug: bool) -> None:
    """Simulate speculative decoding, compute exact results, test samplers, and plan draft lengths."""
