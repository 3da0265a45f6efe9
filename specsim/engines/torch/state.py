"""State and tallies of the torch engine, on its device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from specsim.engines.tallies.tally import Shape, Tally
from specsim.engines.torch.words import LOW

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_STATE = ("context", "phase", "rejections", "calls", "first_length", "lengths", "path", "rejected")


class DeviceState:
    """State of the runs ``first .. first + size - 1`` between positions, one int64 number per run.

    run_lower, run_upper: halves of the numbers of the runs.
    context, phase, rejections: context, accepted draft tokens of the present round, rejections so far.
    calls, first_length, lengths: rounds that ended, accepted length of the first one, and rounds by accepted
        length (int32, lengths times runs); empty unless rounds are counted.
    path, rejected: emitted sequence and set of rejected positions; empty unless outcomes are counted.
    """

    def __init__(self, first: int, size: int, shape: Shape, draft_length: int, device: torch.device) -> None:
        import torch

        def zeros(present: bool = True) -> Tensor:
            return torch.zeros(size if present else 0, dtype=torch.int64, device=device)

        self.first = first
        self.size = size
        self.rounds = shape.rounds
        self.outcomes = shape.outcomes
        self.tokens = shape.tokens
        run = torch.arange(first, first + size, dtype=torch.int64, device=device)
        self.run_lower, self.run_upper = run & LOW, run >> 32
        self.number = run - first
        self.context = zeros()
        self.phase = zeros()
        self.rejections = zeros()
        self.calls = zeros(shape.rounds)
        self.first_length = zeros(shape.rounds)
        lengths = _most_accepted(shape, draft_length) + 1 if shape.rounds else 0
        self.lengths = torch.zeros(lengths * size, dtype=torch.int32, device=device)
        self.path = zeros(shape.outcomes)
        self.rejected = zeros(shape.outcomes)

    @staticmethod
    def bytes_of_run(shape: Shape, draft_length: int) -> int:
        """Bytes that the state of a run takes."""
        rounds = 16 + 4 * (_most_accepted(shape, draft_length) + 1) if shape.rounds else 0
        return 48 + rounds + (16 if shape.outcomes else 0)

    def copy(self) -> DeviceState:
        """Return a copy that can move on its own."""
        other = object.__new__(DeviceState)
        vars(other).update(vars(self))
        for name in _STATE:
            setattr(other, name, getattr(self, name).clone())
        return other

    def become(self, other: DeviceState) -> None:
        """Take over the state of a copy."""
        vars(self).update(vars(other))

    def move(
        self, step: int, token: Tensor, failed: Tensor, whole: int, keep: bool
    ) -> tuple[Tensor, Tensor] | None:
        """Note what happened at a position, except for the context.

        Returns the accepted lengths of the rounds, and which ended there; None unless rounds are counted.

        step: number of the position, from 0.
        token, failed: what was emitted, and whether after a rejection.
        whole: length of a whole draft.
        keep: whether a whole draft is followed by a bonus token, so that its end must be remembered.
        """
        import torch

        self.rejections += failed
        now = torch.where(failed | (self.phase == whole), 0, self.phase + 1)
        reached = now == whole
        rounds = None
        if self.rounds:
            rounds = torch.where(failed, self.phase, now), failed | reached
            self._record(*rounds)
        self.phase = now if keep else torch.where(reached, 0, now)
        if self.outcomes:
            self.path = self.path * self.tokens + token
            self.rejected |= failed.long() << step
        return rounds

    def close(self, whole: int) -> tuple[Tensor, Tensor]:
        """End the rounds that the horizon cut short; returns what `move` returns."""
        rounds = self.phase, (self.phase > 0) & (self.phase != whole)
        self._record(*rounds)
        return rounds

    def _record(self, length: Tensor, ended: Tensor) -> None:
        """Note the end of rounds with some accepted lengths, where they ended."""
        self.lengths.scatter_add_(0, length * self.size + self.number, ended.int())
        self.first_length += length * (ended & (self.calls == 0))
        self.calls += ended


class DeviceTally:
    """The counts of a `Tally`, as int64 tensors."""

    def __init__(self, shape: Shape, device: torch.device) -> None:
        import torch

        def zeros(*size: int) -> Tensor:
            return torch.zeros(size, dtype=torch.int64, device=device)

        self.shape = shape
        length = shape.horizon + 1
        self.rejections_by_step = zeros(shape.horizon)
        self.tokens = zeros(*shape.token_shape)
        self.rejection_count = zeros(length)
        self.target_call_count = zeros(length)
        self.accepted_length_count = zeros(length)
        self.accepted_length_square_sum = zeros(length)
        self.first_accepted_length_count = zeros(length)
        self.outcomes = zeros(*shape.outcome_shape)
        self.round_count = zeros(*shape.round_shape)

    def count(
        self, state: DeviceState, step: int, token: Tensor, failed: Tensor, weights: Tensor, sign: int
    ) -> None:
        """Count the tokens of a position, before the state moves; `weights` holds `sign` for every run."""
        cell = state.context * self.shape.tokens + token if self.shape.transitions else token
        self.tokens[step].scatter_add_(0, cell, weights)
        self.rejections_by_step[step] += sign * failed.sum()

    def count_rounds(self, end: Tensor | int, length: Tensor, ended: Tensor, sign: int) -> None:
        """Count rounds that have ended and whose accepted tokens end before position `end`."""
        if self.round_count.numel():
            place = (end - length) * (self.shape.horizon + 1) + length
            self.round_count.view(-1).scatter_add_(0, place * ended, sign * ended.long())

    def finish(self, state: DeviceState, whole: int) -> Tensor:
        """Count what is known of runs only at their end; returns their rejections."""
        _add(self.rejection_count, state.rejections)
        if self.shape.rounds:
            self.count_rounds(self.shape.horizon, *state.close(whole), 1)
            _add(self.target_call_count, state.calls)
            _add(self.first_accepted_length_count, state.first_length)
            lengths = state.lengths.reshape(-1, state.size).long()
            self.accepted_length_count[: len(lengths)] += lengths.sum(dim=1)
            self.accepted_length_square_sum[: len(lengths)] += (lengths * lengths).sum(dim=1)
        if self.shape.outcomes:
            _add(self.outcomes.view(-1), state.path * self.shape.outcome_shape[1] + state.rejected)
        return state.rejections

    def on_host(self) -> Tally:
        """Return the counts as NumPy arrays."""
        tally = Tally(self.shape)
        for name, counts in vars(self).items():
            if name != "shape":
                getattr(tally, name)[...] = counts.cpu().numpy()
        return tally


def _most_accepted(shape: Shape, draft_length: int) -> int:
    return min(draft_length, shape.horizon)


def _add(counts: Tensor, values: Tensor) -> None:
    """Count each value once."""
    import torch

    counts.scatter_add_(0, values, torch.ones_like(values))
