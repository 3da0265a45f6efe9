"""The option ``--plain``: tables in ASCII, for pipes and consoles that know nothing else."""

import os
import sys

import click

#: Signs outside ASCII that tables and messages use, and what stands for them with ``--plain``.
_PLAIN_SIGNS: dict[str, str | int | None] = {
    "✓": "ok", "✗": "X", "·": "-", "…": "...", "–": "-", "—": "-", "≤": "<=", "≥": ">=", "×": "x", "±": "+-",
    "−": "-", "→": "->", "∞": "inf", "“": '"', "”": '"', "’": "'", "σ": "sigma", "ε": "epsilon", "∓": "-+",
}  # fmt: skip


def _ask_for_plain(ctx: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked:
        ctx.find_root().meta[_PLAIN_ASKED] = True


_PLAIN_ASKED = "specsim.plain"
#: The option ``--plain``, which every command has.
PLAIN = click.Option(
    ["--plain"],
    is_flag=True,
    expose_value=False,
    callback=_ask_for_plain,
    help="Tables in ASCII without colour; always, if the variable SPECSIM_PLAIN is 1.",
)


def is_plain() -> bool:
    """Whether tables are to be in ASCII: on request, and where standard output cannot print anything else."""
    context = click.get_current_context(silent=True)
    asked = context is not None and context.find_root().meta.get(_PLAIN_ASKED, False)
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    return bool(asked or os.environ.get("SPECSIM_PLAIN", "") not in ("", "0") or "utf" not in encoding)


def in_ascii(text: str) -> str:
    """Return `text` in ASCII, with all other characters replaced."""
    return text.translate(str.maketrans(_PLAIN_SIGNS)).encode("ascii", "replace").decode()
