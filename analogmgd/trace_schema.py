"""What a trace holds: the quantities, their units and shapes, the layout of the file, and its size.

A trace has *rows* (one per recorded step, ``R`` of them) and, where asked for, *probes* (one per step of
the emulated hardware, ``N`` of them, for a few chosen chips). Both back ends, memory and HDF5, are built
from the same list of `Dataset` entries that `layout` returns, so that they cannot drift apart.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from analogmgd.errors import ConfigError
from analogmgd.limits import free_memory

FORMAT = "analogmgd-trace"
FORMAT_VERSION = 1
STATUSES = ("running", "complete", "interrupted", "diverged")
STATE_BYTES = 16384  # room for how the run ended, JSON; nothing can be created while SWMR is on
SUMS_BYTES = 1024  # of it, for counts and checksums
SLOTS = 2  # checkpoints: while one is written the other is whole
CHECKPOINT_BYTES = 4096  # room for what a checkpoint says of itself
BLOCK_BYTES = 8 << 20  # a block of rows is written when this much is buffered,
BLOCK_ROWS = 1 << 16  # or so many rows
BLOCKS = 64  # blocks whose checksums have room from the start
CHUNK_BYTES = 1 << 19  # a chunk of 512 KiB: a few milliseconds to read, few enough to index
CHUNK_ROWS = 16  # rows in a chunk of a wide quantity: reading one chip reads 1/16 of what one row would


@dataclass(frozen=True)
class Quantity:
    """One thing that a row or a probe can hold: its axes after the first, its unit, what it means."""

    axes: tuple[str, ...]
    unit: str
    text: str
    dtype: str | None = None  # None: the precision of the run (`TraceHeader.dtype`)


#: What a row holds. step and time always do; the others where `record` names them.
RECORD: dict[str, Quantity] = {
    "step": Quantity((), "step", "steps done when the row was taken", "int64"),
    "time": Quantity((), "s", "emulated hardware time", "float64"),
    "cost": Quantity(("chip",), "1", "mean cost over the evaluation set"),
    "accuracy": Quantity(("chip",), "1", "share of the evaluation set that is classified right"),
    "cost_ac": Quantity(("chip",), "1", "modulated cost C - C0 of the last step"),
    "angle": Quantity(("chip",), "deg", "angle between the gradient estimate and the true gradient"),
    "theta": Quantity(("chip", "parameter"), "1", "parameters as the network sees them"),
    "gradient": Quantity(("chip", "parameter"), "1", "gradient estimate G at the end of a window"),
}
#: What a probe holds, all four always.
PROBE: dict[str, Quantity] = {
    "step": Quantity((), "step", "number of the step", "int64"),
    "cost": Quantity(("probe_chip",), "1", "cost C of the perturbed network, with its noise"),
    "cost_ac": Quantity(("probe_chip",), "1", "modulated cost C - C0"),
    "sample": Quantity(("probe_chip",), "1", "index of the training sample (the first of a batch)", "int64"),
}


CONVERTERS = ("inputs", "columns", "cost")
# name -> axis beside the chips, type: pulses (or writes) of each device, conversions that were cut; with wires what the
# devices amount to, exact solves, and the largest error found by one; of pairs refreshes, both conductances of each
# weight in units of theta, and theta, without what fluctuates, where anything does, and the exponents that they drift
# with. A type of None: the precision of the run
COUNTS: dict[str, tuple[str, Any]] = {
    "pulses": ("parameter", np.uint32),
    "saturated": ("converter", np.uint64),
    "own": ("parameter", np.float64),
    "wire_solves": ("one", np.uint64),
    "wire_error": ("one", np.float64),
    "refreshes": ("parameter", np.uint32),
    "conductance_plus": ("parameter", None),
    "conductance_minus": ("parameter", None),
    "theta_still": ("parameter", None),
    "nu_plus": ("parameter", None),
    "nu_minus": ("parameter", None),
}


@dataclass(frozen=True)
class TraceHeader:
    """Everything about a run that is known before its first step.

    Args:
        config: the configuration, TOML text.
        seed: seed of the run, any integer of 64 bits.
        chips: int64[chips], ids of the chips; all different, not negative.
        n_params: parameters P of a chip.
        record: names of the quantities to record, from `RECORD`; step and time are always there.
        dtype: float32 or float64, of every quantity that has no type of its own.
        probe_chips: int64[m], ids of the chips to probe at every step; empty for no probes.
        chip_arrays: name -> array whose first axis is the chips: the device variation that makes a chip.
        environment: Python, NumPy, CPU, ...: anything that JSON can hold.
        expected_rows: rows the run will record (the size is estimated from it; it is no limit).
        expected_probe_steps: the same for the probes.
        chance: accuracy of a chip that has learned nothing (the share of the most frequent class); None
            where that has no meaning. `Trace.summary` counts collapsed chips with it.
        counts: names, from `COUNTS`, of what is counted and kept at the end.
        state_bytes: size of a checkpoint (`trace_checkpoint`); 0 for a trace without any.
        chip_units: unit of an entry of `chip_arrays`; "1" where it says nothing.

    Raises:
        ConfigError: one line that names the field.

    >>> header = TraceHeader(config="", seed=1, chips=[0, 1], n_params=9, record=("cost",))
    >>> header.chips.dtype, header.record
    (dtype('int64'), ('cost',))
    """

    config: str
    seed: int
    chips: npt.NDArray[np.int64]
    n_params: int
    record: tuple[str, ...] = ("cost", "accuracy")
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))
    probe_chips: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    chip_arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    expected_rows: int = 0
    expected_probe_steps: int = 0
    chance: float | None = None
    chip_units: Mapping[str, str] = field(default_factory=dict)
    counts: tuple[str, ...] = ()
    state_bytes: int = 0

    def __post_init__(self) -> None:
        fix = object.__setattr__
        for name in ("chips", "probe_chips"):
            ids = np.atleast_1d(np.asarray(getattr(self, name), dtype=np.int64))
            if ids.ndim != 1 or len(np.unique(ids)) != len(ids) or (ids < 0).any():
                raise ConfigError(f"{name} must be a list of different chip ids >= 0")
            fix(self, name, ids)
        if not len(self.chips):
            raise ConfigError("chips is empty: a trace needs at least one chip")
        missing = np.setdiff1d(self.probe_chips, self.chips)
        if len(missing):
            raise ConfigError(f"probe_chips has chip {missing[0]}, which is not among the chips of the run")
        allowed = [name for name in RECORD if name not in ("step", "time")]
        for name in self.record:
            if name not in allowed:
                raise ConfigError(f"record has {name!r}; allowed are {', '.join(allowed)}")
        fix(self, "record", tuple(name for name in allowed if name in self.record))
        fix(self, "dtype", np.dtype(self.dtype))
        if self.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise ConfigError(f"dtype is {self.dtype}; allowed are float32 and float64")
        if self.n_params < 1:
            raise ConfigError(f"n_params is {self.n_params}; a chip has at least one parameter")
        if min(self.expected_rows, self.expected_probe_steps) < 0:
            raise ConfigError("expected_rows and expected_probe_steps must be >= 0")
        arrays = {name: np.asarray(value) for name, value in self.chip_arrays.items()}
        for name, value in arrays.items():
            if value.ndim < 1 or len(value) != len(self.chips) or value.dtype.kind not in "fiub":
                raise ConfigError(
                    f"chip_arrays[{name!r}] is {value.dtype}{list(value.shape)}; "
                    f"its first axis must be the {len(self.chips)} chips and its values numbers"
                )
            if name == "id" or not name.isidentifier():
                raise ConfigError(f"chip_arrays has the name {name!r}; allowed are identifiers except 'id'")
        fix(self, "chip_arrays", arrays)


@dataclass(frozen=True)
class Dataset:
    """One dataset of a trace: where it is, its axes, and for growing ones the shape of one row."""

    path: str  # "record/theta"
    dims: tuple[str, ...]
    unit: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]  # of one row where it grows, else of all
    expected: int | None = None  # rows to come where it grows; None: fixed size

    @property
    def group(self) -> str:
        return self.path.split("/", 1)[0]

    @property
    def name(self) -> str:
        return self.path.split("/", 1)[1]

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Chunk shape of a growing dataset."""
        return chunk_shape(self.shape, self.dtype.itemsize, self.expected or 0)

    @property
    def memory_bytes(self) -> int:
        return self.row_bytes * (1 if self.expected is None else self.expected)

    @property
    def file_bytes(self) -> int:
        """Bytes in the file: whole chunks, as HDF5 allocates them."""
        if self.expected is None:
            return self.row_bytes
        full = (max(self.expected, 0), *self.shape)
        return self.dtype.itemsize * math.prod(c * math.ceil(n / c) for n, c in zip(full, self.chunks, strict=True))


