"""What `analogmgd train DATASET` trains with where nothing is said: network, rule, chips, steps.

A preset sets as few keys as it can; what it leaves out takes the default of its class. It never sets a key that can be
"none" (clip, record_every, ...), which a TOML file could not take back.

How the numbers were found: grids of eta (factors of 2 to 3) with 16 to 512 chips, seed 0, amplitude 0.01, random
perturbations, tau_x = tau_p = tau_theta = 1, batch 1; what is compared is the median over all chips at the end (parity:
the share of the chips that solves it), on the test set.

parity   XOR, 1e6 steps: eta 0.1: 77 %, 0.2: 88 %, 0.3: 86 %, 0.5: 84 %, 0.7: 79 % solved, each within 4
         % (256 chips). At 3e5 steps 0.3 leads (81 %; 0.1: 71 %, 1: 72 %, 2: 51 %). tau_theta = 4 and
         init_scale 0.5, 1, 2 make no difference. 3 bits (3-3-1), 2e6 steps: eta 0.03: 80 %, 0.06: 79 %,
         0.1: 73 %, 0.15: 71 %. 4 bits (4-4-1): 0.03: 27 %, 0.06: 20 %, 0.1: 18 %: more bits want a
         smaller eta, and more hidden neurons than the published n-n-1 has.
nist7x7  2e6 steps: eta 0.01: 92 %, 0.03: 88 %, 0.1: 78 %, 0.3: 53 %. 1e7 steps: 0.001: 92.9 %, 0.003:
         94.0 %, 0.006: 94.6 %. More steps go further; the preset's end after half a minute.
digits   tanh, cross-entropy, 1e6 steps: eta 5e-5: 95.8 %, 1e-4: 96.7 %, 2e-4: 95.7 %, 3e-4: 91.5 %,
         5e-4: 80.0 %. relu bears less (4e5 steps, 3e-4: 70 % against 92 %); a cosine schedule makes
         2e-4 as good as 1e-4, not better.
analog   of tau_x 10, 100, tau_hp 3, 10, 100 and tau_theta 10, 30, 100, 300, 1000: 10, 3 and 100 do well
         on all three, at the eta of the discrete mode, but for parity, where eta 0.1 does (85 % solve
         it) and 0.2 does not (58 %).
backprop 0.1 of 0.03, 0.1, 0.3, 1 (nist7x7), 0.03 of 0.003 to 0.1 (digits), 0.1 of 0.1 to 10 (parity).
pictures fashion_mnist: fashion-cnn, cifar10: cifar-cnn; 3e6 steps, half a minute and one on two idle cores. eta by a
         model of the estimator (docs/cnn.md), on pictures left out of the training set: fashion-cnn 6e-7: 71 %,
         1.2e-6: 72 %, 2.5e-6: 74 %; cifar-cnn 6e-7: 25 %, 1.2e-6: 31 %, 2.5e-6: 27 %. bench/recipes go on for an hour.
own      The noise of G grows with P, the curvature with the inputs: eta = 4 / ((P + 100) (10 + mean |x|^2)),
         tried on seven made-up sets (4 to 100 inputs of size 0.1 to 10; classes and numbers) beside a
         quarter and four times as much: on none of them was either better by more than 2 points.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .data import Dataset

Tables = dict[str, dict[str, Any]]
ANALOG = {"tau_x": 10, "tau_hp": 3.0, "tau_theta": 100.0}
WINDOWS = {"tau_x": 320, "tau_theta": 3200, "momentum": 0.9, "schedule": "cosine"}  # of networks for pictures
BATCHES = {"batch": 64, "momentum": 0.9, "schedule": "cosine"}


def preset(data: Dataset, rule: str = "mgd", mode: str = "discrete") -> Tables:
    """Tables [network], [rule] and [run] of a configuration for a data set.

    data : a built-in data set or the user's own; for the latter, one hidden layer of tanh neurons, cross-entropy where
        the targets are one-hot, else the mean squared error
    rule : "mgd" | "backprop"
    mode : "discrete" | "analog", for mgd

    >>> from analogmgd import load_dataset
    >>> tables = preset(load_dataset("nist7x7"))
    >>> tables["network"]["sizes"], tables["rule"]["eta"]
    ([49, 4, 4], 0.005)
    """
    known = {"parity": parity, "nist7x7": nist7x7, "digits": digits, "fashion_mnist": fashion_mnist, "cifar10": cifar10}
    chosen = known.get(data.name)
    if chosen is None or not data.licence:  # a file of the user's may have any name
        chosen = own
    network, etas, runs = chosen(data)
    images = chosen in (fashion_mnist, cifar10)
    if rule == "backprop":
        table = {"type": rule, "eta": etas["backprop"], **(BATCHES if images else {})}
        return {"network": network, "rule": table, "run": runs["backprop"]}
    analog = mode == "analog"
    table = {"type": rule, "mode": mode, "perturbation": "random", "amplitude": 1e-3 if images else 0.01}
    table |= {"eta": etas["analog" if analog else "discrete"]}
    table |= ANALOG if analog else WINDOWS if images else {}
    return {"network": network, "rule": table, "run": runs["mgd"]}


def parity(data: Dataset) -> tuple[dict[str, Any], dict[str, float], Tables]:
    """The paper's n-n-1: sigmoid neurons, mean squared error."""
    bits = data.n_in
    network = {"sizes": [bits, bits, 1], "activation": "sigmoid", "cost": "mse"}
    eta = two_digits(0.3 * (2 / bits) ** 4)
    etas = {"discrete": eta, "analog": two_digits(eta / 3), "backprop": 0.1}
    chips = {2: 256, 3: 128}.get(bits, 64)
    steps = 1_000_000 * min(bits - 1, 4)
    return network, etas, {"mgd": run(steps, chips), "backprop": run(200_000, chips)}


