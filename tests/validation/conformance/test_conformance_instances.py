"""The rows that subjects are tested on: exact in narrow types, telling, and what their names say."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from specsim_tests_zoo import continuation_law

from specsim.errors import InputError
from specsim.support.streams import Stream
from specsim.validation.conformance import filters, instances as made
from specsim.validation.conformance.calling import Caller
from specsim.validation.conformance.checks.options import COMBINED_OPTIONS, VALUES, clear_instance
from specsim.validation.conformance.laboratory import TOLERANCES, Effort, Laboratory
from specsim.validation.conformance.rules.lossless import RATIO
from specsim.validation.conformance.subjects import Subject
from specsim.validation.conformance.wide import make_wide
from specsim.validation.conformance.wide_laws import (
    BITS,
    FEW_GROUPS,
    GROUPS,
    LEFT,
    alternatives,
    coarsely_drawn,
    likeliest,
    rarer,
    telling_partitions,
    verified,
)

SEEDS = (1, 20240817)


def narrow_enough(rows: np.ndarray) -> np.ndarray:
    """Return the rows rounded to 8 significant bits, as bfloat16 does."""
    fraction, exponent = np.frexp(rows)
    return np.ldexp(np.rint(fraction * 2**8) / 2**8, exponent)


def dyadic_instances(seed: int) -> list[made.Instance]:
    found = [
        made.tree_instance(seed, vocabulary=vocabulary, draft_length=length)
        for vocabulary, length in ((2, 3), (3, 2), (4, 1), (4, 3))
    ]
    found += [made.chain_instance(seed, vocabulary=v, draft_length=3) for v in (2, 4)]
    for vocabulary in (2, 3, 4, 6):
        found += made.edge_instances(seed, vocabulary=vocabulary).values()
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_rows__are_held_exactly_by_every_type(seed):
    for instance in dyadic_instances(seed):
        for rows in (instance.target, instance.draft):
            assert (rows.sum(axis=1) == 1.0).all(), instance.name
            np.testing.assert_array_equal(rows.astype(np.float16).astype(np.float64), rows)
            np.testing.assert_array_equal(narrow_enough(rows), rows)


def test_rows__are_held_exactly_by_bfloat16_of_torch():
    torch = pytest.importorskip("torch")
    for instance in dyadic_instances(1):
        narrow = torch.from_numpy(instance.target).to(torch.bfloat16).double().numpy()
        np.testing.assert_array_equal(narrow, instance.target)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("vocabulary", [2, 3, 4, 6])
def test_main_rows__tell_draft_and_target_apart_everywhere(seed, vocabulary):
    for instance in (
        made.tree_instance(seed, vocabulary=vocabulary, draft_length=2),
        made.chain_instance(seed, vocabulary=vocabulary),
    ):
        gap = instance.target - instance.draft
        distance = np.maximum(gap, 0).sum(axis=1)
        assert (instance.target > 0).all()
        assert (instance.draft > 0).all()
        assert (distance >= 0.2).all()
        assert (distance <= 0.6).all()
        atoms = 2 if vocabulary >= 4 else 1
        assert ((gap > 0).sum(axis=1) >= atoms).all(), "a residual of one atom hides how it is drawn"
        assert ((gap < 0).sum(axis=1) >= atoms).all()
    tree = made.tree_instance(seed, vocabulary=vocabulary, draft_length=2)
    if vocabulary >= 4:
        for rows in (tree.target, tree.draft):
            assert len(np.unique(rows, axis=0)) == len(rows), "rows of two contexts are the same"


def test_contexts__of_a_tree_are_the_prefixes_and_of_a_chain_the_last_tokens():
    table = made.prefix_contexts(3, 2)
    assert table.shape == (1 + 3 + 9, 3)
    seen = {0}
    for text in itertools.chain(*(itertools.product(range(3), repeat=n) for n in (1, 2))):
        context = 0
        for token in text:
            context = int(table[context, token])
        assert context not in seen
        seen.add(context)
    chain = made.order_contexts(3, 2)
    for text in itertools.product(range(3), repeat=4):
        context = 0
        for token in text:
            context = int(chain[context, token])
        assert context == 3 * text[-2] + text[-1]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("vocabulary", [2, 3, 4, 6])
def test_edge_rows__have_what_their_names_say(seed, vocabulary):
    edges = made.edge_instances(seed, vocabulary=vocabulary)
    zeros = {name: ((e.target == 0).sum(axis=1), (e.draft == 0).sum(axis=1)) for name, e in edges.items()}
    assert (zeros["zeros in the target"][0] >= 1).all()
    assert (zeros["zeros in the target"][1] == 0).all()
    assert (zeros["zeros in the draft"][0] == 0).all()
    assert (zeros["zeros in the draft"][1] >= 1).all()
    if vocabulary >= 4:
        assert all((side >= 1).all() for side in zeros["zeros on both sides"])
    assert (zeros["one-hot target"][1] == 0).all()
    for name, side in (("one-hot target", 0), ("one-hot draft", 1)):
        found = zeros[name][side]
        assert set(found) == {0, vocabulary - 1}
        assert found[0] == vocabulary - 1
        assert (found[edges[name].next_context[0]] == 0).all()
    apart = edges["disjoint supports"]
    assert (apart.target * apart.draft == 0).all()
    assert ((apart.target > 0) | (apart.draft > 0)).all()
    np.testing.assert_array_equal(edges["equal rows"].target, edges["equal rows"].draft)
    assert edges["equal rows"].target is not edges["equal rows"].draft
    if vocabulary >= 4:
        # A draft of target mass zero, and a residual token that the draft cannot propose, both happen.
        both = edges["zeros on both sides"]
        assert ((both.target == 0) & (both.draft > 0)).any()
        assert ((both.target > 0) & (both.draft == 0)).any()


@pytest.mark.parametrize("tiniest", [1e-300, 1e-37, 7e-5])
def test_tiny_rows__reach_small_masses_on_both_sides(tiniest):
    instance = made.tiny_instance(20240817, tiniest=tiniest)
    for rows in (instance.target, instance.draft):
        assert (rows > 0).all()
        assert rows.min() >= tiniest / 4, "renormalised by less than four"
        assert rows.min() < tiniest**0.7
        np.testing.assert_allclose(rows.sum(axis=1), 1.0, atol=1e-12)


def test_draws__never_have_mass_zero_whatever_the_coin():
    coins = np.array([0.0, 2.0**-1074, 0.25, 0.5, 0.75, 1 - 2.0**-53])
    rng = np.random.default_rng(2)
    for zeros in range(1, 5):
        rows = rng.dirichlet(np.ones(6), size=200)
        rows[np.argsort(rng.random(rows.shape), axis=1) < zeros] = 0.0
        rows *= rng.choice([1e-300, 1.0, 7.0], size=(200, 1))
        for coin in coins:
            drawn = made.inverse(rows, np.full(200, coin))
            assert (rows[np.arange(200), drawn] > 0).all()
        for row in rows:
            assert (row[made.inverse_of_row(row, coins)] > 0).all()
    # Where a coin below 1 times the sum is rounded to the sum, the last token of positive mass takes it.
    smallest = np.array([0.0, 5e-324, 0.0, 0.0])
    assert made.inverse(smallest[None, :], np.array([0.75])).tolist() == [1]
    assert made.inverse_of_row(smallest, np.array([0.75])).tolist() == [1]


def test_draws__follow_the_row():
    row = np.array([0.0, 0.25, 0.0, 0.5, 0.25, 0.0])
    grid = (np.arange(1000) + 0.5) / 1000
    for drawn in (made.inverse(np.tile(row, (1000, 1)), grid), made.inverse_of_row(row, grid)):
        np.testing.assert_allclose(np.bincount(drawn, minlength=6) / 1000, row)


def test_drafts_and_continuations__follow_the_contexts():
    """The chance of a false failure is below 1e-9: 16 cells, 6.5 standard deviations each."""
    instance = made.tree_instance(4, vocabulary=4, draft_length=2)
    rng = np.random.default_rng(9)
    size = 40_000
    begun = np.zeros((size, 3), dtype=np.int64)
    texts = instance.complete(rng, begun, np.where(np.arange(size) % 2, 1, 3), 2)
    assert (texts[::2] == 0).all(), "what is there is kept"
    assert (texts[1::2, 0] == 0).all()
    continued = np.bincount(texts[1::2, 1], minlength=4) / (size // 2)
    law = continuation_law(instance, np.array([0]), 1)
    assert (np.abs(continued - law) <= 6.5 * np.sqrt(law * (1 - law) / (size // 2))).all()
    drafts = np.bincount(made.number(instance.draw_drafted(rng, size), 4), minlength=16) / size
    law = instance.path_law()
    assert (np.abs(drafts - law) <= 6.5 * np.sqrt(law * (1 - law) / size)).all()


def test_instance__refuses_rows_that_are_no_law():
    rows = np.full((1, 2), 0.5)
    table = np.zeros((1, 2), dtype=np.int64)
    fields = {"name": "x", "draft": rows, "next_context": table, "start": 0, "draft_length": 1}
    with pytest.raises(InputError, match="target has a row that is not a law"):
        made.Instance(target=rows * 0.9, **fields)
    with pytest.raises(InputError, match="must have one shape"):
        made.Instance(target=np.full((2, 2), 0.5), **fields)
    with pytest.raises(InputError, match="gives no telling rows"):
        made.telling_rows(Stream(1, "flat"), (3, 4), 0.01)


# Filters, token by token.


def _tempered(row, temperature):
    weights = [value ** (1 / temperature) for value in row]
    return [value / math.fsum(weights) for value in weights]


def _top_k(row, count):
    ranked = sorted(row, reverse=True)
    kept = [value if value >= ranked[min(count, len(row)) - 1] else 0.0 for value in row]
    return [value / math.fsum(kept) for value in kept]


def _top_p(row, mass):
    kept, total = [0.0] * len(row), 0.0
    for token in sorted(range(len(row)), key=lambda token: (-row[token], token)):
        if total >= mass:
            break
        kept[token] = row[token]
        total += row[token]
    return [value / math.fsum(kept) for value in kept]


@pytest.mark.parametrize("temperature", [None, 0.7, 1.5])
@pytest.mark.parametrize("count", [None, 1, 2, 9])
@pytest.mark.parametrize("mass", [None, 0.3, 0.8, 1.0])
def test_filters__agree_with_one_token_at_a_time(temperature, count, mass):
    rows = np.random.default_rng(0).dirichlet(np.ones(5), size=20)
    rows[3] = [0.5, 0.0, 0.5, 0.0, 0.0]
    options = {"temperature": temperature, "top_k": count, "top_p": mass}
    found = filters.filtered(rows, {key: value for key, value in options.items() if value is not None})
    for row, changed in zip(rows.tolist(), found, strict=True):
        expected = row
        for value, change in ((temperature, _tempered), (count, _top_k), (mass, _top_p)):
            expected = expected if value is None else change(expected, value)
        np.testing.assert_allclose(changed, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
    ],
)
def test_filters__refuse_nonsense(options, message):
    with pytest.raises(InputError, match=message):
        filters.filtered(np.full((1, 2), 0.5), options)


def laboratory(**fields) -> Laboratory:
    subject = Subject(name="none", protocol="step", run=lambda *_, **__: None, **fields)
    effort = Effort(name="quick", eps=0.2, seconds=60.0, widest=512)
    return Laboratory(subject, effort, eps=0.2, delta=1e-3, seed=1)


def test_option_rows__keep_the_same_tokens_under_every_reading():
    instance = clear_instance(laboratory())
    for rows in (instance.target, instance.draft):
        for count in VALUES["top_k"]:
            kept = filters.top_k(rows, int(count)) > 0
            assert (kept.sum(axis=1) == count).all(), "no ties"
        for mass in VALUES["top_p"]:
            kept = filters.top_p(rows, mass) > 0
            # Whether the boundary is reached, passed, or counted from the other end.
            for near in (mass - 1e-4, mass + 1e-4):
                np.testing.assert_array_equal(filters.top_p(rows, near) > 0, kept)
        assert (filters.top_k(rows, 2) != rows).any()
        assert (filters.top_p(rows, 0.8) != rows).any()


@pytest.mark.parametrize("draft_length", [1, 3])
def test_option_rows__tell_in_which_order_options_were_applied(draft_length):
    instance = clear_instance(laboratory(max_draft_length=draft_length))
    length = instance.draft_length + 1

    def law(order):
        rows = instance.target
        for name in order:
            rows = filters.filtered(rows, {name: COMBINED_OPTIONS[name]})
        return instance.mapped(lambda _: rows, "x").target_law(length)

    for names in (("temperature", "top_p"), ("top_k", "top_p"), tuple(COMBINED_OPTIONS)):
        right = filters.filtered(instance.target, {name: COMBINED_OPTIONS[name] for name in names})
        expected = instance.mapped(lambda _, right=right: right, "x").target_law(length)
        for order in itertools.permutations(names):
            distance = 0.5 * np.abs(law(order) - expected).sum()
            assert distance >= 0.1 if order[-1] != "top_p" else distance < 1e-12


# Wide vocabularies.


@pytest.mark.parametrize("vocabulary", [256, 2048])
def test_wide_partitions__have_the_mass_they_say(vocabulary):
    instance = made.wide_instance(20240817, vocabulary=vocabulary)
    *equal, both, halves = telling_partitions(instance.target, instance.draft)
    fine, coarse = equal[:4], equal[4:]
    assert len(coarse) == 4
    largest = instance.target.max()
    for groups, count in zip(equal, [GROUPS] * 4 + [FEW_GROUPS] * 4, strict=True):
        assert groups.min() >= 0
        assert groups.max() == count - 1
        for row, law in zip(groups, instance.target, strict=True):
            mass = np.cumsum(np.bincount(row, weights=law, minlength=count))
            steps = (np.arange(count) + 1) / count
            assert mass[-1] == pytest.approx(1.0)
            assert (mass <= steps + 1e-12).all()
            assert (mass >= steps - largest).all(), "a group ends where its next token does not fit"
            assert len(np.unique(row)) >= count // 2
    ratio, rank, draft_rank, number = fine
    np.testing.assert_array_equal(both, coarse[0] * FEW_GROUPS + coarse[2])
    for c, (target, draft) in enumerate(zip(instance.target, instance.draft, strict=True)):
        order = np.argsort(target / draft)
        assert (np.diff(ratio[c, order]) >= 0).all()
        assert (np.diff(rank[c, np.argsort(-target)]) >= 0).all()
        assert (np.diff(draft_rank[c, np.argsort(-draft)]) >= 0).all()
        assert (np.diff(number[c]) >= 0).all()
        # The mass that tells the two sides apart best is their total variation distance.
        side = halves[c] == 1
        distance = 0.5 * np.abs(target - draft).sum()
        assert target[side].sum() - draft[side].sum() == pytest.approx(distance)
        assert distance > 0.15


@pytest.mark.parametrize(("mass", "factor"), [(0.05, 2 / 3), (0.2, 2 / 3), (0.1, 0.0)])
def test_rare_tokens__of_the_mass_named_are_less_likely(mass, factor):
    laws = made.wide_instance(20240817, vocabulary=512).target
    changed = rarer(laws, mass, factor)
    np.testing.assert_allclose(changed.sum(axis=1), 1.0)
    for row, law in zip(changed, laws, strict=True):
        fewer = row < law
        assert mass - law.max() <= law[fewer].sum() <= mass
        assert law[fewer].max() < law[~fewer].min()
        np.testing.assert_allclose(row[fewer] / law[fewer], factor * (row[~fewer] / law[~fewer])[0])


def test_verified_law__is_the_ratio_rules():
    instance = made.edge_instances(3, vocabulary=4, draft_length=1)["zeros on both sides"]
    target, draft = instance.target, instance.draft
    drawn = likeliest(draft, 2)
    assert ((drawn > 0).sum(axis=1) <= 2).all()
    found = verified(target, draft, drawn)
    for row, guess, law, total in zip(target, draft, drawn, found, strict=True):
        tokens = np.arange(4)[:, None]
        rows = np.broadcast_to(np.stack([row, row]), (4, 2, 4))
        table = RATIO.law(rows, np.broadcast_to(guess, (4, 1, 4)), tokens)
        emitted = table[:, 0, :] + np.eye(4) * table[:, 1, :].sum(axis=1)[:, None]
        np.testing.assert_allclose(total, law @ emitted, atol=1e-12)
    np.testing.assert_allclose(verified(target, draft, draft), target, atol=1e-12)


def test_coarse_law__is_that_of_all_uniforms():
    row = np.array([0.1, 0.0, 0.55, 0.35])
    drawn = made.inverse(np.broadcast_to(row, (256, 4)), np.arange(256) / 256)
    np.testing.assert_allclose(coarsely_drawn(row, 8), np.bincount(drawn, minlength=4) / 256)


@pytest.mark.parametrize("own", [True, False])
def test_wide_alternatives__are_laws_and_differ_where_they_say(own):
    instance = made.wide_instance(20240817, vocabulary=2048)
    of_stratum, bonus = np.array([0, 0, 1, 2, 3, 0, 1, 2, 3]), np.arange(9) > 4
    named = dict(alternatives(instance.target, instance.draft, lambda rows: rows[of_stratum], bonus, own))
    laws = instance.target[of_stratum]
    for name, law in named.items():
        np.testing.assert_allclose(law.sum(axis=1), 1.0, err_msg=name)
        assert (law >= 0).all()
        differs = np.abs(law - laws).max(axis=1) > 1e-9
        if name.startswith("bonus tokens"):
            np.testing.assert_array_equal(differs, bonus)
        elif name.startswith("drafts"):
            np.testing.assert_array_equal(differs, ~bonus)
        else:
            assert differs.all()
    assert any(name.startswith("drafts") for name in named) == own
    for bits in BITS:
        law = named[f"bonus tokens drawn by uniforms of {bits} bits"][bonus]
        assert (law >= LEFT * laws[bonus] * (1 - 1e-9)).all(), "nothing that can happen is excluded"


@pytest.mark.parametrize("draft_length", [1, 3])
def test_wide_shares__are_the_mass_of_accepted_drafts_by_context(draft_length):
    procedure = make_wide(laboratory(max_draft_length=draft_length))
    look = procedure.looks[0]
    instance = made.wide_instance(20240817, vocabulary=512)
    accepted = np.minimum(instance.target[instance.start], instance.draft[instance.start])
    by_context = np.array([
        accepted[instance.next_context[instance.start] == c].sum() for c in range(len(instance.target))
    ])  # fmt: skip
    halves = [0 * by_context, by_context] if draft_length == 1 else [by_context / 2] * 2
    np.testing.assert_allclose(look.shares, np.concatenate([[1.0], *halves, [0.0]]))
    np.testing.assert_allclose(
        look.evidence.null[:-1], np.concatenate([instance.target[:1], instance.target, instance.target])
    )
    assert [pool.tolist() for pool in look.evidence.pools] == [[*range(9)], [*range(5)], [*range(5, 9)]]
    names = [look.name_cell(stratum, 7) for stratum in (0, 1, 4, 5, 8)]
    assert names == [
        "first token 7",
        "second token 7 in context 0",
        "second token 7 in context 3",
        "bonus token 7 in context 0",
        "bonus token 7 in context 3",
    ]


def test_wide_probe__counts_second_tokens_that_were_emitted_by_context_and_draft_length():
    calls = []

    def step(target, draft, drafted, seed):
        rng = np.random.default_rng(seed)
        size, length = drafted.shape
        tokens = np.concatenate([drafted, np.zeros((size, 1), dtype=np.int64)], axis=1)
        lengths = rng.integers(1, length + 2, size=size)
        tokens[np.arange(size), lengths - 1] = rng.integers(512, size=size)
        calls.append((length, tokens, lengths))
        return tokens, lengths

    procedure = make_wide(Laboratory(
        Subject(name="random", protocol="step", run=step, max_vocabulary=512),
        Effort(name="quick", eps=0.2, seconds=60.0, widest=512),
        eps=0.2, delta=1e-3, seed=1,
    ))  # fmt: skip
    procedure.probe.sample(300)
    wanted = np.zeros((10, 512), dtype=np.int64)
    for length, tokens, lengths in calls:
        for row, size in zip(tokens, lengths, strict=True):
            wanted[0, row[0]] += 1
            if size > 1:
                wanted[1 + row[0] % 4 + 4 * (length == 1), row[1]] += 1
    assert {length for length, _, _ in calls} == {1, 2}
    np.testing.assert_array_equal(procedure.probe.counts, wanted)


@pytest.mark.parametrize("kind", ["float64", "float32", "float16"])
def test_tolerances__cover_the_rounding_of_rows_that_are_not_dyadic(kind):
    tiniest = {"float64": 1e-300, "float32": 1e-37, "float16": 7e-5}[kind]
    subject = Subject(name="none", protocol="step", run=lambda *_, **__: None, dtypes=(kind,))
    caller = Caller(subject=subject, seed=1)
    for instance in (
        made.wide_instance(20240817, vocabulary=2048),
        made.tiny_instance(20240817, tiniest=tiniest),
    ):
        if kind == "float16" and "tokens" in instance.name:
            continue  # rare tokens are no normal numbers of this type
        given = caller.give(instance.target).astype(np.float64)
        seen = given / given.sum(axis=1, keepdims=True)
        assert (np.abs(seen / instance.target - 1) <= TOLERANCES[kind]).all()
