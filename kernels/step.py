"""The whole step of multiplexed gradient descent for a block of lanes, in one compiled loop.

Equations: McCaughan et al., APL Machine Learning 1, 026118 (2023), in the normalisation
G += C_ac theta_ac / amplitude**2. A lane is a chip; n counts iterations (one step each in discrete mode, dt
in analog mode).
"""

from __future__ import annotations

import numpy as np

from . import table as t
from .broadcast import array_on, arrays_on
from .cost_noise import cost_noise_on
from .dense import ANTITHETIC, CODES, GAINS, NODES, PAIR, SINGLE, VALUES
from .devices import hold_on, is_plain, write_on
from .element import element_on, numbers_on
from .jit import entry, inner, leaf
from .latency import after_write, arrived, before_write, delay_on, inputs_on, late_on, seen_from, settle_on
from .neuron import add_cost
from .perturb import any_values, copy_row, normals4, random_words, walsh_words
from .philox import BASELINE, COST, COST_MINUS
from .pictures import accumulate_nodes, make_any_network, outputs_of
from .readout import convert_inputs, draw_noise, read_cost, read_costs
from .sample import FAR_BYTES, fetch, gather, next_samples, order_width
from .simd import any_lane, at, fma, lanes_of, load, store, where, width_of
from .update import learning_rate, make_accumulate
from .wires import own_of, wires_after, wires_middle, wires_on, wires_perturb, wires_start

# Rows of `signal`, real[SIGNALS, lanes]: the first three are state, the rest scratch.
C0, C_AC, C_PREV, C_PLUS, C_MINUS, ERROR, ARRAY_ERROR, SIGNALS = range(8)


@inner
def add_noise(n, sigma, stream, cached, seed, ids, scratch, four, signal, row):
    """signal[row] += sigma times normal n of a stream; four holds the block of normals `cached`; returns it."""
    if (n >> 2) != cached:
        normals4(seed, ids, stream, n >> 2, scratch, four)
    for v in range(0, lanes_of(signal), width_of(signal)):
        store(signal, row, v, fma(load(four, n & 3, v), sigma, load(signal, row, v)))
    return n >> 2


@leaf
def change_of_cost(
    n, changed, need_baseline, analog, antithetic, high_pass, clip, scale, scale2, signal, first_bad, device
):
    """C_ac from the measured costs: difference to the baseline, half the antithetic one, or high-pass.

    C_AC holds it (the filter's state in analog mode), C_MINUS what the parameters see of it after the clip, ERROR that
    times `scale` and then `scale2`.
    """
    for v in range(0, lanes_of(signal), width_of(signal)):
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
        c_ac = read_cost(c_ac, True, device, v)
        c_ac = where(c_ac < -clip, -clip, c_ac)
        c_ac = where(c_ac > clip, clip, c_ac)
        store(signal, C_MINUS, v, c_ac)
        store(signal, ERROR, v, c_ac * scale * scale2)
        not_finite = (c - c) != 0.0  # NaN for infinities and NaN
        if any_lane(not_finite):
            bad = load(first_bad, 0, v)
            store(first_bad, 0, v, where(not_finite & (bad < 0), n, bad))


