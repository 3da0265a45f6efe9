"""Symbolic derivations against plain recursions, the numeric theory, and wrong formulas."""

import dataclasses
import random
import subprocess
import sys
from fractions import Fraction as F

import pytest

from specsim.algorithms import Batch, Speculative
from specsim.errors import InputError
from specsim.theory import expected_rejections, over_acceptance_loss, rejection_probability, symbolic
from specsim.theory.arithmetic.rational_pair import RationalPair
from specsim.theory.symbolic.derivation import is_zero, positive_part, sign


def root_mass(target, draft, drafts):
    """B_M by normalising the residual row again and again, the way the batch algorithm walks."""
    row, mass = list(target), F(1)
    for _ in range(drafts):
        spare = [max(t - d, F(0)) for t, d in zip(row, draft, strict=True)]
        if sum(spare) == 0:
            return F(0)
        mass *= sum(spare)
        row = [v / sum(spare) for v in spare]
    return mass


def chain_rejections(target, draft, initial, horizon, drafts):
    """Expected rejections by following each context with and without a rejection just before."""
    plain, fresh = [F(0)] * len(initial), list(initial)
    total = F(0)
    for _ in range(horizon):
        after_plain, after_fresh = [F(0)] * len(initial), [F(0)] * len(initial)
        for y in range(len(initial)):
            for masses, rejected in (
                (plain[y], [max(t - d, F(0)) for t, d in zip(target[y], draft[y], strict=True)]),
                (fresh[y], batch_rejected(target[y], draft[y], drafts)),
            ):
                total += masses * sum(rejected)
                for x, (t, r) in enumerate(zip(target[y], rejected, strict=True)):
                    after_fresh[x] += masses * r
                    after_plain[x] += masses * (t - r)
        plain, fresh = after_plain, after_fresh
    return total


def batch_rejected(target, draft, drafts):
    row, mass = list(target), F(1)
    for _ in range(drafts):
        spare = [max(t - d, F(0)) for t, d in zip(row, draft, strict=True)]
        if sum(spare) == 0:
            return [F(0)] * len(row)
        mass *= sum(spare)
        row = [v / sum(spare) for v in spare]
    return [mass * v for v in row]


@pytest.mark.parametrize("drafts", [1, 2, 3, 5])
def test_batch_improvement_uniform__closed_form_and_numbers(drafts):
    found = symbolic.batch_improvement_uniform(drafts)
    assert found.is_identity
    assert found.holds_for_all == ("drafts",)
    for tokens, kept in ((2, 1), (6, 2), (6, 3), (5, 4)):
        target = [F(1, kept)] * kept + [F(0)] * (tokens - kept)
        draft = [F(1, tokens)] * tokens
        expected = root_mass(target, draft, 1) - root_mass(target, draft, drafts)
        assert (
            found.value(ratio=F(tokens, kept)) == found.closed_form_value(ratio=F(tokens, kept)) == expected
        )


@pytest.mark.parametrize("drafts", [1, 2, 4])
@pytest.mark.parametrize("larger", [True, False])
def test_batch_improvement_bernoulli__closed_form_and_numbers(drafts, larger):
    found = symbolic.batch_improvement_bernoulli(drafts, draft_larger=larger)
    assert found.is_identity
    assert found.holds_for_all == ("drafts",)
    for high, low in ((F(2, 3), F(1, 3)), (F(9, 10), F(1, 7)), (F(1), F(1, 2)), (F(1, 2), F(0))):
        u, v = (high, low) if larger else (low, high)
        expected = root_mass((1 - v, v), (1 - u, u), 1) - root_mass((1 - v, v), (1 - u, u), drafts)
        assert found.value(u=u, v=v) == found.closed_form_value(u=u, v=v) == expected


def test_batch_improvement__agrees_with_numeric_theory():
    from specsim.theory import batch_improvement_bernoulli, batch_improvement_uniform

    bernoulli = symbolic.batch_improvement_bernoulli(3)
    numeric = batch_improvement_bernoulli(F(3, 4), F(1, 5), 3)
    assert bernoulli.value(u=F(3, 4), v=F(1, 5)) == pytest.approx(float(numeric), abs=1e-15)
    uniform = symbolic.batch_improvement_uniform(3)
    assert uniform.value(ratio=F(5)) == pytest.approx(float(batch_improvement_uniform(F(5), 3)), abs=1e-15)


