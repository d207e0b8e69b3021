"""Conductances that fluctuate: 1/f noise (Ornstein-Uhlenbeck processes), telegraph noise (Markov chains).

Times in steps. 1/f noise of PCM: Nandakumar et al., ICECS 2019. Telegraph noise: Machlup, J. Appl. Phys. 25, 341
(1954).
"""

import numpy as np

from oracle import retention

PART = 0.1  # of its time constant, after which a process is brought up to date


def taus(slowest):
    """Time constants in steps, one a decade from 1 to `slowest`."""
    return retention.relaxation_times(1.0, max(1.0, slowest))


def stride(tau):
    """Steps between updates of a process."""
    return max(1, round(PART * tau))


def process(tau, steps, xi):
    """float64[steps, n]: unit variance, held between updates; xi(u) standard normal for update u, the 0th its start."""
    every = stride(tau)
    x, out = xi(0), []
    for n in range(steps):
        if n and n % every == 0:
            x = retention.ornstein_uhlenbeck(x, every, tau, 1.0, xi(n // every))
        out.append(x)
    return np.array(out)


def relative_size(g, full_scale, flicker, power, most, slowest_seconds, read_time):
    """Standard deviation of the 1/f noise of a conductance written as g, over what it is, all processes together."""
    x = np.maximum(np.asarray(g, dtype=np.float64) / full_scale, 1e-7)
    span = np.log(max(1.0, (slowest_seconds + read_time) / (2.0 * read_time)))
    return np.minimum(flicker / x**power, most) * np.sqrt(span)


def telegraph(high, low, steps, u):
    """0 or 1, float64[steps, n]: mean steps in 1 `high`, in 0 `low`; u(k) uniform for update k, the 0th its start.

    Updated every tenth of the correlation time, 1/(1/high + 1/low), at least every step.
    """
    tau, share = 1.0 / (1.0 / high + 1.0 / low), high / (high + low)
    every = max(1, int(PART * tau))
    state, out = (u(0) <= share) * 1.0, []
    for n in range(steps):
        if n and n % every == 0:
            state = (u(n // every) <= share + (state - share) * np.exp(-every / tau)) * 1.0
        out.append(state)
    return np.array(out)


def telegraph_spectrum(f, high, low, size):
    """Power per unit of frequency (f > 0) of the continuous chain: a Lorentzian; times and f in the same unit."""
    tau, share = 1.0 / (1.0 / high + 1.0 / low), high / (high + low)
    return 4.0 * size**2 * share * (1.0 - share) * tau / (1.0 + (2.0 * np.pi * f * tau) ** 2)
