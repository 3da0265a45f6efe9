"""Traces of real decoding runs: rows and outcomes along emitted tokens, as one netCDF file.

A trace is an xarray Dataset described by `VARIABLES`. Its dim ``position`` runs over all emitted tokens,
sequence by sequence. Rows are stored in one of two ways, said by the attribute ``rows``:

* ``full``: ``target_row`` and ``draft_row`` over all tokens;
* ``top``: the attribute ``top`` tokens of largest max(T, D) in ``top_token``, and the rest of both rows in
  two cells: the tokens whose target probability is at least the draft's, and the others. Lumped in this way
  a row keeps its total variation distance to the other exactly, for any number of kept tokens.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.errors import InputError
from specsim.support.arrays import Array, Floats, Integers
from specsim.support.labelled import Variable, check, label, registry
from specsim.support.netcdf import read_netcdf, write_netcdf

if TYPE_CHECKING:
    import xarray


#: Written as the attribute ``format``; readers refuse any other.
FORMAT = "specsim-trace 1"

#: Codes of the variable ``outcome``.
OUTCOMES = {"accepted": 0, "rejected": 1, "bonus": 2, "plain": 3}

#: How far stored rows, of 24 significant bits, may be from what they were.
TOLERANCE = 1e-4

_P = ("position",)
VARIABLES = registry((
    Variable("sequence", _P, "Sequence of the token, from 0.", dtype="int64"),
    Variable("step", _P, "Position of the token after the prompt, from 1.", dtype="int64"),
    Variable("token", _P, "The emitted token.", dtype="int64"),
    Variable("outcome", _P,
             "0: accepted drafted token; 1: replacement of a rejected one; 2: bonus token; 3: plain "
             "decoding.", dtype="int8"),
    Variable("total_variation", _P, "Total variation distance of the two rows at the position."),
    Variable("target_of_token", _P, "Target probability of the emitted token."),
    Variable("draft_of_token", _P, "Draft probability of the emitted token."),
    Variable("target_row", ("position", "vocabulary"),
             "Target row at the position.", dtype="float32", required=False),
    Variable("draft_row", ("position", "vocabulary"),
             "Draft row at the position.", dtype="float32", required=False),
    Variable("top_token", ("position", "entry"),
             "The tokens kept, sorted by the larger of both probabilities, largest first.",
             dtype="int64", required=False),
    Variable("target_top", ("position", "entry"),
             "Their target probabilities.", dtype="float32", required=False),
    Variable("draft_top", ("position", "entry"),
             "Their draft probabilities.", dtype="float32", required=False),
    Variable("target_rest", ("position", "side"),
             "Target probability of all other tokens, in two sums: of those whose target probability is at "
             "least their draft probability, and of the rest.", dtype="float32", required=False),
    Variable("draft_rest", ("position", "side"),
             "Draft probability of the same two sets.", dtype="float32", required=False),
    Variable("round_sequence", ("round",), "Sequence of the round.", dtype="int64"),
    Variable("round_step", ("round",), "First position of the round.", dtype="int64"),
    Variable("round_drafted", ("round",), "Drafted tokens of the round.", dtype="int64"),
    Variable("round_accepted", ("round",), "Accepted drafted tokens of the round.", dtype="int64"),
    Variable("prompt_sequence", ("prompt_position",),
             "Sequence of each token of the prompts.", dtype="int64"),
    Variable("prompt_token", ("prompt_position",), "Tokens of the prompts.", dtype="int64"),
))  # fmt: skip

#: Attributes that every trace carries, and more are allowed.
ATTRIBUTES: dict[str, str] = {
    "format": "Version of the format.",
    "specsim": "Version of specsim.",
    "rows": "How rows are stored: full or top.",
    "top": "Tokens kept of each row; 0 where rows are full.",
    "vocabulary": "Number of tokens.",
    "sequences": "Number of sequences.",
    "algorithm": "The algorithm's label.",
    "target": "Name of the target model.",
    "draft": "Name of the draft model.",
    "sampling": "Temperature, top-k and top-p on both sides.",
    "seed": "Seed of the run.",
    "digest": "SHA-256 of all variables.",
}


def top_rows(target: Floats, draft: Floats, top: int) -> dict[str, Array]:
    """Reduce pairs of rows to their `top` tokens and the two lumped rests, keeping total variation.

    Parameters
    ----------
    target, draft
        Shape ``(positions, vocabulary)``.
    top
        Tokens to keep, at least 0 and less than the vocabulary.

    Returns
    -------
    dict
        ``top_token``, ``target_top``, ``draft_top``, ``target_rest`` and ``draft_rest``.
    """
    positions, vocabulary = target.shape
    if not 0 <= top < vocabulary:
        raise InputError(f"top is {top}; give a number from 0 to {vocabulary - 1}, or keep full rows")
    order = np.argsort(-np.maximum(target, draft), axis=1, kind="stable")[:, :top]
    kept = np.zeros(target.shape, dtype=bool)
    np.put_along_axis(kept, order, True, axis=1)
    above = target >= draft
    sides = [~kept & above, ~kept & ~above]
    return {
        "top_token": order.reshape(positions, top).astype(np.int64),
        "target_top": np.take_along_axis(target, order, axis=1),
        "draft_top": np.take_along_axis(draft, order, axis=1),
        "target_rest": np.stack([(target * side).sum(axis=1) for side in sides], axis=1),
        "draft_rest": np.stack([(draft * side).sum(axis=1) for side in sides], axis=1),
    }


def make_trace(values: dict[str, Any], attributes: dict[str, Any]) -> xarray.Dataset:
    """Label the variables of a trace, add format, version and digest, and check it.

    Parameters
    ----------
    values
        Arrays by the names of `VARIABLES`.
    attributes
        Those of `ATTRIBUTES` but format, specsim, rows, top and digest; more are kept.

    Raises
    ------
    InputError
        As `check_trace`.
    """
    from specsim import __version__

    full = "target_row" in values
    trace = label(
        VARIABLES,
        values,
        coordinates=None if full else {"side": ["at least the draft's", "less"]},
        attributes={
            "format": FORMAT,
            "specsim": __version__,
            "rows": "full" if full else "top",
            "top": 0 if full else int(np.shape(values["top_token"])[1]),
            **attributes,
        },
    )
    trace.attrs["digest"] = _digest(trace)
    check_trace(trace, "the trace")
    return trace


def write_trace(trace: xarray.Dataset, path: str | os.PathLike[str]) -> None:
    """Write a trace as netCDF: one file, moved into place when it is complete.

    Raises
    ------
    InputError
        The trace contradicts itself (see `check_trace`), or the file cannot be written.
    """
    check_trace(trace, "the trace")
    encoding = {
        # Empty variables cannot be compressed.
        str(name): {"_FillValue": None, **({"zlib": True, "complevel": 1} if variable.size else {})}
        for name, variable in trace.data_vars.items()
    }
    write_netcdf(trace, path, encoding=encoding)


def read_trace(path: str | os.PathLike[str]) -> xarray.Dataset:
    """Read a trace written by `write_trace` and verify it.

    Raises
    ------
    InputError
        The file is missing, unreadable, truncated, no trace, of another version of the format, changed after
        it was written, or contradicts itself.

    Examples
    --------
    >>> from specsim import read_trace
    >>> trace = read_trace("trace.nc")  # doctest: +SKIP
    >>> trace.sizes["position"]  # doctest: +SKIP
    1280
    """
    place = Path(path)
    trace = read_netcdf(place, "a trace", "record it again")
    if trace.attrs.get("format") != FORMAT:
        stated = trace.attrs.get("format", "none")
        raise InputError(
            f"cannot read {place}: its format attribute is {stated}, not {FORMAT}; "
            "give a file written by 'specsim models trace record'"
        )
    try:
        check_trace(trace, "the trace")
        if _digest(trace) != trace.attrs["digest"]:
            raise InputError("its contents have changed since it was written; record it again")
    except InputError as error:
        raise InputError(f"cannot read {place}: {error}") from None
    except (TypeError, ValueError, IndexError) as error:
        raise InputError(f"cannot read {place}: an attribute or index is wrong ({error})") from None
    return trace


def check_trace(trace: xarray.Dataset, what: str) -> None:
    """Raise `InputError` unless a trace is complete and agrees with itself.

    Checked are names, dims and dtypes; that positions count up from 1 in every sequence; that probabilities
    are such and rows sum to 1; that stored rows have the total variation and the token's probabilities that
    are stored with them; and that the rounds accepted what the outcomes say.
    """
    check(trace, VARIABLES, ATTRIBUTES, what)
    full = trace.attrs["rows"] == "full"
    names = ("target_row", "draft_row") if full else ("top_token", "target_top", "target_rest", "draft_rest")
    for name in names:
        if name not in trace:
            raise InputError(f"{what} has no variable {name}, but rows are {trace.attrs['rows']}")
    sequence, step = trace["sequence"].values, trace["step"].values
    if sequence.size == 0:
        raise InputError(f"{what} is empty; record at least one token")
    sequences = int(trace.attrs["sequences"])
    lengths: Integers = np.bincount(np.maximum(sequence, 0), minlength=sequences).astype(np.int64)
    if sequence.min() < 0 or len(lengths) != sequences or (np.diff(sequence) < 0).any():
        raise InputError(f"{what}: sequence must count up from 0 to {sequences - 1}")
    if not np.array_equal(step, np.concatenate([np.arange(1, n + 1) for n in lengths])):
        raise InputError(f"{what}: step must count up from 1 in every sequence")
    vocabulary = int(trace.attrs["vocabulary"])
    token = trace["token"].values
    if token.min() < 0 or token.max() >= vocabulary:
        raise InputError(f"{what}: token has a value outside 0..{vocabulary - 1}")
    outcome = trace["outcome"].values
    if outcome.min() < 0 or outcome.max() > max(OUTCOMES.values()):
        raise InputError(f"{what}: outcome has a value outside 0..{max(OUTCOMES.values())}")
    target, draft = rows_of(trace)
    for name, rows in (("target", target), ("draft", draft)):
        if not (np.isfinite(rows).all() and rows.min() >= 0):
            raise InputError(f"{what}: a {name} row has an entry that is not a probability")
        off = np.abs(rows.sum(axis=1) - 1)
        if off.max() > TOLERANCE:
            raise InputError(f"{what}: the {name} row of position {int(off.argmax())} does not sum to 1")
    distance = 0.5 * np.abs(target - draft).sum(axis=1)
    gap = np.abs(distance - trace["total_variation"].values)
    if not gap.max() <= TOLERANCE:
        raise InputError(f"{what}: total_variation of position {int(np.nanargmax(gap))} is not its rows'")
    if full:
        every = np.arange(len(token))
        for name, rows in (("target_of_token", target), ("draft_of_token", draft)):
            if not np.abs(rows[every, token] - trace[name].values).max() <= TOLERANCE:
                raise InputError(f"{what}: {name} does not agree with the rows")
    _check_rounds(trace, what, lengths)


def rows_of(trace: xarray.Dataset) -> tuple[Floats, Floats]:
    """Return target and draft rows, float64 of shape ``(positions, entries)``.

    Where rows are full the entries are the tokens, else the kept tokens and the two rests.
    """
    if trace.attrs["rows"] == "full":
        return trace["target_row"].values.astype(np.float64), trace["draft_row"].values.astype(np.float64)
    pairs = [
        np.concatenate([trace[f"{side}_top"].values, trace[f"{side}_rest"].values], axis=1).astype(np.float64)
        for side in ("target", "draft")
    ]
    return pairs[0], pairs[1]


def rounds_of(trace: xarray.Dataset) -> tuple[Integers, Integers, Integers]:
    """Return accepted and drafted tokens and the sequence of each round."""
    return trace["round_accepted"].values, trace["round_drafted"].values, trace["round_sequence"].values


def _check_rounds(trace: xarray.Dataset, what: str, lengths: Integers) -> None:
    accepted, drafted, sequence = rounds_of(trace)
    if accepted.size == 0:
        return
    if (accepted < 0).any() or (accepted > drafted).any():
        raise InputError(f"{what}: a round accepts more tokens than it drafts")
    if sequence.min() < 0 or sequence.max() >= len(lengths):
        raise InputError(f"{what}: round_sequence has a value outside 0..{len(lengths) - 1}")
    outcome = trace["outcome"].values
    found = int((outcome == OUTCOMES["accepted"]).sum())
    if int(accepted.sum()) != found:
        raise InputError(f"{what}: rounds accepted {int(accepted.sum())} tokens, but outcome says {found}")
    rejected = int((outcome == OUTCOMES["rejected"]).sum())
    if int((accepted < drafted).sum()) < rejected:
        raise InputError(f"{what}: outcome has more rejections than there are rounds that rejected")


def _digest(trace: xarray.Dataset) -> str:
    digest = hashlib.sha256()
    for name in VARIABLES:
        if name in trace:
            values = np.ascontiguousarray(trace[name].values)
            digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
            digest.update(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()
