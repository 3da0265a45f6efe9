"""Calls a subject: rows in its types, seeds that are never used twice, and a check of what comes back."""

from __future__ import annotations

import inspect
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from specsim.errors import InputError
from specsim.support.arrays import Array, Floats, Integers
from specsim.support.interrupts import Interrupted
from specsim.validation.conformance.histories import ends_at
from specsim.validation.conformance.logits import logits
from specsim.validation.conformance.subjects import Subject
from specsim.validation.conformance.surroundings import described, numpy_errors

#: What a subject may report of itself, in a dictionary after what it returns: natural logarithms of the
#: target's probabilities of the emitted tokens, shaped as the tokens, with nothing meant after a row's end;
#: and how many tokens of each row were drafted and accepted, ``(batch,)``.
REPORTED = ("logprobs", "drafted", "accepted")

#: Seeds given to subjects lie in [0, this), which every library takes; it is a prime.
SEED_RANGE = 2**31 - 1

#: Distance of the seeds of successive calls: the golden section of the range, so that the seeds of n calls
#: are at least about `SEED_RANGE` / (2 n) apart: a sampler that seeds row b with seed + b repeats nothing.
SEED_STEP = 1_327_217_884


#: Least and most of every size that a subject was called with, by name.
Sizes = Mapping[str, tuple[int, int]]


def widest(sizes: Iterable[Sizes]) -> dict[str, tuple[int, int]]:
    """Return the least and the most of several reaches of sizes."""
    found: dict[str, tuple[int, int]] = {}
    for reach in sizes:
        for name, (least, most) in reach.items():
            low, high = found.get(name, (least, most))
            found[name] = min(low, least), max(high, most)
    return found


class ContractError(AssertionError):
    """A subject returned something that its protocol does not allow."""


class SubjectError(RuntimeError):
    """A subject raised an exception on valid input, or tried to leave."""


class NotApplicable(Exception):
    """A check turned out not to apply; the message says why."""


