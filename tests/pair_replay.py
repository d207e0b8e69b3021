"""A chip whose weights are held by conductances of their own, step by step by the equations, with the same words."""

from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from test_pulsed import Draws, settings_of

from oracle import device as oracle
from oracle import flicker, pair, philox, retention

SEED = 7
DEVICE, PULSE, PROGRAM, REFRESH, FLICKER, TELEGRAPH = 10, 11, 15, 16, 17, 18  # streams
NU, FIRST_WRITE, RESET, TRAP, SECOND = 7, 10, 11, 12, 32  # normals of a device
STEP = 1e-3  # seconds of an iteration: antithetic, at half a millisecond an evaluation


@dataclass
class Replay:
    """One chip. `asked` takes what an update asks for to the seen weights after it; theta0 float64[P]."""

    device: object
    chip: int
    theta0: np.ndarray
    steps: int
    asked_pulses: int = 0
    carry: object = 0.0
    counted: object = 0.0
    refreshes: object = 0.0
    x: list = field(default_factory=list)

    def __post_init__(self):
        d, n = self.device, len(self.theta0)
        self.n, self.blocks = n, (n + 3) // 4
        self.s = settings_of(d) if d.model else oracle.DeviceSettings(w_min=d.w_min, w_max=d.w_max)
        self.counted, self.refreshes = np.zeros(n), np.zeros(n)
        self.full = d.full_scale or max(abs(d.w_min), abs(d.w_max)) + (0 if d.one_sided else d.g_min)
        populate = [np.array([*(self.drawn(k + SECOND * s) for k in range(7)), np.zeros(n)]) for s in range(2)]
        self.devices = [oracle.populate(self.s, xi) for xi in populate]
        if d.one_sided:
            g = np.array([np.maximum(self.theta0, 0), np.maximum(-self.theta0, 0)])
            self.g = np.array([np.clip(g[s], self.devices[s].b_min, self.devices[s].b_max) for s in range(2)])
        else:
            dev = self.devices[0]
            self.w = np.clip(self.theta0 + dev.reference, dev.b_min, dev.b_max)
            self.g = self.of_weights()
        self.rest = np.array([d.reset + d.reset_spread * self.drawn(RESET + SECOND * s) for s in range(2)])
        self.nu = np.array([np.abs(d.drift_nu + d.drift_nu_spread * self.drawn(NU + s)) for s in range(2)])
        self.clock, self.done, self.ratio = np.zeros((2, n)), np.zeros((2, n)), np.zeros((2, n))
        self.now = np.zeros((2, n))
        self.program(np.ones((2, n), bool), 0)
        self.kept = d.write_noise * (d.dw_min or 0) * self.drawn(FIRST_WRITE)
        self.fluctuations = self.flickers(), self.traps()

    def drawn(self, k):
        return philox.normals(SEED, self.chip, DEVICE, 4 * k * self.blocks, self.n)

    def xi(self, stream, slot):
        return philox.normals(SEED, self.chip, stream, 4 * slot * self.blocks, self.n)

    def uniform(self, stream, slot):
        return philox.uniform(philox.words(SEED, self.chip, stream, 4 * slot * self.blocks, self.n))

    def of_weights(self):
        end = max(abs(self.device.w_min), abs(self.device.w_max))
        return pair.mapped(self.w, self.device.mapping, self.device.g_min, end)

    def drifted(self, g, n):
        t0 = self.device.drift_t0 or STEP
        return retention.drift(g, (n - self.clock) * STEP, 0, t0, self.nu) if self.device.drifts else g

    def program(self, touched, number):
        d = self.device
        for s in range(2):
            g = self.g[s]
            if d.programming_noise:
                g = pair.programmed(g, d.programming_noise, self.full, self.xi(PROGRAM, 4 * number + 2 + s))
            if d.drift_model == "pcm":
                nu = pair.nu(g, self.full, self.xi(PROGRAM, 4 * number + s))
                self.nu[s] = np.where(touched[s], nu, self.nu[s])
            if d.flicker:
                size = flicker.relative_size(
                    g, self.full, d.flicker, d.flicker_power, d.flicker_most, d.flicker_slowest, d.flicker_read_time
                )
                self.ratio[s] = np.where(touched[s], size, self.ratio[s])
            self.done[s] = np.where(touched[s], g, self.done[s])
            self.now[s] = np.where(touched[s], g, self.now[s])

    def flickers(self):
        if not self.device.flicker:
            return np.zeros((2, self.steps, self.n))
        taus = flicker.taus(self.device.flicker_slowest / STEP)
        return np.array([
            sum(
                flicker.process(tau, self.steps, lambda u, k=k, s=s: self.xi(FLICKER, 2 * (u * len(taus) + k) + s))
                for k, tau in enumerate(taus)
            ) / np.sqrt(len(taus))
            for s in range(2)
        ])  # fmt: skip

    def traps(self):
        d = self.device
        if not d.telegraph:
            return np.zeros((2, self.steps, self.n))
        share = d.telegraph_high / (d.telegraph_high + d.telegraph_low)
        out = []
        for s in range(2):
            trap = self.drawn(TRAP + SECOND * s) < NormalDist().inv_cdf(d.telegraph)
            states = flicker.telegraph(
                d.telegraph_high / STEP, d.telegraph_low / STEP, self.steps,
                lambda u, s=s: self.uniform(TELEGRAPH, 2 * u + s),
            )  # fmt: skip
            out.append(trap * (states - share))
        return np.array(out)

    def seen(self, n=None):
        """What the network sees; fluctuations of step n, or none."""
        g = self.now
        if n is not None:
            d, (noise, traps) = self.device, self.fluctuations
            g = g + g * self.ratio * noise[:, n] + (d.telegraph_size + d.telegraph_share * g) * traps[:, n]
            g = np.maximum(g, 0)
        return g[0] - g[1] - (0 if self.device.one_sided else self.devices[0].reference) + self.kept

    def hold(self, n):
        if self.device.drifts and n % self.device.drift_every == 0:
            self.now = self.drifted(self.done, n)

    def write(self, n, dw):
        """The write at the end of step n, one a step."""
        d, slots = self.device, self.device.max_pulses + 2
        draws = Draws(self.chip, n, d, self.n) if d.write == "pulsed" and not d.one_sided else None
        u = draws.rounding() if draws else 1 - self.uniform(PULSE, n * slots)
        if d.write == "pulsed":
            dw, self.carry = oracle.pulses_asked(
                dw, oracle.granularity(self.s), d.rounding, u, self.carry, d.max_pulses
            )
        touched = np.array([dw > 0, dw < 0]) if d.one_sided else np.array([dw != 0] * 2)
        before = self.drifted(self.g, n + 1)
        self.clock = np.where(touched, n + 1, self.clock)

        def xi(i):
            return draws.of_pulse(i) if draws else self.xi(PULSE, n * slots + 2 + i)

        if d.one_sided:
            g = pair.pulses(self.s, self.devices, np.where(touched, before, self.g), dw, xi)
            self.counted += np.abs(dw)
            self.g = g
            if d.refresh_every and (n + 1) % d.refresh_every == 0:
                touched = self.refresh(n, touched, slots)
        else:
            w = before[0] - before[1] if d.drifts else self.w
            if d.write == "pulsed":
                dev = self.devices[0]
                for i in range(int(np.abs(dw).max())):
                    here = np.where(np.abs(dw) > i, np.sign(dw), 0)
                    w = oracle.pulse(self.s, dev, w - dev.reference, here, xi(i)) + dev.reference
            else:
                w = np.clip(w + dw, d.w_min, d.w_max)
            self.w = np.where(touched[0], w, self.w)
            self.g = self.of_weights()
        self.program(touched, n + 1)
        noise = d.write_noise * (d.dw_min or 0) * (draws.of_noise() if draws else self.xi(PULSE, n * slots + 1))
        self.kept = np.where(touched.any(axis=0), noise, self.kept)

    def refresh(self, n, touched, slots):
        d = self.device
        as_it_is = self.drifted(self.g, n + 1)
        due = pair.full(as_it_is, d.w_max, d.refresh_upper, d.refresh_lower)
        if not due.any():
            return touched
        both = np.array([self.xi(REFRESH, n * slots), self.xi(REFRESH, n * slots + 1)])
        g = pair.reset(self.devices, self.g, due, self.rest, d.reset_c2c, both)
        wanted = as_it_is[0] - as_it_is[1]
        g, counts = pair.write_anew(
            self.s, self.devices, g, due, wanted, d.max_pulses, lambda i: self.xi(REFRESH, n * slots + 2 + i)
        )
        self.g = np.where(due, g, self.g)
        self.clock = np.where(due, n + 1, self.clock)
        self.counted += counts.sum(axis=0) + 2 * due
        self.refreshes += due
        return touched | due
