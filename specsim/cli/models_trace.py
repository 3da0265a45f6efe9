"""``specsim models trace``: traces of real runs and acceptance logs of servers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from specsim.cli.group import LazyGroup
from specsim.cli.models_arguments import Decoding, decoding_options, ends
from specsim.cli.models_results import as_document, number, spelled
from specsim.cli.output import JSON_HELP, Count, progress, show, show_json, table

if TYPE_CHECKING:
    import xarray

#: As `specsim.cli.group.COMMANDS`.
COMMANDS: dict[str, tuple[str, str]] = {
    "record": ("specsim.cli.models_trace:record", "Decode prompts and write a trace: rows and outcomes."),
    "show": (
        "specsim.cli.models_trace:show_trace",
        "Show acceptance and rejections of a trace (without torch).",
    ),
    "log": ("specsim.cli.models_trace:log", "Estimate acceptance from a server's log (without torch)."),
}

_EPILOG = """\
\b
A trace can be used as a pair, with three meanings of its rows (key reading; see specsim expect --help):
  specsim expect trace:file=run.nc speculative:draft_length=6
  specsim simulate trace:file=run.nc,reading=markov batch:drafts=4 --runs 1e5
"""

_RECORD_HELP = """Decode prompts by ALGORITHM; write rows (token probabilities) and outcomes to FILE.

--top K keeps K tokens of each row and two sums of the rest, from which the total variation distance is still
exact. With a lossless ALGORITHM the continuations have the target's distribution, as Theorem 1 requires. All
paths of a tree must be equally long. FILE can be used as a pair: 'specsim compare
trace:file=FILE ALGORITHM...'.

\b
Examples:
  specsim models trace record pair/target pair/draft speculative:draft_length=4 --prompts p.txt --out run.nc
  specsim models trace record big small speculative:draft_length=5 --prompts p.txt --top 32 --out run.nc
"""

_LOG_HELP = """Estimate accepted lengths, acceptance by position, and tokens per target call from FILE.

\b
FILE is CSV with a header, JSON or JSON Lines; a record is one of
  a round      accepted, drafted, and optionally request (any label) and count
  a request    accepted (a list with one number per round), drafted
  a histogram  accepted_histogram: number of rounds with 0, 1, 2, ... accepted tokens, a list or a mapping
  counters     rounds, accepted_per_position (rounds that accepted the 1st, 2nd, ... drafted token)

The field names of vLLM (num_drafts, num_draft_tokens, num_accepted_tokens_per_pos) and SGLang
(spec_verify_ct, spec_correct_drafts_histogram) are known too, also inside nested JSON objects. With 8 or more
named requests, the intervals allow for dependence within a request; with fewer, rounds are taken as
independent.

\b
Examples:
  specsim models trace log rounds.csv
  specsim models trace log responses.jsonl --draft-length 5 --json
