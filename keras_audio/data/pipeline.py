"""Records to batches: an order drawn from (seed, pass), crops and variants, the clip steps.

A set that fits lies in memory as one array of int16 samples, from which any clip is a slice: an
epoch begins at once, and a training resumes at any step without reading what came before. A larger
one is streamed, and shuffled through a buffer.
"""

import functools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import psutil
import tensorflow as tf
from tqdm import tqdm

from keras_audio.data.clip_table import Clip
from keras_audio.data.records import Records

_AUTO = tf.data.AUTOTUNE
_BAR = {"disable": None, "dynamic_ncols": True}
_LEAST_CHUNK = 500  # steps, for a new data set takes as long as a few


class TrainingBatches:
    """Batches of the clips of some folds, pass after pass, in an order of its own each pass.

    What a step sees follows from `seed` and the step's number, so a training that goes on at any
    step sees what an unbroken one would have seen from there.

    Args:
        records: The prepared data set. Where it holds pitch-shifted variants, one of them is drawn
            in place of the clip each time.
        folds: The folds to read.
        clip_steps: Keras model from waveforms (1, samples, channels) to what the network takes.
        batch_size: Clips a batch.
        seed: Draws orders, crops and variants.
        crop_samples: Length to which clips are cut, or zero-padded at their end, before the clip
            steps; None leaves their length alone.
        random_crop: Whether the cut begins at a random sample, or else at the first.
        balanced: Draw as if a class was drawn at random, then one of its clips: in a pass, a clip
            comes in proportion to the sum of one over the sizes of its classes.
        whole_batches: Leave out, in each pass, the clips that do not fill a batch; otherwise the
            last batch of a pass may be smaller.
        keep_inputs: Run the clip steps once a clip and keep what they give, where they give all
            clips one shape and it fits in a quarter of the memory, in place of once a pass. For
            clips that are neither cropped nor replaced by variants.
        workers: The number of this pipeline, from 0, and how many there are, one in each of several
            processes that train together: each gives its part of every batch, and runs the clip
            steps of those clips alone. Joined in the order of their numbers, the parts are the
            batch that a single pipeline gives. With several, `whole_batches` is implied.

    Attributes:
        batch_size: Clips a batch, of all workers together.
        steps_per_pass: Batches a pass.

    Raises:
        ValueError: If `whole_batches` leaves no batch, or the workers cannot share one evenly.
    """

    def __init__(
        self,
        records: Records,
        folds: Sequence[int],
        clip_steps,
        *,
        batch_size: int,
        seed: int,
        crop_samples: int | None = None,
        random_crop: bool = True,
        balanced: bool = False,
        whole_batches: bool = False,
        keep_inputs: bool = False,
        workers: tuple[int, int] = (0, 1),
    ) -> None:
        self._worker, self._workers = _check_workers(workers)
        if batch_size % self._workers:
            raise ValueError(
                f"Expected batch_size to be a multiple of {self._workers}, the number of workers. "
                f"Received: {batch_size=}"
            )
        whole_batches = whole_batches or self._workers > 1
        self._source = _Source(records, folds)
        self._clip_steps = clip_steps
        self.batch_size, self._seed, self._whole = batch_size, seed, whole_batches
        self._crop, self._random_crop = crop_samples, random_crop
        clips = self._source.clips
        self._rates = _balanced_rates(clips) if balanced else np.ones(len(clips))
        self.steps_per_pass = (
            len(clips) // batch_size if whole_batches else math.ceil(len(clips) / batch_size)
        )
        if not self.steps_per_pass:
            raise ValueError(
                f"Expected batch_size to be at most {len(clips)}, the number of training clips. "
                f"Received: {batch_size=}"
            )
        same_each_time = crop_samples is None and self._source.variants == 1
        self._keep = keep_inputs and same_each_time and self._source.in_memory

    def chunk(self, first: int) -> int:
        """How many steps from `first` on are best asked for at once.

        To the end of a pass, since going on inside one reads a streamed set anew from there; to the
        end of several where they are short and in memory.
        """
        passes = 1
        if self._source.in_memory and self._whole:
            passes = math.ceil(_LEAST_CHUNK / self.steps_per_pass)
        return passes * self.steps_per_pass - first % self.steps_per_pass

    def steps(self, first: int, count: int) -> tf.data.Dataset:
        """The batches of the steps `first` to `first + count`, counted from 0 over all passes.

        Returns:
            A data set of (inputs, targets (batch, classes) float32, one or multi-hot).
        """
        parts = []
        while count > 0:
            number, offset = divmod(first, self.steps_per_pass)
            taken = min(count, self.steps_per_pass - offset)
            parts.append(self._part_of_pass(number, offset, taken))
            first, count = first + taken, count - taken
        if self._source.in_memory and self._whole and parts:
            # Every part fills its batches, so that one pipeline serves all.
            parts = [np.concatenate(parts)]
        own = self.batch_size // self._workers
        batches = [self._examples(part).batch(own) for part in parts]
        if not batches:
            # No step is asked for: a data set of the same elements, but of none.
            return self.steps(0, 1).take(0)
        return functools.reduce(tf.data.Dataset.concatenate, batches).prefetch(_AUTO)

    @property
    def element_spec(self):
        """The specification of a batch, (inputs, targets), as of `tf.data.Dataset`."""
        return self.steps(0, 1).element_spec

    def _part_of_pass(self, number: int, offset: int, taken: int):
        """Index and number of drawing of each clip (clips, 2); of a streamed set, the data set."""
        generator = np.random.default_rng([self._seed, number])
        clips = slice(offset * self.batch_size, (offset + taken) * self.batch_size)
        counts = _systematic_counts(self._rates, generator)
        first_draw = number * len(counts)
        if self._source.in_memory:
            order = generator.permutation(np.repeat(np.arange(len(counts)), counts))
            pairs = np.stack([order, first_draw + np.arange(len(order))], axis=1)[clips]
            if self._workers == 1:
                return pairs
            parts = pairs.reshape(taken, self._workers, self.batch_size // self._workers, 2)
            return parts[:, self._worker].reshape(-1, 2)
        seed = int(generator.integers(2**31))
        return (
            self._source.stream(counts, seed, first_draw)
            .skip(clips.start)
            .take(clips.stop - clips.start)
        )

    def _examples(self, part) -> tf.data.Dataset:
        """(input, target) of each clip of a part."""
        if self._inputs is not None:
            return tf.data.Dataset.from_tensor_slices(part).map(self._load_kept, _AUTO)
        return self._clips(part).map(self._load, _AUTO)

    def _clips(self, part) -> tf.data.Dataset:
        """(index, draw, int16 samples of the clip and its variants) of each clip of a part."""
        if not self._source.in_memory:
            return part
        return tf.data.Dataset.from_tensor_slices(part).map(
            lambda pair: (pair[0], pair[1], self._source.audio(pair[0])),
            num_parallel_calls=_AUTO,
        )

    @functools.cached_property
    def _inputs(self) -> tf.Tensor | None:
        """What the clip steps make of each clip, (clips, ...), if that is to be kept and fits."""
        shape, count = self._clip_steps.output_shape[1:], len(self._source.clips)
        # Twice: there is a moment at which both the array and the tensor are there.
        if not self._keep or None in shape or 8 * math.prod(shape) * count > _memory():
            return None
        clips = (
            tf.data.Dataset.range(count)
            .map(lambda index: _run(self._clip_steps, self._source.audio(index)), _AUTO)
            .as_numpy_iterator()
        )
        inputs = np.empty((count, *shape), np.float32)
        # Shown where it takes more than a few seconds, on a terminal only.
        for index, clip in enumerate(tqdm(clips, "clips", count, unit="clip", delay=3, **_BAR)):
            inputs[index] = clip
        with tf.device("CPU:0"):
            return tf.constant(inputs)

    def _load_kept(self, pair: tf.Tensor):
        return tf.gather(self._inputs, pair[0]), self._source.targets(pair[0])

    def _load(self, index: tf.Tensor, draw: tf.Tensor, audio: tf.Tensor):
        variants = self._source.variants
        length = tf.shape(audio, tf.int64)[0] // variants
        seed = tf.stack([tf.cast(self._seed, tf.int64), draw])
        # Two independent numbers a drawing: the variant, and where the crop begins.
        chosen = tf.random.stateless_uniform([2], seed)
        start = length * _share(chosen[0], tf.constant(variants, tf.int64))
        if self._crop is not None:
            kept = tf.minimum(length, self._crop)
            if self._random_crop:
                start += _share(chosen[1], length - kept + 1)
            audio = audio[start : start + kept]
            audio = tf.pad(audio, [[0, self._crop - kept], [0, 0]])
            audio = tf.ensure_shape(audio, (self._crop, audio.shape[1]))
        else:
            audio = audio[start : start + length]
        return _run(self._clip_steps, audio), self._source.targets(index)


class EvaluationBatches:
    """The clips of some folds once each; those that the clip steps bring to one shape together.

    Args:
        records: The prepared data set.
        folds: The folds to read.
        clip_steps: Keras model from waveforms (1, samples, channels) to what the network takes.
        batch_size: Clips a batch, at most.
        max_samples: Where longer clips are cut; None takes them whole.
        keep_inputs: Keep what the clip steps give, where it fits in a quarter of the memory, in
            place of making it anew each time that the data set is read to its end.
        workers: The number of this pipeline, from 0, and how many there are: each gives a share of
            the clips.

    Attributes:
        dataset: A data set of (inputs, targets (batch, classes) float32).
        order: Index (clips,), among the clips in stored order, of each row of the data set.
        steps: The number of batches.
    """

    def __init__(
        self,
        records: Records,
        folds: Sequence[int],
        clip_steps,
        *,
        batch_size: int,
        max_samples: int | None = None,
        keep_inputs: bool = False,
        workers: tuple[int, int] = (0, 1),
    ) -> None:
        worker, count = _check_workers(workers)
        source = _Source(records, folds, variants=False)
        lengths = [min(clip.samples, max_samples or clip.samples) for clip in source.clips]
        shapes = {
            length: tuple(clip_steps.compute_output_shape((1, length, records.channels)))
            for length in set(lengths)
        }
        groups: dict[tuple, list[int]] = {}
        for index, length in enumerate(lengths):
            groups.setdefault(shapes[length], []).append(index)
        size = sum(4 * math.prod(shape[1:]) * len(own) for shape, own in groups.items())
        if not source.in_memory and len(groups) > 1:
            batch_size, groups = 1, {(): list(range(len(source.clips)))}
        groups = {
            shape: own[len(own) * worker // count : len(own) * (worker + 1) // count]
            for shape, own in groups.items()
        }

        def load(index: tf.Tensor, audio: tf.Tensor):
            return _run(clip_steps, audio[:max_samples]), source.targets(index)

        def batches(indices: list[int]) -> tf.data.Dataset:
            if source.in_memory:
                clips = tf.data.Dataset.from_tensor_slices(np.array(indices, np.int64)).map(
                    lambda index: (index, source.audio(index)),
                    num_parallel_calls=_AUTO,
                )
            else:
                clips = source.stored_order().skip(min(indices, default=0)).take(len(indices))
            return clips.map(load, num_parallel_calls=_AUTO).batch(batch_size)

        self.order = np.array([index for indices in groups.values() for index in indices], np.int64)
        self.steps = sum(math.ceil(len(indices) / batch_size) for indices in groups.values())
        dataset = functools.reduce(
            tf.data.Dataset.concatenate, (batches(indices) for indices in groups.values())
        )
        if keep_inputs and size <= _memory():
            dataset = dataset.cache()
        self.dataset = dataset.prefetch(_AUTO)


def clip_arrays(records: Records, folds: Sequence[int]) -> Iterator[tuple[str, np.ndarray]]:
    """Iterate over (clip id, float32 waveform (samples, channels)) of `folds`, in stored order."""
    for example in records.dataset(folds, pitch_shifted=False).as_numpy_iterator():
        yield example["clip_id"].decode(), example["audio"].astype(np.float32) / 32768


class _Source:
    """The samples and labels of the clips of some folds: in memory if they fit, else streamed.

    They fit if they take at most a quarter of the memory.
    """

    def __init__(self, records: Records, folds: Sequence[int], variants: bool = True) -> None:
        self._records, self._folds = records, folds
        self.clips: list[Clip] = records.clips(folds)
        shifted = variants and records.pitch_variants > 0
        self.variants = records.pitch_variants if shifted else 1
        self._key = "pitch_shifted" if shifted else "audio"
        lengths = np.array([clip.samples for clip in self.clips], np.int64) * self.variants
        share = _memory() / (int(lengths.sum()) * records.channels * 2)
        self.in_memory = share >= 1
        self._buffer = int(share * len(self.clips)) + 1
        self._ends = np.cumsum(lengths)
        labels = [clip.labels for clip in self.clips]
        self._label_ends = np.cumsum([len(own) for own in labels], dtype=np.int64)
        self._labels = tf.constant([label for own in labels for label in own], tf.int64)
        self._classes = len(records.labels)
        self._samples = self._read() if self.in_memory else None

    def _read(self) -> tf.Tensor:
        samples = np.empty((self._ends[-1], self._records.channels), np.int16)
        start = 0
        for example, end in zip(self._read_all().as_numpy_iterator(), self._ends, strict=True):
            samples[start:end] = example[self._key]
            start = end
        with tf.device("CPU:0"):
            return tf.constant(samples)

    def _read_all(self) -> tf.data.Dataset:
        shifted = self._key == "pitch_shifted"
        return self._records.dataset(self._folds, pitch_shifted=shifted)

    def audio(self, index: tf.Tensor) -> tf.Tensor:
        """Samples (variants * samples, channels) int16 of a clip in memory."""
        return self._samples[self._start(self._ends, index) : tf.gather(self._ends, index)]

    def targets(self, index: tf.Tensor) -> tf.Tensor:
        """One or multi-hot (classes,) float32."""
        start, end = self._start(self._label_ends, index), tf.gather(self._label_ends, index)
        return tf.reduce_sum(tf.one_hot(self._labels[start:end], self._classes), axis=0)

    @staticmethod
    def _start(ends: np.ndarray, index: tf.Tensor) -> tf.Tensor:
        return tf.gather(np.concatenate([[0], ends]), index)

    def stored_order(self) -> tf.data.Dataset:
        """(index, samples) of every clip, read from disk."""
        return (
            self._read_all()
            .map(lambda example: example[self._key], num_parallel_calls=_AUTO)
            .enumerate()
        )

    def stream(self, counts: np.ndarray, seed: int, first_draw: int) -> tf.data.Dataset:
        """(index, draw, samples) of the clips as often as `counts` says, shuffled by a buffer."""

        def repeat(index: tf.Tensor, audio: tf.Tensor) -> tf.data.Dataset:
            return tf.data.Dataset.from_tensors((index, audio)).repeat(tf.gather(counts, index))

        return (
            self.stored_order()
            .flat_map(repeat)
            .shuffle(self._buffer, seed=seed, reshuffle_each_iteration=False)
            .enumerate(first_draw)
            .map(lambda draw, clip: (clip[0], draw, clip[1]))
        )


def _check_workers(workers: tuple[int, int]) -> tuple[int, int]:
    index, number = workers
    if not 0 <= index < number:
        raise ValueError(
            "Expected the number of a worker, from 0, and how many workers there are. "
            f"Received: {workers=}"
        )
    return index, number


def _memory() -> float:
    """The bytes that one thing may take: a quarter of the machine's."""
    return psutil.virtual_memory().total / 4


def _balanced_rates(clips: Sequence[Clip]) -> np.ndarray:
    """How often each clip comes in a pass if a class is drawn, then one of its clips."""
    sizes: dict[int, int] = {}
    for clip in clips:
        for label in clip.labels:
            sizes[label] = sizes.get(label, 0) + 1
    weights = np.array([sum(1 / sizes[label] for label in clip.labels) for clip in clips])
    return weights * len(clips) / weights.sum()


def _systematic_counts(rates: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Whole numbers with these means that always have the same sum: systematic sampling."""
    total = len(rates)
    ends = np.floor(np.cumsum(rates) + generator.random())
    # Rounding must not make the pass a clip longer or shorter.
    ends[-1] = total
    return np.diff(np.minimum(ends, total), prepend=0).astype(np.int64)


def _share(uniform: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """A whole number from 0 to `count` - 1 out of a number from 0 to 1."""
    position = tf.cast(tf.cast(uniform, tf.float64) * tf.cast(count, tf.float64), tf.int64)
    return tf.minimum(position, count - 1)


def _run(clip_steps, audio: tf.Tensor) -> tf.Tensor:
    return clip_steps((tf.cast(audio, tf.float32) / 32768.0)[tf.newaxis], training=False)[0]
