"""Where the step meets its devices: those with a state of their own, or theta alone where the tuple is empty."""

from __future__ import annotations

import numpy as np
from numba.extending import overload

from .aging import decayed
from .conductance import hold_pairs
from .disturb import disturb_on, restore_on
from .hardware import is_empty, lacks
from .jit import FLAGS, leaf
from .pair import write_pairs
from .pair_table import STILL, WRITTEN_UP
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


@leaf
def restore_pairs(theta, device):
    """Biases that are only numbers are what they are, also without what fluctuates."""
    restore_on(theta, device)
    real, at = device.pair.real, device.pair.at
    if at[STILL + 1] > at[STILL]:
        restore_on(real[at[STILL] : at[STILL + 1]], device)


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

    def with_pairs(n, theta, G, velocity, reals, rate, clear, number, seed, ids, words, many, device):
        if device.pair.about[WRITTEN_UP] > 0.0:
            write_pairs(n, theta, G, velocity, reals, rate, clear, number, seed, ids, words, device)
        elif device.law[WRITES] == WRITES_PULSES:
            write_pulses(n, theta, G, velocity, reals, rate, clear, number, seed, ids, device.work, device)
        else:
            write_values(n, theta, G, velocity, reals, rate, clear, number, seed, ids, words, device)
        restore_pairs(theta, device)

    return body if lacks(device, "pair") else with_pairs


def is_plain(device):
    """Whether devices have no state but theta."""


@overload(is_plain, jit_options=FLAGS)
def _is_plain(device):
    if is_empty(device):
        return lambda device: True
    return lambda device: device.law[WRITES] == WRITES_PLAIN and device.latency.about[WRITE_STEPS] == 0.0


def hold_on(n, theta, seed, ids, words, many, device):
    """`hold`, or `hold_pairs`, or nothing where `device` is empty."""


@overload(hold_on, jit_options=FLAGS)
def _hold_on(n, theta, seed, ids, words, many, device):
    if is_empty(device):
        return lambda n, theta, seed, ids, words, many, device: None
    if lacks(device, "pair"):
        return lambda n, theta, seed, ids, words, many, device: hold(n, theta, device)

    def with_pairs(n, theta, seed, ids, words, many, device):
        hold_pairs(n, theta, seed, ids, words, many, device)
        restore_pairs(theta, device)

    return with_pairs
