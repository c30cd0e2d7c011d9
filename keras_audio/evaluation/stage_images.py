"""What a network is shown while its images grow: Figure 1 of Colangelo et al. 2021 for a run."""

import dataclasses
import itertools
from typing import TYPE_CHECKING

import numpy as np

from keras_audio.data import clip_arrays
from keras_audio.evaluation.plots import svg_element
from keras_audio.recipes import ProgressiveResizing, Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_audio.evaluation.held_out import HeldOut

METHODS = ("mel", "bilinear", "combined")
# Frames on the pictures, which are as dark in a light page as in a dark one.
_FRAME = {"frame": "#f4f6fb"}
# One of so many clips at most is shown.
_CLIPS = 50
_KILOHERTZ = (0.5, 1, 2, 4, 8, 16)


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """An image that a network is shown.

    Args:
        title: How it was made.
        image: (mels, frames) in [0, 1].
        seconds: How much of the sound it holds.
    """

    title: str
    image: np.ndarray
    seconds: float


def stage_images(recipe: Recipe, held_out: "HeldOut") -> dict[str, str] | None:
    """The images of one clip held out, at full resolution and made small by each method.

    Args:
        recipe: Of the run.
        held_out: Its clips.

    Returns:
        `picture`, an SVG element, and `caption`; None for recipes whose images do not grow.
    """
    if not isinstance(recipe, ProgressiveResizing):
        return None
    clip_id, audio = _chosen(recipe, held_out)
    label = next(clip.label for clip in held_out.clips if clip.clip_id == clip_id)
    pictures = resized_pictures(recipe, audio)
    what = f"{clip_id}, of the class {held_out.records.labels[label]}"
    return {
        "picture": draw_pictures(pictures, recipe.sample_rate, what),
        "caption": f"{what}. {_told(recipe, pictures)}",
    }


