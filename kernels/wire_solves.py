"""Exact solves of the arrays of chips with wires, one chip after another: when, what is kept, how far off it was.

`wires` says what they are for.
"""

from __future__ import annotations

import numpy as np

from .dense import sign_word
from .element import element_on, numbers_on
from .elimination import G, M, S, solve_array
from .jit import inner, leaf
from .simd import at, filled, flip, lanes_of, load, put, store, width_of
from .table import (
    BIAS_ROWS,
    BIASES,
    COLUMN_R,
    DRIVEN_BOTH,
    EXACT,
    G_PAIR,
    N_IN,
    N_OUT,
    ONE_LINE,
    REFRESH,
    ROW_R,
    SENSE_R,
    SENSED_BOTH,
    SOURCE_R,
    TILE,
    TILE_COLUMN,
    TILE_COLUMNS,
    TILE_LAYER,
    TILE_ROW,
    TILE_ROWS,
    TOLERANCE,
    WEIGHTS,
)
from .wire_pairs import look

AIM = 0.5  # of the tolerance: the error is not that of the last interval
GROWTH = 4  # of an interval, at most
FADES = 0.9  # what counts of an earlier rate, at every solve
LONGEST = 1 << 40


@leaf
def cell(i, j, layers, q):
    """Parameter on row i and column j of layer q: its last row is that of the biases."""
    return layers[q, WEIGHTS] + j * layers[q, N_IN] + i if i < layers[q, N_IN] else layers[q, BIASES] + j


@inner
def solve_tile(k, lane, conductances, delta, part, sensitive, layers, wires):
    """cells of `wires` from array k of a chip, its devices `conductances` + part delta. An array wider than high is
    turned: rows become columns, from the end."""
    about, tiles, cells = wires.about, wires.tiles, wires.cells
    q, i0, j0 = tiles[k * TILE + TILE_LAYER], tiles[k * TILE + TILE_ROW], tiles[k * TILE + TILE_COLUMN]
    rows, columns = tiles[k * TILE + TILE_ROWS], tiles[k * TILE + TILE_COLUMNS]
    g = cells[G]
    turned = columns > rows
    for i in range(rows):
        for j in range(columns):
            p = cell(i0 + i, j0 + j, layers, q)
            value = np.float64(at(conductances, p, lane))
            if part != 0.0:
                value += part * np.float64(at(delta, p, lane))
            if turned:
                put(g, columns - 1 - j, rows - 1 - i, value)
            else:
                put(g, i, j, value)
    a, b = (COLUMN_R, ROW_R) if turned else (ROW_R, COLUMN_R)
    c, d = (SENSE_R, SOURCE_R) if turned else (SOURCE_R, SENSE_R)
    e, f = (SENSED_BOTH, DRIVEN_BOTH) if turned else (DRIVEN_BOTH, SENSED_BOTH)
    solve_array(
        cells, columns if turned else rows, rows if turned else columns, about[a], about[c], about[e] > 0.0, about[b],
        about[d], about[f] > 0.0, sensitive, wires.work, wires.stack,
    )  # fmt: skip


