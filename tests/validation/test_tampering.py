"""Every condition of the certificate checker is needed: without it, a broken certificate is accepted."""

import ast
import types
from pathlib import Path

import pytest

from specsim import Speculative, theory
from specsim.theory.certificates import checker
from specsim.validation.instances import thirds, tiny_pairs
from specsim.validation.tampering import (
    broken_front_certificates,
    broken_rejection_certificates,
    broken_round_certificates,
)

SOURCE = Path(checker.__file__).read_text()


def _conditions():
    """Lines of the checker on which it refuses a certificate."""
    return sorted(
        node.lineno
        for node in ast.walk(ast.parse(SOURCE))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and getattr(node.value.func, "id", "") == "_fail"
    )


def _without(line):
    """Return the checker without the refusal on this line."""
    tree = ast.parse(SOURCE)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and node.lineno == line and isinstance(node.value, ast.Call):
            node.value = ast.copy_location(ast.Constant(None), node.value)
    weaker = types.ModuleType("weaker_checker")
    exec(compile(tree, "weaker_checker", "exec"), weaker.__dict__)
    return weaker


@pytest.fixture(scope="module")
def broken():
    """Yield (pair, what is wrong, certificate)."""
    found = []
    for pair in list(tiny_pairs("quick"))[:4]:
        certificate = theory.lower_bound(pair, exact=True).certificate
        assert checker.check_certificate(pair, certificate)
        found += [(pair, *item) for item in broken_rejection_certificates(pair, certificate)]
    pair = thirds(3)
    certificate = theory.round_optimum(pair, Speculative(draft_length=1)).certificate
    assert checker.check_certificate(pair, certificate)
    found += [(pair, *item) for item in broken_round_certificates(pair, certificate)]
    certificate = theory.sequence_front(pair, exact=True).certificate
    assert checker.check_certificate(pair, certificate)
    return found + [(pair, *item) for item in broken_front_certificates(pair, certificate)]


def test_broken_certificates__are_all_refused(broken):
    for pair, what, certificate in broken:
        with pytest.raises(theory.CertificateError):
            assert not checker.check_certificate(pair, certificate), what


@pytest.mark.parametrize("line", _conditions())
def test_every_condition__is_needed(line, broken):
    weaker = _without(line)

    def refused(pair, certificate):
        try:
            weaker.check_certificate(pair, certificate)
        except checker.CertificateError:
            return True
        except Exception:
            # Without the condition the checker fails in another way, which the claims count as a fault.
            return False
        return False

    assert not all(refused(pair, certificate) for pair, _, certificate in broken)
