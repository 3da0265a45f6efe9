"""Which rule accepts more: orders between rules, exact on tiny pairs and attacked by a search."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, partial
from itertools import pairwise
from typing import Any

from specsim import ModelPair, catalogue, parse_algorithm
from specsim.algorithms import Algorithm
from specsim.theory.arithmetic.rational_pair import RationalPair
from specsim.validation.claims_model import (
    Claim,
    Comparison,
    ExactCheck,
    Verdict,
    counterexample,
    decided,
    equal,
    exact_text,
)
from specsim.validation.counterexamples import spelled, worst_pair
from specsim.validation.instances import four_tokens, thirds, tiny_pairs
from specsim.validation.mutants.model import Mutation, defined, mutant
from specsim.validation.mutants.theories import formulas
from specsim.validation.running.effort import Effort
from specsim.validation.tampering import broken_round_certificates
from specsim.validation.witnesses import Witnesses

Pair = ModelPair | RationalPair

#: A difference of floats that is none.
_ROUNDING = 1e-9
#: The factor of K-SEQ is irrational; its program stops bisecting at one that is a little too high.
_BISECTED = Fraction(1, 2**40)


@dataclass(frozen=True)
class Order:
    """Two algorithms on the same kind of drafts: the first accepts no more than the second."""

    lower: str
    upper: str

    @property
    def both(self) -> tuple[Algorithm, Algorithm]:
        """The two algorithms."""
        return parse_algorithm(self.lower), parse_algorithm(self.upper)

    @property
    def measures(self) -> dict[str, Callable[..., Any]]:
        """What the order is about: a plan of most acceptance may need more target calls (`_calls`)."""
        least_calls = "transport" not in self.upper
        return {name: measure for name, measure in _MEASURES.items() if least_calls or measure is _accepted}

    @property
    def slack(self) -> Fraction:
        """By how much the order may fail because a factor is bisected."""
        return _BISECTED if "k-seq" in self.upper else Fraction(0)

    def __str__(self) -> str:
        return f"{self.lower} <= {self.upper}"


def orders(*lines: str) -> tuple[Order, ...]:
    """Return the orders between neighbours in each line."""
    found = []
    for line in lines:
        listed = line.split(" <= ")
        found += [Order(lower, upper) for lower, upper in pairwise(listed)]
    return tuple(found)


PATH = orders(
    "ratio:draft_length=2 <= block:draft_length=2",
    "ratio:draft_length=3 <= block:draft_length=3",
)
NODE = orders(
    "recursive:drafts=2,draft_length=1 <= k-seq:drafts=2,draft_length=1 <= transport:drafts=2,draft_length=1",
    "recursive:drafts=3,draft_length=1 <= k-seq:drafts=3,draft_length=1",
    "recursive:drafts=2,draft_length=1 <= recursive-distinct:drafts=2,draft_length=1"
    " <= transport-distinct:drafts=2,draft_length=1",
    "recursive:drafts=2,draft_length=2 <= k-seq:drafts=2,draft_length=2",
)
TREE = orders(
    "recursive:tree=2-1 <= traversal:tree=2-1",
    "recursive:tree=1-2 <= traversal:tree=1-2",
    "recursive:tree=0.0.1 <= traversal:tree=0.0.1",
    "recursive-distinct:tree=2-1 <= traversal-distinct:tree=2-1",
)
DRAFTS = orders(
    "ratio:draft_length=2 <= recursive:drafts=2,draft_length=2 <= recursive:drafts=3,draft_length=2",
    "k-seq:drafts=2,draft_length=1 <= k-seq:drafts=3,draft_length=1",
    "transport:drafts=2,draft_length=1 <= transport:drafts=3,draft_length=1",
    "block:draft_length=2 <= traversal:drafts=2,draft_length=2",
    "match:drafts=2,draft_length=2 <= match:drafts=3,draft_length=2",
)

COUPLINGS = orders(
    "minhash:draft_length=1 <= gumbel:draft_length=1 <= ratio:draft_length=1",
    "minhash:drafts=2,draft_length=1 <= gumbel:drafts=2,draft_length=1",
)


@cache
def _pairs() -> tuple[Pair, ...]:
    return (thirds(2), tiny_pairs("quick")[1], four_tokens(2), *tiny_pairs("quick")[2:5])


def _accepted(witnesses: Witnesses, pair: Pair, algorithm: Algorithm, exact: bool) -> Any:
    """Return the expected accepted length of the first round."""
    if exact and algorithm.rule.inexact:
        law = witnesses.enumerate_outcomes(pair, algorithm).first_accepted_length_law()
    else:
        law = witnesses.theory.first_accepted_length_law(pair, algorithm, exact=exact)
    return sum(count * mass for count, mass in enumerate(law))


def _saved(witnesses: Witnesses, pair: Pair, algorithm: Algorithm, exact: bool) -> Any:
    """Return the expected target calls over the horizon, negative so that more is better."""
    if exact and algorithm.rule.inexact:
        return -witnesses.enumerate_outcomes(pair, algorithm).expected_target_calls()
    return -witnesses.theory.expected_target_calls(pair, algorithm, exact=exact)


_MEASURES: dict[str, Callable[..., Any]] = {
    "E[accepted in the first round]": _accepted,
    "-E[target calls]": _saved,
}


def _on_tiny_pairs(listed: tuple[Order, ...], witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    for order in listed:
        # Where there is no exact mode, programs are enumerated, which takes longer.
        slow = any(side.rule.inexact for side in order.both)
        pairs = _pairs()[: effort.pick(quick=1 if slow else 2, standard=3 if slow else 6, deep=6)]
        for pair in pairs:
            for name, measure in order.measures.items():
                lower, upper = (measure(witnesses, pair, side, True) for side in order.both)
                yield decided(
                    f"{name}, {order}, {_name(pair)}",
                    lower <= upper + order.slack,
                    observed=f"{float(lower):.6g} and {float(upper):.6g}",
                    expected="in this order",
                )


def _searched(listed: tuple[Order, ...], witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    for seed, order in enumerate(listed):
        for name, measure in order.measures.items():

            def excess(pair: Pair, order: Order = order, measure: Callable[..., Any] = measure) -> float:
                lower, upper = (float(measure(witnesses, pair, side, False)) for side in order.both)
                return lower - upper

            found = worst_pair(excess, tries=effort.pick(quick=4, standard=60, deep=2000), seed=seed)
            text = f"largest excess {found.excess:.2g}"
            if found.excess > _ROUNDING:
                lower, upper = (measure(witnesses, found.pair, side, True) for side in order.both)
                text = f"{exact_text(lower)} above {exact_text(upper)}: {spelled(found.pair)}"
            yield decided(
                f"{name}, {order}, {found.tried} pairs tried",
                found.excess <= _ROUNDING,
                observed=text,
                expected="no pair where it fails",
            )


def _checks(listed: tuple[Order, ...]) -> tuple[ExactCheck, ...]:
    return (
        ExactCheck("tiny pairs", partial(_on_tiny_pairs, listed)),
        ExactCheck("search for counterexamples", partial(_searched, listed)),
    )


def _name(pair: Pair) -> str:
    return f"{pair.tokens} rational tokens" if isinstance(pair, RationalPair) else pair.name


#: Drafts of one round, with the rule that attains their optimum, or those that do not reach it.
_ATTAINED = {
    "block:draft_length=1": True,
    "block:draft_length=2": True,
    "transport:drafts=2,draft_length=1": True,
    "transport-distinct:drafts=2,draft_length=1": True,
    "match:drafts=2,draft_length=1,drawn=greedy": True,
    "traversal:tree=2-1": False,
    "transport:tree=2-1": False,
    "traversal-distinct:tree=0.0.1": False,
}


def _optimum(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory = witnesses.theory
    pairs = (thirds(3), *_pairs()[1 : effort.pick(quick=1, standard=6, deep=6)])
    for spelling, attained in _ATTAINED.items():
        algorithm = parse_algorithm(spelling)
        for pair in pairs:
            where = f"{spelling}, {_name(pair)}"
            accepted = _accepted(witnesses, pair, algorithm, True)
            optimum = theory.round_optimum(pair, algorithm)
            joint = theory.joint_bound(pair, algorithm, exact=True)
            yield decided(f"certificate accepted, {where}", _is_accepted(theory, pair, optimum.certificate))
            if attained:
                yield equal(f"E[accepted] is the optimum, {where}", accepted, optimum.value)
            yield decided(
                f"E[accepted] <= optimum <= joint bound, {where}",
                accepted <= optimum.value <= joint,
                observed=f"{float(accepted):.6g}, {float(optimum.value):.6g}, {float(joint):.6g}",
                expected="in this order",
            )


def _two_paths(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    """Two paths of two tokens: what the published rules reach of 131/81."""
    wanted = {
        "recursive": Fraction(35, 27),
        "traversal": Fraction(38, 27),
        "transport": Fraction(40, 27),
        "greedy-block": Fraction(131, 81),
    }
    pair = thirds(3)
    for name, value in wanted.items():
        algorithm = parse_algorithm(f"{name}:drafts=2,draft_length=2")
        yield equal(f"E[accepted], {name}", _accepted(witnesses, pair, algorithm, True), value)
    optimum = witnesses.theory.round_optimum(pair, parse_algorithm("greedy-block:drafts=2,draft_length=2"))
    yield equal("the optimum of two paths of two tokens", optimum.value, Fraction(131, 81))


def _is_accepted(theory: Any, pair: Pair, certificate: Any) -> bool:
    try:
        return bool(theory.check_certificate(pair, certificate))
    except ValueError:
        return False


def _refused(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    theory, pair = witnesses.theory, thirds(3)
    certificate = theory.round_optimum(pair, parse_algorithm("ratio:draft_length=2")).certificate
    yield decided("certificate accepted", _is_accepted(theory, pair, certificate))
    yield decided(
        "certificate read back from JSON accepted", _is_accepted(theory, pair, certificate.to_json())
    )
    for name, tampered in broken_round_certificates(pair, certificate):
        yield decided(f"certificate with {name} refused", not _is_accepted(theory, pair, tampered))


@cache
def branching(
    target: tuple[Fraction, ...], draft: tuple[Fraction, ...], agreeing: int, horizon: int
) -> RationalPair:
    """Return a chain on which it matters which token is accepted first, not only whether one is.

    The first token has these rows. After the token `agreeing` the rows agree, after others they are disjoint.
    """
    tokens = range(len(target))
    sure = [tuple(Fraction(place == token) for place in tokens) for token in (0, 1)]
    # Context 0 is the start; token x leads to context 1 + x.
    rows = [(target, draft), *((sure[token != agreeing], sure[0]) for token in tokens)]
    targets, drafts = (tuple(row[side] for row in rows) for side in (0, 1))
    return RationalPair(
        target=(targets,),
        draft=(drafts,),
        next_context=(tuple(1 + token for token in tokens),) * len(rows),
        initial=tuple(Fraction(context == 0) for context in range(len(rows))),
        horizon=horizon,
    )


def _two_levels(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    algorithms = {name: parse_algorithm(f"{name}:drafts=2,draft_length=2") for name in (
        "recursive", "k-seq", "transport")}  # fmt: skip
    half, quarter = Fraction(1, 2), Fraction(1, 4)
    pair = branching((Fraction(0), half, half), (half, quarter, quarter), 2, 2)
    found = {name: _accepted(witnesses, pair, algorithm, True) for name, algorithm in algorithms.items()}
    best = witnesses.theory.round_optimum(pair, algorithms["transport"]).value
    yield equal("E[accepted] of recursive rejection sampling, two levels", found["recursive"], Fraction(9, 8))
    yield equal("E[accepted] of transport, two levels", found["transport"], Fraction(17, 16))
    yield equal("the optimum, two levels", best, Fraction(19, 16))
    yield counterexample(
        "two paths of two tokens, first rows draft (1/2, 1/4, 1/4) and target (0, 1/2, 1/2)",
        found["transport"] < found["recursive"],
        "all three rules accept one of the first tokens with probability 3/4, but the rows after token 2 "
        f"agree and those after token 1 do not, and transport takes token 1 when it may choose: it accepts "
        f"{found['transport']} tokens of the round, recursive rejection sampling {found['recursive']}, the "
        f"best rule {best}",
        printed="recursive <= transport",
        exact=f"{found['recursive']} and {found['transport']}",
    )


def _calls(
    order: str, pair: RationalPair, wanted: tuple[Fraction, Fraction], witnesses: Witnesses, effort: Effort
) -> Iterator[Comparison]:
    """Yield comparisons for a pair on which the rule that accepts more needs more target calls."""
    (listed,) = orders(order)
    accepted = [_accepted(witnesses, pair, side, True) for side in listed.both]
    calls = [-_saved(witnesses, pair, side, True) for side in listed.both]
    yield decided(f"accepted in the first round, {listed}", accepted[0] <= accepted[1])
    yield equal(f"E[target calls] of both, {listed}", calls, list(wanted))
    enumerated = [witnesses.enumerate_outcomes(pair, side).expected_target_calls() for side in listed.both]
    yield equal(f"E[target calls] of both by enumeration, {listed}", enumerated, list(wanted))
    yield counterexample(
        f"texts of 3 tokens, {listed}",
        calls[0] < calls[1],
        f"the second accepts no less in a round, {accepted[1]} against {accepted[0]}, but rejects more often "
        f"a token after which the rows are disjoint, and so needs {calls[1]} target calls against {calls[0]}",
        printed="no more target calls",
        exact=f"{calls[0]} and {calls[1]}",
    )


_HALF, _QUARTER, _NONE = Fraction(1, 2), Fraction(1, 4), Fraction(0)
#: Orders that hold for acceptance and not for target calls: a pair, and the calls of both.
_NOT_CALLS = {
    "transport": (
        "recursive:drafts=2,draft_length=1 <= transport:drafts=2,draft_length=1",
        branching((_NONE, _HALF, _HALF), (_HALF, _QUARTER, _QUARTER), 1, 3),
        (Fraction(17, 8), Fraction(35, 16)),
    ),
    "transport-distinct": (
        "recursive-distinct:drafts=2,draft_length=1 <= transport-distinct:drafts=2,draft_length=1",
        branching((_NONE, _HALF, _HALF, _NONE), (_QUARTER,) * 4, 1, 3),
        (Fraction(37, 18), Fraction(19, 9)),
    ),
}
#: The same for one more draft.
_NOT_FOR_DRAFTS = (
    "transport:drafts=2,draft_length=1 <= transport:drafts=3,draft_length=1",
    branching(
        (_NONE, Fraction(19, 27), Fraction(8, 27)), (Fraction(3, 8), Fraction(1, 3), Fraction(7, 24)), 1, 3
    ),
    (Fraction(2), 2 + Fraction(27, 512)),
)


def _greedy_blocks(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    half, quarter = Fraction(1, 2), Fraction(1, 4)
    pair = RationalPair.independent([3 * quarter, quarter], [half, half], horizon=1)
    found = [
        _accepted(witnesses, pair, parse_algorithm(f"greedy-block:drafts={drafts},draft_length=1"), True)
        for drafts in (1, 2, 3, 4)
    ]
    wanted = [Fraction(3, 4), Fraction(1), Fraction(7, 8), Fraction(13, 16)]
    yield equal("acceptance of greedy blocks with 1, 2, 3 and 4 drafts", found, wanted)
    yield counterexample(
        "one token, draft (1/2, 1/2), target (3/4, 1/4)",
        found[2] < found[1],
        "greedy multi-path block verification (2602.16961) takes the drafted token of the largest target / "
        f"draft, which is likelier the more drafts there are: it accepts with {found[0]}, {found[1]}, "
        f"{found[2]} and {found[3]} for 1, 2, 3 and 4 drafts, and with 3/4 in the limit",
        printed="rising with the drafts",
        exact=f"{found[1]} for 2 drafts, {found[2]} for 3",
    )


def _couplings(witnesses: Witnesses, effort: Effort) -> Iterator[Comparison]:
    names = [name for name in ("minhash", "gumbel", "ratio") if name in catalogue()]
    for pair in _pairs():
        found = [
            _accepted(witnesses, pair, parse_algorithm(f"{name}:draft_length=1"), True) for name in names
        ]
        yield decided(
            f"acceptance of one token: {' <= '.join(names)}, {_name(pair)}",
            found == sorted(found),
            observed=", ".join(f"{float(value):.6g}" for value in found),
            expected="in this order",
        )


CLAIMS = (
    Claim(
        id="specsim.order-one-path",
        title="Token verification, block verification, the optimum, the joint bound",
        statement="On one path token verification accepts no more than block verification, which attains the "
        "optimum over all lossless rules; that is at most the joint bound. Of several children the "
        "optimum is the transport's.",
        source="2403.10444, Theorem 2; 2310.15141; 2602.16961",
        verdict=Verdict.HOLDS,
        checks=(
            *_checks(PATH),
            ExactCheck("optimum", _optimum),
            ExactCheck("two paths", _two_paths),
            ExactCheck("refused certificates", _refused),
        ),
        mutants=("order-joint-bound-of-rows", "order-block-one-token-short"),
    ),
    Claim(
        id="specsim.order-one-node",
        title="Recursive rejection sampling, K-SEQ, transport",
        statement="With several drafts recursive rejection sampling accepts no more than K-SEQ, and K-SEQ no "
        "more than the transport of most acceptance; drafts that differ accept no less.",
        source="2310.15141, Section 4; 2402.14160",
        verdict=Verdict.CONDITION,
        condition="for the transport, in a round of one drafted token: a plan of most acceptance may take "
        "the token after which less is accepted. It may then accept less in two levels, and need more target "
        "calls for a text.",
        checks=(
            *_checks(NODE),
            ExactCheck("two levels", _two_levels),
            *(
                ExactCheck(f"target calls of {rule}", partial(_calls, *rest))
                for rule, rest in _NOT_CALLS.items()
            ),
        ),
        mutants=("order-k-seq-one-draft-fewer", "order-transport-is-recursive"),
    ),
    Claim(
        id="specsim.order-trees",
        title="Node by node, and traversal",
        statement="On a tree traversal verification accepts no less than recursive rejection sampling at "
        "every node, in a round and over the horizon.",
        source="2505.12398",
        verdict=Verdict.HOLDS,
        checks=_checks(TREE),
        mutants=("order-traversal-without-its-last-token",),
    ),
    Claim(
        id="specsim.order-drafts",
        title="More drafts never hurt",
        statement="More drafts accept no less in a round, and need no more target calls over the horizon.",
        source="2411.00841, Section 3.3; 2310.15141; 2602.16961",
        verdict=Verdict.CONDITION,
        condition="not for greedy multi-path blocks, which verify the most promising path alone; and the "
        "transport may need more target calls with more drafts.",
        checks=(
            *_checks(DRAFTS),
            ExactCheck("greedy blocks", _greedy_blocks),
            ExactCheck("target calls of transport", partial(_calls, *_NOT_FOR_DRAFTS)),
        ),
        mutants=("order-three-drafts-are-one",),
    ),
    Claim(
        id="specsim.order-couplings",
        title="MinHash, Gumbel, 1 - TV",
        statement="Drawing draft and target with common noise accepts a token with at most 1 - TV, which the "
        "ratio attains; weighted MinHash, (1 - TV) / (1 + TV), accepts no more than Gumbel noise.",
        source="2408.07978",
        verdict=Verdict.HOLDS,
        checks=(
            ExactCheck("one token", _couplings),
            ExactCheck("search for counterexamples", partial(_searched, COUPLINGS)),
        ),
        mutants=("order-gumbel-accepts-by-ratio-twice",),
    ),
)  # fmt: skip


def _replaced(change: Callable[[Algorithm], Algorithm]) -> Mutation:
    """Return the mutation that computes both measures for another algorithm."""

    def changed(theory: Any) -> dict[str, Callable[..., Any]]:
        def function(name: str) -> Callable[..., Any]:
            return lambda pair, algorithm, **options: getattr(theory, name)(
                pair, change(algorithm), **options
            )

        return {
            name: function(name)
            for name in ("first_accepted_length_law", "expected_target_calls", "enumerate_outcomes")
        }

    return formulas(changed)


def _spelled(old: str, new: str) -> Callable[[Algorithm], Algorithm]:
    return lambda algorithm: parse_algorithm(str(algorithm.label).replace(old, new))


@mutant(_replaced, cite="vllm-project/vllm#40819: block verification gated off for short drafts")
def order_block_one_token_short(algorithm: Algorithm) -> Algorithm:
    """Block verification of two tokens verifies one."""
    return _spelled("block:draft_length=2", "block:draft_length=1")(algorithm)


@mutant(_replaced, cite="an off-by-one in the loop over the drafts")
def order_k_seq_one_draft_fewer(algorithm: Algorithm) -> Algorithm:
    """K-SEQ of two drafts tries one."""
    return _spelled("k-seq:drafts=2", "k-seq:drafts=1")(algorithm)


@mutant(_replaced, cite="a fallback where the optimal plan was not computed")
def order_transport_is_recursive(algorithm: Algorithm) -> Algorithm:
    """A node that should use a plan of most acceptance uses recursive rejection sampling."""
    return _spelled("transport", "recursive")(algorithm)


@mutant(_replaced, cite="a tree that is cut one level too high")
def order_traversal_without_its_last_token(algorithm: Algorithm) -> Algorithm:
    """Traversal verification of a tree of two levels verifies one."""
    return _spelled("traversal:drafts=2,draft_length=2", "traversal:drafts=2,draft_length=1")(algorithm)


@mutant(_replaced, cite="a batch of which only one row is read")
def order_three_drafts_are_one(algorithm: Algorithm) -> Algorithm:
    """Of three drafts one is verified."""
    return _spelled("drafts=3", "drafts=1")(algorithm)


@mutant(_replaced, cite="huggingface/transformers#47932: a ratio inflated by a lost normalisation")
def order_gumbel_accepts_by_ratio_twice(algorithm: Algorithm) -> Algorithm:
    """Gumbel noise is given the acceptance of two drafts."""
    return _spelled("gumbel:draft_length=1", "transport:drafts=2,draft_length=1")(algorithm)


@mutant(formulas, cite="2211.17192: expected acceptances multiplied along a path")
def order_joint_bound_of_rows(theory: Any) -> dict[str, Callable[..., Any]]:
    """The joint bound takes the overlap row by row, which is what token verification accepts."""

    def joint_bound(pair: Pair, algorithm: Algorithm, **options: Any) -> Any:
        token_wise = parse_algorithm(f"ratio:draft_length={algorithm.structure(pair.horizon).depth}")
        law = theory.first_accepted_length_law(pair, token_wise, **options)
        return sum(count * mass for count, mass in enumerate(law))

    return {"joint_bound": joint_bound}


MUTANTS = defined(globals())
