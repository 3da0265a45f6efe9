"""Results of symbolic derivations, and positive parts whose sign the assumptions decide."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from specsim.errors import InputError


@dataclass(frozen=True, kw_only=True, repr=False)
class Derivation:
    """A quantity derived step by step with symbols, and the closed form that it equals.

    Notebooks show the formula.

    Attributes
    ----------
    name
        LaTeX of the quantity, the left side of the formula.
    derived
        sympy expression that comes out of the recursion.
    closed_form
        sympy expression of the published or simplified formula.
    general_form
        The closed form with the number of drafts M or the horizon L left as a symbol; None where none is
        known.
    symbols
        The symbols by name.
    assumptions
        sympy relations under which both hold; they include the ordering that fixes every positive part.
    steps
        Intermediate results as (LaTeX name, sympy expression).
    holds_for_all
        Names of parameters for whose every value the closed form was proved, by induction on them.

    Examples
    --------
    >>> from specsim.theory import symbolic
    >>> found = symbolic.batch_improvement_bernoulli(drafts=2)
    >>> found.derived, found.is_identity
    (-(u - 1)*(u - v), True)
    """

    name: str
    derived: Any
    closed_form: Any
    general_form: Any = None
    symbols: Mapping[str, Any]
    assumptions: tuple[Any, ...]
    steps: tuple[tuple[str, Any], ...] = ()
    holds_for_all: tuple[str, ...] = field(default=())

    @property
    def is_identity(self) -> bool:
        """Whether `derived` and `closed_form` are the same rational function."""
        return is_zero(self.derived - self.closed_form)

    def latex(self, *, general: bool = False) -> str:
        """Return the formula with its assumptions, without dollar signs.

        Parameters
        ----------
        general
            Whether to write the general form. Defaults to False, the closed form.

        Raises
        ------
        InputError
            There is no general form.
        """
        import sympy

        if general and self.general_form is None:
            raise InputError(f"no general form of {self.name} is known; use general=False")
        conditions = ", ".join(sympy.latex(relation) for relation in self.assumptions)
        formula = f"{self.name} = {sympy.latex(self.general_form if general else self.closed_form)}"
        return formula + (rf" \qquad \left({conditions}\right)" if conditions else "")

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def __repr__(self) -> str:
        return f"<Derivation of {self.name}>"

    def __str__(self) -> str:
        conditions = ", ".join(map(str, self.assumptions))
        return f"{self.name} = {self.closed_form}" + (f", if {conditions}" if conditions else "")

    def latex_steps(self) -> str:
        """Return the derivation as an ``aligned`` block, one intermediate result per line."""
        import sympy

        lines = [rf"{name} &= {sympy.latex(value)}" for name, value in self.steps]
        lines.append(rf"{self.name} &= {sympy.latex(self.closed_form)}")
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    def value(self, **numbers: int | Fraction) -> Fraction:
        """Return `derived` at exact numbers for all symbols.

        Raises
        ------
        InputError
            A symbol is missing or unknown, a number is not exact, or an assumption is violated.
        """
        return self._evaluate(self.derived, numbers)

    def closed_form_value(self, **numbers: int | Fraction) -> Fraction:
        """Return `closed_form` at exact numbers for all symbols; errors as in `value`."""
        return self._evaluate(self.closed_form, numbers)

    def _evaluate(self, expression: Any, numbers: Mapping[str, int | Fraction]) -> Fraction:
        import sympy

        if set(numbers) != set(self.symbols):
            raise InputError(
                f"numbers are given for {sorted(numbers)}; give one for each of {sorted(self.symbols)}"
            )
        values = {}
        for name, number in numbers.items():
            if isinstance(number, bool) or not isinstance(number, int | Fraction):
                raise InputError(f"{name} is {number!r}; give an int or a Fraction")
            exact = Fraction(number)
            values[self.symbols[name]] = sympy.Rational(exact.numerator, exact.denominator)
        for relation in self.assumptions:
            if relation.subs(values) != sympy.true:
                raise InputError(f"the numbers violate the assumption {relation}; choose others")
        result = sympy.nsimplify(expression.subs(values))
        if not result.is_Rational:
            raise InputError(f"the expression is {result} at these numbers; choose others")
        return Fraction(int(result.p), int(result.q))


def is_zero(expression: Any) -> bool:
    """Whether a rational function of its symbols is identically zero."""
    import sympy

    return bool(sympy.cancel(sympy.together(sympy.sympify(expression))) == 0)


def sign(expression: Any, coordinates: Mapping[Any, Any]) -> int:
    """Sign of an expression wherever the assumptions hold: 1 (>= 0), -1 (<= 0) or 0 (identically 0).

    `coordinates` writes the symbols as rational functions of symbols that range over all non-negative
    numbers. The sign is proved when, after substitution, all coefficients of the numerator and of the
    denominator have one sign each.

    InputError: the assumptions do not decide the sign by this test.
    """
    import sympy

    numerator, denominator = sympy.fraction(sympy.together(sympy.sympify(expression).subs(coordinates)))
    signs = []
    for part in (numerator, denominator):
        expanded = sympy.expand(part)
        if expanded == 0:
            return 0
        generators = sorted(expanded.free_symbols, key=str)
        coefficients = sympy.Poly(expanded, *generators).coeffs() if generators else [expanded]
        if all(c > 0 for c in coefficients):
            signs.append(1)
        elif all(c < 0 for c in coefficients):
            signs.append(-1)
        else:
            raise InputError(
                f"the assumptions do not decide the sign of {expression}; fix the ordering further"
            )
    return signs[0] * signs[1]


def positive_part(expression: Any, coordinates: Mapping[Any, Any]) -> Any:
    """Return the expression where it is never negative, 0 where it is never positive; raises as `sign`."""
    import sympy

    return sympy.factor(expression) if sign(expression, coordinates) > 0 else sympy.Integer(0)
