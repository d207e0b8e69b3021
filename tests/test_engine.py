"""The engine: divergence, rows, probes, Ctrl-C, threads, gradients and angles, starts, memory."""

import os
import signal
import sys
import threading
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

import analogmgd as am
from analogmgd import engine
from analogmgd.block import PROBE_ROWS, Block
from analogmgd.merge import ProbeMerger, RowPlan
from oracle import network as onet
from oracle import rule as orule

NET = am.Network.mlp([2, 3, 1])
ALL = ("cost", "accuracy", "theta", "gradient", "cost_ac", "angle")


def make_data(n_train=6, n_test=7, n_in=2, n_out=1):
    rng = np.random.default_rng(3)
    return am.Dataset(*[rng.random((n, width)) for n in (n_train, n_test) for width in (n_in, n_out)])


# --- divergence ------------------------------------------------------------------------------------------------


def test_diverged_chips_are_named_and_the_others_go_on():
    """A relu network at a huge eta: some chips blow up, those with all units dead stay."""
    network = am.Network.mlp([2, 3, 1], "relu")
    settings = {"steps": 60, "seed": 1, "record": ("cost", "theta"), "record_every": 7}
    chips = list(range(40))
    run = am.train(network, "parity", am.MGD(eta=1e12), chips=chips, probe_chips=chips, **settings)
    assert run.status == "diverged"
    finite = np.isfinite(run.theta).all(axis=1)
    assert 0 < finite.sum() < len(chips)
    assert sorted(run.diverged) == run.chips[~finite].tolist()
    assert run.step.tolist() == [0, 7, 14, 21, 28, 35, 42, 49, 56, 60]  # the trace is kept, to the end
    assert np.isfinite(run.cost[:, finite]).all()
    for chip, step in run.diverged.items():
        cost = run.probe["cost"][:, chip]
        assert np.isfinite(cost[:step]).all()
        assert not np.isfinite(cost[step])
    one = int(run.chips[finite][0])
    alone = am.train(network, "parity", am.MGD(eta=1e12), chips=[one], **settings)
    assert alone.status == "complete"
    assert np.array_equal(alone.theta[0], run.theta[one])


def test_a_chip_that_starts_beyond_the_range_diverges_at_once():
    theta0 = np.random.default_rng(0).uniform(-0.5, 0.5, (3, NET.n_params))
    theta0[1] = 3e38
    linear = am.Network.mlp([2, 3, 1], "linear")
    run = am.train(linear, make_data(), am.MGD(), steps=20, chips=[4, 7, 9], theta0=theta0)
    assert (run.status, run.diverged) == ("diverged", {7: 0})
    alone = am.train(linear, make_data(), am.MGD(), steps=20, chips=[4, 9], theta0=theta0[[0, 2]])
    assert alone.status == "complete"
    assert np.array_equal(run.theta[[0, 2]], alone.theta)


def test_when_all_chips_have_diverged_the_run_stops():
    theta0 = np.full(NET.n_params, 3e38)
    linear = am.Network.mlp([2, 3, 1], "linear")
    run = am.train(linear, "parity", am.MGD(), steps=10**9, chips=20, theta0=theta0, record_every=50)
    assert run.status == "diverged"
    assert sorted(run.diverged) == list(range(20))
    assert run.extra["step"] < 10**9
    assert len(run.step) == 1 + run.extra["step"] // 50
    assert np.isnan(run.cost[1:]).all()


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("angle", ["chip", "sample"])
def test_divergence_raises_no_warnings(precision, angle):
    """With everything recorded, on the way through ever larger numbers, infinities and NaN."""
    linear = am.Network.mlp([2, 3, 1], "linear")
    rule = am.MGD(mode="analog", tau_x=4, tau_theta=0.3, eta=3.0, amplitude=0.1)
    run = am.train(linear, make_data(), rule, steps=3000, chips=5, record=ALL, record_every=1, precision=precision,
                   angle=angle)  # fmt: skip
    assert run.status == "diverged"
    assert len(run.diverged) == 5


