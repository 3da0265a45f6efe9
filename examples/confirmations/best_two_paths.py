"""The best lossless rule for two paths of two drafted tokens, by a linear programme over all rules.

Rows at every position: draft (2/3, 1/3), target (1/3, 2/3). A rule sees the four drafted tokens, stops at a
node and writes one more token; then the text goes on from the target. Lossless: the first three tokens have
the target's law. The largest expected accepted length is a linear programme over the probabilities of
stopping. Needs numpy and scipy; exits with 1 when the value is not 131/81.
"""

from itertools import product

import numpy as np
from scipy.optimize import linprog

DRAFT, TARGET, TOKENS = (2 / 3, 1 / 3), (1 / 3, 2 / 3), (0, 1)


def mass(text, row):
    """Return the probability of a text of independent tokens."""
    return float(np.prod([row[token] for token in text]))


def nodes(first, second):
    """Return the prefixes that a rule may accept: none, and the beginnings of both paths."""
    return [(), first[:1], second[:1], first, second]


paths = list(product(TOKENS, repeat=2))
drafts = list(product(paths, repeat=2))
texts = list(product(TOKENS, repeat=3))
#: One variable for each draft, node where the rule stops, and token that it writes there.
variables = [(d, node, y) for d in range(len(drafts)) for node in nodes(*drafts[d]) for y in TOKENS]
chance = [mass(first + second, DRAFT) for first, second in drafts]
equal, right = [], []
for draft in range(len(drafts)):  # the rule stops somewhere
    equal.append([float(d == draft) for d, _, _ in variables])
    right.append(1.0)
for text in texts:  # the text has the target's law; after what was written it goes on from the target
    line = []
    for d, node, y in variables:
        written = (*node, y)
        begins = text[: len(written)] == written
        line.append(chance[d] * mass(text[len(written) :], TARGET) if begins else 0.0)
    equal.append(line)
    right.append(mass(text, TARGET))
cost = [-chance[d] * len(node) for d, node, _ in variables]
found = linprog(cost, A_eq=equal, b_eq=right, bounds=(0, 1), method="highs")
print(f"best lossless rule: {-found.fun:.9f} accepted tokens; 131/81 = {131 / 81:.9f}")
print("on the same drafts: recursive node by node 35/27, traversal 38/27, transport node by node 40/27")
raise SystemExit(abs(-found.fun - 131 / 81) > 1e-7)
