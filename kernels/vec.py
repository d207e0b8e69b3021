"""Vectors of lanes as a type of numba's: arithmetic, comparison, selection, bits.

`simd` says what they are for. Operators take two vectors of a type, or a vector and a scalar, which takes the vector's
type. `fma`, `where`, `bits`, `value_of`, `sqrt` and `floor` also take float64 scalars.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import intrinsic, lower_builtin, models, register_model

WIDTH = 16


class Vec(types.Type):
    """16 lanes (or one) of a number, or of bool."""

    def __init__(self, dtype: types.Type, width: int = WIDTH) -> None:
        self.dtype = dtype
        self.width = width
        super().__init__(name=f"vec{width}({dtype})")


@register_model(Vec)
class _VecModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        element = ir.IntType(1) if fe_type.dtype == types.boolean else dmm[fe_type.dtype].get_value_type()
        super().__init__(dmm, fe_type, ir.VectorType(element, fe_type.width))


def broadcast(builder, scalar, width):
    """An LLVM vector of `width` times the scalar."""
    vector = ir.VectorType(scalar.type, width)
    undefined = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width))


def lift(context, builder, value, kind, result):
    """`value` of type `kind` as `result`: a scalar is cast and put into every lane."""
    if isinstance(kind, Vec) or not isinstance(result, Vec):
        return value if kind == result or isinstance(kind, Vec) else context.cast(builder, value, kind, result)
    return broadcast(builder, context.cast(builder, value, kind, result.dtype), result.width)


def _type_of(*kinds):
    """The vector type among the arguments (all alike), else the first scalar's."""
    found = {k for k in kinds if isinstance(k, Vec)}
    if len(found) > 1:
        raise TypeError(f"vectors of different types: {found}")
    return found.pop() if found else kinds[0]


def element_of(kind):
    """The type of one lane."""
    return kind.dtype if isinstance(kind, Vec) else kind


def _suffix(kind):
    letter = "f32" if element_of(kind) == types.float32 else "f64"
    return f"v{kind.width}{letter}" if isinstance(kind, Vec) else letter


def _operator(public, result_of, build):
    """Teach numba an operator of which an operand is a vector.

    Typing and code by themselves rather than by `overload`, which compiles a function for each pair of types.
    """

    @infer_global(public)
    class _Typing(AbstractTemplate):
        def generic(self, args, kws):
            if any(isinstance(k, Vec) for k in args):
                return result_of(_type_of(*args))(*args)
            return None

    def lower(context, builder, sig, args):
        kind = _type_of(*sig.args)
        lifted = [lift(context, builder, v, k, kind) for v, k in zip(args, sig.args, strict=True)]
        return build(builder, element_of(kind), *lifted)

    for kinds in ((Vec, Vec), (Vec, types.Any), (types.Any, Vec)):
        lower_builtin(public, *kinds)(lower)


def _binary(float_op, int_op):
    def build(builder, element, x, y):
        return getattr(builder, float_op if isinstance(element, types.Float) else int_op)(x, y)

    return build


def _compare(sign):
    def build(builder, element, x, y):
        if isinstance(element, types.Float):
            return (builder.fcmp_unordered if sign == "!=" else builder.fcmp_ordered)(sign, x, y)
        return (builder.icmp_signed if element.signed else builder.icmp_unsigned)(sign, x, y)

    return build


for _public, _float, _int in (
    (operator.add, "fadd", "add"),
    (operator.sub, "fsub", "sub"),
    (operator.mul, "fmul", "mul"),
    (operator.truediv, "fdiv", "udiv"),
    (operator.and_, "", "and_"),
    (operator.or_, "", "or_"),
    (operator.xor, "", "xor"),
    (operator.lshift, "", "shl"),
    (operator.rshift, "", "lshr"),
):
    _operator(_public, lambda kind: kind, _binary(_float, _int))
for _public, _sign in (
    (operator.lt, "<"),
    (operator.le, "<="),
    (operator.gt, ">"),
    (operator.ge, ">="),
    (operator.eq, "=="),
    (operator.ne, "!="),
):
    _operator(_public, lambda kind: Vec(types.boolean, kind.width), _compare(_sign))


@infer_global(operator.neg)
class _NegTyping(AbstractTemplate):
    def generic(self, args, kws):
        return args[0](args[0]) if isinstance(args[0], Vec) else None


@lower_builtin(operator.neg, Vec)
def _neg(context, builder, sig, args):
    return builder.fneg(args[0])


@intrinsic
def fma(typingctx, a, b, c):
    """a*b + c, rounded once."""
    result = _type_of(a, b, c)

    def codegen(context, builder, sig, args):
        lifted = [lift(context, builder, v, k, result) for v, k in zip(args, sig.args, strict=True)]
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
    if not isinstance(result, Vec):
        result = like_kind(mask, result)

    def codegen(context, builder, sig, args):
        x, y = (lift(context, builder, v, k, result) for v, k in zip(args[1:], sig.args[1:], strict=True))
        return builder.select(args[0], x, y)

    return result(mask, a, b), codegen


@intrinsic
def any_lane(typingctx, mask):
    """True if mask holds in any lane."""

    def codegen(context, builder, sig, args):
        whole = builder.bitcast(args[0], ir.IntType(sig.args[0].width))
        return builder.icmp_unsigned("!=", whole, ir.Constant(whole.type, 0))

    return types.boolean(mask), codegen


def like_kind(kind, numba_type):
    """The type `numba_type`, as a vector where `kind` is one."""
    return Vec(numba_type, kind.width) if isinstance(kind, Vec) else numba_type


_BITS = {types.float32: types.uint32, types.float64: types.uint64}
_FLOATS = {integer: real for real, integer in _BITS.items()}


@intrinsic
def bits(typingctx, a):
    """The bit pattern of floats, as unsigned integers of the same size."""
    result = like_kind(a, _BITS[element_of(a)])

    def codegen(context, builder, sig, args):
        return builder.bitcast(args[0], context.get_value_type(result))

    return result(a), codegen


@intrinsic
def value_of(typingctx, a):
    """The floats of a bit pattern."""
    result = like_kind(a, _FLOATS[element_of(a)])

    def codegen(context, builder, sig, args):
        return builder.bitcast(args[0], context.get_value_type(result))

    return result(a), codegen


@intrinsic
def funnel(typingctx, high, low, count):
    """The upper 32 bits of (high:low) << count, 0 <= count < 32: the bits from number `count` of `high` on."""

    def codegen(context, builder, sig, args):
        kind = args[0].type
        shift = lift(context, builder, args[2], sig.args[2], sig.args[0])
        name = f"llvm.fshl.v{sig.args[0].width}i32"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name)
        return builder.call(function, [args[0], args[1], shift])

    return high(high, high, types.uint32), codegen


@intrinsic
def flip(typingctx, value, word):
    """-value in the lanes whose uint32 word has its highest bit set, else value."""

    def codegen(context, builder, sig, args):
        width = sig.args[0].width
        if sig.args[0].dtype == types.float32:  # one operation: xor with the bit
            word_kind = args[1].type
            sign = builder.and_(args[1], ir.Constant(word_kind, [ir.Constant(ir.IntType(32), 1 << 31)] * width))
            return builder.bitcast(builder.xor(builder.bitcast(args[0], word_kind), sign), args[0].type)
        negative = builder.icmp_signed("<", args[1], ir.Constant(args[1].type, [0] * width))
        return builder.select(negative, builder.fneg(args[0]), args[0])

    return value(value, word), codegen
