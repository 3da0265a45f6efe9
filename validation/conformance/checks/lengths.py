"""Checks at other lengths than the main experiments': drafts of one token and of many, long texts."""

import numpy as np
from numpy.typing import NDArray

from specsim.support.arrays import Floats
from specsim.validation.conformance.checks.base import (
    Statistical,
    check,
    law_picture,
    lossless_only,
    make_look,
    together,
)
from specsim.validation.conformance.checks.decoder import (
    DecoderProbe,
    context_shares,
    ending_prompts,
)
from specsim.validation.conformance.checks.step import (
    STEPS,
    output_looks,
    step_looks,
    step_probe,
)
from specsim.validation.conformance.instances import Instance, tree_instance
from specsim.validation.conformance.laboratory import Laboratory

#: Draft lengths, with the vocabulary whose texts can still be counted.
SIZES = ((1, 4), (6, 2))
#: Seed of the rows: of the first 60, the one on which a bonus token from the draft shows most after six.
SEED = 32
#: Tokens of a long text, and of the blocks in which its positions are looked at.
LONG, BLOCK = 48, 8
#: Tokens that a cache may have room for.
ROOMS = (8, 16, 32)


@check(
    "draft-lengths",
    "drafts of one token and of many, all positions",
    protocols=STEPS,
    catches="buffers and masks of a fixed size, axes of length one that vanish",
)
def _draft_lengths(lab: Laboratory) -> Statistical:
    limit = lab.subject.max_draft_length or max(length for length, _ in SIZES)
    probes, looks = [], []
    for length, vocabulary in dict.fromkeys((min(length, limit), size) for length, size in SIZES):
        instance = tree_instance(
            SEED,
            vocabulary=min(vocabulary, lab.vocabulary),
            draft_length=length,
            name=f"drafts of {length}",
        )
        probe = step_probe(lab, instance.name, [instance], length + 1)
        prefix = f"{instance.name}: "
        looks += output_looks(lab, probe, 0, probe.length, prefix=prefix)
        rule = lab.rule_or_none(one_hot=probe.one_hot)
        if rule is not None:
            kinds = ("acceptance_by_position", "accepted_length", "bonus")
            looks += step_looks(lab, probe, 0, rule, kinds, prefix=prefix)
        probes.append(probe)
    planned = lab.side_samples * len(probes)
    return together(probes, looks, planned, lambda: law_picture(f"joint law, {instance.name}", looks[0]))


@check(
    "long-texts",
    f"law of the next token given its context, up to {LONG} tokens after the prompt",
    protocols=("decoder",),
    rows_by_text=False,
    why_not=lossless_only,
    catches="caches that are moved, cut or full",
    weight=2.0,
)
def _long_texts(lab: Laboratory) -> Statistical:
    instance = lab.main_instance
    probe = DecoderProbe(lab.caller("long texts"), instance, ending_prompts(lab, instance), new_tokens=LONG)
    contexts, vocabulary = instance.target.shape
    shares = context_shares(probe)

    def spread(rows: Floats) -> Floats:
        return shares[:, :, None] * rows[None, :, :]

    def by_block(table: NDArray[np.number]) -> NDArray[np.number]:
        return table.reshape(LONG // BLOCK, BLOCK, contexts, vocabulary).sum(axis=1).reshape(-1, vocabulary)

    # What each context's row is mixed up with when a cache is one token behind: a row of another context.
    lagging = instance.target[np.arange(contexts) // vocabulary]
    alternatives = {}
    for words, rows in (("the draft's row", instance.draft), ("the row of the context before", lagging)):
        for begin in range(0, LONG, BLOCK):
            for weight in (0.3, 1.0):
                table = spread(instance.target)
                table[begin:] = (1 - weight) * table[begin:] + weight * spread(rows)[begin:]
                alternatives[f"{weight:g} of the way to {words} from token {begin + 1} on"] = table

    for room in ROOMS:
        words = f"the row of token {room}, where a cache is full"
        alternatives[words] = _full_cache(
            spread(instance.target), shares, instance, room - probe.prompts.shape[1]
        )

    def name_cell(stratum: int, cell: int) -> str:
        begin = stratum // contexts * BLOCK
        return f"tokens {begin + 1} to {begin + BLOCK}, context {stratum % contexts}: token {cell}"

    look = make_look(
        by_block,
        spread(instance.target),
        alternatives,
        lambda: probe.transitions,
        name_cell,
        tolerance=lab.tolerance,
    )
    return Statistical(
        probe=probe,
        looks=[look],
        planned=max(lab.effort.least_side // 5, lab.side_samples // 10),
        picture=lambda: law_picture("next token of long texts, most frequent context", look),
    )


def _full_cache(right: Floats, shares: Floats, instance: Instance, full: int) -> Floats:
    """Return how often each token follows each context if those after `full` tokens share a row.

    right: the same when nothing is wrong, ``(LONG, contexts, V)``.
    shares: how often each context stands at each position, ``(LONG, contexts)``.
    """
    table = right.copy()
    # Rows: the context whose row is kept; columns: that of the text.
    together = np.diag(shares[full])
    for position in range(full, len(table)):
        table[position] = together.T @ instance.target
        later = np.zeros_like(together)
        for token in range(instance.vocabulary):
            mass = together * instance.target[:, [token]]
            np.add.at(later.T, instance.next_context[:, token], mass.T)
        together = later
    return table


CHECKS = (_draft_lengths, _long_texts)
