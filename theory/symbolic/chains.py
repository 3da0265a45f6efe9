"""Expected rejections of small chains with symbols (2411.00841, Theorems 1 and 3)."""

from typing import Any

from specsim.errors import InputError
from specsim.support.checks import whole
from specsim.theory.symbolic.batches import root_masses, two_token_coordinates
from specsim.theory.symbolic.derivation import Derivation, is_zero


def independent_rejections(horizon: int, *, batch: bool = True) -> Derivation:
    r"""Derive expected rejections when every position has the same two rows.

    Only two numbers matter: d = TV(T, D) and, at the start of a round with several drafts, the mass b = B_M
    with which all of them are rejected. The probability that position n is rejected obeys
    f_n = (1 - f_{n-1}) d + f_{n-1} b with f_0 = 1 (the unprinted base case of Theorem 3), hence with
    k = b - d and the fixed point f = d / (1 - k)

        E[rejections] = L f + (1 - f) k (1 - k^L) / (1 - k),    1 - f = (1 - b) / (1 - k),

    proved for every horizon by induction. Without batches b = d and E = L d.

    Parameters
    ----------
    horizon
        Number of tokens L, at least 1.
    batch
        Whether a round may have several drafts. Defaults to True.

    Returns
    -------
    Derivation
        Symbols ``distance`` and, with `batch`, ``root_mass``.

    Raises
    ------
    InputError
        `horizon` is not a whole number of at least 1.

    Examples
    --------
    >>> print(independent_rejections(horizon=4, batch=False))
    \mathbb{E}[N_{\mathrm{rej}}] = 4*d, if d >= 0, d <= 1
    """
    import sympy

    whole("horizon", horizon, 1)
    d = sympy.Symbol("d", real=True)
    b = sympy.Symbol("b", real=True) if batch else d
    steps = []
    previous, total = sympy.Integer(1), sympy.Integer(0)
    for n in range(1, horizon + 1):
        previous = sympy.expand((1 - previous) * d + previous * b)
        total += previous
        steps.append((f"f_{{{n}}}", sympy.factor(previous)))
    ratio = b - d
    fixed = d / (1 - ratio)
    length = sympy.Symbol("L", positive=True, integer=True)

    def at_step(power: Any) -> Any:
        return fixed + (1 - fixed) * power

    def closed(count: Any, power: Any) -> Any:
        return count * fixed + (1 - b) * ratio * (1 - power) / (1 - ratio) ** 2

    # With power = ratio^n: the recursion, the sum's increment and both starts prove every horizon.
    power = sympy.Symbol("power")
    after = at_step(power * ratio)
    induction = (
        is_zero(at_step(1) - 1)
        and is_zero(after - ((1 - at_step(power)) * d + at_step(power) * b))
        and is_zero(closed(0, 1))
        and is_zero(closed(length + 1, power * ratio) - closed(length, power) - after)
    )
    # Without batches the ratio is 0, and sympy would keep 0^L.
    general = closed(length, ratio**length) if batch else length * d
    symbols = {"distance": d, "root_mass": b} if batch else {"distance": d}
    order = (sympy.Le(b, d), sympy.Le(d, 1), sympy.Ge(b, 0)) if batch else (sympy.Ge(d, 0), sympy.Le(d, 1))
    return Derivation(
        name=r"\mathbb{E}[N_{\mathrm{rej}}]",
        derived=sympy.expand(total),
        closed_form=general.subs(length, horizon),
        general_form=general,
        symbols=symbols,
        assumptions=order,
        steps=tuple(steps),
        holds_for_all=("horizon",) if induction else (),
    )


