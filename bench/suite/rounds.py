"""A group's cells in turns, and what comes of it: rates, ratios, spreads."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from .crew import Crew, WorkerError
from .workloads import PLAIN, Group

SECONDS = {True: 0.3, False: 1.5}  # of a repetition, with --quick and without
REPEATS = {True: 3, False: 5}
STEADY = 1.5  # a cell whose rates differ by more, between rounds or from the one expected, was disturbed


def spread(values: Sequence[float]) -> list[float]:
    """Median, least and largest.

    >>> spread([3.0, 1.0, 2.0, 10.0])
    [2.5, 1.0, 10.0]
    """
    ordered = sorted(values)
    n = len(ordered)
    return [(ordered[(n - 1) // 2] + ordered[n // 2]) / 2, ordered[0], ordered[-1]]


def measure(
    crew: Crew, group: Group, peers: Sequence[str], quick: bool, say: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Rates of a group's cells, by name: the cells of ours, then the peers' ("jax", "jax plain").

    Each has side, chips, steps, variant, expected (its rate when steps were chosen), rates and load (one a round: the
    system's load average before it), and why it is disturbed, if it is; a side that failed has error instead. The
    peers' have tried and note as well, see `search`. Where rounds of a cell differ too much, all cells of the group
    are measured once more, and the rates of before are kept as `earlier`.
    """
    cells = [cell.name for cell in group.cells if cell.quick or not quick or cell is group.base]
    found: dict[str, dict[str, Any]] = {}
    turns: list[tuple[str, str, str]] = []
    for side in ("ours", *(peer for peer in group.peers if peer in peers)):
        say(f"{group.name}: {side}, compiling and choosing variants" if side != "ours" else f"{group.name}: compiling")
        names = cells if side == "ours" else ["best"] if quick else ["best", PLAIN]
        try:
            answer = crew[side].ask("prepare", group=group.name, cells=names, seconds=SECONDS[quick], quick=quick)
        except WorkerError as error:
            found[side] = {"side": side, "error": str(error)}
            continue
        for name, about in answer["cells"].items():
            title = name if side == "ours" else side if name == "best" else f"{side} {PLAIN}"
            found[title] = {"side": side, **about, "rates": [], "load": []}
            turns.append((title, side, name))
        if side != "ours":
            found[side] |= {"tried": answer["tried"], "note": answer["note"]}
    take_turns(crew, group, turns, found, quick, say)
    if not quick and any(uneven(cell.get("rates", ())) for cell in found.values()):
        for title, _, _ in turns:
            found[title] |= {"earlier": found[title]["rates"], "rates": [], "load": []}
        take_turns(crew, group, turns, found, quick, say)
    for cell in found.values():
        if cell.get("rates"):
            cell["rate"] = spread(cell["rates"])
            cell["disturbed"] = disturbed(cell)
    return found


def take_turns(
    crew: Crew, group: Group, turns: list[tuple[str, str, str]], found: dict[str, dict[str, Any]], quick: bool,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Rounds of (title, side, name of the cell there); a cell that fails takes part no more."""
    for turn in range(REPEATS[quick]):
        for title, side, name in list(turns):
            say(f"{group.name}: {title}, round {turn + 1} of {REPEATS[quick]}")
            load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
            try:
                took = crew[side].ask("time", cell=name)
            except WorkerError as error:
                found[title] = {"side": side, "error": str(error), "earlier": found[title]["rates"]}
                turns.remove((title, side, name))
                continue
            found[title]["rates"].append(took["chip_steps"] / took["seconds"])
            found[title]["load"].append(load)


def uneven(rates: Sequence[float]) -> bool:
    """Whether rounds differ more than the work itself explains."""
    return bool(rates) and max(rates) > STEADY * min(rates)


def disturbed(cell: dict[str, Any]) -> str:
    """Why a cell's rate is not to be relied on, or nothing.

    >>> disturbed({"rates": [1.0, 1.1, 1.2]})
    ''
    >>> disturbed({"rates": [1.0, 1.0, 0.5, 1.0]})
    'rounds differ by 2 x'
    >>> disturbed({"rates": [1.0, 1.1, 1.0], "expected": 2.5})
    'median 0.4 x the rate its steps were chosen with'
    """
    rates = cell["rates"]
    if uneven(rates):
        return f"rounds differ by {max(rates) / min(rates):.3g} x"
    share = spread(rates)[0] / cell.get("expected", spread(rates)[0])
    if not 1 / STEADY <= share <= STEADY:
        return f"median {share:.2g} x the rate its steps were chosen with"
    return ""


def ratio(cells: dict[str, dict[str, Any]], a: str, b: str) -> list[float] | None:
    """Rate of a over rate of b, turn by turn: median, least, largest; None where one is not there."""
    first, second = (cells.get(name, {}).get("rates", []) for name in (a, b))
    pairs = [p / q for p, q in zip(first, second, strict=False)]
    return spread(pairs) if pairs else None