def make_steps(form: int):
    """The loop over iterations n0 .. n1-1 for one form of perturbation."""
    network = make_any_network(form)
    accumulate = make_accumulate(VALUES if form == NODES else form)
    signs = form in (CODES, GAINS)

    @inner
    def steps(
        n0, n1, seed, ints, reals, layers, xs, ys, multiple, wave,
        ids, neuron, gain, phase_sin, phase_cos, theta, G, velocity, last_gradient, signal, first_bad, index,
        words, values, applied, work, y, ahead, keys, cache, scratch, fours, turns, pictures, device,
        probe_lane, probe_cost, probe_cost_ac, probe_sample,
    ):  # fmt: skip
        real = theta.dtype.type
        n_params = theta.shape[0]
        n_layers = layers.shape[0]
        n_out = layers[n_layers - 1, t.N_OUT]
        outputs, apart = outputs_of(layers, work, pictures)
        batch, n_train, cost, kind = ints[t.BATCH], ints[t.N_TRAIN], ints[t.COST], ints[t.PERTURBATION]
        tau_x, tau_p, tau_theta = ints[t.TAU_X], ints[t.TAU_P], ints[t.TAU_THETA]
        analog = ints[t.MODE] == t.ANALOG
        antithetic = ints[t.BASELINE] == t.ANTITHETIC
        shuffled = ints[t.SHUFFLE] == 1
        keep_gradient = ints[t.KEEP_GRADIENT] == 1 and not analog
        zero = real(0.0)
        amplitude = real(reals[t.AMPLITUDE])
        sigma_c = real(reals[t.SIGMA_C])
        sigma_c0 = real(reals[t.SIGMA_C_BASELINE])
        clip = real(reals[t.CLIP])
        share = real(1.0) / real(batch)
        high_pass = real(reals[t.TAU_HP] / (reals[t.TAU_HP] + reals[t.DT]))
        low_pass = reals[t.DT] / (reals[t.TAU_THETA_LOWPASS] + reals[t.DT]) if analog else 1.0
        keep = real(1.0 - low_pass) if analog else real(1.0)
        scale = real(low_pass) / amplitude if form == CODES else real(low_pass) / (amplitude * amplitude)
        scale2 = amplitude if form == GAINS else real(1.0)
        # A write that is nothing but theta -= eta G is done while G is read.
        plain = reals[t.SIGMA_THETA] == 0.0 and reals[t.WEIGHT_DECAY] == 0.0 and reals[t.MOMENTUM] == 0.0
        plain = plain and kind != t.SEQUENTIAL and is_plain(device) and form != NODES
        direct = plain and not analog and tau_theta == 1 and ints[t.KEEP_GRADIENT] == 0
        one_turn = kind == t.SEQUENTIAL and not analog and form != NODES
        four_plus = fours[0:4]
        four_minus = fours[4:8]
        many = fours[8:]
        cached = np.int64(-1)
        cached_plus = np.int64(-1)
        cached_minus = np.int64(-1)

        # Divisions are slow beside a step of a small network: here, and then counted on.
        presentation = n0 // tau_x
        since_x = n0 - presentation * tau_x
        k = n0 // tau_p
        since_p = n0 - k * tau_p
        turn = k % n_params
        window = n0 // tau_theta
        since_theta = n0 - window * tau_theta
        rate = real(learning_rate(ints, reals, n0))
        scheduled = ints[t.SCHEDULE] != t.CONSTANT

        # The samples of the next presentation are known one ahead, so that rows which are far away are on their way.
        far = xs.size * xs.itemsize > FAR_BYTES
        width = order_width(n_train)
        epoch = presentation * batch // n_train
        position = presentation * batch - epoch * n_train
        epoch, position, keys_epoch = next_samples(
            epoch, position, np.int64(-1), shuffled, n_train, width, seed, ids, keys, ahead
        )
        (own,) = own_of(theta, device)
        unit = np.int64(1) if analog else tau_theta
        wires_start(n0, unit, ids, theta, gain, layers, device)
        solved = True  # anew, what a perturbation amounts to

        for n in range(n0, n1):
            hold_on(n, own, seed, ids, scratch, many, device)
            settle_on(n, since_theta, own, device)
            changed = since_x == 0
            measured = changed or (not analog and since_theta == seen_from(device))
            solved = wires_on(n, since_theta, measured, unit, ids, theta, gain, layers, device) or solved
            if changed or n == n0:
                for b in range(batch):
                    copy_row(ahead, b, index, b)
                epoch, position, keys_epoch = next_samples(
                    epoch, position, keys_epoch, shuffled, n_train, width, seed, ids, keys, ahead
                )
                if batch == 1:
                    gather(xs, index, 0, work)
                    convert_inputs(work, 0, xs.shape[1], changed, device)
                    gather(ys, index, 0, y)
                    if far:
                        fetch(xs, ahead, 0)
                        fetch(ys, ahead, 0)

            if batch == 1:
                inputs_on(work, n, changed or n == n0, device)

            if since_p == 0 or n == n0 or kind == t.SINUSOID:
                if not signs:
                    cached = any_values(
                        kind, n, k, reals[t.DT], ints[t.SINE_PERIOD], amplitude, seed, ids, multiple, wave, phase_sin,
                        phase_cos, scratch, many, cache, cached, turns, words, values,
                    )  # fmt: skip
                    solved = True
                elif kind == t.RANDOM:
                    cached = random_words(k, n_params, seed, ids, cache, cached, words)
                else:
                    walsh_words(k, n_params, words)
            if solved and form != CODES:
                for p in range(gain.shape[0]):
                    for v in range(0, lanes_of(theta), width_of(theta)):
                        size = load(gain, p, v)
                        if form == GAINS:
                            store(applied, p, v, size * amplitude)
                        else:
                            store(applied, p, v, size * element_on(load(values, p, v), device))
                if form == VALUES and gain.shape[0] > 0:
                    numbers_on(values, applied, device)
            if solved or since_p == 0:
                wires_perturb(n, signs, words, values, amplitude, ids, applied, layers, device)
            solved = False

            need_baseline = measured and not analog and not antithetic
            forward = PAIR if need_baseline else (ANTITHETIC if antithetic else SINGLE)
            for v in range(0, lanes_of(signal), width_of(signal)):
                store(signal, C_PLUS, v, 0.0)
                store(signal, C_MINUS, v, 0.0)
            wires_middle(True, theta, device)
            for b in range(batch):
                if batch > 1:
                    gather(xs, index, b, work)
                    convert_inputs(work, 0, xs.shape[1], True, device)
                    gather(ys, index, b, y)
                draw_noise(n * batch + b, forward == SINGLE, seed, ids, scratch, device)
                network(forward, theta, words, applied, amplitude, layers, neuron, work, pictures, device)
                for copy in range(1 if forward == SINGLE else 0, 2):  # a: C_MINUS, b: C_PLUS
                    add_cost(cost, work, outputs + copy * apart, y, n_out, signal, C_MINUS - copy)
            wires_middle(False, theta, device)
            if batch > 1:
                for v in range(0, lanes_of(signal), width_of(signal)):
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

            last_cost = C_PLUS if forward == SINGLE else C_MINUS
            cost_noise_on(n, signal, C_PLUS, last_cost, seed, ids, scratch, device)
            read_costs(signal, C_PLUS, last_cost, device)
            change_of_cost(
                n, changed, need_baseline, analog, antithetic, high_pass, clip, scale, scale2, signal, first_bad, device
            )
            for q in range(probe_lane.shape[0]):
                lane = probe_lane[q]
                probe_cost[n - n0, q] = at(signal, C_PLUS, lane)
                probe_cost_ac[n - n0, q] = at(signal, C_MINUS, lane)
                probe_sample[n - n0, q] = at(index, 0, lane)

            window_ends = analog or since_theta + 1 == tau_theta
            if window_ends and scheduled:
                rate = real(learning_rate(ints, reals, n))
            kept = keep_gradient and window_ends and n + 1 + tau_theta > n1
            ends = window_ends and plain and not kept
            delay_on(n, signal, ERROR, device)
            late_on(
                n, n == n0, kind, n_params, tau_p, reals[t.DT], ints[t.SINE_PERIOD], amplitude, seed, ids, multiple,
                wave, phase_sin, phase_cos, scratch, many, device,
            )  # fmt: skip
            its_words, its_values, its_turn = arrived(words, values, turn, n, tau_p, n_params, device)
            first = its_turn if one_turn else 0
            last = first + 1 if one_turn else n_params
            for q in range(arrays_on(n_layers, device)):
                its_words_q, row, first_q, last_q = array_on(
                    q, its_words, signs, signal, ERROR, ARRAY_ERROR, first, last, scale * scale2, device
                )
                if form == NODES:
                    accumulate_nodes(its_values, signal, row, keep, G, first_q, last_q, work, pictures)
                else:
                    accumulate(
                        its_words_q, its_values, signal, row, keep, direct, ends, not analog, rate, G, theta, first_q,
                        last_q,
                    )  # fmt: skip
            if kept:
                for p in range(n_params):
                    copy_row(G, p, last_gradient, p)
            if window_ends and not ends:
                number = n if analog else window
                before_write(own, device)
                write_on(n, own, G, velocity, reals, rate, not analog, number, seed, ids, scratch, many, device)
                after_write(own, device)
                solved = wires_after(n, n + 1 < n1, unit, ids, theta, gain, layers, device)

            since_x += 1
            if since_x == tau_x:
                since_x = 0
            since_p += 1
            if since_p == tau_p:
                since_p = 0
                k += 1
                turn = turn + 1 if turn + 1 < n_params else 0
            since_theta += 1
            if since_theta == tau_theta:
                since_theta = 0
                window += 1

    return steps


