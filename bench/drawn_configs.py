"""Configurations drawn at random, sound and unsound, as TOML files and as words of the command line.

The keys are read off the classes of the package, so that a new one is drawn without a word here. Configuration n of a
seed is always the same one.
"""

from __future__ import annotations

import json
import random
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from pydantic.fields import FieldInfo

import analogmgd as am
from analogmgd.cli.options import SETTINGS
from analogmgd.config import TABLES
from analogmgd.device_presets import PRESETS

CLASSES = {
    "network": am.Network, "device": am.Device, "wires": am.Wires, "neuron": am.Neuron, "converters": am.Converters,
    "faults": am.Faults, "rule": am.MGD, "run": am.Run, "chip": am.Chip,
}  # fmt: skip
OF_CHIP = ("step_time", "delay", "delay_matched", "input_tau")
FLAGS = {setting.key: setting.flag for group in SETTINGS.values() for setting in group}
SETS = {  # name of the data set -> inputs, outputs, shape of a picture
    "parity": (2, 1, None),
    "numbers.npz": (6, 3, None),
    "pictures.npz": (36, 2, (1, 6, 6)),
    "one.h5": (1, 1, None),
}
WORDS = ("", " ", "x", "ideal", "NaN", "Ünïcödé ∑ 漢字", "\u202eabc", "a\nb", "\x00", "😀" * 40, "z" * 100_000,
         "../../etc", "--help", "1e400", "[1, 2", "none", "true", "-1", "0x10", "'", '"', "%s%n", "{0.__class__}",
         "$(id)")  # fmt: skip
NUMBERS = (0, -1, -0.0, 1, 2, 1.5, 1e-300, 5e-324, 1e300, -1e300, 1e38, 3.5e38, 1e9, 2**31, 2**32, 2**53 + 1,
           2**62, 2**63, 2**64, -(2**63), 10**30, 16**5000, float("nan"), float("inf"), float("-inf"), 7)  # fmt: skip
SLOW = {"run.steps", "run.chips", "rule.batch", "run.eval_samples"}  # whose size is honest work
WRITTEN = [name for name in PRESETS if name not in ("pcm", "pcm-programmed", "rram-milo", "rram-wan")]
KINDS = {  # keys that choose another kind of kernel, each of which takes long to compile
    "precision", "perturbation", "perturb", "layers", "amplitude_mismatch", "perturbation_bits", "perturbation_cubic",
    "one_sided", "drift_model", "programming_noise", "flicker", "telegraph", "angle", "record", "read_noise_slope",
}  # fmt: skip


@dataclass
class Drawn:
    """A configuration, and what was done to it.

    tables : of the TOML file; text : the file, where it is not those tables; words : of the command line after the file
    wrong : dotted keys that were given a value of no sense
    """

    tables: dict[str, Any]
    words: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    text: str | None = None
    sweep: bool = False

    def toml(self) -> str:
        """The TOML file."""
        return self.text if self.text is not None else to_toml(self.tables)


def to_toml(tables: Any) -> str:
    """TOML text; numbers of thousands of digits in hexadecimal."""
    large = 16**5000
    text = tomli_w.dumps(without(tables, large))
    return text.replace('"16**5000"', hex(large))


def without(value: Any, large: int) -> Any:
    """The same with a word for the number that cannot be written in decimal, and without None."""
    if isinstance(value, dict):
        return {k: without(v, large) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [without(v, large) for v in value if v is not None]
    return "16**5000" if type(value) is int and value == large else value


def make_sets(folder: Path) -> None:
    """The data sets that are not inside the package."""
    import h5py

    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.random((20, 6)), "y_train": np.arange(20) % 3, "x_test": rng.random((9, 6))}
    np.savez(folder / "numbers.npz", **arrays, y_test=np.arange(9) % 3)
    pictures = rng.integers(0, 256, (16, 6, 6), np.uint8)
    np.savez(folder / "pictures.npz", x_train=pictures, y_train=np.eye(2)[np.arange(16) % 2])
    with h5py.File(folder / "one.h5", "w") as file:
        file["x_train"], file["y_train"] = rng.random((5, 1)), rng.random((5, 1))


def sound(random: random.Random, table: str, key: str, info: FieldInfo) -> Any:
    """A value that makes sense for a key by itself."""
    if key == "name":
        return random.choice(list(PRESETS))
    kind, default = info.annotation, info.default
    options = [kind, *typing.get_args(kind)] if typing.get_origin(kind) in (typing.Union, types.UnionType) else [kind]
    for option in options:
        if typing.get_origin(option) is typing.Literal:
            return random.choice(typing.get_args(option))
    if bool in options:
        return random.random() < 0.5
    if int in options and float not in options:
        return random.choice([1, 2, 3, 5, 8, 12])
    if float in options:
        scale = abs(default) if isinstance(default, float | int) and default else 0.1
        return random.choice([0.0, scale, scale / 2, 2 * scale, random.random() * scale, random.random()])
    return random.choice([[0.1, 0.3], [2, 3], [[0, 0]], [0], []])


