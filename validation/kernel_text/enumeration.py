"""The exact law of what a rule's text does with given rows and drafted tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
from flint import fmpq

from specsim.algorithms import Structure
from specsim.engines.literal.state import Step
from specsim.validation.kernel_text.coins import CannotEnumerate, Coin, Forks, TextError, every_run
from specsim.validation.kernel_text.reading import Text, exact, objects

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
    prepare
        ``prepare(target, draft, structure, **parameters)``: what the kernel reads as ``step.param``. Defaults
        to None, the parameters themselves.

    Raises
    ------
    InputError
        The text is not to be found, or uses what cannot be followed.
    """

    def __init__(self, function: Any, name: str, prepare: Callable[..., Any] | None = None) -> None:
        self.name = name
        self._prepare = prepare
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
        parameters: Mapping[str, Any] = MappingProxyType({}),
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
        parameters
            Of the rule.
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
        make = self._steps(structure, target, draft, tokens, parameters, count)
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

    def table(
        self,
        structure: Structure,
        target: Any,
        draft: Any,
        tokens: Any,
        **parameters: Any,
    ) -> np.ndarray:
        """Return the step law as a table, as texts in `specsim.theory.step_laws` do.

        Parameters
        ----------
        structure
            The draft structure of N nodes.
        target, draft
            Rows after each node, shape ``(..., N, V)``: floats, or objects of one exact kind.
        tokens
            Drafted tokens, shape ``(..., N)``.
        parameters
            Of the rule.

        Returns
        -------
        ndarray
            Shape ``(..., N, V)``, of the kind of `target`: probability of stopping at each node with each
            final token, which at a leaf is one of the target's row.
        """
        shape = np.broadcast_shapes(target.shape[:-2], draft.shape[:-2], tokens.shape[:-1])
        target, draft = (np.broadcast_to(rows, (*shape, *rows.shape[-2:])) for rows in (target, draft))
        tokens = np.broadcast_to(tokens, (*shape, tokens.shape[-1]))
        kind = float if target.dtype != object else type(target.flat[0])
        found = objects(target.shape, 0)
        for index in np.ndindex(shape):
            law = self.law(structure, target[index], draft[index], tokens[index], parameters=parameters)
            for (stop, final), chance in law.items():
                if final == -1:
                    found[(*index, stop)] += chance * exact(target[index][stop])
                else:
                    found[(*index, stop, final)] += chance
        values = [_as(kind, value) for value in found.ravel()]
        return np.array(values) if kind is float else objects(found.shape, values)

    def _steps(
        self, structure: Structure, target: Rows, draft: Rows, tokens: Any, parameters: Any, nodes: int
    ) -> Callable[[], Any]:
        size, width = len(structure.parents), len(target[0])
        # Nothing is known of nodes beyond the cut, nor of what lies in the working space.
        beyond = [None] * (size - nodes)
        tables = [_table(rows[:nodes]) for rows in (target, draft)]
        if self._prepare is not None:
            param = exact(np.asarray(self._prepare(*tables, structure, **parameters)))
        else:
            param = objects((nodes, len(parameters)), [exact(value) for value in parameters.values()] * nodes)
        fixed = {
            "parent": np.array(structure.parents),
            "first": np.array(structure.first),
            "row": objects(size, [*range(nodes), *beyond]),
            "token": objects(size, [None, *(int(token) for token in tokens[1:nodes]), *beyond]),
            "coin": objects(size, [*(Coin(self._forks, node) for node in range(nodes)), *beyond]),
            "target": tables[0],
            "draft": tables[1],
            "param": param,
            "key": _Words(),
            "table": _Words(),
            "profile": np.empty((0, 3, width + 1)),
        }

        def make() -> Any:
            room = objects((2 * structure.depth + 2, width), None)
            return Step(room=room, weight=objects(size, None), **fixed)

        return make


def _as(kind: type, value: Any) -> Any:
    if kind is fmpq:
        return fmpq(1) * value
    exact_value = fraction(value)
    return float(exact_value) if kind is float else exact_value


def fraction(value: Any) -> Fraction:
    """Return an exact number as a `fractions.Fraction`."""
    return Fraction(value) if isinstance(value, int) else Fraction(int(value.p), int(value.q))


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
    leaf = min(structure.first[stop + 1], nodes) <= structure.first[stop]
    if leaf and final != -1:
        raise TextError(f"returns token {final} at node {stop}, a leaf", "return -1 there; the target draws")
    if not leaf and final == -1:
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
    """Stands for what belongs to raw random words."""

    def __getattr__(self, name: str) -> Any:
        return _refuse_words()

    __getitem__ = __getattr__


def _refuse_words(*arguments: Any) -> Any:
    raise CannotEnumerate("reads raw random words", "use step.coin")


def _second_coin(step: Any, node: Any) -> Any:
    return step.coin[node].another()


#: What stands for the literal engine's helpers of these names; the text of all others is followed.
HELPERS: dict[str, Callable[..., Any]] = {"second_coin": _second_coin, "words": _refuse_words}
