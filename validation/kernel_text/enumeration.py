"""The exact law of what a rule's text does with given rows and drafted tokens."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from specsim.algorithms import Structure
from specsim.validation.kernel_text.coins import CannotEnumerate, Coin, Forks, TextError, every_run
from specsim.validation.kernel_text.reading import Text, exact, objects

Step = namedtuple("Step", "parent first row token coin target draft param room weight key")

#: Law of a step: probability of (node at which it stops, final token, or -1 for the target's row at a leaf).
StepLaw = dict[tuple[int, int], Any]
Rows = Sequence[Sequence[Any]]


class KernelText:
    """A kernel, enumerated from its own Python text.

    Parameters
    ----------
    function
        ``verify(step, nodes) -> (stop node, final token or -1)``, compiled or not.
    name
        Name of the rule, for errors.

    Raises
    ------
    InputError
        The text is not to be found, or uses what cannot be followed.
    """

    def __init__(self, function: Any, name: str) -> None:
        self.name = name
        self._forks = Forks()
        try:
            self._text = Text(function, name, HELPERS, self._forks.tick)
        except TextError as error:
            raise error.at(f"rule {name}") from None

    def law(
        self,
        structure: Structure,
        target: Rows,
        draft: Rows,
        tokens: Sequence[int],
        *,
        param: Rows = (),
        nodes: int | None = None,
    ) -> StepLaw:
        """Return the law of what the step returns, given the drafted tokens.

        Parameters
        ----------
        structure
            The whole draft structure.
        target, draft
            Rows after each node, numbers of any kind, each taken as the rational that it is.
        tokens
            Drafted token of each node; the first is not used.
        param
            The rule's own numbers after each node.
        nodes
            How many nodes the horizon leaves. Defaults to None, all.

        Returns
        -------
        dict
            Probability, a `flint.fmpq`, by (stop node, final token or -1); the sum is 1.

        Raises
        ------
        InputError
            The text cannot be enumerated, fails, or returns what is no node or no token; the message names
            the rule, the line and the remedy.
        """
        count = len(structure.parents) if nodes is None else nodes
        make = self._steps(structure, target, draft, tokens, param, count)
        law: StepLaw = {}
        try:
            for result, probability in every_run(self._forks, lambda: self._text.run(make(), count)):
                key = _checked(result, structure, count, len(target[0]))
                law[key] = law.get(key, 0) + probability
        except TextError as error:
            raise error.at(self._text.place(error)) from None
        except Exception as error:
            raise _explained(error).at(self._text.place(error)) from error
        return law

    def _steps(
        self, structure: Structure, target: Rows, draft: Rows, tokens: Any, param: Rows, nodes: int
    ) -> Callable[[], Any]:
        size, width = len(structure.parents), len(target[0])
        parent, first = np.array(structure.parents), np.array(structure.first)
        # Nothing is known of nodes beyond the cut, nor of what lies in the scratch arrays.
        beyond = [None] * (size - nodes)
        row = objects(size, [*range(nodes), *beyond])
        token = objects(size, [None, *(int(token) for token in tokens[1:nodes]), *beyond])
        coin = objects(size, [*(Coin(self._forks, node) for node in range(nodes)), *beyond])
        tables = [_table(rows) for rows in (target, draft, param)]

        def make() -> Any:
            room, weight = objects((size + 1, width), None), objects(size + 1, None)
            return Step(parent, first, row, token, coin, *tables, room, weight, _Words())

        return make


def _table(rows: Rows) -> np.ndarray:
    width = len(rows[0]) if len(rows) else 0
    return objects((len(rows), width), [exact(value) for row in rows for value in row])


def _checked(result: Any, structure: Structure, nodes: int, tokens: int) -> tuple[int, int]:
    pair = result if isinstance(result, tuple) and len(result) == 2 else (None, None)
    if not all(isinstance(value, int | np.integer) for value in pair):
        raise TextError(f"returns {result!r}", "return two whole numbers, the stop node and the final token")
    stop, final = (int(value) for value in pair)
    if not 0 <= stop < nodes:
        raise TextError(
            f"returns node {stop}, and there are {nodes}", f"return the last accepted node, 0 to {nodes - 1}"
        )
    if not -1 <= final < tokens:
        raise TextError(
            f"returns token {final}, and the vocabulary has {tokens}",
            f"return 0 to {tokens - 1}, or -1 for a draw from the target's row at a leaf",
        )
    if final == -1 and structure.first[stop] < min(structure.first[stop + 1], nodes):
        raise TextError(
            f"returns -1 at node {stop}, which is no leaf", "draw the final token, for example with draw_weights"
        )
    return stop, final


def _explained(error: Exception) -> TextError:
    text = str(error)
    if isinstance(error, IndexError):
        return TextError(
            f"reads or writes beyond an array ({text})", "mend the index; compiled code does not look"
        )
    if "NoneType" in text:
        return TextError(
            "reads a number that does not exist",
            "write to step.room and step.weight before reading, and look only at nodes below `nodes`",
        )
    if isinstance(error, RecursionError):
        return CannotEnumerate("calls itself without end", "write it as a loop")
    return TextError(f"fails with {type(error).__name__}: {text}", "mend the rule")


class _Words:
    """Stands for the key of the raw random words, which have no law of their own here."""

    def __getitem__(self, index: Any) -> Any:
        raise CannotEnumerate("reads raw random words (step.key)", "use step.coin")


def draw_weights(weights: Any, row: int, coin: Any) -> int:
    """Draw a token with probability proportional to ``weights[row]``, from the lowest token on."""
    values = weights[row]
    left = coin * sum(values)
    last = -1
    for token, value in enumerate(values):
        if value > 0:
            last = token
            if left < value:
                break
            left = left - value
    return last


def draw_excess(scale: Any, target: Any, draft: Any, row: int, coin: Any) -> int:
    """Draw a token with probability proportional to ``(scale target - draft)_+`` of a row."""
    excess = [max(scale * t - d, 0) for t, d in zip(target[row], draft[row], strict=True)]
    return draw_weights([excess], 0, coin)


#: What stands for the literal engine's helpers of these names.
HELPERS: dict[str, Callable[..., Any]] = {"draw_excess": draw_excess, "draw_weights": draw_weights}