def resized_pictures(recipe: ProgressiveResizing, audio: np.ndarray) -> list[Picture]:
    """The image of a clip at full resolution, and at the lowest by each method of `METHODS`.

    The lowest is that of the recipe's stages; where all of them have the full one, it is in the
    relation of the paper's: 64x128 to 128x300.

    Args:
        recipe: The method that it has itself does not matter.
        audio: (samples, channels); images of several channels are averaged.

    Example:
        >>> recipe = ProgressiveResizing(method="baseline")
        >>> pictures = resized_pictures(recipe, np.zeros((22050, 1), "float32"))
        >>> [(picture.title, picture.image.shape) for picture in pictures[:2]]
        [('full resolution, 128x300', (128, 300)), ('mel, 64x128', (64, 128))]
    """
    full = (recipe.num_mels, recipe.frames)
    lowest = min((stage.mels, stage.frames) for stage in recipe.plan)
    if lowest == full:
        lowest = (max(1, full[0] // 2), max(1, full[1] * 128 // 300))
    pictures = []
    for method, size in [("baseline", full), *((method, lowest) for method in METHODS)]:
        front_end = _front_end(recipe, method, size)
        image = np.asarray(front_end(audio[np.newaxis]))[0].mean(axis=-1)
        layer = front_end.get_layer("log_mel_image")
        title = "full resolution" if method == "baseline" else method
        seconds = layer.frames * layer.hop_length / recipe.sample_rate
        pictures.append(Picture(f"{title}, {size[0]}x{size[1]}", image, seconds))
    return pictures


def draw_pictures(pictures: list[Picture], sample_rate: int, what: str) -> str:
    """Draw images beside one another, and below each the same part of all, magnified.

    Args:
        pictures: The first is at full resolution.
        sample_rate: Of the clip, in Hz; the images reach up to half of it.
        what: The clip, for those who do not see it.

    Returns:
        An SVG element.
    """
    part = _liveliest_part(pictures[0], min(picture.seconds for picture in pictures))

    def draw(figure: "Figure") -> None:
        from matplotlib.patches import Rectangle

        figure.set_layout_engine("constrained", wspace=0.04, hspace=0.06)
        heights, names = _kilohertz(sample_rate)
        (left, right), (low, high) = part
        rows = figure.subplots(2, len(pictures))
        for column, picture in enumerate(pictures):
            for axes, title in zip(rows[:, column], (picture.title, "magnified"), strict=True):
                axes.imshow(
                    picture.image,
                    cmap="magma",
                    vmin=0,
                    vmax=1,
                    origin="lower",
                    extent=(0, picture.seconds, 0, 1),
                    aspect="auto",
                    # Pixels as they are: the browser magnifies them as squares.
                    interpolation="none",
                )
                axes.set_title(title, loc="left", size=12)
                axes.set_yticks(heights, names if column == 0 else [""] * len(names))
                axes.tick_params(length=0, pad=4, labelsize=10)
                axes.spines[:].set_visible(False)
            whole, magnified = rows[:, column]
            whole.set(xlim=(0, picture.seconds), ylim=(0, 1))
            magnified.set(xlim=(left, right), ylim=(low, high))
            corner, size = (left, low), (right - left, high - low)
            look = {"fill": False, "edgecolor": _FRAME["frame"], "linewidth": 1.5}
            whole.add_patch(Rectangle(corner, *size, **look))
        rows[0, 0].set_ylabel("kHz")
        rows[1, 0].set_ylabel("kHz")
        rows[1, -1].set_xlabel("seconds", loc="right")

    summary = f"Images of {what}: " + "; ".join(picture.title for picture in pictures)
    return svg_element((1080, 430), summary, draw, colors=_FRAME)


def _chosen(recipe: ProgressiveResizing, held_out: "HeldOut") -> tuple[str, np.ndarray]:
    """Of the first clips whose sound fills the image unrepeated that with the most contrast.

    Where none does, the first of all.
    """
    import librosa

    front_end = _front_end(recipe, "baseline", (recipe.num_mels, recipe.frames))
    filled = front_end.get_layer("log_mel_image").full_samples
    clips = clip_arrays(held_out.records, held_out.split.test_folds)
    chosen, most = None, -1.0
    for clip_id, audio in itertools.islice(clips, _CLIPS):
        sound = audio.T
        if recipe.trim_db is not None:
            sound, _ = librosa.effects.trim(sound, top_db=recipe.trim_db)
        contrast = 0.0
        if sound.shape[-1] >= filled:
            contrast = float(np.std(front_end(audio[np.newaxis])))
        if contrast > most:
            chosen, most = (clip_id, audio), contrast
    return chosen


def _front_end(recipe: ProgressiveResizing, method: str, size: tuple[int, int]):
    """The Keras model from a waveform to the image of a method at a resolution."""
    stage = f"{size[0]}x{size[1]}:1:1"
    return dataclasses.replace(recipe, method=method, stages=stage).build_front_end()


def _liveliest_part(picture: Picture, seconds: float) -> tuple[tuple[float, float], ...]:
    """Half the height and 0.4 of the first `seconds`, where neighbouring pixels differ most.

    Returns:
        From when to when, in seconds, and from which share of the height to which.
    """
    mels, frames = picture.image.shape
    each = picture.seconds / frames
    height, width = max(1, mels // 2), max(1, int(0.4 * seconds / each))
    heard = picture.image[:, : max(width, int(seconds / each))]
    change = np.abs(np.diff(heard, axis=0, prepend=heard[:1]))
    change += np.abs(np.diff(heard, axis=1, prepend=heard[:, :1]))
    sums = np.pad(change, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    parts = sums[height:, width:] - sums[:-height, width:]
    parts = parts - (sums[height:, :-width] - sums[:-height, :-width])
    row, column = np.unravel_index(parts.argmax(), parts.shape)
    times = (float(column * each), float((column + width) * each))
    return times, (float(row / mels), float((row + height) / mels))


def _kilohertz(sample_rate: int) -> tuple[np.ndarray, list[str]]:
    """Shares of the height at which some frequencies are, and their names."""
    import librosa

    shown = [value for value in _KILOHERTZ if 2000 * value < 0.99 * sample_rate]
    top = librosa.hz_to_mel(sample_rate / 2)
    return librosa.hz_to_mel(1000 * np.array(shown)) / top, [f"{value:g}" for value in shown]


def _told(recipe: ProgressiveResizing, pictures: list[Picture]) -> str:
    """What the pictures show, and which of them the run has to do with."""
    seconds = pictures[1].seconds
    sizes = ", then ".join(dict.fromkeys(stage.resolution for stage in recipe.plan))
    own = "full resolution alone" if recipe.method == "baseline" else f"the {recipe.method} method"
    return (
        f"The mel method has fewer filters, and hears the first {seconds:.2g} seconds; the "
        "bilinear one squeezes the whole image; combined, fewer filters are squeezed in time. "
        f"This run trained with {own}: {sizes}. Below, what is inside of the frames."
    )