"""


@click.group("trace", cls=LazyGroup, subcommands=COMMANDS, epilog=_EPILOG)
def command() -> None:
    """Record and read traces of decoding runs; read the acceptance logs of servers."""


@click.command("record", help=_RECORD_HELP)
@decoding_options()
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, metavar="FILE.nc", help="File to write."
)
@click.option("--top", type=Count(0), metavar="K", help="Keep K tokens of each row. Default: all.")
@click.option("--eos", is_flag=True, help="End a continuation at the target's end token.")
@click.option("--unchecked", is_flag=True, help="Do not compare the rows with those of the decoder's caches.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def record(asked: Decoding, out: Path, top: int | None, eos: bool, unchecked: bool, as_json: bool) -> None:
    """Record a trace."""
    from specsim.support.files import check_writable_folder

    # Found out before the work, not after it.
    check_writable_folder(out.parent)
    from specsim.models.prompt_files import encode
    from specsim.models.traces import record_trace
    from specsim.records.trace_files import write_trace

    with (
        asked.loaded() as models,
        progress("decoding", asked.new_tokens * len(asked.texts)) as update,
    ):
        trace = record_trace(
            models,
            encode(models, asked.texts),
            eos=ends(models) if eos else None,
            top=top,
            check_rows=not unchecked,
            progress=update,
            **asked.options,
        )
    write_trace(trace, out)
    _show(trace, as_json, f"trace: {out}")


@click.command("show")
@click.argument("file", metavar="FILE.nc", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def show_trace(file: Path, as_json: bool) -> None:
    """Print Theorem 1 and the rejections of a trace, and what its rounds accepted."""
    from specsim.records.trace_files import read_trace

    _show(read_trace(file), as_json, f"trace: {file}")


@click.command("log", help=_LOG_HELP)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--draft-length", type=int, metavar="N", help="Drafted tokens of every round, if FILE lacks them."
)
@click.option("--no-bonus", is_flag=True, help="The engine adds no bonus token after a fully accepted draft.")
@click.option(
    "--level", type=float, default=0.95, show_default=True, metavar="P", help="Confidence of each interval."
)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def log(file: Path, draft_length: int | None, no_bonus: bool, level: float, as_json: bool) -> None:
    """Read a log and report."""
    from specsim.records.acceptance_logs import read_acceptance_log

    result = read_acceptance_log(file, draft_length=draft_length, bonus=not no_bonus, level=level)
    if as_json:
        show_json(as_document(result, [str(name) for name in result.data_vars]))
    else:
        show(*_acceptance(result, str(file)))


def _show(trace: xarray.Dataset, as_json: bool, last: str) -> None:
    from specsim.records.trace_estimates import acceptance_of_trace, rejections_of_trace, theorem_1_of_trace

    first = theorem_1_of_trace(trace)
    happened = rejections_of_trace(trace)
    accepted = acceptance_of_trace(trace)
    if as_json:
        document: dict[str, Any] = {str(name): value for name, value in trace.attrs.items()}
        for name, estimate in (("theorem_1", first), ("rejections", happened)):
            document[name] = vars(estimate)
        if accepted is not None:
            document["acceptance"] = as_document(accepted, [str(name) for name in accepted.data_vars])
        show_json({**document, "positions": trace.sizes["position"]})
        return
    attrs = trace.attrs
    title = f"{attrs['algorithm']}: {attrs['target']} with {attrs['draft']}"
    tested = theorem_1_of_trace(trace, bonus_places=False)
    estimates = [
        (text, *spelled((found.value, found.standard_error, found.low, found.high)))
        for text, found in (
            ("Theorem 1: rejections without bonus tokens", first),
            ("the same without the positions of bonus tokens", tested),
            ("rejections that happened", happened),
        )
    ]
    made = table(title, ("per continuation",), ("value", "s.e.", "95 % interval"), estimates)
    rows = "full rows" if attrs["rows"] == "full" else f"top {attrs['top']} of each row"
    lines = [
        f"{attrs['sequences']} continuations, {trace.sizes['position']} tokens, {rows} over "
        f"{attrs['vocabulary']} tokens; {attrs['sampling']}; seed {attrs['seed']}",
        last,
    ]
    show(made, *([] if accepted is None else _acceptance(accepted, "its rounds")), *lines)


def _acceptance(result: xarray.Dataset, source: str) -> list[Any]:
    percent = f"{100 * float(result.attrs['level']):g} % interval"

    def rows(labels: str, counts: str, shares: str, intervals: str) -> list[Any]:
        values = zip(
            result[labels].values, result[counts].values, result[shares].values, result[intervals].values,
            strict=True,
        )  # fmt: skip
        return [
            (label, int(count), number(float(share)), f"{low:.4f} .. {high:.4f}")
            for label, count, share, (low, high) in values
        ]

    lengths = rows("accepted", "accepted_length_count", "accepted_length_law", "accepted_length_interval")
    law = table(
        f"Accepted drafted tokens of a round: {source}", (), ("tokens", "rounds", "share", percent), lengths
    )
    tested = rows("draft_position", "tested_count", "acceptance", "acceptance_interval")
    headings = ("position", "tested", "accepted", percent)
    places = table("Acceptance by position in the draft", (), headings, tested)
    lines = []
    for text, name in (
        ("tokens per target call", "block_efficiency"),
        ("accepted tokens per round", "mean_accepted"),
        ("rejected of tested tokens", "rejection_rate"),
    ):
        low, high = result[f"{name}_interval"].values.tolist()
        lines.append(f"{text}: {number(float(result[name]))} ({number(low)} .. {number(high)})")
    lines.append(f"{result.attrs['rounds']} rounds; intervals: {result.attrs['intervals']}")
    return [law, places, *lines]
