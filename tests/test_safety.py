"""Files and words of the user are data: nothing is executed, no size is believed, nothing outside of a file is read."""

import importlib
import io
import os
import resource
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from cli_help import call, refusal

import analogmgd as am
from analogmgd import limits, text_file
from analogmgd.cli.group import LONGEST
from analogmgd.config import parse_toml, read_toml
from analogmgd.data import load_dataset
from analogmgd.datasets import files
from analogmgd.errors import ConfigError, DataError
from analogmgd.progress import Bar

BENCH = Path(__file__).parent.parent / "bench"
HUGE = hex(16**5000)  # Python refuses to write it in decimal
ARRAYS = {"x_train": np.eye(3), "y_train": np.arange(3.0)}


@pytest.fixture
def program(monkeypatch):
    """A module of bench/, for as long as a test lasts."""
    monkeypatch.syspath_prepend(str(BENCH))
    yield importlib.import_module
    for name in ("random_configs", "drawn_configs", "fuzz_readers", "common"):
        sys.modules.pop(name, None)


# ---------------------------------------------------------------- texts


@pytest.mark.parametrize(
    "words",
    [("--set", f"rule.eta={HUGE}"), ("--set", f"run.steps={HUGE}"), ("--steps", HUGE), ("--device", "z" * 9000),
     ("--set", f"rule.{'x' * 9000}=1"), ("--set", "rule." + "x y" * 9000)],
    ids=["eta", "steps", "flag", "device", "key", "words"],
)  # fmt: skip
def test_very_long_words_are_refused_in_a_line_of_some_length(words):
    result = call("train", "parity", *words, "--no-trace")
    assert result.exit_code == 2, result.output
    [line] = result.stderr.splitlines()
    assert len(line) <= LONGEST + len("analogmgd: error: ")


