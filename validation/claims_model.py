"""Claims as data: what is stated, what verdict is expected, and the checks that establish it.

A claim is short::

    from fractions import Fraction

    import specsim
    from specsim.validation.builders import law_check, mean_check
    from specsim.validation.claims_model import Claim, ExactCheck, Verdict, equal

    def _means(witnesses, effort):
        for seed in range(effort.pick(quick=2, standard=5, deep=50)):
            pair = specsim.random_pair(contexts=2, horizon=3, family="uniform", seed=seed)
            algorithm = specsim.Speculative()
            enumerated = witnesses.enumerate_outcomes(pair, algorithm).expected_rejections()
            computed = witnesses.theory.theorem_1_rejections(pair, exact=True)
            yield equal(f"E[rejections], seed {seed}", computed, enumerated)

    def _cases(effort):
        yield specsim.paper_pair(50), specsim.Speculative()

    CLAIMS = (
        Claim(
            id="yin2024.theorem-1",
            title="Expected rejections of speculative decoding",
            statement="E[rejections] is the sum over positions of the expected TV of the rows",
            source="2411.00841, Theorem 1",
            verdict=Verdict.HOLDS,
            checks=(
                ExactCheck("enumeration", _means),
                mean_check("mean on the paper's instance", _cases, discrepancy=0.05),
                law_check("law of rejections", _cases, statistic="rejection_law", discrepancy=0.02),
            ),
            mutants=("residual-from-target",),
        ),
    )

Three kinds of check are never mixed: exact (equality of rationals, or a predicate decided exactly),
statistical (simulation against theory, planned before it is sampled) and regression (the same integers as
before).
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from specsim.errors import InputError
from specsim.validation.assertions import Assertion
from specsim.validation.running.effort import Effort
from specsim.validation.witnesses import Witnesses


class Verdict(StrEnum):
    """What is said of a published statement.

    `HOLDS`: as printed. `CONDITION`: under a condition that the statement does not print; a counterexample
    shows that the condition is needed. `FAILS`: as printed it is false; a counterexample shows it.

    Examples
    --------
    >>> from specsim.validation import Verdict
    >>> Verdict.HOLDS.value
    'holds'
    """

    HOLDS = "holds"
    CONDITION = "holds under condition"
    FAILS = "fails as printed"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One exact comparison.

    Attributes
    ----------
    label
        What is compared, on what.
    observed, expected
        The two sides, as text that a person can read.
    agrees
        Whether the comparison came out as the claim needs.
    counterexample
        When not empty, this comparison shows the printed statement to be false (or its condition to be
        needed); the text says how, with the exact numbers, and is printed.

    Examples
    --------
    >>> from specsim.validation import equal
    >>> equal("two halves", 0, 1)
    Comparison(label='two halves', observed='0', expected='1', agrees=False, counterexample='')
    """

    label: str
    observed: str
    expected: str
    agrees: bool
    counterexample: str = ""


def equal(label: str, observed: Any, expected: Any) -> Comparison:
    """Compare two exact values, or sequences or arrays of them, for equality.

    Raises
    ------
    InputError
        A side is a float: rounding has no place in an exact check.

    Examples
    --------
    >>> from fractions import Fraction
    >>> from specsim.validation import equal
    >>> equal("two halves", Fraction(1, 2) + Fraction(1, 2), 1).agrees
    True
    """
    left, right = _flat(label, observed), _flat(label, expected)
    same = left == right
    if len(left) == len(right) and len(left) > 1 and not same:
        index = next(i for i, pair in enumerate(zip(left, right, strict=True)) if pair[0] != pair[1])
        return Comparison(
            label=f"{label}, entry {index} of {len(left)}",
            observed=exact_text(left[index]),
            expected=exact_text(right[index]),
            agrees=False,
        )
    return Comparison(label=label, observed=_spell(left), expected=_spell(right), agrees=same)


def near(label: str, observed: Any, expected: Any, bound: float) -> Comparison:
    """Compare numbers of which one side is rounded; they agree when no two differ by more than `bound`."""
    left, right = (np.asarray(side, dtype=np.float64).ravel() for side in (observed, expected))
    if left.shape != right.shape:
        return Comparison(
            label=label, observed=f"{left.size} values", expected=f"{right.size} values", agrees=False
        )
    worst = int(np.abs(left - right).argmax())
    return Comparison(
        label=f"{label}, entry {worst} of {left.size}, within {bound:g}",
        observed=f"{left[worst]:.12g}",
        expected=f"{right[worst]:.12g}",
        agrees=bool(np.abs(left - right)[worst] <= bound),
    )


def decided(label: str, holds: bool, *, observed: Any = "", expected: Any = "") -> Comparison:
    """State a predicate that was decided exactly, such as an inequality of rationals or a certificate.

    Examples
    --------
    >>> from specsim.validation import decided
    >>> decided("a bound", 2 > 1).agrees
    True
    """
    return Comparison(
        label=label, observed=_words(observed) or str(bool(holds)), expected=_words(expected) or "True",
        agrees=bool(holds),
    )  # fmt: skip


def counterexample(label: str, shown: bool, text: str, *, printed: Any = "", exact: Any = "") -> Comparison:
    """State that the printed statement is false here.

    Parameters
    ----------
    label
        The instance.
    shown
        Whether the statement was in fact found false, decided exactly. When it is not, the check fails.
    text
        One or two sentences with the exact numbers, printed by the command.
    printed, exact
        What the printed statement gives, and the truth.

    Examples
    --------
    >>> from specsim.validation import counterexample
    >>> counterexample("horizon 1", True, "the limit is 0", printed="positive", exact=0).observed
    '0'
    """
    if not text:
        raise InputError(f"counterexample {label!r} has no text; say what was found, with its numbers")
    return Comparison(
        label=label, observed=_words(exact), expected=_words(printed), agrees=bool(shown), counterexample=text
    )


