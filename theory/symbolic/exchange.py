"""Theorem 5 of 2411.00841 with symbols on two tokens."""

from typing import Any

from specsim.theory.symbolic.derivation import Derivation, sign


def theorem_5_identity(*, draft_larger: bool = True) -> Derivation:
    """Derive Pr(reject) + Loss*(a) = TV(T, D) for every acceptance between min(1, T / D) and 1.

    Two tokens; the draft writes token 1 with probability u, the target with v. On the token that the draft
    favours the acceptance c ranges over [T / D, 1]; the other token is always accepted. The absolute values
    of Loss* = half of sum_x ``|T - a D|`` minus half of sum_x (1 - a) D (Theorem 4) are resolved by the
    ordering.
    Without the two halves, as the proof is printed, the sum would be another expression.

    Parameters
    ----------
    draft_larger
        Whether u >= v, so that token 1 is the favoured one. Defaults to True.

    Returns
    -------
    Derivation
        Symbols ``u``, ``v`` and ``c``.

    Examples
    --------
    >>> found = theorem_5_identity()
    >>> found.is_identity, found.closed_form
    (True, u - v)
    """
    import sympy

    u, v, c = sympy.symbols("u v c", real=True)
    low, over, left, rest = sympy.symbols("low over left rest", nonnegative=True)
    total = low + over + left + rest
    # The favoured token has target mass `low`, accepted mass `low + over`, draft mass `low + over + left`.
    favoured_target, favoured_draft = low / total, (low + over + left) / total
    accepted = (low + over) / (low + over + left)
    if draft_larger:
        coordinates = {u: favoured_draft, v: favoured_target, c: accepted}
        target, draft, accept = (1 - v, v), (1 - u, u), (sympy.Integer(1), c)
        order: tuple[Any, ...] = (
            sympy.Ge(u, v),
            sympy.Ge(v, 0),
            sympy.Gt(u, 0),
            sympy.Le(u, 1),
            sympy.Ge(c * u, v),
        )
    else:
        coordinates = {u: 1 - favoured_draft, v: 1 - favoured_target, c: accepted}
        target, draft, accept = (1 - v, v), (1 - u, u), (c, sympy.Integer(1))
        order = (sympy.Le(u, v), sympy.Le(v, 1), sympy.Lt(u, 1), sympy.Ge(u, 0), sympy.Ge(c * (1 - u), 1 - v))
    rejection = sympy.expand(sum((1 - a) * d for a, d in zip(accept, draft, strict=True)))
    half = sympy.Rational(1, 2)
    absolute = sum(_absolute(t - a * d, coordinates) for t, a, d in zip(target, accept, draft, strict=True))
    loss = sympy.expand(half * absolute - half * rejection)
    distance = sympy.expand(
        half * sum(_absolute(t - d, coordinates) for t, d in zip(target, draft, strict=True))
    )
    return Derivation(
        name=r"\Pr(\mathrm{reject}) + \mathrm{Loss}^*",
        derived=sympy.expand(rejection + loss),
        closed_form=distance,
        symbols={"u": u, "v": v, "c": c},
        assumptions=(*order, sympy.Le(c, 1)),
        steps=((r"\Pr(\mathrm{reject})", rejection), (r"\mathrm{Loss}^*", loss), (r"\mathrm{TV}", distance)),
    )


def _absolute(expression: Any, coordinates: dict[Any, Any]) -> Any:
    return expression if sign(expression, coordinates) >= 0 else -expression
