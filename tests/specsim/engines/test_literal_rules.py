"""Every rule on every kind of structure: what the loop counts against the exact law of whole outcomes.

The law is composed here from the step laws of theory, with which the engine shares nothing.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from specsim import ModelPair
from specsim.algorithms import (
    Autoregressive,
    Batch,
    BatchAsPrinted,
    OverAcceptance,
    RejectionBased,
    catalogue,
)
from specsim.algorithms.rule import get_rule
from specsim.algorithms.structures import tree
from specsim.engines.literal import engine, kernels, pointers
from specsim.engines.literal.drawing import DRAWINGS
from specsim.theory.laws.laws import Laws
from specsim.theory.step_laws import step_law_of

RUNS = 60_000
IRREGULAR = tree((-1, 0, 0, 1, 1, 2))


def draft_law(algorithm, row, before, children):
    """The law of the next child of a node, given its row and the tokens of the children before."""
    drawing = algorithm.drawing
    order = sorted(range(len(row)), key=lambda y: (-row[y], y))
    if drawing == "own":
        last = len(before) == children - 1
        after_other = len(before) == 1 and before[0] != order[0]
        drawing = {
            "greedy-drafts": "distinct" if last else "greedy",
            "spechub": "hub" if after_other else "distinct" if len(before) == 1 else "independent",
        }.get(algorithm.rule.name, "independent")
    if drawing in ("greedy", "hub"):
        return {order[len(before) if drawing == "greedy" else 0]: 1.0}
    left = list(row)
    if drawing == "distinct":
        left = [0.0 if y in before else weight for y, weight in enumerate(row)]
        if not any(left):
            left = [float(y not in before) for y in range(len(row))]
    return {y: weight / sum(left) for y, weight in enumerate(left) if weight}


def round_law(pair, algorithm, position, context, horizon):
    """{(tokens emitted, whether the last one is a replacement): probability} of one round."""
    structure = algorithm.structure(horizon).cut(horizon - position)
    nodes, tokens = len(structure.parents), pair.tokens
    drafts = [((None,), (context,), 1.0)]
    for node in range(1, nodes):
        parent = structure.parents[node]
        siblings = structure.children(parent)
        grown = []
        for words, contexts, probability in drafts:
            row = pair.draft[pair.step_index(position + structure.depths[parent]), contexts[parent]]
            before = [words[child] for child in siblings if child < node]
            for token, chance in draft_law(algorithm, row, before, len(siblings)).items():
                following = int(pair.next_context[contexts[parent], token])
                grown.append(((*words, token), (*contexts, following), probability * chance))
        drafts = grown
    places = [
        [(position + depth, context) for depth, context in zip(structure.depths, contexts, strict=True)]
        for _, contexts, _ in drafts
    ]

    def rows(table):
        # One step may serve all; after the horizon no row is read.
        return np.array([[table[min(step, len(table) - 1), c] for step, c in nodes] for nodes in places])

    words = np.array([[0, *words[1:]] for words, _, _ in drafts])
    parameters = {
        name: value if isinstance(value, str | float | Fraction) else rows(value)
        for name, value in algorithm.parameters.items()
    }
    stops = step_law_of(algorithm.rule).law(
        structure, rows(pair.target), rows(pair.draft), words, **parameters
    )
    law = defaultdict(float)
    for (drafted, _, probability), table in zip(drafts, stops, strict=True):
        for stop, final in product(range(nodes), range(tokens)):
            leaf = not structure.children(stop)
            path = tuple(drafted[node] for node in structure.path(stop))
            if leaf and (position + len(path) == horizon or not algorithm.whole_bonus):
                law[path, False] += probability * table[stop, final]
            else:
                law[(*path, final), not leaf] += probability * table[stop, final]
    return {outcome: chance for outcome, chance in law.items() if chance > 1e-15}


def outcome_law(pair, algorithm, horizon):
    """{(tokens, set of rejected positions): probability} of a run."""
    law = defaultdict(float)
    rounds = {}
    states = {((), 0, context): float(p) for context, p in enumerate(pair.initial) if p}
    while states:
        following = defaultdict(float)
        for (tokens, rejected, context), probability in states.items():
            if len(tokens) == horizon:
                law[tokens, rejected] += probability
                continue
            key = len(tokens), context
            if key not in rounds:
                rounds[key] = round_law(pair, algorithm, *key, horizon)
            for (emitted, replaced), chance in rounds[key].items():
                after = context
                for token in emitted:
                    after = int(pair.next_context[after, token])
                flag = 2 ** (len(tokens) + len(emitted) - 1) if replaced else 0
                following[(*tokens, *emitted), rejected | flag, after] += probability * chance
        states = following
    return law


def counts_of(tally, tokens):
    horizon = tally.shape.horizon
    found = {}
    for path, rejected in zip(*np.nonzero(tally.outcomes), strict=True):
        words = tuple(int(path) // tokens**i % tokens for i in range(horizon))[::-1]
        found[words, int(rejected)] = int(tally.outcomes[path, rejected])
    return found


def check(pair, algorithm, violations, request_of, runs=RUNS):
    request = request_of(pair, algorithm, outcomes=True)
    engine.check(request)
    tally = engine.run(request, 0, runs, threads=1)
    return violations(counts_of(tally, pair.tokens), outcome_law(pair, algorithm, pair.horizon))


def small_pairs():
    generator = np.random.default_rng(7)
    rows = generator.dirichlet(np.full(3, 0.7), (2, 3))
    rows[1, 1] = [0.0, 1.0, 0.0]
    markov = ModelPair.from_probabilities(*rows, initial=[0.5, 0.5, 0.0], horizon=4)
    rows = generator.dirichlet(np.full(2, 1.0), (2, 5, 3))
    changing = ModelPair.from_probabilities(
        *rows, initial=[0.25, 0.25, 0.5], next_context=generator.integers(0, 3, (3, 2)), name="changing"
    )
    rows = generator.dirichlet(np.full(4, 3.0), (2, 4))
    mild = ModelPair.from_probabilities(*rows, initial=[0.0, 0.0, 0.5, 0.5], horizon=3, name="mild")
    return {"markov": markov, "changing": changing, "mild": mild}


PAIRS = small_pairs()
OF_KIND = {
    "chain": [{"draft_length": 2}, {"draft_length": 3, "bonus": False}, {}],
    "paths": [{"drafts": 2, "draft_length": 2}, {"drafts": 2, "draft_length": 1, "bonus": False}],
    "tree": [{"tree": (2, 1, 1)}, {"tree": (1, 2)}, {"tree": IRREGULAR}],
}


def independent_rounds(rule):
    """Whether nothing is kept from round to round; claims compare the other rules."""
    return "step_law" not in rule.texts or step_law_of(rule).keeping is None


def algorithms():
    found = []
    for rule in catalogue().values():
        if "kernel" in rule.texts and not rule.parameters and independent_rounds(rule):
            for kind in rule.structures:
                for options in OF_KIND[kind]:
                    found += [rule(**options, drawn=drawn) for drawn in rule.drawings]
    return found


def on_two_pairs():
    """All on a Markov pair; on rows that change, without what differs in the way of drawing alone.

    The fast tests have every rule once: on a chain and rows that change, or on paths or a tree and the Markov
    pair.
    """
    seen = set()
    for algorithm in algorithms():
        rule, kind = algorithm.rule, algorithm.structure(4).kind
        usual = algorithm.drawing == rule.drawings[0]
        fast = usual and kind == rule.structures[-1] and rule.name not in seen
        for pair in ("markov", "changing") if usual and algorithm.tree != (1, 2) else ("markov",):
            here = fast and (pair == "changing") == (kind == "chain")
            yield pytest.param(
                pair, algorithm, id=f"{pair}-{algorithm.label}", marks=[] if here else [pytest.mark.slow]
            )
        if fast:
            seen.add(rule.name)


def structures_of(rule):
    return {
        "chain": {"draft_length": 3},
        "paths": {"drafts": 2, "draft_length": 3},
        "tree": {"tree": IRREGULAR},
    }[rule.structures[-1]]


@pytest.mark.parametrize(
    "name",
    [n for n, rule in catalogue().items() if "kernel" in rule.texts and independent_rounds(rule)],
)
def test_rounds__have_the_laws_of_theory(name, violations, request_of):
    """All tallies of rounds, on a longer horizon, against the class of laws."""
    rule = get_rule(name)
    if rule.parameters:
        pytest.skip("rules with parameters are compared by outcomes")
    pair, algorithm = PAIRS["mild"].with_horizon(7), rule(**structures_of(rule))
    tally = engine.run(request_of(pair, algorithm), 0, RUNS, threads=1)
    laws = Laws(pair, algorithm)
    for counts, law in (
        (tally.rejection_count, laws.rejection_law()),
        (tally.target_call_count, laws.target_call_law()),
        (tally.first_accepted_length_count, laws.first_accepted_length_law()),
    ):
        assert violations(dict(enumerate(counts.tolist())), dict(enumerate(law.tolist()))) == []
    expected = laws.round_counts()
    for place, chance in np.ndenumerate(expected):
        # A run begins at most one round at a position.
        count, chance = int(tally.round_count[place]), min(1.0, float(chance))
        here = violations({1: count, 0: RUNS - count}, {1: chance, 0: 1 - chance}, 1e-9 / expected.size)
        assert here == [], place
    assert not tally.round_count[:, expected.shape[1] :].any()


@pytest.mark.parametrize(("name", "algorithm"), list(on_two_pairs()))
def test_rules__have_the_exact_law_of_outcomes(name, algorithm, violations, request_of):
    assert check(PAIRS[name], algorithm, violations, request_of) == []


@pytest.mark.parametrize(
    "algorithm",
    [
        Autoregressive(),
        OverAcceptance(epsilon=0.125, draft_length=2, bonus=True),
        OverAcceptance(epsilon=0.25, residual="target"),
        OverAcceptance(epsilon=0.25, residual="draft", draft_length=2, bonus=False),
        Batch(drafts=2, draft_length=2, bonus=True),
        Batch(drafts=2),
        BatchAsPrinted(drafts=2, slip="inside-loop"),
        BatchAsPrinted(drafts=2, slip="extra-subtraction"),
    ],
    ids=lambda algorithm: algorithm.label,
)
def test_rules_with_parameters__have_the_exact_law(algorithm, violations, request_of):
    assert check(PAIRS["markov"], algorithm, violations, request_of) == []


@pytest.mark.parametrize("steps", [(1, 1), (4, 1), (1, 5), (4, 4)])
def test_rejection_based__tables_by_step_or_for_all(steps, violations, request_of):
    generator = np.random.default_rng(3)
    pair = PAIRS["markov"]
    acceptance = generator.integers(0, 8, (steps[0], 3, 3)) / 7
    residual = generator.dirichlet(np.ones(3), (steps[1], 3))
    algorithm = RejectionBased(acceptance=acceptance, residual=residual, draft_length=2, bonus=True)
    assert check(pair, algorithm, violations, request_of) == []


MUTANTS = {
    "ratio": ("step.coin[i] * step.draft[row, x]", "step.coin[0] * step.draft[row, x]"),
    "block": ("draw_excess(step, step.row[stop], scale)", "draw_excess(step, step.row[stop], 1.0)"),
    "recursive": ("* mass * step.draft", "* step.draft"),
    "recursive-distinct": ("untried(step, at, child, drafts)", "untried(step, at, step.first[at], drafts)"),
    "recursive-any-order": ("second_coin(step, turn) * untried < passed", "passed > 0"),
    "k-seq": ("spent += failed", "spent = failed"),
    "traversal": ("mass / (mass + 1.0 - weight[node])", "mass"),
    "traversal-distinct": ("untried(step, node, failed, drafts)", "untried(step, node, 0, drafts)"),
    "summed-coin": ("coin < covered", "step.coin[child] < covered"),
    "one-hot": ("left -= weights[x]", "left -= 0.0"),
    "match": ("return node, drawn", "return node, draw_weights(step.target[step.row[node]], step.coin[0])"),
    "greedy-drafts": ("step.coin[first] if first < last else step.coin[0]", "step.coin[last]"),
    "gumbel": ("race_of_all(step, first, last, ", "race_of_all(step, first, first + 1, "),
    "minhash": ("if height < step.target", "if 2 * height < step.target"),
    "naive-draws": ("step.coin[child]", "step.coin[step.first[at]]"),
    "spechub": ("others[y] / left if left > 0", "others[y] if left > 0"),
    "two-step": ("quotient > largest or", "largest < 0 or"),
    "greedy-block": ("weight * target[x] / law[x]", "weight * target[x] / draft[x]"),
}  # fmt: skip


#: Each has to be compiled; the fast tests have one on a chain, on paths and on a tree.
FAST_MUTANTS = ("block", "greedy-block", "recursive")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in FAST_MUTANTS else [pytest.mark.slow]) for n in MUTANTS]
)
def test_mutants_of_kernels__are_seen(name, violations, request_of, monkeypatch):
    right = kernels.kernel_of(get_rule(name))
    old, new = MUTANTS[name]
    text = inspect.getsource(right.verify)
    assert text.count(old) == 1
    space = dict(right.verify.__globals__)
    exec(text.replace(old, new), space)
    monkeypatch.setattr(kernels, "kernel_of", lambda rule: replace(right, verify=space["verify"]))
    rule = get_rule(name)
    assert check(PAIRS["mild"], rule(**structures_of(rule)), violations, request_of, runs=300_000) != []


DRAWING_MUTANTS = {
    "distinct drafts drawn independently": ("recursive-distinct", "independent"),
    "independent drafts drawn without repetition": ("recursive", "distinct"),
    "greedy drafts drawn": ("one-hot", "greedy"),
}


@pytest.mark.parametrize("mutant", DRAWING_MUTANTS)
def test_mutants_of_drawing__are_seen(mutant, violations, request_of, monkeypatch):
    name, drawn = DRAWING_MUTANTS[mutant]
    algorithm = get_rule(name)(tree=(2, 1))
    right = pointers.loop_and_kernel

    def wrong(*arguments):
        return (*right(*arguments)[:3], DRAWINGS.index(drawn))

    monkeypatch.setattr(pointers, "loop_and_kernel", wrong)
    if drawn == "greedy":
        algorithm = get_rule(name)(tree=(2, 1), drawn="greedy")
        monkeypatch.setattr(pointers, "loop_and_kernel", lambda *a: (*right(*a)[:3], 0))
    assert check(PAIRS["markov"], algorithm, violations, request_of) != []


def test_mutant_of_tables__rows_of_the_next_step_are_seen(violations, request_of, monkeypatch):
    right = engine.shared_tables

    def wrong(*arguments):
        step, models = right(*arguments)
        return step, models._replace(offset=np.roll(models.offset, 1))

    monkeypatch.setattr(engine, "shared_tables", wrong)
    algorithm = get_rule("ratio")(draft_length=2)
    assert check(PAIRS["changing"], algorithm, violations, request_of) != []
