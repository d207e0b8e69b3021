"""`analogmgd devices fit`, devices in TOML files, and pictures of fits."""

import re
import tomllib

import matplotlib as mpl
import numpy as np
import pytest
from cli_help import call, done, refusal, strict
from PIL import Image

import analogmgd as am
from analogmgd.device_law import nominal_steps
from analogmgd.device_toml import device_toml
from analogmgd.plot_base import STYLE

SWEEP = 60
# Up and down steps as in a real device: uneven, smaller towards the bounds, noisy.
TRUE = am.Device(
    model="linear", dw_min=0.05, up_down=-0.1, slope_up=0.4, slope_down=0.6, w_min=-1.0, w_max=1.0, c2c=0.2
)
LOW, UNIT = 12.0, 4.0  # microsiemens: conductance = LOW + UNIT (w + 1)


def write_csv(path, device=TRUE, sweeps=4, seed=5):
    """Reads after every pulse of some sweeps, up, down, ..; each scatters by a twentieth of a step."""
    series = [SWEEP if k % 2 == 0 else -SWEEP for k in range(sweeps)]
    w = am.device_response(device, series, 1, seed=seed).w[:, 0]
    w = w + 0.05 * device.dw_min * np.random.default_rng(seed).standard_normal(len(w))
    rows = zip([0, *[*range(1, SWEEP + 1)] * sweeps], LOW + UNIT * (w + 1), strict=True)
    path.write_text("pulse,conductance\n" + "".join(f"{n},{g:.6f}\n" for n, g in rows))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(STYLE, "savefig.dpi", 50)  # quicker
    mpl.use("Agg")
    return tmp_path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder with pulses.csv, and what the command made of it; (folder, result of the command)."""
    folder = tmp_path_factory.mktemp("fit")
    write_csv(folder / "pulses.csv")
    files = ["-o", folder / "own.toml", "--plot", folder / "fit.png"]
    return folder, call("devices", "fit", folder / "pulses.csv", *files)


def test_from_pulses_to_a_run(fitted, here):
    """Known device, pulses, CSV, fit, TOML, training: with --device, and as the table of a configuration."""
    folder, result = fitted
    assert result.exit_code == 0, result.output
    table = tomllib.loads((folder / "own.toml").read_text())
    assert list(table) == ["device"]
    device = am.device(**table["device"])
    assert (device.write, device.model, device.scale) == ("pulsed", "linear", 1.0)
    text = (folder / "pulses.csv").read_text().splitlines()[1:]
    g = np.array([float(line.split(",")[1]) for line in text])
    unit = np.ptp(g) / 2 / UNIT  # w of the truth for one w of the fit
    for at in (-0.7, 0.0, 0.7):  # of the truth: steps there, 120 pulses each way with noise of 20 %
        w = (LOW + UNIT * (at + 1) - g.min()) / (np.ptp(g) / 2) - 1
        found, true = np.array(nominal_steps(device, w)) * unit, nominal_steps(TRUE, at)
        np.testing.assert_allclose(found, true, rtol=0.1)
    assert device.c2c == pytest.approx(0.2, abs=0.04)  # 3 standard errors of 240 steps
    options = ["--steps", 50, "--chips", 2, "--quiet"]
    done("train", "digits", "--device", folder / "own.toml", "--device-scale", 2, *options, "--out", "a.h5")
    (here / "run.toml").write_text('[data]\nname = "digits"\n' + (folder / "own.toml").read_text() + "scale = 2.0\n")
    done("train", "run.toml", *options, "--out", "b.h5")
    a, b = am.Trace("a.h5"), am.Trace("b.h5")
    assert am.Config.from_toml(a.config).chip.device == device.replace(scale=2.0)
    assert a.theta.tobytes() == b.theta.tobytes()
    assert a.pulses.sum() > 0


def test_what_it_says(fitted):
    folder, result = fitted
    assert "fitting exponential steps" in result.stderr
    head, table, chosen = result.stdout.split("\n\n")
    assert re.fullmatch(
        r"pulses\.csv: 120 pulses up, 120 down; conductance 1[12]\.\d+ to (19|20)\.\d+, as w from -1 to 1", head
    )
    lines = table.splitlines()
    assert lines[0].split() == ["model", "rms", "rms", "response", "parameters", "criterion"]
    assert sorted(line.split()[0] for line in lines[1:]) == [
        "constant",
        "exponential",
        "linear",
        "power",
        "soft-bounds",
    ]
    assert lines[1].split()[0] == "linear"
    assert "chosen by its criterion: linear" in chosen
    assert f"wrote {folder / 'own.toml'}\nwrote {folder / 'fit.png'}\n" in chosen
    text = (folder / "own.toml").read_text()
    assert text.startswith("# fit of the linear model to pulses.csv (241 reads), by analogmgd ")
    assert re.search(r"w = -1 is a conductance of 1[12]\.\d+, w = 1 one of (19|20)\.\d+; residuals 0\.\d+ from", text)
    with Image.open(folder / "fit.png") as picture:
        assert picture.size[0] >= 500
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 20
    assert done("devices", "show", folder / "own.toml").startswith(f"own: {folder / 'own.toml'}\n")


def test_forced_and_as_json(fitted, here):
    folder, result = fitted
    found = strict(done("devices", "fit", folder / "pulses.csv", "--model", "power", "-o", "p.toml", "--json"))
    assert (found["model"], found["forced"], found["files"]) == ("power", True, ["p.toml"])
    assert (found["reads"], found["pulses"]) == (241, {"up": 120, "down": 120})
    assert am.device(**found["device"]) == am.device(**tomllib.loads((here / "p.toml").read_text())["device"])
    fits = {f["model"]: f for f in found["fits"]}
    assert len(fits) == 5
    assert found["fits"][0]["model"] == "power"
    assert fits["power"]["criterion"] > 10 > fits["linear"]["criterion"] == 0
    assert f"{fits['linear']['rms']:.4g}" in result.stdout
    assert fits["linear"]["rms_response"] > fits["linear"]["rms"] > 0
    assert fits["linear"]["settings"]["source"] == "fit to pulses.csv"


def test_noise_that_does_not_shrink_is_told(here):
    """Soft bounds whose noise is that of the step at w = 0, as published arrays have it."""
    device = am.Device(model="soft-bounds", dw_min=0.1, w_min=-1.0, w_max=1.0, c2c=0.3, c2c_additive=True)
    write_csv(here / "a.csv", device)
    found = am.fit_device(here / "a.csv", ["soft-bounds"])
    assert found.preset["c2c_additive"] is True
    step = found.preset["c2c"] * found.preset["dw_min"] * np.diff(found.conductance)[0] / 2 / UNIT
    assert step == pytest.approx(0.03, rel=0.15)  # 3 standard errors of 240 steps
    assert found.device().c2c_additive
    write_csv(here / "b.csv", device.replace(c2c_additive=False))
    assert "c2c_additive" not in am.fit_device(here / "b.csv", ["soft-bounds"]).preset


def test_models_that_take_steps_for_noise_are_doubted(fitted):
    folder, _ = fitted
    found = am.fit_device(folder / "pulses.csv", ["constant", "linear"])
    assert found.doubt is None
    assert found.choose("linear").model == "linear"
    doubted = found.choose("constant")
    assert doubted.model == "constant"
    near, far = found.fits[0].rms_response, doubted.fits[0].rms_response
    assert (doubted.doubt is not None) == (far > 3 * near)
    with pytest.raises(am.ConfigError, match=r"model 'power': is none of those fitted: linear, constant"):
        found.choose("power")


def test_rates_of_either_sign():
    """What the exponential model can be fitted with, a device can have."""
    falling = am.Device(
        model="exponential", dw_min=0.01, w_min=-1, w_max=1, a_up=0.1, a_down=0.1, g_up=-2, g_down=3, z_scale=1,
    )  # fmt: skip
    up, down = nominal_steps(falling, 0.5)
    assert up == pytest.approx(0.01 * (1 - 0.1 * np.exp(-1)))
    assert down == pytest.approx(0.01 * (1 - 0.1 * np.exp(-1.5)))
    with pytest.raises(am.ConfigError, match="exponents >= 0"):
        am.Device(model="power", dw_min=0.01, w_min=-1, w_max=1, g_up=-2)


# --- what is refused ---

ROWS = [f"{n},{n}" for n in range(12)] + [f"{-n},{12 - n}" for n in range(1, 12)]


@pytest.mark.parametrize(("lines", "says"), [
    ([], "d.csv: is empty; needed: a header"),
    (["pulse,conductance"], "0 rows after up pulses, 0 after down pulses; needed: 10 of each"),
    (["pulse,current", *ROWS], "no column conductance; found pulse, current"),
    (["pulse,conductance", *ROWS[:5], "5,high"], "d.csv, line 7: conductance = 'high': must be a number"),
    (["pulse,conductance", *ROWS[:5], "5"], "d.csv, line 7: 1 cells; the header has 2"),
    (["pulse,conductance", *ROWS[:5], "5,"], "d.csv, line 7: conductance = '': must be a number"),
    (["pulse,conductance", *ROWS[:5], "-,5"], "d.csv, line 7: pulse = '-': must be a number"),
    (["pulse,conductance", *ROWS[:12]], "11 rows after up pulses, 0 after down pulses; needed: 10 of each"),
])  # fmt: skip
def test_files_that_cannot_be_fitted(here, lines, says):
    (here / "d.csv").write_text("\n".join(lines))
    assert says in refusal("devices", "fit", "d.csv", "-o", "own.toml", "--plot", "fit.png")
    assert [path.name for path in here.iterdir()] == ["d.csv"]


def test_what_else_is_refused(here):
    write_csv(here / "d.csv")
    assert "cannot be read: No such file" in refusal("devices", "fit", "none.csv")
    assert "cannot be read: Is a directory" in refusal("devices", "fit", here)
    assert "missing argument" in refusal("devices", "fit")
    assert "did you mean power?" in refusal("devices", "fit", "d.csv", "--model", "pwer")
    assert "must end in .toml" in refusal("devices", "fit", "d.csv", "-o", "own.json")
    assert "must end in one of" in refusal("devices", "fit", "d.csv", "--plot", "fit.gif")
    (here / "own.toml").write_text("precious")
    assert "--force" in refusal("devices", "fit", "d.csv", "-o", "own.toml")
    assert (here / "own.toml").read_text() == "precious"


def test_files_that_cannot_be_written(here):
    write_csv(here / "d.csv")
    for option, path in (("-o", here / "none" / "a.toml"), ("--plot", here / "none" / "a.png")):
        result = call("devices", "fit", "d.csv", option, path)
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1].startswith("analogmgd: error: cannot write the ")


# --- devices in files ---


def test_show_and_plot_of_a_file(here):
    (here / "mine.toml").write_text(device_toml(TRUE, ["a device\nof mine"]))
    assert (here / "mine.toml").read_text().startswith("# a device of mine\n[device]\n")
    shown = strict(done("devices", "show", "mine.toml", "--json"))
    assert (shown["name"], shown["source"], shown["model"]) == ("mine", "mine.toml", "linear")
    assert shown["settings"] == TRUE.model_dump()
    changed = strict(done("devices", "show", "mine.toml", "--set", "device.c2c=0", "--json"))
    assert changed["settings"] == TRUE.replace(c2c=0.0).model_dump()
    assert am.device(**tomllib.loads(done("devices", "show", "mine.toml", "--toml"))["device"]) == TRUE
    wrote = done("devices", "plot", "mine.toml", "ecram", "--pulses", 20)
    assert wrote == "wrote devices-mine-ecram.png\n"
    assert (here / "devices-mine-ecram.png").is_file()


def test_a_whole_configuration_is_a_file_too(here):
    (here / "run.toml").write_text('[data]\nname = "parity"\n[device]\nname = "reram-es"\nc2c = 0.0\n')
    shown = strict(done("devices", "show", "run.toml", "--json"))
    assert shown["source"] == "run.toml, from the preset reram-es"
    assert shown["settings"] == am.device("reram-es", c2c=0.0).model_dump()
    again = tomllib.loads(done("devices", "show", "run.toml", "--toml"))["device"]
    assert am.device(**again) == am.device("reram-es", c2c=0.0)
    taken = tomllib.loads(done("train", "parity", "--device", "run.toml", "--config"))["device"]
    assert am.device(**taken) == am.device("reram-es", c2c=0.0)


def test_a_file_replaces_the_device_of_the_run(here):
    (here / "mine.toml").write_text(device_toml(TRUE))
    (here / "run.toml").write_text('[data]\nname = "parity"\n[device]\nsigma_theta = 0.1\n')
    taken = tomllib.loads(done("train", "run.toml", "--device", "mine.toml", "--rounding", "nearest", "--config"))
    assert am.device(**taken["device"]) == TRUE.replace(rounding="nearest")


def test_labels(here):
    figure = am.plot_devices([TRUE, "ecram"], here / "a.png", pulses=5, drawn=0)
    titles = [ax.get_title(loc="left").strip() for ax in figure.axes if ax.get_xlabel()]
    assert titles[::2] == ["linear steps", "ecram"]
    with pytest.raises(am.ConfigError, match="labels: 1 for 2 devices"):
        am.plot_devices([TRUE, "ecram"], here / "a.png", labels=["one"])


@pytest.mark.parametrize("command", [("devices", "show"), ("devices", "plot"), ("train", "parity", "--device")])
def test_files_without_a_device(here, command):
    assert "none.toml: cannot be read: No such file" in refusal(*command, "none.toml")
    (here / "a.toml").write_text("[rule]\neta = 1")
    assert "a.toml: has no table [device]" in refusal(*command, "a.toml")
    (here / "a.toml").write_text("[device\n")
    assert "a.toml is not valid TOML" in refusal(*command, "a.toml")
    (here / "a.toml").write_text("[device]\nc2d = 1")
    assert "did you mean c2c?" in refusal(*command, "a.toml")
    (here / "a.toml").write_text('[device]\nname = "reram"')
    assert "unknown device" in refusal(*command, "a.toml")