@pytest.mark.parametrize(
    ("text", "says"),
    [(f"rule.eta = {HUGE}", "more than 1000 digits"), (f"x.y = [1, {{a = {HUGE}}}]", "more than 1000 digits"),
     ("9" * 5000 + " = 1\nrun.steps = " + "9" * 5000, "not valid TOML"), ("a." * 300 + "a = 1", "50 deep"),
     ("x = " + "[" * 5000, "not valid TOML"), ("x" * 9000 + " = 1", "unknown table"), ("rule = 1", "must be a table"),
     ("data.name = " + repr("n" * 5000), "nnn"),
     ("data.data_dir = '/" + "n" * 5000 + "'\ndata.name='digits'", "digits"),
     ('data.name = "parity"\nsweep.vary."run.seed" = [' + HUGE + "]", "digits")],
)  # fmt: skip
def test_unsound_toml(text, says, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(text)
    command = "sweep" if "sweep" in text else "train"
    assert says in refusal(command, path, *(["--out", tmp_path / "s.h5"] if command == "sweep" else ["--no-trace"]))


def test_numbers_of_python_are_refused_as_well():
    with pytest.raises(ConfigError, match=r"run\.steps = a number of thousands of digits"):
        am.Run(steps=16**5000)
    with pytest.raises(ConfigError, match=r"run\.record\.0 = a number of thousands"):
        am.Run(record=[16**5000])


def test_toml_as_deep_as_allowed():
    assert parse_toml("a." * 50 + "a = 1")
    with pytest.raises(ConfigError, match="50 deep"):
        parse_toml("a." * 51 + "a = 1")


def test_only_plain_files_of_some_size_are_read(tmp_path, monkeypatch):
    (tmp_path / "null.toml").symlink_to("/dev/null")
    with pytest.raises(ConfigError, match="not a plain file"):
        read_toml(tmp_path / "null.toml")
    (tmp_path / "a.toml").write_text("x = 1     ")
    monkeypatch.setattr(text_file, "MOST_BYTES", 10)
    assert read_toml(tmp_path / "a.toml") == {"x": 1}
    monkeypatch.setattr(text_file, "MOST_BYTES", 9)
    with pytest.raises(ConfigError, match="cannot be read: larger than"):
        read_toml(tmp_path / "a.toml")


# ---------------------------------------------------------------- data files


def test_npz_goes_by_its_directory_and_not_by_how_it_begins(tmp_path):
    stream = io.BytesIO()
    np.savez(stream, **ARRAYS)
    other = io.BytesIO()
    np.save(other, np.array([object()]), allow_pickle=True)
    path = tmp_path / "a.npz"
    path.write_bytes(other.getvalue() + stream.getvalue())
    assert load_dataset(path).x_train.shape == (3, 3)


def test_npz_whose_headers_may_be_of_any_size_is_refused(tmp_path):
    member = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b" " * 1000
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x_train.npy", member)
        archive.writestr("y_train.npy", member)
    with pytest.raises(DataError, match=r"array format version 2\.0"):
        load_dataset(tmp_path / "a.npz")


@pytest.mark.parametrize("how", ["link", "storage", "virtual"])
def test_hdf5_must_not_refer_to_other_files(how, tmp_path):
    np.eye(3).tofile(tmp_path / "other.raw")
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x_train"] = np.eye(3)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["y_train"] = np.arange(3.0)
        if how == "link":
            file["x_train"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/x_train")
        elif how == "storage":
            place = [(str(tmp_path / "other.raw"), 0, 72)]
            file.create_dataset("x_train", (3, 3), "f8", external=place)
        else:
            layout = h5py.VirtualLayout((3, 3), "f8")
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x_train", shape=(3, 3))
            file.create_virtual_dataset("x_train", layout)
    with pytest.raises(DataError, match="x_train refers to another file"):
        load_dataset(tmp_path / "a.h5")


@pytest.mark.parametrize(
    "settings", [{"compression": "gzip", "shuffle": True}, {"compression": "lzf"}, {"fletcher32": True}]
)
def test_hdf5_may_be_packed_with_its_own_filters_only(settings, tmp_path, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x_train", data=np.eye(3), chunks=(3, 3), **settings)
        file["y_train"] = np.arange(3.0)
    assert load_dataset(tmp_path / "a.h5").x_train.shape == (3, 3)
    monkeypatch.setattr(files, "FILTERS", set())
    with pytest.raises(DataError, match="x_train is packed with filter"):
        load_dataset(tmp_path / "a.h5")


# ---------------------------------------------------------------- limits


def test_free_memory_is_what_container_and_ulimit_leave(tmp_path, monkeypatch):
    monkeypatch.setattr(limits.psutil, "virtual_memory", lambda: SimpleNamespace(available=10**9))
    monkeypatch.setattr(limits, "GROUP", tmp_path)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY,) * 2)
    assert limits.free_memory() == 10**9
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("600\n")
    assert limits.free_memory() == 10**9
    (tmp_path / "memory.max").write_text("1000\n")
    assert limits.free_memory() == 400
    used = limits.psutil.Process().memory_info().vms
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (used // 2, used))
    assert limits.free_memory() == 0
    line = refusal("train", "parity", "--no-trace")
    assert "memory" in line
    assert "0.0 GB are free" in line


def test_chips_and_rows_that_fit_only_one_at_a_time(monkeypatch, tmp_path):
    net = am.Network.mlp([64, 32, 10])
    settings = {"steps": 2000, "chips": 256, "record": ("theta",), "record_every": 20}
    monkeypatch.setattr(limits, "free_memory", lambda: 255_000_000)  # 252 MB of rows, 5.5 of chips
    monkeypatch.setattr("analogmgd.trace_schema.free_memory", lambda: 255_000_000)
    monkeypatch.setattr("analogmgd.plan_checks.free_memory", lambda: 255_000_000)
    with pytest.raises(
        ConfigError, match=r"run\.chips = 256: .* for the chips and 252 MB for their rows, and 255 MB are"
    ):
        am.train(net, "digits", am.MGD(eta=0.01), **settings)
    settings["steps"] = 20
    am.train(net, "digits", am.MGD(eta=0.01), **settings)


def test_a_run_says_what_it_needs_and_its_file_has_that_size(tmp_path):
    file, path = io.StringIO(), tmp_path / "run.h5"
    net, rule = am.Network.mlp([2, 2, 1]), am.MGD(eta=0.1)
    settings = {"steps": 3000, "chips": 64, "record_every": 10, "record": ("cost", "theta"), "threads": 1}
    am.train(net, "parity", rule, trace=path, progress=Bar(file, title="a run"), **settings)
    first, second = file.getvalue().splitlines()[0], next(q for q in file.getvalue().splitlines() if "needs" in q)
    assert first == "a run"
    told = []
    rest = dict.fromkeys(("start", "tick", "stop"), print_nothing)
    watch = SimpleNamespace(needs=lambda *sizes: told.append(sizes), **rest)
    am.train(net, "parity", rule, trace=path, progress=watch, force=True, **settings)
    [(memory, disk)] = told
    assert second.startswith("needs about ")
    assert second.endswith((" MB", " kB"))
    assert abs(os.path.getsize(path) / disk - 1) < 0.05
    assert disk < 64 * 301 * 9 * 4 * 1.5
    assert memory > 64 * 9 * 4


def print_nothing(*arguments):
    """A part of what watches a run."""


# ---------------------------------------------------------------- drawn at random


@pytest.mark.filterwarnings("ignore::analogmgd.errors.AnalogMGDWarning")
def test_drawn_configurations_are_refused_in_a_line_or_pass_all_checks(tmp_path, monkeypatch, program):
    random_configs, drawn_configs = program("random_configs"), program("drawn_configs")
    drawn_configs.make_sets(tmp_path)
    monkeypatch.chdir(tmp_path)
    for module in ("analogmgd.train", "analogmgd.sweep_point"):
        monkeypatch.setitem(vars(importlib.import_module(module)), "Engine", random_configs.checked)
    found = [random_configs.outcome(drawn_configs.draw(5, n), tmp_path) for n in range(100)]
    kinds = {kind for kind, _ in found}
    assert not [one for one in found if one[0].startswith("BAD")]
    assert {"refused", "passed all checks"} <= kinds


def test_what_a_configuration_is_judged_by(program):
    random_configs, drawn = program("random_configs"), SimpleNamespace(sweep=False)
    line = "analogmgd: error: rule.eta = -1: must be at least 0"
    assert random_configs.judged(2, "", line, drawn)[0] == "refused"
    for code, out, err in ((1, "", line), (2, "x", line), (2, "", line + "\nmore"), (2, "", line + "x" * 999)):
        assert random_configs.judged(code, out, err, drawn)[0].startswith("BAD")
    assert random_configs.judged(2, "", "analogmgd: error: KeyError: (a bug; ..)", drawn)[0] == "BAD traceback"
    bad = '{"summary": {"final_cost": {"median": NaN}, "final_accuracy": null}}'
    assert random_configs.judged(0, bad, "", drawn)[0] == "BAD not finite"


def test_readers_bear_pieces_of_sound_files(tmp_path, program):
    fuzz = program("fuzz_readers")
    for name in fuzz.TARGETS:
        for data in fuzz.seeds(name):
            for cut in np.linspace(0, len(data), 12).astype(int):
                fuzz.attempt(name, data[:cut], tmp_path)
                fuzz.attempt(name, data[:cut] + b"\xff" + data[cut + 1 :], tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.parametrize("attribute", [True, False])
def test_a_length_of_a_text_is_not_believed(attribute, tmp_path):
    """HDF5 itself would take the 4 GB that a damaged length claims (found by fuzzing)."""
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        file["x_train"], file["y_train"] = np.eye(3), np.arange(3)
        if attribute:
            file.attrs["classes"] = ["alpha", "b", "c"]
        else:
            file["classes"] = ["alpha", "b", "c"]
    raw = bytearray(path.read_bytes())
    where = raw.find(struct.pack("<IQ", len("alpha"), raw.find(b"GCOL\1")))
    raw[where : where + 4] = struct.pack("<I", 0xF0000000)
    path.write_bytes(raw)
    before = resource.getrlimit(resource.RLIMIT_AS)
    said = f"try: load_dataset({str(path)!r})\nexcept DataError as error: print(error)"
    usage = "print(next(q for q in open('/proc/self/status') if q.startswith('VmHWM')).split()[1])"  # kB at most
    names = "from analogmgd.data import load_dataset\nfrom analogmgd.errors import DataError"
    words = [sys.executable, "-c", f"{names}\n{said}\n{usage}"]
    line, most = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "cannot be read" in line
    assert int(most) < 1_000_000
    with pytest.raises(DataError):
        load_dataset(str(path))
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_heaps_and_arrays_that_claim_more_than_the_file(tmp_path):
    """Before memory is taken: HDF5 itself would take what a heap of texts claims (found by fuzzing)."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x_train"], file["y_train"] = np.eye(3), np.array([0, 1, 2])
        file.attrs["classes"] = ["one", "two", "three"]
    assert load_dataset(path).classes == ("one", "two", "three")
    content = bytearray(path.read_bytes())
    at = content.index(b"GCOL\1\0\0\0") + 8
    content[at : at + 8] = (4 << 30).to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(DataError, match="a heap in it claims 4294967296 bytes"):
        load_dataset(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("x_train", (1000, 1000), "f8", chunks=(10, 10))  # nothing of it was written
        file["y_train"] = np.zeros((1000, 1))
    with pytest.raises(DataError, match="x_train claims 8000000 bytes, of which the file has 0"):
        load_dataset(path)
