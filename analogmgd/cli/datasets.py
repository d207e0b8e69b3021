"""`analogmgd datasets`: what data there is."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from analogmgd.errors import ConfigError

from .output import columns, pairs, print_json, si

LIST_EPILOG = """\b
Examples:
  analogmgd datasets list
  analogmgd datasets list --json
"""
SHOW_EPILOG = """\b
Examples:
  analogmgd datasets show digits
  analogmgd datasets show parity --bits 3
  analogmgd datasets show nist7x7 -o nist7x7.png
  analogmgd datasets show mydata.npz --json
  analogmgd datasets show cifar10 --data-dir ~/data -o cifar10.png

\b
A .npz or .h5 file holds arrays x_train, y_train and, optionally, x_test, y_test, classes,
image_shape.
"""
FETCH_EPILOG = """\b
Examples:
  analogmgd datasets fetch fashion_mnist
  analogmgd datasets fetch cifar10 --data-dir ~/data

\b
A download that broke off goes on where it was.
"""
GROUP_EPILOG = """\b
Examples:
  analogmgd datasets
  analogmgd datasets show digits
  analogmgd datasets fetch fashion_mnist
"""
data_dir_option = click.option(
    "--data-dir", metavar="DIR", help="Folder with the files of fashion_mnist or cifar10; default ANALOGMGD_DATA, .."
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")


@click.group(invoke_without_command=True, epilog=GROUP_EPILOG)
@click.pass_context
def datasets(ctx: click.Context) -> None:
    """List data sets (also without a word more), show what one looks like, or fetch one."""
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
    files = [(d["name"], where(d["files"])) for d in found if d["files"]]
    click.echo(f"\n{pairs(files, indent='')}")
    click.echo("\nYour own: a .npz or .h5 file with x_train, y_train, and x_test, y_test if any.")


@datasets.command(epilog=SHOW_EPILOG)
@click.argument("name", metavar="NAME|FILE")
@click.option("--bits", type=int, metavar="N", help="parity: number of inputs")
@data_dir_option
@click.option("-o", "--out", metavar="PICTURE", help="Draw a contact sheet: .png, .pdf or .svg.")
@click.option("--force", is_flag=True, help="Replace the picture if it is there.")
@json_option
def show(name: str, bits: int | None, data_dir: str | None, out: str | None, force: bool, as_json: bool) -> None:
    """Sizes, classes, source, licence, and what the examples look like."""
    from analogmgd.contact_sheet import contact_sheet, contact_sheet_text
    from analogmgd.data import load_dataset
    from analogmgd.datasets import MODULES, places

    module = MODULES.get(name)
    files = places.state(module, data_dir) if module and module.INFO.downloads else None
    if module and files and not files["folder"] and not files["problem"] and not out and bits is None:
        about = module.INFO.describe() | {"files": files, "test_is_train": False, "class_counts": {}}
        about |= {"dtype": "uint8", "range": [0, 255]}  # all that is known of what is not here
        print_json({**about, "fingerprint": None, "picture": None}) if as_json else click.echo(text(about))
        return
    data = load_dataset(name, data_dir=data_dir, **({} if bits is None else {"bits": bits}))
    if out:
        from .traces import refuse_existing

        refuse_existing(Path(out), force)
        contact_sheet(data, out)
    about = data.describe() | {"files": files}
    if as_json:
        print_json({**about, "fingerprint": data.fingerprint(), "picture": out})
        return
    click.echo(text(about))
    click.echo("\n" + contact_sheet_text(data, shutil.get_terminal_size().columns))
    if out:
        click.echo(f"\nwrote {out}")


@datasets.command(epilog=FETCH_EPILOG)
@click.argument("name")
@click.option("--data-dir", metavar="DIR", help="Folder to put the files into; by default the user's cache.")
@json_option
def fetch(name: str, data_dir: str | None, as_json: bool) -> None:
    """Download the official files of a data set, and check them."""
    from analogmgd.datasets import MODULES, fetch, places
    from analogmgd.datasets.info import did_you_mean

    known = {key: module for key, module in MODULES.items() if module.INFO.downloads}
    if name not in known:
        what = "is part of the package: there is nothing to fetch" if name in MODULES else "is unknown"
        raise ConfigError(f"data set {name!r} {what}{did_you_mean(name, known)}; to fetch: {', '.join(known)}")
    module = known[name]
    already = places.elsewhere(module) if data_dir is None else None
    if already:
        result: dict[str, Any] = {"name": name, "files": [str(path) for path in already.files], "fetched": False}
        line = f"{name} is here already: {already.files[0].parent} ({already.place.what})"
    else:
        folder = Path(data_dir).expanduser() if data_dir else places.cache_folder(name)
        with bars() as progress:
            paths = fetch.fetch(module.INFO, folder, progress)
        result = {"name": name, "files": [str(path) for path in paths], "fetched": True}
        line = f"{name} is in {folder}"
    print_json(result) if as_json else click.echo(line)


@contextmanager
def bars() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error for each file in turn; where that is no terminal, a line now and then."""
    from tqdm import tqdm

    from analogmgd.progress import LINE_SECONDS, Forgiving

    tqdm.monitor_interval = 0
    every = 0.1 if sys.stderr.isatty() else LINE_SECONDS
    bar: Any = None

    def progress(file: str, done: int, total: int) -> None:
        nonlocal bar
        if bar is None or bar.desc != file:
            if bar is not None:
                bar.close()
            bar = tqdm(
                desc=file, total=total, initial=done, unit="B", unit_scale=True, mininterval=every,
                file=Forgiving(sys.stderr),
            )  # fmt: skip
        bar.update(done - bar.n)

    try:
        yield progress
    finally:
        if bar is not None:
            bar.close()


def where(files: dict[str, Any]) -> str:
    """Where the files of a data set are, or how to get them."""
    if files["folder"]:
        return f"in {files['folder']} ({files['place']})"
    return files["problem"] or f"not here; {files['fetch']} gets it ({si(files['download_bytes'], 'B')})"


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
    ] or list(about["classes"])
    classes = ", ".join(lines[:30]) + (f" and {len(lines) - 30} more" if len(lines) > 30 else "")
    rows = [
        ("examples", examples),
        ("inputs", f"{inputs}, {about['dtype']}, {low:g} to {high:g}"),
        ("targets", f"{about['n_out']}" + ("" if classes else " (numbers, no classes)")),
        ("classes", classes + ("" if about["test_is_train"] or not counts else " (train + test)")),
        ("source", about["source"]),
        ("licence", about["licence"]),
        ("files", where(about["files"]) if about["files"] else ""),
    ]
    title = about["name"] + (f": {about['description']}" if about["description"] else "")
    return f"{title}\n{pairs(rows)}"
