"""Presets, and how they, TOML files and options are put together."""

import doctest
import tomllib
from pathlib import Path

import numpy as np
import pytest
from cli_help import done, strict

import analogmgd.presets
from analogmgd import Config, ConfigError, Dataset, Network, load_dataset
from analogmgd.cli.resolve import overlay, resolve
from analogmgd.presets import preset

RECIPES = Path(__file__).parent.parent / "bench" / "recipes"
RULES = [("mgd", "discrete"), ("mgd", "analog"), ("backprop", "discrete")]


def rng_data(n_in, y, **about):
    """The user's own data with random inputs."""
    x = np.random.default_rng(3).normal(size=(len(y), n_in))
    return Dataset(x, y, **about)


OWN = {
    "one-hot": rng_data(7, np.arange(60) % 3),
    "bits": rng_data(4, np.arange(60) % 2 > 0),
    "numbers": rng_data(5, np.linspace(0, 9, 60).reshape(30, 2) + 0.5),
    "wide": rng_data(3000, np.arange(60) % 10),
}
ALL = {name: load_dataset(name) for name in ("parity", "nist7x7", "digits")}
PICTURES = {
    name: Dataset(
        np.random.default_rng(4).integers(0, 256, (60, channels, side, side), np.uint8),
        np.arange(60) % 10,
        name=name,
        licence="made",
    )
    for name, channels, side in (("fashion_mnist", 1, 28), ("cifar10", 3, 32))
}
ALL |= {**PICTURES, "parity 5": load_dataset("parity", bits=5), **OWN}


def test_doctests():
    assert doctest.testmod(analogmgd.presets).failed == 0


@pytest.mark.parametrize(("rule", "mode"), RULES)
@pytest.mark.parametrize("name", ALL)
def test_preset_is_a_configuration(name, rule, mode):
    data = ALL[name]
    tables = {**preset(data, rule, mode), "data": {"name": data.name}}
    config = Config.from_tables(tables)
    assert config.chip.network.n_in == data.n_in
    assert config.chip.network.n_out == data.n_out
    assert 1e-9 < config.rule.eta < 1
    # a whole configuration is not changed by the preset under it, so that a TOML file says everything
    whole = config.to_tables()
    assert overlay(tables, whole) == whole


def test_preset_of_own_data():
    tables = {name: preset(data) for name, data in OWN.items()}
    assert tables["one-hot"]["network"]["cost"] == "cross-entropy"
    assert "output" not in tables["one-hot"]["network"]
    assert tables["bits"]["network"]["cost"] == tables["numbers"]["network"]["cost"] == "mse"
    assert tables["numbers"]["network"]["output"] == "linear"
    assert tables["numbers"]["run"]["record"] == ["cost"]
    assert "record" not in tables["bits"]["run"]
    assert tables["wide"]["run"]["chips"] == 8
    same_name = rng_data(7, np.arange(60) % 3, name="digits")
    assert preset(same_name)["network"]["sizes"][0] == 7


def test_presets_of_pictures():
    for name, network in (("fashion_mnist", "fashion-cnn"), ("cifar10", "cifar-cnn")):
        tables = {**preset(PICTURES[name]), "data": {"name": name}}
        assert Config.from_tables(tables).chip.network == Network.preset(network)
        for change in ({"sizes": [784, 9, 10]}, {"preset": "mlp-784-128-10"}):
            over = Config.from_tables(overlay(tables, {"network": change})).chip.network
            assert len(over.arrays) == 2
            assert (over.cost, over.init, over.label_smoothing) == ("cross-entropy", "glorot", 0.01)
        with pytest.raises(ConfigError, match=r"network.activation = 'tanh': goes with sizes"):
            Config.from_tables(overlay(tables, {"network": {"activation": "tanh"}}))


def test_recipes_are_files_to_train_with():
    """What a recipe says stands, whatever network the preset of its data has."""
    for path in RECIPES.glob("*.toml"):
        whole = Config.from_toml(path.read_text())
        tables = overlay(preset(PICTURES[whole.data["name"]]), tomllib.loads(path.read_text()))
        assert Config.from_tables(tables) == whole


