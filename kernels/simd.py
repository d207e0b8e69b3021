"""Sixteen lanes in a register: explicit vectors, so that no loop depends on what the compiler finds.

A `Vec` holds 16 neighbouring lanes of a row of a C-contiguous 2-D array. With it a layer's accumulators stay in
registers over all inputs, and blocks of 16 lanes are as fast as wide ones. LLVM splits a vector that is wider than the
machine's registers, so the same code runs in double precision and on narrower instruction sets; a product is
fused with a sum only where `fma` says so, so the bits are the same wherever there is a fused multiply-add.

Operators take two vectors of a type, or a vector and a scalar, which takes the vector's type. `fma`, `where`,
`bits`, `value_of`, `sqrt` and `floor` also take float64 scalars.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

WIDTH = 16


class Vec(types.Type):
    """16 lanes of a number, or of bool."""

    def __init__(self, dtype: types.Type) -> None:
        self.dtype = dtype
        super().__init__(name=f"vec{WIDTH}({dtype})")


@register_model(Vec)
class _VecModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        element = ir.IntType(1) if fe_type.dtype == types.boolean else dmm[fe_type.dtype].get_value_type()
        super().__init__(dmm, fe_type, ir.VectorType(element, WIDTH))


def _broadcast(builder, scalar):
    vector = ir.VectorType(scalar.type, WIDTH)
    undefined = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH))


def _lift(context, builder, value, kind, result):
    """`value` of type `kind` as `result`: a scalar is cast and put into every lane."""
    if isinstance(kind, Vec) or not isinstance(result, Vec):
        return value if kind == result or isinstance(kind, Vec) else context.cast(builder, value, kind, result)
    return _broadcast(builder, context.cast(builder, value, kind, result.dtype))


def _type_of(*kinds):
    """The vector type among the arguments (all alike), else the first scalar's."""
    found = {k for k in kinds if isinstance(k, Vec)}
    if len(found) > 1:
        raise TypeError(f"vectors of different types: {found}")
    return found.pop() if found else kinds[0]


def _element(kind):
    return kind.dtype if isinstance(kind, Vec) else kind


def _suffix(kind):
    letter = "f32" if _element(kind) == types.float32 else "f64"
    return f"v{WIDTH}{letter}" if isinstance(kind, Vec) else letter


def _pointer(context, builder, array_type, array, row, lane):
    view = context.make_array(array_type)(context, builder, array)
    pointer = cgutils.get_item_pointer(
        context, builder, array_type, view, [row, lane], wraparound=False, boundscheck=False
    )
    vector = ir.VectorType(context.get_data_type(array_type.dtype), WIDTH)
    return builder.bitcast(pointer, vector.as_pointer())


@intrinsic
def load(typingctx, array, row, lane):
    """array[row, lane:lane+16]."""

    def codegen(context, builder, sig, args):
        return builder.load(_pointer(context, builder, sig.args[0], *args), align=array.dtype.bitwidth // 8)

    return Vec(array.dtype)(array, types.intp, types.intp), codegen


@intrinsic
def store(typingctx, array, row, lane, value):
    """array[row, lane:lane+16] = value."""

    def codegen(context, builder, sig, args):
        pointer = _pointer(context, builder, sig.args[0], *args[:3])
        result = _lift(context, builder, args[3], sig.args[3], Vec(array.dtype))
        builder.store(result, pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(array, types.intp, types.intp, value), codegen


@intrinsic
def splat(typingctx, value):
    """The same scalar in every lane."""

    def codegen(context, builder, sig, args):
        return _broadcast(builder, args[0])

    return Vec(value)(value), codegen


def _binary(float_op, int_op):
    @intrinsic
    def function(typingctx, a, b):
        result = _type_of(a, b)

        def codegen(context, builder, sig, args):
            x, y = (_lift(context, builder, v, k, result) for v, k in zip(args, sig.args, strict=True))
            name = float_op if isinstance(_element(result), types.Float) else int_op
            return getattr(builder, name)(x, y)

        return result(a, b), codegen

    return function


_add = _binary("fadd", "add")
_sub = _binary("fsub", "sub")
_mul = _binary("fmul", "mul")
_div = _binary("fdiv", "udiv")
_and = _binary("", "and_")
_or = _binary("", "or_")
_xor = _binary("", "xor")
_shl = _binary("", "shl")
_shr = _binary("", "lshr")


def _compare(sign):
    @intrinsic
    def function(typingctx, a, b):
        kind = _type_of(a, b)

        def codegen(context, builder, sig, args):
            x, y = (_lift(context, builder, v, k, kind) for v, k in zip(args, sig.args, strict=True))
            element = _element(kind)
            if isinstance(element, types.Float):
                return (builder.fcmp_unordered if sign == "!=" else builder.fcmp_ordered)(sign, x, y)
            return (builder.icmp_signed if element.signed else builder.icmp_unsigned)(sign, x, y)

        return Vec(types.boolean)(a, b), codegen

    return function


_operators = {
    operator.add: _add,
    operator.sub: _sub,
    operator.mul: _mul,
    operator.truediv: _div,
    operator.and_: _and,
    operator.or_: _or,
    operator.xor: _xor,
    operator.lshift: _shl,
    operator.rshift: _shr,
    operator.lt: _compare("<"),
    operator.le: _compare("<="),
    operator.gt: _compare(">"),
    operator.ge: _compare(">="),
    operator.eq: _compare("=="),
    operator.ne: _compare("!="),
}


def _overload_operator(public, private):
    @overload(public)
    def _(a, b):
        if isinstance(a, Vec) or isinstance(b, Vec):
            return lambda a, b: private(a, b)
        return None


for _public, _private in _operators.items():
    _overload_operator(_public, _private)


@intrinsic
def _neg(typingctx, a):
    def codegen(context, builder, sig, args):
        return builder.fneg(args[0])

    return a(a), codegen


@overload(operator.neg)
def _negative(a):
    return (lambda a: _neg(a)) if isinstance(a, Vec) else None


@intrinsic
def fma(typingctx, a, b, c):
    """a*b + c, rounded once."""
    result = _type_of(a, b, c)

    def codegen(context, builder, sig, args):
        lifted = [_lift(context, builder, v, k, result) for v, k in zip(args, sig.args, strict=True)]
        kind = lifted[0].type
        name = f"llvm.fma.{_suffix(result)}"
        return builder.call(
            cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name), lifted
        )

    return result(a, b, c), codegen


def _unary(name):
    @intrinsic
    def function(typingctx, a):
        def codegen(context, builder, sig, args):
            kind = args[0].type
            called = f"llvm.{name}.{_suffix(sig.args[0])}"
            return builder.call(
                cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), called), args
            )

        return a(a), codegen

    return function