def test_backpropagation_diverges_too():
    linear = am.Network.mlp([2, 3, 1], "linear")
    run = am.train(linear, "parity", am.Backprop(eta=1e6), steps=200, chips=5)
    assert run.status == "diverged"
    assert sorted(run.diverged) == list(range(5))


# --- rows ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "every", "expected"),
    [
        (10, 3, [0, 3, 6, 9, 10]),
        (9, 3, [0, 3, 6, 9]),
        (5, 1, [0, 1, 2, 3, 4, 5]),
        (5, 5, [0, 5]),
        (5, 8, [0, 5]),
        (1, 1, [0, 1]),
        (1, 10**9, [0, 1]),
        (100, 33, [0, 33, 66, 99, 100]),
    ],
)
def test_rows_are_at_zero_every_so_many_steps_and_at_the_end(steps, every, expected):
    plan = RowPlan(steps, every)
    assert [plan.step(row) for row in range(plan.count)] == expected
    run = am.train(NET, "parity", am.MGD(), steps=steps, chips=20, record=ALL, record_every=every)
    assert run.step.tolist() == expected
    assert (run.status, run.extra["step"]) == ("complete", steps)
    assert np.array_equal(run.record["theta"][-1], run.theta)


def test_rows_without_being_asked():
    """About 20 at least, however short the run."""
    run = am.train(NET, "parity", am.MGD(), steps=1000, chips=2)
    assert 15 <= len(run.step) <= 501
    assert run.step[[0, -1]].tolist() == [0, 1000]


@pytest.mark.parametrize("eval_samples", [1, 3, 7, 100, None])
def test_recorded_evaluations_use_some_samples_the_last_all(eval_samples):
    data = make_data()
    run = am.train(
        NET, data, am.MGD(eta=1.0), steps=9, chips=2, precision="double", record=("cost", "accuracy", "theta"),
        record_every=4, eval_samples=eval_samples,
    )  # fmt: skip
    net = onet.Net((2, 3, 1), ("sigmoid",) * 2)
    for row, theta in enumerate(run.record["theta"]):
        n = 7 if row == len(run.step) - 1 else min(eval_samples or 7, 7)
        for chip in range(2):
            cost = onet.mean_cost(net, theta[chip], data.x_test[:n], data.y_test[:n])
            assert run.cost[row, chip] == pytest.approx(cost, rel=1e-10)
            accuracy = onet.accuracy(net, theta[chip], data.x_test[:n], data.y_test[:n])
            assert run.accuracy[row, chip] == pytest.approx(accuracy, rel=1e-12)


# --- probes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "window", "expected"),
    [
        (20, {}, range(20)),
        (20, {"probe_from": 5}, range(5, 20)),
        (20, {"probe_until": 8}, range(8)),
        (20, {"probe_from": 5, "probe_until": 6}, range(5, 6)),
        (20, {"probe_from": 7, "probe_until": 100}, range(7, 20)),
        (20, {"probe_from": 20}, range(0)),
        (20, {"probe_from": 10**6}, range(0)),
        (2 * PROBE_ROWS + 300, {"probe_from": 100}, range(100, 2 * PROBE_ROWS + 300)),
    ],
)
def test_probed_steps_are_contiguous(steps, window, expected):
    run = am.train(NET, "parity", am.MGD(), steps=steps, chips=3, record_every=6000, probe_chips=[1], **window)
    assert run.probe["step"].tolist() == list(expected)
    assert run.probe["cost"].shape == (len(expected), 1)
    assert run.status == "complete"


