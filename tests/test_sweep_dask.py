"""Sweeps on Dask clusters: the same bits, workers and schedulers that go, points that kill, Ctrl-C, bad input."""

import os
import re
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest
from cli_help import RUN, refusal
from dask_help import processes, until
from test_sweep import SMALL, assert_alike, contents, sweep_of

import analogmgd as am
from analogmgd.errors import ClusterError, ConfigError
from analogmgd.sweep import Sweep
from analogmgd.sweep_file import SweepFile
from analogmgd.sweep_layout import DONE, FAILED
from analogmgd.sweep_pool import Threads, pool_of
from analogmgd.sweep_worker import versions
from analogmgd.vary import Axis, grid

pytest.importorskip("distributed")
ETAS = [round(0.04 * k, 2) for k in range(1, 13)]
LONG = ["--vary", "rule.eta=" + ",".join(map(str, ETAS)), "--chips", "16", "--steps", "150000", "--target", "1"]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A folder with a file of data, and what a sweep over it gives on threads of one process."""
    folder = tmp_path_factory.mktemp("own")
    random = np.random.default_rng(3)
    x = random.random((60, 2))
    np.savez(folder / "own.npz", x_train=x, y_train=(x[:, 0] > x[:, 1]).astype(float))
    subprocess.run([*RUN, "sweep", "own.npz", *LONG, "-o", "local.h5", "--quiet"], cwd=folder, check=True, timeout=300)
    return folder


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A cluster of two workers, one of them with two threads."""
    with processes(tmp_path_factory.mktemp("cluster") / "elsewhere") as made:
        made.worker()
        made.worker("--nthreads", "2")
        yield made


