"""Whether a trace or a sweep is whole: structure, checksums, and what must hold between its numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np

from .errors import AnalogMGDError, ConfigError, TraceError
from .trace import Trace
from .trace_attributes import wrong_attributes
from .trace_checksums import crc_of, described, pieces
from .trace_contents import unseal
from .trace_open import FAULTS, one_line
from .trace_reader import FileStore

ROWS = 1 << 16  # of one number, looked at at once
ROOT = ("format", "format_version", "analogmgd_version", "created_utc", "config", "seed", "status", "environment",
        "chance_accuracy")  # fmt: skip


@dataclass(frozen=True)
class Checked:
    """What `check_trace` found.

    problems : one line each; none: the file is whole
    rows, probe_rows : of a trace; points that are done of a sweep are its rows
    datasets : arrays of the file
    checksums : whether it has any; a file of an early version has none
    kind : "trace" or "sweep"
    """

    problems: tuple[str, ...]
    rows: int = 0
    probe_rows: int = 0
    datasets: int = 0
    checksums: bool = True
    kind: str = "trace"

    @property
    def whole(self) -> bool:
        """No problem was found."""
        return not self.problems


def check_trace(path: str | os.PathLike[str]) -> Checked:
    """Look for damage in the file of a trace or a sweep, in pieces: it takes some tens of MB, however large the file.

    Of a trace: structure; checksums of every dataset; attributes that agree with it; times that rise; chips that have
    diverged, and finite parameters of the others; final parameters equal to those recorded last; accuracies from 0 to
    1; both checkpoints, and that they belong to the rows. Of a sweep: structure; checksums of its points; attributes;
    states, and values of those that are done.

    Raises:
        ConfigError: there is no such file.

    >>> import analogmgd as am
    >>> run = am.train(am.Network.mlp([2, 2, 1]), "parity", am.MGD(), steps=200, chips=4, trace="sound.h5")
    >>> check_trace("sound.h5").problems
    ()
    """
    name = os.fspath(path)
    if not os.path.exists(name):
        raise ConfigError(f"there is no trace {name!r}")
    from .sweep_check import check_sweep, is_sweep

    if is_sweep(name):
        return check_sweep(name)
    try:
        trace = Trace(FileStore(name))
    except TraceError as error:
        return Checked((str(error),))
    except FAULTS as error:
        return Checked((f"the trace {name!r} is damaged: {one_line(error)}",))
    with trace:
        store = trace._store
        assert isinstance(store, FileStore)
        found = [
            *wrong(store, trace),
            *foreign(store),
            *attributes(store),
            *(line for check in CHECKS for line in guarded(check, trace)),
        ]
        datasets = len(trace._store.attributes()["datasets"])
        return Checked(tuple(found), trace.rows, trace.probe_rows, datasets, store.checksums.known)


def guarded(check: Any, trace: Trace) -> Iterator[str]:
    """What a check finds; where it cannot read, that."""
    try:
        yield from check(trace)
    except AnalogMGDError as error:  # a checksum that is wrong has been said
        if "checksum" not in str(error):
            yield str(error)
    except FAULTS as error:
        yield f"cannot be checked: {one_line(error)}"


def wrong(store: FileStore, trace: Trace) -> Iterator[str]:
    """Checksums that are not right."""
    for group in ("chips", "record", "probe", *(("final",) if trace.ended else ())):
        for name in store.names(group):
            path = f"{group}/{name}"
            try:
                for first, end, what in store.checksums.wrong(path):
                    yield described(path, first, end, what)
            except (AnalogMGDError, *FAULTS) as error:
                yield f"/{path}: {one_line(error)}"


def foreign(store: FileStore) -> Iterator[str]:
    """What /header does not name: it has no checksum, and readers do not see it."""
    named = {*store.attributes()["datasets"], "header"}
    for group, content in store._handle.file.items():
        for path in [f"{group}/{name}" for name in content] if isinstance(content, h5py.Group) else [group]:
            if path not in named:
                yield f"/{path} is not of this trace"


def attributes(store: FileStore) -> Iterator[str]:
    """Attributes that do not say what /header and /final/state say."""
    about = store.attributes()
    expected = {path: {"unit": unit, "dims": dims} for path, (unit, dims) in about["datasets"].items()}
    root = {name: json.loads(about[name]) if name == "environment" else about[name] for name in ROOT if name in about}
    yield from wrong_attributes(store._name, store._handle.file, {"/": root, **expected})


def times(trace: Trace) -> Iterator[str]:
    """Emulated time, which rises."""
    before = 0.0
    for first in range(0, trace.rows, ROWS):
        found = trace.record.read("time", np.s_[first : first + ROWS])
        if not np.isfinite(found).all() or (np.diff(np.concatenate([[before], found])) < 0).any():
            yield "/record/time does not rise"
            return
        before = found[-1]


def shares(trace: Trace) -> Iterator[str]:
    """Accuracies and angles within what they can be."""
    for name, most in (("accuracy", 1.0), ("angle", 180.0)):
        for first, part in parts(trace, name):
            if ((part < 0) | (part > most)).any():
                yield f"/record/{name} has values that are not from 0 to {most:g}, from row {first} on"
                break


def parts(trace: Trace, name: str) -> Iterator[tuple[int, Any]]:
    """First row and values of pieces of a recorded quantity."""
    if name in trace.record:
        for index in pieces(trace.record.shape(name), trace.record.dtype(name).itemsize, 0, trace.rows):
            yield index[0].start, trace.record.read(name, index)


def parameters(trace: Trace) -> Iterator[str]:
    """Finite parameters, but for chips that have diverged, and the last recorded ones."""
    if not trace.ended:
        if trace.status in ("complete", "diverged"):
            yield f"its status is {trace.status}, but it did not come to its end"
        return
    gone, last = trace.diverged, trace.extra.get("step")
    sound = ~np.isin(trace.chips, list(gone))
    if trace.status == "complete" and gone:
        yield f"its status is complete, but chip {min(gone)} diverged"
    if trace.status == "diverged" and not gone:
        yield "its status is diverged, but no chip diverged"
    if isinstance(last, int) and any(step > last for step in gone.values()):
        yield f"/final/diverged_step has steps after the last one, {last}"
    if isinstance(last, int) and trace.rows and int(trace.record.read("step", -1)) > last:
        yield f"/record/step goes beyond the last step, {last}"
    if not np.isfinite(trace.theta[sound]).all():
        yield "/final/theta is not finite in chips that did not diverge"
    if "theta" not in trace.record or not trace.rows or last != int(trace.record.read("step", -1)):
        return
    for chip in range(len(trace.chips)):
        recorded, final = trace.record.read("theta", (-1, chip)), trace._store.read("final/theta", (chip,))
        if not np.array_equal(recorded, final, equal_nan=True):
            yield f"/final/theta of chip {trace.chips[chip]} is not what was recorded at the last step, {last}"
            return


def checkpoints(trace: Trace) -> Iterator[str]:
    """Checkpoints that are whole and belong to the rows. One may be just being written, or cut short by a kill."""
    store = trace._store
    if "state" not in store.names("checkpoint") or not isinstance(store, FileStore):
        return
    problems = []
    texts = [bytes(text).rstrip(b"\0") for text in store.read("checkpoint/text")]
    for slot, text in enumerate(texts):
        try:
            problems += [f"checkpoint {slot}: {what}" for what in problem(trace, store, slot, text)] if text else []
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            problems.append(f"checkpoint {slot}: {one_line(error)}")
    written = sum(bool(text) for text in texts)
    if trace.ended or len(problems) == written > 1:
        yield from problems


def problem(trace: Trace, store: FileStore, slot: int, text: bytes) -> Iterator[str]:
    """What is wrong with one checkpoint."""
    about = unseal(text)
    if crc_of(store.raw("checkpoint/state"), slot, slot + 1) != about["state_crc32"]:
        yield "the checksum of its state is wrong"
    rows, step = int(about["rows"]), int(about["step"])
    if not (0 <= rows <= trace.rows and 0 <= int(about["probe_rows"]) <= trace.probe_rows):
        yield f"it is of {rows} rows and {about['probe_rows']} probes; {trace.rows} and {trace.probe_rows} are there"
        return
    early = rows > 0 and int(trace.record.read("step", rows - 1)) > step
    late = rows < trace.rows and int(trace.record.read("step", rows)) < step
    if early or late:
        yield f"it is of step {step} and {rows} rows, which do not belong together"


CHECKS = (times, shares, parameters, checkpoints)