@pytest.mark.parametrize("rule", [am.MGD(eta=0.2, tau_x=3, tau_theta=2), am.Backprop(eta=0.2)])
def test_probed_chips_of_different_blocks_are_put_together(rule, monkeypatch):
    """Whatever the order they are asked for in, and however unevenly their blocks advance."""
    data = make_data()

    def train(chips, probe_chips, **more):
        run = am.Run(steps=700, chips=chips, seed=4, record_every=90, probe_chips=probe_chips, probe_from=3)
        config = am.Config(am.Chip(NET, converters=am.Converters(sigma_C=0.01)), rule, {"name": "x"}, run)
        return am.run_config(config, data, **more)

    chips = [*range(100, 140), *range(10)]
    monkeypatch.setattr(engine, "CHUNK_SECONDS", 1e-4)
    run = train(chips, [7, 101, 139, 120], threads=3, lanes=16)
    assert run.probe["chip"].tolist() == [101, 120, 139, 7]  # in the order of the run
    monkeypatch.undo()
    for column, chip in enumerate(run.probe["chip"]):
        alone = train([int(chip)], [int(chip)], threads=1)
        assert np.array_equal(alone.probe["step"], run.probe["step"])
        for signal_ in ("cost", "cost_ac", "sample"):
            assert np.array_equal(alone.probe[signal_][:, 0], run.probe[signal_][:, column])


def test_probes_are_what_the_rule_saw():
    data = make_data()
    run = am.train(
        am.Chip(NET, converters=am.Converters(sigma_C=0.1)), data, am.MGD(tau_x=2, clip=0.05), steps=50, chips=[3],
        precision="double", seed=8, probe_chips=[3],
    )  # fmt: skip
    s = orule.Settings(tau_x=2, clip=0.05, sigma_C=0.1, seed=8, chip=3)
    history = orule.simulate(onet.Net((2, 3, 1), ("sigmoid",) * 2), data.x_train, data.y_train, s, 50)
    assert np.array_equal(run.probe["sample"][:, 0], history.sample[:, 0])
    assert np.allclose(run.probe["cost"][:, 0], history.cost, rtol=1e-10)
    assert np.allclose(run.probe["cost_ac"][:, 0], history.cost_ac, rtol=0, atol=1e-12)
    assert (np.abs(run.probe["cost_ac"]) == 0.05).any()  # the clip is in


def test_merger_of_probes_takes_pieces_of_any_length():
    out = []
    merger = ProbeMerger([2, 0, 1], out.append)

    def piece(first, last, width):
        steps = np.arange(first, last)
        return {"step": steps, "cost": steps[:, np.newaxis] * 10 + np.arange(width)}

    merger.add(0, piece(0, 3, 2))
    assert not out
    merger.add(2, piece(0, 1, 1))
    merger.add(2, piece(1, 8, 1))
    merger.add(0, piece(3, 8, 2))
    assert np.concatenate([rows["step"] for rows in out]).tolist() == list(range(8))
    cost = np.concatenate([rows["cost"] for rows in out])
    assert cost.tolist() == [[10 * n, 10 * n + 1, 10 * n] for n in range(8)]


# --- Ctrl-C ----------------------------------------------------------------------------------------------------

in_main_thread = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals go to the main thread"
)


class Watch:
    """A progress that does something once the run has rows and has gone so many chip-steps."""

    def __init__(self, after, act):
        self.after, self.act = after, act
        self.calls = []

    def start(self, plan):
        self.calls.append("start")

    def tick(self, chip_steps, row):
        if chip_steps >= self.after and self.act:
            act, self.act = self.act, None
            act()

    def stop(self):
        self.calls.append("stop")


LONG, EVERY = 30_000_000, 10_000  # steps, far more than are done before the interrupt; steps between rows


def long_run(progress=None, steps=LONG, threads=2):
    run = am.Run(steps=steps, chips=100, seed=2, record=("cost", "theta"), record_every=EVERY, probe_chips=[0, 50],
                 probe_until=10)  # fmt: skip
    config = am.Config(am.Chip(NET), am.MGD(eta=0.3, tau_theta=3, momentum=0.5), {"name": "parity"}, run)
    return am.run_config(config, am.load_dataset("parity"), threads=threads, lanes=16, progress=progress)


