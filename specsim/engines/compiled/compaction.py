"""Lists of marked runs without branches, sixteen at a time where the processor can, else one at a time."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from specsim.engines.compiled.sizes import ROOM

_I16 = ir.IntType(16)
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_WORDS = ir.VectorType(_I32, ROOM)
_MASK = ir.VectorType(ir.IntType(1), ROOM)
_NUMBERS = ir.Constant(_WORDS, list(range(ROOM)))


def _splat(value):
    return ir.Constant(_WORDS, [value] * ROOM)


def broadcast(builder, value):
    """Return a register whose lanes all hold a 32-bit value."""
    first = builder.insert_element(ir.Constant(_WORDS, ir.Undefined), value, _I32(0))
    return builder.shuffle_vector(first, ir.Constant(_WORDS, ir.Undefined), ir.Constant(_WORDS, [0] * ROOM))


def _compress(builder, marks, source, target, size, kept=1, among=None):
    """Write and count the values (their numbers if `source` is None) whose lowest mark bit is `kept`.

    With `among`, an array and a boolean, only those whose place there holds a zero, or only the others.
    """
    # Looked at when compiling; the cache tells processors apart.
    from specsim.engines.compiled.cpu import wide_words

    found = cgutils.alloca_once_value(builder, _I64(0))

    def place(pointer, index, kind):
        return builder.bitcast(builder.gep(pointer, [index]), kind.as_pointer())

    if not wide_words():
        with cgutils.for_range(builder, size, intp=_I64) as loop:
            mark = builder.and_(builder.load(builder.gep(marks, [loop.index])), _I32(1))
            mark = builder.xor(mark, _I32(1 - kept))
            if among is not None:
                value = builder.load(builder.gep(among[0], [loop.index]))
                fits = builder.icmp_unsigned("==", builder.icmp_unsigned("==", value, _I32(0)), among[1])
                mark = builder.and_(mark, builder.zext(fits, _I32))
            value = (
                builder.trunc(loop.index, _I32)
                if source is None
                else builder.load(builder.gep(source, [loop.index]))
            )
            builder.store(value, builder.gep(target, [builder.load(found)]))
            builder.store(builder.add(builder.load(found), builder.zext(mark, _I64)), found)
        return builder.load(found)

    compress = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(_WORDS, [_WORDS, _WORDS, _MASK]),
        "llvm.x86.avx512.mask.compress.v16i32",
    )
    groups = builder.udiv(builder.add(size, _I64(ROOM - 1)), _I64(ROOM))
    limit = broadcast(builder, builder.trunc(size, _I32))
    with cgutils.for_range(builder, groups, intp=_I64) as loop:
        at = builder.mul(loop.index, _I64(ROOM))
        numbers = builder.add(_NUMBERS, broadcast(builder, builder.trunc(at, _I32)))
        mark = builder.and_(builder.load(place(marks, at, _WORDS), align=4), _splat(1))
        chosen = builder.and_(
            builder.icmp_unsigned("==", mark, _splat(kept)), builder.icmp_unsigned("<", numbers, limit)
        )
        if among is not None:
            zero = builder.icmp_unsigned("==", builder.load(place(among[0], at, _WORDS), align=4), _splat(0))
            chosen = builder.and_(chosen, builder.select(among[1], zero, builder.not_(zero)))
        values = numbers if source is None else builder.load(place(source, at, _WORDS), align=4)
        packed = builder.call(compress, [values, _splat(0), chosen])
        count = builder.load(found)
        builder.store(packed, place(target, count, _WORDS), align=4)
        new = builder.zext(builder.ctpop(builder.bitcast(chosen, _I16)), _I64)
        builder.store(builder.add(count, new), found)
    return builder.load(found)


def _pointer(context, builder, kind, value):
    return context.make_array(kind)(context, builder, value).data


@intrinsic
def list_marked(typing_context, marks, numbers, size):
    """Write the numbers of the odd ones among the first `size` marks, and return how many there are.

    `marks` must be readable up to the next multiple of `ROOM`, `numbers` must have `ROOM` words more than it
    can hold numbers.
    """

    def codegen(context, builder, signature, arguments):
        pointers = [_pointer(context, builder, signature.args[k], arguments[k]) for k in range(2)]
        return _compress(builder, pointers[0], None, pointers[1], arguments[2])

    return types.int64(marks, numbers, types.int64), codegen


@intrinsic
def list_marked_among(typing_context, marks, phases, zero, numbers, size):
    """List marks as `list_marked` does: with `zero`, only where the phase is 0, else only where it is not.

    `phases` must be readable as far as `marks`.
    """

    def codegen(context, builder, signature, arguments):
        marks, phases, numbers = (
            _pointer(context, builder, signature.args[k], arguments[k]) for k in (0, 1, 3)
        )
        among = (phases, builder.icmp_unsigned("!=", arguments[2], arguments[2].type(0)))
        return _compress(builder, marks, None, numbers, arguments[4], among=among)

    return types.int64(marks, phases, types.boolean, numbers, types.int64), codegen


@intrinsic
def keep_marked(typing_context, marks, values, size):
    """Move those among the first `size` values whose mark is odd to the front, and return how many there are.

    Both must have `ROOM` words beyond `size`.
    """

    def codegen(context, builder, signature, arguments):
        marks, values = (_pointer(context, builder, signature.args[k], arguments[k]) for k in range(2))
        return _compress(builder, marks, values, values, arguments[2])

    return types.int64(marks, values, types.int64), codegen


@intrinsic
def append_others(typing_context, marks, values, target, offset, size):
    """Write and count those of the first `size` values whose mark is even, to `target` from `offset` on."""

    def codegen(context, builder, signature, arguments):
        marks, values, target = (
            _pointer(context, builder, signature.args[k], arguments[k]) for k in range(3)
        )
        return _compress(builder, marks, values, builder.gep(target, [arguments[3]]), arguments[4], kept=0)

    return types.int64(marks, values, target, types.int64, types.int64), codegen
