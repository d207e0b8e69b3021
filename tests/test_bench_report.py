"""What the benchmark says of its results: goals, marks, table, plot, files. The figures are made up."""

import pytest
from cli_help import strict

from analogmgd.bench import figure, report, rounds
from analogmgd.bench.workloads import GOALS, STARTUP


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


def test_one_core_against_several_is_said(result):
    cells = result["groups"]["2-2-1"]["cells"]
    said = "on one core only"
    assert said not in report.text(result)
    cells["jax"]["threads"] = 1
    assert report.text(result).count(said) == 2  # the cell, and what it means
    assert said in {row[1]: row[-1] for row in report.cell_rows(result)}["jax, usual variant"]
    result["machine"]["threads"] = 1
    assert said not in report.text(result)


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


def test_files_are_replaced_whole(tmp_path):
    (tmp_path / "a.json").write_text("before")

    def half(path):
        path.write_text("ha")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        report.replace(tmp_path / "a.json", half)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "before"
