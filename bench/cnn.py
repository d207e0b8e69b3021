"""Trains a recipe by MGD and shows accuracy on the whole test set against steps, samples, wall time, hardware time.

    python bench/cnn.py bench/recipes/fashion-cnn.toml [--minutes M | --steps N] [--seed 1 2 3] [--threads T]
                        [--add] [--compare] [--data-dir DIR] [--loaded] [--note TEXT] [-o DIR]
    python bench/cnn.py bench/recipes/fashion-cnn.toml --paces 1 16 64 320 1280 --threads 1

A recipe is a configuration of the package (docs/cnn.md); its cosine ends with the run, so --minutes and --steps change
the schedule with the length. --minutes measures the pace for a few seconds first and takes as many steps as fit.
Seeds are run one after another; the file is written anew with every row, so that what there is of a run that was
stopped can be read. --add keeps the finished runs of a file of the same recipe, data and number of steps (of
backpropagation those of its recipe), and does not run their seeds again. --compare also trains the recipe of
backpropagation beside it (NAME-backprop.toml, also for NAME-hour.toml), with the same seeds. Writes cnn_NAME.json and
.png: medians and ranges
over the seeds, and a table of the accuracy at 10^3, 10^4, .. steps with the time hardware of the named step times would
take, baselines counted, beside the time backpropagation took on this machine to the same accuracy. The clock on the
wall includes the evaluations (a few per cent); `processor` is the time of all threads, on which other work on the
machine (--loaded marks it) has less effect. --paces only prints steps a second of the processor with these tau_x.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, machine
from matplotlib.figure import Figure
from tqdm import tqdm

from analogmgd.bench.rounds import spread
from analogmgd.chip import TIME_SCALES
from analogmgd.config import Config
from analogmgd.data import Dataset, load_dataset
from analogmgd.engine import Engine, thread_count
from analogmgd.errors import AnalogMGDError
from analogmgd.merge import RowPlan, Rows
from analogmgd.plan import Plan
from analogmgd.train import settle

ROWS = 24  # evaluations, evenly spaced, besides those at powers of ten
PACE_SECONDS = 4.0
LEARNT = 1.2  # times the accuracy before training: below, the time to it means nothing
DIGITS = 5  # of what is written


class Marks(RowPlan):
    """Rows at powers of ten from 10^3 on, and evenly spaced."""

    def __init__(self, steps: int) -> None:
        even = np.linspace(0, steps, ROWS + 1).astype(int).tolist()
        self.marks = sorted({*even, *(10**k for k in range(3, 13) if 10**k <= steps)})
        self.steps, self.count = steps, len(self.marks)

    def step(self, row: int) -> int:
        """Steps done when row number `row` is taken."""
        return int(self.marks[row])


def prepared(config: Config, data: Dataset, steps: int, seed: int) -> Plan:
    """The plan of one run of one chip."""
    run = config.run.replace(steps=steps, seed=seed, chips=1, record=("cost", "accuracy"), eval_samples=None)
    return Plan(settle(replace(config, run=run), data), data)


def pace(config: Config, data: Dataset, threads: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Steps per second, of the clock on the wall or another."""
    warm = Engine(prepared(config, data, 2, 0), RowPlan(2, 1), None, threads)
    warm.run(lambda rows: None, lambda rows: None)  # compiles
    steps = 1000
    while True:
        plan = prepared(config, data, steps, 0)
        engine = Engine(plan, RowPlan(steps, 2 * steps), None, threads)
        engine.runners[0].row = 2  # nothing is evaluated
        begun = clock()
        engine.run(lambda rows: None, lambda rows: None)
        took = clock() - begun
        if took > PACE_SECONDS / 2:
            return steps / took
        steps = int(steps * min(10, 1.1 * PACE_SECONDS / took))


