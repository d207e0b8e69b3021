"""Exports read back by other programs: the same numbers, to the bit."""

import csv
import json
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from trace_samples import ALL, CONFIG, header, make_trace

from analogmgd import export
from analogmgd.errors import ConfigError, TraceError
from analogmgd.export import export_trace
from analogmgd.trace import Trace, open_writer

VARIATION = {"gain": np.arange(3) / 7, "neuron": np.arange(24.0).reshape(3, 2, 4) / 3, "flag": np.eye(3, 9) > 0}
TABLES = ["record", "record_theta", "record_gradient", "probe", "final_theta", "chips"]
TABLES += ["chips_flag", "chips_neuron"]


@pytest.fixture(params=["memory", "file"])
def trace(tmp_path, request, monkeypatch):
    monkeypatch.setattr(export, "BLOCK_VALUES", 20)  # many blocks
    path = tmp_path / "run.h5" if request.param == "file" else None
    made = make_trace(
        path,
        rows=11,
        record=ALL,
        probe_chips=[10, 12],
        probe_steps=70,
        chip_arrays=VARIATION,
        chip_units={"gain": "S"},
        diverged={11: 1200},
        status="diverged",
    )
    yield made
    made.close()


def expected(trace: Trace) -> dict[str, dict[str, np.ndarray]]:
    """Every table, by plain NumPy."""
    chips, probed, n, p = trace.chips, trace.probe["chip"], len(trace.chips), trace.n_params
    lead = {"step": np.repeat(trace.step, n), "time": np.repeat(trace.time, n)}
    lead["chip"] = np.tile(chips, trace.rows)
    steps, parameters = np.repeat(trace.step, n * p), np.tile(np.arange(p), trace.rows * n)
    long = {"step": steps, "chip": np.tile(np.repeat(chips, p), trace.rows), "parameter": parameters}
    shown = {"step": np.repeat(trace.probe["step"], 2), "chip": np.tile(probed, trace.probe_rows)}
    final = {"chip": np.repeat(chips, p), "parameter": np.tile(np.arange(p), n)}
    diverged = [trace.diverged.get(int(chip), -1) for chip in chips]
    return {
        "record": lead | {k: trace.record[k].ravel() for k in ("cost", "accuracy", "cost_ac", "angle")},
        "record_theta": long | {"theta": trace.record["theta"].ravel()},
        "record_gradient": long | {"gradient": trace.gradient.ravel()},
        "probe": shown | {k: trace.probe[k].ravel() for k in ("cost", "cost_ac", "sample")},
        "final_theta": final | {"theta": trace.theta.ravel()},
        "chips": {"chip": chips, "diverged_step": np.array(diverged), "gain": VARIATION["gain"]},
        "chips_neuron": {
            "chip": np.repeat(chips, 8),
            "axis1": np.tile(np.repeat([0, 1], 4), 3),
            "axis2": np.tile(np.arange(4), 6),
            "neuron": VARIATION["neuron"].ravel(),
        },
        "chips_flag": final | {"flag": VARIATION["flag"].ravel()},
    }


def test_csv_is_exact(trace, tmp_path):
    out = tmp_path / "new" / "out"
    files = export_trace(trace, "csv", out)
    assert [path.name for path in files] == [f"{t}.csv" for t in TABLES] + ["config.toml", "metadata.json"]
    assert sorted(files) == sorted(out.iterdir())
    for name, columns in expected(trace).items():
        with open(out / f"{name}.csv", newline="") as file:
            lines = list(csv.reader(file))
        assert lines[0] == list(columns)
        for read, (column, values) in zip(zip(*lines[1:], strict=True), columns.items(), strict=True):
            if values.dtype == bool:
                assert list(read) == [str(value) for value in values]
            else:
                text = np.array(read, dtype=np.float64 if values.dtype.kind == "f" else np.int64)
                np.testing.assert_array_equal(text, values.astype(text.dtype), err_msg=f"{name} {column}")
    table = np.genfromtxt(out / "record.csv", delimiter=",", names=True)
    np.testing.assert_array_equal(table["cost"].astype(np.float32), trace.cost.ravel())


def test_parquet_is_exact(trace, tmp_path):
    export_trace(trace, "parquet", tmp_path / "out")
    for name, columns in expected(trace).items():
        table = pyarrow.parquet.read_table(tmp_path / "out" / f"{name}.parquet")
        assert table.column_names == list(columns)
        for column, values in columns.items():
            read = table[column].to_numpy()
            assert read.dtype == values.dtype
            np.testing.assert_array_equal(read, values)
    field = pyarrow.parquet.read_schema(tmp_path / "out" / "record.parquet").field("angle")
    assert field.metadata[b"unit"] == b"deg"


