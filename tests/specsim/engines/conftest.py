"""Pairs small enough for exact enumeration, and a rigorous comparison of counts with a law."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from specsim import ModelPair

_ALPHA = 1e-9


def _load(path):
    spec = importlib.util.spec_from_file_location("specsim_tests_naive", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def compiled():
    """Make a helper of the kernels callable from Python."""

    def make(helper):
        import numba

        return numba.njit(lambda *arguments: helper(*arguments))

    return cache(make)


@pytest.fixture(scope="session")
def naive():
    return _load(Path(__file__).resolve().parents[2] / "naive.py")


def independent(target, draft, horizon):
    """A pair whose rows are the same in every context."""
    size = len(target)
    return ModelPair.from_probabilities(
        [target] * size, [draft] * size, initial=np.full(size, 1 / size), horizon=horizon, tolerance=1e-6
    )


def dyadic_rows(generator, shape, bits=3, zeros=0.0):
    """Random rows that are multiples of 2^-bits, so that exact laws stay small."""
    *lead, tokens = shape
    rows = np.zeros((int(np.prod(lead)), tokens))
    for row in rows:
        allowed = np.flatnonzero(generator.random(tokens) >= zeros)
        if not len(allowed):
            allowed = np.array([generator.integers(tokens)])
        picks = generator.choice(allowed, size=2**bits)
        row += np.bincount(picks, minlength=tokens) / 2**bits
    return rows.reshape(shape)


def prefix_pair(generator, tokens, horizon, zeros=0.0):
    """A whole-prefix pair: context = node of the tree of prefixes shorter than the horizon."""
    nodes = sum(tokens**depth for depth in range(horizon))
    children = np.arange(nodes * tokens).reshape(nodes, tokens) + 1
    children[children >= nodes] = 0
    initial = np.zeros(nodes)
    initial[0] = 1
    return ModelPair.from_probabilities(
        dyadic_rows(generator, (nodes, tokens), zeros=zeros),
        dyadic_rows(generator, (nodes, tokens), zeros=zeros),
        initial=initial,
        next_context=children,
        horizon=horizon,
        name="prefix",
    )


def two_atoms():
    """Residuals of two atoms, which other subtractions change, and rows that differ between steps."""
    target, draft = np.array([[8, 2, 5, 1], [4, 6, 4, 2]]) / 16
    return ModelPair.from_probabilities(
        [[target] * 4, [np.roll(target, 1)] * 4],
        [[draft] * 4, [np.roll(draft, 1)] * 4],
        initial=[1, 0, 0, 0],
    )


def scaled_residual():
    """Block verification meets residuals of two atoms whose proportion depends on the accepted tokens."""
    return ModelPair.from_probabilities(
        [[np.array([6, 4, 3, 3]) / 16] * 4, [np.array([8, 1, 6, 1]) / 16] * 4],
        [[np.array([8, 4, 2, 2]) / 16] * 4, [np.array([2, 6, 4, 4]) / 16] * 4],
        initial=[1, 0, 0, 0],
    )


def tiny_pairs():
    """Name -> pair, each with at most 4 tokens and a horizon of at most 3."""
    generator = np.random.default_rng(20241100841)
    third = [1 / 3, 2 / 3]
    markov = ModelPair.from_probabilities(
        dyadic_rows(generator, (3, 2, 2)), dyadic_rows(generator, (3, 2, 2)), initial=[0.25, 0.75]
    )
    zeros = ModelPair.from_probabilities(
        dyadic_rows(generator, (2, 3, 3), zeros=0.4),
        dyadic_rows(generator, (2, 3, 3), zeros=0.4),
        initial=[0.5, 0.5, 0],
    )
    equal = dyadic_rows(generator, (2, 2, 2))
    return {
        "fixture A": independent(third, third[::-1], 3),
        "markov": markov,
        "zeros": zeros,
        "prefix": prefix_pair(generator, 2, 3),
        "prefix with zeros": prefix_pair(generator, 3, 2, zeros=0.3),
        "two atoms": two_atoms(),
        "scaled residual": scaled_residual(),
        "equal rows": ModelPair.from_probabilities(equal, equal, initial=[1, 0]),
        "disjoint": independent([0.25, 0.75, 0, 0], [0, 0, 0.5, 0.5], 2),
        "point masses": independent([0, 1, 0], [0, 0, 1], 2),
        "same point mass": independent([0, 1], [0, 1], 2),
        "one token": independent([1.0], [1.0], 3),
    }


@pytest.fixture(scope="session")
def pairs():
    return tiny_pairs()


def law_violations(counts, law, alpha=_ALPHA):
    """Compare counts with a law by exact binomial tails; false alarms have probability at most alpha.

    Parameters are dicts by outcome; returns the violations as text.
    """
    from scipy.stats import binom

    runs = sum(counts.values())
    found = [
        f"{key}: {counts[key]} of probability zero" for key in counts if counts[key] and not law.get(key)
    ]
    share = alpha / (2 * max(1, len(law)))
    for key, probability in law.items():
        count = counts.get(key, 0)
        if probability == 1:
            if count != runs:
                found.append(f"{key}: {count} of {runs} runs, expected all")
            continue
        low = binom.cdf(count, runs, float(probability))
        high = binom.sf(count - 1, runs, float(probability))
        if min(low, high) < share:
            found.append(f"{key}: {count / runs:.6f}, expected {float(probability):.6f}")
    return found


@pytest.fixture(scope="session")
def violations():
    return law_violations


def literal_request(pair, algorithm, horizon=None, seed=1, outcomes=None, tallies="all"):
    """Make a request of the literal engine, not yet checked by it."""
    from specsim.engines.request import Request
    from specsim.engines.tallies.tally import Shape

    shape = Shape.of(pair, pair.check_horizon(horizon), outcomes, tallies)
    return Request(
        pair=pair, algorithm=algorithm, shape=shape, engine="literal", seed=seed, first_run=0, runs=1,
        per_run=False,
    )  # fmt: skip


@pytest.fixture(scope="session")
def request_of():
    return literal_request
