"""Exact laws of a kernel from its own Python text: rational rows, and coins that know only an interval.

What runs is thereby a proof object: on given rows and drafted tokens the law of the step is exact, whatever
the text does with its coins. A coin used twice is seen, which neither a program (a fresh coin for each
question) nor a closed form (no coins at all) can express. Rounding is not seen: a text is followed in real
numbers, and the compiled kernel works on float64.
"""

from specsim.validation.kernel_text.coins import CannotEnumerate, TextError
from specsim.validation.kernel_text.enumeration import KernelText

__all__ = ["CannotEnumerate", "KernelText", "TextError"]
