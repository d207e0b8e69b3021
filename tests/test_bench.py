"""The benchmark's machinery: workloads, workers, report. No figure of speed is judged here."""

import json
import multiprocessing
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from typing import ClassVar

import numpy as np
import psutil
import pytest
from bench_sides import along_after_windows, learnt, memory
from cli_help import RUN, call, refusal, strict

from analogmgd import MGD, Network, gradient, load_dataset
from analogmgd.bench import figure, report, rounds, run, same, search, startup, work, worker
from analogmgd.bench.crew import Crew, Missing, WorkerError
from analogmgd.bench.ours import config_of, data_of, problem_of
from analogmgd.bench.workloads import GOALS, GROUPS, NAMES, PEERS, PLAIN, STARTUP, Cell, Group, group_named

ALL = [(group, cell) for group in GROUPS for cell in group.cells]
TINY = Group("tiny", (2, 2, 1), "parity", (Cell("codes", 16),), peers=("numpy",))


@pytest.mark.parametrize(("group", "cell"), ALL, ids=[f"{g.name}:{c.name}" for g, c in ALL])
def test_every_cell_is_a_configuration(group, cell):
    config = config_of(group, cell, 7)
    assert config.run.steps == 7
    assert config.run.chips == cell.chips
    assert config.chip.network.n_in == data_of(group).n_in
    assert config.chip.network.n_out == data_of(group).n_out


def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES)
    for group in GROUPS:
        names = [cell.name for cell in group.cells]
        assert len(set(names)) == len(names)
        assert not set(names) & {*PEERS, "ours"}


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: f"{goal.row} {goal.kind} {goal.other}")
def test_every_goal_has_its_workload(goal):
    """Also with --quick: one short run answers every goal, but those beside peers as first written."""
    if goal.kind == "startup":
        assert goal.group == STARTUP
        assert goal.other in ("cold", *startup.COMMANDS)
        return
    group = group_named(goal.group)
    assert group.quick
    peer = goal.other.removesuffix(f" {PLAIN}")
    if goal.kind == "ratio" and peer in PEERS:
        assert peer in group.peers
    elif goal.kind in ("ratio", "even"):
        cells = {cell.name: cell for cell in group.cells}
        assert all(cells[name].quick for name in goal.other.split("/"))
    if goal.least is not None:
        assert goal.least < goal.goal
    assert group.check == (group.name in same.LEARN)


def evaluations_counted(rule, steps=3000):
    """By going through the steps."""
    count = 0
    for n in range(steps):
        count += 1 if n % rule.tau_x == 0 or n % int(rule.tau_theta) == 0 else 0
        count += 1
    return count / steps


@pytest.mark.parametrize("times", [(1, 1), (1, 1000), (1000, 1), (1000, 1000), (4, 10), (3, 7)])
def test_evaluations_a_step(times):
    rule = MGD(tau_x=times[0], tau_theta=times[1])
    assert work.evaluations(rule) == pytest.approx(evaluations_counted(rule), rel=2e-3)


