"""All claims, collected from the modules of `specsim.validation.claims`, and their selection by name."""

import pkgutil
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module

from specsim.errors import InputError
from specsim.support.checks import unknown
from specsim.validation.claims_model import Claim


@cache
def all_claims() -> tuple[Claim, ...]:
    """Return every claim: ``CLAIMS`` of each module of `specsim.validation.claims`, in its reading order.

    Raises
    ------
    InputError
        Two claims have the same id.

    Examples
    --------
    >>> from specsim.validation import all_claims
    >>> "yin2024.theorem-1-rejections" in [claim.id for claim in all_claims()]
    True
    """
    package = import_module("specsim.validation.claims")
    found: list[Claim] = []
    listed = getattr(package, "READING_ORDER", ())
    others = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    for name in dict.fromkeys([*listed, *others]):
        if not name.startswith("_"):
            found.extend(getattr(import_module(f"{package.__name__}.{name}"), "CLAIMS", ()))
    return check_unique(found)


def check_unique(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """Return the claims as a tuple.

    InputError: two have the same id.
    """
    listed = tuple(claims)
    ids = [claim.id for claim in listed]
    for claim_id in ids:
        if ids.count(claim_id) > 1:
            raise InputError(f"claim id {claim_id} is used twice; ids must differ")
    return listed


def select_claims(patterns: Iterable[str] = (), claims: Iterable[Claim] | None = None) -> tuple[Claim, ...]:
    """Return the claims whose id matches one of the patterns, in their own order.

    Parameters
    ----------
    patterns
        With ``*``, ``?`` and ``[...]``. Defaults to none: all claims.
    claims
        Defaults to None: `all_claims`.

    Raises
    ------
    InputError
        A pattern matches no claim.

    Examples
    --------
    >>> from specsim.validation import select_claims
    >>> [claim.id for claim in select_claims(["yin2024.theorem-1*"])]
    ['yin2024.theorem-1-rejections', 'yin2024.theorem-1-lossless']
    """
    listed = all_claims() if claims is None else tuple(claims)
    chosen = list(patterns)
    if not chosen:
        return listed
    ids = [claim.id for claim in listed]
    for pattern in chosen:
        if not any(fnmatchcase(claim_id, pattern) for claim_id in ids):
            near = [claim_id for claim_id in ids if pattern.strip("*") in claim_id]
            unknown("claim", pattern, ids, near=near, remedy="see specsim validate --list")
    return tuple(claim for claim in listed if any(fnmatchcase(claim.id, pattern) for pattern in chosen))
