"""docs/devices.md says what the code has."""

import re
from pathlib import Path

import pytest

import analogmgd as am
from analogmgd.cli.devices_text import whole
from analogmgd.device_figures import figures
from analogmgd.device_meanings import MEANINGS
from analogmgd.device_presets import DEFAULTS, PRESETS
from analogmgd.devices import NAMES, Device

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "devices.md").read_text(encoding="utf-8")
OWN_COLUMNS = {
    "model", "dw_min", "w_min", "w_max", "up_down", "dw_spread", "dw_lognormal", "up_down_spread", "w_max_spread",
    "w_min_spread", "c2c", "c2c_additive", "write_noise", "source",
}  # fmt: skip


def literal(value):
    if isinstance(value, tuple):
        return f"[{', '.join(f'{v:.4g}' for v in value)}]"
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else f"{value:g}"


def preset_row(name):
    p = {**DEFAULTS, **PRESETS[name]}
    if name == "ideal":
        return [f"`{name}`", "-", "-", "unbounded", "0", "-", "0", "0", "", p["source"]]
    spread = f"{p['dw_spread']:g}{' log' if p['dw_lognormal'] else ''}"
    spreads = " / ".join([spread, *(f"{p[k]:g}" for k in ("up_down_spread", "w_max_spread", "w_min_spread"))])
    if p["model"] == "ideal":
        keys = [k for k in PRESETS[name] if k not in OWN_COLUMNS]
        more = ", ".join(f"`{k} = {literal(PRESETS[name][k])}`" for k in keys)
        return [f"`{name}`", "-", "-", f"{p['w_min']:g} .. {p['w_max']:g}", "0", "-", "0", "0", more, p["source"]]
    more = ", ".join(f"`{k} = {literal(v)}`" for k, v in PRESETS[name].items() if k not in OWN_COLUMNS)
    return [
        f"`{name}`", p["model"], f"{p['dw_min']:g}", f"{p['w_min']:g} .. {p['w_max']:g}", f"{p['up_down']:g}", spreads,
        f"{p['c2c']:g}{' additive' if p['c2c_additive'] else ''}", f"{p['write_noise']:g}", more, p["source"],
    ]  # fmt: skip


def figures_row(name):
    f = figures(am.device(name))
    point = "everywhere" if f.asymmetry == 0 else "-" if f.symmetry_point is None else f"{f.symmetry_point:.2g}"
    uneven = "-" if f.asymmetry is None else f"{100 * f.asymmetry:.3g} %"
    return [
        f"`{name}`", f"{f.pulses_up} / {f.pulses_down}", whole(f.steps), uneven,
        f"{100 * f.step_noise:.3g} %", f"{f.write_noise:.2g}", point,
    ]  # fmt: skip


TABLES = {
    "presets": [
        ["name", "model", "dw_min", "w", "up_down", "spreads", "c2c", "write noise / dw_min", "more", "source"],
        *map(preset_row, NAMES),
    ],
    "figures": [
        ["name", "pulses up / down", "steps", "asymmetry", "step noise", "write noise", "symmetry point"],
        *(figures_row(name) for name in NAMES if am.device(name).write == "pulsed"),
    ],
}


def markdown(rows):
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "| " + " | ".join("---" for _ in rows[0]) + " |", *lines[1:]])


@pytest.mark.parametrize("table", TABLES)
def test_tables_agree_with_the_code(table):
    """What the page should have is in the message where it does not."""
    found = re.search(rf"<!-- {table}: .*? -->\n(.*?)\n<!-- end -->", PAGE, re.DOTALL)
    assert found is not None
    assert found[1] == markdown(TABLES[table]), markdown(TABLES[table])


def test_every_setting_is_on_the_page_and_has_a_meaning():
    assert set(MEANINGS) == set(Device.model_fields)
    assert [
        key for key in Device.model_fields if not re.search(rf"`[^`\n]*\b{key}\b|^    .*\b{key}\b", PAGE, re.M)
    ] == []


def test_links_and_the_docstring_of_the_presets():
    heads = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^## (.*)$", PAGE, re.MULTILINE)}
    assert set(re.findall(r"\(#([\w-]+)\)", PAGE)) == heads
    assert (ROOT / "bench" / "results" / "devices.png").is_file()
    assert "docs/devices.md" in (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^    ([\w-]+) +(-|[a-z-]+)  ", am.device.__doc__, re.MULTILINE)[1:]
    assert rows == [(name, am.device(name).model or "-") for name in NAMES]
