"""Speculative decoding of real language models, through torch and transformers (the extra ``torch``).

Importing this package without the extra raises `InputError`. Names are loaded on first use.
"""

from specsim.models.requirements import require
from specsim.support.lazy import attach

require("torch", "transformers")
__getattr__, __dir__, __all__ = attach(__name__, __file__)