@pytest.fixture
def _handlers_come_back():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    assert {number: signal.getsignal(number) for number in before} == before


@in_main_thread
@pytest.mark.usefixtures("_handlers_come_back")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_with_all_chips_at_one_step(number):
    """As the same run would be at that step: theta, rows, probes."""
    going = threading.Event()

    def send():
        if going.wait(60):
            os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    watch = Watch(100 * 3 * EVERY, going.set)
    run = long_run(watch)
    sender.join()
    assert watch.calls == ["start", "stop"]
    assert (run.status, run.diverged) == ("interrupted", {})
    step = run.extra["step"]
    assert 3 * EVERY <= step < LONG
    assert run.step.tolist() == list(range(0, step + 1, EVERY))  # every row there is, and whole
    assert np.isfinite(run.cost).all()
    through = long_run(steps=step, threads=1)
    assert through.status == "complete"
    assert np.array_equal(run.theta, through.theta)
    rows = len(run.step)
    assert rows >= 3
    assert np.array_equal(run.step, through.step[:rows])
    for name in ("cost", "theta"):
        assert np.array_equal(run.record[name][: rows - 1], through.record[name][: rows - 1])
    for name in ("step", "cost", "cost_ac", "sample"):
        assert np.array_equal(run.probe[name], through.probe[name])


@in_main_thread
@pytest.mark.usefixtures("_handlers_come_back")
def test_a_second_ctrl_c_ends_at_once():
    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    run = long_run(Watch(100 * 2 * EVERY, twice))
    assert run.status == "interrupted"
    assert run.step.tolist() == list(range(0, EVERY * len(run.step), EVERY))
    assert run.theta.shape == (100, NET.n_params)
    assert not [t for t in threading.enumerate() if t.name.startswith("analogmgd")]  # no worker is left behind


@pytest.mark.usefixtures("_handlers_come_back")
def test_an_error_in_the_progress_closes_the_trace(tmp_path):
    """And leaves no thread behind; what was written can be read."""

    def fail():
        raise RuntimeError("no more")

    watch = Watch(0, fail)
    run = am.Run(steps=10**6, chips=40, record_every=1000)
    config = am.Config(am.Chip(NET), am.MGD(), {"name": "parity"}, run)
    with pytest.raises(RuntimeError, match="no more"):
        am.run_config(config, am.load_dataset("parity"), trace=tmp_path / "run.h5", progress=watch, lanes=16)
    assert watch.calls == ["start", "stop"]
    assert not [t for t in threading.enumerate() if t.name.startswith("analogmgd")]
    with am.Trace(tmp_path / "run.h5") as trace:
        assert trace.status == "interrupted"


# --- threads ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "4097", "1e2", "nan"])
def test_bad_number_of_threads_in_the_environment(text, monkeypatch):
    monkeypatch.setenv("ANALOGMGD_THREADS", text)
    with pytest.raises(am.ConfigError) as caught:
        am.train(NET, "parity", am.MGD(), steps=1, chips=1)
    assert str(caught.value) == f"ANALOGMGD_THREADS = {text}: must be a whole number from 1 to 4096"


def test_number_of_threads(monkeypatch):
    def used(**more):
        return am.train(NET, "parity", am.MGD(), steps=1, chips=1, **more).environment["threads"]

    monkeypatch.setenv("ANALOGMGD_THREADS", "3")
    assert used() == 3
    assert used(threads=2) == 2
    monkeypatch.setenv("ANALOGMGD_THREADS", "")
    assert used() == engine.thread_count(None) >= 1
    monkeypatch.delenv("ANALOGMGD_THREADS")
    assert used() == engine.thread_count(None) >= 1


