"""Finished checks on disk, so that a long run can be resumed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from specsim.errors import InputError
from specsim.support.files import replacing
from specsim.validation.conformance.documents import check_document
from specsim.validation.conformance.requests import Request
from specsim.validation.conformance.results import CheckResult, CheckStatus
from specsim.validation.running.store import source_hash

_FINISHED = (
    CheckStatus.PASSED,
    CheckStatus.FAILED,
    CheckStatus.EXPECTED_FAILURE,
    CheckStatus.UNEXPECTED_PASS,
)


class FinishedChecks:
    """The finished checks of one request, in a folder.

    They are used again by the same request alone: target, fields, settings, source code of specsim, and the
    text of the sampler's file. What that file imports is not looked at. Checks that were undecided, or in
    which the sampler broke, are run again.

    folder: where the file is; made when it is missing.
    InputError: the folder cannot be made, or its file cannot be read.
    """

    def __init__(self, folder: str | os.PathLike[str], request: Request) -> None:
        self._identity: dict[str, Any] = {
            "specsim": source_hash(),
            "target": request.target,
            "text": _digest_of_file(request.target),
            "fields": {
                key: sorted(value) if isinstance(value, tuple) else value
                for key, value in request.fields.items()
            },
            # A longer budget decides what a shorter one could not.
            "settings": {
                key: value for key, value in request.settings.items() if key not in ("budget", "only")
            },
            "expected": dict(request.expected),
        }
        # The level of a check depends on how many there are.
        only = request.settings.get("only")
        self._identity["only"] = None if only is None else sorted(only)
        words = json.dumps(self._identity, sort_keys=True)
        name = hashlib.sha256(words.encode()).hexdigest()[:16]
        self._path = Path(folder) / f"conform-{name}.json"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            found = json.loads(self._path.read_text(encoding="utf-8")) if self._path.exists() else {}
            if not isinstance(found, dict):
                raise ValueError("it holds no results")
        except (OSError, ValueError) as error:
            raise InputError(f"resume: {self._path} cannot be used: {error}; give another folder") from None
        #: By subject and check.
        self.checks: dict[str, dict[str, Any]] = found.get("checks", {})

    def add(self, subject: str, result: CheckResult) -> None:
        """Keep a result, if it is finished."""
        if result.status not in _FINISHED:
            return
        self.checks.setdefault(subject, {})[result.name] = check_document(result)
        document = {"identity": self._identity, "checks": self.checks}
        with replacing(self._path) as temporary:
            temporary.write_text(json.dumps(document), encoding="utf-8")


def _digest_of_file(target: str) -> str:
    source = target.rpartition(":")[0]
    path = Path(source)
    if not (source.endswith(".py") and path.is_file()):
        return ""
    return hashlib.sha256(path.read_bytes()).hexdigest()
