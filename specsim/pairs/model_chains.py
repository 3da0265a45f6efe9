"""Chains of models: several models in order, each of which drafts for the one before it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from specsim.errors import InputError
from specsim.pairs.derived import blended_draft
from specsim.pairs.pair import ModelPair, real_array


def model_chain(pair: ModelPair, *middle: float | ArrayLike) -> tuple[ModelPair, ...]:
    """Return a chain of models from the target of a pair to its draft, with models between them.

    A chain of n models is given as its n - 1 neighbouring pairs: the draft of each pair is the target of the
    next. The target of the first pair is the model whose text is wanted, the draft of the last one drafts.

    Parameters
    ----------
    pair
        Its target is the first model, its draft the last.
    middle
        The models between, from the target's side: rows of the shape of the pair's, or one table for all
        steps, or a number from 0 to 1 for a mixture, share target + (1 - share) draft.

    Raises
    ------
    InputError
        The pair is none, a share is out of range, or rows do not fit the pair's.

    Examples
    --------
    >>> from specsim import model_chain, paper_pair
    >>> upper, lower = model_chain(paper_pair(5), 0.5)
    >>> bool((upper.draft == lower.target).all())
    True
    """
    if not isinstance(pair, ModelPair):
        raise InputError(f"pair is {pair!r}; give a specsim.ModelPair, such as parse_pair('paper:50')")
    rows, names = [pair.target], ["target"]
    for number, model in enumerate(middle):
        if isinstance(model, int | float | np.number):
            rows.append(blended_draft(pair, float(model)).draft)
            names.append(f"{float(model):g} target")
            continue
        given = real_array(f"middle[{number}]", model, "rows, or a share of the target from 0 to 1")
        if given.shape not in (pair.target.shape, pair.target.shape[1:]):
            raise InputError(
                f"middle[{number}] has shape {given.shape}; give rows of shape {pair.target.shape}, as the "
                "pair's, or a share of the target from 0 to 1"
            )
        rows.append(np.broadcast_to(given, pair.target.shape))
        names.append(f"model {number + 1}")
    rows.append(pair.draft)
    names.append("draft")
    return tuple(
        ModelPair.from_probabilities(
            upper,
            lower,
            initial=pair.initial,
            next_context=pair.next_context,
            horizon=pair.horizon,
            token_names=pair.token_names,
            name=f"{pair.name}, {first} and {second}" if middle else pair.name,
        )
        for (upper, lower), (first, second) in zip(pairwise(rows), pairwise(names), strict=True)
    )


def check_chain(pairs: ModelPair | Sequence[ModelPair]) -> tuple[ModelPair, ...]:
    """Return the neighbouring pairs of a chain of models.

    InputError: they are none, or two neighbours do not share a model.
    """
    chain = (pairs,) if isinstance(pairs, ModelPair) else tuple(pairs)
    for number, pair in enumerate(chain):
        if not isinstance(pair, ModelPair):
            raise InputError(f"pairs[{number}] is {pair!r}; give a specsim.ModelPair")
    if not chain:
        raise InputError("pairs is empty; give the pairs of neighbouring models, see specsim.model_chain")
    for number, (upper, lower) in enumerate(pairwise(chain)):
        for what, one, other in (
            ("draft rows", upper.draft, lower.target),
            ("initial law", upper.initial, lower.initial),
            ("next contexts", upper.next_context, lower.next_context),
        ):
            if not np.array_equal(one, other):
                raise InputError(
                    f"the {what} of pairs[{number}] are not those of pairs[{number + 1}]; the draft of each "
                    "pair has to be the target of the next, see specsim.model_chain"
                )
    return chain