@pytest.fixture
def started():
    """Starts the command of the sweep over own.npz, in a session of its own."""
    all_ = []

    def start(folder, *words):
        process = subprocess.Popen(
            [*RUN, "sweep", "own.npz", *LONG, "--quiet", *words],
            cwd=folder, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        all_.append(process)
        return process

    yield start
    for process in all_:
        if process.poll() is None:  # the test has failed
            process.kill()
        process.communicate()


def points_done(path):
    try:
        return int((contents(path)["points/state"] == DONE).sum())
    except (OSError, KeyError):
        return 0  # it is being made


def workers_of(process):
    """Processes of a local cluster."""
    return [c for c in psutil.Process(process.pid).children(recursive=True) if "spawn_main" in " ".join(c.cmdline())]


def ended(process):
    """Its code and what it said, which is no traceback."""
    out, said = process.communicate(timeout=300)
    assert "Traceback" not in said
    assert out == ""
    return process.returncode, said


# ---------------------------------------------------------------- the same bits


def test_a_cluster_at_an_address(running, tmp_path):
    """From Python, over data that the package has, with a point that fails."""
    vary = {"rule.batch": [1, 10**12, 2], "rule.eta": [0.2, 0.5]}
    settings = {"run.steps": 3000, "run.chips": 5}
    for name, more in (("here", {}), ("there", {"scheduler": running.address})):
        with pytest.warns(am.AnalogMGDWarning, match="4 of 6 points are done, 2 failed"):
            am.sweep("parity", vary, tmp_path / name, settings=settings, targets=[1.0], **more).close()
    here, there = contents(tmp_path / "here"), contents(tmp_path / "there")
    for one in (here, there):
        one.pop("points/error")  # says how much memory was free
    assert_alike(here, there)
    with SweepFile(str(tmp_path / "there")) as file:
        assert file.state.tolist() == [DONE, DONE, FAILED, FAILED, DONE, DONE]
        assert "rule.batch = 1000000000000" in file.errors()[2]


def test_settings_that_fail_only_later(running, tmp_path):
    """The points that are not checked before: their line in the file, and the rest is done."""

    class Unchecked(Sweep):
        def __init__(self, like):
            self.__dict__.update(like.__dict__)

        def at(self, n):
            if n == 1:
                raise ConfigError("rule.eta: no")
            return super().at(n)

    whole = Unchecked(sweep_of(grid([Axis("rule.eta", (0.1, 0.2, 0.3))])))
    path = str(tmp_path / "s.h5")
    ticks = []
    with pool_of(scheduler=running.address) as pool:
        assert whole.run(path, pool=pool, tick=lambda *told: ticks.append(told)) == "failed"
    with SweepFile(path) as file:
        assert file.errors() == {1: "rule.eta: no"}
    assert ticks[0] == (0, 0)
    assert ticks[-1] == (3, 2 * 5 * 3000)


def test_a_worker_is_killed_and_another_joins(own, started, tmp_path):
    """Data from a file that the workers do not see."""
    path = own / "killed.h5"
    with processes(tmp_path / "elsewhere") as cluster:
        workers = [cluster.worker(), cluster.worker()]
        process = started(own, "--scheduler", cluster.address, "-o", path)
        until(lambda: points_done(path) >= 2)
        workers[0].kill()
        assert workers[0].wait() == -signal.SIGKILL
        assert points_done(path) < len(ETAS)
        cluster.worker()
        assert ended(process) == (0, "")
    assert_alike(contents(path), contents(own / "local.h5"))


def test_a_local_cluster_with_a_worker_killed(own, started):
    path = own / "workers.h5"
    process = started(own, "--workers", "2", "-o", path)
    until(lambda: points_done(path) >= 2)
    workers_of(process)[0].kill()
    assert points_done(path) < len(ETAS)
    assert ended(process) == (0, "")
    assert_alike(contents(path), contents(own / "local.h5"))


KILLER = """
import os, analogmgd.sweep_worker as worker
from analogmgd.sweep_pool import outcome as measured
def outcome(make, targets, threads, tick):
    if make()[0].rule.eta == 0.2:
        os._exit(9)
    return measured(make, targets, threads, tick)
worker.outcome = outcome
"""


def test_a_point_that_kills_its_workers(own, started, tmp_path):
    """It ends as a failed one, and takes none of those beside it along."""
    path = own / "deadly.h5"
    (tmp_path / "killer.py").write_text(KILLER)
    with processes(tmp_path / "elsewhere", DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0") as cluster:
        cluster.worker("--nthreads", "2", "--preload", str(tmp_path / "killer.py"), nanny=True)
        code, said = ended(started(own, "--scheduler", cluster.address, "-o", path))
    wrong = ETAS.index(0.2)
    assert code == 1
    assert said == f"analogmgd: error: point {wrong}: every worker that it was given to died\n"
    found, wanted = contents(path), contents(own / "local.h5")
    assert found["points/state"].tolist() == [FAILED if k == wrong else DONE for k in range(len(ETAS))]
    rest = np.arange(len(ETAS)) != wrong
    for name in (n for n in found if n.startswith("chips/")):
        np.testing.assert_array_equal(found[name][rest], wanted[name][rest])


# ---------------------------------------------------------------- the end of it


def test_ctrl_c_keeps_what_is_done(own, started):
    """Sent to all processes, as a terminal does; then SIGTERM; then the rest without a cluster."""
    path, done = own / "interrupted.h5", 0
    for number in (signal.SIGINT, signal.SIGTERM):
        process = started(own, "--workers", "2", "-o", path)
        until(lambda done=done: points_done(path) > done)
        workers = workers_of(process)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        assert ended(process) == (130, "")
        assert done < points_done(path) < len(ETAS)
        done = points_done(path)
        until(lambda workers=workers: not any(w.is_running() and w.status() != "zombie" for w in workers))
    assert ended(started(own, "-o", path)) == (0, "")
    assert_alike(contents(path), contents(own / "local.h5"))


def test_workers_stop_with_the_sweep_that_nobody_waits_for(running, tmp_path):
    """A point of hours: killed with SIGKILL the command leaves no task; the workers are free again."""
    path = tmp_path / "long.h5"
    words = ["sweep", "parity", "--vary", "rule.eta=0.1,0.2,0.3", "--steps", "100000000000", "--chips", "1"]
    process = subprocess.Popen([*RUN, *words, "--scheduler", running.address, "-o", str(path), "--quiet"])
    import distributed

    with distributed.Client(running.address, set_as_default=False) as client:

        def executing():
            return sum(map(len, client.run(lambda dask_worker: list(dask_worker.state.executing)).values()))

        until(lambda: executing() == 3)
        process.kill()
        process.wait()
        until(lambda: executing() == 0)


def test_the_scheduler_goes(own, started, tmp_path):
    path = own / "lost.h5"
    with processes(tmp_path / "elsewhere") as cluster:
        with pool_of(scheduler=cluster.address) as pool:
            assert (pool.threads, pool.note) == (1, "no workers yet")
        cluster.worker()
        process = started(own, "--scheduler", cluster.address, "-o", path)
        until(lambda: points_done(path) >= 1)
        cluster.scheduler.kill()
        code, said = ended(process)
    assert code == 1
    assert re.fullmatch(rf"analogmgd: error: lost the scheduler {re.escape(cluster.address)}: .*\n", said)
    found, wanted = contents(path), contents(own / "local.h5")
    done = found["points/state"] == DONE
    assert 0 < done.sum() < len(ETAS)
    np.testing.assert_array_equal(found["chips/final_cost"][done], wanted["chips/final_cost"][done])
    assert ended(started(own, "-o", path)) == (0, "")
    assert_alike(contents(path), wanted)


def test_what_was_done_before_counts(tmp_path):
    """The progress of a sweep that is gone on with begins where it was."""
    path, points = str(tmp_path / "s.h5"), grid([Axis("rule.eta", (0.1, 0.2, 0.3))])
    sweep_of(points).run(path)
    with SweepFile(path, write=True) as file:
        file.file["points/state"][1] = 0
    ticks = []
    sweep_of(points).run(path, tick=lambda *told: ticks.append(told), pool=Threads(1))
    one = SMALL["run"]["steps"] * SMALL["run"]["chips"]
    assert ticks[0] == (2, 2 * one)
    assert ticks[-1] == (3, 3 * one)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--scheduler tcp://a:8786 --workers 2", "--scheduler and --workers exclude each other"),
        ("--scheduler tcp://a:8786 --threads 2", "--scheduler and --threads exclude each other"),
        ("--workers 0", "--workers 0: must be a whole number from 1"),
        ("--scheduler nowhere", "--scheduler 'nowhere': expected an address such as tcp://host:8786"),
        ("--scheduler http://a:80", "expected an address"),
        ("--scheduler tcp://a:99999", "expected an address"),
    ],
)
def test_bad_arguments(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in refusal("sweep", "parity", "--vary", "rule.eta=1,2", *words.split())
    assert not list(tmp_path.iterdir())


def test_without_dask(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "distributed", None)
    said = refusal("sweep", "parity", "--vary", "rule.eta=1,2", "--workers", "2")
    assert said == '--scheduler and --workers need Dask: pip install "analogmgd[dask]"'


def test_clusters_that_cannot_be_used(running, tmp_path, monkeypatch):
    """One line, exit code 1, and a file that --force would have replaced is still there."""
    import analogmgd.sweep_dask as side

    monkeypatch.chdir(tmp_path)
    from cli_help import call, done

    done("sweep", "parity", "--vary", "rule.eta=1,2", "--steps", 20, "--chips", 2, "--quiet")
    before = (tmp_path / "sweep.h5").read_bytes()
    monkeypatch.setattr(side, "CONNECT_SECONDS", 1.0)
    words = ["sweep", "parity", "--vary", "rule.eta=1,2", "--force", "--scheduler"]

    def told(address):
        result = call(*words, address)
        assert (result.exit_code, result.stdout) == (1, ""), result.output
        assert len(result.stderr.splitlines()) == 1
        return result.stderr

    assert "error: cannot reach the scheduler 127.0.0.1:1: " in told("127.0.0.1:1")
    import distributed

    with distributed.Client(running.address, set_as_default=False) as client:
        until(client.nthreads)
        worker = next(iter(client.nthreads()))
    assert "is a Worker of Dask, no scheduler" in told(worker)
    monkeypatch.setattr(side, "CONNECT_SECONDS", 10.0)
    there = np.__version__
    monkeypatch.setattr(np, "__version__", "3.0")
    assert f"has another version of numpy: {there}, here 3.0" in told(running.address)
    assert (tmp_path / "sweep.h5").read_bytes() == before


def test_workers_that_join_with_other_versions(running, tmp_path, monkeypatch):
    whole = sweep_of(grid([Axis("rule.eta", (0.1, 0.2))]))
    with pool_of(scheduler=running.address) as pool:
        monkeypatch.setattr(np, "__version__", "3.0")
        pool._versions = versions()
        with pytest.raises(ClusterError, match="that joined has another version of numpy"):
            whole.run(tmp_path / "s.h5", pool=pool)
