"""A chip that trains itself by multiplexed gradient descent, step by step, and backpropagation beside it.

Source: McCaughan, Oripov, Ganesh, Nam, Dienstfrey, Buckley, APL Mach. Learn. 1, 026118 (2023), arXiv
2303.03986, with G normalised by amplitude**2 alone. Times are in steps.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import philox
from .network import Neurons, gradient, initial_theta, mean_cost, neuron_spread, sample_cost
from .nodes import eligibility, node_counts, node_pass, only_layer, parameter_counts
from .order import batch_indices
from .perturb import perturbation


@dataclass(frozen=True)
class Settings:
    """Rule, chip and randomness of one run; names as in the package."""

    # rule
    perturbation: str = "random"  # random, walsh, sequential, gaussian, sinusoid
    perturb: str = "parameters"  # or "nodes"
    layers: str = "together"  # or "in-turn"
    amplitude: float = 0.01
    eta: float = 0.1
    tau_x: float = 1
    tau_p: float = 1
    tau_theta: float = 1
    mode: str = "discrete"  # or "analog"
    dt: float = 1.0  # analog only
    tau_hp: float = 10.0  # analog only
    baseline: str = "measured"  # or "antithetic"; discrete only
    batch: int = 1
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "constant"  # cosine (schedule_steps: its horizon), inverse (schedule_decay)
    schedule_steps: float = 1000.0
    schedule_decay: float = 0.0
    clip: float | None = None  # of |C_ac|
    band: tuple = (0.05, 0.45)  # cycles per step, sinusoids only
    # chip
    sigma_C: float = 0.0
    sigma_C_baseline: bool = False  # sigma_C on the baseline too
    sigma_theta: float = 0.0
    spread: float = 0.0  # sigma_a of the neurons
    mismatch: float = 0.0  # of the perturbation amplitudes
    init: str = "uniform"  # or "glorot"
    init_scale: float = 0.5  # the package starts glorot with 1
    # randomness
    seed: int = 0
    chip: int = 0
    order: str = "shuffle"  # or "sequential"


@dataclass(frozen=True)
class Parts:
    """What else is between the rule and an ideal chip; by default nothing.

    cost_noise  n -> noise of every cost that is measured in step n
    error       C_ac -> what each parameter takes it for, one number or float64[P]
    element     theta_ac -> what is added to the parameters
    write       (theta, dw, number of the write) -> theta, instead of the one with sigma_theta
    gain        float64[P] or None: of the perturbation, instead of that of the mismatch
    neurons     network.Neurons or None: instead of those with the spread
    """

    cost_noise: Callable = lambda n: 0.0
    error: Callable = lambda C_ac: C_ac
    element: Callable = lambda theta_ac: theta_ac
    write: Callable | None = None
    gain: np.ndarray | None = None
    neurons: Neurons | None = None


@dataclass(frozen=True)
class History:
    """What a run did. Those with steps+1 rows: the state after 0 .. steps steps; the others: one row a step.

    theta        float64[steps+1, P]
    gradient     float64[steps+1, P]  discrete: G at the end of the last completed window, before the write
                                      and the reset (until one is complete: G so far); analog: G
    evaluations  int64[steps+1]       evaluations of the network by one sample, baselines included
    time         float64[steps+1]     emulated time in step times
    theta_ac     float64[steps, P]    perturbation as the rule believes it (without mismatch); of nodes, times what
                                      each weight reads
    cost         float64[steps]       perturbed (plus) measurement, with its noise
    cost_ac      float64[steps]       C_ac as it enters G (clipped)
    baseline     float64[steps]       C0 in force; NaN where there is none (antithetic, analog)
    sample       int64[steps, batch]  data set indices of the samples presented
    """

    theta: np.ndarray
    gradient: np.ndarray
    evaluations: np.ndarray
    time: np.ndarray
    theta_ac: np.ndarray
    cost: np.ndarray
    cost_ac: np.ndarray
    baseline: np.ndarray
    sample: np.ndarray

    @classmethod
    def empty(cls, steps, P, batch):
        return cls(
            theta=np.zeros((steps + 1, P)),
            gradient=np.zeros((steps + 1, P)),
            evaluations=np.zeros(steps + 1, dtype=np.int64),
            time=np.zeros(steps + 1),
            theta_ac=np.zeros((steps, P)),
            cost=np.zeros(steps),
            cost_ac=np.zeros(steps),
            baseline=np.full(steps, np.nan),
            sample=np.zeros((steps, batch), dtype=np.int64),
        )


def scheduled_eta(eta, schedule, horizon, decay, t):
    """Learning rate at time t of the write (steps, from 0)."""
    if schedule == "constant":
        return eta
    if schedule == "cosine":  # Loshchilov and Hutter, ICLR 2017, one cycle
        return eta * 0.5 * (1.0 + math.cos(math.pi * min(t / horizon, 1.0)))
    if schedule == "inverse":  # Robbins and Monro 1951
        return eta / (1.0 + decay * t)
    raise ValueError(f"schedule is {schedule!r}; expected constant, cosine or inverse")


def mismatch_gain(P, mismatch, seed, chip):
    """Gain of every parameter's perturbation path: 1 + mismatch xi, static."""
    return 1.0 + mismatch * philox.normals(seed, chip, philox.MISMATCH, 0, P)


