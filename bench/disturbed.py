"""What the programs share that disturb runs: processes that are quick to start, runs of several kinds, comparisons."""

from __future__ import annotations

import faulthandler
import json
import multiprocessing
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import analogmgd as am
from analogmgd.trace_contents import unseal

CONTEXT = multiprocessing.get_context("forkserver")  # each a process of its own that has the package loaded already
LOADED = ["analogmgd.cli.train", "analogmgd.cli.resume", "analogmgd.cli.resolve", "analogmgd.train", "analogmgd.resume",
          "analogmgd.bench.run", "disturbed", "common"]  # fmt: skip
Contents = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of run: words of the command line, and steps that take some seconds."""

    kernels: str
    words: tuple[str, ...]
    steps: int
    rows: int = 400


KINDS = {
    "ensemble with probes and momentum": Kind("ensemble", (
        "parity", "--chips", "60", "--set", "rule.momentum=0.5", "--set", "rule.tau_theta=3", "--set",
        "run.probe_chips=[3, 41]", "--set", "run.probe_until=60000", "--record", "cost,accuracy,theta",
    ), 300_000),
    "pulsed devices that drift": Kind("ensemble", (
        "parity", "--chips", "16", "--device", "pcm", "--set", "chip.step_time=1e-3", "--set", "rule.tau_theta=4",
        "--set", "rule.eta=0.1", "--record", "cost,accuracy,theta",
    ), 100_000),
    "network of pictures": Kind("columns", ("pictures.toml",), 120_000),
    "large network": Kind("rows", (
        "digits", "--network", "64-280-10", "--chips", "2", "--eta", "1e-3", "--set", "run.eval_samples=20",
    ), 36_000, 150),
}  # fmt: skip
ENSEMBLE = KINDS["ensemble with probes and momentum"]
OFTEN = 0.02  # seconds from one checkpoint, and one block of rows, to the next, in programs that cannot wait
PICTURES = """
data.name = "pictures.npz"
rule = {eta = 0.01, tau_theta = 64}
run = {chips = 2, eval_samples = 20, record = ["cost", "accuracy", "cost_ac"]}
[network]
input_shape = [1, 8, 8]
cost = "cross-entropy"
layers = [
    {type = "conv2d", c_in = 1, c_out = 3, kernel = [3, 3], activation = "relu"}, {type = "maxpool2d", size = 2},
    {type = "flatten"}, {type = "dense", n_in = 27, n_out = 3, activation = "linear"},
]
"""


def prepare(folder: Path) -> None:
    """Go to a folder, with the made pictures in it."""
    os.chdir(folder)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (200, 1, 8, 8), dtype=np.uint8), np.eye(3)[rng.integers(0, 3, 200)]
    np.savez("pictures.npz", x_train=x, y_train=y)
    Path("pictures.toml").write_text(PICTURES)
    CONTEXT.set_forkserver_preload(LOADED)


def run_words(kind: Kind, steps: int) -> list[str]:
    """The command line of a run, without its file."""
    return ["train", *kind.words, "--steps", str(steps), "--record-every", str(steps // kind.rows)]


def _program(words: list[str], seconds: float | None, log: str) -> None:
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(out, stream)
    faulthandler.enable()
    from analogmgd import engine, trace_file
    from analogmgd.cli import main

    if seconds is not None:
        engine.CHECKPOINT_SECONDS, engine.CHECKPOINT_SHARE = seconds, 0
        trace_file.BLOCK_SECONDS = seconds
    sys.argv = ["analogmgd", *words]
    main()


def start(words: list[str], seconds: float | None = None, log: str = os.devnull, threads: int = 2) -> Any:
    """`analogmgd WORDS` as a process; seconds: from one checkpoint (and block) to the next."""
    words = [*words, "--quiet", "--threads", str(threads)]
    process = CONTEXT.Process(target=_program, args=(words, seconds, log), daemon=True)
    process.start()
    return process


def done(words: list[str], seconds: float | None = None, threads: int = 2) -> float:
    """The same, to its end, which must be good; the seconds it took."""
    begun = time.perf_counter()
    process = start(words, seconds, "log", threads)
    process.join()
    if process.exitcode:
        raise SystemExit(f"analogmgd {' '.join(words)} ended with {process.exitcode}: {Path('log').read_text()}")
    return time.perf_counter() - begun


def inode(path: str) -> int | None:
    """Which file stands at a path."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return None


def contents(path: str) -> Contents:
    """All that a trace holds but what may differ: times on the wall, checkpoints, date, number of threads, and in which
    blocks rows were written, by the clock: what /check has of them, `differences` compares with the rows."""
    found: Contents = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith(("checkpoint/", "check/")):
            found[name] = item[()]

    with h5py.File(path, "r", locking=False) as file:
        file.visititems(visit)
        attributes = {k: v for k, v in file.attrs.items() if not k.startswith("writer_") and k != "created_utc"}
    environment = json.loads(attributes["environment"])
    del environment["threads"], found["header"]
    state = unseal(bytes(found.pop("final/state")[0]))
    for name in ("wall_seconds", "chip_steps_per_s", "resumed"):
        state["extra"].pop(name, None)
    return {**found, "attributes": {**attributes, "environment": environment}, "state": state}


def differences(path: str, whole: Contents) -> list[str]:
    """Names of what differs from the undisturbed run."""
    mine = contents(path)
    wrong = [*sorted(mine.keys() ^ whole.keys()), *am.check_trace(path).problems]
    for name in mine.keys() & whole.keys():
        a, b = mine[name], whole[name]
        same = a.tobytes() == b.tobytes() and a.shape == b.shape if isinstance(a, np.ndarray) else a == b
        wrong += [] if same else [name]
    return wrong


def wrong_rows(trace: am.Trace, whole: Contents, rows: int | None = None) -> list[str]:
    """Names of quantities whose rows (the first ones) are not the undisturbed run's, to the bit, or are not as many."""
    wrong = []
    first = trace.rows if rows is None else rows
    for group, mapping, rows in (("record", trace.record, first), ("probe", trace.probe, trace.probe_rows)):
        for name in mapping:
            if name == "chip":
                continue
            mine, theirs = mapping[name][:rows], whole[f"{group}/{name}"][:rows]
            if mine.shape != theirs.shape or mine.tobytes() != theirs.tobytes():
                wrong.append(f"{group}/{name}")
    return wrong


def parts_left() -> list[str]:
    """Files that only a process at work should have."""
    return [name for name in os.listdir() if name.startswith(".") and name.endswith((".part", ".resume"))]


def remove(*names: str) -> None:
    """Files and what was left beside them."""
    for name in (*names, *parts_left()):
        Path(name).unlink(missing_ok=True)


def copy(old: str, new: str) -> None:
    """A file under another name; nothing writes into a trace that was left, so one is enough for both."""
    Path(new).unlink(missing_ok=True)
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)
