"""Constructors of model pairs: the paper's instance and random pairs of several families."""

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from specsim.errors import InputError, TooLargeError
from specsim.pairs import ModelPair
from specsim.pairs.row_families import ROW_FAMILIES, Family, Tables
from specsim.support.arrays import Floats
from specsim.support.checks import whole
from specsim.support.streams import Stream, normalised

#: How `random_pair` chooses the law of the first context, unless an array is given.
Initial = Literal["uniform", "random", "point"]

#: The most bytes that the tables of one pair may take.
MOST_BYTES = 4 * 2**30

_PAPER_TOKENS = 7


def paper_pair(horizon: int) -> ModelPair:
    """Return the instance of the figures of arXiv 2411.00841, Appendix F, as recovered from them.

    Two non-stationary Markov chains with 7 states from ``numpy.random.RandomState(10)``: the first
    ``(horizon, 7, 7)`` uniforms are the draft, the next the target; rows divided by their sums; the prompt's
    law is uniform. The instance is drawn afresh for every horizon: ``paper_pair(50)`` (Figure 2) is no part
    of ``paper_pair(100)`` (Figure 5).

    Parameters
    ----------
    horizon
        Tokens to emit, at least 1. The paper has 50 and 100.

    Returns
    -------
    ModelPair
        Named ``paper:<horizon>``.

    Raises
    ------
    InputError
        The horizon is not a whole number of at least 1, or (`TooLargeError`) the tables would not fit.

    Examples
    --------
    >>> from specsim import paper_pair
    >>> paper_pair(50).target.shape
    (50, 7, 7)
    """
    steps = whole("horizon", horizon, 1)
    check_size(steps, _PAPER_TOKENS, _PAPER_TOKENS)
    state = np.random.RandomState(10)
    draft = normalised(state.rand(steps, _PAPER_TOKENS, _PAPER_TOKENS))
    target = normalised(state.rand(steps, _PAPER_TOKENS, _PAPER_TOKENS))
    initial = np.full(_PAPER_TOKENS, 1 / _PAPER_TOKENS)
    return ModelPair.from_probabilities(
        target, draft, initial=initial, horizon=steps, tolerance=1e-9, name=f"paper:{steps}"
    )


def random_pair(
    *,
    contexts: int,
    horizon: int,
    family: Family = "uniform",
    seed: int,
    tokens: int | None = None,
    stationary: bool = False,
    initial: Initial | ArrayLike = "uniform",
    concentration: float | None = None,
    tv: float | None = None,
    density: float | None = None,
) -> ModelPair:
    """Return a random pair, a pure function of its arguments on every machine.

    Parameters
    ----------
    contexts
        Number of contexts, at least 1.
    horizon
        Tokens to emit, at least 1.
    family
        ``"uniform"``: independent rows of uniform numbers divided by their sum. ``"dirichlet"``: independent
        symmetric Dirichlet rows. ``"perturbed"``: the draft moves the mass `tv` within each target row, so
        that their total variation distance is `tv` in every row. ``"near-equal"``: the same with a tiny
        `tv`. ``"sparse"``: independent rows with zeros. ``"disjoint"``: no token has both probabilities
        positive. ``"equal-rows"``: in some rows the draft equals the target exactly. ``"peaked"``:
        low-temperature rows whose peaks mostly agree.
    seed
        A non-negative whole number.
    tokens
        Size of the vocabulary. Defaults to None, equal to `contexts`: an order-1 Markov chain. Any other
        number gives a random ``next_context``.
    stationary
        Whether the same rows serve every step. Defaults to False.
    initial
        Law of the first context: ``"uniform"`` (the default), ``"random"`` (uniform numbers divided by their
        sum), ``"point"`` (context 0), or an array of shape ``(contexts,)``.
    concentration
        For ``"dirichlet"``, above 0. Defaults to None, 1.
    tv
        For ``"perturbed"`` (None: 0.1) and ``"near-equal"`` (None: 2^-20), from 0 to 1.
    density
        For ``"sparse"``, the probability that an entry is positive; for ``"equal-rows"``, the share of equal
        rows; above 0, at most 1. Defaults to None, 0.5.

    Returns
    -------
    ModelPair
        Its name is the grammar's spelling of the arguments (unless `initial` is an array).

    Raises
    ------
    InputError
        An argument is out of range, or is not one that the family takes; `tv` is not attainable; or
        (`TooLargeError`) the tables would not fit.

    Examples
    --------
    >>> from specsim import random_pair
    >>> random_pair(contexts=3, horizon=5, family="sparse", seed=1).target.shape
    (5, 3, 3)
    """
    contexts = whole("contexts", contexts, 1)
    horizon = whole("horizon", horizon, 1)
    seed = whole("seed", seed, 0)
    vocabulary = contexts if tokens is None else whole("tokens", tokens, 1)
    if not isinstance(stationary, bool | np.bool_):
        raise InputError(f"stationary is {stationary!r}; give True or False")
    steps = 1 if stationary else horizon
    check_size(steps, contexts, vocabulary)
    given = _parameters(family, concentration=concentration, tv=tv, density=density)
    target, draft = _tables(family, seed, steps * contexts, vocabulary, given)
    next_context = None
    if vocabulary != contexts:
        next_context = Stream(seed, "pair/next_context").below(contexts, contexts, vocabulary)
    law, spelled = _initial(initial, contexts, seed)
    named: dict[str, object] = {"contexts": contexts, "tokens": tokens, "horizon": horizon}
    named |= {"family": family, "seed": seed, **given}
    named |= {"stationary": "yes" if stationary else None, "initial": spelled}
    shape = (steps, contexts, vocabulary)
    return ModelPair.from_probabilities(
        target.reshape(shape),
        draft.reshape(shape),
        initial=law,
        next_context=next_context,
        horizon=horizon,
        name=_name("random", named),
    )


