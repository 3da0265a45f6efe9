"""Wrong kernels: what is easily got wrong in one, and is seen in its text alone."""

from collections.abc import Callable
from functools import partial
from typing import Any

from specsim.algorithms import Rule, Structure
from specsim.engines.literal.helpers import children, draw_excess, draw_weights, excess, subtract
from specsim.validation.kernel_text import KernelText
from specsim.validation.mutants.model import Mutation, defined, mutant
from specsim.validation.witnesses import Witnesses


def text_of(name: str) -> Callable[[Callable[..., Any]], Mutation]:
    """Return what takes a wrong kernel for that of the rule `name`."""

    def mutation(verify: Callable[..., Any]) -> Mutation:
        def apply(right: Witnesses) -> Witnesses:
            def kernel_text(rule: Rule, prepare: Any = None) -> KernelText:
                if rule.name == name:
                    return KernelText(verify, rule.name, prepare)
                return right.kernel_text(rule, prepare)

            return right.replace(kernel_text=kernel_text)

        return apply

    return mutation


@mutant(text_of("ratio"), cite="easily made where one array of uniforms serves all draws")
def kernel_reuses_coin(step: Any, nodes: Any) -> Any:
    """The ratio kernel draws the replacement with the coin of the failed test."""
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        if step.coin[i] * step.draft[row, x] >= step.target[row, x]:
            weights = step.room[0]
            for y in range(len(weights)):
                weights[y] = max(step.target[row, y] - step.draft[row, y], 0.0)
            return i - 1, draw_weights(weights, step.coin[i])
    return nodes - 1, -1


@mutant(text_of("block"), cite="2403.10444, remark after Algorithm 2")
def block_stops_early(step: Any, nodes: Any) -> Any:
    """The block kernel stops at the first test that fails, as the ratio rule does."""
    weight, stop, scale = 1.0, 0, 1.0
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        weight = min(1.0, weight * step.target[row, x] / step.draft[row, x])
        if i == nodes - 1:
            success = step.coin[i] < weight
        else:
            mass = excess(step, step.row[i], weight)
            success = weight == 1.0 or step.coin[i] * (mass + 1.0 - weight) < mass
        if not success:
            return stop, draw_excess(step, step.row[stop], scale)
        stop, scale = i, weight
    return stop, -1


@mutant(text_of("traversal"), cite="seen in a first text of this project, at weight 0")
def traversal_weight_ignored(step: Any, nodes: Any) -> Any:
    """The traversal kernel takes T - D for the excess instead of weight T - D."""
    rows, weight, node, depth, child = step.room, step.weight, 0, 0, step.first[0]
    weight[0] = 1.0
    rows[0, :] = step.target[step.row[0]]
    while True:
        if child in children(step, node, nodes):
            x = step.token[child]
            weight[child] = min(1.0, weight[node] * rows[depth, x] / step.draft[step.row[node], x])
            node, depth, child = child, depth + 1, step.first[child]
            rows[depth, :] = step.target[step.row[node]]
        elif node == 0 or step.coin[node] < weight[node]:
            if len(children(step, node, nodes)) == 0:
                return node, -1
            return node, draw_weights(rows[depth], step.coin[0])
        else:
            child, node, depth = node + 1, step.parent[node], depth - 1
            mass = subtract(rows[depth], 1.0, step.draft[step.row[node]])
            if mass > 0:
                for y in range(rows.shape[1]):
                    rows[depth, y] = rows[depth, y] / mass
            if weight[node] < 1:
                weight[node] = mass / (mass + 1.0 - weight[node])


def prepared(prepare: Callable[..., Any]) -> Mutation:
    """Return what prepares the rule ``k-seq`` by ``prepare(right, target, draft, structure)``."""

    def apply(right: Witnesses) -> Witnesses:
        def kernel_text(rule: Rule, correct: Any = None) -> KernelText:
            changed = partial(prepare, correct) if rule.name == "k-seq" else correct
            return right.kernel_text(rule, changed)

        return right.replace(kernel_text=kernel_text)

    return apply


@mutant(prepared, cite="seen in a first text of this project; only trees of mixed widths show it")
def k_seq_one_factor_per_row(right: Any, target: Any, draft: Any, structure: Structure) -> Any:
    """K-SEQ has one factor in a row, that of one child, however many children there are."""
    return [[row[1]] * len(row) for row in right(target, draft, structure)]


MUTANTS = defined(globals())
