"""The two closed-form batch improvements (2411.00841, section 4.5) from the root residual's recursion."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from specsim.support.checks import whole
from specsim.theory.symbolic.derivation import Derivation, is_zero, positive_part


def root_masses(
    groups: Sequence[tuple[Any, Any, Any]], drafts: int, coordinates: Mapping[Any, Any]
) -> list[tuple[Any, Any]]:
    """Run C_1 = 1, C_{m+1} = C_m + B_m, B_m = sum_x (T - C_m D)_+ with symbols.

    groups: (number of tokens, target, draft) for groups of tokens with equal probabilities.
    drafts: number of parallel drafts M.
    coordinates: as in `specsim.theory.symbolic.derivation.sign`.
    Returns: (C_m, B_m) for m = 1..M.
    InputError: `drafts` is not a whole number of at least 1, or a sign is left open.
    """
    import sympy

    whole("drafts", drafts, 1)
    found = []
    scale = sympy.Integer(1)
    for _ in range(drafts):
        mass = sympy.factor(
            sum(count * positive_part(target - scale * draft, coordinates) for count, target, draft in groups)
        )
        found.append((scale, mass))
        scale = sympy.factor(scale + mass)
    return found


def batch_improvement_uniform(drafts: int) -> Derivation:
    """Derive the improvement of `drafts` drafts for a uniform draft and target, (1 - 1/r) - (1 - 1/r)^M.

    The draft is uniform on n tokens, the target on n / r of them, r > 1. The closed form is proved for every
    number of drafts by induction on the recursion.

    Parameters
    ----------
    drafts
        Number of parallel drafts M, at least 1.

    Returns
    -------
    Derivation
        Symbol ``ratio``.

    Raises
    ------
    InputError
        `drafts` is not a whole number of at least 1.

    Examples
    --------
    >>> from fractions import Fraction
    >>> batch_improvement_uniform(drafts=3).value(ratio=Fraction(2))
    Fraction(3, 8)
    """
    import sympy

    ratio = sympy.Symbol("rho", positive=True)
    size = sympy.Symbol("n", positive=True)
    above = sympy.Symbol("t", nonnegative=True)
    groups = [
        (size / ratio, ratio / size, 1 / size),
        (size - size / ratio, sympy.Integer(0), 1 / size),
    ]
    masses = root_masses(groups, drafts, {ratio: 1 + above})
    share = 1 - 1 / ratio
    induction = _induction(
        share,
        scale=lambda power: ratio * (1 - power * share),
        mass=lambda power: power * share,
        # Target tokens keep (rho - C_m) / n each, which is rho (1 - 1/rho)^m / n >= 0; the others have none.
        mass_from_scale=lambda scale: (size / ratio) * (ratio / size - scale / size),
    )
    m = sympy.Symbol("M", positive=True, integer=True)
    return Derivation(
        name=rf"\mathrm{{BI}}_{{{drafts}}}",
        derived=sympy.factor(masses[0][1] - masses[-1][1]),
        closed_form=share - share**drafts,
        general_form=share - share**m,
        symbols={"ratio": ratio},
        assumptions=(sympy.Gt(ratio, 1),),
        steps=_labelled(masses),
        holds_for_all=("drafts",) if induction else (),
    )


def batch_improvement_bernoulli(drafts: int, *, draft_larger: bool = True) -> Derivation:
    """Derive the improvement of `drafts` drafts for two Bernoulli rows, abs(u - v) (1 - u^(M-1)).

    The draft writes token 1 with probability u, the target with v. For u < v (`draft_larger` False) u is
    replaced by 1 - u in the power; the paper prints u >= v only.

    Parameters
    ----------
    drafts
        Number of parallel drafts M, at least 1.
    draft_larger
        Whether u >= v. Defaults to True.

    Returns
    -------
    Derivation
        Symbols ``u`` and ``v``.

    Raises
    ------
    InputError
        `drafts` is not a whole number of at least 1.

    Examples
    --------
    >>> from fractions import Fraction
    >>> batch_improvement_bernoulli(drafts=2).value(u=Fraction(1, 2), v=Fraction(1, 4))
    Fraction(1, 8)
    """
    import sympy

    u, v = sympy.symbols("u v", real=True)
    masses = root_masses(
        [(1, 1 - v, 1 - u), (1, v, u)], drafts, two_token_coordinates(u, v, first_larger=draft_larger)
    )
    base, distance = (u, u - v) if draft_larger else (1 - u, v - u)
    kept, gain = sympy.symbols("kept gain", positive=True)
    induction = _induction(
        kept,
        scale=lambda power: 1 + gain * (1 - power) / (1 - kept),
        mass=lambda power: power * gain,
        # The token that the draft neglects has D = 1 - kept and T = D + gain, which leaves
        # kept^(m-1) gain >= 0; the other has T <= D <= C_m D.
        mass_from_scale=lambda scale: 1 - kept + gain - scale * (1 - kept),
    )
    m = sympy.Symbol("M", positive=True, integer=True)
    order = (
        (sympy.Ge(u, v), sympy.Ge(v, 0), sympy.Le(u, 1))
        if draft_larger
        else (
            sympy.Lt(u, v),
            sympy.Ge(u, 0),
            sympy.Le(v, 1),
        )
    )
    return Derivation(
        name=rf"\mathrm{{BI}}_{{{drafts}}}",
        derived=sympy.factor(masses[0][1] - masses[-1][1]),
        closed_form=distance * (1 - base ** (drafts - 1)),
        general_form=distance * (1 - base ** (m - 1)),
        symbols={"u": u, "v": v},
        assumptions=order,
        steps=_labelled(masses),
        holds_for_all=("drafts",) if induction else (),
    )


def two_token_coordinates(one: Any, other: Any, *, first_larger: bool) -> dict[Any, Any]:
    """Write two ordered probabilities through three free non-negative numbers."""
    import sympy

    low, gap, rest = sympy.symbols(f"low_{one} gap_{one} rest_{one}", nonnegative=True)
    total = low + gap + rest
    small, large = low / total, (low + gap) / total
    return {one: large, other: small} if first_larger else {one: small, other: large}


def _induction(
    base: Any,
    *,
    scale: Callable[[Any], Any],
    mass: Callable[[Any], Any],
    mass_from_scale: Callable[[Any], Any],
) -> bool:
    """Whether guessed C_m and B_m, functions of base^(m - 1), start right and obey the recursion."""
    import sympy

    power = sympy.Symbol("power")
    return (
        is_zero(scale(sympy.Integer(1)) - 1)
        and is_zero(mass_from_scale(scale(power)) - mass(power))
        and is_zero(scale(power) + mass(power) - scale(power * base))
    )


def _labelled(masses: Sequence[tuple[Any, Any]]) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (f"{letter}_{{{m}}}", value)
        for m, row in enumerate(masses, start=1)
        for letter, value in zip("CB", row, strict=True)
    )
