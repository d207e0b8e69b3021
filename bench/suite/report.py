"""What is said of a result: the table, the goals, the files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from analogmgd.cli.output import columns, duration, plain, si

from .workloads import GOALS, PEERS, Goal

MET = {"yes": "met", "at least": "met (least)", "no": "NOT met", "": "not judged"}


def evaluate(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Each goal with its figure: {row, what, goal, least, value, spread, met, disturbed}; value None: not measured.

    met : "yes", "at least" (the lesser figure), "no", or "" where there is nothing to judge.
    disturbed : the cells it rests on that were disturbed.
    """
    return [judge(goal, result) for goal in GOALS]


def judge(goal: Goal, result: dict[str, Any]) -> dict[str, Any]:
    """One goal."""
    what, value = figure_of(goal, result)
    met = ""
    for_others = goal.kind == "rate" and result["machine"]["threads"] != 2  # rates are stated for two threads
    if value is not None and not for_others:
        passed = value[0] <= goal.goal if goal.less else value[0] >= goal.goal
        lesser = goal.least is not None and value[0] >= goal.least
        met = "yes" if passed else "at least" if lesser else "no"
    return {
        "row": goal.row, "group": goal.group, "what": what, "kind": goal.kind,
        "goal": goal.goal, "least": goal.least, "less": goal.less,
        "value": value[0] if value else None, "spread": value[1:] if value else None, "met": met,
        "disturbed": disturbed_below(goal, result),
    }  # fmt: skip


def disturbed_below(goal: Goal, result: dict[str, Any]) -> list[str]:
    """The disturbed cells that a goal's figure comes from."""
    group = result["groups"].get(goal.group)
    if group is None:
        return []
    names = goal.other.split("/") if goal.kind == "even" else [group["base"], goal.other]
    return [name for name in names if group["cells"].get(name, {}).get("disturbed")]


def figure_of(goal: Goal, result: dict[str, Any]) -> tuple[str, list[float] | None]:
    """What a goal is about, in words, and its figure as median, least, largest."""
    group = result["groups"].get(goal.group, {"cells": {}, "base": ""})
    cells = group["cells"]
    base = cells.get(group["base"], {})
    if goal.kind == "rate":
        return "chip-steps/s", base.get("rate")
    if goal.kind == "roof":
        share = base.get("roof", {}).get("fraction")
        return "of the nearer roof", None if share is None else [share, share, share]
    if goal.kind == "startup":
        return "seconds", result["startup"].get(goal.other, {}).get("seconds")
    if goal.kind == "even":
        first, second = (cells.get(name, {}).get("rates", []) for name in goal.other.split("/"))
        from .rounds import spread

        pairs = [min(p / q, q / p) for p, q in zip(first, second, strict=False)]
        return "slower / faster", spread(pairs) if pairs else None
    peer, _, first = goal.other.partition(" ")
    what = f"x {peer}{', as first written' if first else usual(result)}" if peer in PEERS else goal.other
    if goal.other == "1 thread" and result["machine"]["threads"] == 1:
        return what, None  # nothing to compare
    return what, cells.get(goal.other, {}).get("ratio")


def number(value: float, kind: str) -> str:
    """A figure of a goal, for people."""
    if kind == "rate":
        return si(value)
    if kind == "roof":
        return f"{100 * value:.3g} %"
    return si(value, "s") if kind == "startup" else f"{value:.3g}"


def with_spread(values: Sequence[float] | None, kind: str) -> str:
    """Median [least, largest]."""
    if not values:
        return "-"
    middle, low, high = (number(v, kind) for v in values)
    return middle if low == high else f"{middle} [{low}, {high}]"


