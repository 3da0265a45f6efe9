"""A small pair, and a comparison of results to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from specsim import ModelPair


@pytest.fixture(scope="session")
def pair():
    generator = np.random.default_rng(7)
    target, draft = generator.random((2, 8, 4, 4))
    return ModelPair.from_probabilities(
        target / target.sum(-1, keepdims=True),
        draft / draft.sum(-1, keepdims=True),
        initial=np.full(4, 0.25),
        name="four",
    )


def same_bits(one, two):
    """Whether two Datasets are equal in every name, number, coordinate and attribute."""
    return one.identical(two) and all(one[name].dtype == two[name].dtype for name in one.variables)


@pytest.fixture(scope="session")
def identical():
    return same_bits
