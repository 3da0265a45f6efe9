"""Samplers that choose how much they draft: fewer tokens in some rows, or trees of their own."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.zoo.controls_step import ratio_step
from benchmarks.zoo.model import Control, Mutant
from benchmarks.zoo.sampling import Floats, Integers, at, draw, floats
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject

#: A draft goes on while its likeliest token has at least this; and drops tokens of less than the second.
CONFIDENT, LEAST = 0.4, 0.15


def chosen(models: Any, seed: int, *, slip: str = "") -> Any:
    """Stop a draft before a row that is not confident; verify by the ratio."""
    generator = np.random.default_rng(seed)
    batch, most = models.batch, models.draft_length
    drafted = np.zeros((batch, most), dtype=np.int64)
    lengths, going = np.zeros(batch, dtype=np.int64), np.ones(batch, dtype=bool)
    rows = []
    for i in range(most):
        rows.append(floats(models.draft(drafted[:, :i])))
        drafted[:, i] = draw(rows[-1], generator.random(batch))
        if slip == "unlikely-drafts-dropped":
            going &= at(rows[-1], drafted[:, i]) >= LEAST
        else:
            going &= rows[-1].max(axis=1) >= CONFIDENT
        lengths += going
    target = floats(models.target(drafted))
    read = np.stack(rows, axis=1)
    if slip == "bonus-of-the-last-place":
        target[np.arange(batch), lengths] = target[:, -1]
    tokens, counts = ratio_step(target, read, drafted, int(generator.integers(2**31)), draft_lengths=lengths)
    return np.where(np.arange(most) < lengths[:, None], drafted, -1), tokens, counts


def own_tree(models: Any, seed: int, *, slip: str = "", told: bool = True) -> Any:
    """Draft two tokens, go on after the likelier one where it is likely; match draws from the target."""
    generator = np.random.default_rng(seed)
    batch, depth = models.batch, models.draft_length
    first = floats(models.draft(np.zeros((batch, 0), dtype=np.int64)))
    pair = np.stack([draw(first, generator.random(batch)) for _ in range(2)], axis=1)
    likelier = np.where(at(first, pair[:, 0]) >= at(first, pair[:, 1]), 0, 1)
    chains = [pair[:, [0]], pair[:, [1]]]
    parents, nodes = [np.zeros(batch, int)] * 3, [np.zeros(batch, int), pair[:, 0], pair[:, 1]]
    chain = pair[np.arange(batch), likelier][:, None]
    last = likelier + 1
    for _ in range(depth - 1):
        token = draw(floats(models.draft(chain)), generator.random(batch))
        parents.append(last)
        nodes.append(token)
        last = np.full(batch, len(nodes) - 1)
        chain = np.concatenate([chain, token[:, None]], axis=1)
    tokens = np.full((batch, depth + 1), -1, dtype=np.int64)
    tokens[:, 0] = draw(floats(models.target(chain))[:, 0], generator.random(batch))
    lengths = np.ones(batch, dtype=np.int64)
    if slip == "a-draw-for-each-branch":
        for branch in range(2):
            drawn = draw(floats(models.target(chain))[:, 0], generator.random(batch))
            hit = drawn == chains[branch][:, 0]
            tokens[hit, 0] = drawn[hit]
    _walk(models, generator, np.stack(parents, axis=1), np.stack(nodes, axis=1), tokens, lengths)
    if not told:
        return None, tokens, lengths
    return np.stack(parents, axis=1), np.stack(nodes, axis=1), tokens, lengths


def _walk(
    models: Any,
    generator: np.random.Generator,
    parents: Integers,
    nodes: Integers,
    tokens: Integers,
    lengths: Integers,
) -> None:
    """Go on while the last token is a child of the node that was reached."""
    batch, depth = len(tokens), tokens.shape[1] - 1
    reached = np.zeros(nodes.shape, dtype=bool)
    reached[:, 0] = True
    going = np.ones(batch, dtype=bool)
    for place in range(depth):
        below = np.take_along_axis(reached, parents, axis=1) & (nodes == tokens[:, [place]])
        below[:, 0] = False
        going &= below.any(axis=1)
        rows: Floats = floats(models.target(np.maximum(tokens[:, : place + 1], 0)))[:, -1]
        drawn = draw(rows, generator.random(batch))
        tokens[going, place + 1] = drawn[going]
        lengths[going] += 1
        reached = below


def _subject(name: str, run: Any, rule: Any = None) -> Subject:
    return Subject(name=name, protocol="draft-and-verify", run=run, rule=rule)


def _slip(name: str, run: Any, rule: Any, bug_class: str, description: str, cite: str, check: str) -> Mutant:
    return Mutant(
        name=name,
        description=description,
        cite=cite,
        bug_class=bug_class,
        subject=_subject(name, partial(run, slip=name), rule),
        killed_by=(check,),
    )


MUTANTS = (
    _slip(
        "bonus-of-the-last-place",
        chosen,
        RATIO,
        "9 bonus, caches",
        "the bonus token of a shorter draft comes from the row of the last place",
        "vllm-project/vllm#44297",
        "chosen-lengths",
    ),
    _slip(
        "unlikely-drafts-dropped",
        chosen,
        RATIO,
        "1 draft law",
        "a sampled draft that turns out unlikely is dropped, and the draft ends before it",
        "ikawrakow/ik_llama.cpp#1820",
        "joint-law",
    ),
    _slip(
        "a-draw-for-each-branch",
        own_tree,
        None,
        "11 tree",
        "each branch of a tree of its own is compared with a draw of its own",
        "foundation-model-stack/fms-extras#12",
        "joint-law",
    ),
)  # fmt: skip

CONTROLS = (
    Control(
        name="chosen-lengths",
        description="drafts end before a row that is not confident",
        source="ggml-org/llama.cpp#22506, done right: a length may depend on what stands before a token",
        subject=_subject("chosen-lengths", chosen, RATIO),
    ),
    Control(
        name="own-tree",
        description="a tree of its own for each row, matched by one draw from the target per node",
        source="2406.16858: trees by the confidence of the draft",
        subject=_subject("own-tree", own_tree),
    ),
)
