"""Toy sounds: generated recordings of ten everyday classes, to run everything on at once.

They are no substitute for real sounds: a small network tells them apart within minutes, which is
what they are for. They come as real WAV files in the formats found in the wild: mono and stereo,
several sample rates, widths and lengths; clips share recordings, but only within a fold.
"""

import csv
import os
import pathlib
import zlib

import numpy as np
import soundfile

from data_prep import audio_folder
from data_prep.clips import ClipList, DatasetCard
from data_prep.toy_synthesis import RECORDINGS, Recording
from keras_audio.files import replacing

LABELS = tuple(sorted(RECORDINGS))

CARD = DatasetCard(
    name="toy_sounds",
    title="Toy sounds: generated stand-ins for ten everyday classes",
    clips=220,
    classes=10,
    folds=5,
    licence="CC0",
    url="",
    layout="generated into DATA_DIR/sources/toy_sounds; give no source",
    labels=LABELS,
    sample_rate=8000,
    protocol="Five folds, each with two recordings of every class. Scores on generated sounds say "
    "nothing of real ones.",
    fold_clips=(44,) * 5,
    class_clips=(20, 20, 25, 25, 20, 20, 25, 25, 20, 20),
)

_TABLE = "toy_sounds.csv"
_RECORDINGS_A_FOLD = 2
_SAMPLE_RATES = (8000, 11025, 16000, 22050, 44100, 48000)
_FORMATS = (
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAVEX", "PCM_24"),
    ("WAV", "PCM_32"),
    ("WAV", "FLOAT"),
    ("WAV", "PCM_U8"),
)


def write_toy_sounds(folder: str | os.PathLike) -> pathlib.Path:
    """Write the sounds as WAV files, with a table of class, fold and recording.

    The same files every time. They lie in `fold1/` to `fold5/`; the table, `toy_sounds.csv`, is
    one that `audio_folder` reads too.

    Args:
        folder: Where to; an existing folder is replaced once the new one is complete.

    Returns:
        The folder.
    """
    folder = pathlib.Path(folder)
    with replacing(folder) as temporary:
        temporary.mkdir(parents=True)
        with open(temporary / _TABLE, "w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(("filename", "label", "fold", "source"))
            for fold in range(1, CARD.folds + 1):
                (temporary / f"fold{fold}").mkdir()
                for label in LABELS:
                    for take in range(1, _RECORDINGS_A_FOLD + 1):
                        for name in _write_recording(temporary, label, fold, take):
                            source = f"{label}-{fold}{take}"
                            table.writerow((f"fold{fold}/{name}", label, fold, source))
    return folder


def list_clips(source: pathlib.Path) -> ClipList:
    """List the clips that `write_toy_sounds` wrote to `source`."""
    return audio_folder.from_table(source / _TABLE, labels=LABELS)


def _write_recording(folder: pathlib.Path, label: str, fold: int, take: int) -> list[str]:
    """Write the two or three clips of one recording; they share its voice and its device."""
    from scipy.io import wavfile

    # Seeded by name, so that no sound depends on the others.
    rng = np.random.default_rng(zlib.crc32(f"{label}-{fold}-{take}".encode()))
    number = LABELS.index(label) + 3 * fold + 5 * take
    rate = _SAMPLE_RATES[number % len(_SAMPLE_RATES)]
    file_format, subtype = _FORMATS[(number // 2) % len(_FORMATS)]
    stereo = (number // len(_SAMPLE_RATES) + take) % 3 == 0
    recording = Recording(label, rate, rng)
    names = []
    for clip in range(1, 4 if (number + fold) % 4 == 0 else 3):
        waveform = recording.clip(rng.uniform(0.8, 2.0), stereo=stereo)
        names.append(f"{label}-{fold}{take}-{clip}.wav")
        path = folder / f"fold{fold}" / names[-1]
        if subtype == "FLOAT":
            # libsndfile writes the time of day into a float WAV.
            wavfile.write(path, rate, waveform.astype("<f4"))
        else:
            soundfile.write(path, waveform, rate, subtype=subtype, format=file_format)
    return names
