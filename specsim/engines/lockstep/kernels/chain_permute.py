"""The literal step for at most 8 rows of at most 8 tokens: tables in registers instead of memory.

Sixteen runs at a time descend two binary trees, one of the ends of the tokens' segments in the draft row,
one in the residual row. A node is looked up by permuting registers. The index of a node is the row, in the
lowest three bits, and the branches taken so far, in the next ones, so that the upper bits of a leaf are those
of its token in reverse.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
#: Words of the tables of a step, and per later candidate; see `specsim.engines.lockstep.chain_trees`.
TABLE = 256
LEAVES = 64

_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_WORDS = ir.VectorType(_I32, LANES)


def _splat(value):
    return ir.Constant(_WORDS, [value] * LANES)


class _Emitter:
    """Emits the instructions of a step."""

    def __init__(self, builder, tables, parts=TABLE // LANES):
        self.builder = builder
        module = builder.module
        self.permute_one = cgutils.get_or_insert_function(
            module, ir.FunctionType(_WORDS, [_WORDS, _WORDS]), "llvm.x86.avx512.permvar.si.512"
        )
        self.permute_two = cgutils.get_or_insert_function(
            module, ir.FunctionType(_WORDS, [_WORDS, _WORDS, _WORDS]), "llvm.x86.avx512.vpermi2var.d.512"
        )
        registers = [self.load(tables, _I64(LANES * part)) for part in range(parts)]
        self.draft = registers[:4]
        self.cuts = registers[4:8]
        self.slides = registers[8:12]
        self.residual = registers[12:]

    def load(self, pointer, index):
        place = self.builder.gep(pointer, [index])
        return self.builder.load(self.builder.bitcast(place, _WORDS.as_pointer()), align=4)

    def store(self, value, pointer, index):
        place = self.builder.gep(pointer, [index])
        self.builder.store(value, self.builder.bitcast(place, _WORDS.as_pointer()), align=4)

    def descend(self, nodes, row, word, relation):
        """Return the index of the leaf, and whether the last branch was taken to the right."""
        b = self.builder
        index = row
        for level in range(3):
            if level < 2:
                border = b.call(self.permute_one, [nodes[level], index])
            else:
                border = b.call(self.permute_two, [nodes[2], index, nodes[3]])
            right = b.icmp_unsigned(relation, word, border)
            index = b.select(right, b.or_(index, _splat(8 << level)), index)
        return index, right

    def of_leaf(self, registers, leaf, right):
        """Look up one of 64 words."""
        b = self.builder
        low = b.call(self.permute_two, [registers[0], leaf, registers[1]])
        high = b.call(self.permute_two, [registers[2], leaf, registers[3]])
        return b.select(right, high, low)

    def token(self, leaf):
        """Return the tokens of leaves."""
        reverse = ir.Constant(_WORDS, [0, 4, 2, 6, 1, 5, 3, 7] * 2)
        return self.builder.call(self.permute_one, [reverse, self.builder.lshr(leaf, _splat(3))])

    def candidate(self, row, word, cuts):
        """Return the tokens of 16 runs, and 0 if they are accepted, 1 if rejected, 3 at the cut."""
        b = self.builder
        leaf, right = self.descend(self.draft, row, word, ">")
        cut = self.of_leaf(cuts, leaf, right)
        rejected = b.zext(b.icmp_unsigned(">", word, cut), _WORDS)
        return self.token(leaf), b.select(b.icmp_unsigned("==", word, cut), _splat(3), rejected)

    def step(self, row, word):
        """Return the tokens of 16 runs, and whether they were rejected."""
        b = self.builder
        leaf, right = self.descend(self.draft, row, word, ">")
        rejected = b.icmp_unsigned(">", word, self.of_leaf(self.cuts, leaf, right))
        position = b.add(word, self.of_leaf(self.slides, leaf, right))
        replaced, _ = self.descend(self.residual, row, position, ">=")
        return self.token(b.select(rejected, replaced, leaf)), rejected


def _pointers(context, builder, kinds, values):
    return [
        context.make_array(kind)(context, builder, value).data
        for kind, value in zip(kinds, values, strict=True)
    ]


@intrinsic
def step_permuted(typing_context, words, tables, rows, token, failed, groups):
    """Draft, test and replace for `groups` times 16 runs; as the gathering steps, with equal results."""
    signature = types.void(words, tables, rows, token, failed, types.int64)

    def codegen(context, builder, signature, arguments):
        # Looked at when compiling; the cache tells processors apart.
        from specsim.engines.compiled.cpu import permutes_words

        if not permutes_words():
            return context.get_dummy_value()
        words, tables, rows, token, failed = _pointers(context, builder, signature.args[:5], arguments[:5])
        emit = _Emitter(builder, tables)
        with cgutils.for_range(builder, arguments[5], intp=_I64) as loop:
            at = builder.mul(loop.index, _I64(LANES))
            emitted, rejected = emit.step(emit.load(rows, at), emit.load(words, at))
            emit.store(emitted, token, at)
            emit.store(builder.zext(rejected, _WORDS), failed, at)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def draft_permuted(typing_context, words, tables, cuts, rows, token, failed, slot, count, groups):
    """Draft and test `count` more candidates, from `slot` on, for `groups` times 16 runs.

    Equals `specsim.engines.lockstep.kernels.chain_steps.draft_candidates`.
    """
    signature = types.int64(words, tables, cuts, rows, token, failed, *[types.int64] * 3)

    def codegen(context, builder, signature, arguments):
        from specsim.engines.compiled.cpu import permutes_words

        if not permutes_words():
            return _I64(0)
        words, tables, cuts, rows, token, failed = _pointers(
            context, builder, signature.args[:6], arguments[:6]
        )
        wide = cgutils.unpack_tuple(
            builder, context.make_array(signature.args[0])(context, builder, arguments[0]).shape, 2
        )[1]
        emit = _Emitter(builder, tables, parts=4)
        seen = cgutils.alloca_once_value(builder, _splat(0))
        last_token = cgutils.alloca_once_value(builder, _splat(0))
        last_state = cgutils.alloca_once_value(builder, _splat(1))
        with cgutils.for_range(builder, arguments[8], intp=_I64) as loop:
            at = builder.mul(loop.index, _I64(LANES))
            row = emit.load(rows, at)
            builder.store(_splat(1), last_state)
            with cgutils.for_range(builder, arguments[7], intp=_I64) as inner:
                first = builder.mul(builder.add(arguments[6], inner.index), _I64(LEAVES))
                registers = [emit.load(cuts, builder.add(first, _I64(LANES * k))) for k in range(4)]
                word = emit.load(words, builder.add(builder.mul(inner.index, wide), at))
                drafted, state = emit.candidate(row, word, registers)
                before = builder.load(last_state)
                left = builder.icmp_unsigned("==", before, _splat(1))
                builder.store(builder.select(left, drafted, builder.load(last_token)), last_token)
                builder.store(builder.select(left, state, before), last_state)
            state = builder.load(last_state)
            emit.store(builder.load(last_token), token, at)
            emit.store(state, failed, at)
            builder.store(builder.or_(builder.load(seen), state), seen)
        open_tests = builder.icmp_unsigned(">", builder.load(seen), _splat(1))
        return builder.zext(builder.bitcast(open_tests, ir.IntType(LANES)), _I64)

    return signature, codegen