@dataclass(kw_only=True)
class Caller:
    """Gives a subject rows and takes its tokens back.

    subject: what is called.
    seed: where its seeds begin; every call takes another one, far from those of the other calls.
    calls, rows, seconds: how many calls were made, of how many rows together, and the time spent in them.
    reported: what the subject reported of itself, of the rows asked last.
    reached: least and most of every size that a call had.
    most_rows: of a call. None: as many as the subject takes.
    errors: NumPy's error settings in its calls, unless it has its own; those at hand when this is made.
    on_call: called before every call.
    on_copy: called when a call returns in a copy of the process, which ends then.
    """

    subject: Subject
    seed: int
    calls: int = 0
    rows: int = 0
    seconds: float = 0.0
    deadline: float | None = None
    most_rows: int | None = None
    reported: dict[str, Array] = field(default_factory=dict)
    reached: dict[str, tuple[int, int]] = field(default_factory=dict)
    errors: Mapping[str, Any] = field(default_factory=numpy_errors, repr=False)
    _seeds: int = field(default=0, repr=False)
    on_call: Callable[[], object] = bool
    on_copy: Callable[[], object] = bool
    _torch: Any = field(default=None, repr=False)

    def next_seed(self) -> int:
        """Return a seed that no other call of this caller has."""
        self._seeds += 1
        return (self.seed + self._seeds * SEED_STEP) % SEED_RANGE

    def _reach(self, **sizes: int) -> None:
        for name, size in sizes.items():
            least, most = self.reached.get(name, (size, size))
            self.reached[name] = (min(least, size), max(most, size))

    def row_seeds(self, size: int) -> Integers:
        """Return a seed for each row of a call: neighbours, far from those of other calls."""
        begin = int(np.random.SeedSequence(self.next_seed()).generate_state(1)[0])
        return (begin + np.arange(size, dtype=np.int64)) % SEED_RANGE

    def out_of_time(self) -> bool:
        """Return whether the time that was granted is over."""
        return self.deadline is not None and time.monotonic() > self.deadline

    def give(self, rows: Floats, dtype: str | None = None) -> Any:
        """Turn probabilities into what the subject takes: logits, a narrower type, a tensor."""
        kind = dtype or self.subject.dtypes[0]
        # Also within a call, in which the subject's own settings hold.
        with np.errstate(all="ignore"):
            values = logits(rows, kind) if self.subject.inputs == "logits" else rows
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
        try:
            if hasattr(value, "detach"):
                value = value.detach().cpu()
                # NumPy has no bfloat16; float32 holds its values exactly.
                value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
            array = np.asarray(value)
        except Exception as error:
            raise ContractError(
                f"{what} is no array ({described(error)}); return an integer array"
            ) from error
        if array.dtype == object:
            raise ContractError(f"{what} is ragged or holds objects; return an integer array")
        return array

    def call(self, *arguments: Any, seed: int | None = None, **options: Any) -> Any:
        """Call the subject once; whatever it raises becomes `SubjectError` with its last line.

        Its settings of NumPy's errors end with the call. A copy of the process that it forked ends, too.
        ContractError: it is no plain function, but one that has to be awaited or iterated.
        """
        chosen = self.next_seed() if seed is None else seed
        self.calls += 1
        begin = time.perf_counter()
        process = os.getpid()
        self.on_call()
        try:
            own = self.subject.numpy_errors
            with np.errstate(**(self.errors if own is None else own)):
                result = self.subject.run(*arguments, seed=chosen, **options)
        except (InputError, Interrupted):
            raise
        except BaseException as error:
            # Where Ctrl-C is ignored, any other interrupt is the subject's own.
            if isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                raise
            frames = traceback.extract_tb(error.__traceback__)
            where = f" ({frames[-1].name}, line {frames[-1].lineno})" if frames else ""
            raise SubjectError(f"{described(error)}{where}") from error
        finally:
            if os.getpid() != process:
                self.on_copy()
                os._exit(0)
            self.seconds += time.perf_counter() - begin
        return _plain(result)

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
        self._begin(len(drafted))
        for part in self._parts(len(drafted)):
            self._reach(rows=len(drafted[part]), drafts=drafted.shape[1], vocabulary=target.shape[-1])
            rows = None if draft is None else self.give(draft[part], dtype)
            result = self._tell(
                self.call(
                    self.give(target[part], dtype),
                    rows,
                    self.give_integers(drafted[part]),
                    seed=seed,
                    **self._part_of(options, part),
                ),
                tokens[part].shape,
            )
            tokens[part], lengths[part] = self.checked_step(
                result, drafted[part], target.shape[-1], (options or {}).get("draft_lengths"), part, check
            )
            if check:
                _checked_ends(tokens[part], lengths[part], (options or {}).get("eos"))
        return tokens, lengths

    def draft_and_verify(
        self, models: Any, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Integers | None, Integers, Integers]:
        """Draft and verify once; return drafted tokens, tokens and lengths.

        Drafted tokens are -1 after a row's own draft length, and None if they were no chain or not reported.
        """
        drafted, tokens, lengths = self._drafted_step(models, seed, options)
        _checked_ends(tokens, lengths, (options or {}).get("eos"))
        return drafted, tokens, lengths

    def _drafted_step(
        self, models: Any, seed: int | None, options: Mapping[str, Any] | None
    ) -> tuple[Integers | None, Integers, Integers]:
        self._begin(models.batch)
        self._reach(rows=models.batch, drafts=models.draft_length, vocabulary=models.vocabulary)
        shape = (models.batch, models.draft_length + 1)
        result = self._tell(self.call(models, seed=seed, **self._part_of(options, slice(None))), shape)
        if isinstance(result, tuple | list) and len(result) == 4:
            tokens, lengths = self._pair(result[2:], *shape)
            _checked_lengths(tokens, lengths, models.vocabulary)
            self._checked_tree(result[0], result[1], tokens, lengths, models.vocabulary)
            return None, tokens, lengths
        if not isinstance(result, tuple | list) or len(result) != 3:
            raise ContractError(
                f"returned {_kind(result)}; return (drafted, tokens, lengths),"
                f" or (parents, nodes, tokens, lengths)"
            )
        if result[0] is None:
            tokens, lengths = self._pair(result[1:], *shape)
            _checked_lengths(tokens, lengths, models.vocabulary)
            return None, tokens, lengths
        drafted = self._integers(result[0], "drafted", (models.batch, models.draft_length))
        counts = (drafted >= 0).sum(axis=1)
        if ((drafted < 0) != (np.arange(models.draft_length) >= counts[:, None])).any():
            raise ContractError(
                "drafted has a token after a -1; return -1 only after the last drafted token of a row"
            )
        _in_range(np.maximum(drafted, 0), models.vocabulary, "drafted")
        tokens, lengths = self.checked_step(result[1:], drafted, models.vocabulary, counts, slice(None), True)
        return drafted, tokens, lengths

    def _checked_tree(
        self, parents: Any, nodes: Any, tokens: Integers, lengths: Integers, vocabulary: int
    ) -> None:
        """Check that what was emitted but the last token is a path of the row's own tree."""
        above, drawn = self.take(parents, "parents"), self.take(nodes, "nodes")
        if drawn.ndim != 2 or len(drawn) != len(tokens) or above.shape not in (drawn.shape, drawn.shape[1:]):
            raise ContractError(
                f"parents and nodes have shapes {above.shape} and {drawn.shape}; return (batch, nodes) each,"
                f" with node 0, the root, before the drafted ones"
            )
        above = np.broadcast_to(above, drawn.shape)
        columns = np.arange(drawn.shape[1])
        if (above[:, 1:] >= columns[1:]).any() or (above[:, 1:] < 0).any():
            raise ContractError(
                "parents has a node whose parent does not come before it; number parents first"
            )
        _in_range(drawn[:, 1:], vocabulary, "nodes")
        at = np.zeros((len(tokens), drawn.shape[1]), dtype=bool)
        at[:, 0] = True
        for place in range(tokens.shape[1] - 1):
            reached = np.take_along_axis(at, above, axis=1) & (drawn == tokens[:, [place]])
            reached[:, 0] = False
            wrong = (place < lengths - 1) & ~reached.any(axis=1)
            if wrong.any():
                row = int(np.flatnonzero(wrong)[0])
                raise ContractError(
                    f"row {row} emits {tokens[row, : lengths[row]].tolist()}, whose first {lengths[row] - 1}"
                    f" tokens are no path of the tree that it drafted"
                )
            at = reached

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
        self._begin(len(tokens))
        for part in self._parts(len(tokens)):
            self._reach(rows=len(tokens[part]), depth=depth, nodes=len(parents) - 1)
            self._reach(children=int(np.bincount(parents[1:]).max()))
            self._reach(vocabulary=target.shape[-1])
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
        """Write texts; return tokens and, if the subject reports them, accepted lengths per round.

        Tokens after the end of a text are -1. With the option ``samples`` a prompt has that many rows.
        """
        given = dict(options or {})
        times = given.get("samples", 1)
        texts = np.empty((len(prompts) * times, new_tokens), dtype=np.int64)
        accepted: list[list[int]] | None = []
        self._begin(len(prompts))
        for part in self._parts(len(prompts)):
            self._reach(rows=len(prompts[part]), drafts=models.draft_length, vocabulary=models.vocabulary)
            self._reach(prompt=prompts.shape[1], text=new_tokens)
            size = len(prompts[part]) * times
            result = self._tell(
                self.call(
                    models,
                    self.give_integers(prompts[part]),
                    new_tokens,
                    seed=seed,
                    **self._part_of(given, part),
                ),
                (size, new_tokens),
            )
            rounds = None
            if isinstance(result, tuple | list) and len(result) == 2 and not _is_matrix(result):
                result, rounds = result
            tokens = self._integers(result, "tokens", (size, new_tokens))
            tokens = _checked_texts(tokens, models.vocabulary, given.get("eos"), given.get("stop", ()))
            texts[part.start * times : part.start * times + size] = tokens
            if rounds is None:
                accepted = None
            elif accepted is not None:
                written = (tokens >= 0).sum(axis=1)
                accepted += _checked_rounds(rounds, models.draft_length, written)
        return texts, accepted

    def _begin(self, rows: int) -> None:
        self.rows += rows
        self.reported = {}

    def _tell(self, result: Any, shape: tuple[int, ...]) -> Any:
        """Take what the subject reports of itself off what it returned."""
        if not (isinstance(result, tuple | list) and result and isinstance(result[-1], dict)):
            return result
        for name, value in result[-1].items():
            if name not in REPORTED:
                raise ContractError(f"reports {name!r}; report some of {', '.join(REPORTED)}")
            array = self.take(value, name)
            if not np.issubdtype(array.dtype, np.number):
                raise ContractError(f"{name} has type {array.dtype}; report numbers")
            wanted = shape if name == "logprobs" else shape[:1]
            if array.shape != wanted:
                raise ContractError(f"{name} has shape {array.shape}; report {wanted}")
            known = self.reported.get(name)
            self.reported[name] = array if known is None else np.concatenate([known, array])
        rest = result[:-1]
        return rest[0] if len(rest) == 1 else rest

    def _part_of(self, options: Mapping[str, Any] | None, part: slice) -> dict[str, Any]:
        """Cut options that are given per row to the rows of a call."""
        found: dict[str, Any] = {}
        for name, value in (options or {}).items():
            if name in ("draft_lengths", "seeds", "words"):
                found[name] = self.give_integers(np.asarray(value)[part])
            elif name == "d2t":
                found[name] = self.give_integers(np.asarray(value))
            elif name == "coins":
                found[name] = np.ascontiguousarray(np.asarray(value)[part])
            elif name in ("temperatures", "noise"):
                array = np.ascontiguousarray(np.asarray(value)[part])
                torch = self._import_torch() if self.subject.framework == "torch" else None
                found[name] = array if torch is None else torch.from_numpy(array).to(self.subject.device)
            else:
                found[name] = value
        return found

    def _parts(self, count: int) -> list[slice]:
        size = self.most_rows or self.subject.max_batch or count
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


