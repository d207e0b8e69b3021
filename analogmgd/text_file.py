"""Files of text that a user names: TOML and CSV."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from .errors import ConfigError

MOST_BYTES = 16 << 20  # of such a file; a sweep of 100,000 listed points has some megabytes

MOST_BITS = 4096  # of a whole number
DEEPEST = 50  # tables and lists in one another


def loads(text: str, source: str) -> dict[str, Any]:
    """TOML text as nested dictionaries. Raises ConfigError, one line: no TOML, or nothing any setting could be.

    >>> loads("x = 0x" + "f" * 2000, "a.toml")
    Traceback (most recent call last):
    analogmgd.errors.ConfigError: a.toml: holds a number of more than 1000 digits
    """
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also: a number of thousands of digits
        raise ConfigError(f"{source} is not valid TOML: {error}") from None
    level: list[Any] = [tables]
    for _ in range(DEEPEST + 3):  # also the whole, what is in the deepest, and nothing
        if not level:
            return tables
        if any(isinstance(value, int) and value.bit_length() > MOST_BITS for value in level):
            raise ConfigError(f"{source}: holds a number of more than 1000 digits")
        inside = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [value for values in inside for value in values]
    raise ConfigError(f"{source}: holds tables or lists that are more than {DEEPEST} deep")


def read_text(path: str | Path) -> str:
    """A file's text (UTF-8, with or without a byte order mark), sizes checked before anything is read.

    Raises ConfigError, one line: no plain file (a pipe would never end), too large, or not text.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_dir() and not path.is_file():
            raise ConfigError(f"{path}: cannot be read: not a plain file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise ConfigError(f"{path}: cannot be read: larger than {MOST_BYTES >> 20} MiB, the most for such a file")
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except ConfigError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text in UTF-8"
        raise ConfigError(f"{path}: cannot be read: {reason}") from None
