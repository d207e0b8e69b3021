"""What is measured: cells (a side doing a piece of work), in groups whose cells take turns, and the goals.

Cells of a group are measured round-robin, so that what is compared is compared at the same time. A cell of ours is one
call of `am.train`; the cells of the peers do the group's first cell, the base, which is always ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PEERS = ("jax", "torch", "numpy")
PLAIN = "plain"  # of a peer: what one writes first, without the search for its fastest variant


@dataclass(frozen=True)
class Cell:
    """A run of ours: chips, and what differs from the group's rule (dotted keys as in a configuration)."""

    name: str
    chips: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    threads: int | None = None  # None: as many as the run has
    longer: float = 1.0  # a repetition takes so many times as long as the others
    quick: bool = False  # measured with --quick too (the base always is)
    why: str = ""


@dataclass(frozen=True)
class Group:
    """A network, a data set, a rule; the base cell first."""

    name: str
    sizes: tuple[int, ...]
    data: str
    cells: tuple[Cell, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    peers: tuple[str, ...] = ()
    check: bool = False  # whether the sides are checked to do the same, see `same`
    quick: bool = True

    @property
    def base(self) -> Cell:
        """What the peers do as well."""
        return self.cells[0]

    def setting(self, cell: Cell) -> dict[str, Any]:
        """All settings of a cell."""
        return {**self.settings, **cell.settings}


ANALOG = {"rule.mode": "analog", "rule.tau_x": 4, "rule.tau_hp": 0.6}  # the best high-pass there (docs/rule.md)
IMPERFECT = {
    "neuron.spread": 0.1, "converters.sigma_C": 1e-3, "converters.sigma_C_baseline": True,
    "device.sigma_theta": 1e-4, "device.amplitude_mismatch": 0.1,
}  # fmt: skip
TEN = {"rule.tau_theta": 10}
WINDOW = {"rule.tau_theta": 1000}
GLOROT = {"network.init": "glorot"}  # wide layers saturate if they start from +-0.5


def widths(*chips: int, quick: tuple[int, ...] = ()) -> tuple[Cell, ...]:
    """The same work with other numbers of chips."""
    return tuple(
        # the first steps of a block are few, so many blocks need a long run to show their pace
        Cell(f"{n} chip{'s' * (n > 1)}", n, longer=3 if n > 10_000 else 1, quick=n in quick, why="ensemble size")
        for n in chips
    )


ONE_THREAD = Cell("1 thread", 1024, threads=1, quick=True, why="scaling with threads")

GROUPS = (
    Group(
        "2-2-1", (2, 2, 1), "parity",
        (Cell("codes", 1024), ONE_THREAD, *widths(64, 256, 4096, 65536, quick=(256, 65536))),
        peers=PEERS, check=True,
    ),
    Group("2-2-1-one", (2, 2, 1), "parity", (Cell("one chip", 1),), peers=PEERS),
    Group(
        "49-4-4", (49, 4, 4), "nist7x7",
        (Cell("codes", 1024), ONE_THREAD, *widths(1, 64, 256, 4096, 65536, quick=(256, 65536))),
        peers=PEERS, check=True,
    ),
    Group(
        "49-4-4-rules", (49, 4, 4), "nist7x7",
        (
            Cell("codes", 512),
            Cell("sinusoid", 512, {"rule.perturbation": "sinusoid"}, quick=True, why="goal: within 2x of codes"),
            Cell("analog codes", 512, ANALOG, quick=True, why="goal: within 2x of codes"),
            Cell("analog sinusoid", 512, {**ANALOG, "rule.perturbation": "sinusoid"}, quick=True, why="same goal"),
            Cell("walsh", 512, {"rule.perturbation": "walsh"}, why="codes without random words"),
            Cell("gaussian", 512, {"rule.perturbation": "gaussian"}, why="a normal per parameter and step"),
            Cell("antithetic", 512, {"rule.baseline": "antithetic"}, why="both signs instead of a baseline"),
            Cell("tau_theta 1000", 512, WINDOW, why="G kept instead of written at once"),
            Cell("tau_x = tau_theta = 1000", 512, {**WINDOW, "rule.tau_x": 1000}, why="one evaluation a step"),
            Cell("double", 512, {"run.precision": "double"}, why="precision"),
        ),
    ),
    Group(
        "2-2-1-rules", (2, 2, 1), "parity",
        (
            Cell("codes", 1024),
            Cell("sinusoid", 1024, {"rule.perturbation": "sinusoid"}, quick=True, why="goal: within 2x of codes"),
            Cell("analog codes", 1024, ANALOG, quick=True, why="goal: within 2x of codes"),
            Cell("analog sinusoid", 1024, {**ANALOG, "rule.perturbation": "sinusoid"}, quick=True, why="same goal"),
            Cell("walsh", 1024, {"rule.perturbation": "walsh"}, why="codes without random words"),
            Cell("double", 1024, {"run.precision": "double"}, why="precision"),
        ),
    ),
    Group(
        "49-4-4-imperfect", (49, 4, 4), "nist7x7",
        (
            Cell("none, tau_theta 10", 512, TEN),
            Cell("all, tau_theta 10", 512, {**TEN, **IMPERFECT}, quick=True, why="goal: within 1.5x"),
            Cell("none, tau_theta 1", 512, why="to set beside the next"),
            Cell("all, tau_theta 1", 512, IMPERFECT, why="the update noise alone is a normal per parameter and step"),
        ),
    ),
    Group(
        "64-32-10", (64, 32, 10), "digits",
        (Cell("codes", 256), Cell("1 thread", 256, threads=1, why="scaling"), *widths(1, 64, 4096)),
        peers=PEERS, check=True,
    ),
    Group(
        "784-128-10", (784, 128, 10), "synthetic",
        (Cell("codes", 32), Cell("one chip", 1, why="no second chip to share a vector with")),
        GLOROT, peers=PEERS,
    ),
    Group(
        "64-32-10-window", (64, 32, 10), "digits", (Cell("one chip, tau_theta 1000", 1, WINDOW),),
        peers=("jax", "torch"), quick=False,
    ),
    Group(
        "784-1024-1024-10", (784, 1024, 1024, 10), "synthetic",
        (
            Cell("one chip, tau_theta 1000", 1, WINDOW),
            Cell("one chip, tau_theta 1", 1, why="nothing to share between steps: bound by memory"),
        ),
        GLOROT, peers=("jax", "torch"),
    ),
    Group(
        "recording", (49, 4, 4), "nist7x7",
        (
            Cell("nothing recorded", 256),
            Cell("cost and accuracy", 256, {"run.record": ("cost", "accuracy")}, why="as by default"),
            Cell("probe of one chip", 256, {"run.probe_chips": (0,)}, why="every step"),
        ),
        quick=False,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Goal:
    """A figure and what it should be.

    kind : "rate" of the group's base, chip-steps/s; "ratio" of the base to `other` (a peer or a cell); "even", the
        slower of two cells "a/b" to the faster; "roof", the base's fraction of it; "startup", seconds.
    goal : at least this (`less`: at most).
    """

    row: str
    group: str
    kind: str
    goal: float
    other: str = ""
    least: float | None = None  # the lesser figure that is still acceptable
    less: bool = False


def _faster(row: str, group: str, **least: float) -> tuple[Goal, ...]:
    """Against each peer as it would first be written, at its best width, and against its fastest variant."""
    return tuple(
        Goal(row, group, "ratio", times, title) for peer, times in least.items() for title in (f"{peer} {PLAIN}", peer)
    )


def _slowdown(row: str, group: str, most: float, *others: str) -> tuple[Goal, ...]:
    return tuple(Goal(row, group, "ratio", most, other, less=True) for other in others)


GOALS = (
    Goal("2-2-1 ensemble", "2-2-1", "rate", 200e6, least=150e6),
    *_faster("2-2-1 ensemble", "2-2-1", jax=50, torch=1000),
    Goal("49-4-4 ensemble", "49-4-4", "rate", 25e6, least=18e6),
    *_faster("49-4-4 ensemble", "49-4-4", jax=30),
    Goal("one 2-2-1 chip", "2-2-1-one", "rate", 5e6),
    *_faster("one 2-2-1 chip", "2-2-1-one", jax=8),
    *_faster("64-32-10 ensemble", "64-32-10", jax=10),
    *_faster("784-128-10 ensemble", "784-128-10", jax=10),
    *_faster("one chip 784-1024-1024-10, tau_theta 1000", "784-1024-1024-10", jax=5, torch=5),
    Goal("one chip 784-1024-1024-10, tau_theta 1000", "784-1024-1024-10", "roof", 0.25),
    *_slowdown("analog mode, sinusoids, 49-4-4", "49-4-4-rules", 2, "sinusoid", "analog codes", "analog sinusoid"),
    *_slowdown("analog mode, sinusoids, 2-2-1", "2-2-1-rules", 2, "sinusoid", "analog codes", "analog sinusoid"),
    *_slowdown("all imperfections, tau_theta 10", "49-4-4-imperfect", 1.5, "all, tau_theta 10"),
    Goal("threads 1 -> 2, 2-2-1", "2-2-1", "ratio", 1.8, "1 thread"),
    Goal("threads 1 -> 2, 49-4-4", "49-4-4", "ratio", 1.8, "1 thread"),
    Goal("chips 256 -> 65,536, 2-2-1", "2-2-1", "even", 0.9, "256 chips/65536 chips"),
    Goal("chips 256 -> 65,536, 49-4-4", "49-4-4", "even", 0.9, "256 chips/65536 chips"),
    Goal("`analogmgd train parity`, warm", "startup", "startup", 2, "warm", less=True),
    Goal("`analogmgd train parity`, cold", "startup", "startup", 20, "cold", less=True),
)
STARTUP = "startup"
NAMES = (*(group.name for group in GROUPS), STARTUP)


def group_named(name: str) -> Group:
    """The group of that name."""
    return next(group for group in GROUPS if group.name == name)
