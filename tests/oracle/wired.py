"""A chip whose crossbars have resistive wires and that trains itself, step by step, discrete mode.

A layer's weights, with a last row for the biases that is driven at 1, lie on two arrays with the same wires and
inputs, one for g_plus and one for g_minus; their column currents are subtracted. Currents from Kirchhoff's laws,
dense (`wires`); derivatives from currents, too: as a function of one device a current is (a + b g)/(1 + c g).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .network import ideal_neurons, mean_cost
from .order import batch_indices
from .perturb import perturbation
from .wires import matrix


@dataclass(frozen=True)
class Wired:
    """What the chip is: devices in units of w, theta = scale w without wires."""

    wires: Any
    g_unit: float  # siemens for w = 1
    scale: float = 1.0
    g_min: float = 0.0
    mapping: str = "one-sided"
    w_end: float = 1.0
    bound: float = np.inf  # of the weights as written
    refresh: int | None = None  # steps; None: exact, whenever anything changes, the perturbed chip too
    nu: Any = None  # (plus, minus) float64[P] each, exponents of the drift; t0 is one step
    tile: tuple | None = None
    gain: Any = field(default=1.0)  # of each perturbation


def pair(w, c):
    """g_plus, g_minus of the weights w."""
    if c.mapping == "one-sided":
        return c.g_min + np.maximum(w, 0.0), c.g_min + np.maximum(-w, 0.0)
    if c.mapping == "symmetric":
        return c.g_min + (c.w_end + w) / 2.0, c.g_min + (c.w_end - w) / 2.0
    return c.g_min + c.w_end + w, c.g_min + c.w_end + 0.0 * w


def drifted(w, steps, c):
    """The pair of devices that were written as w so many steps ago."""
    plus, minus = pair(w, c)
    if c.nu is None:
        return plus, minus
    return plus * (1.0 + steps) ** -c.nu[0], minus * (1.0 + steps) ** -c.nu[1]


def arrays(net, g):
    """The conductances float64[P] of each layer as an array [n_in + 1, n_out]."""
    found, first = [], 0
    for n_in, n_out in net.layers:
        weights = g[first : first + n_in * n_out].reshape(n_out, n_in).T
        first += n_in * n_out
        found.append(np.vstack([weights, g[first : first + n_out]]))
        first += n_out
    return found


def parameters(found):
    """The inverse of `arrays`."""
    return np.concatenate([part for a in found for part in (a[:-1].T.ravel(), a[-1])])


def currents(net, g, c):
    """Column current per volt of each element's row, float64[P], in units of w."""
    out = []
    for G in arrays(net, g):
        M = np.zeros(G.shape)
        high, wide = c.tile or G.shape
        for i in range(0, G.shape[0], high):
            for j in range(0, G.shape[1], wide):
                M[i : i + high, j : j + wide] = matrix(c.g_unit * G[i : i + high, j : j + wide], c.wires).T
        out.append(M / c.g_unit)
    return parameters(out)


def slopes(net, g, c):
    """Derivative of each element of `currents` to its own device: from 1/(f(g + h) - f(g)) = 1/(f' h) + const."""
    base, out = currents(net, g, c), np.zeros(len(g))
    for p in range(len(g)):
        inverse = []
        for h in (0.5, 2.0):
            more = g.copy()
            more[p] += h
            inverse.append(1.0 / (currents(net, more, c)[p] - base[p]))
        out[p] = (1.0 / 0.5 - 1.0 / 2.0) / (inverse[0] - inverse[1])
    return out


def simulate(net, x, y, s, c, steps, theta0):
    """theta as it is seen, after 0 .. steps steps, float64[steps + 1, P], with s a `rule.Settings`; the last w; and
    the largest error of theta that a solve has found, as a fraction of theta (both as currents, see `size`)."""
    neurons = ideal_neurons(net)
    P = net.parameters
    w, written = np.array(theta0) / c.scale, np.zeros(P)
    exact = c.refresh is None

    def measure(theta, samples):
        return float(mean_cost(net, theta, x[samples], y[samples], neurons))

    def solve(plus, minus):
        return c.scale * (currents(net, plus, c) - currents(net, minus, c))

    def size(theta):
        """Root mean square of the currents of each layer over inputs uniform in 0 .. 1."""
        return np.array([np.sqrt((a.sum(axis=0) ** 2).sum() / 4.0 + (a**2).sum() / 12.0) for a in arrays(net, theta)])

    def linear():
        plus, minus = drifted(w, n - written, c)
        if exact:
            return solve(plus, minus), None, None, None, None
        return solve(plus, minus), slopes(net, plus, c), slopes(net, minus, c), plus, minus

    n = 0
    solved, S_plus, S_minus, plus0, minus0 = linear()
    theta, history, worst = solved, [solved], 0.0
    G, C0 = np.zeros(P), 0.0
    for n in range(steps):
        plus, minus = drifted(w, n - written, c)
        if exact:
            theta = solve(plus, minus)
        else:
            theta = solved + c.scale * (S_plus * (plus - plus0) - S_minus * (minus - minus0))
            if n > 0 and n % c.refresh == 0:
                seen = theta
                solved, S_plus, S_minus, plus0, minus0 = linear()
                theta = solved
                worst = max(worst, (size(seen - theta) / size(theta)).max())
        sample_changed = n % s.tau_x == 0
        if sample_changed:
            samples = batch_indices(s.order, s.seed, s.chip, n // s.tau_x, s.batch, len(x))
        if s.baseline == "measured" and (sample_changed or n % s.tau_theta == 0):
            C0 = measure(theta, samples)
        theta_ac = perturbation(s.perturbation, P, n // s.tau_p, n, s.amplitude, s.band, s.seed, s.chip)

        costs = []
        for sign in (1.0, -1.0):
            change = sign * c.gain * theta_ac
            if exact:  # half of it on each device of the pair
                perturbed = solve(plus + change / 2.0 / c.scale, minus - change / 2.0 / c.scale)
            else:
                perturbed = theta + change * (S_plus + S_minus) / 2.0
            costs.append(measure(perturbed, samples))
        C_ac = costs[0] - C0 if s.baseline == "measured" else (costs[0] - costs[1]) / 2.0
        G = G + C_ac * theta_ac / s.amplitude**2
        if (n + 1) % s.tau_theta == 0:
            plus, minus = drifted(w, n + 1 - written, c)
            asked = -s.eta * G / c.scale
            moved = asked != 0.0
            w = np.where(moved, np.clip(plus - minus + asked, -c.bound, c.bound), w)
            written = np.where(moved, n + 1, written)
            G = np.zeros(P)
        # What is recorded: a written device as written, any other as it was when the network last looked at it.
        plus, minus = drifted(w, np.maximum(n - written, 0), c)
        if exact:
            theta = solve(plus, minus)
        else:
            theta = solved + c.scale * (S_plus * (plus - plus0) - S_minus * (minus - minus0))
        history.append(theta)
    return np.array(history), w, worst
