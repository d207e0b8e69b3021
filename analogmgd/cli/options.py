"""The named options of a configuration, each with its dotted key, and `--set KEY=VALUE` for all the others.

An option's value is parsed as TOML (bare words are strings) and checked where every configuration is: by the
settings of the key. So `--steps 1e6` and `--set run.steps=1_000_000` are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import click

from analogmgd.errors import ConfigError
from analogmgd.text_file import loads

EXTRA = {"Run": ["--record"]}  # options of no single key, by the group of the help they belong to
Tables = dict[str, dict[str, Any]]
NUMBER, WHOLE = "NUMBER", "N"


def places(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say where the points of sweeps run, see `sweep_pool.pool_of`."""
    for name, kind, metavar, text in (
        ("--scheduler", str, "ADDRESS", "Run on an existing Dask cluster, such as tcp://host:8786."),
        ("--workers", int, "N", "Run on N processes, a local Dask cluster."),
        ("--threads", int, "N", "Default: ANALOGMGD_THREADS, or all processors."),
    ):
        command = click.option(name, type=kind, metavar=metavar, help=text)(command)
    return command


def toml_value(text: str) -> Any:
    """A value as TOML has it; what is not TOML is a string.

    >>> toml_value("1e6"), toml_value("[1, 2]"), toml_value("true"), toml_value("walsh"), toml_value("49-4-4")
    (1000000.0, [1, 2], True, 'walsh', '49-4-4')
    """
    try:
        found = loads(f"v = {text}", "value")
    except ConfigError:
        return text
    return found["v"] if list(found) == ["v"] else text


def widths(text: str) -> Any:
    """`49-4-4` as a list of widths; a name of a network as it is.

    >>> widths("49-4-4"), widths("[2, 2, 1]"), widths("fashion-cnn")
    ([49, 4, 4], [2, 2, 1], 'fashion-cnn')
    """
    from analogmgd.network import NETWORKS

    if text in NETWORKS:
        return text
    if text.startswith("["):
        return toml_value(text)
    parts = text.replace("x", "-").split("-")
    if len(parts) < 2 or not all(p.isascii() and p.isdigit() and len(p) < 19 for p in parts):
        names = ", ".join(NETWORKS)
        raise ConfigError(
            f"--network {text!r}: expected widths from input to output, such as 49-4-4, or one of {names}"
        )
    return [int(p) for p in parts]


def chip_list(text: str) -> Any:
    """How many, or with commas (or brackets) a list of ids.

    >>> chip_list("64"), chip_list("3,17"), chip_list("17,")
    (64, [3, 17], [17])
    """
    return [toml_value(p) for p in text.split(",") if p.strip()] if "," in text else toml_value(text)


def id_list(text: str) -> Any:
    """A list of ids: `0`, `0,3` or `[0, 3]`."""
    return toml_value(text) if text.startswith("[") else chip_list(text if "," in text else f"{text},")


@dataclass(frozen=True)
class Setting:
    """A named option: its flag, the dotted key it sets, what its help says."""

    flag: str
    key: str
    metavar: str
    help: str
    parse: Callable[[str], Any] = toml_value

    @property
    def argument(self) -> str:
        """Name of the parameter click hands over."""
        return "set_" + self.flag.removeprefix("--").replace("-", "_")


