"""Damage is found, said, and what is whole salvaged: checksums, `info --check`, `repair`."""

import gc
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from cli_help import call, done, refusal, strict
from test_invariance import assert_bits
from trace_samples import ALL, header, learning, probes

import analogmgd as am
from analogmgd import ConfigError, Trace, TraceError, trace_file
from analogmgd.trace import open_writer
from analogmgd.trace_contents import seal, unseal

BLOCKS = (0, 7, 12, 20)  # rows that are published at once
XOR = am.Network.mlp([2, 2, 1])


def make(path, record=ALL, end=True, theta=None, extra=None, **changes) -> dict[str, np.ndarray]:
    """A trace of 20 rows in three blocks, with probes; its rows."""
    head = header(record=record, probe_chips=[10, 12], chip_arrays={"gain": np.arange(3.0)}, **changes)
    rows, shown = learning(head, np.arange(20) * 50), probes(head, np.arange(20) * 2)
    with open_writer(path, head) as writer:
        for first, last in itertools.pairwise(BLOCKS):
            writer.append({name: array[first:last] for name, array in rows.items()}, flush=True)
            writer.append_probe({name: array[first:last] for name, array in shown.items()}, flush=True)
        if end:
            writer.finish("complete", np.ones((3, 9)) if theta is None else theta, {}, extra).close()
    return rows


def place(path: Path, name: str, row: int = 0) -> int:
    """Where a row of a dataset lies in the file."""
    with h5py.File(path) as file:
        dataset = file[name]
        if dataset.chunks is None:
            return dataset.id.get_offset()
        width = dataset.dtype.itemsize * int(np.prod(dataset.shape[1:]))
        return dataset.id.get_chunk_info(0).byte_offset + row * width


def flip(path: Path, where: int, bit: int = 2) -> None:
    data = bytearray(path.read_bytes())
    data[where] ^= 1 << bit
    path.write_bytes(data)


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("good") / "run.h5"
    make(path)
    return path


@pytest.fixture
def copy(good, tmp_path) -> Path:
    return Path(shutil.copy(good, tmp_path / "copy.h5"))


GROWING = [f"record/{name}" for name in ("step", "time", *ALL)] + [
    f"probe/{n}" for n in ("step", "cost", "cost_ac", "sample")
]


@pytest.mark.parametrize("name", GROWING)
def test_a_bit_of_a_row_is_found_named_and_not_given_out(copy, tmp_path, name):
    flip(copy, place(copy, name, 9), bit=0 if name.endswith("/step") else 2)
    said = am.check_trace(copy).problems
    assert said[0] == f"rows 7 to 11 of /{name}: their checksum is wrong"
    with pytest.raises(TraceError, match=f"rows 7 to 11 of /{name}"), Trace(copy) as trace:
        getattr(trace, name.split("/")[0])[name.split("/")[1]]
    with pytest.raises(TraceError, match="checksum is wrong"):
        am.export_trace(copy, "csv", tmp_path / "csv")
    result = call("info", "--check", str(copy))
    assert (result.exit_code, result.stdout.splitlines()[0]) == (1, said[0])
    found = am.repair(copy, tmp_path / "new.h5")
    group = name.split("/")[0]
    assert found.lost == (f"/{group}: rows 7 to 11",)
    assert (found.rows, found.probe_rows) == ((15, 20) if group == "record" else (20, 15))
    assert am.check_trace(tmp_path / "new.h5").whole


@pytest.mark.parametrize("name", ["chips/id", "chips/gain", "probe/chip", "final/theta", "final/diverged_step"])
def test_a_bit_of_an_array_is_found(copy, tmp_path, name):
    flip(copy, place(copy, name))
    assert f"/{name}: its checksum is wrong" in "".join(am.check_trace(copy).problems)
    with pytest.raises(TraceError, match="checksum is wrong"):
        am.export_trace(copy, "npz", tmp_path / "npz")
    if name == "chips/id":  # this configuration does not say which they are
        with pytest.raises(TraceError, match="the ids of its chips are gone"):
            am.repair(copy, tmp_path / "new.h5")
        return
    lost = am.repair(copy, tmp_path / "new.h5").lost
    assert lost == (("/probe, of which chips it is",) if name == "probe/chip" else (f"/{name}",))
    assert am.check_trace(tmp_path / "new.h5").whole


