"""The other end of `specsim.validation.running.exact_worker`: starts it, reads its answers, ends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import specsim
from specsim.validation.claims_model import Comparison

#: A comparison, or the end of a check: (claim, check, error).
Answer = Comparison | tuple[str, str, str]


class WorkerDied(Exception):
    """The process ended before its work was done."""


class ExactProcess:
    """A process that runs exact checks.

    Parameters
    ----------
    effort
        Name of the effort.
    checks
        (claim id, check name) of registered claims, in order.
    """

    def __init__(self, effort: str, checks: list[tuple[str, str]]) -> None:
        self._request = json.dumps({"effort": effort, "checks": checks})
        self._remaining = len(checks)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        root = str(Path(specsim.__file__).resolve().parent.parent)
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            # Not the current folder but the package that is running now.
            [sys.executable, "-P", "-m", "specsim.validation.running.exact_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path},
        )

    def answers(self) -> Iterator[Answer]:
        """Yield comparisons, and the end of each check.

        Raises
        ------
        WorkerDied
            The process ended early, or said something else.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(self._request)
            self._process.stdin.close()
        except OSError as error:
            raise WorkerDied(str(error)) from None
        for line in self._process.stdout:
            try:
                answer: dict[str, Any] = json.loads(line)
                if "comparison" in answer:
                    yield Comparison(**answer["comparison"])
                else:
                    claim, check = answer["finished"]
                    self._remaining -= 1
                    yield claim, check, answer["error"]
            except (ValueError, KeyError, TypeError) as error:
                raise WorkerDied(f"unexpected answer: {error}") from None
        if self._remaining:
            raise WorkerDied(self._last_words())

    def end(self) -> None:
        """End the process at once, if it still runs. May be called from any thread, more than once."""
        self._process.kill()

    def close(self) -> None:
        """End the process and release what it holds."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                # What the process did not read cannot be flushed to it any more.
                with suppress(OSError):
                    stream.close()
        self._errors.close()

    def _last_words(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return f"exit code {code}" + (f", {lines[-1]}" if lines else "")