def test_overlay():
    base = {"network": {"sizes": [2, 2, 1], "activation": "tanh", "init": "glorot", "init_scale": 1.0}}
    assert overlay(base, {"network": {"layers": [1], "cost": "mse"}})["network"] == {
        "init": "glorot", "init_scale": 1.0, "layers": [1], "cost": "mse",
    }  # fmt: skip
    assert overlay(base, {"network": {"preset": "fashion-cnn"}}) == {"network": {"preset": "fashion-cnn"}}
    assert overlay({"network": {"preset": "fashion-cnn", "cost": "mse"}}, {"network": {"layers": [1]}}) == {
        "network": {"cost": "mse", "layers": [1]}
    }
    assert "init_scale" not in overlay(base, {"network": {"init": "uniform"}})["network"]
    assert overlay({"network": {"layers": [1]}}, {"network": {"sizes": [2, 1]}}) == {"network": {"sizes": [2, 1]}}
    named = {"network": {"preset": "fashion-cnn"}}
    assert overlay({"network": base["network"] | {"cost": "mse"}}, named) == named
    assert overlay(named, {"network": {"sizes": [2, 1]}}) == {"network": {"sizes": [2, 1]}}
    device = {"device": {"name": "ideal", "write": "ideal", "sigma_theta": 0.0, "amplitude_mismatch": 0.1}}
    assert overlay(device, {"device": {"name": "other"}})["device"] == {"name": "other"}
    assert "write" not in overlay(device, {"device": {"sigma_theta": 0.1}})["device"]
    rule = {"rule": {"type": "mgd", "eta": 0.1, "amplitude": 0.01, "schedule": "cosine", "schedule_steps": 9}}
    assert overlay(rule, {"rule": {"type": "backprop", "schedule": "constant"}})["rule"] == {
        "type": "backprop", "eta": 0.1, "schedule": "constant",
    }  # fmt: skip
    assert rule["rule"]["schedule_steps"] == 9


def test_later_layers_win(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('[data]\nname = "digits"\n[rule]\neta = 0.002\n[run]\nchips = 3\nsteps = 500\n')
    config, _ = resolve(str(path), {"run": {"steps": 70}})
    assert str(config.chip.network) == "64-32-10"  # the preset's
    assert (config.rule.eta, config.run.chips, config.run.steps) == (0.002, 3, 70)
    path.write_text('[data]\nname = "digits"\n[network]\nlayers = [{n_in = 64, n_out = 10, activation = "linear"}]\n')
    config, _ = resolve(str(path), {})
    assert config.chip.network.n_params == 650
    assert config.chip.network.cost == "cross-entropy"


def test_a_named_network_replaces_that_of_the_data(tmp_path):
    np.savez(tmp_path / "own.npz", x_train=np.eye(10, 784), y_train=np.arange(10))
    path = tmp_path / "run.toml"
    path.write_text('network.preset = "fashion-cnn"\ndata.name = "own.npz"\n')
    config, _ = resolve(str(path), {})
    assert config.chip.network == Network.preset("fashion-cnn")
    config, _ = resolve(str(path), {"network": {"sizes": [784, 10]}})
    assert str(config.chip.network) == "784-10"


def test_rule_and_mode_choose_the_preset():
    rules = [tomllib.loads(done("train", "digits", "--config", *o))["rule"] for o in ([], ["--mode", "analog"])]
    assert rules[0]["tau_theta"] == 1
    assert rules[1]["tau_theta"] == 100
    assert tomllib.loads(done("train", "digits", "--config", "--rule", "backprop"))["rule"]["eta"] == 0.03


def test_presets_learn():
    """Far fewer steps than the presets have. XOR: 73 % of 256 chips did; 64 of them are below 55 % once in 1000."""
    about = strict(done("train", "parity", "--steps", 100_000, "--chips", 64, "--no-trace", "--quiet", "--json"))
    assert about["summary"]["final_accuracy"]["median"] == 1
    about = strict(done("train", "digits", "--steps", 50_000, "--chips", 16, "--no-trace", "--quiet", "--json"))
    assert about["summary"]["final_accuracy"]["median"] > 0.7
    for name, least in (("parity", 0.75), ("digits", 0.95)):
        steps = 20_000 if name == "parity" else 10_000
        about = strict(done("train", name, "--rule", "backprop", "--steps", steps, "--no-trace", "--quiet", "--json"))
        assert about["summary"]["final_accuracy"]["median"] > least