def test_what_the_words_of_a_whole_file_say(good):
    assert am.check_trace(good).problems == ()
    assert done("info", "--check", str(good)) == "whole: 20 rows, 20 datasets, all checksums right\n"
    found = strict(done("info", "--check", "--json", str(good)))
    assert (found["whole"], found["rows"], found["probe_rows"], found["problems"]) == (True, 20, 20, [])
    assert "there is no trace 'none.h5'" in refusal("info", "--check", "none.h5")


def aged(path: Path) -> None:
    """As an earlier version wrote it: without checksums."""
    with h5py.File(path, "r+") as file:
        about, state = unseal(bytes(file["header"][0])), unseal(bytes(file["final/state"][0]))
        about["datasets"] = {name: d for name, d in about["datasets"].items() if not name.startswith("check/")}
        del file["check"], file["header"], about["types"], about["fixed_crc32"]
        file["header"] = np.array([seal(about)])
        file["final/state"][0] = seal({name: state[name] for name in ("status", "ended", "extra")})


def test_a_file_of_an_earlier_version_is_read_and_repaired(copy, good, tmp_path):
    aged(copy)
    said = done("info", "--check", str(copy))
    assert said.startswith("whole: 20 rows, 18 datasets, no checksums: an earlier version wrote it")
    with Trace(copy) as old, Trace(good) as new:
        assert_bits(old.cost, new.cost, "cost")
        assert_bits(old.theta, new.theta, "theta")
    found = am.repair(copy, tmp_path / "new.h5")
    assert (found.lost, found.rows, found.probe_rows) == ((), 20, 20)
    assert am.check_trace(tmp_path / "new.h5").checksums
    with h5py.File(copy, "r+") as file:
        file["record/time"][3] = -1
    assert am.check_trace(copy).problems == ("/record/time does not rise",)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"accuracy": 1.5}, "/record/accuracy has values that are not from 0 to 1"),
        ({"angle": -1}, "/record/angle has values"),
        ({"time": np.nan}, "/record/time does not rise"),
    ],
)
def test_numbers_that_cannot_be(tmp_path, change, text, monkeypatch):
    real = learning

    def wrong(head, steps):
        rows = real(head, steps)
        for name, value in change.items():
            rows[name][5] = value
        return rows

    monkeypatch.setitem(globals(), "learning", wrong)
    make(tmp_path / "run.h5")
    assert text in am.check_trace(tmp_path / "run.h5").problems[0]


def test_final_parameters_that_do_not_follow(tmp_path):
    rows = make(tmp_path / "a.h5", theta=np.full((3, 9), np.inf))
    assert am.check_trace(tmp_path / "a.h5").problems == ("/final/theta is not finite in chips that did not diverge",)
    make(tmp_path / "b.h5", extra={"step": 950})
    assert "is not what was recorded at the last step, 950" in am.check_trace(tmp_path / "b.h5").problems[0]
    make(tmp_path / "c.h5", theta=rows["theta"][-1], extra={"step": 950})
    assert am.check_trace(tmp_path / "c.h5").whole


def test_a_kill_between_checksums_and_steps_is_no_damage(tmp_path):
    head = header()
    with open_writer(tmp_path / "run.h5", head) as writer:
        writer.append(learning(head, np.arange(5)), flush=True)
        writer._extend("check/record", 1, 2, np.array([5, 3, 1, 2, 3, 4]))
        shutil.copy(tmp_path / "run.h5", tmp_path / "killed.h5")
    found = am.check_trace(tmp_path / "killed.h5")
    assert (found.problems, found.rows) == ((), 5)


