"""Small traces to be damaged, and the damages: see damage.py."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import analogmgd as am

STEPS, END = 900, 1200  # of a run, and of one that is gone on with
KINDS = ("bits", "zeros", "noise", "cut", "value", "type", "shape", "link", "huge")
XOR = am.Network.mlp([2, 2, 1])
SETTINGS: dict[str, Any] = {"chips": 3, "seed": 4, "record_every": 30, "record": ("cost", "accuracy", "theta")}
RUNS: dict[str, tuple[Any, Any, dict[str, Any], int | None]] = {  # chip, rule, settings, signal that ends it
    "finished": (XOR, am.MGD(eta=0.3, tau_theta=3, momentum=0.5), {"probe_chips": [1]}, None),
    "pulsed": (am.Chip(XOR, device=am.device("pcm"), step_time=1e-3), am.MGD(eta=0.1, tau_theta=4), {}, None),
    "interrupted": (XOR, am.MGD(eta=0.3), {"probe_chips": [0, 2]}, signal.SIGINT),
    "killed": (XOR, am.MGD(eta=0.3), {"probe_chips": [2]}, signal.SIGKILL),
    "diverged": (am.Network.mlp([2, 4, 1], activation="relu", output="linear"), am.MGD(eta=1e6), {}, None),
}
SWEEP = "sweep"  # the file of one
SWEPT = ["sweep", "parity", "--vary", "rule.eta=0.1,0.2,0.5", "--steps", "200", "--chips", "3", "--target", "0.9",
         "--threads", "1", "--quiet"]  # fmt: skip


class Stop:
    """Ends its own process by a signal after so many chip-steps."""

    def __init__(self, number: int, after: int) -> None:
        self.number, self.after = number, after

    def start(self, plan: Any) -> None: ...
    def stop(self) -> None: ...

    def tick(self, steps: int, row: Any) -> None:
        if steps >= self.after and self.number:
            number, self.number = self.number, 0
            os.kill(os.getpid(), number)


def damage(path: Path, random: np.random.Generator) -> str:
    """Damage a file; what was done."""
    kind = str(random.choice(KINDS))
    size, first = path.stat().st_size, 0
    if kind in ("bits", "zeros", "noise", "cut"):
        first = int(random.integers(0, size if random.random() < 0.6 else min(size, 12000)))
        data = bytearray(path.read_bytes())
        length = int(np.exp(random.uniform(0, np.log(4096))))
        if kind == "bits":
            for place in random.integers(0, size, random.integers(1, 9)) if random.random() < 0.5 else [first]:
                data[place] ^= 1 << int(random.integers(8))
        elif kind == "cut":
            del data[first:]
        else:
            new = bytes(length) if kind == "zeros" else random.bytes(length)
            data[first : first + length] = new[: max(0, size - first)]
        path.write_bytes(data)
        return f"{kind} at {first}"
    with contextlib.suppress(am.TraceError):
        am.release(path)
    with h5py.File(path, "r+", locking=False) as file:
        names: list[str] = []
        file.visititems(lambda n, item: names.append(n) if isinstance(item, h5py.Dataset) else None)
        name, other = (str(n) for n in random.choice(names, 2, replace=False))
        change(file, kind, name, other, random)
    return f"{kind} of /{name}" + (f" and /{other}" if kind == "link" else "")


def change(file: Any, kind: str, name: str, other: str, random: np.random.Generator) -> None:
    """Damage through h5py, with HDF5's own structure and checksums whole."""
    old = file[name]
    values = old[()]
    if kind == "value" and values.size:
        raw = bytearray(values.tobytes())
        raw[int(random.integers(len(raw)))] ^= 1 << int(random.integers(8))
        old[...] = np.frombuffer(bytes(raw), values.dtype).reshape(values.shape)
    elif kind == "link" and random.random() < 0.8:
        file.move(name, "between")
        file.move(other, name)
        file.move("between", other)
    elif kind in ("type", "shape", "huge", "link"):
        attributes = dict(old.attrs)
        del file[name]
        if kind == "type":
            types = [np.float32, np.float64, np.int64, np.uint8, np.complex64, "S8"]
            new = np.zeros(values.shape, types[int(random.integers(len(types)))])
            file.create_dataset(name, data=new, chunks=True, maxshape=(None, *values.shape[1:]))
        elif kind == "shape":
            shape = [max(0, n + int(random.integers(-2, 3))) for n in values.shape] + [2] * int(random.integers(0, 2))
            file.create_dataset(name, shape, values.dtype)
        elif kind == "huge":
            shape = (int(10 ** random.integers(6, 16)), *values.shape[1:])
            file.create_dataset(name, shape, values.dtype, chunks=(64, *(max(1, n) for n in values.shape[1:])))
        else:
            file[name] = h5py.ExternalLink("/dev/zero", "/x") if random.random() < 0.5 else h5py.SoftLink(f"/{other}")
        if isinstance(file.get(name, getlink=True), h5py.HardLink):
            file[name].attrs.update(attributes)