sqrt = _unary("sqrt")
floor = _unary("floor")


@intrinsic
def where(typingctx, mask, a, b):
    """a in the lanes where mask holds, else b."""
    result = _type_of(a, b)

    def codegen(context, builder, sig, args):
        x, y = (_lift(context, builder, v, k, result) for v, k in zip(args[1:], sig.args[1:], strict=True))
        return builder.select(args[0], x, y)

    return result(mask, a, b), codegen


@intrinsic
def any_lane(typingctx, mask):
    """True if mask holds in any lane."""

    def codegen(context, builder, sig, args):
        whole = builder.bitcast(args[0], ir.IntType(WIDTH))
        return builder.zext(builder.icmp_unsigned("!=", whole, ir.Constant(whole.type, 0)), ir.IntType(1))

    return types.boolean(mask), codegen


def _convert(kind, numba_type):
    """The type `numba_type`, as a vector where `kind` is one."""
    return Vec(numba_type) if isinstance(kind, Vec) else numba_type


_BITS = {types.float32: types.uint32, types.float64: types.uint64}
_FLOATS = {integer: real for real, integer in _BITS.items()}


@intrinsic
def bits(typingctx, a):
    """The bit pattern of floats, as unsigned integers of the same size."""
    result = _convert(a, _BITS[_element(a)])

    def codegen(context, builder, sig, args):
        return builder.bitcast(args[0], context.get_value_type(result))

    return result(a), codegen


@intrinsic
def value_of(typingctx, a):
    """The floats of a bit pattern."""
    result = _convert(a, _FLOATS[_element(a)])

    def codegen(context, builder, sig, args):
        return builder.bitcast(args[0], context.get_value_type(result))

    return result(a), codegen


@intrinsic
def to_float(typingctx, a, like):
    """Integers (signed or not) as the float type of the array `like`, rounded to nearest."""
    result = _convert(a, like.dtype)

    def codegen(context, builder, sig, args):
        kind = context.get_value_type(result)
        signed = _element(sig.args[0]).signed
        return (builder.sitofp if signed else builder.uitofp)(args[0], kind)

    return result(a, like), codegen


@intrinsic
def resized(typingctx, a, like):
    """The same number in the type of the array `like`: unsigned integers widened or cut, floats rounded."""
    result = Vec(like.dtype)

    def codegen(context, builder, sig, args):
        kind = context.get_value_type(result)
        before, after = sig.args[0].dtype.bitwidth, like.dtype.bitwidth
        if before == after:
            return args[0]
        real = isinstance(like.dtype, types.Float)
        up, down = ("fpext", "fptrunc") if real else ("zext", "trunc")
        return getattr(builder, up if after > before else down)(args[0], kind)

    return result(a, like), codegen


@intrinsic
def signed(typingctx, word, mask, plus, minus):
    """`minus` in the lanes whose word has a bit of `mask` (a scalar uint32) set, else `plus`."""

    def codegen(context, builder, sig, args):
        hit = builder.and_(args[0], _broadcast(builder, args[1]))
        hit = builder.icmp_unsigned("!=", hit, ir.Constant(hit.type, [0] * WIDTH))
        return builder.select(hit, args[3], args[2])

    return plus(word, types.uint32, plus, plus), codegen
