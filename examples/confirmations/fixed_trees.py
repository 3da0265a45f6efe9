"""How the best fixed tree of drafts grows with its size, beside the term of a published bound.

2512.11718 (abstract) bounds the tokens of a round with P verified nodes by (m + m2) ln(P) / m^2 + O(1), with
m the entropy of the target row and m2 the mean of ln(T)^2. The best fixed tree is the P likeliest prefixes,
and its expected accepted length is the sum of their probabilities. Ten times as many nodes add ln(10) / m
tokens, fewer than the term says: the bound holds, and its factor 1 + m2 / m is not needed for independent
tokens. Needs nothing but Python; exits with 1 when that is not seen.
"""

import heapq
import math

TARGET = (1 / 3, 2 / 3)
ENTROPY = -sum(p * math.log(p) for p in TARGET)
SQUARES = sum(p * math.log(p) ** 2 for p in TARGET)


def best_tree(nodes):
    """Return the sum of the probabilities of the likeliest prefixes."""
    waiting, total = [-p for p in TARGET], 0.0
    heapq.heapify(waiting)
    for _ in range(nodes):
        likeliest = -heapq.heappop(waiting)
        total += likeliest
        for p in TARGET:
            heapq.heappush(waiting, -likeliest * p)
    return total


sizes = [10, 100, 1000, 10_000, 100_000]
lengths = [best_tree(nodes) for nodes in sizes]
for nodes, length in zip(sizes, lengths, strict=True):
    term = (ENTROPY + SQUARES) * math.log(nodes) / ENTROPY**2
    print(
        f"{nodes:7,} nodes: {length:.4f} accepted, ln(P)/m = {math.log(nodes) / ENTROPY:.4f}, term {term:.4f}"
    )
grown = lengths[-1] - lengths[-2]
print(f"from 10,000 to 100,000 nodes: {grown:.4f}; ln(10)/m = {math.log(10) / ENTROPY:.4f}")
raise SystemExit(abs(grown - math.log(10) / ENTROPY) > 0.01)
