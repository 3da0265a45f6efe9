"""The rule ``transport``: at a node, the plan that accepts most (2310.15141, Section 4).

A plan says with what probability each token is accepted. Tokens are served in the order of target / draft,
and each gets as much as is possible together with those before it. The plan is carried out by cutting the
vocabulary into pieces: the first piece that contains a child is taken, and in it the child that was drawn
first; tokens after the last piece are rejected. The pieces are drawn at random, coarse ones as often as the
plan allows.
"""

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from itertools import combinations, product

from specsim.algorithms.structures import Structure
from specsim.theory.programs.steps import ONE, ZERO, Law, Program, Row, Rows, Tokens, draw, normalised

NextRow = Callable[[Row, tuple[int, ...]], Row]
Pieces = tuple[frozenset[int], ...]


def program(structure: Structure, target: Rows, draft: Rows, tokens: Tokens) -> Program:
    """Follow the plan for children that were drawn independently."""
    return follow(structure, target, draft, tokens, _independent)


def follow(structure: Structure, target: Rows, draft: Rows, tokens: Tokens, next_row: NextRow) -> Program:
    """Follow the plan at each node; `next_row` is the law of the next child after those before it."""
    node = 0
    while children := structure.children(node):
        law, left = plan(tuple(target[node]), tuple(draft[node]), len(children), next_row)
        pieces = yield law
        drawn = tuple(tokens[child] for child in children)
        token = taken(pieces, drawn)
        if token is None:
            final = yield draw(normalised(left))
            return node, final
        node = children[drawn.index(token)]
    return node, None


def taken(pieces: Pieces, drawn: tuple[int, ...]) -> int | None:
    """Return the first child of the first piece that has one."""
    return next((x for piece in pieces for x in drawn if x in piece), None)


@lru_cache(maxsize=4096)
def plan(
    target: tuple[Fraction, ...], draft: tuple[Fraction, ...], children: int, next_row: NextRow
) -> tuple[Law, Row]:
    """Return the law of the pieces, and what is left of the target, looking at all sets of tokens."""
    vocabulary = range(len(target))
    drafts = [
        (drawn, _chance(list(draft), drawn, next_row)) for drawn in product(vocabulary, repeat=children)
    ]
    # How often a child is in a set.
    held = {
        frozenset(some): sum((mass for drawn, mass in drafts if {*drawn} & {*some}), ZERO)
        for size in vocabulary
        for some in combinations(vocabulary, size + 1)
    }
    wanted = [ZERO for _ in vocabulary]
    for x in sorted(vocabulary, key=lambda y: (-target[y] / draft[y] if draft[y] else ONE, y)):
        wanted[x] = min(target[x], *(most - _sum(wanted, some) for some, most in held.items() if x in some))
    left = [t - w for t, w in zip(target, wanted, strict=True)]
    pieces: Pieces = ()
    rest, law = ONE, []
    while True:
        now = [sum((mass for drawn, mass in drafts if taken(pieces, drawn) == y), ZERO) for y in vocabulary]
        gaps = {some: gap for some, most in held.items() if (gap := most - _sum(now, some))}
        # How much finer pieces have to do with, so that no set wants more than it can have.
        shares = [(_sum(wanted, some) - _sum(now, some)) / gap for some, gap in gaps.items()]
        share = max(shares, default=ZERO)
        law.append((pieces, rest * (1 - share)))
        if not share:
            return law, left
        rest *= share
        wanted = [n + (w - n) / share for w, n in zip(wanted, now, strict=True)]
        for some in [some for some, most in held.items() if _sum(wanted, some) == most]:
            behind = frozenset(vocabulary).difference(*pieces)
            parts = [part for piece in pieces for part in (piece & some, piece - some)]
            pieces = tuple(part for part in (*parts, behind & some) if part)


def _sum(row: Row, some: frozenset[int]) -> Fraction:
    return sum((row[y] for y in some), ZERO)


def _chance(draft: Row, drawn: tuple[int, ...], next_row: NextRow) -> Fraction:
    chance = ONE
    for k, token in enumerate(drawn):
        chance *= next_row(draft, drawn[:k])[token]
    return chance


def _independent(row: Row, before: tuple[int, ...]) -> Row:
    return row
