"""Studies: sweeps with a question, each a TOML file of the package; a figure, a table and what they show.

A study file says

    title, asks, claim       texts; claim: what was published, with its source
    [sweeps.NAME]            source, targets, settings (dotted keys), vary (dotted keys and lists), with (keys that go
                             along with others), quick (the same keys, for a short version)
    [[panels]]               what is drawn and tabulated, see `study_curves.Panel`
    [[checks]]               what is read off and held against what is claimed, see `study_checks.Check`
    [numbers.NAME]           what is read off for the text, see `study_numbers.Number`
    shows                    what came out: a text in which {NAME} stands for a number and its interval

`run_study` carries out the sweeps (`analogmgd.sweep`, which goes on with what is there), and writes figure.png,
table.csv, study.json and study.md into a directory.
"""

from __future__ import annotations

import itertools
import json
import os
import string
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from .errors import ConfigError
from .settings import did_you_mean
from .study_checks import Check
from .study_curves import Panel
from .study_numbers import Number, in_words
from .sweep import Sweep
from .sweep_file import SweepFile
from .sweep_point import Target
from .vary import Points, flat, listed, tables

KEYS = {"title", "asks", "claim", "note", "shows", "numbers", "sweeps", "panels", "checks"}
# Chip-steps a second on two processors with 9 parameters, how it falls with them, seconds a point: a fit to whole
# studies on a busy machine, right to a factor of two.
PACE, FALL, A_POINT = 2e8, -0.65, 0.2
OF_SWEEP = {"source", "targets", "settings", "vary", "with", "quick"}


@dataclass(frozen=True)
class StudySweep:
    """One sweep of a study.

    settings : dotted key -> value, the same at all points; vary : dotted key -> values, all combinations
    along : dotted key -> {key that it goes along with: [values]}, one for each value of that key
    """

    name: str
    source: str
    targets: tuple[Target, ...]
    settings: Mapping[str, Any]
    vary: Mapping[str, list[Any]]
    along: Mapping[str, Mapping[str, list[Any]]]

    @property
    def points(self) -> Points:
        """All combinations, with what goes along."""
        found = []
        for values in itertools.product(*self.vary.values()):
            point = dict(zip(self.vary, values, strict=True))
            for key, others in self.along.items():
                ((leader, given),) = others.items()
                point[key] = given[self.vary[leader].index(point[leader])]
            found.append(point)
        return listed(found)

    def work(self) -> tuple[int, float]:
        """Chip-steps, and about how many seconds they take on two processors."""
        whole = self.sweep()
        sizes: dict[str, int] = {}  # of networks, by what is varied of them
        found = 0.0
        for n, point in enumerate(whole.points):
            key = json.dumps({k: v for k, v in point.items() if k.startswith("network.")})
            if key not in sizes:
                sizes[key] = whole.at(n)[0].chip.network.n_params
            found += A_POINT + whole.chip_steps / len(whole.points) / (PACE * (sizes[key] / 9) ** FALL)
        return whole.chip_steps, found

    def sweep(self) -> Sweep:
        """Ready to run; ConfigError where its settings cannot be."""
        from .cli.resolve import Source, overlay

        found, given = Source(self.source), tables(dict(self.settings))
        return Sweep(lambda changes: found.config(overlay(given, changes)), self.points, self.targets)


