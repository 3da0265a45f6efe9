"""What a node of each class does in every context, as kernels, from a rule's step law."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from specsim.algorithms import Algorithm
from specsim.errors import InputError, TooLargeError
from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import scatter, zeros
from specsim.theory.laws.drawings import children_laws
from specsim.theory.laws.node_classes import Classes
from specsim.theory.laws.rule_rows import RuleRows
from specsim.theory.step_laws import StepLaw

_MOST_KERNEL_BITS = 1e11
_MOST_NUMBERS = 2**28
#: Entries of kernels that are computed at once.
_CHUNK = 2**17


class NodeKernels:
    """The kernels of an algorithm: masses that stop, and that descend into a child, by context and token.

    rows: rows and parameters.
    algorithm, step_law, horizon: what decodes, and how far.
    """

    def __init__(self, rows: RuleRows, algorithm: Algorithm, step_law: StepLaw, horizon: int) -> None:
        self.pair = rows.pair
        self.horizon = horizon
        self._rows = rows
        self._law = step_law
        self._drawing = algorithm.drawing
        # The closed forms are for the usual way of drawing.
        self._usual = algorithm.drawing == algorithm.rule.drawings[0]
        #: Whether exact kernels come as integers without any division.
        self.integers = rows.exact and step_law.scales and not rows.has_parameters

    def by_step(self, classes: Classes) -> Iterator[dict[Any, Any]]:
        """Yield the kernels ``(contexts, tokens)`` of every step, by name.

        ``kernels[root, children]`` stops, ``kernels[root, children, which]`` descends, ``"target"`` draws
        bonus tokens, and ``"denominator"`` is what exact kernels are counted in. Floats of many steps are
        computed at once.
        """
        pair = self.pair
        if self._rows.stationary:
            kernels = next(self._of_steps(classes, np.array([0])))
            while True:
                yield kernels
        chunk = 1 if self._rows.exact else max(1, _CHUNK // (pair.contexts * pair.tokens))
        for first in range(0, self.horizon, chunk):
            yield from self._of_steps(classes, np.arange(first, min(self.horizon, first + chunk)))

    def _of_steps(self, classes: Classes, steps: Array) -> Iterator[dict[Any, Any]]:
        if self.integers:
            weights = self.pair.target_weights[steps], self.pair.draft_weights[steps]
            target, draft = (table.astype(object) for table in weights)
            parameters: dict[str, Any] = {}
        else:
            target, draft, parameters = self._rows.at(steps)
        found: dict[Any, Any] = {"target": target}
        for root, children in classes.groups:
            wanted = [
                which for r, m, which in (move.kernel for move in classes.moves) if (r, m) == (root, children)
            ]
            taken, final = self.node(root, children, target, draft, parameters, wanted)
            found[root, children] = final
            for which, kernel in zip(wanted, taken, strict=True):
                found[root, children, which] = kernel
        for index in range(len(steps)):
            kernels = {key: kernel[index] for key, kernel in found.items()}
            if self.integers:
                kernels["denominator"] = self.pair.unit
            elif self._rows.exact:
                kernels = _over_common_denominator(kernels)
            yield kernels

    def node(
        self,
        root: bool,
        children: int | float,
        target: Array,
        draft: Array,
        parameters: dict[str, Any],
        wanted: list[tuple[int, ...] | None],
    ) -> tuple[list[Array], Array]:
        """Return the kernels that descend into the wanted children, and the one that stops."""
        law = self._law
        total = law.root_total if root else law.node_total
        self._refuse_children(children)
        if total is not None and self._usual and wanted == [None]:
            taken, final = total(target, draft, children, **parameters)
            return [taken], final
        node = law.node if self._usual else law.node_distinct if self._drawing == "distinct" else None
        if node is not None:
            if children * target.size > _MOST_NUMBERS:
                raise TooLargeError(
                    f"a node has {children} children, each with {target.size} numbers; use fewer drafts"
                )
            taken, final = node(target, draft, int(children), **parameters)
        else:
            taken, final = self._by_tuples(int(children), target, draft, parameters)
        parts = [
            taken.sum(axis=-2) if which is None else taken[..., list(which), :].sum(axis=-2)
            for which in wanted
        ]
        return parts, final

    def _by_tuples(
        self, children: int, target: Array, draft: Array, parameters: dict[str, Any]
    ) -> tuple[Array, Array]:
        """Sum the rule's ``node_step`` over the tokens of all children."""
        step = self._law.node_step
        assert step is not None
        shape, vocabulary = target.shape, target.shape[-1]

        def flat(table: Any) -> Any:
            return table.reshape(-1, vocabulary) if isinstance(table, np.ndarray) else table

        target, draft = flat(target), flat(draft)
        tables = {name: flat(value) for name, value in parameters.items()}
        rows = len(target)
        taken, final = zeros((rows, children, vocabulary), target), zeros((rows, vocabulary), target)
        for tokens, mass in children_laws(draft, children, self._drawing, self._law.next_child):

            def wide(table: Any, tuples: int = tokens.shape[1]) -> Any:
                if not isinstance(table, np.ndarray):
                    return table
                return np.broadcast_to(table[:, None, :], (rows, tuples, vocabulary))

            options = {name: wide(value) for name, value in tables.items()}
            descend, stop = step(wide(target), wide(draft), tokens, **options)
            final = final + (mass[..., None] * stop).sum(axis=1)
            index = np.arange(rows * children).reshape(rows, 1, children) * vocabulary + tokens
            added = scatter(index.ravel(), (mass[..., None] * descend).ravel(), taken.size)
            taken = taken + added.reshape(taken.shape)
        return taken.reshape(*shape[:-1], children, vocabulary), final.reshape(shape)

    def _refuse_children(self, children: int | float) -> None:
        alike = self._drawing == "independent" or (self._drawing == "own" and self._law.next_child is None)
        if not alike and children > self.pair.tokens:
            raise InputError(
                f"a node has {children} children, more than the {self.pair.tokens} tokens, and they differ; "
                "use fewer drafts"
            )
        rows = self.pair.contexts * self.pair.tokens
        if self._rows.exact and children != math.inf and 16.0 * children**2 * rows > _MOST_KERNEL_BITS:
            raise TooLargeError(
                f"{children} children of a node with {self.pair.contexts} contexts and {self.pair.tokens} "
                f"tokens: exact kernels have numbers of {32 * children} bits; use exact=False, fewer drafts, "
                "or drafts=inf"
            )


def _over_common_denominator(kernels: dict[Any, Array]) -> dict[Any, Any]:
    """Write arrays of fmpq as Python integers over one denominator."""
    every = {int(value.q) for kernel in kernels.values() for value in kernel.ravel().tolist()}
    common = math.lcm(*every)
    found: dict[Any, Any] = {"denominator": common}
    for key, kernel in kernels.items():
        numbers = np.empty(kernel.size, dtype=object)
        numbers[:] = [int(value.p) * (common // int(value.q)) for value in kernel.ravel().tolist()]
        found[key] = numbers.reshape(kernel.shape)
    return found