SETTINGS: dict[str, tuple[Setting, ...]] = {
    "Run": (
        Setting("--steps", "run.steps", WHOLE, "perturbation measurements of every chip"),
        Setting("--chips", "run.chips", "N|ID,ID,..", "how many chips, or the ids of some (17, for one)", chip_list),
        Setting("--seed", "run.seed", WHOLE, "0 to 2^64 - 1; decides every random number of the run"),
        Setting("--order", "run.order", "WORD", "order of the samples: shuffle, sequential"),
        Setting("--precision", "run.precision", "WORD", "single, double"),
        Setting("--record-every", "run.record_every", WHOLE, "steps between recorded rows"),
        Setting("--eval-samples", "run.eval_samples", WHOLE, "test samples a recorded row uses, 0: all"),
        Setting("--probe-chips", "run.probe_chips", "ID,..", "chips whose cost is kept at every step", id_list),
        Setting("--angle", "run.angle", "WORD", "true gradient of the recorded angle: chip, ideal, sample"),
        Setting("--bits", "data.bits", WHOLE, "parity: number of inputs"),
        Setting("--data-dir", "data.data_dir", "DIR", "folder of fashion_mnist's or cifar10's files", str),
    ),
    "Network": (
        Setting("--network", "network.sizes", "N-N-N", "widths such as 49-4-4, or a name such as fashion-cnn", widths),
        Setting("--activation", "network.activation", "WORD", "sigmoid, tanh, relu, linear"),
        Setting("--output-activation", "network.output", "WORD", "of the last layer, where it is another"),
        Setting("--cost", "network.cost", "WORD", "mse, cross-entropy"),
        Setting("--label-smoothing", "network.label_smoothing", NUMBER, "cross-entropy only, 0 to 1"),
    ),
    "Learning rule": (
        Setting("--rule", "rule.type", "WORD", "mgd, or backprop to compare with"),
        Setting("--eta", "rule.eta", NUMBER, "learning rate"),
        Setting("--perturbation", "rule.perturbation", "WORD", "random, walsh, sequential, sinusoid, gaussian"),
        Setting("--amplitude", "rule.amplitude", NUMBER, "of the perturbation, root mean square"),
        Setting("--tau-x", "rule.tau_x", WHOLE, "steps a sample is shown"),
        Setting("--tau-p", "rule.tau_p", WHOLE, "steps a perturbation is held"),
        Setting("--tau-theta", "rule.tau_theta", NUMBER, "steps between parameter updates"),
        Setting("--mode", "rule.mode", "WORD", "discrete, analog"),
        Setting("--dt", "rule.dt", NUMBER, "analog: time step"),
        Setting("--tau-hp", "rule.tau_hp", NUMBER, "analog: time constant of the cost's high-pass"),
        Setting("--baseline", "rule.baseline", "WORD", "measured, antithetic"),
        Setting("--batch", "rule.batch", WHOLE, "samples a cost is averaged over"),
        Setting("--momentum", "rule.momentum", NUMBER, "0 to 1"),
        Setting("--weight-decay", "rule.weight_decay", NUMBER, ">= 0"),
        Setting("--schedule", "rule.schedule", "WORD", "of eta: constant, cosine, inverse"),
        Setting("--clip", "rule.clip", NUMBER, "largest |C_ac| that is let through"),
    ),
    "Hardware": (
        Setting(
            "--device", "device.name", "NAME|FILE.toml",
            "preset, see `analogmgd devices`, or file with a table [device]; --set device.c2c=0 changes it", str,
        ),
        Setting("--device-scale", "device.scale", NUMBER, "theta per w of the devices"),
        Setting("--write", "device.write", "WORD", "ideal, noisy, quantised, pulsed; by default what the device says"),
        Setting("--levels", "device.levels", WHOLE, "of quantised writes"),
        Setting("--rounding", "device.rounding", "WORD", "to pulses or levels: stochastic, nearest, carried"),
        Setting("--max-pulses", "device.max_pulses", WHOLE, "pulses a device gets in one write at most"),
        Setting("--neuron-spread", "neuron.spread", NUMBER, "sigma_a: spread from neuron to neuron"),
        Setting("--sigma-c", "converters.sigma_C", NUMBER, "noise of the measured cost"),
        Setting("--sigma-theta", "device.sigma_theta", NUMBER, "noise of a parameter update"),
        Setting("--amplitude-mismatch", "device.amplitude_mismatch", NUMBER, "spread of the amplitude, relative"),
        Setting(
            "--step-time", "chip.step_time", "SECONDS|WORD",
            "of an evaluation; or chip-in-the-loop, mem-compute, superconducting",
        ),
    ),
}  # fmt: skip


