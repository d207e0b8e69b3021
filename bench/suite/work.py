"""Operations and bytes a step must cost, and the fraction of the machine that a rate is.

P parameters; a multiply-add is two operations. A step of a chip takes at least

    2 P    for each evaluation of the network: the perturbed one every step (the antithetic baseline: two), a baseline
           whenever the sample or theta has changed: on average e evaluations a step;
    2 P    for G += C_ac theta_ac / amplitude**2 (or theta itself, where every step ends a window).

Drawing signs, activations and costs are left out. What is counted are slots of the machine's multiply-add units, two
for each: an addition takes the slot of a multiply-add. By bare operations it can be less. With signs in discrete mode
theta_ac x and G take additions alone, and W x may be shared with the baseline: 4 P operations in 6 P slots. That holds
for a first layer, whose input is the same in both passes; in later layers the kernels of large networks do a second
product with the weights, which is not counted. Both fractions are given, that by slots is the one that is judged.

Bytes, with b bytes a number: a window reads theta and writes it once, whatever its length, since its steps can be
done together: 2 b P / tau_theta a step. (G lives as long as the window and need not leave the registers or the cache,
inputs are few.) Where a chip's theta, b P, fits into a core's level-1 cache, it can stay there for as many steps as
one likes, and no bytes are counted; where it fits into level 2, or half of level 3, they are set against that cache;
otherwise against memory.

The time a chip-step must take is the larger of operations / (rate of a matrix product) and bytes / bandwidth, both
measured in the same run with the same threads (`roof`): the nearer roof. The fraction is that over the time it took.
"""

from __future__ import annotations

from typing import Any

from analogmgd.rule import MGD

L1_BYTES, L2_BYTES = 32 << 10, 1 << 20  # where the system does not say


def operations(rule: MGD, n_params: int) -> float:
    """Slots of floating-point operations a chip-step must take, two for a multiply-add or an addition."""
    return n_params * (2 * rule.evaluations + 2)


def bare_operations(rule: MGD, n_params: int) -> float:
    """Floating-point operations a chip-step must do at least, an addition counted as one.

    >>> bare_operations(MGD(), 1), operations(MGD(), 1)
    (4.0, 6.0)
    """
    signs = rule.mode == "discrete" and rule.perturbation in ("random", "walsh")
    return operations(rule, n_params) - (2 * n_params if signs else 0)


def traffic(rule: MGD, n_params: int, itemsize: int) -> float:
    """Bytes a chip-step must move."""
    window = 1.0 if rule.mode == "analog" else rule.tau_theta
    return 2 * itemsize * n_params / window


def fraction(
    rate: float, rule: MGD, n_params: int, itemsize: int, roof: dict[str, Any], threads: int
) -> dict[str, Any]:
    """The part of the nearer roof that `rate` chip-steps per second are, and which roof that is.

    fraction : by slots; fraction_bare : by bare operations.
    """
    part = threads / roof["threads"]
    flops = part * roof["flops_single" if itemsize == 4 else "flops_double"]
    size = itemsize * n_params
    store = "l2" if size <= roof["l2_bytes"] else "l3" if 2 * size <= roof["l3_bytes"] else "memory"
    bandwidth = (part if store == "l2" else 1.0) * roof[f"{store}_bandwidth"]
    compute = operations(rule, n_params) / flops
    bare = bare_operations(rule, n_params)
    move = 0.0 if size <= roof["l1_bytes"] else traffic(rule, n_params, itemsize) / bandwidth
    names = {"l2": "level-2 cache", "l3": "level-3 cache", "memory": "memory"}
    name = "matrix product" if compute >= move else names[store]
    return {
        "fraction": rate * max(compute, move), "nearer": name, "operations": operations(rule, n_params),
        "fraction_bare": rate * max(bare / flops, move), "bare_operations": bare,
        "bytes": traffic(rule, n_params, itemsize), "gflops": rate * operations(rule, n_params) / 1e9,
    }  # fmt: skip