_steps_codes = make_steps(CODES)
_steps_gains = make_steps(GAINS)
_steps_values = make_steps(VALUES)
_steps_nodes = make_steps(NODES)


@entry
def steps_codes(
    n0, n1, seed, ints, reals, layers, xs, ys, multiple, wave,
    ids, neuron, gain, phase_sin, phase_cos, theta, G, velocity, last_gradient, signal, first_bad, index,
    words, values, applied, work, y, ahead, keys, cache, scratch, fours, turns, pictures, device,
    probe_lane, probe_cost, probe_cost_ac, probe_sample,
):  # fmt: skip
    """Iterations n0 .. n1-1, perturbation random or walsh without mismatch. All arrays as in `steps_values`."""
    _steps_codes(
        n0, n1, seed, ints, reals, layers, xs, ys, multiple, wave,
        ids, neuron, gain, phase_sin, phase_cos, theta, G, velocity, last_gradient, signal, first_bad, index,
        words, values, applied, work, y, ahead, keys, cache, scratch, fours, turns, pictures, device,
        probe_lane, probe_cost, probe_cost_ac, probe_sample,
    )  # fmt: skip


@entry
def steps_gains(
    n0, n1, seed, ints, reals, layers, xs, ys, multiple, wave,
    ids, neuron, gain, phase_sin, phase_cos, theta, G, velocity, last_gradient, signal, first_bad, index,
    words, values, applied, work, y, ahead, keys, cache, scratch, fours, turns, pictures, device,
    probe_lane, probe_cost, probe_cost_ac, probe_sample,
):  # fmt: skip
    """Iterations n0 .. n1-1, perturbation random or walsh with mismatch. All arrays as in `steps_values`."""
    _steps_gains(
        n0, n1, seed, ints, reals, layers, xs, ys, multiple, wave,
        ids, neuron, gain, phase_sin, phase_cos, theta, G, velocity, last_gradient, signal, first_bad, index,
        words, values, applied, work, y, ahead, keys, cache, scratch, fours, turns, pictures, device,
        probe_lane, probe_cost, probe_cost_ac, probe_sample,
    )  # fmt: skip


