"""What a chip is made of besides its network, as the kernels take it: named tuples of arrays.

In every array the lanes are the last axis (no axis for a chip on its own), but for the tables of numbers, which have
none. An array that is not needed has no rows; a part that is not there at all is (), and nothing of it is compiled.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types


class Aging(NamedTuple):
    """What devices do by themselves (`aging`): about float64[AGING], written int64[P or 0] (the step before which a
    device was last written), nu_plus, nu_minus, leak real[P or 0]."""

    about: np.ndarray
    written: np.ndarray
    nu_plus: np.ndarray
    nu_minus: np.ndarray
    leak: np.ndarray


class Latency(NamedTuple):
    """What comes late (`latency`): about float64[LATENCY], ring real[delay] (errors on their way), words uint32[4 +
    ceil(P/32) or 0] and values real[P or 0] (the perturbation that the error now arriving belongs to; the first four
    rows of words are scratch), next real[P or 0] (what is being written), seen and target real[n_in or 0] (inputs as
    they are, and as they are to be)."""

    about: np.ndarray
    ring: np.ndarray
    words: np.ndarray
    values: np.ndarray
    next: np.ndarray
    seen: np.ndarray
    target: np.ndarray


class Readout(NamedTuple):
    """How columns and costs are read (`readout`): about float64[READOUT], columns real[2 neurons or 0] (gain and offset
    of each column's converter), xi real[2 x padded neurons or 0] (normals of an evaluation, copy a and then copy b),
    variance real[P or 0] (of the read noise of the pair that holds each parameter, where it depends on theta),
    saturated uint64[4] (conversions that were cut: inputs, columns, cost; scratch)."""

    about: np.ndarray
    columns: np.ndarray
    xi: np.ndarray
    variance: np.ndarray
    saturated: np.ndarray


class Hardware(NamedTuple):
    """The devices of a chip (`pulse`) and what they are read with.

    law float64[LAW]; held real[P] is the state when it was written, offset what is subtracted from it for the network
    to see, kept the write noise that is added, limit uint32[P] the pulses a device lives for, counted uint32[P] those
    it has had; up .. low as in `device_law.Devices`; counts, xi and work are scratch.
    """

    law: np.ndarray
    held: np.ndarray
    up: np.ndarray
    down: np.ndarray
    slope_up: np.ndarray
    slope_down: np.ndarray
    high: np.ndarray
    low: np.ndarray
    offset: np.ndarray
    carry: np.ndarray
    counted: np.ndarray
    limit: np.ndarray
    kept: np.ndarray
    counts: np.ndarray
    xi: np.ndarray
    work: np.ndarray
    aging: Aging
    latency: Latency
    readout: Readout


class Reading(NamedTuple):
    """A chip that is only read."""

    readout: Readout


def is_empty(kind: Any) -> bool:
    """Whether a type is that of ()."""
    return isinstance(kind, types.BaseTuple) and len(kind) == 0


def lacks(kind: Any, part: str) -> bool:
    """Whether a type is that of (), or of a tuple whose `part` is ()."""
    return is_empty(kind) or is_empty(kind.types[kind.fields.index(part)])
