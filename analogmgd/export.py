"""Traces for other programs: CSV, NumPy's npz, Parquet.

CSV and Parquet hold long ("tidy") tables, one observation a line, whose columns have the same names
everywhere:

    record            step, time, chip, and the recorded ones of cost, accuracy, cost_ac, angle
    record_theta      step, chip, parameter, theta
    record_gradient   step, chip, parameter, gradient
    probe             step, chip, cost, cost_ac, sample
    final_theta       chip, parameter, theta, pulses (of devices that count them)
    chips             chip, diverged_step (-1: did not), and the device variation with one value a chip
    chips_NAME        chip, axis1, ... (or parameter), NAME: device variation with more values a chip

npz holds the arrays as they are, in `trace.npz`, under their paths in the trace file ("record/cost",
"final/theta", ...). Beside each go `config.toml` and `metadata.json` (what the run was, what became of it,
and unit and meaning of every column). Numbers are exact: a CSV field reads back as the same float64.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from analogmgd.errors import ConfigError, TraceError
from analogmgd.export_formats import FORMATS, parquet_library, write_npz
from analogmgd.trace import Trace
from analogmgd.trace_open import one_line
from analogmgd.trace_schema import COUNTS, PROBE, RECORD

Array = npt.NDArray[Any]
BLOCK_VALUES = 1 << 18  # lines of a table that are made at once


@dataclass(frozen=True)
class Table:
    """A long table: its columns (name -> type, unit, meaning) and blocks of equally long columns."""

    name: str
    columns: dict[str, tuple[np.dtype[Any], str, str]]
    blocks: Iterator[dict[str, Array]]


def export_trace(
    trace: Trace | str | os.PathLike[str], fmt: str, directory: str | os.PathLike[str], force: bool = False
) -> list[Path]:
    """Write a trace as files for other programs (see the module's text).

    Large traces are read and written in blocks. Each file appears under its name when it is whole.

    Args:
        trace: a `Trace`, or the path of one.
        fmt: "csv", "npz" or "parquet".
        directory: where the files go; it is made if it is not there.
        force: replace files that are there.

    Returns:
        The files written.

    Raises:
        ConfigError: one line: unknown format, a file exists, the directory cannot be written, pyarrow is
            missing.
        TraceError: one line: the trace cannot be read or is damaged (its checksums are compared first), the disk
            is full.

    >>> import analogmgd as am
    >>> run = am.train(am.Network.mlp([2, 2, 1]), "parity", am.MGD(), steps=200, chips=4)
    >>> sorted(file.name for file in export_trace(run, "npz", "parity-npz"))
    ['config.toml', 'metadata.json', 'trace.npz']
    """
    check_format(fmt)
    if not isinstance(trace, Trace):
        with Trace(trace) as opened:
            return export_trace(opened, fmt, directory, force)
    trace.confirm()
    tables = [] if fmt == "npz" else all_tables(trace)
    return write_files(fmt, directory, force, tables, "trace", arrays(trace), trace.config, metadata(trace, tables))


def check_format(fmt: str) -> None:
    """ConfigError where a format is unknown, or what writes it is not installed."""
    if fmt not in (*FORMATS, "npz"):
        raise ConfigError(f"format is {fmt!r}; allowed are csv, npz, parquet")
    if fmt == "parquet":
        parquet_library()


def write_files(
    fmt: str,
    directory: str | os.PathLike[str],
    force: bool,
    tables: list[Table],
    name: str,
    loose: Iterator[tuple[str, tuple[int, ...], np.dtype[Any], Iterator[Array]]],
    config: str,
    about: dict[str, Any],
) -> list[Path]:
    """The tables as files, or of "npz" the loose arrays as NAME.npz, with config.toml and metadata.json beside them."""
    folder = Path(directory)
    names = [f"{name}.npz"] if fmt == "npz" else [f"{table.name}.{fmt}" for table in tables]
    targets = [folder / name for name in (*names, "config.toml", "metadata.json")]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the directory {str(folder)!r}: {error.strerror}") from error
    for target in targets:
        if target.is_dir() or (target.exists() and not force):
            raise ConfigError(f"{str(target)!r} exists: choose another directory, or replace it with --force")
    if fmt == "npz":
        with whole(targets[0]) as part:
            write_npz(loose, part)
    else:
        for target, table in zip(targets, tables, strict=False):
            with whole(target) as part:
                FORMATS[fmt](table.columns, table.blocks, part)
    with whole(targets[-2]) as part:
        part.write_text(config, encoding="utf-8")
    with whole(targets[-1]) as part:
        part.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return targets


@contextlib.contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A place beside `target` to write to, moved there in the end; what fails leaves nothing."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, target)
    except OSError as error:
        if isinstance(error, TraceError):
            raise
        kind = ConfigError if isinstance(error, PermissionError) else TraceError
        raise kind(f"cannot write {str(target)!r}: {one_line(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def metadata(trace: Trace, tables: list[Table]) -> dict[str, Any]:
    """What `metadata.json` holds."""
    described = {
        table.name: {
            name: {"type": str(dtype), "unit": unit, "meaning": text}
            for name, (dtype, unit, text) in table.columns.items()
        }
        for table in tables
    }
    listed = {
        f"{group}/{name}": {"unit": columns.unit(name), "dims": list(columns.dims(name))}
        for group, columns in (("record", trace.record), ("probe", trace.probe), ("chips", trace.chip_arrays))
        for name in columns
    }
    return {
        "summary": trace.summary(),
        "environment": trace.environment,
        "format_version": trace.format_version,
        "files": described if tables else {"trace": listed},
    }


def arrays(trace: Trace) -> Iterator[tuple[str, tuple[int, ...], np.dtype[Any], Iterator[Array]]]:
    """Everything as arrays: path, shape, type, and its blocks along the first axis."""

    def blocks(columns: Any, name: str) -> Iterator[Array]:
        shape = columns.shape(name)
        rows = max(1, BLOCK_VALUES // max(1, int(np.prod(shape[1:]))))
        for start in range(0, shape[0], rows):
            yield columns.read(name, np.s_[start : start + rows])

    for group, columns in (("record", trace.record), ("probe", trace.probe), ("chips", trace.chip_arrays)):
        for name in columns:
            yield f"{group}/{name}", columns.shape(name), columns.dtype(name), blocks(columns, name)
    loose = {"chips/id": trace.chips, "final/diverged_step": diverged_steps(trace)}
    if trace.ended:
        loose["final/theta"] = trace.theta
        counts = {f"final/{name}": trace.final(name) for name in COUNTS}
        loose |= {path: array for path, array in counts.items() if array is not None}
    for path, array in loose.items():
        yield path, array.shape, array.dtype, iter([array])


def diverged_steps(trace: Trace) -> Array:
    found = trace.diverged
    return np.array([found.get(int(chip), -1) for chip in trace.chips], np.int64)


_INT = np.dtype(np.int64)
_STEP = (_INT, "step", RECORD["step"].text)
_CHIP = (_INT, "1", "chip id")
_PARAMETER = (_INT, "1", "number of the parameter in theta")


def all_tables(trace: Trace) -> list[Table]:
    """Every table of the trace."""
    found = [record_table(trace)]
    found += [parameter_table(trace, name) for name in ("theta", "gradient") if name in trace.record]
    found += [probe_table(trace)] if len(trace.probe) else []
    found += [final_table(trace)] if trace.ended else []
    return found + chip_tables(trace)


def record_table(trace: Trace) -> Table:
    names = [name for name in trace.record if trace.record.dims(name) == ("record", "chip")]
    columns = {"step": _STEP, "time": (np.dtype(np.float64), "s", RECORD["time"].text), "chip": _CHIP}
    for name in names:
        text = RECORD[name].text if name in RECORD else name
        columns[name] = (trace.record.dtype(name), trace.record.unit(name), text)
    chips = len(trace.chips)

    def blocks() -> Iterator[dict[str, Array]]:
        rows = max(1, BLOCK_VALUES // chips)
        for start in range(0, trace.rows, rows):
            part = np.s_[start : min(start + rows, trace.rows)]
            step = trace.record.read("step", part)
            block = {"step": np.repeat(step, chips), "time": np.repeat(trace.record.read("time", part), chips)}
            block["chip"] = np.tile(trace.chips, len(step))
            yield block | {name: trace.record.read(name, part).ravel() for name in names}

    return Table("record", columns, blocks())


def per_parameter(lead: dict[str, Any], chips: Array, name: str, values: Array) -> dict[str, Array]:
    """Columns of values (chips, P) of one row."""
    count, params = values.shape
    columns = {key: np.full(values.size, value) for key, value in lead.items()}
    columns["chip"] = np.repeat(chips, params)
    columns["parameter"] = np.tile(np.arange(params), count)
    return columns | {name: values.ravel()}


def parameter_table(trace: Trace, name: str) -> Table:
    _, chips, params = trace.record.shape(name)
    unit, text = trace.record.unit(name), RECORD[name].text
    columns = {"step": _STEP, "chip": _CHIP, "parameter": _PARAMETER}

    def blocks() -> Iterator[dict[str, Array]]:
        some = max(1, BLOCK_VALUES // params)
        for row in range(trace.rows):
            step = trace.record.read("step", row)
            for first in range(0, chips, some):
                values = trace.record.read(name, np.s_[row, first : first + some])
                yield per_parameter({"step": step}, trace.chips[first : first + some], name, values)

    return Table(f"record_{name}", columns | {name: (trace.record.dtype(name), unit, text)}, blocks())


def final_table(trace: Trace) -> Table:
    theta, pulses = trace.theta, trace.pulses
    columns = {"chip": _CHIP, "parameter": _PARAMETER, "theta": (theta.dtype, "1", RECORD["theta"].text)}
    if pulses is not None:
        columns["pulses"] = (pulses.dtype, "1", "pulses, or writes, the device has got")
    some = max(1, BLOCK_VALUES // trace.n_params)
    starts = range(0, len(theta), some)

    def blocks() -> Iterator[dict[str, Array]]:
        for i in starts:
            more = {} if pulses is None else {"pulses": pulses[i : i + some].ravel()}
            yield per_parameter({}, trace.chips[i : i + some], "theta", theta[i : i + some]) | more

    return Table("final_theta", columns, blocks())


def probe_table(trace: Trace) -> Table:
    chips = trace.probe["chip"]
    columns = {"step": (_INT, "step", PROBE["step"].text), "chip": _CHIP}
    names = [name for name in ("cost", "cost_ac", "sample") if name in trace.probe]
    for name in names:
        columns[name] = (trace.probe.dtype(name), trace.probe.unit(name), PROBE[name].text)

    def blocks() -> Iterator[dict[str, Array]]:
        rows = max(1, BLOCK_VALUES // len(chips))
        for start in range(0, trace.probe_rows, rows):
            part = np.s_[start : min(start + rows, trace.probe_rows)]
            step = trace.probe.read("step", part)
            block = {"step": np.repeat(step, len(chips)), "chip": np.tile(chips, len(step))}
            yield block | {name: trace.probe.read(name, part).ravel() for name in names}

    return Table("probe", columns, blocks())


def chip_tables(trace: Trace) -> list[Table]:
    columns = {"chip": _CHIP, "diverged_step": (_INT, "step", "step at which theta was not finite; -1: never")}
    values: dict[str, Array] = {"chip": trace.chips, "diverged_step": diverged_steps(trace)}
    wide = []
    for name in trace.chip_arrays:
        about = (trace.chip_arrays.dtype(name), trace.chip_arrays.unit(name), "device variation")
        if len(trace.chip_arrays.shape(name)) == 1:
            columns[name], values[name] = about, trace.chip_arrays[name]
        else:
            wide.append(wide_table(trace, name, about))
    return [Table("chips", columns, iter([values])), *wide]


def wide_table(trace: Trace, name: str, about: tuple[np.dtype[Any], str, str]) -> Table:
    shape, dims = trace.chip_arrays.shape(name), trace.chip_arrays.dims(name)
    axes = {dim: _PARAMETER if dim == "parameter" else (_INT, "1", "index") for dim in dims[1:]}

    def blocks() -> Iterator[dict[str, Array]]:
        for first in range(len(trace.chips)):
            one = trace.chip_arrays.read(name, first)
            places = np.indices(one.shape).reshape(one.ndim, -1)
            block = {"chip": np.full(one.size, trace.chips[first])}
            yield block | dict(zip(axes, places, strict=True)) | {name: one.ravel()}

    assert len(shape) == len(dims)
    return Table(f"chips_{name}", {"chip": _CHIP, **axes, name: about}, blocks())
