"""Single numbers out of many vectors, packed into full ones: what few of many devices do costs those few.

`squeezed` moves the chosen lanes of a vector to its front, `take` and `give` read and write an array at 16 places.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import leaf
from .simd import filled, lanes_of
from .vec import WIDTH, Vec, lift, like_kind, where

I1, I32 = ir.IntType(1), ir.IntType(32)


def _compresses(context):
    """Whether the processor that is compiled for has an instruction for it."""
    return "+avx512f" in getattr(context.codegen(), "_tm_features", "")


def _front(context, builder, value, mask):
    """The chosen lanes of a vector of 32-bit integers first, then zeros."""
    kind, width = value.type, value.type.count
    if width == WIDTH and _compresses(context):
        name = f"llvm.experimental.vector.compress.v{width}i32"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind, mask.type, kind]), name)
        return builder.call(function, [value, mask, ir.Constant(kind, None)])
    # LLVM's own way without such an instruction is no faster, and stores where it must not
    row = cgutils.alloca_once(builder, ir.ArrayType(I32, width + 1))
    builder.store(ir.Constant(row.type.pointee, None), row)
    at = ir.Constant(I32, 0)
    chosen = builder.zext(mask, kind)
    for lane in range(width):
        bit = builder.extract_element(chosen, ir.Constant(I32, lane))
        number = builder.mul(builder.extract_element(value, ir.Constant(I32, lane)), bit)
        builder.store(number, builder.gep(row, [ir.Constant(I32, 0), at]))
        at = builder.add(at, bit)
    return builder.load(builder.bitcast(row, kind.as_pointer()), align=4)


@intrinsic
def squeezed(typingctx, a, mask):
    """The lanes of `a` where mask holds, in order, from lane 0 on; zeros after them."""

    def codegen(context, builder, sig, args):
        value, bits = args[0], sig.args[0].dtype.bitwidth
        narrow, wide = (ir.VectorType(ir.IntType(n), sig.args[0].width) for n in (32, 64))
        if bits == 32:
            return builder.bitcast(_front(context, builder, builder.bitcast(value, narrow), args[1]), value.type)
        shift = ir.Constant(wide, [32] * wide.count)
        whole = builder.bitcast(value, wide)
        high = _front(context, builder, builder.trunc(builder.lshr(whole, shift), narrow), args[1])
        low = _front(context, builder, builder.trunc(whole, narrow), args[1])
        both = builder.or_(builder.shl(builder.zext(high, wide), shift), builder.zext(low, wide))
        return builder.bitcast(both, value.type)

    return a(a, mask), codegen


@intrinsic
def count_lanes(typingctx, mask):
    """In how many lanes mask holds."""

    def codegen(context, builder, sig, args):
        whole = builder.zext(builder.bitcast(args[0], ir.IntType(sig.args[0].width)), I32)
        return builder.zext(builder.ctpop(whole), ir.IntType(64))

    return types.intp(mask), codegen


class _Places(ir.instructions.Instruction):
    """Pointers to the numbers at a vector of places, which llvmlite's own `gep` does not make."""

    def __init__(self, builder, start, place):
        kind = ir.VectorType(ir.PointerType(), place.type.count)
        super().__init__(builder.block, kind, "getelementptr", [start, place])
        self.element = start.type.pointee

    def descr(self, buf):
        start, place = self.operands
        buf.append(f"getelementptr {self.element}, ptr {start.get_reference()}, {place.type} {place.get_reference()}\n")


def _places(context, builder, array_type, array, place):
    view = context.make_array(array_type)(context, builder, array)
    where = _Places(builder, view.data, place)
    builder._insert(where)
    return where


def _name(what, kind):
    element = "f" if isinstance(kind.dtype, types.Float) else "i"
    return f"llvm.masked.{what}.v{kind.width}{element}{kind.dtype.bitwidth}.v{kind.width}p0"


def _all(width):
    return ir.Constant(ir.VectorType(I1, width), [1] * width)


@intrinsic
def take(typingctx, array, place):
    """The numbers of a C-contiguous array at places uint32 of it, counted in one dimension."""
    result = like_kind(place, array.dtype)

    def codegen(context, builder, sig, args):
        kind = context.get_value_type(result)
        at = _places(context, builder, sig.args[0], args[0], args[1])
        align = ir.Constant(I32, array.dtype.bitwidth // 8)
        mask = _all(place.width)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [at.type, I32, mask.type, kind]), _name("gather", result)
        )
        return builder.call(function, [at, align, mask, ir.Constant(kind, ir.Undefined)])

    return result(array, place), codegen