def two_state_rejections(
    horizon: int, *, drafts: int = 1, draft_larger: tuple[bool, bool] = (True, True)
) -> Derivation:
    r"""Derive expected rejections of a stationary chain on two tokens, 0 and 1.

    After token y the draft writes 1 with probability u_y and the target with v_y; the prompt is 1 with
    probability w. The forward recursion of Theorem 3 runs with symbols: with F_0 the law of the prompt,
    F_n = (mu_{n-1} - F_{n-1}) H + F_{n-1} W, and E[rejections] = sum_n sum_x F_n(x).

    The closed form is known for one draft: with k = v_1 - v_0, the target's stationary law
    (1 - s, s), s = v_0 / (1 - k), and the distances d_y = abs(u_y - v_y),

        E[rejections] = L ((1 - s) d_0 + s d_1) + (w - s) (d_1 - d_0) (1 - k^L) / (1 - k),

    proved for every horizon by induction. For several drafts the closed form is the recursion's own result,
    with the root masses in closed form.

    Parameters
    ----------
    horizon
        Number of tokens L, at least 1.
    drafts
        Number of parallel drafts M, at least 1. Defaults to 1.
    draft_larger
        For y = 0 and 1, whether u_y >= v_y; the ordering decides which token is rejected.

    Returns
    -------
    Derivation
        Symbols ``u0``, ``u1``, ``v0``, ``v1`` and ``w``.

    Raises
    ------
    InputError
        `horizon` or `drafts` is not a whole number of at least 1, or `draft_larger` is not two flags.

    Examples
    --------
    >>> from fractions import Fraction
    >>> found = two_state_rejections(horizon=2)
    >>> half, less = Fraction(1, 2), Fraction(1, 4)
    >>> found.is_identity, found.value(u0=half, u1=half, v0=less, v1=less, w=half)
    (True, Fraction(1, 2))
    """
    import sympy

    whole("horizon", horizon, 1)
    whole("drafts", drafts, 1)
    if len(draft_larger) != 2 or not all(isinstance(flag, bool) for flag in draft_larger):
        raise InputError(f"draft_larger is {draft_larger!r}; give two flags, one per previous token")
    u = sympy.symbols("u_0 u_1", real=True)
    v = sympy.symbols("v_0 v_1", real=True)
    w = sympy.Symbol("w", real=True)
    follow, root, stated_root = [], [], []
    steps: list[tuple[str, Any]] = []
    assumptions: list[Any] = [sympy.Ge(w, 0), sympy.Le(w, 1)]
    for y in range(2):
        larger = draft_larger[y]
        masses = root_masses(
            [(1, 1 - v[y], 1 - u[y]), (1, v[y], u[y])],
            drafts,
            two_token_coordinates(u[y], v[y], first_larger=larger),
        )
        # Only the token that the draft neglects is ever written after a rejection.
        token = 0 if larger else 1
        distance, base = (u[y] - v[y], u[y]) if larger else (v[y] - u[y], 1 - u[y])
        follow.append((token, masses[0][1]))
        root.append((token, masses[-1][1]))
        stated_root.append((token, distance * base ** (drafts - 1)))
        steps += [(rf"\mathrm{{TV}}({y})", masses[0][1]), (rf"B_{{{drafts}}}({y})", masses[-1][1])]
        assumptions += (
            [sympy.Ge(u[y], v[y]), sympy.Ge(v[y], 0), sympy.Le(u[y], 1)]
            if larger
            else [sympy.Lt(u[y], v[y]), sympy.Ge(u[y], 0), sympy.Le(v[y], 1)]
        )
    derived = _forward(horizon, follow, root, v, w)
    for n, value in enumerate(derived, start=1):
        steps.append((rf"\mathbb{{E}}[R_{{{n}}}]", sympy.factor(value)))
    holds: tuple[str, ...] = ()
    if drafts == 1:
        distances = [mass for _, mass in follow]
        length = sympy.Symbol("L", positive=True, integer=True)
        general, proved = _one_draft_closed_form(length, distances, v, w)
        closed, holds = general.subs(length, horizon), ("horizon",) if proved else ()
    else:
        general = None
        closed = sum(_forward(horizon, follow, stated_root, v, w))
    return Derivation(
        name=r"\mathbb{E}[N_{\mathrm{rej}}]",
        derived=sympy.expand(sum(derived)),
        closed_form=closed,
        general_form=general,
        symbols={"u0": u[0], "u1": u[1], "v0": v[0], "v1": v[1], "w": w},
        assumptions=tuple(assumptions),
        steps=tuple(steps),
        holds_for_all=holds,
    )


def _forward(horizon: int, follow: list[Any], root: list[Any], v: Any, w: Any) -> list[Any]:
    import sympy

    law = [1 - w, w]
    rejected = list(law)
    values = []
    for _ in range(horizon):
        after = [sympy.Integer(0), sympy.Integer(0)]
        for y in range(2):
            token, mass = follow[y]
            after[token] += (law[y] - rejected[y]) * mass
            token, mass = root[y]
            after[token] += rejected[y] * mass
        rejected = [sympy.expand(value) for value in after]
        one = sympy.expand(law[0] * v[0] + law[1] * v[1])
        law = [1 - one, one]
        values.append(sympy.expand(sum(rejected)))
    return values


def _one_draft_closed_form(length: Any, distances: list[Any], v: Any, w: Any) -> tuple[Any, bool]:
    """Return the closed form for any horizon, and whether induction proves it."""
    import sympy

    ratio = v[1] - v[0]
    fixed = v[0] / (1 - ratio)

    def law(power: Any) -> Any:
        return fixed + (w - fixed) * power

    def closed(count: Any, power: Any) -> Any:
        steady = (1 - fixed) * distances[0] + fixed * distances[1]
        return count * steady + (w - fixed) * (distances[1] - distances[0]) * (1 - power) / (1 - ratio)

    power = sympy.Symbol("power")
    now = law(power)
    proved = (
        is_zero(law(1) - w)
        and is_zero(law(power * ratio) - ((1 - now) * v[0] + now * v[1]))
        and is_zero(closed(0, 1))
        and is_zero(
            closed(length + 1, power * ratio)
            - closed(length, power)
            - ((1 - now) * distances[0] + now * distances[1])
        )
    )
    return closed(length, ratio**length), proved
