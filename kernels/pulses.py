"""Writes by whole pulses. Most devices get none, so the few that do are first packed into full vectors.

`device` is a `hardware.Hardware`; what a pulse does: `pulse`.

Words of the stream PULSE, in blocks of four. Those of write `number` stand from block number * per_write on: ceil(P/16)
blocks with a byte for each parameter, which decides the rounding in all but 1 of 256 cases, then turns of ceil(P/2)
blocks, two words a, b for each parameter and turn j. Their two normals (a: radius, b without its last 8 bits: angle)
are that of pulse 2 j (the cosine) and, the sine, of pulse 2 j - 1 or in turn 0 of the write noise. The last 8 bits
of b in turn 0 are the rounding's next byte; in 1 of 65,536 cases the last 16 bits of word a of a last turn decide it.
"""

from __future__ import annotations

import numpy as np

from .aging import decayed_at
from .asked import asked_on, asks_plainly, given_at_on, none_given_on
from .conductance import program_given_on
from .jit import inner, leaf
from .mathfn import normal_pair
from .philox import LOW, PULSE, S32, philox, words4
from .picked import (
    bring,
    count_lanes,
    keep,
    load_from,
    number_at,
    ramp32,
    seen,
    seen_of,
    squeezed,
    store_from,
    take,
    to_whole,
)
from .pulse import HIGH_AT, LOW_AT, OFFSET_AT, pulse, slopes
from .simd import any_lane, filled, floor, lanes_of, load, resized, store, to_float, where, width_of
from .table import (
    C2C,
    GRANULARITY,
    MAX_PULSES,
    MOMENTUM,
    NEAREST,
    ROUNDING,
    STOCHASTIC,
    STUCK,
    WEIGHT_DECAY,
    WRITE_NOISE,
)
from .update import asked
from .writes import whole_of

ROWS = 16  # parameters that are looked at together
ROOM = 24  # vectors of neighbours that are written together, at least ROWS
FULL = 5  # of 16 lanes: from so many on a row is written as it stands, which no result depends on
BATCH = 4  # vectors that are packed before they are written
LISTED = BATCH + (FULL - 1) * ROWS // 16 + 1  # vectors a list can be long
VECTORS = ROOM + LISTED  # the list after the others
# Parts of the scratch, VECTORS of vectors each: of uint32[SCRATCH, lanes], after the rows' bytes, and of real[..]
PARAM, CODE, A, B = (4 + i * VECTORS for i in range(4))
ASKED, COSINE, SINE, EXTRA, WHOLE = (i * VECTORS for i in range(5))
SCRATCH = 4 + 4 * VECTORS + ROWS
ANGLE = np.uint32(0xFFFFFF00)
BYTE, HALF = np.uint32(0xFF), np.uint32(0xFFFF)


@leaf
def absolute(x):
    """|x|."""
    return where(x < 0.0, -x, x)


@leaf
def words_of(block, param, ids16, seed, words):
    """Words a, b of these parameters, their turn's blocks beginning at `block`, and b's and a's of those after them."""
    at = resized(param >> np.uint32(1), ids16) + block
    which = at * np.uint64(0) + np.uint64(PULSE)
    w0, w1, w2, w3 = philox(at & LOW, at >> S32, which, ids16, seed & LOW, seed >> S32)
    return resized(w0, words), resized(w1, words), resized(w2, words), resized(w3, words)


@leaf
def rounded(x, most, code, b, block, param, id_, seed, words):
    """x as a whole number: one more with the probability of what is over, cut to 32 bits; at most `most`.

    code : the first byte of the random number; b : word whose last byte is the second; block : where the words begin
    whose a has the other two.
    """
    size = absolute(x)
    size = where(size > most, most, size)
    n = floor(size)
    part = to_whole((size - n) * 2.0**32, words)
    first, limit = ((code & BYTE) << np.uint32(8)) | (b & BYTE), part >> np.uint32(16)
    up = first < limit
    tie = first == limit
    if any_lane(tie):
        w0, _, w2, _ = words_of(block, param, id_, seed, words)
        a = where((param & np.uint32(1)) != np.uint32(0), w2, w0)
        up = up | (tie & ((a & HALF) < (part & HALF)))
    n = where(up, n + 1.0, n)
    return where(x < 0.0, -n, n)


