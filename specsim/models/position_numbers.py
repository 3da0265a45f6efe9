"""What the two rows of a place say: rejection probabilities, and how the emitted token came about.

Every number here is computed from rows in float64 by theory's step laws; nothing is shared with the code that
verifies drafted tokens.
"""

from dataclasses import dataclass

import numpy as np

from specsim.algorithms import Algorithm
from specsim.errors import UnsupportedError
from specsim.support.arrays import Floats, Integers
from specsim.theory.step_laws import step_law_of


@dataclass(frozen=True, kw_only=True)
class PlaceNumbers:
    """Numbers of places, each of shape ``(places,)``.

    A place is a *root* when it is the first of its round; only batch decoding treats roots differently.

    total_variation: of the two rows.
    target_of_token, draft_of_token: probabilities of the emitted token.
    rejection_root, rejection_inner: probability that the place is rejected, given everything before it.
    written_root, written_inner: probability that the algorithm writes the emitted token there.
    kept_root, kept_inner: probability that the place was not rejected, given the emitted token too.
    from_target, from_draft: what the probability of the emitted token would be if a rejected token were
        replaced by a draw from the target row or the draft row: the wrong recoveries that the tests of tokens
        look for.
    """

    total_variation: Floats
    target_of_token: Floats
    draft_of_token: Floats
    rejection_root: Floats
    rejection_inner: Floats
    written_root: Floats
    written_inner: Floats
    kept_root: Floats
    kept_inner: Floats
    from_target: Floats
    from_draft: Floats


def check_measurable(algorithm: Algorithm) -> None:
    """Raise `UnsupportedError` unless theory knows what an algorithm does at a place from its rows alone."""
    if not algorithm.structure(1).widths:
        raise UnsupportedError(f"algorithm is {algorithm.label}, which drafts nothing; give one that does")
    law = step_law_of(algorithm.rule)
    if (law.node or law.node_total) is None or algorithm.drawing != algorithm.rule.drawings[0]:
        raise UnsupportedError(
            f"algorithm {algorithm.label!r} cannot be compared with theory place by place; "
            "give speculative, batch, over-acceptance, one-hot or match with independent drafts"
        )


def masses(algorithm: Algorithm, target: Floats, draft: Floats, root: bool) -> tuple[Floats, Floats]:
    """Return the masses with which each token is emitted, as a drafted token and after a rejection.

    algorithm: one that `check_measurable` lets pass.
    target, draft: rows, shape ``(places, tokens)``.
    root: whether the places are the first of their rounds.
    """
    law, rule = step_law_of(algorithm.rule), algorithm.rule
    widths = algorithm.structure(1).widths
    children = int(widths[0]) if root and widths else 1
    options = {
        name: float(value) if rule.parameters[name].kind == "number" else value
        for name, value in algorithm.parameters.items()
    }
    if law.node_total is not None:
        return law.node_total(target, draft, children, **options)
    assert law.node is not None
    taken, final = law.node(target, draft, children, **options)
    return taken.sum(axis=-2), final


def place_numbers(algorithm: Algorithm, target: Floats, draft: Floats, token: Integers) -> PlaceNumbers:
    """Return the numbers of places from their rows and the tokens emitted there.

    algorithm: the descriptor.
    target, draft: rows after sampling filters, float64, shape ``(places, tokens)``.
    token: emitted tokens, shape ``(places,)``.
    """
    every = np.arange(len(token))
    parts: dict[str, Floats] = {}
    for name, root in (("root", True), ("inner", False)):
        taken, final = masses(algorithm, target, draft, root)
        accepted, rejected = taken[every, token], final[every, token]
        written = accepted + rejected
        parts[f"rejection_{name}"] = final.sum(axis=1)
        parts[f"written_{name}"] = written
        parts[f"kept_{name}"] = np.where(written > 0, accepted / np.where(written > 0, written, 1.0), 1.0)
        if not root:
            parts["from_target"] = accepted + parts["rejection_inner"] * target[every, token]
            parts["from_draft"] = accepted + parts["rejection_inner"] * draft[every, token]
    return PlaceNumbers(
        total_variation=0.5 * np.abs(target - draft).sum(axis=1),
        target_of_token=target[every, token],
        draft_of_token=draft[every, token],
        **parts,
    )
