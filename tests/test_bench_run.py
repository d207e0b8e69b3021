"""The benchmark from end to end with workers that measure nothing: what fails, what is kept, what is measured again."""

import sys
from typing import ClassVar

import numpy as np
import pytest
from cli_help import call

from analogmgd.bench import figure, report, rounds, run, same, startup, work
from analogmgd.bench.crew import WorkerError
from analogmgd.bench.workloads import PEERS, STARTUP, group_named


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


def cpus():
    return run.free_processors()[:1]


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
    gradients = [c["side"] for c in result["checks"] if c["kind"] == "gradient"]
    assert gradients == ["ours", *PEERS, *(f"{peer} plain" for peer in PEERS)]


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