def _plain(result: Any) -> Any:
    """Return a result that is there, not one that is yet to be awaited or iterated."""
    if inspect.iscoroutine(result):
        # Python warns of coroutines that nobody has awaited or closed.
        result.close()
        raise ContractError("returned a coroutine; make it a plain function, without async")
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        raise ContractError(
            "returned a generator; make it a plain function, which returns and does not yield"
        )
    return result


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


def _checked_ends(tokens: Integers, lengths: Integers, eos: int | None) -> None:
    """Refuse rows that go on after an accepted end of text, whatever else was asked for."""
    if eos is None:
        return
    before = np.arange(tokens.shape[1]) < lengths[:, None] - 1
    wrong = (before & (tokens == eos)).any(axis=1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ContractError(
            f"row {row} goes on after the end of text {eos}: {tokens[row, : lengths[row]].tolist()};"
            " its length ends there"
        )


def _in_range(tokens: Integers, vocabulary: int, what: str) -> None:
    wrong = (tokens < 0) | (tokens >= vocabulary)
    if wrong.any():
        row = int(np.argwhere(wrong)[0][0])
        raise ContractError(
            f"{what} of row {row} hold {int(tokens[wrong][0])}; tokens are 0..{vocabulary - 1}"
        )


def _checked_texts(tokens: Integers, vocabulary: int, eos: int | None, stop: Any) -> Integers:
    """Return texts with -1 after their ends, where only the token `eos` may be repeated."""
    ends = ends_at(tokens, eos=eos, stop=stop)
    over = np.cumsum(ends, axis=1) - ends > 0
    again = np.zeros_like(over) if eos is None else tokens == eos
    wrong = over & (tokens != -1) & ~again
    if wrong.any():
        row, column = (int(v) for v in np.argwhere(wrong)[0])
        raise ContractError(
            f"row {row} has token {tokens[row, column]} after the end of its text {tokens[row].tolist()};"
            " return -1 there"
        )
    _in_range(np.where(over, 0, tokens), vocabulary, "tokens")
    return np.where(over, -1, tokens)


def _checked_rounds(rounds: Any, draft_length: int, written: Integers) -> list[list[int]]:
    try:
        listed = [[int(value) for value in row] for row in rounds]
    except Exception as error:
        raise ContractError(
            f"accepted lengths are no lists of integers ({described(error)}); return a list for each row"
        ) from error
    if len(listed) != len(written):
        raise ContractError(
            f"accepted lengths are given for {len(listed)} rows; the batch has {len(written)}"
        )
    for row, values in enumerate(listed):
        if any(not 0 <= value <= draft_length for value in values):
            raise ContractError(f"accepted lengths of row {row} are {values}; they are 0..{draft_length}")
        if sum(values) + len(values) < written[row]:
            raise ContractError(
                f"accepted lengths of row {row} account for {sum(values) + len(values)} tokens"
                f" of {written[row]}"
            )
    return listed


def _is_matrix(result: Any) -> bool:
    return all(isinstance(row, list | tuple) and all(isinstance(x, int) for x in row) for row in result)


def _kind(value: Any) -> str:
    size = f" of {len(value)}" if isinstance(value, tuple | list) else ""
    return f"a {type(value).__name__}{size}"
