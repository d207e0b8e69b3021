"""The benchmark's machinery: workloads, workers, report. No figure of speed is judged here."""

import json
import multiprocessing
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from bench_sides import along_after_windows, learnt, need
from cli_help import RUN, call, refusal, strict

from analogmgd import MGD, Network, gradient, load_dataset
from analogmgd.bench import rounds, run, same, startup, work
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
    assert group.check == (group.name in same.GRADIENT)


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
    assert rule.evaluations == pytest.approx(evaluations_counted(rule), rel=2e-3)


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


@pytest.fixture(scope="module")
def elsewhere():
    """Calls a function in another process: JAX starts threads, and other tests fork."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result()


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


def test_worker_checks_the_variant_that_was_measured():
    """Both, on the largest network that is checked."""
    group = "64-32-10"
    with Crew(cpus()) as crew:
        crew["numpy"].ask("prepare", group=group, cells=["best", PLAIN], seconds=0.01, quick=False)
        result = {"checks": [], "errors": []}
        run.check_gradient(crew, group_named(group), [("numpy", "best"), ("numpy", PLAIN), ("ours", "best")], result)
    assert result["errors"] == []
    assert [(check["side"], check["ok"]) for check in result["checks"]] == [
        ("numpy", True), ("numpy plain", True), ("ours", True),
    ]  # fmt: skip
    assert len({check["along"] for check in result["checks"]}) == 3
