"""Trace files in bad company: read while they are written, killed, on full disks."""

import contextlib
import errno
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from trace_samples import header, learning

from analogmgd import trace_file, trace_open, trace_place
from analogmgd.errors import ConfigError, TraceError
from analogmgd.trace import Trace, open_writer
from analogmgd.trace_release import release
from analogmgd.trace_superblock import SIZE, superblock

HERE = Path(__file__).parent
RUN = """
import sys
import numpy as np
from analogmgd import trace_file
from analogmgd.errors import ConfigError, TraceError
from analogmgd.trace import Trace, open_writer
from trace_samples import header
path, seconds, steps, chips = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
trace_file.BLOCK_SECONDS = seconds

def rows(start, stop):
    step = np.arange(start, stop)
    one = np.repeat(step[:, None], chips, axis=1)
    return {"step": step, "time": step / 1e6, "cost": one, "theta": np.repeat(one[:, :, None], 7, axis=2)}

def check(trace):
    R = len(trace.step)
    assert trace.cost.shape == (R, chips) and (trace.step == np.arange(R)).all()
    assert (trace.cost == trace.step[:, None]).all()
    assert (trace.record["theta"] == trace.step[:, None, None]).all()
    assert (trace.probe["cost"] == trace.probe["step"][:, None]).all()

def write():
    head = header(chips, 7, ("cost", "theta"), probe_chips=[10, 12], expected_rows=100)
    with open_writer(path, head) as writer:
        print("go", flush=True)
        start = 0
        while start < steps:
            stop = min(start + 1 + start % 7, steps)
            writer.append(rows(start, stop))
            step = np.arange(start, stop)
            one = np.repeat(step[:, None], 2, axis=1)
            writer.append_probe({"step": step, "cost": one, "cost_ac": one, "sample": one})
            start = stop
        writer.finish("complete", np.ones((chips, 7)))
"""


