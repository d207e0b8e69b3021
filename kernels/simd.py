"""Sixteen lanes in a register: explicit vectors, so that no loop depends on what the compiler finds.

A `Vec` holds 16 neighbouring lanes of a row of a C-contiguous 2-D array. With it a layer's accumulators stay in
registers over all inputs, and blocks of 16 lanes are as fast as wide ones. LLVM splits a vector that is wider than the
machine's registers, so the same code runs in double precision and on narrower instruction sets; a product is
fused with a sum only where `fma` says so, so the bits are the same wherever there is a fused multiply-add.

A 1-D array is that of a chip on its own: one lane, and its `Vec` holds one number. The same source compiled for it does
the same operations in the same order in scalar registers. So kernels loop over
`range(0, lanes_of(array), width_of(array))`, and touch single lanes with `at` and `put`.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .vec import WIDTH as WIDTH
from .vec import Vec as Vec
from .vec import any_lane as any_lane
from .vec import bits as bits
from .vec import broadcast, element_of, lift, like_kind
from .vec import flip as flip
from .vec import floor as floor
from .vec import fma as fma
from .vec import funnel as funnel
from .vec import sqrt as sqrt
from .vec import value_of as value_of
from .vec import where as where


def _width(array):
    """Lanes in a register of this array's."""
    return WIDTH if array.ndim == 2 else 1


def _row(array):
    return Vec(array.dtype, _width(array))


def _pointer(context, builder, array_type, array, row, lane):
    view = context.make_array(array_type)(context, builder, array)
    where = [row, lane] if array_type.ndim == 2 else [row]
    pointer = cgutils.get_item_pointer(context, builder, array_type, view, where, wraparound=False, boundscheck=False)
    vector = ir.VectorType(context.get_data_type(array_type.dtype), _width(array_type))
    return builder.bitcast(pointer, vector.as_pointer())


@intrinsic
def load(typingctx, array, row, lane):
    """array[row, lane:lane+16], or array[row] on its own."""

    def codegen(context, builder, sig, args):
        return builder.load(_pointer(context, builder, sig.args[0], *args), align=array.dtype.bitwidth // 8)

    return _row(array)(array, types.intp, types.intp), codegen


@intrinsic
def store(typingctx, array, row, lane, value):
    """array[row, lane:lane+16] = value."""

    def codegen(context, builder, sig, args):
        pointer = _pointer(context, builder, sig.args[0], *args[:3])
        result = lift(context, builder, args[3], sig.args[3], _row(array))
        builder.store(result, pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(array, types.intp, types.intp, value), codegen


@intrinsic
def splat(typingctx, value):
    """The same scalar in each of 16 lanes."""

    def codegen(context, builder, sig, args):
        return broadcast(builder, args[0], WIDTH)

    return Vec(value)(value), codegen


@intrinsic
def filled(typingctx, value, like):
    """The same scalar in every lane of a register of the array `like`."""

    def codegen(context, builder, sig, args):
        return broadcast(builder, args[0], _width(sig.args[1]))

    return Vec(value, _width(like))(value, like), codegen


@intrinsic
def width_of(typingctx, array):
    """Lanes in a register of this array's: 16, or 1 for a chip on its own."""

    def codegen(context, builder, sig, args):
        return context.get_constant(types.intp, _width(sig.args[0]))

    return types.intp(array), codegen


@intrinsic
def lanes_of(typingctx, array):
    """Lanes of an array: the length of its second axis, or 1."""

    def codegen(context, builder, sig, args):
        if sig.args[0].ndim == 1:
            return context.get_constant(types.intp, 1)
        view = context.make_array(sig.args[0])(context, builder, args[0])
        return cgutils.unpack_tuple(builder, view.shape, 2)[1]

    return types.intp(array), codegen


def at_pointer(context, builder, array_type, array, row, lane):
    """Where one number of an array stands."""
    pointer = _pointer(context, builder, array_type, array, row, lane)
    return builder.bitcast(pointer, context.get_data_type(array_type.dtype).as_pointer())


@intrinsic
def at(typingctx, array, row, lane):
    """The number in one lane."""

    def codegen(context, builder, sig, args):
        return builder.load(at_pointer(context, builder, sig.args[0], *args))

    return array.dtype(array, types.intp, types.intp), codegen


@intrinsic
def put(typingctx, array, row, lane, value):
    """Set the number in one lane."""

    def codegen(context, builder, sig, args):
        builder.store(args[3], at_pointer(context, builder, sig.args[0], *args[:3]))
        return context.get_dummy_value()

    return types.none(array, types.intp, types.intp, array.dtype), codegen


@intrinsic
def to_float(typingctx, a, like):
    """Integers (signed or not) as the float type of the array `like`, rounded to nearest."""
    result = like_kind(a, like.dtype)

    def codegen(context, builder, sig, args):
        kind = context.get_value_type(result)
        signed = element_of(sig.args[0]).signed
        return (builder.sitofp if signed else builder.uitofp)(args[0], kind)

    return result(a, like), codegen


@intrinsic
def resized(typingctx, a, like):
    """The same number in the type of the array `like`: unsigned integers widened or cut, floats rounded."""
    result = Vec(like.dtype, a.width)

    def codegen(context, builder, sig, args):
        kind = context.get_value_type(result)
        before, after = sig.args[0].dtype.bitwidth, like.dtype.bitwidth
        if before == after:
            return args[0]
        real = isinstance(like.dtype, types.Float)
        up, down = ("fpext", "fptrunc") if real else ("zext", "trunc")
        return getattr(builder, up if after > before else down)(args[0], kind)

    return result(a, like), codegen
