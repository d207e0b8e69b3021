"""Where a run is to be gone on from: the state of its chips and the counts that belong to it.

Every trace has room for two of them. A new one goes over the older one, first its bytes, then a text with their
checksum; so whenever a write is cut short, the other one is whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import TraceError
from .trace_checksums import crc
from .trace_contents import seal, unseal
from .trace_schema import CHECKPOINT_BYTES

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Checkpoint:
    """All that a run is gone on with.

    step : steps done by every chip
    rows, probe_rows : of the trace by then
    arrays : the chips' state, first axis chips; empty at step 0, where the configuration says all
    wall_seconds : spent by then
    resumed : steps at which the run was gone on with, so far
    sequence : number of the checkpoint, from 1
    """

    step: int
    rows: int
    probe_rows: int
    arrays: Sequence[Array] = ()
    wall_seconds: float = 0.0
    resumed: tuple[int, ...] = ()
    sequence: int = field(default=0, compare=False)


BEGINNING = Checkpoint(0, 0, 0)


def kinds_of(arrays: Sequence[Array]) -> list[tuple[np.dtype[Any], tuple[int, ...]]]:
    """Type and shape of every array."""
    return [(array.dtype, array.shape) for array in arrays]


def size_of(arrays: Sequence[Array]) -> int:
    """Bytes of a checkpoint."""
    return sum(array.nbytes for array in arrays)


def pack(checkpoint: Checkpoint) -> tuple[list[Array], bytes]:
    """Bytes of a checkpoint, in pieces, which are the arrays' own memory, and its sealed text.

    >>> pieces, text = pack(Checkpoint(7, 2, 0, [np.arange(3.0)]))
    >>> unpack(np.concatenate(pieces), text).arrays[0]
    array([0., 1., 2.])
    """
    pieces = [np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in checkpoint.arrays]
    total = 0
    for piece in pieces:
        total = crc(piece, total)
    kinds = [[dtype.str, shape] for dtype, shape in kinds_of(checkpoint.arrays)]
    resumed = checkpoint.resumed
    while True:
        text = seal({
            "sequence": checkpoint.sequence, "step": checkpoint.step, "rows": checkpoint.rows,
            "probe_rows": checkpoint.probe_rows, "wall_seconds": checkpoint.wall_seconds, "resumed": resumed,
            "state_crc32": total, "arrays": kinds,
        })  # fmt: skip
        if len(text) <= CHECKPOINT_BYTES or not resumed:
            return pieces, text
        resumed = resumed[len(resumed) // 2 :]  # the latest


def put(target: Any, slot: int, pieces: Sequence[Array]) -> None:
    """Write pieces side by side into a row of an array or dataset."""
    start = 0
    for piece in pieces:
        target[slot, start : start + len(piece)] = piece
        start += len(piece)


def unpack(state: Array, text: bytes) -> Checkpoint:
    """The checkpoint of these bytes and this text.

    Raises:
        ValueError: one of them is damaged, or they do not belong together.
    """
    found = unseal(text)
    if crc(state) != found["state_crc32"]:
        raise ValueError("the checksum of its state is wrong")
    arrays, start = [], 0
    for kind, shape in found["arrays"]:
        dtype = np.dtype(kind)
        if dtype.kind not in "fiu":
            raise ValueError(f"it has an array of {dtype}")
        end = start + dtype.itemsize * math.prod(shape)
        arrays.append(state[start:end].view(dtype).reshape(shape))
        start = end
    if start != len(state):
        raise ValueError(f"its arrays take {start} bytes, {len(state)} are there")
    return Checkpoint(
        int(found["step"]), int(found["rows"]), int(found["probe_rows"]), arrays, float(found["wall_seconds"]),
        tuple(int(n) for n in found["resumed"]), int(found["sequence"]),
    )  # fmt: skip


def latest(store: Any) -> Checkpoint:
    """The latest whole checkpoint of a trace's store; `BEGINNING` where none was written yet.

    Raises:
        TraceError: the trace has no room for any (an older version wrote it), or all that were written are damaged.
    """
    where = "in memory" if store.path is None else repr(store.path)
    if "state" not in store.names("checkpoint"):
        raise TraceError(f"the trace {where} has no checkpoint to go on from: an earlier version of analogmgd wrote it")
    texts = [bytes(text) for text in store.read("checkpoint/text")]
    problem = ""
    order = sorted(range(len(texts)), key=lambda slot: _sequence(texts[slot]), reverse=True)
    for slot in order:
        if not texts[slot].strip(b"\0"):
            continue
        try:
            found = unpack(store.read("checkpoint/state", (slot,)), texts[slot])
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            problem = str(error)
            continue
        if not (0 <= found.rows <= store.rows and 0 <= found.probe_rows <= store.probe_rows and found.step >= 0):
            raise TraceError(
                f"the trace {where} is damaged: its checkpoint is of {found.rows} rows, it has {store.rows}"
            )
        return found
    if problem and all(text.strip(b"\0") for text in texts):
        raise TraceError(f"the trace {where} is damaged: no checkpoint is whole: {problem}")
    return BEGINNING


def _sequence(text: bytes) -> int:
    try:
        return int(unseal(text)["sequence"])
    except (ValueError, KeyError, TypeError, OverflowError):
        return -1
