"""What the lockstep engine knows of each rule: its tables and its round structure."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import Algorithm
from specsim.engines.lockstep.tables import (
    Words,
    acceptance_thresholds,
    law_weights,
    of_steps,
    positive_part,
    ratio_thresholds,
    recursive_residuals,
)
from specsim.errors import InputError, TooLargeError, UnsupportedError
from specsim.pairs import ModelPair

Steps = NDArray[np.intp]
#: Thresholds or weights for some steps, shape (steps, contexts, tokens).
Builder = Callable[[Steps], Words]


#: Tables are built in time proportional to the number of drafts.
MOST_DRAFTS = 2**17


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to run an algorithm.

    draft_length: 0 for plain decoding, ``horizon + 1`` when a draft reaches to the horizon.
    bonus: whether a target token follows a fully accepted draft.
    drafts: candidates at a root.
    thresholds, residual: builders of the acceptance thresholds and of the residual weights.
    shared: whether the word that drafts a token also tests it and finds its replacement, which needs residual
        weights that sum to the rejected ones; see `specsim.engines.lockstep.chain_tables`.
    root: builder of (thresholds of candidates 2.., residual weights) of a root, or None when a root is like
        any other position.
    table_steps: 1 when one step's tables serve all, else the horizon.
    subtractions: length of the recursion after `root`.
    """

    draft_length: int
    bonus: bool
    table_steps: int
    thresholds: Builder
    residual: Builder
    drafts: int = 1
    subtractions: int = 0
    shared: bool = True
    root: Callable[[Steps], tuple[Words, Words]] | None = field(default=None)

    def step_bytes(self, pair: ModelPair) -> int:
        """Bytes of the tables of one step, scratch of building them included."""
        from specsim.engines.lockstep.chain_tables import Layout

        return Layout.of(pair, self).step_bytes


def serves(algorithm: Algorithm, horizon: int) -> bool:
    """Whether the engine knows the rule, and the draft is a chain or independent paths from one root."""
    return (
        algorithm.rule.name in _CHANGES
        and algorithm.drawing == "independent"
        and algorithm.structure(horizon + 1).kind != "tree"
    )


def prepare(algorithm: Algorithm, pair: ModelPair, horizon: int) -> Plan:
    """Return how the lockstep engine runs an algorithm.

    algorithm: a descriptor.
    pair: the models.
    horizon: tokens to emit.
    UnsupportedError: the engine does not know the rule or the draft structure.
    InputError: the descriptor does not fit the pair.
    """
    if not serves(algorithm, horizon):
        raise UnsupportedError(
            f"algorithm is {algorithm.label}; lockstep, and the engines built on it, run rules that decide "
            "position by position, on a chain or on independent paths, use engine='literal'"
        )
    # One more than the horizon stands for drafts that reach to it.
    structure = algorithm.structure(horizon + 1)
    drafts = structure.widths[0] if structure.widths else 1
    if drafts == math.inf:
        raise InputError("drafts is inf; the limit is known to specsim.theory only, give a whole number")
    if drafts > MOST_DRAFTS:
        raise TooLargeError(
            f"drafts is {drafts}; engines take at most {MOST_DRAFTS}, ask specsim.theory about more"
        )
    settings: dict[str, Any] = {
        "draft_length": structure.depth,
        "bonus": algorithm.whole_bonus,
        "drafts": int(drafts),
        "table_steps": 1 if pair.stationary else horizon,
        "thresholds": _ratio(pair),
        "residual": _excess(pair),
    }
    return Plan(**settings | _CHANGES[algorithm.rule.name](algorithm, pair, int(drafts), horizon))


def _over_acceptance(algorithm: Algorithm, pair: ModelPair, drafts: int, horizon: int) -> dict[str, Any]:
    residuals: dict[str, Builder] = {
        "optimal": _excess(pair),
        "target": lambda steps: of_steps(pair.target_weights, steps),
        "draft": lambda steps: of_steps(pair.draft_weights, steps),
    }
    return {
        "shared": False,
        "thresholds": _ratio(pair, algorithm.parameters["epsilon"]),
        "residual": residuals[algorithm.parameters["residual"]],
    }


def _rejection_based(algorithm: Algorithm, pair: ModelPair, drafts: int, horizon: int) -> dict[str, Any]:
    acceptance, residual = (algorithm.parameters[name] for name in ("acceptance", "residual"))
    for name, table in (("acceptance", acceptance), ("residual", residual)):
        if table.shape[1:] != (pair.contexts, pair.tokens):
            raise InputError(
                f"{name} has shape {table.shape} but the pair has {pair.contexts} contexts and "
                f"{pair.tokens} tokens; give (steps or 1, {pair.contexts}, {pair.tokens})"
            )
        if 1 < table.shape[0] < horizon:
            raise InputError(f"{name} has {table.shape[0]} steps; give 1 or at least the horizon {horizon}")

    def weights(steps: Steps) -> Words:
        chosen = of_steps(residual, steps)
        return law_weights(chosen.reshape(-1, pair.tokens)).reshape(chosen.shape)

    return {
        "table_steps": 1 if pair.stationary and len(acceptance) == len(residual) == 1 else horizon,
        "shared": False,
        "thresholds": lambda steps: acceptance_thresholds(
            of_steps(acceptance, steps), of_steps(pair.draft_weights, steps)
        ),
        "residual": weights,
    }


def _recursive(algorithm: Algorithm, pair: ModelPair, drafts: int, horizon: int) -> dict[str, Any]:
    # A single candidate makes a root like any other position.
    return _root(pair, drafts, drafts) if drafts > 1 else {}


def _as_printed(algorithm: Algorithm, pair: ModelPair, drafts: int, horizon: int) -> dict[str, Any]:
    # Line 28 subtracts the draft once more than the candidates that failed.
    tried = 1 if algorithm.parameters["slip"] == "inside-loop" else drafts
    return _root(pair, tried, tried + 1)


#: What differs from Algorithm 1, by the name of the rule.
_CHANGES: dict[str, Callable[[Algorithm, ModelPair, int, int], dict[str, Any]]] = {
    "ratio": lambda *_: {},
    "over-acceptance": _over_acceptance,
    "rejection-based": _rejection_based,
    "recursive": _recursive,
    "batch-as-printed": _as_printed,
}


def _ratio(pair: ModelPair, epsilon: float | Fraction = 0) -> Builder:
    """Accept with min(1, (T + epsilon) / D)."""
    return lambda steps: ratio_thresholds(
        of_steps(pair.target_weights, steps), of_steps(pair.draft_weights, steps), epsilon
    )


def _excess(pair: ModelPair) -> Builder:
    """Replace from the normalised positive part of T - D."""
    return lambda steps: positive_part(
        of_steps(pair.target_weights, steps), of_steps(pair.draft_weights, steps)
    )


def _root(pair: ModelPair, drafts: int, subtractions: int) -> dict[str, Any]:
    def build(steps: Steps) -> tuple[Words, Words]:
        target = of_steps(pair.target, steps).reshape(-1, pair.tokens)
        draft = of_steps(pair.draft, steps).reshape(-1, pair.tokens)
        thresholds, weights = recursive_residuals(target, draft, subtractions)
        return thresholds[:, 1:drafts], weights

    return {"drafts": drafts, "subtractions": subtractions, "root": build}
