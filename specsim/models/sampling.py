"""From logits to the rows that are sampled: temperature, top-k, top-p, the same for draft and target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from specsim.algorithms.rule import Drawing
from specsim.errors import InputError
from specsim.support.checks import whole

if TYPE_CHECKING:
    import torch

# Sizes of the first searches for the nucleus on a CPU, where sorting takes longer than a small model.
_NUCLEUS_SIZES = (256, 4096)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are drawn from a model, applied to draft and target alike.

    Applied in the order of the fields, as transformers does. What is decoded is then the target *after* these
    changes, which is what losslessness refers to.

    Parameters
    ----------
    temperature
        Logits are divided by it. 0 puts all mass on the (first) most likely token.
    top_k
        Number of most likely tokens kept. Defaults to None, all.
    top_p
        Keep the smallest set of most likely tokens with at least this mass, after `top_k`. Defaults to 1,
        all. Tokens exactly as likely as the least likely one kept stay too, here and for `top_k`.

    Examples
    --------
    >>> from specsim.models import Sampling
    >>> Sampling(temperature=0.5, top_k=50).top_k
    50
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0

    def __post_init__(self) -> None:
        number = isinstance(self.temperature, int | float) and not isinstance(self.temperature, bool)
        if not (number and math.isfinite(self.temperature) and self.temperature >= 0):
            raise InputError(f"temperature is {self.temperature!r}; give a finite number, at least 0")
        if self.top_k is not None:
            whole("top_k", self.top_k, 1, otherwise=", or None for all")
        number = isinstance(self.top_p, int | float) and not isinstance(self.top_p, bool)
        if not (number and 0 < self.top_p <= 1):
            raise InputError(f"top_p is {self.top_p!r}; give a number above 0 and at most 1")

    def rows(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the law of the next token for logits of shape ``(..., tokens)``.

        In float64 for float64 logits, else in float32, whatever the model computes in. A row whose logits
        hold a NaN or +inf, or are all -inf, comes out as NaN.
        """
        if logits.itemsize < 8:
            logits = logits.float()
        if self.temperature == 0:
            top, token = logits.max(dim=-1, keepdim=True)
            # Not finite minus itself is NaN.
            return logits.new_zeros(logits.shape).scatter_(-1, token, 1.0) + (top - top)
        if self.temperature != 1:
            logits = logits / self.temperature
        tokens = logits.shape[-1]
        few = None
        if self.top_k is not None and self.top_k < tokens:
            few = logits.topk(self.top_k, dim=-1).values
            logits = logits.masked_fill(logits < few[..., -1:], -math.inf)
        if self.top_p < 1:
            least = self._least_kept(logits, few)
            logits = logits.masked_fill(logits < least, -math.inf)
        return logits.softmax(dim=-1)

    def _least_kept(self, logits: torch.Tensor, largest: torch.Tensor | None) -> torch.Tensor:
        """Return the smallest logit of the nucleus, shape ``(..., 1)``."""
        if largest is not None:
            return self._border(largest, largest.softmax(dim=-1))
        tokens = logits.shape[-1]
        if logits.device.type == "cpu":
            total = logits.logsumexp(dim=-1, keepdim=True)
            for size in _NUCLEUS_SIZES:
                if 2 * size < tokens:
                    largest = logits.topk(size, dim=-1).values
                    mass = (largest - total).exp()
                    if bool((mass.sum(dim=-1) >= self.top_p).all()):
                        return self._border(largest, mass)
        largest = logits.sort(dim=-1, descending=True).values
        return self._border(largest, largest.softmax(dim=-1))

    def _border(self, largest: torch.Tensor, mass: torch.Tensor) -> torch.Tensor:
        # A token stays while what is likelier than it has less than the wanted mass.
        before = mass.cumsum(dim=-1) - mass
        last = (before < self.top_p).sum(dim=-1, keepdim=True).clamp(min=1) - 1
        return largest.gather(-1, last)


def draw(weights: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Draw tokens from each row by inverting its distribution function, never one of weight zero.

    Parameters
    ----------
    weights
        Non-negative, shape ``(..., tokens)``; rows need not sum to 1 but must not be zero.
    uniform
        float64 on [0, 1), shape ``(..., draws)``.

    Returns
    -------
    torch.Tensor
        int64, shape ``(..., draws)``.
    """
    import torch

    # In float64, or else the tail of a large vocabulary is drawn too often or never.
    cumulative = weights.cumsum(dim=-1, dtype=torch.float64)
    total = cumulative[..., -1:]
    point = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
    token = torch.searchsorted(cumulative, point, right=True)
    # Out of range only where a row is NaN, which is reported once the round is over.
    return token.clamp(max=weights.shape[-1] - 1)


def draw_children(row: torch.Tensor, uniform: torch.Tensor, drawing: Drawing) -> torch.Tensor:
    """Draw the children of nodes from the rows after them.

    row: shape ``(..., tokens)``.
    uniform: a coin for each child, shape ``(..., children)``; not more children than tokens unless drawn
        independently.
    drawing: ``"independent"``, ``"distinct"`` (each from the row less those before it, by `untried`) or
        ``"greedy"`` (the likeliest tokens, whatever the coins).
    Returns: int64, shape ``(..., children)``.
    """
    import torch

    if drawing == "greedy":
        return likeliest(row, uniform.shape[-1])
    if drawing == "independent" or uniform.shape[-1] == 1:
        return draw(row, uniform)
    tokens = draw(row, uniform[..., :1])
    for number in range(1, uniform.shape[-1]):
        following = draw(untried(row, tokens), uniform[..., number, None])
        tokens = torch.cat([tokens, following], dim=-1)
    return tokens


def untried(row: torch.Tensor, tried: torch.Tensor) -> torch.Tensor:
    """Return rows without some tokens, normalised.

    Uniform over the other tokens where nothing else has any weight; the row itself when all are tried.

    row: shape ``(..., tokens)``.
    tried: shape ``(..., n)``.

    Examples
    --------
    >>> import torch
    >>> untried(torch.tensor([0.5, 0.25, 0.25]), torch.tensor([0])).tolist()
    [0.0, 0.5, 0.5]
    """
    import torch

    if not tried.shape[-1]:
        return row
    left = row.scatter(-1, tried, 0.0)
    others = torch.ones_like(row).scatter(-1, tried, 0.0)
    left = torch.where(left.sum(dim=-1, keepdim=True) > 0, left, others)
    total = left.sum(dim=-1, keepdim=True)
    return torch.where(total > 0, left / total, row)


def likeliest(weights: torch.Tensor, count: int) -> torch.Tensor:
    """Return the `count` tokens of most weight of each row, the lower token first where they are equal.

    weights: shape ``(..., tokens)``.
    count: at most the number of tokens.
    Returns: int64, shape ``(..., count)``.
    """
    if count == 1:
        return weights.argmax(dim=-1, keepdim=True)
    return weights.argsort(dim=-1, descending=True, stable=True)[..., :count]
