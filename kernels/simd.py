"""Sixteen lanes in a register: explicit vectors for the loops over parameters.

A `vec` holds 16 neighbouring lanes of one row of a C-contiguous 2-D array. With it the accumulators of a dense
layer stay in registers over all inputs, which a loop over lanes with the inputs outside cannot do. LLVM
splits a vector that is wider than the machine's registers, so the same code runs in double precision and on
narrower instruction sets, with the same bits wherever there is a fused multiply-add.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

WIDTH = 16


class Vec(types.Type):
    """16 lanes of float32, float64 or uint32."""

    def __init__(self, dtype: types.Type) -> None:
        self.dtype = dtype
        super().__init__(name=f"vec{WIDTH}({dtype})")


@register_model(Vec)
class _VecModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, ir.VectorType(dmm[fe_type.dtype].get_value_type(), WIDTH))


def _pointer(context, builder, array_type, array, row, lane):
    view = context.make_array(array_type)(context, builder, array)
    pointer = cgutils.get_item_pointer(
        context, builder, array_type, view, [row, lane], wraparound=False, boundscheck=False
    )
    vector = ir.VectorType(context.get_data_type(array_type.dtype), WIDTH)
    return builder.bitcast(pointer, vector.as_pointer())


def _align(array_type):
    return array_type.dtype.bitwidth // 8


@intrinsic
def load(typingctx, array, row, lane):
    """array[row, lane:lane+16]."""

    def codegen(context, builder, sig, args):
        pointer = _pointer(context, builder, sig.args[0], *args)
        return builder.load(pointer, align=_align(sig.args[0]))

    return Vec(array.dtype)(array, types.intp, types.intp), codegen


@intrinsic
def store(typingctx, array, row, lane, value):
    """array[row, lane:lane+16] = value."""

    def codegen(context, builder, sig, args):
        pointer = _pointer(context, builder, sig.args[0], *args[:3])
        builder.store(args[3], pointer, align=_align(sig.args[0]))
        return context.get_dummy_value()

    return types.none(array, types.intp, types.intp, value), codegen


@intrinsic
def splat(typingctx, value):
    """The same scalar in every lane."""

    def codegen(context, builder, sig, args):
        vector = ir.VectorType(args[0].type, WIDTH)
        one = builder.insert_element(ir.Constant(vector, ir.Undefined), args[0], ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
        return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)

    return Vec(value)(value), codegen


@intrinsic
def fma(typingctx, a, b, c):
    """a*b + c, rounded once."""

    def codegen(context, builder, sig, args):
        vector = args[0].type
        name = f"llvm.fma.v{WIDTH}{'f32' if sig.args[0].dtype == types.float32 else 'f64'}"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
        return builder.call(function, args)

    return a(a, a, a), codegen


@intrinsic
def add(typingctx, a, b):
    """a + b."""

    def codegen(context, builder, sig, args):
        return builder.fadd(*args)

    return a(a, a), codegen


@intrinsic
def sub(typingctx, a, b):
    """a - b."""

    def codegen(context, builder, sig, args):
        return builder.fsub(*args)

    return a(a, a), codegen


@intrinsic
def mul(typingctx, a, b):
    """a * b."""

    def codegen(context, builder, sig, args):
        return builder.fmul(*args)

    return a(a, a), codegen


@intrinsic
def neg(typingctx, a):
    """-a."""

    def codegen(context, builder, sig, args):
        return builder.fneg(args[0])

    return a(a), codegen


@intrinsic
def signed(typingctx, word, mask, value, negated):
    """`negated` in the lanes whose word has a bit of `mask` (a scalar uint32) set, else `value`."""

    def codegen(context, builder, sig, args):
        word, mask, value, negated = args
        vector = word.type
        one = builder.insert_element(ir.Constant(vector, ir.Undefined), mask, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
        masks = builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)
        hit = builder.icmp_unsigned("!=", builder.and_(word, masks), ir.Constant(vector, [0] * WIDTH))
        return builder.select(hit, negated, value)

    return value(word, types.uint32, value, value), codegen
