"""Inverse distribution functions of integer rows: guides for the many words, an exact walk for the few.

The inverse at a word is the atom (a token, or something finer) whose segment holds the word, segments lying
in the order of the atoms. A guide divides the words into cells. The entry of a cell holds the first atom that
any of its words can mean, the last of its words that means this atom, and how far away the next atom is; an
entry that cannot say it all (three atoms in the cell, too wide a leap) is marked, and `find` walks instead. A
guide changes the speed of a draw, never its result.

Bits of an entry, from the lowest: atom, last word within the cell, leap - 1, mark.
"""

import numpy as np

from specsim.engines.compiled.jit import inlined, kernel, lockstep

ONE = np.uint32(1)
ZERO = np.uint32(0)
MOST = np.uint32(0xFFFFFFFF)
#: Of an entry that does not tell the atom.
MARK = np.uint32(0x80000000)

_31 = np.uint32(31)
_LEAP = np.uint32(0x7FFFFFFF)


@lockstep
def fill_guide(weights, row, atom_bits, bits, last, entries):
    """Fill one row of a guide and return its shift: the number of low bits in which words of a cell differ.

    ``last[row, x + 1]`` becomes the last word of the segment of x, ``last[row, 0]`` is -1 modulo 2^32.
    """
    end = np.uint64(0)
    last[row, 0] = MOST
    for atom in range(weights.size):
        end += weights[atom]
        last[row, atom + 1] = end - np.uint64(1)
    cells = 1 << np.int64(bits)
    total = end
    shift = np.uint64(0)
    while (np.uint64(cells) << shift) < total:
        shift += np.uint64(1)
    leap_at = np.uint64(atom_bits) + np.uint64(32) - np.uint64(bits)
    leaps = np.uint64(1) << np.uint64(bits - atom_bits - ONE)
    atom = 0
    end = weights[0]
    for cell in range(cells):
        low = np.uint64(cell) << shift
        if low >= total:
            entries[row, cell] = MARK
            continue
        high = min(low + (np.uint64(1) << shift), total) - np.uint64(1)
        while end <= low:
            atom += 1
            end += weights[atom]
        if end > high:
            entries[row, cell] = np.uint64(atom) | (high - low) << np.uint64(atom_bits)
            continue
        after = atom + 1
        while weights[after] == np.uint64(0):
            after += 1
        leap = np.uint64(after - atom - 1)
        if end + weights[after] <= high or leap >= leaps:
            entries[row, cell] = np.uint64(atom) | np.uint64(MARK)
        else:
            within = (end - np.uint64(1) - low) << np.uint64(atom_bits)
            entries[row, cell] = np.uint64(atom) | within | leap << leap_at
    return np.uint32(shift)


@kernel()
def build_rows(
    draft, accepted, residual, shared, token_bits, bits,
    last, entries, slides, residual_last, residual_entries, residual_shifts, weights,
):  # fmt: skip
    """Lay out rows for drafting and testing by one word, and with `shared` for replacing by it.

    With P the draft weights, A <= P the accepted ones and C the sums of P over all tokens before, token x is
    drafted by the words from C_x on, and accepted by the first A_x of them: atom 2 x, the others are 2 x + 1.
    With E the sums of P - A over all tokens before, the rejected words of x slide to the positions from E_x
    on, so that all rejected words together fill 0 .. R - 1, which the guide of `residual` maps to tokens.

    `weights` is working space, two places per token.
    """
    rows, tokens = draft.shape
    for row in range(rows):
        begin = np.uint64(0)
        lost = np.uint64(0)
        for token in range(tokens):
            rejected = draft[row, token] - accepted[row, token]
            weights[2 * token] = accepted[row, token]
            weights[2 * token + 1] = rejected
            if shared:
                slides[row, token] = lost - begin - accepted[row, token]
            begin += draft[row, token]
            lost += rejected
        fill_guide(weights, row, np.uint32(token_bits + ONE), bits, last, entries)
        if shared:
            residual_shifts[row] = fill_guide(
                residual[row], row, token_bits, bits, residual_last, residual_entries
            )


@inlined
def look_up(entry, word, shift, atom_bits, bits):
    """Return the atom that an entry without mark gives for a word of its cell."""
    width = np.uint32(np.uint32(32) - bits)
    low = np.uint32(word & np.uint32(np.uint32(ONE << np.uint32(shift & _31)) - ONE))
    mask = np.uint32(np.uint32(ONE << np.uint32(width & _31)) - ONE)
    within = np.uint32(np.uint32(entry >> np.uint32(atom_bits & _31)) & mask)
    leap = np.uint32(np.uint32(entry & _LEAP) >> np.uint32(np.uint32(width + atom_bits) & _31))
    atom = np.uint32(entry & np.uint32(np.uint32(ONE << np.uint32(atom_bits & _31)) - ONE))
    return np.uint32(np.uint32(atom + leap) + ONE) if low > within else atom


@inlined
def find(last, entries, shift, atom_bits, bits, row, word):
    """Return the atom of a word that lies below the sum of the row, by walking from the first of its cell."""
    mask = np.uint32(np.uint32(ONE << np.uint32(atom_bits & _31)) - ONE)
    cell = np.uint64(np.uint64(row) << np.uint64(bits)) | np.uint64(np.uint64(word) >> np.uint64(shift))
    atom = np.uint64(entries[cell] & mask)
    while np.uint32(word) > last[row, atom + np.uint64(1)]:
        atom += np.uint64(1)
    return atom
