"""Traces in memory and in files: the memory back end is the oracle of the file one."""

import contextlib
import itertools
import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trace_samples import ALL, CONFIG, header, learning, make_trace, probes

from analogmgd import trace_file, trace_schema
from analogmgd.errors import ConfigError, TraceError
from analogmgd.trace import Trace, TraceHeader, check_fits, estimate_record_bytes, open_writer


def assert_same(a: Trace, b: Trace) -> None:
    """Both traces show the same, but for their path and time of creation."""
    for name in ("rows", "probe_rows", "n_params", "status", "seed", "config", "environment", "chance"):
        assert getattr(a, name) == getattr(b, name), name
    assert (a.diverged, a.extra, a.ended) == (b.diverged, b.extra, b.ended)
    np.testing.assert_array_equal(a.chips, b.chips)
    for one, other in ((a.record, b.record), (a.probe, b.probe), (a.chip_arrays, b.chip_arrays)):
        assert set(one) == set(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
            assert one[name].dtype == other[name].dtype == other.dtype(name)
            assert one.shape(name) == other.shape(name) == one[name].shape
            assert (one.unit(name), one.dims(name)) == (other.unit(name), other.dims(name))
    if a.ended:
        np.testing.assert_array_equal(a.theta, b.theta)
        assert a.theta.dtype == b.theta.dtype
    assert json.dumps(about(a), allow_nan=False) == json.dumps(about(b))


def about(trace: Trace) -> dict:
    return {key: value for key, value in trace.summary().items() if key not in ("path", "created_utc")}


@st.composite
def runs(draw):
    chips, rows = draw(st.integers(1, 6)), draw(st.integers(0, 60))
    expected = draw(st.integers(0, 80))
    head = header(
        chips,
        draw(st.integers(1, 40)),
        tuple(draw(st.sets(st.sampled_from(ALL)))),
        dtype=draw(st.sampled_from([np.float32, np.float64])),
        probe_chips=np.arange(min(chips, draw(st.integers(0, 2)))) + 10,
        chip_arrays={"gain": np.arange(chips) / 3, "neuron": np.ones((chips, 2, 4), np.float32)},
        expected_rows=expected,
        expected_probe_steps=expected,
    )
    cuts = [0, *sorted(draw(st.lists(st.integers(0, rows), max_size=5))), rows]
    sizes = {
        "BLOCK_BYTES": draw(st.sampled_from([1, 500, 8 << 20])),
        "IMAGE_BYTES": draw(st.sampled_from([1, 1 << 20])),
        "BLOCK_SECONDS": draw(st.sampled_from([0, 100])),
    }
    ending = draw(st.sampled_from(["complete", "interrupted", "diverged", "abort"]))
    return head, cuts, sizes, draw(st.sampled_from([64, 1 << 19])), ending


def write(path, head, cuts, ending) -> Trace:
    kept, shown = learning(head, np.arange(cuts[-1]) * 7), probes(head, np.arange(cuts[-1]) * 2)
    theta = np.random.default_rng(0).normal(size=(len(head.chips), head.n_params))
    with open_writer(path, head, force=True) as writer:
        for start, stop in itertools.pairwise(cuts):
            writer.append({name: array[start:stop] for name, array in kept.items()}, flush=stop % 3 == 0)
            if len(head.probe_chips):
                writer.append_probe({name: array[start:stop] for name, array in shown.items()})
        assert writer.rows == cuts[-1]
        if ending != "abort":
            gone = {10: 14} if ending == "diverged" else {}
            return writer.finish(ending, theta, gone, {"wall_seconds": 1.5, "note": np.float32(2)})
    return Trace(path) if path else Trace(writer.store())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(run=runs())
def test_file_equals_memory(tmp_path, monkeypatch, run):
    head, cuts, sizes, chunk, ending = run
    path = tmp_path / "run.h5"
    with monkeypatch.context() as patch:
        for name, value in sizes.items():
            patch.setattr(trace_schema if name == "BLOCK_BYTES" else trace_file, name, value)
        patch.setattr(trace_schema, "CHUNK_BYTES", chunk)
        memory, file = write(None, head, cuts, ending), write(path, head, cuts, ending)
    assert_same(memory, file)
    assert file.status == ("interrupted" if ending == "abort" else ending)
    rows, chips = cuts[-1], len(head.chips)
    for name in memory.record if rows else ():
        last = (np.s_[:], [0, chips - 1]) if chips > 1 else np.s_[1:]
        whole = memory.record[name].ndim > 1
        for index in (-1, 0, np.s_[::2], np.s_[1:-1], *((np.s_[:, 0], np.s_[-1, :1], last) if whole else ())):
            np.testing.assert_array_equal(memory.record.read(name, index), file.record.read(name, index))
            np.testing.assert_array_equal(memory.record.read(name, index), memory.record[name][index])
    file.close()
    with h5py.File(path) as plain:  # no flags, nothing of ours
        assert plain.attrs["status"] == file.status
        assert len(plain["record/step"]) == rows


def test_schema_is_that_of_the_design(tmp_path):
    path = tmp_path / "run.h5"
    variation = {"neuron": np.ones((3, 3, 4)), "gain": np.ones((3, 9))}
    made = make_trace(path, record=ALL, probe_chips=[11], probe_steps=5, chip_arrays=variation)
    made.close()
    found = {}
    with h5py.File(path) as file:
        attrs = dict(file.attrs)
        file.visititems(lambda name, item: found.update({name: item.shape} if hasattr(item, "shape") else {}))
        units = {name: file[name].attrs["unit"] for name in found}
        dims = {name: tuple(file[name].attrs["dims"]) for name in found}
        assert file["record/step"].dtype == np.int64
        assert file["record/time"].dtype == np.float64
        assert file["record/cost"].dtype == np.float32
        assert all(file[name].maxshape[0] is None for name in found if name.startswith("record/"))
    assert found == {
        **{f"record/{name}": (50,) for name in ("step", "time")},
        **{f"record/{name}": (50, 3) for name in ("cost", "accuracy", "cost_ac", "angle")},
        **{f"record/{name}": (50, 3, 9) for name in ("theta", "gradient")},
        **{f"probe/{name}": (5, 1) for name in ("cost", "cost_ac", "sample")},
        "probe/step": (5,),
        "probe/chip": (1,),
        "chips/id": (3,),
        "chips/neuron": (3, 3, 4),
        "chips/gain": (3, 9),
        "final/theta": (3, 9),
        "final/diverged_step": (3,),
        "final/state": (1,),
        "header": (1,),
        "check/record": (1, 10),
        "check/probe": (1, 6),
    }
    assert dims["record/theta"] == ("record", "chip", "parameter")
    assert dims["record/cost"] == ("record", "chip")
    assert dims["chips/gain"] == ("chip", "parameter")
    assert (units["record/time"], units["record/angle"], units["record/cost"]) == ("s", "deg", "1")
    assert all(len(dims[name]) == len(shape) for name, shape in found.items())
    assert attrs["format"] == "analogmgd-trace"
    assert attrs["format_version"] == 1
    assert attrs["status"] == "complete"
    assert attrs["config"] == CONFIG
    assert int(attrs["seed"]) == 2**64 - 1
    assert json.loads(attrs["environment"]) == {"python": "3", "threads": 2}
    assert attrs["created_utc"].endswith("Z")
    assert attrs["analogmgd_version"]


def test_what_was_not_recorded_is_named(tmp_path):
    for path in (None, tmp_path / "run.h5"):
        run = make_trace(path)
        with pytest.raises(TraceError, match=r"gradient was not recorded: .* holds step, time, cost, accuracy"):
            _ = run.gradient
        with pytest.raises(TraceError, match="cost was not probed"):
            _ = run.probe["cost"]
        with pytest.raises(TraceError, match="gain is not there"):
            _ = run.chip_arrays["gain"]
        assert "angle" not in run.record
        assert "cost" in run.record
        assert "50 rows, 3 chips" in repr(run)
        run.close()


def test_an_aborted_run_keeps_its_rows_and_has_no_final_theta(tmp_path):
    path, head = tmp_path / "run.h5", header(record=("cost",))
    with contextlib.suppress(KeyboardInterrupt), open_writer(path, head) as writer:
        writer.append(learning(head, np.arange(5)))
        raise KeyboardInterrupt
    with Trace(path) as run:
        assert (run.status, run.status_text, run.rows) == ("interrupted", "interrupted", 5)
        with pytest.raises(TraceError, match=r"final theta .* is not written; its status is interrupted"):
            _ = run.theta
        assert run.summary()["chip_steps_per_s"] is None


def test_a_writer_checks_what_it_is_given(tmp_path):
    head = header(record=("cost",))
    for path in (None, tmp_path / "run.h5"):
        with open_writer(path, head) as writer:
            rows = learning(head, np.arange(3))
            writer.append(rows)
            with pytest.raises(ValueError, match="expected \\['cost', 'step', 'time'\\]"):
                writer.append({"step": [5]})
            with pytest.raises(ValueError, match=r"cost has shape \(3, 2\); expected \(3, 3\)"):
                writer.append(rows | {"step": [5, 6, 7], "cost": rows["cost"][:, :2]})
            for steps in ([2, 3, 4], [5, 5, 6], [9, 8, 10]):
                with pytest.raises(ValueError, match="rise"):
                    writer.append(rows | {"step": steps})
            with pytest.raises(ValueError, match="allowed are complete"):
                writer.finish("done", np.zeros((3, 9)))
            with pytest.raises(ValueError, match="theta has shape"):
                writer.finish("complete", np.zeros((3, 8)))
            with pytest.raises(ValueError, match="chip 3"):
                writer.finish("diverged", np.zeros((3, 9)), {3: 0})
            with pytest.raises(ValueError, match="bytes of JSON"):
                writer.finish("complete", np.zeros((3, 9)), {}, {"long": "x" * 20000})
            run = writer.finish("complete", np.full((3, 9), 1e300))  # what diverges may overflow float32
            assert np.isinf(run.theta).all()
            with pytest.raises(ValueError, match="closed"):
                writer.append(rows)
            run.close()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"chips": []}, "chips is empty"),
        ({"chips": [1, 1]}, "chips must be"),
        ({"chips": [-1]}, "chips must be"),
        ({"probe_chips": [7]}, "probe_chips has chip 7"),
        ({"record": ("costs",)}, "record has 'costs'; allowed are cost, accuracy"),
        ({"dtype": np.int32}, "dtype is int32"),
        ({"n_params": 0}, "n_params is 0"),
        ({"expected_rows": -1}, "expected_rows"),
        ({"chip_arrays": {"gain": np.ones(2)}}, r"chip_arrays\['gain'\] is float64\[2\]"),
        ({"chip_arrays": {"id": np.ones(1)}}, "the name 'id'"),
    ],
)
def test_a_bad_header_is_one_line(change, text):
    arguments = {"config": "", "seed": 0, "chips": [4], "n_params": 3}
    with pytest.raises(ConfigError, match=text) as raised:
        TraceHeader(**{**arguments, **change})
    assert "\n" not in str(raised.value)


