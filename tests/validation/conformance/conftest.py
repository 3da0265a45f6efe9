"""Small samplers that the tests of the oracle use; plain, and different from those of the zoo."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from specsim.validation.conformance.instances import inverse
from specsim.validation.conformance.laboratory import Effort

# The tests of the zoo import their common helper by this name; it is no test.
_NAME = "specsim_tests_zoo"
if _NAME not in sys.modules:
    _specification = importlib.util.spec_from_file_location(_NAME, Path(__file__).with_name("zoo_helper.py"))
    sys.modules[_NAME] = importlib.util.module_from_spec(_specification)
    _specification.loader.exec_module(sys.modules[_NAME])

#: Little work, a few seconds at most.
LIGHT = Effort(name="quick", eps=0.15, seconds=300.0, widest=256, least_side=600, wide_samples=800)


@pytest.fixture(scope="session")
def samplers():
    """Return the samplers and the effort."""
    return SimpleNamespace(ratio=ratio, from_target=from_target, one_hot=one_hot, light=LIGHT)


def ratio(target, draft, drafted, seed):
    """Follow the published rule."""
    return _verify(target, draft, drafted, seed, lambda t, d, x: np.maximum(t - d, 0.0))


def from_target(target, draft, drafted, seed):
    """Draw the residual from the target, which is wrong."""
    return _verify(target, draft, drafted, seed, lambda t, d, x: t)


def one_hot(target, draft, drafted, seed):
    """Accept with the target's probability: lossless, and not the ratio rule."""
    return _verify(target, np.ones_like(target[:, :-1]), drafted, seed, _without)


def _without(target, draft, token):
    kept = target.copy()
    kept[np.arange(len(kept)), token] = 0.0
    return kept


def _verify(target, draft, drafted, seed, residual):
    if not (np.isfinite(target).all() and np.isfinite(draft).all()):
        raise ValueError("rows must be finite")
    rng = np.random.default_rng(seed)
    batch, length = drafted.shape
    rows = np.arange(batch)
    tokens = np.zeros((batch, length + 1), dtype=np.int64)
    lengths = np.full(batch, length + 1)
    open_rows = np.ones(batch, dtype=bool)
    for i in range(length):
        token = drafted[:, i]
        accepted = rng.random(batch) * draft[rows, i, token] < target[rows, i, token]
        weights = residual(target[:, i].astype(np.float64), draft[:, i].astype(np.float64), token)
        weights = np.where(weights.sum(axis=1, keepdims=True) > 0, weights, target[:, i])
        last = inverse(weights, rng.random(batch))
        tokens[:, i] = np.where(open_rows, np.where(accepted, token, last), tokens[:, i])
        lengths[open_rows & ~accepted] = i + 1
        open_rows &= accepted
    bonus = inverse(target[:, length].astype(np.float64), rng.random(batch))
    tokens[:, length] = np.where(open_rows, bonus, 0)
    return tokens, lengths
