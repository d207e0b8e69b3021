"""The plot of a result: how many times faster than each peer, and than the same work done otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .workloads import GOALS, PEERS, PLAIN

COLOURS = {"jax": "#3b6fb6", "torch": "#d1603d", "numpy": "#6a9a4c"}
NAMES = {"jax": "JAX", "torch": "PyTorch", "numpy": "NumPy"}


def bars(result: dict[str, Any]) -> list[dict[str, Any]]:
    """What is drawn, top to bottom: {group, side, plain, ratio [median, least, largest], goal, disturbed}."""
    goals = {(goal.group, goal.other): goal.goal for goal in GOALS if goal.kind == "ratio"}
    found = []
    for name, group in result["groups"].items():
        for side in PEERS:
            for title in (side, f"{side} {PLAIN}"):
                cell, base = group["cells"].get(title, {}), group["cells"].get(group["base"], {})
                ratio = cell.get("ratio")
                if ratio:
                    work = "ensemble" if group["base"] == "codes" else group["base"]
                    found.append(
                        {
                            "group": name, "label": f"{group['network']}: {work}", "side": side,
                            "plain": title != side, "ratio": ratio, "goal": goals.get((name, title)),
                            "disturbed": bool(cell.get("disturbed") or base.get("disturbed")),
                        }
                    )  # fmt: skip
    return found


def draw(result: dict[str, Any], path: Path) -> None:
    """Horizontal bars on a logarithmic axis, a block for each group."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.ticker import FuncFormatter

    drawn = bars(result)
    places, labels, place, last = [], [], 0.0, None
    for bar in drawn:
        place += 1.0 if bar["group"] == last else 2.1
        if bar["group"] != last:
            labels.append((place - 0.95, bar["label"]))
        last = bar["group"]
        places.append(place)
    figure = Figure(figsize=(8, 0.24 * (place + 7)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    low = min([0.5, *(bar["ratio"][1] / 2 for bar in drawn)])
    high = max([*(bar["ratio"][2] for bar in drawn), *(bar["goal"] or 1 for bar in drawn)])
    for y, bar in zip(places, drawn, strict=True):
        middle, least, most = bar["ratio"]
        colour = COLOURS[bar["side"]]
        fill: dict[str, Any] = {"facecolor": "none", "hatch": "////"} if bar["plain"] else {"facecolor": colour}
        axes.barh(y, middle - low, left=low, height=0.82, edgecolor=colour, linewidth=0.8, **fill)
        axes.errorbar(middle, y, xerr=[[middle - least], [most - middle]], color="black", capsize=2, linewidth=1)
        axes.text(1.08 * most, y, f"{middle:.3g}{' (disturbed)' * bar['disturbed']}", va="center", fontsize=8)
        if bar["goal"]:
            axes.plot([bar["goal"]] * 2, [y - 0.5, y + 0.5], color="black", linewidth=2.5)
    for y, label in labels:
        axes.text(1.06 * low, y, label, va="center", fontsize=9, fontweight="bold")
    axes.axvline(1, color="0.4", linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlim(low, 3 * high)
    axes.set_ylim(place + 0.8, 0.6)
    axes.set_yticks([])
    axes.set_xlabel("chip-steps per second: analogmgd / peer")
    machine = result["machine"]
    threads = f"{machine['threads']} thread{'s' * (machine['threads'] > 1)}"
    axes.set_title(f"{machine['cpu']}, {threads}, single precision", fontsize=10)
    shown = [side for side in PEERS if any(bar["side"] == side for bar in drawn)]
    handles: list[Any] = [
        Patch(facecolor=COLOURS[side], label=f"{NAMES[side]}, {'usual' if result['quick'] else 'fastest'} variant")
        for side in shown
    ]
    if any(bar["plain"] for bar in drawn):
        label = "as first written, at its best width"
        handles.append(Patch(facecolor="none", edgecolor="0.3", hatch="////", label=label))
    if any(bar["goal"] for bar in drawn):
        handles.append(Line2D([], [], color="black", linewidth=2.5, label="goal"))
    figure.legend(handles=handles, fontsize=8, loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=150)
