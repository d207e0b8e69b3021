"""The angle that theory expects between G and the gradient, for random perturbations and samples that change.

With signs s_k = +-1, independent, a cost that is linear over the perturbation and g_k the gradient of the sample shown
at step k, G is the sum of s_k (s_k . g_k), P entries each. Its mean is the sum of the g_k, and

    mean |G|^2 = (P - 1) sum |g_k|^2 + |sum g_k|^2

With samples shuffled in epochs of n, K steps show each K // n times and m = K % n of them once more, so that on average
sum |g_k|^2 = K q, q the mean of |g_x|^2 over samples, and |sum g_k|^2 = K^2 |g|^2 + m (n - m)/(n - 1) (q - |g|^2).
The expected angle is that of the mean to the root of the mean square:

    cos = K |g| / sqrt(mean |G|^2)

For one sample, q = |g|^2, this is sqrt(K/(K + P - 1)), as in docs/rule.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .config import Config
from .data import Dataset, load_dataset
from .engine import Engine
from .gradients import gradient
from .merge import RowPlan
from .plan import Plan
from .study_values import Array
from .sweep_file import SweepFile

SAMPLES, SEED = 200, 1  # of a larger training set, for the mean of |g_x|^2


def cosines(steps: Sequence[float], g: Array, q: Array, n: int, n_params: int) -> Array:
    """float64[steps, chips]: |g|^2 `g` and the mean of |g_x|^2 `q` of each chip, n samples.

    >>> cosines([1, 8], np.array([1.0]), np.array([1.0]), 1, 9).ravel().round(4).tolist()
    [0.3333, 0.7071]
    """
    K = np.asarray(steps, np.float64)[:, None]
    m = K % n
    between = m * (n - m) / max(1, n - 1) * (q - g)
    found: Array = K * np.sqrt(g) / np.sqrt((n_params - 1) * K * q + K**2 * g + np.maximum(between, 0.0))
    return found


def expected_angles(file: SweepFile, steps: Sequence[float]) -> list[float]:
    """Median over the chips of the angle (degrees) after each number of steps, at the start of a sweep's runs.

    Empty where theory says nothing of it: other modes, devices or spreads than the ideal, samples shown for longer.
    """
    config = Config.from_toml(file.config)
    rule, chip = config.rule, config.chip
    if getattr(rule, "mode", "") != "discrete" or rule.batch != 1 or getattr(rule, "tau_x", 0) != 1:
        return []
    if chip.device.name != "ideal" or chip.neuron.spread or config.run.order != "shuffle":
        return []
    data = load_dataset(**config.data)
    theta = Engine(Plan(config, data), RowPlan(1, 1), None, 1).theta.astype(np.float64)
    n = len(data.x_train)
    some = np.arange(n) if n <= SAMPLES else np.random.default_rng(SEED).choice(n, SAMPLES, replace=False)
    whole = gradient(chip.network, data, theta)
    squares = [(gradient(chip.network, one(data, int(k)), theta) ** 2).sum(axis=1) for k in some]
    found = cosines(steps, (whole**2).sum(axis=1), np.mean(squares, axis=0), n, theta.shape[1])
    angles: list[float] = np.degrees(np.arccos(np.clip(np.median(found, axis=1), -1, 1))).tolist()
    return angles


def one(data: Dataset, k: int) -> Dataset:
    """A single sample of the training set."""
    x, y = data.inputs("train", rows=slice(k, k + 1)), data.y_train[k : k + 1]
    return Dataset(x, y, x, y)
