"""Which claims there are, and their selection."""

import subprocess
import sys

import pytest

from specsim.errors import InputError
from specsim.validation.mutants import all_mutants, get_mutants
from specsim.validation.registry import all_claims, select_claims


@pytest.fixture
def listed(coins):
    names = ("yin2024.theorem-1", "yin2024.theorem-2", "yin2024.lemma-1", "specsim.laws")
    return [coins.claim(name) for name in names]


def ids(claims):
    return [claim.id for claim in claims]


def test_select__everything_by_default(listed):
    assert select_claims((), listed) == tuple(listed)


def test_select__by_name_and_pattern_in_the_registry_s_order(listed):
    assert ids(select_claims(["yin2024.lemma-1", "yin2024.theorem-?"], listed)) == [
        "yin2024.theorem-1",
        "yin2024.theorem-2",
        "yin2024.lemma-1",
    ]
    assert ids(select_claims(["*laws"], listed)) == ["specsim.laws"]


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [("yin2024.theorm-1", "yin2024.theorem-1"), ("lemma", "yin2024.lemma-1"), ("zzzzzzz", "--list")],
)
def test_select__unknown_names_the_nearest(listed, pattern, hint):
    with pytest.raises(InputError, match="is unknown") as caught:
        select_claims([pattern], listed)
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_claims__ids_differ_and_every_claim_says_what_it_needs():
    claims = all_claims()
    assert len(claims) > 20
    assert len(set(ids(claims))) == len(claims)


def test_all_claims__name_only_mutants_that_exist():
    known = {mutant.name for mutant in all_mutants()}
    for claim in all_claims():
        assert set(claim.mutants) <= known, claim.id


def test_mutants__are_described():
    for mutant in all_mutants():
        assert mutant.description.endswith(".")
        assert mutant.cite
    with pytest.raises(InputError, match=r"did you mean residual-from-target"):
        get_mutants(["residual-from-taget"])


def test_import__is_light_and_guarded():
    code = (
        "import sys, specsim.validation, specsim.validation.registry\n"
        "assert len(specsim.validation.registry.all_claims()) > 20\n"
        "heavy = {'numba', 'scipy', 'sympy', 'matplotlib', 'xarray', 'rich', 'jinja2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "specsim.validation.validate, specsim.validation.Mutant\n"
        "try:\n"
        "    import validation\n"
        "except ImportError as error:\n"
        "    assert 'specsim.validation' in str(error)\n"
        "else:\n"
        "    raise SystemExit('imported twice')\n"
    )
    from specsim.validation.running.store import Path, specsim

    root = Path(specsim.__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
