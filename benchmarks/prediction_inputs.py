"""Exported networks and sound files for the benchmarks that predict."""

import itertools
import pathlib
import tempfile

import numpy as np
import soundfile

CLASSES = 10


def export(network: str, folder: pathlib.Path, seconds: float = 5.0) -> pathlib.Path:
    """Write a SavedModel of a new network, as `keras-audio export` does of a trained one.

    Args:
        network: Its name.
        folder: Where to.
        seconds: Of the windows of longer sounds.
    """
    import keras
    from weights import draw_weights

    from keras_audio.models import create_model, model_info
    from keras_audio.serving import export_saved_model

    keras.utils.set_random_seed(0)
    model, rate = create_model(network, CLASSES), model_info(network).sample_rate
    # Networks of first weights may make too much of rounding for the graph of a trained one.
    draw_weights(model)
    labels = [f"class {number}" for number in range(CLASSES)]
    samples = round(seconds * rate)
    return export_saved_model(
        model, folder / network, labels=labels, sample_rate=rate, clip_samples=samples
    )


def write_sounds(
    folder: pathlib.Path, count: int, seconds: float, source: pathlib.Path | None = None
) -> list[pathlib.Path]:
    """Write sounds of one length as WAV files at their own rates and widths, or take real files.

    Args:
        folder: Where to.
        count: How many.
        seconds: Of each; of real files whatever they have.
        source: A folder of real files to take as they are.

    Returns:
        The files; real ones repeat where there are too few.
    """
    from data_prep.toy_sounds import write_toy_sounds
    from keras_audio.serving import find_audio_files

    real = find_audio_files(source or write_toy_sounds(folder / "toy_sounds"))
    # From all classes: files are sorted by class.
    step = max(1, len(real) // count)
    chosen = list(itertools.islice(itertools.cycle(real[::step]), count))
    files = []
    for number, path in enumerate(chosen):
        files.append(folder / f"{number:05}{path.suffix}")
        if source is not None:
            files[-1].symlink_to(path.resolve())
            continue
        info = soundfile.info(path)
        sound, rate = soundfile.read(path, always_2d=True)
        sound = np.resize(sound, (round(seconds * rate), sound.shape[1]))
        soundfile.write(files[-1], sound, rate, info.subtype)
    return files


def write_classes(folder: pathlib.Path, count: int, seconds: float) -> None:
    """Write sounds as `write_sounds` does, into a folder a class."""
    folder.mkdir()
    with tempfile.TemporaryDirectory(dir=folder.parent) as flat:
        for number, path in enumerate(write_sounds(pathlib.Path(flat), count, seconds)):
            label = folder / f"class {number % CLASSES}"
            label.mkdir(exist_ok=True)
            path.rename(label / path.name)
