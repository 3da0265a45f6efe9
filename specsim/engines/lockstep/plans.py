"""What the literal engine knows of each algorithm: its tables and its round structure.

`prepare` is a `functools.singledispatch` function: register a new descriptor here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import singledispatch
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from specsim.algorithms import (
    Algorithm,
    Autoregressive,
    Batch,
    BatchAsPrinted,
    BlockVerification,
    OverAcceptance,
    RejectionBased,
    Speculative,
)
from specsim.engines.lockstep.tables import (
    Words,
    acceptance_thresholds,
    law_weights,
    of_steps,
    positive_part,
    ratio_thresholds,
    recursive_residuals,
)
from specsim.errors import InputError, UnsupportedError
from specsim.pairs import ModelPair

Steps = NDArray[np.intp]
#: Thresholds or weights for some steps, shape (steps, contexts, tokens).
Builder = Callable[[Steps], Words]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to run an algorithm.

    Attributes
    ----------
    kind
        The kernel: ``"chain"`` goes position by position, ``"block"`` verifies whole drafts.
    draft_length
        0 for plain decoding, ``horizon + 1`` when a draft reaches to the horizon.
    bonus
        Whether a target token follows a fully accepted draft.
    drafts
        Candidates at a root.
    thresholds, residual
        Builders of the acceptance thresholds and of the residual weights.
    shared
        Whether the word that drafts a token also tests it and finds its replacement, which needs residual
        weights that sum to the rejected ones; see `specsim.engines.lockstep.chain_tables`.
    root
        Builder of (thresholds of candidates 2.., residual weights) of a root, or None when a root is like
        any other position.
    table_steps
        1 when one step's tables serve all, else the horizon.
    subtractions
        Length of the recursion behind `root`.
    """

    kind: Literal["chain", "block"] = "chain"
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
        from specsim.engines.lockstep.chain_tables import Layout, block_step_bytes

        if self.kind == "block":
            return block_step_bytes(pair)
        return Layout.of(pair, self).step_bytes


@singledispatch
def prepare(algorithm: Algorithm, pair: ModelPair, horizon: int) -> Plan:
    """Return the plan of the literal engine for an algorithm.

    Parameters
    ----------
    algorithm
        A descriptor.
    pair
        The models.
    horizon
        Tokens to emit.

    Raises
    ------
    UnsupportedError
        The literal engine does not know the descriptor.
    InputError
        The descriptor does not fit the pair.
    """
    if isinstance(algorithm, Algorithm):
        raise UnsupportedError(
            f"algorithm is {type(algorithm).__name__}, which the literal engine does not know; "
            "register it with specsim.engines.lockstep.plans.prepare"
        )
    raise InputError(f"algorithm is {algorithm!r}; give a descriptor such as specsim.Speculative()")


@prepare.register
def _autoregressive(algorithm: Autoregressive, pair: ModelPair, horizon: int) -> Plan:
    return _plan(pair, horizon, draft_length=0, bonus=True)


@prepare.register
def _speculative(algorithm: Speculative, pair: ModelPair, horizon: int) -> Plan:
    return _plan(pair, horizon, **_round(algorithm, horizon))


@prepare.register
def _block_verification(algorithm: BlockVerification, pair: ModelPair, horizon: int) -> Plan:
    return _plan(pair, horizon, kind="block", **_round(algorithm, horizon))


@prepare.register
def _over_acceptance(algorithm: OverAcceptance, pair: ModelPair, horizon: int) -> Plan:
    choices: dict[str, Builder] = {
        "optimal": _excess(pair),
        "target": lambda steps: of_steps(pair.target_weights, steps),
        "draft": lambda steps: of_steps(pair.draft_weights, steps),
    }
    return _plan(
        pair,
        horizon,
        **_round(algorithm, horizon),
        shared=False,
        thresholds=_ratio(pair, algorithm.epsilon),
        residual=choices[algorithm.residual],
    )


@prepare.register
def _rejection_based(algorithm: RejectionBased, pair: ModelPair, horizon: int) -> Plan:
    tables = {"acceptance": algorithm.acceptance, "residual": algorithm.residual}
    for name, table in tables.items():
        if table.shape[1:] != (pair.contexts, pair.tokens):
            raise InputError(
                f"{name} has shape {table.shape} but the pair has {pair.contexts} contexts and "
                f"{pair.tokens} tokens; give (steps or 1, {pair.contexts}, {pair.tokens})"
            )
        if 1 < table.shape[0] < horizon:
            raise InputError(f"{name} has {table.shape[0]} steps; give 1 or at least the horizon {horizon}")
    stationary = pair.stationary and all(len(table) == 1 for table in tables.values())

    def residual(steps: Steps) -> Words:
        chosen = of_steps(algorithm.residual, steps)
        return law_weights(chosen.reshape(-1, pair.tokens)).reshape(chosen.shape)

    return _plan(
        pair,
        horizon,
        **_round(algorithm, horizon),
        table_steps=1 if stationary else horizon,
        shared=False,
        thresholds=lambda steps: acceptance_thresholds(
            of_steps(algorithm.acceptance, steps), of_steps(pair.draft_weights, steps)
        ),
        residual=residual,
    )


@prepare.register
def _batch(algorithm: Batch, pair: ModelPair, horizon: int) -> Plan:
    if algorithm.drafts == math.inf:
        raise InputError("drafts is inf; the limit is known to specsim.theory only, give a whole number")
    drafts = int(algorithm.drafts)
    # A single candidate makes a root like any other position.
    root = _root(pair, drafts, drafts) if drafts > 1 else None
    return _plan(pair, horizon, **_round(algorithm, horizon), drafts=drafts, root=root)


@prepare.register
def _batch_as_printed(algorithm: BatchAsPrinted, pair: ModelPair, horizon: int) -> Plan:
    # Line 28 subtracts the draft once more than the candidates that failed.
    drafts = 1 if algorithm.slip == "inside-loop" else algorithm.drafts
    return _plan(
        pair,
        horizon,
        draft_length=horizon + 1,
        bonus=False,
        drafts=drafts,
        root=_root(pair, drafts, drafts + 1),
    )


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


def _round(algorithm: Any, horizon: int) -> dict[str, Any]:
    length = algorithm.draft_length
    return {
        "draft_length": horizon + 1 if length is None else min(length, horizon + 1),
        "bonus": algorithm.bonus and length is not None,
    }


def _plan(pair: ModelPair, horizon: int, **changes: Any) -> Plan:
    """Give the plan with the rules of Algorithm 1 except for `changes`."""
    settings: dict[str, Any] = {
        "table_steps": 1 if pair.stationary else horizon,
        "thresholds": _ratio(pair),
        "residual": _excess(pair),
    }
    settings.update(changes)
    root = settings.pop("root", None)
    if root is not None:
        settings["subtractions"], settings["root"] = root
    return Plan(**settings)


def _root(
    pair: ModelPair, drafts: int, subtractions: int
) -> tuple[int, Callable[[Steps], tuple[Words, Words]]]:
    def build(steps: Steps) -> tuple[Words, Words]:
        target = of_steps(pair.target, steps).reshape(-1, pair.tokens)
        draft = of_steps(pair.draft, steps).reshape(-1, pair.tokens)
        thresholds, weights = recursive_residuals(target, draft, subtractions)
        return thresholds[:, 1:drafts], weights

    return subtractions, build
