"""The writer interface of a trace, and the back end that keeps everything in memory.

The memory back end is deliberately plain: it is the oracle that the HDF5 one (`trace_file`) is tested
against. Both are driven by `analogmgd.train` through `TraceWriter` and read through `Store`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from analogmgd.errors import TraceError
from analogmgd.trace_checkpoint import Checkpoint, pack, put, size_of
from analogmgd.trace_contents import RUNNING, Array, fixed_arrays, seal, unseal
from analogmgd.trace_schema import COUNTS, SLOTS, STATE_BYTES, STATUSES, SUMS_BYTES, TraceHeader, count_width, layout

if TYPE_CHECKING:
    from analogmgd.trace import Trace


COPY_BYTES = 8 << 20  # of rows, taken over at a time


class Store(Protocol):
    """What `Trace` reads from. Paths are those of the file: "record/cost", "chips/id", "final/theta"."""

    path: str | None
    rows: int  # R, whole rows
    probe_rows: int  # N, whole probe steps
    writer_gone: bool  # the writer died without ending the trace

    def attributes(self) -> dict[str, Any]: ...  # `root_attributes`, and "ended", "extra"
    def names(self, group: str) -> tuple[str, ...]: ...
    def shape(self, path: str) -> tuple[int, ...]: ...  # cut to the whole rows
    def dtype(self, path: str) -> np.dtype[Any]: ...
    def axes(self, path: str) -> tuple[str, tuple[str, ...]]: ...  # unit, dims
    def read(self, path: str, index: tuple[Any, ...] = ()) -> Array: ...
    def confirm(self, path: str, rows: int | None = None) -> None: ...  # that its checksums are right
    def refresh(self) -> None: ...
    def close(self) -> None: ...


class TraceWriter(ABC):
    """Takes the rows of a run, in the order of their steps.

    Use it as a context manager: left without `finish` (an error, Ctrl-C), it closes the trace with status
    "interrupted" and keeps every row it was given. It is not thread-safe: call it from one thread.
    Arrays given to it are copied.

    Attributes:
        header: what the run is.
        path: the file, or None.
        rows, probe_rows: how many have been taken so far.
        resumed: steps at which the run was gone on with.
    """

    path: str | None = None

    def __init__(self, header: TraceHeader) -> None:
        self.header = header
        self.datasets = {d.path: d for d in layout(header)}
        grow = [d for d in self.datasets.values() if d.expected is not None]
        self.names = {g: tuple(d.name for d in grow if d.group == g) for g in ("record", "probe")}
        self.rows = self.probe_rows = 0
        self.resumed: tuple[int, ...] = ()
        self._checkpoints = 0
        self.closed = False
        self.error: Exception | None = None  # why it was closed early
        self._last_step = {"record": -1, "probe": -1}

    def append(self, rows: Mapping[str, npt.ArrayLike], flush: bool = False) -> None:
        """Add rows: "step" (r,), "time" (r,), and for every recorded quantity an array (r, chips[, P]).

        Args:
            rows: all recorded quantities, no others; steps rise from row to row and call to call.
            flush: publish the rows to readers now (else when a block is full, or after about a second).

        Raises:
            ValueError: a quantity is missing, unknown or of the wrong shape; steps do not rise.
            TraceError: the file cannot be written; it is closed and keeps the rows published before.
        """
        self.rows += self._append("record", rows)
        if flush:
            self.flush()

    def append_probe(self, rows: Mapping[str, npt.ArrayLike], flush: bool = False) -> None:
        """Add probes: "step" (n,), "cost", "cost_ac" and "sample" (n, probed chips). Else as `append`."""
        self.probe_rows += self._append("probe", rows)
        if flush:
            self.flush()

    def _append(self, group: str, rows: Mapping[str, npt.ArrayLike]) -> int:
        self._check_open()
        names = self.names[group]
        if set(rows) != set(names):
            raise ValueError(f"rows has {sorted(rows)}; expected {sorted(names)}")
        arrays = {}
        count = len(np.atleast_1d(np.asarray(rows["step"])))
        for name in names:
            spec = self.datasets[f"{group}/{name}"]
            with np.errstate(over="ignore", invalid="ignore"):  # what diverges may leave the range of float32
                array = np.asarray(rows[name], dtype=spec.dtype)
            if array.shape != (count, *spec.shape):
                raise ValueError(f"{name} has shape {array.shape}; expected {(count, *spec.shape)}")
            arrays[name] = array
        steps = np.concatenate([[self._last_step[group]], arrays["step"]])
        if not (np.diff(steps) > 0).all():
            raise ValueError(f"steps must be >= 0 and rise; got {arrays['step'][:5]} after {steps[0]}")
        if count:
            self._put(group, arrays, count)
            self._last_step[group] = int(steps[-1])
        return count

    def checkpoint(self, step: int, arrays: Sequence[Array], wall_seconds: float = 0.0) -> None:
        """Publish all rows, then keep from where the run can be gone on with, in place of the one before the last.

        Args:
            step: steps done by every chip.
            arrays: the chips' state, `state_bytes` of the header in all.

        Raises:
            ValueError: they are of another size.
            TraceError: the file cannot be written.
        """
        self._check_open()
        if size_of(arrays) != self.header.state_bytes:
            raise ValueError(f"a checkpoint of {size_of(arrays)} bytes; expected {self.header.state_bytes}")
        self.flush()
        self._checkpoints += 1
        now = Checkpoint(
            step, self.rows, self.probe_rows, arrays, wall_seconds, self.resumed, self._checkpoints
        )  # fmt: skip
        self._put_checkpoint(self._checkpoints % SLOTS, *pack(now))

    def take_over(self, store: Store, checkpoint: Checkpoint) -> None:
        """Begin with the rows of another trace up to its checkpoint."""
        for group, count in (("record", checkpoint.rows), ("probe", checkpoint.probe_rows)):
            names = self.names[group]
            row_bytes = sum(self.datasets[f"{group}/{name}"].row_bytes for name in names)
            size = max(1, COPY_BYTES // max(1, row_bytes))
            for name in names if count else ():
                store.confirm(f"{group}/{name}", count)
            for first in range(0, count, size):
                part = (slice(first, min(first + size, count)),)
                arrays = {name: store.read(f"{group}/{name}", part) for name in names}
                if group == "record":
                    self.append(arrays)
                else:
                    self.append_probe(arrays)
        self.resumed = (*checkpoint.resumed, checkpoint.step)
        self._checkpoints = checkpoint.sequence
        if checkpoint.arrays:
            self.checkpoint(checkpoint.step, checkpoint.arrays, checkpoint.wall_seconds)
        else:
            self.flush()

    def finish(
        self,
        status: str,
        theta: npt.ArrayLike,
        diverged: Mapping[int, int] | None = None,
        extra: Mapping[str, Any] | None = None,
        counts: Mapping[str, npt.ArrayLike] | None = None,
    ) -> Trace:
        """End the trace and hand it back for reading.

        Args:
            status: "complete", "interrupted" or "diverged".
            theta: (chips, P), the final parameters.
            diverged: chip id -> step at which its parameters stopped being finite.
            extra: what else to keep, JSON; "wall_seconds" goes into `Trace.summary`.
            counts: (chips, ...) for each name of the header's `counts`.

        Raises:
            ValueError: unknown status, wrong shape, unknown chip.
            TraceError: the file cannot be written.
        """
        self._check_open()
        if status not in STATUSES[1:]:
            raise ValueError(f"status is {status!r}; allowed are {', '.join(STATUSES[1:])}")
        shape = (len(self.header.chips), self.header.n_params)
        with np.errstate(over="ignore", invalid="ignore"):
            final = np.array(theta, dtype=self.header.dtype)
        if final.shape != shape:
            raise ValueError(f"theta has shape {final.shape}; expected {shape}")
        steps = np.full(shape[0], -1, np.int64)
        for chip, step in (diverged or {}).items():
            where = np.flatnonzero(self.header.chips == chip)
            if not len(where):
                raise ValueError(f"diverged has chip {chip}, which is not in the run")
            steps[where[0]] = step
        state = {"status": status, "ended": True, "extra": dict(extra or {})}
        if len(seal(state)) > STATE_BYTES - SUMS_BYTES:
            most = STATE_BYTES - SUMS_BYTES
            raise ValueError(f"extra takes {len(seal(state))} bytes of JSON; at most {most} are allowed")
        kept = {name: np.asarray(value, COUNTS[name][1] or self.header.dtype) for name, value in (counts or {}).items()}
        wanted = {name: (shape[0], count_width(self.header, name)) for name in self.header.counts}
        if (found := {name: value.shape for name, value in kept.items()}) != wanted:
            raise ValueError(f"counts have shapes {found}; expected {wanted}")
        self._end(state, {"theta": final, "diverged_step": steps, **kept})
        return self._trace()

    def abort(self, status: str = "interrupted") -> None:
        """Close the trace without final parameters; rows are kept. Does nothing if it is closed."""
        if not self.closed:
            self._end({"status": status, "ended": False, "extra": {}}, {})

    @property
    def last_step(self) -> int:
        """Step of the last row, -1 before the first."""
        return self._last_step["record"]

    def _check_open(self) -> None:
        if self.closed:
            raise self.error or ValueError(f"the trace {self.path or 'in memory'} is closed")

    def flush(self) -> None:  # noqa: B027 (nothing to do in memory)
        """Publish what has been buffered."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.abort()
        except TraceError as failed:
            if error is None:
                raise
            error.add_note(str(failed))

    @abstractmethod
    def _put(self, group: str, arrays: dict[str, Array], count: int) -> None: ...

    @abstractmethod
    def _put_checkpoint(self, slot: int, pieces: list[Array], text: bytes) -> None: ...

    @abstractmethod
    def _end(self, state: dict[str, Any], final: dict[str, Array]) -> None: ...

    @abstractmethod
    def _trace(self) -> Trace: ...


