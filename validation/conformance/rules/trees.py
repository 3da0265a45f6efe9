"""Rules for trees of drafts whose output has the target's law.

Which way of drawing the children each of them is made for is in `LOSSLESS_UNDER`.
"""

from __future__ import annotations

from specsim.validation.conformance.rules.base import TreeRule
from specsim.validation.conformance.rules.tree_steps import (
    any_order_step,
    greedy_step,
    k_seq_step,
    match_step,
    node_wise,
    one_hot_step,
    recursive_step,
    summed_coin_step,
    transport_step,
    traversal,
)

RECURSIVE = TreeRule(
    name="recursive-with-replacement",
    title="node by node: test the children in order, each failure replaces the target by its residual",
    source="2305.09781; 2401.06706; 2411.00841, Algorithm 4 (root)",
    lossless=True,
    law=node_wise(recursive_step(True)),
)

RECURSIVE_DISTINCT = TreeRule(
    name="recursive-without-replacement",
    title="recursive rejection with the draft row less the tokens already tried, renormalised",
    source="2402.14160; 2402.12374",
    lossless=True,
    law=node_wise(recursive_step(False)),
)

RECURSIVE_ANY_ORDER = TreeRule(
    name="recursive-random-order",
    title="recursive rejection over the children in a random order",
    source="2305.09781, Algorithm 2",
    lossless=True,
    law=node_wise(any_order_step),
)

TRAVERSAL = TreeRule(
    name="traversal-with-replacement",
    title="leaves first: accept the path to the leaf by its weight, or delete the leaf",
    source="2505.12398",
    lossless=True,
    law=traversal(True),
)

TRAVERSAL_DISTINCT = TreeRule(
    name="traversal-without-replacement",
    title="traversal verification with the draft row less the tokens already tried, renormalised",
    source="2505.12398",
    lossless=True,
    law=traversal(False),
)

K_SEQ = TreeRule(
    name="k-seq",
    title="node by node: one test for every child with the target scaled down, one residual after all failed",
    source="2310.15141, Algorithm 2",
    lossless=True,
    law=node_wise(k_seq_step),
)

SHARED_DRAW = TreeRule(
    name="shared-target-draw",
    title="one draw of the target at every node; descend into the child that is this draw, else emit it",
    source="z-lab/dflash#74 on trees; 2310.15141, Section 3",
    lossless=True,
    law=node_wise(match_step),
)

ONE_HOT_TREE = TreeRule(
    name="one-hot-children",
    title="node by node: accept a child with the target's probability, a failure takes its token out",
    source="SafeAILab/EAGLE#329",
    lossless=True,
    law=node_wise(one_hot_step),
)

SUMMED_COIN = TreeRule(
    name="summed-target-coin",
    title="one coin against the summed target mass of the children in order, the final token without them",
    source="sgl-project/sglang#7207",
    lossless=True,
    law=node_wise(summed_coin_step()),
)

GREEDY_CANDIDATES = TreeRule(
    name="greedy-candidates",
    title="the likeliest draft tokens are fixed, the last child is drawn from the rest and tested alone",
    source="2502.18779",
    lossless=True,
    law=node_wise(greedy_step),
)

TRANSPORT = TreeRule(
    name="optimal-transport",
    title="node by node the rule of most acceptance, children drawn with replacement",
    source="2310.15141, Section 4; 2410.18234",
    lossless=True,
    law=node_wise(transport_step(True)),
)

TRANSPORT_DISTINCT = TreeRule(
    name="optimal-transport-without-replacement",
    title="node by node the rule of most acceptance, children drawn without replacement",
    source="2310.15141, Section 4; 2502.18779",
    lossless=True,
    law=node_wise(transport_step(False)),
)

#: The ways of drawing children under which each rule is lossless: see
#: `specsim.validation.conformance.tree_instances.DRAWINGS`.
LOSSLESS_UNDER = {
    RECURSIVE.name: ("with",),
    RECURSIVE_DISTINCT.name: ("without",),
    RECURSIVE_ANY_ORDER.name: ("with",),
    TRAVERSAL.name: ("with",),
    TRAVERSAL_DISTINCT.name: ("without",),
    K_SEQ.name: ("with",),
    SHARED_DRAW.name: ("with", "without", "greedy"),
    ONE_HOT_TREE.name: ("with", "without", "greedy"),
    SUMMED_COIN.name: ("without", "greedy"),
    GREEDY_CANDIDATES.name: ("greedy",),
    TRANSPORT.name: ("with",),
    TRANSPORT_DISTINCT.name: ("without",),
}
