"""Going on with a run from its trace, as if it had never stopped."""

from __future__ import annotations

import contextlib
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__
from .config import Config
from .data import Dataset, load_dataset
from .engine import Engine, thread_count
from .errors import AnalogMGDError, AnalogMGDWarning, ConfigError, TraceError
from .limits import check_together
from .merge import RowPlan
from .plan import Plan
from .rule import MGD
from .session import carry_out, completed, header_of
from .trace import Trace, TraceHeader, check_fits, open_writer
from .trace_checkpoint import Checkpoint, kinds_of
from .trace_open import writer_alive
from .trace_place import alone_with
from .train import Progress, tell_needs, watcher

SAME = ("machine", "fma", "numpy", "numba")  # what the last bits of a result may depend on
CLOSE = 1e-4  # relative difference of chips drawn on another kind of processor, at most


def check_writer(trace: Trace, force: bool) -> None:
    """Refuse a trace that another process is writing, or on another host may be (`force`: it is not)."""
    attributes = trace._store.attributes()
    if trace.path is None or attributes["status"] != "running":
        return
    alive = writer_alive(attributes, trace.path)
    who = f"process {attributes.get('writer_pid')} on {attributes.get('writer_host')}"
    if alive:
        raise TraceError(f"the trace {trace.path!r} is being written by {who}")
    if alive is None and not force:
        raise TraceError(f"the trace {trace.path!r} may still be written by {who}: if not, use --force")


def extended(trace: Trace, checkpoint: Checkpoint, steps: Any) -> tuple[Config, Checkpoint]:
    """The configuration of a trace with its new number of steps, and where to go on from.

    The row at the end of a run is one of its own kind (the whole test set, at any step): where the run is to be longer
    it is left out, and taken anew if a longer run has one there.
    """
    try:
        config = Config.from_toml(trace.config)
    except AnalogMGDError as error:
        raise TraceError(f"the configuration of the trace does not do for this version of analogmgd: {error}") from None
    old_end = config.run.steps
    if steps is not None:
        config = replace(config, run=config.run.replace(steps=steps))
    steps, done = config.run.steps, checkpoint.step
    over = trace.status in ("complete", "diverged")  # else, at its last step, it is only to be ended
    if steps < done or (steps == done and over):
        what = "is complete" if steps == done else "goes on from there"
        raise ConfigError(f"steps = {steps}: the trace has {done} steps and {what}: give more steps than that")
    dt = config.rule.dt if isinstance(config.rule, MGD) else 1.0
    end = config.rule.schedule_steps
    if end is not None and steps * dt > end:
        text = f"the cosine of the learning rate was made for {end / dt:.0f} steps: from there on eta is 0"
        warnings.warn(text, AnalogMGDWarning, stacklevel=4)
    rows = checkpoint.rows
    if done == old_end < steps and rows and int(trace.record.read("step", rows - 1)) == done:
        checkpoint = replace(checkpoint, rows=rows - 1)
    return config, checkpoint


def found_data(trace: Trace, config: Config, data: Dataset | str | None, data_dir: Any) -> Dataset:
    """The data a trace was made with: the same to the bit."""
    if isinstance(data, str | os.PathLike):
        data = load_dataset(data, data_dir=data_dir)
    if data is None:
        name = str(config.data["name"])
        beside = Path(trace.path or "").parent / name
        if beside.is_file() and not Path(name).exists():  # a path relative to where the run was made
            name = str(beside)
        try:
            data = load_dataset(**{**config.data, "name": name}, data_dir=data_dir)
        except AnalogMGDError as error:
            raise ConfigError(f"the data of the trace are not found: {error}: say where they are (data)") from None
    if not isinstance(data, Dataset):
        raise ConfigError(f"data is a {type(data).__name__}; expected a Dataset or the name of one")
    if data.fingerprint() != trace.environment.get("data_sha256"):
        raise ConfigError(f"data {data.name!r} are not those the trace was made with (another checksum)")
    return data


def named(config: Config, data: Dataset | str | None) -> Config:
    """The configuration with the path of the data by which they were found this time."""
    if not isinstance(data, str | os.PathLike) or not Path(data).exists():
        return config
    return replace(config, data={"name": os.fspath(data)})


