"""Pairs derived from a pair by another draft: over fewer tokens, of another quality, or for a cache."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from specsim.errors import InputError
from specsim.pairs.pair import ModelPair, real_array
from specsim.support.arrays import Floats
from specsim.support.checks import whole
from specsim.support.streams import Stream


def restricted_vocabulary(
    pair: ModelPair, *, size: int, by: str | ArrayLike = "context", noise: float = 0.0, seed: int = 0
) -> ModelPair:
    """Return the pair whose draft rows keep `size` tokens each and are divided by what these hold.

    The target is unchanged. Decoding with the new pair uses the restricted row everywhere: to draw, to test
    and for the residual, so that every lossless rule stays lossless.

    Parameters
    ----------
    pair
        The pair to derive from.
    size
        Tokens that the draft may propose, from 1 to the size of the vocabulary.
    by
        ``"context"`` (the default): in every row the tokens of the largest draft probabilities.
        ``"global"``: one subset for all rows, of the largest draft probabilities added over rows. Or scores,
        shape ``(tokens,)`` for one subset or ``(steps, contexts, tokens)`` for one of each row, of which the
        largest are kept: counts of a text, or approximate logits. Of equal scores the first tokens are kept.
    noise
        Scale of Gumbel noise that is added to the logarithms of the draft probabilities before the largest
        are kept: a selection by an approximation. 0 (the default) is none, 1 draws a subset without
        replacement by the draft row. Not with scores, to which noise can be added beforehand.
    seed
        Seed of the noise.

    Raises
    ------
    InputError
        An argument is out of range, or a row has no draft probability on the tokens kept.

    Notes
    -----
    2602.13836: a subset for each context, chosen by approximate logits. A fixed subset is what EAGLE-3 and
    FR-Spec use.

    Examples
    --------
    >>> from specsim import parse_pair, restricted_vocabulary
    >>> pair = parse_pair("random:contexts=4,horizon=9,seed=1,stationary=yes")
    >>> narrow = restricted_vocabulary(pair, size=2)
    >>> (narrow.draft > 0).sum(axis=-1)
    array([[2, 2, 2, 2]])
    """
    pair = _checked(pair)
    size = whole("size", size, 1, pair.tokens)
    scores = _scores(pair, by, noise, whole("seed", seed, 0))
    order = np.argsort(-scores, axis=-1, kind="stable")
    kept = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(kept, order[..., :size], True, axis=-1)
    rows = np.where(kept, pair.draft, 0.0)
    sums = rows.sum(axis=-1, keepdims=True)
    if not sums.all():
        step, context = np.argwhere(sums[..., 0] == 0)[0].tolist()
        raise InputError(
            f"draft[{step}, {context}] has no probability on the {size} tokens kept; give a larger size, or "
            "by='context'"
        )
    if not isinstance(by, str):
        name = f"{pair.name}, {size} of {pair.tokens} tokens drafted, by scores"
    else:
        # As the grammar of the command line spells it.
        chosen = "" if by == "context" else f",by={by}"
        noisy = f",noise={float(noise)!r},seed={seed}" if noise else ""
        name = f"restricted:size={size}{chosen}{noisy},of={pair.name}"
    return _with_draft(pair, rows / sums, name)


def blended_draft(pair: ModelPair, target_share: float) -> ModelPair:
    """Return the pair whose draft rows are mixed with the target's: (1 - share) draft + share target.

    Parameters
    ----------
    pair
        The pair to derive from.
    target_share
        From 0, the draft as it is, to 1, the target itself.

    Raises
    ------
    InputError
        The share is out of range.

    Examples
    --------
    >>> from specsim import blended_draft, paper_pair
    >>> bool((blended_draft(paper_pair(5), 1).draft == paper_pair(5).target).all())
    True
    """
    share, pair = _share("target_share", target_share), _checked(pair)
    rows = (1 - share) * pair.draft + share * pair.target
    return _with_draft(pair, rows, f"blended:target_share={share!r},of={pair.name}")


def cache_favouring_draft(pair: ModelPair, *, size: int, factor: float) -> ModelPair:
    """Return the pair whose draft rows propose their likeliest tokens less: a cache guesses these.

    Each row is multiplied by `factor` on its `size` likeliest tokens and divided by its sum. Tokens that are
    drafted less are left to the residual, so that the token after a rejection is one of them more often; in
    general neither the share of guessed outcomes nor the acceptance need follow. Guesses are those of the
    row as it was: give the old pair as `ranked_by` to `specsim.engines.systems.ssd.simulate_ssd`.

    Parameters
    ----------
    pair
        The pair to derive from. The target is unchanged; the new row is used to draw, to test and for the
        residual, so that every lossless rule stays lossless.
    size
        Likeliest tokens of each row, from 1 to the size of the vocabulary; of equals the first.
    factor
        From 0, never draft them, to 1, the draft as it is.

    Raises
    ------
    InputError
        An argument is out of range, or with factor 0 a row has no draft probability on the other tokens.

    Notes
    -----
    2603.03251, Definition 14, as secondary sources report it; the authors' code takes F + 1 tokens for a
    fan-out F.

    Examples
    --------
    >>> from specsim import ModelPair, cache_favouring_draft
    >>> pair = ModelPair.from_probabilities([[0.25, 0.75]], [[0.75, 0.25]], next_context=[[0, 0]], horizon=4)
    >>> cache_favouring_draft(pair, size=1, factor=1 / 3).draft.tolist()
    [[[0.5, 0.5]]]
    """
    pair = _checked(pair)
    size, factor = whole("size", size, 1, pair.tokens), _share("factor", factor)
    order = np.argsort(-pair.draft, axis=-1, kind="stable")
    likely = np.zeros(pair.draft.shape, dtype=bool)
    np.put_along_axis(likely, order[..., :size], True, axis=-1)
    rows = np.where(likely, factor * pair.draft, pair.draft)
    sums = rows.sum(axis=-1, keepdims=True)
    if not sums.all():
        step, context = np.argwhere(sums[..., 0] == 0)[0].tolist()
        raise InputError(
            f"draft[{step}, {context}] has no probability outside its {size} likeliest tokens; give a factor "
            "above 0"
        )
    return _with_draft(pair, rows / sums, f"cache-favouring:size={size},factor={factor!r},of={pair.name}")


def _share(field: str, value: object) -> float:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1:  # type: ignore[operator]
        raise InputError(f"{field} is {value!r}; give a number from 0 to 1")
    return float(value)  # type: ignore[arg-type]


def _checked(pair: object) -> ModelPair:
    if not isinstance(pair, ModelPair):
        raise InputError(f"pair is {pair!r}; give a specsim.ModelPair, such as parse_pair('paper:50')")
    return pair


def _scores(pair: ModelPair, by: str | ArrayLike, noise: float, seed: int) -> Floats:
    number = isinstance(noise, int | float | np.number) and not isinstance(noise, bool)
    if not number or not 0 <= noise < 1e6:
        raise InputError(f"noise is {noise!r}; give a scale of at least 0")
    if not isinstance(by, str):
        return _given_scores(pair, by, noise)
    if by == "context":
        masses = pair.draft
    elif by == "global":
        masses = pair.draft.sum(axis=(0, 1))
    else:
        raise InputError(f"by is {by!r}; give 'context', 'global', or scores of the tokens")
    if not noise:
        return masses
    gumbel = -np.log(-np.log(Stream(seed, "vocabulary").uniforms(*masses.shape)))
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(masses) + noise * gumbel)


def _given_scores(pair: ModelPair, by: ArrayLike, noise: float) -> Floats:
    scores = real_array("by", by, "scores, or 'context' or 'global'")
    if scores.shape not in ((pair.tokens,), pair.draft.shape):
        raise InputError(
            f"by has shape {scores.shape}; give one score per token, ({pair.tokens},), or {pair.draft.shape}"
        )
    if np.isnan(scores).any():
        where = np.argwhere(np.isnan(scores))[0].tolist()
        raise InputError(f"by{where} is nan; give finite scores")
    if noise:
        raise InputError(f"noise is {noise!r} together with scores; add it to the scores")
    return scores


def _with_draft(pair: ModelPair, rows: Floats, name: str) -> ModelPair:
    return ModelPair.from_probabilities(
        pair.target,
        rows,
        initial=pair.initial,
        next_context=pair.next_context,
        horizon=pair.horizon,
        token_names=pair.token_names,
        name=name,
    )
