"""Wrong kernels: what is easily got wrong in one, and is seen in its text alone."""

from collections.abc import Callable
from typing import Any

from specsim.algorithms import Rule, Structure
from specsim.engines.literal.helpers import children, draw_excess, draw_weights, excess, subtract
from specsim.validation.kernel_text import KernelText
from specsim.validation.mutants.model import Mutant
from specsim.validation.witnesses import Witnesses


def _other(name: str, verify: Callable[..., Any]) -> Callable[[Witnesses], Witnesses]:
    def apply(witnesses: Witnesses) -> Witnesses:
        def kernel_text(rule: Rule, prepare: Any = None) -> KernelText:
            if rule.name == name:
                return KernelText(verify, rule.name, prepare)
            text: KernelText = witnesses.kernel_text(rule, prepare)
            return text

        return witnesses.replace(kernel_text=kernel_text)

    return apply


def _ratio_with_reused_coin(step: Any, nodes: Any) -> Any:
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        if step.coin[i] * step.draft[row, x] >= step.target[row, x]:
            weights = step.room[0]
            for y in range(len(weights)):
                weights[y] = max(step.target[row, y] - step.draft[row, y], 0.0)
            return i - 1, draw_weights(weights, step.coin[i])
    return nodes - 1, -1


def _block_that_stops_early(step: Any, nodes: Any) -> Any:
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


def _traversal_without_weight(step: Any, nodes: Any) -> Any:
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


def _one_factor_per_row(witnesses: Witnesses) -> Witnesses:
    def kernel_text(rule: Rule, prepare: Any = None) -> KernelText:
        if rule.name != "k-seq":
            text: KernelText = witnesses.kernel_text(rule, prepare)
            return text

        def for_one_child(target: Any, draft: Any, structure: Structure) -> Any:
            return [[row[1]] * len(row) for row in prepare(target, draft, structure)]

        found: KernelText = witnesses.kernel_text(rule, for_one_child)
        return found

    return witnesses.replace(kernel_text=kernel_text)


MUTANTS = (
    Mutant(
        name="kernel-reuses-coin",
        description="The ratio kernel draws the replacement with the coin of the failed test.",
        cite="easily made where one array of uniforms serves all draws",
        apply=_other("ratio", _ratio_with_reused_coin),
    ),
    Mutant(
        name="block-stops-early",
        description="The block kernel stops at the first test that fails, as the ratio rule does.",
        cite="2403.10444, remark after Algorithm 2",
        apply=_other("block", _block_that_stops_early),
    ),
    Mutant(
        name="traversal-weight-ignored",
        description="The traversal kernel takes T - D for the excess instead of weight T - D.",
        cite="seen in a first text of this project, at weight 0",
        apply=_other("traversal", _traversal_without_weight),
    ),
    Mutant(
        name="k-seq-one-factor-per-row",
        description="K-SEQ has one factor in a row, that of one child, however many children there are.",
        cite="seen in a first text of this project; only trees of mixed widths show it",
        apply=_one_factor_per_row,
    ),
)
