"""Contact sheets: what the examples of a data set look like, as a figure or as text for a terminal.

>>> from analogmgd.data import load_dataset
>>> print(contact_sheet_text(load_dataset("parity")))
00 even   01 odd    10 odd    11 even
"""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from analogmgd.data import Dataset
from analogmgd.datasets.checks import short
from analogmgd.errors import DataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["contact_sheet", "contact_sheet_text"]

FORMATS = (".png", ".pdf", ".svg")
MAX_EXAMPLES = 64  # on a sheet that is not sorted into classes
MAX_CLASSES = 30  # rows of a sheet
MAX_PATTERN = 16  # up to so many inputs, and no picture: a strip of squares and its target
FRAME, PAPER = 0.85, 1.0  # grey levels
INK = ("#1f4e79", "#b5541c")  # of the targets of patterns: below 0.5, above
Array = npt.NDArray[Any]


def contact_sheet(dataset: Dataset, path: str | os.PathLike[str] | None = None, per_class: int = 12) -> "Figure":
    """Draw training examples: a row of ``per_class`` pictures for each class, in their stored order.

    Examples of at most 16 inputs that are no pictures (parity) become strips of squares, white to black from
    the smallest to the largest value, with the target beside each. Without classes the sheet is a plain grid.
    Both show the first 64 examples.

    Args:
        dataset: what to draw.
        path: file to write as well, .png, .pdf or .svg; an existing one is replaced in one go.
        per_class: pictures in a row, 1 to 100.

    Returns:
        The matplotlib figure; it belongs to no window and needs no closing.

    Raises:
        DataError: ``per_class`` out of range, unknown format, or the file cannot be written.

    >>> import analogmgd as am
    >>> figure = contact_sheet(am.load_dataset("digits"), "digits.png")
    """
    from matplotlib.figure import Figure  # slow to import, so only here

    whole = isinstance(per_class, int | np.integer) and not isinstance(per_class, bool)
    if not whole or not 1 <= per_class <= 100:
        raise DataError(f"per_class is {short(repr(per_class))}; allowed: a whole number from 1 to 100")
    target = None if path is None else checked_path(Path(path))
    figure = Figure(layout="constrained", dpi=150)
    if is_pattern(dataset):
        draw_patterns(figure, dataset)
    else:
        draw_pictures(figure, dataset, int(per_class))
    sizes = dataset.sizes
    test = "to train and to test" if dataset.test_is_train else f"to train, {sizes['test']:,} to test"
    title = f"{short(dataset.name)}: {sizes['train']:,} examples {test}"
    figure.suptitle(title, fontsize=11, x=0.02, ha="left", parse_math=False)
    if target is not None:
        save(figure, target)
    return figure


