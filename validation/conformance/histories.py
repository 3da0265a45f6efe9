"""Rows as a subject turns them into laws: processed by the text so far, filtered, and absorbed at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from specsim.errors import InputError
from specsim.support.arrays import Bools, Floats, Integers
from specsim.validation.conformance.filters import FILTERS, filtered, of_draft
from specsim.validation.conformance.instances import Instance, digits, prefix_contexts
from specsim.validation.conformance.subjects import Subject


class NoMassError(InputError):
    """Processing leaves no token of a row."""


def effective(instance: Instance, subject: Subject, options: Mapping[str, Any]) -> Instance:
    """Return the instance that drafts are drawn from, texts continued by, and laws computed with.

    Rows of the target are processed as the subject declares, filtered, and, with the option ``eos``, absorbed
    after that token. Rows of the draft are processed and, with `Subject.filters`, filtered alike.

    NoMassError: processing leaves no token.
    """
    filters = {name: options[name] for name in FILTERS if options.get(name) is not None}
    drawn = of_draft(filters, subject.filters)
    eos = options.get("eos")
    if subject.process is None and eos is None:
        return replace(
            instance, target=filtered(instance.target, filters), draft=filtered(instance.draft, drawn)
        )

    vocabulary, depth = instance.vocabulary, instance.draft_length
    target, draft = [], []
    for length in range(depth + 1):
        texts = digits(np.arange(vocabulary**length), vocabulary, length)
        context = instance.contexts(texts)[:, -1]
        rows = law_rows(subject, texts, instance.target[context], filters)
        target.append(rows if eos is None else absorbed(rows, ended(texts, eos=eos), eos))
        read = instance.draft[context]
        on_draft = subject.filters == "both"
        draft.append(law_rows(subject, texts, read, drawn) if on_draft else filtered(read, drawn))
    return replace(
        instance,
        target=np.concatenate(target),
        draft=np.concatenate(draft),
        next_context=prefix_contexts(vocabulary, depth),
        start=0,
    )


def law_rows(subject: Subject, tokens: Integers, rows: Floats, filters: Mapping[str, Any]) -> Floats:
    """Return rows ``(n, V)`` after texts ``(n, length)``, processed as the subject declares and filtered."""
    return filtered(processed(subject, tokens, rows), filters)


def processed(subject: Subject, tokens: Integers, rows: Floats) -> Floats:
    """Return rows ``(n, V)`` after texts ``(n, length)`` as the subject processes them, normalised.

    InputError: it raises an exception, or does not return rows.
    """
    if subject.process is None:
        return rows
    try:
        found = np.asarray(subject.process(tokens.copy(), rows.copy()), dtype=np.float64)
    except Exception as error:
        raise InputError(
            f"process of {subject.name} raised {type(error).__name__}: {error};"
            f" it gets tokens {tokens.shape} and rows {rows.shape} as NumPy arrays"
        ) from error
    if found.shape != rows.shape:
        raise InputError(f"process of {subject.name} returned shape {found.shape}; return {rows.shape}")
    if not np.isfinite(found).all() or (found < 0).any():
        raise InputError(f"process of {subject.name} returned a negative weight or none; return weights >= 0")
    sums = found.sum(axis=1, keepdims=True)
    if not (sums > 0).all():
        row = int(np.flatnonzero(sums[:, 0] <= 0)[0])
        raise NoMassError(f"process of {subject.name} leaves no token after {tokens[row].tolist()}")
    return found / sums


def ended(tokens: Integers, *, eos: int | None = None, stop: Sequence[Sequence[int]] = ()) -> Bools:
    """Say of each text ``(n, length)`` whether it has ended: by the token `eos`, or a sequence of `stop`."""
    found: Bools = np.asarray(ends_at(tokens, eos=eos, stop=stop).any(axis=1))
    return found


def ends_at(tokens: Integers, *, eos: int | None = None, stop: Sequence[Sequence[int]] = ()) -> Bools:
    """Return for each position of texts ``(n, length)`` whether an end is there."""
    found = np.zeros(tokens.shape, dtype=bool) if eos is None else tokens == eos
    for sequence in stop:
        width = len(sequence)
        for last in range(width - 1, tokens.shape[1]):
            found[:, last] |= (tokens[:, last - width + 1 : last + 1] == np.asarray(sequence)).all(axis=1)
    return found


def absorbed(rows: Floats, over: Bools, token: int) -> Floats:
    """Put all mass of the rows of texts that are over on one token."""
    return np.where(over[:, None], np.eye(rows.shape[1])[token], rows)
