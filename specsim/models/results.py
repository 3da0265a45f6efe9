"""What a decoding returns: tokens, rounds, times, memory; and what is shown of each round on the way."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class RoundRecord:
    """One round of the sequences of a batch that were still being decoded.

    Tensors are on the models' device and may be kept; rows are after temperature, top-k and top-p. Position n
    is the n-th new token, counted from 1.

    Attributes
    ----------
    sequences
        Number of each sequence, int64, shape ``(batch,)``.
    first
        Position of the first token of the round, ``(batch,)``.
    drafted
        How many tokens of a draft count, at most ``length``, ``(batch,)``.
    draft_tokens
        The token of every drafted node, in breadth-first order (`specsim.Structure`), ``(batch, nodes)``.
    path
        The accepted nodes from the first one on, counted from 1, then the last of them again (0 where none
        was accepted), ``(batch, length)``.
    draft_rows
        Draft rows along it, ``(batch, length, tokens)``; the row at depth d is for position ``first + d``
        after the first d tokens of the path. Rows deeper than ``accepted`` mean nothing.
    target_rows
        Target rows along it, ``(batch, length or length + 1, tokens)``; the additional one is the bonus row.
    accepted
        Drafted tokens emitted, ``(batch,)``.
    rejected, bonus
        Whether a token written after a rejection, or a bonus token, follows them, bool, ``(batch,)``.
    tokens
        What the round emitted, ``(batch, length + 1)``; only the first `count` entries count.
    count
        ``(batch,)``.

    Examples
    --------
    >>> from specsim import Speculative, models, parse_pair
    >>> target, draft = models.table_models(parse_pair("random:contexts=3,horizon=8,seed=1,stationary=yes"))
    >>> pair = models.LoadedPair(target=target, draft=draft)
    >>> rounds: list[models.RoundRecord] = []
    >>> decoded = models.decode(
    ...     pair, [[0]], algorithm=Speculative(draft_length=3), new_tokens=5, seed=1, record=rounds.append
    ... )
    >>> [int(record.count[0]) for record in rounds]
    [4, 1]
    """

    sequences: torch.Tensor
    first: torch.Tensor
    drafted: torch.Tensor
    draft_tokens: torch.Tensor
    path: torch.Tensor
    draft_rows: torch.Tensor
    target_rows: torch.Tensor
    accepted: torch.Tensor
    rejected: torch.Tensor
    bonus: torch.Tensor
    tokens: torch.Tensor
    count: torch.Tensor


@dataclass(kw_only=True)
class Times:
    """Wall-clock seconds of the parts of a decoding, for the whole batch.

    Attributes
    ----------
    prefill
        Reading the prompts, both models.
    draft
        The draft model's forwards, its rows and its draws.
    verify
        The target model's forwards after the prompt.
    overhead
        Everything else: target rows, the rule, coins, caches, bookkeeping.

    Examples
    --------
    >>> from specsim.models import Times
    >>> Times(draft=1.0, verify=2.0).total
    3.0
    """

    prefill: float = 0.0
    draft: float = 0.0
    verify: float = 0.0
    overhead: float = 0.0

    @property
    def total(self) -> float:
        """Seconds altogether."""
        return self.prefill + self.draft + self.verify + self.overhead


@dataclass(kw_only=True)
class Memory:
    """Bytes taken on the models' device.

    Attributes
    ----------
    weights
        Of both models.
    caches
        Keys and values of both models, for the largest batch.
    rows
        Logits and rows of one round, an upper bound.
    peak
        The sum of these, or on a GPU what its allocator saw.

    Examples
    --------
    >>> from specsim.models import Memory
    >>> Memory(weights=1000, caches=200).weights
    1000
    """

    weights: int = 0
    caches: int = 0
    rows: int = 0
    peak: int = 0


@dataclass(kw_only=True)
class Decoded:
    """What was decoded, per sequence in the order of the prompts.

    Attributes
    ----------
    tokens
        New token ids; an end-of-sequence token is the last one where it was met.
    accepted_lengths
        Accepted drafted tokens of every round.
    drafted_lengths
        Drafted tokens of every round that could have been accepted: how deep the draft was.
    first_positions
        Position (from 1) of the first token of every round.
    rejected_positions, bonus_positions
        Positions (from 1) of tokens written after a rejection, and of bonus tokens.
    rounds
        Target forwards after the prompts, each for a whole batch.
    times, memory
        Seconds and bytes.
    algorithm, seed
        As asked for.

    Examples
    --------
    >>> from specsim import Speculative, models, parse_pair
    >>> target, draft = models.table_models(parse_pair("random:contexts=3,horizon=8,seed=1,stationary=yes"))
    >>> pair = models.LoadedPair(target=target, draft=draft)
    >>> decoded = models.decode(pair, [[0]], algorithm=Speculative(draft_length=3), new_tokens=5, seed=1)
    >>> [len(tokens) for tokens in decoded.tokens]
    [5]
    """

    tokens: list[list[int]] = field(repr=False)
    accepted_lengths: list[list[int]] = field(repr=False)
    drafted_lengths: list[list[int]] = field(repr=False)
    first_positions: list[list[int]] = field(repr=False)
    rejected_positions: list[list[int]] = field(repr=False)
    bonus_positions: list[list[int]] = field(repr=False)
    rounds: int
    times: Times
    memory: Memory
    algorithm: str
    seed: int

    @property
    def target_calls(self) -> NDArray[np.int64]:
        """Rounds of each sequence; reading the prompt is not counted."""
        return np.array([len(rounds) for rounds in self.accepted_lengths], dtype=np.int64)

    @property
    def rejections(self) -> NDArray[np.int64]:
        """Rejections of each sequence."""
        return np.array([len(positions) for positions in self.rejected_positions], dtype=np.int64)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """New tokens of each sequence."""
        return np.array([len(tokens) for tokens in self.tokens], dtype=np.int64)

    @property
    def block_efficiency(self) -> float:
        """New tokens per target call, over all sequences."""
        return float(self.lengths.sum() / self.target_calls.sum())


class Clock:
    """Adds up the seconds of the parts of a decoding without making a GPU wait.

    device: on a GPU the parts are marked by events, read when `settle` is called after a transfer.
    """

    def __init__(self, device: torch.device) -> None:
        self.times = Times()
        self._on_gpu = torch.device(device).type == "cuda"
        self._marks: list[tuple[str, Any, Any]] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the block towards a field of `Times`."""
        if self._on_gpu:
            marks = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
            marks[0].record()
            yield
            marks[1].record()
            self._marks.append((name, marks[0], marks[1]))
        else:
            start = time.perf_counter()
            yield
            self._add(name, time.perf_counter() - start)

    def settle(self) -> None:
        """Read the events of a GPU; everything up to the last one has to be over."""
        for name, start, stop in self._marks:
            self._add(name, start.elapsed_time(stop) / 1000)
        self._marks.clear()

    def _add(self, name: str, seconds: float) -> None:
        setattr(self.times, name, getattr(self.times, name) + seconds)