def test_work_of_a_step():
    roof = {
        "threads": 2, "flops_single": 1e11, "flops_double": 5e10, "l2_bandwidth": 1e11, "l3_bandwidth": 5e10,
        "memory_bandwidth": 2e10, "l1_bytes": 32768, "l2_bytes": 1 << 20, "l3_bytes": 12 << 20,
    }  # fmt: skip
    assert work.operations(MGD(), 9) == 6 * 9
    assert work.operations(MGD(mode="analog", tau_x=4), 9) == 4 * 9
    assert work.operations(MGD(baseline="antithetic"), 9) == 6 * 9
    found = work.fraction(1e8, MGD(), 9, 4, roof, 1)  # 54 operations; half of the machine
    assert found["nearer"] == "matrix product"
    assert found["fraction"] == pytest.approx(1e8 * 54 / 5e10)
    assert found["fraction_bare"] == pytest.approx(1e8 * 36 / 5e10)
    signs = (MGD(perturbation="walsh"), 4), (MGD(baseline="antithetic"), 4), (MGD(tau_x=10, tau_theta=10), 2.2)
    for rule, bare in (*signs, (MGD(perturbation="gaussian"), 6), (MGD(mode="analog", tau_x=4), 4)):
        assert work.bare_operations(rule, 9) == pytest.approx(9 * bare), rule
    large = work.fraction(1000, MGD(), 2_000_000, 4, roof, 2)  # 16 MB a step from memory: 0.8 ms; 12 MFLOP: 0.12 ms
    assert large["nearer"] == "memory"
    assert work.fraction(1000, MGD(), 1_000_000, 4, roof, 2)["nearer"] == "level-3 cache"
    assert large["fraction"] == large["fraction_bare"] == pytest.approx(1000 * 16e6 / 2e10)
    long = work.fraction(1000, MGD(tau_theta=1000), 2_000_000, 4, roof, 2)
    assert long["nearer"] == "matrix product"
    assert work.fraction(1000, MGD(), 100_000, 4, roof, 2)["nearer"] == "level-2 cache"


def test_gradient_of_the_check():
    """The peers' own backpropagation is this package's."""
    problem = problem_of(group_named("49-4-4"))
    theta = problem.start(1, 3)[0]
    wanted = gradient(Network.mlp([49, 4, 4]), load_dataset("nist7x7"), theta)
    np.testing.assert_allclose(same.true_gradient(problem, theta), wanted, rtol=1e-10, atol=1e-14)


def fake(rate, **more):
    rates = [rate, 0.9 * rate, 1.1 * rate]
    return {"side": "ours", "chips": 8, "steps": 9, "rates": rates, "rate": rounds.spread(rates), **more}


@pytest.fixture
def result():
    """A result with made-up figures."""
    cells = {
        "codes": fake(1.6e8, roof={"fraction": 0.3, "fraction_bare": 0.2, "nearer": "matrix product"}),
        "256 chips": fake(1.6e8), "65536 chips": fake(1.5e8),
        "jax": fake(2e6, side="jax", variant={"form": "step"}, tried=[], note=""),
        "jax plain": fake(1e6, side="jax", variant={"form": "chip"}),
        "torch": {"side": "torch", "error": "torch: out of memory"},
    }  # fmt: skip
    cells["256 chips"]["disturbed"] = "rounds differ by 2 x"
    for name, cell in cells.items():
        cell["ratio"] = rounds.ratio(cells, "codes", name)
    return {
        "complete": True, "seconds": 3.0, "quick": True, "errors": ["startup: no"],
        "missing": {"numpy": "numpy"}, "versions": {"jax": "1.0"},
        "machine": {"cpu": "abacus", "threads": 2, "processors": 2, "commit": None},
        "roof": {"flops_single": 1e11, "flops_double": 5e10, "l2_bandwidth": 1e11, "l3_bandwidth": 5e10,
                 "memory_bandwidth": 2e10},
        "groups": {"2-2-1": {"network": "2-2-1", "data": "parity", "base": "codes", "cells": cells}},
        "checks": [
            {"group": "2-2-1", "side": "jax", "kind": "cost", "steps": 5, "medians": [0.1, 0.1], "p": 0.4, "ok": True},
            {"group": "2-2-1", "side": "jax", "kind": "gradient", "along": 1.4, "along_error": 0.01, "p": 0.0,
             "ok": False},
        ],
        "startup": {"warm": {"command": "analogmgd train", "seconds": [1.0, 0.9, 1.2], "imports": {"numba": 0.3},
                             "needless": ["scipy"]}},
    }  # fmt: skip


