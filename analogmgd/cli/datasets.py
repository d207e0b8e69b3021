"""`analogmgd datasets`: what data there is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click

from .output import columns, pairs, print_json

LIST_EPILOG = """\b
Example:
  analogmgd datasets list --json
"""
SHOW_EPILOG = """\b
Examples:
  analogmgd datasets show digits
  analogmgd datasets show parity --bits 3
  analogmgd datasets show nist7x7 -o nist7x7.png
  analogmgd datasets show mydata.npz --json

\b
A .npz or .h5 file holds arrays x_train, y_train and, optionally, x_test, y_test, classes,
image_shape.
"""
GROUP_EPILOG = """\b
Examples:
  analogmgd datasets
  analogmgd datasets show digits
"""
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")


@click.group(invoke_without_command=True, epilog=GROUP_EPILOG)
@click.pass_context
def datasets(ctx: click.Context) -> None:
    """List data sets (also without a word more), or show what one looks like."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_command)


@datasets.command("list", epilog=LIST_EPILOG)
@json_option
def list_command(as_json: bool = False) -> None:
    """The data sets that are built in."""
    from analogmgd.data import list_datasets

    found = list_datasets()
    if as_json:
        print_json({"datasets": found})
        return
    rows = [
        (
            d["name"],
            f"{d['sizes']['train']:,}".replace(",", " "),
            f"{d['sizes']['test']:,}".replace(",", " "),
            f"{d['n_in']} -> {d['n_out']}",
            d["description"],
        )
        for d in found
    ]
    click.echo(columns(("name", "train", "test", "network", "what"), rows))
    click.echo("\nYour own: a .npz or .h5 file with x_train, y_train, and x_test, y_test if any.")


@datasets.command(epilog=SHOW_EPILOG)
@click.argument("name", metavar="NAME|FILE")
@click.option("--bits", type=int, metavar="N", help="parity: number of inputs")
@click.option("-o", "--out", metavar="PICTURE", help="Draw a contact sheet: .png, .pdf or .svg.")
@click.option("--force", is_flag=True, help="Replace the picture if it is there.")
@json_option
def show(name: str, bits: int | None, out: str | None, force: bool, as_json: bool) -> None:
    """Sizes, classes, source, licence, and what the examples look like."""
    from analogmgd.contact_sheet import contact_sheet, contact_sheet_text
    from analogmgd.data import load_dataset

    data = load_dataset(name, **({} if bits is None else {"bits": bits}))
    if out:
        from .traces import refuse_existing

        refuse_existing(Path(out), force)
        contact_sheet(data, out)
    about = data.describe()
    if as_json:
        print_json({**about, "fingerprint": data.fingerprint(), "picture": out})
        return
    click.echo(text(about))
    click.echo("\n" + contact_sheet_text(data, shutil.get_terminal_size().columns))
    if out:
        click.echo(f"\nwrote {out}")


def text(about: dict[str, Any]) -> str:
    """What a data set is, for people."""
    train, test = (f"{about['sizes'][split]:,}".replace(",", " ") for split in ("train", "test"))
    examples = f"{train}, to train and to test" if about["test_is_train"] else f"{train} to train, {test} to test"
    shape = about["image_shape"]
    low, high = about["range"]
    inputs = f"{about['n_in']}" + (f" ({' x '.join(map(str, shape))} pixels)" if shape else "")
    counts = about["class_counts"]
    lines = [
        f"{name}: {counts['train'][name]}" + ("" if about["test_is_train"] else f" + {counts['test'][name]}")
        for name in about["classes"]
        if counts
    ]
    classes = ", ".join(lines[:30]) + (f" and {len(lines) - 30} more" if len(lines) > 30 else "")
    rows = [
        ("examples", examples),
        ("inputs", f"{inputs}, {about['dtype']}, {low:g} to {high:g}"),
        ("targets", f"{about['n_out']}" + ("" if classes else " (numbers, no classes)")),
        ("classes", classes + ("" if about["test_is_train"] or not classes else " (train + test)")),
        ("source", about["source"]),
        ("licence", about["licence"]),
    ]
    title = about["name"] + (f": {about['description']}" if about["description"] else "")
    return f"{title}\n{pairs(rows)}"
