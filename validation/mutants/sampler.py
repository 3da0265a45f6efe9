"""A small NumPy decoder with mistakes that no descriptor can express.

Without a mistake it is speculative or batch speculative decoding, and has to pass everything; it is a
fourth witness as much as a breeding ground for mutants.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm, Batch, Speculative
from specsim.engines.tallies.tally import Shape, Tally
from specsim.engines.tallies.variables import ROUND_VARIABLES, VARIABLES
from specsim.pairs import ModelPair
from specsim.validation.mutants.model import Mutant, Mutation
from specsim.validation.witnesses import Witnesses

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: Runs decoded side by side.
BLOCK = 2**14


def decode(
    pair: ModelPair,
    algorithm: Speculative | Batch,
    *,
    runs: int,
    seed: int,
    mistake: str | None,
    horizon: int | None = None,
    outcomes: bool | None = None,
    **ignored: Any,
) -> Any:
    """Simulate with a mistake of `MISTAKES`, and return tallies like those of `specsim.simulate`."""
    length = pair.check_horizon(horizon)
    tally = Tally(Shape.of(pair, length, outcomes))
    generator = np.random.Generator(np.random.PCG64DXSM(seed))
    for start in range(0, runs, BLOCK):
        size = min(BLOCK, runs - start)
        _Block(pair, algorithm, mistake, generator, size, length).run(tally)
    return _dataset(tally, runs)


class _Block:
    """Runs in lockstep: position by position, all runs at once."""

    def __init__(
        self,
        pair: ModelPair,
        algorithm: Speculative | Batch,
        mistake: str | None,
        generator: np.random.Generator,
        size: int,
        length: int,
    ) -> None:
        self.pair, self.mistake, self.generator = pair, mistake, generator
        self.size, self.length = size, length
        self.drafts = int(algorithm.drafts) if isinstance(algorithm, Batch) else 1
        self.most = algorithm.draft_length or length
        self.bonus = algorithm.bonus and algorithm.draft_length is not None
        self.context = _draw(np.tile(pair.initial, (size, 1)), generator.random(size))

    def run(self, tally: Tally) -> None:
        size, length, mistake = self.size, self.length, self.mistake
        accepted = np.zeros(size, np.int64)
        fresh = np.ones(size, bool)
        pending = np.zeros(size, bool)
        calls, rejections = np.zeros(size, np.int64), np.zeros(size, np.int64)
        lengths = np.zeros((size, length + 1), np.int64)
        first_length = np.full(size, -1, np.int64)
        path, mask = np.zeros(size, np.int64), np.zeros(size, np.int64)

        def end_rounds(ended: NDArray[np.bool_]) -> None:
            where = np.flatnonzero(ended)
            lengths[where, accepted[where]] += 1
            first = where[first_length[where] < 0]
            first_length[first] = accepted[first]

        for step in range(length):
            index = self.pair.step_index(step)
            target, draft = self.pair.target[index][self.context], self.pair.draft[index][self.context]
            calls += fresh & ~pending
            token, drafted, rejected = self._position(target, draft, fresh)
            bonus_rows = draft if mistake == "bonus-from-draft" else target
            token = np.where(pending, _draw(bonus_rows, self.generator.random(size)), token)
            rejected &= ~pending
            accepted += ~rejected & ~pending
            counted = rejected | pending if mistake == "bonus-counted-as-rejection" else rejected
            cell = token + (self.context * self.pair.tokens if tally.shape.transitions else 0)
            np.add.at(tally.tokens[step], cell, 1)
            tally.rejections_by_step[step] += counted.sum()
            rejections += counted
            path = path * self.pair.tokens + token
            mask |= counted.astype(np.int64) << step if length < 63 else 0
            seen = np.where(rejected & (mistake == "stale-context"), drafted, token)
            self.context = self.pair.next_context[self.context, seen]
            whole = ~pending & ~rejected & (accepted == self.most)
            last = step == length - 1
            ended = (rejected & (mistake != "no-restart-after-rejection")) | whole | (last & ~pending)
            end_rounds(ended)
            accepted[ended] = 0
            fresh = ended | pending
            pending = whole & self.bonus & (not last)
        tally.rejection_count += np.bincount(rejections, minlength=length + 1)
        tally.target_call_count += np.bincount(calls, minlength=length + 1)
        tally.accepted_length_count += lengths.sum(axis=0)
        tally.accepted_length_square_sum += (lengths**2).sum(axis=0)
        tally.first_accepted_length_count += np.bincount(first_length, minlength=length + 1)
        if tally.shape.outcomes:
            np.add.at(tally.outcomes, (path, mask), 1)

    def _position(
        self, target: Floats, draft: Floats, fresh: NDArray[np.bool_]
    ) -> tuple[Ints, Ints, NDArray[np.bool_]]:
        """Return the emitted token, the last one drafted, and whether the position was rejected."""
        size, mistake = self.size, self.mistake
        current = target.copy()
        token, drafted = np.zeros(size, np.int64), np.zeros(size, np.int64)
        waiting = np.ones(size, bool)
        coin = np.zeros(size)
        unchanged = mistake == "chain-not-updated"
        everyone = np.arange(size)
        for draft_number in range(self.drafts):
            tried = waiting & (fresh | (draft_number == 0))
            candidate = _draw(draft, self.generator.random(size))
            coin = np.where(tried, self.generator.random(size), coin)
            accept = coin * draft[everyone, candidate] < current[everyone, candidate]
            if mistake == "first-token-unverified":
                accept |= fresh
            token = np.where(tried & accept, candidate, token)
            drafted = np.where(tried, candidate, drafted)
            failed = tried & ~accept
            waiting &= ~(tried & accept)
            if unchanged and draft_number < self.drafts - 1:
                continue
            if mistake == "residual-removes-one-token":
                residual = current.copy()
                residual[everyone, candidate] = 0.0
            else:
                residual = np.maximum(current - draft, 0.0)
            totals = residual.sum(axis=1, keepdims=True)
            updated = np.where(totals > 0, residual / np.where(totals > 0, totals, 1.0), current)
            update = waiting if unchanged else failed
            current = np.where(update[:, None], updated, current)
        uniform = coin if mistake == "coin-shared-with-residual" else self.generator.random(size)
        return np.where(waiting, _draw(current, uniform), token), drafted, waiting


def _dataset(tally: Tally, runs: int) -> Any:
    import xarray

    shape = tally.shape
    names = ("rejections_by_step", "rejection_count", *ROUND_VARIABLES[:-1])
    values = {name: getattr(tally, name) for name in names}
    values["token_count"] = tally.tokens.reshape(shape.horizon, -1, shape.tokens).sum(axis=1)
    if shape.transitions:
        values["transition_count"] = tally.tokens.reshape(shape.horizon, shape.contexts, shape.tokens)
    if shape.outcomes:
        values["outcome_count"] = tally.outcomes
    variables = {name: (VARIABLES[name].dims, counts) for name, counts in values.items()}
    return xarray.Dataset(variables, attrs={"runs": runs})


def _draw(rows: Floats, uniform: Floats) -> Ints:
    """Draw one token per row by inversion, never one of probability zero."""
    cumulative = np.cumsum(rows, axis=1)
    token = (uniform[:, None] * cumulative[:, -1:] >= cumulative).sum(axis=1)
    last = rows.shape[1] - 1 - (rows[:, ::-1] > 0).argmax(axis=1)
    return np.minimum(token, last)


def replace_decoder(mistake: str | None, *kinds: type[Algorithm]) -> Mutation:
    """Return a mutation that decodes the given kinds of algorithm with a mistake."""

    def apply(witnesses: Witnesses) -> Witnesses:
        def simulate(pair: ModelPair, algorithm: Algorithm, **options: Any) -> Any:
            if isinstance(algorithm, kinds):
                return decode(pair, algorithm, mistake=mistake, **options)  # type: ignore[arg-type]
            return witnesses.simulate(pair, algorithm, **options)

        return witnesses.replace(simulate=simulate)

    return apply


_BOTH = (Speculative, Batch)
#: Name, description, source, the algorithms that are decoded so, and claims that must reject it.
MISTAKES: tuple[tuple[str, str, str, tuple[type[Algorithm], ...], tuple[str, ...]], ...] = (
    (
        "no-restart-after-rejection",
        "After a rejection the round goes on along the old draft, without a new target call.",
        "2411.00841, Algorithm 1: the restart after line 10",
        _BOTH,
        ("specsim.laws-speculative",),
    ),
    (
        "stale-context",
        "After a rejection the next row is read as if the rejected token had been emitted.",
        "feifeibear/LLMSpeculativeSampling#29; eBay/spec_dec",
        _BOTH,
        (),
    ),
    (
        "coin-shared-with-residual",
        "The uniform number of the acceptance is used once more to draw the residual.",
        "vllm-project/vllm#54282; flashinfer-ai/flashinfer#424; sgl-project/sglang#7231",
        _BOTH,
        (),
    ),
    (
        "residual-removes-one-token",
        "The residual is the target row without the drafted token.",
        "xLLM-AI/xllm#2175; SafeAILab/EAGLE#20",
        (Speculative,),
        (),
    ),
    (
        "bonus-counted-as-rejection",
        "A bonus token is counted as a rejection.",
        "2411.00841, section 2: a round is identified with a rejection",
        _BOTH,
        ("specsim.laws-speculative",),
    ),
    (
        "bonus-from-draft",
        "A bonus token is drawn from the draft row.",
        "the bonus position is mocked in vLLM's tests",
        _BOTH,
        (),
    ),
    (
        "chain-not-updated",
        "Every draft of a batch is tried against the target row itself.",
        "2411.00841, Algorithm 4 without line 19",
        (Batch,),
        ("specsim.laws-batch",),
    ),
    (
        "first-token-unverified",
        "The first drafted token of a round is always accepted.",
        "ohdearquant/lattice#243",
        _BOTH,
        (),
    ),
)

MUTANTS = tuple(
    Mutant(name=name, description=description, cite=cite, apply=replace_decoder(name, *kinds), kills=kills)
    for name, description, cite, kinds, kills in MISTAKES
)
