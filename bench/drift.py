"""Digits on chips whose devices drift: those that go on training beside the same ones left alone.

    python bench/drift.py [--chips 64] [--steps 1000000]

64-32-10, tanh, cross-entropy, 1 ms an evaluation (`chip-in-the-loop`), MGD with random codes and antithetic baseline.
Devices of 1250 equal steps (gokmen-vlasov) that drift as phase-change memory does, g(t) = g_w ((t - t_w + t0)/t0)^-nu
with nu = |0.05 + 0.02 xi| of each and t0 = 20 s, that of published retention, and with an on/off ratio of about 10
(g_min = 0.1), so that devices at rest drift, too. t0 decides how hard drift is to train against: a device that has
just been written loses nu/t0 of its conductance a second. With 20 s that is 1 % in 4 s, which training outruns; with
one step of 2 ms, the default, it would be 3 % in the step after every write.

Three parts. (a) Chips are trained for `steps` steps; then they go on for as long again, or are left alone (`am.age`).
(b) The latter after 1 s to 1e7 s. (c) Those, after 1e7 s, trained again by the same rule; their weights then are the
ones the drifted devices hold, on clocks that start anew. Makes bench/results/drift.json and .png.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from common import RESULTS, machine, save

import analogmgd as am

NETWORK = am.Network.mlp([64, 32, 10], "tanh", cost="cross-entropy", init="glorot")
RULE = am.MGD(eta=1e-4, amplitude=0.01, tau_theta=300, baseline="antithetic")
DRIFT = {"drift_nu": 0.05, "drift_nu_spread": 0.02, "drift_t0": 20.0, "drift_every": 100}
DEVICE = am.device("gokmen-vlasov", scale=2.0, g_min=0.1)
ROWS = 40  # of a part
AGES = np.logspace(0, 7, 22)  # seconds


def train(device: am.Device, steps: int, every: int, chips: int, theta0: np.ndarray | None = None) -> am.Trace:
    """A run, with a row every so many steps."""
    chip = am.Chip(NETWORK, device=device, step_time="chip-in-the-loop")
    return am.train(
        chip, "digits", RULE, steps=steps, chips=chips, theta0=theta0, record_every=every,
        eval_samples=None, record=("cost", "accuracy"),
    )  # fmt: skip


def curve(seconds: np.ndarray, accuracy: np.ndarray) -> dict[str, list[float]]:
    """Median and quartiles over the chips; accuracy (rows, chips)."""
    low, middle, high = np.quantile(accuracy, [0.25, 0.5, 0.75], axis=1)
    return {k: np.asarray(v, float).tolist() for k, v in
            {"seconds": seconds, "low": low, "median": middle, "high": high}.items()}  # fmt: skip


def measure(chips: int, steps: int) -> dict[str, Any]:
    """All curves, and what each chip lost and won back, in points."""
    drifting, every = DEVICE.replace(**DRIFT), steps // ROWS
    half = train(drifting, steps, every, chips)
    whole = train(drifting, 2 * steps, every, chips)
    calm = train(DEVICE, 2 * steps, every, chips)
    assert np.array_equal(whole.accuracy[ROWS], half.accuracy[-1])  # one and the same training
    stop, end = float(half.time[-1]), float(whole.time[-1])
    beside = np.linspace(0, end - stop, ROWS + 1)
    alone, long = am.age(half, beside.tolist()), am.age(half, AGES.tolist())
    again = train(drifting, steps, every, chips, theta0=long.theta[-1])
    last = {
        "trained on": whole.accuracy[-1], "left alone as long": alone.accuracy[-1],
        "left alone 1e7 s": long.accuracy[-1], "trained again": again.accuracy[-1],
    }  # fmt: skip
    return {
        "training": curve(whole.time[:], whole.accuracy[:]),
        "without drift": curve(calm.time[:], calm.accuracy[:]),
        "alone": curve(stop + beside, alone.accuracy),
        "decades": curve(AGES, long.accuracy),
        "again": curve(again.time[:], again.accuracy[:]),
        "stop": stop,
        "at stop": np.quantile(half.accuracy[-1], [0.25, 0.5, 0.75]).tolist(),
        "points": {k: np.quantile(100 * (v - half.accuracy[-1]), [0.25, 0.5, 0.75]).tolist() for k, v in last.items()},
        "seconds between pulses": end / float(np.mean(whole.pulses)),
    }


def draw(result: dict[str, Any], path: Any) -> None:
    """drift.png."""
    import matplotlib
    from matplotlib.figure import Figure

    from analogmgd.plot_base import BLUE, GREEN, RED, STYLE

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(12.5, 4.6), layout="constrained")
        beside, decades, again = figure.subplots(1, 3, sharey=True, width_ratios=[1.35, 1, 0.8])

        def band(ax: Any, key: str, colour: str, label: str, skip: int = 0) -> None:
            one = {k: np.array(v[skip:]) for k, v in result[key].items()}
            ax.fill_between(one["seconds"], 100 * one["low"], 100 * one["high"], color=colour, alpha=0.25, lw=0)
            ax.plot(one["seconds"], 100 * one["median"], color=colour, lw=1.8, label=label)

        stop, end = result["stop"], result["training"]["seconds"][-1]
        middle = 100 * result["at stop"][1]
        beside.plot(
            result["without drift"]["seconds"], 100 * np.array(result["without drift"]["median"]), color="0.5", lw=1.2,
            ls=(0, (4, 3)), label="devices without drift",
        )  # fmt: skip
        band(beside, "training", BLUE, "training, and going on")
        band(beside, "alone", RED, "left alone from here")
        beside.axvline(stop, color="0.5", lw=0.8, zorder=1)
        beside.set(xlim=(0, end), xlabel="emulated time (s)", ylabel="test accuracy (%)", ylim=(60, 100))
        beside.set_title("(a) training on, or left alone")
        beside.legend(loc="lower right")
        band(decades, "decades", RED, "left alone")
        decades.axhline(middle, color=BLUE, lw=1.2, ls=(0, (4, 3)), label="when training stopped")
        decades.set(xscale="log", xlim=(AGES[0], AGES[-1]), xlabel="time left alone (s)")
        decades.set_title("(b) left alone for longer")
        decades.legend(loc="lower left")
        band(again, "again", GREEN, "trained again")
        again.axhline(middle, color=BLUE, lw=1.2, ls=(0, (4, 3)), label="when training first stopped")
        again.set(xlim=(0, result["again"]["seconds"][-1]), xlabel="emulated time (s)")
        again.set_title("(c) trained again after 10$^7$ s")
        again.legend(loc="lower right")
        figure.suptitle(
            f"digits, 64-32-10, {result['chips']} chips (median, quartiles), 1 ms an evaluation; devices of 1250 "
            f"steps, on/off about 10, drift ν = 0.05 ± 0.02, t₀ = 20 s,\none pulse to a device every "
            f"{result['seconds between pulses']:.1f} s of training", fontsize=10, x=0.01, ha="left",
        )  # fmt: skip
        figure.savefig(path)


def main() -> None:
    """Measure, save, draw, and print what was lost and won back."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chips", type=int, default=64)
    parser.add_argument("--steps", type=int, default=1_000_000, help="until training stops; a multiple of 40")
    options = parser.parse_args()
    result = measure(options.chips, options.steps)
    result |= {
        "machine": machine(), "chips": options.chips, "steps": options.steps, "rule": RULE.model_dump(),
        "device": {k: v for k, v in DEVICE.replace(**DRIFT).model_dump().items() if v is not None},
    }  # fmt: skip
    save("drift", result)
    draw(result, RESULTS / "drift.png")
    print(f"when training stopped, after {result['stop']:.0f} s: {100 * result['at stop'][1]:.1f} %")
    for name, (low, middle, high) in result["points"].items():
        print(f"{name:20s} {middle:+6.1f} points [{low:+.1f}, {high:+.1f}], same chips")


if __name__ == "__main__":
    main()
