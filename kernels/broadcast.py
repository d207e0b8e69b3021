"""The error signal as each layer's array gets it: with a gain and an offset of its own, where it has such.

G of a layer then takes up C_ac gain + offset instead of C_ac. `extras` is a `hardware.Extras`.
"""

from __future__ import annotations

import numpy as np
from numba.extending import overload

from .dense import sign_words
from .hardware import lacks
from .jit import FLAGS, leaf
from .simd import fma, lanes_of, load, store, width_of


@leaf
def array_error(q, words, signs, signal, row, own, first, last, scale, extras):
    """(words, row, first, last) for layer q: its error in row `own`, those of the parameters first .. last-1 it has.

    Words are shifted, so that the layer's first sign is the first of a word, as `accumulate` reads them.
    """
    w0 = extras.arrays[4 * q + 2]
    end = extras.arrays[4 * q + 3] + extras.arrays[4 * q + 1]
    for v in range(0, lanes_of(signal), width_of(signal)):
        offset = load(extras.error_offset, q, v) * scale
        store(signal, own, v, fma(load(signal, row, v), load(extras.error_gain, q, v), offset))
    first, last = max(first, w0), min(last, end)
    if signs:
        for p in range(first, last, 32):
            for v in range(0, lanes_of(words), width_of(words)):
                store(extras.words, p >> 5, v, sign_words(words, p, v))
    return extras.words if signs else words, own, first, last


def arrays_on(layers, device):
    """How many arrays get an error of their own; else 1, all of them."""


@overload(arrays_on, jit_options=FLAGS)
def _arrays_on(layers, device):
    if lacks(device, "extras"):
        return lambda layers, device: np.int64(1)
    return lambda layers, device: np.int64(layers) if device.extras.error_gain.shape[0] > 0 else np.int64(1)


def array_on(q, words, signs, signal, row, own, first, last, scale, device):
    """`array_error`, or everything as it is."""


@overload(array_on, jit_options=FLAGS)
def _array_on(q, words, signs, signal, row, own, first, last, scale, device):
    if lacks(device, "extras"):
        return lambda q, words, signs, signal, row, own, first, last, scale, device: (words, row, first, last)

    def body(q, words, signs, signal, row, own, first, last, scale, device):
        if device.extras.error_gain.shape[0] == 0:
            return words, row, first, last
        return array_error(q, words, signs, signal, row, own, first, last, scale, device.extras)

    return body
