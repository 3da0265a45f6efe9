"""Model pairs from logits: softmax in float64."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from specsim.errors import InputError
from specsim.pairs.pair import ModelPair, real_array
from specsim.support.arrays import Floats


def from_logits(
    target: ArrayLike,
    draft: ArrayLike,
    *,
    initial: ArrayLike,
    temperature: float = 1.0,
    draft_temperature: float | None = None,
    next_context: ArrayLike | None = None,
    horizon: int | None = None,
    token_names: tuple[str, ...] | list[str] | None = None,
    name: str = "pair",
) -> ModelPair:
    """Build a pair from two tables of logits by softmax, in float64, then `ModelPair.from_probabilities`.

    Probabilities below about 2^-33 become zero; `ModelPair.rounding` counts them.

    Parameters
    ----------
    target, draft
        Logits of shape ``(steps, contexts, tokens)``, or ``(contexts, tokens)`` for a stationary pair.
        Minus infinity is a probability of zero.
    initial, next_context, horizon, token_names, name
        As in `ModelPair.from_probabilities`.
    temperature
        Divides the logits; finite, above 0.
    draft_temperature
        The draft's. Defaults to None, the same.

    Raises
    ------
    InputError
        A temperature is not finite and positive; a logit is NaN or plus infinity; all logits of a row are
        minus infinity; or as `ModelPair.from_probabilities`.
    """
    if draft_temperature is None:
        draft_temperature = temperature
    return ModelPair.from_probabilities(
        _softmax("target", target, "temperature", temperature),
        _softmax("draft", draft, "draft_temperature", draft_temperature),
        initial=initial,
        next_context=next_context,
        horizon=horizon,
        token_names=token_names,
        name=name,
    )


def _softmax(field: str, logits: ArrayLike, temperature_field: str, temperature: Any) -> Floats:
    good = isinstance(temperature, int | float | np.floating) and not isinstance(temperature, bool)
    if not (good and math.isfinite(temperature) and temperature > 0):
        raise InputError(f"{temperature_field} is {temperature!r}; give a finite number above 0")
    array = real_array(field, logits, "logits")
    if array.ndim not in (2, 3) or array.size == 0:
        raise InputError(
            f"{field} has shape {array.shape}; give (steps, contexts, tokens), or (contexts, tokens)"
        )
    bad = np.isnan(array) | (array == np.inf)
    if bad.any():
        where = np.argwhere(bad)[0].tolist()
        raise InputError(f"{field}{where} is {array[tuple(where)]}; give logits below infinity")
    largest = array.max(axis=-1, keepdims=True)
    if np.isneginf(largest).any():
        where = np.argwhere(np.isneginf(largest[..., 0]))[0].tolist()
        raise InputError(f"{field}{where} has only logits of minus infinity; leave at least one finite")
    # The difference of finite logits may overflow to minus infinity, which is right.
    with np.errstate(over="ignore"):
        weights = np.exp((array - largest) / temperature)
    return weights / np.cumsum(weights, axis=-1)[..., -1:]
