"""Files that are no traces, or no longer: one line that says so, never a crash, a hang or an empty trace."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from trace_samples import ALL, make_trace

from analogmgd.errors import TraceError
from analogmgd.trace import Trace


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "run.h5"
    variation = {"gain": np.arange(3.0), "neuron": np.ones((3, 2, 4))}
    make_trace(path, 20, record=ALL, probe_chips=[10], probe_steps=30, chip_arrays=variation).close()
    return path.read_bytes()


def damaged(path: Path, text: str) -> None:
    with pytest.raises(TraceError, match=text) as raised:
        Trace(path)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


def test_files_that_are_no_traces(tmp_path, good):
    path = tmp_path / "run.h5"
    damaged(path, "there is no trace")
    damaged(tmp_path, "is a directory")
    path.write_bytes(b"")
    damaged(path, r"is empty \(0 bytes\)")
    path.write_text("step,cost\n0,1\n")
    damaged(path, "is not a trace: it is not an HDF5 file")
    with h5py.File(path, "w") as file:
        file["record/step"] = [1, 2]
    damaged(path, "is an HDF5 file but not a trace of analogmgd")
    for size in (1, 20, 60, 5000, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:size])
        damaged(path, "is not a trace|is truncated|cannot open|damaged")


def _spoil(name):
    def change(file):
        del file[name]

    return change


def _replace(name, value):
    def change(file):
        del file[name]
        file[name] = value

    return change


def _attribute(name, value):
    def change(file):
        file.attrs[name] = value

    return change


def _shrink(file):
    file["record/cost"].resize(7, axis=0)


def _linked(file):
    del file["record/cost"]
    file["record/cost"] = h5py.ExternalLink("elsewhere.h5", "/data")


def _lost_chunks(file):
    chunks = file["record/theta"].chunks
    del file["record/theta"]
    file.create_dataset("record/theta", (20, 3, 9), "f4", chunks=chunks)


def _huge(file):
    del file["record/step"]
    file.create_dataset("record/step", (10**13,), "i8", chunks=(1000,), fillvalue=3)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_attribute("format_version", 2), "has format version 2; this analogmgd reads up to 1: upgrade"),
        (_attribute("format_version", "new"), "format_version is not a number"),
        (_attribute("format_version", 0), "format_version is not a number"),
        *((_spoil(name), f"/{name} is missing") for name in ("record/time", "chips/id", "final/theta")),
        (_spoil("record"), "/record/step is missing"),
        (_spoil("header"), "not a trace of analogmgd"),
        (_spoil("final/state"), "/final/state is missing"),
        (_spoil("probe/step"), "/probe/step is missing"),
        (_replace("header", np.array([b"{}"])), "cannot read /header: its checksum is wrong"),
        (_replace("final/state", np.array([1])), "/final/state is not a text"),
        (_replace("record/step", np.arange(20)[::-1].copy()), "do not rise"),
        (_replace("record/step", np.zeros(20)), "/record/step is not a list of steps"),
        (_replace("record/time", np.arange(20)), "its arrays have types"),
        (_replace("record/cost", np.zeros((20, 4))), r"/record/cost has shape \(20, 4\); expected \(20, 3\)"),
        (_replace("record/cost", np.array([b"x"] * 20)), "has shape"),
        (_replace("chips/id", np.arange(4)), "disagree"),
        (_shrink, r"/record/cost has shape \(7, 3\)"),
        (_linked, "/record/cost"),
        (_lost_chunks, r"/record/theta claims 2.16 kB, the file has 0 B"),
        (_huge, "/record/step claims 80 TB"),
    ],
)
def test_damaged_files_are_one_line(tmp_path, good, change, text):
    path = tmp_path / "run.h5"
    path.write_bytes(good)
    with h5py.File(path, "r+") as file:
        change(file)
    damaged(path, text)


def test_what_is_wrong_is_never_a_crash(tmp_path, good):
    """Changed bytes: an error in one line, or a trace that can be read to its end."""
    rng, path, refused = np.random.default_rng(0), tmp_path / "run.h5", []
    for _ in range(100):
        bytes_ = bytearray(good)
        for place in rng.integers(0, len(good) if rng.random() < 0.3 else 9000, rng.integers(1, 4)):
            bytes_[place] ^= 1 << rng.integers(8)
        path.write_bytes(bytes_)
        try:
            with Trace(path) as trace:
                trace.summary()
                for columns in (trace.record, trace.probe, trace.chip_arrays):
                    assert all(columns[name].shape == columns.shape(name) for name in columns)
        except TraceError as error:
            refused.append(str(error))
    assert len(refused) > 20
    assert "\n" not in "".join(refused)
