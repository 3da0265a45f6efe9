"""One class for the laws of every rule on every draft structure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from specsim.algorithms import Algorithm
from specsim.errors import InputError, TooLargeError, UnsupportedError
from specsim.grammar import parse_algorithm
from specsim.support.arrays import Array
from specsim.support.showing import as_html, as_text
from specsim.theory.arithmetic.numbers import rational
from specsim.theory.arithmetic.pair_tables import Pair, PairTables, tables_of
from specsim.theory.laws.kept_rounds import KeptRounds
from specsim.theory.laws.node_walk import NodeWalk
from specsim.theory.laws.path_rounds import PathRounds
from specsim.theory.laws.rounds import Rounds
from specsim.theory.laws.rule_rows import RuleRows
from specsim.theory.laws.state_rounds import StateRounds
from specsim.theory.laws.target import rows_of, target_law
from specsim.theory.step_laws import StepLaw, step_law_of

if TYPE_CHECKING:
    from pandas import DataFrame

#: How rounds are described, cheapest first.
Description = Literal["nodes", "states", "paths", "kept"]

_MOST_TRANSITIONS = {False: 2**27, True: 2**20}
#: Most numbers that carry a law of time from step to step.
_MOST_TICKS = {False: 2**24, True: 2**18}
#: What is said below the table of laws.
_COLUMNS = (
    "rejected: Pr(position n is rejected); rejections, target_calls: Pr(n of them in a run);",
    "accepted_length: share of the rounds that accept n tokens",
)
#: A draft of this many tokens reaches any horizon.
_ENDLESS = 4096


class Laws:
    """The laws of one algorithm on one pair; the functions of `specsim.theory` call its methods.

    Keep an object to compute several laws of one algorithm: rounds that are built once serve all of them.

    Parameters
    ----------
    pair, algorithm
        What decodes.
    horizon
        Tokens to emit. Defaults to None, the pair's own.
    exact
        Whether numbers are `fractions.Fraction`. Defaults to False.
    description
        How rounds are described: ``"nodes"`` (a walk from node to node, polynomial), ``"states"`` (one number
        per drafted path, equal ones merged) or ``"paths"`` (all drafts). Defaults to None, the first of these
        that the rule's step law has. A rule that keeps something from round to round has ``"kept"`` alone:
        all drafts after all that earlier rounds left.

    Attributes
    ----------
    description
        The description in use.

    Raises
    ------
    UnsupportedError
        The rule has no step law, no exact mode, or not this description.
    TooLargeError
        A law needs too many numbers; also raised by the methods.

    Examples
    --------
    >>> from specsim.algorithms import BlockVerification
    >>> from specsim.theory import RationalPair
    >>> pair = RationalPair.independent([1, 0], [1, 0], horizon=6)
    >>> laws = Laws(pair, BlockVerification(draft_length=2), exact=True)
    >>> laws.description, laws.expected_target_calls()
    ('states', Fraction(2, 1))
    """

    def __init__(
        self,
        pair: Pair | PairTables,
        algorithm: Algorithm | str,
        *,
        horizon: int | None = None,
        exact: bool = False,
        description: Description | None = None,
    ) -> None:
        self.pair = tables_of(pair)
        if isinstance(algorithm, str):
            algorithm = parse_algorithm(algorithm)
        self.algorithm: Algorithm = algorithm
        self.horizon = self.pair.check_horizon(horizon)
        self.exact = exact
        if not isinstance(algorithm, Algorithm) or not hasattr(algorithm, "rule"):
            raise UnsupportedError(
                f"algorithm is {type(algorithm).__name__}, which states no rule; give a descriptor of "
                "specsim.algorithms, or a rule called with its options"
            )
        rule = algorithm.rule
        step_law = step_law_of(rule)
        if exact and rule.inexact:
            raise UnsupportedError(f"rule {rule.name} has no exact laws: {rule.inexact}; use exact=False")
        if algorithm.structure(self.horizon).depth == 0 and not algorithm.whole_bonus:
            raise InputError(
                f"algorithm is {algorithm.label}: its rounds emit nothing; draft at least a token"
            )
        offered = _descriptions(step_law, algorithm, self.horizon)
        if description is not None and description not in offered:
            raise UnsupportedError(
                f"description is {description!r}; for rule {rule.name} give {' or '.join(offered)}"
            )
        self.description: Description = next(iter(offered)) if description is None else description
        self._builder = offered[self.description]
        self._step_law = step_law
        self._rounds = self._build(self.horizon)

    def same(self, other: Laws) -> bool:
        """Whether two objects with one pair have the same laws."""
        return (self.horizon, self.exact, self.algorithm, self._step_law) == (
            other.horizon,
            other.exact,
            other.algorithm,
            other._step_law,
        )

    def _build(self, horizon: int) -> NodeWalk | Rounds | KeptRounds:
        rows = RuleRows(self.pair, self.algorithm, horizon, self.exact)
        return self._builder(rows, self.algorithm, self._step_law, horizon)

    def rejections_by_step(self) -> Array:
        """Probability that each position is rejected, ``(horizon,)``."""
        chain = self._rounds.chain()
        return self._rounds.run().rejected if chain is None else np.array(chain.by_step(), dtype=object)

    def expected_rejections(self) -> Any:
        """Return the expected number of rejections."""
        chain = self._rounds.chain()
        return sum(self._rounds.run().rejected.tolist()) if chain is None else chain.total()

    def expected_target_calls(self) -> Any:
        """Return the expected number of rounds."""
        return self._rounds.run().calls

    def rejection_law(self) -> Array:
        """Law of the number of rejections, ``(horizon + 1,)``."""
        return self._rounds.run("rejections").final

    def target_call_law(self) -> Array:
        """Law of the number of rounds, ``(horizon + 1,)``."""
        return self._rounds.run("calls").final

    def tick_law(self, ticks: Sequence[int]) -> Array:
        """Law of the sum over the rounds of ``ticks[start]``, ``(sum(ticks) + 1,)``.

        TooLargeError: the sum of the ticks is too large for one more axis of the mass.
        """
        numbers = (sum(ticks) + 1) * self.pair.contexts * (self.algorithm.structure(self.horizon).depth + 1)
        if numbers > _MOST_TICKS[self.exact]:
            raise TooLargeError(
                f"times of {self.horizon} positions are up to {sum(ticks)} ticks, with {self.pair.contexts} "
                "contexts: too many numbers; round the costs to multiples of a coarser unit, such as 0.05"
            )
        return self._rounds.run("calls", ticks=ticks).final

    def rejection_variance(self) -> Any:
        """Variance of the number of rejections, from two moments carried along."""
        _, mean, square = self._rounds.run("moments").final.tolist()
        return square - mean * mean

    def round_counts(self) -> Array:
        """Return the expected number of rounds by start and accepted length, ``(horizon, longest + 1)``."""
        return self._rounds.run(depths=True).rounds

    def accepted_length_counts(self) -> Array:
        """Return the expected number of rounds by accepted length, ``(horizon + 1,)``."""
        return self._padded(self.round_counts().sum(axis=0))

    def first_accepted_length_law(self) -> Array:
        """Law of the accepted length of the first round, ``(horizon + 1,)``."""
        return self._padded(self.round_counts()[0])

    def output_law(self) -> Array:
        """Law of the whole sequence, ``(tokens ** horizon,)``."""
        return self._rounds.output_law()

    def output_marginals(self) -> Array:
        """Law of the token at each position, ``(horizon, tokens)``."""
        return self._rounds.run(emitted="tokens").emitted

    def transition_marginals(self) -> Array:
        """Law of context and emitted token at each position, ``(horizon, contexts, tokens)``."""
        shape = (self.horizon, self.pair.contexts, self.pair.tokens)
        if math.prod(shape) > _MOST_TRANSITIONS[self.exact]:
            raise TooLargeError(
                f"horizon is {shape[0]} with {shape[1]} contexts and {shape[2]} tokens: too many transitions "
                "for one array; use output_marginals or a smaller horizon"
            )
        return self._rounds.run(emitted="transitions").emitted

    def sequence_distance(self) -> Any:
        """Total variation distance of the law of the whole sequence from the target's."""
        target = target_law(self.pair, horizon=self.horizon, exact=self.exact)
        return _half_sum(rational(self.output_law()) - target)

    def token_distances(self) -> Array:
        """Return the expected distance of the emitted token's law, given the context, from the target's row.

        By position, ``(horizon,)``; contexts have the law with which they are met.
        """
        found = []
        for step, joint in enumerate(rational(self.transition_marginals())):
            row = rows_of(self.pair, step, self.exact)[0]
            found.append(_half_sum(joint - joint.sum(axis=-1, keepdims=True) * row))
        return np.array(found, dtype=object if self.exact else np.float64)

    def long_run(self) -> tuple[Any, Array]:
        """Return tokens per round and the law of the accepted length over the rounds of very long runs.

        Raises
        ------
        InputError
            The pair is not stationary, or drafts reach to the horizon.
        """
        depth = self.algorithm.structure(_ENDLESS).depth
        if depth == _ENDLESS:
            raise InputError(
                f"algorithm is {self.algorithm.label}, whose drafts reach to the horizon: without one there "
                "are no rounds; give a draft_length"
            )
        if not self._rounds.stationary:
            raise InputError("the rows or tables change from step to step; give a stationary pair")
        rounds = self._rounds if self.horizon > depth else self._build(depth + 1)
        return rounds.regime().averages()

    def to_dataframe(self) -> DataFrame:
        """Return the laws as a table over n = 0, 1, ..., horizon.

        Columns: the probability that position n is ``rejected`` (counted from 1), those of n ``rejections``
        and of n ``target_calls`` in a run, and the share of rounds with an ``accepted_length`` of n. Those
        that would be too large are omitted.
        """
        import pandas

        columns = {"n": np.arange(self.horizon + 1)}
        functions: dict[str, Callable[[], Array]] = {
            "rejected": lambda: np.insert(self.rejections_by_step(), 0, 0),
            "rejections": self.rejection_law,
            "target_calls": self.target_call_law,
            "accepted_length": lambda: self.accepted_length_counts() / self.expected_target_calls(),
        }
        for name, function in functions.items():
            with suppress(TooLargeError):
                columns[name] = function()
        return pandas.DataFrame(columns)

    @property
    def _heading(self) -> str:
        return (
            f"{self.algorithm.label}, horizon {self.horizon}: "
            f"{float(self.expected_rejections()):.5g} rejections and "
            f"{float(self.expected_target_calls()):.5g} target calls expected"
        )

    def __repr__(self) -> str:
        return f"<Laws of {self.algorithm.label}, horizon {self.horizon}, by {self.description}>"

    def __str__(self) -> str:
        return as_text(self._heading, self.to_dataframe(), *_COLUMNS)

    def _repr_html_(self) -> str:
        return as_html(self._heading, self.to_dataframe(), *_COLUMNS)

    def _padded(self, counts: Array) -> Array:
        found = np.full(self.horizon + 1, counts[0] * 0, dtype=counts.dtype)
        found[: len(counts)] = counts
        return found


def _half_sum(difference: Array) -> Any:
    return abs(difference).sum() / 2


def _descriptions(step_law: StepLaw, algorithm: Algorithm, horizon: int) -> dict[Description, Any]:
    """Return the descriptions that the step law has for this algorithm, cheapest first."""
    usual = algorithm.drawing == algorithm.rule.drawings[0]
    if step_law.keeping:
        return {"kept": KeptRounds}
    found: dict[Description, Any] = {}
    if step_law.node_step or (usual and (step_law.node or step_law.node_total)):
        found["nodes"] = NodeWalk
    if step_law.state and usual:
        found["states"] = StateRounds
    found["paths"] = PathRounds
    return found