@dataclass(frozen=True)
class Study:
    """A study as its file describes it.

    >>> study = Study.load("neuron-spread")
    >>> study.title, sorted(study.sweeps(quick=True))
    ('Spread of the neurons', ['nist7x7', 'xor'])
    """

    name: str
    title: str
    asks: str
    claim: str
    note: str
    panels: tuple[Panel, ...]
    checks: tuple[Check, ...]
    shows: str
    numbers: Mapping[str, Number]
    raw: Mapping[str, Mapping[str, Any]] = field(repr=False)

    @classmethod
    def load(cls, name: str) -> Study:
        """One of the package's; ConfigError for an unknown name."""
        if name not in names():
            raise ConfigError(f"study {name!r}: unknown{did_you_mean(name, names())}; known: {', '.join(names())}")
        return cls.read(name, (folder() / f"{name}.toml").read_text(encoding="utf-8"))

    @classmethod
    def read(cls, name: str, text: str) -> Study:
        """From the text of a file."""
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"study {name!r}: {error}") from None
        unknown = set(table) - KEYS
        if unknown or not {"title", "asks", "sweeps", "panels"} <= set(table):
            raise ConfigError(f"study {name!r}: keys {', '.join(sorted(table))}: allowed are {', '.join(sorted(KEYS))}")
        for sweep, of in table["sweeps"].items():
            if set(of) - OF_SWEEP or "source" not in of:
                raise ConfigError(f"study {name!r}: sweeps.{sweep}: allowed are {', '.join(sorted(OF_SWEEP))}")
        panels = tuple(Panel.read(name, one, table["sweeps"]) for one in table["panels"])
        checks = tuple(Check.of_table(name, one, panels) for one in table.get("checks", ()))
        given = table.get("numbers", {})
        numbers = {k: Number.read(name, one, panels, f"numbers.{k}") for k, one in given.items()}
        shows = " ".join(table.get("shows", "").split())
        named = {part for _, part, _, _ in string.Formatter().parse(shows) if part is not None}
        if named != set(numbers):
            differ = ", ".join(sorted(named ^ set(numbers)))
            raise ConfigError(f"study {name!r}: shows and numbers do not name the same: {differ}")
        texts = (table["title"], table["asks"].strip(), table.get("claim", "").strip(), table.get("note", "").strip())
        return cls(name, *texts, panels, checks, shows, numbers, table["sweeps"])

    def sweeps(self, quick: bool = False) -> dict[str, StudySweep]:
        """Its sweeps by name; `quick`: their short versions."""
        found = {}
        for name, of in self.raw.items():
            short = of.get("quick", {}) if quick else {}
            settings = {**flat(of.get("settings", {})), **flat(short.get("settings", {}))}
            vary = {**flat(of.get("vary", {})), **flat(short.get("vary", {}))}
            along = {**of.get("with", {}), **short.get("with", {})}
            targets = tuple(Target.read(str(one)) for one in of.get("targets", ()))
            found[name] = StudySweep(name, of["source"], targets, settings, vary, along)
        return found

    def work(self, quick: bool = False) -> tuple[int, float]:
        """Chip-steps of all its sweeps, and about how many seconds they take on two processors, kernels compiled."""
        steps, seconds = zip(*(sweep.work() for sweep in self.sweeps(quick).values()), strict=True)
        return sum(steps), sum(seconds)


def folder() -> Any:
    """Where the package keeps them."""
    return resources.files("analogmgd") / "studies"


def names() -> list[str]:
    """All studies."""
    return sorted(path.name.removesuffix(".toml") for path in folder().iterdir() if path.name.endswith(".toml"))


Run = Callable[[str, Sweep, str], str]  # title, sweep, path of its file -> status


def run_study(
    name: str,
    directory: str | os.PathLike[str],
    *,
    quick: bool = False,
    threads: int | None = None,
    run: Run | None = None,
    results: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Carry out a study, or go on with it, and write its figure, table and text.

    name : of the package's studies, see `analogmgd study list`
    directory : made if it is not there; holds NAME.h5 of each sweep, figure.png, table.csv, study.json, study.md
    quick : the short version
    threads : default ANALOGMGD_THREADS, else all processors; results do not depend on it
    run : what carries out a sweep (for progress); default `Sweep.run`
    results : directory of what bench/cnn.py wrote, for `hardware-time`; default bench/results where it is there

    Returns what is in study.json, with `status`: "complete", "failed" (some points) or "interrupted". Raises
    ConfigError for an unknown name, and where the directory holds another version's sweeps.

    >>> found = run_study("optimisers", "optimisers", quick=True)
    >>> found["status"], sorted(found)
    ('complete', ['asks', 'checks', 'claim', 'name', 'note', 'panels', 'quick', 'shows', 'status', 'title'])
    """
    study, place = Study.load(name), Path(directory)
    if results is not None and not Path(results).is_dir():
        raise ConfigError(f"results {os.fspath(results)!r}: is not a directory")
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the directory {os.fspath(directory)!r}: {error.strerror}") from None
    run = run or (lambda title, sweep, path: sweep.run(path, threads))
    status = "complete"
    for part in study.sweeps(quick).values():
        how = run(f"{name}: {part.name}", part.sweep(), os.fspath(place / f"{part.name}.h5"))
        if how == "interrupted":
            return {"name": name, "status": how}
        status = how if how != "complete" else status
    return written(study, place, quick, status, Path(results) if results is not None else None)


def written(study: Study, place: Path, quick: bool, status: str, results: Path | None = None) -> dict[str, Any]:
    """Read the sweeps of a directory and write everything else of it."""
    from contextlib import ExitStack

    from .study_pages import write_pages

    with ExitStack() as stack:
        files = {name: stack.enter_context(SweepFile(os.fspath(place / f"{name}.h5"))) for name in study.raw}
        curves = [panel.curves(files, results) for panel in study.panels]
        there = [bool(some) or not panel.results for panel, some in zip(study.panels, curves, strict=True)]
        outcomes = [
            check.outcome(study.panels, curves, status == "failed") for check in study.checks if there[check.panel]
        ]
        shows = study.shows.format_map({k: in_words(n, curves) for k, n in study.numbers.items()})
    return write_pages(study, place, quick, status, curves, outcomes, shows)
