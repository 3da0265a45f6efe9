"""Integers at fixed seeds, stored and compared bit for bit."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from specsim.errors import InputError
from specsim.support.files import write_text
from specsim.validation.claims_model import Claim, RegressionCheck
from specsim.validation.running.outcomes import CheckOutcome, Status
from specsim.validation.witnesses import Witnesses

#: Where the expected integers are stored.
FOLDER = Path(__file__).resolve().parent.parent / "data"


def data_path(claim: Claim, check: RegressionCheck, folder: Path = FOLDER) -> Path:
    """Return the file of a check's expected integers."""
    return folder / f"{claim.id}--{re.sub(r'[^a-z0-9]+', '-', check.name.lower()).strip('-')}.json"


def run_regression(
    claim: Claim, check: RegressionCheck, witnesses: Witnesses, *, update: bool = False, folder: Path = FOLDER
) -> CheckOutcome:
    """Compare a check's integers with the stored ones, or store them.

    update: whether to rewrite the stored integers. Defaults to False.
    folder: where they are stored.
    """
    path = data_path(claim, check, folder)
    found = as_integers(check.run(witnesses), check.name)
    if update:
        write_text(path, json.dumps(found, indent=1) + "\n")
        return _outcome(check, Status.AGREES, f"stored in {path.name}")
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return _outcome(
            check, Status.ERROR, f"no stored integers ({path.name}); run with --update to store them"
        )
    except (OSError, ValueError) as error:
        return _outcome(check, Status.ERROR, f"stored integers {path.name} cannot be read: {error}")
    if stored == found:
        return _outcome(check, Status.AGREES, "")
    names = [name for name in {**stored, **found} if stored.get(name) != found.get(name)]
    return _outcome(
        check,
        Status.DISAGREES,
        f"{', '.join(names)} differ{'s' if len(names) == 1 else ''} from the stored integers ({path.name}): "
        + "; ".join(_difference(name, stored.get(name), found.get(name)) for name in names[:3])
        + "; if the change is meant, run with --update",
    )


def as_integers(value: Any, name: str) -> Any:
    """Return `value` in lists, dicts and ints.

    InputError: it holds something else.
    """
    if isinstance(value, dict):
        return {str(key): as_integers(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return as_integers(value.tolist(), name)
    if isinstance(value, list | tuple):
        return [as_integers(item, name) for item in value]
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    raise InputError(f"{name} has {value!r}; a regression check compares integers")


def _difference(name: str, stored: Any, found: Any) -> str:
    if isinstance(stored, dict) and isinstance(found, dict):
        key = next(key for key in {**stored, **found} if stored.get(key) != found.get(key))
        return _difference(f"{name}.{key}", stored.get(key), found.get(key))
    if isinstance(stored, list) and isinstance(found, list) and len(stored) == len(found):
        index = next(i for i, (old, new) in enumerate(zip(stored, found, strict=True)) if old != new)
        return _difference(f"{name}[{index}]", stored[index], found[index])
    return f"{name} was {_short(stored)}, is {_short(found)}"


def _short(value: Any) -> str:
    text = "absent" if value is None else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _outcome(check: RegressionCheck, status: Status, message: str) -> CheckOutcome:
    return CheckOutcome(name=check.name, kind="regression", status=status, message=message)