def test_batch_improvement__wrong_powers_are_no_identity():
    found = symbolic.batch_improvement_bernoulli(3)
    u, v = found.symbols["u"], found.symbols["v"]
    assert not dataclasses.replace(found, closed_form=(u - v) * (1 - u**3)).is_identity
    # u < v needs 1 - u in the power; the printed u is wrong there.
    below = symbolic.batch_improvement_bernoulli(3, draft_larger=False)
    u, v = below.symbols["u"], below.symbols["v"]
    assert not dataclasses.replace(below, closed_form=(v - u) * (1 - u**2)).is_identity
    share = 1 - 1 / symbolic.batch_improvement_uniform(2).symbols["ratio"]
    uniform = symbolic.batch_improvement_uniform(2)
    assert not dataclasses.replace(uniform, closed_form=share - share**3).is_identity


@pytest.mark.parametrize("horizon", [1, 2, 4])
def test_independent_rejections__closed_form_and_fixture_a(horizon):
    found = symbolic.independent_rejections(horizon)
    assert found.is_identity
    assert found.holds_for_all == ("horizon",)
    target, draft = (F(1, 3), F(2, 3)), (F(2, 3), F(1, 3))
    known = {1: F(2, 9), 2: F(43, 81), 4: F(7414, 6561)}
    value = found.value(distance=F(1, 3), root_mass=root_mass(target, draft, 2))
    assert value == known[horizon]
    assert value == expected_rejections(
        RationalPair.independent(target, draft, horizon=horizon), Batch(drafts=2), exact=True
    )
    plain = symbolic.independent_rejections(horizon, batch=False)
    assert plain.is_identity
    assert plain.value(distance=F(1, 3)) == F(horizon, 3)


def test_independent_rejections__base_case_zero_is_another_number():
    # The base case that the paper does not print: 0 instead of 1 gives 17/27 on fixture A.
    found = symbolic.independent_rejections(2)
    d, b = found.symbols["distance"], found.symbols["root_mass"]
    wrong = dataclasses.replace(found, derived=d + (1 - d) * d + d * b)
    assert not wrong.is_identity
    assert wrong.value(distance=F(1, 3), root_mass=F(2, 9)) == F(17, 27)


SETTINGS = [
    (1, 1, (True, True)),
    (4, 1, (True, False)),
    (3, 1, (False, False)),
    (3, 2, (True, True)),
    (3, 3, (False, True)),
]


@pytest.mark.parametrize(("horizon", "drafts", "larger"), SETTINGS)
def test_two_state_rejections__closed_form_and_numbers(horizon, drafts, larger):
    found = symbolic.two_state_rejections(horizon, drafts=drafts, draft_larger=larger)
    assert found.is_identity
    assert found.holds_for_all == (("horizon",) if drafts == 1 else ())
    rng = random.Random(horizon)
    for _ in range(4):
        pairs = [sorted(rng.sample(range(1, 12), 2), reverse=flag) for flag in larger]
        u, v = [F(p[0], 12) for p in pairs], [F(p[1], 12) for p in pairs]
        w = F(rng.randint(0, 12), 12)
        target, draft = [(1 - q, q) for q in v], [(1 - p, p) for p in u]
        numbers = {"u0": u[0], "u1": u[1], "v0": v[0], "v1": v[1], "w": w}
        expected = chain_rejections(target, draft, (1 - w, w), horizon, drafts)
        assert found.value(**numbers) == found.closed_form_value(**numbers) == expected
        pair = RationalPair(
            target=(tuple(target),),
            draft=(tuple(draft),),
            next_context=((0, 1), (0, 1)),
            initial=(1 - w, w),
            horizon=horizon,
        )
        algorithm = Speculative() if drafts == 1 else Batch(drafts=drafts)
        assert expected_rejections(pair, algorithm, exact=True) == expected


def test_two_state_rejections__wrong_restart_is_no_identity():
    # Using the root kernel in every position (a missing restart rule) changes the polynomial.
    right = symbolic.two_state_rejections(2, drafts=2)
    single = symbolic.two_state_rejections(2)
    assert not is_zero(right.derived - single.derived)
    assert not dataclasses.replace(right, closed_form=single.closed_form).is_identity


