"""The two conductances of each cell on arrays with wires: `wires` says what they are for."""

from __future__ import annotations

import numpy as np

from .aging import beside, drifted, mapped
from .jit import inner, leaf
from .simd import fma, lanes_of, load, store, to_float, where, width_of
from .table import AGE_EVERY, MAPPING, ONE_SIDED, SYMMETRIC


@leaf
def pair(held_at, device, p, v):
    """g_plus and g_minus of cell p, with what drift has left of them at step `held_at`; their difference is `own`.

    What is neither the pair as written nor its drift (leak, the reference, noise of the write) moves the conductance
    that holds the weight; what would take one below 0 goes to the other.
    """
    wires, aging, mapping = device.wires, device.aging, device.aging.about[MAPPING]
    own = load(wires.own, p, v)
    if aging.nu_plus.shape[0] > 0:
        h = load(device.held, p, v)
        since = held_at - load(aging.written, p, v)
        since = where(since < 0, 0, since)  # written after it was last looked at
        plus, minus = drifted(h, to_float(since, aging.nu_plus), aging, p, v)
        more = own - (plus - minus)
        if mapping == ONE_SIDED:
            moved = h + more
            plus = plus + (where(moved < 0.0, 0.0, moved) - where(h < 0.0, 0.0, h))
            minus = minus + (where(moved < 0.0, -moved, 0.0) - where(h < 0.0, -h, 0.0))
        elif mapping == SYMMETRIC:
            plus, minus = fma(more, 0.5, plus), fma(more, -0.5, minus)
        else:
            plus = plus + more
    else:
        plus, minus = mapped(own, aging)
    if wires.stuck_plus.shape[0] > 0:
        plus, minus = beside(plus, minus, own, load(wires.stuck_plus, p, v), load(wires.stuck_minus, p, v))
    below, above = where(plus < 0.0, -plus, 0.0), where(minus < 0.0, -minus, 0.0)
    return plus + below + above, minus + below + above


@leaf
def looked_at(n, device):
    """The step at which the network last looked at devices that change by themselves, at step n."""
    every = np.int64(device.aging.about[AGE_EVERY])
    return n - n % every if every > 0 else n


@inner
def look(n, device):
    """g_plus, g_minus <- `pair` at step n."""
    wires = device.wires
    held_at = looked_at(n, device)
    for p in range(wires.own.shape[0]):
        for v in range(0, lanes_of(wires.own), width_of(wires.own)):
            plus, minus = pair(held_at, device, p, v)
            store(wires.g_plus, p, v, plus)
            store(wires.g_minus, p, v, minus)