def test_runs_in_two_python_threads_at_once():
    rules = [am.MGD(eta=0.5), am.MGD(eta=0.1, perturbation="gaussian"), am.Backprop(eta=0.1)]
    settings = {"steps": 400, "chips": 40, "record": ("cost", "theta"), "record_every": 30, "threads": 2}
    expected = [am.train(NET, "parity", rule, **settings) for rule in rules]
    found = {}

    def work(which):
        found[which] = am.train(NET, "parity", rules[which % 3], **settings)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i in range(6):
        assert found[i].status == "complete"
        assert np.array_equal(found[i].theta, expected[i % 3].theta)
        assert np.array_equal(found[i].record["theta"], expected[i % 3].record["theta"])


# --- gradients and angles --------------------------------------------------------------------------------------

ORACLE = onet.Net((2, 3, 2), ("tanh", "sigmoid"))
SPREAD = 0.3


def recorded(angle, rule, steps=24, every=1):
    """(run, oracle's history, data) of chip 5, all quantities every `every` steps."""
    data = make_data(n_out=2)
    chip = am.Chip(am.Network.mlp([2, 3, 2], "tanh", "sigmoid"), neuron=am.Neuron(spread=SPREAD))
    run = am.train(
        chip, data, am.MGD(**rule), steps=steps, chips=[2, 5], seed=6, precision="double", record=ALL, angle=angle,
        record_every=every,
    )  # fmt: skip
    s = orule.Settings(**{"tau_hp": 10.0, **rule}, spread=SPREAD, seed=6, chip=5)
    return run, orule.simulate(ORACLE, data.x_train, data.y_train, s, steps), data


def degrees(a, b):
    """Angle between two gradients; NaN where one is 0 (analog: C_ac is, as long as nothing has changed)."""
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return np.degrees(np.arccos(np.clip(np.dot(a, b) / norms, -1, 1))) if norms else np.nan


