"""Speculative decoding of real language models, through torch and transformers (the extra ``torch``).

Importing this package without the extra raises `InputError`. Names are loaded on first use.
"""

from specsim.models.missing import require_torch
from specsim.support.lazy import attach

require_torch()
__getattr__, __dir__, __all__ = attach(__name__, __file__)