def network(random: random.Random, data: str, rare: bool) -> dict[str, Any]:
    """A small network that fits."""
    n_in, n_out, picture = SETS[data]
    smooth = {"cost": "cross-entropy", "label_smoothing": random.choice([0.0, 0.1])} if n_out > 1 else {}
    table = smooth if random.random() < 0.5 else {}
    if picture and rare:
        layers = [
            {"type": "conv2d", "c_in": 1, "c_out": 2, "kernel": random.choice([2, 3]), "activation": "relu"},
            {"type": random.choice(["maxpool2d", "avgpool2d"]), "size": 2},
        ]
        return {
            "layers": [*layers, {"n_in": 8, "n_out": n_out, "activation": "linear"}],
            "input_shape": [1, 6, 6],
            **table,
        }
    hidden = [random.randint(1, 5) for _ in range(random.randint(0, 2))]
    activation = random.choice(["sigmoid", "tanh", "relu", "linear"])
    return {"sizes": [n_in, *hidden, n_out], "activation": activation, **table}


def sound_tables(random: random.Random) -> dict[str, Any]:
    """A configuration that is meant to run: few keys differ from their defaults."""
    data = random.choices(list(SETS), [5, 3, 1, 1])[0]
    rare = random.random() < 0.01  # kinds of kernels that take long to compile
    tables: dict[str, Any] = {name: {} for name in TABLES}
    tables["data"] = {"name": data}
    tables["network"] = network(random, data, rare)
    tables["run"] = {"steps": random.randint(1, 40), "chips": random.choice([1, 2] if rare else [3, 5, [7, 1, 2]])}
    tables["rule"] = {"eta": random.choice([0.0, 0.01, 0.1, 1.0])}
    if random.random() < 0.1:
        tables["rule"]["type"] = "backprop"
    if random.random() < 0.3:
        tables["device"]["name"] = random.choice(list(PRESETS) if rare else WRITTEN)
    if rare:
        tables["wires"] = {"row": 1.0, "column": 1.0, "g_unit": 1e-4}
        tables["device"].setdefault("name", "ecram")
    if random.random() < 0.1:
        tables["faults"] = {"rows": 0.1, "neurons": 0.1}
    if random.random() < 0.1:
        tables["rule"] |= {"mode": "analog", "tau_x": 10, "tau_theta": 100.0}
    for _ in range(random.choice([0, 0, 1, 2, 4])):
        table = random.choice([name for name in CLASSES if rare or name != "wires"])
        fields = CLASSES[table].model_fields
        keys = [k for k in fields if f"{table}.{k}" not in SLOW and k != "layers" and (table != "chip" or k in OF_CHIP)]
        key = random.choice([k for k in keys if rare or k not in KINDS])
        tables[table].setdefault(key, sound(random, table, key, fields[key]))
    return {name: table for name, table in tables.items() if table}


def nonsense(random: random.Random, key: str) -> Any:
    """A value that a key was not made for."""
    kind = random.randrange(9)
    if kind < 4:
        numbers = [n for n in NUMBERS if not (key in SLOW and n in (1e9, 2**31, 2**32))]
        return random.choice(numbers)
    if kind < 6:
        return random.choice(WORDS)
    if kind == 6:
        return random.choice([[], [[]], [1, "a", True], [float("nan")], list(range(500)), [[0, 10**12]], [-1], [2**64]])
    if kind == 7:
        deep: Any = random.choice([1, "x"])
        for _ in range(random.choice([1, 5, 60])):
            deep = [deep] if random.random() < 0.5 else {"a": deep}
        return deep
    return random.choice([True, False, {}, {"x": {"y": []}}])


def spoil(random: random.Random, drawn: Drawn) -> None:
    """Give one key a value of no sense, or make a key, a table or the text into nothing known."""
    tables, what = drawn.tables, random.randrange(12)
    table = random.choice([*CLASSES, "data"])
    if not isinstance(tables.get(table, {}), dict):
        return  # spoilt already
    if what == 0:
        key = random.choice(["nosuch", "", "a.b", "ета", "x" * 5000, "__class__", "model_config", "self", "table"])
        tables.setdefault(table, {})[key] = nonsense(random, "")
    elif what == 1:
        table = random.choice(["nosuch", "", "Rule", "sweep", "z" * 3000, table])
        tables[table] = nonsense(random, "")
        drawn.wrong.append(table)
        return
    else:
        fields = [*CLASSES[table].model_fields] if table != "data" else ["name", "bits", "data_dir"]
        fields += {"network": ["sizes", "output", "activation", "preset"], "rule": ["type"]}.get(table, [])
        key = random.choice([k for k in fields if table != "chip" or k in OF_CHIP])
        tables.setdefault(table, {})[key] = nonsense(random, f"{table}.{key}")
    drawn.wrong.append(f"{table}.{key}")


