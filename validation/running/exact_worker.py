"""Exact checks in a process of their own: ``python -m specsim.validation.running.exact_worker``.

They are pure Python, and would hold up planning and compilation in the process that asks for them. Reads one
JSON document from standard input, ``{"effort": name, "checks": [[claim, check], ...]}``, and writes one JSON
line for each comparison and one at the end of each check.
"""

from __future__ import annotations

import json
import sys
from typing import Any, TextIO


def work(request: dict[str, Any], answers: TextIO) -> None:
    """Run the checks of a request and write their comparisons, line by line."""
    from specsim.validation.claims_model import ExactCheck
    from specsim.validation.registry import all_claims
    from specsim.validation.running.effort import get_effort
    from specsim.validation.running.planning import describe_error
    from specsim.validation.witnesses import as_built

    effort, witnesses = get_effort(request["effort"]), as_built()
    checks = {
        (claim.id, check.name): check
        for claim in all_claims()
        for check in claim.checks
        if isinstance(check, ExactCheck)
    }
    for claim_id, name in request["checks"]:
        error = ""
        try:
            for comparison in checks[claim_id, name].run(witnesses, effort):
                print(json.dumps({"comparison": vars(comparison)}), file=answers, flush=True)
        except Exception as problem:
            error = describe_error(problem)
        print(json.dumps({"finished": [claim_id, name], "error": error}), file=answers, flush=True)


if __name__ == "__main__":
    import signal

    # Ctrl-C reaches the whole group; the process that asked ends this one when it has to.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    work(json.load(sys.stdin), sys.stdout)
