"""What devices do by themselves between writes: drift with a power of time, and leak towards a rest.

`aging` is a `hardware.Aging`. What a device holds is a function of its state when it was written and of the steps
since, so nothing is added up and no chunk matters. A device that is stuck has the exponent 0. A reference
cancels out of the state, wherever it is stuck.

Drift: g(t) = g_w ((t - t_w + t0)/t0)^(-nu), of both conductances of a pair. Leak: w(t) = rest + (w - rest) exp(-(t -
t_w)/lifetime).
"""

from __future__ import annotations

from .jit import leaf
from .mathfn import exp, log
from .picked import seen, spot
from .simd import filled, fma, to_float, where
from .table import DRIFT_T0, G_PAIR, MAPPING, ONE_SIDED, REFERENCE, REST, SYMMETRIC


@leaf
def drifted(h, since, aging, p, v):
    """Both conductances of device p, so many steps after its pair was written with state h."""
    return drifted_at(h, since, aging, spot(p, v, aging.nu_plus))


@leaf
def mapped(h, aging):
    """Both conductances that stand for the weight h, where neither is stuck."""
    about, nu_plus = aging.about, aging.nu_plus
    base = nu_plus.dtype.type(about[G_PAIR])
    if about[MAPPING] == ONE_SIDED:
        plus, minus = where(h < 0.0, 0.0, h) + base, where(h < 0.0, -h, 0.0) + base
    elif about[MAPPING] == SYMMETRIC:
        plus, minus = fma(h, 0.5, base), fma(h, -0.5, base)
    else:
        plus, minus = h + base, filled(base, nu_plus)
    return plus, minus


@leaf
def beside(plus, minus, w, s, z):
    """Both conductances, plus and minus where neither is stuck, s and z where they are: the other then holds w."""
    moves, other = s != s, z != z
    return where(moves, where(other, plus, w + z), s), where(other, where(moves, minus, s - w), z)


@leaf
def drifted_at(h, since, aging, at):
    """The same of devices at a `picked.spot`."""
    about, nu_plus, nu_minus = aging.about, aging.nu_plus, aging.nu_minus
    plus, minus = mapped(h, aging)
    if aging.stuck_plus.shape[0] > 0 and about[MAPPING] != REFERENCE:
        plus, minus = beside(plus, minus, h, seen(aging.stuck_plus, at), seen(aging.stuck_minus, at))
    age = log(fma(since, nu_plus.dtype.type(1.0 / about[DRIFT_T0]), 1.0), nu_plus)
    return plus * exp(age * -seen(nu_plus, at)), minus * exp(age * -seen(nu_minus, at))


@leaf
def decayed(h, n, aging, p, v):
    """The state of device p at step n that was h when it was written."""
    return decayed_at(h, n, aging, spot(p, v, aging.nu_plus))


@leaf
def decayed_at(h, n, aging, at):
    """The same of devices at a `picked.spot`."""
    about, written, nu_plus, leak = aging.about, aging.written, aging.nu_plus, aging.leak
    real = nu_plus.dtype.type
    since = to_float(n - seen(written, at), nu_plus)
    if nu_plus.shape[0] > 0:
        plus, minus = drifted_at(h, since, aging, at)
        h = plus - minus
    if leak.shape[0] > 0:
        rest = filled(real(about[REST]), nu_plus)
        if aging.stuck_plus.shape[0] > 0:  # what moves leaks to its own part of the rest
            plus, minus = mapped(rest, aging)
            s, z = seen(aging.stuck_plus, at), seen(aging.stuck_minus, at)
            if about[MAPPING] != REFERENCE:
                rest = where(z != z, where(s != s, rest, s - minus), where(s != s, plus, s) - z)
            else:
                rest = where(s != s, rest, s - minus)
        h = fma(h - rest, exp(since * -seen(leak, at)), rest)
    return h
