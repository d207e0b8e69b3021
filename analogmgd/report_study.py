"""A study's directory as a section of a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import ConfigError
from .report_page import Figure, Folded, Heading, Paragraph, Part, Section, Table
from .study_pages import across, said
from .sweep_file import SweepFile
from .trace_open import one_line


def of_study(folder: Path) -> Section:
    """What `analogmgd study run` left in a directory: question, figure, verdicts, tables, configurations.

    Raises ConfigError where there is no study in it.
    """
    try:
        found = json.loads((folder / "study.json").read_text(encoding="utf-8"))
        picture = (folder / "figure.png").read_bytes()
        return Section(found["title"], f"study {found['name']}{', short version' * found['quick']}, {found['status']}",
                       parts(folder, found, picture))  # fmt: skip
    except FileNotFoundError as error:
        raise ConfigError(
            f"{str(folder)!r} is a directory without a study: {Path(error.filename).name} is missing"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{str(folder)!r}: its study.json or figure.png cannot be read: {one_line(error)}") from None


def parts(folder: Path, found: dict[str, Any], picture: bytes) -> list[Part]:
    """Everything below the title."""
    out: list[Part] = [Paragraph(found["asks"])]
    if found["claim"]:
        out.append(Paragraph(f"Published: {found['claim']}"))
    if found.get("shows"):
        out.append(Paragraph(f"Found: {found['shows']}"))
    shown = ", ".join(panel["title"] for panel in found["panels"])
    caption = "Middles with 95 % intervals; a cross at the edge where a middle is not known."
    out.append(Figure(picture, f"{found['title']}: {shown}", caption))
    if found["checks"]:
        rows = [[check["verdict"], said(check).replace("**", "")] for check in found["checks"]]
        out.append(Table(["verdict", "of what"], rows, "What was found, beside what was expected"))
    if found["note"]:
        out.append(Paragraph(found["note"]))
    out.append(Heading("Numbers"))
    out += [panel_table(panel) for panel in found["panels"]]
    for path in sorted(folder.glob("*.h5")):
        with SweepFile(str(path)) as sweep:
            axes = "; ".join(f"{axis.key}: {len(set(map(str, axis.values)))} values" for axis in sweep.points.axes)
            out.append(Folded(f"{path.name}, configuration of the first point ({axes})", sweep.config))
    return out


def panel_table(panel: dict[str, Any]) -> Table:
    """A row for each x, a column for each line."""
    curves = panel["curves"]
    head = [panel["x"] or "", *(curve["label"] or panel["value"] for curve in curves)]
    return Table(head, across(curves, panel["best"]), f"{panel['title']}: {panel['value']}")
