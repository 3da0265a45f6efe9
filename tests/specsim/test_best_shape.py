"""The tree of a size of which most is accepted: against all trees, the paper's recursion, and the grammar."""

from fractions import Fraction as F

import pytest

from specsim import best_shape, tree
from specsim.errors import InputError, TooLargeError
from specsim.grammar import parse_algorithm

VECTORS = [
    [F(6, 10), F(25, 100), F(1, 10), F(3, 100)],
    # The second child is worth more than the first, which it cannot do without.
    [F(1, 10), F(8, 10), F(1, 10)],
    [F(1, 2)],
]


def worth(structure, acceptance):
    values = [F(1)]
    for node, parent in enumerate(structure.parents[1:], start=1):
        values.append(values[parent] * acceptance[node - structure.first[parent]])
    return sum(values)


def every_tree(size):
    def grow(parents):
        if len(parents) == size + 1:
            yield tree(parents)
            return
        for parent in range(max(parents[-1], 0), len(parents)):
            yield from grow([*parents, parent])

    return grow([-1])


@pytest.mark.parametrize("acceptance", VECTORS)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6])
def test_no_tree_is_better(acceptance, size):
    found = best_shape(acceptance, size)
    assert found.size == size + 1
    assert worth(found, acceptance) == max(
        worth(other, acceptance)
        for other in every_tree(size)
        if max(len(other.children(node)) for node in range(size + 1)) <= len(acceptance)
    )


def test_values_of_the_recursion():
    values = [float(worth(best_shape(VECTORS[0], size), VECTORS[0])) for size in range(1, 7)]
    assert values == pytest.approx([1.6, 1.96, 2.21, 2.426, 2.576, 2.726])


def test_grammar():
    algorithm = parse_algorithm("recursive-distinct:tree=best:8:3/5:0.25:0.1")
    assert algorithm.structure(9) == best_shape([0.6, 0.25, 0.1], 8)
    assert parse_algorithm(algorithm.label) == algorithm


@pytest.mark.parametrize(
    ("acceptance", "size", "message"),
    [
        ([], 3, "acceptance is"),
        ([1.5], 3, "acceptance is"),
        ([0.5], 0, "size is 0"),
        ([-0.1], 2, "acceptance"),
    ],
)
def test_refusals(acceptance, size, message):
    with pytest.raises(InputError, match=message):
        best_shape(acceptance, size)
    with pytest.raises(TooLargeError, match="size is 1000"):
        best_shape([0.5], 1000)
