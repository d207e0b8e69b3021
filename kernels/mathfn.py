"""Elementary functions on vectors: the same bits everywhere, which libm does not promise.

Each takes a `Vec` of float32 or float64 (the float64 versions a scalar too). Errors in ulp are in
tests/test_mathfn.py. Range reductions are in the manner of Cody & Waite; tanh near 0 uses the coefficients
of Cephes (Moshier, public).
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from .jit import FLAGS, inner
from .simd import Vec, bits, fma, sqrt, to_float, value_of, where

U32 = np.uint32
U64 = np.uint64
BIG32 = 12582912.0  # 1.5 * 2**23: adding it rounds to a whole number, which stays in the low bits
BIG64 = 6755399441055744.0  # 1.5 * 2**52


@inner
def exp32(x):
    x = where(x < -87.0, -87.0, x)
    x = where(x > 88.0, 88.0, x)
    t = fma(x, 1.44269504, BIG32)
    n = t - BIG32
    r = fma(n, -0.693359375, x)
    r = fma(n, 2.12194440e-4, r)
    p = fma(r, 1.9875691500e-4, 1.3981999507e-3)
    p = fma(p, r, 8.3334519073e-3)
    p = fma(p, r, 4.1665795894e-2)
    p = fma(p, r, 1.6666665459e-1)
    p = fma(p, r, 5.0000001201e-1)
    p = fma(p * r, r, r) + 1.0
    return value_of(bits(p) + (bits(t) << U32(23)))


@inner
def exp64(x):
    x = where(x < -708.0, -708.0, x)
    x = where(x > 709.0, 709.0, x)
    t = fma(x, 1.4426950408889634074, BIG64)
    n = t - BIG64
    r = fma(n, -6.93145751953125e-1, x)
    r = fma(n, -1.42860682030941723212e-6, r)
    p = fma(r, 1.0 / 6227020800.0, 1.0 / 479001600.0)
    p = fma(p, r, 1.0 / 39916800.0)
    p = fma(p, r, 1.0 / 3628800.0)
    p = fma(p, r, 1.0 / 362880.0)
    p = fma(p, r, 1.0 / 40320.0)
    p = fma(p, r, 1.0 / 5040.0)
    p = fma(p, r, 1.0 / 720.0)
    p = fma(p, r, 1.0 / 120.0)
    p = fma(p, r, 1.0 / 24.0)
    p = fma(p, r, 1.0 / 6.0)
    p = fma(p, r, 0.5)
    p = fma(p * r, r, r) + 1.0
    return value_of(bits(p) + (bits(t) << U64(52)))


@inner
def log32(x, like):
    # x = m 2^e with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh((m - 1)/(m + 1))
    b = bits(x) + U32(0x004AFB0D)  # bits of 1 minus bits of sqrt(1/2)
    e = to_float(b >> U32(23), like) - 127.0
    m = value_of((b & U32(0x007FFFFF)) + U32(0x3F3504F3))
    f = m - 1.0
    s = f / (f + 2.0)
    z = s * s
    p = fma(z, 1.0 / 9.0, 1.0 / 7.0)
    p = fma(p, z, 1.0 / 5.0)
    p = fma(p, z, 1.0 / 3.0)
    # 2 s = f - s f, so that f, which is exact, carries the leading part
    small = fma(e, -2.12194440e-4, f - s * (f - p * z * 2.0))
    return fma(e, 0.693359375, small)


@inner
def log64(x, like):
    b = bits(x) + U64(0x00095F619980C433)
    e = to_float(b >> U64(52), like) - 1023.0
    m = value_of((b & U64(0x000FFFFFFFFFFFFF)) + U64(0x3FE6A09E667F3BCD))
    f = m - 1.0
    s = f / (f + 2.0)
    z = s * s
    p = fma(z, 1.0 / 23.0, 1.0 / 21.0)
    p = fma(p, z, 1.0 / 19.0)
    p = fma(p, z, 1.0 / 17.0)
    p = fma(p, z, 1.0 / 15.0)
    p = fma(p, z, 1.0 / 13.0)
    p = fma(p, z, 1.0 / 11.0)
    p = fma(p, z, 1.0 / 9.0)
    p = fma(p, z, 1.0 / 7.0)
    p = fma(p, z, 1.0 / 5.0)
    p = fma(p, z, 1.0 / 3.0)
    small = fma(e, 1.42860682030941723212e-6, f - s * (f - p * z * 2.0))
    return fma(e, 6.93145751953125e-1, small)


@inner
def sincos32(u):
    # quarter turns to the nearest, then polynomials on [-pi/4, pi/4]
    t = fma(u, 4.0, BIG32)
    q = bits(t)
    a = fma(t - BIG32, -0.25, u) * 6.28318530717958648
    z = a * a
    s = fma(z, -1.9515295891e-4, 8.3321608736e-3)
    s = fma(s, z, -1.6666654611e-1)
    s = fma(s * z, a, a)
    c = fma(z, 2.443315711809948e-5, -1.388731625493765e-3)
    c = fma(c, z, 4.166664568298827e-2)
    c = fma(c * z, z, fma(z, -0.5, 1.0))
    odd = (q & U32(1)) != U32(0)
    sin = where(odd, c, s)
    cos = where(odd, s, c)
    sin = where((q & U32(2)) != U32(0), -sin, sin)
    cos = where(((q + U32(1)) & U32(2)) != U32(0), -cos, cos)
    return sin, cos


@inner
def sincos64(u):
    """(sin, cos) of u turns, float64 vectors or scalars."""
    t = fma(u, 4.0, BIG64)
    q = bits(t)
    a = fma(t - BIG64, -0.25, u) * 6.28318530717958647693
    z = a * a
    s = fma(z, 1.0 / 355687428096000.0, -1.0 / 1307674368000.0)
    s = fma(s, z, 1.0 / 6227020800.0)
    s = fma(s, z, -1.0 / 39916800.0)
    s = fma(s, z, 1.0 / 362880.0)
    s = fma(s, z, -1.0 / 5040.0)
    s = fma(s, z, 1.0 / 120.0)
    s = fma(s, z, -1.0 / 6.0)
    s = fma(s * z, a, a)
    c = fma(z, 1.0 / 20922789888000.0, -1.0 / 87178291200.0)
    c = fma(c, z, 1.0 / 479001600.0)
    c = fma(c, z, -1.0 / 3628800.0)
    c = fma(c, z, 1.0 / 40320.0)
    c = fma(c, z, -1.0 / 720.0)
    c = fma(c, z, 1.0 / 24.0)
    c = fma(c * z, z, fma(z, -0.5, 1.0))
    odd = (q & U64(1)) != U64(0)
    sin = where(odd, c, s)
    cos = where(odd, s, c)
    sin = where((q & U64(2)) != U64(0), -sin, sin)
    cos = where(((q + U64(1)) & U64(2)) != U64(0), -cos, cos)
    return sin, cos


@inner
def tanh32(x):
    z = x * x
    p = fma(z, -5.70498872745e-3, 2.06390887954e-2)
    p = fma(p, z, -5.37397155531e-2)
    p = fma(p, z, 1.33314422036e-1)
    p = fma(p, z, -3.33332819422e-1)
    small = fma(p * z, x, x)
    large = 1.0 - 2.0 / (exp32(x * 2.0) + 1.0)
    return where(z < 0.390625, small, large)


@inner
def tanh64(x):
    z = x * x
    p = fma(fma(z, -9.64399179425052238628e-1, -9.92877231001918586564e1), z, -1.61468768441708447952e3)
    q = fma(fma(z + 1.12811678491632931402e2, z, 2.23548839060100448583e3), z, 4.84406305325125486048e3)
    small = fma((p / q) * z, x, x)
    large = 1.0 - 2.0 / (exp64(x * 2.0) + 1.0)
    return where(z < 0.390625, small, large)


def exp(x):
    """e**x, x limited to [-87, 88] (float32) or [-708, 709] (float64); NaN stays NaN."""


def log(x, like):
    """Natural logarithm of positive normal numbers; like: an array of their type."""


def sincos(u):
    """(sin, cos) of u turns (2 pi u radians), |u| at most a few turns."""


def tanh(x):
    """Hyperbolic tangent."""


def _single(x):
    return isinstance(x, Vec) and x.dtype == types.float32


@overload(exp, jit_options=FLAGS)
def _exp(x):
    return (lambda x: exp32(x)) if _single(x) else (lambda x: exp64(x))


@overload(log, jit_options=FLAGS)
def _log(x, like):
    return (lambda x, like: log32(x, like)) if _single(x) else (lambda x, like: log64(x, like))


@overload(sincos, jit_options=FLAGS)
def _sincos(u):
    return (lambda u: sincos32(u)) if _single(u) else (lambda u: sincos64(u))


@overload(tanh, jit_options=FLAGS)
def _tanh(x):
    return (lambda x: tanh32(x)) if _single(x) else (lambda x: tanh64(x))


@inner
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return 1.0 / (exp(-x) + 1.0)


@inner
def uniform(w, like):
    """(w + 1/2) 2^-32 of uint32 words, in the type of the array `like`: 0 < u <= 1."""
    return (to_float(w, like) + 0.5) * 2.0**-32


@inner
def normal_pair(a, b, like):
    """Two independent standard normals from two words (Box & Muller, Ann. Math. Stat. 29, 610, 1958)."""
    r = sqrt(log(uniform(a, like), like) * -2.0)
    s, c = sincos(uniform(b, like))
    return r * c, r * s
