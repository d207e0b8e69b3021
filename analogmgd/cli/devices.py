"""`analogmgd devices`: presets of the devices that hold the parameters, one's own, and what their pulses do."""

from __future__ import annotations

from pathlib import Path

import click

from analogmgd.errors import ConfigError

from .devices_fit import fit
from .devices_text import Named, about, cells, text
from .options import overrides
from .output import columns, print_json

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
  analogmgd devices show reram-es --toml > device.toml
  analogmgd devices show device.toml
\b
A file may hold a whole configuration: its table [device] is taken.
"""
PLOT_EPILOG = """\b
Examples:
  analogmgd devices plot reram-es
  analogmgd devices plot ecram capacitor -o two.pdf --pulses 1000
  analogmgd devices plot reram-es --set device.c2c=0 --devices 20 --force
  analogmgd devices plot device.toml ecram -o mine.png
"""
GROUP_EPILOG = """\b
Examples:
  analogmgd devices
  analogmgd devices show reram-es
  analogmgd devices plot reram-es ecram -o devices.png
  analogmgd devices fit pulses.csv -o device.toml
"""
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
set_option = click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="A setting to change, such as device.c2c=0."
)


@click.group(invoke_without_command=True, epilog=GROUP_EPILOG)
@click.pass_context
def devices(ctx: click.Context) -> None:
    """List device presets (also without a word more), show one or draw what pulses do, or fit one of your own."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_command)


devices.add_command(fit)


@devices.command("list", epilog=LIST_EPILOG)
@json_option
def list_command(as_json: bool = False) -> None:
    """The presets, to be used as `train --device NAME`."""
    from analogmgd.device_figures import short_source, source
    from analogmgd.devices import NAMES, device

    found = [Named(name, source(device(name)), device(name)) for name in NAMES]
    if as_json:
        print_json({"devices": [about(d) for d in found]})
        return
    head = (
        "name", "pulses up/down", "asymmetry", "step noise", "write noise", "range", "dw_min", "granularity", "steps",
        "symmetry", "model", "source",
    )  # fmt: skip
    rows = [(d.name, *cells(d.device), d.device.model or d.device.write, short_source(d.source)) for d in found]
    click.echo(columns(head, rows))


@devices.command(epilog=SHOW_EPILOG)
@click.argument("name", metavar="NAME|FILE.toml")
@set_option
@click.option("--toml", "as_toml", is_flag=True, help="The table [device], for a configuration file.")
@json_option
def show(name: str, assignments: tuple[str, ...], as_toml: bool, as_json: bool) -> None:
    """What a preset, or the device of a TOML file, can do, and its settings; each is a key of the table [device]."""
    if as_toml and as_json:
        raise click.UsageError("--toml and --json exclude each other", click.get_current_context())
    from analogmgd.device_toml import device_toml, is_file

    found = chosen((name,), assignments)[0]
    if as_json:
        print_json(about(found))
    elif as_toml and is_file(name) and found.device.name == "ideal":
        click.echo(device_toml(found.device, [found.source]))
    else:
        click.echo(device_toml(found.device, source=found.source) if as_toml else text(found))


@devices.command(epilog=PLOT_EPILOG)
@click.argument("names", metavar="NAME|FILE.toml...", nargs=-1, required=True)
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
    target = Path(out or f"devices-{'-'.join(d.name for d in found)}.png")
    refuse_existing(target, force)
    from analogmgd.plot_devices import plot_devices

    plot_devices(
        [d.device for d in found], target, pulses=pulses, drawn=drawn, seed=seed, labels=[d.name for d in found]
    )
    print_json({"picture": str(target)}) if as_json else click.echo(f"wrote {target}")


def chosen(names: tuple[str, ...], assignments: tuple[str, ...]) -> list[Named]:
    """The presets of these names and the devices of these files, each with the settings of `--set device.KEY=VALUE`."""
    from analogmgd.device_figures import source
    from analogmgd.device_toml import is_file, read_device_table
    from analogmgd.devices import device

    tables = overrides({}, assignments)
    for table, keys in tables.items():
        for key in keys:
            if (table, key) == ("device", "name") or table != "device":
                raise ConfigError(f"{table}.{key}: not a setting of a preset; --set takes keys such as device.c2c here")
    if len(set(names)) < len(names):
        raise ConfigError(f"{' '.join(names)}: a device is named twice")
    changes, found = tables.get("device", {}), []
    for name in names:
        if is_file(name):
            settings = {"name": "ideal", **read_device_table(name), **changes}
            one = device(settings.pop("name"), **settings)
            preset = "" if one.name == "ideal" else f", from the preset {one.name}"
            found.append(Named(Path(name).stem, name + preset, one))
        else:
            one = device(name, **changes)
            found.append(Named(name, source(one), one))
    return found
