"""Tests of speculative samplers: is it really lossless.

One generator of plain functions, three ways to use it: `check_sampler` runs them and returns a report,
`checks_for` gives them one by one, `parametrize_with_checks` hands them to pytest. Names are loaded on use.
"""

from specsim.support.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
