"""The base of every configuration class: frozen, checked when made, one line when something is wrong."""

from __future__ import annotations

import difflib
import operator
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .errors import ConfigError

MANY = 15  # names in a line
_WORDS = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be a string",
    "tuple_type": "must be a list",
    "finite_number": "must be finite",
    "missing": "is required",
}


def _limits(error: Any) -> str:
    """What is allowed, in words."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _WORDS:
        return _WORDS[kind]
    if kind == "literal_error":
        return "must be one of " + context["expected"].replace("'", '"').replace(" or ", ", ")
    for name, words in (
        ("greater_than_equal", "must be at least"),
        ("greater_than", "must be greater than"),
        ("less_than_equal", "must be at most"),
        ("less_than", "must be less than"),
    ):
        if kind == name:
            return f"{words} {next(iter(context.values())):g}"
    if kind == "too_short":
        return f"must have at least {context['min_length']}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def short(value: Any) -> str:
    """A value as it may stand in a message of one line."""
    try:
        text = repr(value).replace("\n", " ")
    except ValueError:  # a number of more than 4300 digits, or a table that holds one
        return "a number of thousands of digits" if isinstance(value, int) else f"a {type(value).__name__} of such"
    except RecursionError:
        return f"a {type(value).__name__} in hundreds of others"
    return text if len(text) <= 60 else text[:57] + "..."


def did_you_mean(word: str, known: list[str]) -> str:
    """' (did you mean ...?)' or nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def some_of(known: list[str], word: str) -> str:
    """The names, or where they are many those that are most like a word."""
    if len(known) <= MANY:
        return ", ".join(known) or "none"
    likely = difflib.get_close_matches(word, known, n=MANY, cutoff=0.0)
    return ", ".join(sorted(likely)) + f" and {len(known) - MANY} more"


class Settings(BaseModel):
    """A frozen group of settings. Wrong keys, types and values raise `ConfigError`, one line naming the key,
    the value and what is allowed.

    Whole floats are taken where a whole number is wanted (1e6), everything else only in its own type.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)
    table: ClassVar[str] = ""
    also: ClassVar[tuple[str, ...]] = ()  # further keys of the table, which are no fields

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(self._explain(error)) from None

    @classmethod
    def _explain(cls, error: ValidationError) -> str:
        first = error.errors()[0]
        path = [str(part) for part in first["loc"]]
        name = ".".join([cls.table, *path] if cls.table else path)
        if first["type"] == "extra_forbidden":
            known = sorted({*cls.model_fields, *cls.also})
            return f"{name}: unknown key{did_you_mean(path[-1], known)}; allowed: {some_of(known, path[-1])}"
        if first["type"] == "missing":
            return f"{name} is required"
        if not path:  # a rule about several keys: its message names them
            return f"{cls.table}: {_limits(first)}" if cls.table else _limits(first)
        return f"{name} = {short(first['input'])}: {_limits(first)}"

    def replace(self, **changes: Any) -> Any:
        """A copy with some settings changed, checked again."""
        return type(self)(**{**{k: getattr(self, k) for k in type(self).model_fields}, **changes})


def whole(value: Any) -> Any:
    """Before-validator of counts: bool and strings are refused, 1e6 is taken."""
    if isinstance(value, bool | str):
        raise ValueError("must be a whole number")
    try:
        return operator.index(value)  # NumPy's integers too, all digits of them
    except TypeError:
        return value


def number(value: Any) -> Any:
    """Before-validator of reals: bool and strings are refused."""
    if isinstance(value, bool | str):
        raise ValueError("must be a number")
    return value


# Reals as settings have them.
Real = Annotated[float, BeforeValidator(number)]
NonNegative = Annotated[float, BeforeValidator(number), Field(ge=0)]
Positive = Annotated[float, BeforeValidator(number), Field(gt=0)]
Flag = Annotated[bool, Field(strict=True)]
