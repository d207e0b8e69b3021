"""Sweeps: what is varied, what is kept, going on after a kill, statistics, figures, files, bad input."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from cli_help import RUN, call, done, refusal, strict
from scipy import stats

import analogmgd as am
from analogmgd.cli.resolve import Source, overlay
from analogmgd.errors import ConfigError
from analogmgd.plot_sweep import follows, plot_sweep
from analogmgd.sweep import Sweep, each_value, paced
from analogmgd.sweep_file import SweepFile
from analogmgd.sweep_layout import DONE, OF_CHIP, TO_TARGET
from analogmgd.sweep_point import Target
from analogmgd.sweep_statistics import interval_of_median, share, spread, time_to_target
from analogmgd.vary import Axis, grid, listed

SMALL = {"run": {"steps": 3000, "chips": 5, "record_every": 100}, "rule": {"eta": 0.5}}
TARGETS = [Target("accuracy", 1.0), Target("cost", 0.1)]


def sweep_of(points, given=SMALL, source="parity", targets=TARGETS):
    found = Source(source)
    return Sweep(lambda tables: found.config(overlay(given, tables)), points, targets)


OF_TIMES = ("points/wall_seconds", "points/crc32", "about")


def contents(path):
    """Every dataset but the times on the wall and what they are in."""
    with h5py.File(path, "r", locking=False) as file:
        names = []
        file.visit(lambda name: names.append(name) if isinstance(file[name], h5py.Dataset) else None)
        return {name: file[name][()] for name in names if name not in OF_TIMES}


def assert_alike(a, b):
    assert a.keys() == b.keys()
    for name, values in a.items():
        np.testing.assert_array_equal(values, b[name], err_msg=name)


# ---------------------------------------------------------------- what is varied


def test_grid_zip_and_list():
    axes = [Axis.read("rule.eta=0.1,0.2"), Axis.read("rule.perturbation=random,walsh,gaussian")]
    points = list(grid(axes))
    assert len(points) == 6
    assert points[1] == {"rule.eta": 0.1, "rule.perturbation": "walsh"}
    assert points[5] == {"rule.eta": 0.2, "rule.perturbation": "gaussian"}
    side = grid([axes[0], Axis.read("rule.tau_x=1,7")], zipped=True)
    assert list(side) == [{"rule.eta": 0.1, "rule.tau_x": 1}, {"rule.eta": 0.2, "rule.tau_x": 7}]
    assert list(listed([{"rule.eta": 1, "run.seed": 2}, {"rule.eta": 3, "run.seed": 2}]))[1]["rule.eta"] == 3
    assert {str(grid(axes)[n]) for n in each_value(grid(axes))} >= {str(grid(axes)[n]) for n in (0, 1, 2, 3)}


def test_ranges():
    assert Axis.read("a.b=1..4:4").values == (1, 2, 3, 4)
    assert Axis.read("a.b=0..1:5").values == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert Axis.read("a.b=0,1e-3..1:log:4").values == (0, 0.001, 0.01, 0.1, 1.0)
    assert Axis.read("a.b=[1,2],[3]").values == ([1, 2], [3])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rule.eta", "expected KEY=V1,V2"),
        ("rule.eta=", "expected KEY=V1,V2"),
        ("rule.eta=1..2", "expected FIRST..LAST:N"),
        ("rule.eta=0..1:log:3", "must be greater than 0"),
        ("rule.eta=1..2:1", "N from 2"),
        ("rule.eta=a..b:3", "expected FIRST..LAST:N"),
        ("rule.eta=1,2,1", "1 is given twice"),
    ],
)
def test_axes_that_cannot_be_read(text, said):
    with pytest.raises(ConfigError, match=said):
        Axis.read(text)


# ---------------------------------------------------------------- what is kept


def test_every_point_is_the_run_of_its_settings(tmp_path):
    points = grid([Axis("neuron.spread", (0.0, 0.3)), Axis("rule.tau_theta", (1, 4))])
    assert sweep_of(points).run(tmp_path / "one.h5", threads=1) == "complete"
    assert sweep_of(points).run(tmp_path / "three.h5", threads=3) == "complete"
    assert_alike(contents(tmp_path / "one.h5"), contents(tmp_path / "three.h5"))
    with SweepFile(str(tmp_path / "one.h5")) as file:
        assert file.state.tolist() == [DONE] * 4
        for n, point in enumerate(points):
            chip = am.Chip(am.Network.mlp([2, 2, 1]), neuron=am.Neuron(spread=point["neuron.spread"]))
            rule = am.MGD(eta=0.5, amplitude=0.01, tau_theta=point["rule.tau_theta"])
            run = am.train(chip, "parity", rule, steps=3000, chips=5, record_every=100)
            kept = {name: file.values(name)[n] for name in (*OF_CHIP, *TO_TARGET)}
            assert kept["chip"].tolist() == [0, 1, 2, 3, 4]
            assert kept["final_accuracy"].tolist() == run.accuracy[-1].tolist()
            assert kept["best_cost"].tolist() == run.cost[:].astype(float).min(axis=0).tolist()
            assert set(kept["steps"]) == {3000}
            assert set(kept["seconds"]) == {run.time[-1]}
            for k, (values, hit) in enumerate(((run.accuracy, np.greater_equal), (run.cost, np.less_equal))):
                for lane in range(5):
                    rows = np.flatnonzero(hit(values[:, lane], TARGETS[k].value))
                    wanted = (run.step[rows[0]], run.time[rows[0]]) if len(rows) else (np.nan, np.nan)
                    np.testing.assert_equal(kept["steps_to_target"][k, lane], wanted[0])
                    np.testing.assert_equal(kept["seconds_to_target"][k, lane], wanted[1])
        assert np.isfinite(file.values("steps_to_target")).any()


def test_different_numbers_of_chips_and_divergence(tmp_path):
    points = grid([Axis("run.chips", (2, [7, 3, 40])), Axis("rule.eta", (0.5, 1e9))])
    given = overlay(SMALL, {"network": {"sizes": [2, 3, 1], "activation": "relu", "output": "linear"}})
    path = str(tmp_path / "s.h5")
    assert sweep_of(points, given).run(path) == "complete"
    with SweepFile(path) as file:
        assert file.values("chip").tolist() == [[0, 1, -1], [0, 1, -1], [7, 3, 40], [7, 3, 40]]
        status = file.values("status")
        assert (status[2] == 1).all()
        assert (status[3] == 2).any()
        lost = status[3] == 2
        assert (file.values("diverged_step")[3][lost] >= 0).all()
        assert np.isnan(file.values("final_accuracy")[3][lost]).all()


def test_a_point_that_fails_does_not_stop_the_rest(tmp_path):
    points = grid([Axis("rule.batch", (1, 10**12, 2))])
    path = str(tmp_path / "s.h5")
    assert sweep_of(points).run(path) == "failed"
    with pytest.warns(am.AnalogMGDWarning, match="2 of 3 points are done, 1 failed"):
        am.sweep("parity", {"rule.batch": [1, 10**12, 2]}, tmp_path / "t.h5", settings={"run.steps": 9}).close()
    with SweepFile(path) as file:
        assert file.state.tolist() == [1, 2, 1]
        assert "rule.batch = 1000000000000" in file.errors()[1]
    result = call("info", path)
    assert "failed" in result.stdout


KILLED = """
import sys
from test_sweep import grid, sweep_of, Axis, SMALL, overlay
given = overlay(SMALL, {"run": {"steps": 150_000}})
sweep_of(grid([Axis("rule.eta", tuple(0.01 * k for k in range(1, 13)))]), given).run(sys.argv[1], threads=2)
"""


def test_killed_at_any_moment_it_goes_on_as_if_nothing_had_been(tmp_path):
    """At moments spread over the run; each file is read by plain h5py, and what it says is done is right."""
    here = os.path.dirname(__file__)
    run = [sys.executable, "-c", KILLED]
    env = {**os.environ, "PYTHONPATH": here}
    subprocess.run([*run, str(tmp_path / "whole.h5")], env=env, check=True, timeout=300)
    whole = contents(tmp_path / "whole.h5")
    path, kills = tmp_path / "killed.h5", 0
    for wanted in (1, 3, 5, 8):  # points that are done before the next kill
        process = subprocess.Popen([*run, str(path)], env=env)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
            try:
                if path.exists() and (contents(path)["points/state"] == DONE).sum() >= wanted:
                    break
            except (OSError, KeyError):
                continue  # it is being made
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        part = contents(path)
        there = part["points/state"] == DONE
        for name, values in part.items():
            if name.startswith("chips/"):
                np.testing.assert_array_equal(values[there], whole[name][there])
    assert kills == 4
    subprocess.run([*run, str(path)], env=env, check=True, timeout=300)
    assert_alike(contents(path), whole)


def test_ctrl_c_keeps_what_is_done(tmp_path):
    path = tmp_path / "s.h5"
    words = ["sweep", "parity", "--vary", "rule.eta=0.01..0.5:40", "--steps", "200000", "--chips", "16", "-o", path]
    process = subprocess.Popen(
        [*RUN, *map(str, words)], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        time.sleep(0.05)
        try:
            if path.exists() and (contents(path)["points/state"] == DONE).any():
                break
        except (OSError, KeyError):
            continue
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert b"Traceback" not in said
    state = contents(path)["points/state"]
    assert 0 < (state == DONE).sum() < 40


def test_another_sweep_is_refused(tmp_path):
    path = str(tmp_path / "s.h5")
    points = grid([Axis("rule.eta", (0.1, 0.2))])
    sweep_of(points).run(path)
    for other, said in (
        (sweep_of(grid([Axis("rule.eta", (0.1, 0.3))])), "it varies rule.eta"),
        (sweep_of(points, targets=[]), "its targets are accuracy 1, cost 0.1"),
        (sweep_of(points, overlay(SMALL, {"run": {"seed": 7}})), "its run.seed is 0, not 7"),
    ):
        with pytest.raises(ConfigError, match=said):
            other.run(path)
    run = tmp_path / "run.h5"
    done("train", "parity", "--steps", 100, "--chips", 2, "--quiet", "-o", run)
    with pytest.raises(ConfigError, match="is not a sweep"):
        sweep_of(points).run(str(run))


def test_other_data_are_refused(tmp_path, monkeypatch):
    """A file of data that has changed while a sweep was stopped."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 3)), np.eye(2)[rng.integers(0, 2, 20)]
    np.savez("own.npz", x_train=x, y_train=y)
    words = ["sweep", "own.npz", "--network", "3-2-2", "--vary", "rule.eta=0.1,0.2", "--steps", 50, "--chips", 2]
    words += ["-o", "a.h5", "--quiet"]
    done(*words)
    done(*words)
    np.savez("own.npz", x_train=x + 1e-3, y_train=y)
    assert "its data were others" in refusal(*words)


