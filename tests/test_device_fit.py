"""Fits to simulated measurements of known devices (the oracle's), and what is refused."""

from dataclasses import fields, replace

import numpy as np
import pytest

from analogmgd.device_data import read_pulses
from analogmgd.device_fit import fit
from analogmgd.device_models import MODELS
from analogmgd.device_presets import DEFAULTS
from analogmgd.errors import ConfigError
from oracle.device import DeviceSettings, granularity, nominal, response, steps

# Devices whose 60 up and 60 down pulses, twice, reach the bounds (the hard ones) or come near.
DEVICES = {
    "constant": DeviceSettings("constant", dw_min=0.04, up_down=0.15, w_max=0.9, w_min=-0.8),
    "soft-bounds": DeviceSettings("soft-bounds", dw_min=0.04, up_down=0.15, w_max=1.1, w_min=-0.8),
    "linear": DeviceSettings("linear", dw_min=0.05, up_down=-0.1, slope_up=0.4, slope_down=0.6),
    "exponential": DeviceSettings("exponential", dw_min=0.023, up_down=0.26, a_up=-1.18, a_down=-0.08, g_up=5.0,
                                  g_down=5.0, z_scale=-0.5, z_shift=-0.5),
    "power": DeviceSettings("power", dw_min=0.15, up_down=0.2, g_up=2.0, g_down=1.5),
}  # fmt: skip
SWEEP = 60
PULSES = [0, *[*range(1, SWEEP + 1)] * 4]


def measured(s, read_noise=0.0, seed=1):
    """w after every pulse of four sweeps, up, down, up, down; noise of the reads in units of the granularity."""
    rng = np.random.default_rng(seed)
    xi = rng.standard_normal((4 * SWEEP, 1))
    first = response(s, nominal(s), SWEEP, SWEEP, None, xi[: 2 * SWEEP])
    second = response(s, nominal(s), SWEEP, SWEEP, first[-1], xi[2 * SWEEP :])
    w = np.concatenate([first, second[1:]])[:, 0]
    return w + read_noise * granularity(s) * rng.standard_normal(len(w))


def as_device(result):
    """The oracle's device of a fit's preset, and the scale from its w to that of the conductance."""
    known = {f.name for f in fields(DeviceSettings)}
    assert set(result.preset) <= set(DEFAULTS) | {"source"}
    low, high = result.conductance
    return DeviceSettings(**{k: v for k, v in result.preset.items() if k in known}), low, (high - low) / 2.0


def steps_at(s, w):
    """Nominal up and down steps at every w: float64[2, len(w)]."""
    return np.array([np.concatenate(x) for x in zip(*(steps(s, nominal(s), np.array([v])) for v in w), strict=True)])


def compare_steps(result, s, rtol):
    """Steps over the inner 80 % of the range, of the fit and of the truth, both in units of the conductance."""
    found, low, unit = as_device(result)
    g = low + unit * (1.0 + np.linspace(-0.8, 0.8, 9))
    np.testing.assert_allclose(steps_at(found, (g - low) / unit - 1.0) * unit, steps_at(s, g), rtol=rtol)


@pytest.mark.parametrize("name", DEVICES)
def test_without_noise_the_model_is_chosen_and_its_steps_are_exact(name):
    s = DEVICES[name]
    result = fit((PULSES, measured(s)))
    assert result.model == name
    assert result.fits[0].rms < 1e-6
    compare_steps(result, s, 1e-4)
    if name in ("constant", "power", "exponential"):  # steps that do not refer to where w is 0
        assert result.preset["up_down"] == pytest.approx(s.up_down, abs=1e-4)
    found, low, unit = as_device(result)
    if name in ("constant", "linear", "soft-bounds", "power"):  # reached, or what the steps depend on
        assert low + unit * (1.0 + found.w_max) == pytest.approx(s.w_max, abs=1e-3)
    if name == "power":
        assert (found.g_up, found.g_down) == pytest.approx((2.0, 1.5), abs=1e-3)


def noises(result, s):
    """(c2c, noise of the reads in units of the true granularity) of a fit."""
    unit = (result.conductance[1] - result.conductance[0]) / 2.0
    return result.preset["c2c"], result.preset["write_noise"] * result.preset["dw_min"] * unit / granularity(s)


@pytest.mark.parametrize("name", DEVICES)
def test_with_noise_of_both_kinds_the_model_is_chosen(name):
    """240 pulses, c2c 0.5, reads scattering by half a step: steps within 30 %."""
    s = replace(DEVICES[name], c2c=0.5)
    result = fit((PULSES, measured(s, read_noise=0.5)))
    assert result.model == name
    compare_steps(result, s, 0.3)


