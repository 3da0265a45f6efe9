"""The population engine: counts of runs instead of runs.

All runs that share a state move together: drafted tokens are one multinomial draw, accepted tokens binomial
draws, residual tokens another multinomial draw. A tally has exactly the law that it has when the runs are
simulated one by one, because runs are independent and a tally only counts them; the cost does not depend on
the number of runs. The probabilities of the draws are float64 numbers, exact to about 2^-53, which is one run
among the most that are taken; a token of probability 0 is never drawn. There are no single runs to look at,
and the words of NumPy's generator are used, so the integers may change with NumPy's version.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.engines.lockstep.plans import Plan, prepare
from specsim.engines.lockstep.tables import Words, of_steps
from specsim.engines.request import Request
from specsim.engines.running.memory import require
from specsim.engines.tallies.tally import Shape, Tally
from specsim.errors import InputError, TooLargeError
from specsim.pairs import UNIT, ModelPair
from specsim.support.arrays import Floats

Counts = NDArray[np.int64]

#: Above this, float64 no longer tells neighbouring counts apart.
MOST_RUNS = 2**53
_MOST_WORK = 2**34
_BLOCK_CELLS = 2**20
_SCALE = 2.0**63


@dataclass(frozen=True)
class _Rows:
    """Probabilities of one step, float64; the first axis of all is the context."""

    draft: Floats
    target: Floats
    accept: list[Floats]
    residual: Floats
    root_residual: Floats | None


@dataclass(frozen=True)
class _States:
    """The axes of the count array: context, accepted so far in the round, rejections, target calls."""

    contexts: int
    accepted: int
    rejections: int
    calls: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.contexts, self.accepted, self.rejections, self.calls

    @property
    def cells(self) -> int:
        return self.contexts * self.accepted * self.rejections * self.calls


def check(request: Request) -> None:
    """Raise `InputError` when single runs or whole outcomes are asked for, or more than 2^53 runs."""
    if request.per_run:
        raise InputError("per_run is True, but the population engine has no single runs; use engine='alias'")
    if request.shape.outcomes:
        raise InputError("outcomes is True, but the population engine keeps no sequences; use outcomes=False")
    if request.runs > MOST_RUNS:
        raise InputError(f"runs is {request.runs}; the population engine takes at most 2^53 = {MOST_RUNS}")
    prepare(request.algorithm, request.pair, request.shape.horizon)


def run(
    request: Request,
    first_run: int,
    runs: int,
    *,
    threads: int,
    rejections_of_run: NDArray[np.int64] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Tally:
    """Simulate a request; see `specsim.engines.request.Engine`.

    Seed and first run name the stream of random words. Other than in the engines that simulate single runs,
    the result for a range of runs is not the sum of the results for its parts; it only has the same law. The
    cost depends on neither `runs` nor `threads`.

    TooLargeError: too many states.
    """
    check(request)
    plan = prepare(request.algorithm, request.pair, request.shape.horizon)
    generator = np.random.default_rng([request.seed, first_run])
    tally = _Population(request.pair, plan, request.shape, generator).run(runs)
    if progress is not None:
        progress(runs)
    return tally


class _Population:
    """Counts of runs by state, moved step by step."""

    def __init__(self, pair: ModelPair, plan: Plan, shape: Shape, generator: np.random.Generator) -> None:
        self.pair = pair
        self.plan = plan
        self.shape = shape
        self.generator = generator
        self.horizon = shape.horizon
        self.finite = plan.draft_length <= self.horizon
        self.states = self._states()
        self.tally = Tally(shape)

    def _states(self) -> _States:
        """Keep only the axes that the algorithm or a tally needs."""
        length = self.horizon + 1
        if self.plan.draft_length == 0:
            accepted, rejections, calls = 1, 1, 1
        elif self.finite:
            accepted, rejections, calls = (
                self.plan.draft_length + 1,
                length,
                length if self.shape.rounds else 1,
            )
        elif self.shape.rounds:
            accepted, rejections, calls = length, length, 1
        else:
            accepted, rejections, calls = (2 if self.plan.root is not None else 1), length, 1
        states = _States(self.pair.contexts, accepted, rejections, calls)
        draws = states.cells * self.pair.tokens * self.horizon
        if draws > _MOST_WORK:
            raise TooLargeError(
                f"the population engine would make {draws:.3g} draws; use tallies='rejections', a shorter "
                "horizon or engine='alias'"
            )
        require(
            24 * states.cells + self.shape.bytes,
            "counts of the population engine",
            "use tallies='rejections' or engine='alias'",
        )
        return states

    def run(self, runs: int) -> Tally:
        """Move all runs through all steps."""
        counts = np.zeros(self.states.shape, np.int64)
        initial = self.pair.initial_weights.astype(np.float64) / UNIT
        counts[:, 0, 0, 0] = self._multinomial(np.array([runs]), initial[None])[0]
        rows: _Rows | None = None
        for step in range(self.horizon):
            if rows is None or self.plan.table_steps > 1:
                rows = self._rows(step)
            counts = self._advance(counts, step, rows)
        self._finish(counts, runs)
        return self.tally

    def _rows(self, step: int) -> _Rows:
        steps = np.array([step if self.plan.table_steps > 1 else 0])
        draft_weights = of_steps(self.pair.draft_weights, steps)[0]
        draft = draft_weights.astype(np.float64) / UNIT

        def acceptance(thresholds: Words) -> Floats:
            joint = thresholds.astype(np.float64) / _SCALE
            return np.clip(np.divide(joint, draft, out=np.zeros_like(draft), where=draft > 0), 0.0, 1.0)

        accept = [acceptance(self.plan.thresholds(steps)[0])]
        root_residual = None
        if self.plan.root is not None:
            later, weights = self.plan.root(steps)
            accept += [acceptance(later[:, index]) for index in range(later.shape[1])]
            root_residual = _law(weights)
        return _Rows(
            draft=draft,
            target=of_steps(self.pair.target_weights, steps)[0].astype(np.float64) / UNIT,
            accept=accept,
            residual=_law(self.plan.residual(steps)[0]),
            root_residual=root_residual,
        )

    def _advance(self, counts: Counts, step: int, rows: _Rows) -> Counts:
        moved = np.zeros_like(counts)
        occupied = np.flatnonzero(counts)
        block = max(1, _BLOCK_CELLS // self.pair.tokens)
        for start in range(0, len(occupied), block):
            cells = occupied[start : start + block]
            index = np.unravel_index(cells, counts.shape)
            context, accepted, rejections, calls = (part.astype(np.int64) for part in index)
            number = counts.reshape(-1)[cells]
            if self.plan.draft_length == 0:
                emitted = self._multinomial(number, rows.target[context])
                self._emit(moved, step, context, emitted, accepted, rejections, calls)
                continue
            bonus = accepted == self.plan.draft_length if self.finite else np.zeros(len(cells), bool)
            if bonus.any():
                emitted = self._multinomial(number[bonus], rows.target[context[bonus]])
                self._emit(
                    moved, step, context[bonus], emitted, accepted[bonus] * 0, rejections[bonus], calls[bonus]
                )
            root = (accepted == 0) & (rows.root_residual is not None)
            for chosen, is_root in ((root & ~bonus, True), (~root & ~bonus, False)):
                if chosen.any():
                    where = context[chosen], accepted[chosen], rejections[chosen], calls[chosen]
                    self._draft(moved, step, number[chosen], where, rows, is_root)
        return moved

    def _draft(
        self,
        moved: Counts,
        step: int,
        number: Counts,
        where: tuple[Counts, Counts, Counts, Counts],
        rows: _Rows,
        root: bool,
    ) -> None:
        """Draft, accept and replace one token in every run of some cells."""
        context, accepted, rejections, calls = where
        if self.states.calls > 1:
            calls = calls + (accepted == 0)
        kept = np.zeros((len(number), self.pair.tokens), np.int64)
        left = number
        for accept in rows.accept if root else rows.accept[:1]:
            drafted = self._multinomial(left, rows.draft[context])
            passed = self.generator.binomial(drafted, accept[context])
            kept += passed
            left = left - passed.sum(axis=1)
            if not left.any():
                break
        residual = rows.root_residual if root and rows.root_residual is not None else rows.residual
        replaced = np.zeros_like(kept)
        some = left > 0
        replaced[some] = self._multinomial(left[some], residual[context[some]])

        after = accepted + 1
        if self.finite:
            full = after == self.plan.draft_length
            self._count_rounds(step + 1, kept.sum(axis=1)[full], after[full], calls[full])
            if not self.plan.bonus:
                after = np.where(full, 0, after)
        after = np.minimum(after, self.states.accepted - 1)
        self._emit(moved, step, context, kept, after, rejections, calls)

        self.tally.rejections_by_step[step] += left.sum()
        self._count_rounds(step, left, accepted, calls)
        if self.shape.rounds and not self.finite:
            self.tally.first_accepted_length_count[step] += left[rejections == 0].sum()
        self._emit(moved, step, context, replaced, accepted * 0, rejections + 1, calls)

    def _count_rounds(self, end: int, number: Counts, accepted: Counts, calls: Counts) -> None:
        """Count rounds whose accepted tokens end before position `end`."""
        if not self.shape.rounds:
            return
        np.add.at(self.tally.accepted_length_count, accepted, number)
        if self.tally.round_count.size:
            np.add.at(self.tally.round_count, (end - accepted, accepted), number)
        if self.finite:
            first = calls == 1
            np.add.at(self.tally.first_accepted_length_count, accepted[first], number[first])

    def _emit(
        self,
        moved: Counts,
        step: int,
        context: Counts,
        emitted: Counts,
        accepted: Counts,
        rejections: Counts,
        calls: Counts,
    ) -> None:
        """Count the emitted tokens and put their runs into their next states."""
        tokens = self.pair.tokens
        if self.shape.transitions:
            by_context = self.tally.tokens[step].reshape(-1, tokens)
            np.add.at(by_context, context, emitted)
        else:
            self.tally.tokens[step] += emitted.sum(axis=0)
        following = self.pair.next_context[context]
        spread = np.broadcast_to
        np.add.at(
            moved,
            (
                following,
                spread(accepted[:, None], following.shape),
                spread(rejections[:, None], following.shape),
                spread(calls[:, None], following.shape),
            ),
            emitted,
        )

    def _finish(self, counts: Counts, runs: int) -> None:
        """Count what is known at the end of the runs."""
        tally, length = self.tally, self.horizon + 1
        by_rejections = counts.sum(axis=(0, 1, 3))
        tally.rejection_count[: len(by_rejections)] = by_rejections
        if not self.shape.rounds:
            return
        if self.plan.draft_length == 0:
            tally.target_call_count[self.horizon] = runs
            tally.accepted_length_count[0] = runs * self.horizon
            tally.first_accepted_length_count[0] = runs
            tally.round_count[:, :1] = runs
            return
        rounds = counts.sum(axis=0)
        # Runs in a round that the horizon cut short; a full round and a rejection have been counted.
        for accepted in range(1, self.states.accepted):
            if self.finite and accepted == self.plan.draft_length:
                continue
            tally.accepted_length_count[accepted] += rounds[accepted].sum()
            if tally.round_count.size:
                tally.round_count[self.horizon - accepted, accepted] += rounds[accepted].sum()
            if self.finite:
                tally.first_accepted_length_count[accepted] += rounds[accepted, :, 1].sum()
        if self.finite:
            tally.target_call_count += rounds.sum(axis=(0, 1))
        else:
            tally.first_accepted_length_count[self.horizon] += by_rejections[0]
            tally.target_call_count += rounds[0].sum(axis=1)
            tally.target_call_count[1:] += rounds[1:].sum(axis=(0, 2))[: length - 1]

    def _multinomial(self, number: Counts, laws: Floats) -> Counts:
        """Draw from one law per row, and nothing from a probability of 0.

        NumPy gives what rounding leaves over to the last token, so that the likeliest one is put there.
        """
        rows, likeliest, last = np.arange(len(laws)), laws.argmax(axis=1), laws.shape[1] - 1
        laws = laws.copy()
        laws[rows, likeliest], laws[:, last] = laws[:, last].copy(), laws[rows, likeliest]
        drawn: Counts = self.generator.multinomial(number, laws)
        drawn[rows, likeliest], drawn[:, last] = drawn[:, last].copy(), drawn[rows, likeliest]
        return drawn


def _law(weights: Words) -> Floats:
    """Normalise integer weights per row; a row without mass, which is never reached, becomes uniform."""
    rows: Any = weights.astype(np.float64)
    total = rows.sum(axis=-1, keepdims=True)
    return np.where(total > 0, rows / np.where(total > 0, total, 1.0), 1.0 / rows.shape[-1])
