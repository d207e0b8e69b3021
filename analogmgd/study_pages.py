"""What a study leaves in its directory beside its sweeps: figure.png, table.csv, study.json, study.md."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .study_curves import Curve, Panel
from .study_numbers import short, written

if TYPE_CHECKING:
    from .study import Study

HEAD = ("panel", "line", "x", "low", "middle", "high", "chips", "best", "edge")


def write_pages(
    study: Study,
    place: Path,
    quick: bool,
    status: str,
    curves: Sequence[Sequence[Curve]],
    outcomes: Sequence[dict[str, Any]],
    shows: str = "",
) -> dict[str, Any]:
    """Write all of it; what is in study.json. Panels of results are left out where there are none."""
    from .study_figures import draw_study

    sweeps = study.sweeps(quick)
    kept = [k for k, panel in enumerate(study.panels) if curves[k] or not panel.results]
    panels, curves = [study.panels[k] for k in kept], [curves[k] for k in kept]
    labels = [panel.label(sweeps[panel.sweep].targets if panel.sweep else ()) for panel in panels]
    draw_study(study.title, panels, curves, labels, place / "figure.png")
    found: dict[str, Any] = {
        "name": study.name, "title": study.title, "asks": study.asks, "claim": study.claim, "note": study.note,
        "shows": shows, "quick": quick, "status": status,
        "panels": [
            {"title": panel.title, "x": panel.x, "value": label, "lines": panel.lines, "best": panel.best,
             "curves": [curve.table for curve in some]}
            for panel, label, some in zip(panels, labels, curves, strict=True)
        ],
        "checks": list(outcomes),
    }  # fmt: skip
    (place / "study.json").write_text(json.dumps(finite(found), indent=1) + "\n")
    with open(place / "table.csv", "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(HEAD)
        for panel, some in zip(panels, curves, strict=True):
            out.writerows((panel.title, *row) for row in rows(some))
    (place / "study.md").write_text(text(study, quick, panels, curves, labels, outcomes, shows), encoding="utf-8")
    return found


def rows(curves: Sequence[Curve]) -> list[tuple[Any, ...]]:
    """line, x, low, middle, high, chips, best, and whether that is at the edge of those tried."""
    return [
        (c.label, *row)
        for c in curves
        for row in zip(
            c.x,
            c.low,
            c.middle,
            c.high,
            c.chips,
            (b if b is not None else "" for b in c.best),
            map(int, c.edge or [False] * len(c.x)),
            strict=True,
        )
    ]


def finite(value: Any) -> Any:
    """The same with null for what JSON has no number for."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def text(
    study: Study,
    quick: bool,
    panels: Sequence[Panel],
    curves: Sequence[Sequence[Curve]],
    labels: Sequence[str],
    outcomes: Sequence[dict[str, Any]],
    shows: str,
) -> str:
    """study.md."""
    parts = [f"# {study.title}", study.asks]
    parts.append(f"    analogmgd study run {study.name}{' --quick' if quick else ''}")
    parts.append(f"![{study.title}](figure.png)")
    if study.claim:
        parts.append(f"Published: {study.claim}")
    if shows:
        parts.append(f"Found: {shows}")
    if outcomes:
        parts.append("\n".join(f"- {said(one)}" for one in outcomes))
    if study.note:
        parts.append(study.note)
    for panel, some, label in zip(panels, curves, labels, strict=True):
        parts.append(table(panel, some, label))
    return "\n\n".join(parts) + "\n"


def said(outcome: dict[str, Any]) -> str:
    """A check as a sentence."""
    low, high = (None if v is None or math.isinf(v) else short(v) for v in outcome["expect"])  # JSON has no infinities
    between = f"{low} to {high}" if low and high else f"at most {high}" if high else f"at least {low}"
    number = written([outcome[name] for name in ("low", "value", "high")])
    return (
        f"{outcome['says']} **{outcome['verdict'].capitalize()}**: {outcome['what']} is {number}, expected {between}."
    )


def table(panel: Panel, curves: Sequence[Curve], label: str) -> str:
    """A panel as a table: a row for each x, a column for each line."""
    several = bool(panel.lines) or len(curves) > 1
    keys = f"{', '.join(panel.line_keys)} = " if panel.lines else ""
    head = [panel.x or "", *(keys + c.label if several else label for c in curves)]
    lines = [f"{panel.title}: {label}" if several else panel.title, ""]
    lines += ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in across([vars(c) for c in curves], panel.best)]
    return "\n".join(lines)


def across(curves: Sequence[Mapping[str, Any]], best: str | None) -> list[list[str]]:
    """A row for each x, with a cell for each line, as `Curve` or study.json have them."""
    xs = dict.fromkeys(x for curve in curves for x in curve["x"])
    return [
        [short(x), *(cell(curve, curve["x"].index(x), best) if x in curve["x"] else "" for curve in curves)] for x in xs
    ]


def cell(curve: Mapping[str, Any], k: int, best: str | None) -> str:
    """Middle, interval, and the best value of a key, which may be at the edge of those tried."""
    low, middle, high = (short(math.nan if curve[n][k] is None else curve[n][k]) for n in ("low", "middle", "high"))
    edge = ", the edge of those tried" if curve.get("edge") and curve["edge"][k] else ""
    return f"{middle} [{low}, {high}]" + (f" ({best} {short(curve['best'][k])}{edge})" if best else "")
