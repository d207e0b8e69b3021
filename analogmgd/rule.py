"""Learning rules: multiplexed gradient descent, and backpropagation to set beside it."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from .chip import NonNegative
from .network import Fraction, Network, Positive
from .settings import Settings, number, short, whole

Count = Annotated[int, BeforeValidator(whole), Field(ge=1, le=2**62)]
Frequency = Annotated[float, BeforeValidator(number), Field(gt=0, lt=0.5)]


class Optimiser(Settings):
    """What both rules share: the learning rate, its schedule, momentum, weight decay, the batch.

    eta : float >= 0: learning rate
    batch : int >= 1: samples a cost is averaged over
    momentum : float in [0, 1): v <- momentum v + G + weight_decay theta; theta <- theta - eta v
    weight_decay : float >= 0
    schedule : "constant" | "cosine" | "inverse"
        eta; eta (1 + cos(pi n / schedule_steps)) / 2, 0 afterwards; eta / (1 + schedule_decay n).
    schedule_steps : steps of the cosine; default the steps of the run, fixed when it starts
    schedule_decay : float >= 0, per step: the k of 1/(1 + k t)
    """

    table: ClassVar[str] = "rule"
    eta: NonNegative = 0.1
    batch: Count = 1
    momentum: Fraction = 0.0
    weight_decay: NonNegative = 0.0
    schedule: Literal["constant", "cosine", "inverse"] = "constant"
    schedule_steps: Count | None = None
    schedule_decay: NonNegative = 0.0

    @model_validator(mode="after")
    def _schedule(self) -> Self:
        if self.schedule_steps is not None and self.schedule != "cosine":
            raise ValueError(f'schedule_steps = {self.schedule_steps} needs schedule = "cosine"')
        if self.schedule_decay and self.schedule != "inverse":
            raise ValueError(f'schedule_decay = {self.schedule_decay:g} needs schedule = "inverse"')
        return self


class Backprop(Optimiser):
    """Backpropagation through the ideal model of the same network: one step is one sample or batch.

    >>> Backprop(eta=0.5).batch
    1
    """


class MGD(Optimiser):
    """Multiplexed gradient descent (McCaughan et al., APL Machine Learning 1, 026118, 2023).

    All times are in steps, a step being one measurement of the perturbed network.

    perturbation : "random" | "walsh" | "sequential" | "sinusoid" | "gaussian"
    amplitude : float > 0, in units of theta: root-mean-square perturbation of a parameter
    perturb : "parameters" | "nodes"
        What is perturbed: theta, or the pre-activation of each neuron at each place; G of a weight is then C_ac times
        the perturbation of its neuron times what it reads (node perturbation; Widrow & Lehr 1990, Oripov et
        al. 2025); amplitude is then in units of pre-activations.
    layers : "together" | "in-turn"
        In turn: perturbation k is of layer k % L alone, L layers with parameters; the others are still. Random, walsh
        and gaussian; the mean of G a step is 1/L of the gradient.
    tau_x : steps a sample is presented for
    tau_p : steps a perturbation is held for (sinusoids change all the time)
    tau_theta : steps between parameter updates; analog: time constant of the low-pass on G, any positive number
    mode : "discrete" | "analog"
    dt : analog: step of the integration, in steps; tau_x and tau_p must be multiples of it
    tau_hp : analog: time constant of the high-pass on the cost
    baseline : "measured" | "antithetic": C - C0, or half of C(theta + theta_ac) - C(theta - theta_ac)
    clip : float > 0 or None: limit of |C_ac|
    band : (low, high) in cycles per step, 0 < low < high < 1/2: where the sinusoids' frequencies lie. The
        default is one octave below 1/3, so that no sum or difference of two frequencies is a third one.
    eta, batch, momentum, weight_decay, schedule, schedule_steps, schedule_decay : see `Optimiser`

    Known as: `sequential` with tau_theta = P tau_p, finite differences; with tau_theta = tau_p, coordinate descent;
    `random` with tau_theta = tau_p, simultaneous perturbation (SPSA); tau_theta = B tau_x, a mini-batch of B.

    The authors' own code divides G by the squared norm of the whole perturbation vector, so its eta is P times this
    one for codes and sinusoids.

    >>> MGD(perturbation="walsh", tau_theta=256).baseline
    'measured'
    """

    perturbation: Literal["random", "walsh", "sequential", "sinusoid", "gaussian"] = "random"
    perturb: Literal["parameters", "nodes"] = "parameters"
    layers: Literal["together", "in-turn"] = "together"
    amplitude: Positive = 0.01
    tau_x: Count = 1
    tau_p: Count = 1
    tau_theta: Annotated[float, BeforeValidator(number), Field(gt=0, le=2**62)] = 1
    mode: Literal["discrete", "analog"] = "discrete"
    dt: Positive = 1.0
    tau_hp: Positive = 10.0
    baseline: Literal["measured", "antithetic"] = "measured"
    clip: Positive | None = None
    band: tuple[Frequency, Frequency] = (0.16, 0.32)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.band[0] >= self.band[1]:
            raise ValueError(f"band = {list(self.band)}: the first frequency must be below the second")
        if self.layers == "in-turn" and self.perturbation in ("sequential", "sinusoid"):
            raise ValueError(f'layers = "in-turn": not with perturbation = "{self.perturbation}"')
        if self.perturb == "nodes" and self.batch > 1:
            raise ValueError(f'perturb = "nodes" needs batch = 1, and it is {self.batch}: a weight reads another input '
                             f"in each sample; use tau_theta = {self.batch} tau_x")  # fmt: skip
        if self.mode == "discrete":
            if self.tau_theta != int(self.tau_theta):
                raise ValueError(f"tau_theta = {self.tau_theta:g}: must be a whole number of steps in discrete mode")
            if self.dt != 1.0:
                raise ValueError(f'dt = {self.dt:g} needs mode = "analog"')
            return self
        if self.baseline != "measured":
            raise ValueError(
                f'baseline = "{self.baseline}" needs mode = "discrete" (a high-pass takes the baseline away)'
            )
        if self.tau_x <= self.dt:
            raise ValueError(
                f"tau_x = {self.tau_x} must be greater than dt = {self.dt:g} in analog mode, or C_ac is always 0"
            )
        if self.perturbation == "sinusoid" and self.band[1] * self.dt >= 0.5:
            raise ValueError(f"band = {list(self.band)}: its upper end times dt = {self.dt:g} must be below 1/2")
        for name in ("tau_x",) if self.perturbation == "sinusoid" else ("tau_x", "tau_p"):
            n = getattr(self, name) / self.dt
            if n > 2**62 or abs(n - round(n)) > 1e-9 * n or round(n) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} must be a multiple of dt = {self.dt:g}")
        return self

    @property
    def evaluations(self) -> float:
        """Network evaluations an iteration takes, baselines included, on average over all."""
        if self.mode == "analog":
            return 1.0
        if self.baseline == "antithetic":
            return 2.0
        tau_x, tau_theta = self.tau_x, int(self.tau_theta)
        return 1 + 1 / tau_x + 1 / tau_theta - 1 / math.lcm(tau_x, tau_theta)

    def iterations(self, name: str) -> int:
        """A time constant in iterations of the loop: steps in discrete mode, multiples of dt in analog mode."""
        return max(1, round(getattr(self, name) / self.dt))

    def perturbed(self, network: Network) -> int:
        """How many numbers are perturbed: P, or the pre-activations of an evaluation."""
        return network.column_reads if self.perturb == "nodes" else network.n_params

    def sine_grid(self, n_params: int) -> tuple[int, int]:
        """(m0, T): parameter p has frequency (m0 + p)/T cycles per step, so all are orthogonal over T steps."""
        low, high = self.band
        period = math.ceil(n_params / (high - low))
        return math.ceil(low * period - 1e-9), period

    def period(self, n_params: int, layers: int = 1) -> int | None:
        """Steps after which codes, turns or sinusoids repeat; None for random and gaussian.

        n_params : how many numbers are perturbed
        layers : of the network, where they have their turns
        """
        if self.perturbation == "walsh":
            turns = layers if self.layers == "in-turn" else 1
            return turns * self.tau_p * 2 ** math.ceil(math.log2(n_params + 1))
        if self.perturbation == "sequential":
            return self.tau_p * n_params
        return self.sine_grid(n_params)[1] if self.perturbation == "sinusoid" else None


def rule_from_table(values: dict[str, Any]) -> MGD | Backprop:
    """From a TOML table; its key `type` is "mgd" (default) or "backprop"."""
    from .errors import ConfigError

    values = dict(values)
    kind = values.pop("type", "mgd")
    if kind not in ("mgd", "backprop"):
        raise ConfigError(f'rule.type = {short(kind)}: must be one of "mgd", "backprop"')
    if isinstance(values.get("band"), list):
        values["band"] = tuple(values["band"])
    return MGD(**values) if kind == "mgd" else Backprop(**values)
