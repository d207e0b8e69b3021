"""The volatile element that adds the perturbation to a weight: few levels, and not quite linear.

Asked for d it gives d' (1 + cubic d'^2), d' the nearest of its levels (halves away from 0), cut to its range.
"""

from __future__ import annotations

from numba.extending import overload

from .hardware import lacks
from .jit import FLAGS, leaf
from .perturb import copy_row
from .simd import floor, fma, where
from .table import ELEMENT_CUBIC, ELEMENT_RANGE, ELEMENT_STEP


@leaf
def given_by_element(x, about):
    """What the element adds to the weight when it is asked for x; about float64[EXTRAS]."""
    step, high, cubic = about[ELEMENT_STEP], about[ELEMENT_RANGE], about[ELEMENT_CUBIC]
    if step > 0.0:
        size = where(x < 0.0, -x, x)
        size = where(size > high, high, size)
        size = floor(size * (1.0 / step) + 0.5) * step
        x = where(x < 0.0, -size, size)
    return fma(x * x * cubic, x, x)


def element_on(x, device):
    """`given_by_element`, or x."""


@overload(element_on, jit_options=FLAGS)
def _element_on(x, device):
    if lacks(device, "extras"):
        return lambda x, device: x
    return lambda x, device: given_by_element(x, device.extras.about)


def numbers_on(values, applied, device):
    """The perturbation of a bias that is only a number is what it is meant to be."""


@overload(numbers_on, jit_options=FLAGS)
def _numbers_on(values, applied, device):
    if lacks(device, "extras"):
        return lambda values, applied, device: None

    def body(values, applied, device):
        biases = device.extras.biases
        for q in range(biases.shape[0]):
            copy_row(values, biases[q], applied, biases[q])

    return body
