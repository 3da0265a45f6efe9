"""Rules that were shipped or published as lossless and are not: laws, distances, apparent gains."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from specsim import get_rule
from specsim.theory.arithmetic.rational_pair import RationalPair
from specsim.validation.claims_model import (
    Claim,
    Comparison,
    ExactCheck,
    Verdict,
    counterexample,
    equal,
    near,
)
from specsim.validation.instances import four_tokens, thirds
from specsim.validation.running.effort import Effort
from specsim.validation.witnesses import Witnesses

TENTHS = ((2, 3, 5), (5, 3, 2))


def _accepted(witnesses: Witnesses, pair: Any, algorithm: Any, *, exact: bool = True) -> Any:
    """Return the expected accepted length of the first round."""
    law = witnesses.theory.first_accepted_length_law(pair, algorithm, exact=exact)
    return sum(length * mass for length, mass in enumerate(law.tolist()))


def _distance(witnesses: Witnesses, pair: Any, law: Any) -> Any:
    """Return the total variation distance of a law of texts from the target's."""
    return abs(law - witnesses.theory.target_law(pair, exact=True)).sum() / 2


def _whole(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    pair, wrong = thirds(2), get_rule("block-uncapped-whole")(draft_length=2)
    law = witnesses.theory.output_law(pair, wrong, exact=True)
    ninth = Fraction(1, 9)
    yield equal("law of the text, thirds", law, [ninth, 2 * ninth, 3 * ninth, 3 * ninth])
    yield equal("the same by enumeration", witnesses.enumerate_outcomes(pair, wrong).output_law(), law)
    accepted = _accepted(witnesses, pair, wrong)
    yield equal("accepted tokens", accepted, Fraction(4, 3))
    yield equal("joint bound", witnesses.theory.joint_bound(pair, wrong, exact=True), accepted)
    best = _accepted(witnesses, pair, get_rule("block")(draft_length=2))
    yield counterexample(
        "thirds, two drafted tokens",
        _distance(witnesses, pair, law) == ninth and accepted > best,
        f"the text ba has probability 1/3 instead of 2/9; {accepted} tokens are accepted, and no lossless "
        f"rule accepts more than {best}",
        printed="lossless",
        exact=f"total variation {_distance(witnesses, pair, law)}",
    )


def _coins(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    for length, distance, accepted in ((2, 0.2024346631, 1.6413987469), (3, 0.3879977117, 2.6835567845)):
        pair, wrong = thirds(length), get_rule("block-product-coins")(draft_length=length)
        law = witnesses.theory.output_law(pair, wrong)
        target = witnesses.theory.target_law(pair)
        yield near(f"distance, thirds, {length} tokens", abs(law - target).sum() / 2, distance, 1e-9)
        found = _accepted(witnesses, pair, wrong, exact=False)
        yield near(f"accepted tokens of {length}", found, accepted, 1e-9)
        bound = witnesses.theory.joint_bound(pair, wrong, exact=True)
        yield counterexample(
            f"thirds, {length} drafted tokens",
            found > bound + 0.1,
            f"{found:.4f} tokens are accepted, more than {float(bound):.4f}, the joint bound of all rules",
            printed="lossless",
            exact=f"total variation {distance:.4f}",
        )


def _residual(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    pair, wrong = four_tokens(2), get_rule("block-token-residual")(draft_length=2)
    law = witnesses.theory.output_law(pair, wrong, exact=True)
    yield equal("the same by enumeration", witnesses.enumerate_outcomes(pair, wrong).output_law(), law)
    right = get_rule("block")(draft_length=2)
    yield equal(
        "accepted tokens are those of block verification",
        _accepted(witnesses, pair, wrong),
        _accepted(witnesses, pair, right),
    )
    distance = _distance(witnesses, pair, law)
    yield counterexample(
        "four tokens, two of them drafted", distance == Fraction(3, 350),
        "after one accepted token the residual of target - draft gives token 2 a share that it must not have",
        printed="lossless", exact=f"total variation {distance}",
    )  # fmt: skip
    small = witnesses.theory.output_law(thirds(2), wrong, exact=True)
    yield equal("two tokens of vocabulary do not show it", _distance(witnesses, thirds(2), small), 0)


def _kept(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    target, draft = four_tokens(3).target[0][0], four_tokens(3).draft[0][0]
    greedy = [Fraction(token == 1) for token in range(4)]
    for name, row, expected in (
        ("sampled", draft, Fraction(3249, 280000)),
        ("greedy", greedy, Fraction(63, 1300)),
    ):
        pair, wrong = (
            RationalPair.independent(target, row, horizon=3),
            get_rule("block-kept-coins")(draft_length=2),
        )
        # Drafts are cut at the horizon; of three tokens the first two are as in a long text.
        laws = [
            witnesses.theory.output_law(pair, wrong, exact=True),
            witnesses.enumerate_outcomes(pair, wrong).output_law(),
            witnesses.theory.target_law(pair, exact=True),
        ]
        found, enumerated, right = (law.reshape(16, 4).sum(axis=1) for law in laws)
        yield equal(f"first two tokens by enumeration, {name} drafts", enumerated, found)
        distance = abs(found - right).sum() / 2
        yield counterexample(
            f"four tokens, {name} drafts of two", distance == expected,
            "a coin that has failed in one round is known to be large in the next",
            printed="lossless", exact=f"total variation {distance} = {float(distance):.4f}",
        )  # fmt: skip


def _dropped(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    rows = [[Fraction(value, 10) for value in row] for row in TENTHS]
    pair = RationalPair.independent(*rows, horizon=1)
    wrong = get_rule("drop-unlikely")(least=Fraction(1, 4), draft_length=1)
    law = witnesses.theory.output_law(pair, wrong, exact=True)
    yield equal("law of a token", law, [Fraction(6, 25), Fraction(9, 25), Fraction(2, 5)])
    yield equal("the same by enumeration", witnesses.enumerate_outcomes(pair, wrong).output_law(), law)
    distance = _distance(witnesses, pair, law)
    yield counterexample(
        "draft (.5, .3, .2), target (.2, .3, .5), bar 1/4", distance == Fraction(1, 10),
        "the tokens that stay are no draws from the draft row", printed="lossless",
        exact=f"total variation {distance}",
    )  # fmt: skip


CLAIMS = (
    Claim(
        id="specsim.shipped-as-lossless",
        title="Rules that were shipped as lossless",
        statement=(
            "These keep the target's law: block verification with an uncapped test of the whole draft, with "
            "the product of coins, with the token rule's residual, with coins that belong to positions; and "
            "dropping sampled draft tokens that are unlikely."
        ),
        source=(
            "code of 2601.05724 at b8575e2; vllm-project/vllm-ascend at 05226df and #7808; vLLM 0.30.0; "
            "examples/confirmations shows each without this package"
        ),
        verdict=Verdict.FAILS,
        checks=(
            ExactCheck("whole draft by the product", _whole),
            ExactCheck("product of coins", _coins),
            ExactCheck("token residual", _residual),
            ExactCheck("kept coins", _kept),
            ExactCheck("dropped tokens", _dropped),
        ),
        mutants=("theory-sequences-reversed",),
    ),
)
