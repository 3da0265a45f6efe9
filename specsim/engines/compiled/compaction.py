"""Lists of marked runs without branches; those of all marks sixteen at a time where the processor can."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from specsim.engines.compiled.cpu import wide_words
from specsim.engines.compiled.jit import lockstep
from specsim.engines.compiled.sizes import ROOM

#: Looked at when compiling; the cache tells processors apart.
WIDE = wide_words()
_ONE = np.uint32(1)
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_WORDS = ir.VectorType(_I32, ROOM)
_MASK = ir.VectorType(ir.IntType(1), ROOM)


def _each(value):
    return ir.Constant(_WORDS, [value] * ROOM)


@intrinsic
def _list_registers(typing_context, marks, numbers, groups):
    """List the marks of whole registers by the instruction that writes the marked lanes alone."""

    def codegen(context, builder, signature, arguments):
        marks, numbers = (
            context.make_array(kind)(context, builder, value).data
            for kind, value in zip(signature.args[:2], arguments[:2], strict=True)
        )
        compress = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(_WORDS, [_WORDS, _WORDS, _MASK]),
            "llvm.x86.avx512.mask.compress.v16i32",
        )
        found = cgutils.alloca_once_value(builder, _I64(0))
        lanes = cgutils.alloca_once_value(builder, ir.Constant(_WORDS, list(range(ROOM))))
        with cgutils.for_range(builder, arguments[2], intp=_I64) as loop:
            pointer = builder.gep(marks, [builder.mul(loop.index, _I64(ROOM))])
            mark = builder.load(builder.bitcast(pointer, _WORDS.as_pointer()), align=4)
            chosen = builder.trunc(mark, _MASK)
            packed = builder.call(compress, [builder.load(lanes), _each(0), chosen])
            pointer = builder.gep(numbers, [builder.load(found)])
            builder.store(packed, builder.bitcast(pointer, _WORDS.as_pointer()), align=4)
            new = builder.zext(builder.ctpop(builder.bitcast(chosen, ir.IntType(16))), _I64)
            builder.store(builder.add(builder.load(found), new), found)
            builder.store(builder.add(builder.load(lanes), _each(ROOM)), lanes)
        return builder.load(found)

    return types.int64(marks, numbers, types.int64), codegen


@lockstep
def list_marked(marks, numbers, size):
    """Write the numbers of the odd ones among the first `size` marks, and return how many there are.

    `numbers` must have `ROOM` words more than it can hold numbers.
    """
    groups = size // ROOM if WIDE else 0
    found = _list_registers(marks, numbers, groups) if WIDE else 0
    for i in range(groups * ROOM, size):
        numbers[found] = np.uint32(i)
        found += np.int64(marks[i] & _ONE)
    return found


@lockstep
def list_marked_among(marks, phases, zero, chosen, numbers, size):
    """List marks as `list_marked` does: with `zero`, only where the phase is 0, else only where it is not.

    `chosen` is working space for `size` words.
    """
    for i in range(size):
        chosen[i] = marks[i] if (phases[i] == 0) == zero else np.uint32(0)
    return list_marked(chosen, numbers, size)


@lockstep
def keep_marked(marks, values, size):
    """Move those among the first `size` values whose mark is odd to the front; return how many there are."""
    found = 0
    for i in range(size):
        values[found] = values[i]
        found += np.int64(marks[i] & _ONE)
    return found


@lockstep
def append_others(marks, values, target, offset, size):
    """Write and count those of the first `size` values whose mark is even, to `target` from `offset` on."""
    found = 0
    for i in range(size):
        target[offset + found] = values[i]
        found += np.int64(~marks[i] & _ONE)
    return found