def check_same(trace: Trace, header: TraceHeader, checkpoint: Checkpoint, engine: Engine) -> None:
    """Refuse what cannot be gone on with, and warn where the last bits may come out differently."""
    kernels, own = trace.environment.get("kernels"), header.environment["kernels"]
    if kernels != own or (checkpoint.arrays and kinds_of(checkpoint.arrays) != engine.state_kinds):
        raise TraceError(
            f"the trace was written by analogmgd {trace.version}, whose kernels keep another state than those of "
            f"analogmgd {__version__}: go on with that version"
        )
    before, now = trace.environment, header.environment
    others = [f"{name} {before.get(name)}, now {now[name]}" for name in SAME if before.get(name) != now[name]]
    if trace.version != __version__:
        others.append(f"analogmgd {trace.version}, now {__version__}")
    lost = before.get("lost", [])  # of a trace that was repaired
    if "/chips/theta0" in lost:
        raise TraceError(f"the trace {trace.path!r} cannot be gone on with: the parameters it started from are lost")
    for name, array in header.chip_arrays.items():
        if f"/chips/{name}" in lost:
            continue
        drawn = trace.chip_arrays.get(name)
        if drawn is None or drawn.shape != array.shape or not np.allclose(drawn, array, rtol=CLOSE, equal_nan=True):
            raise TraceError(f"the chips of the trace are not those that this analogmgd makes ({name}): "
                             f"go on with analogmgd {trace.version}")  # fmt: skip
    if others:
        text = f"the trace was made with {'; '.join(others)}: the last bits may not be those of a run in one piece"
        warnings.warn(text, AnalogMGDWarning, stacklevel=4)


def resume(
    trace: str | os.PathLike[str] | Trace,
    *,
    steps: int | None = None,
    data: Dataset | str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    progress: bool | Progress = False,
    force: bool = False,
) -> Trace:
    """Go on with a run that was interrupted or killed, or give a complete one more steps.

    The outcome has the bits of a run that never stopped: what was recorded after the last checkpoint is done again.
    A file is replaced by one that has the rows up to there, once that one works; a trace in memory stays as it is.

    trace : path of a file, or a Trace
    steps : in all; default those the run was meant to have
    data : default as the trace names it; needed where the run was made with arrays of your own. Other data are refused
    data_dir : folder of a data set of published files
    threads, progress : see `train`
    force : the process that wrote the file, on another host, is gone

    Raises ConfigError where steps or data do not do; TraceError where the file is damaged, being written, or made by a
    version whose state is another.

    >>> import analogmgd as am
    >>> run = am.train(am.Network.mlp([2, 2, 1]), "parity", am.MGD(eta=0.5), steps=500, chips=4, trace="half.h5")
    >>> whole = am.train(am.Network.mlp([2, 2, 1]), "parity", am.MGD(eta=0.5), steps=1000, chips=4)
    >>> more = resume("half.h5", steps=1000)
    >>> more.status, bool((more.theta == whole.theta).all())
    ('complete', True)
    """
    watch = watcher(progress)
    count = thread_count(threads)
    if isinstance(trace, Trace) and trace.path is None:
        return _resume(trace, steps, data, data_dir, count, watch)
    path = trace.path if isinstance(trace, Trace) else os.fspath(trace)
    assert path is not None
    if not Path(path).exists():
        raise TraceError(f"there is no trace {path!r}")
    lock = contextlib.ExitStack()
    with lock:
        lock.enter_context(alone_with(path))
        with Trace(path) as old:
            check_writer(old, force)
            return _resume(old, steps, data, data_dir, count, watch, lock)


def _resume(
    trace: Trace,
    steps: Any,
    data: Dataset | str | None,
    data_dir: Any,
    threads: int,
    progress: Progress | None,
    lock: contextlib.ExitStack | None = None,
) -> Trace:
    config, checkpoint = extended(trace, trace.checkpoint(), steps)
    found = found_data(trace, config, data, data_dir)
    plan = Plan(named(config, data), found)
    start = np.array(trace.chip_arrays["theta0"]) if "theta0" in trace.chip_arrays else None
    assert config.run.record_every is not None
    last = int(trace.record.read("step", checkpoint.rows - 1)) if checkpoint.rows else 0
    rows = RowPlan(config.run.steps, config.run.record_every, checkpoint.rows, last)
    header = header_of(plan, found, rows, threads)
    check_together(plan, check_fits(header, trace.path), trace.path is not None)
    engine = Engine(plan, rows, start, threads)
    header = completed(header, engine, start)
    check_same(trace, header, checkpoint, engine)
    if checkpoint.arrays:
        engine.load(checkpoint.step, checkpoint.rows, checkpoint.arrays)
    if len(plan.ids) == len(engine.lost(checkpoint.step)):
        raise TraceError(f"the trace {trace.path or 'in memory'!r}: no chip has finite parameters any more")
    writer = open_writer(trace.path, header, before=(trace, checkpoint))
    if lock:
        lock.close()  # from now on the file says who writes it
        trace.close()
    tell_needs(progress, plan, header, trace.path is not None)
    return carry_out(engine, writer, progress, checkpoint.wall_seconds)
