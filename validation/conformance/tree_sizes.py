"""Trees of many shapes, and coins that are used again in another place of a tree.

Given the tokens before it, and that it was emitted, a token has the target's law on trees of every shape, or
else the output would not have it. So tokens may be counted by shape, by their position, and by the tokens
before them. They must not be counted by the node that was accepted: which of two equal siblings that is may
depend on what follows.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from specsim.algorithms import Structure, levels, tree
from specsim.support.arrays import Bools, Floats, Integers
from specsim.validation.conformance.calling import Caller, tree_depths
from specsim.validation.conformance.checks.base import Look
from specsim.validation.conformance.evidence import Evidence
from specsim.validation.conformance.instances import inverse
from specsim.validation.conformance.ranked import (
    KINDS,
    PARTS,
    RANKS,
    WIDE_LAWS,
    Laws,
    RankCounts,
    Ranked,
    parts_of_rows,
    ranked_instance,
)
from specsim.validation.conformance.sizes import (
    MORE_ROWS,
    MOST_ROWS,
    SizesProbe,
    contexts_from,
    in_octave,
    numbered,
    octave,
    octaves,
    place_levels,
    places,
)
from specsim.validation.conformance.tree_instances import next_child_law

#: Most children of a node, levels and drafted tokens of a tree; and children of the nodes of random trees.
MOST_CHILDREN, MOST_DEPTH, MOST_NODES, FEW_CHILDREN = 32, 8, 63, 4
#: Share of equal rows at which trees of many levels, with two children at some of them, are often accepted.
DEEP_EQUAL = 0.65
#: Trees of more levels are tried more often.
DEEP = 6
#: Levels of trees with several children at every node.
BUSHY = 3
#: Drafted tokens of the largest trees, and rows that they get for one of another level: only some tokens are
#: tested at nodes of high numbers.
MANY_NODES, MORE = 127, 3
#: Share of these trees that have few levels, so that many texts come to the last, and most children there.
MANY_REGULAR, MANY_CHILDREN = 0.7, 12
#: Trees that are drawn together, and of which each is verified in a call of its own.
SINGLE = 8
#: Share of equal rows there, of which nothing is seen of what is drawn after a rejection.
SINGLE_EQUAL = 0.2
#: Most tokens of a vocabulary, but for nodes with more children.
MOST_TOKENS = 7
#: Numbers of nodes between two tests that may use one coin.
NODES_APART = (*range(1, 33), 40)
#: Laws of the ranks where children are mostly rejected: the target leaves much of every residual to several
#: tokens after many failures, and a draft that is accepted although it is too likely says much of its coin.
FAR_LAWS: dict[int, Laws] = {
    2: ((64, 192), (232, 24)),
    3: ((64, 128, 64), (232, 6, 18)),
    4: ((64, 84, 68, 40), (232, 4, 6, 14)),
}
#: Most tokens of a wide vocabulary, and the tokens that are tried by octave: few numbers, as making rows of a
#: wide vocabulary takes long.
WIDE_TOKENS = 1023
WIDE = {octave(low): (low, low + 1, low * 3 // 2, low * 2 - 1) for low in (8, 16, 32, 64, 128, 256, 512)}
#: Rows of these calls, and most drafted tokens; and the first of the octaves that get `MORE` rows, in which
#: ids do not fit into 8 bits.
WIDE_ROWS, WIDE_NODES, WIDEST = (4, 25), 5, 256


class TreeSizes(SizesProbe):
    """Trees of many shapes: drafted tokens, levels, children of a node, rows of a call, nodes apart.

    In half of the calls the nodes of every level are numbered in a random order.
    """

    def __init__(self, caller: Caller, rng: np.random.Generator, per_level: int, *, seed: int) -> None:
        subject = caller.subject
        self.seed = seed
        self.limit = subject.max_vocabulary
        self.most_tokens = min(self.limit or MOST_TOKENS, MOST_TOKENS)
        self.ranks = min(RANKS, self.most_tokens)
        # Distinct children are of different tokens.
        self.most_children = min(self.limit or MOST_CHILDREN, MOST_CHILDREN)
        most_rows = min(subject.max_batch or MOST_ROWS, MOST_ROWS)
        children = ["no children", *octaves(self.most_children, "child", "children")]
        names = {
            "nodes": octaves(MANY_NODES, "drafted token", "drafted tokens"),
            "rows": octaves(most_rows, "row in a call", "rows in a call"),
            "children": children,
            "depth": [f"trees of {depth + 1} levels" for depth in range(MOST_DEPTH)],
            "place": place_levels(most_rows),
            "position": [f"position {place + 1}" for place in range(MOST_DEPTH + 1)],
            "middle": [
                "after the last level",
                *(f"levels with their middle at {words}" for words in numbered(MANY_NODES, "node", "nodes")),
            ],
        }
        counts = RankCounts(names, self.ranks)
        super().__init__(caller, rng, per_level, counts, ["nodes", "rows", "children", "depth"])
        # Every node has children, or there is no tree.
        self._filled["children"][0] = np.iinfo(np.int64).max // 2
        bushy = [
            f"position {place + 1} of trees with several children at each node" for place in range(BUSHY + 1)
        ]
        self.far = RankCounts({"children": children, "bushy": bushy}, self.ranks)
        self._filled["bushy"] = np.zeros(len(bushy), dtype=np.int64)
        self.apart = [n for n in NODES_APART if self._columns(n)]
        self.echoes = TreeEchoes(self.apart, FAR_LAWS[self.ranks])
        self._filled["apart"] = np.zeros(len(self.apart), dtype=np.int64)
        self.wide: RankCounts | None = None
        octaves_of_tokens = [number for number, sizes in WIDE.items() if sizes[0] <= (self.limit or sizes[0])]
        if octaves_of_tokens:
            most = min(self.limit or WIDE_TOKENS, WIDE_TOKENS)
            words = octaves(most, "token in the vocabulary", "tokens in the vocabulary")
            self.wide = RankCounts({"tokens": words[min(WIDE) :]}, RANKS)
            self._filled["tokens"] = np.zeros(len(octaves_of_tokens), dtype=np.int64)
            self._filled["tokens"][octave(WIDEST) - min(WIDE) :] -= (MORE - 1) * per_level
        # Few tokens come so far down, or by way of a later sibling: these levels get several times the rows.
        self._filled["bushy"] -= per_level
        self._filled["depth"][DEEP:] -= 2 * per_level
        self._filled["nodes"][octave(MANY_NODES)] -= (MORE - 1) * per_level
        self.planned = int(sum(np.maximum(per_level - filled, 0).sum() for filled in self._filled.values()))
        self._most = most_rows

    def looks(self, tolerance: float) -> list[Look]:
        """Return what is looked at."""
        far = self.far.looks(_of_kinds(FAR_LAWS[self.ranks]), tolerance, prefix="children mostly rejected, ")
        looks = [*super().looks(tolerance), *far, *self.echoes.looks(tolerance)]
        return looks + (self.wide.looks(_of_kinds(WIDE_LAWS), tolerance) if self.wide else [])

    def _call(self, name: str, level: int) -> None:
        rng = self._rng
        of_one_law = {"apart": self._call_apart, "bushy": self._call_bushy, "tokens": self._call_wide}
        if name in of_one_law:
            of_one_law[name](level)
            return
        single = name == "rows" and level == 0
        rows = in_octave(rng, level, self._most) if name == "rows" else self._few_rows()
        vocabulary = int(rng.integers(self.ranks, self.most_tokens + 1))
        equal = 0.4
        # Shapes whose nodes of one level all have as many children, for what is counted by children.
        widths: list[int] = []
        if name == "children":
            most = in_octave(rng, level - 1, self.most_children)
            widths = wide_levels(rng, most)
            vocabulary = min(max(vocabulary, most + int(rng.integers(0, 3))), self.limit or 2 * MOST_CHILDREN)
            shape = levels(widths)
        elif name == "depth":
            widths = narrow_levels(rng, level + 1)
            equal = DEEP_EQUAL if level > 2 else equal
            shape = levels(widths)
        else:
            nodes = in_octave(rng, level, MANY_NODES) if name == "nodes" else int(rng.integers(2, 9))
            equal = SINGLE_EQUAL if single else equal
            if nodes > MOST_NODES and rng.random() < MANY_REGULAR:
                many = many_levels(rng, min(MANY_CHILDREN, self.most_children))
                vocabulary = max(vocabulary, *many)
                shape = levels(many)
            else:
                shape = random_tree(rng, nodes, min(FEW_CHILDREN, vocabulary))
        # Many rows of a large tree take little longer than few. They are not what other sizes are for.
        many_rows = len(shape.parents) > MOST_NODES + 1 or (name == "depth" and level >= DEEP)
        if many_rows:
            rows = min(int(rng.integers(*MORE_ROWS)), self._most)
        ranked = ranked_instance(self.seed, vocabulary=vocabulary, draft_length=1, equal=equal)
        row, position, kinds, found = self._observed(ranked, shape, SINGLE if single else rows, single=single)
        reached = {"nodes": octave(len(shape.parents) - 1), "rows": octave(rows), "depth": shape.depth - 1}
        place = places(rows)[0 if single else row]
        middle = _middle_levels(shape)[position]
        self.counts.add(kinds, found, position=position, place=place, middle=middle, **reached)
        if widths:
            by_position = _children_levels(widths)
            self.counts.add(kinds, found, children=by_position[position])
        if name == "children":
            reached["children"] = level
        if many_rows:
            self._done(max(rows // MORE, 1), **{name: level})
        else:
            # Trees that have calls of their own count together like one row: there are more of them.
            self._done(rows, **reached)

    def _columns(self, nodes: int) -> tuple[int, int, int] | None:
        """Return (children of the root, levels, levels apart) of a tree with places so many nodes apart."""
        for levels_apart in range(1, MOST_DEPTH):
            children, rest = divmod(nodes, levels_apart)
            # A tree of two levels may have one node more than others.
            depth = min(MOST_DEPTH, (MOST_NODES + 1) // max(children, 1))
            if not rest and children <= self.most_children and depth > levels_apart:
                return children, depth, levels_apart
        return None

    def _far_rows(self, most_children: int) -> Ranked:
        vocabulary = int(self._rng.integers(self.ranks, MOST_TOKENS + 1))
        vocabulary = max(vocabulary, most_children + int(self._rng.integers(1, 4)))
        vocabulary = min(vocabulary, self.limit or vocabulary)
        return ranked_instance(self.seed, vocabulary=vocabulary, draft_length=1, laws=FAR_LAWS[self.ranks])

    def _call_bushy(self, level: int) -> None:
        """Call with several children at every node, so that later siblings are often accepted."""
        widths = bushy_levels(self._rng, min(6, self.most_children))
        rows = self._few_rows()
        _, position, kinds, found = self._observed(self._far_rows(max(widths)), levels(widths), rows)
        self.far.add(kinds, found, bushy=position)
        self._done(rows, bushy=level)

    def _call_wide(self, level: int) -> None:
        """Call with a wide vocabulary."""
        rng = self._rng
        vocabulary = min(int(rng.choice(WIDE[level + min(WIDE)])), self.limit or WIDE_TOKENS)
        ranked = ranked_instance(self.seed, vocabulary=vocabulary, draft_length=1, laws=WIDE_LAWS)
        rows = min(int(rng.integers(*WIDE_ROWS)), self._most)
        shape = random_tree(rng, int(rng.integers(1, WIDE_NODES + 1)), FEW_CHILDREN)
        _, _, kinds, found = self._observed(ranked, shape, rows)
        assert self.wide is not None
        self.wide.add(kinds, found, tokens=level)
        self._done(rows, tokens=level)

    def _call_apart(self, level: int) -> None:
        """Call with many children at the root, each of which begins a chain: chains are columns of nodes."""
        columns = self._columns(self.apart[level])
        assert columns is not None
        children, depth, levels_apart = columns
        depth = min(depth, levels_apart + 2)
        rows = self._few_rows()
        widths = [children] + [1] * (depth - 1)
        ranked = self._far_rows(children)
        _, position, kinds, found = self._observed(ranked, levels(widths), rows, level, levels_apart)
        self.far.add(kinds, found, children=_children_levels(widths)[position])
        self._done(rows, apart=level)

    def _observed(
        self,
        ranked: Ranked,
        shape: Structure,
        rows: int,
        level: int | None = None,
        levels_apart: int = 0,
        *,
        single: bool = False,
    ) -> tuple[Integers, Integers, Integers, Integers]:
        """Verify trees; return row, position, kind and rank of every emitted token.

        single: whether every tree has a call of its own.
        """
        instance, rng = ranked.instance, self._rng
        starts = rng.integers(0, len(ranked.kinds), size=rows)
        parents = np.array(shape.parents, dtype=np.int64)
        if level is None and rng.random() < 0.5:
            parents = shuffled(parents, rng)
        tokens, contexts = drawn_tree(ranked, parents, starts, rng, self.caller.subject.drawing)
        target, draft = instance.target[contexts], instance.draft[contexts]
        calls = [
            self.caller.tree(parents, target[part], draft[part], tokens[part])
            for part in ([slice(row, row + 1) for row in range(rows)] if single else [slice(rows)])
        ]
        emitted, lengths = (np.concatenate(parts) for parts in zip(*calls, strict=True))
        kept = np.arange(emitted.shape[1]) < lengths[:, None]
        emitted = np.where(kept, emitted, 0)
        before = contexts_from(instance, starts, emitted)[:, :-1]
        row, position = np.nonzero(kept)
        if level is not None:
            parts = parts_of_rows(instance.target[before], emitted, rng.random(emitted.shape))
            self.echoes.add(kept, ranked.ranks[before, emitted], parts, level, levels_apart)
        return row, position, ranked.kinds[before[kept]], ranked.ranks[before[kept], emitted[kept]]


class TreeEchoes:
    """Tokens, and tokens before them on the same path whose tests are some nodes or levels apart.

    Tests that share a coin leave the first token's law right, and that of a later one depends on it: by rank,
    as acceptance does, or by its place in the row, as a drawn token does, see `parts_of_rows`.

    apart: numbers of nodes.
    laws: of the ranks under target and draft, each ``(ranks,)``.
    ranks: counts ``(nodes apart * ranks, ranks)``: rank of the earlier token, and of the later.
    parts: counts ``(nodes apart * PARTS, PARTS)``: the same by part of the row.
    drawn: counts ``(levels apart * ranks, PARTS)``: rank of the earlier token, part of the later.
    """

    def __init__(self, apart: list[int], laws: Laws) -> None:
        self.apart = apart
        target, draft = np.array(laws, dtype=np.float64) / 256
        self.laws = target, draft
        self.ranks = np.zeros((len(apart) * len(target), len(target)), dtype=np.int64)
        self.parts = np.zeros((len(apart) * PARTS, PARTS), dtype=np.int64)
        self.drawn = np.zeros((MOST_DEPTH * len(target), PARTS), dtype=np.int64)

    def add(self, kept: Bools, ranks: Integers, parts: Integers, level: int, levels_apart: int) -> None:
        """Count the emitted tokens of a call, all arrays ``(rows, positions)``.

        level: index of the nodes apart of tokens `levels_apart` positions apart.
        """
        number = len(self.laws[0])
        for table, found, size in ((self.ranks, ranks, number), (self.parts, parts, PARTS)):
            both = kept[:, levels_apart:].copy()
            # After a leaf nothing is tested; and what is drawn at the root is not in a column of nodes.
            both[:, -1] = False
            if table is self.parts:
                both[:, 0] = False
            before, after = found[:, :-levels_apart][both], found[:, levels_apart:][both]
            np.add.at(table, (level * size + before, after), 1)
        for distance in range(1, kept.shape[1]):
            both = kept[:, distance:]
            before, after = ranks[:, :-distance][both], parts[:, distance:][both]
            np.add.at(self.drawn, ((distance - 1) * number + before, after), 1)

    def looks(self, tolerance: float) -> list[Look]:
        """Return the looks: ranks and parts by nodes apart, parts by levels apart."""
        ranks = len(self.laws[0])
        far = [f"{nodes} nodes apart" for nodes in self.apart]
        levels_apart = [f"{distance + 1} levels apart" for distance in range(MOST_DEPTH)]
        multiples = {
            f"tests {nodes} nodes apart": [n for n, other in enumerate(self.apart) if other % nodes == 0]
            for nodes in self.apart
        }
        single = {f"tokens {words}": [n] for n, words in enumerate(levels_apart)}
        target = np.tile(self.laws[0], (ranks, 1))
        even = {count: np.full((count, PARTS), 1 / PARTS) for count in (ranks, PARTS)}
        first = even[ranks].copy()
        # The coin by which a draft was accepted that is likelier than the target's is small.
        first[0] = np.maximum(np.minimum(np.arange(1, PARTS + 1) / PARTS, self._least_ratio()), 0.02)
        first[0] = np.diff(first[0] / first[0][-1], prepend=0.0) * 0.98 + 0.02 / PARTS
        return [
            _echo_look(self, "ranks", far, target, {"one coin": self._one_coin()}, multiples, tolerance),
            _echo_look(self, "parts", far, even[PARTS], {"one coin": np.eye(PARTS)}, multiples, tolerance),
            _echo_look(
                self,
                "drawn",
                levels_apart,
                even[ranks],
                {"one coin": first},
                single,
                tolerance,
                disjoint=False,
            ),
        ]

    def _least_ratio(self) -> float:
        return float((self.laws[0] / self.laws[1]).min())

    def _one_coin(self) -> Floats:
        """Return the law of the later rank by the earlier one, under the ratio rule with one coin."""
        target, draft = self.laws
        ratio = np.minimum(target / draft, 1.0)
        residual = np.maximum(target - draft, 0.0)
        residual /= residual.sum()
        accepted = draft * np.minimum(1.0, ratio[None] / ratio[:, None])
        return accepted + (1 - accepted.sum(axis=1, keepdims=True)) * residual


def _echo_look(
    echoes: TreeEchoes,
    name: str,
    words: list[str],
    null: Floats,
    wrong: dict[str, Floats],
    groups: dict[str, list[int]],
    tolerance: float,
    *,
    disjoint: bool = True,
) -> Look:
    """Return the look at one table of echoes.

    words: what every distance is called.
    null, wrong: laws of the later token by the earlier one, for one distance.
    groups: distances that are wrong together, by name.
    """
    strata = len(null)
    law = np.tile(null, (len(words), 1))
    alternatives = {}
    for what, table in wrong.items():
        for group, members in groups.items():
            for weight in (0.3, 0.9):
                bent = law.copy()
                for member in members:
                    own = slice(member * strata, (member + 1) * strata)
                    bent[own] = (1 - weight) * null + weight * table
                alternatives[f"{what} of {group}, in {weight:g} of the cases"] = bent

    def name_cell(stratum: int, cell: int) -> str:
        distance, before = divmod(stratum, strata)
        earlier = f"in quarter {before + 1} of its row" if name == "parts" else f"of rank {before + 1}"
        later = f"of rank {cell + 1}" if name == "ranks" else f"in quarter {cell + 1} of its row"
        return f"tokens of a path {words[distance]}, the first {earlier}: the second {later}"

    return Look(
        evidence=Evidence(law, alternatives=alternatives, disjoint=disjoint, tolerance=tolerance),
        observe=lambda: getattr(echoes, name),
        shares=np.full(len(law), 1 / len(law)),
        reachable=np.ones(len(law), dtype=bool),
        name_cell=name_cell,
    )


def _of_kinds(laws: Laws) -> tuple[Floats, Floats]:
    """Return one law of the ranks for all kinds, under target and draft, each ``(kinds, ranks)``."""
    target, draft = np.array(laws, dtype=np.float64) / 256
    return np.tile(target, (len(KINDS), 1)), np.tile(draft, (len(KINDS), 1))


def _middle_levels(shape: Structure) -> Integers:
    """Return the level of every position by the middle number of the nodes that may be accepted there.

    0 for none, then octaves.
    """
    ends = pairwise(shape.nodes_within)
    return np.array([*(octave((low + high - 1) // 2) + 1 for low, high in ends), 0], dtype=np.int64)


def _children_levels(widths: list[int]) -> Integers:
    """Return the level of every position by the children of its nodes: 0 for none, then octaves."""
    return np.array([*(octave(width) + 1 for width in widths), 0], dtype=np.int64)


def wide_levels(rng: np.random.Generator, most: int) -> list[int]:
    """Return children per level: one level has nodes with that many children, two others have few."""
    before = [int(rng.integers(1, 4)) for _ in range(int(rng.integers(0, 3)))]
    while before and _size([*before, most]) > MOST_NODES:
        before.pop()
    widths = [*before, most]
    while len(widths) < 3 and _size([*widths, 1]) <= MOST_NODES:
        widths.append(1)
    return widths


def bushy_levels(rng: np.random.Generator, most: int) -> list[int]:
    """Return children per level: several on all levels but the last."""
    while True:
        widths = [*rng.integers(min(3, most), most + 1, size=BUSHY - 1).tolist(), 1]
        if _size(widths) <= MOST_NODES:
            return widths


def narrow_levels(rng: np.random.Generator, depth: int) -> list[int]:
    """Return one or two children per level, as many as fit into a tree."""
    widths = [1] * depth
    for place in rng.permutation(depth):
        widths[place] = 2
        if _size(widths) > MOST_NODES or rng.random() < 0.3:
            widths[place] = 1
    return widths


def _size(widths: list[int]) -> int:
    return int(np.cumprod(widths).sum())


def many_levels(rng: np.random.Generator, most: int) -> list[int]:
    """Return children per level, at most so many: one at the last level, where most numbers are above 63."""
    least, depth = 3 * MOST_NODES // 4, 2
    while _size([most] * depth) < least:
        depth += 1
    while True:
        widths: list[int] = rng.integers(2, most + 1, size=depth).tolist()
        if least <= _size(widths) <= MOST_NODES:
            return [*widths, 1]


def random_tree(rng: np.random.Generator, nodes: int, most_children: int) -> Structure:
    """Return a random tree of a number of drafted tokens, in breadth-first order."""
    children: list[list[int]] = [[]]
    depth = [0]
    while len(depth) <= nodes:
        # Deep nodes are taken as often as shallow ones: trees with long paths and with many siblings.
        level = int(rng.integers(0, min(max(depth) + 1, MOST_DEPTH)))
        open_nodes = [n for n in range(len(depth)) if depth[n] == level and len(children[n]) < most_children]
        if not open_nodes:
            open_nodes = [
                n for n in range(len(depth)) if depth[n] < MOST_DEPTH and len(children[n]) < most_children
            ]
        parent = int(rng.choice(open_nodes))
        children[parent].append(len(depth))
        children.append([])
        depth.append(depth[parent] + 1)
    parents, queue = [-1], [(0, 0)]
    while queue:
        node, number = queue.pop(0)
        for child in children[node]:
            queue.append((child, len(parents)))
            parents.append(number)
    return tree(tuple(parents))


def shuffled(parents: Integers, rng: np.random.Generator) -> Integers:
    """Return the parents of the same tree, ``(nodes,)``, with the nodes of every level in a random order."""
    order = np.lexsort((rng.random(len(parents)), tree_depths(parents)))
    number = np.argsort(order)
    found: Integers = np.where(parents >= 0, number[parents], -1)[order]
    return found


def drawn_tree(
    ranked: Ranked, parents: Integers, starts: Integers, rng: np.random.Generator, drawing: str
) -> tuple[Integers, Integers]:
    """Draw the tokens of trees; return them and the context of every node, both ``(rows, nodes)``."""
    instance, rows = ranked.instance, len(starts)
    tokens = np.full((rows, len(parents)), -1, dtype=np.int64)
    contexts = np.repeat(starts[:, None], tokens.shape[1], axis=1)
    order = np.argsort(parents, kind="stable")
    ends = np.searchsorted(parents[order], np.arange(len(parents) + 1))
    for node in range(len(parents)):
        children = order[ends[node] : ends[node + 1]]
        row = instance.draft[contexts[:, node]]
        for j, child in enumerate(children):
            law = next_child_law(row, tokens[:, children[:j]], len(children), drawing)
            tokens[:, child] = inverse(law, rng.random(rows))
            contexts[:, child] = instance.next_context[contexts[:, node], tokens[:, child]]
    return tokens, contexts
