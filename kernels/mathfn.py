"""Elementary functions that vectorise and give the same bits everywhere (libm's do neither).

Each public function takes float32 or float64 and returns the same type; errors in ulp are in
tests/test_mathfn.py. Range reductions are in the manner of Cody & Waite; near-zero tanh uses the
coefficients of Cephes (Moshier, public). Every constant is cast, or float32 would widen to float64.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from .jit import FLAGS, inner

F = np.float32
D = np.float64
U32 = np.uint32
U64 = np.uint64


@inner
def _exp32(x):
    x = F(-87.0) if x < F(-87.0) else x
    x = F(88.0) if x > F(88.0) else x
    t = x * F(1.44269504) + F(12582912.0)
    n = t - F(12582912.0)
    r = (x - n * F(0.693359375)) - n * F(-2.12194440e-4)
    p = F(1.9875691500e-4)
    p = p * r + F(1.3981999507e-3)
    p = p * r + F(8.3334519073e-3)
    p = p * r + F(4.1665795894e-2)
    p = p * r + F(1.6666665459e-1)
    p = p * r + F(5.0000001201e-1)
    p = (p * r) * r + r + F(1.0)
    return U32(F(p).view(U32) + U32(F(t).view(U32) << U32(23))).view(F)


@inner
def _exp64(x):
    x = D(-708.0) if x < D(-708.0) else x
    x = D(709.0) if x > D(709.0) else x
    t = x * D(1.4426950408889634074) + D(6755399441055744.0)
    n = t - D(6755399441055744.0)
    r = (x - n * D(6.93145751953125e-1)) - n * D(1.42860682030941723212e-6)
    p = D(1.0 / 6227020800.0)
    p = p * r + D(1.0 / 479001600.0)
    p = p * r + D(1.0 / 39916800.0)
    p = p * r + D(1.0 / 3628800.0)
    p = p * r + D(1.0 / 362880.0)
    p = p * r + D(1.0 / 40320.0)
    p = p * r + D(1.0 / 5040.0)
    p = p * r + D(1.0 / 720.0)
    p = p * r + D(1.0 / 120.0)
    p = p * r + D(1.0 / 24.0)
    p = p * r + D(1.0 / 6.0)
    p = p * r + D(0.5)
    p = (p * r) * r + r + D(1.0)
    return U64(D(p).view(U64) + U64(D(t).view(U64) << U64(52))).view(D)


@inner
def _log32(x):
    # x = m 2^e with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh((m - 1)/(m + 1))
    bits = U32(F(x).view(U32) + U32(0x004AFB0D))  # 0x3F800000 - bits of sqrt(1/2)
    e = F(np.int32(bits >> U32(23)) - np.int32(127))
    m = U32((bits & U32(0x007FFFFF)) + U32(0x3F3504F3)).view(F)
    f = m - F(1.0)
    s = f / (F(2.0) + f)
    z = s * s
    p = F(1.0 / 9.0)
    p = p * z + F(1.0 / 7.0)
    p = p * z + F(1.0 / 5.0)
    p = p * z + F(1.0 / 3.0)
    # 2 s = f - s f, so that f, which is exact, carries the leading part
    return (f - s * (f - F(2.0) * z * p)) + e * F(-2.12194440e-4) + e * F(0.693359375)


@inner
def _log64(x):
    bits = U64(D(x).view(U64) + U64(0x00095F619980C433))
    e = D(np.int64(bits >> U64(52)) - np.int64(1023))
    m = U64((bits & U64(0x000FFFFFFFFFFFFF)) + U64(0x3FE6A09E667F3BCD)).view(D)
    f = m - D(1.0)
    s = f / (D(2.0) + f)
    z = s * s
    p = D(1.0 / 23.0)
    p = p * z + D(1.0 / 21.0)
    p = p * z + D(1.0 / 19.0)
    p = p * z + D(1.0 / 17.0)
    p = p * z + D(1.0 / 15.0)
    p = p * z + D(1.0 / 13.0)
    p = p * z + D(1.0 / 11.0)
    p = p * z + D(1.0 / 9.0)
    p = p * z + D(1.0 / 7.0)
    p = p * z + D(1.0 / 5.0)
    p = p * z + D(1.0 / 3.0)
    return (f - s * (f - D(2.0) * z * p)) + e * D(1.42860682030941723212e-6) + e * D(6.93145751953125e-1)


@inner
def _sincos32(u):
    # quarter turns to the nearest, then polynomials on [-pi/4, pi/4]
    t = u * F(4.0) + F(12582912.0)
    q = F(t).view(U32) & U32(3)
    a = (u - (t - F(12582912.0)) * F(0.25)) * F(6.28318530717958648)
    z = a * a
    s = F(-1.9515295891e-4)
    s = s * z + F(8.3321608736e-3)
    s = s * z + F(-1.6666654611e-1)
    s = s * z * a + a
    c = F(2.443315711809948e-5)
    c = c * z + F(-1.388731625493765e-3)
    c = c * z + F(4.166664568298827e-2)
    c = c * z * z - F(0.5) * z + F(1.0)
    odd = (q & U32(1)) != U32(0)
    sin = c if odd else s
    cos = s if odd else c
    sin = -sin if (q & U32(2)) != U32(0) else sin
    cos = -cos if ((q + U32(1)) & U32(2)) != U32(0) else cos
    return sin, cos


@inner
def _sincos64(u):
    t = u * D(4.0) + D(6755399441055744.0)
    q = D(t).view(U64) & U64(3)
    a = (u - (t - D(6755399441055744.0)) * D(0.25)) * D(6.28318530717958647693)
    z = a * a
    s = D(1.0 / 355687428096000.0)
    s = s * z - D(1.0 / 1307674368000.0)
    s = s * z + D(1.0 / 6227020800.0)
    s = s * z - D(1.0 / 39916800.0)
    s = s * z + D(1.0 / 362880.0)
    s = s * z - D(1.0 / 5040.0)
    s = s * z + D(1.0 / 120.0)
    s = s * z - D(1.0 / 6.0)
    s = s * z * a + a
    c = D(1.0 / 20922789888000.0)
    c = c * z - D(1.0 / 87178291200.0)
    c = c * z + D(1.0 / 479001600.0)
    c = c * z - D(1.0 / 3628800.0)
    c = c * z + D(1.0 / 40320.0)
    c = c * z - D(1.0 / 720.0)
    c = c * z + D(1.0 / 24.0)
    c = c * z * z - D(0.5) * z + D(1.0)
    odd = (q & U64(1)) != U64(0)
    sin = c if odd else s
    cos = s if odd else c
    sin = -sin if (q & U64(2)) != U64(0) else sin
    cos = -cos if ((q + U64(1)) & U64(2)) != U64(0) else cos
    return sin, cos


@inner
def _tanh32(x):
    z = x * x
    p = F(-5.70498872745e-3)
    p = p * z + F(2.06390887954e-2)
    p = p * z + F(-5.37397155531e-2)
    p = p * z + F(1.33314422036e-1)
    p = p * z + F(-3.33332819422e-1)
    small = p * z * x + x
    large = F(1.0) - F(2.0) / (_exp32(F(2.0) * x) + F(1.0))
    return small if z < F(0.390625) else large


@inner
def _tanh64(x):
    z = x * x
    p = (D(-9.64399179425052238628e-1) * z + D(-9.92877231001918586564e1)) * z + D(-1.61468768441708447952e3)
    q = ((z + D(1.12811678491632931402e2)) * z + D(2.23548839060100448583e3)) * z + D(4.84406305325125486048e3)
    small = (p / q) * z * x + x
    large = D(1.0) - D(2.0) / (_exp64(D(2.0) * x) + D(1.0))
    return small if z < D(0.390625) else large


def exp(x):
    """e**x, x limited to [-87, 88] (float32) or [-708, 709] (float64); NaN stays NaN."""
    return _exp32(x) if isinstance(x, np.float32) else _exp64(x)


def log(x):
    """Natural logarithm of a positive normal number."""
    return _log32(x) if isinstance(x, np.float32) else _log64(x)


def sincos(u):
    """(sin, cos) of u turns (2 pi u radians), |u| at most a few turns."""
    return _sincos32(u) if isinstance(u, np.float32) else _sincos64(u)


def tanh(x):
    """Hyperbolic tangent."""
    return _tanh32(x) if isinstance(x, np.float32) else _tanh64(x)


def uniform(w, like):
    """(w + 1/2) 2^-32 of a uint32 word, in the type of `like`: 0 < u <= 1."""
    return (type(like)(w) + type(like)(0.5)) * type(like)(2.0**-32)


_JIT = {"error_model": FLAGS["error_model"], "fastmath": FLAGS["fastmath"], "nogil": True}


def _choose(public, single, double):
    @overload(public, jit_options=_JIT)
    def _(x):
        if x == types.float32:
            return lambda x: single(x)
        if x == types.float64:
            return lambda x: double(x)
        return None


_choose(exp, _exp32, _exp64)
_choose(log, _log32, _log64)
_choose(tanh, _tanh32, _tanh64)


@overload(sincos, jit_options=_JIT)
def _sincos(u):
    if u == types.float32:
        return lambda u: _sincos32(u)
    return lambda u: _sincos64(u)


@overload(uniform, jit_options=_JIT)
def _uniform(w, like):
    if like == types.float32:
        return lambda w, like: (F(w) + F(0.5)) * F(2.0**-32)
    return lambda w, like: (D(w) + D(0.5)) * D(2.0**-32)


@inner
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    one = type(x)(1.0)
    return one / (one + exp(-x))


@inner
def normal_pair(a, b, like):
    """Two independent standard normals from two words (Box & Muller, Ann. Math. Stat. 29, 610, 1958)."""
    r = np.sqrt(type(like)(-2.0) * log(uniform(a, like)))
    s, c = sincos(uniform(b, like))
    return r * c, r * s
