"""The types of a recipe's fields: checked, described, and read from the command line."""

import types
import typing
from typing import Any, Literal


def parse_value(field: str, text: str, hint: Any) -> Any:
    """Read `text` as a value of the type `hint`.

    Raises:
        ValueError: If the text is no such value.

    Example:
        >>> parse_value("patience", "none", int | None), parse_value("duration", "2.5", float)
        (None, 2.5)
    """
    if type(None) in _choices(hint) and text.lower() == "none":
        return None
    for choice in _choices(hint):
        if choice is bool and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if choice is str or (typing.get_origin(choice) is Literal and text in _literals(choice)):
            return text
        if choice in (int, float):
            try:
                return choice(text)
            except ValueError:
                continue
    raise ValueError(f"Expected {field} to be {describe_type(hint)}. Received: {field}={text!r}")


def describe_type(hint: Any) -> str:
    """A type as a user reads it.

    Example:
        >>> describe_type(int | None), describe_type(Literal["a", "b"])
        ('a whole number or none', 'one of a, b')
    """
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    return " or ".join(
        "none"
        if choice is type(None)
        else f"one of {', '.join(map(str, _literals(choice)))}"
        if typing.get_origin(choice) is Literal
        else names[choice]
        for choice in _choices(hint)
    )


def _choices(hint: Any) -> tuple:
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


def _literals(hint: Any) -> tuple:
    return typing.get_args(hint)


def allows(hint: Any, kind: type) -> bool:
    """Whether `kind` is one of the types of a field."""
    return kind in _choices(hint)


def is_instance(value: Any, hint: Any) -> bool:
    """Whether a field of the type `hint` may have this value."""
    for choice in _choices(hint):
        if typing.get_origin(choice) is Literal:
            if value in _literals(choice):
                return True
        elif isinstance(value, choice) and (choice is bool or not isinstance(value, bool)):
            return True
    return False