def known_keys() -> list[str]:
    """Every dotted key of a configuration, of `data` (which depend on the data set) some."""
    from analogmgd.chip import Chip, Converters, Device, Neuron
    from analogmgd.config import OF_CHIP, Run
    from analogmgd.faults import Faults
    from analogmgd.network import Network
    from analogmgd.rule import MGD, Backprop
    from analogmgd.wires import Wires

    parts: dict[str, Iterable[str]] = {
        "network": [*Network.also, *Network.model_fields],
        "device": Device.model_fields,
        "wires": Wires.model_fields,
        "neuron": Neuron.model_fields,
        "converters": Converters.model_fields,
        "faults": Faults.model_fields,
        "chip": list(OF_CHIP),
        "rule": ["type", *MGD.model_fields, *(k for k in Backprop.model_fields if k not in MGD.model_fields)],
        "data": ["name", "bits", "data_dir"],
        "run": Run.model_fields,
    }
    assert set(parts["chip"]) < set(Chip.model_fields)
    return [f"{table}.{key}" for table, keys in parts.items() for key in keys]


def suggest(key: str, known: list[str]) -> str:
    """' (did you mean rule.eta?)', also where the table is missing or another, or nothing."""
    from analogmgd.settings import did_you_mean

    last = key.rsplit(".", 1)[-1]
    same = [k for k in known if k.split(".", 1)[1] == last]
    if len(same) == 1:
        return f" (did you mean {same[0]}?)"
    by_last = {k.split(".", 1)[1]: k for k in known}
    near = did_you_mean(key, known) or did_you_mean(last, list(by_last))
    word = near.removeprefix(" (did you mean ").removesuffix("?)")
    return f" (did you mean {by_last.get(word, word)}?)" if near else ""


def assignment(text: str, known: list[str]) -> tuple[str, Any]:
    """KEY=VALUE of `--set`."""
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not key:
        raise ConfigError(f"--set {text!r}: expected KEY=VALUE with a dotted key, such as rule.eta=0.5")
    check_key(key, known)
    return key, toml_value(value)


def check_key(key: str, known: list[str]) -> None:
    """ConfigError where a dotted key is none of a configuration; what a data set takes is its own affair."""
    if key not in known and not (key.startswith("data.") and key.count(".") == 1):
        raise ConfigError(f"{key}: unknown key{suggest(key, known)}; keys are table.name, such as rule.eta")


def overrides(given: dict[str, Any], assignments: Iterable[str], record: Iterable[str] = ()) -> Tables:
    """Tables of what the command line says.

    Raises:
        ConfigError: one line: unknown key, a key given twice, a value that cannot be read.
    """
    found: dict[str, Any] = {}
    for setting in (s for group in SETTINGS.values() for s in group):
        text = given.get(setting.argument)
        if text is not None:
            value = setting.parse(text)
            named = setting.flag == "--network" and isinstance(value, str)
            found["network.preset" if named else setting.key] = value
    names = [name.strip() for text in record for name in text.split(",") if name.strip()]
    if names:
        found["run.record"] = names
    assignments = list(assignments)
    known = known_keys() if assignments else []
    for text in assignments:
        key, value = assignment(text, known)
        if key in found:
            raise ConfigError(f"{key} is given twice on the command line")
        found[key] = value
    from analogmgd.vary import tables

    return tables(found)


class SettingsCommand(click.Command):
    """A command with the options of `SETTINGS`, whose help has them in groups."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for group in SETTINGS.values():
            for s in group:
                self.params.append(click.Option([s.flag, s.argument], metavar=s.metavar, help=s.help))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        by_flag = {p.opts[0]: p for p in self.get_params(ctx) if isinstance(p, click.Option)}
        groups = {name: [s.flag for s in group] + EXTRA.get(name, []) for name, group in SETTINGS.items()}
        grouped = {flag for flags in groups.values() for flag in flags}
        groups = {"Options": [f for f in by_flag if f not in grouped], **groups}
        for name, flags in groups.items():
            with formatter.section(name):
                lines = (by_flag[flag].get_help_record(ctx) for flag in flags)
                formatter.write_dl([line for line in lines if line])
