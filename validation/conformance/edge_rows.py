"""Texts and trees on rows that break careless code: zeros, certain tokens, rows that are nearly equal.

Every context has rows of one kind, at random, and a kind is a pair of laws by rank, see `ranked`. So whatever
was drafted before, the rank of an emitted token has the target's law of the kind of its context.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from specsim.support.arrays import Floats, Integers
from specsim.validation.conformance.calling import Caller
from specsim.validation.conformance.checks.base import Look
from specsim.validation.conformance.checks.decoder import decode_ranked
from specsim.validation.conformance.evidence import Evidence
from specsim.validation.conformance.ranked import RANKS, Laws, Ranked, bent_laws, ranked_instance
from specsim.validation.conformance.sizes import contexts_from
from specsim.validation.conformance.tree_sizes import FEW_CHILDREN, drawn_tree, random_tree

#: Kinds of rows; and the laws of their ranks under target and draft, in 1/256, by the number of ranks.
KINDS = (
    "with zeros in the draft",
    "of one token in the target",
    "of one token in the draft",
    "with a draft of 0.98",
    "with a target of 0.97",
    "nearly equal",
    "of different tokens",
)
EDGE_LAWS: dict[int, tuple[Laws, ...]] = {
    2: (
        ((96, 160), (256, 0)),
        ((256, 0), (160, 96)),
        ((176, 80), (256, 0)),
        ((205, 51), (251, 5)),
        ((248, 8), (160, 96)),
        ((254, 2), (239, 17)),
        ((256, 0), (0, 256)),
    ),
    3: (
        ((112, 96, 48), (216, 0, 40)),
        ((256, 0, 0), (120, 80, 56)),
        ((144, 72, 40), (256, 0, 0)),
        ((205, 36, 15), (251, 3, 2)),
        ((248, 5, 3), (160, 60, 36)),
        ((238, 2, 16), (223, 17, 16)),
        ((160, 96, 0), (0, 0, 256)),
    ),
    4: (
        ((96, 80, 48, 32), (150, 0, 16, 90)),
        ((256, 0, 0, 0), (120, 72, 40, 24)),
        ((120, 72, 40, 24), (256, 0, 0, 0)),
        ((205, 30, 12, 9), (251, 3, 1, 1)),
        ((248, 4, 3, 1), (160, 48, 32, 16)),
        ((230, 2, 12, 12), (215, 17, 12, 12)),
        ((160, 96, 0, 0), (0, 0, 150, 106)),
    ),
}
#: Most tokens of a vocabulary, of a prompt, rows of a call, and drafted tokens of a tree.
MOST_TOKENS, PROMPT, ROWS, NODES = 7, 8, 64, 6
#: Lengths of the drafts of decoders, and tokens of their texts.
DRAFTS, WRITTEN = (1, 3), 12
#: Share of calls in which all texts begin alike, so that the first rows of all are of one kind; and of calls
#: of one row.
ALIKE, SINGLE = 0.5, 0.1


class EdgeRows:
    """What texts and trees on such rows share.

    counts: ranks of emitted tokens by kind, shape ``(kinds, ranks)``.
    total: texts or trees so far.
    """

    def __init__(self, caller: Caller, rng: np.random.Generator, *, seed: int) -> None:
        subject = caller.subject
        self.caller, self.seed, self._rng = caller, seed, rng
        self._most_tokens = min(subject.max_vocabulary or MOST_TOKENS, MOST_TOKENS)
        self.ranks = min(RANKS, self._most_tokens)
        self._most_rows = min(subject.max_batch or ROWS, ROWS)
        self.counts = np.zeros((len(KINDS), self.ranks), dtype=np.int64)
        self.total = 0

    def sample(self, count: int) -> None:
        """Observe about `count` more texts or trees."""
        wanted = self.total + count
        while self.total < wanted and not self.caller.out_of_time():
            vocabulary = int(self._rng.integers(self.ranks, self._most_tokens + 1))
            ranked = ranked_instance(
                self.seed, vocabulary=vocabulary, draft_length=1, several=EDGE_LAWS[self.ranks]
            )
            rows = 1 if self._rng.random() < SINGLE else int(self._rng.integers(1, self._most_rows + 1))
            contexts, tokens = self._observed(ranked, rows, bool(self._rng.random() < ALIKE))
            np.add.at(self.counts, (ranked.kinds[contexts], ranked.ranks[contexts, tokens]), 1)
            self.total += rows

    def _observed(self, ranked: Ranked, rows: int, alike: bool) -> tuple[Integers, Integers]:
        """Make one call; return context and token of everything that was emitted, ``(n,)`` each."""
        raise NotImplementedError

    def looks(self, tolerance: float) -> list[Look]:
        """Return a look for every kind."""
        target, draft = np.moveaxis(np.array(EDGE_LAWS[self.ranks], dtype=np.float64) / 256, 1, 0)
        bent = bent_laws(target, draft) | _more_laws(target, draft)
        return [
            self._look(kind, target, {name: law[kind : kind + 1] for name, law in bent.items()}, tolerance)
            for kind in range(len(KINDS))
        ]

    def _look(self, kind: int, target: Floats, alternatives: dict[str, Floats], tolerance: float) -> Look:
        own = slice(kind, kind + 1)
        return Look(
            evidence=Evidence(target[own], alternatives=alternatives, tolerance=tolerance),
            observe=lambda: self.counts[own],
            # Each text emits one token at least; kinds are equally frequent.
            shares=np.full(1, 1 / len(KINDS)),
            reachable=np.ones(1, dtype=bool),
            name_cell=lambda _, cell: f"rows {KINDS[kind]}: token of rank {cell + 1}",
            place=f"rows {KINDS[kind]}",
        )


def _more_laws(target: Floats, draft: Floats) -> dict[str, Floats]:
    """Return further laws ``(kinds, ranks)`` of wrong samplers."""
    both = np.minimum(target, draft)
    rejected = 1 - both.sum(axis=1, keepdims=True)
    residual = np.where(draft > 0, np.maximum(target - draft, 0.0), 0.0)
    sums = residual.sum(axis=1, keepdims=True)
    residual = np.where(sums > 0, residual / np.where(sums > 0, sums, 1.0), target)
    return {
        "replacements that the draft may draw, too": both + rejected * residual,
        "every draft accepted": draft,
    }


class EdgeTexts(EdgeRows):
    """Texts of a decoder."""

    def _observed(self, ranked: Ranked, rows: int, alike: bool) -> tuple[Integers, Integers]:
        rng, most = self._rng, self.caller.subject.max_draft_length
        drafts = min(int(rng.choice(DRAFTS)), most or max(DRAFTS))
        instance = replace(ranked.instance, draft_length=drafts)
        prompts = rng.integers(0, instance.vocabulary, size=(rows, int(rng.integers(1, PROMPT + 1))))
        if alike:
            prompts[:] = prompts[0]
        tokens, _ = decode_ranked(self.caller, instance, prompts, WRITTEN)
        contexts = instance.contexts(np.concatenate([prompts, tokens], axis=1))[:, prompts.shape[1] : -1]
        return contexts.ravel(), tokens.ravel()


class EdgeTrees(EdgeRows):
    """Small random trees."""

    def _observed(self, ranked: Ranked, rows: int, alike: bool) -> tuple[Integers, Integers]:
        rng, instance = self._rng, ranked.instance
        shape = random_tree(rng, int(rng.integers(1, NODES + 1)), min(FEW_CHILDREN, instance.vocabulary))
        starts = rng.integers(0, len(ranked.kinds), size=rows)
        if alike:
            starts[:] = starts[0]
        parents = np.array(shape.parents, dtype=np.int64)
        tokens, contexts = drawn_tree(ranked, parents, starts, rng, self.caller.subject.drawing)
        emitted, lengths = self.caller.tree(
            parents,
            instance.target[contexts],
            instance.draft[contexts],
            tokens,
        )
        kept = np.arange(emitted.shape[1]) < lengths[:, None]
        emitted = np.where(kept, emitted, 0)
        before = contexts_from(instance, starts, emitted)[:, :-1]
        return before[kept], emitted[kept]
