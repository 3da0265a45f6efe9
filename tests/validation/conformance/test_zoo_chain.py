"""The zoo's steps and drafting samplers against their exact laws, which share no code with them."""

import numpy as np
import pytest
from specsim_tests_zoo import (
    CONTROLS,
    EVERY,
    MUTANTS,
    OPTIONS,
    RUNS,
    K,
    V,
    agrees,
    of,
    sample,
    stated_rule,
    step_cells,
    step_law,
    texts,
)

from benchmarks.zoo import get_controls, get_mutants, model as zoo_model
from specsim.errors import InputError
from specsim.validation.conformance.filters import filtered
from specsim.validation.conformance.instances import tree_instance
from specsim.validation.conformance.rules import lossless


@pytest.fixture(scope="module")
def tree():
    return tree_instance(11, vocabulary=V, draft_length=K)


@pytest.fixture
def telling(name, tree):
    """Return rows on which a mutant is wrong: one of them needs zeros of the target."""
    if name == "forbidden-from-target":
        return tree_instance(11, vocabulary=V, draft_length=K, zeros=True)
    return tree


@pytest.mark.parametrize(
    "name",
    [name for name in of(EVERY, "step", "draft-and-verify") if stated_rule(EVERY[name]) is not None],
)
def test_samplers_have_their_exact_law(name, telling):
    item = EVERY[name]
    rule = stated_rule(item)
    drafted, tokens, lengths = sample(item.subject, telling)
    accepted = np.arange(K) < lengths[:, None] - 1
    assert (tokens[:, :-1] == drafted)[accepted].all()
    decision = agrees(step_cells(telling, drafted, tokens, lengths), step_law(rule, telling))
    assert decision.agrees, decision


@pytest.mark.parametrize(
    "name", [name for name in of(CONTROLS, "step", "draft-and-verify") if CONTROLS[name].lossless]
)
def test_controls_write_the_targets_texts(name, tree):
    _, tokens, lengths = sample(CONTROLS[name].subject, tree, seed=2)
    assert agrees(texts(tree, tokens, lengths), tree.target_law(K + 1)).agrees


@pytest.mark.parametrize(
    "name", of({name: item for name, item in MUTANTS.items() if item.law}, "step", "draft-and-verify")
)
def test_laws_of_mutants_deviate_from_the_declared_rule_or_the_target(name, telling):
    mutant = MUTANTS[name]
    claimed = mutant.subject.rule or lossless.RATIO
    distance = 0.5 * np.abs(step_law(mutant.law, telling) - step_law(claimed, telling)).sum()
    # Noise of 8 bits changes tokens of small mass most.
    assert distance > (1e-4 if name == "coarse-gumbel" else 1e-3)


# A mutant whose law is close to the right one needs more samples than a fast test has.
FAINT = {
    "coarse-coins",
    "coarse-gumbel",
    "residual-clamped",
    "capped-ratio",
    "drafts-bfloat16",
    "recovery-log-ratio",
    "bonus-penalty",
}
VISIBLE = [
    name
    for name in of({name: item for name, item in MUTANTS.items() if item.law}, "step", "draft-and-verify")
    if name not in FAINT
]


@pytest.mark.parametrize("name", VISIBLE)
def test_samples_of_mutants_reject_the_claimed_rule(name, telling):
    mutant = MUTANTS[name]
    runs = 60_000 if name == "shared-gumbel" else RUNS
    drafted, tokens, lengths = sample(mutant.subject, telling, runs, seed=3)
    claimed = mutant.subject.rule or lossless.RATIO
    # Their drafts may be right in law or not; either way the whole outcome is not the rule's.
    assert not agrees(step_cells(telling, drafted, tokens, lengths), step_law(claimed, telling)).agrees


def test_rows_divided_in_place_are_tested_wrongly(tree):
    _, tokens, lengths = sample(MUTANTS["drafts-divided-in-place"].subject, tree)
    assert not agrees(texts(tree, tokens, lengths), tree.target_law(K + 1)).agrees


# Options.


def option_of(item):
    return next(iter(item.subject.options & OPTIONS.keys()))


def option_agrees(item, options, seed):
    # With one drafted token the bonus token comes soon enough to be seen.
    instance = tree_instance(13, vocabulary=V, draft_length=1)
    right = instance.mapped(lambda rows: filtered(rows, options), "filtered")
    _, tokens, lengths = sample(item.subject, instance, seed=seed, **options)
    return agrees(texts(right, tokens, lengths, 2), right.target_law(2)).agrees


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in of(MUTANTS, "step")
        # One mutant is right for drafts as short as these, some for the values of these options.
        if MUTANTS[name].bug_class.startswith("5")
        and name != "temperature-of-two"
        and not {"option-values", "combinations"} & {*MUTANTS[name].killed_by}
    ],
)
def test_options_on_one_side_deviate_and_without_the_option_all_is_right(name, tree):
    mutant = MUTANTS[name]
    option = option_of(mutant)
    assert not option_agrees(mutant, {option: OPTIONS[option]}, 1)
    _, tokens, lengths = sample(mutant.subject, tree)
    assert agrees(texts(tree, tokens, lengths), tree.target_law(K + 1)).agrees


@pytest.mark.parametrize("name", ["ratio", "one-hot"])
def test_options_of_controls_are_right_alone_and_together(name):
    for seed, options in enumerate([*({key: value} for key, value in OPTIONS.items()), OPTIONS]):
        assert option_agrees(CONTROLS[name], options, seed)


# The lists.


def test_every_mutant_says_what_it_is_and_names_a_check():
    for name, mutant in MUTANTS.items():
        assert mutant.killed_by, name
        assert mutant.cite
        assert mutant.description
        assert mutant.bug_class[:2].strip().isdigit(), name
        assert name == name.lower()
        assert mutant.subject.name == name


def test_all_classes_of_bugs_are_in_the_zoo():
    found = {int(mutant.bug_class.split()[0]) for mutant in MUTANTS.values()}
    assert found >= {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13}


def test_unknown_names_are_refused():
    assert get_mutants(["recovery-from-target"])[0] is MUTANTS["recovery-from-target"]
    assert get_controls(["ratio"])[0] is CONTROLS["ratio"]
    with pytest.raises(InputError, match="mutant 'recovery-from-targt' is unknown; did you mean"):
        get_mutants(["recovery-from-targt"])
    with pytest.raises(InputError, match="control 'xyz' is unknown; give one of"):
        get_controls(["xyz"])


def test_names_that_repeat_are_refused(monkeypatch):
    from benchmarks.zoo import step_rows

    monkeypatch.setattr(step_rows, "MUTANTS", (*step_rows.MUTANTS, step_rows.MUTANTS[0]))
    with pytest.raises(InputError, match="mutant target-row-after is defined twice"):
        zoo_model.all_mutants.__wrapped__()
