"""A group's cells in turns, and what comes of it: rates, ratios, spreads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .crew import Crew, WorkerError
from .workloads import PLAIN, Group

SECONDS = {True: 0.3, False: 1.5}  # of a repetition, with --quick and without
REPEATS = {True: 3, False: 5}
STEADY = 1.5  # largest rate of a cell's rounds over the least


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

    Each has side, chips, steps, variant, rates (one a round); a side that failed has error instead. The peers' have
    tried and note as well, see `search`.
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
            found[title] = {"side": side, **about, "rates": []}
            turns.append((title, side, name))
        if side != "ours":
            found[side] |= {"tried": answer["tried"], "note": answer["note"]}
    rounds = REPEATS[quick]
    turn = 0
    while turn < rounds:
        for title, side, name in list(turns):
            say(f"{group.name}: {title}, round {turn + 1} of {rounds}")
            try:
                took = crew[side].ask("time", cell=name)
            except WorkerError as error:
                found[title] = {"side": side, "error": str(error)}
                turns.remove((title, side, name))
                continue
            found[title]["rates"].append(took["chip_steps"] / took["seconds"])
        turn += 1
        if turn == REPEATS[quick] and not quick and any(disturbed(cell) for cell in found.values()):
            rounds *= 2  # something else ran on this machine: once more
    for cell in found.values():
        if cell.get("rates"):
            cell["rate"] = spread(cell["rates"])
            cell["disturbed"] = disturbed(cell)
    return found


def disturbed(cell: dict[str, Any]) -> bool:
    """Whether a cell's rounds differ more than the work itself explains.

    >>> disturbed({"rates": [1.0, 1.1, 1.2]}), disturbed({"rates": [1.0, 1.0, 0.5, 1.0]}), disturbed({"error": "no"})
    (False, True, False)
    """
    rates = cell.get("rates")
    return bool(rates) and max(rates) > STEADY * min(rates)


def ratio(cells: dict[str, dict[str, Any]], a: str, b: str) -> list[float] | None:
    """Rate of a over rate of b, turn by turn: median, least, largest; None where one is not there."""
    first, second = (cells.get(name, {}).get("rates", []) for name in (a, b))
    pairs = [p / q for p, q in zip(first, second, strict=False)]
    return spread(pairs) if pairs else None
