"""Bad input on the command line: one clear line, exit code 2, nothing written."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from cli_help import RUN, call, done, program, refusal

OPTIONS = [
    ("--tau-x 0", "rule.tau_x = 0", "at least 1"),
    ("--tau-x -5", "rule.tau_x = -5", "at least 1"),
    ("--tau-p 0", "rule.tau_p = 0", "at least 1"),
    ("--tau-theta 0", "rule.tau_theta = 0", "greater than 0"),
    ("--tau-theta -1", "rule.tau_theta = -1", "greater than 0"),
    ("--tau-theta 2.5", "tau_theta = 2.5", "whole number"),
    ("--mode analog --tau-hp 0", "rule.tau_hp = 0", "greater than 0"),
    ("--mode analog --dt -1", "rule.dt = -1", "greater than 0"),
    ("--mode analogue", "rule.mode = 'analogue'", '"analog"'),
    ("--amplitude 0", "rule.amplitude = 0", "greater than 0"),
    ("--amplitude nan", "rule.amplitude = nan", "finite"),
    ("--eta fast", "rule.eta = 'fast'", "number"),
    ("--eta -1", "rule.eta = -1", "at least 0"),
    ("--steps 0", "run.steps = 0", "at least 1"),
    ("--steps 1.5", "run.steps = 1.5", ""),
    ("--steps many", "run.steps = 'many'", "whole number"),
    ("--chips 0", "run.chips = 0", "1"),
    ("--chips 4000000000", "run.chips = 4000000000", "GB"),
    ("--seed -1", "run.seed = -1", "at least 0"),
    ("--perturbation codes", "rule.perturbation = 'codes'", '"walsh"'),
    ("--rule adam", "rule.type = 'adam'", '"backprop"'),
    ("--cost crossentropy", "network.cost = 'crossentropy'", '"cross-entropy"'),
    ("--activation gelu", "'gelu'", '"tanh"'),
    ("--precision half", "run.precision = 'half'", '"double"'),
    ("--record weights", "'weights'", '"theta"'),
    ("--network 3-2-1", "3 inputs", "starts with 2"),
    ("--network 2-2-7", "7 outputs", "ends with 1"),
    ("--network two", "--network 'two'", "49-4-4"),
    ("--network 2-0-1", "0", "at least 1"),
    ("--device memristor", "device.name = 'memristor'", "ideal"),
    ("--step-time soon", "chip.step_time = 'soon'", '"mem-compute"'),
    ("--bits 99", "bits", "2 to 16"),
    ("--probe-chips 64 --chips 64", "chip 64", "not among"),
    ("--threads 0", "threads = 0", "1 to 4096"),
    ("--threads two", "--threads", "integer"),
    ("--label-smoothing 0.1", "label_smoothing", "cross-entropy"),
    ("--no-trace --out x.h5", "--no-trace", "--out"),
    ("--record theta --steps 1e9 --record-every 1", "TB", "record_every"),
    ("--set rule.etaa=1", "rule.etaa", "did you mean rule.eta?"),
    ("--set eta=1", "eta: unknown key", "did you mean rule.eta?"),
    ("--set neuron.sigma=1", "neuron.sigma", "unknown key"),
    ("--set rule.eta", "--set 'rule.eta'", "KEY=VALUE"),
    ("--set rule.eta=", "rule.eta = ''", "number"),
    ("--set rule.eta=1 --eta 2", "rule.eta", "twice"),
    ("--set data.color=1", "no option 'color'", "bits"),
    ("--etaa 1", "no such option '--etaa'", "train --help"),
    ("--rule backprop --amplitude 0.1", "rule.amplitude", "unknown key"),
    # devices
    ("--device ecram --set device.w_max=-2", "w_min = -0.8276", "less than w_max = -2"),
    ("--set device.w_min=1 --set device.w_max=1", "w_min = 1", "less than w_max = 1"),
    ("--set device.w_min=-1", "w_max = None", "both or neither"),
    ("--device ecram --set device.w_min=0.1", "w_min = 0.1", "needs w_min < 0 < w_max"),
    ("--device ecram --set device.w_min=low", "device.w_min = 'low'", "number"),
    ("--device ecram --set device.dw_min=0", "device.dw_min = 0", "greater than 0"),
    ("--device ecram --set device.c2c=-0.3", "device.c2c = -0.3", "at least 0"),
    ("--device ecram --set device.model=cubic", "device.model = 'cubic'", '"soft-bounds"'),
    ("--device ecram --set device.a_up=1", "a_up = 1", 'needs model = "exponential"'),
    ("--set device.reference=0.25", "reference = 0.25", 'needs model = "soft-bounds-reference"'),
    ("--set device.dw_spread=0.3", "dw_spread = 0.3", "needs model"),
    ("--rounding nearest", "rounding = 'nearest'", "needs model or levels"),
    ("--set device.lifetime=-1", "device.lifetime = -1", "at least 0"),
    ("--set device.drift_t0=0", "device.drift_t0 = 0", "greater than 0"),
    ("--device pcm2", "device.name = 'pcm2'", "known: ideal"),
    ("--device reram-sbb", "device.name = 'reram-sbb'", "did you mean reram-sb?"),
    ("--levels 1", "device.levels = 1", "at least 2"),
    ("--network fashion", "--network 'fashion'", "widths from input to output, such as 49-4-4, or one of fashion-cnn"),
    ("--network fashion-cnn", "network takes 784 inputs", "has 2"),
    ("--set network.preset=fashion", "network.preset = 'fashion'", "known: fashion-cnn"),
    ("--network fashion-cnn --activation tanh", "network.activation = 'tanh'", "goes with sizes"),
    # wires
    ("--set wires.row=-1", "wires.row = -1", "at least 0"),
    ("--set wires.row=1 --set wires.sense=-5", "wires.sense = -5", "at least 0"),
    ("--set wires.source=none", "wires.source = 'none'", "number"),
    ("--set wires.g_unit=-1e-5", "wires.g_unit = -1e-05", "greater than 0"),
    ("--set wires.tile=[0,64]", "wires.tile.0 = 0", "at least 1"),
    # converters
    ("--set converters.adc_bits=0", "converters.adc_bits = 0", "at least 1"),
    ("--set converters.dac_bits=0", "converters.dac_bits = 0", "at least 1"),
    ("--set converters.cost_bits=0", "converters.cost_bits = 0", "at least 1"),
    ("--set converters.adc_bits=25", "converters.adc_bits = 25", "at most 24"),
    ("--set converters.adc_range=-8", "converters.adc_range = -8", "greater than 0"),
    ("--set converters.dac_range=[1,0]", "dac_range = [1.0, 0.0]", "the first must be less"),
    ("--set converters.dac_range=1", "converters.dac_range = 1", "must be a list"),
    # faults, of the network 2-2-1
    ("--set faults.dead_rows=[[0,2]]", "faults.dead_rows: [0, 2]", "less than 2"),
    ("--set faults.dead_rows=[[2,0]]", "faults.dead_rows: layer 2", "less than 2, the layers"),
    ("--set faults.dead_columns=[[1,1]]", "faults.dead_columns: [1, 1]", "less than 1"),
    ("--set faults.dead_neurons=[[0,-1]]", "faults.dead_neurons.0.1 = -1", "at least 0"),
    ("--set faults.dead_neurons=[[1,1]]", "faults.dead_neurons: [1, 1]", "less than 1"),
    ("--set faults.dead_rows=3", "faults.dead_rows = 3", "must be a list"),
    ("--device ecram --set faults.stuck=[[9,'plus',0.5]]", "faults.stuck: parameter 9", "less than 9"),
    ("--device ecram --set faults.stuck=[[0,'plus',2]]", "faults.stuck.0.2 = 2", "at most 1"),
    ("--device ecram --set faults.stuck=[[0,'left',0.5]]", "faults.stuck.0.1 = 'left'", '"plus", "minus"'),
    ("--set faults.stuck_low=0.1", "stuck", "needs w_min and w_max"),
    ("--set faults.rows=1.5", "faults.rows = 1.5", "at most 1"),
    ("--device ecram --set faults.endurance=0", "faults.endurance = 0", "greater than 0"),
]


@pytest.mark.parametrize(("options", "names", "allows"), OPTIONS, ids=[o[0] for o in OPTIONS])
def test_wrong_option(tmp_path, monkeypatch, options, names, allows):
    monkeypatch.chdir(tmp_path)
    line = refusal("train", "parity", *options.split())
    assert names in line
    assert allows in line
    assert not list(tmp_path.iterdir())


TOML = [
    ("[data]\nname = 'mnist'", "unknown data set 'mnist'"),
    ("[rule]\neta = 1", "data.name is required"),
    ("[data]\nname = 7", "7"),
    ("[data]\nname = 'parity'\n[rule]\netaa = 1", "rule.etaa: unknown key (did you mean eta?)"),
    ("[data]\nname = 'parity'\n[rules]\neta = 1", "rules: unknown table (did you mean rule?)"),
    ("[data]\nname = 'parity'\n[rule]\neta = true", "rule.eta"),
    ("[data]\nname = 'parity'\n[rule]\ntau_x = '1'", "rule.tau_x"),
    ("[data]\nname = 'parity'\n[run]\nsteps = 1979-05-27", "run.steps"),
    ("[data]\nname = 'parity'\n[run]\nsteps = " + "9" * 5000, "not valid TOML"),
    ("[data]\nname = 'parity'\n[network]\nlayers = [1]", "network"),
    ("network = 3\n[data]\nname = 'parity'", "network = 3: must be a table"),
    ("[[rule]]\neta = 1", "rule"),
    ("[rule\neta = 1", "is not valid TOML"),
    ("v = " + "[" * 5000, "is not valid TOML"),
]


@pytest.mark.parametrize(("text", "says"), TOML, ids=range(len(TOML)))
def test_wrong_toml(tmp_path, text, says):
    path = tmp_path / "run.toml"
    path.write_text(text)
    assert says in refusal("train", path)


def test_wrong_source(tmp_path):
    assert "did you mean 'digits'?" in refusal("train", "digit")
    assert "cannot be read" in refusal("train", tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    assert "not text in UTF-8" in refusal("train", tmp_path / "binary.toml")
    assert "does not exist" in refusal("train", tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    assert "not a .npz file" in refusal("train", tmp_path / "text.npz")
    np.savez(tmp_path / "part.npz", x_train=np.zeros((2, 2)))
    assert "y_train" in refusal("train", tmp_path / "part.npz")


def test_wrong_command():
    assert "commands: train, resume, sweep, study, info" in refusal("trian")
    assert "did you mean 'show'?" in refusal("datasets", "shwo")
    assert "commands: fetch, list, show" in refusal("datasets", "draw")
    assert "missing argument" in refusal("train")
    assert "'xls' is not one of" in refusal("export", "run.h5", "--format", "xls")
    assert "--format" in refusal("export", "run.h5")
    assert "unknown data set" in refusal("datasets", "show", "mnist")
    assert "no option 'bits'" in refusal("datasets", "show", "digits", "--bits", 3)
    assert "known: ideal" in refusal("devices", "show", "memristor")


def test_trace_that_cannot_be_written(tmp_path):
    taken = tmp_path / "run.h5"
    taken.write_text("precious")
    assert "--force" in refusal("train", "parity", "--out", taken)
    assert taken.read_text() == "precious"
    assert "does not exist" in refusal("train", "parity", "--out", tmp_path / "none" / "run.h5")
    assert "directory" in refusal("train", "parity", "--out", tmp_path)
    assert "not a file" in refusal("train", "parity", "--out", os.devnull)


def test_own_input_is_not_replaced(tmp_path):
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        file["x_train"], file["y_train"] = np.zeros((4, 2)), np.zeros(4)
    before = path.read_bytes()
    assert "would replace" in refusal("train", path, "--out", path, "--force")
    assert path.read_bytes() == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody can write to")
def test_folder_that_cannot_be_written():
    refusal("train", "parity", "--steps", 10, "--quiet", "--out", "/proc/run.h5")
    assert "/proc/x" in refusal("datasets", "show", "parity", "-o", "/proc/x.png")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    assert "ermission" in refusal("train", "parity", "--steps", 10, "--out", tmp_path / "run.h5")


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    path = tmp_path_factory.mktemp("traces") / "run.h5"
    done("train", "parity", "--steps", 200, "--chips", 2, "--out", path, "--quiet")
    return path


@pytest.mark.parametrize("command", [["info"], ["plot"], ["export", "--format", "csv"]])
def test_wrong_trace(tmp_path, trace, command):
    whole = trace.read_bytes()
    assert "there is no trace" in refusal(*command, tmp_path / "none.h5")
    for name, content in (("empty", b""), ("text", b"hello"), ("cut", whole[:2000]), ("cut2", whole[:-1000])):
        path = tmp_path / f"{name}.h5"
        path.write_bytes(content)
        assert f"{name}.h5" in refusal(*command, path)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    assert "not a trace" in refusal(*command, tmp_path / "other.h5")
    assert "directory" in refusal(*command, tmp_path)


def test_results_are_not_replaced(tmp_path, trace):
    picture = tmp_path / "run.png"
    picture.write_text("precious")
    assert "--force" in refusal("plot", trace, "-o", picture)
    assert "--force" in refusal("datasets", "show", "parity", "-o", picture)
    assert picture.read_text() == "precious"
    done("plot", trace, "-o", picture, "--force")
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert ".pdf" in refusal("plot", trace, "-o", tmp_path / "run.bmp")
    done("export", trace, "--format", "csv", "-o", tmp_path / "out")
    assert "--force" in refusal("export", trace, "--format", "csv", "-o", tmp_path / "out")
    done("export", trace, "--format", "csv", "-o", tmp_path / "out", "--force")


def test_diverged_run_names_chip_and_step(tmp_path):
    path = tmp_path / "run.h5"
    wild = ["--activation", "linear", "--eta", 100, "--steps", 500]
    result = call("train", "parity", *wild, "--chips", 8, "--out", path)
    assert result.exit_code == 1
    assert "analogmgd: error: the parameters of" in result.stderr
    assert "diverged" in result.stdout
    assert "(chip " in result.stdout
    assert " at step " in result.stdout
    assert "diverged" in done("info", path)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a small file system here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_full_disk(small_disk):
    line = refusal("train", "parity", "--record", "theta", "--record-every", 1, "--out", small_disk / "a.h5")
    assert "are free on disk" in line
    path = small_disk / "b.h5"
    options = ["--steps", "1e9", "--record-every", "2e5", "--chips", 16, "--threads", 1, "--quiet"]
    run = subprocess.Popen(
        [*RUN, "train", "parity", *map(str, options), "--out", path], stderr=subprocess.PIPE, text=True
    )
    while not path.exists() and run.poll() is None:
        time.sleep(0.02)
    (small_disk / "filler").write_bytes(bytes(max(0, shutil.disk_usage(small_disk).free - 8192)))
    _, said = run.communicate(timeout=100)
    assert run.returncode == 1, said
    assert len(said.splitlines()) == 1
    assert "cannot write the trace" in said
    assert "interrupted" in done("info", path)


def test_no_traceback_where_nobody_listens(tmp_path):
    into = subprocess.run(
        f"{sys.executable} -P -m analogmgd train --help | head -n 1",
        shell=True, capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert into.stdout.startswith("Usage")
    assert into.stderr == ""
    if Path("/dev/full").exists():
        with open("/dev/full", "w") as full:
            run = subprocess.run([*RUN, "datasets"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert run.returncode == 1
        assert run.stderr.startswith("analogmgd: error: ")
        assert len(run.stderr.splitlines()) == 1


def test_bug_is_one_line(monkeypatch):
    import analogmgd.data

    def broken():
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(analogmgd.data, "list_datasets", broken)
    result = call("datasets", "list")
    assert result.exit_code == 1
    assert result.stderr.startswith("analogmgd: error: RuntimeError: two lines")
    monkeypatch.setattr(analogmgd.data, "list_datasets", lambda: (_ for _ in ()).throw(MemoryError()))
    result = call("datasets", "list")
    assert result.exit_code == 1
    assert "out of memory" in result.stderr


def test_as_module(tmp_path):
    run = program("train", "nothing", cwd=tmp_path)
    assert run.returncode == 2
    assert run.stderr.startswith("analogmgd: error: unknown data set")
    assert len(run.stderr.splitlines()) == 1
