"""Step laws: what a rule does in one step, in closed form; one file per rule, found by its name.

A file has some of these functions, all on float64 arrays and on object arrays of exact numbers alike. Number
parameters of the rule come as keywords in the kind of numbers of the rows, table parameters as rows next to
``target``, choices as they are.

``law(structure, target, draft, tokens)``
    The rows after each node, ``(..., N, V)``, and the node's tokens, ``(..., N)``, to the probability
    ``(..., N, V)`` of stopping at the node with the final token. At a leaf the final token is the bonus, from
    the target row. A file with `node_step` needs no ``law``.
``node_step(target, draft, tokens)``
    For rules that go from node to node: rows ``(..., V)`` of one node and the tokens of its children,
    ``(..., m)``, to the probability of descending into each child, ``(..., m)``, and of stopping with each
    token, ``(..., V)``.
``node(target, draft, children)``
    The same with the children's tokens summed out, where they are drawn in the usual way of the rule (the
    first of its drawings): ``taken (..., children, V)``, ``final (..., V)``.
``node_distinct(target, draft, children)``
    As `node`, for children drawn without replacement, where that is not the usual way.
``node_total(target, draft, children)``
    As `node` with ``taken (..., V)`` summed over the children; ``children`` may be ``math.inf``.
``root_total(target, draft, children)``
    As `node_total`, for the root of a rule that treats the root differently.
``state(structure)``
    A `State`, for a rule without parameters whose past is a few numbers per drafted path.
``keeping(structure, target, draft, tokens, kept)``
    For a rule on chains that keeps numbers from round to round: the law ``(N, V)`` of one round, and by node
    of the stop what it leaves for the next one; a first round is given ``()``, and ``law`` is its law.
``next_child(draft, before, children)``
    For a rule that draws its own drafts: the law ``(..., V)`` of a node's next child after the children
    ``(..., j)``. Without it each child is drawn from the draft row.
``SCALES = True``
    Multiplying both rows by a number multiplies what `node` returns by it, without any division, so that
    integers over a common unit serve as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from specsim.errors import UnsupportedError
from specsim.support.arrays import Array
from specsim.theory.arithmetic.numbers import ones, zeros

if TYPE_CHECKING:
    from specsim.algorithms import Rule, Structure

Integers = NDArray[np.integer]
NodeStep = Callable[..., tuple[Array, Array]]


#: Numbers of many drafted paths, one array each.
Numbers = tuple[Array, ...]


@dataclass(frozen=True)
class State:
    """A rule whose past is a few numbers per drafted path.

    The first of them is the probability that something of the path's subtree is accepted, its last token
    included, given the path; a path with 0 contributes nothing.

    start: numbers ``(n,)`` of the root, from an array of ones.
    node: numbers ``(n, 1)`` of a node, rows ``(n, V)`` and its number of children to what each of these may
        be, and to the probability ``(n, V)`` of stopping at the node with each final token, given the path.
        What a child may be are the probability that the rule comes to it and finds it drawn as each token,
        and its numbers, ``(n, P, V)`` with P pasts; children that it never reaches may be omitted at the
        end. Nothing may depend on how much more is drafted.
    pasts: number of children and of tokens to the number of pasts of all children together.
    """

    start: Callable[[Array], Numbers]
    node: Callable[..., tuple[list[tuple[Array, Numbers]], Array]]
    pasts: Callable[[int, int], int]


@dataclass(frozen=True, kw_only=True)
class StepLaw:
    """The functions of a rule's file (see the package); None for those that it does not have."""

    law: Callable[..., Array]
    node_step: NodeStep | None = None
    node: NodeStep | None = None
    node_distinct: NodeStep | None = None
    node_total: NodeStep | None = None
    root_total: NodeStep | None = None
    state: Callable[[Structure], State] | None = None
    next_child: Callable[..., Array] | None = None
    keeping: Callable[..., tuple[Array, list[tuple[Any, ...]]]] | None = None
    scales: bool = False
    #: Whether `law` enumerates a text draft by draft, which takes its time.
    enumerated: bool = False


def step_law_of(rule: Rule) -> StepLaw:
    """Return the step law of a rule.

    UnsupportedError: the rule has none.

    Examples
    --------
    >>> from specsim.algorithms import get_rule
    >>> step_law_of(get_rule("ratio")).scales
    True
    """
    if rule.own_text is not None:
        return StepLaw(law=rule.own_law or rule.own_text.law, enumerated=rule.own_law is None)
    if find_spec(f"{__name__}.{rule.module}") is None:
        reason = rule.absent.get("step_law", "no file of that name in theory/step_laws")
        raise UnsupportedError(f"rule {rule.name} has no step law: {reason}")
    return _read(rule.module)


@cache
def _read(module: str) -> StepLaw:
    file = vars(import_module(f"{__name__}.{module}"))
    law = file.get("law") or partial(node_wise, file["node_step"])
    names = (
        "node_step",
        "node",
        "node_distinct",
        "node_total",
        "root_total",
        "state",
        "next_child",
        "keeping",
    )
    functions: dict[str, Any] = {name: file.get(name) for name in names}
    return StepLaw(law=law, scales=file.get("SCALES", False), **functions)


def node_wise(
    step: NodeStep,
    structure: Structure,
    target: Array,
    draft: Array,
    tokens: Integers,
    *,
    root: NodeStep | None = None,
    **parameters: Any,
) -> Array:
    """Return the law of a rule that goes from node to node by `step` (at the root by `root`, if given).

    step, root: a ``node_step``; see the package.
    structure, target, draft, tokens, parameters: as for ``law``; arrays among the parameters are tables with
        a row for each node.
    """
    found = zeros(np.broadcast_shapes(target.shape, (*tokens.shape, 1)), target)
    reached = ones(found.shape[:-1], target)
    for node in range(len(structure.parents)):
        here = reached[..., node, None]
        children = structure.children(node)
        if not children:
            found[..., node, :] = here * target[..., node, :]
            continue
        rows = {
            name: value[..., node, :] if isinstance(value, np.ndarray) else value
            for name, value in parameters.items()
        }
        chosen = root if root is not None and node == 0 else step
        below = slice(children.start, children.stop)
        taken, final = chosen(target[..., node, :], draft[..., node, :], tokens[..., below], **rows)
        reached[..., below] = here * taken
        found[..., node, :] = here * final
    return found
