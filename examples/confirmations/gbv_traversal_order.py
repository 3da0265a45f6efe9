"""Traversal verification of merged paths: the reference code of 2602.16961 does not go depth first.

Read, not run: github.com/Rmuk655/Distill-Spec-Research, commit b3dc0a7,
``gbv-research/references/gbv-original/verifier.py`` (``traversal_verify``), said there to be an unmodified
copy of the reference implementation of 2602.16961, and ``verifiers/inference_util.py`` at e72cfa6, which
numbers the nodes. Paths are drawn independently and merged into a tree; the rule (2505.12398) tests its
leaves, and after a failure updates the rows of the parent as for children drawn without replacement. The code
takes the leaf of the lowest number, and numbers are given path by path. With three paths of which the third
branches off the first below its first token, the second path is done before the first token's subtree is: the
parent's rows are updated for its children in another order than they were drawn in.

Needs Python alone. Enumerates one round in exact fractions with both orders, and exits with 1 when the code's
output is not the target's. Depth first it is: that paths are merged does no harm.
"""

import sys
from fractions import Fraction
from itertools import product

TARGET = [Fraction(1, 3), Fraction(2, 3)]
DRAFT = [Fraction(2, 3), Fraction(1, 3)]
TOKENS = range(len(TARGET))
NONE, ALL = Fraction(0), Fraction(1)


def numbered(paths, depth_first):
    """Return the merged nodes: path by path, or depth first with siblings in the order of the paths."""
    nodes = list(dict.fromkeys(path[:length] for path in paths for length in range(len(path) + 1)))
    if not depth_first:
        return nodes

    def below(node):
        yield node
        for other in nodes:
            if other and other[:-1] == node:
                yield from below(other)

    return list(below(()))


def traverse(paths, depth_first):
    """Yield (emitted tokens, probability) for these drafts."""
    nodes = numbered(paths, depth_first)
    targets, drafts = (dict.fromkeys(nodes, row) for row in (TARGET, DRAFT))
    weights, left = {(): ALL}, ALL

    def weigh(node):
        parent, token = node[:-1], node[-1]
        share = drafts[parent][token]
        weights[node] = min(ALL, weights[parent] * targets[parent][token] / share) if share else NONE

    for node in nodes[1:]:
        weigh(node)
    while left:
        leaf = next(node for node in nodes if not any(other and other[:-1] == node for other in nodes))
        passes = weights[leaf] if leaf else ALL
        for token, mass in enumerate(targets[leaf]):
            yield (*leaf, token), left * passes * mass
        left *= 1 - passes
        if not left:
            return
        parent = leaf[:-1]
        nodes.remove(leaf)
        residual = [
            max(weights[parent] * t - d, NONE) for t, d in zip(targets[parent], drafts[parent], strict=True)
        ]
        total = sum(residual)
        if total:
            targets[parent] = [mass / total for mass in residual]
        weights[parent] = total / (total + 1 - weights[parent]) if total else NONE
        others = [NONE if y == leaf[-1] else mass for y, mass in enumerate(drafts[parent])]
        drafts[parent] = [mass / (sum(others) or ALL) for mass in others]
        # Shorter ones first: a weight is made from that of the parent.
        for node in sorted(nodes, key=len):
            if len(node) > len(parent) and node[: len(parent)] == parent:
                weigh(node)


def distance(count, length, depth_first):
    """Return the total variation distance of `length` + 1 tokens from the target."""
    law = dict.fromkeys(product(TOKENS, repeat=length + 1), NONE)

    def complete(text, mass):
        if len(text) > length:
            law[text] += mass
        elif mass:
            for token in TOKENS:
                complete((*text, token), mass * TARGET[token])

    for paths in product(product(TOKENS, repeat=length), repeat=count):
        chance = chance_of(DRAFT, [token for path in paths for token in path])
        for text, mass in traverse(paths, depth_first):
            complete(text, chance * mass)
    return sum(abs(mass - chance_of(TARGET, text)) for text, mass in law.items()) / 2


def chance_of(row, text):
    """Return the probability of independent tokens."""
    chance = ALL
    for token in text:
        chance *= row[token]
    return chance


def main():
    """Print the distances; return 1 when the code's output is not the target's."""
    biased = False
    for count, length in ((2, 2), (3, 1), (3, 2), (4, 2)):
        off = distance(count, length, depth_first=False)
        repaired = distance(count, length, depth_first=True)
        print(f"{count} paths of {length}: total variation {off} = {float(off):.4f}, depth first {repaired}")
        assert repaired == 0
        biased |= off != 0
    return int(biased)


if __name__ == "__main__":
    sys.exit(main())
