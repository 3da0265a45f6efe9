"""Traces of real decoding runs: what every position's rows were and what happened there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.algorithms import Algorithm, Speculative
from specsim.errors import InputError, UnsupportedError
from specsim.models.decoding import decode
from specsim.models.opt_uno import provenance
from specsim.models.row_pass import PathRows, UsedRows, rows_along
from specsim.models.rules import check_algorithm
from specsim.models.sampling import Sampling
from specsim.records.trace_files import OUTCOMES, make_trace, top_rows
from specsim.support.checks import whole

if TYPE_CHECKING:
    import xarray

    from specsim.models.results import Decoded

#: Largest number of bytes of full rows; more has to be requested.
MOST_BYTES = 2 * 2**30


def record_trace(
    models: Any,
    prompts: Sequence[Sequence[int]],
    *,
    algorithm: Algorithm | None = None,
    new_tokens: int,
    sampling: Sampling | None = None,
    seed: int,
    eos: int | Sequence[int] | None = None,
    top: int | None = None,
    batch: int | None = None,
    check_rows: bool = True,
    progress: Callable[[int], None] | None = None,
) -> xarray.Dataset:
    """Decode, and record the rows and the outcome of every position.

    Rows are those of whole forward passes over what was written, so that every position has both, bonus
    tokens too. The rows that the decoder itself used are compared with them; the attribute ``row_difference``
    is the largest total variation distance found.

    Parameters
    ----------
    models
        The pair, as `specsim.models.load_pair` returns it.
    prompts
        Token ids.
    algorithm
        Any that `decode` knows whose paths are equally long. Defaults to None,
        ``speculative:draft_length=4``. Continuations are the target's own, as Theorem 1 asks for, where it is
        lossless.
    new_tokens
        Tokens of each continuation, at most.
    sampling
        Defaults to None, the models' own laws.
    seed
        0 to 2^64 - 1.
    eos
        Token or tokens that end a continuation. Defaults to None.
    top
        Number of tokens of each row to keep, with two sums of the rest for the exact total variation.
        Defaults to None, full rows.
    batch
        Sequences decoded side by side. Defaults to None, all.
    check_rows
        Whether the decoder's rows are compared; takes memory for all of them. Defaults to True.
    progress
        As in `decode`.

    Returns
    -------
    xarray.Dataset
        A trace as `specsim.records.trace_files` describes it; write it with
        `specsim.records.trace_files.write_trace`.

    Raises
    ------
    InputError
        Full rows that would take too much memory, `top` out of range, a tree whose paths differ in length, or
        as `decode`.

    Examples
    --------
    >>> from specsim import models, parse_pair
    >>> target, draft = models.table_models(parse_pair("random:contexts=3,horizon=8,seed=1,stationary=yes"))
    >>> pair = models.LoadedPair(target=target, draft=draft)
    >>> trace = models.record_trace(pair, [[0], [1]], new_tokens=6, seed=1)
    >>> trace.sizes["position"]
    12
    """
    algorithm = Speculative(draft_length=4) if algorithm is None else algorithm
    sampling = Sampling() if sampling is None else sampling
    _check_draft(algorithm, new_tokens)
    _check_size(models, len(prompts) * new_tokens, top, check_rows)
    used = UsedRows() if check_rows else None
    decoded = decode(
        models,
        prompts,
        algorithm=algorithm,
        new_tokens=new_tokens,
        sampling=sampling,
        seed=seed,
        eos=eos,
        batch=batch,
        record=used,
        progress=progress,
    )
    found: dict[int, dict[str, Any]] = {}
    difference = 0.0
    for rows in rows_along(models, prompts, decoded.tokens, sampling=sampling):
        found[rows.sequence] = _place_values(rows, decoded.tokens[rows.sequence], top)
        if used is not None:
            difference = max(difference, used.difference(rows))
    order = range(len(prompts))
    values = {name: np.concatenate([found[index][name] for index in order]) for name in found[0]}
    lengths = decoded.lengths
    values["sequence"] = np.repeat(np.arange(len(prompts)), lengths)
    values["step"] = np.concatenate([np.arange(1, length + 1) for length in lengths])
    values["token"] = np.concatenate(decoded.tokens)
    values["outcome"] = np.concatenate([_outcomes(algorithm, decoded, index) for index in order])
    values.update(_rounds(algorithm, decoded))
    values["prompt_sequence"] = np.repeat(np.arange(len(prompts)), [len(prompt) for prompt in prompts])
    values["prompt_token"] = np.concatenate([np.asarray(prompt, dtype=np.int64) for prompt in prompts])
    return make_trace(
        values,
        {
            **provenance(models, sampling, seed),
            "sequences": len(prompts),
            "algorithm": algorithm.label,
            "bonus": int(algorithm.whole_bonus and not algorithm.plain),
            "row_difference": difference if check_rows else "not looked at",
        },
    )


def _place_values(rows: PathRows, tokens: list[int], top: int | None) -> dict[str, Any]:
    every, token = np.arange(len(tokens)), np.asarray(tokens, dtype=np.int64)
    values: dict[str, Any] = {
        "total_variation": 0.5 * np.abs(rows.target - rows.draft).sum(axis=1),
        "target_of_token": rows.target[every, token],
        "draft_of_token": rows.draft[every, token],
    }
    if top is None:
        values["target_row"] = rows.target.astype(np.float32)
        values["draft_row"] = rows.draft.astype(np.float32)
    else:
        values.update(top_rows(rows.target, rows.draft, top))
    return values


def _outcomes(algorithm: Algorithm, decoded: Decoded, index: int) -> np.ndarray:
    plain = algorithm.plain
    outcome = np.full(len(decoded.tokens[index]), OUTCOMES["plain" if plain else "accepted"])
    if not plain:
        outcome[np.array(decoded.rejected_positions[index], dtype=np.int64) - 1] = OUTCOMES["rejected"]
        outcome[np.array(decoded.bonus_positions[index], dtype=np.int64) - 1] = OUTCOMES["bonus"]
    return outcome


def _rounds(algorithm: Algorithm, decoded: Decoded) -> dict[str, Any]:
    """Return the rounds; those of plain decoding draft nothing and are left out."""
    sequence: list[int] = []
    step: list[int] = []
    drafted: list[int] = []
    accepted: list[int] = []
    if not algorithm.plain:
        for index, lengths in enumerate(decoded.accepted_lengths):
            sequence += [index] * len(lengths)
            step += decoded.first_positions[index]
            drafted += decoded.drafted_lengths[index]
            accepted += lengths
    return {
        "round_sequence": np.array(sequence, dtype=np.int64),
        "round_step": np.array(step, dtype=np.int64),
        "round_drafted": np.array(drafted, dtype=np.int64),
        "round_accepted": np.array(accepted, dtype=np.int64),
    }


def _check_draft(algorithm: Algorithm, new_tokens: int) -> None:
    """Raise `UnsupportedError` where a whole path may be shorter than the draft is deep.

    Readers of a trace take a round that accepts less than it drafts for one with a rejection.
    """
    structure = check_algorithm(algorithm, whole("new_tokens", new_tokens, 1))
    if structure.shortest < structure.depth:
        raise UnsupportedError(
            f"{algorithm.label} drafts paths of {structure.shortest} to {structure.depth} tokens, which a "
            "trace does not tell apart; give a tree whose paths are equally long, such as tree=3-2-1"
        )


def _check_size(models: Any, places: int, top: int | None, check_rows: bool) -> None:
    vocabulary = int(models.vocabulary)
    if top is not None:
        whole("top", top, 0, vocabulary - 1, otherwise=", or leave it out")
    stored = 8 * places * vocabulary if top is None else 0
    kept = 16 * places * vocabulary if check_rows else 0
    if stored + kept > MOST_BYTES:
        remedy = "give top=, or fewer prompts or tokens"
        if kept > stored:
            remedy += "; check_rows=False takes less"
        raise InputError(f"rows of {places} positions take {stored + kept} bytes, too many to hold; {remedy}")
