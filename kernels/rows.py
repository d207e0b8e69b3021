"""The steps of one chip whose weights stand in the lanes: several steps of a window share a reading of them.

Inside a window of tau_theta steps the parameters do not change, so its steps are measured together, as the columns
of a matrix product, and then correlated one after the other. How many are taken at a time, and by how many
threads, changes no bit. Discrete mode, signs (random or walsh); the equations are those of step.py.
"""

from __future__ import annotations

from . import table as t
from .across import signs
from .jit import entry, inner, leaf
from .philox import WRITE
from .row_costs import C_AC, C_MINUS, C_PLUS, ERROR, measure, needs_baseline
from .row_signs import TURN, normals64
from .simd import WIDTH, fma, load, splat, store, where
from .update import learning_rate

WHOLE, MEASURE, BROADCAST, CONCLUDE = range(4)
NEAR = 8192  # parameters whose G is worked on at a time
SIDE = 8  # rows of words read side by side


@inner
def broadcast(base, n1, ints, reals, costs, state, first_bad):
    """C_ac of steps base .. n1-1 from their costs, with the clip, and what each parameter multiplies its sign with."""
    real = costs.dtype.type
    clip = real(reals[t.CLIP])
    scale = real(1.0) / real(reals[t.AMPLITUDE])
    for n in range(base, n1):
        c = n - base
        cost = costs[C_PLUS, c]
        if ints[t.BASELINE] == t.ANTITHETIC:
            c_ac = (cost - costs[C_MINUS, c]) * real(0.5)
        else:
            if needs_baseline(n, ints):
                state[0, 0] = costs[C_MINUS, c]
            c_ac = cost - state[0, 0]
        c_ac = -clip if c_ac < -clip else c_ac
        c_ac = clip if c_ac > clip else c_ac
        costs[C_AC, c] = c_ac
        costs[ERROR, c] = c_ac * scale
        state[0, 1] = c_ac
        if cost - cost != 0.0 and first_bad[0, 0] < 0:
            first_bad[0, 0] = n


@leaf
def add_signed(p0, p1, c0, c1, words, slot, costs, fresh, plain, down, G, theta):
    """`correlate` of steps c0 .. c1-1 alone."""
    zero = splat(G.dtype.type(0.0))
    for p in range(p0, p1, TURN):
        byte = p >> 3
        g0 = g1 = g2 = g3 = zero
        if not fresh:
            g0 = load(G, 0, p)
            g1 = load(G, 0, p + 16)
            g2 = load(G, 0, p + 32)
            g3 = load(G, 0, p + 48)
        for c in range(c0, c1):
            k = slot[c]
            plus = splat(costs[ERROR, c])
            minus = -plus
            g0 = g0 + where(signs(words, k, byte, 0), minus, plus)
            g1 = g1 + where(signs(words, k, byte + 2, 0), minus, plus)
            g2 = g2 + where(signs(words, k, byte + 4, 0), minus, plus)
            g3 = g3 + where(signs(words, k, byte + 6, 0), minus, plus)
        if plain:
            store(theta, 0, p, load(theta, 0, p) + down * g0)
            store(theta, 0, p + 16, load(theta, 0, p + 16) + down * g1)
            store(theta, 0, p + 32, load(theta, 0, p + 32) + down * g2)
            store(theta, 0, p + 48, load(theta, 0, p + 48) + down * g3)
            if not fresh:
                g0 = g1 = g2 = g3 = zero
        if not (plain and fresh):
            store(G, 0, p, g0)
            store(G, 0, p + 16, g1)
            store(G, 0, p + 32, g2)
            store(G, 0, p + 48, g3)


@leaf
def write_signed(p0, p1, words, k, e, rate, theta):
    """theta <- theta - rate G, G = e times the signs of row k: a window of one step."""
    plus = splat(-rate * e)
    minus = -plus
    for p in range(p0, p1, TURN):
        byte = p >> 3
        a = load(theta, 0, p) + where(signs(words, k, byte, 0), minus, plus)
        b = load(theta, 0, p + 16) + where(signs(words, k, byte + 2, 0), minus, plus)
        c = load(theta, 0, p + 32) + where(signs(words, k, byte + 4, 0), minus, plus)
        d = load(theta, 0, p + 48) + where(signs(words, k, byte + 6, 0), minus, plus)
        store(theta, 0, p, a)
        store(theta, 0, p + 16, b)
        store(theta, 0, p + 32, c)
        store(theta, 0, p + 48, d)


@inner
def correlate(p0, p1, steps, words, slot, costs, fresh, plain, rate, G, theta):
    """G += C_ac theta_ac / amplitude**2 of the group's steps in turn, for parameters p0 .. p1-1 (multiples of 64).

    fresh: G was 0; plain: write at once, theta <- theta - eta G, and leave G at 0. Some parameters and some steps at a
    time, so that G stays in the cache and few rows of words are read side by side.
    """
    if plain and fresh and steps == 1:
        write_signed(p0, p1, words, slot[0], costs[ERROR, 0], rate, theta)
        return
    down = splat(-rate)
    for p in range(p0, p1, NEAR):
        end = min(p1, p + NEAR)
        for c in range(0, steps, SIDE):
            c1 = min(steps, c + SIDE)
            last = plain and c1 == steps
            add_signed(p, end, c, c1, words, slot, costs, fresh and c == 0, last, down, G, theta)


