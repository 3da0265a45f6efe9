"""The exact law of what a kernel's text does with given rows and drafted tokens."""

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from flint import fmpq

from specsim.algorithms import Structure, tree
from specsim.theory.programs.steps import Program, Rows, Tokens
from specsim.validation.kernel_text.coins import CannotEnumerate, Coin, Forks, TextError, every_run
from specsim.validation.kernel_text.reading import Text, exact, objects

#: Probability of (node at which a step stops, final token, or -1 for the target's row at a leaf).
Outcomes = dict[tuple[int, int], Fraction]

#: Most laws that are kept.
_MOST_KEPT = 100_000


class KernelText:
    """A kernel, enumerated from its own Python text; it serves as a program and as a step law.

    kernel: ``verify(step, nodes) -> (stop node, final token or -1)``, compiled or not.
    name: name of the rule, for errors.
    prepare: ``prepare(target, draft, structure, **parameters)``: what the kernel reads as ``step.param``, of
        exact rows, or of floats where it cannot use these. Defaults to None: nothing.
    InputError: the text is not to be found, or uses what cannot be followed.

    The kernel sees one level of nodes more than there are, as if the horizon had cut them off. They are
    empty, as is the working space: to read there is an error.
    """

    def __init__(self, kernel: Any, name: str, prepare: Callable[..., Any] | None = None) -> None:
        self.name = name
        self._prepare = prepare
        self._forks = Forks()
        self._last: tuple[Any, Outcomes] = None, {}
        self._known: dict[Any, Outcomes] = {}
        try:
            self._text = Text(kernel, name, HELPERS, self._forks.tick)
        except TextError as error:
            raise error.at(f"rule {name}") from None

    def outcomes(
        self,
        structure: Structure,
        target: Rows | np.ndarray,
        draft: Rows | np.ndarray,
        tokens: Tokens | np.ndarray,
        **parameters: Any,
    ) -> Outcomes:
        """Return the law of what the kernel returns, given the drafted tokens.

        structure: what was drafted.
        target, draft, tokens: rows after each node, numbers of any kind, each taken as the rational that it
            is; token of each node. Of a leaf no row is read, of the root no token.
        parameters: of the rule.
        InputError: the text cannot be enumerated, fails, or returns what is not a node or a token; the
            message names the rule, the line and the remedy.
        """
        nodes = len(structure.parents)
        inner, _ = _extended(structure)
        if not inner:
            return {(0, -1): Fraction(1)}
        rows = tuple(tuple(tuple(table[node]) for node in inner) for table in (target, draft))
        words = tuple(int(tokens[node]) for node in range(1, nodes))
        # Tables come by node, numbers and choices as they are.
        values = {
            name: value
            if isinstance(value, str | int | float | Fraction | fmpq)
            else tuple(tuple(value[node]) for node in inner)
            for name, value in parameters.items()
        }
        key = (structure, rows, words, values)
        # A program is started again for each of its outcomes.
        if self._last[0] != key:
            self._last = key, self._enumerate(structure, rows, words, values)
        return self._last[1]

    def _enumerate(self, structure: Structure, rows: Any, words: tuple[int, ...], values: Any) -> Outcomes:
        nodes, width = len(structure.parents), len(rows[0][0])
        make = self._steps(structure, rows, words, values)
        law: dict[tuple[int, int], Any] = {}
        try:
            for result, probability in every_run(self._forks, lambda: self._text.run(make(), nodes)):
                returned = _checked(result, structure, width)
                law[returned] = law.get(returned, 0) + probability
        except TextError as error:
            raise error.at(self._text.place(error)) from None
        except Exception as error:
            raise _explained(error).at(self._text.place(error)) from error
        return {returned: fraction(chance) for returned, chance in law.items()}

    def program(
        self, structure: Structure, target: Rows, draft: Rows, tokens: Tokens, **parameters: Any
    ) -> Program:
        """Run as a program of `specsim.theory.programs` does, in one draw."""
        law = self.outcomes(structure, target, draft, tokens, **parameters)
        stop, final = yield list(law.items())
        return stop, None if final == -1 else final

    def law(
        self,
        structure: Structure,
        target: np.ndarray,
        draft: np.ndarray,
        tokens: np.ndarray,
        **parameters: Any,
    ) -> np.ndarray:
        """Return the step law in the form of `specsim.theory.step_laws`, in the kind of numbers of `target`.

        structure: the draft structure of N nodes.
        target, draft: rows after each node, shape ``(..., N, V)``: floats, or objects of one exact kind.
        tokens: token of each node, shape ``(..., N)``.
        parameters: of the rule.
        Returns: shape ``(..., N, V)``: probability of stopping at each node with each final token, which at a
            leaf is one of the target's row.
        """
        shape = np.broadcast_shapes(target.shape[:-2], draft.shape[:-2], tokens.shape[:-1])
        target, draft = (np.broadcast_to(rows, (*shape, *rows.shape[-2:])) for rows in (target, draft))
        tokens = np.broadcast_to(tokens, (*shape, tokens.shape[-1]))
        kind = float if target.dtype != object else type(target.flat[0])
        found = np.zeros(target.shape) if kind is float else objects(target.shape, kind(0))
        for index in np.ndindex(shape):
            options = {
                name: value[index] if isinstance(value, np.ndarray) else value
                for name, value in parameters.items()
            }
            given = (target[index], draft[index], tokens[index])
            key = _key(structure, *given, *options.values()) if kind is float else None
            law = self._known.get(key)
            if law is None:
                try:
                    law = self.outcomes(structure, *given, **options)
                except TextError:
                    if _possible(structure, *given[1:]):
                        raise
                    # Laws are added up over all drafts, and this one is never drawn.
                    law = {}
            if key is not None and len(self._known) < _MOST_KEPT:
                # Several laws of a pair ask for the same drafts.
                self._known[key] = law
            for (stop, final), chance in law.items():
                number = exact(chance) if kind is fmpq else kind(chance)
                if final == -1:
                    found[(*index, stop)] += number * target[(*index, stop)]
                else:
                    found[(*index, stop, final)] += number
        return found

    def _steps(
        self, structure: Structure, rows: Any, words: tuple[int, ...], parameters: Any
    ) -> Callable[[], Any]:
        nodes, width = len(structure.parents), len(rows[0][0])
        inner, longer = _extended(structure)
        size = len(longer.parents)
        beyond = [None] * (size - nodes)
        tables = [objects((nodes, width), None), objects((nodes, width), None)]
        for table, given in zip(tables, rows, strict=True):
            table[inner] = objects((len(inner), width), [exact(value) for row in given for value in row])
        param = objects((nodes, 0), None)
        if self._prepare is not None:
            prepared = self._prepared(tables[0][inner], tables[1][inner], longer, parameters)
            param = objects((nodes, prepared.shape[1]), None)
            param[inner] = prepared
        fixed = {
            "parent": np.array(longer.parents),
            "first": np.array(longer.first),
            "row": objects(size, [*range(nodes), *beyond]),
            "token": objects(size, [None, *words, *beyond]),
            "coin": objects(size, [*(Coin(self._forks, node) for node in range(nodes)), *beyond]),
            "target": tables[0],
            "draft": tables[1],
            "param": param,
            "key": _Words(),
            "table": _Words(),
            "profile": np.empty((0, 3, width + 1)),
        }

        def make() -> Any:
            room = objects((structure.depth + 2, width), None)
            return SimpleNamespace(room=room, weight=objects(size, None), **fixed)

        return make

    def _prepared(self, target: Any, draft: Any, structure: Structure, parameters: Any) -> np.ndarray:
        assert self._prepare is not None
        values = {
            # A table has an axis of steps.
            name: np.array([value], dtype=object) if isinstance(value, tuple) else value
            for name, value in parameters.items()
        }
        try:
            found = self._prepare(target, draft, structure, **values)
        except TypeError:
            # It works on floats only, as roots do; what it returns is taken as the rationals that it is.
            floats = (np.array([[float(v) for v in row] for row in table]) for table in (target, draft))
            found = self._prepare(*floats, structure, **values)
        return objects(np.shape(found), [exact(value) for row in found for value in row])