@pytest.mark.parametrize(("name", "c2c", "read_noise"), [
    ("constant", 0.5, 0.5), ("soft-bounds", 0.5, 0.5), ("soft-bounds", 0.5, 0.0), ("soft-bounds", 0.0, 1.0),
])  # fmt: skip
def test_the_two_noises_are_told_apart(name, c2c, read_noise):
    """Mean over 8 measurements of 240 pulses. One has a standard error of 0.07 or less; greatest likelihood is low by a
    few percent with so few pulses."""
    s = replace(DEVICES[name], c2c=c2c)
    found = [noises(fit((PULSES, measured(s, read_noise, seed)), [name]), s) for seed in range(8)]
    assert np.mean(found, axis=0) == pytest.approx((c2c, read_noise), abs=0.08)


@pytest.mark.parametrize(("name", "x"), [
    ("constant", [0.02, 0.03, 0.7, -1.2]),
    ("soft-bounds", [0.03, 0.02, 0.7, -1.2]),
    ("linear", [0.02, 0.03, 0.4, 0.6, 0.7, -1.2]),
    ("exponential", [0.03, 0.02, 0.1, -0.3, 1.5, -2.5, 0.7, -1.2]),
    ("power", [0.02, 0.03, 1.5, 2.5, 0.7, -1.2]),
])  # fmt: skip
def test_a_preset_makes_the_steps_that_were_fitted(name, x):
    """Bounds that are neither those of the measurement nor symmetric."""
    model = next(m for m in MODELS if m.name == name)
    w = np.linspace(-1.1, 0.6, 11)
    found = steps_at(DeviceSettings(**model.preset(np.array(x))), w)
    x = np.array(x)[:, np.newaxis]
    np.testing.assert_allclose(found, [model.up(x, w), -model.down(x, w)], rtol=1e-12)


def test_conductance_keeps_its_unit_and_the_table_lists_every_model():
    w = measured(DEVICES["constant"])
    plain, scaled = fit((PULSES, w)), fit((PULSES, 20.0 + 5.0 * w))
    assert scaled.conductance == pytest.approx((20.0 + 5.0 * w.min(), 20.0 + 5.0 * w.max()))
    assert scaled.preset["dw_min"] == pytest.approx(plain.preset["dw_min"], rel=1e-6)
    assert scaled.fits[-1].rms == pytest.approx(5.0 * plain.fits[-1].rms, rel=1e-3)
    lines = scaled.table().splitlines()
    assert lines[0].split()[:2] == ["model", "rms"]
    assert sorted(line.split()[0] for line in lines[1:]) == sorted(DEVICES)
    assert lines[1].split()[0] == scaled.model


def test_gaps_between_reads_are_several_pulses():
    """Every fifth read of a noiseless device gives the same device."""
    s = DEVICES["soft-bounds"]
    w = measured(s)
    result = fit((np.array(PULSES)[::5], w[::5]))
    assert result.model == "soft-bounds"
    compare_steps(result, s, 1e-4)


# --- reading ---

UP_DOWN = [0, *[1] * 12, *[-1] * 11]


@pytest.mark.parametrize("text", [
    "pulse,conductance\n" + "\n".join(f"{n},{n * 1.5}" for n in range(13))
    + "\n" + "\n".join(f"{n},{18 - n * 1.5}" for n in range(1, 12)),
    "# a comment\n\nPulse; Conductance\n" + "\n".join(f"{n}; {n * 1.5}" for n in range(13))
    + "\n" + "\n".join(f"{-n};{18 - n * 1.5}" for n in range(1, 12)),
    "device\tconductance\tpulse\tdirection\n" + "\n".join(f"a\t{n * 1.5}\t{n}\tup" for n in range(13))
    + "\n" + "\n".join(f"a\t{18 - n * 1.5}\t{n}\tdown" for n in range(1, 12)),
    "\ufeffpulse,conductance,direction\r\n" + "\r\n".join(f"{n},{n * 1.5},1" for n in range(13))
    + "\r\n" + "\r\n".join(f'"{n}",{18 - n * 1.5},-1' for n in range(1, 12)),
], ids=["restarts", "signed", "direction", "excel"])  # fmt: skip
def test_every_way_to_write_the_directions(tmp_path, text):
    path = tmp_path / "device.csv"
    path.write_text(text, encoding="utf-8", newline="")
    data = read_pulses(path)
    assert data.pulses.tolist() == UP_DOWN
    np.testing.assert_array_equal(data.conductance, 1.5 * np.cumsum(UP_DOWN))
    assert data.name == "device.csv"