def contact_sheet_text(dataset: Dataset, width: int = 80) -> str:
    """A typical training example of each class side by side, in Unicode block characters.

    Typical is one that many others of its class resemble, among the first hundred to two thousand. Large
    pictures are shrunk to 16 pixels. Examples of at most 16 inputs that are no pictures (parity) are written
    as numbers with their target, the first 16 of them.

    Args:
        dataset: what to sketch.
        width: characters in a line.
    """
    n = len(dataset.x_train)
    if len(dataset.classes) > 1 and not is_pattern(dataset):
        chosen = examples_by_class(dataset, min(max(100, 200_000 // dataset.n_in), 2000))
        cells = [[name, *sketch(typical(pictures(dataset, rows)))] for name, rows in chosen if len(rows)]
        return side_by_side(cells, width)
    names = target_names(dataset, min(n, 16 if is_pattern(dataset) else 5))
    if is_pattern(dataset):
        cells = [[f"{pattern_text(x)} {name}"] for x, name in zip(dataset.x_train, names, strict=False)]
    else:
        images = pictures(dataset, np.arange(len(names)))
        cells = [[name, *sketch(image)] for name, image in zip(names, images, strict=True)]
    return side_by_side(cells, width) + (f"\n... and {n - len(names):,} more" if n > len(names) else "")


def is_pattern(dataset: Dataset) -> bool:
    """Whether an example is a few numbers rather than a picture."""
    return dataset.image_shape is None and dataset.n_in <= MAX_PATTERN


def examples_by_class(dataset: Dataset, count: int) -> list[tuple[str, Array]]:
    """Name and the first ``count`` training rows of each of the first MAX_CLASSES classes."""
    labels = dataset.labels("train")
    names = dataset.classes[:MAX_CLASSES]
    return [(short(name, 20), np.flatnonzero(labels == label)[:count]) for label, name in enumerate(names)]


def target_names(dataset: Dataset, count: int) -> list[str]:
    """The class or, without classes, the numbers of the targets of the first ``count`` training rows."""
    if len(dataset.classes) > 1:
        return [short(dataset.classes[label], 12) for label in dataset.labels("train")[:count]]
    return [short(" ".join(f"{value:.3g}" for value in row), 16) for row in dataset.y_train[:count]]


def scaled(dataset: Dataset, rows: Array) -> Array:
    """Training rows as float64 of 0 to 1 over the range of the training set, (k, n_in)."""
    x = dataset.x_train[rows].astype(np.float64)
    low, high = float(dataset.x_train.min()), float(dataset.x_train.max())
    return (x - low) / (high - low) if high > low else np.zeros_like(x)


def typical(images: Array) -> Array:
    """The picture with the nearest twentieth of the pictures (k, h, w[, 3]) closest around it."""
    x = np.nan_to_num(images).reshape(len(images), -1)
    square = (x**2).sum(axis=1)
    distance = square + square[:, None] - 2.0 * x @ x.T
    near = len(x) // 20
    best: Array = images[np.partition(distance, near, axis=1)[:, : near + 1].sum(axis=1).argmin()]
    return best


def pictures(dataset: Dataset, rows: Array) -> Array:
    """Training examples as float64 grey (k, h, w) or colour (k, h, w, 3) of 0 to 1; NaN pads to a square."""
    x = scaled(dataset, rows)
    if dataset.image_shape is None:
        side = math.ceil(math.sqrt(dataset.n_in))
        padding = np.full((len(x), side * math.ceil(dataset.n_in / side) - dataset.n_in), np.nan)
        return np.concatenate([x, padding], axis=1).reshape(len(x), -1, side)
    images = x.reshape(-1, *dataset.image_shape)
    if images.ndim == 4:
        images = np.moveaxis(images, 1, 3) if images.shape[1] == 3 else images.mean(axis=1)
    return images


def draw_pictures(figure: "Figure", dataset: Dataset, columns: int) -> None:
    """A row of framed pictures for each class, or a grid where there are no classes."""
    by_class = len(dataset.classes) > 1
    if by_class:
        table = [rows for _, rows in examples_by_class(dataset, columns)]
    else:
        count = min(MAX_EXAMPLES, len(dataset.x_train))
        table = [np.arange(start, min(start + columns, count)) for start in range(0, count, columns)]
    columns = max(map(len, table))
    height, width = pictures(dataset, np.arange(1)).shape[1:3]
    gap = max(1, round(max(height, width) / 12))
    below = 0 if by_class else max(2, round(height / 3))  # room for the target
    step_y, step_x = height + gap + below, width + gap
    canvas = np.full((len(table) * step_y + gap, columns * step_x + gap, 3), PAPER)
    for i, rows in enumerate(table):
        for j, image in enumerate(pictures(dataset, rows)):
            frame = canvas[i * step_y :, j * step_x :][: height + 2 * gap, : width + 2 * gap]
            frame[:] = FRAME
            colour = image if image.ndim == 3 else np.repeat(1.0 - image[:, :, None], 3, axis=2)
            frame[gap:-gap, gap:-gap] = np.where(np.isnan(colour), FRAME, colour)
    inches = max(0.4, min(0.8, 12 / columns)) / step_x  # for a pixel
    longest = max((len(name) for name, _ in examples_by_class(dataset, 0)), default=0) if by_class else 0
    figure.set_size_inches(canvas.shape[1] * inches + max(1.2, 0.4 + 0.1 * longest), canvas.shape[0] * inches + 0.5)
    axes = figure.add_subplot(anchor="E")  # room for the names is on the left
    axes.imshow(canvas, interpolation="nearest")
    axes.set_axis_off()
    if by_class:
        counts = np.bincount(dataset.labels("train"), minlength=len(dataset.classes))
        for i, (name, _) in enumerate(examples_by_class(dataset, 1)):
            y = i * step_y + gap + height / 2 - 0.5
            axes.text(-1.0 - gap, y, name, fontsize=11, ha="right", va="bottom", parse_math=False)
            axes.text(-1.0 - gap, y, f"{counts[i]:,}", fontsize=8, color="0.4", ha="right", va="top")
        hidden = len(dataset.classes) - len(table)
        note = f"{hidden} more classes" if hidden else ""
    else:
        for index, name in enumerate(target_names(dataset, count)):
            i, j = divmod(index, columns)
            x, y = j * step_x + gap + width / 2 - 0.5, (i + 1) * step_y - below / 2 + gap / 2 - 0.5
            axes.text(x, y, name, fontsize=6, ha="center", va="center", parse_math=False)
        hidden = len(dataset.x_train) - count
        note = f"{hidden:,} more" if hidden else ""
    figure.supxlabel(note, fontsize=9)


def draw_patterns(figure: "Figure", dataset: Dataset) -> None:
    """Strips of squares with the target beside each, in columns of 8 or 16 strips."""
    from matplotlib.collections import PolyCollection

    count = min(MAX_EXAMPLES, len(dataset.x_train))
    low, high = float(dataset.x_train.min()), float(dataset.x_train.max())
    shade = 1.0 - scaled(dataset, np.arange(count))
    names = target_names(dataset, count)
    coloured = dataset.n_out == 1 and len(dataset.classes) > 1
    lines = min(count, 8 if count <= 32 else 16)
    step_x = dataset.n_in + 1.2 + 0.55 * max(map(len, names))  # squares, then the target
    step_y = 1.4
    squares = []
    axes = figure.add_subplot()
    for index, name in enumerate(names):
        left, top = index // lines * step_x, index % lines * step_y
        for x in left + np.arange(dataset.n_in):
            squares.append([(x, top), (x + 1, top), (x + 1, top + 1), (x, top + 1)])
        colour = INK[int(dataset.y_train[index, 0] > 0.5)] if coloured else "black"
        x = left + dataset.n_in + 0.3
        axes.text(x, top + 0.5, name, color=colour, fontsize=10, va="center", parse_math=False)
    faces = [str(value) for value in shade.ravel()]
    axes.add_collection(PolyCollection(squares, facecolors=faces, edgecolors="0.5", linewidths=0.6))
    extent = (math.ceil(count / lines) * step_x, lines * step_y)
    axes.set_xlim(-0.2, extent[0])
    axes.set_ylim(extent[1] - 0.2, -0.2)
    axes.set_aspect("equal", anchor="NW")
    axes.set_axis_off()
    figure.set_size_inches(max(3.4, extent[0] * 0.24), extent[1] * 0.24 + 0.7)
    hidden = len(dataset.x_train) - count
    note = f"white {low:.3g}, black {high:.3g}" + (f"; {hidden:,} more" if hidden else "")
    figure.supxlabel(note, fontsize=9, color="0.3", x=0.02, ha="left")


def pattern_text(x: Array) -> str:
    """``0110`` for bits, otherwise the numbers to three digits."""
    bits = bool(np.all((x == 0) | (x == 1)))
    return ("" if bits else " ").join(f"{value:.3g}" for value in x)


def sketch(image: Array) -> list[str]:
    """A picture (h, w[, 3]) of 0 to 1 in block characters, shrunk by averaging to at most 16 pixels.

    Pure black and white: half blocks, two pixels in a character. Greys: four shades, a pixel two characters
        wide.
    """
    grey = np.nan_to_num(image if image.ndim == 2 else 1.0 - image.mean(axis=2))
    factor = math.ceil(max(grey.shape) / 16)
    height, width = (math.ceil(side / factor) * factor for side in grey.shape)
    grey = np.pad(grey, ((0, height - grey.shape[0]), (0, width - grey.shape[1])))
    grey = grey.reshape(height // factor, factor, width // factor, factor).mean(axis=(1, 3))
    spread = grey.max() - grey.min()
    grey = (grey - grey.min()) / spread if spread > 0 else grey
    if np.any((grey > 0) & (grey < 1)):
        return ["".join(2 * " ░▒▓█"[round(4 * value)] for value in line) for line in grey]
    ink = np.pad(grey, ((0, len(grey) % 2), (0, 0))).astype(int)
    return ["".join(" ▄▀█"[code] for code in line) for line in 2 * ink[::2] + ink[1::2]]


def side_by_side(cells: list[list[str]], width: int) -> str:
    """Blocks of lines next to each other in columns of one width, as many in a row as fit."""
    column = max(len(line) for cell in cells for line in cell)
    fit = max(1, (width + 3) // (column + 3))
    out: list[str] = []
    for start in range(0, len(cells), fit):
        group = cells[start : start + fit]
        tall = max(map(len, group))
        if out and tall > 1:
            out.append("")
        for line in range(tall):
            texts = [cell[line] if line < len(cell) else "" for cell in group]
            out.append("   ".join(text.ljust(column) for text in texts).rstrip())
    return "\n".join(out)


def checked_path(path: Path) -> Path:
    """The path, if its ending is one of FORMATS and its folder exists."""
    if path.suffix.lower() not in FORMATS:
        raise DataError(f"contact sheet {path} ends in {path.suffix!r}; allowed: {', '.join(FORMATS)}")
    if path.is_dir() or not path.parent.is_dir():
        raise DataError(f"contact sheet {path} cannot be written: no such folder, or it is a folder itself")
    return path


def save(figure: "Figure", path: Path) -> None:
    """Write beside the target, then rename: nobody sees half a file, and a failure leaves the old one."""
    kind = path.suffix.lower()[1:]
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)  # same figure, same bytes
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        figure.savefig(temporary, format=kind, metadata=metadata)
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"contact sheet {path} cannot be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)
