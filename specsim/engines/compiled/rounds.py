"""Ends of rounds: target calls, and the accepted lengths of all rounds and of first ones.

The rounds of a block of runs are counted in a table of accepted lengths by runs, so that sums of squares per
run can be formed when the runs are over.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from specsim.engines.compiled.compaction import broadcast
from specsim.engines.compiled.jit import lockstep
from specsim.engines.compiled.sizes import BLOCK, ROOM

ZERO = np.uint32(0)
ONE = np.uint32(1)

_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_WORDS = ir.VectorType(_I32, ROOM)
_MASK = ir.VectorType(ir.IntType(1), ROOM)


@lockstep
def note_rounds(ended, length, calls, first):
    """Add the rounds that have ended to the calls of the runs, and note the lengths of first ones."""
    for i in range(ended.size):
        # Sums and products only, or LLVM chooses between addresses, one run at a time.
        begun = ended[i] if calls[i] == ZERO else ZERO
        first[i] = np.uint32(first[i] + np.uint32(length[i] * begun))
        calls[i] = np.uint32(calls[i] + ended[i])


@lockstep
def mark_open(phase, whole, ended):
    """Mark the runs that are inside a round, which the horizon ends."""
    for i in range(ended.size):
        ended[i] = ONE if (phase[i] != ZERO and phase[i] != whole) else ZERO


@intrinsic
def add_lengths(typing_context, table, listed, length, count):
    """Add one at ``table[length[i], i]`` for the first `count` listed runs i, which must be distinct.

    `listed` must be readable up to the next multiple of `ROOM`; the table has `BLOCK` runs.
    """

    def codegen(context, builder, signature, arguments):
        # Looked at when compiling; the cache tells processors apart.
        from specsim.engines.compiled.cpu import wide_words

        table, listed, length = (
            context.make_array(signature.args[k])(context, builder, arguments[k]).data for k in range(3)
        )
        count = arguments[3]
        if not wide_words():
            with cgutils.for_range(builder, count, intp=_I64) as loop:
                run = builder.zext(builder.load(builder.gep(listed, [loop.index])), _I64)
                line = builder.zext(builder.load(builder.gep(length, [run])), _I64)
                place = builder.gep(table, [builder.add(builder.mul(line, _I64(BLOCK)), run)])
                builder.store(builder.add(builder.load(place), _I32(1)), place)
            return context.get_dummy_value()
        byte = ir.IntType(8).as_pointer()
        kinds = [_WORDS, byte, _WORDS, _MASK, _I32]
        gather = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_WORDS, kinds), "llvm.x86.avx512.mask.gather.dpi.512"
        )
        scatter = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte, _MASK, _WORDS, _WORDS, _I32]),
            "llvm.x86.avx512.mask.scatter.dpi.512",
        )

        table, lengths = builder.bitcast(table, byte), builder.bitcast(length, byte)
        zeros, ones = ir.Constant(_WORDS, [0] * ROOM), ir.Constant(_WORDS, [1] * ROOM)
        numbers = ir.Constant(_WORDS, list(range(ROOM)))
        limit = broadcast(builder, builder.trunc(count, _I32))
        groups = builder.udiv(builder.add(count, _I64(ROOM - 1)), _I64(ROOM))
        with cgutils.for_range(builder, groups, intp=_I64) as loop:
            at = builder.mul(loop.index, _I64(ROOM))
            mask = builder.icmp_unsigned(
                "<", builder.add(numbers, broadcast(builder, builder.trunc(at, _I32))), limit
            )
            pointer = builder.bitcast(builder.gep(listed, [at]), _WORDS.as_pointer())
            runs = builder.load(pointer, align=4)
            lines = builder.call(gather, [zeros, lengths, runs, mask, _I32(4)])
            places = builder.add(builder.mul(lines, ir.Constant(_WORDS, [BLOCK] * ROOM)), runs)
            counts = builder.call(gather, [zeros, table, places, mask, _I32(4)])
            builder.call(scatter, [table, mask, places, builder.add(counts, ones), _I32(4)])
        return context.get_dummy_value()

    return types.void(table, listed, length, types.int64), codegen


@lockstep
def count_rounds(listed, step, length, rejected, whole, counts):
    """Count the rounds of listed runs, which end at a position, by first position and accepted length.

    A round is as long as its accepted draft, and one longer after a rejection or in plain decoding (`whole`
    is 0). Does nothing where `counts` is empty.
    """
    if counts.shape[0] == 0:
        return
    for k in range(listed.size):
        i = np.uint64(listed[k])
        accepted = np.int64(length[i])
        last = np.int64((rejected[i] != ZERO) | (whole == ZERO))
        counts[step + 1 - accepted - last, accepted] += 1


@lockstep
def sum_rounds(table, first, length_count, length_square, first_length):
    """Add up the rounds of a block of finished runs by accepted length, and the squares per run.

    Leaves the table empty.
    """
    rows, size = table.shape[0], first.size
    for i in range(size):
        first_length[first[i]] += 1
    # No run has more rounds than rows; sums of few rows fit in 32 bits, which takes half the time.
    narrow = rows * rows * BLOCK < 1 << 32
    for length in range(rows):
        if narrow:
            few = ZERO
            square_few = ZERO
            for i in range(size):
                rounds = table[length, i]
                few = np.uint32(few + rounds)
                square_few = np.uint32(square_few + np.uint32(rounds * rounds))
                table[length, i] = ZERO
            length_count[length] += np.int64(few)
            length_square[length] += np.int64(square_few)
        else:
            count = 0
            square = 0
            for i in range(size):
                many = np.int64(table[length, i])
                count += many
                square += many * many
                table[length, i] = ZERO
            length_count[length] += count
            length_square[length] += square
