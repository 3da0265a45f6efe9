"""Closed forms and identities, derived symbolically with sympy and written as LaTeX.

Every function returns a `Derivation`: an expression that follows from the recursion alone, the closed form it
is compared with, and the assumptions on the symbols (orderings are fixed by them, so that no positive part is
left). sympy is imported inside the functions.
"""

from specsim.theory.symbolic.batches import batch_improvement_bernoulli, batch_improvement_uniform
from specsim.theory.symbolic.chains import independent_rejections, two_state_rejections
from specsim.theory.symbolic.derivation import Derivation
from specsim.theory.symbolic.exchange import theorem_5_identity

__all__ = [
    "Derivation",
    "batch_improvement_bernoulli",
    "batch_improvement_uniform",
    "independent_rejections",
    "theorem_5_identity",
    "two_state_rejections",
]
