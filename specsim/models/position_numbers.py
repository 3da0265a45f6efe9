"""Rejection probabilities at each position from its two rows, and how the emitted token came about.

Every number here is computed from rows in float64 by theory's step laws; nothing is shared with the code that
verifies drafted tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from specsim.algorithms import Algorithm
from specsim.errors import UnsupportedError
from specsim.support.arrays import Floats, Integers
from specsim.theory.step_laws import step_law_of
from specsim.theory.step_laws.drafts import likeliest
from specsim.theory.step_laws.traversal import after_failure

#: Rules that weigh a whole path: what they do at a position depends on the positions before it in the round.
#: On a chain ``traversal`` is ``block`` (2505.12398).
WHOLE_PATHS = ("block", "traversal")


@dataclass(frozen=True, kw_only=True)
class PlaceNumbers:
    """Arrays of shape ``(..., positions)``, or ``(..., positions, kinds)`` where the kind matters.

    The kind of a position is how deep it is in its round, as far as the algorithm cares; see `kinds_of`.

    total_variation: of the two rows.
    target_of_token, draft_of_token: probabilities of the emitted token.
    rejection: by kind, the probability that the position is rejected, given everything before it.
    written: by kind, the probability that the algorithm writes the emitted token there.
    kept: by kind, the probability that the position was not rejected, given the emitted token too.
    from_target, from_draft: by kind, what the probability of the emitted token would be if a rejected token
        were replaced by a draw from the target row or the draft row: the wrong recoveries that the tests of
        tokens look for.
    """

    total_variation: Floats
    target_of_token: Floats
    draft_of_token: Floats
    rejection: Floats
    written: Floats
    kept: Floats
    from_target: Floats
    from_draft: Floats

    def at(self, kind: Integers) -> PlaceNumbers:
        """Return the numbers of positions whose kinds are known, shape ``(..., positions)``."""

        def chosen(values: Floats) -> Floats:
            if values.ndim == kind.ndim:
                return values
            return np.take_along_axis(values, kind[..., None], axis=-1)[..., 0]

        return PlaceNumbers(**{entry.name: chosen(getattr(self, entry.name)) for entry in fields(self)})


def check_measurable(algorithm: Algorithm, new_tokens: int) -> None:
    """Raise `UnsupportedError` unless the rows up to a position decide what an algorithm does there."""
    structure = algorithm.structure(new_tokens)
    if structure.depth == 0:
        raise UnsupportedError(f"algorithm is {algorithm.label}, which drafts nothing; give one that does")
    label, drawing = algorithm.label, algorithm.drawing
    if structure.widths is None:
        raise UnsupportedError(
            f"{label} cannot be measured position by position: its distribution depends on the node before; "
            "give a tree whose nodes of one depth have equally many children, such as tree=3-2-1"
        )
    law = step_law_of(algorithm.rule)
    known = drawing == "greedy" and law.node_step is not None
    known |= drawing == "independent" and (
        (law.node or law.node_total) is not None or algorithm.rule.name in WHOLE_PATHS
    )
    if not known:
        raise UnsupportedError(
            f"{label} cannot be measured position by position: with drafts drawn as {drawing!r} its law "
            "at a position is a sum over all sets of drafted tokens; give a rule and drafts drawn "
            "independently or greedily"
        )


def kinds_of(algorithm: Algorithm, new_tokens: int) -> tuple[int, ...]:
    """Return the kind of a position of a round, by depth from its first position on.

    Positions whose nodes have equally many children are alike, unless the rule weighs whole paths.

    Examples
    --------
    >>> from specsim import Batch, BlockVerification
    >>> kinds_of(Batch(drafts=3, draft_length=4), 10), kinds_of(BlockVerification(draft_length=3), 10)
    ((1, 0, 0, 0), (0, 1, 2))
    """
    widths = algorithm.structure(new_tokens).widths or ()
    if algorithm.rule.name in WHOLE_PATHS:
        return tuple(range(len(widths)))
    different = sorted(set(widths))
    return tuple(different.index(width) for width in widths)


def place_numbers(
    algorithm: Algorithm, target: Floats, draft: Floats, token: Integers, *, new_tokens: int | None = None
) -> PlaceNumbers:
    """Return the numbers of positions from their rows and the tokens emitted there.

    algorithm: one that `check_measurable` lets pass.
    target, draft: rows after sampling filters, float64, shape ``(..., positions, tokens)``, positions in
    order. token: emitted tokens, shape ``(..., positions)``.
    new_tokens: tokens that were asked for. Defaults to None: the positions.
    """
    widths = algorithm.structure(new_tokens or token.shape[-1]).widths or ()
    if algorithm.rule.name in WHOLE_PATHS:
        found = list(_weighed(widths, target, draft, token))
    else:
        found = [_of_node(algorithm, target, draft, token, int(width)) for width in sorted(set(widths))]
    accepted, final, rejection = (np.stack(part, axis=-1) for part in zip(*found, strict=True))
    written = accepted + final
    of_target, of_draft = _at(target, token), _at(draft, token)
    return PlaceNumbers(
        total_variation=0.5 * np.abs(target - draft).sum(axis=-1),
        target_of_token=of_target,
        draft_of_token=of_draft,
        rejection=rejection,
        written=written,
        kept=np.where(written > 0, accepted / np.where(written > 0, written, 1.0), 1.0),
        from_target=accepted + rejection * of_target[..., None],
        from_draft=accepted + rejection * of_draft[..., None],
    )


def masses(algorithm: Algorithm, target: Floats, draft: Floats, children: int) -> tuple[Floats, Floats]:
    """Return the masses with which a node with that number of children emits each token, accepted and not.

    algorithm: one that goes from node to node.
    target, draft: rows, shape ``(..., tokens)``.
    """
    law, rule = step_law_of(algorithm.rule), algorithm.rule
    options = {
        name: float(value) if rule.parameters[name].kind == "number" else value
        for name, value in algorithm.parameters.items()
    }
    if algorithm.drawing == "greedy":
        assert law.node_step is not None
        ranks = [likeliest(draft, rank) for rank in range(children)]
        tokens = np.stack([rank.argmax(axis=-1) for rank in ranks], axis=-1)
        taken, final = law.node_step(target, draft, tokens, **options)
        of_child = np.stack([taken[..., number, None] * rank for number, rank in enumerate(ranks)])
        return of_child.sum(axis=0), final
    if law.node_total is not None:
        return law.node_total(target, draft, children, **options)
    assert law.node is not None
    taken, final = law.node(target, draft, children, **options)
    return taken.sum(axis=-2), final


def _of_node(
    algorithm: Algorithm, target: Floats, draft: Floats, token: Integers, children: int
) -> tuple[Floats, Floats, Floats]:
    """Return the mass of the token, accepted and after a rejection, and the mass of all rejections."""
    taken, final = masses(algorithm, target, draft, children)
    return _at(taken, token), _at(final, token), final.sum(axis=-1)


def _weighed(
    widths: tuple[int | float, ...], target: Floats, draft: Floats, token: Integers
) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Yield what `_of_node` returns, depth by depth of a round, for rules that weigh whole paths.

    A node of weight w accepts something below it or itself with probability w. Its k-th child is come to when
    the children before it are deleted, each of which leaves (w T - D)+ of the row.
    """
    # Of every node of this depth: the probability of coming to it, and its weight, in a round that began so
    # many positions before.
    nodes = [(np.ones(token.shape), np.ones(token.shape))]
    for width in widths:
        reached = sum(arrival * weight for arrival, weight in nodes)
        accepted, final, rejection = np.zeros((3, *token.shape))
        below = []
        for arrival, first in nodes:
            row, weight = target, first[..., None]
            for _ in range(int(width)):
                taken = np.minimum(draft, weight * row)
                accepted = accepted + arrival * _at(taken, token)
                proposed = _at(draft, token)
                with np.errstate(divide="ignore", invalid="ignore"):
                    quotient = weight[..., 0] * _at(row, token) / proposed
                below.append((arrival * proposed, np.where(proposed > 0, np.minimum(quotient, 1.0), 1.0)))
                arrival = arrival * (1 - taken.sum(axis=-1))
                weight, row = after_failure(weight, row, draft)
            stopped = (arrival * weight[..., 0])[..., None] * row
            final, rejection = final + _at(stopped, token), rejection + stopped.sum(axis=-1)
        # Positions that no round comes to at this depth are nowhere asked for.
        met = reached > 0
        scale = np.where(met, reached, 1.0)
        yield (
            np.where(met, accepted / scale, _at(target, token)),
            np.where(met, final / scale, 0.0),
            np.where(met, rejection / scale, 0.0),
        )
        scale = np.where(accepted > 0, accepted, 1.0)
        nodes = [(_shifted(arrival / scale), _shifted(weight)) for arrival, weight in below]


def _at(rows: Floats, token: Integers) -> Floats:
    return np.take_along_axis(rows, token[..., None], axis=-1)[..., 0]


def _shifted(values: Floats) -> Floats:
    """Return what was so at the position before; 0 at the first one."""
    return np.concatenate([np.zeros_like(values[..., :1]), values[..., :-1]], axis=-1)