def test_collapsed_chips_are_counted():
    accuracy = {  # chance is 0.5: low is 0.55 or less, learned is more than 0.75
        "learned": [0.5, 0.8, 1.0],
        "never learned": [0.5, 0.75, 0.5],
        "collapsed": [0.5, 1.0, 0.55],
        "late": [0.8, 0.7, 0.56],
        "diverged": [0.9, 1.0, 0.5],
        "no number": [0.9, 1.0, np.nan],
    }
    head = header(6, record=("accuracy",))
    with open_writer(None, head) as writer:
        writer.append({"step": [0, 1, 2], "time": [0, 1, 2], "accuracy": np.array([*accuracy.values()]).T})
        run = writer.finish("complete", np.zeros((6, 9)), {14: 2}, {"wall_seconds": 4.0})
    assert run.collapsed().tolist() == [name == "collapsed" for name in accuracy]
    found = run.summary()
    assert found["collapsed"] == 1
    assert found["diverged"] == {"14": 2}
    assert found["final_accuracy"]["finite"] == 5
    assert found["final_accuracy"]["median"] == pytest.approx(0.55)
    assert found["chip_steps_per_s"] == 2 * 6 / 4
    assert make_trace(chance=None).summary()["collapsed"] is None
    assert make_trace(rows=0).summary()["final_cost"] is None


