"""What the network sees through an array's wires: exact solves now and then, each device's own effect between them.

A layer lies on arrays, one of g_plus and one of g_minus, with the same wires and inputs, subtracted. At a solve
theta = M_plus - M_minus, the effective matrices (`elimination`); until the next,

    theta = base + plus g_plus - minus g_minus,    base = M_plus - M_minus - plus g_plus + minus g_minus then,

plus and minus the sensitivity of each element to its own device. A perturbation is a conductance, too: half of it on
one device of the pair and half on the other, so theta_ac is seen as theta_ac (plus + minus)/2. With `EXACT`
everything is solved whenever it changes, what is perturbed included.

`device` is a `hardware.Hardware`; where its `wires` are (), theta is the devices' own and all of this is nothing.
"""

from __future__ import annotations

import numpy as np
from numba.extending import overload

from .aging import drifted
from .dense import sign_word
from .elimination import G, M, S, solve_array
from .hardware import lacks
from .jit import FLAGS, inner, leaf
from .latency import copy_rows
from .simd import any_lane, at, filled, flip, fma, lanes_of, load, put, store, to_float, where, width_of
from .table import (
    AGE_EVERY,
    BIAS_ROWS,
    BIASES,
    COLUMN_R,
    DRIVEN_BOTH,
    EXACT,
    G_PAIR,
    MAPPING,
    N_IN,
    N_OUT,
    ONE_LINE,
    ONE_SIDED,
    REFRESH,
    ROW_R,
    SENSE_R,
    SENSED_BOTH,
    SOURCE_R,
    SYMMETRIC,
    TILE,
    TILE_COLUMN,
    TILE_COLUMNS,
    TILE_LAYER,
    TILE_ROW,
    TILE_ROWS,
    TOLERANCE,
    WEIGHTS,
    WRITE_STEPS,
)

AIM = 0.5  # of the tolerance: the error is not that of the last interval
GROWTH = 4  # of an interval, at most
LONGEST = 1 << 40


@leaf
def pair(held_at, device, p, v):
    """g_plus and g_minus of cell p, with what drift has left of them at step `held_at`; their difference is `own`.

    What is neither the pair as written nor its drift (leak, the reference, noise of the write) moves the conductance
    that holds the weight; what would take one below 0 goes to the other.
    """
    wires, aging, mapping = device.wires, device.aging, device.aging.about[MAPPING]
    own = load(wires.own, p, v)
    real = wires.own.dtype.type
    base = real(aging.about[G_PAIR])
    if aging.nu_plus.shape[0] > 0:
        h = load(device.held, p, v)
        since = held_at - load(aging.written, p, v)
        since = where(since < 0, 0, since)  # written after it was last looked at
        plus, minus = drifted(h, to_float(since, aging.nu_plus), aging, p, v)
        more = own - (plus - minus)
        if mapping == ONE_SIDED:
            moved = h + more
            plus = plus + (where(moved < 0.0, 0.0, moved) - where(h < 0.0, 0.0, h))
            minus = minus + (where(moved < 0.0, -moved, 0.0) - where(h < 0.0, -h, 0.0))
        elif mapping == SYMMETRIC:
            plus, minus = fma(more, 0.5, plus), fma(more, -0.5, minus)
        else:
            plus = plus + more
    elif mapping == ONE_SIDED:
        plus, minus = where(own < 0.0, 0.0, own) + base, where(own < 0.0, -own, 0.0) + base
    elif mapping == SYMMETRIC:
        plus, minus = fma(own, 0.5, base), fma(own, -0.5, base)
    else:
        plus, minus = own + base, filled(base, wires.own)
    if wires.stuck_plus.shape[0] > 0:
        s, t = load(wires.stuck_plus, p, v), load(wires.stuck_minus, p, v)
        moves, other = s != s, t != t
        a = where(moves, where(other, plus, own + t), s)
        minus = where(other, where(moves, minus, s - own), t)
        plus = a
    below, above = where(plus < 0.0, -plus, 0.0), where(minus < 0.0, -minus, 0.0)
    return plus + below + above, minus + below + above


@leaf
def looked_at(n, device):
    """The step at which the network last looked at devices that change by themselves, at step n."""
    every = np.int64(device.aging.about[AGE_EVERY])
    return n - n % every if every > 0 else n


@inner
def look(n, device):
    """g_plus, g_minus <- `pair` at step n."""
    wires = device.wires
    held_at = looked_at(n, device)
    for p in range(wires.own.shape[0]):
        for v in range(0, lanes_of(wires.own), width_of(wires.own)):
            plus, minus = pair(held_at, device, p, v)
            store(wires.g_plus, p, v, plus)
            store(wires.g_minus, p, v, minus)