def test_a_trace_that_nobody_holds_is_closed_at_once(copy):
    gc.disable()
    try:
        assert Trace(copy).cost.shape == (20, 3)
        assert am.check_trace(copy).whole
        h5py.File(copy, "r+").close()  # HDF5 would refuse
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [("/", "config", "eta = 99"), ("/", "seed", 99), ("/", "status", "running"), ("/", "environment", "{}"),
     ("/", "environment", "no JSON"), ("record/time", "unit", "ms"), ("record/cost", "dims", ["chip", "row"]),
     ("/", "chance_accuracy", 0.125), ("/", "format", None)],
)  # fmt: skip
def test_attributes_for_other_programs(place, name, value, copy):
    with h5py.File(copy, "r+") as file:
        del file[place].attrs[name]
        if value is not None:
            file[place].attrs[name] = value
    [problem] = am.check_trace(copy).problems
    assert problem.startswith(f"the attribute {name} of /{place.strip('/')} ")


def test_a_heap_in_which_hdf5_would_hang(copy):
    raw = bytearray(copy.read_bytes())
    where = raw.find(b"GCOL\1") + 16
    raw[where + 8 : where + 16] = bytes(8)
    raw[where : where + 2] = bytes(2)
    copy.write_bytes(raw)
    [problem] = am.check_trace(copy).problems
    assert problem.startswith("its attributes are damaged: a text in a heap claims 0 bytes")


def test_arrays_that_are_not_of_the_trace(copy):
    with h5py.File(copy, "r+") as file:
        file["record/more"] = np.zeros(20)
        file["own"] = np.zeros(3)
    assert am.check_trace(copy).problems == ("/own is not of this trace", "/record/more is not of this trace")
    assert "more" not in Trace(copy).record
    assert done("info", str(copy))


def test_a_later_version_is_not_repaired(copy, tmp_path):
    with h5py.File(copy, "r+") as file:
        file.attrs["format_version"] = 2
    with pytest.raises(TraceError, match=r"format version 2; this analogmgd knows up to 1: upgrade"):
        am.repair(copy, tmp_path / "new.h5")


def test_rows_that_vanish_are_missed(copy):
    with h5py.File(copy, "r+") as file:
        file["record/step"].resize(12, axis=0)
    assert "/record/step has 12 rows; it ended with 20" in am.check_trace(copy).problems[0]


def test_a_file_that_was_cut_off(copy, good, tmp_path):
    data = good.read_bytes()
    end = place(good, "record/step", 12)  # behind all other values of the rows
    copy.write_bytes(data[:end])
    new = tmp_path / "new.h5"
    assert "it is truncated" in call("info", "--check", str(copy)).stdout
    said = strict(done("repair", str(copy), "-o", str(new), "--json"))
    with Trace(new) as trace, Trace(good) as whole:
        assert trace.status == "interrupted"
        assert trace.rows == said["rows"] == 12
        assert "/record: rows 12 to 19" in said["lost"]
        kept = np.isin(whole.step, trace.step)
        for name in trace.record:
            assert_bits(trace.record[name], whole.record[name][kept], name)
    assert am.check_trace(new).whole
    assert copy.read_bytes() == data[:end]
    copy.write_bytes(data[:3000])
    result = call("repair", str(copy), "-o", str(new), "--force")
    assert result.exit_code == 1
    assert "cannot be repaired" in result.stderr
    assert result.stderr.count("\n") == 1


def test_what_repair_refuses(copy, tmp_path):
    (tmp_path / "there.h5").write_text("mine")
    assert "exists" in refusal("repair", str(copy), "-o", str(tmp_path / "there.h5"))
    assert (tmp_path / "there.h5").read_text() == "mine"
    with pytest.raises(ConfigError, match="is the damaged trace itself"):
        am.repair(copy, copy, force=True)
    assert "there is no trace" in refusal("repair", "none.h5", "-o", "new.h5")