def random_prefix_pair(
    *,
    tokens: int,
    horizon: int,
    family: Family = "uniform",
    seed: int,
    concentration: float | None = None,
    tv: float | None = None,
    density: float | None = None,
) -> ModelPair:
    """Return a random whole-prefix (non-Markov) pair: one row for every prefix shorter than the horizon.

    Context 0 is the empty prefix, and the prefix that follows context c by the token x is context
    ``c * tokens + x + 1``. The tables are stationary, the first context is context 0, and the deepest
    prefixes, after which nothing is emitted, lead back to it.

    Parameters
    ----------
    tokens
        Size of the vocabulary, at least 1.
    horizon
        Tokens to emit, at least 1.
    family, seed, concentration, tv, density
        As in `random_pair`.

    Raises
    ------
    InputError
        As `random_pair`.
    TooLargeError
        The tree has too many prefixes.

    Examples
    --------
    >>> from specsim import random_prefix_pair
    >>> random_prefix_pair(tokens=2, horizon=3, seed=1).contexts
    7
    """
    tokens = whole("tokens", tokens, 1)
    horizon = whole("horizon", horizon, 1)
    seed = whole("seed", seed, 0)
    # The logarithm first: the power itself may be astronomically large.
    if horizon * math.log2(tokens) > 48 or horizon > 2**24:
        raise TooLargeError(
            f"the tree of prefixes of {tokens} tokens and horizon {horizon} has more than 2^48 nodes; "
            "give fewer tokens or a shorter horizon, or use random_pair"
        )
    contexts = sum(tokens**depth for depth in range(horizon)) if tokens > 1 else horizon
    check_size(1, contexts, tokens)
    given = _parameters(family, concentration=concentration, tv=tv, density=density)
    target, draft = _tables(family, seed, contexts, tokens, given)
    initial = np.eye(1, contexts)[0]
    named: dict[str, object] = {"tokens": tokens, "horizon": horizon, "family": family, "seed": seed, **given}
    return ModelPair.from_probabilities(
        target[None],
        draft[None],
        initial=initial,
        next_context=_tree(contexts, tokens),
        horizon=horizon,
        name=_name("prefix", named),
    )


def check_size(steps: int, contexts: int, tokens: int) -> None:
    """Raise `TooLargeError` when the tables of such a pair would take more than `MOST_BYTES`."""
    size = (2 * steps + 1) * contexts * tokens * 8
    if size > MOST_BYTES:
        raise TooLargeError(
            f"the tables of {steps} x {contexts} x {tokens} (steps x contexts x tokens) take {size} bytes, "
            f"more than {MOST_BYTES}; give fewer contexts or tokens, or a stationary pair"
        )


def _tree(contexts: int, tokens: int) -> NDArray[np.int64]:
    children = np.arange(contexts)[:, None] * tokens + np.arange(tokens) + 1
    return np.where(children < contexts, children, 0)


def _parameters(
    family: str, *, concentration: float | None, tv: float | None, density: float | None
) -> dict[str, object]:
    if family not in ROW_FAMILIES:
        raise InputError(f"family is {family!r}; give one of {', '.join(ROW_FAMILIES)}")
    allowed = ROW_FAMILIES[family].parameters
    given: dict[str, object] = {}
    for field, value, range_text in (
        ("concentration", concentration, "above 0"),
        ("tv", tv, "from 0 to 1"),
        ("density", density, "above 0, at most 1"),
    ):
        if value is None:
            continue
        if field not in allowed:
            takers = [name for name, row_family in ROW_FAMILIES.items() if field in row_family.parameters]
            raise InputError(
                f"{field} is {value!r}, but family {family} does not take it; "
                f"leave it out or choose {' or '.join(takers)}"
            )
        if isinstance(value, bool) or not isinstance(value, int | float | np.floating):
            raise InputError(f"{field} is {value!r}; give a number {range_text}")
        number = float(value)
        low_enough = number <= 1 or field == "concentration"
        high_enough = number >= 0 if field == "tv" else number > 0
        if not (math.isfinite(number) and low_enough and high_enough):
            raise InputError(f"{field} is {value!r}; give a finite number {range_text}")
        given[field] = number
    return given


def _tables(family: str, seed: int, rows: int, tokens: int, given: dict[str, object]) -> Tables:
    return ROW_FAMILIES[family].draw(seed, rows, tokens, **given)


def _initial(initial: Initial | ArrayLike, contexts: int, seed: int) -> tuple[Floats, str | None]:
    if isinstance(initial, str):
        if initial == "uniform":
            return np.full(contexts, 1.0 / contexts), None
        if initial == "random":
            return normalised(Stream(seed, "pair/initial").uniforms(contexts)), initial
        if initial == "point":
            return np.eye(1, contexts)[0], initial
        raise InputError(f"initial is {initial!r}; give uniform, random, point, or an array of {contexts}")
    try:
        return np.asarray(initial, dtype=np.float64), "given"
    except (TypeError, ValueError):
        raise InputError(f"initial is {initial!r}; give uniform, random, point, or an array") from None


def _name(keyword: str, values: dict[str, object]) -> str:
    return keyword + ":" + ",".join(f"{key}={value}" for key, value in values.items() if value is not None)
