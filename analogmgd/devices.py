"""The devices that hold the parameters: how they are written and perturbed, and presets of measured ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from .device_needs import missing
from .device_pair_needs import pair_problem
from .device_presets import DEFAULTS, PRESETS
from .errors import ConfigError
from .settings import Flag, NonNegative, Positive, Real, Settings, did_you_mean, number, short, whole

Model = Literal["constant", "linear", "soft-bounds", "soft-bounds-reference", "exponential", "power"]
MAX_PULSES = 10_000
LONGEST = 100  # cells, of a correlation
FEWEST = 1e-9  # of a step at zero in units of dw_min: less is no step


def _reference(value: Any) -> Any:
    if isinstance(value, str):
        if value != "symmetry":
            raise ValueError('must be a number or "symmetry"')
        return value
    return number(value)


def _numbers(value: Any) -> Any:
    """Lists, as TOML has them, as tuples; numbers that are no bool."""
    return tuple(number(v) for v in value) if isinstance(value, list | tuple) else value


Share = Annotated[float, BeforeValidator(number), Field(ge=0, le=1)]


class Device(Settings):
    """The devices that hold the parameters, and how they are written and perturbed.

    Quantities named in units of w are of the device's own weight; the network sees theta = scale w (after
    subtracting the reference). "Spread" is device-to-device, drawn once per device and chip.

    name : preset this came from
    write : "ideal" | "noisy" | "quantised" | "pulsed": theta += dw; the same + sigma_theta xi, a fresh draw per
        parameter and write; to the nearest of `levels` values; by whole pulses of the `model`.
        When left out: "pulsed" with a model, "quantised" with levels, "noisy" with sigma_theta, else "ideal".
    sigma_theta : float >= 0, in units of theta; needs write = "noisy"
    write_time : float >= 0, seconds an update of all parameters takes; counts in the emulated time
    write_steps : steps until what is written is seen by the network (less than tau_theta)
    amplitude_mismatch : float >= 0, relative
        The network sees theta_ac (1 + amplitude_mismatch xi), fixed per parameter and chip; the update uses theta_ac.
    perturbation_bits, perturbation_range : the element that adds theta_ac has 2^bits - 1 levels from -range to range
        (in units of theta), 2 to 24 bits; perturbation_cubic : and gives d (1 + perturbation_cubic d^2) for d; the
        update uses theta_ac
    digital_biases : biases are numbers and not on the crossbar: written ideally, perturbed exactly, without noise of a
        read, drift, faults
    w_min, w_max : bounds, or None; w_min_spread, w_max_spread : relative spread of each
    write_noise : what is seen of a device is w + write_noise dw_min xi, drawn at each write of at least one pulse,
        the first programming included
    half_select : a pulse moves the other devices of its row and column by this share of their own step
    correlation_length, correlated_share : this share of the variance of everything that differs from device to device
        is common to devices nearby, correlated as exp(-(distance / (2 correlation_length))^2), in cells
    levels : number of values between w_min and w_max for write = "quantised"
    rounding : "stochastic" | "nearest" | "carried": how dw becomes whole pulses or levels; carried keeps the remainder
        for the next write
    max_pulses : limit of pulses a device gets in one write, 1 to 10,000; what is asked beyond is lost, unless carried
    granularity : dw that one pulse stands for, or None: the mean of the nominal up and down steps at w = 0 (in the
        middle of the range where 0 is its end)
    model : what a pulse does: "constant" | "linear" | "soft-bounds" | "soft-bounds-reference" | "exponential" | "power"
    dw_min : step of a pulse at w = 0 (of the constant, linear and soft-bounds models)
    up_down : asymmetry: the smaller step is by so much less, in units of dw_min; > 0: down steps are the smaller
    dw_spread : spread of the step, relative (of its logarithm with dw_lognormal = true)
    up_down_spread : spread of the asymmetry, in units of dw_min
    c2c : cycle-to-cycle spread of a step, relative to it; with c2c_additive relative to the step at w = 0
    c2c_floor, c2c_slope : with either > 0, the spread is c2c (|step| + c2c_floor + c2c_slope |w|) instead
    slope_up, slope_down : linear: relative decrease of the step from w = 0 to the bound; slope_spread : absolute spread
    mean_bound : linear: the slope refers to the nominal bounds, not to the device's own
    a_up, a_down, g_up, g_down, z_scale, z_shift : exponential: z = 2 z_scale w/(b_max - b_min) + z_shift, step
        D max(0, 1 - a exp(+-g z)); power: exponents g_up, g_down >= 0
    reference : soft-bounds-reference: subtracted from the state to give w: a number, or "symmetry", the device's own
        symmetry point; reference_spread : absolute
    scale : theta per w
    mapping : of w onto the pair g_plus - g_minus: "one-sided" (the other is g_min), "symmetric" (half each way),
        "reference" (g_minus fixed); drift acts on each of the two
    g_min : conductance of a device at the lower end, in units of w
    drift_nu, drift_nu_spread : exponent of the drift g(t) = g_w ((t - t_w + t0)/t0)^-nu of a conductance since its
        last write, and its absolute spread; drift_t0 : t0 in seconds, None: the time of one step
    lifetime : seconds in which w leaks to 1/e of its distance from `rest`, or 0: never; lifetime_spread : relative
    drift_model : "power": exponents as above; "pcm": nu = |mu + s xi| of each conductance, drawn at each of its writes,
        mu = clip(-0.0155 ln g^ + 0.0244, 0.049, 0.1), s = clip(-0.0125 ln g^ - 0.0059, 0.008, 0.045), g^ = g/full_scale
    full_scale : conductance that these and the next refer to, in units of w; None: that at the end of the range
    programming_noise : [c0, c1, c2, c3]: each conductance is off by full_scale (c0 + c1 g^ + c2 g^2 + c3 g^3) xi, drawn
        at each of its writes and kept until the next; neither the sum nor the conductance below 0
    one_sided : two devices a weight, w = g_plus - g_minus, each written by up pulses only and drawn by itself; w_min to
        w_max is the range of one
    refresh_every : writes after which pairs are looked at, or 0: never. Both devices are reset and their difference is
        written anew, pulse by pulse, where the larger is above refresh_upper w_max and the smaller above
        refresh_lower w_max; reset, reset_spread, reset_c2c : where a reset leaves a device, reset + reset_spread xi
        + reset_c2c xi, the first drawn once
    flicker : 1/f noise of each conductance, a sum of Ornstein-Uhlenbeck processes of 1, 10, .. steps up to
        flicker_slowest seconds (None: the run): g min(flicker/g^^flicker_power, flicker_most)
        sqrt(ln((flicker_slowest + t_read)/(2 t_read))) in all, t_read = flicker_read_time in seconds; g^ as written
    telegraph : fraction of the single devices that switch between two conductances, telegraph_size + telegraph_share g
        apart, g their mean; telegraph_high, telegraph_low : mean seconds in the higher and the lower one
    read_noise, read_noise_slope : a conductance g is read as g + (read_noise + read_noise_slope g) xi, a fresh draw
        for each device and evaluation (in units of w, and relative)
    drift_every : steps after which what the network sees is brought up to date
    joules_per_pulse, joules_per_read, seconds_per_pulse : of one device, for the estimates of energy and of the time
        for pulses (of all devices at once, and in turn) in a trace's summary

    Sources: Gong et al., Nat. Commun. 9, 2102 (2018); Rasch et al., AICAS 2021, arXiv 2104.02184; presets: `PRESETS`.

    >>> Device(sigma_theta=0.01).write, Device(model="constant", dw_min=0.01, w_min=-1, w_max=1).write
    ('noisy', 'pulsed')
    """

    table: ClassVar[str] = "device"
    name: str = "ideal"
    write: Literal["ideal", "noisy", "quantised", "pulsed"] = "ideal"
    sigma_theta: NonNegative = 0.0
    write_time: NonNegative = 0.0
    write_steps: Annotated[int, BeforeValidator(whole), Field(ge=0, le=2**31)] = 0
    amplitude_mismatch: NonNegative = 0.0
    perturbation_bits: Annotated[int, BeforeValidator(whole), Field(ge=2, le=24)] | None = None
    perturbation_range: Positive | None = None
    perturbation_cubic: Real = 0.0
    digital_biases: Flag = False
    w_min: Real | None = None
    w_max: Real | None = None
    w_min_spread: NonNegative = 0.0
    w_max_spread: NonNegative = 0.0
    write_noise: NonNegative = 0.0
    half_select: Annotated[float, BeforeValidator(number), Field(ge=0, le=1)] = 0.0
    correlation_length: Annotated[float, BeforeValidator(number), Field(ge=0, le=LONGEST)] = 0.0
    correlated_share: Annotated[float, BeforeValidator(number), Field(ge=0, le=1)] = 0.0
    levels: Annotated[int, BeforeValidator(whole), Field(ge=2, le=2**20)] | None = None
    rounding: Literal["stochastic", "nearest", "carried"] = "stochastic"
    max_pulses: Annotated[int, BeforeValidator(whole), Field(ge=1, le=MAX_PULSES)] = 100
    granularity: Positive | None = None
    model: Model | None = None
    dw_min: Positive | None = None
    up_down: Real = 0.0
    dw_spread: NonNegative = 0.0
    dw_lognormal: Flag = False
    up_down_spread: NonNegative = 0.0
    c2c: NonNegative = 0.0
    c2c_additive: Flag = False
    c2c_floor: NonNegative = 0.0
    c2c_slope: NonNegative = 0.0
    slope_up: NonNegative = 0.0
    slope_down: NonNegative = 0.0
    slope_spread: NonNegative = 0.0
    mean_bound: Flag = False
    a_up: Real = 0.0
    a_down: Real = 0.0
    g_up: Real = 0.0
    g_down: Real = 0.0
    z_scale: Real = 0.0
    z_shift: Real = 0.0
    reference: Annotated[float | Literal["symmetry"], BeforeValidator(_reference)] = 0.0
    reference_spread: NonNegative = 0.0
    scale: Positive = 1.0
    mapping: Literal["one-sided", "symmetric", "reference"] = "one-sided"
    g_min: NonNegative = 0.0
    drift_nu: NonNegative = 0.0
    drift_nu_spread: NonNegative = 0.0
    drift_t0: Positive | None = None
    drift_every: Annotated[int, BeforeValidator(whole), Field(ge=1, le=2**31)] = 1
    drift_model: Literal["power", "pcm"] = "power"
    full_scale: Positive | None = None
    programming_noise: Annotated[tuple[Real, ...], BeforeValidator(_numbers), Field(max_length=4)] | None = None
    one_sided: Flag = False
    reset: NonNegative = 0.0
    reset_spread: NonNegative = 0.0
    reset_c2c: NonNegative = 0.0
    refresh_every: Annotated[int, BeforeValidator(whole), Field(ge=0, le=2**31)] = 1
    refresh_upper: Share = 0.75
    refresh_lower: Share = 0.25
    flicker: NonNegative = 0.0
    flicker_power: NonNegative = 0.65
    flicker_most: Positive = 0.2
    flicker_read_time: Positive = 250e-9
    flicker_slowest: Positive | None = None
    telegraph: Share = 0.0
    telegraph_size: NonNegative = 0.0
    telegraph_share: Share = 0.0
    telegraph_high: Positive | None = None
    telegraph_low: Positive | None = None
    lifetime: NonNegative = 0.0
    lifetime_spread: NonNegative = 0.0
    rest: Real = 0.0
    read_noise: NonNegative = 0.0
    read_noise_slope: NonNegative = 0.0
    joules_per_pulse: NonNegative = 0.0
    joules_per_read: NonNegative = 0.0
    seconds_per_pulse: NonNegative = 0.0

    def __init__(self, /, **settings: Any) -> None:
        if "write" not in settings and (write := implied_write(settings)):
            settings["write"] = write
        super().__init__(**settings)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.name not in NAMES:
            raise ValueError(f"name = {self.name!r}: must be one of {', '.join(NAMES)}")
        if self.write != "noisy" and self.sigma_theta > 0:
            raise ValueError(f'sigma_theta = {self.sigma_theta:g} needs write = "noisy"')
        bounds = self.w_min, self.w_max
        if (self.w_min is None) != (self.w_max is None):
            raise ValueError(f"w_min = {self.w_min}, w_max = {self.w_max}: give both or neither")
        if self.w_min is not None and self.w_max is not None and self.w_min >= self.w_max:
            raise ValueError(f"w_min = {self.w_min:g}: must be less than w_max = {self.w_max:g}")
        if self.write == "quantised" and (self.levels is None or None in bounds):
            raise ValueError(f'levels = {self.levels}: write = "quantised" needs levels, w_min and w_max')
        if self.levels is not None and self.write != "quantised":
            raise ValueError(f'levels = {self.levels} needs write = "quantised"')
        if self.write == "pulsed" and (self.model is None or self.dw_min is None or None in bounds):
            raise ValueError(f'model = {self.model!r}: write = "pulsed" needs model, dw_min, w_min and w_max')
        if self.write_noise > 0 and self.dw_min is None:
            raise ValueError(f"write_noise = {self.write_noise}: counts in dw_min, which is not given")
        if (self.perturbation_bits is None) != (self.perturbation_range is None):
            both = f"perturbation_bits = {self.perturbation_bits}, perturbation_range = {self.perturbation_range}"
            raise ValueError(f"{both}: give both or neither")
        if self.half_select > 0 and self.write != "pulsed":
            raise ValueError(f'half_select = {self.half_select:g} needs write = "pulsed"')
        if (self.correlation_length > 0) != (self.correlated_share > 0):
            both = f"correlation_length = {self.correlation_length:g}, correlated_share = {self.correlated_share:g}"
            raise ValueError(f"{both}: give both or neither")
        if (self.ages or self.read_noise_slope > 0) and self.mapping != "one-sided" and self.w_max is None:
            raise ValueError(f'mapping = "{self.mapping}": drift and read_noise_slope need w_min and w_max with it')
        if (needed := missing(self)) is not None:
            raise ValueError(needed)
        if (problem := pair_problem(self)) is not None:
            raise ValueError(problem)
        if self.write == "pulsed":
            self._check_model()
        return self

    def _check_model(self) -> None:
        assert self.w_min is not None and self.w_max is not None  # noqa: PT018
        if self.model in ("linear", "soft-bounds", "soft-bounds-reference") and not (
            self.one_sided or self.w_min < 0 < self.w_max
        ):
            low, high = f"w_min = {self.w_min:g}", f"w_max = {self.w_max:g}"
            raise ValueError(f'{low}, {high}: model = "{self.model}" needs w_min < 0 < w_max')
        if self.c2c_additive and self.model in ("exponential", "power"):
            raise ValueError(f'c2c_additive = true: not for model = "{self.model}"')
        if self.model == "power" and min(self.g_up, self.g_down) < 0:
            raise ValueError(f'g_up = {self.g_up:g}, g_down = {self.g_down:g}: model = "power" needs exponents >= 0')
        if self.model == "exponential" and self.z_scale == 0 and self.a_up == self.a_down == 0:
            raise ValueError('model = "exponential" needs a_up, a_down, g_up, g_down, z_scale, z_shift')
        from .device_law import nominal_steps

        up, down = nominal_steps(self)
        if min(up, down) < 0 or up + down < FEWEST * self.dw_min:  # type: ignore[operator]
            raise ValueError(f"model = {self.model!r}: no step is left of a nominal device: {up:g} up, {down:g} down")

    @property
    def stateless(self) -> bool:
        """Whether a write is theta += dw (+ sigma_theta xi) and nothing else."""
        if self.w_min is not None or self.write_noise > 0 or self.ages or self.paired:
            return False
        return self.write == "ideal" or (self.write == "noisy" and not self.digital_biases)

    @property
    def plain(self) -> bool:
        """Whether the network sees theta, too, and nothing else."""
        return self.stateless and not self.noisy_reads

    @property
    def noisy_reads(self) -> bool:
        """Whether a reading of the devices has noise."""
        return self.read_noise > 0 or self.read_noise_slope > 0

    @property
    def exact_element(self) -> bool:
        """Whether what adds the perturbation gives what it is asked for, but for its mismatch."""
        return self.perturbation_bits is None and self.perturbation_cubic == 0

    @property
    def ages(self) -> bool:
        """Whether the devices change between writes."""
        return self.drifts or self.lifetime > 0

    @property
    def drifts(self) -> bool:
        """Whether conductances fall with time."""
        return self.drift_nu > 0 or self.drift_nu_spread > 0 or self.drift_model == "pcm"

    @property
    def fluctuates(self) -> bool:
        """Whether conductances have noise of their own, which goes on from step to step."""
        return self.flicker > 0 or self.telegraph > 0

    @property
    def paired(self) -> bool:
        """Whether both conductances of a weight have a state of their own."""
        return self.one_sided or self.drift_model == "pcm" or self.fluctuates or any(self.programming_noise or ())


def implied_write(settings: Mapping[str, Any]) -> str | None:
    """The way of writing that settings speak of."""
    if settings.get("model") is not None:
        return "pulsed"
    if settings.get("levels") is not None:
        return "quantised"
    sigma = settings.get("sigma_theta", 0)
    return "noisy" if isinstance(sigma, int | float) and sigma > 0 else None


NAMES = tuple(PRESETS)


def device(name: str = "ideal", **changes: Any) -> Device:
    """A preset device, some of its settings changed; `analogmgd devices` lists them, docs/devices.md has all figures.

    name : of the table; changes : settings of `Device` that differ from it. Returns a `Device`, w dimensionless (1 is
    the nominal end of most ranges). Raises ConfigError, in one line, for an unknown name or a setting that cannot be.

    ================  =====================  ================================================================
    name              model                  figures fitted to
    ================  =====================  ================================================================
    ideal             -                      w += dw, unbounded
    reram-es          exponential            Gong et al., Nat. Commun. 9, 2102 (2018): HfO2 ReRAM
    reram-sb          soft-bounds-reference  the same measurement, fitted loosely
    reram-array-om    soft-bounds-reference  Gong, Rasch et al., IEDM 2022: array, optimised material
    reram-array-hfo2  soft-bounds-reference  Gong, Rasch et al., IEDM 2022: array, baseline HfO2
    capacitor         linear                 Li et al., VLSI 2018: trench capacitor; it leaks
    ecram             linear                 Tang et al., IEDM 2018: lithium ECRAM
    ecram-mo          linear                 Kim et al., IEDM 2019: metal-oxide ECRAM
    gokmen-vlasov     constant               Gokmen and Vlasov, Front. Neurosci. 10, 333 (2016): a specification
    idealized         constant               Rasch, Gokmen and Haensch 2019, arXiv 1906.02698
    pcm               exponential            Nandakumar et al., Front. Neurosci. 14, 406 (2020): pairs of Ge2Sb2Te5
    pcm-programmed    -                      Nandakumar et al., ICECS 2019; Joshi et al. 2020: written and verified
    rram-milo         -                      Milo et al., IRPS 2021: written and verified, 50 to 225 uS
    rram-wan          -                      Wan et al., Nature 608, 504 (2022): written and verified, up to 39 uS
    ================  =====================  ================================================================

    The numbers are those of the presets of aihwkit 1.x, but for the capacitor's lifetime, which is in seconds here.

    >>> device("reram-es", c2c=0.0).dw_min
    0.00135
    """
    if not isinstance(name, str) or name not in NAMES:
        known = list(NAMES)
        hint = did_you_mean(str(name), known)
        raise ConfigError(f"device.name = {short(name)}: unknown device{hint}; known: {', '.join(known)}")
    plain = PRESETS[name]["model"] == "ideal"
    of_name = {k: v for k, v in PRESETS[name].items() if k != "model"} if plain else {**DEFAULTS, **PRESETS[name]}
    preset = {k: v for k, v in of_name.items() if k in Device.model_fields}
    settings = {**preset, **changes, "name": name}
    if "write" not in changes and (write := implied_write(changes)):
        settings["write"] = write  # what is changed decides, before what the preset says
    return Device(**settings)
