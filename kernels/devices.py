"""Where the step meets its devices: those with a state of their own, or theta alone where the tuple is empty."""

from __future__ import annotations

import numpy as np
from numba.extending import overload

from .aging import decayed
from .disturb import disturb_on, restore_on
from .hardware import is_empty
from .jit import FLAGS, leaf
from .pulses import write_pulses
from .simd import lanes_of, load, store, width_of
from .table import AGE_EVERY, WRITE_STEPS, WRITES, WRITES_PLAIN, WRITES_PULSES
from .update import write
from .writes import write_values


@leaf
def hold(n, theta, device):
    """What the network sees of the devices at step n, where they change by themselves: now and then."""
    held, offset, kept, aging = device.held, device.offset, device.kept, device.aging
    every = np.int64(aging.about[AGE_EVERY])
    if every > 0 and n % every == 0:
        for p in range(theta.shape[0]):
            for v in range(0, lanes_of(theta), width_of(theta)):
                h = decayed(load(held, p, v), n, aging, p, v)
                if offset.shape[0] > 0:
                    h = h - load(offset, p, v)
                if kept.shape[0] > 0:
                    h = h + load(kept, p, v)
                store(theta, p, v, h)
        restore_on(theta, device)


def write_on(n, theta, G, velocity, reals, rate, clear, number, seed, ids, words, many, device):
    """`write_pulses`, or `update.write` where `device` is empty."""


@overload(write_on, jit_options=FLAGS)
def _write_on(n, theta, G, velocity, reals, rate, clear, number, seed, ids, words, many, device):
    if is_empty(device):
        return lambda n, theta, G, velocity, reals, rate, clear, number, seed, ids, words, many, device: write(
            theta, G, velocity, reals, rate, clear, number, seed, ids, words, many
        )

    def body(n, theta, G, velocity, reals, rate, clear, number, seed, ids, words, many, device):
        if device.law[WRITES] == WRITES_PLAIN:
            write(theta, G, velocity, reals, rate, clear, number, seed, ids, words, many)
            return
        if device.law[WRITES] == WRITES_PULSES:
            write_pulses(n, theta, G, velocity, reals, rate, clear, number, seed, ids, device.work, device)
        else:
            write_values(n, theta, G, velocity, reals, rate, clear, number, seed, ids, words, device)
        disturb_on(theta, device)
        restore_on(theta, device)

    return body


def is_plain(device):
    """Whether devices have no state but theta."""


@overload(is_plain, jit_options=FLAGS)
def _is_plain(device):
    if is_empty(device):
        return lambda device: True
    return lambda device: device.law[WRITES] == WRITES_PLAIN and device.latency.about[WRITE_STEPS] == 0.0


def hold_on(n, theta, device):
    """`hold`, or nothing where `device` is empty."""


@overload(hold_on, jit_options=FLAGS)
def _hold_on(n, theta, device):
    if is_empty(device):
        return lambda n, theta, device: None
    return lambda n, theta, device: hold(n, theta, device)
