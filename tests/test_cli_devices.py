"""`analogmgd devices`, options of devices in `train`, and what is drawn and said of a device."""

import tomllib

import matplotlib as mpl
import numpy as np
import pytest
from cli_help import call, done, refusal, strict
from matplotlib.figure import Figure
from PIL import Image

import analogmgd as am
from analogmgd.device_figures import drawn_device, figures, mean_steps, nominal, offset, symmetric_state
from analogmgd.device_law import nominal_steps
from analogmgd.device_presets import PRESETS
from analogmgd.devices import NAMES, Device
from analogmgd.errors import ConfigError
from analogmgd.plot_base import STYLE
from analogmgd.plot_devices import plot_devices, step_curves

PULSED = [name for name in NAMES if am.device(name).write == "pulsed"]
BOTH_WAYS = [name for name in PULSED if not am.device(name).one_sided]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(STYLE, "savefig.dpi", 50)  # quicker
    return tmp_path


# --- list ---


def test_list():
    head, *lines = done("devices").splitlines()
    assert done("devices", "list").splitlines() == [head, *lines]
    assert [line.split()[0] for line in lines] == list(NAMES)
    for word in ("pulses up/down", "asymmetry", "step noise", "dw_min", "granularity", "steps", "symmetry", "source"):
        assert word in head
    row = next(line for line in lines if line.startswith("reram-es"))
    for cell in ("1 106 / 821", "35.3 %", "500 %", "-1 .. 1", "0.00135", "0.00174", "1 152", "-0.22", "Gong 2018"):
        assert f"  {cell}" in row
    row = next(line for line in lines if line.startswith("pcm "))
    for cell in ("56 / 56", "-2 .. 2", "0.0324", "Nandakumar 2020"):
        assert f"  {cell}" in row


def test_list_as_json():
    found = strict(done("devices", "list", "--json"))["devices"]
    assert [d["name"] for d in found] == list(NAMES)
    for d in found:
        assert d["source"] == PRESETS[d["name"]]["source"]
        assert am.device(d["name"]) == Device(**{k: v for k, v in d["settings"].items() if v is not None})
    assert set(found[0]["figures"].values()) == {None}
    assert found[1]["figures"]["pulses_up"] == 1106


# --- show ---


@pytest.mark.parametrize("name", NAMES)
def test_show_gives_the_figures_and_every_setting_that_differs(name):
    text = done("devices", "show", name)
    assert text.startswith(f"{name}: {PRESETS[name]['source']}\n")
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    default = Device()
    for key, value in am.device(name):
        unused = key in ("g_up", "g_down", "z_scale") and am.device(name).model != "exponential"
        if key != "name" and value != getattr(default, key) and not unused:
            shown = str(list(value)) if isinstance(value, tuple) else str(value)
            assert shown.lower() in rows[key].lower()
            assert len(rows[key].split()) > 2  # it has a meaning
        elif key != "name":
            assert key not in rows
    pulsed = am.device(name).write == "pulsed"
    assert all(word in rows for word in ("pulses", "noise", "spread")) == pulsed
    assert ("asymmetry" in rows) == (pulsed and name != "pcm")


@pytest.mark.parametrize("changes", [[], ["--set", "device.c2c=0"], ["--set", "device.reference=0.25"]])
@pytest.mark.parametrize("name", NAMES)
def test_toml_gives_the_same_device(name, changes):
    if "device.reference=0.25" in changes and am.device(name).model != "soft-bounds-reference":
        assert 'needs model = "soft-bounds-reference"' in refusal("devices", "show", name, *changes)
        return
    table = tomllib.loads(done("devices", "show", name, *changes, "--toml"))
    assert list(table) == ["device"]
    wanted = am.device(name, **{"c2c": 0.0} if "device.c2c=0" in changes else {"reference": 0.25} if changes else {})
    assert am.device(**table["device"]) == wanted
    shown = strict(done("devices", "show", name, *changes, "--json"))
    assert shown["settings"] == wanted.model_dump(mode="json")


