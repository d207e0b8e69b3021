"""`analogmgd devices`: presets of the devices that hold the parameters, and what their pulses do."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analogmgd.errors import ConfigError

from .options import overrides
from .output import columns, pairs, print_json

if TYPE_CHECKING:
    from analogmgd.device_figures import Figures
    from analogmgd.devices import Device

LIST_EPILOG = """\b
Columns:
  pulses       up and down, over nine tenths of the range, of a device without spread and noise
  asymmetry    mean over the range of |up - down| / (up + down) of the steps
  step noise   standard deviation from pulse to pulse / mean step, at w = 0
  write noise  of what is seen of w, drawn at each write
  range        of w, which is normalised; the network sees theta = scale w
  granularity  change of w that one pulse stands for; steps: range / granularity
  symmetry     w at which up and down steps are equal (all: everywhere)
\b
Example:
  analogmgd devices list --json
"""
SHOW_EPILOG = """\b
Examples:
  analogmgd devices show reram-es
  analogmgd devices show ecram --set device.c2c=0
  analogmgd devices show reram-es --toml > run.toml
"""
PLOT_EPILOG = """\b
Examples:
  analogmgd devices plot reram-es
  analogmgd devices plot ecram capacitor -o two.pdf --pulses 1000
  analogmgd devices plot reram-es --set device.c2c=0 --devices 20 --force
"""
GROUP_EPILOG = """\b
Examples:
  analogmgd devices
  analogmgd devices show reram-es
  analogmgd devices plot reram-es ecram -o devices.png
"""
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
set_option = click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="A setting to change, such as device.c2c=0."
)


@click.group(invoke_without_command=True, epilog=GROUP_EPILOG)
@click.pass_context
def devices(ctx: click.Context) -> None:
    """List device presets (also without a word more), show the settings of one, or draw what pulses do."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_command)


@devices.command("list", epilog=LIST_EPILOG)
@json_option
def list_command(as_json: bool = False) -> None:
    """The presets, to be used as `train --device NAME`."""
    from analogmgd.device_figures import short_source, source
    from analogmgd.devices import NAMES, device

    found = [device(name) for name in NAMES]
    if as_json:
        print_json({"devices": [about(d) for d in found]})
        return
    head = (
        "name", "pulses up/down", "asymmetry", "step noise", "write noise", "range", "dw_min", "granularity", "steps",
        "symmetry", "model", "source",
    )  # fmt: skip
    rows = [(d.name, *cells(d), d.model or d.write, short_source(source(d))) for d in found]
    click.echo(columns(head, rows))


@devices.command(epilog=SHOW_EPILOG)
@click.argument("name")
@set_option
@click.option("--toml", "as_toml", is_flag=True, help="The table [device], for a configuration file.")
@json_option
def show(name: str, assignments: tuple[str, ...], as_toml: bool, as_json: bool) -> None:
    """What a preset can do, and its settings; each is a key of the table [device]."""
    if as_toml and as_json:
        raise click.UsageError("--toml and --json exclude each other", click.get_current_context())
    found = chosen((name,), assignments)[0]
    if as_json:
        print_json(about(found))
    else:
        click.echo(toml(found) if as_toml else text(found))


@devices.command(epilog=PLOT_EPILOG)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("-o", "--out", metavar="PICTURE", help="A .png, .pdf or .svg; by default devices-NAME.png.")
@click.option("--devices", "drawn", type=int, default=5, metavar="N", help="Devices drawn beside the nominal one.")
@click.option("--pulses", type=int, default=500, metavar="N", help="Pulses up, and as many down.")
@click.option("--seed", type=int, default=0, metavar="N", help="Decides the devices and their noise.")
@set_option
@click.option("--force", is_flag=True, help="Replace the picture if it is there.")
@json_option
def plot(
    names: tuple[str, ...],
    out: str | None,
    drawn: int,
    pulses: int,
    seed: int,
    assignments: tuple[str, ...],
    force: bool,
    as_json: bool,
) -> None:
    """Draw the response to pulses up and down of some devices, and the size of their steps at every weight.

    Default: 500 pulses each way, five devices and the nominal one.
    """
    from .traces import refuse_existing

    found = chosen(names, assignments)
    target = Path(out or f"devices-{'-'.join(names)}.png")
    refuse_existing(target, force)
    from analogmgd.plot_devices import plot_devices

    plot_devices(found, target, pulses=pulses, drawn=drawn, seed=seed)
    print_json({"picture": str(target)}) if as_json else click.echo(f"wrote {target}")


def chosen(names: tuple[str, ...], assignments: tuple[str, ...]) -> list[Device]:
    """The presets of these names, each with the settings of `--set device.KEY=VALUE`."""
    from analogmgd.devices import device

    tables = overrides({}, assignments)
    for table, keys in tables.items():
        for key in keys:
            if (table, key) == ("device", "name") or table != "device":
                raise ConfigError(f"{table}.{key}: not a setting of a preset; --set takes keys such as device.c2c here")
    if len(set(names)) < len(names):
        raise ConfigError(f"{' '.join(names)}: a device is named twice")
    return [device(name, **tables.get("device", {})) for name in names]