@pytest.mark.parametrize(
    ("chips", "params", "record", "rows", "probed"),
    [
        (1, 9, ("cost", "accuracy"), 1, 0),
        (1, 9, ALL, 1001, 1),
        (5, 20000, ("theta",), 19, 0),
        (67, 301, ("theta", "gradient", "cost"), 50, 3),
        (3000, 9, ("cost", "angle"), 33, 0),
    ],
)
def test_the_size_is_known_before(tmp_path, chips, params, record, rows, probed):
    path = tmp_path / "run.h5"
    extra = {"probe_chips": np.arange(probed) + 10, "chip_arrays": {"gain": np.ones((chips, params))}}
    make_trace(path, rows, probe_steps=5000, chips=chips, params=params, record=record, **extra).close()
    head = header(chips, params, record, expected_rows=rows, expected_probe_steps=5000, **extra)
    assert sum(estimate_record_bytes(head).values()) == pytest.approx(os.path.getsize(path), rel=0.1)
    memory = estimate_record_bytes(head, in_file=False)
    assert memory["record/step"] == 8 * rows


def test_what_does_not_fit_is_refused_with_its_size(tmp_path, monkeypatch):
    head = header(4096, 2410, ("cost", "theta"), expected_rows=1_000_000)
    with pytest.raises(ConfigError) as raised:
        open_writer(tmp_path / "run.h5", head)
    text = str(raised.value)
    assert text.startswith("record would need 39.5 TB (theta: 1000000 rows x 4096 chips x 2410 parameters x 4")
    assert "are free on disk: record fewer rows (record_every), chips or quantities" in text
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigError, match="of memory are available: record fewer"):
        open_writer(None, head)
    probing = header(record=(), probe_chips=[10, 11], expected_probe_steps=10**14)
    with pytest.raises(ConfigError, match=r"probe sample: 100000000000000 steps x 2 chips x 8 bytes"):
        check_fits(probing, None)
    assert check_fits(header(), None) < 1e6


