"""What is noted while a write finds out how many pulses each device gets."""

from __future__ import annotations

import numpy as np
from numba.extending import overload

from .hardware import lacks
from .jit import FLAGS, leaf
from .picked import keep, seen
from .simd import filled, lanes_of, load, store, to_float, where, width_of


@leaf
def number_asked(x, p, v, extras):
    """A bias that is only a number takes x at once, and its device gets nothing."""
    if extras.number.shape[0] > 0:
        q = extras.number[p]
        if q >= 0:
            store(extras.value, q, v, load(extras.value, q, v) + x)
            x = filled(extras.value.dtype.type(0.0), extras.value)
    return x


@leaf
def note_given(counts, counted, limit, first, last, extras):
    """Pulses that parameters first .. last-1 are about to get: those asked for, as far as they live to see them."""
    given = extras.given
    if given.shape[0] > 0:
        for p in range(first, last):
            for v in range(0, lanes_of(given), width_of(given)):
                m = load(counts, p - first, v)
                if limit.shape[0] > 0:
                    had, most = load(counted, p, v), load(limit, p, v)
                    left = to_float(where(had < most, most - had, np.uint32(0)), given)
                    m = where(m > left, left, m)
                    m = where(m < -left, -left, m)
                store(given, p, v, m)


@leaf
def note_given_at(m, had, limit, at, given):
    """The same of the devices at a `picked.spot`, m and `had` being vectors; nothing where m is 0."""
    if given.shape[0] > 0:
        if limit.shape[0] > 0:
            most = seen(limit, at)
            left = to_float(where(had < most, most - had, np.uint32(0)), given)
            keep(given, at, where(m > left, left, where(m < -left, -left, m)), m != 0.0)
        else:
            keep(given, at, m, m != 0.0)


@leaf
def nothing_given(p, v, given):
    """No pulse for parameter p, until `note_given_at` says else."""
    if given.shape[0] > 0:
        store(given, p, v, 0.0)


def asked_on(x, p, v, device):
    """`number_asked`, or x."""


@overload(asked_on, jit_options=FLAGS)
def _asked_on(x, p, v, device):
    if lacks(device, "extras"):
        return lambda x, p, v, device: x
    return lambda x, p, v, device: number_asked(x, p, v, device.extras)


def given_on(counts, counted, limit, first, last, device):
    """`note_given`, or nothing."""


@overload(given_on, jit_options=FLAGS)
def _given_on(counts, counted, limit, first, last, device):
    if lacks(device, "extras"):
        return lambda counts, counted, limit, first, last, device: None
    return lambda counts, counted, limit, first, last, device: note_given(
        counts, counted, limit, first, last, device.extras
    )


def given_at_on(m, had, limit, at, device):
    """`note_given_at`, or nothing."""


@overload(given_at_on, jit_options=FLAGS)
def _given_at_on(m, had, limit, at, device):
    if not lacks(device, "pair"):
        return lambda m, had, limit, at, device: note_given_at(m, had, limit, at, device.given)
    if lacks(device, "extras"):
        return lambda m, had, limit, at, device: None
    return lambda m, had, limit, at, device: note_given_at(m, had, limit, at, device.extras.given)


def none_given_on(p, v, device):
    """`nothing_given`, or nothing."""


@overload(none_given_on, jit_options=FLAGS)
def _none_given_on(p, v, device):
    if not lacks(device, "pair"):
        return lambda p, v, device: nothing_given(p, v, device.given)
    if lacks(device, "extras"):
        return lambda p, v, device: None
    return lambda p, v, device: nothing_given(p, v, device.extras.given)


def asks_plainly(device):
    """Whether nothing of this concerns the write."""


@overload(asks_plainly, jit_options=FLAGS)
def _asks_plainly(device):
    if not lacks(device, "pair"):
        return lambda device: False
    if lacks(device, "extras"):
        return lambda device: True
    return lambda device: device.extras.given.shape[0] == 0 and device.extras.number.shape[0] == 0
