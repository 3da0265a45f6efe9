"""No public function of `specsim.theory` is hidden by a module of the same name."""

import specsim.theory as theory


def test_public_names__are_no_modules() -> None:
    modules = set(theory._HOME_OF.values())
    assert not modules & set(theory.__all__)
