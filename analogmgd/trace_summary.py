"""A trace in a few numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from analogmgd.trace import Trace

COLLAPSED_MARGIN = 0.1  # of the room between chance and 1: at most so far above chance at the end,
COLLAPSED_FROM = 0.5  # after having been above this
SPENT = (
    "pulses_per_device", "pulse_seconds_at_once", "pulse_seconds_in_turn", "joules_per_chip", "saturated",
    "wire_solves_per_chip", "largest_wire_error",
)  # fmt: skip
_BLOCK = 4096  # rows read at once


def collapsed(trace: Trace) -> npt.NDArray[np.bool_] | None:
    """bool[chips]: chips that had learned and lost it; None if chance or accuracy is not known.

    A chip has collapsed if its last recorded accuracy is at most chance + 0.1 (1 - chance) and an earlier
    one was above chance + 0.5 (1 - chance), chance being the accuracy of a chip that has learned nothing.
    With ten equal classes: from above 55 % to 19 % or less. Diverged chips are counted apart.
    """
    if trace.chance is None or "accuracy" not in trace.record or not trace.rows:
        return None
    last = trace.record.read("accuracy", -1)
    best = last.copy()
    for start in range(0, trace.rows, _BLOCK):
        best = np.fmax(best, np.fmax.reduce(trace.record.read("accuracy", np.s_[start : start + _BLOCK])))
    room = 1 - trace.chance
    low = last <= trace.chance + COLLAPSED_MARGIN * room + 1e-6  # 1e-6: the accuracy may be float32
    found = low & (best > trace.chance + COLLAPSED_FROM * room + 1e-6)
    return np.asarray(found & ~np.isin(trace.chips, list(trace.diverged)))


def final_spread(trace: Trace, name: str) -> dict[str, Any] | None:
    """Median, quartiles, best and number of finite values of the last row over the chips, or None."""
    if name not in trace.record or not trace.rows:
        return None
    last = trace.record.read(name, -1)
    last = last[np.isfinite(last)].astype(np.float64)
    if not len(last):
        return None
    low, middle, high = (float(q) for q in np.quantile(last, [0.25, 0.5, 0.75]))
    best = last.max() if name == "accuracy" else last.min()
    return {"median": middle, "quartiles": [low, high], "best": float(best), "finite": len(last)}


def summary(trace: Trace) -> dict[str, Any]:
    """The run in a few numbers, fit for JSON.

    final_cost and final_accuracy are {"median", "quartiles", "best", "finite"} over the chips whose value
    is finite (None if none is). emulated_seconds is the hardware's time, wall_seconds this computer's,
    chip_steps_per_s the rate of the emulator; both are None if the run did not come to its end. collapsed
    counts chips (see `collapsed`), diverged is chip id -> step. spent holds what devices that are not ideal were
    written with and what that took, as medians over the chips, and how many conversions were cut in all.
    """
    trace.confirm("record/step", "record/time", "record/cost", "record/accuracy")
    steps = int(trace.record.read("step", -1)) if trace.rows else 0
    wall = trace.extra.get("wall_seconds")
    rate = trace.extra.get("chip_steps_per_s") or (steps * len(trace.chips) / wall if wall else None)
    lost = collapsed(trace)
    return {
        "path": trace.path,
        "status": trace.status,
        "writer_gone": trace.writer_gone,
        "steps": steps,
        "chips": len(trace.chips),
        "parameters": trace.n_params,
        "rows": trace.rows,
        "probe_rows": trace.probe_rows,
        "recorded": [name for name in trace.record if name not in ("step", "time")],
        "final_cost": final_spread(trace, "cost"),
        "final_accuracy": final_spread(trace, "accuracy"),
        "chance": trace.chance,
        "collapsed": None if lost is None else int(lost.sum()),
        "diverged": {str(chip): step for chip, step in trace.diverged.items()},
        "emulated_seconds": float(trace.record.read("time", -1)) if trace.rows else 0.0,
        "wall_seconds": wall,
        "chip_steps_per_s": rate,
        "spent": {name: trace.extra[name] for name in SPENT if name in trace.extra},
        "seed": trace.seed,
        "created_utc": trace.created_utc,
        "version": trace.version,
    }
