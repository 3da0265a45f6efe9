"""The pairs of models on which claims are checked: tiny ones for exact checks, larger ones for simulation."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import numpy as np

from specsim import ModelPair, paper_pair, random_pair, random_prefix_pair
from specsim.pairs.row_families import Family
from specsim.theory.arithmetic.rational_pair import RationalPair
from specsim.validation.running.effort import Effort

#: Every family of random rows.
FAMILIES: tuple[Family, ...] = (
    "uniform",
    "dirichlet",
    "perturbed",
    "near-equal",
    "sparse",
    "disjoint",
    "equal-rows",
    "peaked",
)


def row_pair(target: tuple[float, ...], draft: tuple[float, ...], *, horizon: int, name: str) -> ModelPair:
    """Return the pair that uses one target row and one draft row at every position (independent tokens)."""
    tokens = len(target)
    return ModelPair.from_probabilities(
        [target],
        [draft],
        initial=[1.0],
        next_context=np.zeros((1, tokens), dtype=np.int64),
        horizon=horizon,
        name=name,
    )


THIRDS = ((Fraction(1, 3), Fraction(2, 3)), (Fraction(2, 3), Fraction(1, 3)))
FOUR_TOKENS = (
    tuple(Fraction(value, 20) for value in (10, 6, 3, 1)),
    tuple(Fraction(value, 20) for value in (4, 9, 2, 5)),
)

#: Rows of target and draft on which rules for one node are compared exactly: with zeros and ties, too.
ROWS_OF_NODES = (
    THIRDS,
    FOUR_TOKENS,
    (
        tuple(Fraction(value, 8) for value in (3, 3, 2, 0)),
        tuple(Fraction(value, 8) for value in (1, 1, 0, 6)),
    ),
    (
        tuple(Fraction(value, 12) for value in (1, 2, 4, 5)),
        tuple(Fraction(value, 12) for value in (2, 4, 5, 1)),
    ),
)


@cache
def thirds(horizon: int) -> RationalPair:
    """Return independent tokens with draft (2/3, 1/3) and target (1/3, 2/3), for exact checks."""
    return RationalPair.independent(*THIRDS, horizon=horizon)


@cache
def four_tokens(horizon: int) -> RationalPair:
    """Return independent tokens, draft (.20, .45, .10, .25) and target (.50, .30, .15, .05), exact."""
    return RationalPair.independent(*FOUR_TOKENS, horizon=horizon)


@cache
def four_tokens_rounded(horizon: int) -> ModelPair:
    """Return `four_tokens` rounded to multiples of 2^-32, for simulation."""
    target, draft = (tuple(float(value) for value in row) for row in FOUR_TOKENS)
    return row_pair(target, draft, horizon=horizon, name=f"four tokens, horizon {horizon}")


@cache
def dyadic_fixture(horizon: int) -> ModelPair:
    """Return independent tokens with draft (3/4, 1/4) and target (1/4, 3/4), exact as they stand."""
    return row_pair((0.25, 0.75), (0.75, 0.25), horizon=horizon, name=f"quarters, horizon {horizon}")


@cache
def late_difference() -> ModelPair:
    """Return a chain whose draft differs from the target at the last of three positions only."""
    same = [[0.5, 0.5], [0.25, 0.75]]
    other = [[0.875, 0.125], [0.125, 0.875]]
    return ModelPair.from_probabilities(
        [same, same, same], [same, same, other], initial=[0.5, 0.5], name="different at the last position"
    )


@cache
def tiny_pairs(size: str) -> tuple[ModelPair, ...]:
    """Return pairs small enough to enumerate: chains and prefix trees; zeros, equal rows, disjoint supports.

    size: ``"quick"``, ``"standard"`` or ``"deep"``: each contains the one before.
    """
    pairs = [
        dyadic_fixture(3),
        random_pair(contexts=2, horizon=3, family="uniform", seed=1, initial="random"),
        random_pair(contexts=3, horizon=2, family="sparse", seed=2, initial="random"),
        random_pair(contexts=3, horizon=2, family="perturbed", tv=0.25, seed=12, stationary=True),
        random_prefix_pair(tokens=3, horizon=2, family="dirichlet", seed=3),
        random_prefix_pair(tokens=2, horizon=3, family="equal-rows", seed=4),
        random_prefix_pair(tokens=2, horizon=3, family="sparse", seed=5),
        random_prefix_pair(tokens=3, horizon=2, family="disjoint", seed=6),
        random_pair(contexts=2, horizon=3, family="equal-rows", density=1.0, seed=7),
        late_difference(),
    ]
    if size != "quick":
        pairs += [
            random_prefix_pair(tokens=2, horizon=4, family="uniform", seed=20),
            random_prefix_pair(tokens=3, horizon=3, family="sparse", density=0.7, seed=21),
            random_prefix_pair(tokens=4, horizon=2, family="peaked", seed=22),
            random_pair(contexts=3, horizon=3, family="dirichlet", seed=23, initial="random"),
            random_pair(contexts=2, horizon=4, family="near-equal", seed=24, initial="point"),
            random_pair(contexts=4, horizon=2, family="disjoint", seed=25, initial="random"),
            random_pair(contexts=2, tokens=2, horizon=4, family="sparse", seed=26, stationary=True),
        ]
    if size == "deep":
        for seed in range(100, 124):
            family = FAMILIES[seed % len(FAMILIES)]
            pairs.append(random_prefix_pair(tokens=2, horizon=4, family=family, seed=seed))
            pairs.append(random_prefix_pair(tokens=3, horizon=3, family=family, seed=seed))
            pairs.append(random_pair(contexts=3, horizon=3, family=family, seed=seed, initial="random"))
    return tuple(pairs)


@cache
def paper_pairs() -> tuple[ModelPair, ...]:
    """Return the instances of the paper's Figures 2 and 5."""
    return (paper_pair(50), paper_pair(100))


