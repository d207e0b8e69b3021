"""Runs stopped, killed, cut short by a full disk, extended: what is gone on with has the bits of a whole run."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
import weakref
from importlib import import_module
from pathlib import Path

import h5py
import numpy as np
import pytest
from cli_help import RUN as PROGRAM
from cli_help import call, done, refusal, strict
from hypothesis import given, settings
from hypothesis import strategies as st
from test_invariance import assert_bits

import analogmgd as am
from analogmgd import AnalogMGDWarning, ConfigError, Trace, TraceError, engine, trace_file
from analogmgd.trace_checkpoint import Checkpoint, pack, unpack
from analogmgd.trace_contents import seal, unseal
from analogmgd.trace_open import writer_alive

XOR = am.Network.mlp([2, 2, 1])
STEPS = 700


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def often(monkeypatch):
    """A checkpoint after every chunk, and many of those, however fast the machine."""
    monkeypatch.setattr(engine, "CHUNK_SECONDS", 0.002)
    monkeypatch.setattr(engine, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(engine, "CHECKPOINT_SHARE", 0)


class Stop:
    """Sends this process a signal once so many chip-steps are done."""

    def __init__(self, after, number=signal.SIGINT):
        self.after, self.number, self.first = after, number, None

    def start(self, plan):
        pass

    def tick(self, chip_steps, row):
        if self.first is None:
            self.first = chip_steps
        if self.after is not None and chip_steps >= self.after:
            self.after = None
            os.kill(os.getpid(), self.number)

    def stop(self):
        pass


def pictures():
    layers = [am.Conv2d(1, 3, 3, activation="relu"), am.MaxPool2d(2), am.Flatten(), am.Dense(27, 3, "linear")]
    return am.Network(layers, input_shape=(1, 8, 8), cost="cross-entropy")


CASES = {
    "momentum, probes": (XOR, "parity", am.MGD(eta=0.3, momentum=0.8, tau_theta=3), {"probe_chips": [1, 4]}),
    "analog": (XOR, "parity", am.MGD(eta=0.01, mode="analog", tau_x=50, tau_hp=20.0, tau_theta=30.0), {}),
    "nodes": (XOR, "parity", am.MGD(eta=0.1, perturb="nodes"), {}),
    "backprop": (XOR, "parity", am.Backprop(eta=0.3, momentum=0.5), {}),
    "pairs that drift": (
        am.Chip(XOR, device=am.device("pcm"), converters=am.Converters(sigma_C=1e-3), step_time=1e-3),
        "parity", am.MGD(eta=0.1, tau_theta=4), {},
    ),
    "one chip": (XOR, "parity", am.MGD(eta=0.3, mode="discrete", tau_theta=5), {"chips": [3]}),
    "rows": (am.Network.mlp([64, 280, 10]), "digits", am.MGD(eta=1e-3), {"chips": 2, "eval_samples": 20}),
}  # fmt: skip


def whole_and_parts(chip, data, rule, settings, trace="run.h5"):
    """A run in one piece, and the same stopped twice, on other numbers of threads."""
    settings = {"chips": 6, "seed": 5, "record_every": 60, "record": ("cost", "accuracy", "theta"), **settings}
    if isinstance(rule, am.MGD) and rule.perturb != "nodes":
        settings["record"] = (*settings["record"], "cost_ac")
    whole = am.train(chip, data, rule, steps=STEPS, **settings)
    am.train(chip, data, rule, steps=130, trace=trace, threads=2, **settings).close()
    am.resume(trace, steps=420, threads=1).close()  # a step at which there is a row in any case
    return whole, am.resume(trace, steps=STEPS, threads=2)


def assert_same_run(parts, whole):
    """All rows, probes, and what they ended with."""
    assert (whole.step[:-1] < whole.step[1:]).all()
    for name in whole.record:
        assert_bits(parts.record[name], whole.record[name], name)
    for name in whole.probe:
        assert_bits(parts.probe[name], whole.probe[name], f"probe {name}")
    assert_bits(parts.theta, whole.theta, "theta")
    assert parts.status == whole.status
    for name in ("pulses", "conductances", "nu", "refreshes", "saturated", "own"):
        if getattr(whole, name) is not None:
            assert_bits(getattr(parts, name), getattr(whole, name), name)
    for name in whole.chip_arrays:
        assert_bits(parts.chip_arrays[name], whole.chip_arrays[name], name)


@pytest.mark.parametrize("name", CASES)
def test_a_run_in_parts_is_the_run_in_one(name):
    whole, parts = whole_and_parts(*CASES[name])
    assert_same_run(parts, whole)
    assert parts.extra["resumed"] == [130, 420]
    assert parts.extra["step"] == STEPS


@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(
    cuts=st.sets(st.integers(1, STEPS - 1), min_size=1, max_size=6),
    threads=st.lists(st.integers(1, 2), min_size=7, max_size=7),
    name=st.sampled_from(["momentum, probes", "pairs that drift", "analog"]),
)
def test_however_often_and_wherever_it_stops(cuts, threads, name):
    chip, data, rule, more = CASES[name]
    given_ = {"chips": 6, "seed": 5, "record_every": 60, **more}
    whole = am.train(chip, data, rule, steps=STEPS, **given_)
    first, *rest = sorted(cuts)
    am.train(chip, data, rule, steps=first, trace="often.h5", force=True, threads=threads[0], **given_).close()
    for end, count in zip([*rest, STEPS], threads[1:], strict=False):
        am.resume("often.h5", steps=end, threads=count).close()
    with Trace("often.h5") as trace:
        assert_same_run(trace, whole)
        assert trace.extra["resumed"] == sorted(cuts)
    assert am.check_trace("often.h5").whole


@pytest.mark.parametrize(("tau_theta", "kernels"), [(4, "ensemble"), (64, "columns")])
def test_pictures_in_parts(tau_theta, kernels):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, 64), dtype=np.uint8), np.eye(3)[rng.integers(0, 3, 40)]
    data, net = am.Dataset(x, y, image_shape=(8, 8), name="made"), pictures()
    rule = am.MGD(eta=0.01, tau_theta=tau_theta)
    settings = {"chips": 1, "seed": 2, "record_every": 50}
    whole = am.train(net, data, rule, steps=300, **settings)
    assert whole.environment["kernels"] == kernels
    am.train(net, data, rule, steps=101, trace="p.h5", **settings)
    with pytest.raises(ConfigError, match=r"not found.*say where"):
        am.resume("p.h5", steps=300)
    assert_same_run(am.resume("p.h5", steps=300, data=data), whole)


def test_a_run_with_a_start_of_its_own():
    start = np.linspace(-1, 1, XOR.n_params)
    whole = am.train(XOR, "parity", am.MGD(eta=0.3), steps=500, chips=3, theta0=start)
    am.train(XOR, "parity", am.MGD(eta=0.3), steps=100, chips=3, theta0=start, trace="t.h5").close()
    assert_bits(am.resume("t.h5", steps=500).theta, whole.theta, "theta")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_goes_on(number, often):
    settings = {"steps": 400_000, "chips": 40, "seed": 1, "record_every": 1000, "probe_chips": [7], "probe_from": 1000,
                "probe_until": 30_000}  # fmt: skip
    whole = am.train(XOR, "parity", am.MGD(eta=0.1), **settings)
    run = am.train(XOR, "parity", am.MGD(eta=0.1), trace="i.h5", progress=Stop(1_000_000, number), **settings)
    assert run.status == "interrupted"
    reached = run.extra["step"]
    assert run.checkpoint().step == reached < 400_000
    watch = Stop(None)
    assert_same_run(am.resume("i.h5", progress=watch), whole)
    assert watch.first >= 40 * reached  # the bar begins where the run was


class Twice(Stop):
    """Ctrl-C and, at once, another."""

    def tick(self, chip_steps, row):
        again = self.after is not None
        super().tick(chip_steps, row)
        if again and self.after is None:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_ctrl_c(number, often):
    """At once: steps are done whose rows are lost, so it goes on from an earlier checkpoint."""
    settings = {"steps": 300_000, "chips": 8, "seed": 1, "record_every": 100, "probe_chips": [7], "probe_from": 1000,
                "probe_until": 200_000}  # fmt: skip
    whole = am.train(XOR, "parity", am.MGD(eta=0.1), **settings)
    run = am.train(XOR, "parity", am.MGD(eta=0.1), trace="i.h5", progress=Twice(600_000, number), **settings)
    assert run.status == "interrupted"
    found = run.checkpoint()
    assert found.step < run.extra["step"] < 300_000
    assert run.step[found.rows - 1] <= found.step
    assert_bits(run.cost, whole.cost[: run.rows], "cost")
    assert_same_run(am.resume("i.h5"), whole)


def test_many_ctrl_c():
    """Held down, as it were: one line or two, no traceback, and a file that can be read."""
    words = [*PROGRAM, "train", "parity", "--steps", "100000000", "--chips", "40", "-o", "m.h5", "--quiet"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        while not os.path.exists("m.h5"):
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.3)
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.005)
        said = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert len(said.splitlines()) <= 2
    with Trace("m.h5") as trace:
        assert trace.status == "interrupted"


def test_a_run_in_memory_goes_on():
    run = am.train(XOR, "parity", am.MGD(eta=0.3), steps=100, chips=3)
    more = am.resume(run, steps=500)
    assert_bits(more.theta, am.train(XOR, "parity", am.MGD(eta=0.3), steps=500, chips=3).theta, "theta")
    assert run.extra["step"] == 100


KILLED = """
import sys
from analogmgd import engine
from analogmgd.cli import main
engine.CHECKPOINT_SECONDS, engine.CHECKPOINT_SHARE = 0.02, 0
sys.argv[0] = "analogmgd"
main()
"""
RUN = ["parity", "--steps", "3e6", "--chips", "12", "--record-every", "2000", "--set", "rule.momentum=0.5"]


def killed(words, name, seconds, at_work):
    """Start a run, kill it so long after its start or (`at_work`) after its file appears; whether it was in time."""
    before = os.stat(name).st_ino if os.path.exists(name) else None
    process = subprocess.Popen([sys.executable, "-c", KILLED, *words, "--quiet"], stderr=subprocess.DEVNULL)
    while at_work and process.poll() is None and (not os.path.exists(name) or os.stat(name).st_ino == before):
        time.sleep(0.01)
    try:
        assert process.wait(timeout=seconds) == 0
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def test_killed_runs_go_on():
    """kill -9 at random instants, of the run and of what goes on with it: no bit is another in the end."""
    whole = am.Trace(strict(done("train", *RUN, "--out", "whole.h5", "--json"))["trace"])
    rng = np.random.default_rng(0)
    words = ["train", *RUN, "--out", "k.h5"]
    kills, over = 0, False
    for trial in range(6):
        kills += killed(words, "k.h5", 0.5 * rng.random() if trial % 3 else 2 * rng.random(), trial % 3)
        if os.path.exists("k.h5"):
            with Trace("k.h5") as trace:
                assert trace.status_text in ("interrupted (writer gone)", "complete")
                assert_bits(trace.cost, whole.cost[: trace.rows], "cost")
                over = trace.status == "complete"  # it may also have been killed when all was done
            if over:
                break
            words = ["resume", "k.h5"]
    if not over:
        assert not killed(words, "k.h5", 100, False)
    assert kills >= 2
    with Trace("k.h5") as trace:
        assert_same_run(trace, whole)


def damage(path, slot):
    with h5py.File(path, "r+") as file:
        text = file["checkpoint/text"][slot]
        file["checkpoint/text"][slot] = text.replace(b"rows", b"rovs", 1)


def test_one_of_two_checkpoints_is_enough(often):
    steps = 300_000
    am.train(XOR, "parity", am.MGD(eta=0.1), steps=steps, chips=20, record_every=1000, trace="c.h5").close()
    with Trace("c.h5") as trace:
        last = trace.checkpoint()
        assert last.step == steps
        assert last.sequence > 2
    damage("c.h5", last.sequence % 2)
    with Trace("c.h5") as trace:
        before = trace.checkpoint()
    assert before.sequence == last.sequence - 1
    assert before.step < steps
    assert am.resume("c.h5").status == "complete"
    whole = am.train(XOR, "parity", am.MGD(eta=0.1), steps=steps, chips=20, record_every=1000)
    assert_same_run(am.Trace("c.h5"), whole)
    for slot in (0, 1):
        damage("c.h5", slot)
    with Trace("c.h5") as trace, pytest.raises(TraceError, match="no checkpoint is whole"):
        trace.checkpoint()


def test_pack_and_unpack():
    arrays = [np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros((2, 0)), np.array([[1], [2]], np.uint64)]
    kept = Checkpoint(5, 2, 1, arrays, 1.5, tuple(range(3000)), 9)
    pieces, text = pack(kept)
    state = np.concatenate(pieces)
    assert len(text) <= 4096
    found = unpack(state, text)
    for mine, theirs in zip(arrays, found.arrays, strict=True):
        assert mine.dtype == theirs.dtype
        assert_bits(theirs, mine, "state")
    assert found.resumed == kept.resumed[-len(found.resumed) :]
    state[3] ^= 1
    with pytest.raises(ValueError, match="checksum of its state"):
        unpack(state, text)


def simple(path="s.h5", steps=200, **settings):
    am.train(XOR, "parity", am.MGD(eta=0.3), steps=steps, chips=3, trace=path, force=True, **settings).close()
    return path


def test_what_is_refused():
    simple()
    for steps, text in ((None, "is complete"), (150, "goes on from there"), (-1, "must be"), ("x", "whole number")):
        with pytest.raises(ConfigError, match=text):
            am.resume("s.h5", steps=steps)
    with pytest.raises(ConfigError, match="another checksum"):
        am.resume("s.h5", steps=300, data="nist7x7")
    with pytest.raises(TraceError, match="there is no trace"):
        am.resume("no.h5")
    with h5py.File("other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(TraceError, match="not a trace"):
        am.resume("other.h5")
    with pytest.raises(ConfigError, match="progress"):
        am.resume("s.h5", steps=300, progress=7)
    with h5py.File("s.h5", "r+") as file:  # as an earlier version wrote it
        about = unseal(bytes(file["header"][0]))
        for entry in ("datasets", "types"):
            about[entry] = {path: one for path, one in about[entry].items() if not path.startswith("checkpoint")}
        del file["checkpoint"], file["header"]
        file["header"] = np.array([seal(about)])
    with pytest.raises(TraceError, match="no checkpoint to go on from"):
        am.resume("s.h5", steps=300)
    assert not [name for name in os.listdir() if name.startswith(".")]


def test_chips_that_have_all_diverged():
    run = am.train(
        am.Network.mlp([2, 2, 1], activation="linear"), "parity", am.MGD(eta=1e20), steps=300, chips=3, trace="d.h5"
    )
    assert run.status == "diverged"
    run.close()
    with pytest.raises(TraceError, match="no chip has finite parameters"):
        am.resume("d.h5", steps=500)


def test_a_file_that_is_being_written():
    """By a process that is there: refused. By one of another host: only with force."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, "train", *RUN, "--steps", "1e9", "--out", "w.h5", "--quiet"],
        stderr=subprocess.DEVNULL,
    )
    try:
        while not os.path.exists("w.h5"):
            time.sleep(0.05)
            assert process.poll() is None
        with pytest.raises(TraceError, match="is being written by process"):
            am.resume("w.h5")
        with pytest.raises(ConfigError, match="is being written by process"):
            am.train(XOR, "parity", am.MGD(), steps=10, trace="w.h5", force=True)
    finally:
        process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the table of processes
    with Trace("w.h5") as trace:
        attributes = trace._store.attributes()
        assert writer_alive(attributes, "w.h5") is False
    process.wait()