@inner
def see(n, theta, device):
    """theta <- base + plus g_plus - minus g_minus."""
    wires = device.wires
    if wires.about[ONE_LINE] > 0.0:  # a pair of which one device is always at g_min, and in `base`
        for p in range(theta.shape[0]):
            for v in range(0, lanes_of(theta), width_of(theta)):
                own = load(wires.own, p, v)
                slope = where(own < 0.0, load(wires.minus, p, v), load(wires.plus, p, v))
                store(theta, p, v, fma(slope, own, load(wires.base, p, v)))
        return
    look(n, device)
    for p in range(theta.shape[0]):
        for v in range(0, lanes_of(theta), width_of(theta)):
            rest = fma(-load(wires.minus, p, v), load(wires.g_minus, p, v), load(wires.base, p, v))
            store(theta, p, v, fma(load(wires.plus, p, v), load(wires.g_plus, p, v), rest))


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
    """What theta is off the exact solve in `exact`, of the currents: root mean square over inputs uniform in 0 .. 1, the
    largest of the layers (`wires._norm`)."""
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
def next_solve(n, elapsed, error, unit, wires):
    """The step of the next solve, after one at step n that found an error so many steps after the last one."""
    if wires.about[REFRESH] > 0.0:
        every = np.int64(wires.about[REFRESH])
        return (n // every + 1) * every
    steps = np.float64(GROWTH * elapsed)
    if error > 0.0:
        # The error grows as the steps or as their root; so that it is not passed, whichever asks for the sooner.
        ratio = AIM * wires.about[TOLERANCE] / error
        allowed = elapsed * (ratio if ratio >= 1.0 else ratio * ratio)
        steps = min(steps, allowed)
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
        put(wires.next, 0, lane, next_solve(n, n - at(wires.last, 0, lane), error, unit, wires))
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
    put(wires.worst, 0, lane, at(wires.worst, 0, lane - 1))


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
            d = flip(filled(amplitude, applied), sign_word(words, p, v)) if signs else load(values, p, v)
            store(applied, p, v, d * load(wires.mismatch, p, v) if wires.mismatch.shape[0] > 0 else d)
            if antithetic:
                store(wires.middle, p, v, load(wires.base, p, v))
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


@leaf
def due(n, wires):
    """Whether the time of any chip has come."""
    found = False
    for v in range(0, lanes_of(wires.next), width_of(wires.next)):
        found = found or any_lane(load(wires.next, 0, v) <= n)
    return found


# Where the step meets its wires: nothing where there are none.


def own_of(theta, device):
    """(What the devices amount to,): theta itself, where no wires stand between. Arrays leave functions in tuples only."""


@overload(own_of, jit_options=FLAGS)
def _own_of(theta, device):
    if lacks(device, "wires"):
        return lambda theta, device: (theta,)
    return lambda theta, device: (device.wires.own,)


def wires_start(n, unit, ids, theta, gain, layers, device):
    """The first solve of a run."""


@overload(wires_start, jit_options=FLAGS)
def _wires_start(n, unit, ids, theta, gain, layers, device):
    if lacks(device, "wires"):
        return lambda n, unit, ids, theta, gain, layers, device: None

    def body(n, unit, ids, theta, gain, layers, device):
        if at(device.wires.solves, 0, 0) == np.uint64(0):
            solve_chips(n, True, True, unit, ids, theta, gain, layers, device)

    return body


def wires_on(n, since_theta, measured, unit, ids, theta, gain, layers, device):
    """theta at the beginning of step n; whether a solve has changed what a perturbation amounts to.

    Solves fall on steps at which the baseline is `measured` anew: theta jumps by the error it had.
    """


@overload(wires_on, jit_options=FLAGS)
def _wires_on(n, since_theta, measured, unit, ids, theta, gain, layers, device):
    if lacks(device, "wires"):
        return lambda n, since_theta, measured, unit, ids, theta, gain, layers, device: False

    def body(n, since_theta, measured, unit, ids, theta, gain, layers, device):
        late = device.latency
        every = np.int64(device.aging.about[AGE_EVERY])
        changed = every > 0 and n % every == 0
        if late.next.shape[0] > 0 and n > since_theta and since_theta == np.int64(late.about[WRITE_STEPS]):
            changed = True
        exact = device.wires.about[EXACT] > 0.0
        if changed and not exact:
            see(n, theta, device)
        if (changed and exact) or (measured and not exact and due(n, device.wires)):
            solve_chips(n, exact, False, unit, ids, theta, gain, layers, device)
            return True
        return False

    return body


def wires_after(n, goes_on, unit, ids, theta, gain, layers, device):
    """theta after the write at the end of step n; whether a solve has changed what a perturbation amounts to."""


@overload(wires_after, jit_options=FLAGS)
def _wires_after(n, goes_on, unit, ids, theta, gain, layers, device):
    if lacks(device, "wires"):
        return lambda n, goes_on, unit, ids, theta, gain, layers, device: False

    def body(n, goes_on, unit, ids, theta, gain, layers, device):
        every = np.int64(device.aging.about[AGE_EVERY])
        if goes_on and every > 0 and (n + 1) % every == 0:  # devices are looked at again before anything else is
            return False
        if device.wires.about[EXACT] > 0.0:
            solve_chips(n, True, False, unit, ids, theta, gain, layers, device)
            return True
        see(n, theta, device)
        return False

    return body


def wires_perturb(n, signs, words, values, amplitude, ids, applied, layers, device):
    """`perturb_chips`, with wires that are solved exactly."""


@overload(wires_perturb, jit_options=FLAGS)
def _wires_perturb(n, signs, words, values, amplitude, ids, applied, layers, device):
    if lacks(device, "wires"):
        return lambda n, signs, words, values, amplitude, ids, applied, layers, device: None

    def body(n, signs, words, values, amplitude, ids, applied, layers, device):
        if device.wires.about[EXACT] > 0.0:
            perturb_chips(n, signs, words, values, amplitude, ids, applied, layers, device)

    return body


def wires_middle(there, theta, device):
    """Where both ways of an exact perturbation are evaluated: theta is their mean while they are, and goes back."""


@overload(wires_middle, jit_options=FLAGS)
def _wires_middle(there, theta, device):
    if lacks(device, "wires"):
        return lambda there, theta, device: None

    def body(there, theta, device):
        middle = device.wires.middle
        copy_rows(middle if there else device.wires.base, theta, middle.shape[0])

    return body
