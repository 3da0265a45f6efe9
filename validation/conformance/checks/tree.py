"""Checks of tree verification: the law of what is emitted, and of where it stops."""

from functools import lru_cache
from typing import Any

import numpy as np

from specsim.algorithms import Structure
from specsim.errors import InputError
from specsim.support.arrays import Floats, Integers
from specsim.support.streams import Stream
from specsim.validation.conformance import tree_instances as trees
from specsim.validation.conformance.calling import Caller, ContractError
from specsim.validation.conformance.checks.base import (
    Statistical,
    check,
    law_picture,
    lossless_only,
    make_look,
    needs_rule,
    together,
)
from specsim.validation.conformance.evidence import samples_for_bound
from specsim.validation.conformance.instances import number, telling_rows
from specsim.validation.conformance.laboratory import Laboratory
from specsim.validation.conformance.probes import ProbeGroup, spelled
from specsim.validation.conformance.rules import all_tree_rules
from specsim.validation.conformance.rules.base import Rule
from specsim.validation.conformance.tables import is_law, text_partitions

#: Tokens of the vocabulary; all trees of the shapes below can be enumerated with them.
VOCABULARY = 4
#: Shapes whose output law is tested.
SHAPES = ("2,2", "3,1", "unbalanced", "2,2,1")
#: The shape whose output is certified and on which rules are distinguished.
MAIN_SHAPE = "2,1"
#: A shape with many siblings, on which rules differ most.
STAR = "3"
#: Seeds of the rows by the depth of the tree: of the first 40 (14 for depth 2), the ones on which the nearest
#: known bug is farthest from the target's law (total variation distances of 0.020 and 0.024).
SEEDS = {1: 16, 2: 10, 3: 10}
#: Trees of one call.
BATCH = 4096


@lru_cache(maxsize=8)
def tree_models(depth: int, vocabulary: int, seed: int) -> tuple[trees.PrefixRows, trees.PrefixRows]:
    """Return target and draft rows that depend on the whole path, far enough apart to distinguish bugs."""
    stream = Stream(seed, f"conformance trees {depth} {vocabulary}")
    target, draft = [], []
    for n in range(depth + 1):
        rows = telling_rows(stream, (vocabulary**n, vocabulary), 1.0)
        target.append(rows[0])
        draft.append(rows[1])
    return trees.PrefixRows(tuple(target)), trees.PrefixRows(tuple(draft))


def tree_inputs(
    lab: Laboratory, rng: np.random.Generator, size: int, shape_name: str = MAIN_SHAPE
) -> tuple[Integers, Floats, Floats, Integers]:
    """Return parents, target rows, draft rows and tokens of freshly drawn trees."""
    shape = trees.SHAPES[shape_name]
    target, draft = tree_models(shape.depth, _vocabulary(lab), SEEDS[shape.depth])
    tokens = trees.draw_trees(shape, draft, size, rng, drawing=lab.subject.drawing)
    parents = np.array(shape.parents, dtype=np.int64)
    return parents, trees.tree_rows(shape, target, tokens), trees.tree_rows(shape, draft, tokens), tokens


def _vocabulary(lab: Laboratory) -> int:
    return min(VOCABULARY, lab.subject.max_vocabulary or VOCABULARY)


