"""The whole step of multiplexed gradient descent for a block of lanes, in one compiled loop.

Equations: McCaughan et al., APL Machine Learning 1, 026118 (2023), in the normalisation
G += C_ac theta_ac / amplitude**2. A lane is a chip; n counts iterations (one step each in discrete mode, dt
in analog mode).
"""

from __future__ import annotations

import numpy as np

from . import table as t
from .dense import ANTITHETIC, PAIR, SINGLE
from .forward import first_row, make_network
from .jit import entry, inner, leaf
from .neuron import add_cost
from .perturb import copy_row, normals4, perturbation_values, random_words, walsh_words
from .philox import BASELINE, COST, COST_MINUS
from .sample import draw_samples, gather
from .simd import WIDTH, fma, load, store, where
from .update import learning_rate, make_accumulate, write

# Rows of `signal`, real[SIGNALS, lanes]: the first three are state, the rest scratch.
C0, C_AC, C_PREV, C_PLUS, C_MINUS, ERROR, SIGNALS = range(7)


@inner
def add_noise(n, sigma, stream, cached, seed, ids, scratch, four, signal, row):
    """signal[row] += sigma times normal n of a stream; four holds the block of normals `cached`; returns it."""
    if (n >> 2) != cached:
        normals4(seed, ids, stream, n >> 2, scratch, four)
    for v in range(0, signal.shape[1], WIDTH):
        store(signal, row, v, fma(load(four, n & 3, v), sigma, load(signal, row, v)))
    return n >> 2


@leaf
def change_of_cost(n, changed, need_baseline, ints, reals, scale, signal, first_bad):
    """C_ac from the measured costs: difference to the baseline, half the antithetic one, or high-pass.

    C_AC holds it (the filter's state in analog mode), C_MINUS what the parameters see of it after the clip, ERROR that
    times `scale`.
    """
    analog = ints[t.MODE] == t.ANALOG
    antithetic = ints[t.BASELINE] == t.ANTITHETIC
    high_pass = signal.dtype.type(reals[t.TAU_HP] / (reals[t.TAU_HP] + reals[t.DT]))
    clip = signal.dtype.type(reals[t.CLIP])
    for v in range(0, signal.shape[1], WIDTH):
        c = load(signal, C_PLUS, v)
        if analog:
            last = c if changed else load(signal, C_PREV, v)
            c_ac = (load(signal, C_AC, v) + c - last) * high_pass
            store(signal, C_PREV, v, c)
        elif antithetic:
            c_ac = (c - load(signal, C_MINUS, v)) * 0.5
        else:
            base = load(signal, C_MINUS if need_baseline else C0, v)
            store(signal, C0, v, base)
            c_ac = c - base
        store(signal, C_AC, v, c_ac)
        c_ac = where(c_ac < -clip, -clip, c_ac)
        c_ac = where(c_ac > clip, clip, c_ac)
        store(signal, C_MINUS, v, c_ac)
        store(signal, ERROR, v, c_ac * scale)
        bad = load(first_bad, 0, v)
        rest = c - c  # NaN for infinities and NaN
        store(first_bad, 0, v, where((rest != 0.0) & (bad < 0), n, bad))