def test_an_estimate_is_not_of_compiling(monkeypatch):
    """Few steps first, whose time does not count."""
    module = import_module("analogmgd.sweep")
    run = []

    def measured(config, data, targets, threads, tick):
        run.append(config.run.steps)
        tick(1000)

    clock = iter([5.0, 6.0, 7.0, 8.0])
    monkeypatch.setattr(module, "measured", measured)
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    whole = sweep_of(grid([Axis.read("rule.eta=0.1,0.2")]))
    assert paced(whole, 1, 100.0) == whole.chip_steps / (1000 / 2.0)
    assert run == [2, 3000]


# ---------------------------------------------------------------- statistics


def test_time_to_target_is_the_estimate_of_kaplan_and_meier():
    """Written out: the survival after each event is multiplied by 1 - 1/(chips at risk)."""
    random = np.random.default_rng(1)
    for n, ends in ((7, 0.5), (40, 1.0), (41, 2.0)):
        times = random.exponential(1, n).round(1)
        times[times > ends] = np.nan
        alive, wanted = 1.0, {}
        at_risk = n
        for t in np.sort(times[np.isfinite(times)]):
            alive *= 1 - 1 / at_risk
            at_risk -= 1
            for name, left in (("q25", 0.75), ("median", 0.5), ("q75", 0.25)):
                if alive <= left + 1e-12:
                    wanted.setdefault(name, t)
        found = time_to_target(times, ends)
        for name in ("q25", "median", "q75"):
            np.testing.assert_equal(found[name], wanted.get(name, np.nan))
        assert found["reached"] == np.isfinite(times).sum()
    assert np.isnan(time_to_target(np.full(4, np.nan), 1.0)["median"])


