"""The alias engine for vocabularies of at most 8 tokens: tables in registers instead of memory.

A table of 8 rows and 16 columns is 128 entries: four byte planes of 128 bytes, each in two 512-bit registers.
One instruction looks up a byte for 64 runs, so that four of them do what takes 64 loads otherwise. Random
words are turned into byte planes as well, by four-by-four transpositions, and compared byte by byte.

Runs lie in groups of 64: byte ``4 * i + j`` of a group belongs to run ``16 * j + i`` of it.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from specsim.engines.compiled.jit import kernel, lockstep
from specsim.engines.compiled.sizes import ALIAS_BLOCK as BLOCK, PACK
from specsim.engines.compiled.words import fill, start, until_carry

_GROUP = 64
#: Rejections are counted in bytes, moved on before they could overflow.
_FLUSH = 252
_COUNTED = 7


_I1 = ir.IntType(1)
_I8 = ir.IntType(8)
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_BYTES = ir.VectorType(_I8, 64)
_WORDS = ir.VectorType(_I32, 16)
_SUMS = ir.VectorType(_I64, 8)


def _splat(value, vector=_BYTES):
    return ir.Constant(vector, [value] * vector.count)


class _Step:
    """Emits the instructions of one step; `rooted` tables have 16 rows, the last 8 after rejections."""

    def __init__(self, builder, rooted):
        self.builder = builder
        self.rooted = rooted
        module = builder.module
        self.permute = cgutils.get_or_insert_function(
            module,
            ir.FunctionType(_BYTES, [_BYTES, _BYTES, _BYTES]),
            "llvm.x86.avx512.vpermi2var.qi.512",
        )
        self.add_bytes = cgutils.get_or_insert_function(
            module, ir.FunctionType(_SUMS, [_BYTES, _BYTES]), "llvm.x86.avx512.psad.bw.512"
        )

    def load(self, pointer, index, vector):
        place = self.builder.gep(pointer, [index])
        return self.builder.load(self.builder.bitcast(place, vector.as_pointer()), align=4)

    def store(self, value, pointer, index):
        place = self.builder.gep(pointer, [index])
        self.builder.store(value, self.builder.bitcast(place, value.type.as_pointer()), align=4)

    def tables(self, planes):
        """Load the four byte planes; each is two registers, or four if rooted."""
        registers = 4 if self.rooted else 2
        return [
            [self.load(planes, _I64((plane * registers + part) * 64), _BYTES) for part in range(registers)]
            for plane in range(4)
        ]

    def byte_planes(self, words):
        """Transpose four registers of words to four registers of bytes, the lowest bytes first."""
        b = self.builder
        low, high = _splat(0x0000FFFF, _WORDS), _splat(0xFFFF0000, _WORDS)
        even, odd = _splat(0x00FF00FF, _WORDS), _splat(0xFF00FF00, _WORDS)

        def merge(first, second, mask_1, mask_2):
            return b.or_(b.and_(first, mask_1), b.and_(second, mask_2))

        def up(value, bits):
            return b.shl(value, _splat(bits, _WORDS))

        def down(value, bits):
            return b.lshr(value, _splat(bits, _WORDS))

        lows = [merge(words[j], up(words[j + 2], 16), low, high) for j in (0, 1)]
        highs = [merge(down(words[j], 16), words[j + 2], low, high) for j in (0, 1)]
        planes = []
        for first, second in (lows, highs):
            planes.append(merge(first, up(second, 8), even, odd))
            planes.append(merge(down(first, 8), second, even, odd))
        return [b.bitcast(plane, _BYTES) for plane in planes]

    def look_up(self, registers, index):
        found = self.builder.call(self.permute, [registers[0], index, registers[1]])
        if self.rooted:
            other = self.builder.call(self.permute, [registers[2], index, registers[3]])
            upper = self.builder.icmp_signed("<", index, _splat(0))
            found = self.builder.select(upper, other, found)
        return found

    def decide(self, tables, words, base):
        """Return the atoms of 64 runs whose tables begin at `base`."""
        b = self.builder
        planes = self.byte_planes(words)
        column = b.and_(planes[0], _splat(15))
        index = b.or_(base, column)
        entries = [self.look_up(registers, index) for registers in tables]
        # Of the lowest bytes only the upper halves are compared: the lower ones are column and alias.
        own = b.icmp_unsigned("<", b.or_(planes[0], _splat(15)), entries[0])
        for plane in (1, 2, 3):
            same = b.icmp_unsigned("==", planes[plane], entries[plane])
            below = b.icmp_unsigned("<", planes[plane], entries[plane])
            own = b.or_(below, b.and_(same, own))
        return b.select(own, column, b.and_(entries[0], _splat(15)))

    def next_base(self, atoms):
        """Return where the tables of the next tokens begin: 16 entries per row."""
        b = self.builder
        kept = _splat(0xF0 if self.rooted else 0x70)
        moved = b.shl(b.bitcast(atoms, _WORDS), _splat(4, _WORDS))
        return b.and_(b.bitcast(moved, _BYTES), kept)

    def total(self, counts):
        """Add up 64 bytes."""
        b = self.builder
        sums = b.call(self.add_bytes, [counts, _splat(0)])
        total = _I64(0)
        for lane in range(8):
            total = b.add(total, b.extract_element(sums, _I32(lane)))
        return total


def _step_intrinsic(rooted):
    def codegen(context, builder, signature, arguments):
        arrays = [
            context.make_array(kind)(context, builder, value).data
            for kind, value in zip(signature.args[:5], arguments[:5], strict=True)
        ]
        words, planes, base, rejections, counts = arrays
        groups, tail = arguments[5:]
        emit = _Step(builder, rooted)
        tables = emit.tables(planes)
        total = cgutils.alloca_once_value(builder, _I64(0))
        tokens = [cgutils.alloca_once_value(builder, _splat(0)) for _ in range(_COUNTED)]

        def advance(group, valid):
            at = builder.mul(group, _I64(16))
            first = builder.mul(group, _I64(64))
            chosen = [emit.load(words, builder.add(first, _I64(16 * j)), _WORDS) for j in range(4)]
            atoms = emit.decide(tables, chosen, emit.load(base, at, _BYTES))
            emit.store(emit.next_base(atoms), base, at)
            rejected = builder.icmp_unsigned("!=", builder.and_(atoms, _splat(8)), _splat(0))
            token = builder.and_(atoms, _splat(7))
            if valid is not None:
                rejected = builder.and_(rejected, valid)
                token = builder.select(valid, token, _splat(255))
            before = emit.load(rejections, at, _BYTES)
            emit.store(builder.add(before, builder.zext(rejected, _BYTES)), rejections, at)
            new = builder.ctpop(builder.bitcast(rejected, _I64))
            builder.store(builder.add(builder.load(total), new), total)
            for number, slot in enumerate(tokens):
                met = builder.icmp_unsigned("==", token, _splat(number))
                builder.store(builder.add(builder.load(slot), builder.zext(met, _BYTES)), slot)

        with cgutils.for_range(builder, groups, intp=_I64) as loop:
            advance(loop.index, None)
        with builder.if_then(builder.icmp_unsigned("!=", tail, _I64(0)), likely=False):
            advance(groups, builder.bitcast(tail, ir.VectorType(_I1, 64)))
        for number, slot in enumerate(tokens):
            place = builder.gep(counts, [_I64(number)])
            builder.store(emit.total(builder.load(slot)), place)
        return builder.load(total)

    @intrinsic
    def step(typing_context, words, planes, base, rejections, counts, groups, tail):
        """Emit one token per run; returns the rejections and stores the counts of tokens 0 to 6.

        `groups` whole groups are followed by one of which only the runs with a bit in `tail` exist.
        """
        signature = types.int64(words, planes, base, rejections, counts, types.int64, types.uint64)
        return signature, codegen

    return step


step_plain = _step_intrinsic(rooted=False)
step_rooted = _step_intrinsic(rooted=True)


@lockstep
def to_lanes(rows, base):
    """Lay out the first rows of runs as bytes, 16 entries per row."""
    for group in range(rows.size // _GROUP):
        for i in range(16):
            lane = np.uint32(0)
            for j in range(4):
                row = np.uint32(rows[group * _GROUP + 16 * j + i] & np.uint32(15))
                lane |= np.uint32(row << np.uint32(8 * j + 4))
            base[group * 16 + i] = lane


@lockstep
def from_lanes(lanes, shift, values):
    """Add the bytes of runs, shifted down, to `values`."""
    for group in range(values.size // _GROUP):
        for j in range(4):
            down = np.uint32(8 * j) + shift
            mask = np.uint32(np.uint32(255) >> shift)
            for i in range(16):
                value = np.uint32(np.uint32(lanes[group * 16 + i] >> down) & mask)
                values[group * _GROUP + 16 * j + i] = np.uint32(values[group * _GROUP + 16 * j + i] + value)


@lockstep
def tail_lanes(runs):
    """Return the bits of the runs that exist in a group of which only `runs` exist."""
    bits = np.uint64(0)
    for run in range(runs):
        bits |= np.uint64(1) << np.uint64(4 * (run & 15) + (run >> 4))
    return bits


@kernel(distinct=True)
def advance_permuted(work, prompt, planes, rooted, row, rejections, counts, rejection_count, room, met):
    """Do what `specsim.engines.alias.kernels.rejections.advance_rejections` does, with equal results.

    Rows are numbered ``token``, and with `rooted` ``token + 8`` for first positions of a round. Planes hold,
    per step, the lowest bytes of all entries, then the next, to the highest. `room` (`PERMUTE_SPACE`) and
    `met` (8) are working space.
    """
    seed, runs, begin, end = work.seed, work.runs, work.begin, work.end
    token_count, by_step = counts.tokens, counts.rejections_by_step
    words = room[:PACK]
    rows = room[PACK]
    seen = room[PACK + 1]
    base = room[PACK + 2, : BLOCK // 4]
    marks = room[PACK + 2, BLOCK // 4 : BLOCK // 2]
    tokens = token_count.shape[1]
    first_row = np.uint32(8 if rooted else 0)
    low = 0
    while low < runs:
        run = work.first_run + np.uint64(low)
        size = until_carry(run, min(BLOCK, runs - low))
        groups = size // _GROUP
        tail = tail_lanes(size - groups * _GROUP)
        padded = (size + _GROUP - 1) // _GROUP * _GROUP
        marks[:] = 0
        seen[:] = 0
        if begin == 0:
            fill(words, 0, size, seed, run, np.uint64(0))
            start(words[0], prompt.entries, prompt.bits, rows[:size])
            for i in range(size):
                rows[i] = np.uint32(rows[i] + first_row)
        else:
            for i in range(size):
                rows[i] = row[low + i]
            if (begin + 1) % PACK:
                fill(words, 0, size, seed, run, np.uint64((begin + 1) // PACK))
        to_lanes(rows[:padded], base)
        for step in range(begin, end):
            position = step + 1
            if position % PACK == 0:
                fill(words, 0, size, seed, run, np.uint64(position // PACK))
            table = planes[0 if planes.shape[0] == 1 else step - begin]
            if rooted:
                by_step[step] += step_rooted(words[position % PACK], table, base, marks, met, groups, tail)
            else:
                by_step[step] += step_plain(words[position % PACK], table, base, marks, met, groups, tail)
            rest = size
            for token in range(min(tokens, _COUNTED)):
                token_count[step, token] += met[token]
                rest -= met[token]
            if tokens > _COUNTED:
                token_count[step, _COUNTED] += rest
            if (step - begin) % _FLUSH == _FLUSH - 1:
                from_lanes(marks, np.uint32(0), seen[:padded])
                marks[:] = 0
        from_lanes(marks, np.uint32(0), seen[:padded])
        if end < work.horizon:
            rows[:padded] = 0
            from_lanes(base, np.uint32(4), rows[:padded])
            for i in range(size):
                row[low + i] = rows[i]
        for i in range(size):
            rejections[low + i] += seen[i]
        if end == work.horizon:
            for i in range(size):
                rejection_count[np.uint64(rejections[low + i])] += 1
        low += size
