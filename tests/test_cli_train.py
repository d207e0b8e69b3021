"""`analogmgd train` from end to end: options, TOML, output, progress, Ctrl-C."""

import doctest
import signal
import subprocess
import time
import tomllib
import warnings

import numpy as np
import pytest
from cli_help import RUN, call, done, program, strict

import analogmgd.cli.options
import analogmgd.cli.output
import analogmgd.cli.resolve
import analogmgd.progress
from analogmgd import Trace, TraceError
from analogmgd.cli.output import si

SHORT = ("--steps", 300, "--chips", 4)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Every test in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "module", [analogmgd.cli.options, analogmgd.cli.output, analogmgd.cli.resolve, analogmgd.progress]
)
def test_doctests(module):
    assert doctest.testmod(module).failed == 0


def test_end_to_end(here):
    said = done("train", "parity", "--steps", 2000, "--chips", 8)
    trace = here / "parity-mgd-seed0.h5"
    for word in ("complete", "8 (seed 0)", "2 000", "median [quartiles]", trace.name, "analogmgd plot"):
        assert word in said
    text = done("info", trace)
    for word in ("complete", "2-2-1 network", "rows x 8 chips", "created"):
        assert word in text
    about = strict(done("info", trace, "--json"))
    assert about["chips"] == 8
    assert about["config"]["run"]["steps"] == 2000
    assert done("plot", trace).strip() == f"wrote {trace.with_suffix('.png')}"
    assert trace.with_suffix(".png").stat().st_size > 10_000
    assert strict(done("plot", trace, "-o", "a.svg", "--json")) == {"picture": "a.svg"}
    for fmt, name in (("csv", "record.csv"), ("npz", "trace.npz"), ("parquet", "record.parquet")):
        files = strict(done("export", trace, "--format", fmt, "-o", fmt, "--json"))["files"]
        assert f"{fmt}/{name}" in files
        assert (here / fmt / name).stat().st_size == files[f"{fmt}/{name}"]
    assert "config.toml" in done("export", trace, "--format", "csv")
    assert (here / "parity-mgd-seed0" / "record.csv").exists()


def test_names_of_traces(here):
    for name in ("parity-mgd-seed0.h5", "parity-mgd-seed0-2.h5", "parity-mgd-seed0-3.h5"):
        assert done("train", "parity", *SHORT, "--quiet") == f"{name}\n"
    assert done("train", "parity", *SHORT, "--rule", "backprop", "--seed", 7, "--quiet") == (
        "parity-backprop-seed7.h5\n"
    )
    assert len(list(here.glob("*.h5"))) == 4
    assert done("train", "parity", *SHORT, "--no-trace", "--quiet") == ""
    assert len(list(here.glob("*"))) == 4
    done("train", "parity", *SHORT, "--out", "parity-mgd-seed0.h5", "--force")


def test_json_is_one_object():
    result = call("train", "parity", *SHORT, "--json", "--record", "cost,angle")
    about = strict(result.stdout)
    assert set(about) == {"status", "trace", "config_file", "config", "summary"}
    assert about["summary"]["recorded"] == ["cost", "angle"]
    assert "parity" in result.stderr  # what goes on is said beside it
    for command in (
        ["datasets", "list"],
        ["datasets", "show", "parity"],
        ["devices", "list"],
        ["devices", "show", "ideal"],
    ):
        strict(done(*command, "--json"))
    wild = ["--activation", "linear", "--eta", 100, "--steps", 500]
    result = call("train", "parity", *wild, "--chips", 4, "--json", "--quiet", "--no-trace")
    assert result.exit_code == 1
    about = strict(result.stdout)
    assert about["status"] == "diverged"
    assert about["summary"]["diverged"]
    assert len(result.stderr.splitlines()) == 1


def test_config_reproduces_the_bits(here):
    options = ["--bits", 3, "--seed", 5, "--momentum", 0.5, "--schedule", "cosine", "--sigma-c", 0.01]
    options += ["--sigma-theta", 0.001, "--neuron-spread", 0.1, "--record", "theta", "--probe-chips", "0,2"]
    text = done("train", "parity", *SHORT, *options, "--config")
    assert not list(here.iterdir())
    tables = tomllib.loads(text)
    assert tables["data"] == {"name": "parity", "bits": 3}
    assert tables["rule"]["schedule_steps"] == 300
    assert tables["device"]["write"] == "noisy"
    (here / "run.toml").write_text(text)
    assert done("train", "run.toml", "--config") == text
    done("train", "parity", *SHORT, *options, "--out", "a.h5")
    done("train", "run.toml", "--out", "b.h5", "--threads", 1)
    (here / "again.toml").write_text(done("info", "b.h5", "--config"))
    done("train", "again.toml", "--out", "c.h5")
    with Trace("a.h5") as a, Trace("b.h5") as b, Trace("c.h5") as c:
        assert a.config == b.config == c.config
        assert a.theta.tobytes() == b.theta.tobytes() == c.theta.tobytes()
        assert np.isfinite(a.theta).all()
        assert a.probe["cost"].shape == (300, 2)


