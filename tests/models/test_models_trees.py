"""Rules on trees of drafts: the torch rules against the kernels coin by coin, and decoding against theory."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import specsim
from specsim import Structure, chain, levels, paths, tree
from specsim.algorithms import get_rule
from specsim.engines.literal.helpers import draw_weights
from specsim.engines.literal.kernels import kernel_of
from specsim.theory import enumerate_outcomes
from specsim.theory.step_laws import step_law_of
from specsim.validation.statistics import decide_law_by_cells_and_entropy

if os.environ.get("SPECSIM_REQUIRE_ALL") != "1":
    pytest.importorskip("torch", reason="the extra torch is not installed")
    pytest.importorskip("transformers", reason="the extra torch is not installed")

import torch

from specsim.models import LoadedPair, Sampling, decode, table_models, verification
from specsim.models.caches import CachedModel, RaggedCache
from specsim.models.rules import (
    block,
    k_seq,
    match,
    one_hot,
    over_acceptance,
    ratio,
    recursive,
    recursive_distinct,
    summed_coin,
    text_of,
    torch_rules,
    traversal,
    traversal_distinct,
)
from specsim.models.sampling import draw, draw_children, untried
from specsim.models.trees import Tree
from specsim.models.verification import Round, TargetRows

TOKENS = 4
IRREGULAR = tree((-1, 0, 0, 0, 1, 1, 3, 4, 6, 6))
STRUCTURES = (chain(3), paths(2, 2), levels((2, 2)), levels((3, 1, 2)), IRREGULAR)
#: Options of rules that need some.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "over-acceptance": [{"epsilon": 0.1, "residual": kind} for kind in ("optimal", "target", "draft")]
}


def cases() -> list[Any]:
    """Return every torch rule on the structures that it serves, with every drawing and choice."""
    found = []
    for name in torch_rules():
        rule = get_rule(name)
        for structure, drawing, options in itertools.product(
            STRUCTURES, rule.drawings, OPTIONS.get(name, [{}])
        ):
            if structure.kind in rule.structures:
                words = [name, structure.label, drawing, *map(str, options.values())]
                found.append(pytest.param(name, structure, drawing, options, id=":".join(words)))
    return found


def random_rows(batch: int, nodes: int, seed: int) -> Any:
    """Rows with zeros among them, float64."""
    generator = np.random.default_rng(seed)
    rows = generator.dirichlet(np.full(TOKENS, 0.7), size=(batch, nodes))
    rows[generator.random(rows.shape) < 0.15] = 0
    rows[..., 0] += 0.05
    return torch.as_tensor(rows / rows.sum(axis=-1, keepdims=True))


def drafted(structure: Structure, draft: Any, drawing: Any, seed: int) -> Any:
    """Draw the tokens of all nodes, each node's children by themselves."""
    generator = np.random.default_rng(seed)
    tokens = torch.zeros(draft.shape[:2], dtype=torch.int64)
    for node in range(draft.shape[1]):
        children = structure.children(node)
        if children:
            coins = torch.as_tensor(generator.random((len(draft), len(children))))
            tokens[:, children.start : children.stop] = draw_children(draft[:, node], coins, drawing)
    return tokens


