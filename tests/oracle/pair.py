"""Weights held by two conductances: pairs of one-sided devices, errors and drift that depend on the conductance.

A weight is g_plus - g_minus. One-sided devices are only ever pulsed upwards: what is asked for downwards goes to minus
(Nandakumar et al., Front. Neurosci. 14, 406 (2020)); full pairs are reset and their difference is written anew.
Conductances in units of w, arrays float64[2, n], row 0 plus and row 1 minus.
"""

import numpy as np

from oracle import device, retention


def pulses(s, devices, g, asked, xi):
    """g after the pulses asked (signed, float64[n]); devices: two of `device.Devices`; xi(i) for the i-th pulse."""
    g = g.copy()
    for i in range(int(np.abs(asked).max(initial=0))):
        for side, sign in enumerate((1, -1)):
            here = (sign * asked > i).astype(float)
            g[side] = device.pulse(s, devices[side], g[side], here, xi(i))
    return g


def full(g, w_max, upper, lower):
    """bool[n]: pairs that cannot go on for long."""
    return (g.max(axis=0) > upper * w_max) & (g.min(axis=0) > lower * w_max)


def reset(devices, g, here, rest, c2c, xi):
    """g with both devices reset where `here`: to rest + c2c xi, within their bounds; rest, xi float64[2, n]."""
    ends = [np.clip(rest[k] + c2c * xi[k], devices[k].b_min, devices[k].b_max) for k in range(2)]
    return np.where(here, ends, g)


def write_anew(s, devices, g, here, wanted, most, xi):
    """g pulsed, where `here`, until its difference has passed `wanted` or `most` pulses are given; and their counts."""
    g, here, counts = g.copy(), here.copy(), np.zeros(g.shape)
    for i in range(most):
        w = g[0] - g[1]
        here &= np.where(wanted > 0, w < wanted, w > wanted)
        for side in range(2):
            of_side = (here & ((wanted > 0) == (side == 0))).astype(float)
            g[side] = device.pulse(s, devices[side], g[side], of_side, xi(i))
            counts[side] += of_side
    return g, counts


def programmed(g, coefficients, full_scale, xi):
    """What a conductance is when it was to be g: off by a polynomial, neither it nor the conductance below 0."""
    x = g / full_scale
    sigma = sum(c * x**k for k, c in enumerate(coefficients)) * full_scale
    return np.maximum(g + np.maximum(sigma, 0.0) * xi, 0.0)


def nu(g, full_scale, xi):
    """Exponent of PCM's drift, drawn when g is written."""
    return retention.pcm_nu(g / full_scale * retention.PCM_FULL_SCALE, xi)


def mapped(w, mapping, g_min, w_end):
    """Both conductances that stand for the weights w."""
    w = np.asarray(w, dtype=np.float64)
    return np.array({
        "one-sided": (g_min + np.maximum(w, 0.0), g_min + np.maximum(-w, 0.0)),
        "symmetric": (g_min + (w_end + w) / 2.0, g_min + (w_end - w) / 2.0),
        "reference": (g_min + w_end + w, np.full_like(w, g_min + w_end)),
    }[mapping])  # fmt: skip