def test_show_other_writes():
    assert "15 of 0.1333 from end to end" in done("devices", "show", "ecram", "--set", "device.levels=16")
    text = done("devices", "show", "ecram", "--set", "device.write=ideal")
    assert "w = -0.8276 to 1.172" in text
    assert "asymmetry " not in text
    assert "sigma_theta  0.1" in done("devices", "show", "ideal", "--set", "device.sigma_theta=0.1")


def test_what_is_refused(here):
    assert "did you mean reram-es?" in refusal("devices", "show", "reram-e")
    assert "exclude each other" in refusal("devices", "show", "ecram", "--json", "--toml")
    assert "did you mean device.c2c?" in refusal("devices", "show", "ecram", "--set", "device.c2d=1")
    assert "device.c2c = -1: must be at least 0" in refusal("devices", "show", "ecram", "--set", "device.c2c=-1")
    assert "device.name: not a setting" in refusal("devices", "show", "ecram", "--set", "device.name=ideal")
    assert "rule.eta: not a setting" in refusal("devices", "plot", "ecram", "--set", "rule.eta=1")
    assert "'rram-wan' is written without pulses" in refusal("devices", "plot", "rram-wan")
    assert "missing argument" in refusal("devices", "plot")
    assert "named twice" in refusal("devices", "plot", "ecram", "ecram")
    assert "'ideal' is written without pulses" in refusal("devices", "plot", "ideal")
    assert "pulses = 0: must be from 1" in refusal("devices", "plot", "ecram", "--pulses", 0)
    assert "devices = -1: must be from 0" in refusal("devices", "plot", "ecram", "--devices", -1)
    assert "seed = -1: must be from 0" in refusal("devices", "plot", "ecram", "--seed", -1)
    assert "must end in one of" in refusal("devices", "plot", "ecram", "-o", "a.gif")
    assert "cannot write the picture" in refusal("devices", "plot", "ecram", "-o", here / "none" / "a.png")
    (here / "a.png").write_text("precious")
    assert "--force" in refusal("devices", "plot", "ecram", "-o", "a.png")
    assert (here / "a.png").read_text() == "precious"
    assert [path.name for path in here.iterdir()] == ["a.png"]


# --- plot ---


def test_plot_by_command(here):
    mpl.use("Agg")
    assert done("devices", "plot", "reram-es", "ecram", "--pulses", 50) == "wrote devices-reram-es-ecram.png\n"
    with Image.open(here / "devices-reram-es-ecram.png") as picture:
        assert picture.size[0] >= 500
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 20
    one = ["devices", "plot", "ecram", "-o", "a.png", "--pulses", 50, "--force"]
    bits = []
    for more in (["--seed", 0], ["--seed", 0], ["--seed", 1], ["--set", "device.dw_spread=0"], ["--devices", 0]):
        assert strict(done(*one, *more, "--json")) == {"picture": "a.png"}
        bits.append((here / "a.png").read_bytes())
    assert bits[0] == bits[1]
    assert len(set(bits)) == 4


def test_every_preset_is_drawn(here):
    figure = plot_devices(PULSED, here / "all.png", pulses=30, drawn=2)
    assert isinstance(figure, Figure)
    panels = [ax for ax in figure.axes if ax.get_xlabel()]
    assert len(panels) == 2 * len(PULSED)
    assert all(ax.get_ylabel() for ax in panels)
    assert [ax.get_title(loc="left").strip() for ax in panels[::2]] == PULSED


def test_the_response_drawn_is_the_one_of_device_response(here):
    figure = plot_devices(["reram-es"], here / "a.svg", pulses=20, drawn=3, seed=4)
    left, right = (ax for ax in figure.axes if ax.get_xlabel())
    several = am.device_response("reram-es", (20, -20), 3, seed=4)
    plain = am.device_response(nominal(am.device("reram-es")), (20, -20), 1)
    lines = [np.asarray(line.get_ydata()) for line in left.get_lines()]
    for w in [*several.w.T, *plain.w.T]:
        assert any(np.array_equal(line, w[:21]) for line in lines)
        assert any(np.array_equal(line, w[20:]) for line in lines)
    dots = [line.get_xdata()[0] for line in right.get_lines() if line.get_marker() == "o"]
    assert dots[-1] == pytest.approx(figures(am.device("reram-es")).symmetry_point)
    assert len(dots) == 4


