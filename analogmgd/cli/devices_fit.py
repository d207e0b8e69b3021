"""`analogmgd devices fit`: a device of one's own from measured pulses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analogmgd.errors import ConfigError

from .output import columns, print_json

if TYPE_CHECKING:
    from analogmgd.device_fit import DeviceFit

EPILOG = """\b
FILE.csv has a header and a row for every read of the conductance, in the order they were taken:
  pulse        the pulse after which it was read, counting on within a sweep; 0: before the first
  conductance  in any unit
  direction    optional: up or down. Without it negative numbers are down pulses; without those
               either, the count starts anew with every sweep and the first one goes up.
\b
Columns of the table:
  rms           of predicting a read from those before it, in the unit of the file
  rms response  of the whole response, from the first read alone and without noise
  parameters    how many the data depend on
  criterion     -2 ln(likelihood) + parameters ln(reads), above the lowest; the lowest is chosen.
                Below 2 nothing speaks for either, above 10 the matter is clear.
\b
Examples:
  analogmgd devices fit pulses.csv -o device.toml --plot fit.png
  analogmgd devices show device.toml
  analogmgd train digits --device device.toml --device-scale 2
"""


@click.command(epilog=EPILOG)
@click.argument("file", metavar="FILE.csv")
@click.option("--model", metavar="NAME", help="Choose this model, whatever the residuals say.")
@click.option("-o", "--out", metavar="FILE.toml", help="Write the device as a table [device].")
@click.option("--plot", "picture", metavar="PICTURE", help="Draw data, fits and residuals: .png, .pdf or .svg.")
@click.option("--force", is_flag=True, help="Replace the files if they are there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def fit(file: str, model: str | None, out: str | None, picture: str | None, force: bool, as_json: bool) -> None:
    """Fit the step models to pulses measured on a device of your own, and choose one by the residuals.

    Takes some seconds per thousand pulses.
    """
    from analogmgd.device_fit import NAMES, fit_device
    from analogmgd.device_toml import is_file
    from analogmgd.plot import FORMATS
    from analogmgd.settings import did_you_mean

    from .traces import refuse_existing

    if model is not None and model not in NAMES:
        raise ConfigError(f"--model {model!r}: unknown{did_you_mean(model, list(NAMES))}; known: {', '.join(NAMES)}")
    if out is not None and not is_file(out):
        raise ConfigError(f"the device {out!r} must end in .toml")
    if picture is not None and Path(picture).suffix.lower() not in FORMATS:
        raise ConfigError(f"the picture {picture!r} must end in one of {', '.join(FORMATS)}")
    for path in (out, picture):
        if path is not None:
            refuse_existing(Path(path), force)
    from analogmgd.bench.progress import Steps

    with Steps(len(NAMES)) as steps:
        begun: list[str] = []

        def say(name: str) -> None:
            if begun:
                steps.done()
            begun.append(name)
            steps.say(f"fitting {name} steps")

        found = fit_device(file, say=say)
    if model is not None:
        found = found.choose(model)
    text = found.to_toml()  # before anything is written: it may be no device
    written = []
    if out is not None:
        try:
            Path(out).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write the device {out!r}: {error.strerror or error}") from error
        written.append(out)
    if picture is not None:
        from analogmgd.plot_fit import plot_fit

        plot_fit(found, picture)
        written.append(picture)
    if as_json:
        print_json({**about(found), "forced": model is not None, "files": written})
        return
    click.echo(report(found, model is not None))
    for path in written:
        click.echo(f"wrote {path}")
    if found.doubt is not None:
        click.echo(f"analogmgd: warning: {found.doubt}", err=True)


def about(found: DeviceFit) -> dict[str, Any]:
    """A fit for programs."""
    best = min(f.criterion for f in found.fits)
    return {
        "file": found.source,
        "reads": len(found.data.conductance),
        "pulses": {"up": pulses(found, 1), "down": pulses(found, -1)},
        "conductance": found.conductance,
        "model": found.model,
        "device": {k: v for k, v in found.device().model_dump().items() if v is not None},
        "doubt": found.doubt,
        "fits": [
            {
                "model": f.model,
                "rms": f.rms,
                "rms_response": f.rms_response,
                "parameters": f.parameters,
                "criterion": f.criterion - best,
                "settings": f.preset,
            }
            for f in found.fits
        ],
    }


def pulses(found: DeviceFit, direction: int) -> int:
    """How many pulses of one direction were given."""
    signed = direction * found.data.pulses
    return int(signed[signed > 0].sum())


def report(found: DeviceFit, forced: bool) -> str:
    """A fit for people."""
    from .devices_text import can_do

    low, high = found.conductance
    best = min(f.criterion for f in found.fits)
    head = ("model", "rms", "rms response", "parameters", "criterion")
    rows = [
        (f.model, f"{f.rms:.4g}", f"{f.rms_response:.4g}", str(f.parameters), f"{f.criterion - best:+.1f}")
        for f in found.fits
    ]
    up, down = (f"{pulses(found, d):,}".replace(",", " ") for d in (1, -1))
    why = "as asked for" if forced else "by its criterion"
    return "\n\n".join([
        f"{found.source}: {up} pulses up, {down} down; conductance {low:.4g} to {high:.4g}, as w from -1 to 1",
        columns(head, rows),
        f"chosen {why}: {found.model}\n{can_do(found.device())}",
    ])  # fmt: skip