def test_runs_of_different_length_are_censored_each_at_its_own_end():
    """Kaplan and Meier by hand: at every event the share that is left falls by one part in those still at risk."""
    random = np.random.default_rng(2)
    ends = np.repeat([100.0, 1000.0], 50)
    whole = random.exponential(700, 100)
    times = np.where(whole <= ends, whole, np.nan)
    left, expected = 1.0, np.nan
    for t in np.sort(times[np.isfinite(times)]):
        left *= 1 - 1 / (np.where(np.isfinite(times), times, ends) >= t).sum()
        if left <= 0.5:
            expected = t
            break
    found = time_to_target(times, ends)
    assert found["median"] == expected
    assert found["low"] < expected < found["high"]
    assert np.isnan(time_to_target(times, 1000.0)["median"])  # as if all had been looked at for as long


def test_intervals_hold_what_they_should():
    """95 % intervals of 400 samples of 25: the count that hold the truth is binomial; two-sided, 1 in 1000."""
    random = np.random.default_rng(2)
    within = 0
    for _ in range(400):
        low, high = interval_of_median(random.normal(size=25))
        within += low <= 0 <= high
    # percentiles of the bootstrap of a median of 25 cover between 91 % and 98 %
    assert stats.binom.ppf(0.0005, 400, 0.91) <= within <= stats.binom.ppf(0.9995, 400, 0.98)
    low, high = interval_of_median(np.array([1.0, 2.0, np.inf, np.inf, np.inf]), first=True)
    assert low == 1.0
    assert np.isnan(high)


