"""Records to batches: an order drawn from (seed, pass), crops and variants, the clip steps.

A set that fits lies in memory as one array of int16 samples, from which any clip is a slice: an
epoch begins at once, and a training resumes at any step without reading what came before. A larger
one is read as it is needed: balanced samples from wherever they are, in the same order as from
memory; whole passes file by file, through buffers that are shuffled.
"""

import functools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from keras_audio.data.records import Records
from keras_audio.data.sampling import balanced_rates, systematic_counts
from keras_audio.data.service import check_service, from_service
from keras_audio.data.sources import MOST_BUFFERED, Source
from keras_audio.data.streams import Lanes

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
            clips one shape and it fits in `memory`, in place of once a pass. For clips that are
            neither cropped nor replaced by variants.
        workers: The number of this pipeline, from 0, and how many there are, one in each of several
            processes that train together: each gives its part of every batch, and runs the clip
            steps of those clips alone. Joined in the order of their numbers, the parts are the
            batch that a single pipeline gives. With several, `whole_batches` is implied.
        memory: Bytes that the samples may take; None for a quarter of what this process may use. A
            larger set is not kept in memory, and gets another order unless it is `balanced`. All
            workers are to have the same, and a training that goes on is to have what it had.
        service: Address of the dispatcher of a tf.data service, `grpc://host:port`, whose workers
            read the clips, from the same paths, and run the clip steps. The batches are the same,
            but of several such workers those come first that are ready first.

    Attributes:
        batch_size: Clips a batch, of all workers together.
        steps_per_pass: Batches a pass.
        in_memory: Whether the samples are kept in memory.
        service: As given.

    Raises:
        ValueError: If `whole_batches` leaves no batch, the workers cannot share one evenly, or the
            service cannot be reached or cannot run the clip steps.
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
        memory: int | None = None,
        service: str | None = None,
    ) -> None:
        self._worker, self._workers = _check_workers(workers)
        if batch_size % self._workers:
            raise ValueError(
                f"Expected batch_size to be a multiple of {self._workers}, the number of workers. "
                f"Received: {batch_size=}"
            )
        if service is not None:
            check_service(service, clip_steps)
        self.service = service
        # What is in memory here cannot be sent elsewhere.
        self._source = Source(records, folds, memory=0 if service is not None else memory)
        self._channels = records.channels
        self.in_memory = self._source.in_memory
        self._clip_steps = clip_steps
        self.batch_size, self._seed = batch_size, seed
        self._own = batch_size // self._workers
        self._whole = whole_batches or self._workers > 1
        self._crop, self._random_crop = crop_samples, random_crop
        count = len(self._source)
        self._rates = balanced_rates(self._source.clips) if balanced else np.ones(count)
        self.steps_per_pass = count // batch_size if self._whole else math.ceil(count / batch_size)
        if not self.steps_per_pass:
            raise ValueError(
                f"Expected batch_size to be at most {count}, the number of training clips. "
                f"Received: {batch_size=}"
            )
        same_each_time = crop_samples is None and self._source.variants == 1
        self._keep = keep_inputs and same_each_time and self.in_memory
        self._lanes = None
        if not (self.in_memory or balanced or service is not None):
            self._lanes = self._make_lanes(records, folds)

    def _make_lanes(self, records: Records, folds: Sequence[int]) -> Lanes:
        shards, buffer_bytes = records.shards(folds), min(self._source.memory, MOST_BUFFERED)
        lanes = Lanes(shards, self.batch_size, self._seed, buffer_bytes)
        if lanes.count % self._workers:
            raise ValueError(
                f"Expected a number of workers that divides {lanes.count}, the lanes in which "
                f"batches of {self.batch_size} are read from {len(shards)} files that do not fit "
                "in memory (a power of two, at most 16, that divides the batch; more --memory lets "
                f"any number of them read). Received: {self._workers} workers"
            )
        return lanes

    def chunk(self, first: int) -> int:
        """How many steps from `first` on are best asked for at once.

        To the end of a pass, since files that are read from end to end are opened anew for each;
        to the end of several where they are short and any clip can be read at once.
        """
        passes = 1
        if self._lanes is None and self._whole:
            passes = math.ceil(_LEAST_CHUNK / self.steps_per_pass)
        return passes * self.steps_per_pass - first % self.steps_per_pass

    def steps(self, first: int, count: int) -> tf.data.Dataset:
        """The batches of the steps `first` to `first + count`, counted from 0 over all passes.

        Returns:
            A data set of (inputs, targets (batch, classes) float32, one or multi-hot).
        """
        return self._steps(first, count, self.service)

    @property
    def element_spec(self):
        """The specification of a batch, (inputs, targets), as of `tf.data.Dataset`."""
        return self._steps(0, 1).element_spec

    def _steps(self, first: int, count: int, service: str | None = None) -> tf.data.Dataset:
        parts = []
        while count > 0:
            number, offset = divmod(first, self.steps_per_pass)
            parts.append((number, offset, min(count, self.steps_per_pass - offset)))
            first, count = first + parts[-1][-1], count - parts[-1][-1]
        if not parts:
            # No step is asked for: a data set of the same elements, but of none.
            return self._steps(0, 1).take(0)
        if self._lanes is not None:
            batches = [self._read_in_lanes(*part) for part in parts]
        else:
            drawn = [self._draw(*part) for part in parts]
            if self._whole:
                # Every part fills its batches, so that one pipeline serves all.
                drawn = [np.concatenate(drawn)]
            batches = [self._load_drawn(pairs, service) for pairs in drawn]
        dataset = functools.reduce(tf.data.Dataset.concatenate, batches)
        return dataset.prefetch(_AUTO).with_options(self._source.options())

    def _draw(self, number: int, offset: int, taken: int) -> np.ndarray:
        """Index and number of drawing of each clip in this worker's part of some batches of a pass.

        Returns:
            int64 (clips, 2).
        """
        generator = np.random.default_rng([self._seed, number])
        counts = systematic_counts(self._rates, generator)
        order = generator.permutation(np.repeat(np.arange(len(counts)), counts))
        clips = np.arange(offset * self.batch_size, (offset + taken) * self.batch_size)
        if self._workers > 1:
            clips = clips.reshape(taken, self._workers, self._own)[:, self._worker].ravel()
        clips = clips[clips < len(order)]
        return np.stack([order[clips], number * len(order) + clips], axis=1)

    def _load_drawn(self, pairs: np.ndarray, service: str | None) -> tf.data.Dataset:
        """Batches of the clips that were drawn."""
        if self._inputs is not None:
            rows = tf.data.Dataset.from_tensor_slices(pairs)
            return rows.map(self._load_kept, _AUTO).batch(self._own)

        def clips(pairs: np.ndarray | tf.Tensor) -> tf.data.Dataset:
            return self._source.load(pairs, lambda pair, audio: self._load(pair[0], pair[1], audio))

        if service is not None:
            return from_service(service, pairs, self._own, clips)
        return clips(pairs).batch(self._own)

    def _read_in_lanes(self, number: int, offset: int, taken: int) -> tf.data.Dataset:
        """Batches of a pass through all files."""
        clips = self._lanes.batches(number, offset, taken, self._worker, self._workers)
        first_draw = number * len(self._source)

        def load(index: tf.Tensor, place: tf.Tensor, record: tf.Tensor):
            return self._load(index, first_draw + place, self._source.parse(record))

        return clips.map(load, _AUTO).batch(self._own)

    @functools.cached_property
    def _inputs(self) -> tf.Tensor | None:
        """What the clip steps make of each clip, (clips, ...), if that is to be kept and fits."""
        shape, count = self._clip_steps.output_shape[1:], len(self._source)
        # Twice: there is a moment at which both the array and the tensor are there.
        if not self._keep or None in shape or 8 * math.prod(shape) * count > self._source.memory:
            return None
        rows = np.arange(count)[:, np.newaxis]
        shape_of_clip = (-1, self._channels)
        made = self._source.load(
            rows, lambda row, audio: _run(self._clip_steps, tf.reshape(audio, shape_of_clip))
        )
        clips = made.with_options(self._source.options()).as_numpy_iterator()
        inputs = np.empty((count, *shape), np.float32)
        # Shown where it takes more than a few seconds, on a terminal only.
        for index, clip in enumerate(tqdm(clips, "clips", count, unit="clip", delay=3, **_BAR)):
            inputs[index] = clip
        with tf.device("CPU:0"):
            return tf.constant(inputs)

    def _load_kept(self, pair: tf.Tensor):
        return tf.gather(self._inputs, pair[0]), self._source.targets(pair[0])

    def _load(self, index: tf.Tensor, draw: tf.Tensor, audio: tf.Tensor):
        variants, crop = self._source.variants, self._crop
        length = tf.size(audio, tf.int64) // (variants * self._channels)
        start = tf.constant(0, tf.int64)
        if variants > 1 or (crop is not None and self._random_crop):
            seed = tf.stack([tf.cast(self._seed, tf.int64), draw])
            # Two independent numbers a drawing: the variant, and where the crop begins.
            chosen = tf.random.stateless_uniform([2], seed)
            start = length * _share(chosen[0], tf.constant(variants, tf.int64))
        kept = length if crop is None else tf.minimum(length, crop)
        if crop is not None and self._random_crop:
            start += _share(chosen[1], length - kept + 1)
        audio = audio[start * self._channels : (start + kept) * self._channels]
        if crop is not None:
            audio = tf.pad(audio, [[0, (crop - kept) * self._channels]])
        audio = tf.reshape(audio, (crop or -1, self._channels))
        return _run(self._clip_steps, audio), self._source.targets(index)


