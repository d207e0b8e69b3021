"""Puts finished studies into the documentation: figures and numbers into bench/results, a part of docs/studies.md.

    analogmgd study run all -o studies
    python bench/studies.py studies [--note TEXT]

Takes every study of the directory that is complete and not a short version; what earlier ones left in bench/results
stays. Each study's part has its question, the command, the figure, and its checks with their numbers.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from common import RESULTS, machine

from analogmgd.study import names
from analogmgd.study_pages import said

DOCS = Path(__file__).resolve().parent.parent / "docs" / "studies.md"
HEAD = "## Results\n"


def section(found: dict[str, Any]) -> str:
    """A study's part of the page."""
    parts = [f"### {found['title']}", found["asks"], f"    analogmgd study run {found['name']}"]
    parts.append(f"![{found['title']}](../bench/results/study_{found['name']}.png)")
    if found["claim"]:
        parts.append(f"Published: {found['claim']}")
    if found.get("shows"):
        parts.append(f"Found: {found['shows']}")
    if found["checks"]:
        parts.append("\n".join(f"- {said(check)}" for check in found["checks"]))
    edges = {p["title"]: [e for curve in p["curves"] for e in curve.get("edge", [])] for p in found["panels"]}
    if some := [f"{sum(at)} of {len(at)} points of {title!r}" for title, at in edges.items() if any(at)]:
        best = next(panel["best"] for panel in found["panels"] if panel["best"])
        text = f"The best {best} is the least or largest tried, so that a better one may lie beyond"
        parts.append(f"{text}, at {', '.join(some)}.")
    about = found["made"]
    parts.append(f"{found['note']} Made on {about['cpu']}, commit {about['commit']}.{about['note']}".strip())
    return "\n\n".join(parts)


def main() -> None:
    """Copy, and write the part of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--note", default="", metavar="TEXT", help="kept with these studies, such as: loaded machine")
    options = parser.parse_args()
    here = machine(1)
    about = {"cpu": here["cpu"], "commit": here["commit"], "note": f" {options.note}" if options.note else ""}
    for path in sorted(options.directory.glob("*/study.json")):
        found = json.loads(path.read_text())
        if found["status"] != "complete" or found["quick"]:
            print(f"left out: {path.parent.name} ({found['status']}{', short version' * found['quick']})")
            continue
        (RESULTS / f"study_{found['name']}.json").write_text(json.dumps({**found, "made": about}) + "\n")
        shutil.copy(path.parent / "figure.png", RESULTS / f"study_{found['name']}.png")
    there = [RESULTS / f"study_{name}.json" for name in names()]
    parts = [section(json.loads(path.read_text())) for path in there if path.exists()]
    left = [name for name, path in zip(names(), there, strict=True) if not path.exists()]
    text = DOCS.read_text()
    text = text[: text.index(HEAD)] if HEAD in text else text.rstrip() + "\n\n"
    more = f"\n\nNot run in full yet: {', '.join(left)}." if left else ""
    DOCS.write_text(f"{text}{HEAD}\n" + "\n\n".join(parts) + more + "\n")


if __name__ == "__main__":
    main()
