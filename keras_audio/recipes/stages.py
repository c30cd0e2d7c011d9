"""The stages of a training: what each shows the network, for how long, and at what rates."""

import dataclasses
import re
from typing import Literal, Self

SCHEDULES = ("one_cycle", "constant")
_FORM = re.compile(
    r"(?P<mels>\d+)x(?P<frames>\d+):(?P<epochs>\d+):(?P<rate>[^:/]+)(?:/(?P<divisor>[^:/]+))?"
    r"(?::(?P<schedule>\w+))?"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One of the steps in which Colangelo et al. 2021, section 3, train.

    Its text, as recipes and `--set stages=...` have it, is `MELSxFRAMES:EPOCHS:RATE`, such as
    `64x128:20:5e-3`; `5e-4/3` in place of the rate lets all layers but the last learn at a third of
    it, and `:constant` behind it keeps the rate where one cycle is usual.

    Args:
        mels: Mel bins of the images that the network sees.
        frames: Frames of these images.
        epochs: Passes over the training clips.
        learning_rate: The highest, of the last layer: lambda.
        divisor: The other layers' rate is the last one's divided by this; infinite freezes them.
        schedule: `one_cycle`, over the epochs of the stage, or `constant`.

    Raises:
        ValueError: If a value is out of its range.

    Example:
        >>> stage = Stage.parse("96x214:20:5e-6/3")
        >>> stage.epochs, stage.divisor, str(stage)
        (20, 3.0, '96x214:20:5e-06/3')
    """

    mels: int
    frames: int
    epochs: int
    learning_rate: float
    divisor: float = 1.0
    schedule: Literal["one_cycle", "constant"] = "one_cycle"

    def __post_init__(self) -> None:
        self._require(self.mels >= 1 and self.frames >= 1, "images of at least 1x1")
        self._require(self.epochs >= 1, "at least 1 epoch")
        self._require(0 < self.learning_rate < float("inf"), "a rate above 0")
        self._require(self.divisor >= 1, "a divisor of at least 1")
        self._require(self.schedule in SCHEDULES, f"a schedule of {', '.join(SCHEDULES)}")

    def _require(self, holds: bool, expected: str) -> None:
        if not holds:
            raise ValueError(f"Expected a stage with {expected}. Received: {self}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one stage.

        Raises:
            ValueError: If it is none.
        """
        expected = (
            "Expected a stage such as 64x128:20:5e-3 or 96x214:20:5e-4/3, "
            f"MELSxFRAMES:EPOCHS:RATE[/DIVISOR][:SCHEDULE]. Received: {text!r}"
        )
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise ValueError(expected)
        try:
            rate, divisor = float(match["rate"]), float(match["divisor"] or 1)
        except ValueError as error:
            raise ValueError(expected) from error
        return cls(
            mels=int(match["mels"]),
            frames=int(match["frames"]),
            epochs=int(match["epochs"]),
            learning_rate=rate,
            divisor=divisor,
            schedule=match["schedule"] or "one_cycle",
        )

    @property
    def resolution(self) -> str:
        """The size of the images, as the paper prints it: `64x128`."""
        return f"{self.mels}x{self.frames}"

    def __str__(self) -> str:
        divisor = "" if self.divisor == 1 else f"/{self.divisor:g}"
        schedule = "" if self.schedule == "one_cycle" else f":{self.schedule}"
        return f"{self.resolution}:{self.epochs}:{self.learning_rate!r}{divisor}{schedule}"


def parse_stages(text: str) -> tuple[Stage, ...]:
    """Read stages with commas between.

    Raises:
        ValueError: If one of them is none.

    Example:
        >>> [stage.resolution for stage in parse_stages("64x128:20:5e-3, 128x300:70:5e-6/3")]
        ['64x128', '128x300']
    """
    return tuple(map(Stage.parse, text.split(",")))


def stages_text(stages: tuple[Stage, ...]) -> str:
    """The text that `parse_stages` reads.

    Example:
        >>> stages_text(parse_stages("64x128:20:5e-3, 128x300:70:5e-6/3"))
        '64x128:20:0.005,128x300:70:5e-06/3'
    """
    return ",".join(map(str, stages))