def test_a_run_that_is_only_to_be_ended(monkeypatch):
    """Killed, or stopped, after its last step and before its end was written."""
    with monkeypatch.context() as patch:
        patch.setattr(trace_file.FileWriter, "finish", lambda *rest: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            simple()
    with Trace("s.h5") as trace:
        assert not trace.ended
        assert trace.checkpoint().step == 200
    assert_bits(am.resume("s.h5").theta, am.train(XOR, "parity", am.MGD(eta=0.3), steps=200, chips=3).theta, "theta")
    with pytest.raises(ConfigError, match="is complete"):
        am.resume("s.h5")


STOPPED = """
import os, signal, sys
from analogmgd.cli import main
from analogmgd.trace_memory import TraceWriter
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
take_over = TraceWriter.take_over
def stopped(*rest):
    take_over(*rest)
    os.kill(os.getpid(), {number})
    sum(range(10))
TraceWriter.take_over = stopped
sys.argv[0] = "analogmgd"
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_while_it_takes_over(number):
    simple()
    before = Path("s.h5").read_bytes()
    words = [sys.executable, "-c", STOPPED.format(number=int(number)), "resume", "s.h5", "--steps", "300", "--quiet"]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert (ended.returncode, ended.stdout, ended.stderr.strip()) == (130, "", "analogmgd: interrupted")
    assert Path("s.h5").read_bytes() == before
    assert os.listdir() == ["s.h5"]


def test_what_killed_processes_left_is_removed():
    """But not what another still writes."""
    simple()
    driver = STOPPED.format(number=int(signal.SIGSTOP))
    process = subprocess.Popen([sys.executable, "-c", driver, "resume", "s.h5", "--steps", "300", "--quiet"])
    part = f".s.h5.{process.pid}.part"
    try:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        with pytest.raises(TraceError, match="just being begun or gone on with by another process"):
            simple()
        assert sorted(os.listdir()) == sorted([part, ".s.h5.resume", "s.h5"])
    finally:
        process.kill()
        process.wait()
    assert os.path.exists(part)
    Path(f".s.h5.{os.getpid()}.part").write_text("of an earlier process with the same number")
    assert am.resume("s.h5", steps=300).status == "complete"
    assert os.listdir() == ["s.h5"]


def test_stopped_when_it_has_just_taken_over(monkeypatch):
    """Not taken for one that this process still writes."""
    simple()
    real = os.replace

    def replace(old, new):
        real(old, new)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            am.resume("s.h5", steps=300)
    with Trace("s.h5") as trace:
        assert trace.status_text == "interrupted (writer gone)"
    assert am.resume("s.h5", steps=300).status == "complete"


def test_the_same_file_twice_at_once():
    fcntl = pytest.importorskip("fcntl")
    simple()
    with open(".s.h5.resume", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(TraceError, match="just being begun or gone on with"):
            am.resume("s.h5", steps=300)
    assert am.resume("s.h5", steps=300).status == "complete"
    assert not os.path.exists(".s.h5.resume")


@pytest.mark.parametrize("where", ["_publish", "_put_checkpoint"])
def test_a_disk_that_is_full(monkeypatch, where):
    """While the new file is made: the old one is as it was. Later: it is good up to the last block."""
    simple()
    before = Path("s.h5").read_bytes()
    real = h5py.Dataset.__setitem__
    full = False

    def write(self, index, value):
        if full and self.name.startswith("/record" if where == "_publish" else "/checkpoint"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(self, index, value)

    monkeypatch.setattr(h5py.Dataset, "__setitem__", write)
    full = True
    with pytest.raises(
        TraceError, match=r"cannot go on with the trace 's\.h5': No space left on device; it is as it was"
    ):
        am.resume("s.h5", steps=300)
    assert Path("s.h5").read_bytes() == before
    assert os.listdir() == ["s.h5"]
    full = False
    assert am.resume("s.h5", steps=300).status == "complete"


def test_a_file_that_cannot_be_closed_is_dropped_once(monkeypatch):
    """HDF5 ends the process if it is told to close a file again that it could not close."""
    simple()
    dropped = []

    def write(self, index, value):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(h5py.Dataset, "__setitem__", write)
        patch.setattr(trace_file, "drop_file", lambda file: dropped.append(file) or file.close())
        with pytest.raises(TraceError, match="it is as it was"):
            am.resume("s.h5", steps=300)
    assert len(dropped) == 1
    assert am.resume("s.h5", steps=300).status == "complete"


def test_a_full_disk_later(monkeypatch, often):
    whole = am.train(XOR, "parity", am.MGD(eta=0.3), steps=300_000, chips=20, record_every=100)
    monkeypatch.setattr(trace_file, "BLOCK_SECONDS", 0.0)
    real, left = h5py.Dataset.__setitem__, 60

    def write(self, index, value):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(self, index, value)

    with monkeypatch.context() as patch:
        patch.setattr(h5py.Dataset, "__setitem__", write)
        with pytest.raises(TraceError, match=r"cannot write the trace 'f\.h5': No space left"):
            am.train(XOR, "parity", am.MGD(eta=0.3), steps=300_000, chips=20, record_every=100, trace="f.h5")
    with Trace("f.h5") as trace:
        assert trace.status == "interrupted"
        assert_bits(trace.cost, whole.cost[: trace.rows], "cost")
    assert_same_run(am.resume("f.h5"), whole)


@pytest.mark.parametrize("calls", [1, 3])
def test_a_drive_that_did_not_write_what_it_took(calls, monkeypatch, often):
    """At the end of a short run, or with a checkpoint of a longer one."""
    left = calls

    def fsync(handle):
        nonlocal left
        left -= 1
        if left <= 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(TraceError, match=r"'d\.h5': Input/output error; what of it is on the drive"):
        am.train(XOR, "parity", am.MGD(eta=0.3), steps=3_000_000, chips=3, trace="d.h5")
    assert left <= 0


def test_a_drive_that_cannot_be_asked(monkeypatch):
    def fsync(handle):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", fsync)
    assert am.Trace(simple()).status == "complete"


def test_a_file_that_was_taken_away():
    class Away(Stop):
        def start(self, plan):
            os.unlink("g.h5")

    settings = {"steps": 100, "chips": 3, "seed": 4}
    with pytest.raises(TraceError, match=r"'g\.h5' is not there any more.*saved as 'g\.h5\.saved'"):
        am.train(XOR, "parity", am.MGD(eta=0.3), trace="g.h5", progress=Away(None), **settings)
    assert_same_run(Trace("g.h5.saved"), am.train(XOR, "parity", am.MGD(eta=0.3), **settings))
    with pytest.raises(TraceError, match="could not be saved: File exists"):
        am.train(XOR, "parity", am.MGD(eta=0.3), trace="g.h5", progress=Away(None), **settings)


@pytest.mark.parametrize("moved", [True, False])
def test_a_file_that_was_replaced(moved):
    """Another's rows are not taken for those of the run."""

    class Replaced(Stop):
        def start(self, plan):
            if moved:
                os.rename("g.h5", "moved.h5")
            shutil.copy("other.h5", "new.h5")
            os.replace("new.h5", "g.h5")

    am.train(XOR, "parity", am.MGD(eta=0.3), steps=50, chips=2, trace="other.h5").close()
    with pytest.raises(TraceError, match=r"'g\.h5' was replaced by another file"):
        am.train(XOR, "parity", am.MGD(eta=0.3), steps=100, chips=3, trace="g.h5", progress=Replaced(None))
    assert len(Trace("moved.h5" if moved else "g.h5.saved").chips) == 3
    assert len(Trace("g.h5").chips) == 2


def test_a_reader_keeps_to_the_file_it_opened():
    """Not to the sizes of another that has taken its place."""
    with Trace(simple()) as trace:
        os.unlink("s.h5")
        assert trace.checkpoint().step == 200
        assert writer_alive(trace._store.attributes(), "s.h5") is False


def test_a_new_file_is_not_locked(monkeypatch):
    """From the moment it is there: h5py asks for a lock where it reads."""
    fcntl = pytest.importorskip("fcntl")
    real, seen = os.replace, []

    def replace(old, new):
        real(old, new)
        with open(new, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            seen.append(new)

    monkeypatch.setattr(os, "replace", replace)
    simple()
    assert len(seen) == 1


def test_a_cosine_is_over():
    rule = am.MGD(eta=0.3, schedule="cosine")
    am.train(XOR, "parity", rule, steps=200, chips=3, trace="c.h5").close()
    with pytest.warns(AnalogMGDWarning, match="made for 200 steps"):
        am.resume("c.h5", steps=300)


def test_another_machine_is_said(monkeypatch):
    simple()
    session = import_module("analogmgd.session")
    here = session.environment
    monkeypatch.setattr(session, "environment", lambda threads: {**here(threads), "numba": "9.9"})
    with pytest.warns(AnalogMGDWarning, match=r"numba .* now 9\.9: the last bits"):
        am.resume("s.h5", steps=300)


def test_the_command_line():
    done("train", "parity", "--steps", 300, "--chips", 4, "--out", "a.h5")
    refused = call("resume", "a.h5")
    assert refused.exit_code == 2
    assert "is complete" in refused.stderr
    result = call("resume", "a.h5", "--steps", "1e3")
    assert result.exit_code == 0
    assert "from step 300 to 1000" in result.stderr
    assert "1 000" in result.stdout
    about = strict(done("resume", "a.h5", "--steps", 2000, "--json"))
    assert about["summary"]["steps"] == 2000
    assert about["config"]["run"]["steps"] == 2000
    done("train", "parity", "--steps", 2000, "--chips", 4, "--out", "b.h5")
    assert_bits(Trace("a.h5").theta, Trace("b.h5").theta, "theta")
    for words in (["--steps", "x"], ["--data", "digits", "--steps", "3000"]):
        refusal("resume", "a.h5", *words)
    missing = call("resume", "none.h5")
    assert missing.exit_code == 1
    assert "there is no trace" in missing.stderr


def test_a_trace_lets_go_of_its_file():
    """Without close, once nobody has it any more: no circle keeps the file open."""
    simple()
    trace = Trace("s.h5")
    store = weakref.ref(trace._store)
    assert len(trace.cost)
    del trace
    assert store() is None


def test_data_beside_the_trace(tmp_path, monkeypatch):
    """A path as it was typed is one from the folder of the run; one given later is kept."""
    (tmp_path / "there").mkdir()
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    np.savez("own.npz", x_train=np.eye(2), y_train=np.arange(2.0))
    am.train(am.Network.mlp([2, 2, 1]), "own.npz", am.MGD(eta=0.3), steps=50, chips=2, trace="run.h5").close()
    monkeypatch.chdir(tmp_path / "else")
    am.resume("../there/run.h5", steps=60).close()
    os.rename("../there/own.npz", "moved.npz")
    with pytest.raises(ConfigError, match="are not found"):
        am.resume("../there/run.h5", steps=70)
    am.resume("../there/run.h5", steps=80, data="moved.npz").close()
    assert am.resume("../there/run.h5", steps=90).status == "complete"
