"""Claims as data, exact comparisons, and the verdict that checks establish."""

from fractions import Fraction

import numpy as np
import pytest

from specsim.errors import InputError
from specsim.validation.claims_model import (
    Comparison,
    ExactCheck,
    Verdict,
    counterexample,
    decided,
    equal,
    exact_text,
)
from specsim.validation.running.outcomes import CheckOutcome, ClaimOutcome, Status


def test_equal__compares_rationals_arrays_and_mappings():
    assert equal("a", Fraction(2, 4), Fraction(1, 2)).agrees
    assert equal("a", np.array([Fraction(1), Fraction(0)]), [1, 0]).agrees
    assert equal("a", {"x": [1, 2]}, {"x": (1, 2)}).agrees
    assert not equal("a", [1, 2], [1, 2, 3]).agrees
    found = equal("law", [Fraction(1, 3), Fraction(1, 3)], [Fraction(1, 3), Fraction(2, 3)])
    assert not found.agrees
    assert found.label == "law, entry 1 of 2"
    assert "1/3" in found.observed
    assert "2/3" in found.expected


@pytest.mark.parametrize("value", [0.5, np.float64(0.5), [Fraction(1), 0.5], np.array([0.5])])
def test_equal__refuses_floats(value):
    with pytest.raises(InputError, match="exact checks compare exact values only"):
        equal("a", value, Fraction(1, 2))


def test_equal__tells_values_apart_that_floats_cannot():
    tiny = Fraction(1, 10**40)
    assert not equal("a", 1 + tiny, Fraction(1)).agrees


def test_exact_text__is_short_and_gives_decimals():
    assert exact_text(Fraction(3)) == "3"
    assert exact_text(Fraction(1, 3)) == "1/3 = 0.333333"
    assert exact_text(Fraction(10**50 + 1, 10**50)).startswith("1 (exact, ")
    assert exact_text(True) == "True"


def test_decided_and_counterexample():
    assert decided("x", True).agrees
    assert not decided("x", False, observed=Fraction(1, 2), expected="at most 1/3").agrees
    shown = counterexample("x", True, "it is 1/2", printed=0, exact=Fraction(1, 2))
    assert (shown.expected, shown.observed) == ("0", "1/2 = 0.5")
    with pytest.raises(InputError, match="has no text"):
        counterexample("x", True, "")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"claim_id": "Not An Id"}, "claim id is"),
        ({"verdict": Verdict.CONDITION}, "condition goes with"),
        ({"condition": "always"}, "condition goes with"),
    ],
)
def test_claim__checks_itself(coins, changes, words):
    with pytest.raises(InputError, match=words):
        coins.claim(**changes)


def test_claim__needs_checks_of_different_names(coins):
    with pytest.raises(InputError, match="two checks of one name"):
        coins.claim("a.b", coins.exact("x"), coins.exact("x"))


def outcome(coins, verdict, *comparisons, condition="", status=Status.AGREES):
    claim = coins.claim(
        "a.b", ExactCheck("x", lambda witnesses, effort: ()), verdict=verdict, condition=condition
    )
    check = CheckOutcome(name="x", kind="exact", status=status, comparisons=tuple(comparisons))
    return ClaimOutcome(claim=claim, checks=(check,))


RIGHT = Comparison(label="a", observed="1", expected="1", agrees=True)
SHOWN = Comparison(label="a", observed="1", expected="0", agrees=True, counterexample="1 is not 0")


def test_established__follows_from_the_evidence(coins):
    assert outcome(coins, Verdict.HOLDS, RIGHT).status is Status.AGREES
    assert outcome(coins, Verdict.FAILS, RIGHT, SHOWN).status is Status.AGREES
    assert outcome(coins, Verdict.CONDITION, SHOWN, condition="if").status is Status.AGREES


def test_established__verdict_without_its_evidence_is_contradicted(coins):
    # An erratum without a counterexample, and a statement that 'holds' beside one.
    for wrong in (outcome(coins, Verdict.FAILS, RIGHT), outcome(coins, Verdict.HOLDS, RIGHT, SHOWN)):
        assert wrong.status is Status.DISAGREES
        assert "not the verdict expected" in wrong.reason
    assert outcome(coins, Verdict.CONDITION, RIGHT, condition="if").status is Status.DISAGREES


def test_established__nothing_when_a_check_fails(coins):
    failed = outcome(coins, Verdict.HOLDS, RIGHT, status=Status.DISAGREES)
    assert failed.established is None
    assert failed.status is Status.DISAGREES