def test_repeated_reads_and_a_read_before_each_sweep_are_no_pulses():
    pulse = [0, 0, *range(1, 11), 10, 0, 3, *range(4, 14)]
    data = read_pulses({"pulse": pulse, "conductance": np.arange(len(pulse))})
    assert data.pulses.tolist() == [0, 0, *[1] * 10, 0, 0, -3, *[-1] * 10]
    data = read_pulses(([1] * 30, range(30), ["up", "down"] * 15))  # one pulse up, one down, ..
    assert data.pulses.tolist() == [0, *[-1, 1] * 14, -1]


GOOD = [f"{n},{n}" for n in range(12)] + [f"{-n},{12 - n}" for n in range(1, 12)]


@pytest.mark.parametrize(("lines", "message"), [
    ([], "d.csv: is empty; needed: a header with pulse, conductance, then rows of numbers"),
    (["pulse,current", "1,2"], "d.csv: no column conductance; found pulse, current"),
    (["1,2", "3,4"], "d.csv: no column pulse and conductance; found 1, 2"),
    (["pulse,conductance", *GOOD[:5], "x,5"], "d.csv, line 7: pulse = 'x': must be a number"),
    (["pulse,conductance", "", *GOOD[:5], "5,"], "d.csv, line 8: conductance = '': must be a number"),
    (["pulse,conductance", *GOOD[:5], "5,nan"], "d.csv, line 7: conductance = 'nan': must be finite"),
    (["pulse,conductance", *GOOD[:5], "5.5,5"], "d.csv, line 7: pulse = 5.5: must be a whole number"),
    (["pulse,conductance", *GOOD[:5], "5"], "d.csv, line 7: 1 cells; the header has 2"),
    (["pulse,conductance,direction", "1,2,up", "2,3,sideways"],
     "d.csv, line 3: direction = 'sideways': must be up, +1, down or -1"),
    (["pulse,conductance,direction", "1,2,up", "-2,3,down"],
     "d.csv, line 3: pulse = -2: must not be negative beside a column direction"),
    (["pulse,conductance", *GOOD, "-2000,0"], "d.csv, line 25: 1989 pulses since the row before; at most 1000"),
    (["pulse,conductance", *GOOD[:12]], "d.csv: 11 rows after up pulses, 0 after down pulses; needed: 10 of each"),
    (["pulse,conductance"], "d.csv: 0 rows after up pulses, 0 after down pulses; needed: 10 of each"),
    (["pulse,conductance", *[f"{line.split(',')[0]},7" for line in GOOD]],
     "d.csv: conductance is 7 in every row; it must change"),
])  # fmt: skip
def test_files_that_cannot_be_used(tmp_path, lines, message):
    path = tmp_path / "d.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigError) as e:
        fit(path)
    assert str(e.value) == message


@pytest.mark.parametrize(("data", "message"), [
    ({"pulse": [1]}, "pulse data: no column conductance; found pulse"),
    ([[1.0]], "pulse data: list of 1; expected a path, a mapping, or (pulse, conductance[, direction])"),
    (3, "pulse data: int; expected a path, a mapping, or (pulse, conductance[, direction])"),
    (([1, 2], [1.0]), "pulse data: pulse has 2, conductance has 1 values"),
    (([[1]], [1.0]), "pulse data: pulse has shape (1, 1); expected (n,)"),
    (([1, 2], [1.0, None]), "pulse data, row 2: conductance = None: must be a number"),
])  # fmt: skip
def test_arrays_that_cannot_be_used(data, message):
    with pytest.raises(ConfigError) as e:
        fit(data)
    assert str(e.value) == message


KNOWN = "constant, soft-bounds, linear, power, exponential"


@pytest.mark.parametrize(("models", "message"), [
    (["linaer"], f"models: 'linaer' is none of {KNOWN} (did you mean linear?)"),
    ([], f"models: none given; expected some of {KNOWN}"),
])  # fmt: skip
def test_models_that_do_not_exist(models, message):
    with pytest.raises(ConfigError) as e:
        fit((PULSES, measured(DEVICES["constant"])), models)
    assert str(e.value) == message


def test_files_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.csv: cannot be read: No such file"):
        fit(tmp_path / "none.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"b\.csv: cannot be read: not text in UTF-8"):
        fit(tmp_path / "b.csv")