def test_goals_are_judged(result):
    goals = {(g["row"], g["what"]): g for g in report.evaluate(result) if g["group"] in ("2-2-1", STARTUP)}
    ensemble = goals["2-2-1 ensemble", "chip-steps/s"]
    assert ensemble["met"] == "at least"  # 160 M of 200 M, 150 M at the least
    assert ensemble["value"] == 1.6e8
    assert goals["2-2-1 ensemble", "x jax, usual variant"]["met"] == "yes"
    assert goals["2-2-1 ensemble", "x jax, usual variant"]["value"] == pytest.approx(80)
    assert goals["2-2-1 ensemble", "x jax, as first written"]["value"] == pytest.approx(160)
    assert goals["2-2-1 ensemble", "x torch, usual variant"]["value"] is None
    assert goals["chips 256 -> 65,536, 2-2-1", "slower / faster"]["value"] == pytest.approx(15 / 16)
    assert goals["`analogmgd train parity`, warm", "seconds"]["met"] == "yes"
    assert goals["`analogmgd train parity`, cold", "seconds"]["met"] == ""
    result["groups"]["2-2-1"]["cells"]["codes"]["rate"] = [1.4e8, 1.3e8, 1.5e8]
    assert next(g for g in report.evaluate(result) if g["kind"] == "rate")["met"] == "no"


def test_goals_that_rest_on_disturbed_cells(result):
    for goal in report.evaluate(result):
        rests = goal["group"] == "2-2-1" and goal["kind"] == "even"
        assert goal["disturbed"] == (["256 chips"] if rests else []), goal
    result["groups"]["2-2-1"]["cells"]["jax"]["disturbed"] = "x"
    marked = [(g["kind"], g["what"]) for g in report.evaluate(result) if g["disturbed"]]
    assert marked == [("ratio", "x jax, usual variant"), ("even", "slower / faster")]
    assert [bar["disturbed"] for bar in figure.bars(result)] == [True, False]
    assert sum(row[-1].endswith("(disturbed)") for row in report.goal_rows(report.evaluate(result))) == 2
    result["groups"]["2-2-1"]["cells"]["codes"]["disturbed"] = "x"
    assert all(g["disturbed"] for g in report.evaluate(result) if g["group"] == "2-2-1" and g["kind"] != "startup")


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_rates_are_judged_on_two_threads(result, threads):
    result["machine"]["threads"] = threads
    rate = next(g for g in report.evaluate(result) if g["kind"] == "rate")
    assert rate["value"] == 1.6e8
    assert rate["met"] == ("at least" if threads == 2 else "")
    assert ("not judged" in report.text(result)) == (threads != 2)


def test_variants_are_called_what_they_are(result):
    for quick, word, other in ((True, "usual variant", "fastest"), (False, "fastest", "usual variant")):
        result["quick"] = quick
        shown = [row[1] for row in report.cell_rows(result)]
        assert f"jax, {word}" in shown
        assert "jax plain" in shown
        assert f"jax, {other}" not in shown


def test_report(result, tmp_path):
    text = report.text(result)
    assert " 80 " in text
    for words in ("numpy: not installed", "30 % of matrix product (bare 20 %)", "out of memory", "DIFFERENT",
                  "met (least)", "not needed: scipy", "form chip"):  # fmt: skip
        assert words in text, (words, text)
    written = report.save(result, tmp_path / "new")
    assert [path.name for path in written] == ["versus.json", "versus.png"]
    assert report.save({**result, "complete": False}, tmp_path / "new")[0].name == "versus.partial.json"
    kept = strict(written[0].read_text())
    assert kept["complete"]
    assert len(kept["goals"]) == len(GOALS)
    assert kept["groups"]["2-2-1"]["cells"]["jax"]["rates"] == result["groups"]["2-2-1"]["cells"]["jax"]["rates"]
    assert written[1].read_bytes()[:4] == b"\x89PNG"
    drawn = figure.bars(result)
    assert [(bar["side"], bar["plain"], bar["goal"]) for bar in drawn] == [("jax", False, 50), ("jax", True, 50)]


