"""Damage to the file of a sweep is found and said; `repair` keeps the points that are whole."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from cli_help import call, done, refusal
from test_integrity import flip

import analogmgd as am
from analogmgd import TraceError
from analogmgd.cli.resolve import Source, overlay
from analogmgd.sweep import Sweep
from analogmgd.sweep_layout import SUMMED
from analogmgd.sweep_point import Target
from analogmgd.vary import Axis, grid
from analogmgd.vary import tables as tables_of

VARIED = ["--vary", "rule.eta=0.1,0.2,0.5", "--steps", 100, "--chips", 2, "--target", 0.9, "--quiet"]
GIVEN = {"run.steps": 100, "run.chips": 2}
ETAS = [0.1, 0.2, 0.5]


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> Path:
    """A sweep of three points."""
    path = tmp_path_factory.mktemp("swept") / "sweep.h5"
    am.sweep("parity", {"rule.eta": ETAS}, path, settings=GIVEN, targets=[0.9]).close()
    return path


@pytest.fixture
def sweep(swept, tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    shutil.copy(swept, "sweep.h5")
    return "sweep.h5"


def failure(*words) -> str:
    """Run a command that has to say what is wrong with a file; its one line."""
    result = call(*words)
    assert result.exit_code == 1, result.output
    [line] = result.stderr.splitlines()
    return line


def same_points(a, b) -> None:
    with h5py.File(a) as one, h5py.File(b) as two:
        for name in {*SUMMED, "points/state", "points/rule.eta"} - {"points/wall_seconds"}:
            assert one[name][:].tobytes() == two[name][:].tobytes(), name


@pytest.mark.parametrize("name", [*SUMMED, "points/state", "points/rule.eta", "about"])
def test_a_bit_of_a_sweep_is_found(name, sweep):
    with h5py.File(sweep) as file:
        dataset = file[name]
        where = dataset.id.get_offset() + dataset.nbytes // 2
    flip(Path(sweep), where)
    assert am.check_trace(sweep).problems
    for words in (["info", sweep], ["plot", sweep], ["export", "--format", "csv", sweep]):
        assert "damaged" in failure(*words)
    assert "damaged" in failure("sweep", "parity", *VARIED, "-o", sweep)


def test_a_repaired_sweep_is_gone_on_with(sweep, swept):
    with h5py.File(sweep, "r+") as file:
        file["chips/final_cost"][1, 0] += 1e-12
    assert am.check_trace(sweep).problems == ("the checksum of point 1 is wrong",)
    said = done("repair", sweep, "-o", "new.h5")
    assert said.startswith("lost: point 1\nwrote new.h5: 2 of 3 points done; `analogmgd sweep`, given again with -o")
    am.sweep("parity", {"rule.eta": ETAS}, "new.h5", settings=GIVEN, targets=[0.9]).close()
    same_points("new.h5", swept)
    assert done("info", "--check", "new.h5").startswith("whole: 3 points done, 17 datasets, all checksums right")
    assert "nothing was lost: 3 of 3 points done" in done("repair", "new.h5", "-o", "again.h5")
    assert "exists" in refusal("repair", "new.h5", "-o", "again.h5")


def test_a_sweep_of_which_a_dataset_is_gone(sweep, swept):
    with h5py.File(sweep, "r+") as file:
        del file["chips/steps"]
    assert am.check_trace(sweep).problems == ("/chips/steps is missing",)
    assert am.repair(sweep, "new.h5").lost == ("/chips/steps is missing", "all points")
    am.sweep("parity", {"rule.eta": ETAS}, "new.h5", settings=GIVEN, targets=[0.9]).close()
    same_points("new.h5", swept)


@pytest.mark.parametrize("name", ["points/state", "points/rule.eta", "chips/steps"])
def test_a_dataset_of_another_type(name, sweep):
    """Also where its bytes, of which the checksums are, stay the same."""
    with h5py.File(sweep, "r+") as file:
        values = file[name][()]
        del file[name]
        file[name] = values.view(np.uint8 if name == "points/state" else np.uint64)
    for words in (["info", sweep], ["export", "--format", "csv", sweep]):
        assert f"damaged: /{name} is uint" in failure(*words)
    assert am.check_trace(sweep).problems[0].startswith(f"/{name} is uint")


def test_sweeps_of_an_earlier_version(sweep):
    with h5py.File(sweep, "r+") as file:
        del file["about"], file["points/crc32"]
    assert done("info", "--check", sweep).startswith("whole: 3 points done, 16 datasets, no checksums: an earlier")
    assert "nothing was lost" in done("repair", sweep, "-o", "new.h5")
    with h5py.File(sweep, "r+") as file:
        file["chips/status"][1, 0] = 0
        file["chips/final_accuracy"][0, 0] = 2
    said = am.check_trace(sweep).problems
    assert said[0] == "point 0 has values of final_accuracy that are not from 0 to 1"
    assert said[1] == "point 1 is done, but not all of its chips have a status and steps"


@pytest.mark.parametrize(
    "changes",
    [{"sweep": "{"}, {"sweep": '{"axes": 3}'}, {"format_version": "x"}, {"format_version": 9}, {"environment": "["},
     {"sweep": '{"axes": {"rule.eta": [1, 2, 3]}, "zipped": false, "targets": [], "chips": 300000000000}'},
     {"sweep": json.dumps({"axes": {f"rule.{n}": list(range(2000)) for n in "abc"}, "zipped": False, "targets": [],
                           "chips": 2})}],
)  # fmt: skip
def test_an_early_sweep_whose_attributes_are_damaged(changes, sweep):
    with h5py.File(sweep, "r+") as file:
        del file["about"], file["points/crc32"]
        for name, value in changes.items():
            del file.attrs[name]
            file.attrs[name] = value
    for words in (["info", sweep], ["export", "--format", "csv", sweep]):
        result = call(*words)
        assert result.exit_code in (1, 2)
        [line] = result.stderr.splitlines()
        assert "is damaged" in line or "version 9" in line, line
    assert am.check_trace(sweep).problems


def test_a_sweep_that_is_being_written_is_neither_repaired_nor_replaced(sweep):
    program = "from analogmgd.sweep_file import SweepFile as S; f = S('sweep.h5', True); print(1, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"1\n"
        said = failure("repair", sweep, "-o", "new.h5")
        assert "cannot be repaired: 'sweep.h5' cannot be opened: another process is writing it" in said
        assert "is being written by another process" in refusal("sweep", "parity", *VARIED, "-o", sweep, "--force")
        assert "another process is writing it" in failure("sweep", "parity", *VARIED, "-o", sweep)
        process.communicate(b"\n")


def test_a_sweep_is_no_trace(sweep):
    assert "'sweep.h5' is a sweep, no trace" in failure("resume", sweep)


@pytest.mark.parametrize("replaced", [True, False])
def test_a_sweep_whose_file_loses_its_place(replaced, sweep, swept):
    """What was done is saved beside it, and another's points are not given out as its own."""
    points = grid([Axis("rule.eta", tuple(ETAS))])
    given = tables_of(GIVEN)
    whole = Sweep(lambda tables: Source("parity").config(overlay(given, tables)), points, [Target.read("0.9")])
    calls = []

    def once(points, chip_steps):
        if not calls:
            os.unlink("mine.h5")
            if replaced:
                shutil.copy(sweep, "mine.h5")
        calls.append(points)

    said = "was replaced by another file" if replaced else "is not there any more"
    with pytest.raises(TraceError, match=rf"the sweep 'mine\.h5' {said}.*saved as 'mine\.h5\.saved'"):
        whole.run("mine.h5", tick=once)
    same_points("mine.h5.saved", swept)


def test_a_sweep_on_a_drive_that_did_not_write_it(tmp_path, monkeypatch):
    def fsync(handle):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", fsync)
    assert "Input/output error; what of it is on the drive" in failure("sweep", "parity", *VARIED, "-o", "drive.h5")
