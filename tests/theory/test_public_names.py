"""No public function of `specsim.theory` is hidden by a module of the same name."""

import subprocess
import sys

import specsim.theory as theory


def test_public_names__are_no_modules() -> None:
    modules = set(theory._HOME_OF.values())
    assert not modules & set(theory.__all__)


def test_batch_improvement__is_callable_after_its_neighbour_was_loaded() -> None:
    code = (
        "import specsim.theory as theory\n"
        "theory.batch_improvement_uniform(2, 1)\n"
        "assert callable(theory.batch_improvement)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