def test_shares_and_spreads():
    found = share(15, 148)  # Newcombe (1998), table I: Wilson's score interval
    assert round(found["low"], 4) == 0.0624
    assert round(found["high"], 4) == 0.1605
    assert np.isnan(share(0, 0)["share"])
    assert spread(np.array([np.nan, 3.0]))["median"] == 3
    assert np.isnan(spread(np.array([np.nan]))["median"])


# ---------------------------------------------------------------- the command


def test_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["sweep", "parity", "--vary", "rule.eta=0.1,0.5", "--vary", "rule.perturbation=random,walsh"]
    words += ["--chips", 6, "--steps", 4000, "--out", "s.h5", "--json"]
    about = strict(done(*words))
    assert about["status"] == "complete"
    assert len(about["points"]) == 4
    assert about["points"][3]["settings"] == {"rule.eta": 0.5, "rule.perturbation": "walsh"}
    again = strict(done(*words))
    assert again == about
    assert "steps to accuracy 1 (chips)" in done("info", "s.h5")
    assert strict(done("info", "s.h5", "--json"))["points"] == about["points"]
    assert "[rule]" in done("info", "s.h5", "--config")
    done("plot", "s.h5", "-o", "s.png")
    done("plot", "s.h5", "-o", "t.png", "--x", "rule.perturbation")
    done("export", "s.h5", "--format", "csv", "-o", "csv")
    with open("csv/chips.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    assert rows[23]["rule.perturbation"] == "walsh"
    with SweepFile("s.h5") as file:
        assert float(rows[23]["final_cost"]) == file.values("final_cost")[3, 5]
        np.testing.assert_equal(float(rows[23]["steps_to_accuracy_1"]), file.values("steps_to_target")[3, 0, 5])
    assert json.loads((tmp_path / "csv/metadata.json").read_text())["chips"]["seconds"]["unit"] == "s"
    done("export", "s.h5", "--format", "npz", "-o", "npz")
    assert np.load("npz/sweep.npz")["chips/final_cost"].shape == (4, 6)


def test_parquet(tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.chdir(tmp_path)
    done("sweep", "parity", "--vary", "rule.eta=0.1,0.5", "--chips", 3, "--steps", 1000, "--quiet", "-o", "s.h5")
    done("export", "s.h5", "--format", "parquet", "-o", "tables")
    table = parquet.read_table("tables/chips.parquet")
    assert table.num_rows == 6
    assert table["rule.eta"].to_pylist() == [0.1] * 3 + [0.5] * 3


def test_a_file_of_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "data.name = 'parity'\n[run]\nsteps = 500\nchips = 2\n[sweep]\ntargets = [0.9, 'cost=0.1']\n"
    for name, more, settings in (
        (
            "grid",
            "[sweep.vary]\nrule.eta = [0.1, 0.2]\nneuron.spread = '0..0.2:3'\n",
            {"rule.eta": 0.1, "neuron.spread": 0.1},
        ),
        (
            "zip",
            "zip = true\nvary = {'rule.eta' = [0.1, 0.2], 'rule.tau_x' = [1, 2]}\n",
            {"rule.eta": 0.2, "rule.tau_x": 2},
        ),
        ("list", "points = [{'rule.eta' = 0.1}, {'rule.eta' = 3}]\n", {"rule.eta": 3}),
    ):
        (tmp_path / f"{name}.toml").write_text(text + more)
        about = strict(done("sweep", f"{name}.toml", "-o", f"{name}.h5", "--json"))
        assert about["points"][1]["settings"] == settings
        assert [t["target"] for t in about["points"][1]["targets"]] == ["accuracy 0.9", "cost 0.1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--vary rule.etaa=1,2", "rule.etaa: unknown key (did you mean rule.eta?)"),
        ("--vary eta=1,2", "eta: unknown key (did you mean rule.eta?)"),
        ("", "nothing is varied"),
        ("--vary rule.eta=-1,2", "rule.eta = -1: rule.eta = -1: must be at least 0"),
        ("--vary rule.eta=1,2 --vary rule.eta=3", "rule.eta is varied twice"),
        ("--vary rule.eta=1,2 --eta 3", "rule.eta is varied and also given once for all"),
        ("--vary rule.eta=1,2 --vary run.seed=1,2,3 --zip", "--zip needs as many values of every key"),
        ("--vary rule.eta=1,2 --target 2", "--target '2': expected an accuracy such as 0.9"),
        (
            "--vary rule.eta=0..1:1000 --vary run.seed=1..1000:1000 --steps 10 --chips 1",
            "1000000 points would take about",
        ),
        ("--vary rule.eta=1,2 --out no/s.h5", "its directory does not exist"),
        ("--vary rule.eta=1,2 --threads 0", "threads = 0"),
    ],
)
def test_bad_input(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in refusal("sweep", "parity", *words.split())
    assert not list(tmp_path.iterdir())


def test_bad_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text, said in (("sweep = 3", "sweep = 3: must be a table"), ('sweep.zip = "no"', "must be true or false")):
        (tmp_path / "run.toml").write_text(f'data.name = "parity"\n{text}\n')
        assert said in refusal("sweep", "run.toml", *(["-o", "s.h5"] if "zip" in text else ["--vary", "rule.eta=1"]))
    (tmp_path / "notes.txt").write_text("mine")
    words = ["--vary", "rule.eta=0.1", "--steps", 50, "--chips", 2, "-o", "notes.txt", "--force"]
    assert "is not a sweep" in refusal("sweep", "parity", *words)
    assert (tmp_path / "notes.txt").read_text() == "mine"


# ---------------------------------------------------------------- figures


@pytest.mark.parametrize(
    "axes",
    [
        ["rule.eta=0.1,0.2,0.5"],
        ["rule.perturbation=random,walsh"],
        ["rule.eta=0,1e-3..1:log:7", "run.seed=1,2,3"],
        ["rule.eta=1e-3..1:log:8", "run.seed=1..7:7"],
        ["rule.eta=0.1,0.2", "run.seed=1,2", "rule.tau_x=1,2"],
    ],
)
def test_figures(axes, tmp_path):
    given = overlay(SMALL, {"run": {"steps": 200, "chips": 2}})
    path = str(tmp_path / "s.h5")
    sweep_of(grid([Axis.read(a) for a in axes]), given).run(path)
    with SweepFile(path) as file:
        assert plot_sweep(file, tmp_path / "s.png").stat().st_size > 5000
        with pytest.raises(ConfigError, match=r"rule\.clip is not varied"):
            plot_sweep(file, tmp_path / "t.png", "rule.clip")


def test_keys_that_go_along_are_no_lines(tmp_path):
    """Of a list of points: what has one value at every x is no line; what has several is, and is not pooled."""
    path = str(tmp_path / "s.h5")
    points = [{"rule.eta": e, "rule.tau_x": t, "rule.amplitude": e / 10} for e in (0.1, 0.2) for t in (1, 3)]
    sweep_of(listed(points), targets=[]).run(path, threads=1)
    with SweepFile(path) as sweep:
        assert follows(sweep, "rule.amplitude", "rule.eta")
        assert not follows(sweep, "rule.tau_x", "rule.eta")
        assert follows(sweep, "rule.amplitude", "rule.tau_x", "rule.eta")
        drawn, module = [], import_module("analogmgd.plot_sweep")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "draw_lines", lambda ax, sweep, panel, x, lines: drawn.append((x, lines)))
            plot_sweep(sweep, tmp_path / "s.png", x="rule.eta")
            plot_sweep(sweep, tmp_path / "s.png", x="rule.tau_x")
    assert drawn == [("rule.eta", "rule.tau_x"), ("rule.tau_x", "rule.eta")]


