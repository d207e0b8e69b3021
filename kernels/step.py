"""The whole step of multiplexed gradient descent for a block of lanes, in one compiled loop.

Equations: McCaughan et al., APL Machine Learning 1, 026118 (2023), in the normalisation
G += C_ac theta_ac / amplitude**2. A lane is a chip; n counts iterations (one step each in discrete mode, dt
in analog mode).
"""

from __future__ import annotations

import numpy as np

from . import table as t
from .dense import ANTITHETIC, PAIR, SINGLE
from .forward import make_network
from .jit import entry, inner
from .neuron import add_cost, finite
from .perturb import normals4, perturbation_values, random_words, walsh_words
from .philox import BASELINE, COST, COST_MINUS
from .sample import draw_samples, gather
from .update import learning_rate, make_accumulate, write

# Rows of `signal`, real[SIGNALS, lanes]: the first three are state, the rest scratch.
C0, C_AC, C_PREV, C_PLUS, C_MINUS, ERROR, LSE, PEAK, SIGNALS = range(9)


@inner
def add_noise(n, sigma, stream, cached, seed, ids, scratch, four, target):
    """target += sigma times normal n of a stream; four holds the block of normals `cached`; returns it."""
    if (n >> 2) != cached:
        normals4(seed, ids, stream, n >> 2, scratch, four)
    xi = four[n & 3]
    for lane in range(target.shape[0]):
        target[lane] += sigma * xi[lane]
    return n >> 2


@inner
def change_of_cost(n, changed, need_baseline, ints, reals, signal):
    """C_ac from the measured costs: difference to the baseline, half the antithetic one, or high-pass."""
    c0 = signal[C0]
    c_ac = signal[C_AC]
    c_prev = signal[C_PREV]
    c_plus = signal[C_PLUS]
    c_minus = signal[C_MINUS]
    if ints[t.MODE] == t.ANALOG:
        gain = signal.dtype.type(reals[t.TAU_HP] / (reals[t.TAU_HP] + reals[t.DT]))
        for lane in range(c_ac.shape[0]):
            c = c_plus[lane]
            previous = c if changed else c_prev[lane]
            c_ac[lane] = gain * (c_ac[lane] + c - previous)
            c_prev[lane] = c
    elif ints[t.BASELINE] == t.ANTITHETIC:
        half = signal.dtype.type(0.5)
        for lane in range(c_ac.shape[0]):
            c_ac[lane] = half * (c_plus[lane] - c_minus[lane])
    else:
        for lane in range(c_ac.shape[0]):
            base = c_minus[lane] if need_baseline else c0[lane]
            c0[lane] = base
            c_ac[lane] = c_plus[lane] - base


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
        words, values, applied, x, y, a0, a1, b0, b1, index, keys, cache, scratch, fours, wave,
        probe_lane, probe_cost, probe_cost_ac, probe_sample,
    ):  # fmt: skip
        real = theta.dtype.type
        n_params, lanes = theta.shape
        n_layers = layers.shape[0]
        n_out = layers[n_layers - 1, t.N_OUT]
        out_a = a1 if (n_layers & 1) == 0 else a0
        out_b = b1 if (n_layers & 1) == 0 else b0
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
        clip = real(reals[t.CLIP])
        share = real(1.0) / real(batch)
        low_pass = reals[t.DT] / (reals[t.TAU_THETA_LOWPASS] + reals[t.DT]) if analog else 1.0
        decay = real(1.0 - low_pass) if analog else real(1.0)
        scale = real(low_pass) / amplitude if codes else real(low_pass) / (amplitude * amplitude)
        # A write that is nothing but theta -= eta G is done while G is read.
        plain = reals[t.SIGMA_THETA] == 0.0 and reals[t.WEIGHT_DECAY] == 0.0 and reals[t.MOMENTUM] == 0.0
        plain = plain and (kind != t.SEQUENTIAL)
        direct = plain and not analog and tau_theta == 1 and ints[t.KEEP_GRADIENT] == 0
        c_ac = signal[C_AC]
        c_plus = signal[C_PLUS]
        c_minus = signal[C_MINUS]
        error = signal[ERROR : ERROR + 1]
        e = signal[ERROR]
        lse = signal[LSE]
        peak = signal[PEAK]
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
                    gather(xs, index[0], x)
                    gather(ys, index[0], y)

            k = n // ints[t.TAU_P]
            if kind == t.SINUSOID or n % ints[t.TAU_P] == 0 or n == n0:
                if not codes:
                    cached = perturbation_values(
                        kind, n, k, reals[t.DT], ints[t.SINE_FIRST], ints[t.SINE_PERIOD], amplitude, seed, ids,
                        phase_sin, phase_cos, (cache, cached, words, scratch, fours[0:4], wave), values,
                    )  # fmt: skip
                    for p in range(gain.shape[0]):
                        for lane in range(lanes):
                            applied[p, lane] = gain[p, lane] * values[p, lane]
                elif kind == t.RANDOM:
                    cached = random_words(k, n_params, seed, ids, cache, cached, words)
                else:
                    walsh_words(k, n_params, words)

            need_baseline = not analog and not antithetic and (changed or n % tau_theta == 0)
            for lane in range(lanes):
                c_plus[lane] = zero
                c_minus[lane] = zero
            for b in range(batch):
                if batch > 1:
                    gather(xs, index[b], x)
                    gather(ys, index[b], y)
                if need_baseline:
                    forward_pair(theta, words, applied, amplitude, layers, neuron, x, a0, a1, b0, b1)
                elif antithetic:
                    forward_both(theta, words, applied, amplitude, layers, neuron, x, a0, a1, b0, b1)
                else:
                    forward_single(theta, words, applied, amplitude, layers, neuron, x, a0, a1, b0, b1)
                if need_baseline or antithetic:
                    add_cost(cost, out_a, y, n_out, c_minus, lse, peak)
                add_cost(cost, out_b, y, n_out, c_plus, lse, peak)
            if batch > 1:
                for lane in range(lanes):
                    c_plus[lane] *= share
                    c_minus[lane] *= share
            if sigma_c > zero:
                cached_plus = add_noise(n, sigma_c, COST, cached_plus, seed, ids, scratch, fours[4:8], c_plus)
            if antithetic and sigma_c > zero:
                cached_minus = add_noise(n, sigma_c, COST_MINUS, cached_minus, seed, ids, scratch, fours[8:12], c_minus)
            elif need_baseline and sigma_c0 > zero:
                cached_minus = add_noise(n, sigma_c0, BASELINE, cached_minus, seed, ids, scratch, fours[8:12], c_minus)

            change_of_cost(n, changed, need_baseline, ints, reals, signal)
            for lane in range(lanes):
                c = c_ac[lane]
                c = -clip if c < -clip else c
                c = clip if c > clip else c
                e[lane] = c * scale
                c_minus[lane] = c
                bad = first_bad[lane]
                first_bad[lane] = n if (bad < 0) & (not finite(c_plus[lane])) else bad
            for q in range(probe_lane.shape[0]):
                lane = probe_lane[q]
                probe_cost[n - n0, q] = c_plus[lane]
                probe_cost_ac[n - n0, q] = c_minus[lane]
                probe_sample[n - n0, q] = index[0, lane]

            window_ends = analog or (n + 1) % tau_theta == 0
            rate = real(learning_rate(ints, reals, n)) if window_ends else zero
            first = k % n_params if kind == t.SEQUENTIAL and not analog else 0
            last = first + 1 if kind == t.SEQUENTIAL and not analog else n_params
            accumulate(words, values, error, decay, plain and analog, direct, rate, G, theta, first, last)
            if window_ends and not direct:
                if ints[t.KEEP_GRADIENT] == 1 and not analog and n + 1 + tau_theta > n1:
                    for p in range(n_params):
                        for lane in range(lanes):
                            last_gradient[p, lane] = G[p, lane]
                if not (plain and analog):
                    number = n if analog else n // tau_theta
                    write(
                        theta, G, velocity, reals, rate, not analog, number, seed, ids, scratch, fours[0:4]
                    )  # fmt: skip

    return steps


