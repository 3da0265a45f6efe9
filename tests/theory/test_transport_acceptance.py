"""The largest acceptance of one token by a minimum over sets, against all sets and the programme."""

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from specsim import InputError, parse_algorithm, theory
from specsim.validation.instances import four_tokens


def over_all_sets(target, draft, drafts):
    tokens = range(len(target))
    sets = [chosen for size in range(len(target) + 1) for chosen in combinations(tokens, size)]
    return 1 + min(sum(target[x] for x in s) - sum(draft[x] for x in s) ** drafts for s in sets)


@pytest.mark.parametrize("drafts", [1, 2, 3, 7])
def test_transport_acceptance__is_the_minimum_over_all_sets(drafts):
    generator = np.random.default_rng(drafts)
    target, draft = generator.dirichlet(np.full(5, 0.5), size=(2, 50))
    target[:10, 0] = draft[10:20, 1] = 0.0
    target, draft = (rows / rows.sum(axis=1, keepdims=True) for rows in (target, draft))
    found = theory.transport_acceptance(target, draft, drafts)
    wanted = [over_all_sets(t, d, drafts) for t, d in zip(target, draft, strict=True)]
    assert found == pytest.approx(wanted, abs=1e-12)


def test_transport_acceptance__is_the_optimum_of_the_round():
    target, draft = ([Fraction(v, 20) for v in row] for row in ((10, 6, 3, 1), (4, 9, 2, 5)))
    algorithm = parse_algorithm("transport:drafts=2,draft_length=1")
    assert theory.transport_acceptance(target, draft, 2) == Fraction(43, 50)
    assert theory.round_optimum(four_tokens(2), algorithm).value == Fraction(43, 50)


def test_transport_acceptance__one_draft_and_infinitely_many():
    target, draft = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.9, 0.0])
    assert theory.transport_acceptance(target, draft, 1) == pytest.approx(np.minimum(target, draft).sum())
    # What is never drafted is never accepted.
    assert theory.transport_acceptance(target, draft, math.inf) == pytest.approx(0.8)
    assert theory.transport_acceptance(target, draft, 10_000) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("rows", "drafts"), [(([1.0], [0.5, 0.5]), 2), (([1.0], [1.0]), 0), (([1.0], [1.0]), 1.5)]
)
def test_transport_acceptance__refusals(rows, drafts):
    with pytest.raises(InputError):
        theory.transport_acceptance(rows[0], rows[1], drafts)