def trained(
    config: Config, data: Dataset, steps: int, seed: int, threads: int, show: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """One run: arrays over its rows; `show` gets what there is of it at every row."""
    plan = prepared(config, data, steps, seed)
    Engine(plan, RowPlan(2, 1), None, threads).run(lambda rows: None, lambda rows: None)  # compiles
    engine = Engine(plan, Marks(steps), None, threads)
    batch, tau_x = plan.rule.batch, plan.mgd.tau_x if plan.mgd else 1
    run: dict[str, Any] = {"seed": seed, "status": "running", "kernels": plan.kind}
    run |= {k: [] for k in ("step", "accuracy", "cost", "wall", "processor", "evaluations", "samples")}
    run["hardware seconds"] = {name: [] for name in TIME_SCALES}
    begun, used = time.perf_counter(), time.process_time()
    title = f"{type(plan.rule).__name__}, seed {seed}"
    with tqdm(total=steps, desc=title, file=sys.stderr, unit="step", unit_scale=True, disable=None) as bar:

        def keep(rows: Rows) -> None:
            n = int(np.ravel(rows["step"])[0])
            run["step"].append(n)
            for name in ("accuracy", "cost"):
                run[name].append(round(float(np.ravel(rows[name])[0]), DIGITS))
            run["wall"].append(round(time.perf_counter() - begun, 3))
            run["processor"].append(round(time.process_time() - used, 3))
            run["evaluations"].append(round(plan.evaluations(n)))
            run["samples"].append(batch * -(-n // tau_x))
            for name, seconds in TIME_SCALES.items():
                run["hardware seconds"][name].append(plan.evaluations(n) * seconds)
            show(run)
            bar.set_postfix_str(f"accuracy {run['accuracy'][-1]:.4f}")
            bar.update(n - bar.n)

        run["status"] = engine.run(keep, lambda rows: None)
    return run


def ended(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the runs came to: [median, least, largest]."""
    last = {name: spread([r[name][-1] for r in runs]) for name in ("accuracy", "cost", "wall", "processor")}
    return {
        **last,
        "seeds": [r["seed"] for r in runs],
        "steps": [r["step"][-1] for r in runs],
        "status": [r["status"] for r in runs],
    }


def time_to(runs: list[dict[str, Any]], accuracy: float) -> float | None:
    """Median seconds on the wall until a run first was so accurate, from row to row linearly; None: not all were."""
    times = []
    for r in runs:
        above = [k for k, a in enumerate(r["accuracy"]) if a >= accuracy]
        if not above:
            return None
        k = above[0]
        if k == 0:
            times.append(0.0)
            continue
        part = (accuracy - r["accuracy"][k - 1]) / (r["accuracy"][k] - r["accuracy"][k - 1])
        times.append(r["wall"][k - 1] + part * (r["wall"][k] - r["wall"][k - 1]))
    return spread(times)[0]


def table(runs: list[dict[str, Any]], back: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows at powers of ten and at the end."""
    out = []
    steps = max((r["step"] for r in runs), key=len)
    start = max(r["accuracy"][0] for r in (*runs, *back))
    for k, n in enumerate(steps):
        if n == 0 or (n != steps[-1] and 10 ** round(np.log10(n)) != n):
            continue
        accuracy = spread([r["accuracy"][k] for r in runs if k < len(r["accuracy"])])
        longest = next(r for r in runs if k < len(r["step"]))
        hardware = {name: times[k] for name, times in longest["hardware seconds"].items()}
        row = {"steps": n, "samples": longest["samples"][k], "accuracy": accuracy, "hardware seconds": hardware}
        row["wall here"] = spread([r["wall"][k] for r in runs if k < len(r["wall"])])[0]
        out.append(
            {**row, "backprop here": time_to(back, accuracy[0]) if back and accuracy[0] > LEARNT * start else None}
        )
    return out


def duration(seconds: float | None) -> str:
    """A time for a table.

    >>> [duration(s) for s in (None, 2e-7, 1.02e-4, 0.02, 90.0, 8000.0, 1e6)]
    ['-', '200 ns', '100 us', '20 ms', '90 s', '2.2 h', '12 d']
    """
    if seconds is None:
        return "-"
    units = ((86400, "d"), (3600, "h"), (1, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
    size, unit = next((u for u in units if seconds >= (2 if u[0] > 1 else 1) * u[0]), units[-1])
    return f"{float(f'{seconds / size:.2g}'):g} {unit}"


def add(result: dict[str, Any], before: dict[str, Any], path: Path) -> None:
    """Take over the finished runs of an earlier file of the same recipe, data and length; those of backpropagation only
    if its recipe is the same, too."""
    for key in ("recipe", "data_sha256", "steps"):
        if before.get(key, result[key]) != result[key]:
            raise SystemExit(f"{path}: made with another {key}; give another folder (-o) or leave out --add")
    same = "backprop" in before and before["backprop recipe"] == result["backprop recipe"]
    for kind in ("runs", "backprop") if same else ("runs",):
        result[kind] = [run for run in before[kind] if run["status"] == "complete"]


def summarise(result: dict[str, Any]) -> None:
    """What the runs came to."""
    result["final"] = ended(result["runs"])
    result["table"] = table(result["runs"], result.get("backprop", []))
    if result.get("backprop"):
        result["backprop final"] = ended(result["backprop"])


def draw(result: dict[str, Any], path: Path) -> None:
    """Accuracy against samples' evaluations, wall time and hardware time."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for kind, colour in (("runs", "#0072b2"), ("backprop", "#d55e00")):
        for k, r in enumerate(result.get(kind, [])):
            label = {"runs": "MGD", "backprop": "backpropagation"}[kind] if k == 0 else None
            left.plot(r["evaluations"][1:], r["accuracy"][1:], ".-", color=colour, label=label, linewidth=1)
            right.plot(r["wall"][1:], r["accuracy"][1:], ".-", color=colour, linewidth=1)
    left.set_xlabel("evaluations of the network")
    loaded = any(r["loaded"] for r in result["runs"])
    right.set_xlabel(f"s, {result['machine']['threads']} thread(s){', loaded machine' * loaded}")
    left.set_ylabel("accuracy, whole test set")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.grid(alpha=0.3)
    left.legend(fontsize=8)
    figure.suptitle(f"{result['name']}, {result['data']}", fontsize=10)
    figure.savefig(path, dpi=110)


def show(result: dict[str, Any]) -> None:
    """The table, and what came out."""
    print("| steps | samples | accuracy | " + " | ".join(TIME_SCALES) + " | here | backpropagation here |")
    print("| ---: | ---: | --- | " + " | ".join("---" for _ in TIME_SCALES) + " | --- | --- |")
    for row in result["table"]:
        middle, low, high = (f"{100 * a:.1f}" for a in row["accuracy"])
        text = f"{middle} % ({low} to {high})" if len(result["runs"]) > 1 else f"{middle} %"
        times = " | ".join(duration(s) for s in row["hardware seconds"].values())
        here, back = duration(row["wall here"]), duration(row["backprop here"])
        print(f"| {row['steps']:.3g} | {row['samples']:.3g} | {text} | {times} | {here} | {back} |")
    for name in ("final", "backprop final"):
        if name in result:
            accuracy, wall = result[name]["accuracy"], result[name]["wall"]
            about = f"{wall[0]:.0f} s, seeds {result[name]['seeds']}, {result[name]['status']}"
            print(f"{name}: {[f'{100 * a:.2f} %' for a in accuracy]}, {about}")


def positive(kind: type, least: float) -> Callable[[str], Any]:
    """A reader of numbers, for argparse."""

    def read(text: str) -> Any:
        value = kind(text)
        if not (least <= value < float("inf")):
            raise argparse.ArgumentTypeError(f"{text}: must be at least {least:g}")
        return value

    read.__name__ = kind.__name__
    return read


def main() -> None:
    """Train, save, draw, print."""
    try:
        run()
    except (AnalogMGDError, OSError) as error:
        raise SystemExit(str(error)) from None


def run() -> None:
    """The same, with errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, metavar="RECIPE.toml")
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes", type=positive(float, 1e-3), metavar="M", help="of a run, instead of the recipe's run.steps"
    )
    length.add_argument("--steps", type=positive(int, 1000), metavar="N")
    length.add_argument("--paces", type=positive(int, 1), nargs="+", metavar="TAU_X")
    parser.add_argument("--seed", type=positive(int, 0), nargs="+", metavar="S", help="default: the recipe's run.seed")
    parser.add_argument("--threads", type=positive(int, 1), metavar="T")
    parser.add_argument("--add", action="store_true", help="keep the finished runs in the file of results")
    parser.add_argument("--compare", action="store_true", help="train by backpropagation, too")
    parser.add_argument("--data-dir", metavar="DIR", help="folder of the data set")
    parser.add_argument("--loaded", action="store_true", help="mark: other work runs on the machine")
    parser.add_argument("--note", default="", help="kept with the results")
    parser.add_argument("-o", type=Path, default=RESULTS, metavar="DIR", help="folder of the results")
    options = parser.parse_args()
    config = Config.from_toml(options.recipe.read_text())
    data = load_dataset(config.data["name"], data_dir=options.data_dir)
    threads, name = thread_count(options.threads), options.recipe.stem
    seeds = list(dict.fromkeys(options.seed or [config.run.seed]))
    if options.paces:
        for tau_x in options.paces:
            rule = config.rule.replace(tau_x=tau_x)
            rate = pace(replace(config, rule=rule), data, threads, time.process_time)
            print(f"tau_x {tau_x}: {rate:.4g} steps per second of a processor")
        return
    steps = options.steps or config.run.steps
    if options.minutes:
        steps = max(1000, round(60 * options.minutes * pace(config, data, threads)))
    path = options.o / f"cnn_{name}.json"
    result: dict[str, Any] = {
        "name": name, "machine": machine(threads), "data": data.source, "data_sha256": data.fingerprint(),
        "recipe": options.recipe.read_text(), "steps": steps, "runs": [],
    }  # fmt: skip
    against = options.recipe.with_name(f"{name.removesuffix('-hour')}-backprop.toml")
    result["backprop recipe"] = against.read_text() if against.exists() else None
    about = {"commit": result["machine"]["commit"], "threads": threads, "loaded": options.loaded, "note": options.note}
    if options.add and path.exists():
        add(result, json.loads(path.read_text()), path)
    options.o.mkdir(parents=True, exist_ok=True)

    def save() -> None:
        summarise(result)
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(result) + "\n")
        unfinished.replace(path)

    def train(kind: str, config: Config, steps: int) -> None:
        others = [r for r in result.get(kind, []) if r["status"] == "complete"]

        def keep(run: dict[str, Any]) -> None:
            result[kind] = sorted([*others, {**run, **about}], key=lambda r: int(r["seed"]))
            save()

        for seed in (s for s in seeds if s not in [r["seed"] for r in others]):
            run = trained(config, data, steps, seed, threads, keep)
            keep(run)
            others = result[kind]
            if run["status"] == "interrupted":
                raise SystemExit(130)

    train("runs", config, steps)
    if options.compare:
        other = Config.from_toml(against.read_text())
        train("backprop", other, other.run.steps)
    save()
    draw(result, options.o / f"cnn_{name}.png")
    show(result)


if __name__ == "__main__":
    main()