def test_what_was_salvaged_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {"chips": 3, "seed": 1, "record_every": 30, "record": ("cost", "theta")}
    whole = am.train(XOR, "parity", am.MGD(eta=0.3), steps=700, **settings)
    am.train(XOR, "parity", am.MGD(eta=0.3), steps=300, trace="run.h5", **settings).close()
    path = Path("run.h5")
    before = path.read_bytes()
    flip(path, place(path, "final/theta"))
    found = am.repair("run.h5", "new.h5")
    assert (found.lost, found.checkpoint) == (("/final/theta",), 300)
    assert_bits(am.resume("new.h5", steps=700).theta, whole.theta, "theta")
    assert am.repair("run.h5", "again.h5").checkpoint == 300
    ended = am.resume("again.h5")  # not a step is missing, only the end
    assert (ended.status, ended.rows) == ("complete", 11)
    path.write_bytes(before)
    flip(path, place(path, "record/cost", 4))
    with pytest.raises(TraceError, match="rows 0 to 10 of /record/cost"):
        am.resume("run.h5", steps=700)
    found = am.repair("run.h5", "from-start.h5")
    assert found.checkpoint == 0
    assert found.lost[-1] == "the checkpoint: the run can only be gone on with from its start"
    assert_bits(am.resume("from-start.h5", steps=700).theta, whole.theta, "theta")
    path.write_bytes(before)
    with h5py.File(path) as file:
        slot = next(n for n in (0, 1) if file["checkpoint/text"][n])
    flip(path, place(path, "checkpoint/state") + slot * h5py.File(path)["checkpoint/state"].shape[1])
    assert "checkpoint" in am.check_trace("run.h5").problems[0]


def test_a_checkpoint_of_rows_that_are_lost_is_not_kept(tmp_path, monkeypatch):
    """The rows behind the damaged one are, so that there would be as many."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trace_file, "BLOCK_SECONDS", -1.0)  # every row is a block
    settings = {"chips": 3, "seed": 1, "record_every": 30}
    am.train(XOR, "parity", am.MGD(eta=0.3), steps=300, trace="run.h5", **settings).close()
    before = Path("run.h5").read_bytes()
    for row, kept, step in ((4, 10, 0), (10, 10, 0)):
        Path("run.h5").write_bytes(before)
        flip(Path("run.h5"), place(Path("run.h5"), "record/cost", row))
        found = am.repair("run.h5", "new.h5", force=True)
        assert (found.rows, found.checkpoint) == (kept, step)
        assert found.lost[0] == f"/record: row {row}"
        whole = am.train(XOR, "parity", am.MGD(eta=0.3), steps=300, **settings)
        with am.resume("new.h5") as more:
            assert_bits(more.cost, whole.cost, "cost")
            assert_bits(more.theta, whole.theta, "theta")


def test_chips_that_are_lost_are_made_anew_but_not_a_start_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chip = am.Chip(XOR, neuron=am.Neuron(spread=0.2))
    whole = am.train(chip, "parity", am.MGD(eta=0.3), steps=300, chips=3)
    for name, start in (("a.h5", None), ("b.h5", np.linspace(-1, 1, 9))):
        am.train(chip, "parity", am.MGD(eta=0.3), steps=100, chips=3, theta0=start, trace=name).close()
    with h5py.File("a.h5") as file:
        lost = next(name for name in file["chips"] if name != "id")
    flip(Path("a.h5"), place(Path("a.h5"), f"chips/{lost}"))
    assert am.repair("a.h5", "c.h5").lost == (f"/chips/{lost}",)
    with am.resume("c.h5", steps=300) as run:
        assert_bits(run.theta, whole.theta, "theta")
        assert_bits(run.chip_arrays[lost], whole.chip_arrays[lost], lost)
    flip(Path("b.h5"), place(Path("b.h5"), "chips/theta0"))
    assert am.repair("b.h5", "d.h5").lost == ("/chips/theta0",)
    with pytest.raises(TraceError, match="the parameters it started from are lost"):
        am.resume("d.h5", steps=300)


def test_damage_of_every_kind(tmp_path):
    """A small part of what bench/damage.py does."""
    program = Path(__file__).parent.parent / "bench" / "damage.py"
    words = [sys.executable, str(program), "--count", "12", "--plots", "100", "--seed", "3", "--out", str(tmp_path)]
    ran = subprocess.run(words, capture_output=True, text=True, env=os.environ)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads((tmp_path / "damage.json").read_text())
    assert found["bad"] == []
    assert sum(found["outcomes"]["export"].values()) == 12
