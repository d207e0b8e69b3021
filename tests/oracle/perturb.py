"""The perturbation theta_ac of every parameter: float64[P], one function per kind .

k is the number of the perturbation, n // tau_p. All are pure functions of (seed, chip, k) or of time.
"""

import math

import numpy as np

from . import philox


def random_code(P, k, amplitude, seed, chip):
    """+-amplitude, independent (Spall, IEEE Trans. Autom. Control 37, 332 (1992)).

    One bit of the stream PERTURBATION per parameter, the most significant of a word first; bit 1 is minus.
    Every perturbation takes W words.
    """
    W = math.ceil(P / 32)
    if W > 2:
        W = 4 * math.ceil(W / 4)
    code_words = philox.words(seed, chip, philox.PERTURBATION, k * W, W)
    code = np.zeros(P)
    for p in range(P):
        bit = (int(code_words[p // 32]) >> (31 - p % 32)) & 1
        code[p] = -amplitude if bit else amplitude
    return code


def walsh_period(P):
    """N = 2**ceil(log2(P + 1)) perturbations: the smallest power of two above P."""
    return 1 << P.bit_length()


def walsh_code(P, k, amplitude):
    """Column k mod N of the rows 1 .. P of the Sylvester-Hadamard matrix of order N.

    The sign is the parity of popcount(row & column); row 0, which is constant, is never used.
    """
    column = k % walsh_period(P)
    code = np.zeros(P)
    for p in range(P):
        odd = ((p + 1) & column).bit_count() % 2 == 1
        code[p] = -amplitude if odd else amplitude
    return code


def sequential_code(P, k, amplitude):
    """One parameter at a time, parameter 0 first."""
    code = np.zeros(P)
    code[k % P] = amplitude
    return code


def gaussian(P, k, amplitude, seed, chip):
    """Independent normal perturbations of standard deviation amplitude."""
    stride = 4 * math.ceil(P / 4)  # normals per perturbation: whole blocks
    return amplitude * philox.normals(seed, chip, philox.PERTURBATION, k * stride, P)


def sinusoid_plan(P, band):
    """(m0, T): parameter p oscillates at (m0 + p)/T cycles per step.

    Inside the band (f_lo, f_hi), in cycles per step, and spaced by one over the integration time T, in steps.
    """
    f_lo, f_hi = band
    T = math.ceil(P / (f_hi - f_lo))
    m0 = math.ceil(f_lo * T - 1e-9)  # the allowance absorbs the rounding of the product
    return m0, T


def sinusoid(P, t, amplitude, band, seed, chip):
    """sqrt(2) amplitude sin(2 pi (f_p t + u_p)) at time t (in steps); u_p is word p of the stream PHASE.

    All f_p T are whole, so t enters only through t mod T and no precision is lost at late times.
    """
    m0, T = sinusoid_plan(P, band)
    u = philox.uniform(philox.words(seed, chip, philox.PHASE, 0, P))
    t_in_period = math.fmod(t, T)
    perturbation = np.zeros(P)
    for p in range(P):
        cycles = (m0 + p) * t_in_period / T + u[p]
        perturbation[p] = math.sqrt(2.0) * amplitude * math.sin(2.0 * math.pi * (cycles % 1.0))
    return perturbation


def perturbation(kind, P, k, t, amplitude, band, seed, chip):
    """theta_ac of the given kind: number k, or for the sinusoids time t (in steps)."""
    if kind == "random":
        return random_code(P, k, amplitude, seed, chip)
    if kind == "walsh":
        return walsh_code(P, k, amplitude)
    if kind == "sequential":
        return sequential_code(P, k, amplitude)
    if kind == "gaussian":
        return gaussian(P, k, amplitude, seed, chip)
    if kind == "sinusoid":
        return sinusoid(P, t, amplitude, band, seed, chip)
    raise ValueError(f"perturbation is {kind!r}; expected random, walsh, sequential, gaussian or sinusoid")