def clipped(C_ac, clip):
    """C_ac limited to [-clip, clip]; None: as it is."""
    return C_ac if clip is None else min(max(C_ac, -clip), clip)


def noise(sigma, s, stream, event):
    """sigma times normal number `event` of a stream of this chip."""
    return sigma * philox.normal(s.seed, s.chip, stream, event) if sigma > 0.0 else 0.0


def write(theta, dw, s, u, parts):
    """Write number u: theta + dw + sigma_theta xi, xi independent per parameter."""
    if parts.write is not None:
        return parts.write(theta, dw, u)
    P = len(theta)
    stride = 4 * math.ceil(P / 4)
    if s.sigma_theta > 0.0:
        dw = dw + s.sigma_theta * philox.normals(s.seed, s.chip, philox.WRITE, u * stride, P)
    return theta + dw


def whole_steps(name, tau, dt):
    """tau/dt, which must be a whole number of iterations."""
    ratio = round(tau / dt)
    if ratio < 1 or not math.isclose(ratio * dt, tau, rel_tol=1e-9):
        raise ValueError(f"{name} is {tau}; expected a whole multiple of dt = {dt}")
    return ratio


def simulate(net, x_train, y_train, settings, steps, theta0=None, parts=None):
    """Train one chip for a number of steps (analog: iterations of dt): History.

    x_train (n, n_in), y_train (n, n_out); theta0 float64[P] or None (drawn, stream INIT); parts: Parts.
    """
    parts = parts or Parts()
    s = settings
    if theta0 is None:
        theta0 = initial_theta(net, s.init, s.init_scale, s.seed, s.chip)
    theta = np.array(theta0, dtype=np.float64)
    neurons = parts.neurons or neuron_spread(net, s.spread, s.seed, s.chip)
    counts = node_counts(net) if s.perturb == "nodes" else parameter_counts(net)
    gain = mismatch_gain(sum(counts), s.mismatch, s.seed, s.chip) if parts.gain is None else parts.gain

    def measure(theta, samples, perturbation=None, sign=1.0):
        """(Mean cost of the samples, without noise; what each parameter correlates it with) with a perturbation as it
        is believed to be, or without one."""
        x, y = x_train[samples], y_train[samples]
        if perturbation is None:
            return float(mean_cost(net, theta, x, y, neurons)), None
        seen = sign * gain * parts.element(perturbation)
        if s.perturb == "parameters":
            return float(mean_cost(net, theta + seen, x, y, neurons)), perturbation
        ((x_i,), (y_i,)) = x, y  # one sample
        output, signals = node_pass(net, theta, x_i, neurons, seen)
        return float(sample_cost(net, output, y_i)), eligibility(net, theta, signals, perturbation)

    def perturbed(k, t):
        """Perturbation number k, or at time t."""
        number, layers = (k // len(counts), len(counts)) if s.layers == "in-turn" else (k, 1)
        values = perturbation(s.perturbation, sum(counts), number, t, s.amplitude, s.band, s.seed, s.chip)
        return only_layer(values, counts, k % layers) if layers > 1 else values

    run = {"discrete": discrete, "analog": analog}[s.mode]
    return run(measure, perturbed, theta, s, steps, len(x_train), parts)


def discrete(measure, perturbed, theta, s, steps, n_train, parts):
    """Discrete mode."""
    if s.dt != 1.0:
        raise ValueError(f"dt is {s.dt}; expected 1 in discrete mode")
    P = len(theta)
    history = History.empty(steps, P, s.batch)
    history.theta[0] = theta
    G, v, evaluations, C0 = np.zeros(P), np.zeros(P), 0, math.nan
    for n in range(steps):
        # 1. next sample
        sample_changed = n % s.tau_x == 0
        if sample_changed:
            samples = batch_indices(s.order, s.seed, s.chip, n // s.tau_x, s.batch, n_train)
        # 2. baseline, when the sample or theta (written at the end of step n-1) changed
        if s.baseline == "measured" and (sample_changed or n % s.tau_theta == 0):
            sigma_C0 = s.sigma_C if s.sigma_C_baseline else 0.0
            C0 = measure(theta, samples)[0] + noise(sigma_C0, s, philox.BASELINE, n) + parts.cost_noise(n)
            evaluations += s.batch
        # 3. perturbation
        k = n // s.tau_p
        theta_ac = perturbed(k, n)
        # 4. measurement
        cost, correlated = measure(theta, samples, theta_ac)
        C = cost + noise(s.sigma_C, s, philox.COST, n) + parts.cost_noise(n)
        evaluations += s.batch
        if s.baseline == "measured":
            C_ac = C - C0
        else:
            C_minus = measure(theta, samples, theta_ac, -1.0)[0] + noise(s.sigma_C, s, philox.COST_MINUS, n)
            C_minus += parts.cost_noise(n)
            evaluations += s.batch
            C_ac = (C - C_minus) / 2.0
        C_ac = clipped(C_ac, s.clip)
        # 5. correlation
        G = G + parts.error(C_ac) * correlated / s.amplitude**2
        # 6. update at the end of the window
        window_ends = (n + 1) % s.tau_theta == 0
        window_is_first = n < s.tau_theta
        history.gradient[n + 1] = G if window_ends or window_is_first else history.gradient[n]
        if window_ends:
            v = s.momentum * v + (G + s.weight_decay * theta)
            eta_n = scheduled_eta(s.eta, s.schedule, s.schedule_steps, s.schedule_decay, n)
            theta = write(theta, -eta_n * v, s, n // s.tau_theta, parts)
            G = np.zeros(P)

        history.theta[n + 1] = theta
        history.theta_ac[n] = correlated
        history.cost[n], history.cost_ac[n], history.baseline[n] = C, C_ac, C0
        history.sample[n] = samples
        history.evaluations[n + 1] = evaluations
        history.time[n + 1] = evaluations
    return history


def analog(measure, perturbed, theta, s, steps, n_train, parts):
    """Analog mode: every dt a high-pass on the cost, a low-pass on the gradient, a write."""
    if s.tau_x <= s.dt:
        raise ValueError(f"tau_x is {s.tau_x}; expected more than dt = {s.dt}, or C_ac vanishes")
    if s.baseline != "measured":
        raise ValueError(f"baseline is {s.baseline!r}; the analog mode has none")
    dt, tau_hp, tau_theta = s.dt, s.tau_hp, s.tau_theta
    sample_iterations = whole_steps("tau_x", s.tau_x, dt)
    code_iterations = 1 if s.perturbation == "sinusoid" else whole_steps("tau_p", s.tau_p, dt)
    P = len(theta)
    history = History.empty(steps, P, s.batch)
    history.theta[0] = theta
    G, v, C_prev, C_ac = np.zeros(P), np.zeros(P), 0.0, 0.0
    for n in range(steps):
        t = n * dt
        sample_changed = n % sample_iterations == 0  # n = 0 included
        if sample_changed:
            samples = batch_indices(s.order, s.seed, s.chip, n // sample_iterations, s.batch, n_train)
        k = n // code_iterations
        cost, correlated = measure(theta, samples, perturbed(k, t))
        C = cost + noise(s.sigma_C, s, philox.COST, n) + parts.cost_noise(n)
        # high-pass; the step of the cost between two samples does not pass
        if sample_changed:
            C_prev = C
        C_ac = tau_hp / (tau_hp + dt) * (C_ac + C - C_prev)
        C_prev = C
        C_used = clipped(C_ac, s.clip)  # the filter's state is not clipped
        # low-pass
        G = dt / (tau_theta + dt) * (parts.error(C_used) * correlated / s.amplitude**2 + tau_theta / dt * G)
        v = s.momentum * v + (G + s.weight_decay * theta)
        eta_n = scheduled_eta(s.eta, s.schedule, s.schedule_steps, s.schedule_decay, t)
        theta = write(theta, -eta_n * dt * v, s, n, parts)

        history.theta[n + 1], history.gradient[n + 1] = theta, G
        history.theta_ac[n] = correlated
        history.cost[n], history.cost_ac[n] = C, C_used
        history.sample[n] = samples
        history.evaluations[n + 1] = s.batch * (n + 1)
        history.time[n + 1] = s.batch * (n + 1) * dt
    return history


def backprop_train(
    net,
    x_train,
    y_train,
    steps,
    *,
    eta,
    batch=1,
    momentum=0.0,
    weight_decay=0.0,
    schedule="constant",
    schedule_steps=1000.0,
    schedule_decay=0.0,
    order="shuffle",
    seed=0,
    chip=0,
    theta0=None,
    init="uniform",
    init_scale=0.5,
):
    """Gradient descent on the ideal network, one batch a step, samples numbered as for tau_x = 1.

    v <- momentum v + (mean gradient over the batch + weight_decay theta); theta <- theta - eta_n v.
    Returns theta after 0 .. steps steps: float64[steps+1, P].
    """
    if theta0 is None:
        theta0 = initial_theta(net, init, init_scale, seed, chip)
    theta = np.array(theta0, dtype=np.float64)
    thetas = [theta]
    v = np.zeros(net.parameters)
    for n in range(steps):
        samples = batch_indices(order, seed, chip, n, batch, len(x_train))
        g = gradient(net, theta, x_train[samples], y_train[samples])
        v = momentum * v + (g + weight_decay * theta)
        theta = theta - scheduled_eta(eta, schedule, schedule_steps, schedule_decay, n) * v
        thetas.append(theta)
    return np.array(thetas)
