"""Whether the description of a model holds code of its own, found without running any."""

from typing import Any


def code_in_config(config: Any) -> str | None:
    """Search what JSON says of a model for Lambda layers.

    Args:
        config: The description, of any depth.

    Returns:
        The name of a Lambda layer, or `"Lambda"` where it has none; None if there is no such.

    Example:
        >>> layer = {"class_name": "Lambda", "config": {"name": "lambda_1", "function": []}}
        >>> code_in_config({"config": {"layers": [{"class_name": "Dense"}, layer]}})
        'lambda_1'
        >>> code_in_config({"class_name": "Dense"}) is None
        True
    """
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if value.get("class_name") in ("Lambda", "__lambda__"):
                return _name(value)
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return None


def _name(layer: dict) -> str:
    """What the layer calls itself, if that can stand in a sentence."""
    inner = layer.get("config")
    name = inner.get("name") if isinstance(inner, dict) else None
    readable = isinstance(name, str) and name.isprintable() and 1 <= len(name) <= 100
    return name if readable else "Lambda"
