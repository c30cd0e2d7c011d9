"""Sounds and their spectrograms as `data:` addresses, which a page can hold without other files."""

import base64
import io

import numpy as np


def audio_uri(audio: np.ndarray, sample_rate: int) -> str:
    """A waveform as 16-bit FLAC, which is half the size of WAV and plays in every browser.

    Args:
        audio: (samples, channels), at least one sample; what exceeds [-1, 1] is clipped.
        sample_rate: Samples per second.

    Example:
        >>> audio_uri(np.zeros((800, 1)), 8000)[:21]
        'data:audio/flac;base6'
    """
    import soundfile

    audio = _checked(audio)
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, sample_rate, format="FLAC", subtype="PCM_16")
    return _uri("audio/flac", buffer.getvalue())


def spectrogram_uri(
    audio: np.ndarray, sample_rate: int, *, width: int = 240, rows: int = 64
) -> str:
    """A small picture of a sound: time across, mel frequency up, level as light.

    Levels go from the clip's loudest point down to 70 dB below it; silence is black.

    Args:
        audio: (samples, channels), at least one sample; channels are averaged.
        sample_rate: Samples per second.
        width: Columns of the picture at most.
        rows: Mel bands, from 0 Hz to half the sample rate.

    Returns:
        The address of a PNG.

    Example:
        >>> spectrogram_uri(np.zeros((800, 1)), 8000)[:19]
        'data:image/png;base'
    """
    import librosa
    from matplotlib.image import imsave

    # 64 ms, long enough for the lowest mel band to hold a bin.
    window = max(512, 2 ** round(np.log2(sample_rate * 0.064)))
    mono = _checked(audio).mean(axis=1)
    mono = librosa.util.fix_length(mono, size=max(len(mono), window))
    power = librosa.feature.melspectrogram(
        y=mono, sr=sample_rate, n_fft=window, hop_length=len(mono) // width + 1, n_mels=rows
    )
    # Silence has no loudest point: it stands at its floor below 1.
    levels = librosa.power_to_db(power, ref=power.max() or 1.0, amin=1e-20, top_db=None)
    picture = io.BytesIO()
    imsave(picture, levels, vmin=-70, vmax=0, cmap="magma", origin="lower", format="png")
    return _uri("image/png", picture.getvalue())


def _checked(audio: np.ndarray) -> np.ndarray:
    audio = np.asarray(audio, np.float32)
    if audio.ndim != 2 or not audio.size or not np.isfinite(audio).all():
        raise ValueError(
            "Expected audio of shape (samples, channels), at least one sample, all finite. "
            f"Received: audio of shape {audio.shape}"
        )
    return audio


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
