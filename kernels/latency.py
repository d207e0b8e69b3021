"""What comes late on a chip: the error signal, the end of a write, its inputs.

`latency` is a `hardware.Latency`.
"""

from __future__ import annotations

import numpy as np
from numba.extending import overload

from .hardware import is_empty
from .jit import FLAGS, inner, leaf
from .perturb import perturbation_values, random_words, walsh_words
from .simd import fma, lanes_of, load, store, width_of
from .table import DELAY, INPUT_SHARE, MATCHED, RANDOM, SINUSOID, WRITE_STEPS


@leaf
def copy_rows(source, target, rows):
    """The first rows of target <- those of source."""
    for p in range(rows):
        for v in range(0, lanes_of(target), width_of(target)):
            store(target, p, v, load(source, p, v))


@inner
def late_perturbation(
    n, first, kind, n_params, tau_p, dt, period, amplitude, seed, ids, multiple, wave, phase_sin, phase_cos,
    scratch, many, latency,
):  # fmt: skip
    """The perturbation of `delay` steps ago, where parameters delay their own as the error is; `first` of a call."""
    about, words, values = latency.about, latency.words, latency.values
    m = n - np.int64(about[DELAY])
    if about[MATCHED] == 0.0 or about[DELAY] == 0.0 or m < 0 or not (first or m % tau_p == 0 or kind == SINUSOID):
        return
    k = m // tau_p
    if words.shape[0] == 0:
        perturbation_values(
            kind, m, k, k % n_params, dt, period, amplitude, seed, ids, multiple, wave, phase_sin, phase_cos,
            scratch, many, values,
        )  # fmt: skip
    elif kind == RANDOM:
        random_words(k, n_params, seed, ids, words[:4], np.int64(-1), words[4:])
    else:
        walsh_words(k, n_params, words[4:])


@leaf
def late_error(n, signal, row, latency):
    """signal[row] <- the error of `delay` steps ago, 0 where there was none; the new one goes on its way."""
    ring = latency.ring
    if ring.shape[0] > 0:
        at = n % ring.shape[0]
        for v in range(0, lanes_of(signal), width_of(signal)):
            e = load(ring, at, v)
            store(ring, at, v, load(signal, row, v))
            store(signal, row, v, e)


@leaf
def slow_inputs(work, n, new, latency):
    """Inputs in the first rows of work go a part of the way to what they are to be; those of step 0 all of it."""
    about, seen, target = latency.about, latency.seen, latency.target
    share = seen.dtype.type(about[INPUT_SHARE])
    if new:
        copy_rows(work, target, seen.shape[0])
    for i in range(seen.shape[0]):
        for v in range(0, lanes_of(seen), width_of(seen)):
            goal, x = load(target, i, v), load(seen, i, v)
            x = goal if n == 0 else fma(goal - x, share, x)
            store(seen, i, v, x)
            store(work, i, v, x)


@leaf
def exchange(theta, latency):
    """After a write: theta as it was before comes back, and what was written waits in `next`."""
    after = latency.next
    for p in range(after.shape[0]):
        for v in range(0, lanes_of(theta), width_of(theta)):
            new = load(theta, p, v)
            store(theta, p, v, load(after, p, v))
            store(after, p, v, new)


# The same, or nothing where the tuple of the devices is empty.


def settle_on(n, since_theta, theta, device):
    """What was written `write_steps` ago is seen from step n on."""


@overload(settle_on, jit_options=FLAGS)
def _settle_on(n, since_theta, theta, device):
    if is_empty(device):
        return lambda n, since_theta, theta, device: None

    def body(n, since_theta, theta, device):
        latency = device.latency
        if latency.next.shape[0] > 0 and n > since_theta and since_theta == np.int64(latency.about[WRITE_STEPS]):
            copy_rows(latency.next, theta, theta.shape[0])

    return body


def seen_from(device):
    """Step of a window at which the write at the end of the last one is seen."""


@overload(seen_from, jit_options=FLAGS)
def _seen_from(device):
    if is_empty(device):
        return lambda device: np.int64(0)
    return lambda device: np.int64(device.latency.about[WRITE_STEPS])


def before_write(theta, device):
    """Keeps theta as it is seen, where a write takes its time."""


@overload(before_write, jit_options=FLAGS)
def _before_write(theta, device):
    if is_empty(device):
        return lambda theta, device: None
    return lambda theta, device: copy_rows(theta, device.latency.next, device.latency.next.shape[0])


def after_write(theta, device):
    """`exchange`."""


@overload(after_write, jit_options=FLAGS)
def _after_write(theta, device):
    if is_empty(device):
        return lambda theta, device: None
    return lambda theta, device: exchange(theta, device.latency)


def inputs_on(work, n, new, device):
    """`slow_inputs`."""


@overload(inputs_on, jit_options=FLAGS)
def _inputs_on(work, n, new, device):
    if is_empty(device):
        return lambda work, n, new, device: None
    return lambda work, n, new, device: slow_inputs(work, n, new, device.latency)


def delay_on(n, signal, row, device):
    """`late_error`."""


@overload(delay_on, jit_options=FLAGS)
def _delay_on(n, signal, row, device):
    if is_empty(device):
        return lambda n, signal, row, device: None
    return lambda n, signal, row, device: late_error(n, signal, row, device.latency)


def late_on(
    n, first, kind, n_params, tau_p, dt, period, amplitude, seed, ids, multiple, wave, phase_sin, phase_cos,
    scratch, many, device,
):  # fmt: skip
    """`late_perturbation`."""


@overload(late_on, jit_options=FLAGS)
def _late_on(
    n, first, kind, n_params, tau_p, dt, period, amplitude, seed, ids, multiple, wave, phase_sin, phase_cos,
    scratch, many, device,
):  # fmt: skip
    empty = is_empty(device)

    def nothing(
        n, first, kind, n_params, tau_p, dt, period, amplitude, seed, ids, multiple, wave, phase_sin, phase_cos,
        scratch, many, device,
    ):  # fmt: skip
        return None

    def body(
        n, first, kind, n_params, tau_p, dt, period, amplitude, seed, ids, multiple, wave, phase_sin, phase_cos,
        scratch, many, device,
    ):  # fmt: skip
        late_perturbation(
            n, first, kind, n_params, tau_p, dt, period, amplitude, seed, ids, multiple, wave, phase_sin, phase_cos,
            scratch, many, device.latency,
        )  # fmt: skip

    return nothing if empty else body


def arrived(words, values, turn, n, tau_p, n_params, device):
    """(words, values, turn) of the perturbation that the error now arriving is multiplied with."""


@overload(arrived, jit_options=FLAGS)
def _arrived(words, values, turn, n, tau_p, n_params, device):
    if is_empty(device):
        return lambda words, values, turn, n, tau_p, n_params, device: (words, values, turn)

    def body(words, values, turn, n, tau_p, n_params, device):
        about, late_words, late_values = device.latency.about, device.latency.words, device.latency.values
        if about[MATCHED] == 0.0 or about[DELAY] == 0.0:
            return words, values, turn
        late = max(n - np.int64(about[DELAY]), 0) // tau_p % n_params
        return (late_words[4:] if late_words.shape[0] > 0 else words), late_values, late

    return body