@inner
def write_pulses(n, theta, G, velocity, reals, rate, clear, number, seed, ids, words, device):
    """The write at the end of step n of devices that are pulsed, as `update.write` is that of ideal ones."""
    law, carry, scratch = device.law, device.carry, device.counts
    real = theta.dtype.type
    n_params, lanes, width = theta.shape[0], lanes_of(theta), width_of(theta)
    momentum, decay = real(reals[MOMENTUM]), real(reals[WEIGHT_DECAY])
    moving, decaying = velocity.shape[0] > 0, reals[WEIGHT_DECAY] != 0.0
    granules, most = real(1.0 / law[GRANULARITY]), real(law[MAX_PULSES])
    stochastic = law[ROUNDING] == STOCHASTIC
    half = real(0.5) if law[ROUNDING] == NEAREST else real(0.0)
    groups, pairs = (n_params + ROWS - 1) // ROWS, (n_params + 1) // 2
    start = number * (groups + (np.int64(law[MAX_PULSES]) // 2 + 2) * pairs)
    full = max(1, FULL * width // 16)
    list_code, list_param, list_asked = (
        CODE * lanes + ROOM * width, PARAM * lanes + ROOM * width, ASKED * lanes + ROOM * width,
    )  # fmt: skip
    rows, waiting = np.int64(0), np.int64(0)  # as they stand, and numbers in the list
    simple = stochastic and clear and not moving and not decaying and asks_plainly(device)
    if not stochastic:  # what is whole by now is at least 1/256, or nothing
        for v in range(0, lanes, width):
            for i in range(4):
                store(words, i, v, np.uint32(0x01010101))
    for q in range(groups):
        first, last = ROWS * q, min(ROWS * (q + 1), n_params)
        if stochastic:
            words4(seed, ids, np.uint64(PULSE), np.uint64(start + q), words, 0)
        for v in range(0, lanes, width):
            if not simple:
                for p in range(first, last):
                    x = asked(load(theta, p, v), G, velocity, momentum, decay, moving, decaying, rate, clear, p, v)
                    x = asked_on(x, p, v, device) * granules
                    none_given_on(p, v, device)
                    if not stochastic:
                        if carry.shape[0] > 0:
                            x = x + load(carry, p, v)
                        m = whole_of(x, filled(half, theta), False)
                        m = where(m > most, most, m)
                        m = where(m < -most, -most, m)
                        if carry.shape[0] > 0:
                            store(carry, p, v, x - m)
                        x = m
                    store_from(scratch, WHOLE * lanes + (p - first) * width, x)
            lane = (ramp32(words) + np.uint32(v)) << np.uint32(8)
            for p in range(first, last):
                if simple:
                    x = load(G, p, v) * -rate * granules
                    store(G, p, v, 0.0)
                else:
                    x = load_from(scratch, WHOLE * lanes + (p - first) * width)
                byte = (load(words, (p - first) >> 2, v) >> np.uint32(8 * (p & 3))) & BYTE
                mask = absolute(x) * 256.0 >= to_float(byte, theta)
                if any_lane(mask):
                    param, code, several = filled(np.uint32(p), words), lane | byte, count_lanes(mask)
                    if several >= full:
                        store_from(words, PARAM * lanes + rows * width, param)
                        store_from(words, CODE * lanes + rows * width, code)
                        store_from(scratch, ASKED * lanes + rows * width, x)
                        rows += 1
                    else:
                        store_from(words, list_param + waiting, param)
                        store_from(words, list_code + waiting, squeezed(code, mask))
                        store_from(scratch, list_asked + waiting, squeezed(x, mask))
                        waiting += several
            ends = last == n_params and v + width == lanes
            if ends or rows > ROOM - ROWS or waiting >= BATCH * width:
                if ends:  # behind the list: nothing asked of parameter 0
                    store_from(words, list_param + waiting, 0)
                    store_from(words, list_code + waiting, 0)
                    store_from(scratch, list_asked + waiting, 0.0)
                    waiting += width - 1
                listed = waiting // width
                waiting = np.int64(0) if ends else waiting - listed * width
                write_batch(n, rows, listed, waiting, start + groups, pairs, seed, ids, theta, words, device)
                rows = np.int64(0)
    program_given_on(n, number, seed, ids, words, theta, device)


@leaf
def bring_devices(neighbours, words, place, lanes, width, theta, device):
    """Have what a vector of devices needs on its way: it may lie beyond the nearest cache, in lines of their own."""
    held, counted, packed = device.held, device.counted, device.packed
    for lane in range(1 if neighbours else width):
        p = np.int64(number_at(words, PARAM * lanes + place + lane))
        code = np.int64(number_at(words, CODE * lanes + place + lane))
        at = p * lanes + (code >> 8)
        bring(theta, at)
        bring(held, at)
        bring(counted, at)
        if neighbours:
            bring(device.up, at)
            bring(device.down, at)
            bring(device.slope_up, at)
            bring(device.high, at)
            bring(device.low, at)
        else:
            bring(packed, 8 * at)


@leaf
def write_batch(n, rows, listed, skipped, start, pairs, seed, ids, theta, words, device):
    """What is asked of `rows` vectors of neighbours and of `listed` vectors of the list, after its first numbers."""
    law, held, counted, limit, kept, scratch = (
        device.law, device.held, device.counted, device.limit, device.kept, device.counts,
    )  # fmt: skip
    high, low, offset, aging, packed = device.high, device.low, device.offset, device.aging, device.packed
    real = theta.dtype.type
    lanes, width = lanes_of(theta), width_of(theta)
    stochastic = law[ROUNDING] == STOCHASTIC
    normal = law[C2C] > 0.0 or law[WRITE_NOISE] > 0.0
    noise, most = real(law[WRITE_NOISE]), real(law[MAX_PULSES])
    last_turn = np.uint64(start + (np.int64(law[MAX_PULSES]) // 2 + 1) * pairs)
    turn = np.int64(0)
    active = (np.int64(1) << (rows + listed)) - 1
    while active != 0:
        block = np.uint64(start + turn * pairs)
        if normal or (stochastic and turn == 0):
            c, d = filled(np.uint32(0), words), filled(np.uint32(0), words)  # words of the parameter after `ready`
            ready = np.int64(-1)
            for k in range(rows + listed):
                if (active >> k) & 1 == 0:
                    continue
                place = k * width if k < rows else (ROOM + k - rows) * width + skipped
                param, code = load_from(words, PARAM * lanes + place), load_from(words, CODE * lanes + place)
                if turn == 0:
                    bring_devices(k < rows, words, place, lanes, width, theta, device)
                p = np.int64(number_at(words, PARAM * lanes + place))
                lane = np.int64(number_at(words, CODE * lanes + place)) >> 8
                if k < rows and ready == p * lanes + lane:
                    store_from(words, A * lanes + k * width, c)
                    store_from(words, B * lanes + k * width, d)
                else:
                    id_ = load_from(ids, lane) if k < rows else take(ids, code >> np.uint32(8))
                    a, b, c, d = words_of(block, param, id_, seed, words)
                    odd = (param & np.uint32(1)) != np.uint32(0)
                    store_from(words, A * lanes + k * width, where(odd, c, a))
                    store_from(words, B * lanes + k * width, where(odd, d, b))
                    ready = (p + 1) * lanes + lane if p & 1 == 0 else np.int64(-1)
        if normal:
            for k in range(rows + listed):
                if (active >> k) & 1:
                    a, b = load_from(words, A * lanes + k * width), load_from(words, B * lanes + k * width)
                    cosine, sine = normal_pair(a, b & ANGLE, theta)
                    store_from(scratch, COSINE * lanes + k * width, cosine)
                    store_from(scratch, (SINE if turn > 0 else EXTRA) * lanes + k * width, sine)
        still = np.int64(0)
        for k in range(rows + listed):
            if (active >> k) & 1 == 0:
                continue
            place = k * width if k < rows else (ROOM + k - rows) * width + skipped
            param, code = load_from(words, PARAM * lanes + place), load_from(words, CODE * lanes + place)
            x = load_from(scratch, ASKED * lanes + place)
            places = param * np.uint32(lanes) + (code >> np.uint32(8))
            p, lane = number_at(words, PARAM * lanes + place), number_at(words, CODE * lanes + place) >> np.uint32(8)
            at = (k < rows, np.int64(p) * lanes + np.int64(lane), places)
            if turn == 0:
                if stochastic:
                    b = load_from(words, B * lanes + k * width)
                    id_ = (
                        load_from(ids, at[1] - at[1] // lanes * lanes) if k < rows else take(ids, code >> np.uint32(8))
                    )
                    x = rounded(x, most, code, b, last_turn, param, id_, seed, words)
                if law[STUCK] > 0.0:  # what is stuck is not written
                    x = where(seen_of(high, packed, HIGH_AT, at) == seen_of(low, packed, LOW_AT, at), 0.0, x)
                store_from(scratch, ASKED * lanes + place, x)
                given_at_on(x, seen(counted, at), limit, at, device)
            size, rising = absolute(x), x > 0.0
            here = size > real(max(2 * turn - 1, 0))
            c = seen(counted, at)
            if limit.shape[0] > 0:
                here = here & (c < seen(limit, at))
            if not any_lane(here):
                continue
            h = seen(held, at)
            if turn == 0 and aging.written.shape[0] > 0:  # it starts from what it has become
                h = decayed_at(h, n + 1, aging, at)
                keep(aging.written, at, n + 1, here)
            step, slope = slopes(rising, device.up, device.down, device.slope_up, device.slope_down, law,
                                 packed, at)  # fmt: skip
            top, bottom = seen_of(high, packed, HIGH_AT, at), seen_of(low, packed, LOW_AT, at)
            for second in range(2):
                i = 2 * turn - 1 + second
                if i >= 0:
                    hit = here & (size > real(i))
                    if limit.shape[0] > 0:
                        hit = hit & (c < seen(limit, at))
                    if any_lane(hit):
                        xi = load_from(scratch, (COSINE if second else SINE) * lanes + k * width)
                        h = where(hit, pulse(h, xi, rising, step, slope, top, bottom, law, theta), h)
                        c = where(hit, c + np.uint32(1), c)
            keep(held, at, h, here)
            keep(counted, at, c, here)
            if offset.shape[0] > 0:
                h = h - seen_of(offset, packed, OFFSET_AT, at)
            if noise > 0.0:
                extra = load_from(scratch, EXTRA * lanes + k * width) * noise
                if kept.shape[0] > 0:
                    keep(kept, at, extra, here)
                h = h + extra
            keep(theta, at, h, here)
            if any_lane(here & (size > real(2 * turn + 1))):
                still |= np.int64(1) << k
        active = still
        turn += 1