def nist7x7(data: Dataset) -> tuple[dict[str, Any], dict[str, float], Tables]:
    """The paper's 49-4-4: sigmoid neurons, mean squared error."""
    network = {"sizes": [49, 4, 4], "activation": "sigmoid", "cost": "mse"}
    etas = {"discrete": 0.005, "analog": 0.005, "backprop": 0.1}
    return network, etas, {"mgd": run(5_000_000, 64), "backprop": run(500_000, 64)}


def digits(data: Dataset) -> tuple[dict[str, Any], dict[str, float], Tables]:
    """64-32-10: tanh neurons, cross-entropy."""
    network = {"sizes": [64, 32, 10], "activation": "tanh", "cost": "cross-entropy", "init": "glorot"}
    etas = {"discrete": 1e-4, "analog": 1e-4, "backprop": 0.03}
    return network, etas, {"mgd": run(1_000_000, 64), "backprop": run(50_000, 64)}


def fashion_mnist(data: Dataset) -> tuple[dict[str, Any], dict[str, float], Tables]:
    """The paper's network of three convolutions."""
    etas = {"discrete": 2.5e-6, "analog": 2.5e-5, "backprop": 0.1}
    return pictures("fashion-cnn"), etas, {"mgd": run(3_000_000, 1), "backprop": run(10_000, 1)}


def cifar10(data: Dataset) -> tuple[dict[str, Any], dict[str, float], Tables]:
    """The paper's network of three convolutions."""
    etas = {"discrete": 1.2e-6, "analog": 1.2e-5, "backprop": 0.05}
    return pictures("cifar-cnn"), etas, {"mgd": run(3_000_000, 1), "backprop": run(10_000, 1)}


def pictures(name: str) -> dict[str, Any]:
    """A named network; what it shares with others is spelt out, for those who change its layers."""
    return {"preset": name, "cost": "cross-entropy", "label_smoothing": 0.01, "init": "glorot"}


def own(data: Dataset) -> tuple[dict[str, Any], dict[str, float], Tables]:
    """One hidden layer, as wide as inputs and outputs suggest; eta from the number of parameters and the inputs."""
    n_in, n_out = data.n_in, data.n_out
    hidden = min(64, max(4, round(1.5 * (n_in * n_out) ** 0.5)))
    network: dict[str, Any] = {"sizes": [n_in, hidden, n_out], "activation": "tanh", "init": "glorot"}
    network |= {"cost": "cross-entropy"} if one_hot(data) else {"cost": "mse", "output": "linear"}
    n_params = hidden * (n_in + 1) + n_out * (hidden + 1)
    some = data.inputs("train", rows=slice(10_000))
    size = 10 + float(np.mean(np.sum(some * some, axis=1)))
    eta = two_digits(4 / ((n_params + 100) * size))
    steps = int(min(2_000_000, max(200_000, 400 * n_params)))
    chips = int(min(64, max(8, 2e11 / (steps * n_params) // 8 * 8)))
    etas = {"discrete": eta, "analog": eta, "backprop": two_digits(0.5 / size)}
    runs = {"mgd": run(steps, chips), "backprop": run(100_000, min(chips, 32))}
    if not data.classes:  # the targets are numbers: there is no accuracy
        runs = {name: {**table, "record": ["cost"]} for name, table in runs.items()}
    return network, etas, runs


def run(steps: int, chips: int) -> dict[str, Any]:
    """Part of a table [run]."""
    return {"steps": steps, "chips": chips}


def one_hot(data: Dataset) -> bool:
    """Whether every target is one 1 among zeros."""
    y = data.y_train
    return data.n_out > 1 and bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all())


def two_digits(value: float) -> float:
    """A number as short as it is vague.

    >>> two_digits(0.0592592), two_digits(1.23e-5)
    (0.059, 1.2e-05)
    """
    return float(f"{value:.2g}")
