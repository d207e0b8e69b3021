"""Studies: their files, what is read off sweeps, and the program."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

import analogmgd as am
from analogmgd import study as module
from analogmgd.study import Study, names, run_study
from analogmgd.study_bootstrap import DRAWS, medians, of_difference, of_ratio
from analogmgd.study_checks import Check, verdict
from analogmgd.study_curves import HERE, VALUES, Curve, Panel
from analogmgd.study_numbers import NOTHING, Number, bounded, in_words, slope, tolerated, written
from analogmgd.study_results import THERE, of_results
from analogmgd.study_theory import cosines
from analogmgd.sweep_file import SweepFile
from analogmgd.sweep_layout import created
from analogmgd.sweep_point import Target
from analogmgd.vary import listed

ASKED = {
    "gradient-angle", "tau-theta", "tau-x", "tau-p", "analog-discrete", "cost-noise", "update-noise", "neuron-spread",
    "device-presets", "drift", "faults", "wires", "converter-bits", "delay", "coloured-noise", "hardware-time",
    "optimisers", "scaling",
}  # fmt: skip


def test_all_studies_are_there():
    assert set(names()) == ASKED


@pytest.mark.parametrize("quick", [False, True], ids=["full", "quick"])
@pytest.mark.parametrize("name", sorted(ASKED))
def test_their_settings_can_be(name, quick):
    """A Sweep checks the settings of its points when it is made; checks and panels name what there is."""
    study = Study.load(name)
    for sweep in study.sweeps(quick).values():
        assert len(sweep.sweep().points) == len(sweep.points)
    sweeps = study.sweeps(quick)
    for panel in study.panels:
        if panel.results:
            continue
        keys = {a.key for a in sweeps[panel.sweep].points.axes}
        assert {k for k in (panel.x, panel.best, *panel.line_keys) if k} <= keys
        if panel.value in ("time", "seconds", "solved", "largest", "wall"):
            assert panel.target < len(sweeps[panel.sweep].targets)
        if panel.against is not None:
            assert panel.against in values_of(sweeps, panel)
    for number in (*study.checks, *(() if quick else study.numbers.values())):
        other = number.panel if number.beside is None else number.beside
        for k, x in ((number.panel, number.at), (other, number.to)):
            if number.kind in ("value", "ratio", "difference") and x is not None:
                assert x in values_of(sweeps, study.panels[k]), (name, x)
        assert number.line is None or study.panels[number.panel].lines


def values_of(sweeps, panel):
    if panel.results:
        return {*am.chip.TIME_SCALES, THERE}
    values = next(a.values for a in sweeps[panel.sweep].points.axes if a.key == panel.x)
    return {*(v if panel.pick is None else v[panel.pick] for v in values), *({HERE} if panel.beside else set())}


def tiny(self, quick=False, whole=Study.sweeps):
    """Two values of each key, few chips and steps."""
    found = {}
    for name, sweep in whole(self, True).items():
        vary = {key: values[:2] for key, values in sweep.vary.items()}
        steps = {} if "run.steps" in sweep.along else {"run.steps": 2000, "run.record_every": 500}
        settings = {**sweep.settings, "run.chips": 3, "run.eval_samples": 50, **steps}
        found[name] = module.StudySweep(name, sweep.source, sweep.targets, settings, vary, sweep.along)
    return found


@pytest.mark.parametrize("name", sorted(ASKED))
def test_a_study_from_end_to_end(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no bench/results
    monkeypatch.setattr(Study, "sweeps", tiny)
    monkeypatch.setattr(Check, "outcome", lambda self, panels, curves, failed: {**OUTCOME, "says": self.says})
    found = run_study(name, tmp_path / "out", threads=1)
    assert found["status"] == "complete"
    assert json.loads((tmp_path / "out" / "study.json").read_text())["name"] == name
    assert (tmp_path / "out" / "figure.png").stat().st_size > 5000
    lines = (tmp_path / "out" / "table.csv").read_text().splitlines()
    assert len(lines) == 1 + sum(len(c["x"]) for p in found["panels"] for c in p["curves"])
    text = (tmp_path / "out" / "study.md").read_text()
    assert Study.load(name).title in text
    assert "{" not in found["shows"]
    assert found["shows"] in text
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.h5")}
    again = run_study(name, tmp_path / "out", threads=1)  # nothing is left to do
    assert json.dumps(again) == json.dumps(found)
    assert before.keys() == {f"{sweep}.h5" for sweep in Study.load(name).raw}


OUTCOME = {"what": "", "value": 1.0, "low": 0.9, "high": 1.1, "expect": [0.0, 2.0], "verdict": "confirmed"}


@pytest.fixture
def made(tmp_path):
    """A sweep file of given points; times (points, chips), NaN: not reached; 100 chips, 1000 steps."""

    def make(points, times=None, angles=None, wall=1.0, accuracy=None, lost=None):
        path = str(tmp_path / "made.h5")
        values = np.asarray(times if times is not None else np.full((len(points), 100), np.nan), float)
        chips = values.shape[1]
        created(path, listed(points), chips, (Target("accuracy", 0.9),), "", {}, force=True)
        file = SweepFile(path, write=True)
        for n in range(len(points)):
            one = np.ones(chips)
            found = {"chip": np.arange(chips), "status": one, "diverged_step": -one, "steps": 1000 * one,
                     "seconds": 1e-3 * one, "final_accuracy": one, "best_accuracy": one, "final_cost": one,
                     "best_cost": one, "steps_to_target": values[n][None], "seconds_to_target": 1e-6 * values[n][None],
                     "wall_seconds": wall}  # fmt: skip
            if accuracy is not None:
                found["final_accuracy"] = accuracy[n]
            if lost is not None:
                found["status"] = np.where(lost[n], 2, 1)
            if angles is not None:
                found["final_angle"] = np.asarray(angles[n], float)
            file.write(n, found)
        return file

    return make


@pytest.fixture
def at(made):
    """The same as the sweep "s" of a study."""
    return lambda *arguments, **named: {"s": made(*arguments, **named)}


def test_the_best_value_is_taken_at_each_x_and_unknown_times_stay_unknown(at):
    points = [{"a.x": x, "rule.eta": e} for x in (1, 2) for e in (0.1, 0.3)]
    times = np.full((4, 100), np.nan)
    times[0], times[1] = 500, 200  # x = 1: eta 0.3
    times[2, :40], times[3, :30] = 100, 50  # x = 2: neither is known; more chips get there with 0.1
    panel = Panel("", "s", "time", "a.x", best="rule.eta")
    (curve,) = panel.curves(at(points, times))
    assert curve.x == [1, 2]
    assert curve.best == [0.3, 0.1]
    assert curve.middle[0] == 200
    assert math.isnan(curve.middle[1])
    (solved,) = Panel("", "s", "solved", "a.x", best="rule.eta").curves(at(points, times))
    assert solved.middle == [100.0, 40.0]
    assert solved.low[1] == pytest.approx(30.94, abs=0.01)  # Wilson, 40 of 100
    assert solved.high[1] == pytest.approx(49.80, abs=0.01)


def test_the_largest_value_that_is_stable(at, tmp_path):
    points = [{"a.x": 1, "rule.eta": e} for e in (0.1, 0.2, 0.4, 0.8, 1.6)]
    times = np.full((5, 100), np.nan)
    for n, reached in enumerate((100, 80, 55, 45, 0)):
        times[n, :reached] = 10
    panel = Panel("", "s", "largest", "a.x", of="rule.eta", share=0.5)
    (curve,) = panel.curves(at(points, times))
    assert (curve.low[0], curve.middle[0], curve.high[0]) == (0.2, 0.4, 0.8)


def test_the_largest_of_all_is_no_upper_end(at):
    points = [{"a.x": 1, "rule.eta": e} for e in (0.1, 0.2)]
    panel = Panel("", "s", "largest", "a.x", of="rule.eta", share=0.5)
    (curve,) = panel.curves(at(points, np.full((2, 100), 10.0)))
    assert curve.middle == [0.2]
    assert bounded(curve, 0) == (0.2, 0.2, math.inf)


def test_gains_are_of_each_chip_and_chips_that_diverge_have_none(at):
    """Chips differ by more than the setting does; pairs show it, two medians would not."""
    rng = np.random.default_rng(2)
    own = rng.uniform(0.3, 0.9, 100)
    points = [{"a.x": x, "rule.eta": e} for x in (0, 1) for e in (0.1, 0.3)]
    accuracy = [own, own - 0.2, own - 0.15, own - 0.02]  # best: 0.1 without, 0.3 with
    panel = Panel("", "s", "gain", "a.x", best="rule.eta", against=0)
    (curve,) = panel.curves(at(points, accuracy=accuracy))
    assert curve.best == [0.1, 0.3]
    assert curve.middle == [0.0, pytest.approx(-2.0)]
    assert curve.high[1] - curve.low[1] < 1e-9


def test_a_chip_that_diverges_counts_as_wrong(at):
    accuracy, lost = np.full((2, 100), 0.9), np.zeros((2, 100), bool)
    lost[1, :60], accuracy[1, :60] = True, np.nan
    (curve,) = Panel("", "s", "accuracy", "a.x").curves(at([{"a.x": 0}, {"a.x": 1}], accuracy=accuracy, lost=lost))
    assert curve.middle == [90.0, 0.0]
    assert curve.chips == [100, 100]


def test_where_an_angle_falls_to_a_level_and_lists_as_x(at):
    points = [{"network.sizes": [2, h, 1], "rule.tau_theta": k} for h in (4, 8) for k in (10, 100, 1000)]
    angles = [np.full(100, a) for a in (80, 60, 20, 85, 80, 40)]
    panel = Panel("", "s", "until", "network.sizes", of="rule.tau_theta", level=40.0, pick=1)
    (curve,) = panel.curves(at(points, angles=angles))
    assert curve.x == [4, 8]
    assert curve.middle == [pytest.approx(10**2.5), 1000]


def test_seconds_here_are_of_one_chip(at):
    times = np.full((3, 1), 500.0)  # half of its run, which took 3 s
    (curve,) = Panel("", "s", "wall").curves(at([{"run.seed": s} for s in range(3)], times, wall=3.0))
    assert curve.x == ["all"]
    assert curve.middle == [pytest.approx(1.5)]
    assert curve.chips == [3]


def test_what_stands_beside_has_its_own_best_value(made, tmp_path):
    points = [{"a.x": "slow", "rule.eta": e} for e in (0.1, 0.3)]
    here = made(points, np.array([[400.0] * 9, [200.0] * 9]))
    os.rename(tmp_path / "made.h5", tmp_path / "first.h5")
    other = made([{"run.seed": s, "rule.eta": e} for s in range(3) for e in (1.0, 3.0)],
                 np.array([[500.0], [100.0]] * 3), wall=2.0)  # fmt: skip
    panel = Panel("", "s", "seconds", "a.x", best="rule.eta", beside="b")
    (curve,) = panel.curves({"s": here, "b": other})
    assert curve.x == ["slow", HERE]
    assert curve.best == [0.3, 3.0]
    assert curve.middle == [pytest.approx(200e-6), pytest.approx(0.2)]  # of 1000 steps in 2 s


def line(label="", **values):
    n = len(values["x"])
    return Curve(label, **{"low": values["middle"], "high": values["middle"], "chips": [9] * n, "best": [None] * n,
                           **values})  # fmt: skip


def test_checks_can_fail():
    panel = Panel("", "s", "time", "a.x", lines="a.y")
    curves = [[line("u", x=[1, 10], middle=[100.0, 400.0], low=[90.0, 350.0], high=[110.0, 450.0]),
               line("v", x=[1, 10], middle=[50.0, math.nan])]]  # fmt: skip

    def verdict_of(missing=False, **table):
        return Check.of_table("s", {"says": "", "panel": 0, **table}, [panel]).outcome([panel], curves, missing)

    found = verdict_of(kind="ratio", at=10, to=1, line="u", expect=[3, 6])
    assert (found["low"], found["value"], found["high"]) == (pytest.approx(350 / 110), 4.0, pytest.approx(5.0))
    assert found["verdict"] == "confirmed"
    assert verdict_of(kind="ratio", at=10, to=1, line="u", expect=[0, 3])["verdict"] == "contradicted"
    assert verdict_of(kind="ratio", at=10, to=1, line="u", expect=[0, 4])["verdict"] == "not resolved"
    assert verdict_of(kind="ratio", at=1, line="v", over="u", expect=[0, 1])["verdict"] == "confirmed"
    assert verdict_of(kind="value", at=10, line="v", expect=[0, math.inf])["verdict"] == "not resolved"  # not known
    assert verdict_of(kind="value", at=10, line="w", expect=[0, 1])["verdict"] == "not resolved"  # no such line
    with pytest.raises(am.ConfigError, match="has no 7"):
        verdict_of(kind="value", at=7, line="u", expect=[0, 1])
    assert verdict_of(missing=True, kind="value", at=7, line="u", expect=[0, 1])["verdict"] == "not resolved"
    assert verdict(1.0, 2.0, (2.5, 3.0)) == "contradicted"


def test_times_that_are_not_known_are_more_than_the_run(at):
    """One of two medians is not reached within 1000 steps: the ratio is bounded, and can decide."""
    times = np.full((2, 100), np.nan)
    times[0] = np.linspace(90, 110, 100)
    times[1, :30] = 500
    panels = [Panel("", "s", "time", "a.x")]
    curves = [panel.curves(at([{"a.x": 0}, {"a.x": 1}], times)) for panel in panels]

    def of(**table):
        return Check.of_table("s", {"says": "", "panel": 0, "kind": "ratio", **table}, panels).outcome(panels, curves)

    found = of(at=1, to=0, expect=[2, math.inf])
    assert 1000 / 110 < found["low"] < 1000 / 90
    assert (math.isnan(found["value"]), found["high"], found["verdict"]) == (True, math.inf, "confirmed")
    assert of(at=1, to=0, expect=[0, 2])["verdict"] == "contradicted"
    assert of(at=1, to=0, expect=[0, 20])["verdict"] == "not resolved"
    assert of(at=0, to=1, expect=[0, 0.5])["verdict"] == "confirmed"
    assert of(at=1, to=1, expect=[0, 2])["verdict"] == "not resolved"
    assert written([found[name] for name in ("low", "value", "high")]).startswith("more than 9.")


def test_ratios_are_of_the_same_chips(at):
    """Times of chips differ by a factor of 100, those of one chip by 1.5: pairs show it to a few per cent."""
    own = np.random.default_rng(4).lognormal(0, 1.2, 200)
    panels = [Panel("", "s", "time", "a.x")]
    times = np.array([own, own * 1.5])
    curves = [panels[0].curves(at([{"a.x": 0}, {"a.x": 1}], times))]
    number = Number.read("s", {"panel": 0, "kind": "ratio", "at": 1, "to": 0}, panels, "n")
    assert number.reading(curves) == (pytest.approx(1.5),) * 3
    whole = curves[0][0]
    bare = Curve(**whole.table)  # without draws: far ends of both
    low, _, high = number.reading([[bare]])
    assert low < 1.3 < 1.8 < high
    assert Number.read("s", {"panel": 0, "kind": "slope"}, panels, "n").reading(curves) == NOTHING  # of two points


def test_intervals_of_ratios_cover_the_truth():
    """Chips that share half of their logarithm's variance at both points; 95 % intervals of the ratio of medians: no
    fewer than a binomial(300, 0.95) has in all but 1 of 1000 cases (intervals of medians are rather too wide)."""
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(300):
        common, mine, other = rng.standard_normal((3, 80))
        a, b = 2 * np.exp(common + mine), np.exp(common + other)
        low, high = of_ratio(medians(a), medians(b), math.nan, math.nan)
        inside += low <= 2 <= high
    assert inside >= stats.binom.ppf(0.001, 300, 0.95)


def test_draws_that_are_censored_bound_the_ratio():
    a, b = np.array([10.0, np.inf]), np.array([5.0, np.inf])
    assert of_ratio(a, np.array([5.0, 5.0]), 100.0, 100.0) == (2.0, math.inf)
    assert of_ratio(np.array([10.0, 10.0]), b, 100.0, 100.0) == (0.0, 2.0)
    assert of_ratio(np.array([np.inf] * 2), np.array([np.inf] * 2), 100.0, 100.0) == (0.0, math.inf)
    assert medians(np.array([1.0, math.nan])) is None
    assert medians(np.array([3.0] * 4)).tolist() == [3.0] * DRAWS
    assert of_difference(np.array([3.0, 5.0]), np.array([1.0, 1.0])) == (2.0, 4.0)


def test_numbers_of_two_panels_and_what_was_not_looked_at():
    panels = [Panel("a", "s", "time", "a.x", lines="a.y"), Panel("b", "s", "time", "a.x")]
    curves = [[line("u", x=[1, 10], middle=[100.0, 400.0])], [line(x=[1, 10], middle=[50.0, 80.0])]]

    def of(**table):
        return Number.read("s", table, panels, "n")

    both = of(panel=0, kind="ratio", line="u", at=10, beside=1, over="")
    assert both.reading(curves).value == 5.0
    assert both.described(panels) == "time at a.x = 10 (a.y = u) over that in 'b'"
    assert of(panel=1, kind="difference", at=10, to=1).reading(curves) == (30.0, 30.0, 30.0)
    assert in_words(of(panel=0, kind="value", at=7), curves) == "(not looked at)"
    assert in_words(of(panel=0, kind="value", line="w", at=1), curves) == "not known"
    for wrong in ({"kind": "tolerated"}, {"kind": "value"}, {"kind": "value", "at": 1, "beside": 5},
                  {"kind": "tolerated", "within": [2, 1]}, {"kind": "best", "at": 1}):  # fmt: skip
        with pytest.raises(am.ConfigError, match=r"numbers\.n"):
            Number.read("s", {"panel": 0, **wrong}, panels, "numbers.n")


def test_how_much_is_tolerated_and_how_little_needed():
    curve = line(x=[0, 1, 2, 4, 8], middle=[90.0, 88.0, 86.0, 60.0, 89.0], low=[89.0, 87.0, 80.0, 55.0, 88.0],
                 high=[91.0, 89.0, 88.0, 65.0, 90.0])  # fmt: skip
    assert tolerated(curve, (0.95, math.inf)) == (1.0, 2.0, 2.0)  # 8 lies behind a gap
    assert tolerated(curve, (0.5, math.inf)) == (8.0, 8.0, math.inf)
    times = line(x=[0, 1, 2], middle=[100.0, 150.0, math.nan], beyond=[1000.0] * 3)
    assert tolerated(times, (0, 2)) == (1.0, 1.0, 1.0)
    assert tolerated(times, (0, 20)).high == math.inf
    bits = line(x=[2, 4, 8], middle=[40.0, 88.0, 90.0], low=[30.0, 80.0, 89.0], high=[50.0, 90.0, 91.0])
    panels = [Panel("", "s", "accuracy", "a.x")]
    needed = Number.read("s", {"panel": 0, "kind": "needed", "within": [0.95, math.inf]}, panels, "n")
    assert needed.reading([[bits]]) == (4.0, 4.0, 8.0)


def test_exponents():
    low, value, high = slope(line(x=[1, 2, 4, 8], middle=[3.0, 12.0, 48.0, 192.0]))
    assert value == pytest.approx(2.0)
    assert high - low < 1e-6
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(400):  # a 95 % interval from the scatter of 5 points; 366: 1 in 10^3 of binomial(400, 0.95)
        y = np.array([1, 2, 4, 8, 16]) ** 0.5 * np.exp(0.1 * rng.standard_normal(5))
        low, _, high = slope(line(x=[1, 2, 4, 8, 16], middle=y.tolist()))
        inside += low <= 0.5 <= high
    assert inside >= 366
    assert math.isnan(slope(line(x=[1, 2], middle=[1.0, 2.0]))[1])
    assert math.isnan(slope(line(x=[1, 2, 4, 8], middle=[1.0, 2.0, 4.0, math.nan]))[1])  # the slowest is not known


def test_theory_of_the_angle():
    """Against random signs drawn here: sum of s (s . g_x) over samples in shuffled epochs, root mean squares."""
    rng = np.random.default_rng(3)
    n_params, n, draws = 12, 5, 4000
    gradients = rng.standard_normal((n, n_params)) + 0.7
    g = gradients.mean(axis=0)
    for steps in (1, 3, 5, 17, 60):
        along, square = np.empty(draws), np.empty(draws)
        for k in range(draws):
            shown = np.concatenate([rng.permutation(n) for _ in range(-(-steps // n))])[:steps]
            signs = rng.choice([-1.0, 1.0], (steps, n_params))
            G = signs.T @ (signs * gradients[shown]).sum(axis=1)
            along[k], square[k] = G @ g / np.linalg.norm(g), G @ G
        expected = cosines([steps], np.array([g @ g]), np.array([(gradients**2).sum(axis=1).mean()]), n, n_params)
        root = math.sqrt(square.mean())
        error = np.std(along / root - along.mean() / (2 * root) * square / square.mean()) / math.sqrt(draws)
        assert abs(along.mean() / root - expected[0, 0]) < 4 * error


def test_results_of_networks_for_pictures(tmp_path):
    def run(accuracy, scale=1.0):
        seconds = {name: [0.0, t * scale, 2 * t * scale] for name, t in am.chip.TIME_SCALES.items()}
        return {"accuracy": accuracy, "hardware seconds": seconds, "wall": [0.0, 3.0 * scale, 6.0 * scale]}

    (tmp_path / "cnn_a.json").write_text(json.dumps({
        "name": "a", "runs": [run([0.1, 0.72, 0.81]), run([0.1, 0.76, 0.79], 2.0)], "backprop": [run([0.1, 0.9, 0.9])],
    }))  # fmt: skip
    (tmp_path / "cnn_speed.json").write_text("{}")  # no results of a training
    (curve,) = of_results(tmp_path, "cnn_*.json")
    assert curve.label == "a, 75 %"  # both runs reach it, 0.8 only one
    assert curve.x == [*am.chip.TIME_SCALES, THERE]
    assert (curve.low[0], curve.middle[0], curve.high[0]) == (0.002, 0.002, 0.002)
    assert curve.middle[-1] == 3.0
    assert curve.chips == [2, 2, 2, 1]
    (tmp_path / "cnn_b.json").write_text('{"runs": [1], "backprop": [2]}')
    with pytest.raises(am.ConfigError, match=r"cnn_b\.json"):
        of_results(tmp_path, "cnn_*.json")
    with pytest.raises(am.ConfigError, match="is not a directory"):
        run_study("hardware-time", tmp_path / "s", results=tmp_path / "none")
    assert of_results(tmp_path / "none", "cnn_*.json") == []
    assert "results" in VALUES


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("title = ", "study 'x': "),
        ("title = 'a'", "allowed are"),
        ("title = 'a'\nasks = ''\npanels = []\n[sweeps.a]\nfrom = 1", "sweeps.a: allowed are"),
        ("title = 'a'\nasks = ''\n[sweeps.a]\nsource = 'parity'\n[[panels]]\ntitle = 'b'\nsweep = 'a'\nvalue = 'speed'",
         "panel 'b': value 'speed'"),
        ("title = 'a'\nasks = ''\n[sweeps.a]\nsource = 'parity'\n[[panels]]\ntitle = 'b'\nsweep = 'a'\nheight = 2",
         "panel 'b'"),
        ("title = 'a'\nasks = ''\n[sweeps.a]\nsource = 'parity'\n[[panels]]\ntitle = 'b'\nsweep = 'a'\nvalue = 'time'\n"
         "[[checks]]\nsays = 'c'\npanel = 3\nkind = 'value'\nat = 1\nexpect = [0, 1]", "check 'c'"),
        ("title = 'a'\nasks = ''\nshows = 'it is {b}'\n[sweeps.a]\nsource = 'parity'\n[[panels]]\ntitle = 'b'\n"
         "sweep = 'a'\nvalue = 'time'\n[numbers]\nc = {panel = 0, kind = 'value', at = 1}",
         "do not name the same: b, c"),
    ],
)  # fmt: skip
def test_files_that_are_wrong(text, says):
    with pytest.raises(am.ConfigError) as error:
        Study.read("x", text)
    assert says in str(error.value)


def program(*words, cwd):
    return subprocess.run([sys.executable, "-m", "analogmgd", "study", *words], cwd=cwd, capture_output=True, text=True)


def test_the_program(tmp_path):
    listed = program("list", cwd=tmp_path)
    assert listed.returncode == 0
    assert all(name in listed.stdout for name in ASKED)
    assert {s["name"] for s in json.loads(program("list", "--json", cwd=tmp_path).stdout)["studies"]} == ASKED
    wrong = program("run", "neuron-spred", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "neuron-spread" in wrong.stderr
    assert wrong.stderr.count("\n") == 1
    (tmp_path / "file").write_text("")
    there = program("run", "tau-p", "--quick", "-o", "file", cwd=tmp_path)
    assert there.returncode == 2
    assert "is not a directory" in there.stderr


def test_a_study_in_a_report(tmp_path, monkeypatch):
    monkeypatch.setattr(Study, "sweeps", tiny)
    monkeypatch.setattr(
        Check, "outcome", lambda self, panels, curves, failed: {**OUTCOME, "says": "<b>", "low": math.nan}
    )
    run_study("tau-p", tmp_path / "s", threads=1)
    page = am.report(tmp_path / "s", tmp_path / "s.html").read_text()
    assert Study.load("tau-p").title in page
    assert "&lt;b&gt; Confirmed: " in page
    assert "data:image/png;base64" in page
    assert "rule.tau_p" in page  # in the configuration
    (tmp_path / "empty").mkdir()
    with pytest.raises(am.ConfigError, match=r"without a study: study\.json is missing"):
        am.report(tmp_path / "empty", tmp_path / "e.html")
    (tmp_path / "s" / "study.json").write_text("{}")
    with pytest.raises(am.ConfigError, match="cannot be read"):
        am.report(tmp_path / "s", tmp_path / "e.html")
    assert not (tmp_path / "e.html").exists()


def test_another_version_in_the_same_place_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Study, "sweeps", tiny)
    run_study("tau-p", tmp_path, threads=1)
    monkeypatch.undo()
    with pytest.raises(am.ConfigError, match="is of another sweep"):
        run_study("tau-p", tmp_path, quick=True, threads=1)


def test_an_interrupted_study_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(Study, "sweeps", tiny)
    done = []

    def stops(title, sweep, path):
        done.append(title)
        return "interrupted" if len(done) == 2 else sweep.run(path, 1)

    assert run_study("tau-p", tmp_path, run=stops) == {"name": "tau-p", "status": "interrupted"}
    assert done == ["tau-p: online", "tau-p: batch"]
    assert run_study("tau-p", tmp_path, threads=1)["status"] == "complete"
