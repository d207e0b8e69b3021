"""Trace files: HDF5, written in blocks while the run goes on, readable at every moment.

How a file stays whole. It is created beside its final place, filled with everything that is known before
the run (`/final/theta` and the other places of the end included), switched to HDF5's single-writer
multiple-reader mode (SWMR) and only then moved to its path: a file that was there before is replaced by a
working one or not at all. A block of rows is written and flushed dataset by dataset, `/record/step` last;
readers count rows by that one, so they see whole rows only. Its fill value is -1, which no row has.

How it is left. However a run ends (complete, interrupted, diverged, disk full) the file is closed and any
HDF5 program opens it. Only after a `kill -9` or a power cut HDF5's flag "open for writing" stays set, and
`h5py.File(path)` refuses. `analogmgd.Trace` opens such a file all the same; other programs can with

    h5py.File(path, swmr=True)      or, after    h5clear -s --increment run.h5    with all means

(h5clear comes with the HDF5 tools; `analogmgd.trace_release.release(path)` does the same).

Texts. The root's attributes are for people and other programs. `Trace` reads the same from /header and
/final/state, JSON with a checksum: HDF5 guards all else that it keeps of its own with checksums, but not
the heap in which attributes of any length lie, and it can hang there on a damaged file.

No compression: on recorded theta and costs, gzip(1) with shuffle saves about 14 % and takes 3 to 40 times the
time of writing; and a filtered chunk is written anew with every block, so that a kill could tear rows that
had been published. For the same reason no Fletcher32, but checksums of our own (`trace_checksums`). The
format is that of HDF5 1.10 (`libver="v110"`), the first that has SWMR; docs/traces.md has all of it.

How it is gone on with. /checkpoint has room for two states of the chips (`trace_checkpoint`). A resumed run
writes a new file, with the rows up to the checkpoint taken over, and puts it in the place of the old one once
it works: whatever happens meanwhile, one of the two is there and whole.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

import h5py  # type: ignore[import-untyped]
import numpy as np
from h5py import h5f, h5p  # type: ignore[import-untyped]

from analogmgd.errors import ConfigError, TraceError
from analogmgd.trace_checkpoint import Checkpoint, put
from analogmgd.trace_checksums import crc, line_of
from analogmgd.trace_contents import RUNNING, Array, contents, fixed_arrays, seal
from analogmgd.trace_memory import Store, TraceWriter
from analogmgd.trace_open import DROPPED, drop_file, one_line, writer_identity
from analogmgd.trace_place import THERE, alone_with, astray, check_target, kept, move_new, part_of, synced
from analogmgd.trace_schema import TraceHeader, block_rows, check_fits, layout

if TYPE_CHECKING:
    from analogmgd.trace import Trace

IMAGE_BYTES = 1 << 20  # larger arrays do not go through memory when a file is created
BLOCK_SECONDS = 1.0  # a block is written when the last one was so long ago, or as `trace_schema` says


def file_access() -> Any:
    """HDF5 1.10 format; no locks (SWMR needs none); no chunk cache: a block goes straight to its place."""
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_libver_bounds(h5f.LIBVER_V110, h5f.LIBVER_V110)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    access.set_cache(0, 0, 0, 0.75)
    access.set_file_locking(False, True)
    return access


def file_image(header: TraceHeader, attributes: dict[str, Any]) -> bytes:
    """The file as it is before the first row, but for arrays above `IMAGE_BYTES`, which are left empty.

    It is made in memory because HDF5 can crash the process when the disk is full while it creates things.
    Attributes stay in the object header, where they can be changed in place.
    """
    creation, access = h5p.create(h5p.FILE_CREATE), file_access()
    creation.set_attr_phase_change(64, 0)
    access.set_fapl_core(IMAGE_BYTES, False)
    fixed = fixed_arrays(header)
    with h5py.File(h5f.create(b"image", h5f.ACC_TRUNC, fcpl=creation, fapl=access)) as file:
        for name, value in attributes.items():
            file.attrs[name] = value
        text = seal({**attributes, **contents(header, fixed)})
        dataset = file.create_dataset("header", data=np.array([text]))  # first: it is in all that is left of a file
        dataset.attrs["unit"] = "1"
        dataset.attrs["dims"] = ["text"]
        for spec in layout(header, in_file=True):
            if spec.expected is None:
                data = fixed[spec.path] if spec.row_bytes <= IMAGE_BYTES else None
                dataset = file.create_dataset(spec.path, spec.shape, spec.dtype, data=data)
            else:
                dataset = file.create_dataset(
                    spec.path,
                    shape=(0, *spec.shape),
                    maxshape=(None, *spec.shape),
                    chunks=spec.chunks,
                    dtype=spec.dtype,
                    fillvalue=-1 if spec.name == "step" else None,
                    fill_time="ifset" if spec.name == "step" else "never",
                )
            dataset.attrs["unit"] = spec.unit
            dataset.attrs["dims"] = list(spec.dims)
        file.flush()
        return bytes(file.id.get_file_image())


class FileWriter(TraceWriter):
    """Writes a trace to an HDF5 file (see the module's text)."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        header: TraceHeader,
        attributes: dict[str, Any],
        force: bool,
        before: tuple[Store, Checkpoint] | None = None,
    ) -> None:
        super().__init__(header)
        self.path = os.fspath(path)
        check_target(self.path, force or before is not None)
        check_fits(header, self.path)
        target = os.path.realpath(self.path)
        self._buffers: dict[str, dict[str, Array]] = {"record": {}, "probe": {}}
        self._state = {"record": (0, 0, 0), "probe": (0, 0, 0)}  # rows in the file, in the buffer, blocks in the file
        self._written = time.monotonic()
        try:
            with part_of(target) as file:
                self._inode = os.fstat(file.fileno()).st_ino
                identity = writer_identity(self._inode)
                file.write(file_image(header, {**attributes, **identity}))
                file.flush()
                self._file = h5py.File(h5f.open(os.fsencode(file.name), h5f.ACC_RDWR, fapl=file_access()))
                try:
                    # held open: an object that is closed when the disk is full leaves HDF5 in pieces
                    self._sets = {d.path: self._file[d.path] for d in layout(header, in_file=True)}
                    fixed = fixed_arrays(header)
                    for path, spec in self.datasets.items():
                        if spec.expected is None and spec.row_bytes > IMAGE_BYTES:
                            self._sets[path][...] = fixed[path]
                    self._file.swmr_mode = True
                    if before:
                        self.take_over(*before)
                    self._file.flush()
                    file.close()  # with it its lock, which readers would meet
                    if before:
                        os.replace(file.name, target)
                    elif not force:
                        move_new(file.name, target)
                    else:
                        with alone_with(target):
                            check_target(self.path, force)  # another run may have begun since
                            os.replace(file.name, target)
                    DROPPED.discard(target)
                except BaseException:
                    if not self.closed:  # twice would end the process
                        drop_file(self._file)
                    with contextlib.suppress(OSError):
                        if os.stat(target).st_ino == self._inode:  # it is there already, and Ctrl-C came
                            DROPPED.add(target)
                    raise
        except FileExistsError:
            raise ConfigError(THERE.format(self.path)) from None
        except (OSError, RuntimeError) as error:
            if isinstance(error, TraceError) and self.error is None:  # the old file cannot be read
                raise
            why = one_line(error.__cause__ or error)
            if before:
                raise TraceError(f"cannot go on with the trace {self.path!r}: {why}; it is as it was") from error
            raise ConfigError(f"cannot create the trace {self.path!r}: {why}") from error

    def _put(self, group: str, arrays: dict[str, Array], count: int) -> None:
        buffers = self._buffers[group]
        if not buffers:
            specs = [self.datasets[f"{group}/{name}"] for name in self.names[group]]
            buffers.update({s.name: np.empty((block_rows(specs), *s.shape), s.dtype) for s in specs})
        size = len(buffers["step"])
        taken = 0
        while taken < count:
            published, filled, blocks = self._state[group]
            fits = min(size - filled, count - taken)
            for name, array in arrays.items():
                buffers[name][filled : filled + fits] = array[taken : taken + fits]
            self._state[group] = (published, filled + fits, blocks)
            taken += fits
            if filled + fits == size:
                self._publish(group)
        if time.monotonic() - self._written > BLOCK_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is buffered and show it to readers."""
        self._check_open()
        for group in ("record", "probe"):
            self._publish(group)

    def _publish(self, group: str) -> None:
        published, filled, blocks = self._state[group]
        if not filled:
            return
        buffers, end = self._buffers[group], published + filled
        line = line_of(buffers, published, filled)
        try:
            for name in (n for n in self.names[group] if n != "step"):
                self._extend(f"{group}/{name}", published, end, buffers[name][:filled])
            self._extend(f"check/{group}", blocks, blocks + 1, line)
            self._extend(f"{group}/step", published, end, buffers["step"][:filled])
        except (OSError, RuntimeError) as error:
            self._fail(error)
        self._state[group] = (end, 0, blocks + 1)  # one step, so that Ctrl-C cannot come in between
        self._written = time.monotonic()

    def _extend(self, path: str, first: int, end: int, values: Array) -> None:
        dataset = self._sets[path]
        dataset.resize(end, axis=0)
        dataset[first:] = values
        dataset.flush()

    def _put_checkpoint(self, slot: int, pieces: list[Array], text: bytes) -> None:
        state, texts = (self._sets[f"checkpoint/{name}"] for name in ("state", "text"))
        try:
            put(state, slot, pieces)
            state.flush()
            synced(self._file.id.get_vfd_handle())  # before the text says that it is there
            texts[slot] = text
            texts.flush()
        except (OSError, RuntimeError) as error:
            self._fail(error)

    def _close(self, state: dict[str, Any]) -> None:
        counted = {"rows": self._state["record"][0], "probe_rows": self._state["probe"][0]}
        self._sets["final/state"][0] = seal({**state, **counted})
        self._sets["final/state"].flush()
        self._file.attrs.modify("status", state["status"])
        self._file.flush()  # before closing: a close that fails leaves HDF5 in pieces
        handle, size = self._file.id.get_vfd_handle(), self._file.id.get_filesize()
        if os.fstat(handle).st_size < size:  # room that was given out and not used; readers want it there
            os.ftruncate(handle, size)
        handle = os.dup(handle)
        try:
            self.closed = True
            self._file.close()
            synced(handle)
            self._astray = astray(self.path or "", handle)
        finally:
            os.close(handle)

    def _fail(self, error: BaseException) -> None:
        """Give up after a write that failed: keep what is published, close, raise one line."""
        try:
            if not self.closed:
                for group, (published, _, blocks) in self._state.items():
                    for name in self.names[group]:
                        self._sets[f"{group}/{name}"].resize(published, axis=0)  # forget what cannot be written
                    if self.names[group]:
                        self._sets[f"check/{group}"].resize(blocks, axis=0)
                self._close({**RUNNING, "status": "interrupted"})
        except (OSError, RuntimeError):
            drop_file(self._file)
            DROPPED.add(os.path.realpath(self.path or ""))
            self.closed = True
        self.error = TraceError(
            f"cannot write the trace {self.path!r}: {one_line(error)}; {kept(self.path or '', error)}"
        )
        raise self.error from error

    def _end(self, state: dict[str, Any], final: dict[str, Array]) -> None:
        self.flush()
        try:
            for name, value in final.items():
                self._sets[f"final/{name}"][...] = value
                self._sets[f"final/{name}"].flush()
            sums = {f"final/{name}": crc(value) for name, value in final.items()}
            self._close({**state, "final_crc32": sums})
        except (OSError, RuntimeError) as error:
            self._fail(error)

    def _trace(self) -> Trace:
        from analogmgd.trace import Trace  # here, because trace imports this module

        if self._astray:
            raise TraceError(f"the trace {self.path!r} {self._astray}")
        return Trace(self.path or "")