@entry
def steps_values(
    n0, n1, seed, ints, reals, layers, xs, ys, multiple, wave,
    ids, neuron, gain, phase_sin, phase_cos, theta, G, velocity, last_gradient, signal, first_bad, index,
    words, values, applied, work, y, ahead, keys, cache, scratch, fours, turns, pictures, device,
    probe_lane, probe_cost, probe_cost_ac, probe_sample,
):  # fmt: skip
    """Iterations n0 .. n1-1 of the rule for every lane, perturbation sequential, gaussian or sinusoid, or any in turn.

    Description: ints, reals, layers (table.py); xs real[n, n_in], ys real[n, n_out].
    Sinusoids: multiple float64[1, P], the frequencies' numbers, wave real[2, P], scratch, P filled up to a multiple
    of 16; no lanes.
    Then arrays with the lanes in the last axis, or 1-D without it for a chip on its own. Chip: ids uint64[1],
    neuron real[4 neurons or 0], gain, phase_sin, phase_cos real[P or 0]. State: theta, G real[P], velocity,
    last_gradient real[P or 0], signal real[SIGNALS] (C0, C_ac, C_prev), first_bad int64[1] (iteration of the first
    cost that is not finite, else -1), index uint32[batch] (samples shown). Scratch: words uint32[ceil(P/32)], values
    real[P or 0], applied real[P or 0] (the same array without mismatch), work real[n_in + 4 x widest layer],
    y real[n_out], ahead uint32[batch], keys uint32[13], cache uint32[4], scratch uint32[32], fours real[40].
    turns int64[layers + 1 or 0]: where the layers begin in values, where they are perturbed in turn.
    pictures: the layout of a network of pictures (hardware.py; work has the rows that it says), or ().
    device: the devices and their readout where not ideal (hardware.py), or ().
    Probes: lanes, and rows per iteration of the call.
    """
    _steps_values(
        n0, n1, seed, ints, reals, layers, xs, ys, multiple, wave,
        ids, neuron, gain, phase_sin, phase_cos, theta, G, velocity, last_gradient, signal, first_bad, index,
        words, values, applied, work, y, ahead, keys, cache, scratch, fours, turns, pictures, device,
        probe_lane, probe_cost, probe_cost_ac, probe_sample,
    )  # fmt: skip


@entry
def steps_nodes(
    n0, n1, seed, ints, reals, layers, xs, ys, multiple, wave,
    ids, neuron, gain, phase_sin, phase_cos, theta, G, velocity, last_gradient, signal, first_bad, index,
    words, values, applied, work, y, ahead, keys, cache, scratch, fours, turns, pictures, device,
    probe_lane, probe_cost, probe_cost_ac, probe_sample,
):  # fmt: skip
    """The same with pre-activations perturbed and not parameters, of any kind: gain, phases, values and what they are
    made of have a row for each column that is read in an evaluation. `pictures` is never (), the batch 1."""
    _steps_nodes(
        n0, n1, seed, ints, reals, layers, xs, ys, multiple, wave,
        ids, neuron, gain, phase_sin, phase_cos, theta, G, velocity, last_gradient, signal, first_bad, index,
        words, values, applied, work, y, ahead, keys, cache, scratch, fours, turns, pictures, device,
        probe_lane, probe_cost, probe_cost_ac, probe_sample,
    )  # fmt: skip
