"""What a type checker knows of the public namespaces, seen from outside.

``make lint`` checks this file: mypy reports the ignore of a wrong line that is no longer refused.
"""

from fractions import Fraction
from typing import assert_type

import specsim
from specsim import ModelPair, Speculative, paper_pair, theory


def test_types__numbers_are_floats_and_exact_ones_fractions() -> None:
    pair, algorithm = paper_pair(2), Speculative()
    exactly = bool(pair.horizon)
    assert isinstance(assert_type(theory.expected_rejections(pair, algorithm), float), float)
    assert isinstance(
        assert_type(theory.expected_rejections(pair, algorithm, exact=True), Fraction), Fraction
    )
    assert isinstance(assert_type(theory.theorem_1_rejections(pair, exact=True), Fraction), Fraction)
    assert isinstance(assert_type(theory.batch_rejections(pair, 2), float), float)
    assert assert_type(theory.total_variation([1], [1], exact=True), Fraction) == 0
    assert assert_type(theory.acceleration(pair, algorithm, exact=exactly), float | Fraction) > 1
    assert assert_type(specsim.paper_figures.names(), tuple[str, ...])
    assert assert_type(specsim.validation.all_claims(), tuple[specsim.validation.Claim, ...])


def wrong(pair: ModelPair, algorithm: Speculative) -> None:
    """Say what type checkers refuse; never called."""
    theory.expected_rejections(pair, algorithm, horizn=3)  # type: ignore[call-overload]
    theory.expected_rejections(2, algorithm)  # type: ignore[call-overload]
    theory.no_such()  # type: ignore[attr-defined]
    _text: str = theory.expected_rejections(pair, algorithm)  # type: ignore[assignment]
    _exact: Fraction = theory.optimal_rejections(pair)  # type: ignore[assignment]
    specsim.simulate(pair, algorithm, runs="many")  # type: ignore[arg-type]
    specsim.testing.check_samplr()  # type: ignore[attr-defined]
    specsim.validation.validate(1)  # type: ignore[arg-type]
    specsim.models.decode(prompts=[])  # type: ignore[call-arg]
    specsim.paper_figures.draw(1)  # type: ignore[arg-type]
