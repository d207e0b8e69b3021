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
    device was last written), nu_plus, nu_minus, leak real[P or 0], stuck_plus and stuck_minus real[P or 0] (what the
    conductances of a pair are stuck at, NaN where they move)."""

    about: np.ndarray
    written: np.ndarray
    nu_plus: np.ndarray
    nu_minus: np.ndarray
    leak: np.ndarray
    stuck_plus: np.ndarray
    stuck_minus: np.ndarray


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
    saturated uint64[4] (conversions that were cut: inputs, columns, cost; scratch)."""

    about: np.ndarray
    columns: np.ndarray
    xi: np.ndarray
    saturated: np.ndarray


class Pair(NamedTuple):
    """The two conductances of every weight, where they are more than a mapping; in units of theta.

    about float64[PAIR]; every, keep float64[processes] (iterations between updates of 1/f noise, correlation between
    them). real[..] and count uint32[..] hold all the rest, one after the other, as the tables at, count_at int64 say
    (`part`): few arrays compile faster. Of each side, P rows or none: HELD the conductance as it was meant to be when
    it was written, PROGRAMMED as it then was, NOW what it has become; of devices that are written upwards only
    (`pair`) STEP_UP, SLOPE, HIGH, LOW, RESET (where a reset leaves it) and COUNTED, LIMIT; fluctuations (`flicker`):
    RATIO of a process to the conductance, PROCESSES (P rows each), SLOW the sum of the slow ones, TRAP (1: there is
    one) and its STATE (0 or 1); TOUCHED[32] is scratch. Of both: STILL is theta without fluctuations, REFRESHED a
    count, DUE[32] scratch. Exponents and clocks are those of `Aging`; devices written upwards have two clocks, in 2 P
    rows.
    """

    about: np.ndarray
    every: np.ndarray
    keep: np.ndarray
    at: np.ndarray
    count_at: np.ndarray
    real: np.ndarray
    count: np.ndarray


class Extras(NamedTuple):
    """What few chips have; () for the others.

    about float64[EXTRAS]; arrays int64[4 layers] (n_in, n_out, first weight, first bias of each).
    Errors (`broadcast`): error_gain, error_offset real[layers or 0], words uint32[as many as signs or 0] scratch.
    Noise of the cost (`cost_noise`): keep, fresh float64[K], noise float64[K + 2 or 0] (K processes, a random walk, a
    telegraph), hum float64[2 or 0] (cosine and sine of its phase), xi float64[4 + 4 ceil(K/4) or 0] scratch.
    Disturbance (`disturb`): given real[P or 0] the pulses of a write, signed, lines real[2 x (the most rows + columns)
    or 0] scratch.
    Digital biases (`digital`): number int64[P or 0], which bias a parameter is, or -1, biases int64[neurons or 0], the
    parameter of each, value real[neurons or 0].
    """

    about: np.ndarray
    arrays: np.ndarray
    error_gain: np.ndarray
    error_offset: np.ndarray
    words: np.ndarray
    keep: np.ndarray
    fresh: np.ndarray
    noise: np.ndarray
    hum: np.ndarray
    xi: np.ndarray
    given: np.ndarray
    lines: np.ndarray
    number: np.ndarray
    biases: np.ndarray
    value: np.ndarray


class Wires(NamedTuple):
    """Crossbars whose wires have resistance (`wires`): about float64[WIRING], tiles int64[arrays x TILE].

    own real[P] is what the devices amount to without wires; theta = base + plus g_plus - minus g_minus between solves,
    all real[P]; mismatch and middle (theta while a perturbation that is exact both ways is applied) real[P or 0];
    stuck_plus and stuck_minus real[P or 0], conductances that do not move, NaN where they do. next, last int64[1] are
    steps of solves, solves uint64[1] how many, worst float64[2] the largest error and the rate at which it grows.
    g_plus, g_minus real[P], exact, other float64[P] (no lanes), cells, work and stack float64[.., .., ..]
    (`elimination`) are scratch.
    """

    about: np.ndarray
    tiles: np.ndarray
    own: np.ndarray
    base: np.ndarray
    plus: np.ndarray
    minus: np.ndarray
    mismatch: np.ndarray
    middle: np.ndarray
    stuck_plus: np.ndarray
    stuck_minus: np.ndarray
    next: np.ndarray
    last: np.ndarray
    solves: np.ndarray
    worst: np.ndarray
    g_plus: np.ndarray
    g_minus: np.ndarray
    exact: np.ndarray
    other: np.ndarray
    cells: np.ndarray
    work: np.ndarray
    stack: np.ndarray


class Hardware(NamedTuple):
    """The devices of a chip (`pulse`) and what they are read with.

    law float64[LAW]; held real[P] is the state when it was written, offset what is subtracted from it for the network
    to see, kept the write noise that is added, limit uint32[P] the pulses a device lives for, counted uint32[P] those
    it has had; up .. low as in `device_law.Devices`; counts, xi and work are scratch. packed real[P or 0, lanes,
    8]: up, down, slope_up, slope_down, high, low, offset once more (0 where there are none), those of a device side by
    side; given real[P or 0] (with a Pair) the pulses of a write, signed.
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
    packed: np.ndarray
    given: np.ndarray
    aging: Aging
    latency: Latency
    readout: Readout
    extras: Any = ()  # Extras, where there are such
    wires: Any = ()  # Wires, where there are such
    pair: Any = ()  # Pair, where there is one


class Pictures(NamedTuple):
    """How a network of pictures is laid out (`pictures`): stages int64[.., STAGES], places, targets int64[n] as in
    image.py, input_rows int64[n_in], rows int64[4]: where in work the pictures of copies a and b begin, what a place
    sees, and what becomes of it."""

    stages: np.ndarray
    places: np.ndarray
    targets: np.ndarray
    input_rows: np.ndarray
    rows: np.ndarray


class Reading(NamedTuple):
    """A chip that is only read."""

    readout: Readout


def is_empty(kind: Any) -> bool:
    """Whether a type is that of ()."""
    return isinstance(kind, types.BaseTuple) and len(kind) == 0


def lacks(kind: Any, part: str) -> bool:
    """Whether a type is that of (), or of a tuple whose `part` is ()."""
    return is_empty(kind) or is_empty(kind.types[kind.fields.index(part)])
