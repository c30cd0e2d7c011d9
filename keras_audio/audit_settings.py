"""What `keras-audio check` counts as wrong: every threshold, with its default. No TensorFlow."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuditSettings:
    """The thresholds of an audit.

    Args:
        near: Least share of equal bits of two fingerprints to compare the waveforms: 1 for the
            same sound, 0.5 for different ones.
        near_seconds: For how long both sounds are heard at least; shorter sounds nearly whole.
        confirm: Least correlation of the waveforms for near-duplicates.
        silent_peak: A clip is silent if its greatest sample, the mean taken off, is no more than
            this, in decibels of full scale.
        silent_rms: It is silent, too, if its root mean square, likewise, is no more than this.
        full_scale: From which share of full scale on a sample counts as clipped.
        clipped_run: So many of those in a row, in one channel, at least.
        clipped: A clip is clipped if more than this share of its samples is.
        padded: A clip is padded if more than this share of it, at its ends, is zeros.
        min_seconds: A shorter clip cannot be used.

    Raises:
        ValueError: If a threshold is out of range.

    Example:
        >>> AuditSettings(near=0.8).confirm
        0.6
        >>> AuditSettings(near=80)
        Traceback (most recent call last):
        ValueError: Expected near from 0.55 to 1. Received: near=80
    """

    near: float = 0.65
    near_seconds: float = 1.0
    confirm: float = 0.6
    silent_peak: float = -60.0
    silent_rms: float = -80.0
    full_scale: float = 0.999
    clipped_run: int = 3
    clipped: float = 0.001
    padded: float = 0.5
    min_seconds: float = 0.0

    def __post_init__(self):
        # With fewer equal bits than 55 % any two clips would do.
        ranges = {
            "near": (0.55, 1),
            "near_seconds": (0.25, 3600),
            "confirm": (0, 1),
            "silent_peak": (-1000, 0),
            "silent_rms": (-1000, 0),
            "full_scale": (0.5, 1),
            "clipped_run": (1, 1_000_000),
            "clipped": (0, 1),
            "padded": (0, 1),
            "min_seconds": (0, 3600),
        }
        for name, (least, most) in ranges.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(
                    f"Expected {name} from {least} to {most}. Received: {name}={value}"
                )