def goal_rows(goals: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The goals table."""
    rows: list[tuple[str, ...]] = []
    for goal in goals:
        if goal["value"] is None:
            continue
        sign = "<=" if goal["less"] else ">="
        wanted = f"{sign} {number(goal['goal'], goal['kind'])}"
        if goal["least"]:
            wanted += f" ({number(goal['least'], goal['kind'])})"
        figure = with_spread([goal["value"], *goal["spread"]], goal["kind"])
        verdict = MET[goal["met"]] + (" (disturbed)" if goal["disturbed"] else "")
        rows.append((goal["row"], goal["what"], figure, wanted, verdict))
    return rows


def cell_rows(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """A line for each cell: rate, the base's ratio to it, part of the roof."""
    rows: list[tuple[str, ...]] = []
    for name, group in result["groups"].items():
        for title, cell in group["cells"].items():
            label = name if title == group["base"] else ""
            shown = title + (usual(result) if title in PEERS else "")
            if "rate" not in cell:
                rows.append((label, shown, "-", "-", "-", cell.get("error", "")))
                continue
            roof = cell.get("roof")
            share = part_of(roof) if roof else ""
            times = "" if title == group["base"] else with_spread(cell["ratio"], "ratio")
            variant = cell.get("variant")
            about = share if roof else brief(variant) if variant else ""
            about += "; on one core only" if on_one_core(cell, result) else ""
            about += f" (disturbed: {cell['disturbed']})" if cell.get("disturbed") else ""
            rows.append((label, shown, str(cell["chips"]), with_spread(cell["rate"], "rate"), times, about))
    return rows


def part_of(roof: dict[str, Any]) -> str:
    """The part of the nearer roof, by slots and, where that is less, by bare operations.

    >>> part_of({"fraction": 0.3, "fraction_bare": 0.2, "nearer": "matrix product"})
    '30 % of matrix product (bare 20 %)'
    """
    bare = roof["fraction_bare"]
    less = f" (bare {100 * bare:.2g} %)" if bare < roof["fraction"] else ""
    return f"{100 * roof['fraction']:.2g} % of {roof['nearer']}{less}"


def on_one_core(cell: dict[str, Any], result: dict[str, Any]) -> bool:
    """Whether a peer's ensemble takes one core where ours has several."""
    return cell["side"] in PEERS and cell.get("threads") == 1 < result["machine"]["threads"] and cell["chips"] > 1


def usual(result: dict[str, Any]) -> str:
    """What a peer's variant is: the fastest that was found, or with --quick the usual one."""
    return ", usual variant" if result["quick"] else ", fastest"


def brief(variant: dict[str, Any]) -> str:
    """A variant in a few words.

    >>> brief({"form": "step", "chips": 128, "ahead": 16})
    'form step, chips 128, ahead 16'
    """
    return ", ".join(f"{key} {value}" for key, value in variant.items())


def check_rows(checks: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """A line for each check."""
    rows: list[tuple[str, ...]] = []
    for check in checks:
        if check["kind"] == "cost":
            a, b = check["medians"]
            text = f"cost after {check['steps']} steps, median {a:.4g} and {b:.4g}"
            text += f": Kolmogorov-Smirnov p = {check['p']:.2g}"
        else:
            text = f"mean G along the gradient {check['along']:.3f} +- {check['along_error']:.3f}"
            text += f", components p = {check['p']:.2g}"
        rows.append((check["group"], check["side"], text, "same" if check["ok"] else "DIFFERENT"))
    return rows


def startup_rows(startup: dict[str, Any]) -> list[tuple[str, ...]]:
    """A line for each command."""
    rows: list[tuple[str, ...]] = []
    for name, about in startup.items():
        needless = about.get("needless")
        first = ", ".join(f"{top} {took:.2f} s" for top, took in list(about.get("imports", {}).items())[:4])
        note = f"imports: {first}" + (f"; not needed: {', '.join(needless)}" if needless else "") if first else ""
        rows.append(
            (about["command"] + (" (cold)" if name == "cold" else ""), with_spread(about["seconds"], "startup"), note)
        )
    return rows


def text(result: dict[str, Any]) -> str:
    """The whole report for a terminal."""
    machine, roof = result["machine"], result["roof"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    load = f"; load average at the start {machine['load'][0]}" if machine.get("load") else ""
    used = f"{machine['threads']} of {machine['processors']} processors"
    parts = [f"{machine['cpu']}, {used}{load}; commit {machine['commit']}\n{versions}"]
    parts += [f"{name}: not installed ({module}), skipped" for name, module in result["missing"].items()]
    parts += [f"FAILED: {text}" for text in result["errors"]]
    if result["quick"]:
        parts.append("--quick: peers in the variant that is usually fastest; nothing is searched")
    if roof:
        parts.append(
            f"roof: matrix product {roof['flops_single'] / 1e9:.0f} GFLOP/s single, {roof['flops_double'] / 1e9:.0f} "
            f"double; {roof['l2_bandwidth'] / 1e9:.0f} GB/s in level-2 cache, {roof['l3_bandwidth'] / 1e9:.0f} in "
            "level 3, "
            f"{roof['memory_bandwidth'] / 1e9:.0f} in memory"
        )
    if result["groups"]:
        head = ("network", "work", "chips", "chip-steps/s", "base is x times", "of the roof; variant")
        parts.append(columns(head, cell_rows(result)))
    if result["startup"]:
        parts.append(columns(("start-up", "wall time", ""), startup_rows(result["startup"])))
    if result["checks"]:
        parts.append(columns(("same work", "side", "", ""), check_rows(result["checks"])))
    if any(on_one_core(cell, result) for group in result["groups"].values() for cell in group["cells"].values()):
        parts.append(
            f"on one core only: that variant runs no faster on {machine['threads']}, or cannot; a process on each core "
            "might come near to the rate times their number, which is not tried"
        )
    rows = goal_rows(evaluate(result))
    if rows:
        parts.append(columns(("goal", "", "figure", "wanted (at least)", ""), rows))
    ended = duration(result["seconds"]) if "seconds" in result else "interrupted: what was complete"
    parts.append(f"figures: median [least, largest] over rounds in turn; {ended}")
    return "\n\n".join(parts)


def save(result: dict[str, Any], folder: Path) -> list[Path]:
    """versus.json and, where there are ratios to draw, versus.png.

    Where the run was interrupted or a part of it failed: versus.partial.json and .png, never in place of a whole one.
    The figures are written first; they are there even where the plot fails (`errors` gets a line).
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = "versus" if result["complete"] else "versus.partial"
    written = [folder / f"{name}.json"]
    whole = {**result, "goals": evaluate(result)}
    text = json.dumps(plain(whole), indent=1, allow_nan=False) + "\n"
    replace(written[0], lambda path: path.write_text(text))
    from .figure import bars, draw

    if bars(result):
        try:
            replace(folder / f"{name}.png", lambda path: draw(result, path))
        except Exception as error:
            result["errors"].append(f"plot: {type(error).__name__}: {error}")
        else:
            written.append(folder / f"{name}.png")
    return written


def replace(path: Path, write: Callable[[Path], Any]) -> None:
    """Have a file written beside `path` and put in its place at once, or not at all."""
    beside = path.with_name(f".{path.stem}.new{path.suffix}")
    try:
        write(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