class TreeProbe:
    """Verifications of trees of one shape.

    texts: counts of the first ``depth + 1`` tokens, continued by the target, shape ``(V ** (depth + 1),)``.
    stops: counts of accepted lengths by the tokens of the root's children, shape ``(V ** children, depth +
        1)``.
    total: trees so far.
    """

    def __init__(self, lab: Laboratory, caller: Caller, shape_name: str) -> None:
        self._lab = lab
        self.caller = caller
        self.shape_name = shape_name
        self.shape = trees.SHAPES[shape_name]
        self.vocabulary = _vocabulary(lab)
        self.target, self.draft = tree_models(self.shape.depth, self.vocabulary, SEEDS[self.shape.depth])
        self._rng = lab.rng(f"trees {shape_name}")
        self.texts = np.zeros(self.vocabulary ** (self.shape.depth + 1), dtype=np.int64)
        self.roots = self.vocabulary ** len(self.shape.children(0))
        self.stops = np.zeros((self.roots, self.shape.depth + 1), dtype=np.int64)
        self.total = 0

    def sample(self, count: int) -> None:
        """Verify about `count` more trees."""
        wanted = self.total + count
        while self.total < wanted and not self.caller.out_of_time():
            self._round(min(self.caller.subject.max_batch or BATCH, BATCH, wanted - self.total))

    def _round(self, size: int) -> None:
        parents, target, draft, tokens = tree_inputs(self._lab, self._rng, size, self.shape_name)
        emitted, lengths = self.caller.tree(parents, target, draft, tokens)
        _check_paths(self.shape, tokens, emitted, lengths)
        whole = trees.complete(self.target, emitted, lengths, self._rng)
        self.texts += np.bincount(number(whole, self.vocabulary), minlength=len(self.texts))
        roots = number(tokens[:, list(self.shape.children(0))], self.vocabulary)
        np.add.at(self.stops, (roots, lengths - 1), 1)
        self.total += size


def _check_paths(shape: Structure, tokens: Integers, emitted: Integers, lengths: Integers) -> None:
    """Make sure that accepted tokens are those of a path from the root."""
    fits = lengths == 1
    for path in map(shape.path, range(1, len(shape.parents))):
        accepted = len(path)
        same = (lengths == accepted + 1) & (emitted[:, :accepted] == tokens[:, list(path)]).all(axis=1)
        fits |= same
    if not fits.all():
        row = int(np.flatnonzero(~fits)[0])
        text = " ".join(str(int(t)) for t in emitted[row, : lengths[row] - 1])
        raise ContractError(
            f"row {row} says that it accepted ({text}), which is not a path from the root of its tree "
            f"({' '.join(str(int(t)) for t in tokens[row, 1:])}, parents {shape.parents[1:]})"
        )


@lru_cache(maxsize=128)
def rule_tables(rule: Rule, shape_name: str, drawing: str, vocabulary: int) -> Any:
    """Return (trees, masses, tables (trees, N, V)) of a rule, or None where it has no law."""
    shape = trees.SHAPES[shape_name]
    target, draft = tree_models(shape.depth, vocabulary, SEEDS[shape.depth])
    tokens, mass = trees.all_trees(shape, draft, drawing=drawing)
    rows_target, rows_draft = trees.tree_rows(shape, target, tokens), trees.tree_rows(shape, draft, tokens)
    try:
        with np.errstate(all="ignore"):
            tables = rule.tree_law(shape, rows_target, rows_draft, tokens)
    except InputError:
        return None
    if not is_law(tables.reshape(len(tables), -1)):
        return None
    return tokens, mass, np.clip(tables, 0.0, None)


def text_law(probe: TreeProbe, tables: Any) -> Floats:
    """Return the law of the first ``depth + 1`` tokens, continued by the target."""
    tokens, mass, laws = tables
    return trees.completed_law(probe.target, trees.emitted_laws(probe.shape, tokens, laws, mass))


def stop_law(probe: TreeProbe, tables: Any) -> Floats:
    """Return the joint law of the root's children and the accepted length."""
    tokens, mass, laws = tables
    depths = np.array(probe.shape.depths)
    roots = number(tokens[:, list(probe.shape.children(0))], probe.vocabulary)
    found = np.zeros((probe.roots, probe.shape.depth + 1))
    by_node = laws.sum(axis=2) * mass[:, None]
    for node, depth in enumerate(depths):
        np.add.at(found[:, depth], roots, by_node[:, node])
    return found


def tree_probe(lab: Laboratory, shape_name: str) -> TreeProbe:
    """Return the experiment on trees of a shape."""
    probe: TreeProbe = lab.keep(
        f"tree {shape_name}", lambda: TreeProbe(lab, lab.caller(f"tree {shape_name}"), shape_name)
    )
    return probe