def make_steps(codes: bool):
    """The loop over iterations n0 .. n1-1 with the perturbation as sign words (codes) or as values."""
    forward_single = make_network(SINGLE, codes)
    forward_pair = make_network(PAIR, codes)
    forward_both = make_network(ANTITHETIC, codes)
    accumulate = make_accumulate(codes)

    @inner
    def steps(
        n0, n1, seed, ids, ints, reals, layers, xs, ys, neuron, gain, phase_sin, phase_cos,
        theta, G, velocity, last_gradient, signal, first_bad,
        words, values, applied, work, y, index, keys, cache, scratch, fours, wave,
        probe_lane, probe_cost, probe_cost_ac, probe_sample,
    ):  # fmt: skip
        real = theta.dtype.type
        n_params, lanes = theta.shape
        n_layers = layers.shape[0]
        n_out = layers[n_layers - 1, t.N_OUT]
        widest = (work.shape[0] - layers[0, t.N_IN]) // 4
        out_a = first_row(0, n_layers - 1, layers[0, t.N_IN], widest)
        out_b = first_row(1, n_layers - 1, layers[0, t.N_IN], widest)
        batch = ints[t.BATCH]
        tau_theta = ints[t.TAU_THETA]
        analog = ints[t.MODE] == t.ANALOG
        antithetic = ints[t.BASELINE] == t.ANTITHETIC
        kind = ints[t.PERTURBATION]
        cost = ints[t.COST]
        zero = real(0.0)
        amplitude = real(reals[t.AMPLITUDE])
        sigma_c = real(reals[t.SIGMA_C])
        sigma_c0 = real(reals[t.SIGMA_C_BASELINE])
        share = real(1.0) / real(batch)
        low_pass = reals[t.DT] / (reals[t.TAU_THETA_LOWPASS] + reals[t.DT]) if analog else 1.0
        decay = real(1.0 - low_pass) if analog else real(1.0)
        scale = real(low_pass) / amplitude if codes else real(low_pass) / (amplitude * amplitude)
        # A write that is nothing but theta -= eta G is done while G is read.
        plain = reals[t.SIGMA_THETA] == 0.0 and reals[t.WEIGHT_DECAY] == 0.0 and reals[t.MOMENTUM] == 0.0
        plain = plain and (kind != t.SEQUENTIAL)
        direct = plain and not analog and tau_theta == 1 and ints[t.KEEP_GRADIENT] == 0
        error = signal[ERROR : ERROR + 1]
        four = fours[0:4]
        four_plus = fours[4:8]
        four_minus = fours[8:12]
        cached = np.int64(-1)
        cached_plus = np.int64(-1)
        cached_minus = np.int64(-1)
        keys_epoch = np.int64(-1)

        for n in range(n0, n1):
            changed = n % ints[t.TAU_X] == 0
            if changed or n == n0:
                keys_epoch = draw_samples(
                    (n // ints[t.TAU_X]) * batch, batch, ints[t.SHUFFLE] == 1, ints[t.N_TRAIN],
                    seed, ids, keys, keys_epoch, index,
                )  # fmt: skip
                if batch == 1:
                    gather(xs, index, 0, work)
                    gather(ys, index, 0, y)

            k = n // ints[t.TAU_P]
            if kind == t.SINUSOID or n % ints[t.TAU_P] == 0 or n == n0:
                if not codes:
                    cached = perturbation_values(
                        kind, n, k, reals[t.DT], ints[t.SINE_FIRST], ints[t.SINE_PERIOD], amplitude, seed, ids,
                        phase_sin, phase_cos, (cache, cached, words, scratch, four, wave), values,
                    )  # fmt: skip
                    for p in range(gain.shape[0]):
                        for v in range(0, lanes, WIDTH):
                            store(applied, p, v, load(gain, p, v) * load(values, p, v))
                elif kind == t.RANDOM:
                    cached = random_words(k, n_params, seed, ids, cache, cached, words)
                else:
                    walsh_words(k, n_params, words)

            need_baseline = not analog and not antithetic and (changed or n % tau_theta == 0)
            for v in range(0, lanes, WIDTH):
                store(signal, C_PLUS, v, 0.0)
                store(signal, C_MINUS, v, 0.0)
            for b in range(batch):
                if batch > 1:
                    gather(xs, index, b, work)
                    gather(ys, index, b, y)
                if need_baseline:
                    forward_pair(theta, words, applied, amplitude, layers, neuron, work, widest)
                elif antithetic:
                    forward_both(theta, words, applied, amplitude, layers, neuron, work, widest)
                else:
                    forward_single(theta, words, applied, amplitude, layers, neuron, work, widest)
                if need_baseline or antithetic:
                    add_cost(cost, work, out_a, y, n_out, signal, C_MINUS)
                add_cost(cost, work, out_b, y, n_out, signal, C_PLUS)
            if batch > 1:
                for v in range(0, lanes, WIDTH):
                    store(signal, C_PLUS, v, load(signal, C_PLUS, v) * share)
                    store(signal, C_MINUS, v, load(signal, C_MINUS, v) * share)
            if sigma_c > zero:
                cached_plus = add_noise(n, sigma_c, COST, cached_plus, seed, ids, scratch, four_plus, signal, C_PLUS)
            if antithetic and sigma_c > zero:
                cached_minus = add_noise(
                    n, sigma_c, COST_MINUS, cached_minus, seed, ids, scratch, four_minus, signal, C_MINUS
                )
            elif need_baseline and sigma_c0 > zero:
                cached_minus = add_noise(
                    n, sigma_c0, BASELINE, cached_minus, seed, ids, scratch, four_minus, signal, C_MINUS
                )

            change_of_cost(n, changed, need_baseline, ints, reals, scale, signal, first_bad)
            for q in range(probe_lane.shape[0]):
                lane = probe_lane[q]
                probe_cost[n - n0, q] = signal[C_PLUS, lane]
                probe_cost_ac[n - n0, q] = signal[C_MINUS, lane]
                probe_sample[n - n0, q] = index[0, lane]

            window_ends = analog or (n + 1) % tau_theta == 0
            rate = real(learning_rate(ints, reals, n)) if window_ends else zero
            first = k % n_params if kind == t.SEQUENTIAL and not analog else 0
            last = first + 1 if kind == t.SEQUENTIAL and not analog else n_params
            accumulate(words, values, error, decay, plain and analog, direct, rate, G, theta, first, last)
            if window_ends and not direct:
                if ints[t.KEEP_GRADIENT] == 1 and not analog and n + 1 + tau_theta > n1:
                    for p in range(n_params):
                        copy_row(G, p, last_gradient, p)
                if not (plain and analog):
                    number = n if analog else n // tau_theta
                    write(
                        theta, G, velocity, reals, rate, not analog, number, seed, ids, scratch, four
                    )  # fmt: skip

    return steps


_steps_codes = make_steps(codes=True)
_steps_values = make_steps(codes=False)


@entry
def steps_codes(
    n0, n1, seed, ids, ints, reals, layers, xs, ys, neuron, gain, phase_sin, phase_cos,
    theta, G, velocity, last_gradient, signal, first_bad,
    words, values, applied, work, y, index, keys, cache, scratch, fours, wave,
    probe_lane, probe_cost, probe_cost_ac, probe_sample,
):  # fmt: skip
    """Iterations n0 .. n1-1, perturbation random or walsh without mismatch. All arrays as in `steps_values`."""
    _steps_codes(
        n0, n1, seed, ids, ints, reals, layers, xs, ys, neuron, gain, phase_sin, phase_cos,
        theta, G, velocity, last_gradient, signal, first_bad,
        words, values, applied, work, y, index, keys, cache, scratch, fours, wave,
        probe_lane, probe_cost, probe_cost_ac, probe_sample,
    )  # fmt: skip


@entry
def steps_values(
    n0, n1, seed, ids, ints, reals, layers, xs, ys, neuron, gain, phase_sin, phase_cos,
    theta, G, velocity, last_gradient, signal, first_bad,
    words, values, applied, work, y, index, keys, cache, scratch, fours, wave,
    probe_lane, probe_cost, probe_cost_ac, probe_sample,
):  # fmt: skip
    """Iterations n0 .. n1-1 of the rule for every lane, any perturbation.

    Description: ints, reals, layers (table.py); xs real[n, n_in], ys real[n, n_out]; ids uint64[1, lanes].
    Chip, static: neuron real[4 neurons or 0, lanes], gain, phase_sin, phase_cos real[P or 0, lanes].
    State: theta, G real[P, lanes], velocity, last_gradient real[P or 0, lanes], signal real[SIGNALS, lanes]
    (C0, C_ac, C_prev), first_bad int64[1, lanes] (iteration of the first cost that is not finite, else -1).
    Scratch: words uint32[ceil(P/32), lanes], values and applied real[P, lanes] (one array without mismatch),
    work real[n_in + 4 x widest layer, lanes], y real[n_out, lanes], index uint32[batch, lanes], keys
    uint32[12, lanes], cache and scratch uint32[4, lanes], fours real[12, lanes], wave float64[2, P]. Probes:
    lanes, and rows per iteration of the call.
    """
    _steps_values(
        n0, n1, seed, ids, ints, reals, layers, xs, ys, neuron, gain, phase_sin, phase_cos,
        theta, G, velocity, last_gradient, signal, first_bad,
        words, values, applied, work, y, index, keys, cache, scratch, fours, wave,
        probe_lane, probe_cost, probe_cost_ac, probe_sample,
    )  # fmt: skip