def test_no_dot_where_a_bound_cuts_one_of_the_steps(here):
    """Equal steps of 1.5 at w = 0 would go past both bounds, up and down by different amounts."""
    large = Device(model="soft-bounds", dw_min=1.5, w_min=-0.5, w_max=1)
    figure = plot_devices([large], here / "a.png", pulses=5, drawn=0)
    right = [ax for ax in figure.axes if ax.get_xlabel()][1]
    assert figures(large).symmetry_point == 0
    assert not [line for line in right.get_lines() if line.get_marker() == "o"]


def test_plot_of_a_device_of_ones_own(here):
    own = Device(model="power", dw_min=0.01, w_min=-1, w_max=1, g_up=2, g_down=1, dw_spread=0.1)
    assert isinstance(plot_devices([own], here / "a.pdf", pulses=10), Figure)
    with pytest.raises(ConfigError, match="number of presets = 0"):
        plot_devices([], here / "b.pdf")


# --- the figures ---


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_steps_drawn_are_those_of_the_devices(name):
    """Every drawn device, made a device without spread, does what the compiled one does without noise."""
    quiet = am.device(name, c2c=0.0, scale=1.5)
    response = am.device_response(quiet, (40, -60), 4, seed=2)
    for i in range(4):
        one = drawn_device(quiet, response.drawn, i)
        state = response.w[:, i] + offset(one)
        for k in range(100):
            up, down = mean_steps(one, state[k])
            wanted = state[k] + (up if k < 40 else -down)
            assert state[k + 1] == pytest.approx(wanted, abs=1e-9)
        w, steps = step_curves(one)
        assert np.all(steps >= 0)
        assert (w[0], w[-1]) == pytest.approx((one.w_min - offset(one), one.w_max - offset(one)))
        point = symmetric_state(one)
        if point is not None:
            up, down = nominal_steps(one, point)  # a bound may cut one of them short
            assert up == pytest.approx(down, rel=1e-9)


@pytest.mark.parametrize("name", BOTH_WAYS)
@pytest.mark.parametrize("rising", [True, False])
def test_pulses_over_nine_tenths(name, rising):
    """Counted again in the compiled response."""
    plain = nominal(am.device(name))
    f = figures(plain)
    pulses = f.pulses_up if rising else f.pulses_down
    start = plain.w_min if rising else plain.w_max
    w = am.device_response(plain, [pulses if rising else -pulses], 1, start=start).w[:, 0]
    left = 0.9 * (f.range[1] - f.range[0]) - abs(w - w[0])
    assert left[-1] <= 1e-9 < left[-2]


def test_figures_on_paper():
    def of(**settings):
        return figures(Device(**{"w_min": -1, "w_max": 1, "dw_min": 0.1, **settings}))

    constant = of(model="constant", up_down=0.5)  # 0.1 up, 0.05 down
    assert (constant.step_up, constant.step_down) == (0.1, 0.05)
    assert (constant.pulses_up, constant.pulses_down) == (18, 36)
    assert constant.granularity == pytest.approx(0.075)
    assert constant.asymmetry == pytest.approx(1 / 3)
    assert constant.symmetry_point is None
    assert of(model="soft-bounds").asymmetry == pytest.approx(0.5, abs=1e-4)
    tilted = of(model="soft-bounds", up_down=0.5)  # 0.1 (1 - w) = 0.05 (1 + w)
    assert tilted.symmetry_point == pytest.approx(1 / 3)
    moved = of(model="soft-bounds-reference", up_down=0.5, reference=0.25)
    assert moved.symmetry_point == pytest.approx(1 / 3 - 0.25)
    assert moved.range == (-1.25, 0.75)
    assert (moved.step_up, moved.step_down) == pytest.approx((0.075, 0.0625))  # at w = 0
    own = of(model="soft-bounds-reference", up_down=0.5, reference="symmetry")
    assert own.symmetry_point == pytest.approx(0)
    assert own.range == pytest.approx((-4 / 3, 2 / 3))
    assert of(model="constant", c2c=0.3, write_noise=2.0).step_noise == 0.3
    assert of(model="constant", write_noise=2.0).write_noise == pytest.approx(0.2)
    assert of(model="constant", c2c=0.5, c2c_floor=0.1).step_noise == pytest.approx(1.0)
    assert of(model="constant", dw_min=1e-6).pulses_up is None
    assert of(model="soft-bounds-reference", reference=0.5, c2c=1, c2c_additive=True).step_noise == pytest.approx(1.0)
    quantised = figures(Device(levels=5, w_min=-1, w_max=1))
    assert (quantised.granularity, quantised.steps) == (0.5, 4)


