"""What a draft step costs by the drafter's shape: depth, width, and the tokens that its head scores."""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

from specsim.clocks.clock import Clock, Number, cost
from specsim.errors import InputError
from specsim.support.checks import whole


@dataclass(frozen=True, kw_only=True)
class DrafterCosts:
    """Costs of the parts of a draft step, in target calls.

    Parameters
    ----------
    fixed
        What every step costs.
    layer
        A layer, however wide.
    width
        What a unit of width adds to a layer.
    head
        The output head over the whole vocabulary; over a part of it, as much less.
    selection
        Choosing that part for each token, where it is less than the whole. A fixed part costs nothing.

    Notes
    -----
    2402.01528: the latency of a draft step grows with the depth, hardly with the width. 2602.13836: a head
    of d' dimensions instead of d selects, at d' / d of the cost of the whole head.

    Examples
    --------
    >>> from specsim import DrafterCosts
    >>> costs = DrafterCosts(layer=0.02, head=0.04, selection=0.005)
    >>> costs.step(depth=2), costs.step(depth=2, vocabulary=0.25)
    (Fraction(2, 25), Fraction(11, 200))
    """

    fixed: Number = 0
    layer: Number = 0
    width: Number = 0
    head: Number = 0
    selection: Number = 0

    def __post_init__(self) -> None:
        for entry in fields(self):
            object.__setattr__(self, entry.name, cost(entry.name, getattr(self, entry.name)))

    def step(self, *, depth: int = 1, width: int = 0, vocabulary: Number = 1) -> Fraction:
        """Return the time of a draft step.

        depth: layers.
        width: of each layer, in any unit that the cost `width` is given for.
        vocabulary: share of the vocabulary that the head scores, above 0, at most 1.
        InputError: an argument is out of range.
        """
        whole("depth", depth, 0)
        whole("width", width, 0)
        share = cost("vocabulary", vocabulary)
        if not 0 < share <= 1:
            raise InputError(f"vocabulary is {vocabulary!r}; give a share above 0, at most 1")
        layers = depth * (Fraction(self.layer) + width * Fraction(self.width))
        chosen = Fraction(self.selection) if share < 1 else 0
        return Fraction(self.fixed) + layers + share * Fraction(self.head) + chosen

    def clock(self, *, depth: int = 1, width: int = 0, vocabulary: Number = 1, **others: Any) -> Clock:
        """Return the clock of a drafter of this shape; `others`: parameters of `Clock` except `draft`."""
        return Clock(draft=self.step(depth=depth, width=width, vocabulary=vocabulary), **others)