@pytest.mark.parametrize("larger", [True, False])
def test_theorem_5_identity__symbols_and_numbers(larger):
    found = symbolic.theorem_5_identity(draft_larger=larger)
    assert found.is_identity
    rng = random.Random(1)
    for _ in range(20):
        low, high = sorted(rng.sample(range(1, 20), 2))
        u, v = (F(high, 20), F(low, 20)) if larger else (F(low, 20), F(high, 20))
        least = v / u if larger else (1 - v) / (1 - u)
        c = least + (1 - least) * F(rng.randint(0, 5), 5)
        accept = (1, c) if larger else (c, 1)
        target, draft = (1 - v, v), (1 - u, u)
        expected = rejection_probability(draft, accept, exact=True) + over_acceptance_loss(
            target, draft, accept, exact=True
        )
        assert found.value(u=u, v=v, c=c) == found.closed_form_value(u=u, v=v, c=c) == expected
    with pytest.raises(InputError, match="violate the assumption"):
        found.value(u=F(1, 2), v=F(1, 2), c=F(1, 4))


def test_theorem_5_identity__without_the_halves_fails():
    found = symbolic.theorem_5_identity()
    rejection, loss, distance = (value for _, value in found.steps)
    assert is_zero(rejection + loss - distance)
    printed = dataclasses.replace(found, derived=rejection + 2 * loss)
    assert not printed.is_identity
    assert not dataclasses.replace(printed, closed_form=2 * distance).is_identity


def test_derivation__latex():
    found = symbolic.batch_improvement_bernoulli(3)
    text = found.latex()
    assert text.startswith(r"\mathrm{BI}_{3} = ")
    assert r"u \geq v" in text
    assert "u^{2}" in text
    assert "M - 1" in found.latex(general=True)
    assert found.latex_steps().count("&=") == 7
    assert r"\begin{aligned}" in symbolic.theorem_5_identity().latex_steps()
    with pytest.raises(InputError, match="no general form"):
        symbolic.two_state_rejections(1, drafts=2).latex(general=True)


def test_derivation__general_form_at_concrete_numbers():
    import sympy

    for drafts in (1, 2, 4):
        found = symbolic.batch_improvement_uniform(drafts)
        m = sympy.Symbol("M", positive=True, integer=True)
        assert is_zero(found.general_form.subs(m, drafts) - found.derived)
    chain = symbolic.two_state_rejections(3)
    length = sympy.Symbol("L", positive=True, integer=True)
    assert is_zero(chain.general_form.subs(length, 3) - chain.derived)


def test_derivation__bad_numbers():
    found = symbolic.batch_improvement_bernoulli(2)
    with pytest.raises(InputError, match="give one for each of"):
        found.value(u=F(1, 2))
    with pytest.raises(InputError, match="give an int or a Fraction"):
        found.value(u=0.5, v=F(1, 3))
    with pytest.raises(InputError, match="violate the assumption"):
        found.value(u=F(1, 3), v=F(1, 2))
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(InputError, match="whole number of at least 1"):
            symbolic.batch_improvement_uniform(wrong)
        with pytest.raises(InputError, match="whole number of at least 1"):
            symbolic.independent_rejections(wrong)
    with pytest.raises(InputError, match="two flags"):
        symbolic.two_state_rejections(2, draft_larger=(True,))


def test_sign__is_proved_or_refused():
    import sympy

    u, v, a, b, c = sympy.symbols("u v a b c")
    coordinates = {u: (a + b) / (a + b + c), v: a / (a + b + c)}
    assert sign(u - v, coordinates) == 1
    assert sign(v * v - u * u, coordinates) == -1
    assert sign((u - v) - u + v, coordinates) == 0
    assert sign(1 / (v - 1), coordinates) == -1
    assert positive_part(v - u, coordinates) == 0
    with pytest.raises(InputError, match="do not decide the sign"):
        sign(u + v - 1, coordinates)


def test_symbolic__is_imported_lightly():
    code = (
        "import sys; from specsim.theory import symbolic; assert 'sympy' not in sys.modules;"
        "symbolic.theorem_5_identity(); assert 'sympy' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
