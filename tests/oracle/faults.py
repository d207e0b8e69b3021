"""What is broken on a chip: drawn by fractions or given by place. One chip, a network of dense layers.

Words of the stream FAULT come in blocks of 4 ceil((4 P + 4 N + 64)/4) for P parameters and N neurons: block 0 decides
which devices are stuck (those of plus, then those of minus), 1 the value where it is random, 2 the rows of all layers,
3 the columns, 4 the neurons. Lives are the normals from 4 * 2**40 ceil(P/4) on.
"""

import math
from dataclasses import dataclass

import numpy as np

from . import pair, philox
from .network import Neurons

FAULT = 14


@dataclass(frozen=True)
class Broken:
    """plus, minus float64[P]: where a conductance is stuck, 0 (lowest) to 1, NaN where it is not; open bool[P]: on a
    dead line; dead bool[N]."""

    plus: np.ndarray
    minus: np.ndarray
    open: np.ndarray
    dead: np.ndarray


def broken(net, seed, chip, low=0.0, high=0.0, random=0.0, stuck=(), rows=0.0, columns=0.0, neurons=0.0, dead_rows=(),
           dead_columns=(), dead_neurons=()):  # fmt: skip
    """The faults of a chip: Broken."""
    P, N = net.parameters, net.neurons
    stride = 4 * math.ceil((4 * P + 4 * N + 64) / 4)

    def uniform(block, count):
        return philox.uniform(philox.words(seed, chip, FAULT, block * stride, count))

    held = np.full(2 * P, np.nan)
    for k, (u, value) in enumerate(zip(uniform(0, 2 * P), uniform(1, 2 * P), strict=True)):
        if u < low:
            held[k] = 0.0
        elif u < low + high:
            held[k] = 1.0
        elif u < low + high + random:
            held[k] = value
    for p, which, value in stuck:
        held[p + P * (which == "minus")] = value
    row_u, column_u = (
        uniform(2, sum(a for a, _ in net.layers)) < rows,
        uniform(3, sum(b for _, b in net.layers)) < columns,
    )
    is_open, i0, j0 = [], 0, 0
    for q, (n_in, n_out) in enumerate(net.layers):
        row = [bool(row_u[i0 + i]) or (q, i) in dead_rows for i in range(n_in)]
        column = [bool(column_u[j0 + j]) or (q, j) in dead_columns for j in range(n_out)]
        is_open += [row[i] or column[j] for j in range(n_out) for i in range(n_in)] + column
        i0, j0 = i0 + n_in, j0 + n_out
    first = np.cumsum([0] + [b for _, b in net.layers])
    dead = uniform(4, N) < neurons
    for q, j in dead_neurons:
        dead[first[q] + j] = True
    return Broken(held[:P], held[P:], np.array(is_open), dead)


def ends(b_min, b_max, mapping="one-sided", g_min=0.0):
    """((least, largest) of plus, of minus): the conductances that each device takes as w goes from b_min to b_max.

    The reference of a pair takes one only; where it is stuck, it is as a device that moves.
    """
    g = pair.mapped(np.array([b_min, 0.0, b_max]), mapping, g_min, max(-b_min, b_max))
    plus, minus = ((x.min(), x.max()) for x in g)
    return plus, plus if mapping == "reference" else minus


def stuck_at(faults, b_min, b_max, mapping="one-sided", g_min=0.0):
    """float64[2, P]: what plus and minus are stuck at, NaN where they move."""
    return np.array([
        least + fraction * (largest - least)
        for fraction, (least, largest) in zip(
            (faults.plus, faults.minus), ends(b_min, b_max, mapping, g_min), strict=True
        )
    ])  # fmt: skip


def conductances(w, at, mapping="one-sided", g_min=0.0, w_end=1.0):
    """float64[2, P] of pairs that hold w = g_plus - g_minus: the device that moves makes up for one that is stuck."""
    plus, minus = pair.mapped(w, mapping, g_min, w_end)
    s, z = at
    return np.array([
        np.where(~np.isnan(s), s, np.where(~np.isnan(z), w + z, plus)),
        np.where(~np.isnan(z), z, np.where(~np.isnan(s), s - w, minus) if mapping != "reference" else minus),
    ])  # fmt: skip


def leaked(g, at, since, rest, mapping="one-sided", g_min=0.0, w_end=1.0):
    """Conductances float64[2, P] after `since` lifetimes: each that moves goes to what it is in a whole pair."""
    ends = pair.mapped(np.full(g.shape[1], rest), mapping, g_min, w_end)
    return np.where(np.isnan(at), ends + (g - ends) * np.exp(-since), g)


def bounds(faults, b_min, b_max, mapping="one-sided", g_min=0.0):
    """(lowest, highest) float64[P] w = g_plus - g_minus of pairs whose weight went from b_min < 0 to b_max > 0 when
    they were whole: each device that moves has its own range, each that is stuck one value, and so has a reference."""
    least, largest = [], []
    spans = list(ends(b_min, b_max, mapping, g_min))
    if mapping == "reference":
        spans[1] = (g_min + max(-b_min, b_max),) * 2
    for at, (low, high) in zip(stuck_at(faults, b_min, b_max, mapping, g_min), spans, strict=True):
        least.append(np.where(np.isnan(at), low, at))
        largest.append(np.where(np.isnan(at), high, at))
    lowest, highest = least[0] - largest[1], largest[0] - least[1]
    return np.where(faults.open, 0.0, lowest), np.where(faults.open, 0.0, highest)


def neurons(faults, whole, output):
    """Neurons of which the dead ones give `output` whatever comes in."""
    return Neurons(
        alpha=np.where(faults.dead, 0.0, whole.alpha), beta=whole.beta, a0=whole.a0,
        b0=np.where(faults.dead, output, whole.b0),
    )  # fmt: skip


def lives(P, seed, chip, median, spread):
    """Pulses that each device lives for: log-normal, at least 1."""
    xi = philox.normals(seed, chip, FAULT, 2**40 * 4 * math.ceil(P / 4), P)
    return np.maximum(np.floor(median * np.exp(spread * xi)), 1.0)
