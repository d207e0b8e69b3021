"""What can still be read of a damaged trace: each thing by itself, so that one that is gone takes no other with it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np

from .config import Config
from .errors import AnalogMGDError, TraceError
from .trace_checkpoint import Checkpoint, unpack
from .trace_checksums import PIECE_BYTES, Array, crc, crc_of, crcs_of
from .trace_contents import RUNNING, unseal
from .trace_open import FAULTS, one_line, writer_alive
from .trace_reader import HEADER
from .trace_schema import FORMAT_VERSION
from .trace_structure import check_described, check_size
from .trace_superblock import Superblock, Unflagged, superblock

ROOT = 48  # where the files that we write have their root group
UNSET = (1 << 64) - 1
Block = tuple[int, int]  # first row, end


def version_of(file: Any) -> int:
    """The version of a file's format, as far as it says."""
    try:
        return int(file.attrs["format_version"]) if file.attrs.get_id("format_version").dtype.kind in "iu" else 0
    except FAULTS:
        return 0


class Salvage:
    """A damaged trace, opened as far as it can be.

    header, state : what it says of itself and of its end; the latter may be lost
    known : whether it has checksums

    Raises:
        TraceError: HDF5 cannot open it, or /header is damaged; a process is writing it.
    """

    def __init__(self, path: str) -> None:
        self.path, self.lost = path, list[str]()
        try:
            size = os.path.getsize(path)
            block = superblock(path) or (Superblock(0, 0, UNSET, size, ROOT) if self._ours(path) else None)
            self._view = Unflagged(path, block) if block else None
            self.file = h5py.File(self._view or path, "r", **({} if self._view else {"locking": False}))
        except (AnalogMGDError, *FAULTS) as error:
            raise TraceError(f"{path!r} cannot be repaired: HDF5 cannot open it: {one_line(error)}") from error
        version = version_of(self.file)
        if version > FORMAT_VERSION:
            self.close()
            text = f"it has format version {version}; this analogmgd knows up to {FORMAT_VERSION}"
            raise TraceError(f"{path!r} cannot be repaired: {text}: upgrade analogmgd")
        try:
            self.header = self._text("header")
            if not all(isinstance(self.header[name], kind) for name, kind in HEADER.items()):
                raise ValueError("it is of another kind")
            check_described(path, self.header)
        except (AnalogMGDError, *FAULTS) as error:
            self.close()
            raise TraceError(f"{path!r} cannot be repaired: its /header is gone: {one_line(error)}") from error
        self.known, self.types = "types" in self.header, self.header.get("types", {})
        try:
            self.state = self._text("final/state")
            if not (
                isinstance(self.state["ended"], bool)
                and isinstance(self.state["extra"], dict)
                and "status" in self.state
            ):
                raise ValueError("it is of another kind")
        except (AnalogMGDError, *FAULTS):
            self.state = dict(RUNNING)
            self.lost.append("/final/state, how it ended")
        if self.state["status"] == "running" and writer_alive(self.header, path):
            self.close()
            raise TraceError(f"the trace {path!r} is being written by process {self.header['writer_pid']}")
        self.sums = {**self.header.get("fixed_crc32", {}), **self.state.get("final_crc32", {})}

    @staticmethod
    def _ours(path: str) -> bool:
        """Whether the root group is where our files have it, though the file's first bytes are damaged."""
        with open(path, "rb") as file:
            return file.read(ROOT + 4)[ROOT:] == b"OHDR"

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()
        if self._view:
            self._view.close()

    def _text(self, path: str) -> dict[str, Any]:
        dataset = self.dataset(path)
        if dataset is None or dataset.dtype.kind != "S" or dataset.shape != (1,):
            raise ValueError("it is not there")
        check_size(self.path, path, dataset, (1,))
        return unseal(bytes(dataset[0]))

    def dataset(self, path: str) -> Any:
        """A dataset that is a plain array of this file and of the type it was, else None."""
        try:
            links = [self.file.get(part, getlink=True) for part in {path.split("/")[0], path}]
            found = self.file[path]
            plain = isinstance(found, h5py.Dataset) and all(isinstance(link, h5py.HardLink) for link in links)
            if not plain or found.is_virtual or found.external or found.dtype.kind not in "fiubS" or found.ndim < 1:
                return None
            dtype, shape = getattr(self, "types", {}).get(path, (found.dtype.str, None))
            grows = path.split("/")[0] in ("record", "check") or (path.startswith("probe/") and path != "probe/chip")
            is_shape = list(found.shape[1:] if grows else found.shape)
            return found if found.dtype == np.dtype(dtype) and shape in (None, is_shape) else None
        except (AnalogMGDError, *FAULTS):
            return None

    def array(self, path: str) -> Array | None:
        """An array that does not grow, None where it is not whole."""
        dataset = self.dataset(path)
        try:
            if dataset is None:
                return None
            check_size(self.path, path, dataset, dataset.shape)
            if self.known and crc_of(dataset, 0, len(dataset)) != self.sums.get(path):
                return None
            return np.asarray(dataset[:])
        except (AnalogMGDError, *FAULTS):
            return None

    def chips(self) -> Array:
        """Ids of the chips, as the configuration has them where the array is damaged."""
        found = self.array("chips/id")
        if found is None:
            with contextlib.suppress(AnalogMGDError, *FAULTS):
                found = np.array(Config.from_toml(self.header["config"]).run.chip_ids, np.int64)
            if found is None or (self.known and crc(found) != self.sums["chips/id"]):
                raise TraceError(f"{self.path!r} cannot be repaired: the ids of its chips are gone")
        return found

    def quantities(self, group: str) -> list[str]:
        """Paths of the growing datasets of a group, as they were."""
        return [p for p in self.header["datasets"] if p.startswith(f"{group}/") and p != "probe/chip"]

    def blocks(self, group: str) -> tuple[list[str], list[Block], int]:
        """Quantities of a group that can be kept, blocks of rows that are whole in them, and rows there were."""
        paths = self.quantities(group)
        found = {path: self.dataset(path) for path in paths}
        if not paths or found[f"{group}/step"] is None:
            return [], [], 0
        rows = self._rows(group, found[f"{group}/step"])
        good = dict(self._verified(group, paths, found) if self.known else self._readable(found, rows))
        every = [block for block, whole in good.items() if any(whole)]
        kept = [path for i, path in enumerate(paths) if not every or any(good[block][i] for block in every)]
        use = [i for i, path in enumerate(paths) if path in kept]
        if f"{group}/step" not in kept or (group == "record" and "record/time" not in kept):
            return [], [], rows
        blocks = sorted(block for block in every if all(good[block][i] for i in use))
        reached, end = list[Block](), 0
        for first, last in blocks:
            if first >= end:
                reached.append((first, last))
                end = last
        return kept, reached, max(rows, end)

    def _rows(self, group: str, steps: Any) -> int:
        said = self.state.get("rows" if group == "record" else "probe_rows")
        if isinstance(said, int):
            return said
        try:
            check_size(self.path, f"{group}/step", steps, steps.shape)
            return int((steps[:] >= 0).sum())
        except (AnalogMGDError, *FAULTS):
            return 0

    def _verified(self, group: str, paths: list[str], found: dict[str, Any]) -> Iterator[tuple[Block, list[bool]]]:
        """Blocks and which quantities are whole in them, by the checksums."""
        lines = self.dataset(f"check/{group}")
        try:
            check_size(self.path, f"check/{group}", lines, lines.shape)
            table = lines[:]
        except (AnalogMGDError, AttributeError, *FAULTS):
            self.lost.append(f"/check/{group}, without which its rows cannot be told from damaged ones")
            return
        ends = [(int(line[0]), int(line[0]) + int(line[1])) for line in table]
        there = [i for i, (first, end) in enumerate(ends) if 0 <= first < end <= len(found[f"{group}/step"])]
        blocks = [ends[i] for i in there]
        whole = [self._same(found[path], blocks, table[there, 2 + i]) for i, path in enumerate(paths)]
        yield from ((block, [quantity[i] for quantity in whole]) for i, block in enumerate(blocks))

    @staticmethod
    def _same(dataset: Any, blocks: list[Block], sums: Array) -> list[bool]:
        """Which blocks of a quantity have their checksums."""
        if dataset is None:
            return [False] * len(blocks)
        try:
            return [a == b for a, b in zip(crcs_of(dataset, blocks, len(dataset)), sums.tolist(), strict=True)]
        except (AnalogMGDError, *FAULTS):  # some cannot be read: each by itself
            if len(blocks) < 2:
                return [False] * len(blocks)
            return [Salvage._same(dataset, [b], sums[i : i + 1])[0] for i, b in enumerate(blocks)]

    def _readable(self, found: dict[str, Any], rows: int) -> Iterator[tuple[Block, list[bool]]]:
        """Of a file without checksums: rows that lie in the part of the file that is there, whose steps rise."""
        size = os.path.getsize(self.path)
        steps = next(iter(found.values()))
        end = rows
        for dataset in found.values():
            bad: list[int] = []

            def note(chunk: Any, bad: list[int] = bad, full: int = 0) -> None:
                if chunk.byte_offset + chunk.size > size:
                    bad.append(int(chunk.chunk_offset[0]))

            try:
                dataset.id.chunk_iter(note)
                end = min([end, len(dataset), *bad])
            except (AnalogMGDError, AttributeError, *FAULTS):
                continue
        try:
            rising = np.diff(steps[:end], prepend=-1) > 0
            end = end if rising.all() else int(np.argmin(rising))
        except FAULTS:
            return
        row = max(1, sum(d.dtype.itemsize * int(np.prod(d.shape[1:])) for d in found.values() if d is not None))
        size = max(1, PIECE_BYTES // row)
        for first in range(0, end, size):
            last = min(first + size, end)
            yield (first, last), [self._reads(dataset, first, last) for dataset in found.values()]

    @staticmethod
    def _reads(dataset: Any, first: int, end: int) -> bool:
        try:
            return dataset is not None and len(dataset[first:end]) == end - first
        except FAULTS:
            return False

    def checkpoint(self, rows: int, probe_rows: int) -> Checkpoint | None:
        """The latest whole one of rows that are all there."""
        found = []
        states, texts = self.dataset("checkpoint/state"), self.dataset("checkpoint/text")
        for slot in range(len(texts) if states is not None and texts is not None else 0):
            try:
                one = unpack(states[slot], bytes(texts[slot]))
            except (AnalogMGDError, *FAULTS):
                continue
            if 0 <= one.rows <= rows and 0 <= one.probe_rows <= probe_rows:
                found.append(one)
        return max(found, key=lambda one: one.sequence, default=None)

    @property
    def environment(self) -> dict[str, Any]:
        """What the run was made with."""
        return dict(json.loads(self.header["environment"]))