def a_round(structure: Structure, drawing: Any, batch: int, seed: int) -> tuple[Round, Any]:
    """Return a round of random rows and coins, ends of sequences at all depths, and its target rows."""
    nodes = len(structure.parents)
    target, draft = random_rows(batch, nodes, seed), random_rows(batch, nodes, seed + 1)
    # Some rows are equal, which leaves no residual.
    draft[: batch // 8] = target[: batch // 8]
    generator = np.random.default_rng(seed + 2)
    made = Round(
        tree=Tree(structure, "cpu"),
        length=structure.depth,
        lengths=torch.as_tensor(generator.integers(1, structure.depth + 1, batch)),
        tokens=drafted(structure, draft, drawing, seed + 3),
        draft=draft[:, : structure.nodes_within[structure.depth - 1]],
        target=TargetRows(target.log(), Sampling()),
        coins=torch.as_tensor(generator.random((batch, nodes))),
    )
    return made, target


def by_kernel(name: str, structure: Structure, given: Round, target: Any, options: Any) -> list[Any]:
    """Return (stop node, final token or -1) of each sequence by the kernel's own Python text."""
    kernel = kernel_of(get_rule(name))
    found = []
    for row in range(len(given.lengths)):
        rows = target[row].numpy()
        draft = np.zeros_like(rows)
        draft[: given.draft.shape[1]] = given.draft[row].numpy()
        coins = given.coins[row].numpy().copy()
        if name == "match":
            # The kernel draws at a node with the node's coin, the torch rule with the first child's.
            for node in range(len(coins)):
                if structure.children(node):
                    coins[node] = given.coins[row, structure.children(node).start]
        prepared = kernel.prepare(rows, draft, structure, **options) if kernel.prepare else None
        step = SimpleNamespace(
            parent=np.array(structure.parents), first=np.array(structure.first), row=np.arange(len(rows)),
            token=given.tokens[row].numpy(), coin=coins, target=rows, draft=draft, param=prepared,
            room=np.zeros((structure.depth + 2, TOKENS)), weight=np.zeros(len(rows)),
            profile=np.zeros((0, 3, TOKENS + 1)),
        )  # fmt: skip
        found.append(kernel.verify(step, structure.nodes_within[int(given.lengths[row])]))
    return found


def differences(name: str, structure: Structure, drawing: Any, options: Any, batch: int = 200) -> int:
    """Return in how many sequences the torch rule decides otherwise than the kernel with the same coins."""
    given, target = a_round(structure, drawing, batch, seed=1)
    verdict = text_of(get_rule(name)).verify(given, **options)
    final = draw(verdict.weights, given.coins[:, :1])[:, 0]
    count = 0
    for row, (node, token) in enumerate(by_kernel(name, structure, given, target, options)):
        rejected = token >= 0
        # After a whole path comes the target's row itself.
        wanted = token if rejected else draw_weights(target[row, node].numpy(), float(given.coins[row, 0]))
        mine = int(verdict.node[row]), bool(verdict.rejected[row]), int(final[row])
        count += mine != (node, rejected, wanted)
    return count


@pytest.mark.parametrize(("name", "structure", "drawing", "options"), cases())
def test_verify__decides_as_the_kernel_does_with_the_same_coins(name, structure, drawing, options):
    assert differences(name, structure, drawing, options) == 0


@pytest.mark.parametrize(("name", "structure", "drawing", "options"), cases())
def test_verify__has_the_step_law(name, structure, drawing, options):
    """One draft, many coins: how often each node and final token is met."""
    nodes, runs = len(structure.parents), 4000
    target, draft = random_rows(1, nodes, seed=5), random_rows(1, nodes, seed=6)
    tokens = drafted(structure, draft, drawing, seed=7)
    law = step_law_of(get_rule(name)).law(
        structure, target[0].numpy(), draft[0].numpy(), tokens[0].numpy(), **options
    )
    generator = np.random.default_rng(8)
    given = Round(
        tree=Tree(structure, "cpu"), length=structure.depth, lengths=torch.full((runs,), structure.depth),
        tokens=tokens.expand(runs, -1), draft=draft[:, : structure.nodes_within[-2]].expand(runs, -1, -1),
        target=TargetRows(target.log().expand(runs, -1, -1), Sampling()),
        coins=torch.as_tensor(generator.random((runs, nodes))),
    )  # fmt: skip
    verdict = text_of(get_rule(name)).verify(given, **options)
    final = draw(verdict.weights, torch.as_tensor(generator.random((runs, 1))))[:, 0]
    counts = np.bincount((verdict.node * TOKENS + final).numpy(), minlength=nodes * TOKENS)
    # Sums of float64 leave some 1e-17 where nothing can happen.
    wanted = np.where(law.ravel() < 1e-12, 0.0, law.ravel())
    assert decide_law_by_cells_and_entropy(counts=counts, runs=runs, probabilities=wanted, alpha=1e-9).agrees


# Mistakes in each rule, found coin by coin.


def no_update(monkeypatch: Any) -> None:
    monkeypatch.setattr(verification, "replaced", lambda row, left, where: row)


MUTANTS = {
    "ratio: residual from the target": (
        "ratio", chain(3), lambda patch: patch.setattr(ratio, "residual", lambda target, *rest: target),
    ),
    "recursive: the target is not updated between siblings": ("recursive", levels((2, 2)), no_update),
    "recursive-distinct: tests by the whole draft row": (
        "recursive-distinct", levels((3, 1, 2)),
        lambda patch: patch.setattr(recursive_distinct, "untried", lambda row, tried: row),
    ),
    "one-hot: the rejected token stays": (
        "one-hot", paths(2, 2),
        lambda patch: patch.setattr(one_hot, "residual", lambda target, *rest: target),
    ),
    "match: the likeliest token of the target": (
        "match", levels((2, 2)),
        lambda patch: patch.setattr(match, "draw", lambda rows, coins: rows.argmax(-1, keepdim=True)),
    ),
    "k-seq: a factor of 1": (
        "k-seq", levels((2, 2)),
        lambda patch: patch.setattr(k_seq, "_HALVINGS", 0),
    ),
    "k-seq: every test spends as much as the first": (
        "k-seq", levels((3, 1, 2)),
        lambda patch: patch.setattr(k_seq, "spent", lambda each, children: each * children),
    ),
    "summed-coin: the final token may be a child": (
        "summed-coin", levels((2, 2)),
        lambda patch: patch.setattr(verification.Node, "without_children", lambda self, rows: rows),
    ),
    "summed-coin: a coin for every child": (
        "summed-coin", levels((2, 2)),
        lambda patch: patch.setattr(
            summed_coin, "walk",
            lambda round, decide: verification.walk(
                round, lambda node: decide(replace(node, coins=node.coins.flip(1)))
            ),
        ),
    ),
    "traversal: a deleted leaf changes nothing": (
        "traversal", levels((2, 2)),
        lambda patch: patch.setattr(traversal, "_deleted", lambda round, parent, *rest: parent),
    ),
    "traversal: the weight of a node stays when its child is deleted": (
        "traversal", levels((2, 2)),
        lambda patch: patch.setattr(
            traversal, "_deleted",
            lambda r, parent, *rest, original=traversal._deleted: original(r, parent, *rest)._replace(
                weight=parent.weight
            ),
        ),
    ),
    "traversal-distinct: weighs by the whole draft row": (
        "traversal-distinct", levels((2, 2)),
        lambda patch: patch.setattr(traversal_distinct, "untried", lambda row, tried: row),
    ),
    "block: the residual of the target without its weight": (
        "block", chain(3),
        lambda patch: patch.setattr(
            block.Chain, "first_rejected",
            lambda self, accepted, values, original=block.Chain.first_rejected: original(
                self, accepted, (self.target[:, :3] - self.draft).clamp(min=0)
            ),
        ),
    ),
    "over-acceptance: nothing is over-accepted": (
        "over-acceptance", chain(3),
        lambda patch: patch.setattr(
            over_acceptance, "one_by_one", lambda round, passes, left: verification.one_by_one(
                round, ratio.passes, left
            ),
        ),
    ),
    "walk: a sequence goes on after its end": (
        "recursive", levels((2, 2)),
        lambda patch: patch.setattr(
            recursive, "walk",
            lambda round, decide: verification.walk(
                replace(round, lengths=torch.full_like(round.lengths, round.length)), decide
            ),
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant__of_a_rule_is_found_coin_by_coin(mutant, monkeypatch):
    name, structure, apply = MUTANTS[mutant]
    rule = get_rule(name)
    options = OPTIONS.get(name, [{}])[0]
    assert differences(name, structure, rule.drawings[0], options) == 0
    apply(monkeypatch)
    assert differences(name, structure, rule.drawings[0], options) > 0


def test_mutants__every_torch_rule_has_one():
    assert {name for name, *_ in MUTANTS.values()} == set(torch_rules())


# Drafting.


@pytest.mark.parametrize("drawing", ["independent", "distinct", "greedy"])
def test_draw_children__has_the_law_of_theory(drawing):
    from specsim.theory.step_laws.drafts import child_law

    row, runs = np.array([0.5, 0.2, 0.3, 0.0]), 4000
    coins = torch.as_tensor(np.random.default_rng(1).random((runs, 3)))
    tokens = draw_children(torch.as_tensor(row).expand(runs, -1), coins, drawing).numpy()
    law = np.zeros((4, 4, 4))
    for met in itertools.product(range(4), repeat=3):
        before = [np.array(met[:number], dtype=np.int64) for number in range(3)]
        law[met] = np.prod([child_law(row, before[n], 3, drawing)[met[n]] for n in range(3)])
    counts = np.bincount(tokens @ [16, 4, 1], minlength=64)
    result = decide_law_by_cells_and_entropy(counts=counts, runs=runs, probabilities=law.ravel(), alpha=1e-9)
    assert result.agrees


def test_untried__uniform_when_nothing_is_left_and_the_row_when_all_are_tried():
    row = torch.tensor([0.5, 0.5, 0.0, 0.0])
    assert untried(row, torch.tensor([1, 0])).tolist() == [0, 0, 0.5, 0.5]
    assert untried(row, torch.tensor([1, 0, 2, 3])).tolist() == row.tolist()


@pytest.mark.parametrize("structure", STRUCTURES, ids=lambda structure: structure.label)
def test_tree__has_the_paths_and_ancestors_of_the_structure(structure):
    made = Tree(structure, "cpu")
    for node in range(len(structure.parents)):
        path = structure.path(node)
        filled = [*path, *[node] * (structure.depth - len(path))]
        assert made.path(torch.tensor([node]), structure.depth).tolist() == [filled]
        assert made.sees[node].nonzero()[:, 0].tolist() == [0, *path]
        if structure.depths[node] < structure.depth:
            children, there = made.children(torch.tensor(node), structure.depths[node])
            assert children[there].tolist() == list(structure.children(node))


# Decoding: whole runs through caches, masks and positions.

ALGORITHMS = [
    get_rule("traversal")(tree=(2, 2)),
    get_rule("recursive")(tree=IRREGULAR),
    get_rule("k-seq")(drafts=2, draft_length=2),
    get_rule("summed-coin")(tree=(2, 2)),
]
MORE = [
    get_rule("traversal")(drafts=2, draft_length=2, bonus=False),
    get_rule("recursive")(tree=(2, 1, 2)),
    get_rule("recursive")(tree=tree((-1, 0, 0, 1)), bonus=False),
    get_rule("k-seq")(tree=(2, 2)),
    get_rule("summed-coin")(tree=(2, 2), drawn="greedy"),
    get_rule("recursive-distinct")(tree=(2, 2)),
    get_rule("traversal-distinct")(tree=(2, 2)),
    get_rule("match")(tree=(2, 2), drawn="greedy"),
    get_rule("one-hot")(tree=IRREGULAR, drawn="distinct"),
]


def models_of(pair: specsim.ModelPair, *, check_positions: bool = True) -> LoadedPair:
    target, draft = table_models(pair, skip=1, check_positions=check_positions)
    return LoadedPair(target=target, draft=draft)


def agrees(algorithm: Any, *, seed: int = 5, check_positions: bool = True, runs: int = 2000) -> bool:
    """Hold tokens, rejections, calls and accepted lengths of runs against their joint law."""
    distinct = algorithm.drawing != "independent" or algorithm.structure(9).widths is None
    pair = specsim.random_prefix_pair(tokens=3 if distinct else 2, horizon=3 if distinct else 4, seed=seed)
    decoded = decode(
        models_of(pair, check_positions=check_positions), [[0]] * runs, algorithm=algorithm,
        new_tokens=pair.horizon, seed=7,
    )  # fmt: skip
    law = enumerate_outcomes(pair, algorithm).law
    places: dict[Any, int] = {outcome: place for place, outcome in enumerate(law)}
    counts = np.zeros(len(law) + 1, dtype=np.int64)
    for number, ids in enumerate(decoded.tokens):
        path = 0
        for token in ids:
            path = path * pair.tokens + token
        rejected = sum(1 << (position - 1) for position in decoded.rejected_positions[number])
        lengths = tuple(decoded.accepted_lengths[number])
        counts[places.get((path, rejected, len(lengths), lengths), -1)] += 1
    probabilities = np.array([*map(float, law.values()), 0.0])
    return bool(
        decide_law_by_cells_and_entropy(
            counts=counts, runs=runs, probabilities=probabilities, alpha=1e-9
        ).agrees
    )


@pytest.mark.parametrize(
    "algorithm",
    [*ALGORITHMS, *(pytest.param(algorithm, marks=pytest.mark.slow) for algorithm in MORE)],
    ids=lambda rule: rule.label,
)
def test_decode__joint_law_of_everything_on_trees(algorithm):
    assert agrees(algorithm)


@pytest.mark.parametrize(
    "algorithm",
    [
        get_rule("traversal")(tree=(2, 2, 1)),
        get_rule("recursive")(tree=IRREGULAR),
        get_rule("summed-coin")(tree=(2, 2)),
    ],
    ids=lambda rule: rule.label,
)
def test_decode__a_sequence_is_the_same_in_any_batch(algorithm):
    pair = specsim.random_pair(contexts=7, tokens=5, horizon=20, seed=1, stationary=True)
    target, draft = table_models(pair, check_positions=True)
    models = LoadedPair(target=target, draft=draft)
    prompts = [[1], [2, 3, 4, 0], [3, 1], [0, 0, 2]]
    options: dict[str, Any] = {"algorithm": algorithm, "new_tokens": 9, "seed": 2**63 + 5}
    together = decode(models, prompts, **options)
    alone = [decode(models, [prompt], first_sequence=n, **options) for n, prompt in enumerate(prompts)]
    for field in (
        "tokens", "accepted_lengths", "drafted_lengths", "first_positions", "rejected_positions",
        "bonus_positions",
    ):  # fmt: skip
        assert getattr(together, field) == [getattr(one, field)[0] for one in alone], field


def test_mutant__siblings_see_each_other(monkeypatch):
    algorithm = get_rule("recursive")(tree=(2, 2))
    monkeypatch.setattr(Tree, "sees", property(lambda self: torch.ones(7, 7, dtype=torch.bool).tril()))
    with pytest.raises(specsim.InputError, match="position_ids"):
        agrees(algorithm, runs=20)
    assert not agrees(algorithm, check_positions=False)


def test_mutant__cache_keeps_the_rejected_branch(monkeypatch):
    algorithm = get_rule("traversal")(tree=(2, 2))
    monkeypatch.setattr(RaggedCache, "straighten", lambda *arguments: None)
    assert not agrees(algorithm, check_positions=False)


@pytest.mark.slow
def test_mutant__straightened_to_the_first_path(monkeypatch):
    original = RaggedCache.straighten
    monkeypatch.setattr(
        RaggedCache, "straighten", lambda self, root, path: original(self, root, torch.ones_like(path))
    )
    assert not agrees(get_rule("recursive")(tree=(2, 2)), check_positions=False)


@pytest.mark.slow
def test_mutant__children_of_an_irregular_tree_drawn_after_another_node(monkeypatch):
    original = CachedModel.read_tree

    def mixed_up(self: Any, *arguments: Any) -> Any:
        logits = original(self, *arguments)
        return logits.flip(1) if logits.shape[1] == 3 else logits

    monkeypatch.setattr(CachedModel, "read_tree", mixed_up)
    assert not agrees(get_rule("recursive")(tree=IRREGULAR))
