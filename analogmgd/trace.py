"""Traces: what a run recorded, in memory or in a file, behind one interface.

`open_writer` makes the writer that `analogmgd.train` fills; `Trace` reads. The format of the file is
described in `analogmgd.trace_file`, the quantities and their units in `analogmgd.trace_schema`.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

import analogmgd
from analogmgd.errors import TraceError
from analogmgd.trace_checkpoint import Checkpoint, latest
from analogmgd.trace_contents import root_attributes
from analogmgd.trace_file import FileWriter
from analogmgd.trace_memory import MemoryWriter, Store, TraceWriter
from analogmgd.trace_reader import FileStore
from analogmgd.trace_schema import TraceHeader, check_fits, estimate_record_bytes
from analogmgd.trace_summary import collapsed, summary

__all__ = ["Columns", "Trace", "TraceHeader", "check_fits", "estimate_record_bytes", "open_writer"]

Array = npt.NDArray[Any]
CACHE_BYTES = 64 << 20  # arrays up to this size are read once


def open_writer(
    path: str | os.PathLike[str] | None,
    header: TraceHeader,
    force: bool = False,
    before: tuple[Trace, Checkpoint] | None = None,
) -> TraceWriter:
    """Begin a trace, in a file or (`path` None) in memory.

    The trace is refused before anything is taken if it would not fit; an existing file is replaced only
    with `force`, and only once the new one is ready. Use the writer as a context manager. `before`: the trace and
    the checkpoint from which the run is gone on with; the new file then takes the place of the old one.

    Raises:
        ConfigError: one line: the file exists, its directory does not, is not writable or full, or the
            trace would not fit.

    >>> header = TraceHeader("", seed=0, chips=[0, 1], n_params=3, record=("cost",), expected_rows=2)
    >>> with open_writer(None, header) as writer:
    ...     writer.append({"step": [0, 10], "time": [0.0, 1e-6], "cost": [[0.9, 0.8], [0.5, 0.1]]})
    ...     run = writer.finish("complete", theta=np.zeros((2, 3)))
    >>> run.cost[-1].tolist(), run.status
    ([0.5, 0.10000000149011612], 'complete')
    """
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if before:
        created = before[0].created_utc
    attributes = root_attributes(header, analogmgd.__version__, created)
    old = (before[0]._store, before[1]) if before else None
    if path is not None:
        return FileWriter(path, header, attributes, force, old)
    check_fits(header, None)
    writer = MemoryWriter(header, attributes)
    if old:
        writer.take_over(*old)
    return writer


class Columns(Mapping[str, Array]):
    """Arrays of one group of a trace by name, read when they are asked for.

    `columns["theta"]` is the whole array; `columns.read("theta", np.s_[-1, 0])` only a part of it (integers,
    slices with a positive step, rising lists), `columns.shape("theta")` none. Whole arrays up to 64 MiB are
    kept until the trace is refreshed.
    """

    def __init__(self, store: Store, group: str, only: tuple[str, ...] | None = None) -> None:
        self._store, self._group = store, group
        self._names = store.names(group) if only is None else only
        self._kept: dict[str, Array] = {}

    def _path(self, name: str) -> str:
        if name not in self._names:
            held = ", ".join(self._names) or "nothing"
            what = {"record": "was not recorded", "probe": "was not probed"}.get(self._group, "is not there")
            raise TraceError(f"{name} {what}: the trace {self._store.path or 'in memory'} holds {held}")
        return f"{self._group}/{name}"

    def __getitem__(self, name: str) -> Array:
        if name not in self._kept:
            array = self._store.read(self._path(name))
            if array.nbytes > CACHE_BYTES:
                return array
            self._kept[name] = array
        return self._kept[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __repr__(self) -> str:
        return f"Columns({', '.join(f'{name}{self.shape(name)}' for name in self)})"

    def read(self, name: str, index: Any = ()) -> Array:
        """Part of an array; `index` as for a NumPy array (see the class)."""
        return self._store.read(self._path(name), index if isinstance(index, tuple) else (index,))

    def shape(self, name: str) -> tuple[int, ...]:
        return self._store.shape(self._path(name))

    def dtype(self, name: str) -> np.dtype[Any]:
        return self._store.dtype(self._path(name))

    def unit(self, name: str) -> str:
        """Unit, "1" if it has none: "s", "deg", "step", ..."""
        return self._store.axes(self._path(name))[0]

    def dims(self, name: str) -> tuple[str, ...]:
        """What the axes are: ("record", "chip", "parameter") and so on."""
        return self._store.axes(self._path(name))[1]


class Trace:
    """A recorded run, finished or still going on.

    Args:
        path: an HDF5 file that `analogmgd.train` writes or has written.

    Attributes:
        path: the file, or None in memory.
        rows, probe_rows: whole rows R and probe steps N.
        n_params: parameters P of a chip.
        chips: int64[chips], ids.
        record: mapping of everything recorded: "step", "time", "cost", "theta" (R, chips, P), ...
        probe: mapping of the per-step signals: "step" (N,), "cost", "cost_ac", "sample" (N, m), "chip".
        chip_arrays: mapping of the device variation that makes each chip, (chips, ...).
        status: "running", "complete", "interrupted" or "diverged".
        writer_gone: the process that wrote the file died; its status is then "interrupted".
        ended: the run came to its end, so that the final theta is there.
        seed, config (TOML text), environment, format_version, version, created_utc, chance, extra.

    Raises:
        TraceError: one line: no such file, not a trace, damaged, of a newer format; on attributes that were
            not recorded, what was.

    A trace of a running program is as of its opening; `refresh` shows what came since. It is a context
    manager; `close` lets go of the file. With several readers in one process, one `Trace` each.

    >>> import analogmgd as am
    >>> run = am.train(am.Network.mlp([2, 2, 1]), "parity", am.MGD(), steps=200, chips=4, trace="parity.h5")
    >>> with Trace("parity.h5") as trace:
    ...     trace.status, trace.theta.shape, trace.cost.shape == (len(trace.step), 4)
    ('complete', (4, 9), True)
    """

    def __init__(self, path: str | os.PathLike[str] | Store) -> None:
        self._store: Store = FileStore(path) if isinstance(path, str | os.PathLike) else path
        self._load()

    def _load(self) -> None:
        attributes = self._store.attributes()
        self.path = self._store.path
        self.rows, self.probe_rows = self._store.rows, self._store.probe_rows
        self.writer_gone = self._store.writer_gone
        self.status: str = "interrupted" if self.writer_gone else attributes["status"]
        self.seed: int = int(attributes["seed"])
        self.config: str = attributes["config"]
        self.environment: dict[str, Any] = json.loads(attributes["environment"])
        self.format_version: int = attributes["format_version"]
        self.version: str = attributes["analogmgd_version"]
        self.created_utc: str = attributes["created_utc"]
        chance = float(attributes["chance_accuracy"])
        self.chance: float | None = None if np.isnan(chance) else chance
        self.record = Columns(self._store, "record")
        self.probe = Columns(self._store, "probe")
        self._final = Columns(self._store, "final")
        self.chip_arrays = Columns(
            self._store, "chips", tuple(name for name in self._store.names("chips") if name != "id")
        )
        self.chips: npt.NDArray[np.int64] = self._store.read("chips/id")
        self.n_params: int = self._store.shape("final/theta")[1]
        self.ended: bool = attributes["ended"]
        self.extra: dict[str, Any] = attributes["extra"]

    @property
    def status_text(self) -> str:
        """The status for people: a run that was killed is "interrupted (writer gone)"."""
        return f"{self.status} (writer gone)" if self.writer_gone else self.status

    @property
    def step(self) -> npt.NDArray[np.int64]:
        """int64[R], steps done when each row was taken."""
        return self.record["step"]

    @property
    def time(self) -> npt.NDArray[np.float64]:
        """float64[R], emulated hardware time in seconds."""
        return self.record["time"]

    @property
    def cost(self) -> Array:
        """(R, chips), mean cost over the evaluation set, dimensionless."""
        return self.record["cost"]

    @property
    def accuracy(self) -> Array:
        """(R, chips), share of the evaluation set that is classified right."""
        return self.record["accuracy"]

    @property
    def gradient(self) -> Array:
        """(R, chips, P), the gradient estimate G at the end of a window, before the write."""
        return self.record["gradient"]

    @property
    def angle(self) -> Array:
        """(R, chips), angle between the estimate and the true gradient, degrees."""
        return self.record["angle"]

    @property
    def theta(self) -> Array:
        """(chips, P), the final parameters. Those of every row are `record["theta"]`."""
        if not self.ended:
            raise TraceError(
                f"the final theta of the trace {self.path or 'in memory'} is not written; "
                f"its status is {self.status_text}"
            )
        return self._final["theta"]

    def final(self, name: str) -> Array | None:
        """What is counted and kept at the end under `/final/name`, first axis chips; None where there is none."""
        return self._final[name] if self.ended and name in self._final else None

    @property
    def pulses(self) -> Array | None:
        """uint32 (chips, P), the pulses (or writes) each device has got; None for devices that do not count any."""
        return self.final("pulses")

    @property
    def refreshes(self) -> Array | None:
        """uint32 (chips, P), how often each pair of one-sided devices was reset and written anew; None for others."""
        return self.final("refreshes")

    @property
    def conductances(self) -> Array | None:
        """(chips, P, 2), plus and minus of each weight at the end in units of theta, with the errors of their last
        write and without what fluctuates; None for devices that have none of their own.
        """
        return self._pair("conductance")

    @property
    def nu(self) -> Array | None:
        """(chips, P, 2), exponents that these conductances drift with since their last write; None without drift."""
        return self._pair("nu")

    @property
    def theta_still(self) -> Array | None:
        """(chips, P), final parameters without what fluctuates; None where nothing does."""
        return self.final("theta_still")

    def _pair(self, name: str) -> Array | None:
        if not self.ended or f"{name}_plus" not in self._final:
            return None
        return np.stack([self._final[f"{name}_plus"], self._final[f"{name}_minus"]], axis=-1)

    @property
    def saturated(self) -> Array | None:
        """uint64 (chips, 3), conversions that were cut: of inputs, columns, the cost; None without converters."""
        return self.final("saturated")

    @property
    def own(self) -> Array | None:
        """float64 (chips, P), what the devices amount to at the end, without wires; None for chips without them."""
        return self.final("own")

    @property
    def wire_solves(self) -> Array | None:
        """uint64 (chips,), exact solves of each chip's arrays; None without wires."""
        return self._final["wire_solves"][:, 0] if self.ended and "wire_solves" in self._final else None

    @property
    def wire_error(self) -> Array | None:
        """float64 (chips,), the largest error, of the currents, that a solve found before it; None without wires."""
        return self._final["wire_error"][:, 0] if self.ended and "wire_error" in self._final else None

    def checkpoint(self) -> Checkpoint:
        """From where the run can be gone on with (`analogmgd.resume`).

        Raises:
            TraceError: an earlier version wrote the trace, or what it holds of it is damaged.
        """
        return latest(self._store)

    @property
    def diverged(self) -> dict[int, int]:
        """Chip id -> step at which its parameters stopped being finite; none before the run has ended."""
        if not self.ended:
            return {}
        steps = self._store.read("final/diverged_step")
        return {int(c): int(s) for c, s in zip(self.chips, steps, strict=True) if s >= 0}

    def confirm(self, *paths: str) -> None:
        """Compare datasets ("record/cost", ...; by default all) with their checksums, in pieces.

        Arrays that are read whole are compared anyway; parts of them are not.

        Raises:
            TraceError: one line: what is not as it was written. Files of earlier versions have no checksums.
        """
        for group in ("chips", "record", "probe", *(("final",) if self.ended else ())):
            for name in self._store.names(group):
                if not paths or f"{group}/{name}" in paths:
                    self._store.confirm(f"{group}/{name}")

    def collapsed(self) -> npt.NDArray[np.bool_] | None:
        """bool[chips]: chips that had learned and lost it (see `analogmgd.trace_summary.collapsed`)."""
        return collapsed(self)

    def summary(self) -> dict[str, Any]:
        """The run in a few numbers, fit for JSON (see `analogmgd.trace_summary.summary`)."""
        return summary(self)

    def refresh(self) -> Self:
        """Show the rows that were written since the trace was opened (or refreshed)."""
        self._store.refresh()
        self._load()
        return self

    def close(self) -> None:
        """Let go of the file; what was read stays."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        where = "in memory" if self.path is None else repr(self.path)
        return f"<Trace {where}: {self.status_text}, {self.rows} rows, {len(self.chips)} chips>"
