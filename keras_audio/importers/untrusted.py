"""What a file of unknown origin may say to the terminal, and which numbers are taken from it."""

import keras
import numpy as np

# Names that networks give are a quarter of this.
_LONGEST = 100


def shown(text: str, most: int = _LONGEST) -> str:
    r"""What a file says, as it stands in a message: escaped or cut unless it is a short plain text.

    Example:
        >>> shown("conv1.weight"), shown("a\n\x1b[31m")
        ('conv1.weight', "'a\\n\\x1b[31m'")
    """
    return text if text.isprintable() and len(text) <= most else f"{text[:most]!r:.{most}}"


def listed(names: list[str], most: int = 4) -> str:
    """The first few names, and how many more there are.

    Example:
        >>> listed(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more


def as_float32(array: np.ndarray) -> np.ndarray:
    """Numbers in 32 bits; one beyond them is infinite, which `wrong_values` tells."""
    with np.errstate(over="ignore"):
        return np.asarray(array, "float32")


def wrong_values(value: np.ndarray, variable: keras.Variable) -> str | None:
    """What is wrong with the numbers for a variable, to stand behind the name of their array."""
    if not np.isfinite(value).all():
        return "holds values that are not finite"
    # Its root is taken: the network would answer what is no number.
    if variable.name == "moving_variance" and (least := value.min(initial=0)) < 0:
        return f"holds a variance of {least:g}, which is below 0"
    return None
