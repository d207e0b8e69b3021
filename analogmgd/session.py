"""One run, from its plan and a trace to be written to its end: what `train` and `resume` share."""

from __future__ import annotations

import platform
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .data import Dataset
from .engine import Engine, Interrupts
from .merge import RowPlan
from .plan import Plan
from .trace import Trace, TraceHeader
from .trace_memory import TraceWriter
from .trace_schema import CONVERTERS

if TYPE_CHECKING:
    from .train import Progress

NAMED = 100  # steps at which the run was gone on with, that its trace names at the end


def fused() -> bool:
    """Whether this processor multiplies and adds in one operation, as the bits of a result suppose."""
    from llvmlite import binding
    from numba import config

    told = getattr(config, "CPU_FEATURES", None)  # what numba is to make code for
    if told is not None:
        return "+fma" in told.split(",")
    return bool(binding.get_host_cpu_features().get("fma", platform.machine() != "x86_64"))


def environment(threads: int) -> dict[str, Any]:
    """What the bits and the speed of a run may depend on besides its configuration."""
    import numba
    from llvmlite import binding

    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "cpu": getattr(numba.config, "CPU_NAME", None) or binding.get_host_cpu_name(),
        "machine": platform.machine(),
        "fma": fused(),
        "threads": threads,
    }


def chance(data: Dataset) -> float:
    """Accuracy of always naming the most frequent class of the test set."""
    y = data.y_test
    labels = y[:, 0] > 0.5 if y.shape[1] == 1 else y.argmax(axis=1)
    return float(np.unique(labels, return_counts=True)[1].max() / len(y))


def variation(engine: Engine, theta0: np.ndarray | None) -> dict[str, np.ndarray]:
    """The arrays that define each chip, first axis chips."""
    parts = [r.block.chips_variation() for r in engine.runners]
    out = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if theta0 is not None:
        out["theta0"] = np.ascontiguousarray(theta0)
    return out


def spent(plan: Plan, steps: int, counts: dict[str, np.ndarray]) -> dict[str, Any]:
    """What a chip spent, where its devices say what a pulse and a read cost: medians over the chips."""
    device = plan.chip.device
    found: dict[str, Any] = {}
    pulses = counts.get("pulses")
    devices = plan.n_params - device.digital_biases * plan.n_neurons
    net = plan.chip.network
    reads = net.products + (0 if device.digital_biases else net.column_reads)  # a bias is read with its column
    joules = device.joules_per_read * plan.evaluations(steps) * reads
    if pulses is not None:
        found["pulses_per_device"] = float(pulses.sum(dtype=np.float64)) / len(pulses) / devices
        joules += device.joules_per_pulse * float(np.median(pulses.sum(axis=1, dtype=np.float64)))
        if device.seconds_per_pulse > 0:
            found["pulse_seconds_at_once"] = device.seconds_per_pulse * float(np.median(pulses.max(axis=1)))
            found["pulse_seconds_in_turn"] = device.seconds_per_pulse * float(np.median(pulses.sum(axis=1)))
    if joules > 0:
        found["joules_per_chip"] = joules
    if "saturated" in counts:
        found["saturated"] = dict(zip(CONVERTERS, counts["saturated"].sum(axis=0).tolist(), strict=True))
    if "wire_solves" in counts:
        found["wire_solves_per_chip"] = float(np.median(counts["wire_solves"]))
        found["largest_wire_error"] = float(counts["wire_error"].max())
    return found


def header_of(plan: Plan, data: Dataset, rows: RowPlan, threads: int) -> TraceHeader:
    """What a trace says of a run before the chips are made."""
    run = plan.run
    probed = set(run.probe_chips)
    probe_steps = min(run.probe_until or run.steps, run.steps) - run.probe_from if probed else 0
    return TraceHeader(
        config=plan.config.to_toml(),
        seed=run.seed,
        chips=plan.ids.astype(np.int64),
        n_params=plan.n_params,
        record=run.record,
        dtype=plan.dtype,
        probe_chips=np.array([c for c in run.chip_ids if c in probed], np.int64),
        environment={
            **environment(threads),
            "kernels": plan.kind,
            "data_sha256": data.fingerprint(),
            "data_source": data.source,
        },
        expected_rows=rows.count,
        expected_probe_steps=max(0, probe_steps),
        chance=chance(data),
        counts=plan.counts,
    )


def completed(header: TraceHeader, engine: Engine, theta0: np.ndarray | None) -> TraceHeader:
    """The same with what is known of the chips once they are made."""
    return replace(header, chip_arrays=variation(engine, theta0), state_bytes=engine.state_bytes())


def carry_out(engine: Engine, writer: TraceWriter, progress: Progress | None, wall_before: float = 0.0) -> Trace:
    """Do what is left of a run, and end its trace."""
    plan = engine.plan
    began, done_before = time.perf_counter(), engine.steps_done

    def wall() -> float:
        return wall_before + time.perf_counter() - began

    def checkpoint() -> None:
        if engine.step is not None:
            writer.checkpoint(engine.step, engine.state(), wall())

    try:
        with Interrupts() as interrupts:  # to the end, so that the first Ctrl-C cannot leave it half written
            if progress:
                progress.start(plan)
            tick = progress.tick if progress else lambda steps, row: None
            periodically = checkpoint if writer.path is not None else None
            status = engine.run(writer.append, writer.append_probe, tick, periodically, interrupts)
            took = time.perf_counter() - began
            checkpoint()
            last = writer.last_step if status == "diverged" else max(r.block.n for r in engine.runners)
            bad = engine.lost(last)
            if bad and status == "complete":
                status = "diverged"
            counts = engine.counts
            rate = (engine.steps_done - done_before) / took
            extra: dict[str, Any] = {"wall_seconds": wall_before + took, "chip_steps_per_s": rate, "step": last}
            if writer.resumed:
                extra["resumed"] = writer.resumed[-NAMED:]
            return writer.finish(status, engine.theta, bad, extra | spent(plan, last, counts), counts)
    except BaseException:
        writer.abort()
        raise
    finally:
        if progress:
            progress.stop()