def _text_looks(lab: Laboratory, probe: TreeProbe, *, known: bool) -> list[Any]:
    rule = lab.subject.rule
    drawing = lab.subject.drawing
    law = probe.target.law(probe.shape.depth + 1)
    if rule is not None and not rule.lossless:
        tables = rule_tables(rule, probe.shape_name, drawing, probe.vocabulary)
        if tables is None:
            raise InputError(f"rule {rule.name} has no law on trees of shape {probe.shape_name}")
        law = text_law(probe, tables)
    alternatives = {}
    for item in all_tree_rules() if known else ():
        tables = rule_tables(item, probe.shape_name, drawing, probe.vocabulary)
        if tables is not None:
            alternatives[item.name] = text_law(probe, tables)
    length, vocabulary = probe.shape.depth + 1, probe.vocabulary
    return [
        make_look(
            lambda table: table[None, :],
            law,
            alternatives,
            lambda: probe.texts,
            lambda stratum, cell: f"tree {probe.shape_name}: text {spelled(cell, vocabulary, length)}",
            directions={"the draft": probe.draft.law(length)} if len(probe.draft.tables) >= length else {},
            partitions=text_partitions(vocabulary, length),
            tolerance=lab.tolerance,
        )
    ]


@check(
    "tree-law",
    "joint law of the first tokens, rows depending on the whole path",
    protocols=("tree",),
    catches="candidates tested against the wrong target, or drawn otherwise than verified",
    weight=8.0,
)
def _tree_law(lab: Laboratory) -> Statistical:
    main, star = tree_probe(lab, MAIN_SHAPE), tree_probe(lab, STAR)
    looks = [*_text_looks(lab, main, known=True), *_text_looks(lab, star, known=True)]
    for look in looks:
        look.shares = look.shares / 2
    law = looks[0].evidence.null[0]
    return Statistical(
        probe=ProbeGroup([main, star]),
        looks=looks,
        planned=2 * max(lab.least_samples, samples_for_bound(len(law), lab.eps, lab.delta)),
        certificate=lambda: [(main.texts, law)],
        picture=lambda: law_picture("joint law of the first tokens of a tree", looks[0]),
    )


@check(
    "tree-shapes",
    "the same on trees of other shapes, leaves at different depths",
    protocols=("tree",),
    why_not=lossless_only,
    catches="rows of another node, bonus tokens at inner leaves",
)
def _shapes(lab: Laboratory) -> Statistical:
    probes = [tree_probe(lab, name) for name in SHAPES]
    looks = []
    for probe in probes:
        looks += _text_looks(lab, probe, known=False)
    return together(probes, looks, lab.main_samples)


@check(
    "tree-acceptance",
    "law of the accepted length, given the candidates at the root",
    kind="rule",
    protocols=("tree",),
    why_not=needs_rule,
    catches="another rule than the declared one",
)
def _tree_acceptance(lab: Laboratory) -> Statistical:
    probe = tree_probe(lab, MAIN_SHAPE)
    rule = lab.subject.rule
    assert rule is not None
    drawing = lab.subject.drawing
    tables = rule_tables(rule, MAIN_SHAPE, drawing, probe.vocabulary)
    if tables is None:
        raise InputError(f"rule {rule.name} has no law on trees of shape {MAIN_SHAPE}")
    alternatives = {}
    for item in all_tree_rules():
        other = rule_tables(item, MAIN_SHAPE, drawing, probe.vocabulary)
        if other is not None:
            alternatives[item.name] = stop_law(probe, other)
    children = len(probe.shape.children(0))

    def name_cell(stratum: int, cell: int) -> str:
        return f"children of the root {spelled(stratum, probe.vocabulary, children)}: {cell} accepted"

    looks = [
        make_look(
            view, stop_law(probe, tables), alternatives, lambda: probe.stops, name, tolerance=lab.tolerance
        )
        for view, name in (
            (lambda table: table, name_cell),
            (lambda table: table.sum(axis=0)[None, :], lambda stratum, cell: f"{cell} accepted"),
        )
    ]
    return Statistical(
        probe=probe,
        looks=looks,
        planned=lab.main_samples,
        picture=lambda: law_picture("accepted length of a tree", looks[1]),
    )


CHECKS = (_tree_law, _shapes, _tree_acceptance)
