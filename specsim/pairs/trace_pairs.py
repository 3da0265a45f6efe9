"""Model pairs from traces of real runs: three readings, and what each of them keeps exactly."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import numpy as np

from specsim.errors import InputError
from specsim.pairs import ModelPair
from specsim.pairs.families import check_size
from specsim.records.trace_files import check_trace, read_trace, rows_of
from specsim.support.arrays import Floats
from specsim.support.checks import whole

if TYPE_CHECKING:
    import xarray


#: How `from_trace` reads a trace.
Reading = Literal["rows", "path", "markov"]


def from_trace(
    source: str | os.PathLike[str] | xarray.Dataset,
    *,
    reading: Reading = "rows",
    horizon: int | None = None,
    name: str | None = None,
) -> ModelPair:
    r"""Build a pair from a trace, so that theory and engines work on rows of real models.

    A trace holds the two rows T and D at every position of some continuations, not at positions that the
    models never came to, so no pair can be the two models. Each reading keeps something else exactly:

    ``"rows"``
        Context s at step n has the rows that were recorded at position n of sequence s; the context stays s
        whatever is emitted. Then Theorem 1 of 2411.00841 for this pair,
        :math:`\frac1S \sum_s \sum_n TV(T_{sn}, D_{sn})`, is the estimate of the real models' expected
        rejections, without bias where the continuations were drawn from the target (by any lossless
        decoder). Rows keep all their shape, so rules other than speculative decoding work on it too. That a
        rejection changes what comes later is lost: laws of counts are approximations.
    ``"path"``
        Two tokens: the recorded token accepted, or rejected and written anew. Given the recorded
        continuation, speculative decoding rejects position n with probability
        :math:`1 - \min(1, D(x_n) / T(x_n))` independently of the other positions, so that for `Speculative`
        with any draft length and bonus every law of this pair (rejections, target calls, accepted lengths)
        is an estimate without bias, later consequences included. Noisier than ``"rows"``; other rules have
        no meaning on it.
    ``"markov"``
        An order-1 chain over the whole vocabulary: the row of a token is the mean of the rows recorded after
        it, and of all rows for a token that was never followed. A caricature of the models with the shape of
        their rows, for any algorithm and engine; its total variation is smaller than the models' (the mean of
        rows is nearer than rows are). Needs full rows.

    Sequences that end early stay in agreement afterwards (the same token on both sides, never rejected).

    Parameters
    ----------
    source
        The file of a trace, or the Dataset.
    reading
        ``"rows"``, ``"path"`` or ``"markov"``.
    horizon
        Tokens to emit. Defaults to None, the longest recorded continuation. Only ``"markov"`` goes further.
    name
        A label for reports. Defaults to None, the grammar's spelling where `source` is a path.

    Returns
    -------
    ModelPair
        Its prompt's law is uniform over the sequences (``"markov"``: over the last tokens of the prompts).

    Raises
    ------
    InputError
        As `specsim.records.trace_files.read_trace`; an unknown reading; a horizon beyond the longest
        continuation; a
        continuation whose token the target never emits (``"path"``); top-k rows (``"markov"``).
    """
    if isinstance(source, str | os.PathLike):
        trace = read_trace(source)
        spelled = f"trace:file={_quoted(os.fspath(source))},reading={reading}"
    else:
        trace = source
        check_trace(trace, "the trace")
        spelled = f"trace:reading={reading}"
    if reading not in ("rows", "path", "markov"):
        raise InputError(f"reading is {reading!r}; give 'rows', 'path' or 'markov'")
    longest = int(trace["step"].values.max())
    length = longest if horizon is None else whole("horizon", horizon, 1)
    if horizon is not None:
        spelled += f",horizon={horizon}"
    label = spelled if name is None else name
    if reading == "markov":
        return _markov(trace, length, label)
    if length > longest:
        raise InputError(
            f"horizon is {length} but the longest recorded continuation has {longest} tokens; lower it"
        )
    if reading == "path":
        return _along(trace, _path_rows(trace), length, label, names=("as recorded", "written anew"))
    return _along(trace, rows_of(trace), length, label, names=_entry_names(trace))


def _along(
    trace: xarray.Dataset,
    recorded: tuple[Floats, Floats],
    length: int,
    label: str,
    names: tuple[str, ...] | None,
) -> ModelPair:
    """Build the pair whose context is the sequence, whatever is emitted."""
    target, draft = recorded
    sequences, entries = int(trace.attrs["sequences"]), target.shape[1]
    check_size(length, sequences, entries)
    rows = np.zeros((2, length, sequences, entries))
    # Where a sequence has ended both models emit token 0.
    rows[..., 0] = 1.0
    here = trace["step"].values <= length
    place = (trace["step"].values[here] - 1, trace["sequence"].values[here])
    rows[0][place] = target[here]
    rows[1][place] = draft[here]
    return ModelPair.from_probabilities(
        rows[0],
        rows[1],
        initial=np.full(sequences, 1 / sequences),
        next_context=np.repeat(np.arange(sequences)[:, None], entries, axis=1),
        horizon=length,
        tolerance=1e-3,
        token_names=names,
        name=label,
    )


def _path_rows(trace: xarray.Dataset) -> tuple[Floats, Floats]:
    target, draft = trace["target_of_token"].values, trace["draft_of_token"].values
    if not (target > 0).all():
        at = int(np.flatnonzero(~(target > 0))[0])
        raise InputError(
            f"position {at} of the trace has a token that its target never emits; the run was not lossless, "
            "use reading='rows'"
        )
    kept = np.minimum(1.0, draft / target)
    return np.stack([kept, 1 - kept], axis=1), np.stack([np.ones_like(kept), np.zeros_like(kept)], axis=1)


def _markov(trace: xarray.Dataset, length: int, label: str) -> ModelPair:
    if trace.attrs["rows"] != "full":
        raise InputError("the trace has top-k rows, but reading='markov' needs full rows; record it again")
    vocabulary, sequences = int(trace.attrs["vocabulary"]), int(trace.attrs["sequences"])
    check_size(1, vocabulary, vocabulary)
    last = np.full(sequences, -1, dtype=np.int64)
    # Later tokens of a prompt overwrite earlier ones.
    last[trace["prompt_sequence"].values] = trace["prompt_token"].values
    if (last < 0).any():
        raise InputError(f"sequence {int((last < 0).argmax())} of the trace has no prompt; record it again")
    token, first = trace["token"].values, trace["step"].values == 1
    before = np.concatenate([[0], token[:-1]])
    before[first] = last[trace["sequence"].values[first]]
    visits = np.bincount(before, minlength=vocabulary)
    tables = []
    for rows in rows_of(trace):
        total = np.zeros((vocabulary, vocabulary))
        np.add.at(total, before, rows)
        mean = rows.mean(axis=0)
        tables.append(np.where(visits[:, None] > 0, total / np.maximum(visits, 1)[:, None], mean))
    return ModelPair.from_probabilities(
        tables[0],
        tables[1],
        initial=np.bincount(last, minlength=vocabulary) / sequences,
        horizon=length,
        tolerance=1e-3,
        name=label,
    )


def _entry_names(trace: xarray.Dataset) -> tuple[str, ...] | None:
    if trace.attrs["rows"] == "full":
        return None
    kept = (f"rank {rank + 1}" for rank in range(int(trace.attrs["top"])))
    return (*kept, "rest at least the draft's", "rest less")


def _quoted(path: str) -> str:
    return f'"{path}"' if "," in path else path
