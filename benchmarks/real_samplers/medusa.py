"""medusa-llm: ``evaluate_posterior`` (typical acceptance), and the token that ``generate_candidates`` adds.

There is no randomness in it, so it is lossy by design; `TYPICAL_TREE` is its exact law. Needs an unpacked
wheel of medusa-llm (0.1 was tried) and torch.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from benchmarks.real_samplers.unpacked import Library, load, locate
from specsim.algorithms import Structure
from specsim.validation.conformance.adapters import libraries
from specsim.validation.conformance.rules.base import Floats, Integers, Rule
from specsim.validation.conformance.subjects import Subject

#: Environment variable that names the folder of the unpacked wheel.
VARIABLE = "SPECSIM_MEDUSA_WHEEL"
#: Defaults of ``medusa_generate``: the most that the threshold can be, and its factor on exp(-entropy).
THRESHOLD, ALPHA = 0.09, 0.3


def library() -> Library:
    """Find the wheel; see `benchmarks.real_samplers.unpacked.locate`."""
    return locate("medusa", "medusa-llm", VARIABLE)


@functools.cache
def _utils(library: Library) -> Any:
    libraries.load("torch", package="torch")
    return load(library, "medusa.model.utils")


@functools.cache
def _leaves(parents: tuple[int, ...]) -> list[list[int]]:
    """Return the nodes from the root to every leaf."""
    paths: list[list[int]] = [[0]]
    for node, parent in enumerate(parents[1:], start=1):
        paths.append([*paths[parent], node])
    inner = set(parents)
    return [path for path in paths if path[-1] not in inner]


def typical_acceptance(parents: Any, target: Any, draft: Any, tokens: Any, seed: int) -> tuple[Any, Any]:
    """Verify by the protocol ``tree``, at temperature 1 and the defaults of the library.

    Paths that end early are filled up with one more token that has no mass anywhere and is never accepted.
    """
    torch = libraries.load("torch", package="torch")
    utils = _utils(library())
    paths = _leaves(tuple(int(parent) for parent in parents))
    depth = max(map(len, paths)) - 1
    rows = torch.as_tensor(np.array(target)).to(torch.float32).log()
    batch, _, vocabulary = rows.shape
    rows = torch.nn.functional.pad(rows, (0, 1), value=-torch.inf)
    out = np.full((batch, depth + 1), -1, np.int64)
    lengths = np.zeros(batch, np.int64)
    for row in range(batch):
        candidates = torch.full((len(paths), depth + 1), vocabulary)
        logits = rows[row, :1].repeat(len(paths), depth + 1, 1)
        for number, path in enumerate(paths):
            candidates[number, 1 : len(path)] = torch.as_tensor(np.array(tokens)[row, path[1:]])
            logits[number, : len(path)] = rows[row, path]
        best, accepted = utils.evaluate_posterior(logits, candidates, 1.0, THRESHOLD, ALPHA)
        count = int(accepted)
        following = logits[None, int(best), count : count + 1]
        # generate_candidates opens the next round with this token.
        opened, _ = utils.generate_candidates(
            following[None][:, 0, None], following, [1], torch.zeros(1, dtype=torch.long), 1.0
        )
        out[row, :count] = candidates[int(best), 1 : count + 1].numpy()
        out[row, count] = int(opened[0, 0])
        lengths[row] = count + 1
    return out, lengths


def _law(structure: Structure, target: Floats, draft: Floats, tokens: Integers) -> Floats:
    nodes, vocabulary = target.shape[-2:]
    law = np.zeros(target.shape)
    rows = target.reshape(-1, nodes, vocabulary)
    for one, row, drafted in zip(law.reshape(rows.shape), rows, tokens.reshape(-1, nodes), strict=True):
        stop = _stop(structure.parents, row, drafted)
        one[stop, row[stop].argmax()] = 1.0
    return law


def _stop(parents: tuple[int, ...], target: Floats, tokens: Integers) -> int:
    """Return the node that typical acceptance stops at: the deepest, of these the likeliest path."""
    entropy = -(target * np.log(target + 1e-5)).sum(axis=-1)
    threshold = np.minimum(THRESHOLD, ALPHA * np.exp(-entropy))
    # For every node: how deep it is and its path's log-probability, or None when a token of it failed.
    reached: list[tuple[int, float] | None] = [(0, 0.0)]
    for node in range(1, len(target)):
        above = reached[parents[node]]
        chance = target[parents[node], tokens[node]]
        passed = above is not None and chance > threshold[parents[node]]
        reached.append((above[0] + 1, above[1] + float(np.log(chance))) if passed and above else None)
    return -max((*entry, -node) for node, entry in enumerate(reached) if entry is not None)[2]


TYPICAL_TREE = Rule(
    name="medusa-typical-acceptance",
    title="the longest path whose tokens all pass the entropy threshold, then the target's likeliest token",
    source="2401.10774, Section 3.3.1; medusa-llm 0.1, model/utils.py",
    lossless=False,
    tree_law=_law,
    bug_class="13 lossy by option",
)


def subjects() -> tuple[Subject, ...]:
    """Return the verification at the library's defaults."""
    return (
        Subject(
            name=f"medusa-llm {library().version}: evaluate_posterior",
            protocol="tree",
            run=typical_acceptance,
            rule=TYPICAL_TREE,
            dtypes=("float32", "float64"),
            draft="never",
            drawing="without",
            notes="Lossy by design: nothing in it is random.",
        ),
    )
