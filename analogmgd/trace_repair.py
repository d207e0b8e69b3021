"""Salvages what is whole of a damaged trace into a new one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import AnalogMGDError, ConfigError, TraceError
from .trace import TraceHeader
from .trace_checkpoint import Checkpoint
from .trace_contents import root_attributes
from .trace_file import FileWriter
from .trace_open import FAULTS, one_line
from .trace_salvage import Block, Salvage
from .trace_schema import COUNTS


@dataclass(frozen=True)
class Repaired:
    """What `repair` made.

    path : the new trace
    rows, probe_rows : kept
    checkpoint : step from which the run can be gone on with, 0: from its start
    lost : one line for each thing that is not in it
    kind : "trace" or "sweep", of which rows are the points that are done
    points : of a sweep
    """

    path: str
    rows: int
    probe_rows: int
    checkpoint: int
    lost: tuple[str, ...]
    kind: str = "trace"
    points: int = 0


def repair(path: str | os.PathLike[str], out: str | os.PathLike[str], force: bool = False) -> Repaired:
    """Write what is whole of a damaged trace or sweep into a new one; the old one is only read.

    Kept are all rows whose checksums are right, also behind damaged ones; a checkpoint where it is whole and all rows
    before it are; the final parameters and what defines the chips where their checksums are right. The new trace
    has status "interrupted"; `analogmgd.resume` goes on with it from its checkpoint, or from the start. Of a trace
    of an early version, which has no checksums, what can be read is kept. Of a sweep the points are kept whose
    checksums are right; `analogmgd.sweep` goes on with the others.

    path : the damaged trace
    out : the new one
    force : replace a file that is there

    Raises:
        ConfigError: there is no such file, or the new one cannot be written.
        TraceError: nothing can be salvaged: HDF5 cannot open the file, or the text that says what it holds is damaged.

    >>> import analogmgd as am
    >>> run = am.train(am.Network.mlp([2, 2, 1]), "parity", am.MGD(), steps=200, chips=4, trace="old.h5")
    >>> repair("old.h5", "new.h5").lost
    ()
    """
    source, target = os.fspath(path), os.fspath(out)
    if not os.path.exists(source):
        raise ConfigError(f"there is no trace {source!r}")
    if os.path.exists(target) and os.path.samefile(source, target):
        raise ConfigError(f"{target!r} is the damaged trace itself: give the new one another name")
    from .sweep_check import is_sweep  # here, because these modules import this one

    if is_sweep(source):
        from .sweep_repair import repair_sweep

        return repair_sweep(source, target, force)
    old = Salvage(source)
    try:
        return write(old, target, force)
    except AnalogMGDError:
        raise
    except FAULTS as error:
        raise TraceError(f"{source!r} cannot be repaired: {one_line(error)}") from error
    finally:
        with contextlib.suppress(Exception):
            old.close()


def write(old: Salvage, target: str, force: bool) -> Repaired:
    """The new trace."""
    groups = {group: old.blocks(group) for group in ("record", "probe")}
    ids = old.chips()
    probed = old.array("probe/chip")
    if probed is None and old.quantities("probe"):
        old.lost.append("/probe, of which chips it is")
    if probed is None:
        groups["probe"] = ([], [], 0)
    for group, (kept, blocks, rows) in groups.items():
        if old.quantities(group) and (group == "record" or probed is not None):
            old.lost += gone(group, old.quantities(group), kept, blocks, rows)
    chips, wide = arrays_of(old, ids)
    final, diverged = ended(old, len(ids), wide)
    whole = groups["record"][0] == old.quantities("record") and groups["probe"][0] == old.quantities("probe")
    point = old.checkpoint(*(prefix(groups[g][1]) for g in ("record", "probe"))) if whole else None
    if point is None and any(p.startswith("checkpoint/") for p in old.header["datasets"]):
        old.lost.append("the checkpoint: the run can only be gone on with from its start")
    header = header_of(old, ids, probed, groups, chips, wide, final)
    attributes = root_attributes(header, old.header["analogmgd_version"], old.header["created_utc"])
    with FileWriter(target, header, attributes, force) as writer:
        copy(old, writer, groups, point)
        if final is not None:
            counts = {name: final[name] for name in header.counts}
            writer.finish("interrupted", final["theta"], diverged, old.state["extra"], counts).close()
    return Repaired(target, writer.rows, writer.probe_rows, point.step if point else 0, tuple(old.lost))


def arrays_of(old: Salvage, ids: Any) -> tuple[dict[str, Any], int]:
    """What defines the chips, as far as it is whole, and the parameters of a chip."""
    paths = [path for path in old.header["datasets"] if path.startswith("chips/") and path != "chips/id"]
    found = {path: old.array(path) for path in paths}
    kept = {path.split("/")[1]: a for path, a in found.items() if a is not None and len(a) == len(ids)}
    old.lost += [f"/{path}" for path in paths if path.split("/")[1] not in kept]
    theta = old.dataset("final/theta")
    width = old.types["final/theta"][1][1] if old.known else theta.shape[1] if theta is not None else 0
    if width < 1:
        raise TraceError(f"{old.path!r} cannot be repaired: its /final/theta is gone, and with it its size")
    return kept, width


def ended(old: Salvage, chips: int, width: int) -> tuple[dict[str, Any] | None, dict[int, int]]:
    """What the run ended with, None where it did not, or that is damaged; chip -> step of those that diverged."""
    if not old.state["ended"]:
        return None, {}
    names = [path.split("/")[1] for path in old.header["datasets"] if path.startswith("final/") and "state" not in path]
    found = {name: old.array(f"final/{name}") for name in names}
    old.lost += [f"/final/{name}" for name, array in found.items() if array is None]
    theta, steps = found["theta"], found["diverged_step"]
    if theta is None or theta.shape != (chips, width) or (steps is None and not np.isfinite(theta).all()):
        return None, {}
    ids = old.chips()
    diverged = {} if steps is None else {int(c): int(s) for c, s in zip(ids, steps, strict=True) if s >= 0}
    return {name: array for name, array in found.items() if array is not None}, diverged


def header_of(
    old: Salvage, ids: Any, probed: Any, groups: dict[str, Any], chips: dict[str, Any], width: int, final: Any
) -> TraceHeader:
    """What the new trace says of the run."""
    kept = groups["record"][0]
    theta, states = old.dataset("final/theta"), old.dataset("checkpoint/state")
    dtype = old.types["final/theta"][0] if old.known else theta.dtype
    size = (
        old.types.get("checkpoint/state", [0, [0, 0]])[1][1]
        if old.known
        else states.shape[1]
        if states is not None
        else 0
    )
    chance = float(old.header["chance_accuracy"])
    names = [path.split("/")[1] for path in kept if path not in ("record/step", "record/time")]
    about = old.environment
    about["lost"] = [*about.get("lost", []), *old.lost]
    return TraceHeader(
        config=old.header["config"], seed=int(old.header["seed"]), chips=ids, n_params=width,
        record=tuple(names), dtype=np.dtype(dtype), probe_chips=np.empty(0, np.int64) if probed is None else probed,
        chip_arrays=chips, environment=about,
        expected_rows=sum(end - first for first, end in groups["record"][1]),
        expected_probe_steps=sum(end - first for first, end in groups["probe"][1]),
        chance=None if np.isnan(chance) else chance, state_bytes=size,
        chip_units={name: old.header["datasets"][f"chips/{name}"][0] for name in chips},
        counts=tuple(name for name in COUNTS if final is not None and name in final),
    )  # fmt: skip


def prefix(blocks: list[Block]) -> int:
    """Rows from the first one on without a gap."""
    end = 0
    for first, last in blocks:
        if first != end:
            break
        end = last
    return end


def gone(group: str, paths: list[str], kept: list[str], blocks: list[Block], rows: int) -> Iterator[str]:
    """Lines about what is not kept of a group."""
    if not kept:
        yield f"/{group}: all {rows} rows"
        return
    yield from (f"/{path}, of all rows" for path in paths if path not in kept)
    end = 0
    for first, last in [*blocks, (rows, rows)]:
        if first > end:
            yield f"/{group}: rows {end} to {first - 1}" if first - end > 1 else f"/{group}: row {end}"
        end = max(end, last)


def copy(old: Salvage, writer: FileWriter, groups: dict[str, Any], point: Checkpoint | None) -> None:
    """Rows up to the checkpoint, that, and the rest."""
    marks = {"record": point.rows, "probe": point.probe_rows} if point else {"record": 0, "probe": 0}
    for early in (True, False):
        for group, add in (("record", writer.append), ("probe", writer.append_probe)):
            kept, blocks, _ = groups[group]
            for first, last in blocks:
                start, end = (first, min(last, marks[group])) if early else (max(first, marks[group]), last)
                if start < end:
                    add({path.split("/")[1]: old.dataset(path)[start:end] for path in kept})
        if early and point:
            writer.resumed, writer._checkpoints = point.resumed, point.sequence - 1
            writer.checkpoint(point.step, point.arrays, point.wall_seconds)
