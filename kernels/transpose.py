"""Rows of a table into lanes: a transposition in registers, and the row brought nearer beforehand."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .simd import WIDTH, at_pointer

I32 = ir.IntType(32)
LINE_BYTES = 64


def _shuffle(builder, a, b, lanes):
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(lanes)), lanes))


def _side_by_side(builder, rows):
    """Four short vectors as one."""
    n = rows[0].type.count
    pairs = [_shuffle(builder, rows[k], rows[k + 1], list(range(2 * n))) for k in (0, 2)]
    return _shuffle(builder, *pairs, list(range(4 * n)))


def _interleaved(builder, a, b, size, high):
    """Within each group of four numbers: pieces of `size` of a and of b in turn, from its lower or higher half."""
    lanes = []
    for group in range(0, WIDTH, 4):
        half = group + 2 * high
        for piece in range(0, 2, size):
            lanes += [half + piece + k for k in range(size)] + [WIDTH + half + piece + k for k in range(size)]
    return _shuffle(builder, a, b, lanes)


@intrinsic
def transpose4(typingctx, table, index, b, lane, out):
    """out[i, lane:lane+16] <- table[index[b, lane:lane+16], i] for all columns, of which there are at least four."""

    def codegen(context, builder, sig, args):
        table_type, index_type, _, _, out_type = sig.args
        source = context.make_array(table_type)(context, builder, args[0])
        columns = cgutils.unpack_tuple(builder, source.shape, 2)[1]
        element = context.get_data_type(table_type.dtype)
        four = ir.VectorType(element, 4)
        starts = []
        for k in range(WIDTH):
            which = at_pointer(context, builder, index_type, args[1], args[2], builder.add(args[3], columns.type(k)))
            sample = builder.load(which)
            row = builder.zext(sample, columns.type)
            starts.append(at_pointer(context, builder, table_type, args[0], row, columns.type(0)))
        blocks = builder.sdiv(builder.add(columns, columns.type(3)), columns.type(4))
        last = builder.sub(columns, columns.type(4))
        align = table_type.dtype.bitwidth // 8
        with cgutils.for_range(builder, blocks) as loop:
            i = builder.mul(loop.index, columns.type(4))
            i = builder.select(builder.icmp_signed("<", i, last), i, last)
            rows = [builder.bitcast(builder.gep(start, [i]), four.as_pointer()) for start in starts]
            rows = [builder.load(pointer, align=align) for pointer in rows]
            # register m holds rows m, 4 + m, 8 + m, 12 + m; then 4 x 4 transpositions within its quarters
            q = [_side_by_side(builder, rows[m::4]) for m in range(4)]
            t = [_interleaved(builder, q[m], q[m + 1], 1, high) for m in (0, 2) for high in (0, 1)]
            columns4 = [_interleaved(builder, t[half], t[2 + half], 2, high) for half in (0, 1) for high in (0, 1)]
            for k, column in enumerate(columns4):
                target = at_pointer(context, builder, out_type, args[4], builder.add(i, columns.type(k)), args[3])
                builder.store(column, builder.bitcast(target, column.type.as_pointer()), align=align)
        return context.get_dummy_value()

    return types.none(table, index, types.intp, types.intp, out), codegen


@intrinsic
def prefetch(typingctx, table, row):
    """Have a row of a table brought into the cache."""

    def codegen(context, builder, sig, args):
        columns = cgutils.unpack_tuple(builder, context.make_array(sig.args[0])(context, builder, args[0]).shape, 2)[1]
        per_line = columns.type(LINE_BYTES * 8 // sig.args[0].dtype.bitwidth)
        start = at_pointer(context, builder, sig.args[0], args[0], args[1], columns.type(0))
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, I32, I32, I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        lines = builder.add(builder.sdiv(columns, per_line), columns.type(1))
        with cgutils.for_range(builder, lines) as loop:
            pointer = builder.bitcast(builder.gep(start, [builder.mul(loop.index, per_line)]), cgutils.voidptr_t)
            builder.call(function, [pointer, I32(0), I32(3), I32(1)])
        return context.get_dummy_value()

    return types.none(table, types.intp), codegen
