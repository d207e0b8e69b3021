"""What both back ends of a trace hold before the first row, and its texts with their checksums."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from analogmgd.trace_checksums import crc
from analogmgd.trace_schema import (
    CHECKPOINT_BYTES,
    COUNTS,
    FORMAT,
    FORMAT_VERSION,
    SLOTS,
    TraceHeader,
    count_width,
    layout,
)

Array = npt.NDArray[Any]
RUNNING = {"status": "running", "ended": False, "extra": {}}


def seal(content: Mapping[str, Any]) -> bytes:
    """JSON text with the checksum of what follows it as its first entry.

    >>> seal({"status": "running"})
    b'{"crc32": "22a11a6d", "status": "running"}'
    """
    rest = json.dumps(dict(content), default=lambda number: number.item()).encode()[1:]
    return b'{"crc32": "%08x", ' % zlib.crc32(rest) + rest


def unseal(text: bytes) -> dict[str, Any]:
    """What `seal` sealed.

    Raises:
        ValueError: it is damaged.
    """
    if text[:11] != b'{"crc32": "' or text[11:19] != b"%08x" % zlib.crc32(text[22:]):
        raise ValueError("its checksum is wrong")
    content = json.loads(text)
    del content["crc32"]
    return dict(content)


def root_attributes(header: TraceHeader, version: str, created_utc: str) -> dict[str, Any]:
    """The attributes of the file's root, but for the writer's own."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "analogmgd_version": version,
        "created_utc": created_utc,
        "config": header.config,
        "seed": header.seed,
        "status": "running",
        "environment": json.dumps(dict(header.environment)),
        "chance_accuracy": float("nan") if header.chance is None else float(header.chance),
    }


def contents(header: TraceHeader, fixed: Mapping[str, Array]) -> dict[str, Any]:
    """What /header says of the datasets: unit and axes, type and shape (of a row), first checksums."""
    specs = layout(header, in_file=True)
    return {
        "datasets": {d.path: [d.unit, d.dims] for d in specs},
        "types": {d.path: [d.dtype.str, d.shape] for d in specs},
        "fixed_crc32": {path: crc(array) for path, array in fixed.items() if path.startswith(("chips/", "probe/"))},
    }


def fixed_arrays(header: TraceHeader) -> dict[str, Array]:
    """Every dataset that is known, or has its place, before the run."""
    n = len(header.chips)
    found = {f"chips/{name}": np.asarray(value) for name, value in header.chip_arrays.items()}
    found["chips/id"] = header.chips
    if len(header.probe_chips):
        found["probe/chip"] = header.probe_chips
    found["final/theta"] = np.full((n, header.n_params), np.nan, header.dtype)
    for name in header.counts:
        found[f"final/{name}"] = np.zeros((n, count_width(header, name)), COUNTS[name][1] or header.dtype)
    found["final/diverged_step"] = np.full(n, -1, np.int64)
    found["final/state"] = np.array([seal(RUNNING)])
    if header.state_bytes:
        found["checkpoint/state"] = np.zeros((SLOTS, header.state_bytes), np.uint8)
        found["checkpoint/text"] = np.zeros(SLOTS, f"S{CHECKPOINT_BYTES}")
    return found