@dataclass(frozen=True)
class ExactCheck:
    """A check by equality of rationals or by exactly decided predicates.

    Attributes
    ----------
    name
        Unique within its claim.
    run
        Called with the witnesses and the effort, yields `Comparison` items; at least one, or the check fails.

    Examples
    --------
    >>> from specsim.validation import ExactCheck, equal
    >>> ExactCheck("halves", run=lambda witnesses, effort: [equal("2 / 2", 2 // 2, 1)]).kind
    'exact'
    """

    name: str
    run: Callable[[Witnesses, Effort], Iterable[Comparison]]
    kind: Literal["exact"] = "exact"


@dataclass(frozen=True)
class StatisticalCheck:
    """A check of simulation against theory.

    Attributes
    ----------
    name
        Unique within its claim.
    plan
        Called with the witnesses and the effort before anything is sampled; returns every assertion that will
        be made, each with the simulation it needs. See `specsim.validation.builders` for ready ones.

    Examples
    --------
    >>> from specsim.validation import StatisticalCheck
    >>> StatisticalCheck("frequencies", plan=lambda witnesses, effort: []).kind
    'statistical'
    """

    name: str
    plan: Callable[[Witnesses, Effort], Iterable[Assertion]]
    kind: Literal["statistical"] = "statistical"


@dataclass(frozen=True)
class RegressionCheck:
    """A check that integers at fixed seeds are bit for bit what they were when they were stored.

    Attributes
    ----------
    name
        Unique within its claim.
    run
        Called with the witnesses, returns a mapping of names to integers or (nested) lists of integers.
        It is compared with ``validation/data/<claim>--<name>.json``.

    Examples
    --------
    >>> from specsim.validation import RegressionCheck
    >>> RegressionCheck("fixed-seed", run=lambda witnesses: {"rejections": [3, 1]}).kind
    'regression'
    """

    name: str
    run: Callable[[Witnesses], dict[str, Any]]
    kind: Literal["regression"] = "regression"


Check = ExactCheck | StatisticalCheck | RegressionCheck

_ID = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+)*\Z")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A published statement and how it is checked.

    Attributes
    ----------
    id
        Lower case, dots and hyphens, such as ``yin2024.theorem-1``.
    title
        A few words.
    statement
        The statement, in the words of this project.
    source
        arXiv id and where in the paper.
    verdict
        The verdict expected. The one established follows from the checks: all pass and no counterexample
        (`HOLDS`), all pass with counterexamples and a `condition` (`CONDITION`) or without (`FAILS`).
    checks
        At least one.
    condition
        For `Verdict.CONDITION`: the condition.
    mutants
        Names of mutants that this claim has to reject.

    Examples
    --------
    >>> from specsim.validation import select_claims
    >>> select_claims(["yin2024.theorem-1-rejections"])[0].kinds
    ('exact', 'statistical')
    """

    id: str
    title: str
    statement: str
    source: str
    verdict: Verdict
    checks: tuple[Check, ...]
    condition: str = ""
    mutants: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _ID.match(self.id):
            raise InputError(f"claim id is {self.id!r}; use lower-case words joined by dots and hyphens")
        for field in ("title", "statement", "source"):
            if not getattr(self, field).strip():
                raise InputError(f"claim {self.id} has an empty {field}; write it")
        if not self.checks:
            raise InputError(f"claim {self.id} has no checks; a claim without checks proves nothing")
        names = [check.name for check in self.checks]
        if len(set(names)) != len(names):
            raise InputError(f"claim {self.id} has two checks of one name; names must differ")
        if (self.verdict is Verdict.CONDITION) != bool(self.condition):
            raise InputError(f"claim {self.id}: condition goes with the verdict {Verdict.CONDITION.value!r}")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of its checks, without repetition."""
        return tuple(dict.fromkeys(check.kind for check in self.checks))


def exact_text(value: Any) -> str:
    """Spell an exact value; long rationals are cut and given in decimals."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, Fraction | int | np.integer):
        exact = Fraction(int(value)) if not isinstance(value, Fraction) else value
        text = str(exact)
        if exact.denominator == 1 and len(text) <= 40:
            return text
        decimal = f"{float(exact):.6g}"
        return f"{text} = {decimal}" if len(text) <= 40 else f"{decimal} (exact, {len(text)} characters)"
    return str(value)


def _words(value: Any) -> str:
    return value if isinstance(value, str) else exact_text(value)


def _spell(values: list[Any]) -> str:
    if len(values) == 1:
        return exact_text(values[0])
    text = ", ".join(str(value) for value in values)
    return f"[{text}]" if len(text) <= 100 else f"{len(values)} exact values"


def _flat(label: str, value: Any) -> list[Any]:
    if isinstance(value, np.ndarray):
        items = list(value.ravel())
    elif isinstance(value, list | tuple):
        items = [item for part in value for item in _flat(label, part)]
    elif isinstance(value, dict):
        items = [item for key in sorted(value) for item in (key, *_flat(label, value[key]))]
    else:
        items = [value]
    for item in items:
        if isinstance(item, float | np.floating):
            raise InputError(f"{label}: {item!r} is a float; exact checks compare exact values only")
    return [int(item) if isinstance(item, np.integer) else item for item in items]