@cache
def small_trees(size: str) -> tuple[ModelPair, ...]:
    """Return pairs with a joint law of sequence and rejected positions small enough to compare whole."""
    pairs = [
        random_prefix_pair(tokens=2, horizon=4, family="uniform", seed=40),
        random_prefix_pair(tokens=3, horizon=3, family="sparse", density=0.7, seed=41),
        random_pair(contexts=4, horizon=2, family="dirichlet", seed=42, initial="random"),
    ]
    if size != "quick":
        pairs += [
            random_prefix_pair(tokens=2, horizon=5, family="equal-rows", seed=43),
            random_prefix_pair(tokens=4, horizon=2, family="disjoint", seed=44),
            random_prefix_pair(tokens=3, horizon=3, family="peaked", seed=45),
            random_pair(contexts=2, horizon=5, family="perturbed", tv=0.2, seed=46, initial="point"),
        ]
    return tuple(pairs)


@cache
def sticky_pair() -> ModelPair:
    """Return a chain whose states last and reject in runs, so that a wrong prefix law shows.

    Random rows are nearly alike in every context, which hides such mistakes: with residuals drawn from the
    target the expected rejections move by 0.08 on the paper's instance and by 1.6 of 5.9 here.
    """
    return ModelPair.from_probabilities(
        [[[0.875, 0.125, 0.0], [0.0625, 0.9375, 0.0], [0.0, 0.25, 0.75]]],
        [[[0.125, 0.125, 0.75], [0.0625, 0.9375, 0.0], [0.5, 0.25, 0.25]]],
        initial=[0.5, 0.25, 0.25],
        horizon=20,
        name="sticky",
    )


@cache
def large_pairs(size: str) -> tuple[ModelPair, ...]:
    """Return pairs of every family, chains and prefix trees, for comparison of simulation with theory.

    Quick: up to 64 contexts and 128 positions for one family, smaller for the others. Standard: every family
    at 16 contexts, three at 64 with 128 positions. Deep: every family at 64 contexts and 128 positions too.
    """
    shapes: dict[Family, tuple[int, int]] = {
        "uniform": (64, 128),
        "dirichlet": (12, 40),
        "perturbed": (7, 20),
        "near-equal": (5, 30),
        "sparse": (9, 33),
        "disjoint": (6, 12),
        "equal-rows": (8, 24),
        "peaked": (16, 48),
    }
    wide = {"quick": 0, "standard": 16, "deep": 64}[size]
    pairs = []
    for number, (family, (contexts, horizon)) in enumerate(shapes.items()):
        stationary = family == "peaked"
        pairs.append(
            random_pair(
                contexts=contexts,
                horizon=horizon,
                family=family,
                seed=200 + number,
                initial="random",
                stationary=stationary,
            )
        )
        if wide:
            pairs.append(
                random_pair(
                    contexts=wide,
                    horizon=128 if size == "deep" else 64,
                    family=family,
                    seed=300 + number,
                )
            )
    pairs.append(sticky_pair())
    pairs.append(random_prefix_pair(tokens=2, horizon=8, family="uniform", seed=220))
    pairs.append(random_prefix_pair(tokens=5, horizon=4, family="sparse", seed=221))
    if wide:
        pairs.append(random_pair(contexts=64, horizon=128, family="sparse", seed=222, initial="point"))
        pairs.append(random_pair(contexts=64, horizon=128, family="perturbed", seed=223))
        pairs.append(random_prefix_pair(tokens=2, horizon=12, family="equal-rows", seed=224))
        pairs.append(random_prefix_pair(tokens=8, horizon=4, family="peaked", seed=225))
    if size == "deep":
        for number, family in enumerate(FAMILIES):
            pairs.append(random_prefix_pair(tokens=4, horizon=7, family=family, seed=400 + number))
    return tuple(pairs)


def tiny(effort: Effort) -> tuple[ModelPair, ...]:
    """Return `tiny_pairs` for this effort."""
    return tiny_pairs(effort.name)


@cache
def constant_distance_pair(horizon: int) -> ModelPair:
    """Return a stationary chain whose rows are 1/4 apart in total variation in every context."""
    return ModelPair.from_probabilities(
        [[[0.5, 0.25, 0.25], [0.125, 0.625, 0.25], [0.75, 0.25, 0.0]]],
        [[[0.25, 0.5, 0.25], [0.25, 0.375, 0.375], [0.5, 0.25, 0.25]]],
        initial=[0.5, 0.25, 0.25],
        horizon=horizon,
        name=f"distance 1/4, horizon {horizon}",
    )