@intrinsic
def give(typingctx, array, place, value, mask):
    """array[place] <- value in the lanes where mask holds."""
    kind = like_kind(place, array.dtype)

    def codegen(context, builder, sig, args):
        at = _places(context, builder, sig.args[0], args[0], args[1])
        align = ir.Constant(I32, array.dtype.bitwidth // 8)
        value = lift(context, builder, args[2], sig.args[2], kind)
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [value.type, at.type, I32, args[3].type]),
            _name("scatter", kind),
        )
        builder.call(function, [value, at, align, args[3]])
        return context.get_dummy_value()

    return types.none(array, place, value, mask), codegen


@intrinsic
def ramp32(typingctx, like):
    """0, 1, .. as uint32, a vector as the array `like` has."""
    result = Vec(types.uint32, WIDTH if like.ndim == 2 else 1)

    def codegen(context, builder, sig, args):
        return ir.Constant(context.get_value_type(result), list(range(result.width)))

    return result(like), codegen


@intrinsic
def load_from(typingctx, array, place):
    """16 neighbouring numbers of a C-contiguous array from `place` on, counted in one dimension (or one number)."""
    result = Vec(array.dtype, WIDTH if array.ndim == 2 else 1)

    def codegen(context, builder, sig, args):
        at = _start(context, builder, sig.args[0], args[0], args[1], result)
        return builder.load(at, align=array.dtype.bitwidth // 8)

    return result(array, types.intp), codegen


@intrinsic
def store_from(typingctx, array, place, value):
    """The opposite: they become `value`."""
    result = Vec(array.dtype, WIDTH if array.ndim == 2 else 1)

    def codegen(context, builder, sig, args):
        at = _start(context, builder, sig.args[0], args[0], args[1], result)
        builder.store(lift(context, builder, args[2], sig.args[2], result), at, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(array, types.intp, value), codegen


def _start(context, builder, array_type, array, place, result):
    view = context.make_array(array_type)(context, builder, array)
    return builder.bitcast(builder.gep(view.data, [place]), context.get_value_type(result).as_pointer())


@intrinsic
def to_whole(typingctx, a, like):
    """Floats, not negative and in range, as the unsigned integers of the array `like`, cut."""
    result = like_kind(a, like.dtype)

    def codegen(context, builder, sig, args):
        return builder.fptoui(args[0], context.get_value_type(result))

    return result(a, like), codegen


@intrinsic
def number_at(typingctx, array, place):
    """The number at a place, counted in one dimension."""

    def codegen(context, builder, sig, args):
        view = context.make_array(sig.args[0])(context, builder, args[0])
        return builder.load(builder.gep(view.data, [args[1]]))

    return array.dtype(array, types.intp), codegen


@intrinsic
def bring(typingctx, array, place):
    """Have the number at a place brought into the cache, to be read and written."""

    def codegen(context, builder, sig, args):
        view = context.make_array(sig.args[0])(context, builder, args[0])
        pointer = builder.bitcast(builder.gep(view.data, [args[1]]), cgutils.voidptr_t)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, I32, I32, I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, I32(0), I32(3), I32(1)])
        return context.get_dummy_value()

    return types.none(array, types.intp), codegen


@leaf
def spot(p, v, like):
    """Row p, lanes from v on of arrays like this, for `seen` and `keep`: (neighbours or not, the first, all places)."""
    return True, p * lanes_of(like) + v, filled(np.uint32(0), like)


@leaf
def seen(array, at):
    """The numbers of an array at a spot."""
    neighbours, first, places = at
    return load_from(array, first) if neighbours else take(array, places)


@leaf
def seen_of(array, packed, k, at):
    """The same, from number k of each device of `packed` where they are not neighbours: from one line of the cache."""
    neighbours, first, places = at
    return load_from(array, first) if neighbours else take(packed, places * np.uint32(8) + np.uint32(k))


@leaf
def keep(array, at, value, mask):
    """They become `value` in the lanes where mask holds."""
    neighbours, first, places = at
    if neighbours:
        store_from(array, first, where(mask, value, load_from(array, first)))
    else:
        give(array, places, value, mask)