class MemoryWriter(TraceWriter):
    """Keeps the trace in arrays of the expected size; they grow if there is more."""

    def __init__(self, header: TraceHeader, attributes: dict[str, Any]) -> None:
        super().__init__(header)
        self._attributes = {**attributes, **RUNNING}
        self._arrays = {path: array.copy() for path, array in fixed_arrays(header).items()}
        for path, spec in self.datasets.items():
            if spec.expected is not None:  # not touched, so not yet taken from the system
                self._arrays[path] = np.empty((spec.expected, *spec.shape), spec.dtype)

    def _put(self, group: str, arrays: dict[str, Array], count: int) -> None:
        start = self.rows if group == "record" else self.probe_rows
        for name, array in arrays.items():
            path = f"{group}/{name}"
            old = self._arrays[path]
            if start + count > len(old):
                grown = np.empty((max(start + count, len(old) * 3 // 2), *old.shape[1:]), old.dtype)
                grown[:start] = old[:start]
                self._arrays[path] = old = grown
            old[start : start + count] = array

    def _put_checkpoint(self, slot: int, pieces: list[Array], text: bytes) -> None:
        put(self._arrays["checkpoint/state"], slot, pieces)
        self._arrays["checkpoint/text"][slot] = text

    def _end(self, state: dict[str, Any], final: dict[str, Array]) -> None:
        self._arrays.update({f"final/{name}": value for name, value in final.items()})
        self._attributes.update(unseal(seal(state)))
        self.closed = True

    def store(self) -> MemoryStore:
        """For a `Trace` of what has been recorded so far."""
        return MemoryStore(self)

    def _trace(self) -> Trace:
        from analogmgd.trace import Trace  # here, because trace imports this module

        return Trace(self.store())


class MemoryStore:
    """`Store` over the arrays of a `MemoryWriter`, which it shares."""

    path: str | None = None
    writer_gone: bool = False

    def __init__(self, writer: MemoryWriter) -> None:
        self._writer = writer
        self.refresh()

    def attributes(self) -> dict[str, Any]:
        return dict(self._writer._attributes)

    def names(self, group: str) -> tuple[str, ...]:
        found = [d for d in self._writer.datasets.values() if d.group == group]
        return tuple(d.name for d in (sorted(found, key=lambda d: d.name) if group == "chips" else found))

    def _array(self, path: str) -> Array:
        array = self._writer._arrays[path]
        if self._writer.datasets[path].expected is None:
            return array
        return array[: self.rows if path.startswith("record/") else self.probe_rows]

    def shape(self, path: str) -> tuple[int, ...]:
        return self._array(path).shape

    def dtype(self, path: str) -> np.dtype[Any]:
        return self._array(path).dtype

    def axes(self, path: str) -> tuple[str, tuple[str, ...]]:
        spec = self._writer.datasets[path]
        return spec.unit, spec.dims

    def read(self, path: str, index: tuple[Any, ...] = ()) -> Array:
        return np.asarray(self._array(path)[index])

    def confirm(self, path: str, rows: int | None = None) -> None:
        pass

    def refresh(self) -> None:
        self.rows, self.probe_rows = self._writer.rows, self._writer.probe_rows

    def close(self) -> None:
        pass
