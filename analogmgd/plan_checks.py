"""What is checked once the parts of a configuration are together: each raises ConfigError with one line."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .chip import Chip
from .data import Dataset
from .device_extras import element_size
from .device_pair import relaxation
from .errors import ConfigError
from .limits import chips_bytes, free_memory, lanes_at_once
from .rule import MGD

if TYPE_CHECKING:
    from .plan import Plan

STREAM_LIMIT = 2**61  # an index of random words must stay below 2**63


def check_data(chip: Chip, data: Dataset) -> None:
    """Raise ConfigError where network and data do not fit."""
    net = chip.network
    if data.n_in != net.n_in:
        raise ConfigError(
            f"network takes {net.n_in} inputs but data set {data.name} has {data.n_in}: "
            f"use a network that starts with {data.n_in}"
        )
    if data.n_out != net.n_out:
        raise ConfigError(
            f"network has {net.n_out} outputs but data set {data.name} has {data.n_out} targets: "
            f"use a network that ends with {data.n_out}"
        )
    image = data.image_shape if data.image_shape is None or len(data.image_shape) == 3 else (1, *data.image_shape)
    if net.pictures and image is not None and image != net.shapes[0]:
        raise ConfigError(f"network.input_shape = {list(net.shapes[0])}: must be {list(image)}, channels, height and "
                          f"width of the pictures of data set {data.name}")  # fmt: skip


def check_faults(chip: Chip) -> None:
    """Raise ConfigError where a fault lies outside of the network, or has no range to be stuck in."""
    net = chip.network
    problem = chip.faults.check([(layer.rows, layer.columns) for layer in net.arrays], net.n_params)
    if problem is None and chip.faults.devices and chip.device.w_max is None:
        problem = f"faults.stuck..: devices are stuck within a range: device {chip.device.name!r} needs w_min and w_max"
    if problem is None and chip.device.digital_biases:
        biases = {p for first, last in bias_ranges(chip) for p in range(first, last)}
        held = [p for p, _, _ in chip.faults.stuck if p in biases]
        problem = f"faults.stuck: parameter {held[0]}: is a bias, and device.digital_biases = true" if held else None
    if problem is not None:
        raise ConfigError(problem)


def bias_ranges(chip: Chip) -> list[tuple[int, int]]:
    """First and last + 1 of the biases of each layer."""
    ends = np.cumsum([(layer.rows + 1) * layer.columns for layer in chip.network.arrays]).tolist()
    return [(end - layer.columns, end) for end, layer in zip(ends, chip.network.arrays, strict=True)]


def check_latency(chip: Chip, rule: Any) -> None:
    """Raise ConfigError where what is late does not go with the rule."""
    if not isinstance(rule, MGD):
        return
    device, late = chip.device, chip.device.write_steps
    if late > 0 and (rule.mode == "analog" or late >= rule.tau_theta):
        raise ConfigError(
            f"device.write_steps = {late}: must be less than rule.tau_theta = {rule.tau_theta:g}, in discrete mode"
        )
    if late > 0 and (device.ages or device.fluctuates):
        raise ConfigError(f"device.write_steps = {late}: not together with drift, leak or fluctuations")
    if chip.input_tau > 0 and rule.batch > 1:
        raise ConfigError(f"chip.input_tau = {chip.input_tau:g}: needs rule.batch = 1, and it is {rule.batch}")
    if abs(chip.delay / rule.dt - round(chip.delay / rule.dt)) > 1e-9:
        raise ConfigError(f"chip.delay = {chip.delay:g}: must be a multiple of rule.dt = {rule.dt:g}")


def check_perturbed(chip: Chip, rule: Any) -> None:
    """Raise ConfigError where nodes, or layers in turn, meet what knows only parameters that are all perturbed."""
    if not isinstance(rule, MGD) or (rule.perturb == "parameters" and rule.layers == "together"):
        return
    what = f'rule.perturb = "{rule.perturb}"' if rule.perturb == "nodes" else f'rule.layers = "{rule.layers}"'
    if chip.delay > 0:
        raise ConfigError(f"{what}: not with chip.delay = {chip.delay:g}: must be 0")
    if rule.perturb == "nodes" and chip.wires is not None and not chip.wires.ideal:
        raise ConfigError(f"{what}: not with wires that have resistance")


def check_pairs(chip: Chip) -> None:
    """Raise ConfigError where conductances with a state of their own meet what does not know them."""
    if chip.device.paired and chip.wires is not None and not chip.wires.ideal:
        raise ConfigError(f"wires: not with device {chip.device.name!r}, whose conductances have a state of their own")


def check_cost_noise(plan: Plan) -> None:
    """Raise ConfigError where 1/f noise ends before it begins."""
    slowest = plan.chip.converters.cost_flicker_slowest
    if plan.mgd and plan.chip.converters.cost_flicker > 0 and slowest < plan.iteration_seconds:
        raise ConfigError(f"converters.cost_flicker_slowest = {slowest:g}: must be at least the time of a step, "
                          f"{plan.iteration_seconds:.3g} s")  # fmt: skip


def check_element(plan: Plan) -> None:
    """Raise ConfigError where the element leaves nothing of the perturbation, or turns it round."""
    device, mgd = plan.chip.device, plan.mgd
    if mgd is None or device.exact_element:
        return
    amplitude = mgd.amplitude
    if mgd.perturbation in ("gaussian", "sinusoid"):
        amplitude = device.perturbation_range or amplitude
    size = element_size(plan.chip, amplitude)
    if size <= 0:
        key = "bits" if device.perturbation_bits is not None and device.perturbation_cubic >= 0 else "cubic"
        raise ConfigError(f"device.perturbation_{key} = {getattr(device, f'perturbation_{key}'):g}: "
                          f"a perturbation of {amplitude:g} becomes {size:.3g}: must be greater than 0")  # fmt: skip


def check_memory(plan: Plan) -> None:
    """What the chips take must be free."""
    chips, free, need = len(plan.run.chip_ids), free_memory(), chips_bytes(plan)
    lanes = lanes_at_once(plan)
    if need <= 0.8 * free:
        return
    size = f"would need {need / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free"
    most = int(0.8 * free) // plan.bytes_per_chip // lanes * lanes
    if most:
        raise ConfigError(f"run.chips = {chips}: {size}: use at most {most} chips of this network")
    key = "rule.batch" if plan.bytes_of_batch > plan.bytes_per_chip // 2 else "network"
    value = plan.rule.batch if key == "rule.batch" else f"{plan.chip.network} with {plan.n_params} parameters"
    raise ConfigError(f"{key} = {value}: {size}, even for one chip: use a smaller one")


def check_range(plan: Plan) -> None:
    """Every real setting must be a number in the precision of the run."""
    chip, rule = plan.chip, plan.rule
    values = {
        "rule.eta": rule.eta,
        "rule.weight_decay": rule.weight_decay,
        "network.init_scale": chip.network.init_scale,
        "neuron.spread": chip.neuron.spread,
        **{f"converters.{name}": abs(value) for name, value in chip.converters if isinstance(value, float)},
        "device.sigma_theta": chip.device.sigma_theta,
        "device.amplitude_mismatch": chip.device.amplitude_mismatch,
        **device_range(plan),
    }
    limits = np.finfo(np.float64 if plan.run.precision == "double" else np.float32)
    if plan.mgd:
        values["rule.amplitude"] = plan.mgd.amplitude
        least = math.sqrt(float(limits.tiny))
        if plan.mgd.amplitude < least:
            raise ConfigError(f"rule.amplitude = {plan.mgd.amplitude:g}: must be at least {least:.2g} in "
                              f"{plan.run.precision} precision, or its square is 0")  # fmt: skip
    most = float(limits.max) / 1e6
    for key, value in values.items():
        if value > most:
            raise ConfigError(f"{key} = {value:g}: must be at most {most:.1g} in {plan.run.precision} precision")


def device_range(plan: Plan) -> dict[str, float]:
    """Every number of the device that grows with the precision's range."""
    device = plan.chip.device
    return {
        f"device.{name}": abs(value) * (device.scale if name != "scale" else 1)
        for name, value in device
        if isinstance(value, float)
    }


def check_streams(plan: Plan) -> None:
    """The index of every random word must be one."""
    blocks = (plan.n_params + 3) // 4
    slots = plan.chip.device.max_pulses + 2 if plan.physical else 1
    # the noise of the cost takes less than 128
    words_a_step = max(4 * slots * blocks, 4 * plan.n_perturbed + 16, 12 * plan.rule.batch, 128)
    if plan.chip.device.noisy_reads:
        words_a_step = max(words_a_step, 16 * plan.rule.batch * plan.chip.network.column_reads)
    if plan.physical and plan.chip.device.paired:
        processes = len(relaxation(plan.chip.device, plan.iteration_seconds)[0])  # of 1/f noise
        words_a_step = max(words_a_step, 8 * max(25, processes) * blocks)
    if plan.run.steps * words_a_step > STREAM_LIMIT:
        most = STREAM_LIMIT // words_a_step
        raise ConfigError(f"run.steps = {plan.run.steps}: must be at most {most} with this network and batch")