def test_errors_in_any_script(tmp_path):
    """A long text of wide characters is cut between them; a point that succeeds later has no error any more."""
    path = str(tmp_path / "s.h5")
    points = grid([Axis.read("rule.eta=0.1,0.2")])
    sweep_of(points).run(path, threads=1)
    with SweepFile(path, write=True) as sweep:
        sweep.fail(1, "x" + "\u00e4" * 300)
    with SweepFile(path) as sweep:
        assert set(sweep.errors()[1][1:]) == {"\u00e4"}
    sweep_of(points).run(path, threads=1)
    with SweepFile(path) as sweep:
        assert sweep.errors() == {}
        assert sweep.file["points/error"][1] == b""


def test_a_chip_that_diverged_is_no_better_than_none(tmp_path):
    """In medians it counts as an accuracy of 0, as in studies."""
    given = overlay(SMALL, {"network": {"sizes": [2, 2, 1], "activation": "linear"}})
    path = str(tmp_path / "s.h5")
    sweep_of(grid([Axis.read("rule.eta=0.1,1e20")]), given, targets=[]).run(path, threads=1)
    from analogmgd.cli.sweep import table

    with SweepFile(path) as sweep:
        rows = table(sweep)
    assert rows[1]["diverged"] == 5
    assert rows[1]["final_accuracy"]["median"] == 0


def test_another_version_is_said(tmp_path, monkeypatch):
    path = str(tmp_path / "s.h5")
    points = grid([Axis.read("rule.eta=0.1,0.2")])
    with monkeypatch.context() as patched:
        patched.setattr("analogmgd.sweep_layout.__version__", "0.0.1")
        sweep_of(points).run(path, threads=1)
    with pytest.warns(am.AnalogMGDWarning, match=r"begun by analogmgd 0\.0\.1"):
        sweep_of(points).run(path, threads=1)