def _even(size: int, limit: int) -> int:
    """Largest chunk length up to `limit` that wastes at most 1 % of an axis of `size`."""
    for length in range(min(size, limit), 1, -1):
        if length * math.ceil(size / length) <= 1.01 * size:
            return length
    return 1


def chunk_shape(row: tuple[int, ...], itemsize: int, expected: int) -> tuple[int, ...]:
    """Chunk of about `CHUNK_BYTES` for rows of shape `row`; wide rows are cut along chips, then parameters.

    >>> chunk_shape((), 8, 1000)
    (1000,)
    >>> chunk_shape((4096, 2410), 4, 1000)  # 39 MB a row
    (16, 3, 2410)
    """
    expected = expected or 1024
    row_bytes = max(1, itemsize * math.prod(row))
    most = max(1, min(expected, max(CHUNK_ROWS, CHUNK_BYTES // row_bytes)))
    rows = math.ceil(expected / math.ceil(expected / most))
    chunk = [rows]
    for axis, size in enumerate(row):
        rest = itemsize * math.prod(chunk) * math.prod(row[axis + 1 :])
        chunk.append(_even(size, max(1, CHUNK_BYTES // rest)))
    return tuple(chunk)


def layout(header: TraceHeader, in_file: bool = False) -> list[Dataset]:
    """Every dataset of the trace that `header` describes, in the order of the file; in a file with its checksums."""
    sizes = {"chip": len(header.chips), "probe_chip": len(header.probe_chips), "parameter": header.n_params}

    def growing(group: str, axis: str, name: str, q: Quantity, expected: int) -> Dataset:
        dtype = np.dtype(q.dtype) if q.dtype else header.dtype
        shape = tuple(sizes[a] for a in q.axes)
        return Dataset(f"{group}/{name}", (axis, *q.axes), q.unit, dtype, shape, expected)

    def fixed(path: str, dims: tuple[str, ...], dtype: Any, shape: tuple[int, ...], unit: str = "1") -> Dataset:
        return Dataset(path, dims, unit, np.dtype(dtype), shape)

    n, p = len(header.chips), header.n_params
    found = [
        growing("record", "record", name, RECORD[name], header.expected_rows)
        for name in ("step", "time", *header.record)
    ]
    if len(header.probe_chips):
        found += [growing("probe", "probe", k, q, header.expected_probe_steps) for k, q in PROBE.items()]
        found.append(fixed("probe/chip", ("probe_chip",), np.int64, header.probe_chips.shape))
    found.append(fixed("chips/id", ("chip",), np.int64, (n,)))
    for name, value in header.chip_arrays.items():
        axes = ["parameter" if size == p else f"axis{axis}" for axis, size in enumerate(value.shape[1:], start=1)]
        unit = header.chip_units.get(name, "1")
        found.append(fixed(f"chips/{name}", ("chip", *axes), value.dtype, value.shape, unit))
    found.append(fixed("final/theta", ("chip", "parameter"), header.dtype, (n, p)))
    for name in header.counts:
        axis, kind = COUNTS[name]
        found.append(fixed(f"final/{name}", ("chip", axis), kind or header.dtype, (n, count_width(header, name))))
    found.append(fixed("final/diverged_step", ("chip",), np.int64, (n,), "step"))
    found.append(fixed("final/state", ("text",), f"S{STATE_BYTES}", (1,)))
    if header.state_bytes:
        found.append(fixed("checkpoint/state", ("slot", "byte"), np.uint8, (SLOTS, header.state_bytes)))
        found.append(fixed("checkpoint/text", ("slot",), f"S{CHECKPOINT_BYTES}", (SLOTS,)))
    for group in ("record", "probe") if in_file else ():  # see `trace_checksums`
        specs = [d for d in found if d.group == group and d.expected is not None]
        if specs:
            blocks = max(BLOCKS, math.ceil((specs[0].expected or 0) / block_rows(specs)))
            columns = ("block", "first, rows, checksums")
            found.append(Dataset(f"check/{group}", columns, "1", np.dtype(np.int64), (2 + len(specs),), blocks))
    return found


def block_rows(specs: list[Dataset]) -> int:
    """Rows of a group that are buffered before they are written."""
    return max(1, min(BLOCK_ROWS, BLOCK_BYTES // sum(s.row_bytes for s in specs)))


def count_width(header: TraceHeader, name: str) -> int:
    """How many numbers of a chip are counted under a name."""
    return {"parameter": header.n_params, "converter": len(CONVERTERS), "one": 1}[COUNTS[name][0]]


def estimate_record_bytes(header: TraceHeader, in_file: bool = True) -> dict[str, int]:
    """Bytes each dataset of the trace will take, by its path, and "overhead" for the rest of the file.

    Args:
        header: the run to come; `expected_rows` and `expected_probe_steps` count.
        in_file: for a file (whole chunks, overhead), else for memory.

    >>> size = estimate_record_bytes(TraceHeader("", 0, [0, 1], 9, ("theta",), expected_rows=1000))
    >>> size["record/theta"]  # 1000 rows x 2 chips x 9 parameters x 4 bytes
    72000
    """
    found = layout(header, in_file)
    sizes = {d.path: d.file_bytes if in_file else d.memory_bytes for d in found}
    text = len(header.config.encode()) + len(repr(dict(header.environment)))
    indices = sum(16 * math.ceil(d.file_bytes / math.prod(d.chunks, start=d.dtype.itemsize)) for d in found
                  if d.expected)  # fmt: skip
    sizes["overhead"] = 7800 + 550 * len(found) + indices + 2 * text if in_file else text
    return sizes


def check_fits(header: TraceHeader, path: str | os.PathLike[str] | None) -> int:
    """Refuse a trace that will not fit in free memory (`path` None) or on the disk; returns its bytes.

    Raises:
        ConfigError: one line with the size needed, the largest item and what is free.
    """
    sizes = estimate_record_bytes(header, in_file=path is not None)
    need = sum(sizes.values())
    if path is None:
        free, where = free_memory(), "of memory are available"
    else:
        free, where = shutil.disk_usage(Path(path).absolute().parent).free, "are free on disk"
    if need <= free:
        return need
    largest = max((d for d in layout(header) if d.expected is not None), key=lambda d: sizes[d.path])
    names = {"record": "rows", "probe": "steps", "chip": "chips", "probe_chip": "chips"}
    axes = zip(largest.dims, (largest.expected, *largest.shape), strict=True)
    parts = [f"{size} {names.get(dim, dim + 's')}" for dim, size in axes]
    label = largest.name if largest.group == "record" else f"probe {largest.name}"
    raise ConfigError(
        f"record would need {si_bytes(need)} ({label}: {' x '.join(parts)} x {largest.dtype.itemsize} bytes) "
        f"and {si_bytes(free)} {where}: record fewer rows (record_every), chips or quantities"
    )


def si_bytes(count: float) -> str:
    """A size for people: three digits and an SI prefix.

    >>> si_bytes(412.4e9), si_bytes(999), si_bytes(1.5e6)
    ('412 GB', '999 B', '1.5 MB')
    """
    power = min(6, max(0, int(math.log10(max(count, 1)) // 3)))
    return f"{count / 1000**power:.3g} {['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'][power]}"