RULES = {
    "steps alone": {"eta": 0.5},
    "windows": {"tau_theta": 4, "tau_x": 3, "tau_p": 2, "eta": 0.5},
    "batches": {"batch": 3, "tau_x": 2, "eta": 0.5},
    "analog": {"mode": "analog", "tau_x": 6, "tau_theta": 2.5, "eta": 0.002},
}


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("rule", RULES)
def test_gradient_is_that_of_the_last_whole_window(rule, every):
    run, history, _ = recorded("chip", RULES[rule], every=every)
    expected = history.gradient[run.step]
    found = run.gradient[:, 1]
    assert np.abs(found - expected).max() <= 1e-8 * np.abs(expected).max()
    if rule == "windows":  # held from one end of a window to the next
        assert all(np.array_equal(run.gradient[i], run.gradient[i + 1]) for i in range(len(run.step) - 1)
                   if run.step[i] // 4 == run.step[i + 1] // 4 >= 1)  # fmt: skip


@pytest.mark.parametrize("angle", ["chip", "ideal", "sample"])
@pytest.mark.parametrize("rule", RULES)
def test_angles_are_to_the_oracles_gradients(rule, angle):
    run, history, data = recorded(angle, RULES[rule])
    own = onet.neuron_spread(ORACLE, SPREAD, 6, 5)
    x, y = data.x_train, data.y_train
    assert np.isnan(run.angle[0]).all()  # there is no estimate yet
    for step in range(1, len(run.step)):
        theta = history.theta[step]
        if angle == "sample":
            shown = history.sample[step - 1]
            true = onet.gradient(ORACLE, theta, x[shown], y[shown], own)
        else:
            true = onet.gradient(ORACLE, theta, x, y, own if angle == "chip" else None)
        assert run.angle[step, 1] == pytest.approx(degrees(history.gradient[step], true), abs=1e-5, nan_ok=True)


def test_angle_of_backpropagation_over_the_whole_set_is_zero_before_the_write():
    """One batch is the training set: G is the true gradient of the theta before the last write."""
    data = make_data(n_train=4)
    run = am.train(NET, data, am.Backprop(eta=1e-9, batch=4), steps=5, chips=3, record=ALL, precision="double",
                   record_every=1)  # fmt: skip
    assert (run.angle[1:] < 1e-3).all()
    for row in range(1, 6):
        true = am.gradient(NET, data, run.record["theta"][row - 1])
        assert np.allclose(run.gradient[row], true, rtol=1e-9, atol=1e-15)


# --- starts and ids --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["single", "double"])
def test_theta0_for_all_chips_or_for_each(precision):
    rng = np.random.default_rng(1)
    one, each = rng.normal(size=NET.n_params), rng.normal(size=(3, NET.n_params))

    def train(theta0, chips):
        return am.train(NET, "parity", am.MGD(eta=0.5), steps=20, chips=chips, theta0=theta0, precision=precision,
                        record="theta", record_every=10)  # fmt: skip

    real = np.float32 if precision == "single" else np.float64
    shared = train(one, [4, 8, 2])
    assert (shared.record["theta"][0] == one.astype(real)).all()
    assert np.array_equal(train(np.tile(one, (3, 1)), [4, 8, 2]).theta, shared.theta)
    assert np.array_equal(train(one.tolist(), [4, 8, 2]).theta, shared.theta)
    assert np.array_equal(shared.chip_arrays["theta0"], np.tile(one.astype(real), (3, 1)))
    own = train(each, [4, 8, 2])
    assert np.array_equal(own.record["theta"][0], each.astype(real))
    assert np.array_equal(train(np.asfortranarray(each), [4, 8, 2]).theta, own.theta)
    assert np.array_equal(train(each[1], [8]).theta[0], own.theta[1])
    assert not np.array_equal(own.theta, shared.theta)


@pytest.mark.parametrize(
    "chips", [np.array([3, 5, 4]), range(3, 6), [3, 5, 4], (5.0, 4.0, 3.0), np.array([3, 4, 5], np.uint8)]
)
def test_ids_of_chips_as_array_range_or_list(chips):
    run = am.train(NET, "parity", am.MGD(eta=0.5), steps=30, chips=chips)
    assert run.chips.tolist() == [int(c) for c in chips]
    ten = am.train(NET, "parity", am.MGD(eta=0.5), steps=30, chips=10)
    assert np.array_equal(run.theta, ten.theta[[int(c) for c in chips]])


# --- memory and time -------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.gettrace() is not None, reason="a tracer's own memory would be counted")
def test_memory_does_not_grow_with_the_steps():
    def peak(steps):
        tracemalloc.start()
        am.train(NET, "parity", am.MGD(eta=0.1), steps=steps, chips=40, record_every=steps, threads=2, probe_chips=[1],
                 probe_until=10)  # fmt: skip
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(100)
    assert peak(200_000) < peak(20_000) + 50_000


def test_chunks_are_short(monkeypatch):
    """So that Ctrl-C is quick, however many steps lie between two rows: on a clock that counts steps, 1 us each."""
    now = 0.0
    chunks = []
    work, advance = engine.Runner.work, Block.advance

    def ticking(self, until, probe=False):
        nonlocal now
        now += 1e-6 * (until - self.n)
        advance(self, until, probe)

    def counted(self):
        start = self.block.n
        out = work(self)
        chunks.append(self.block.n - start)
        return out

    monkeypatch.setattr(engine, "time", SimpleNamespace(perf_counter=lambda: now))
    monkeypatch.setattr(Block, "advance", ticking)
    monkeypatch.setattr(engine.Runner, "work", counted)
    am.train(NET, "parity", am.MGD(), steps=300_000, chips=16, record_every=300_000, threads=1)
    assert sum(chunks) == 300_000
    # a call may begin just before the time is up, so twice as long at the most
    assert max(chunks) <= 2e6 * engine.CHUNK_SECONDS
