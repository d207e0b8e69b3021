"""`analogmgd devices`: presets of the devices that hold the parameters."""

from __future__ import annotations

import click

from .output import columns, pairs, print_json

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
LIST_EPILOG = """\b
Example:
  analogmgd devices list --json
"""
SHOW_EPILOG = """\b
Example:
  analogmgd devices show ideal
"""
GROUP_EPILOG = """\b
Examples:
  analogmgd devices
  analogmgd devices show ideal
"""


@click.group(invoke_without_command=True, epilog=GROUP_EPILOG)
@click.pass_context
def devices(ctx: click.Context) -> None:
    """List device presets (also without a word more), or show the settings of one."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_command)


@devices.command("list", epilog=LIST_EPILOG)
@json_option
def list_command(as_json: bool = False) -> None:
    """The presets, to be used as `train --device NAME`."""
    from analogmgd.chip import DEVICES

    if as_json:
        print_json({"devices": [device.model_dump() for device in DEVICES.values()]})
        return
    rows = [(name, device.write, f"{device.sigma_theta:g}") for name, device in DEVICES.items()]
    click.echo(columns(("name", "write", "sigma_theta"), rows))


@devices.command(epilog=SHOW_EPILOG)
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """The settings of a preset; each is a key of the table [device]."""
    from analogmgd.chip import device

    settings = device(name).model_dump()
    if as_json:
        print_json(settings)
    else:
        click.echo(f"{name}\n{pairs([(key, str(value)) for key, value in settings.items() if key != 'name'])}")
