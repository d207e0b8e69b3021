"""bench/cnn.py and its recipes."""

import doctest
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import analogmgd as am
from analogmgd.config import Config

BENCH = Path(__file__).parent.parent / "bench"
RECIPES = sorted((BENCH / "recipes").glob("*.toml"))
SMALL = """
network.sizes = [2, 2, 1]
data.name = "parity"
rule.eta = {eta}
rule.type = "{kind}"
run.steps = 12_000
"""


@pytest.fixture
def program(monkeypatch):
    """The module, for as long as a test lasts."""
    monkeypatch.syspath_prepend(str(BENCH))
    yield importlib.import_module
    for name in ("cnn", "cnn_speed", "cnn_sides", "common"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_are_configurations_of_one_chip(path):
    config = Config.from_toml(path.read_text())
    assert config.run.chips == 1
    assert config.rule.schedule == "cosine"
    assert config.rule.schedule_steps is None
    name = path.stem.removesuffix("-backprop").removesuffix("-hour")
    assert config.chip.network == am.Network.preset(name)
    partner = Config.from_toml(path.with_name(f"{name}-backprop.toml").read_text())
    assert partner.data == config.data
    assert isinstance(partner.rule, am.Backprop)
    if "backprop" not in path.stem:  # whole windows, and whole turns of a sample in each
        assert config.rule.tau_theta % config.rule.tau_x == 0 == config.run.steps % config.rule.tau_theta


@pytest.mark.parametrize("name", ["cnn", "cnn_speed"])
def test_examples(program, name):
    outcome = doctest.testmod(program(name))
    assert outcome.attempted > 0 == outcome.failed


def test_a_run_and_its_table(program, tmp_path, monkeypatch, capsys):
    for ending, kind, eta in (("", "mgd", 0.5), ("-backprop", "backprop", 0.5)):
        (tmp_path / f"xor{ending}.toml").write_text(SMALL.format(kind=kind, eta=eta))
    words = [
        "cnn.py",
        str(tmp_path / "xor.toml"),
        "--seed",
        "3",
        "4",
        "--threads",
        "1",
        "--compare",
        "-o",
        str(tmp_path),
    ]
    monkeypatch.setattr(sys, "argv", words)
    program("cnn").main()
    found = json.loads((tmp_path / "cnn_xor.json").read_text())
    assert [row["steps"] for row in found["table"]] == [1000, 10_000, 12_000]
    assert found["table"][0]["hardware seconds"]["chip-in-the-loop"] == pytest.approx(2.0)  # a baseline every step
    assert [r["seed"] for r in found["runs"]] == [r["seed"] for r in found["backprop"]] == [3, 4]
    alone = am.train(
        am.Network.mlp([2, 2, 1]), "parity", am.MGD(eta=0.5), steps=12_000, chips=1, seed=4, eval_samples=None
    )
    last = found["runs"][1]
    assert last["cost"][-1] == pytest.approx(float(alone.cost[-1, 0]), abs=1e-5)
    assert last["accuracy"][-1] == float(alone.accuracy[-1, 0])
    assert last["step"][-1] == 12_000
    assert np.all(np.diff(last["wall"]) >= 0)
    assert "| 1e+03 |" in capsys.readouterr().out
    assert (tmp_path / "cnn_xor.png").stat().st_size > 1000

    monkeypatch.setattr(sys, "argv", [*words[:2], "--seed", "4", "5", "--threads", "1", "--add", "-o", str(tmp_path)])
    program("cnn").main()
    more = json.loads((tmp_path / "cnn_xor.json").read_text())
    assert more["runs"][:2] == found["runs"]
    assert [r["seed"] for r in more["runs"]] == more["final"]["seeds"] == [3, 4, 5]
    assert more["backprop"] == found["backprop"]
    monkeypatch.setattr(sys, "argv", [*words[:2], "--steps", "24000", "--add", "-o", str(tmp_path)])
    with pytest.raises(SystemExit, match="made with another steps"):
        program("cnn").main()
    against = tmp_path / "xor-backprop.toml"
    against.write_text(against.read_text().replace("eta = 0.5", "eta = 0.25"))
    monkeypatch.setattr(sys, "argv", [*words[:2], "--seed", "3", "--threads", "1", "--add", "-o", str(tmp_path)])
    program("cnn").main()
    kept = json.loads((tmp_path / "cnn_xor.json").read_text())
    assert kept["runs"] == more["runs"]  # backpropagation has another recipe now: those runs are gone
    assert "backprop" not in kept


def test_a_run_that_is_stopped_leaves_its_rows(program, tmp_path, monkeypatch):
    (tmp_path / "xor.toml").write_text(SMALL.format(kind="mgd", eta=0.5))
    module = program("cnn")

    class Bar(module.tqdm):
        def update(self, n=1):
            if n > 0:
                raise RuntimeError("stopped")

    monkeypatch.setattr(module, "tqdm", Bar)
    monkeypatch.setattr(sys, "argv", ["cnn.py", str(tmp_path / "xor.toml"), "--threads", "1", "-o", str(tmp_path)])
    with pytest.raises(RuntimeError, match="stopped"):
        module.main()
    run = json.loads((tmp_path / "cnn_xor.json").read_text())["runs"][0]
    assert run["status"] == "running"
    assert run["step"] == [0, 500]
