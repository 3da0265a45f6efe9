"""Rules whose output has the target's law: those of the catalogue, by their step laws."""

from functools import partial

import numpy as np

from specsim.algorithms import Rule as Facts, catalogue, chain
from specsim.theory.step_laws import step_law_of
from specsim.validation.conformance.rules.base import (
    Floats,
    Integers,
    Rule,
    StepLaw,
    TreeLaw,
    need_draft,
    no_law,
)

#: The oracle's words for the ways of drawing children, see `specsim.validation.conformance.tree_instances`.
_DRAWINGS = {"independent": "with", "distinct": "without", "greedy": "greedy"}
#: Rules that test the first drafted token by a coin, whatever follows it.
_FIRST_COIN = ("ratio", "one-hot")


def tree_drawings(facts: Facts) -> tuple[str, ...]:
    """Return the oracle's ways of drawing children in which a rule is lossless on trees."""
    if "tree" not in facts.structures:
        return ()
    if facts.drawings != ("own",):
        return tuple(_DRAWINGS[drawing] for drawing in facts.drawings)
    if step_law_of(facts).next_child is None:
        # Noise of its own draws each child from the draft row.
        return ("with",)
    return ("greedy",) if facts.name == "greedy-drafts" else ()


def catalogued(facts: Facts) -> Rule:
    """Return a rule of the catalogue with its step law."""
    step = step_law_of(facts)
    # Rules with parameters are known by their usual values.
    law = partial(step.law, **{name: entry.default for name, entry in facts.parameters.items()})
    chains_only = facts.structures == ("chain",)
    shared_noise = facts.drawings == ("own",) and step.next_child is None
    any_draft = {"independent", "distinct", "greedy"} <= set(facts.drawings)
    return Rule(
        name=facts.name,
        title=facts.title,
        source=facts.source,
        lossless=facts.lossless,
        # Other rules for trees are one of these on a chain.
        law=_on_chains(law, facts.name, any_draft) if chains_only or shared_noise or any_draft else no_law,
        tree_law=law if tree_drawings(facts) else no_law,
        any_draft=any_draft,
        one_hot=chains_only and facts.drawings == ("independent",),
        first_coin=facts.name in _FIRST_COIN,
    )


def _on_chains(law: TreeLaw, name: str, any_draft: bool) -> StepLaw:
    def on_chains(target: Floats, draft: Floats | None, drafted: Integers) -> Floats:
        rows = target if any_draft else need_draft(draft, name)
        tokens = np.concatenate([np.zeros((*drafted.shape[:-1], 1), dtype=np.int64), drafted], axis=-1)
        return law(chain(drafted.shape[-1]), target, rows, tokens)

    return on_chains


RULES = {facts.name: catalogued(facts) for facts in catalogue().values() if facts.lossless}
#: The ways of drawing children under which each rule for trees is lossless.
LOSSLESS_UNDER = {
    facts.name: tree_drawings(facts)
    for facts in catalogue().values()
    if facts.lossless and tree_drawings(facts)
}

RATIO, BLOCK, GUMBEL = RULES["ratio"], RULES["block"], RULES["gumbel"]
ONE_HOT, MATCH, SUMMED_COIN = RULES["one-hot"], RULES["match"], RULES["summed-coin"]
RECURSIVE, RECURSIVE_DISTINCT = RULES["recursive"], RULES["recursive-distinct"]
RECURSIVE_ANY_ORDER, K_SEQ = RULES["recursive-any-order"], RULES["k-seq"]
TRAVERSAL, TRAVERSAL_DISTINCT = RULES["traversal"], RULES["traversal-distinct"]
TRANSPORT, TRANSPORT_DISTINCT = RULES["transport"], RULES["transport-distinct"]
GREEDY_DRAFTS = RULES["greedy-drafts"]