@inner
def write_rows(p0, p1, n_params, number, seed, chip, reals, rate, theta, G, velocity, words, normals):
    """As `write` of update.py, for parameters p0 .. p1-1 (multiples of 64) of one chip; G <- 0."""
    momentum = theta.dtype.type(reals[t.MOMENTUM])
    decay = theta.dtype.type(reals[t.WEIGHT_DECAY])
    sigma = theta.dtype.type(reals[t.SIGMA_THETA])
    noisy = reals[t.SIGMA_THETA] > 0.0
    moving = velocity.shape[1] > 0
    decaying = reals[t.WEIGHT_DECAY] != 0.0
    for p in range(p0, p1, TURN):
        if noisy:
            normals64(seed, chip, WRITE, number * ((n_params + 3) // 4) + (p >> 2), words, normals)
        for v in range(p, p + TURN, WIDTH):
            theta_p = load(theta, 0, v)
            g = load(G, 0, v)
            if decaying:
                g = fma(theta_p, decay, g)
            if moving:
                g = fma(load(velocity, 0, v), momentum, g)
                store(velocity, 0, v, g)
            theta_p = theta_p + g * -rate
            if noisy:
                theta_p = fma(load(normals, 0, v - p), sigma, theta_p)
            store(theta, 0, v, theta_p)
            store(G, 0, v, 0.0)


@inner
def conclude(
    base, n1, last, p0, p1, seed, ids, ints, reals, layers, theta, G, velocity, last_gradient, costs, words, slot,
    normals,
):  # fmt: skip
    """What parameters p0 .. p1-1 do with the errors of steps base .. n1-1, and the write if the window ends there.

    last: where the run of steps ends, for the record of G.
    """
    tau_theta = ints[t.TAU_THETA]
    n_params = layers[layers.shape[0] - 1, t.BIASES] + layers[layers.shape[0] - 1, t.N_OUT]
    ends = n1 % tau_theta == 0
    keep = ints[t.KEEP_GRADIENT] == 1
    plain = reals[t.SIGMA_THETA] == 0.0 and reals[t.WEIGHT_DECAY] == 0.0 and reals[t.MOMENTUM] == 0.0
    rate = theta.dtype.type(learning_rate(ints, reals, n1 - 1)) if ends else theta.dtype.type(0.0)
    at_once = plain and ends and not keep
    fresh = base % tau_theta == 0
    correlate(p0, p1, n1 - base, words, slot, costs, fresh, at_once, rate, G, theta)
    if ends and not at_once:
        if keep and n1 + tau_theta > last:
            for p in range(p0, p1, WIDTH):
                store(last_gradient, 0, p, load(G, 0, p))
        number = (n1 - 1) // tau_theta
        write_rows(p0, p1, n_params, number, seed, ids[0, 0], reals, rate, theta, G, velocity, words, normals)


@entry
def steps_rows(phase, base, n0, n1, start, last, p0, p1, seed, ids, tables, chip, group, own, probe):
    """Steps n0 .. n1-1 of one chip (WHOLE), or one part of the work on steps of one window that several threads share.

    MEASURE: costs of steps n0 .. n1-1 as columns n - base of the group; BROADCAST: C_ac of base .. n1-1, in turn;
    CONCLUDE: what parameters p0 .. p1-1 (multiples of 64) do with it. start, last: where this run of steps begins and
    ends (rows of the probe; record of G).

    tables = (ints, reals, layers, xs real[n, n_in], ys real[n, n_out]); ids uint64[1, 16], the chip in every lane.
    chip = (neuron, theta, G, velocity, last_gradient, state, first_bad): neuron real[4, neurons + 16] or of no columns;
    theta .. last_gradient real[1, P padded to 64 with at least 16 beyond P, or 0]; state real[1, 2] (C0, C_ac);
    first_bad int64[1, 1]. Shared by the threads, group = (costs real[4, steps], words uint32[steps, P/32 padded],
    slot int64[steps], shown int64[steps]). A thread's own = (x real[columns, n_in padded to 16], work real[4 columns,
    widest padded to 16], s real[1, the same], z, y real[n_out, columns], step_of int64[columns], index
    uint32[batch, 16], keys uint32[12, 16], scratch uint32[4, 16], four real[4, 16], normals real[1, 64]).
    probe = (on, cost, cost_ac, sample), rows from `start` on, one column if `on` else none.
    """
    ints, reals, layers, xs, ys = tables
    neuron, theta, G, velocity, last_gradient, state, first_bad = chip
    costs, words, slot, shown = group
    tau_theta = ints[t.TAU_THETA]
    if phase == MEASURE:
        measure(base, n0, n1, seed, ids, ints, reals, layers, xs, ys, neuron, theta, costs, words, slot, shown, own)
    n = base if phase in (BROADCAST, CONCLUDE) else n0
    while n < n1 and phase != MEASURE:
        m = min(n1, n + slot.shape[0], (n // tau_theta + 1) * tau_theta)
        if phase == WHOLE:
            measure(n, n, m, seed, ids, ints, reals, layers, xs, ys, neuron, theta, costs, words, slot, shown, own)
        if phase != CONCLUDE:
            broadcast(n, m, ints, reals, costs, state, first_bad)
            record(n, m, start, costs, shown, probe)
        if phase != BROADCAST:
            conclude(
                n, m, last, p0, p1, seed, ids, ints, reals, layers, theta, G, velocity, last_gradient, costs, words,
                slot, own[10],
            )  # fmt: skip
        n = m


@inner
def record(base, n1, start, costs, shown, probe):
    """The probe's rows of steps base .. n1-1."""
    on, cost, cost_ac, sample = probe
    for q in range(on.shape[0]):
        for n in range(base, n1):
            cost[n - start, q] = costs[C_PLUS, n - base]
            cost_ac[n - start, q] = costs[C_AC, n - base]
            sample[n - start, q] = shown[n - base]
