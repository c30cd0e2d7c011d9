"""Argument checks that the layers and models share."""

from typing import Any


def one_of(name: str, value: Any, choices: tuple) -> Any:
    """Return `value` if it is among `choices`.

    Raises:
        ValueError: If it is not; the message lists the choices.
    """
    if not any(value is choice or value == choice for choice in choices):
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"Expected {name} to be one of {listed}. Received: {name}={value!r}")
    return value


def at_least(name: str, value: Any, least: int) -> int:
    """Return `value` if it is a whole number of at least `least`.

    Raises:
        ValueError: If it is not.
    """
    whole = isinstance(value, int) or (hasattr(value, "__index__") and not hasattr(value, "shape"))
    if isinstance(value, bool) or not whole or value < least:
        raise ValueError(
            f"Expected {name} to be a whole number of at least {least}. Received: {name}={value!r}"
        )
    return int(value)