def start(code: str, path: Path, seconds: float, steps: int, chips: int = 5, **options) -> subprocess.Popen:
    """A process that writes a trace in which every value is its step; it says "go" when the file is there."""
    command = [sys.executable, "-P", "-c", RUN + code, path, seconds, steps, chips]
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    return subprocess.Popen(
        [str(part) for part in command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def check(trace: Trace) -> None:
    """Whole rows only: every value is its step."""
    rows = len(trace.step)
    assert trace.cost.shape[0] == rows == trace.rows
    assert (trace.step == np.arange(rows)).all()
    assert (trace.cost == trace.step[:, None]).all()
    assert (trace.record["theta"] == trace.step[:, None, None]).all()
    for name in ("cost", "cost_ac", "sample"):
        assert (trace.probe[name] == trace.probe["step"][:, None]).all()


def test_readers_follow_a_run_and_see_whole_rows_only(tmp_path):
    path, seen = tmp_path / "run.h5", []
    writer = start("write()", path, 0, 1500)
    assert writer.stdout.readline() == "go\n"
    with pytest.raises(OSError, match="already open"):
        h5py.File(path)
    plain = h5py.File(path, swmr=True)  # another program that follows, open from the first to the last row
    with Trace(path) as trace, Trace(path) as still:
        while writer.poll() is None:
            assert trace.refresh().status in ("running", "complete")
            check(trace)
            seen.append(trace.rows)
            step = plain["record/step"]
            step.id.refresh()
            rows = len(step)
            plain["record/cost"].id.refresh()
            assert (plain["record/cost"][:rows] == np.arange(rows)[:, None]).all()
        assert trace.refresh().status == "complete"
        check(trace)
        assert (trace.theta == 1).all()
        assert trace.rows == 1500
        check(still)
        assert still.status == "running"
    plain["record/cost"].id.refresh()
    assert (plain["record/cost"][:] == np.arange(1500)[:, None]).all()
    plain.close()
    assert writer.communicate()[1] == ""
    assert len({*seen}) > 3
    assert seen == sorted(seen)


def test_killed_writers_leave_readable_files(tmp_path):
    random.seed(1)
    for number in range(4):
        path = tmp_path / f"run{number}.h5"
        writer = start("write()", path, 0.002, 10**7)
        writer.stdout.readline()
        time.sleep(random.random() * 0.2)
        writer.kill()
        writer.communicate()
        with pytest.raises(OSError, match="already open"):
            h5py.File(path)
        with h5py.File(path, swmr=True) as plain:  # as the documentation says
            rows = len(plain["record/step"])
            assert (plain["record/step"][:] == np.arange(rows)).all()
        with Trace(path) as trace:
            assert (trace.status, trace.writer_gone) == ("interrupted", True)
            assert trace.status_text == "interrupted (writer gone)"
            assert trace.rows == rows
            check(trace)
            with pytest.raises(TraceError, match="not written; its status is interrupted"):
                _ = trace.theta
        before = path.read_bytes()
        assert release(path)
        assert not release(path)
        after = path.read_bytes()
        assert after[SIZE : len(before)] == before[SIZE:]
        with h5py.File(path, "r+") as plain:  # what writes now does not overwrite what is there
            plain["record/cost"].resize(rows + 5000, axis=0)
            plain["record/cost"][rows:] = -1
        with Trace(path) as trace:
            check(trace)
    # a copy of a killed file that ends too early; SWMR mode would hang here
    for size in (SIZE, 5000, len(before) // 2):
        path.write_bytes(before[:size])
        with pytest.raises(TraceError, match=r"damaged|truncated"):
            Trace(path)
    for cut in (20000, 8000, 3000):  # may be room that was given out and not used yet: all is there, or it says so
        path.write_bytes(before[:-cut])
        with contextlib.suppress(TraceError), Trace(path) as trace:
            assert trace.rows == rows
            check(trace)


def test_a_live_file_is_not_released_and_its_copy_is_not_taken_for_it(tmp_path):
    path, copy = tmp_path / "run.h5", tmp_path / "copy.h5"
    with open_writer(path, header(record=("cost",))) as writer:
        writer.append(learning(writer.header, np.arange(4)), flush=True)
        with pytest.raises(TraceError, match=f"may still be written by process {os.getpid()}"):
            release(path)
        shutil.copy(path, copy)
        with Trace(copy) as trace:
            assert (trace.status_text, trace.rows) == ("interrupted (writer gone)", 4)
    assert superblock(str(copy)).writing
    assert release(copy)
    assert not superblock(str(copy)).writing
    assert not release(path)


def test_a_writer_on_another_host_may_be_alive(tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    with open_writer(path, header()):
        monkeypatch.setattr(trace_open.socket, "gethostname", lambda: "elsewhere")
        with Trace(path) as trace:
            assert (trace.status_text, trace.writer_gone) == ("running", False)
        with pytest.raises(TraceError, match="may still be written"):
            release(path)


FULL = """
try:
    write()
except (TraceError, ConfigError) as error:
    print(error)
    if isinstance(error, TraceError):
        with Trace(path) as trace:
            check(trace)
            print(trace.status, trace.rows)
"""


@pytest.mark.parametrize(("kilobytes", "seconds"), [(20, 0), (120, 0), (201, 0.005), (303, 100)])
def test_a_file_that_cannot_grow(tmp_path, kilobytes, seconds):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1000,) * 2)

    path = tmp_path / "run.h5"
    writer = start(FULL, path, seconds, 10**7, preexec_fn=limit)
    out, err = writer.communicate()
    assert (writer.returncode, err) == (0, "")
    if kilobytes == 20:
        assert out == f"cannot create the trace {str(path)!r}: File too large\n"
        assert not list(tmp_path.iterdir())
        return
    said = re.fullmatch(
        rf"go\ncannot write the trace '{path}': File too large; its first (\d+) rows are kept\n"
        r"interrupted (\d+)\n",
        out,
    )
    assert said, out
    assert said[1] == said[2]
    with Trace(path) as trace:
        check(trace)
        assert trace.status == "interrupted"


def test_a_disk_that_is_full(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    try:
        for number, seconds in enumerate((0, 100)):
            path = disk / f"run{number}.h5"
            out, err = start(FULL, path, seconds, 10**7).communicate()
            assert err == ""
            assert f"cannot write the trace '{path}': No space left on device; its first" in out
            with Trace(path) as trace:
                check(trace)
                assert trace.status == "interrupted"
            if number == 0:
                with pytest.raises(ConfigError, match=r"record would need .* are free on disk"):
                    open_writer(disk / "more.h5", header(300))
            path.unlink()
        with open_writer(disk / "more.h5", header()) as writer:
            (disk / "fill").write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize))
            theta = np.ones((3, 9))
            writer.append(learning(writer.header, np.arange(9)))
            with pytest.raises(TraceError, match="No space left on device; its first 0 rows are kept"):
                writer.finish("complete", theta)
            with pytest.raises(TraceError, match="No space left"):
                writer.finish("complete", theta)
        with pytest.raises(ConfigError, match="are free on disk"):
            open_writer(disk / "new.h5", header())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("links", [True, False])
def test_two_runs_that_begin_one_file_at_once(links, tmp_path, monkeypatch):
    """Both found nothing there; the second to be ready is refused, and what the first wrote stays."""
    path, checked = tmp_path / "run.h5", trace_file.check_target

    def late(*args):
        monkeypatch.setattr(trace_file, "check_target", checked)
        checked(*args)
        with open_writer(path, header()) as first:
            first.append(learning(header(), np.arange(3) * 50), flush=True)

    def no_links(*names):
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr("os.link", no_links)
    monkeypatch.setattr(trace_file, "check_target", late)
    with pytest.raises(ConfigError, match="exists: choose another path"):
        open_writer(path, header())
    assert [p.name for p in tmp_path.iterdir()] == ["run.h5"]
    with Trace(path) as trace:
        assert trace.rows == 3


def test_a_file_that_comes_at_the_last_moment_is_not_replaced(tmp_path, monkeypatch):
    """After the last look at the place, before the move to it."""
    path, link = tmp_path / "run.h5", os.link

    def late(part, target):
        path.write_text("mine")
        link(part, target)

    monkeypatch.setattr("os.link", late)
    with pytest.raises(ConfigError, match="exists: choose another path"):
        open_writer(path, header())
    assert path.read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["run.h5"]


def test_two_runs_that_replace_one_file_at_once(tmp_path, monkeypatch):
    """Both were told to replace it, and nobody was writing it; the second to be ready is refused."""
    path, replace = tmp_path / "run.h5", os.replace
    open_writer(path, header()).abort()

    def late(part, target):
        monkeypatch.setattr("os.replace", replace)
        with (
            pytest.raises(TraceError, match="just being begun or gone on with"),
            trace_place.alone_with(str(path)),
        ):
            pass
        replace(part, target)

    monkeypatch.setattr("os.replace", late)
    with open_writer(path, header(), force=True) as first:
        first.append(learning(header(), np.arange(3) * 50), flush=True)
        with pytest.raises(ConfigError, match="is being written by process"):
            open_writer(path, header(), force=True)
    with Trace(path) as trace:
        assert trace.rows == 3
