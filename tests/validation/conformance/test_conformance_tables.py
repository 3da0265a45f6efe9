"""Tables and their views, completed laws and the law of rounds, against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from specsim.validation.conformance import tables
from specsim.validation.conformance.checks.decoder import moved, rounds_laws
from specsim.validation.conformance.instances import (
    chain_instance,
    digits,
    edge_instances,
    number,
    tree_instance,
)
from specsim.validation.conformance.rules import all_rules, get_rule

VOCABULARY, LENGTH = 3, 2
INSTANCE = tree_instance(5, vocabulary=VOCABULARY, draft_length=LENGTH)
VIEWS = tables.Views(VOCABULARY, LENGTH)
PATHS = VOCABULARY**LENGTH


def random_counts() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 50, size=(PATHS, LENGTH + 1, VOCABULARY))


def outcomes():
    """Yield (path number, path, accepted length, final token) of every cell of a table."""
    for number_, path in enumerate(itertools.product(range(VOCABULARY), repeat=LENGTH)):
        for accepted in range(LENGTH + 1):
            for final in range(VOCABULARY):
                yield number_, path, accepted, final


def prefix_strata(extra: int) -> list[tuple[int, ...]]:
    """Return the prefixes in the order of the strata: of 0, 1, ... tokens, or one more each."""
    return [
        prefix
        for i in range(LENGTH)
        for prefix in itertools.product(range(VOCABULARY), repeat=i + extra)
    ]  # fmt: skip


# What every view counts, spelled cell by cell: the strata and the cell of one outcome, or none.
def _acceptance(path, accepted, final):
    return [(path[: i + 1], int(accepted > i)) for i in range(LENGTH) if accepted >= i]


def _acceptance_by_position(path, accepted, final):
    return [(i, int(accepted > i)) for i in range(LENGTH) if accepted >= i]


def _residual(path, accepted, final):
    return [(path[: accepted + 1], final)] if accepted < LENGTH else []


def _residual_by_context(path, accepted, final):
    return [(path[:accepted], final)] if accepted < LENGTH else []


EXPECTED = {
    "acceptance": (prefix_strata(1), 2, _acceptance),
    "acceptance_by_position": (list(range(LENGTH)), 2, _acceptance_by_position),
    "residual": (prefix_strata(1), VOCABULARY, _residual),
    "residual_by_context": (prefix_strata(0), VOCABULARY, _residual_by_context),
    "accepted_length": ([()], LENGTH + 1, lambda path, accepted, final: [((), accepted)]),
    "accepted_length_by_path": (
        list(itertools.product(range(VOCABULARY), repeat=LENGTH)),
        LENGTH + 1,
        lambda path, accepted, final: [(path, accepted)],
    ),
    "bonus": (
        list(itertools.product(range(VOCABULARY), repeat=LENGTH)),
        VOCABULARY,
        lambda path, accepted, final: [(path, final)] if accepted == LENGTH else [],
    ),
    "first_token": (
        [()],
        VOCABULARY,
        lambda path, accepted, final: [((), path[0] if accepted else final)],
    ),
    "drafted": (
        prefix_strata(0),
        VOCABULARY,
        lambda path, accepted, final: [(path[:i], path[i]) for i in range(LENGTH)],
    ),
    "outcome": (
        list(itertools.product(range(VOCABULARY), repeat=LENGTH)),
        (LENGTH + 1) * VOCABULARY,
        lambda path, accepted, final: [(path, accepted * VOCABULARY + final)],
    ),
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_view__counts_what_it_says(name):
    strata, cells, places = EXPECTED[name]
    counts = random_counts()
    expected = np.zeros((len(strata), cells), dtype=np.int64)
    for number_, path, accepted, final in outcomes():
        for stratum, cell in places(path, accepted, final):
            expected[strata.index(stratum), cell] += counts[number_, accepted, final]
    np.testing.assert_array_equal(getattr(VIEWS, name)(counts), expected)


@pytest.mark.parametrize("name", ["accepted_length", "accepted_length_by_path", "first_token", "outcome"])
def test_view__of_every_outcome_conserves_counts(name):
    counts = random_counts()
    assert getattr(VIEWS, name)(counts).sum() == counts.sum()


def test_views__of_parts_conserve_counts():
    counts = random_counts()
    whole = VIEWS.bonus(counts).sum()
    assert VIEWS.residual(counts).sum() + whole == counts.sum()
    np.testing.assert_array_equal(
        VIEWS.acceptance(counts).sum(axis=0), VIEWS.acceptance_by_position(counts).sum(axis=0)
    )
    # A test that failed is a replaced token.
    np.testing.assert_array_equal(VIEWS.acceptance(counts)[:, 0], VIEWS.residual(counts).sum(axis=1))
    assert VIEWS.drafted(counts).sum() == LENGTH * counts.sum()


def test_names__spell_paths_and_prefixes():
    paths = list(itertools.product(range(VOCABULARY), repeat=LENGTH))
    for stratum, path in enumerate(paths):
        assert VIEWS.path_name(stratum) == "(" + " ".join(map(str, path)) + ")"
    for extra in (0, 1):
        for stratum, prefix in enumerate(prefix_strata(extra)):
            assert VIEWS.prefix_name(stratum, extra) == "(" + " ".join(map(str, prefix)) + ")"


def test_normalised__leaves_unreachable_strata_uniform():
    laws, reachable = tables.normalised(np.array([[1.0, 3.0], [0.0, 0.0]]))
    np.testing.assert_allclose(laws, [[0.25, 0.75], [0.5, 0.5]])
    np.testing.assert_array_equal(reachable, [True, False])


@pytest.mark.parametrize("name", ["rows by prefix", *edge_instances(5, vocabulary=3, draft_length=2)])
def test_step_table__of_every_lossless_rule_is_a_law_that_completes_to_the_target(name):
    edges = edge_instances(5, vocabulary=3, draft_length=2)
    instance = edges.get(name, INSTANCE)
    tried = 0
    for rule in all_rules():
        if not rule.lossless:
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            table = tables.step_table(rule, instance)
        paths = tables.path_law(instance, rule)
        possible = paths > 0
        assert (table[possible] >= 0).all(), rule.name
        np.testing.assert_allclose(table[possible].sum(axis=(1, 2)), 1.0, atol=1e-12, err_msg=rule.name)
        for length in range(1, LENGTH + 2):
            law = tables.completed_law(np.where(possible[:, None, None], table, 0), paths, instance, length)
            np.testing.assert_allclose(law, instance.target_law(length), atol=1e-12, err_msg=rule.name)
        tried += 1
    assert tried >= 4


def test_path_law__is_the_law_of_what_the_rule_draws():
    greedy = next(rule for rule in all_rules() if rule.draw is not None)
    rows = greedy.draw(INSTANCE.draft)
    for number_, path in enumerate(itertools.product(range(VOCABULARY), repeat=LENGTH)):
        own, other, context = 1.0, 1.0, INSTANCE.start
        for token in path:
            own *= rows[context, token]
            other *= INSTANCE.draft[context, token]
            context = INSTANCE.next_context[context, token]
        assert tables.path_law(INSTANCE, greedy)[number_] == pytest.approx(own, abs=1e-15)
        assert tables.path_law(INSTANCE)[number_] == pytest.approx(other, abs=1e-15)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_completed_law__is_what_enumeration_gives_for_any_table(length):
    rng = np.random.default_rng(length)
    table = rng.dirichlet(np.ones((LENGTH + 1) * VOCABULARY), size=PATHS)
    table = table.reshape(PATHS, LENGTH + 1, VOCABULARY)
    paths = rng.dirichlet(np.ones(PATHS))
    expected: dict[tuple[int, ...], float] = {}
    for number_, path, accepted, final in outcomes():
        weight = paths[number_] * table[number_, accepted, final]
        begun = (*path[:accepted], final)
        for rest in itertools.product(range(VOCABULARY), repeat=max(length - len(begun), 0)):
            chance, context = weight, INSTANCE.start
            for token in begun:
                context = INSTANCE.next_context[context, token]
            for token in rest:
                chance *= INSTANCE.target[context, token]
                context = INSTANCE.next_context[context, token]
            text = (*begun, *rest)[:length]
            expected[text] = expected.get(text, 0.0) + chance
    law = tables.completed_law(table, paths, INSTANCE, length)
    assert law.sum() == pytest.approx(1.0, abs=1e-12)
    for text, chance in expected.items():
        assert law[number(np.array(text), VOCABULARY)] == pytest.approx(chance, abs=1e-14)


def enumerate_rounds(rule, instance, context, length):
    """Return the law of a decoder's first tokens by walking through every round outcome."""
    law = np.zeros(instance.vocabulary**length)

    def walk(context, text, chance):
        if chance == 0.0:
            return
        if len(text) >= length:
            law[number(np.array(text[:length]), instance.vocabulary)] += chance
            return
        for path in itertools.product(range(instance.vocabulary), repeat=instance.draft_length):
            contexts = [context]
            for token in path:
                contexts.append(int(instance.next_context[contexts[-1], token]))
            drafting = instance.draft if rule.draw is None else rule.draw(instance.draft)
            drawn = np.prod([drafting[contexts[i], token] for i, token in enumerate(path)])
            outcome = rule.law(instance.target[contexts], instance.draft[contexts[:-1]], np.array(path))
            for accepted in range(instance.draft_length + 1):
                for final in range(instance.vocabulary):
                    end = int(instance.next_context[contexts[accepted], final])
                    emitted = (*path[:accepted], final)
                    walk(end, (*text, *emitted), chance * drawn * outcome[accepted, final])

    walk(context, (), 1.0)
    return law


@pytest.mark.parametrize("name", ["ratio", "block", "recovery-from-target", "drafts-argmax", "always-accept"])
def test_rounds_laws__are_what_enumeration_of_rounds_gives(name):
    instance = chain_instance(11, vocabulary=2, order=2, draft_length=2)
    known = {rule.name: rule for rule in all_rules()}
    rule = known.get(name) or get_rule(name)
    starts = np.array([0, 3])
    for start, law in zip(starts.tolist(), rounds_laws(rule, instance, starts, 3), strict=True):
        np.testing.assert_allclose(law, enumerate_rounds(rule, instance, start, 3), atol=1e-13)
        assert law.sum() == pytest.approx(1.0, abs=1e-12)
        exact = np.abs(law - moved(instance, start).target_law(3)).max() < 1e-12
        assert exact == rule.lossless


def test_digits_and_number__are_inverse():
    numbers = np.arange(5**3)
    written = digits(numbers, 5, 3)
    np.testing.assert_array_equal(written, list(itertools.product(range(5), repeat=3)))
    np.testing.assert_array_equal(number(written, 5), numbers)
