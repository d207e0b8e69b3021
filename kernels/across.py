"""What the kernels need that put the parameters of one chip, and not chips, into the lanes of a vector.

Signs of a perturbation stand as bits in memory, parameter p in bit p & 31 of word p >> 5 counted from the least
significant: turned round against the stream's order, so that 16 neighbouring bits are the mask of a vector.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .simd import WIDTH, Vec

I8, I16, I32 = ir.IntType(8), ir.IntType(16), ir.IntType(32)


def _mask(lanes):
    return ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes))


def _element_pointer(context, builder, array_type, array, row, column):
    view = context.make_array(array_type)(context, builder, array)
    return cgutils.get_item_pointer(
        context, builder, array_type, view, [row, column], wraparound=False, boundscheck=False
    )


@intrinsic
def ramp(typingctx):
    """0, 1, .. 15 as uint64."""

    def codegen(context, builder, sig, args):
        return ir.Constant(ir.VectorType(ir.IntType(64), WIDTH), list(range(WIDTH)))

    return Vec(types.uint64)(), codegen


@intrinsic
def sum_lanes(typingctx, a):
    """The sum of the 16 lanes, always in the same order: halves onto each other."""

    def codegen(context, builder, sig, args):
        value, half = args[0], WIDTH // 2
        while half:
            low = builder.shuffle_vector(value, value, _mask(range(half)))
            high = builder.shuffle_vector(value, value, _mask(range(half, 2 * half)))
            value, half = builder.fadd(low, high), half // 2
        return builder.extract_element(value, ir.Constant(I32, 0))

    return a.dtype(a), codegen


@intrinsic
def reversed_bits(typingctx, a):
    """Each uint32 with its bits in the opposite order."""

    def codegen(context, builder, sig, args):
        kind = args[0].type
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind]), f"llvm.bitreverse.v{WIDTH}i32"
        )
        return builder.call(function, [args[0]])

    return a(a), codegen


@intrinsic
def signs(typingctx, words, row, byte, shift):
    """Mask of the 16 bits of a row of words that begin `shift` < 8 bits after a byte: parameter p = 8 byte + shift on.

    words uint32[rows, > (p + 16)/32 + 1].
    """

    def codegen(context, builder, sig, args):
        zero = ir.Constant(args[1].type, 0)
        first = builder.bitcast(
            _element_pointer(context, builder, sig.args[0], args[0], args[1], zero), I8.as_pointer()
        )
        word = builder.load(builder.bitcast(builder.gep(first, [args[2]]), I32.as_pointer()), align=1)
        half = builder.trunc(builder.lshr(word, builder.trunc(args[3], I32)), I16)
        return builder.bitcast(half, ir.VectorType(ir.IntType(1), WIDTH))

    return Vec(types.boolean)(words, types.intp, types.intp, types.intp), codegen


@intrinsic
def store_turns(typingctx, array, row, column, a, b, c, d):
    """array[row, column:column+64] = a[0], b[0], c[0], d[0], a[1], .."""

    def codegen(context, builder, sig, args):
        a, b, c, d = args[3:]
        pairs = _mask(range(2 * WIDTH))
        low, high = builder.shuffle_vector(a, b, pairs), builder.shuffle_vector(c, d, pairs)
        order = [WIDTH * r + lane for lane in range(WIDTH) for r in range(4)]
        whole = builder.shuffle_vector(low, high, _mask(order))
        pointer = _element_pointer(context, builder, sig.args[0], *args[:3])
        builder.store(whole, builder.bitcast(pointer, whole.type.as_pointer()), align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(array, types.intp, types.intp, a, b, c, d), codegen