_steps_codes = make_steps(codes=True)
_steps_values = make_steps(codes=False)


@entry
def steps_codes(
    n0, n1, seed, ids, ints, reals, layers, xs, ys, neuron, gain, phase_sin, phase_cos,
    theta, G, velocity, last_gradient, signal, first_bad,
    words, values, applied, x, y, a0, a1, b0, b1, index, keys, cache, scratch, fours, wave,
    probe_lane, probe_cost, probe_cost_ac, probe_sample,
):  # fmt: skip
    """Iterations n0 .. n1-1, perturbation random or walsh without mismatch. All arrays as in `steps_values`."""
    _steps_codes(
        n0, n1, seed, ids, ints, reals, layers, xs, ys, neuron, gain, phase_sin, phase_cos,
        theta, G, velocity, last_gradient, signal, first_bad,
        words, values, applied, x, y, a0, a1, b0, b1, index, keys, cache, scratch, fours, wave,
        probe_lane, probe_cost, probe_cost_ac, probe_sample,
    )  # fmt: skip


@entry
def steps_values(
    n0, n1, seed, ids, ints, reals, layers, xs, ys, neuron, gain, phase_sin, phase_cos,
    theta, G, velocity, last_gradient, signal, first_bad,
    words, values, applied, x, y, a0, a1, b0, b1, index, keys, cache, scratch, fours, wave,
    probe_lane, probe_cost, probe_cost_ac, probe_sample,
):  # fmt: skip
    """Iterations n0 .. n1-1 of the rule for every lane, any perturbation.

    Description: ints, reals, layers (table.py); xs real[n, n_in], ys real[n, n_out]; ids uint64[lanes].
    Chip, static: neuron real[4 neurons or 0, lanes], gain, phase_sin, phase_cos real[P or 0, lanes].
    State: theta, G real[P, lanes], velocity, last_gradient real[P or 0, lanes], signal real[SIGNALS, lanes]
    (C0, C_ac, C_prev), first_bad int64[lanes] (iteration of the first cost that is not finite, else -1).
    Scratch: words uint32[ceil(P/32), lanes], values and applied real[P, lanes] (one array without mismatch),
    x, y,     a0 .. b1 (one row a neuron), index int64[batch, lanes], keys uint32[12, lanes], cache, scratch uint32[4, lanes], fours
    real[12, lanes], wave float64[2, P]. Probes: lane numbers, and rows per iteration of the call.
    """
    _steps_values(
        n0, n1, seed, ids, ints, reals, layers, xs, ys, neuron, gain, phase_sin, phase_cos,
        theta, G, velocity, last_gradient, signal, first_bad,
        words, values, applied, x, y, a0, a1, b0, b1, index, keys, cache, scratch, fours, wave,
        probe_lane, probe_cost, probe_cost_ac, probe_sample,
    )  # fmt: skip