@inner
def matrices(lane, delta, part, sensitive, out, layers, wires):
    """out float64[P] <- M_plus - M_minus of the arrays of a chip, S into plus and minus if `sensitive`.

    The conductances are g_plus and g_minus, with a part of delta on the one and less on the other.
    """
    tiles = wires.tiles
    real = wires.own.dtype.type
    for p in range(out.shape[0]):
        out[p] = 0.0
    for side in range(2):
        conductances = wires.g_plus if side == 0 else wires.g_minus
        slopes = wires.plus if side == 0 else wires.minus
        sign = 1.0 if side == 0 else -1.0
        for k in range(tiles.shape[0] // TILE):
            solve_tile(k, lane, conductances, delta, sign * part, sensitive, layers, wires)
            found, slope = wires.cells[M], wires.cells[S]
            q, i0, j0 = tiles[k * TILE + TILE_LAYER], tiles[k * TILE + TILE_ROW], tiles[k * TILE + TILE_COLUMN]
            rows, columns = tiles[k * TILE + TILE_ROWS], tiles[k * TILE + TILE_COLUMNS]
            turned = columns > rows
            for i in range(rows):
                for j in range(columns):
                    a, b = (columns - 1 - j, rows - 1 - i) if turned else (i, j)
                    p = cell(i0 + i, j0 + j, layers, q)
                    out[p] += sign * at(found, a, b)
                    if sensitive:
                        put(slopes, p, lane, real(at(slope, a, b)))


@inner
def error_of(lane, theta, layers, wires):
    """How far theta is off the exact solve in `exact`, as a fraction of the currents: root mean square over inputs
    uniform in 0 .. 1, the largest of the layers (`wires._norm`)."""
    worst = 0.0
    for q in range(layers.shape[0]):
        rows = layers[q, N_IN] + np.int64(wires.about[BIAS_ROWS])
        off, size = 0.0, 0.0
        for j in range(layers[q, N_OUT]):
            d_sum, m_sum, d_square, m_square = 0.0, 0.0, 0.0, 0.0
            for i in range(rows):
                p = cell(i, j, layers, q)
                m = wires.exact[p]
                d = np.float64(at(theta, p, lane)) - m
                d_sum, m_sum = d_sum + d, m_sum + m
                d_square, m_square = d_square + d * d, m_square + m * m
            off += d_sum * d_sum / 4.0 + d_square / 12.0
            size += m_sum * m_sum / 4.0 + m_square / 12.0
        if off > 0.0:
            worst = max(worst, np.sqrt(off / size) if size > 0.0 else 1.0)
    return worst


@inner
def next_solve(n, elapsed, error, unit, lane, wires):
    """The step of the next solve, after one at step n that found an error so many steps after the last one.

    The error is taken to grow with the steps, at the rate found or most of one that was larger before: it comes in
    bursts. Where it was too large, with their root (a random walk). Half of the tolerance is aimed at.
    """
    if wires.about[REFRESH] > 0.0:
        every = np.int64(wires.about[REFRESH])
        return (n // every + 1) * every
    aim = AIM * wires.about[TOLERANCE]
    rate = max(FADES * at(wires.worst, 1, lane), error / elapsed)
    put(wires.worst, 1, lane, rate)
    steps = np.float64(GROWTH * elapsed)
    if rate > 0.0:
        steps = min(steps, aim / rate)
    if error > aim:
        steps = min(steps, elapsed * (aim / error) * (aim / error))
    steps = min(max(steps, 1.0), np.float64(LONGEST))
    return n + max(np.int64(steps) // unit * unit, 1)


@inner
def solve_chip(n, lane, first, unit, theta, gain, layers, device):
    """Everything of one chip from an exact solve at step n; g_plus and g_minus are there. `first`: theta is nothing."""
    wires = device.wires
    exact = wires.exact
    real = theta.dtype.type
    matrices(lane, gain, 0.0, True, exact, layers, wires)
    if not first and wires.about[EXACT] == 0.0:
        error = error_of(lane, theta, layers, wires)
        put(wires.worst, 0, lane, max(at(wires.worst, 0, lane), error))
        put(wires.next, 0, lane, next_solve(n, n - at(wires.last, 0, lane), error, unit, lane, wires))
    elif first:
        every = np.int64(wires.about[REFRESH])
        put(wires.next, 0, lane, n + (every if every > 0 else unit))
    put(wires.last, 0, lane, n)
    put(wires.solves, 0, lane, at(wires.solves, 0, lane) + np.uint64(1))
    at_rest = np.float64(device.aging.about[G_PAIR]) if wires.about[ONE_LINE] > 0.0 else 0.0
    for q in range(layers.shape[0]):
        for j in range(layers[q, N_OUT]):
            for i in range(layers[q, N_IN] + np.int64(wires.about[BIAS_ROWS])):
                p = cell(i, j, layers, q)
                up, down = np.float64(at(wires.plus, p, lane)), np.float64(at(wires.minus, p, lane))
                own = up * (np.float64(at(wires.g_plus, p, lane)) - at_rest)
                own -= down * (np.float64(at(wires.g_minus, p, lane)) - at_rest)
                seen = real(exact[p])
                put(theta, p, lane, seen)
                put(wires.base, p, lane, seen if wires.about[EXACT] > 0.0 else real(exact[p] - own))
                change = real(0.5 * (up + down))
                put(gain, p, lane, change * at(wires.mismatch, p, lane) if wires.mismatch.shape[0] > 0 else change)
            if wires.about[BIAS_ROWS] == 0.0 and wires.about[EXACT] > 0.0:  # else `see` does it
                p = layers[q, BIASES] + j
                put(theta, p, lane, at(wires.own, p, lane))
                put(wires.base, p, lane, at(wires.own, p, lane))


@inner
def same_as_left(lane, theta, gain, wires):
    """A lane that repeats the chip on its left, at the end of a block."""
    for p in range(theta.shape[0]):
        for a in (theta, gain, wires.base, wires.plus, wires.minus):
            put(a, p, lane, at(a, p, lane - 1))
    put(wires.next, 0, lane, at(wires.next, 0, lane - 1))
    put(wires.last, 0, lane, at(wires.last, 0, lane - 1))
    put(wires.solves, 0, lane, at(wires.solves, 0, lane - 1))
    for row in range(2):
        put(wires.worst, row, lane, at(wires.worst, row, lane - 1))


@inner
def solve_chips(n, everyone, first, unit, ids, theta, gain, layers, device):
    """`solve_chip` for each chip whose time has come, or for all."""
    wires = device.wires
    look(n, device)
    for lane in range(lanes_of(theta)):
        if not everyone and at(wires.next, 0, lane) > n:
            continue
        if lane > 0 and at(ids, 0, lane) == at(ids, 0, lane - 1):
            same_as_left(lane, theta, gain, wires)
        else:
            solve_chip(n, lane, first, unit, theta, gain, layers, device)


@inner
def perturb_chip(lane, antithetic, applied, layers, wires):
    """applied, the change of the conductances, becomes that of what the network sees: the change of M.

    Antithetic: half of what lies between both, and their mean in `middle`.
    """
    real = applied.dtype.type
    matrices(lane, applied, 0.5, False, wires.other, layers, wires)
    if antithetic:
        matrices(lane, applied, -0.5, False, wires.exact, layers, wires)
    for q in range(layers.shape[0]):
        for j in range(layers[q, N_OUT]):
            for i in range(layers[q, N_IN] + np.int64(wires.about[BIAS_ROWS])):
                p = cell(i, j, layers, q)
                if antithetic:
                    put(wires.middle, p, lane, real(0.5 * (wires.other[p] + wires.exact[p])))
                    put(applied, p, lane, real(0.5 * (wires.other[p] - wires.exact[p])))
                else:
                    put(applied, p, lane, real(wires.other[p] - np.float64(at(wires.base, p, lane))))


@inner
def perturb_chips(n, signs, words, values, amplitude, ids, applied, layers, device):
    """applied <- what theta_ac changes of what the network sees, exactly; `signs`: but for its sign in `words`."""
    wires = device.wires
    antithetic = wires.middle.shape[0] > 0
    look(n, device)
    for p in range(applied.shape[0]):
        for v in range(0, lanes_of(applied), width_of(applied)):
            if signs:
                d = flip(filled(amplitude, applied), sign_word(words, p, v))
            else:
                d = element_on(load(values, p, v), device)
            store(applied, p, v, d * load(wires.mismatch, p, v) if wires.mismatch.shape[0] > 0 else d)
            if antithetic:
                store(wires.middle, p, v, load(wires.base, p, v))
    if not signs:
        numbers_on(values, applied, device)
    for lane in range(lanes_of(applied)):
        if lane > 0 and at(ids, 0, lane) == at(ids, 0, lane - 1):
            for p in range(applied.shape[0]):
                put(applied, p, lane, at(applied, p, lane - 1))
                if antithetic:
                    put(wires.middle, p, lane, at(wires.middle, p, lane - 1))
        else:
            perturb_chip(lane, antithetic, applied, layers, wires)
    if signs:
        for p in range(applied.shape[0]):
            for v in range(0, lanes_of(applied), width_of(applied)):
                store(applied, p, v, flip(load(applied, p, v), sign_word(words, p, v)))
