"""What is known about a built-in data set before it is loaded, and the check of its options."""

import difflib
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from analogmgd.errors import DataError

from .checks import short


@dataclass(frozen=True)
class Option:
    """One option of a data set.

    ``check`` returns the value in its normal form, or raises TypeError or ValueError when the value is not
    what ``allowed`` says in words.
    """

    default: Any
    allowed: str
    check: Callable[[Any], Any]
    description: str = ""


@dataclass(frozen=True)
class Download:
    """An official file: its name, address, size in bytes and MD5."""

    file: str
    url: str
    size: int
    md5: str


@dataclass(frozen=True)
class Info:
    """Metadata of a built-in data set, for its default options. ``sizes`` counts train and test examples.

    ``downloads`` are the official files of a data set that is read from files; ``package`` and ``package_folder``
    name Debian's package of them, and where it puts them.
    """

    name: str
    description: str
    sizes: Mapping[str, int]
    n_in: int
    n_out: int
    classes: tuple[str, ...]
    source: str
    licence: str
    image_shape: tuple[int, ...] | None = None
    options: Mapping[str, Option] = field(default_factory=lambda: MappingProxyType({}))
    downloads: tuple[Download, ...] = ()
    package: str = ""
    package_folder: str = ""

    def settings(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """All options of the data set in their normal form: those given, checked, and else the defaults."""
        for key in options:
            if key not in self.options:
                known = ", ".join(self.options) or "none"
                hint = did_you_mean(key, self.options)
                raise DataError(f"data set {self.name!r} has no option {key!r}{hint}; its options: {known}")
        values = {}
        for key, option in self.options.items():
            value = options.get(key, option.default)
            try:
                values[key] = option.check(value)
            except (TypeError, ValueError):
                text = short(repr(value))
                raise DataError(
                    f"option {key} of data set {self.name!r} is {text}; allowed: {option.allowed}"
                ) from None
        return values

    @property
    def about(self) -> dict[str, Any]:
        """What a :class:`analogmgd.Dataset` takes of it."""
        keys = ("name", "description", "classes", "image_shape", "source", "licence")
        return {key: getattr(self, key) for key in keys}

    def describe(self) -> dict[str, Any]:
        """The metadata as a dictionary that JSON can hold."""
        options = {
            key: {"default": option.default, "allowed": option.allowed, "description": option.description}
            for key, option in self.options.items()
        }
        return {
            "name": self.name,
            "description": self.description,
            "sizes": dict(self.sizes),
            "n_in": self.n_in,
            "n_out": self.n_out,
            "classes": list(self.classes),
            "image_shape": list(self.image_shape) if self.image_shape else None,
            "options": options,
            "source": self.source,
            "licence": self.licence,
        }


def whole_number(low: int, high: int, default: int, description: str = "") -> Option:
    """An option that is a whole number from ``low`` to ``high``."""

    def check(value: Any) -> int:
        if isinstance(value, bool):
            raise TypeError(value)
        number = operator.index(value)
        if not low <= number <= high:
            raise ValueError(value)
        return number

    return Option(default, f"a whole number from {low} to {high}", check, description)


def did_you_mean(word: object, known: Mapping[str, Any]) -> str:
    """``" (did you mean 'parity'?)"`` when one of the known names is close to ``word``, else nothing."""
    near = difflib.get_close_matches(str(word).lower(), list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