def _key(*values: Any) -> tuple[Any, ...]:
    return tuple(value.tobytes() if isinstance(value, np.ndarray) else value for value in values)


def _possible(structure: Structure, draft: Any, tokens: Any) -> bool:
    nodes = range(1, len(structure.parents))
    return all(draft[structure.parents[node], tokens[node]] > 0 for node in nodes)


@cache
def _extended(structure: Structure) -> tuple[list[int], Structure]:
    """Return the nodes with children, and the structure with one child more for each of the deepest nodes."""
    nodes = range(len(structure.parents))
    deepest = [node for node in nodes if structure.depths[node] == structure.depth]
    return [node for node in nodes if structure.children(node)], tree((*structure.parents, *deepest))


def fraction(value: Any) -> Fraction:
    """Return an exact number as a `fractions.Fraction`."""
    return Fraction(value) if isinstance(value, int) else Fraction(int(value.p), int(value.q))


def _checked(result: Any, structure: Structure, tokens: int) -> tuple[int, int]:
    pair: tuple[Any, ...] = result if isinstance(result, tuple) and len(result) == 2 else (None, None)
    if not all(isinstance(value, int | np.integer) for value in pair):
        raise TextError(f"returns {result!r}", "return two whole numbers, the stop node and the final token")
    stop, final = (int(value) for value in pair)
    nodes = len(structure.parents)
    if not 0 <= stop < nodes:
        raise TextError(
            f"returns node {stop}, and there are {nodes}", f"return the last accepted node, 0 to {nodes - 1}"
        )
    if not -1 <= final < tokens:
        raise TextError(
            f"returns token {final}, and the vocabulary has {tokens}",
            f"return 0 to {tokens - 1}, or -1 for a draw from the target's row at a leaf",
        )
    leaf = not structure.children(stop)
    if leaf and final != -1:
        raise TextError(f"returns token {final} at node {stop}, a leaf", "return -1 there; the target draws")
    if not leaf and final == -1:
        raise TextError(
            f"returns -1 at node {stop}, which is not a leaf",
            "draw the final token, for example with draw_weights",
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
            "reads a number that is not there",
            "write to step.room and step.weight before reading them, and look at neither nodes from "
            "`nodes` on nor rows of leaves",
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


def _lasting_coin(step: Any, node: Any) -> Any:
    # In one round it is a coin as any other.
    return step.coin[node]


def _second_coin(step: Any, node: Any) -> Any:
    return step.coin[node].another()


#: What stands for the literal engine's helpers of these names; the text of all others is followed.
HELPERS: dict[str, Callable[..., Any]] = {
    "lasting_coin": _lasting_coin,
    "second_coin": _second_coin,
    "words": _refuse_words,
}
