"""What the physics of devices costs: emulated steps of imperfect chips against those of the ideal chip, on one core.

    python bench/device_speed.py [--quick] [-o DIR]

(a) ns per device and write, about one pulse per device and write, of every preset that is pulsed and has one device a
weight (eta is set to that; the ideal chip's step is subtracted). (b) Time of a step over that of the ideal chip, for
49-4-4 and 64-32-10, a write at every step and at every tenth, each imperfection alone and all together; with the mean
number of pulses per device and write. (c) Drift up to date every 1, 10 and 100 steps, over the same chip without
drift, and the error that this makes: rms of (seen - exact weight) over rms of the weights, halfway and just before the
next time. Writes device_speed.json and .png.

Everything that is compared runs in turns, several rounds, in one process; times are those of the thread, not of the
clock on the wall, so that other work on the machine disturbs little; medians of ratios of the rounds, and quartiles.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, machine, save
from matplotlib.figure import Figure
from tqdm import tqdm

import analogmgd as am
from analogmgd.block import Block, lanes_per_block
from analogmgd.data import load_dataset
from analogmgd.device_law import decayed
from analogmgd.devices import NAMES
from analogmgd.plan import Plan
from analogmgd.train import settle

NETWORKS = {
    "49-4-4": (am.Network.mlp([49, 4, 4]), "nist7x7", 3e-4),
    "64-32-10": (am.Network.mlp([64, 32, 10], "tanh", cost="cross-entropy", init="glorot"), "digits", 1e-5),
}
RERAM = {"device": "reram-es", "scale": 2.0}
NOISE = {"read_noise": 0.005, "read_noise_slope": 0.02}  # of the nominal range, and of the conductance
FLOOR = {"read_noise": 0.005}
EIGHT = {"dac_bits": 8, "dac_range": (-1.0, 1.0), "adc_bits": 8, "adc_range": 8.0, "cost_bits": 8, "cost_range": 0.1}
VARIANTS: dict[str, dict[str, Any]] = {
    "ideal": {},
    "read noise": NOISE,
    "read noise without slope": FLOOR,
    "8-bit converters": {"converters": EIGHT},
    "pulsed": RERAM,
    "pulsed, read noise": {**RERAM, **NOISE},
    "pulsed, read noise, 8-bit converters": {**RERAM, **NOISE, "converters": EIGHT},
}
DRIFT = {"drift_nu": 0.05, "drift_nu_spread": 0.01, "g_min": 0.1}
EVERY = (1, 10, 100)
PULSED = [n for n in NAMES if am.device(n).write == "pulsed" and not am.device(n).one_sided]
GOALS = {1: 8.0, 10: 2.0}
ALL = "pulsed, read noise, 8-bit converters"


def block_of(network: str, tau_theta: int, eta: float, settings: dict[str, Any]) -> Block:
    """The chips that one core does together."""
    net, data_name, _ = NETWORKS[network]
    rest = dict(settings)
    converters, name = am.Converters(**rest.pop("converters", {})), rest.pop("device", "ideal")
    chip = am.Chip(net, device=am.device(name, **rest), converters=converters, step_time="mem-compute")
    rule = am.MGD(eta=eta, amplitude=0.01, tau_theta=tau_theta)
    data = load_dataset(data_name)
    config = am.Config(chip, rule, {"name": data_name}, am.Run(steps=10**9, chips=1024, seed=1, record=()))
    plan = Plan(settle(config, data), data)
    block = Block(plan, 0, lanes_per_block(plan, 1), None)
    block.advance(20 * tau_theta, False)
    return block


def seconds(block: Block, steps: int) -> float:
    """Time of the thread for so many steps."""
    start = time.thread_time()
    block.advance(block.n + steps, False)
    return time.thread_time() - start


def pulses(block: Block) -> float:
    """Pulses so far, mean of the devices."""
    assert block.devices is not None
    return float(block.devices.counted.mean()) if len(block.devices.counted) else 0.0


def in_turns(blocks: dict[str, Block], tau_theta: int, rounds: int, share: float) -> dict[str, dict[str, Any]]:
    """ns a chip and step of each, in every round; pulses per device and write."""
    steps = {k: max(1, round(share / (seconds(b, 50 * tau_theta) / 50))) * tau_theta for k, b in blocks.items()}
    first = {k: (pulses(b) if b.devices else 0.0, b.n) for k, b in blocks.items()}
    found: dict[str, list[float]] = {k: [] for k in blocks}
    for _ in range(rounds):
        for k, block in blocks.items():
            found[k].append(1e9 * seconds(block, steps[k]) / steps[k] / block.count)
    out = {}
    for k, block in blocks.items():
        before, n = first[k]
        writes = (block.n - n) / tau_theta
        out[k] = {
            "ns": found[k], "pulses per write": (pulses(block) - before) / writes if block.devices else 0.0,
            "chips": block.count,
        }  # fmt: skip
    return out


def ratio(one: list[float], other: list[float]) -> list[float]:
    """Median and quartiles of the ratios round by round."""
    return [float(q) for q in np.quantile(np.array(one) / np.array(other), [0.5, 0.25, 0.75])]


def dense_writes(rounds: int, share: float, say: tqdm) -> dict[str, Any]:
    """(a)"""
    out = {}
    for name in PULSED:
        eta, device = 1e-3, {"device": name}
        for _ in range(3):  # as many pulses as eta, until something saturates
            block = block_of("49-4-4", 1, eta, device)
            before, n = pulses(block), block.n
            block.advance(n + 100, False)
            eta /= max((pulses(block) - before) / 100, 1e-3)
        blocks = {"ideal": block_of("49-4-4", 1, eta, {}), name: block_of("49-4-4", 1, eta, device)}
        found = in_turns(blocks, 1, rounds, share)
        extra = (np.array(found[name]["ns"]) - np.array(found["ideal"]["ns"])) / NETWORKS["49-4-4"][0].n_params
        out[name] = {
            "eta": eta, "pulses per write": found[name]["pulses per write"],
            "ns per device and write": [float(q) for q in np.quantile(extra, [0.5, 0.25, 0.75])],
        }  # fmt: skip
        say.update()
    return out


def ratios(rounds: int, share: float, say: tqdm) -> list[dict[str, Any]]:
    """(b)"""
    out = []
    for network, (_, _, eta) in NETWORKS.items():
        for tau_theta in GOALS:
            blocks = {k: block_of(network, tau_theta, eta, v) for k, v in VARIANTS.items()}
            found = in_turns(blocks, tau_theta, rounds, share)
            for k, one in found.items():
                out.append({
                    "network": network, "tau_theta": tau_theta, "eta": eta, "variant": k,
                    "ratio": ratio(one["ns"], found["ideal"]["ns"]), "ns": float(np.median(one["ns"])),
                    "pulses per write": one["pulses per write"], "chips": one["chips"],
                })  # fmt: skip
                say.update()
    return out


def drift_error(block: Block, at: int) -> float:
    """rms of (seen - exact) over rms of the exact weights, at a step n with n % drift_every = at."""
    device = block.plan.chip.device
    until = block.n - block.n % device.drift_every + device.drift_every + at + 1
    block.advance(until, False)
    devices = block.devices
    assert devices is not None
    aging = devices.hardware.aging
    since = np.maximum(until - 1 - aging.written, 0)  # what step until - 1 saw, but for what it wrote itself
    exact = decayed(devices.held.astype(np.float64), since, aging.about, aging.nu_plus, aging.nu_minus, None)
    if len(devices.hardware.kept):
        exact = exact + devices.hardware.kept
    return float(np.sqrt(np.mean((block.theta - exact) ** 2) / np.mean(exact**2)))


def drifting(rounds: int, share: float, say: tqdm) -> list[dict[str, Any]]:
    """(c)"""
    out = []
    for network, (_, _, eta) in NETWORKS.items():
        for tau_theta in GOALS:
            settings = {**RERAM, **DRIFT}
            blocks = {"without": block_of(network, tau_theta, eta, RERAM)}
            blocks |= {
                str(every): block_of(network, tau_theta, eta, {**settings, "drift_every": every}) for every in EVERY
            }
            found = in_turns(blocks, tau_theta, rounds, share)
            for every in EVERY:
                out.append({
                    "network": network, "tau_theta": tau_theta, "drift_every": every,
                    "ratio": ratio(found[str(every)]["ns"], found["without"]["ns"]),
                    "error halfway": drift_error(blocks[str(every)], every // 2),
                    "largest error": drift_error(blocks[str(every)], every - 1),
                })  # fmt: skip
                say.update()
    return out


def draw(result: dict[str, Any], folder: Path) -> None:
    """device_speed.png."""
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    panels = figure.subplots(2, 2)
    colours = dict(zip(NETWORKS, ("#0072b2", "#d55e00"), strict=True))
    for axes, (tau_theta, goal) in zip(panels[0], GOALS.items(), strict=True):
        for shift, (network, colour) in zip((0.19, -0.19), colours.items(), strict=True):
            rows = [r for r in result["ratios"] if (r["network"], r["tau_theta"]) == (network, tau_theta)][1:]
            at = np.arange(len(rows))[::-1] + shift
            axes.barh(at, [r["ratio"][0] for r in rows], 0.36, color=colour, label=network)
            for y, row in zip(at, rows, strict=True):
                text = f" {row['ratio'][0]:.2f}"
                if row["pulses per write"]:
                    text += f" ({row['pulses per write']:.3f})"
                axes.text(row["ratio"][0], y, text, va="center", fontsize=7)
        axes.set_yticks(np.arange(len(rows))[::-1], [r["variant"] for r in rows], fontsize=8)
        axes.axvline(goal, color="0.3", linewidth=1, linestyle="--")
        axes.axvline(1, color="0.7", linewidth=1)
        axes.margins(x=0.25)
        axes.set_xlabel("time over the ideal chip's (pulses a device, write)")
        axes.set_title(f"a write every {tau_theta} steps; dashed: goal", fontsize=9, loc="left")
    panels[0, 0].legend(fontsize=8)
    names = list(result["dense"])
    values = [result["dense"][n]["ns per device and write"][0] for n in names]
    panels[1, 0].barh(np.arange(len(names))[::-1], values, color="#009e73")
    for k, name in enumerate(names):
        text = f" {values[k]:.2f} ({result['dense'][name]['pulses per write']:.2f})"
        panels[1, 0].text(values[k], len(names) - 1 - k, text, va="center", fontsize=7)
    panels[1, 0].set_yticks(np.arange(len(names))[::-1], names, fontsize=8)
    panels[1, 0].axvline(3, color="0.3", linewidth=1, linestyle="--")
    panels[1, 0].margins(x=0.25)
    panels[1, 0].set_xlabel("ns per device and write (pulses per device and write)")
    panels[1, 0].set_title("about one pulse per device and write; dashed: goal", fontsize=9, loc="left")
    for network, colour in colours.items():
        for tau_theta, line in zip(GOALS, ("-", "--"), strict=True):
            rows = [r for r in result["drift"] if (r["network"], r["tau_theta"]) == (network, tau_theta)]
            label = f"{network}, a write every {tau_theta}"
            panels[1, 1].plot(EVERY, [r["ratio"][0] for r in rows], "o" + line, color=colour, label=label)
    panels[1, 1].axhline(1.3, color="0.3", linewidth=1, linestyle="--")
    panels[1, 1].set_xscale("log")
    panels[1, 1].set_xlabel("drift_every (steps)")
    panels[1, 1].set_ylabel("time over the same without drift")
    panels[1, 1].set_title("drift; dashed: goal", fontsize=9, loc="left")
    panels[1, 1].legend(fontsize=7)
    figure.savefig(folder / "device_speed.png", dpi=130)


def main() -> None:
    """Measure, save, draw, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a minute instead of four, less certain")
    parser.add_argument("-o", type=Path, default=RESULTS, metavar="DIR", help="folder of the results")
    options = parser.parse_args()
    rounds, share = (5, 0.03) if options.quick else (15, 0.1)
    total = len(PULSED) + len(NETWORKS) * len(GOALS) * (len(VARIANTS) + len(EVERY))
    with tqdm(total=total, file=sys.stderr, disable=None) as say:
        result = {
            "machine": machine(1), "rounds": rounds, "seconds a turn": share,
            "settings": {"reram-es": RERAM, "read noise": NOISE, "converters": EIGHT, "drift": DRIFT},
            "dense": dense_writes(rounds, share, say), "ratios": ratios(rounds, share, say),
            "drift": drifting(rounds, share, say),
        }  # fmt: skip
    options.o.mkdir(parents=True, exist_ok=True)
    save("device_speed", result, options.o)
    draw(result, options.o)
    for name, one in result["dense"].items():
        low, high = one["ns per device and write"][1:]
        text = f"{one['ns per device and write'][0]:.2f} [{low:.2f}, {high:.2f}] ns per device and write"
        print(f"{name:18s} {text}, {one['pulses per write']:.2f} pulses")
    for row in result["ratios"]:
        middle, low, high = row["ratio"]
        text = f"{middle:5.2f} [{low:.2f}, {high:.2f}] x ideal, {row['ns']:.0f} ns"
        print(f"{row['network']:9s} tau_theta {row['tau_theta']:2d} {row['variant']:38s} {text}, "
              f"{row['pulses per write']:.4f} pulses")  # fmt: skip
    for row in result["drift"]:
        print(f"{row['network']:9s} tau_theta {row['tau_theta']:2d} drift_every {row['drift_every']:3d}: "
              f"{row['ratio'][0]:.2f} x without drift, error {100 * row['error halfway']:.3f} % halfway, "
              f"{100 * row['largest error']:.3f} % at most")  # fmt: skip


if __name__ == "__main__":
    main()