def spoilt_text(random: random.Random, text: str) -> str:
    """TOML with a piece cut, doubled, or put in."""
    a, b = sorted(random.randrange(len(text) + 1) for _ in range(2))
    pieces = ["[", "]", "=", '"', "'''", "\\", "\x00", "\ufeff", "[[rule]]", "[rule]\n", "rule = 1\n",
              "a." * 300 + "a = 1\n", "x = " + "[" * 3000, "{" * 50, "1979-05-27T07:32:00Z", "nan", "0x" + "f" * 6000,
              "9" * 6000, "\r", "é"]  # fmt: skip
    return random.choice(
        [text[:a] + text[b:], text[:a], text[:b] + text[a:], text[:a] + random.choice(pieces) + text[a:]]
    )


def chipped(drawn: Drawn, key: str) -> bool:
    """Whether the text is TOML that does not say this of [run]."""
    try:
        run = tomllib.loads(drawn.toml()).get("run", {})
    except (ValueError, RecursionError):
        return False
    return isinstance(run, dict) and key not in run


def word_of(value: Any) -> str:
    """A value as it stands on a command line."""
    if isinstance(value, str):
        return value.replace("\x00", "0")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) > 10**100:
        return hex(value)
    return json.dumps(value) if isinstance(value, list | dict) else repr(value)


def as_words(random: random.Random, drawn: Drawn) -> None:
    """Move some of the keys from the file to the command line, and add options that may not go together."""
    for table in list(drawn.tables):
        content = drawn.tables[table]
        if not isinstance(content, dict) or table == "sweep":
            continue
        for key in list(content):
            if f"{table}.{key}" in ("data.name", "network.layers") or random.random() < 0.4:
                continue
            value = content.pop(key)
            flag = FLAGS.get(f"{table}.{key}")
            if flag and random.random() < 0.6:
                text = "-".join(map(str, value)) if key == "sizes" and isinstance(value, list) else word_of(value)
                drawn.words += [flag, text]
            else:
                drawn.words += ["--set", f"{table}.{key}={word_of(value)}"]
        if not content:
            del drawn.tables[table]


def draw(seed: int, n: int) -> Drawn:
    """Configuration n of a seed.

    >>> draw(0, 7).toml() == draw(0, 7).toml()
    True
    """
    chance = random.Random(f"{seed} {n}")
    drawn = Drawn(sound_tables(chance))
    for _ in range(chance.choice([0, 0, 0, 1, 1, 1, 2, 4])):
        spoil(chance, drawn)
    if chance.random() < 0.1:
        vary(chance, drawn)
    if chance.random() < 0.4:
        as_words(chance, drawn)
    if chance.random() < 0.1:
        drawn.text = spoilt_text(chance, drawn.toml())
        drawn.wrong.append("text")
        if chipped(drawn, "steps") and not any("steps" in word for word in drawn.words):
            drawn.words += ["--steps", "40"]  # where the cut took them: else it is the millions of a preset
    return drawn


def vary(chance: random.Random, drawn: Drawn) -> None:
    """Make it a sweep of few points, by [sweep] or --vary, some of them of no sense."""
    drawn.sweep = True
    drawn.tables.pop("sweep", None)
    lists = [
        ("rule.eta", [0.1, 0.5]), ("neuron.spread", [0.0, 0.1]), ("device.name", ["ideal", "ecram"]),
        ("run.seed", [1, 2]), ("rule.eta", "0.01..1:log:3"), ("run.seed", "1..3:3"),
    ]  # fmt: skip
    axes = dict(chance.choice(lists) for _ in range(chance.randint(1, 2)))
    if chance.random() < 0.5:
        key = chance.choice(["rule.eta", "nosuch.key", "rule", "", "network.layers", "rule.eta.x", "data.name"])
        texts = ["1..2", "1..2:log:0", "0..1:log:3", "1..nan:3", "1..2:999999999", "..", ":::", ",", "1,1",
                 "1..1e400:3", "1e300..-1e300:3", "1..9" * 500, "[[[", "0x" + "f" * 5000, "1..2:lin:3",
                 "5e-324..1e308:log:4"]  # fmt: skip
        values = chance.choice([nonsense(chance, ""), [nonsense(chance, "")], chance.choice(texts)])
        axes[key] = values
        drawn.wrong.append(f"vary {key}")
    if chance.random() < 0.5:
        for key, values in axes.items():
            text = ",".join(map(word_of, values)) if isinstance(values, list) else word_of(values)
            drawn.words += ["--vary", f"{key}={text}"]
    elif chance.random() < 0.7:
        drawn.tables["sweep"] = {
            "vary": axes,
            "targets": chance.choice([[0.9], [], ["cost=0.1"], [nonsense(chance, "")]]),
        }
    else:
        drawn.tables["sweep"] = {"points": [{"rule.eta": 0.1}, {"rule.eta": nonsense(chance, "")}]}
        drawn.wrong.append("points")
