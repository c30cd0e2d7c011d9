"""Pitch-shifted copies of a clip, made once so that training need not wait for them.

A phase vocoder takes about 30 ms for 5 s of sound, and a training step wants 32 clips in the time
of three: `docs/data.md` has the figures.
"""

import hashlib
import math

import numpy as np

from keras_audio.audio import to_pcm16

# Decided, for the paper names pitch shifting without its range (section 3.3).
MAX_SEMITONES = 2.0
# 2048 samples at 44.1 kHz: half of it gains no time and leaves a tone of 110 Hz less pure.
_WINDOW_SECONDS = 0.0464
_SHORTEST_WINDOW = 64
_LARGEST_GAIN = 2.0


def pitch_shift(waveform: np.ndarray, semitones: float, sample_rate: int) -> np.ndarray:
    """Shift the pitch of a waveform by a phase vocoder; length and loudness stay what they are.

    Time is stretched in the spectrogram and taken back by resampling (`librosa.effects`), with a
    Hann window of about 46 ms and a quarter of it as hop. That leaves tones as loud as they were
    but noise 3 to 4 dB softer, because the phases of neighbouring bins come apart; a network would
    train on softer sounds than it is tested on. So the root mean square is brought back, as far as
    full scale allows.

    Args:
        waveform: Floats of shape `(samples, channels)`.
        semitones: How far, upwards if positive.
        sample_rate: Samples per second, in Hz.

    Returns:
        float32 of the same shape. Its peak may be another.

    Raises:
        ValueError: If the waveform is not of that shape, has no samples or has some that are not
            finite, or if `semitones` is not finite.

    Example:
        >>> tone = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)[:, np.newaxis]
        >>> shifted = pitch_shift(tone, 12, 8000)
        >>> int(np.abs(np.fft.rfft(shifted[:, 0])).argmax()), shifted.shape
        (880, (8000, 1))
    """
    waveform = np.asarray(waveform)
    if waveform.ndim != 2 or not waveform.size or waveform.dtype.kind != "f":
        raise ValueError(
            f"Expected floats of shape (samples, channels), at least one sample. "
            f"Received: waveform of {waveform.dtype} and shape {waveform.shape}"
        )
    if not np.isfinite(waveform).all():
        raise ValueError(f"Expected finite samples. Received: waveform={waveform}")
    if not math.isfinite(semitones):
        raise ValueError(f"Expected a finite number of semitones. Received: semitones={semitones}")

    import librosa  # Slow to import, and only those who ask for variants need it.

    n_fft = max(_SHORTEST_WINDOW, 2 ** round(math.log2(_WINDOW_SECONDS * sample_rate)))
    samples = len(waveform)
    # The window must find as many samples as it is long.
    padded = np.pad(waveform, [(0, max(0, n_fft - samples)), (0, 0)])
    shifted = librosa.effects.pitch_shift(
        np.ascontiguousarray(padded.T, dtype=np.float32),
        sr=sample_rate,
        n_steps=semitones,
        n_fft=n_fft,
        hop_length=n_fft // 4,
    )
    shifted = shifted.T[:samples]
    return np.ascontiguousarray(shifted * _gain(waveform, shifted), dtype=np.float32)


def _gain(waveform: np.ndarray, shifted: np.ndarray) -> float:
    """What makes `shifted` as loud as `waveform` and does not push it beyond full scale."""
    before, after = (
        float(np.sqrt(np.mean(np.square(x, dtype=float)))) for x in (waveform, shifted)
    )
    if not after:
        return 1.0
    full_scale = max(1.0, 1 / float(np.abs(shifted).max()))
    return min(before / after, full_scale, _LARGEST_GAIN)


def variant_semitones(clip_id: str, count: int) -> np.ndarray:
    """Draw the shifts of a clip's variants: together uniform in [-2, 2], and never all alike.

    Variant v lies anywhere in the v-th of `count` equal parts of the range. The draw depends on
    the clip's id alone.

    Args:
        clip_id: Unique name of the clip in its data set.
        count: How many variants.

    Returns:
        Ascending semitones, shape `(count,)`.

    Example:
        >>> variant_semitones("1-30226-A-0", 4).round(2).tolist()
        [-1.74, -0.3, 0.59, 1.28]
    """
    digest = hashlib.blake2b(clip_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    rng = np.random.default_rng(int.from_bytes(digest, "big"))
    places = (np.arange(count) + rng.random(count)) / count
    return MAX_SEMITONES * (2 * places - 1)


def pitch_variants(samples: np.ndarray, sample_rate: int, clip_id: str, count: int) -> np.ndarray:
    """Make the pitch variants of a recorded clip.

    Args:
        samples: int16 of shape `(samples, channels)`.
        sample_rate: Samples per second, in Hz.
        clip_id: Unique name of the clip in its data set: it settles the shifts.
        count: How many variants.

    Returns:
        int16 of shape `(count * samples, channels)`: the variants one after the other, each as
        long as the clip. What is beyond full scale saturates.
    """
    waveform = samples.astype(np.float32) / 32768
    shifted = [
        to_pcm16(pitch_shift(waveform, semitones, sample_rate))
        for semitones in variant_semitones(clip_id, count)
    ]
    return np.concatenate(shifted)
