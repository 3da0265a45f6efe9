"""Accepting more can cost target calls: plans of most acceptance, and more drafts for them.

Texts of three tokens, rounds of one drafted token with several candidates. After token 1 draft and target
agree, after token 2 they are disjoint. If the first drafted token is accepted, its bonus token follows, and
the third token takes one call: two calls. If it is rejected and replaced by token 1, the second token is
accepted and its bonus token is the third: two calls. If it is replaced by token 2, the second token is
rejected, too: three.

A set of tokens is accepted at most as often as a candidate lies in it. Serving the tokens in an order, each
as far as this allows, accepts most (2310.15141, Section 4). Serving token 1 first leaves less for token 2.
Needs nothing but Python; exits with 1 when a number is another one.
"""

from fractions import Fraction as F

ROWS = {"A": ([F(0), F(1, 2), F(1, 2)], [F(1, 2), F(1, 4), F(1, 4)])}
ROWS["B"] = [F(0), F(19, 27), F(8, 27)], [F(3, 8), F(1, 3), F(7, 24)]


def recursive(target, draft):
    """Return the probability that each token is accepted from two candidates, one test after the other."""
    first = [min(t, d) for t, d in zip(target, draft, strict=True)]
    left = [max(t - d, F(0)) for t, d in zip(target, draft, strict=True)]
    second = [min(rest, (1 - sum(first)) * d) for rest, d in zip(left, draft, strict=True)]
    return [a + b for a, b in zip(first, second, strict=True)]


def transport(target, draft, candidates):
    """Return the same for the plan that serves token 1 first, then token 2."""
    taken = [F(0)] * 3
    for served in ((1,), (1, 2)):
        met = 1 - (1 - sum(draft[token] for token in served)) ** candidates
        taken[served[-1]] = min(target[served[-1]], met - sum(taken))
    return taken


def calls(target, taken):
    """Return the expected target calls of a text of three tokens."""
    return 2 + target[2] - taken[2]


FOUND = []
for name, rule, taken, wanted in (
    ("A", "recursive, two drafts", recursive(*ROWS["A"]), (F(3, 4), F(17, 8))),
    ("A", "transport, two drafts", transport(*ROWS["A"], 2), (F(3, 4), F(35, 16))),
    ("B", "transport, two drafts", transport(*ROWS["B"], 2), (F(23, 27), F(2))),
    ("B", "transport, three drafts", transport(*ROWS["B"], 3), (F(485, 512), F(1051, 512))),
):
    found = sum(taken), calls(ROWS[name][0], taken)
    print(f"rows {name}, {rule}: {found[0]} accepted, {found[1]} target calls")
    FOUND.append(found == wanted)
raise SystemExit(not all(FOUND))
