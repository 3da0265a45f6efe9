"""What is said where the optional extra ``torch`` is not installed."""

from importlib.util import find_spec

from specsim.errors import InputError


def require(*packages: str) -> None:
    """Raise `InputError` unless all these packages of the extra ``torch`` are installed."""
    absent = [name for name in packages if find_spec(name) is None]
    if absent:
        raise InputError(
            f"specsim.models needs {' and '.join(absent)}, not installed here; "
            "pip install 'specsim-decoding[torch]'"
        )
