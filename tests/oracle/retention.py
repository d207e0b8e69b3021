"""What time does to a conductance: power-law drift, leak, 1/f noise, and the errors of programming it.

Conductances in microsiemens where a formula was fitted in them; times in seconds. PCM: Nandakumar et al., ICECS
2019, and Joshi et al., Nat. Commun. 11, 2473 (2020), as in aihwkit, g_hat = g / 25 uS.
"""

import math

import numpy as np

PCM_FULL_SCALE = 25.0  # microsiemens
PCM_T_READ = 250e-9  # seconds


def drift(g, t, t_w, t0, nu):
    """g written at t_w, at time t: g ((t - t_w + t0)/t0)**(-nu)."""
    return g * ((t - t_w + t0) / t0) ** (-nu)


def leak(w, dt, lifetime, rest=0.0):
    """w after dt: rest + (w - rest) exp(-dt/lifetime)."""
    return rest + (w - rest) * np.exp(-dt / lifetime)


def g_hat(g):
    """g relative to the full scale, kept off 0 for the logarithms."""
    return np.maximum(np.asarray(g, dtype=np.float64) / PCM_FULL_SCALE, 1e-7)


def pcm_programming_sigma(g):
    """Standard deviation of a programmed PCM conductance, microsiemens."""
    x = np.asarray(g, dtype=np.float64) / PCM_FULL_SCALE
    return 0.26348 + 1.965 * x - 1.1731 * x**2


def pcm_nu_mean(g):
    return np.clip(-0.0155 * np.log(g_hat(g)) + 0.0244, 0.049, 0.1)


def pcm_nu_sigma(g):
    return np.clip(-0.0125 * np.log(g_hat(g)) - 0.0059, 0.008, 0.045)


def pcm_nu(g, xi):
    """Drift exponent drawn when g is written."""
    return np.abs(pcm_nu_mean(g) + pcm_nu_sigma(g) * xi)


def pcm_read_sigma(g, t, g_written=None, t_read=PCM_T_READ):
    """Standard deviation of the accumulated 1/f noise of conductance g, a time t after the write.

    The relative noise is that of the conductance as written, if given; else of g.
    """
    relative = np.minimum(0.0088 / g_hat(g if g_written is None else g_written) ** 0.65, 0.2)
    return g * relative * np.sqrt(np.log(np.maximum(1.0, (t + t_read) / (2.0 * t_read))))


def relaxation_times(step_time, run_time):
    """Time constants of the processes whose sum is 1/f noise: one a decade, step time to run time, both included."""
    decades = max(0, math.ceil(math.log10(run_time / step_time) - 1e-9))
    return step_time * 10.0 ** np.arange(decades + 1)


def ornstein_uhlenbeck(x, dt, tau, sigma, xi):
    """x after dt, exact for any dt (Gillespie, Phys. Rev. E 54, 2084 (1996)); sigma: stationary standard deviation."""
    decay = np.exp(-dt / tau)
    return x * decay + sigma * np.sqrt(1.0 - decay**2) * xi


def rram_milo_sigma(g):
    """RRAM, 50 to 225 microsiemens: Milo et al., IRPS 2021, algorithm IGVVA-100."""
    return np.maximum(4.782321 - 0.009107 * np.asarray(g, dtype=np.float64), 0.0)


def rram_wan_sigma(g):
    """RRAM, up to 39.26 microsiemens: Wan et al., Nature 608, 504 (2022)."""
    g = np.asarray(g, dtype=np.float64)
    return np.maximum(1.536e-4 * g**3 - 0.01167 * g**2 + 0.2374 * g + 1.053, 0.0)