def test_a_path_that_cannot_be_used_is_one_line(tmp_path, monkeypatch):
    head = header()
    old = tmp_path / "old.h5"
    old.write_bytes(b"precious")

    def refused(path, text, force=False):
        with pytest.raises(ConfigError, match=text) as raised:
            open_writer(path, head, force)
        assert "\n" not in str(raised.value)

    refused(old, "exists: choose another path, or replace it with --force")
    refused(tmp_path, "it is a directory", force=True)
    refused(tmp_path / "none" / "run.h5", "its directory does not exist")
    refused(old / "run.h5", "its directory does not exist")
    refused("/dev/null", "it exists and is not a file", force=True)
    if os.geteuid():
        (tmp_path / "locked").mkdir(mode=0o500)
        refused(tmp_path / "locked" / "run.h5", "Permission denied")

    def full(*_):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:  # the old file outlives a new one that cannot be made
        patch.setattr(os, "replace", full)
        refused(old, "cannot create the trace .*: No space left on device", force=True)
    assert old.read_bytes() == b"precious"
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []
    with open_writer(old, head, force=True) as writer:
        refused(old, f"is being written by process {os.getpid()}", force=True)
        writer.append(learning(head, np.arange(4)), flush=True)
        with Trace(old) as run:  # of the process that writes it
            assert (run.status, run.rows) == ("running", 4)
        writer.finish("complete", np.zeros((3, 9))).close()
    link = tmp_path / "link.h5"
    link.symlink_to(old)
    open_writer(link, head, force=True).abort()
    assert link.is_symlink()
    assert Trace(old).status == "interrupted"


def test_large_arrays_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("analogmgd.trace.CACHE_BYTES", 100)
    with make_trace(tmp_path / "run.h5") as run:
        assert run.cost is not run.cost
        assert run.record.read("cost", np.s_[-1, 0]) == run.cost[-1, 0]
        for wrong in (50, np.s_[:, 9]):
            with pytest.raises(IndexError):
                run.record.read("cost", wrong)
        with pytest.raises(TypeError):
            run.record.read("cost", np.s_[:, [1, 0]])
    assert Path(run.path).exists()
