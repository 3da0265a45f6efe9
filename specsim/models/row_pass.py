"""Rows of draft and target along known continuations, by whole forward passes without any cache.

This is the second witness of a decoding run: whatever a decoder did with its caches, masks and positions,
the rows that it should have seen are these.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from specsim.errors import InputError
from specsim.models.results import RoundRecord
from specsim.models.sampling import Sampling
from specsim.support.arrays import Array, Floats

#: Numbers held at once, per model: 64 Mi logits.
_MOST_LOGITS = 2**26


class PathRows(NamedTuple):
    """Rows along one continuation.

    sequence: which sequence.
    target, draft: float64, shape ``(tokens of the continuation, vocabulary)``; each row sums to 1.
    """

    sequence: int
    target: Floats
    draft: Floats


def rows_along(
    models: Any,
    prompts: Sequence[Sequence[int]],
    continuations: Sequence[Sequence[int]],
    *,
    sampling: Sampling,
) -> Iterator[PathRows]:
    """Yield the rows of every position of every continuation, sequence by sequence, in some order.

    models: the pair: attributes ``target`` and ``draft``, causal language models of transformers.
    prompts, continuations: token ids.
    sampling: applied to the logits of both.
    InputError: a model returned logits that are not finite.
    """
    for group, logits in _passes((models.target, models.draft), prompts, continuations):
        for place, index in enumerate(group):
            start, length = len(prompts[index]) - 1, len(continuations[index])
            pair = []
            for name, values in zip(("target", "draft"), logits, strict=True):
                rows = sampling.rows(values[place, start : start + length]).double().cpu().numpy()
                if not np.isfinite(rows).all():
                    raise InputError(
                        f"the {name} model returned logits that are not finite for sequence {index}; "
                        "check its weights"
                    )
                pair.append(rows / rows.sum(axis=1, keepdims=True))
            yield PathRows(index, pair[0], pair[1])


class UsedRows:
    """Rows that a decoder used, collected as the ``record`` of `decode`, by sequence and position."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, int], tuple[Array, Array | None]] = {}

    def __call__(self, record: RoundRecord) -> None:
        """Keep the rows of the positions that the round emitted."""
        target, draft = record.target_rows.cpu().numpy(), record.draft_rows.cpu().numpy()
        sequences, firsts, counts = (
            values.tolist() for values in (record.sequences, record.first, record.count)
        )
        for row, (sequence, first, count) in enumerate(zip(sequences, firsts, counts, strict=True)):
            for depth in range(count):
                of_draft = draft[row, depth] if depth < draft.shape[1] else None
                self._rows[sequence, first + depth - 1] = target[row, depth], of_draft

    def difference(self, rows: PathRows) -> float:
        """Return the largest total variation distance to the rows of a whole pass."""
        largest = 0.0
        for place in range(len(rows.target)):
            target, draft = self._rows[rows.sequence, place]
            largest = max(largest, 0.5 * float(np.abs(target - rows.target[place]).sum()))
            if draft is not None:
                largest = max(largest, 0.5 * float(np.abs(draft - rows.draft[place]).sum()))
        return largest


def _passes(
    models: tuple[Any, ...], prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
) -> Iterator[tuple[list[int], tuple[torch.Tensor, ...]]]:
    """Yield groups of sequences with the logits of each model, shape ``(group, longest, vocabulary)``."""
    if not continuations:
        return
    lengths = [len(prompt) + len(rest) for prompt, rest in zip(prompts, continuations, strict=True)]
    if min(map(len, prompts)) < 1 or min(map(len, continuations)) < 1:
        raise InputError("a prompt or a continuation is empty; give at least one token of each")
    order = np.argsort(lengths, kind="stable").tolist()
    tokens = int(models[0].config.get_text_config().vocab_size)
    start = 0
    while start < len(order):
        size = 1
        while (
            start + size < len(order) and (size + 1) * lengths[order[start + size]] * tokens <= _MOST_LOGITS
        ):
            size += 1
        group = order[start : start + size]
        start += size
        longest = max(lengths[index] for index in group)
        ids = torch.zeros(len(group), longest, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for place, index in enumerate(group):
            whole = [*prompts[index], *continuations[index]]
            ids[place, : len(whole)] = torch.as_tensor(whole)
            mask[place, : len(whole)] = 1
        results = []
        for model in models:
            device = next(model.parameters()).device
            with torch.inference_mode():
                output = model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)
            results.append(output.logits)
        yield group, tuple(results)
