"""Kernels of the catalogue, proved from their own text on tiny rows."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from specsim.algorithms import Rule, catalogue, chain, get_rule, levels, paths
from specsim.theory import stop_law
from specsim.theory.step_laws import step_law_of
from specsim.validation.claims.kernel_texts import rational_factors
from specsim.validation.kernel_text import KernelText
from specsim.validation.kernel_text.bias import random_twelfths, worst_bias
from specsim.validation.kernel_text.catalogue import NOT_ENUMERABLE, enumerable_rules, kernel_text_of
from specsim.validation.kernel_text.drafts import every_draft


def by_text(rule: Rule, text: KernelText) -> Rule:
    return replace(rule, own_text=text)


def test_block__program_text_and_law_agree_on_all_drafts() -> None:
    rule = get_rule("block")
    text, law, compared = kernel_text_of(rule), step_law_of(rule).law, 0
    for pair in random_twelfths(3, 3, 2, seed=4):
        for target, draft, tokens in every_draft(pair, rule(draft_length=3)):
            found = text.law(chain(3), target, draft, tokens)
            assert found.sum() == 1
            assert (found == law(chain(3), target, draft, tokens)).all()
            rows = (list(map(list, target)), list(map(list, draft)))
            assert (found == stop_law(rule, chain(3), *rows, tokens.tolist())).all()
            compared += 1
    # All 27 drafts where every draft token has mass.
    assert 27 < compared <= 54


def test_rules__are_all_enumerated_or_have_a_reason() -> None:
    with_kernel = {name for name, rule in catalogue().items() if "kernel" in rule.texts}
    assert {rule.name for rule in enumerable_rules()} | set(NOT_ENUMERABLE) == with_kernel
    assert len(enumerable_rules()) >= 15


def one_factor_per_row(target: Any, draft: Any, structure: Any) -> Any:
    factors = rational_factors(target, draft, structure)
    return [[row[1]] * len(row) for row in factors]


def test_k_seq__the_factor_belongs_to_the_row_and_the_number_of_children() -> None:
    rule = get_rule("k-seq")
    right, wrong = (
        by_text(rule, kernel_text_of(rule, made)) for made in (rational_factors, one_factor_per_row)
    )
    pairs = list(random_twelfths(3, 2, 2, seed=1))
    assert worst_bias(pairs, right(tree=(2, 1))).value == 0
    assert worst_bias(pairs, wrong(tree=(2, 1))).value > 0
    # On a chain there is one child everywhere, and the mistake is none.
    assert worst_bias(pairs, wrong(draft_length=2)).value == 0


@pytest.mark.parametrize(("name", "drawn"), [("recursive", "distinct"), ("summed-coin", "independent")])
def test_bias__of_a_rule_on_drafts_it_is_not_made_for_is_seen(name: str, drawn: Any) -> None:
    rule = get_rule(name)
    text = kernel_text_of(rule)
    right = by_text(rule, text)
    wrong = replace(right, drawings=(drawn,))
    pairs = list(random_twelfths(3, 1, 4, seed=2))
    assert worst_bias(pairs, right(tree=(2,))).value == 0
    assert worst_bias(pairs, wrong(tree=(2,))).value > 0


def coin_of_the_first_test(step: Any, nodes: Any) -> Any:
    for i in range(1, nodes):
        row, x = step.row[i - 1], step.token[i]
        if step.coin[1] * step.draft[row, x] >= step.target[row, x]:
            left = step.room[0]
            for y in range(len(left)):
                left[y] = max(step.target[row, y] - step.draft[row, y], 0.0)
            total, reached = sum(left), 0.0
            for y in range(len(left)):
                reached += left[y]
                if step.coin[0] * total < reached:
                    return i - 1, y
    return nodes - 1, -1


def test_bias__that_begins_at_the_second_token_is_seen() -> None:
    rule = by_text(get_rule("ratio"), KernelText(coin_of_the_first_test, "one-coin"))
    pairs = list(random_twelfths(3, 2, 2, seed=3))
    assert worst_bias(random_twelfths(3, 1, 3, seed=3), rule(draft_length=1)).value == 0
    assert worst_bias(pairs, rule(draft_length=2)).value > 0


def test_twelfths__are_rows_after_every_prefix() -> None:
    pairs = list(random_twelfths(3, 3, 4, seed=0))
    for number, pair in enumerate(pairs):
        rows = [row for table in (pair.target[0], pair.draft[0]) for row in table]
        assert all(sum(row) == 1 and all((12 * value).denominator == 1 for value in row) for row in rows)
        assert any(value == 0 for row in rows for value in row) == bool(number % 2)
        # Every prefix has a context of its own.
        contexts = {0}
        for _ in range(2):
            contexts = {pair.next_context[context][token] for context in contexts for token in range(3)}
        assert len(contexts) == 9
        assert pair.contexts == 13


def test_worst__says_where_and_by_how_much() -> None:
    rule = by_text(get_rule("ratio"), KernelText(coin_of_the_first_test, "one-coin"))
    pairs = list(random_twelfths(3, 2, 2, seed=3))
    worst = worst_bias(pairs, rule(draft_length=2))
    context, probability = 0, Fraction(1)
    for step, token in enumerate(worst.sequence):
        probability *= worst.pair.target_row(step, context)[token]
        context = worst.pair.next_context[context][token]
    assert worst.wanted == probability
    assert abs(worst.found - worst.wanted) == worst.value
    assert np.isclose(float(worst.value), float(str(worst).split("= ")[1].split(":")[0]), rtol=1e-3)


def test_paths__rows_of_siblings_are_their_own() -> None:
    # Recursive rejection on two paths of two tokens: the second path's rows are those after its own token.
    rule = get_rule("recursive")
    pairs = list(random_twelfths(2, 2, 2, seed=6))
    assert worst_bias(pairs, by_text(rule, kernel_text_of(rule))(tree=paths(2, 2))).value == 0
    assert worst_bias(pairs, by_text(rule, kernel_text_of(rule))(tree=levels((1, 2)))).value == 0
