"""What a compression of a run does and when it stops, as values that are stored."""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Self

# Fine-tuning of section 4.1 of the report; its end is that of the training in section 5.2.
LEARNING_RATE = 1e-5
PATIENCE = 15
EPOCHS = 100
MAX_ROUNDS = 50

_UNITS = {"B": 1 / 1024, "KB": 1.0, "MB": 1024.0}


@dataclasses.dataclass(frozen=True)
class Until:
    """When to stop pruning: one of the three rules of the report, section 4.1.

    Args:
        kind: `size`: prune while the weights that are not zero take more, 16 bits each and counted
            by the rule of the report; `accuracy`: as long as validation accuracy is no less;
            `drop`: as long as it is no more than so much less than that of the whole model.
        value: Kilobytes of 1024 bytes, or an accuracy from 0 to 1.

    Example:
        >>> Until.parse("size=500KB"), Until.parse("drop=0.01")
        (Until(kind='size', value=500.0), Until(kind='drop', value=0.01))
    """

    kind: str
    value: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a rule such as `size=500KB`, `accuracy=0.873` or `drop=0.01`.

        Raises:
            ValueError: If it is none.
        """
        kind, _, value = text.partition("=")
        match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(B|KB|MB)?", value.strip(), re.IGNORECASE)
        unit = match[2].upper() if match and match[2] else None
        number = float(match[1]) if match else 0.0
        fits = {
            "size": unit is not None and number > 0,
            "accuracy": unit is None and 0 < number <= 1,
            "drop": unit is None and match is not None and number < 1,
        }
        if not fits.get(kind):
            raise ValueError(
                "Expected when to stop as size=500KB, accuracy=0.873 or drop=0.01. "
                f"Received: {text!r}"
            )
        return cls(kind, number * _UNITS[unit] if unit else number)

    def __str__(self) -> str:
        # Every digit: what is stored and obeyed is what was asked for.
        value = repr(self.value).removesuffix(".0")
        return f"{self.kind}={value}{'KB' if self.kind == 'size' else ''}"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a compression does; it is stored, and must be the same to go on.

    Args:
        rate: Share of the kernels alive that a round prunes; the report takes 0.1 and 0.2.
        until: When to stop.
        classifier: Whether the classifier's kernels are pruned too, as the report's Table 1 has it.
        scales: Whether scales of batch normalisations are pruned beside the kernels.
        learning_rate: Of Adam, in fine-tuning.
        epochs: Of fine-tuning a round at most.
        patience: Epochs without a better validation loss until a round ends.
        max_rounds: Rounds at most.
        deterministic: Bit-equal results on the same machine.

    Raises:
        ValueError: If a value is out of its range.
    """

    rate: float = 0.1
    until: str = "drop=0.01"
    classifier: bool = False
    scales: bool = True
    learning_rate: float = LEARNING_RATE
    epochs: int = EPOCHS
    patience: int = PATIENCE
    max_rounds: int = MAX_ROUNDS
    deterministic: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "until", str(Until.parse(self.until)))
        self._require("rate", float, lambda rate: 0 < rate < 1, "above 0 and below 1")
        rates = "greater than 0 and finite"
        self._require("learning_rate", float, lambda rate: 0 < rate < math.inf, rates)
        for name in ("epochs", "patience", "max_rounds"):
            self._require(name, int, lambda number: number >= 1, "a whole number, at least 1")

    def _require(self, name: str, kind: type, holds: Callable, expected: str) -> None:
        value = getattr(self, name)
        # A whole number does for a rate, but is out of its range anyway.
        if not isinstance(value, kind) or isinstance(value, bool) or not holds(value):
            raise ValueError(f"Expected {name} to be {expected}. Received: {name}={value!r}")

    @classmethod
    def from_stored(cls, values: Mapping[str, Any]) -> Self:
        """The settings among `values`; those that there were not yet are as by default.

        Example:
            >>> Settings.from_stored({"rate": 0.2, "model": "3f5a"}).rate
            0.2
        """
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: values[name] for name in names if name in values})