class FakePeer:
    """Searches from variant "plain" through the given rounds; needs as many bytes as `need` says."""

    def __init__(self, *changes, need=lambda variant: 0, **start):
        self.changes, self.need, self.start = list(changes), need, {"name": "start", **start}

    def searches(self, problem, one):
        return {"name": "plain", "chips": 1}, self.start, self.changes, {"name": "b"}

    def memory(self, problem, variant):
        return self.need(variant)


def test_search_takes_the_fastest_and_notes_failures():
    speeds = {"plain": 1.0, "start": 2.0, "a": 3.0, "b": 2.5, "ab": 5.0}
    peer = FakePeer([{"name": "a"}, {"name": "b"}], [{"name": "broken"}], [{"name": "ab"}])

    def ready(problem, variant):
        if variant["name"] == "broken":
            raise ValueError("cannot")
        return variant["name"], speeds[variant["name"]]

    found = search.search(peer, None, True, False, ready)
    assert found.variant["name"] == "ab"
    assert (found.best, found.plain) == (("ab", 5.0), ("plain", 1.0))
    assert "cannot" in found.note
    quick = search.search(peer, None, True, True, ready)
    assert (quick.variant["name"], quick.plain) == ("b", None)


@pytest.mark.parametrize(("best", "wanted"), [(1, 1), (64, 64), (1 << 12, 1 << 12), (1 << 30, search.WIDEST)])
def test_search_climbs_to_the_best_number_of_chips(best, wanted):
    """Wherever the grid ends; the plain variant has its own best, a sixteenth of that."""

    def ready(problem, variant):
        top, factor = (best / 16, 1) if variant["name"] == "plain" else (best, 1000)
        return variant, factor / (1 + abs(np.log2(variant["chips"] / top)))

    found = search.search(FakePeer([{"chips": 8}]), None, False, False, ready)
    assert found.variant["chips"] == wanted
    assert found.plain[0]["chips"] == min(search.WIDEST, max(1, best // 16))
    variants = [json.dumps(row["variant"]) for row in found.tried]
    assert len(variants) == len(set(variants))  # none twice


@pytest.mark.parametrize(("best", "wanted"), [(1, 1), (40, 40), (1000, 1000)])
def test_search_climbs_to_the_best_group(best, wanted):
    problem = problem_of(group_named("2-2-1-one"), tau_theta=1000)
    found = search.search(
        FakePeer([{"group": 10}], group=4), problem, True, False,
        lambda problem, variant: (variant, 1 / (1 + abs(np.log(variant.get("group", 1e9) / best)))),
    )  # fmt: skip
    assert found.variant["group"] == wanted


def test_search_refuses_what_does_not_fit():
    limit = psutil.virtual_memory().available
    peer = FakePeer([{"chips": 8}], need=lambda variant: limit * (variant["chips"] > 32))
    found = search.search(peer, None, False, False, lambda problem, variant: (variant, variant["chips"]))
    assert found.variant["chips"] == 32
    assert "GB are free" in found.note


@pytest.mark.parametrize("side", ["jax", "torch", "numpy"])
def test_peers_say_how_much_memory_they_need(elsewhere, side):
    """At least for the signs of a group, or of the steps that are drawn in one go as real numbers."""
    need(side)
    variants = [{"form": "first", "chips": 4, "ahead": 10}]
    if side == "jax":
        variants = [{"form": "step", "chips": 4, "ahead": 10}, {"form": "window", "chips": 1, "group": 100}]
    elif side == "torch":
        variants.append({"form": "window", "chips": 1, "group": 100, "ahead": 1})
    for variant in variants:
        least = 4 * 224 * (variant["chips"] * 10 if side != "jax" else 1) if "group" not in variant else 4 * 224 * 100
        assert elsewhere(memory, side, "49-4-4", variant) > least


@pytest.mark.parametrize("side", ["jax", "torch"])
def test_groups_have_to_make_up_the_window(elsewhere, side):
    """Or steps would be counted that are not done."""
    need(side)
    with pytest.raises(ValueError, match="group=3 does not divide tau_theta=1000"):
        elsewhere(along_after_windows, side, {"group": 3, "signs": "packed" if side == "jax" else "table"}, 1)


def test_a_variant_counts_by_its_best_timing():
    class Job:
        chips, left = 2, [1.0, 4.0, 0.5]  # seconds

        def run(self, steps):
            self.seconds = self.left.pop(0)
            return 10

    assert worker.best_rate(Job(), 0.1) == 10 * 2 / 0.5


def test_one_core_against_several_is_said(result):
    cells = result["groups"]["2-2-1"]["cells"]
    said = "on one core only"
    assert said not in report.text(result)
    cells["jax"]["threads"] = 1
    assert report.text(result).count(said) == 2  # the cell, and what it means
    assert said in {row[1]: row[-1] for row in report.cell_rows(result)}["jax, usual variant"]
    result["machine"]["threads"] = 1
    assert said not in report.text(result)


@pytest.fixture(scope="module")
def elsewhere():
    """Calls a function in another process: JAX starts threads, and other tests fork."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result()


def need(side):
    """Skip where a side is not installed, without importing it."""
    if side in ("jax", "torch") and find_spec(side) is None:
        pytest.skip(f"{side} is not installed")


@pytest.mark.parametrize(("side", "changes"), [
    ("ours", {}), ("numpy", {}), ("jax", {}), ("torch", {}),
    ("jax", {"axis": "last", "dot": "sum"}), ("jax", {"signs": "bytes", "rng": "rbg"}),
    ("jax", {"form": "chip", "signs": "rademacher"}), ("torch", {"form": "first", "signs": "bernoulli"}),
    ("numpy", {"form": "first"}),
])  # fmt: skip
def test_all_sides_estimate_the_gradient(elsewhere, side, changes):
    """Significance 1e-3 and 4 standard errors, see `same`; seeds are fixed."""
    need(side)
    found = same.compare_gradient("2-2-1", elsewhere(learnt, side, 200, 200, 1 / 200, 5, True, 256, changes))
    assert found["ok"], found
    assert found["along_error"] < 0.1


@pytest.mark.parametrize(("side", "variant"), [
    ("jax", {"how": "split", "dot": "sum", "group": 10}), ("jax", {"how": "split", "dot": "dot", "group": 10}),
    ("jax", {"how": "vmap", "group": 50}), ("torch", {"group": 10}), ("torch", {"group": 4, "signs": "random_"}),
])  # fmt: skip
def test_windows_of_the_peers_estimate_the_gradient(elsewhere, side, variant):
    """The steps of a window done together."""
    need(side)
    share, error = elsewhere(along_after_windows, side, variant, 64)
    assert abs(share - 1) < 4 * error
    assert error < 0.1


@pytest.mark.parametrize("side", ["numpy", "jax", "torch"])
def test_costs_after_training_are_alike(elsewhere, side):
    need(side)
    ours = learnt("ours", 1, 2000, 0.5, 1, False)["costs"]
    found = same.compare_costs(ours, elsewhere(learnt, side, 1, 2000, 0.5, 2, False)["costs"])
    assert found["ok"], found
    slower = elsewhere(learnt, side, 1, 2000, 0.25, 2, False)["costs"]
    assert not same.compare_costs(ours, slower)["ok"]  # the test sees half the learning rate


def test_worker(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Crew(cpus()) as crew:
        answer = crew["numpy"].ask("prepare", group="2-2-1-one", cells=["best"], seconds=0.01, quick=True)
        assert answer["cells"]["best"]["chips"] == 1
        took = crew["numpy"].ask("time", cell="best")
        assert took["chip_steps"] > 0
        assert took["seconds"] > 0
        with pytest.raises(WorkerError, match="KeyError"):
            crew["numpy"].ask("time", cell="none")
        process = crew["numpy"]
        process.stop()
        with pytest.raises(WorkerError):
            process.ask("time", cell="best")
        assert crew["numpy"] is not process


def cpus():
    return run.free_processors()[:1]


def test_worker_of_ours():
    with Crew(cpus()) as crew:
        cells = rounds.measure(crew, group_named("2-2-1-one"), (), True, lambda text: None)
    assert cells["one chip"]["chips"] == 1
    assert len(cells["one chip"]["rates"]) == rounds.REPEATS[True]


def test_a_missing_peer_is_said(monkeypatch, tmp_path):
    """A folder that stands before the installed JAX and cannot be imported."""
    (tmp_path / "jax.py").write_text("raise ModuleNotFoundError(\"No module named 'jax'\", name='jax')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with Crew(cpus()) as crew:
        with pytest.raises(Missing, match="jax"):
            crew["jax"]
        noted = {"versions": {}, "missing": {}}
        assert run.available(crew, ("jax", "numpy"), noted, lambda text: None) == ["ours", "numpy"]
    assert noted["missing"] == {"jax": "jax"}


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_commit_is_of_the_repository_that_tracks_the_source(tmp_path, monkeypatch):
    """Not of one in whose folder the package happens to be installed."""

    def git(*arguments):
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    monkeypatch.setattr(run, "__file__", str(tmp_path / "run.py"))
    (tmp_path / "run.py").write_text("1")
    (tmp_path / "other.py").write_text("2")
    assert run.machine([0])["commit"] is None  # no repository
    git("init", "-q")
    git("add", "other.py")
    git("commit", "-qm", "other")
    assert run.machine([0])["commit"] is None  # another project's
    git("add", "run.py")
    git("commit", "-qm", "ours")
    assert len(run.machine([0])["commit"]) == 9


def test_command_line_refuses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "known: 2-2-1" in refusal("bench", "--only", "3-3-1")
    assert "known: jax, torch, numpy" in refusal("bench", "--peers", "jax,tensorflow")
    assert "--threads 0" in refusal("bench", "--threads", 0)
    (tmp_path / "file").write_text("")
    assert call("bench", "-o", tmp_path / "file").exit_code != 0
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


class FakeSide:
    """A worker whose every measurement takes a second; `broken` names the requests it cannot answer."""

    versions: ClassVar[dict[str, str]] = {}

    def __init__(self, side, broken=()):
        self.side, self.broken = side, broken

    def ask(self, do, **request):
        if do in self.broken:
            raise WorkerError(f"{self.side}: no {do}")
        if do == "prepare":
            cells = {name: {"chips": 2, "steps": 5, "variant": None} for name in request["cells"]}
            return {"cells": cells, "tried": [], "note": ""}
        if do == "time":
            return {"chip_steps": 10, "seconds": 1.0}
        if do == "learn" and not request["same_start"]:
            return {"costs": list(np.linspace(0, 1, 50))}
        if do == "learn":
            return {"theta0": [0.0] * 9, "mean": [0.0] * 9, "mean_error": [1.0] * 9, "along": [1.0, 0.1]}
        return {"threads": 1, "flops_single": 1e11, "flops_double": 5e10, "l2_bandwidth": 1e11, "l3_bandwidth": 5e10,
                "memory_bandwidth": 2e10, "l1_bytes": 32768, "l2_bytes": 1 << 20, "l3_bytes": 12 << 20}  # fmt: skip


@pytest.fixture
def fake_crew(monkeypatch):
    """Replaces the workers; returns a dict of sides, to be broken."""
    sides = {side: FakeSide(side) for side in ("ours", *PEERS)}

    class FakeCrew(dict):
        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(run, "Crew", lambda cpus: FakeCrew(sides))
    return sides


def measured(quick=False, only=("2-2-1",)):
    """A result of the benchmark on its own."""
    result = {}
    run.benchmark(only, PEERS, cpus(), quick, lambda text: None, lambda: None, result)
    return result


def test_nothing_fails(fake_crew):
    result = measured()
    assert result["errors"] == []
    assert result["complete"]
    assert [c["side"] for c in result["checks"] if c["kind"] == "cost"] == list(PEERS)
    assert [c["side"] for c in result["checks"] if c["kind"] == "gradient"] == ["ours", *PEERS]


def test_without_scipy_the_costs_are_not_compared(fake_crew, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)  # as if it were not installed
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    result = measured()
    assert result["errors"] == []
    assert {check["kind"] for check in result["checks"]} == {"gradient"}
    assert result["missing"] == {run.KS_CHECK: "scipy"}
    assert f"{run.KS_CHECK}: not installed (scipy), skipped" in report.text(result)


@pytest.mark.parametrize(("side", "broken", "said"), [
    ("numpy", ("roof",), "roof: numpy: no roof"), ("jax", ("time",), "2-2-1, jax: jax: no time"),
    ("ours", ("prepare",), "2-2-1, ours: ours: no prepare"), ("torch", ("prepare",), "2-2-1, torch: torch: no prepare"),
    ("jax", ("learn",), "2-2-1, jax, costs after training: jax: no learn"),
])  # fmt: skip
def test_a_failure_keeps_the_rest(fake_crew, side, broken, said):
    fake_crew[side].broken = broken
    result = measured()
    assert said in result["errors"]
    assert not result["complete"]
    assert f"FAILED: {said}" in report.text(result)
    whole = [cell["side"] for cell in result["groups"]["2-2-1"]["cells"].values() if "rate" in cell]
    assert {"ours", *PEERS} - {side} <= set(whole)
    assert {"ours", *PEERS} - {side} <= {check["side"] for check in result["checks"]}
    assert bool(result["roof"]) == (side != "numpy")


@pytest.mark.parametrize(
    ("module", "name"),
    [(rounds, "measure"), (rounds, "ratio"), (work, "fraction"), (startup, "measure"), (same, "compare_gradient")],
)
def test_a_mistake_of_the_benchmark_keeps_the_rest(fake_crew, monkeypatch, module, name):
    def mistake(*arguments):
        raise ZeroDivisionError("of\nours")

    monkeypatch.setattr(startup, "measure", lambda *arguments: {})
    monkeypatch.setattr(module, name, mistake)
    result = measured(only=("2-2-1", "49-4-4", STARTUP))
    assert any(line.endswith("ZeroDivisionError: of ours") for line in result["errors"])
    assert result["roof"]
    assert report.text(result)
    assert not result["complete"]
    assert "seconds" in result  # it went on to the end


@pytest.mark.parametrize("failing", ["nothing", "roof", "plot", "text", "benchmark"])
def test_exit_code_and_files(fake_crew, monkeypatch, tmp_path, failing):
    """What is incomplete is written beside a whole result, and the command ends with 1."""
    (tmp_path / "versus.json").write_text("whole")

    def fail(*arguments):
        raise RuntimeError(f"no {failing}")

    if failing == "roof":
        fake_crew["numpy"].broken = ("roof",)
    module = {"plot": (figure, "draw"), "text": (report, "text"), "benchmark": (run, "available")}.get(failing)
    if module:
        monkeypatch.setattr(*module, fail)
    ended = call("bench", "--only", "2-2-1", "--quick", "-o", tmp_path)
    assert ended.exit_code == (failing != "nothing"), ended.output
    assert (f"no {failing}" in ended.output) == (failing != "nothing")
    partial = failing in ("roof", "benchmark")  # what fails later has all figures
    assert ((tmp_path / "versus.json").read_text() == "whole") == partial
    files = {path.name for path in tmp_path.iterdir()}
    assert ("versus.partial.json" in files) == partial
    assert files <= {"versus.json", "versus.png", "versus.partial.json", "versus.partial.png"}


def test_different_work_is_a_failure(fake_crew):
    assert call("bench", "--only", "2-2-1", "--quick").exit_code == 0
    fake_crew["jax"].ask = lambda do, **r: {"costs": [5.0] * 50} if do == "learn" else FakeSide("jax").ask(do, **r)
    ended = call("bench", "--only", "2-2-1", "--quick")
    assert "DIFFERENT" in ended.output
    assert ended.exit_code == 1


def test_files_are_replaced_whole(tmp_path):
    (tmp_path / "a.json").write_text("before")

    def half(path):
        path.write_text("ha")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        report.replace(tmp_path / "a.json", half)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "before"


def with_rates(side, rates, **about):
    """Have a fake side show these rates, one after the other."""
    left = list(rates)

    def ask(do, **request):
        if do == "time":
            return {"chip_steps": left.pop(0), "seconds": 1.0}
        answer = FakeSide.ask(side, do, **request)
        if do == "prepare":
            for cell in answer["cells"].values():
                cell |= about
        return answer

    side.ask = ask
    return left


@pytest.mark.parametrize(("rates", "kept", "earlier", "said"), [
    ([10, 11, 12, 11, 10], [10, 11, 12, 11, 10], None, ""),
    ([10, 5, 10, 10, 10, 9, 9, 9, 9, 10], [9, 9, 9, 9, 10], [10, 5, 10, 10, 10], ""),
    ([10, 5, 10, 10, 10, 9, 9, 9, 9, 4.5], [9, 9, 9, 9, 4.5], [10, 5, 10, 10, 10], "rounds differ by 2 x"),
    ([20, 20, 20, 20, 20], [20, 20, 20, 20, 20], None, "median 2 x the rate its steps were chosen with"),
])  # fmt: skip
def test_uneven_rounds_are_measured_again(fake_crew, rates, kept, earlier, said):
    left = with_rates(fake_crew["ours"], rates, expected=10)
    group = group_named("2-2-1-one")
    cells = rounds.measure(fake_crew, group, ("jax",), False, lambda text: None)
    assert left == []
    ours = cells["one chip"]
    assert ours["rates"] == kept
    assert ours.get("earlier") == earlier
    assert ours["disturbed"] == said
    assert len(ours["load"]) == len(kept)
    assert len(cells["jax"]["rates"]) == len(kept)  # turns stay side by side
    assert cells["jax"]["disturbed"] == ""


def test_json_of_a_run(tmp_path, monkeypatch):
    """The whole command, its group made as small as can be."""
    from analogmgd.bench import roof

    monkeypatch.setattr(run, "GROUPS", (group_named("2-2-1-one"),))
    monkeypatch.setattr(rounds, "SECONDS", {True: 0.01, False: 0.01})
    result = call(
        "bench", "--quick", "--only", "2-2-1-one", "--peers", "numpy", "--threads", 1, "--json", "-o", tmp_path
    )
    assert result.exit_code == 0, result.output
    found = strict(result.stdout)
    assert found["complete"]
    assert found["machine"]["threads"] == 1
    assert set(found["groups"]["2-2-1-one"]["cells"]) == {"one chip", "numpy"}
    assert found["roof"]["flops_single"] > 0
    assert found["startup"] == {}
    assert json.loads((tmp_path / "versus.json").read_text())["groups"] == found["groups"]
    assert roof.cache_bytes(99) is None


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_keeps_what_is_complete(tmp_path, how):
    command = [*RUN, "bench", "--only", "2-2-1-one", "--peers", "none", "-o", str(tmp_path), "--threads", "1"]
    program = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while "2-2-1-one" not in (line := program.stderr.readline()):
        assert line, "ended early"
    time.sleep(0.1)
    program.send_signal(how)
    out, said = program.communicate(timeout=60)
    assert program.returncode == 130, said
    assert "interrupted" in said
    assert "roof:" in out
    kept = strict((tmp_path / "versus.partial.json").read_text())
    assert not kept["complete"]
    assert kept["roof"]["flops_single"] > 0


def test_imports_of_a_command():
    text = "import time:       100 |        250 |   numpy._core\nimport time:  50 | 300 | numpy\nother\n"
    assert startup.packages(text) == {"numpy": pytest.approx(0.00015)}