def test_npz_is_exact(trace, tmp_path):
    files = export_trace(trace, "npz", tmp_path / "out")
    assert [path.name for path in files] == ["trace.npz", "config.toml", "metadata.json"]
    with np.load(files[0], allow_pickle=False) as arrays:
        found = dict(arrays)
    groups = (("record", trace.record), ("probe", trace.probe), ("chips", trace.chip_arrays))
    wanted = {f"{group}/{name}": columns[name] for group, columns in groups for name in columns}
    wanted |= {"chips/id": trace.chips, "final/theta": trace.theta}
    wanted["final/diverged_step"] = np.array([-1, 1200, -1])
    assert set(found) == set(wanted)
    for name, values in wanted.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


def test_the_run_is_described(trace, tmp_path):
    export_trace(trace, "csv", tmp_path / "out")
    assert (tmp_path / "out" / "config.toml").read_text() == CONFIG
    about = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert about["summary"]["status"] == "diverged"
    assert about["files"]["record"]["time"] == {
        "type": "float64",
        "unit": "s",
        "meaning": "emulated hardware time",
    }
    assert about["files"]["chips"]["gain"]["unit"] == "S"
    assert set(about["files"]) == set(TABLES)
    export_trace(trace, "npz", tmp_path / "out", force=True)
    about = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert about["files"]["trace"]["record/theta"]["dims"] == ["record", "chip", "parameter"]


@pytest.mark.parametrize("fmt", ["csv", "npz", "parquet"])
def test_an_empty_and_an_unfinished_trace(tmp_path, fmt):
    export_trace(make_trace(rows=0, record=("cost", "theta")), fmt, tmp_path / "empty")
    path = tmp_path / "run.h5"
    with open_writer(path, header(record=("cost",))) as writer:
        writer.append({"step": [0, 5], "time": [0, 1e-3], "cost": np.ones((2, 3))}, flush=True)
        names = [target.name for target in export_trace(path, fmt, tmp_path / "live")]
    assert f"final_theta.{fmt}" not in names
    if fmt == "csv":
        assert (tmp_path / "empty" / "record_theta.csv").read_text() == "step,chip,parameter,theta\n"
        assert len((tmp_path / "live" / "record.csv").read_text().splitlines()) == 7


def test_numbers_that_are_not_finite(tmp_path):
    trace = make_trace(diverged={10: 400}, rows=4, status="diverged")
    export_trace(trace, "csv", tmp_path)
    read = np.genfromtxt(tmp_path / "record.csv", delimiter=",", names=True)["cost"]
    np.testing.assert_array_equal(read.astype(np.float32), trace.cost.ravel())
    assert np.isnan(read).sum() == 2


def test_errors_are_one_line(tmp_path, monkeypatch):
    trace = make_trace()
    with pytest.raises(ConfigError, match="format is 'xls'; allowed are csv, npz, parquet"):
        export_trace(trace, "xls", tmp_path)
    export_trace(trace, "csv", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError, match=r"record\.csv' exists: .* --force"):
        export_trace(make_trace(rows=3), "csv", tmp_path)
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}
    export_trace(make_trace(rows=3), "csv", tmp_path, force=True)
    assert len((tmp_path / "record.csv").read_text().splitlines()) == 10
    with pytest.raises(ConfigError, match="cannot make the directory"):
        export_trace(trace, "csv", tmp_path / "record.csv")
    with pytest.raises(TraceError, match="there is no trace"):
        export_trace(tmp_path / "none.h5", "csv", tmp_path)

    def full(columns, blocks, path: Path):
        path.write_text("half")
        raise OSError(28, os.strerror(28))

    monkeypatch.setitem(export.FORMATS, "csv", full)
    with pytest.raises(TraceError, match=r"cannot write .*record\.csv': No space left on device"):
        export_trace(trace, "csv", tmp_path / "full")
    assert not list((tmp_path / "full").iterdir())


def test_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError) as raised:
        export_trace(make_trace(), "parquet", tmp_path / "out")
    assert str(raised.value) == 'format "parquet" needs pyarrow: pip install "analogmgd[parquet]"'
    assert not (tmp_path / "out").exists()
