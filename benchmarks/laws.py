"""CPU time of the laws of this checkout and of an older one, on the same pairs.

Run ``python -m benchmarks.laws`` from the repository's root for times alone, or
``python -m benchmarks.laws --against FOLDER`` with another checkout; each case then runs in turn in both, in
processes of their own, and results that both have must agree. ``--large`` adds rules with 64
tokens: all laws of block verification from one `Laws` object, and the expected calls of `LARGE`. All laws are
those of `FUNCTIONS`, called one after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

COUNTS = ("rejection_law", "target_call_law")
FUNCTIONS = (
    "expected_rejections",
    "expected_target_calls",
    "rejections_by_step",
    "rejection_variance",
    "accepted_length_counts",
    "output_marginals",
    *COUNTS,
)
#: Name, descriptor, its options, horizon, tokens, exact, functions.
CASES: list[tuple[str, str, dict[str, Any], int, int, bool, tuple[str, ...]]] = [
    ("ratio, K=4", "Speculative", {"draft_length": 4}, 50, 7, False, FUNCTIONS),
    ("batch of 3, K=4", "Batch", {"drafts": 3, "draft_length": 4, "bonus": True}, 50, 7, False, FUNCTIONS),
    ("block, K=4", "BlockVerification", {"draft_length": 4}, 50, 7, False, FUNCTIONS),
    ("ratio, to the horizon", "Speculative", {}, 50, 7, False, FUNCTIONS),
    ("batch of 3, to the horizon", "Batch", {"drafts": 3}, 50, 7, False, FUNCTIONS),
    ("exact counts, ratio, K=4", "Speculative", {"draft_length": 4}, 50, 7, True, COUNTS),
    ("exact counts, ratio, to the horizon", "Speculative", {}, 50, 7, True, COUNTS),
    ("exact counts, batch of 3, to the horizon", "Batch", {"drafts": 3}, 50, 7, True, COUNTS),
    ("exact, ratio, K=4", "Speculative", {"draft_length": 4}, 50, 7, True, FUNCTIONS[:6]),
    ("exact, block, K=2", "BlockVerification", {"draft_length": 2}, 4, 4, True, FUNCTIONS),
]

#: Algorithm, and whether all positions have the same rows.
LARGE = [
    ("recursive-distinct:tree=4-4-4-4", True),
    ("traversal:tree=4-4-4", True),
    ("traversal-distinct:tree=2-2", True),
    ("greedy-block:drafts=4,draft_length=3", True),
    ("gumbel:tree=4-4-4-4", False),
    ("summed-coin:tree=4-4-4-4", False),
    ("transport:tree=4-4-4-4", False),
]


def measure(case: int, repeats: int) -> dict[str, Any]:
    """Return the least CPU seconds of a case in the checkout that is imported, and results as floats."""
    from specsim import algorithms, theory
    from specsim.pairs import ModelPair

    _, descriptor, options, horizon, tokens, exact, names = CASES[case]
    generator = np.random.default_rng(case)
    target, draft = generator.dirichlet(np.ones(tokens), (2, horizon, tokens))
    pair = ModelPair.from_probabilities(target, draft, initial=np.eye(tokens)[0], horizon=horizon)
    algorithm = getattr(algorithms, descriptor)(**options)
    times = []
    for _ in range(repeats + 1):
        start = time.process_time()
        found = [getattr(theory, name)(pair, algorithm, exact=exact) for name in names]
        times.append(time.process_time() - start)
    # The first call loads libraries.
    return {"seconds": min(times[1:]), "results": [np.asarray(x, dtype=float).tolist() for x in found]}


def large() -> None:
    """Time laws with 64 tokens."""
    from specsim.algorithms import BlockVerification
    from specsim.pairs import ModelPair
    from specsim.theory import Laws

    target, draft = np.random.default_rng(0).dirichlet(np.ones(64), (2, 1, 64))
    pair = ModelPair.from_probabilities(target, draft, initial=np.eye(64)[0], horizon=50)
    start = time.process_time()
    laws = Laws(pair, BlockVerification(draft_length=4))
    efficiency, _ = laws.long_run()
    for name in FUNCTIONS:
        getattr(laws, name)()
    seconds = time.process_time() - start
    print(
        f"block, K=4, 64 tokens, stationary: all laws in {seconds:.1f} s; {efficiency:.6f} tokens per round"
    )

    for label, stationary in LARGE:
        rows = np.random.default_rng(0).dirichlet(np.ones(64), (2, 1 if stationary else 50, 64))
        pair = ModelPair.from_probabilities(*rows, initial=np.eye(64)[0], horizon=50)
        start = time.process_time()
        calls = Laws(pair, label).expected_target_calls()
        seconds = time.process_time() - start
        where = "the same rows everywhere" if stationary else "rows of their own"
        print(f"{label}, 64 tokens, {where}: {seconds:.1f} s, {calls:.6f} calls")


def run(checkout: Path, case: int, repeats: int) -> dict[str, Any]:
    """Measure a case in a process that imports `specsim` from a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--case", str(case), "--repeats", str(repeats)]
    found = subprocess.run(command, env=environment, cwd="/", check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(found.stdout)
    return result


def main() -> None:
    """Measure every case."""
    parser = argparse.ArgumentParser(description="CPU time of all laws.")
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--large", action="store_true", help="also rules with 64 tokens")
    parser.add_argument("--repeats", type=int, default=5, help="timed calls, of which the least counts")
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case is not None:
        print(json.dumps(measure(arguments.case, arguments.repeats)))
        return
    here = Path(__file__).resolve().parents[1]
    for case, (name, *_) in enumerate(CASES):
        found = run(here, case, arguments.repeats)
        line = f"{name:42} {1000 * found['seconds']:8.1f} ms"
        if arguments.against:
            other = run(arguments.against.resolve(), case, arguments.repeats)
            worst = max(
                np.abs(np.asarray(mine) - np.asarray(old)).max()
                for mine, old in zip(found["results"], other["results"], strict=True)
            )
            ratio = found["seconds"] / other["seconds"]
            line += f", other {1000 * other['seconds']:8.1f} ms, ratio {ratio:.2f}, differ by {worst:.0e}"
        print(line, flush=True)
    if arguments.large:
        large()


if __name__ == "__main__":
    main()