# --- train ---


def test_presets_changed_key_by_key_in_toml(here):
    (here / "run.toml").write_text(
        '[data]\nname = "parity"\n[device]\nname = "reram-es"\nc2c = 0.0\nscale = 2\n[run]\nsteps = 50\nchips = 2\n'
    )
    shown = tomllib.loads(done("train", "run.toml", "--config"))["device"]
    wanted = am.device("reram-es", c2c=0.0, scale=2.0)
    assert shown == {k: v for k, v in wanted.model_dump().items() if v is not None}
    over = tomllib.loads(done("train", "run.toml", "--config", "--set", "device.c2c=1.5"))["device"]
    assert over == shown | {"c2c": 1.5}
    other = tomllib.loads(done("train", "run.toml", "--config", "--device", "ecram"))["device"]
    assert am.device(**other) == am.device("ecram")  # another preset, nothing left of the first
    (here / "whole.toml").write_text(done("train", "run.toml", "--config"))
    assert tomllib.loads(done("train", "whole.toml", "--config"))["device"] == shown
    done("devices", "show", "reram-es", "--set", "device.c2c=0", "--set", "device.scale=2", "--toml")
    done("train", "run.toml", "--quiet", "--out", "a.h5")
    done("train", "parity", "--device", "reram-es", "--set", "device.c2c=0", "--device-scale", 2, "--steps", 50,
         "--chips", 2, "--quiet", "--out", "b.h5")  # fmt: skip
    done("train", "run.toml", "--set", "device.c2c=5", "--quiet", "--out", "c.h5")
    a, b, c = (am.Trace(name).theta for name in ("a.h5", "b.h5", "c.h5"))
    assert a.tobytes() == b.tobytes()
    assert a.tobytes() != c.tobytes()


def test_options_of_devices():
    text = done(
        "train",
        "parity",
        "--device",
        "ecram",
        "--device-scale",
        2,
        "--rounding",
        "carried",
        "--max-pulses",
        7,
        "--config",
    )
    wanted = am.device("ecram", scale=2.0, rounding="carried", max_pulses=7)
    assert am.device(**tomllib.loads(text)["device"]) == wanted
    text = done("train", "parity", "--device", "ecram", "--write", "quantised", "--levels", 9, "--config")
    assert am.device(**tomllib.loads(text)["device"]) == am.device("ecram", write="quantised", levels=9)
    assert "device.c2c = -1: must be at least 0" in refusal(
        "train", "parity", "--device", "ecram", "--set", "device.c2c=-1"
    )
    assert "unknown key" in refusal("train", "parity", "--set", "device.c2d=1")
    assert "did you mean reram-sb?" in refusal("train", "parity", "--device", "reram-se")
    assert "needs model" in refusal("train", "parity", "--write", "pulsed")
    assert "must be one of" in refusal("train", "parity", "--device", "ecram", "--rounding", "up")
    assert "given twice" in refusal("train", "parity", "--device-scale", 2, "--set", "device.scale=3")
    assert call("train", "parity", "--set", "faults.stuck_lo=0.1").stderr.count("did you mean faults.stuck_low?") == 1