class EvaluationBatches:
    """The clips of some folds once each; those that the clip steps bring to one shape together.

    Args:
        records: The prepared data set.
        folds: The folds to read.
        clip_steps: Keras model from waveforms (1, samples, channels) to what the network takes.
        batch_size: Clips a batch, at most.
        max_samples: Where longer clips are cut; None takes them whole.
        keep_inputs: Keep what the clip steps give, where it fits in `memory`, in place of making it
            anew each time that the data set is read to its end.
        workers: The number of this pipeline, from 0, and how many there are: each gives a share of
            the clips.
        memory: Bytes that the samples may take, or else they are read each time; None for a quarter
            of what this process may use.

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
        memory: int | None = None,
    ) -> None:
        worker, count = _check_workers(workers)
        source = Source(records, folds, variants=False, memory=memory)
        lengths = source.lengths if max_samples is None else np.minimum(source.lengths, max_samples)
        groups: dict[tuple, list[np.ndarray]] = {}
        for length in np.unique(lengths):
            shape = tuple(clip_steps.compute_output_shape((1, int(length), records.channels)))
            groups.setdefault(shape, []).append(np.flatnonzero(lengths == length))
        together = {shape: np.sort(np.concatenate(parts)) for shape, parts in groups.items()}
        size = sum(4 * math.prod(shape[1:]) * len(own) for shape, own in together.items())
        # Those of the first clip first.
        shares = [
            own[len(own) * worker // count : len(own) * (worker + 1) // count]
            for own in sorted(together.values(), key=lambda own: own[0])
        ]

        def load(row: tf.Tensor, audio: tf.Tensor):
            kept = audio if max_samples is None else audio[: max_samples * records.channels]
            kept = tf.reshape(kept, (-1, records.channels))
            return _run(clip_steps, kept), source.targets(row[0])

        def batches(indices: np.ndarray) -> tf.data.Dataset:
            return source.load(indices[:, np.newaxis], load).batch(batch_size)

        self.order = np.concatenate(shares)
        self.steps = sum(math.ceil(len(share) / batch_size) for share in shares)
        dataset = functools.reduce(tf.data.Dataset.concatenate, map(batches, shares))
        dataset = dataset.with_options(source.options())
        if keep_inputs and size <= source.memory:
            dataset = dataset.cache()
        self.dataset = dataset.prefetch(_AUTO)


def clip_arrays(records: Records, folds: Sequence[int]) -> Iterator[tuple[str, np.ndarray]]:
    """Iterate over (clip id, float32 waveform (samples, channels)) of `folds`, in stored order."""
    for example in records.dataset(folds, pitch_shifted=False).as_numpy_iterator():
        yield example["clip_id"].decode(), example["audio"].astype(np.float32) / 32768


def _check_workers(workers: tuple[int, int]) -> tuple[int, int]:
    index, number = workers
    if not 0 <= index < number:
        raise ValueError(
            "Expected the number of a worker, from 0, and how many workers there are. "
            f"Received: {workers=}"
        )
    return index, number


def _share(uniform: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """A whole number from 0 to `count` - 1 out of a number from 0 to 1."""
    position = tf.cast(tf.cast(uniform, tf.float64) * tf.cast(count, tf.float64), tf.int64)
    return tf.minimum(position, count - 1)


def _run(clip_steps, audio: tf.Tensor) -> tf.Tensor:
    return clip_steps((tf.cast(audio, tf.float32) / 32768.0)[tf.newaxis], training=False)[0]