def about(device: Device) -> dict[str, Any]:
    """A device for programs."""
    from analogmgd.device_figures import figures, source

    return {
        "name": device.name,
        "model": device.model,
        "source": source(device),
        "figures": asdict(figures(device)),
        "settings": device.model_dump(),
    }


def cells(device: Device) -> tuple[str, ...]:
    """The figures of a row of the list."""
    from analogmgd.device_figures import figures

    f = figures(device)
    if f.range is None:
        return ("", "", "", "", "unbounded", "", "", "", "")
    return (
        "" if f.steps is None else f"{pulse_text(f.pulses_up)} / {pulse_text(f.pulses_down)}",
        percent(f.asymmetry),
        percent(f.step_noise),
        f"{f.write_noise:.2g}",
        f"{f.range[0]:.3g} .. {f.range[1]:.3g}",
        "" if device.dw_min is None else f"{device.dw_min:.3g}",
        "" if f.granularity is None else f"{f.granularity:.3g}",
        "" if f.steps is None else whole(f.steps),
        "" if f.steps is None else symmetry_text(f, "all", "none"),
    )


def whole(value: float) -> str:
    """A count, with one digit after the point where it is small."""
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}".replace(",", " ")


def pulse_text(pulses: int | None) -> str:
    from analogmgd.device_figures import MANY

    return f"{pulses:,}".replace(",", " ") if pulses is not None else f"over {MANY:,}".replace(",", " ")


def symmetry_text(f: Figures, everywhere: str, nowhere: str) -> str:
    if f.symmetry_point is None:
        return everywhere if f.asymmetry == 0 else nowhere
    return f"{f.symmetry_point:.2g}"


def percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.3g} %"


def text(device: Device) -> str:
    """A device for people: first what it can do, then its settings."""
    from analogmgd.device_figures import figures, source
    from analogmgd.device_meanings import MEANINGS, told_settings

    f, settings = figures(device), told_settings(device)
    title = f"{device.name}: {source(device)}"
    if settings:
        head = ("setting", "value", "unit", "meaning")
        rows = [(key, literal(value), *MEANINGS.get(key, ("", ""))) for key, value in settings.items()]
        table = columns(head, rows)
    else:
        table = "every setting has its default"
    return "\n\n".join(part for part in (f"{title}\n{pairs(derived(device, f))}".rstrip(), table) if part)


def derived(device: Device, f: Figures) -> list[tuple[str, str]]:
    """What a device can do, as names and values."""
    if f.range is None:
        return [("range", "unbounded")]
    rows = [("range", f"w = {f.range[0]:.4g} to {f.range[1]:.4g}, theta = {device.scale:g} w")]
    if f.granularity is None or f.steps is None:
        return rows
    rows.append(("steps", f"{whole(f.steps)} of {f.granularity:.4g} from end to end"))
    if f.step_up is None or f.step_down is None or f.step_noise is None:
        return rows
    up, down = f.step_up, f.step_down
    of_range = (f.write_noise or 0.0) / (f.range[1] - f.range[0])
    return [
        rows[0],
        ("pulses", f"{pulse_text(f.pulses_up)} up, {pulse_text(f.pulses_down)} down over nine tenths of the range; "
                   f"{whole(f.steps)} steps of {f.granularity:.4g} from end to end"),
        ("asymmetry", f"{percent(f.asymmetry)} (mean of |up - down| / (up + down)); "
                      f"at w = 0 {up:.4g} up, {down:.4g} down; "
                      f"equal at w = {symmetry_text(f, 'any', 'none')}") if not device.one_sided else
        ("pair", f"of devices written upwards only, by {up:.4g} in the middle of the range of one"),
        ("noise", f"{percent(f.step_noise)} of a step from pulse to pulse; "
                  f"{f.write_noise:.3g} ({percent(of_range)} of the range) in w after a write"),
        ("spread", f"{percent(device.dw_spread)} of the step{' (log-normal)' if device.dw_lognormal else ''}, "
                   f"{percent(device.w_max_spread)} of w_max, {percent(device.w_min_spread)} of w_min between devices"),
    ]  # fmt: skip


def literal(value: Any) -> str:
    """A value as TOML has it."""
    import tomli_w

    if isinstance(value, tuple):
        return f"[{', '.join(map(literal, value))}]"
    return tomli_w.dumps({"v": value}).strip().removeprefix("v = ")


def toml(device: Device) -> str:
    """The table [device], each setting with its meaning behind it."""
    from analogmgd.device_figures import source
    from analogmgd.device_meanings import MEANINGS, told_settings

    lines = [(f"name = {literal(device.name)}", source(device))]
    for key, value in told_settings(device).items():
        unit, meaning = MEANINGS.get(key, ("", ""))
        lines.append((f"{key} = {literal(value)}", meaning + (f" ({unit})" if unit not in ("", "1") else "")))
    width = max(len(line) for line, _ in lines)
    return "\n".join(["[device]", *(f"{line:<{width}}  # {words}" for line, words in lines)])
