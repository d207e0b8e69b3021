"""The steps of one chip with a network of pictures: samples of a batch, or steps of a window, in the lanes.

As in rows.py a window's steps are measured together and then correlated one after the other; discrete mode, signs. The
samples of the steps of a group, step after step, are its columns; 16 of them at a time are a unit of work, of which
each thread does some. From SHARED samples a step on, a unit is of one step, and its lanes share the perturbed weights;
below, every lane has its own. A column's cost does not depend on the unit it is in, and costs are added in the order of
columns, so neither threads nor groups change a bit.
"""

from __future__ import annotations

import numpy as np

from . import table as t
from .across import signs
from .image import forward_own, forward_shared
from .jit import entry, inner
from .neuron import sample_cost
from .row_costs import C_MINUS, C_PLUS, needs_baseline, present, read_out
from .rows import broadcast, conclude, record
from .simd import WIDTH, load, put, splat, store, where

DRAW, MEASURE, BROADCAST, CONCLUDE = range(4)
SHARED = WIDTH  # samples a step from which weights are perturbed once for all lanes of a unit
PLUS, MINUS = range(2)


def units_of(steps: int, batch: int) -> int:
    """Units of work of a group of steps."""
    return steps * ((batch + WIDTH - 1) // WIDTH) if batch >= SHARED else (steps * batch + WIDTH - 1) // WIDTH


@inner
def draw(base, n1, seed, ids, ints, layers, words, slot, shown, chosen, own):
    """Samples and signs of the group's steps."""
    index, keys, _, _, _ = own
    last = layers.shape[0] - 1
    n_params = layers[last, t.BIASES] + layers[last, t.N_OUT]
    keys_epoch = np.int64(-1)
    batch = ints[t.BATCH]
    for n in range(base, n1):
        keys_epoch = present(n, base, base, seed, ids, ints, n_params, keys_epoch, index, keys, words, slot, shown)
        for b in range(batch):
            chosen[(n - base) * batch + b] = index[b, 0]


@inner
def show(xs, ys, input_rows, chosen, first, count, scale, work, y):
    """Inputs and targets of columns first .. first + count - 1 into the lanes; those left over repeat the last."""
    for lane in range(WIDTH):
        s = chosen[first + min(lane, count - 1)]
        for i in range(xs.shape[1]):
            put(work, input_rows[i], lane, work.dtype.type(xs[s, i]))
        for k in range(ys.shape[1]):
            put(y, k, lane, ys[s, k])
    if scale != 1.0:
        for i in range(xs.shape[1]):
            store(work, input_rows[i], 0, load(work, input_rows[i], 0) / scale)


@inner
def flat_perturbed(theta, words, k, amplitude, out, row):
    """out[row] <- theta + amplitude times the signs of row k of words."""
    plus, minus = splat(amplitude), splat(-amplitude)
    for p in range(0, theta.shape[1] - WIDTH, WIDTH):
        store(out, row, p, load(theta, 0, p) + where(signs(words, k, p >> 3, 0), minus, plus))


@inner
def take_costs(cost, work, outputs, y, sums, each, row, first, count):
    """The costs of a unit's columns into a row of each."""
    store(sums, 0, 0, sample_cost(cost, work, outputs, y, y.shape[0], 0))
    for lane in range(count):
        each[row, first + lane] = sums[0, lane]


@inner
def measure(base, n1, u0, u1, tables, chip, group, own):
    """Costs of the columns of units u0 .. u1-1."""
    ints, reals, _, stages, places, targets, input_rows, xs, ys = tables
    neuron, theta = chip[0], chip[1]
    _, words, slot, _, chosen, each = group
    work, sums, flat, lanes_own, word, y, slots = own
    real = theta.dtype.type
    batch = ints[t.BATCH]
    antithetic = ints[t.BASELINE] == t.ANTITHETIC
    amplitude = real(reals[t.AMPLITUDE])
    scale = real(reals[t.INPUT_SCALE])
    outputs = stages[stages.shape[0] - 1, t.TARGET_ROW]
    shared = batch >= SHARED
    per = (batch + WIDTH - 1) // WIDTH
    held = np.int64(-1)
    for u in range(u0, u1):
        if shared:
            c = u // per
            first = c * batch + WIDTH * (u - c * per)
            count = min(WIDTH, (c + 1) * batch - first)
        else:
            first = WIDTH * u
            count = min(WIDTH, (n1 - base) * batch - first)
        two = antithetic
        for lane in range(WIDTH):
            c = (first + min(lane, count - 1)) // batch
            slots[lane] = slot[c]
            two = two or needs_baseline(base + c, ints)
        show(xs, ys, input_rows, chosen, first, count, scale, work, y)
        if shared and slots[0] != held:
            held = slots[0]
            flat_perturbed(theta, words, held, amplitude, flat, 0)
            if antithetic:
                flat_perturbed(theta, words, held, -amplitude, flat, 1)
        for row in range(2 if two else 1):
            if shared:
                if row == PLUS:
                    forward_shared(flat[0:1], stages, places, targets, neuron, work, sums)
                elif antithetic:
                    forward_shared(flat[1:2], stages, places, targets, neuron, work, sums)
            elif row == PLUS or antithetic:
                size = amplitude if row == PLUS else -amplitude
                forward_own(
                    theta, words, slots, size, stages, places, targets, neuron, work, sums, lanes_own, word
                )  # fmt: skip
            if row == MINUS and not antithetic:
                forward_shared(theta, stages, places, targets, neuron, work, sums)
            take_costs(ints[t.COST], work, outputs, y, sums, each, row, first, count)


@inner
def add_up(base, n1, ints, each, costs):
    """Sums over the samples of each step, in their order."""
    batch = ints[t.BATCH]
    for c in range(n1 - base):
        plus = minus = costs.dtype.type(0.0)
        for b in range(c * batch, (c + 1) * batch):
            plus += each[PLUS, b]
            minus += each[MINUS, b]
        costs[C_PLUS, c] = plus
        costs[C_MINUS, c] = minus


@entry
def steps_columns(phase, base, n1, u0, u1, start, last, p0, p1, seed, ids, tables, chip, group, lead, own, probe):
    """One part of the work on steps base .. n1-1 of one window of one chip.

    DRAW: samples and signs; MEASURE: costs of units u0 .. u1-1; BROADCAST: C_ac; CONCLUDE: what parameters
    p0 .. p1-1 (multiples of 64) do with it. start, last: as in `steps_rows`.

    tables = (ints, reals, layers, stages int64[.., STAGES], places, targets int64[n], input_rows int64[n_in], xs
    real or uint8[n, n_in], ys real[n, n_out]). ids, chip and probe as in `steps_rows`. Shared by the threads,
    group = (costs real[4, steps], words uint32[steps, P/32 padded], slot, shown int64[steps], chosen
    int64[steps batch], each real[2, steps batch]); lead = (index uint32[batch, 16], keys uint32[13, 16], scratch
    uint32[4, 16], four real[4, 16], normals real[1, 64]). A thread's own = (work real[rows, 16], sums real[16, 16],
    flat real[2, P padded], own real[most parameters of a layer, 16], word uint32[1, 16], y real[n_out, 16], slots
    int64[16]).
    """
    ints, reals, layers = tables[0], tables[1], tables[2]
    _, theta, G, velocity, last_gradient, state, first_bad = chip
    costs, words, slot, shown, chosen, each = group
    if phase == DRAW:
        draw(base, n1, seed, ids, ints, layers, words, slot, shown, chosen, lead)
    elif phase == MEASURE:
        measure(base, n1, u0, u1, tables, chip, group, own)
    elif phase == BROADCAST:
        add_up(base, n1, ints, each, costs)
        read_out(base, base, n1, seed, ids, ints, reals, costs, lead[2], lead[3])
        broadcast(base, n1, ints, reals, costs, state, first_bad)
        record(base, n1, start, costs, shown, probe)
    else:
        conclude(
            base, n1, last, p0, p1, seed, ids, ints, reals, layers, theta, G, velocity, last_gradient, costs, words,
            slot, lead[4],
        )  # fmt: skip
