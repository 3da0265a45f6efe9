"""One position of many runs, in torch: draft, test and replace as `lockstep.kernels.chain` does.

What only some runs need is computed for all of them and kept where it applies, so that the host never waits
for the device within a chunk. Words that are needed with a chance of about 2^-32 (a test that the first word
leaves open, a word that Lemire's method drops) are left out at first: a chunk that turns out to need them is
counted backwards, which takes it out of the tallies, and done again with more of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from specsim.engines.lockstep.plans import Plan
from specsim.engines.running.memory import available_bytes
from specsim.engines.tallies.tally import Shape
from specsim.engines.torch.state import DeviceState, DeviceTally
from specsim.engines.torch.tables import Separate, Sizes, StepTables, step_tables
from specsim.engines.torch.words import below, philox
from specsim.pairs import ModelPair

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: Words that are made at once, so that a few runs keep a graphics processor busy too.
WORDS_AT_ONCE = {"cpu": 2**14, "cuda": 2**22}
#: 64-bit numbers per run besides the state: what one position computes.
TEMPORARIES = 160
#: Retries of a dropped word, by level; from level 1 on tests are continued by a second word.
RETRIES = (0, 1, 4, 16, 64, 255)
_SEPARATE, _CANDIDATES, _CONTINUED = 1, 2, 2**29
_RETRY = 2**24
_PACK = 4
_THRESHOLD_MASK = 2**33 - 1
_FRACTION_MASK = 2**31 - 1


class Positions:
    """The positions of one simulation.

    pair, plan, shape: what to run and to tally.
    seed: 0 to 2^64 - 1.
    device: where.
    """

    def __init__(self, pair: ModelPair, plan: Plan, shape: Shape, seed: int, device: torch.device) -> None:
        self.pair = pair
        self.plan = plan
        self.shape = shape
        self.seed = seed
        self.device = device
        self.sizes = Sizes.of(pair, plan)
        self.needs_levels = plan.root is not None or not plan.shared
        self._level = 0
        self._tables: list[StepTables] = []
        self._begin = 0
        self._initial: Tensor | None = None
        self._next_context: Tensor | None = None

    def free_bytes(self) -> int:
        """Memory of the device that can still be allocated."""
        if self.device.type == "cpu":
            return available_bytes()
        import torch

        kept = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return int(torch.cuda.mem_get_info(self.device)[0]) + kept

    @property
    def kept_bytes(self) -> int:
        """Bytes of what is kept of the pair besides the tables of its steps."""
        return 8 * self.pair.contexts * (1 if self.pair.is_markov else 1 + self.pair.tokens)

    def state_bytes(self) -> int:
        """Bytes of the state of a run."""
        return DeviceState.bytes_of_run(self.shape, self.plan.draft_length)

    def start(self, first: int, size: int) -> DeviceState:
        """Return the state of some runs before the first position: they have drawn their prompt."""
        import torch

        if self._initial is None:
            ends = np.cumsum(self.pair.initial_weights, dtype=np.uint64).astype(np.int64)
            self._initial = torch.from_numpy(ends).to(self.device)
        if self._next_context is None and not self.pair.is_markov:
            # A copy, because the pair's own array is read-only, of which torch warns.
            self._next_context = torch.from_numpy(self.pair.next_context.reshape(-1).copy()).to(self.device)
        state = DeviceState(first, size, self.shape, self.plan.draft_length, self.device)
        word = philox(0, 0, state.run_lower, state.run_upper, self.seed)[0]
        state.context = torch.searchsorted(self._initial, word, right=True)
        return state

    def load(self, begin: int, end: int) -> None:
        """Build the tables of some steps."""
        if self._tables and self.plan.table_steps == 1:
            return
        # The former ones go first, so that memory never holds both.
        self._tables = []
        self._begin = begin
        steps = range(begin, end) if self.plan.table_steps > 1 else range(1)
        self._tables = [step_tables(self.pair, self.plan, step, self.device) for step in steps]

    def advance(self, state: DeviceState, tally: DeviceTally, begin: int, end: int) -> None:
        """Move the runs of a chunk over the loaded steps, and count what happens.

        RuntimeError: an empty residual was reached, or all retries of a word failed.
        """
        if not self.needs_levels:
            self._walk(state, tally, begin, end, 1, 0)
            return
        while True:
            trial = state.copy()
            flags = self._walk(trial, tally, begin, end, 1, self._level)
            # The only place where the host waits for the device.
            empty, unfinished, used = flags.tolist()
            if empty:
                raise RuntimeError(
                    "torch engine: an empty residual was reached, which the construction excludes; "
                    "please report this with the pair's file"
                )
            if not unfinished:
                state.become(trial)
                self._level = self._level if used else 0
                return
            self._walk(state.copy(), tally, begin, end, -1, self._level)
            if self._level == len(RETRIES) - 1:
                raise RuntimeError(
                    f"torch engine: {RETRIES[-1]} retries of a residual draw failed, which has probability "
                    f"below 2^-{RETRIES[-1]}; please report this with the pair's file"
                )
            self._level += 1

    def _walk(
        self, state: DeviceState, tally: DeviceTally, begin: int, end: int, sign: int, level: int
    ) -> Tensor:
        """Move runs over steps and add `sign` for each event; returns the flags (empty, unfinished, used)."""
        import torch

        flags = torch.zeros(3, dtype=torch.int64, device=self.device)
        weights = torch.full((state.size,), sign, dtype=torch.int64, device=self.device)
        whole = self.plan.draft_length
        words: Tensor | None = None
        first_block = last_block = 0
        for step in range(begin, end):
            block, lane = divmod(step + 1, _PACK)
            if words is None or block >= last_block:
                first_block, last_block, words = self._blocks(state, block, end // _PACK + 1)
            tables = self._tables[0 if self.plan.table_steps == 1 else step - self._begin]
            rows = state.context
            if self.sizes.bonus:
                rows = rows + self.sizes.bonus * (state.phase == whole)
            token, failed = self._position(
                state, tables, rows, words[lane][block - first_block], step + 1, level, flags
            )
            tally.count(state, step, token, failed, weights, sign)
            rounds = state.move(step, token, failed, whole, self.plan.bonus)
            if rounds is not None:
                # The last token of a round of plain decoding, or after a rejection, is not an accepted one.
                tally.count_rounds(step + (0 if whole == 0 else ~failed), *rounds, sign)
            state.context = (
                token
                if self._next_context is None
                else self._next_context[state.context * self.pair.tokens + token]
            )
        return flags

    def _blocks(self, state: DeviceState, block: int, until: int) -> tuple[int, int, Any]:
        """Words of some blocks of four positions: the first, the one after the last, four tables of words."""
        import torch

        count = max(1, min(until - block, WORDS_AT_ONCE[self.device.type] // state.size))
        numbers = torch.arange(block, block + count, dtype=torch.int64, device=self.device)[:, None]
        return block, block + count, philox(numbers, 0, state.run_lower, state.run_upper, self.seed)

    def _position(
        self,
        state: DeviceState,
        tables: StepTables,
        rows: Tensor,
        word: Tensor,
        position: int,
        level: int,
        flags: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Draft, test and replace at one position; returns the tokens and whether they were rejected."""
        import torch

        tokens, rooted = self.pair.tokens, self.plan.root is not None
        cell, offset = _find(tables.start, rows, word)
        token = cell - rows * tokens
        own: tuple[Tensor, ...] = ()
        if self.needs_levels:
            own = philox(position, _SEPARATE, state.run_lower, state.run_upper, self.seed)
        if tables.separate is None:
            failed = offset >= tables.accept[cell]
            assert tables.slide is not None
            assert tables.residual is not None
            number = tables.slide[cell] + offset
            replacement = torch.searchsorted(tables.residual, number, right=True) - rows * tokens
        else:
            failed = ~_passes(offset, tables.accept[cell], own[2])
            replacement = self._replace(tables.separate, rows, own, state, position, failed, level, flags)
        if not rooted:
            return torch.where(failed, replacement, token), failed
        at_root = state.phase == 0
        inside = failed & ~at_root
        token = torch.where(inside, replacement, token)
        left = failed & at_root
        if tables.root_accept is not None:
            token, left = self._candidates(state, tables, token, left, position, level, flags)
        assert tables.root is not None
        replacement = self._replace(tables.root, state.context, own, state, position, left, level, flags)
        return torch.where(left, replacement, token), inside | left

    def _candidates(
        self,
        state: DeviceState,
        tables: StepTables,
        token: Tensor,
        left: Tensor,
        position: int,
        level: int,
        flags: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Try the later candidates of roots; returns the tokens and what runs all of them failed."""
        import torch

        tokens, later = self.pair.tokens, self.plan.drafts - 1
        run = state.run_lower, state.run_upper
        assert tables.root_accept is not None
        words: tuple[Tensor, ...] = ()
        for number in range(later):
            if number % _PACK == 0:
                words = philox(position, _CANDIDATES + number // _PACK, *run, self.seed)
            cell, offset = _find(tables.start, state.context, words[number % _PACK])
            drafted = cell - state.context * tokens
            threshold = tables.root_accept[(state.context * later + number) * tokens + drafted]
            doubt = (offset == (threshold >> 31) & _THRESHOLD_MASK) & (threshold & _FRACTION_MASK != 0) & left
            if level:
                continuation = philox(position, _CONTINUED + number, *run, self.seed)[2]
            else:
                flags[1] |= doubt.any()
                continuation = torch.zeros_like(offset)
            flags[2] |= doubt.any()
            accepted = left & _passes(offset, threshold, continuation)
            token = torch.where(accepted, drafted, token)
            left = left & ~accepted
        return token, left

    def _replace(
        self,
        table: Separate,
        rows: Tensor,
        own: tuple[Tensor, ...],
        state: DeviceState,
        position: int,
        failed: Tensor,
        level: int,
        flags: Tensor,
    ) -> Tensor:
        """Draw from the residual rows by their own words."""
        import torch

        total, dropped = table.total[rows], table.dropped[rows]
        flags[0] |= (failed & (total == 0)).any()
        number, kept = below(own[0], own[1], total, dropped)
        if table.drops:
            open_draws = failed & ~kept
            flags[2] |= open_draws.any()
            for retry in range(1, RETRIES[level] + 1):
                counter = position + retry * _RETRY
                words = philox(counter, _SEPARATE, state.run_lower, state.run_upper, self.seed)
                again, kept = below(words[2], words[3], total, dropped)
                number = torch.where(open_draws, again, number)
                open_draws = open_draws & ~kept
            flags[1] |= open_draws.any()
        return _find_in_rows(table.end, rows, self.pair.tokens, number)


def _find(start: Tensor, rows: Tensor, word: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cell whose segment holds the word of a row, and the word's offset in it."""
    import torch

    number = (rows << 32) + word
    cell = torch.searchsorted(start[1:], number, right=True)
    return cell, number - start[cell]


def _find_in_rows(end: Tensor, rows: Tensor, tokens: int, number: Tensor) -> Tensor:
    """Return how many running sums of a row are not above a number: the token whose weight it falls in."""
    import torch

    found = torch.zeros_like(number)
    first = rows * tokens
    for half in reversed([2**bit for bit in range(tokens.bit_length())]):
        reached = found + half
        place = first + torch.clamp(reached, max=tokens) - 1
        found = torch.where(end[place] <= number, reached, found)
    # A number below the last sum cannot get there; others mean nothing.
    return torch.clamp(found, max=tokens - 1)


def _passes(offset: Tensor, threshold: Tensor, continuation: Tensor) -> Tensor:
    """Test 63 bits, an offset continued by half a word, against a threshold of up to 2^63."""
    # 2^63 is the smallest number of int64, whose sign the mask takes off again.
    whole = (threshold >> 31) & _THRESHOLD_MASK
    fraction = threshold & _FRACTION_MASK
    return (offset < whole) | ((offset == whole) & ((continuation >> 1) < fraction))
