"""Published devices as plain data: one entry of `PRESETS` per device, keys and units as below.

Weights are normalised: 1 is the nominal end of the range of most devices. Spreads (device to device) and c2c (cycle to
cycle) are standard deviations of normal numbers. What an entry leaves out has its value in `DEFAULTS`.

model           ideal, constant, linear, soft-bounds, soft-bounds-reference, exponential, power
dw_min          nominal step, in units of w
w_max, w_min    nominal bounds, in units of w; w_min <= 0 <= w_max
up_down         above 0: down steps are smaller by that share of dw_min; below 0: up steps are
dw_spread       of the step, relative; dw_lognormal: its gain is exp(s xi), of median 1 and mean exp(s**2/2)
up_down_spread  in units of dw_min; makes one device's up steps larger and its down steps smaller
w_max_spread, w_min_spread  relative
c2c             of every step: times the step, or with c2c_additive times dw_min as the device has it;
                with c2c_floor, c2c_slope (in units of w, and per unit of w): sigma = c2c (step + floor + slope |w|)
write_noise     of the apparent weight, in units of dw_min, drawn at each write
slope_up, slope_down, slope_spread
                linear: share of the step at w = 0 that is lost at the bound; spread absolute
mean_bound      the slopes refer to the nominal bounds, not to the device's own
a_up, a_down, g_up, g_down, z_scale, z_shift
                exponential: steps times max(0, 1 - a_up exp(g_up z)) and max(0, 1 - a_down exp(-g_down z)),
                z = 2 z_scale w/(b_max - b_min) + z_shift; power: g_up, g_down are the exponents
reference       subtracted from the device's value to give w, or "symmetry": each device's own symmetry point;
                reference_spread: its error, in units of w
lifetime        of the leak, seconds (0: none); lifetime_spread: relative
one_sided       written by up pulses only: a weight is the difference of two
programming_noise, drift_model, drift_t0, flicker, g_min
                of devices that are written to what is asked and verified: see `Device`
reset, reset_spread, reset_c2c
                one-sided: where a reset leaves a device, in units of w; spreads absolute
refresh_upper, refresh_lower
                one-sided: both devices of a pair are reset and written anew when the larger is above
                `refresh_upper` and the smaller above `refresh_lower`, shares of w_max

Sources: the paper named in each entry; the numbers are the fits to it in the presets of aihwkit 1.x. Where these differ
from a paper aihwkit is followed, except that the capacitor's lifetime, there in mini-batches, is here in seconds.

>>> device = {**DEFAULTS, **PRESETS["ecram"]}
>>> device["model"], device["slope_down"], device["write_noise"]
('linear', 0.5085, 0.0)
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

DEFAULTS: Mapping[str, Any] = MappingProxyType({
    "model": "ideal",
    "dw_min": 0.001,
    "w_max": 1.0,
    "w_min": -1.0,
    "up_down": 0.0,
    "dw_spread": 0.0,
    "dw_lognormal": False,
    "up_down_spread": 0.0,
    "w_max_spread": 0.0,
    "w_min_spread": 0.0,
    "c2c": 0.0,
    "c2c_additive": False,
    "c2c_floor": 0.0,
    "c2c_slope": 0.0,
    "write_noise": 0.0,
    "slope_up": 0.0,
    "slope_down": 0.0,
    "slope_spread": 0.0,
    "mean_bound": False,
    "a_up": 0.0,
    "a_down": 0.0,
    "g_up": 1.0,
    "g_down": 1.0,
    "z_scale": 1.0,
    "z_shift": 0.0,
    "reference": 0.0,
    "reference_spread": 0.0,
    "lifetime": 0.0,
    "lifetime_spread": 0.0,
    "one_sided": False,
    "reset": 0.0,
    "reset_spread": 0.0,
    "reset_c2c": 0.0,
    "refresh_upper": 0.75,
    "refresh_lower": 0.25,
    "programming_noise": None,
    "drift_model": "power",
    "drift_t0": None,
    "flicker": 0.0,
    "g_min": 0.0,
})  # fmt: skip

_PRESETS: dict[str, dict[str, Any]] = {
    "ideal": {"model": "ideal", "source": "w += dw, unbounded"},
    "reram-es": {
        "model": "exponential",
        "dw_min": 0.00135,
        "up_down": 0.259359,
        "dw_spread": 0.2,
        "up_down_spread": 0.05,
        "w_max_spread": 0.3,
        "w_min_spread": 0.3,
        "c2c": 5.0,
        "write_noise": 75.0,
        "a_up": -1.18445,
        "a_down": -0.081404,
        "g_up": 5.0,
        "g_down": 5.0,
        "z_scale": -0.5,
        "z_shift": -0.5,
        "source": "HfO2 ReRAM, exponential fit: Gong et al., Nat. Commun. 9, 2102 (2018)",
    },
    "reram-sb": {
        "model": "soft-bounds-reference",
        "dw_min": 0.002,
        "w_max": 1.25,
        "w_min": -0.75,
        "dw_spread": 0.3,
        "up_down_spread": 0.01,
        "w_max_spread": 0.24,  # 0.3 absolute
        "w_min_spread": 0.4,  # 0.3 absolute
        "c2c": 3.75,
        "c2c_additive": True,
        "write_noise": 56.0,
        "source": "HfO2 ReRAM, loose fit, its symmetry point taken as 0: Gong et al., Nat. Commun. 9, 2102 (2018)",
    },
    "reram-array-om": {
        "model": "soft-bounds-reference",
        "dw_min": 0.0949,
        "dw_spread": 0.7829,
        "dw_lognormal": True,
        "up_down_spread": 0.01,
        "w_max_spread": 0.3499,
        "w_min_spread": 0.5695,
        "c2c": 0.4158,
        "c2c_additive": True,
        "write_noise": 1.4113,
        "reference": "symmetry",
        "reference_spread": 0.05,
        "source": "array of ReRAM, optimised material: Gong, Rasch et al., IEDM 2022",
    },
    "reram-array-hfo2": {
        "model": "soft-bounds-reference",
        "dw_min": 0.4622,
        "dw_spread": 0.7125,
        "dw_lognormal": True,
        "up_down_spread": 0.01,
        "w_max_spread": 0.4295,
        "w_min_spread": 0.599,
        "c2c": 0.2174,
        "c2c_additive": True,
        "write_noise": 0.5841,
        "reference": "symmetry",
        "reference_spread": 0.05,
        "source": "array of ReRAM, baseline HfO2: Gong, Rasch et al., IEDM 2022",
    },
    "capacitor": {
        "model": "linear",
        "dw_min": 0.005,
        "dw_spread": 0.1,
        "up_down_spread": 0.06,
        "w_max_spread": 0.07,
        "w_min_spread": 0.07,
        "c2c": 0.3,
        "c2c_additive": True,
        "slope_up": 0.05,
        "slope_down": 0.05,
        "slope_spread": 0.01,
        "mean_bound": True,
        "lifetime": 0.01,  # the source's 1e6 mini-batches, at 10 ns each: an assumption, to be set for the chip in mind
        "lifetime_spread": 0.3,
        "source": "trench capacitor, 14 nm: Li et al., VLSI 2018",
    },
    "ecram": {
        "model": "linear",
        "dw_min": 0.002,
        "w_max": 1.1724,
        "w_min": -0.8276,
        "dw_spread": 0.1,
        "up_down_spread": 0.01,
        "w_max_spread": 0.05,
        "w_min_spread": 0.05,
        "c2c": 0.3,
        "slope_up": 0.1153,
        "slope_down": 0.5085,
        "slope_spread": 0.05,
        "mean_bound": True,
        "source": "lithium ECRAM: Tang et al., IEDM 2018",
    },
    "ecram-mo": {
        "model": "linear",
        "dw_min": 2.8214e-4,
        "w_max": 1.1714,
        "w_min": -0.8286,
        "dw_spread": 0.1,
        "up_down_spread": 0.01,
        "w_max_spread": 0.05,
        "w_min_spread": 0.05,
        "c2c": 2.0,
        "slope_up": 0.4152,
        "slope_down": 0.7342,
        "slope_spread": 0.05,
        "mean_bound": True,
        "source": "metal-oxide ECRAM: Kim et al., IEDM 2019",
    },
    "gokmen-vlasov": {
        "model": "constant",
        "dw_min": 0.0016,
        "dw_spread": 0.3,
        "up_down_spread": 0.01,
        "w_max_spread": 0.3,
        "w_min_spread": 0.3,
        "c2c": 0.3,
        "source": "what training asks of a device: Gokmen and Vlasov, Front. Neurosci. 10, 333 (2016)",
    },
    "idealized": {
        "model": "constant",
        "dw_min": 0.0002,
        "dw_spread": 0.3,
        "w_max_spread": 0.3,
        "w_min_spread": 0.3,
        "c2c": 0.3,
        "source": "10,000 steps, symmetric on average: Rasch, Gokmen and Haensch 2019, arXiv 1906.02698",
    },
    "pcm": {
        "model": "exponential",
        "dw_min": 0.01,
        "w_max": 2.0,
        "w_min": 0.0,
        "dw_spread": 0.2,
        "up_down_spread": 0.05,
        "w_max_spread": 0.1,
        "c2c": 0.6,
        "c2c_floor": 0.042,
        "c2c_slope": 0.108,
        "a_up": -27.235,
        "a_down": -2.235,
        "g_up": 2.5,
        "g_down": 2.5,
        "z_scale": -1.0,
        "one_sided": True,
        "reset": 0.01,
        "reset_spread": 0.02,
        "reset_c2c": 0.01,
        "source": "Ge2Sb2Te5 PCM, pair of devices: Nandakumar et al., Front. Neurosci. 14, 406 (2020)",
    },
    "pcm-programmed": {
        "model": "ideal",
        "w_max": 1.0,
        "w_min": -1.0,
        "programming_noise": (0.26348 / 25, 1.965 / 25, -1.1731 / 25),  # full scale 25 uS
        "drift_model": "pcm",
        "drift_t0": 20.0,
        "flicker": 0.0088,
        "source": "PCM, written and verified, pair: Nandakumar et al., ICECS 2019; Joshi et al. 2020",
    },
    "rram-milo": {
        "model": "ideal",
        "w_max": 1.0,
        "w_min": -1.0,
        "g_min": 50 / 175,  # 50 uS, w = 1 being 175
        "programming_noise": (4.7823 / 225, -0.009107),  # full scale 225 uS
        "source": "HfO2 RRAM, written and verified, 50 to 225 uS: Milo et al., IRPS 2021",
    },
    "rram-wan": {
        "model": "ideal",
        "w_max": 1.0,
        "w_min": -1.0,
        "programming_noise": (1.053 / 39.26, 0.2374, -0.01167 * 39.26, 1.536e-4 * 39.26**2),  # full scale 39.26 uS
        "source": "HfO2 RRAM, written and verified, up to 39.26 uS: Wan et al., Nature 608, 504 (2022)",
    },
}

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType({k: MappingProxyType(v) for k, v in _PRESETS.items()})
