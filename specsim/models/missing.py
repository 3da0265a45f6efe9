"""What is said where the optional torch backend is not installed."""

from __future__ import annotations

from importlib.util import find_spec

from specsim.errors import InputError

#: What the backend imports, as modules; the extra ``torch`` installs both.
NEEDED = ("torch", "transformers")


def require_torch() -> None:
    """Raise unless torch and transformers can be imported.

    Raises
    ------
    InputError
        One of them is not installed.
    """
    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        raise InputError(
            f"specsim.models needs {' and '.join(absent)}, not installed here; "
            "pip install 'specsim-decoding[torch]'"
        )