def test_every_option_reaches_its_key():
    from analogmgd.cli.options import SETTINGS, known_keys

    keys = known_keys()
    for setting in (s for group in SETTINGS.values() for s in group):
        assert setting.key in keys
        assert setting.flag in done("train", "--help")
    values = {
        "rule.tau_x": "20", "rule.tau_p": "2", "rule.tau_theta": "7.5", "rule.mode": "analog", "rule.dt": "0.5",
        "rule.tau_hp": "30", "rule.clip": "0.5", "run.order": "sequential", "run.precision": "double",
        "chip.step_time": "mem-compute", "network.output": "tanh", "device.amplitude_mismatch": "0.1",
    }  # fmt: skip
    flags = {s.key: s.flag for group in SETTINGS.values() for s in group}
    named = [part for key, value in values.items() for part in (flags[key], value)]
    general = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    one, other = (strict(done("train", "parity", *o, "--config", "--json")) for o in (named, general))
    assert one == other
    assert one["rule"]["dt"] == 0.5
    assert one["chip"]["step_time"] == 1e-8
    assert one["network"]["output"] == "tanh"


def test_chips_by_id():
    done("train", "parity", "--steps", 300, "--chips", 20, "--out", "all.h5")
    done("train", "parity", "--steps", 300, "--chips", "17,", "--out", "one.h5")
    done("train", "parity", "--steps", 300, "--chips", "17,3", "--out", "two.h5")
    with Trace("all.h5") as everyone, Trace("one.h5") as one, Trace("two.h5") as two:
        assert one.theta.tobytes() == everyone.theta[17:18].tobytes()
        assert two.theta.tobytes() == everyone.theta[[17, 3]].tobytes()


def test_users_own_data(here):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 5))
    np.savez(here / "mine.npz", x_train=x, y_train=(x[:, 0] > 0).astype(int) + (x[:, 1] > 0))
    assert "mine-mgd-seed0.h5" in done("train", "mine.npz", *SHORT)
    (here / "sub").mkdir()
    (here / "mine.npz").rename(here / "sub" / "mine.npz")
    (here / "sub" / "run.toml").write_text('[data]\nname = "mine.npz"\n[network]\nsizes = [5, 3, 3]\n')
    config = tomllib.loads(done("train", "sub/run.toml", "--config"))
    assert config["network"]["sizes"] == [5, 3, 3]
    assert config["data"]["name"] == "sub/mine.npz"
    done("train", "sub/run.toml", *SHORT, "--no-trace")


def test_warnings_are_lines():
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        result = call("train", "parity", *SHORT, "--perturbation", "walsh", "--order", "sequential", "--no-trace")
    assert result.exit_code == 0
    assert result.stderr.startswith("analogmgd: warning: ")


def wait_for_rows(path, process):
    """Until three rows of a running run can be read."""
    for _ in range(1000):
        assert process.poll() is None, process.communicate()
        try:
            with Trace(path) as trace:
                if trace.rows > 2:
                    return
        except TraceError:
            pass
        time.sleep(0.05)
    raise AssertionError("no rows")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_keeps_its_trace(here, number):
    options = ["--steps", "1e9", "--chips", "16", "--record-every", "1e5", "--threads", "1", "--out", "run.h5"]
    run = subprocess.Popen([*RUN, "train", "parity", *options], stdout=-1, stderr=-1, text=True)
    wait_for_rows(here / "run.h5", run)
    run.send_signal(number)
    out, err = run.communicate(timeout=30)
    assert run.returncode == 130, err
    assert "interrupted" in out
    assert "analogmgd: interrupted at step" in err
    assert "Traceback" not in err
    with Trace("run.h5") as trace:
        assert trace.status == "interrupted"
        assert trace.rows > 2
        assert np.isfinite(trace.theta).all()
    assert "interrupted" in done("info", "run.h5")


def test_units():
    assert [si(x, "s") for x in (0, 1, 999.7, 1e-9, 2.5e-4)] == ["0 s", "1 s", "1 ks", "1 ns", "250 µs"]
    assert si(float("nan"), "s") == "nan s"
    assert si(123456789, " chip-steps/s") == "123 M chip-steps/s"


def test_version_help_and_quick_start():
    heavy = "numba", "matplotlib", "tqdm"
    for args in ("--help", "--version", "train --help", "datasets list", "devices list"):
        code = (
            "import sys\nfrom analogmgd.cli import main\n"
            f"sys.argv = ['analogmgd', *{args.split()!r}]\n"
            f"try: main()\nexcept SystemExit as e: assert e.code == 0\n"
            f"assert not set({heavy!r}) & set(sys.modules), sys.modules.keys()\n"
        )
        run = subprocess.run([RUN[0], "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert run.returncode == 0, run.stderr
    assert program("--version").stdout == f"analogmgd {analogmgd.__version__}\n"
    for command in ("train", "info", "plot", "export", "datasets", "datasets list", "datasets show", "devices show"):
        assert "Example" in done(*command.split(), "--help")
    assert "Commands:" in done()


def test_datasets(here):
    text = done("datasets")
    assert text == done("datasets", "list")
    assert all(name in text for name in ("parity", "nist7x7", "digits"))
    for word in ("1 437 to train, 360 to test", "8 x 8 pixels", "CC BY 4.0", "█"):
        assert word in done("datasets", "show", "digits")
    assert "01 odd" in done("datasets", "show", "parity")
    assert strict(done("datasets", "show", "parity", "--bits", 3, "--json"))["n_in"] == 3
    assert "wrote a.png" in done("datasets", "show", "nist7x7", "-o", "a.png")
    assert (here / "a.png").stat().st_size > 5000
