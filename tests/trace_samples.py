"""Made-up runs of every shape, for the tests of traces, plots and exports."""

import os
from typing import Any

import numpy as np

from analogmgd.trace import Trace, TraceHeader, open_writer

CONFIG = """[network]
sizes = [2, 2, 1]
[rule]
type = "mgd"
perturbation = "random"
[data]
name = "parity"
"""
ALL = ("cost", "accuracy", "cost_ac", "angle", "theta", "gradient")


def header(
    chips: int = 3, params: int = 9, record: tuple[str, ...] = ("cost", "accuracy"), **changes: Any
) -> TraceHeader:
    return TraceHeader(
        **{
            "config": CONFIG,
            "seed": 2**64 - 1,
            "chips": np.arange(chips) + 10,
            "n_params": params,
            "record": record,
            "environment": {"python": "3", "threads": 2},
            "chance": 0.5,
            **changes,
        }
    )


def learning(head: TraceHeader, steps: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """Rows that look like learning at these steps (at steps of their own: the same whenever asked for)."""
    rng = np.random.default_rng(seed)
    chips, params = len(head.chips), head.n_params
    pace = rng.lognormal(sigma=0.6, size=chips)
    end = rng.normal(size=(chips, params))
    done = 1 - np.exp(-steps[:, None] / 4000 * pace)  # 0 to 1
    noise = np.random.default_rng(seed + 1).normal(size=(len(steps), chips))
    rows = {
        "step": steps,
        "time": steps * 1.5e-6,
        "cost": 0.25 * np.exp(-4 * done) * np.exp(0.1 * noise) * (0.3 + pace),
        "accuracy": np.clip(0.5 + 0.5 * np.round(4 * done + 0.2 * noise) / 4, 0, 1),
        "cost_ac": 0.01 * noise,
        "angle": 90 - 50 * done + 8 * noise,
        "theta": done[:, :, None] * end + 0.02 * noise[:, :, None],
        "gradient": (1 - done)[:, :, None] * end + 0.01 * noise[:, :, None],
    }
    return {name: rows[name] for name in ("step", "time", *head.record)}


def probes(head: TraceHeader, steps: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    m = len(head.probe_chips)
    noise = np.random.default_rng(seed).normal(size=(len(steps), m))
    cost = 0.2 * np.exp(-steps[:, None] / 3000) * (1 + np.arange(m)) + 0.01 * noise
    sample = (steps[:, None] + np.arange(m)) % 4
    return {"step": steps, "cost": cost, "cost_ac": 0.01 * noise, "sample": sample}


def make_trace(
    path: str | os.PathLike[str] | None = None,
    rows: int = 50,
    every: int = 200,
    probe_steps: int = 0,
    status: str = "complete",
    diverged: dict[int, int] | None = None,
    **changes: Any,
) -> Trace:
    """A finished trace in memory or in a file; `changes` go to `header`."""
    head = header(**changes, expected_rows=rows, expected_probe_steps=probe_steps)
    data = learning(head, np.arange(rows) * every)
    for chip, step in (diverged or {}).items():
        column = np.flatnonzero(head.chips == chip)[0]
        for name in head.record:
            data[name][data["step"] >= step, column] = np.nan
    theta = np.arange(len(head.chips) * head.n_params).reshape(len(head.chips), -1) / 7
    with open_writer(path, head) as writer:
        writer.append(data)
        if len(head.probe_chips):
            writer.append_probe(probes(head, np.arange(probe_steps)))
        return writer.finish(status, theta, diverged, {"wall_seconds": 2.0})
