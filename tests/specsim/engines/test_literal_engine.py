"""The literal engine as a whole: the same bits however the work is cut, and clear refusals."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from specsim import ModelPair
from specsim.algorithms import Batch, Speculative, catalogue, get_rule
from specsim.engines.literal import engine
from specsim.engines.literal.helpers import draw_weights
from specsim.engines.literal.kernels import kernel_of
from specsim.errors import InputError, TooLargeError, UnsupportedError


def pair_of(tokens=5, horizon=7, seed=1):
    rows = np.random.default_rng(seed).dirichlet(np.full(tokens, 0.5), (2, tokens))
    return ModelPair.from_probabilities(*rows, initial=np.full(tokens, 1 / tokens), horizon=horizon)


def tallies(tally):
    return {name: values for name, values in vars(tally).items() if name != "shape"}


def same(first, second):
    return all(np.array_equal(values, tallies(second)[name]) for name, values in tallies(first).items())


@pytest.mark.parametrize("name", ["block", "recursive-distinct", "traversal", "ratio", "gumbel"])
def test_tallies__do_not_depend_on_how_runs_are_cut(name, request_of, monkeypatch):
    rule = get_rule(name)
    shape = {"draft_length": 3} if rule.structures == ("chain",) else {"tree": (2, 1)}
    request = request_of(pair_of(), rule(**shape))
    whole = engine.run(request, 2**32 - 300, 1000, threads=1)
    parts = [
        engine.run(request, 2**32 - 300 + begin, end - begin, threads=2)
        for begin, end in ((0, 1), (1, 333), (333, 1000))
    ]
    for part in parts[1:]:
        parts[0].add(part)
    assert same(whole, parts[0])
    monkeypatch.setattr(engine, "_CHUNK_WORK", 1)
    rejections, seen = np.zeros(1000, np.int64), []
    threaded = engine.run(
        request, 2**32 - 300, 1000, threads=3, rejections_of_run=rejections, progress=seen.append
    )
    assert same(whole, threaded)
    assert np.bincount(rejections, minlength=8).tolist() == whole.rejection_count.tolist()
    assert seen[-1] == 1000


def test_tallies__agree_with_one_another(request_of):
    pair = pair_of()
    tally = engine.run(request_of(pair, get_rule("recursive")(tree=(2, 2))), 0, 2000, threads=1)
    calls, accepted = np.arange(8), np.arange(8)
    rounds = int((tally.target_call_count * calls).sum())
    assert tally.accepted_length_count.sum() == rounds
    assert tally.first_accepted_length_count.sum() == tally.rejection_count.sum() == 2000
    assert (tally.rejection_count * calls).sum() == tally.rejections_by_step.sum()
    assert tally.tokens.sum(axis=1).tolist() == [2000] * 7
    assert (tally.accepted_length_square_sum >= tally.accepted_length_count).all()
    per_run = tally.accepted_length_count * accepted
    assert per_run.sum() < 7 * 2000


def test_python_text__without_compilation_gives_the_same_tallies(request_of):
    code = (
        "import sys, numpy as np\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from conftest import literal_request\n"
        "from test_literal_engine import in_python\n"
        "print(in_python(literal_request))\n"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "error::RuntimeWarning"}
    done = subprocess.run(
        [sys.executable, "-c", code, os.path.dirname(__file__)],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == in_python(request_of)


def in_python(request_of):
    """Tallies of a few runs of several rules, as text."""
    found = []
    for name in ("block", "traversal-distinct", "greedy-drafts", "recursive-any-order", "gumbel"):
        rule = get_rule(name)
        shape = {"draft_length": 3} if rule.structures == ("chain",) else {"tree": (2, 2)}
        request = request_of(pair_of(), rule(**shape))
        found.append(engine.run(request, 0, 20, threads=1).tokens.ravel().tolist())
    return str(found)


def test_wide_vocabulary__no_token_without_target_weight(request_of):
    generator = np.random.default_rng(5)
    rows = generator.dirichlet(np.full(300, 0.2), (2, 3))
    rows[rows < 1e-3] = 0
    rows[:, :, 0] += 1e-3
    rows /= rows.sum(axis=-1, keepdims=True)
    pair = ModelPair.from_probabilities(
        *rows, initial=np.full(3, 1 / 3), next_context=generator.integers(0, 3, (3, 300)), horizon=6
    )
    for name in ("ratio", "block"):
        tally = engine.run(request_of(pair, get_rule(name)(draft_length=3)), 0, 3000, threads=1)
        drawn = tally.tokens.reshape(6, 3, 300).sum(axis=0)
        assert not drawn[pair.target[0] == 0].any()


def gumbel_without_drafts():
    return replace(get_rule("gumbel"), name="mine", own=damped)


def unwritten():
    return replace(get_rule("match"), name="unwritten")


REFUSED = {
    "no kernel": (lambda: unwritten()(tree=(2,)), UnsupportedError, "not written yet"),
    "infinite drafts": (lambda: Batch(drafts=float("inf")), InputError, "theory only"),
    "too many children": (lambda: get_rule("match")(drafts=6, drawn="distinct"), InputError, "6 children"),
    "own drafts": (lambda: gumbel_without_drafts()(draft_length=2), InputError, "its own drafts"),
    "too many nodes": (lambda: get_rule("recursive")(tree=(200, 200, 200)), TooLargeError, "nodes"),
}  # fmt: skip


def refuse(request):
    engine.check(request)
    engine.run(request, 0, 1, threads=1)


@pytest.mark.parametrize("case", REFUSED)
def test_check__refuses(case, request_of):
    make, error, text = REFUSED[case]
    request = request_of(pair_of(), make())
    with pytest.raises(error, match=text):
        refuse(request)


def test_run__refuses_plans_over_too_many_sets(request_of):
    request = request_of(pair_of(tokens=17), get_rule("transport-distinct")(tree=(2,)))
    with pytest.raises(TooLargeError, match="all sets of 17 tokens"):
        refuse(request)


def own(function, **facts):
    return replace(get_rule("ratio"), name=function.__name__, own=function, **facts)


def damped(step, nodes):
    """Accept with 0.75 min(1, T / D); replace from what 0.75 min(T, D) leaves of the target."""
    t, d, room = step.target, step.draft, step.room
    for i in range(1, nodes):
        r, x = step.row[i - 1], step.token[i]
        if step.coin[i] * d[r, x] >= 0.75 * min(t[r, x], d[r, x]):
            for y in range(t.shape[1]):
                room[0, y] = t[r, y] - 0.75 * min(t[r, y], d[r, y])
            return i - 1, draw_weights(room[0], step.coin[0])
    return nodes - 1, -1


def test_own_rule__is_lossless_at_every_position(request_of):
    pair, runs = pair_of(), 20_000
    tally = engine.run(request_of(pair, own(damped)(draft_length=3)), 0, runs, threads=1)
    law = pair.initial
    for counts in tally.tokens.reshape(7, 5, 5).sum(axis=1):
        law = law @ pair.target[0]
        assert np.abs(counts / runs - law).max() < 6 * np.sqrt(0.25 / runs)


def no_node(step, nodes):
    return nodes, -1


def no_token(step, nodes):
    return 0, step.target.shape[1]


def ends_nowhere(step, nodes):
    return 0, -1


def replaces_at_a_leaf(step, nodes):
    return nodes - 1, 0


def reads_beyond(step, nodes):
    return nodes - 1, -1 if step.target[0, 1000 + nodes] > 2 else 0


def unknown_name(step, nodes):
    return something_else(step), -1  # type: ignore[name-defined]  # noqa: F821


def makes_arrays(step, nodes):
    weights = np.ones(3)
    return nodes - 1, -1 if weights.sum() > 0 else 0


FAULTS = {
    no_node: r"no_node \(.*test_literal_engine.py, line \d+\) returned \(4, -1\), but the nodes are 0 to 3",
    no_token: r"returned \(0, 5\), but the tokens are 0 to 4",
    ends_nowhere: r"node 0 is not a leaf",
    replaces_at_a_leaf: r"node 3 is a leaf",
    reads_beyond: r"reads_beyond .*out of bounds",
    unknown_name: r"unknown_name does not compile .*line \d+.*something_else",
}


@pytest.mark.parametrize("function", FAULTS)
def test_own_rule__faults_name_rule_line_and_remedy(function, request_of):
    with pytest.raises(InputError, match=FAULTS[function]):
        engine.run(request_of(pair_of(), own(function)(draft_length=3)), 0, 100, threads=1)


@pytest.mark.parametrize("shape", [(5,), (3, 2), (0, 1)])
def test_own_rule__prepare_returns_a_row_of_numbers_for_each_row(shape, request_of):
    rule = own(damped, own_prepare=lambda target, draft, structure: np.zeros(shape, np.int64))
    with pytest.raises(InputError, match=r"prepare returned shape .* each of the 5 rows"):
        engine.run(request_of(pair_of(), rule(draft_length=2)), 0, 1, threads=1)


def test_own_rule__prepare_returns_rows_for_every_step(request_of):
    rows = np.full((4, 3, 3), 1 / 3)
    pair = ModelPair.from_probabilities(rows, rows, initial=[1, 0, 0])
    rule = own(damped, own_prepare=lambda target, draft, structure: np.zeros((3, 1)))
    with pytest.raises(InputError, match="each of the 12 rows"):
        engine.run(request_of(pair, rule(draft_length=2)), 0, 1, threads=1)


@pytest.mark.parametrize("name", [name for name, rule in catalogue().items() if "kernel" in rule.texts])
def test_kernels__are_short(name):
    lines = len(inspect.getsource(kernel_of(get_rule(name)).verify).splitlines())
    assert lines <= {"ratio": 10, "block": 20}.get(name, 45)


def test_own_rule__may_make_arrays(request_of):
    request = request_of(pair_of(), own(makes_arrays)(draft_length=3))
    assert engine.run(request, 0, 10, threads=1).accepted_length_count[3] == 20


def test_nothing_drafted__is_plain_decoding(request_of):
    from specsim.algorithms import Autoregressive

    tally = engine.run(request_of(pair_of(), Autoregressive()), 0, 50, threads=1)
    assert tally.target_call_count[7] == 50
    assert tally.rejection_count[0] == 50


def test_seeds_and_runs__are_told_apart(request_of):
    request = request_of(pair_of(), Speculative(draft_length=3))
    first = engine.run(request, 0, 100, threads=1)
    assert not same(first, engine.run(request, 100, 100, threads=1))
    assert not same(first, engine.run(replace(request, seed=2), 0, 100, threads=1))
