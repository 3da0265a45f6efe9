"""CPU time of proofs of kernels from their own text: ``python -m benchmarks.kernel_text``.

Each proof is the bias of one round on three random instances with three tokens, cut depths included.
"""

from __future__ import annotations

import time
from dataclasses import replace

from specsim.algorithms import Structure, chain, get_rule, levels
from specsim.validation.kernel_text.bias import random_twelfths, worst_bias
from specsim.validation.kernel_text.catalogue import kernel_text_of

#: Rules, structure, and the bar in seconds.
CASES: tuple[tuple[tuple[str, ...], Structure, float], ...] = (
    (("ratio", "block", "recursive", "match", "one-hot", "traversal"), chain(2), 0.2),
    (("recursive", "match", "one-hot", "traversal", "summed-coin"), levels((2, 2)), 2.0),
)


def seconds(name: str, structure: Structure, repeats: int = 3) -> float:
    """Return the least CPU time of a proof that a rule is lossless on a structure."""
    rule = get_rule(name)
    text = replace(rule, own_text=kernel_text_of(rule))
    times = []
    for _ in range(repeats):
        start = time.process_time()
        worst = worst_bias(random_twelfths(3, structure.depth, 3, 0), text(tree=structure))
        times.append(time.process_time() - start)
        if worst.value:
            raise SystemExit(f"{name} is biased: {worst}")
    return min(times)


def main() -> None:
    """Measure every case."""
    for names, structure, bar in CASES:
        for name in names:
            if structure.kind not in get_rule(name).structures:
                continue
            found = seconds(name, structure)
            print(f"{name:12} {structure.label:16} {found:6.3f} s (bar {bar} s)", flush=True)


if __name__ == "__main__":
    main()
