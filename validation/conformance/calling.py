"""Calls a subject: rows in its types, seeds that are never used twice, and a check of what comes back."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from specsim.errors import InputError
from specsim.support.arrays import Array, Floats, Integers
from specsim.validation.conformance.subjects import Subject

#: Seeds given to subjects lie in [0, this), which every library takes.
SEED_RANGE = 2**31 - 1


class ContractError(AssertionError):
    """A subject returned something that its protocol does not allow."""


class SubjectError(RuntimeError):
    """A subject raised an exception on valid input."""


class NotApplicable(Exception):
    """A check turned out not to apply; the message says why."""


@dataclass(kw_only=True)
class Caller:
    """Gives a subject rows and takes its tokens back.

    subject: what is called.
    seed: where its seeds begin; every call takes the next one.
    calls, rows, seconds: how many calls were made, of how many rows together, and the time spent in them.
    """

    subject: Subject
    seed: int
    calls: int = 0
    rows: int = 0
    seconds: float = 0.0
    deadline: float | None = None
    _torch: Any = field(default=None, repr=False)

    def next_seed(self) -> int:
        """Return a seed that no other call of this caller has."""
        self.calls += 1
        return (self.seed + self.calls) % SEED_RANGE

    def out_of_time(self) -> bool:
        """Return whether the time that was granted is over."""
        return self.deadline is not None and time.monotonic() > self.deadline

    def give(self, rows: Floats, dtype: str | None = None) -> Any:
        """Turn probabilities into what the subject takes: logits, a narrower type, a tensor."""
        with np.errstate(divide="ignore"):
            values = np.log(rows) if self.subject.inputs == "logits" else rows
        kind = dtype or self.subject.dtypes[0]
        if self.subject.framework == "numpy":
            return np.ascontiguousarray(values.astype(kind))
        torch = self._import_torch()
        tensor = torch.from_numpy(np.ascontiguousarray(values)).to(getattr(torch, kind))
        return tensor.to(self.subject.device)

    def give_integers(self, tokens: Integers) -> Any:
        """Turn integers into an array or tensor of int64."""
        if self.subject.framework == "numpy":
            return np.ascontiguousarray(tokens.astype(np.int64))
        return self._import_torch().from_numpy(np.ascontiguousarray(tokens)).to(self.subject.device)

    def take(self, value: Any, what: str) -> Array:
        """Turn what the subject returned into an array."""
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            # NumPy has no bfloat16; float32 holds its values exactly.
            value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
        array = np.asarray(value)
        if array.dtype == object:
            raise ContractError(f"{what} is ragged or holds objects; return an integer array")
        return array

    def call(self, *arguments: Any, seed: int | None = None, **options: Any) -> Any:
        """Call the subject once; exceptions become `SubjectError` with their last line."""
        chosen = self.next_seed() if seed is None else seed
        begin = time.perf_counter()
        try:
            return self.subject.run(*arguments, seed=chosen, **options)
        except (KeyboardInterrupt, SystemExit, InputError, MemoryError):
            raise
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            where = f" ({frames[-1].name}, line {frames[-1].lineno})" if frames else ""
            raise SubjectError(f"{type(error).__name__}: {error}{where}") from error
        finally:
            self.seconds += time.perf_counter() - begin

    def _import_torch(self) -> Any:
        if self._torch is None:
            try:
                import torch
            except ImportError as error:
                raise InputError(f"subject {self.subject.name} wants torch tensors; install torch") from error
            self._torch = torch
        return self._torch

    # Steps.

    def step(
        self,
        target: Floats,
        draft: Floats | None,
        drafted: Integers,
        *,
        dtype: str | None = None,
        seed: int | None = None,
        options: Mapping[str, Any] | None = None,
        check: bool = True,
    ) -> tuple[Integers, Integers]:
        """Verify drafts, in as many calls as the subject's batches need; return tokens and lengths.

        ContractError: the subject returned something else than its protocol says.
        SubjectError: it raised an exception.
        """
        tokens = np.empty((len(drafted), drafted.shape[1] + 1), dtype=np.int64)
        lengths = np.empty(len(drafted), dtype=np.int64)
        self.rows += len(drafted)
        for part in self._parts(len(drafted)):
            rows = None if draft is None else self.give(draft[part], dtype)
            extra = _part_of(options, part, self.give_integers, self.give)
            result = self.call(
                self.give(target[part], dtype), rows, self.give_integers(drafted[part]), seed=seed, **extra
            )
            tokens[part], lengths[part] = self.checked_step(
                result, drafted[part], target.shape[-1], (options or {}).get("draft_lengths"), part, check
            )
        return tokens, lengths

    def draft_and_verify(
        self, models: Any, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Integers, Integers, Integers]:
        """Draft and verify once; return drafted tokens, tokens and lengths."""
        self.rows += models.batch
        result = self.call(models, seed=seed, **(options or {}))
        if not isinstance(result, tuple | list) or len(result) != 3:
            raise ContractError(f"returned {_kind(result)}; return (drafted, tokens, lengths)")
        drafted = self._integers(result[0], "drafted", (models.batch, models.draft_length))
        _in_range(drafted, models.vocabulary, "drafted")
        tokens, lengths = self.checked_step(result[1:], drafted, models.vocabulary, None, slice(None), True)
        return drafted, tokens, lengths

    def tree(
        self,
        parents: Integers,
        target: Floats,
        draft: Floats,
        tokens: Integers,
        *,
        seed: int | None = None,
        dtype: str | None = None,
    ) -> tuple[Integers, Integers]:
        """Verify trees of drafts; return emitted tokens and lengths."""
        depth = int(tree_depths(parents).max())
        emitted = np.empty((len(tokens), depth + 1), dtype=np.int64)
        lengths = np.empty(len(tokens), dtype=np.int64)
        self.rows += len(tokens)
        for part in self._parts(len(tokens)):
            result = self.call(
                parents.copy(),
                self.give(target[part], dtype),
                self.give(draft[part], dtype),
                self.give_integers(tokens[part]),
                seed=seed,
            )
            found, sizes = self._pair(result, len(tokens[part]), depth + 1)
            _checked_lengths(found, sizes, target.shape[-1])
            emitted[part], lengths[part] = found, sizes
        return emitted, lengths

    def decode(
        self,
        models: Any,
        prompts: Integers,
        new_tokens: int,
        *,
        seed: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Integers, list[list[int]] | None]:
        """Write texts; return tokens and, where the subject tells them, accepted lengths per round."""
        texts = np.empty((len(prompts), new_tokens), dtype=np.int64)
        accepted: list[list[int]] | None = []
        self.rows += len(prompts)
        for part in self._parts(len(prompts)):
            result = self.call(
                models, self.give_integers(prompts[part]), new_tokens, seed=seed, **(options or {})
            )
            rounds = None
            if isinstance(result, tuple | list) and len(result) == 2 and not _is_matrix(result):
                result, rounds = result
            tokens = self._integers(result, "tokens", (len(prompts[part]), new_tokens))
            _in_range(tokens, models.vocabulary, "tokens")
            texts[part] = tokens
            if rounds is None:
                accepted = None
            elif accepted is not None:
                accepted += _checked_rounds(rounds, len(prompts[part]), models.draft_length, new_tokens)
        return texts, accepted

    def _parts(self, count: int) -> list[slice]:
        size = self.subject.max_batch or count
        return [slice(begin, min(begin + size, count)) for begin in range(0, count, max(size, 1))]

    def checked_step(
        self,
        result: Any,
        drafted: Integers,
        vocabulary: int,
        draft_lengths: Integers | None,
        part: slice,
        check: bool,
    ) -> tuple[Integers, Integers]:
        """Return tokens and lengths after checking all that the protocol says about them."""
        tokens, lengths = self._pair(result, len(drafted), drafted.shape[1] + 1)
        if not check:
            return tokens, lengths
        most = drafted.shape[1] if draft_lengths is None else np.asarray(draft_lengths)[part]
        _checked_lengths(tokens, lengths, vocabulary, most)
        columns = np.arange(drafted.shape[1])
        wrong = (columns < lengths[:, None] - 1) & (tokens[:, :-1] != drafted)
        if wrong.any():
            row, column = (int(v) for v in np.argwhere(wrong)[0])
            raise ContractError(
                f"row {row} says that {lengths[row] - 1} drafted tokens were accepted, but emits token "
                f"{tokens[row, column]} where {drafted[row, column]} was drafted (position {column + 1})"
            )
        return tokens, lengths

    def _pair(self, result: Any, batch: int, width: int) -> tuple[Integers, Integers]:
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise ContractError(f"returned {_kind(result)}; return (tokens, lengths)")
        tokens = self._integers(result[0], "tokens", (batch, width))
        lengths = self._integers(result[1], "lengths", (batch,))
        return tokens, lengths

    def _integers(self, value: Any, what: str, shape: tuple[int, ...]) -> Integers:
        array = self.take(value, what)
        if array.shape != shape:
            raise ContractError(f"{what} has shape {array.shape}; the protocol says {shape}")
        if not np.issubdtype(array.dtype, np.integer):
            raise ContractError(f"{what} has type {array.dtype}; return integers")
        return array.astype(np.int64)


def tree_depths(parents: Integers) -> Integers:
    """Return the depth of every node; the root has depth 0."""
    depths = np.zeros(len(parents), dtype=np.int64)
    for node in range(1, len(parents)):
        depths[node] = depths[parents[node]] + 1
    return depths


def _checked_lengths(
    tokens: Integers, lengths: Integers, vocabulary: int, most_accepted: Any | None = None
) -> None:
    top = tokens.shape[1] if most_accepted is None else np.asarray(most_accepted) + 1
    wrong = (lengths < 1) | (lengths > top)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        limit = int(np.broadcast_to(top, lengths.shape)[row])
        raise ContractError(f"row {row} has length {lengths[row]}; a length is between 1 and {limit}")
    emitted = np.arange(tokens.shape[1]) < lengths[:, None]
    _in_range(np.where(emitted, tokens, 0), vocabulary, "emitted tokens")


def _in_range(tokens: Integers, vocabulary: int, what: str) -> None:
    wrong = (tokens < 0) | (tokens >= vocabulary)
    if wrong.any():
        row = int(np.argwhere(wrong)[0][0])
        raise ContractError(
            f"{what} of row {row} hold {int(tokens[wrong][0])}; tokens are 0..{vocabulary - 1}"
        )


def _checked_rounds(rounds: Any, batch: int, draft_length: int, new_tokens: int) -> list[list[int]]:
    listed = [[int(value) for value in row] for row in rounds]
    if len(listed) != batch:
        raise ContractError(f"accepted lengths are given for {len(listed)} rows; the batch has {batch}")
    for row, values in enumerate(listed):
        if any(not 0 <= value <= draft_length for value in values):
            raise ContractError(f"accepted lengths of row {row} are {values}; they are 0..{draft_length}")
        if sum(values) + len(values) < new_tokens:
            raise ContractError(
                f"accepted lengths of row {row} account for {sum(values) + len(values)} tokens"
                f" of {new_tokens}"
            )
    return listed


def _is_matrix(result: Any) -> bool:
    return all(isinstance(row, list | tuple) and all(isinstance(x, int) for x in row) for row in result)


def _kind(value: Any) -> str:
    size = f" of {len(value)}" if isinstance(value, tuple | list) else ""
    return f"a {type(value).__name__}{size}"


def _part_of(
    options: Mapping[str, Any] | None,
    part: slice,
    integers: Callable[[Integers], Any],
    floats: Callable[..., Any],
) -> dict[str, Any]:
    """Cut options that are given per row to the rows of a call."""
    found: dict[str, Any] = {}
    for name, value in (options or {}).items():
        if name == "draft_lengths":
            found[name] = integers(np.asarray(value)[part])
        elif name == "coins":
            found[name] = np.ascontiguousarray(np.asarray(value)[part])
        else:
            found[name] = value
    return found
