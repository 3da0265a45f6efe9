"""Random words, and draws of tokens from them.

Every node of a round has its own Philox block, so that what a run does is a function of (seed, run,
position of the round, node) and of nothing else. Of the block of a drafted node, the first 64 bits draft its
token, exactly from the integer weights of the draft row, and 53 of the others are its coin. The block of the
root serves the final draw of the round: its first 64 bits a token of the target, 53 of the others the coin
of a replacement. Further blocks of a node serve what needs more words.

Counter: ``(node + block mod 2^12 * 2^20, 3 * 2^30 + slot + block div 2^12 * 2^24, run mod 2^32, run div
2^32)``, where slot 0 is the prompt's and slot s + 1 that of a round which begins at position s; key: the
seed. No other engine uses these counters.
"""

import inspect
from typing import Any

import numpy as np

from specsim.engines.compiled.philox import philox as compiled_philox
from specsim.engines.literal.compiling import helper

_LOW = np.uint64(0xFFFFFFFF)
_11, _12, _20, _24, _32 = (np.uint64(bits) for bits in (11, 12, 20, 24, 32))
_ONE = np.uint64(1)
_WHOLE = np.uint64(1 << 32)
_FEW = np.uint64(0xFFF)
_FIRST_SLOT = np.uint64(3 << 30)
_UNIT = 2.0**-53

#: Ways of drawing the children of a node; the loop knows them by number.
DRAWINGS = ("independent", "distinct", "greedy", "own")


#: Four words of a counter; as a Python function, too.
philox = helper(inspect.unwrap(compiled_philox))


@helper
def words_at(key: Any, slot: Any, node: Any, block: Any) -> Any:
    """Return the words that a node of the round in another slot has."""
    number = np.uint64(block)
    w0, w1, w2, w3 = philox(
        np.uint64(node) | (number & _FEW) << _20, _FIRST_SLOT | slot | (number >> _12) << _24,
        key[1] & _LOW, key[1] >> _32, key[0] & _LOW, key[0] >> _32,
    )  # fmt: skip
    return (w0 << _32) | w1, (w2 << _32) | w3


@helper
def words(key: Any, node: Any, block: Any) -> Any:
    """Return the two 64-bit words of a block of a node; `key` is (seed, run, slot)."""
    return words_at(key, key[2], node, block)


@helper
def coin_of(word: Any) -> Any:
    """Return a multiple of 2^-53 in [0, 1) from the upper bits of a word."""
    return np.float64(word >> _11) * _UNIT


@helper
def draw_row(table: Any, row: Any, word: Any) -> Any:
    """Return the token in whose segment a 32-bit word lies: exactly by the integer weights of the row.

    The guide names the first token that can be meant by a word with these upper bits, so that a token
    without weight is never returned.
    """
    token = np.int64(table.guide[row, word >> table.shift])
    while word > table.last[row, token]:
        token += 1
    return token


@helper
def draw_untried(step: Any, table: Any, row: Any, node: Any, word: Any) -> Any:
    """Return a token of the draft row other than the tokens of the earlier siblings of `node`.

    Exactly by the weights that are left, or uniform when none is left: a number below their sum is drawn
    and moved over the segments of the tried tokens.
    """
    tried = range(step.first[step.parent[node]], node)
    left = _WHOLE
    for sibling in tried:
        left -= np.uint64(step.draft[row, step.token[sibling]] * 4294967296.0)
    uniform = left == np.uint64(0)
    if uniform:
        left = np.uint64(step.draft.shape[1] - len(tried))
    # Lemire (1805.10941): all numbers are equally likely among the words that are kept.
    product = (word >> _32) * left
    block = 0
    while (product & _LOW) < _WHOLE % left:
        block += 1
        word, _ = words(step.key, node, block)
        product = (word >> _32) * left
    number = product >> _32
    place, moved = number, True
    while moved:
        begin, place = place, number
        for sibling in tried:
            token = step.token[sibling]
            weight = np.uint64(step.draft[row, token] * 4294967296.0)
            start = np.uint64(table.last[row, token]) + _ONE - weight
            if uniform:
                weight, start = _ONE, np.uint64(token)
            if start <= begin:
                place += weight
        moved = place != begin
    return np.int64(place) if uniform else draw_row(table, row, place)


@helper
def draft(step: Any, models: Any, drawing: Any, propose: Any, nodes: Any, position: Any) -> None:
    """Draft the tokens of all nodes of a round, and toss their coins."""
    for node in range(1, nodes):
        parent = step.parent[node]
        row = step.row[parent]
        word, other = words(step.key, node, 0)
        step.coin[node] = coin_of(other)
        if drawing == 0:
            token = draw_row(models.draft, row, word >> _32)
        elif drawing == 1:
            token = draw_untried(step, models.draft, row, node, word)
        elif drawing == 2:
            token = models.likeliest[row, node - step.first[parent]]
        else:
            token = propose(step, node)
        step.token[node] = token
        context = models.next_context[models.context[parent], token]
        models.context[node] = context
        step.row[node] = models.offset[position + models.depth[node]] + context
