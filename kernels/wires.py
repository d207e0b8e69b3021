"""What the network sees through an array's wires: exact solves now and then, each device's own effect between them.

A layer lies on arrays, one of g_plus and one of g_minus, with the same wires and inputs, subtracted. At a solve
theta = M_plus - M_minus, the effective matrices (`elimination`); until the next,

    theta = base + plus g_plus - minus g_minus,    base = M_plus - M_minus - plus g_plus + minus g_minus then,

plus and minus the sensitivity of each element to its own device. A perturbation is a conductance, too: half of it on
one device of the pair and half on the other, so theta_ac is seen as theta_ac (plus + minus)/2. With `EXACT`
everything is solved whenever it changes, what is perturbed included.

`device` is a `hardware.Hardware`; where its `wires` are (), theta is the devices' own and all of this is nothing.
"""

from __future__ import annotations

import numpy as np
from numba.extending import overload

from .hardware import lacks
from .jit import FLAGS, inner, leaf
from .latency import copy_rows
from .simd import any_lane, at, fma, lanes_of, load, put, store, where, width_of
from .table import AGE_EVERY, EXACT, ONE_LINE, WRITE_STEPS
from .wire_pairs import look
from .wire_solves import perturb_chips, solve_chips


@inner
def see(n, theta, device):
    """theta <- base + plus g_plus - minus g_minus."""
    wires = device.wires
    if wires.about[ONE_LINE] > 0.0:  # a pair of which one device is always at g_min, and in `base`
        for p in range(theta.shape[0]):
            for v in range(0, lanes_of(theta), width_of(theta)):
                own = load(wires.own, p, v)
                slope = where(own < 0.0, load(wires.minus, p, v), load(wires.plus, p, v))
                store(theta, p, v, fma(slope, own, load(wires.base, p, v)))
        return
    look(n, device)
    for p in range(theta.shape[0]):
        for v in range(0, lanes_of(theta), width_of(theta)):
            rest = fma(-load(wires.minus, p, v), load(wires.g_minus, p, v), load(wires.base, p, v))
            store(theta, p, v, fma(load(wires.plus, p, v), load(wires.g_plus, p, v), rest))


@leaf
def due(n, wires):
    """Whether the time of any chip has come."""
    found = False
    for v in range(0, lanes_of(wires.next), width_of(wires.next)):
        found = found or any_lane(load(wires.next, 0, v) <= n)
    return found


# Where the step meets its wires: nothing where there are none.


def own_of(theta, device):
    """(What the devices amount to,): theta itself, where no wires stand between. Arrays leave functions in tuples."""


@overload(own_of, jit_options=FLAGS)
def _own_of(theta, device):
    if lacks(device, "wires"):
        return lambda theta, device: (theta,)
    return lambda theta, device: (device.wires.own,)


def wires_start(n, unit, ids, theta, gain, layers, device):
    """The first solve of a run."""


@overload(wires_start, jit_options=FLAGS)
def _wires_start(n, unit, ids, theta, gain, layers, device):
    if lacks(device, "wires"):
        return lambda n, unit, ids, theta, gain, layers, device: None

    def body(n, unit, ids, theta, gain, layers, device):
        if at(device.wires.solves, 0, 0) == np.uint64(0):
            solve_chips(n, True, True, unit, ids, theta, gain, layers, device)

    return body


def wires_on(n, since_theta, measured, unit, ids, theta, gain, layers, device):
    """theta at the beginning of step n; whether a solve has changed what a perturbation amounts to.

    Solves fall on steps at which the baseline is `measured` anew: theta jumps by the error it had.
    """


@overload(wires_on, jit_options=FLAGS)
def _wires_on(n, since_theta, measured, unit, ids, theta, gain, layers, device):
    if lacks(device, "wires"):
        return lambda n, since_theta, measured, unit, ids, theta, gain, layers, device: False

    def body(n, since_theta, measured, unit, ids, theta, gain, layers, device):
        late = device.latency
        every = np.int64(device.aging.about[AGE_EVERY])
        changed = every > 0 and n % every == 0
        if late.next.shape[0] > 0 and n > since_theta and since_theta == np.int64(late.about[WRITE_STEPS]):
            changed = True
        exact = device.wires.about[EXACT] > 0.0
        if changed and not exact:
            see(n, theta, device)
        if (changed and exact) or (measured and not exact and due(n, device.wires)):
            solve_chips(n, exact, False, unit, ids, theta, gain, layers, device)
            return True
        return False

    return body


def wires_after(n, goes_on, unit, ids, theta, gain, layers, device):
    """theta after the write at the end of step n; whether a solve has changed what a perturbation amounts to."""


@overload(wires_after, jit_options=FLAGS)
def _wires_after(n, goes_on, unit, ids, theta, gain, layers, device):
    if lacks(device, "wires"):
        return lambda n, goes_on, unit, ids, theta, gain, layers, device: False

    def body(n, goes_on, unit, ids, theta, gain, layers, device):
        every = np.int64(device.aging.about[AGE_EVERY])
        again = every > 0 and (n + 1) % every == 0  # devices are looked at again before anything else is
        if again and goes_on:
            return False
        if device.wires.about[EXACT] > 0.0:
            solve_chips(n, True, False, unit, ids, theta, gain, layers, device)
            if again:  # only for who looks at theta here: not one of the run's, whose number would tell of that
                for lane in range(lanes_of(theta)):
                    put(device.wires.solves, 0, lane, at(device.wires.solves, 0, lane) - np.uint64(1))
            return True
        see(n, theta, device)
        return False

    return body


def wires_perturb(n, signs, words, values, amplitude, ids, applied, layers, device):
    """`perturb_chips`, with wires that are solved exactly."""


@overload(wires_perturb, jit_options=FLAGS)
def _wires_perturb(n, signs, words, values, amplitude, ids, applied, layers, device):
    if lacks(device, "wires"):
        return lambda n, signs, words, values, amplitude, ids, applied, layers, device: None

    def body(n, signs, words, values, amplitude, ids, applied, layers, device):
        if device.wires.about[EXACT] > 0.0:
            perturb_chips(n, signs, words, values, amplitude, ids, applied, layers, device)

    return body


def wires_middle(there, theta, device):
    """Where both ways of an exact perturbation are evaluated: theta is their mean while they are, and goes back."""


@overload(wires_middle, jit_options=FLAGS)
def _wires_middle(there, theta, device):
    if lacks(device, "wires"):
        return lambda there, theta, device: None

    def body(there, theta, device):
        middle = device.wires.middle
        copy_rows(middle if there else device.wires.base, theta, middle.shape[0])

    return body
