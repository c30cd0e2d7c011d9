"""In what form a data set's clips are recorded."""

import dataclasses

from data_prep.clips import DatasetCard
from keras_audio.audio import check_channels, check_resampling, check_sample_rate

# Beyond what a disk should be asked to hold.
_MAX_PITCH_VARIANTS = 100


@dataclasses.dataclass(frozen=True)
class Form:
    """One form of a data set's records.

    Attributes:
        sample_rate: Hz of the records.
        channels: Channels of the records, 1 or 2.
        pitch_variants: How many pitch-shifted copies there are of each clip.
        resampling: How the clips get their rate; see `keras_audio.audio.read_audio`.
    """

    sample_rate: int
    channels: int
    pitch_variants: int = 0
    resampling: str = "soxr"

    @property
    def name(self) -> str:
        """What the folder of such records is called.

        Example:
            >>> Form(44100, 1).name, Form(18000, 2, 4, "fourier").name
            ('44100hz_1ch', '18000hz_2ch_fourier_4pitch')
        """
        name = f"{self.sample_rate}hz_{self.channels}ch"
        if self.resampling != "soxr":
            name += f"_{self.resampling}"
        if self.pitch_variants:
            name += f"_{self.pitch_variants}pitch"
        return name


def choose_form(
    card: DatasetCard,
    sample_rate: int | None,
    channels: int | None,
    pitch_variants: int,
    resampling: str | None,
) -> Form:
    """The form that is asked for; what is `None` is as the card has it.

    Raises:
        ValueError: If a value is out of range.
    """
    sample_rate = check_sample_rate(card.sample_rate if sample_rate is None else sample_rate)
    channels = check_channels(card.channels if channels is None else channels)
    if channels > 2:
        raise ValueError(f"Expected mono or stereo records. Received: channels={channels}")
    if type(pitch_variants) is not int or not 0 <= pitch_variants <= _MAX_PITCH_VARIANTS:
        raise ValueError(
            f"Expected a number of pitch variants from 0 to {_MAX_PITCH_VARIANTS}. "
            f"Received: pitch_variants={pitch_variants!r}"
        )
    resampling = check_resampling(card.resampling if resampling is None else resampling)
    return Form(sample_rate, channels, pitch_variants, resampling)
