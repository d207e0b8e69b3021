"""Parts of a plan: the table of layers, where parameters start, samples as the kernels take them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .chip import Chip
from .data import Dataset
from .kernels import table as t
from .rule import MGD

ACTIVATIONS = {"linear": t.LINEAR, "sigmoid": t.SIGMOID, "tanh": t.TANH, "relu": t.RELU}
COSTS = {"mse": t.MSE, "cross-entropy": t.CROSS_ENTROPY}


def layer_table(chip: Chip) -> np.ndarray:
    """int64[layers, LAYER_COLUMNS]: widths, offsets into theta, activation, number of the first neuron."""
    rows = []
    parameter = neuron = 0
    for layer in chip.network.arrays:
        weights = parameter
        biases = weights + layer.rows * layer.columns
        rows.append((layer.rows, layer.columns, weights, biases, ACTIVATIONS[layer.activation], neuron))
        parameter = biases + layer.columns
        neuron += layer.columns
    return np.array(rows, np.int64)


def iteration_seconds(chip: Chip, mgd: MGD) -> float:
    """Emulated time from one iteration to the next, on average over baselines and writes."""
    writes = 1.0 if mgd.mode == "analog" else 1 / int(mgd.tau_theta)
    evaluations = mgd.batch * mgd.evaluations * mgd.dt
    return evaluations * chip.step_time + writes * chip.device.write_time


def start_scale(chip: Chip, dtype: Any) -> np.ndarray:
    """real[P]: half-width of the uniform distribution each parameter starts from."""
    net = chip.network
    if net.init == "uniform":
        return np.full(net.n_params, net.init_scale, dtype)
    parts = []
    for layer in net.arrays:
        bound = net.init_scale * math.sqrt(6 / sum(layer.fans))
        parts += [np.full(layer.rows * layer.columns, bound), np.zeros(layer.columns)]
    return np.concatenate(parts).astype(dtype)


def cost_targets(chip: Chip, targets: np.ndarray) -> np.ndarray:
    """Targets as the cost sees them: label smoothing applied."""
    s = targets.dtype.type(chip.network.label_smoothing)
    return targets if s == 0 else np.ascontiguousarray((1 - s) * targets + s / targets.shape[1])


@dataclass(frozen=True)
class Samples:
    """Inputs, targets, and targets as the cost sees them: real[n, n_in], real[n, n_out] twice."""

    x: np.ndarray
    targets: np.ndarray
    smoothed: np.ndarray

    @classmethod
    def of(cls, chip: Chip, data: Dataset, split: str, dtype: Any, as_bytes: bool = False) -> Samples:
        """as_bytes: bytes stay such, and are divided by 255 when they are shown."""
        targets = np.ascontiguousarray(data.targets(split, dtype))
        smoothed = cost_targets(chip, targets)
        smoothed.setflags(write=False)  # as the others are: a kernel is compiled anew for arrays that can be written
        x = data.x_train if split == "train" else data.x_test
        if not (as_bytes and x.dtype == np.uint8):
            x = data.inputs(split, dtype)
        return cls(np.ascontiguousarray(x), targets, smoothed)
