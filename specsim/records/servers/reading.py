"""Read a log of an inference server, whatever its format."""

from __future__ import annotations

import os
from pathlib import Path

from specsim.errors import InputError
from specsim.records.servers import log_lines, prometheus, rounds, tables, totals
from specsim.records.servers.log import LONGEST_DRAFT, Format, ServerLog, Source, add_settings
from specsim.support.checks import named, path_of
from specsim.support.files import read_file

#: All formats, in the order in which they are tried.
FORMATS: dict[str, Format] = {
    each.name: each for module in (prometheus, log_lines, totals, tables, rounds) for each in module.FORMATS
}
_REMEDY = "give a log of an inference server (specsim plan --help lists the formats)"
_MOST_BYTES = 2**28


def read_server_log(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    draft_length: int | None = None,
    select: str | None = None,
    since: str | os.PathLike[str] | None = None,
) -> ServerLog:
    r"""Read what a server wrote about speculative decoding.

    Parameters
    ----------
    path
        The file.
    format
        A key of `FORMATS`. Defaults to None: the first that recognises the text.
    draft_length
        Drafted tokens of every round, where the log does not say.
    select
        Which server or table, where the file has several.
    since
        An earlier scrape, whose counters are subtracted.

    Raises
    ------
    InputError
        The file cannot be read, is of no known format, contradicts itself, or was written with synthetic
        acceptance.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from specsim import read_server_log
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "table.csv"
    ...     _ = path.write_text("K,accept_len\n1,1.5\n2,1.75\n")
    ...     read_server_log(path).settings[1].mean
    0.75
    """
    place = path_of("path", path)
    source = Source(place=str(place), text=_text(place), select=select)
    if draft_length is not None and not (type(draft_length) is int and 1 <= draft_length <= LONGEST_DRAFT):
        raise InputError(f"draft_length is {draft_length!r}; give a whole number from 1 to {LONGEST_DRAFT}")
    source.draft_length = draft_length
    source.earlier = None if since is None else _text(Path(since))
    if not source.text.strip():
        source.refuse("the file is empty; give a log with at least one round")
    if rounds.is_synthetic(source.text):
        source.refuse("acceptance is synthetic (an option that fakes it is named); measure without it")
    if format is not None:
        chosen = named("format", format, FORMATS)
    else:
        found = [each for each in FORMATS.values() if each.recognise(source.text)]
        if not found:
            source.refuse(f"its first line is {source.text.strip().splitlines()[0][:50]!r}; {_REMEDY}")
        chosen = found[0]
    try:
        settings = add_settings(chosen.read(source))
    except (StopIteration, IndexError, KeyError, AttributeError):
        source.refuse(f"it is no {chosen.title}; {_REMEDY}")
    if not settings:
        source.refuse("nothing was drafted; give a log with at least one round")
    if source.text[-1] not in "\n\r" and source.text.lstrip()[0] not in "{[":
        source.warnings.append(
            "the file does not end with a line end: if it was cut, the last number may lack digits"
        )
    for setting in settings:
        if not 0 <= setting.mean <= setting.draft_length + 1e-9:
            source.refuse(
                f"{setting.mean:.3f} accepted tokens per round of {setting.draft_length}; check the draft "
                "length, and "
                "whether the bonus is counted"
            )
    return ServerLog(
        source=place.name,
        format=chosen.title,
        settings=settings,
        understood=tuple(source.notes),
        warnings=tuple(dict.fromkeys(source.warnings)),
    )


def _text(place: Path) -> str:
    try:
        return read_file(place, _REMEDY, most_bytes=_MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read {place}: not UTF-8 (byte {error.start}); {_REMEDY}") from None
