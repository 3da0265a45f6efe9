"""The laws of block verification (2403.10444), by a recursion over (context, ratio) inside a block.

A block of k drafted tokens is kept up to the last position whose test passes. What a position contributes
depends on the later tests, so the recursion first goes backwards, for the probability that a test here or
later passes, and then forwards. Draft paths that meet in the same context with the same ratio are merged.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import BlockVerification
from specsim.errors import TooLargeError
from specsim.theory.arithmetic.pair_tables import PairTables
from specsim.theory.laws.block_rounds import BlockRounds

Array = NDArray[Any]

_MAX_STATES = 400_000
_MAX_ARRAY = 2e6
_MAX_LENGTH = 300
_MAX_PATHS = 2**14


class BlockLaws:
    """The laws of block verification on one pair; see `laws.functions` for what each method returns.

    The work grows like contexts times tokens to the power of the draft length, less where ratios coincide.
    Floats of moderate size are computed by `specsim.theory.laws.block_rounds` on whole arrays of paths;
    otherwise `TooLargeError` is raised beyond about four hundred thousand states.
    """

    def __init__(self, pair: PairTables, algorithm: BlockVerification, horizon: int, exact: bool) -> None:
        self.pair = pair
        self.horizon = horizon
        self.exact = exact
        self.zero: Any = Fraction(0) if exact else 0.0
        self.one: Any = Fraction(1) if exact else 1.0
        limit = algorithm.draft_length
        self.length = horizon if limit is None else min(limit, horizon)
        self.has_bonus = limit is not None and algorithm.bonus
        self._next = pair.next_context.tolist()
        self._rows: dict[int, tuple[list[list[Any]], list[list[Any]]]] = {}
        self._ends: dict[tuple[Any, ...], tuple[Any, Any]] = {}

    @cached_property
    def _arrays(self) -> BlockRounds | None:
        nodes = self.pair.contexts * float(self.pair.tokens) ** self.length
        if self.exact or nodes * self.pair.tokens > _MAX_ARRAY:
            return None
        return BlockRounds(self.pair, self.horizon, self.length, self.has_bonus)

    def rejections_by_step(self) -> Array:
        """Probability that each position is rejected."""
        if self._arrays:
            return self._arrays.run().rejected
        return self._vector(_Pass(self).run().rejected)

    def expected_rejections(self) -> Any:
        """Sum of `rejections_by_step`."""
        return sum(self.rejections_by_step().tolist(), self.zero)

    def expected_target_calls(self) -> Any:
        """Return the expected number of rounds."""
        if self._arrays:
            return float(self._arrays.run().calls)
        return _Pass(self).run().calls

    def rejection_law(self) -> Array:
        """Law of the number of rejections."""
        if self._arrays:
            return self._arrays.run("rejections").final
        return self._tags(_Pass(self, count="rejections").run().final, self.horizon + 1)

    def target_call_law(self) -> Array:
        """Law of the number of target calls."""
        if self._arrays:
            return self._arrays.run("calls").final
        return self._tags(_Pass(self, count="calls").run().final, self.horizon + 1)

    def rejection_variance(self) -> Any:
        """Variance of the number of rejections."""
        if self._arrays:
            _, mean, square = self._arrays.run("moments").final.tolist()
            return square - mean * mean
        law = self.rejection_law()
        counts = np.arange(len(law))
        mean = (law * counts).sum()
        variance = (law * counts**2).sum() - mean * mean
        return variance if self.exact else float(variance)

    def accepted_length_counts(self, first_round: bool = False) -> Array:
        """Count rounds by accepted length; with `first_round` only the first round of a run."""
        if self._arrays:
            return self._arrays.run(first_round=first_round).lengths
        return self._vector(_Pass(self, first_round=first_round).run().lengths)

    def output_law(self) -> Array:
        """Law of the whole sequence."""
        paths = self.pair.tokens**self.horizon
        if paths > _MAX_PATHS:
            raise TooLargeError(
                f"horizon is {self.horizon} with {self.pair.tokens} tokens: the law of the sequence "
                f"has {paths} entries (at most {_MAX_PATHS}); use output_marginals"
            )
        return self._tags(_Pass(self, count="path").run().final, paths)

    def output_marginals(self) -> Array:
        """Law of the token at each step."""
        return np.asarray(self.transition_marginals().sum(axis=1))

    def transition_marginals(self) -> Array:
        """Law of (context, emitted token) at each step."""
        if self._arrays:
            return self._arrays.run().joint
        return self._vector(_Pass(self).run().joint)

    def rows(self, position: int) -> tuple[list[list[Any]], list[list[Any]]]:
        """Target and draft rows of a position as nested lists of the chosen numbers."""
        index = self.pair.step_index(position)
        if index not in self._rows:
            if self.exact:
                target, draft = self.pair.target_weights[index], self.pair.draft_weights[index]
                self._rows[index] = (
                    self.pair.fractions(target).tolist(),
                    self.pair.fractions(draft).tolist(),
                )
            else:
                self._rows[index] = (self.pair.target[index].tolist(), self.pair.draft[index].tolist())
        return self._rows[index]

    def ratio(self, ratio: Any, target: Any, draft: Any) -> Any:
        """Return min(1, ratio T / D); floats are rounded so that equal ratios meet in one state."""
        value = min(self.one, ratio * target / draft)
        return value if self.exact else round(value, 15)

    def excess(self, position: int, context: int, ratio: Any) -> list[Any]:
        """Return (ratio T - D)_+, the unnormalised residual of the block at this point."""
        target, draft = self.rows(position)
        pairs = zip(target[context], draft[context], strict=True)
        return [max(ratio * t - d, self.zero) for t, d in pairs]

    def ends(self, position: int, left: int, context: int, ratio: Any) -> tuple[Any, Any]:
        """Pr(the block ends here) and Pr(here or later), given the tokens drafted up to here."""
        key = (position, left, context, ratio)
        if key in self._ends:
            return self._ends[key]
        if left == 0:
            result = (ratio, ratio)
        else:
            mass = sum(self.excess(position, context, ratio), self.zero)
            below = mass + 1 - ratio
            test = mass / below if below else self.one
            target, draft = self.rows(position)
            later = self.zero
            for token, weight in enumerate(draft[context]):
                if weight:
                    following = self._next[context][token]
                    new = self.ratio(ratio, target[context][token], weight)
                    later += weight * self.ends(position + 1, left - 1, following, new)[1]
            here = test * (1 - later)
            result = (here, here + later)
        if len(self._ends) > _MAX_STATES:
            raise TooLargeError(
                f"block verification with draft_length {self.length} and {self.pair.tokens} tokens has more "
                f"than {_MAX_STATES} states; use a shorter draft or a smaller pair"
            )
        self._ends[key] = result
        return result

    def _vector(self, values: Any) -> Array:
        return np.array(values, dtype=object if self.exact else np.float64)

    def _tags(self, final: dict[int, Any], size: int) -> Array:
        values = [self.zero] * size
        for tag, mass in final.items():
            values[tag] += mass
        return self._vector(values)


class _Pass:
    """One forward pass; the tag of a mass is its count, or its emitted sequence."""

    def __init__(self, laws: BlockLaws, *, count: str | None = None, first_round: bool = False) -> None:
        if laws.length > _MAX_LENGTH:
            raise TooLargeError(
                f"block verification drafts {laws.length} tokens per round (draft_length or horizon); "
                f"theory takes at most {_MAX_LENGTH}"
            )
        self.laws = laws
        self.count = count
        self.first_round = first_round
        horizon, pair = laws.horizon, laws.pair
        zero = laws.zero
        self.rejected = [zero] * horizon
        self.calls = zero
        self.lengths = [zero] * (horizon + 1)
        self.joint = [[[zero] * pair.tokens for _ in range(pair.contexts)] for _ in range(horizon)]
        self.final: dict[int, Any] = {}
        # Per position: drafting (left, accepted, context, ratio, tag), starts and pending bonus tokens.
        self._drafting: list[dict[Any, Any]] = [defaultdict(lambda: zero) for _ in range(horizon + 1)]
        self._starts: list[dict[Any, Any]] = [defaultdict(lambda: zero) for _ in range(horizon + 1)]
        self._bonus: list[dict[Any, Any]] = [defaultdict(lambda: zero) for _ in range(horizon + 1)]

    def run(self) -> _Pass:
        pair = self.laws.pair
        initial = pair.fractions(pair.initial_weights) if self.laws.exact else pair.initial
        for context, mass in enumerate(initial.tolist()):
            if mass:
                self._starts[0][context, 0] += mass
        for position in range(self.laws.horizon):
            self._begin(position)
            for (context, tag), mass in self._bonus[position].items():
                for token, weight in enumerate(self.laws.rows(position)[0][context]):
                    if weight:
                        self._emit_last(position, context, token, mass * weight, tag, rejected=False)
            for (left, accepted, context, ratio, tag), mass in self._drafting[position].items():
                self._verify(position, left, accepted, context, ratio, tag, mass)
            self._drafting[position].clear()
            if len(self._drafting[position + 1]) > _MAX_STATES:
                raise TooLargeError(
                    f"block verification with draft_length {self.laws.length} has more than {_MAX_STATES} "
                    "states; use a shorter draft or a smaller pair"
                )
        last = self.laws.horizon
        for states in (self._starts[last], self._bonus[last]):
            for (_, tag), mass in states.items():
                self.final[tag] = self.final.get(tag, self.laws.zero) + mass
        return self

    def _begin(self, position: int) -> None:
        length = min(self.laws.length, self.laws.horizon - position)
        for (context, tag), mass in self._starts[position].items():
            self.calls += mass
            tag = tag + 1 if self.count == "calls" else tag
            self._drafting[position][length, 0, context, self.laws.one, tag] += mass

    def _verify(
        self, position: int, left: int, accepted: int, context: int, ratio: Any, tag: int, mass: Any
    ) -> None:
        laws = self.laws
        stop = mass * laws.ends(position, left, context, ratio)[0]
        if stop:
            excess = laws.excess(position, context, ratio)
            total = sum(excess, laws.zero)
            # An empty residual means equal rows and ratio 1; rounding alone brings floats here.
            if total or laws.exact:
                self.rejected[position] += stop
                self.lengths[accepted] += stop
                for token, weight in enumerate(excess):
                    if weight:
                        self._emit_last(position, context, token, stop * weight / total, tag, rejected=True)
        target, draft = laws.rows(position)
        for token, weight in enumerate(draft[context]):
            if not weight:
                continue
            following = laws._next[context][token]
            new = laws.ratio(ratio, target[context][token], weight)
            drafted = mass * weight
            kept = drafted * laws.ends(position + 1, left - 1, following, new)[1]
            if not kept:
                continue
            self.joint[position][context][token] += kept
            longer = tag * laws.pair.tokens + token if self.count == "path" else tag
            if left > 1:
                self._drafting[position + 1][left - 1, accepted + 1, following, new, longer] += drafted
                continue
            self.lengths[accepted + 1] += kept
            if self.first_round:
                continue
            waits = laws.has_bonus and position + 1 < laws.horizon
            (self._bonus if waits else self._starts)[position + 1][following, longer] += kept

    def _emit_last(
        self, position: int, context: int, token: int, mass: Any, tag: int, *, rejected: bool
    ) -> None:
        self.joint[position][context][token] += mass
        if self.count == "path":
            tag = tag * self.laws.pair.tokens + token
        elif self.count == "rejections" and rejected:
            tag += 1
        if not self.first_round:
            self._starts[position + 1][self.laws._next[context][token], tag] += mass
