"""The one TFDS builder that writes every data set's records."""

import contextlib
import dataclasses
import importlib
import io
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from data_prep.clips import RECORDS_VERSION, Clip, ClipList, DatasetCard
from data_prep.decoding import Decoded, Decoder

_TWINS_SHOWN = 3


@dataclasses.dataclass
class SoundConfig(tfds.core.BuilderConfig):
    """One form of a data set's records.

    Attributes:
        sample_rate: Hz of the records.
        channels: Channels of the records.
        pitch_variants: How many pitch-shifted copies there are of each clip.
        resampling: How the clips got their rate.
    """

    sample_rate: int = 0
    channels: int = 0
    pitch_variants: int = 0
    resampling: str = "soxr"


class SoundBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Records of int16 samples with label, fold, source recording and clip id; a split a fold.

    The samples are stored as raw bytes (`Tensor(..., encoding="bytes")`), which reads several
    times faster than TFDS's `Audio`. Within a split the order is TFDS's: by a hash of the clip id,
    so that the same clips give the same bytes whatever finishes decoding first.

    After `download_and_prepare`, `problems` says which files are not among the records and why,
    and `twins` holds the pairs of clips with the same samples in two folds.

    Args:
        clip_list: The clips.
        card: What the data set is.
        jobs: How many processes decode.
        progress: Whether to show a progress bar.
        **arguments: Those of `tfds.core.GeneratorBasedBuilder`.
    """

    VERSION = tfds.core.Version(RECORDS_VERSION)
    # Where TFDS would look for download checksums beside the code; there are none.
    code_path = None

    def __init__(
        self, *, clip_list: ClipList, card: DatasetCard, jobs: int, progress: bool, **arguments
    ):
        self._clip_list = clip_list
        self._card = card
        self._jobs = jobs
        self._progress = progress
        self.problems = list(clip_list.missing)
        self.twins: list[tuple[Clip, Clip]] = []
        self._first_with: dict[str, Clip] = {}
        super().__init__(**arguments)

    def _info(self) -> tfds.core.DatasetInfo:
        config, clip_list = self.builder_config, self._clip_list
        label = tfds.features.ClassLabel(names=list(clip_list.labels))
        audio = tfds.features.Tensor(
            shape=(None, config.channels), dtype=np.int16, encoding="bytes"
        )
        features = {
            "audio": audio,
            "label": tfds.features.Sequence(label) if clip_list.multi_label else label,
            "fold": np.int32,
            "source": tfds.features.Text(),
            "clip_id": tfds.features.Text(),
            "hash": tfds.features.Text(),
        }
        metadata = {
            "dataset": self._card.name,
            "sample_rate": config.sample_rate,
            "channels": config.channels,
            "labels": list(clip_list.labels),
            "folds": list(clip_list.folds),
            "source_fingerprint": clip_list.fingerprint(),
        }
        # Only where it says something: records without are as they were before there was any.
        if clip_list.multi_label:
            metadata["multi_label"] = True
        if clip_list.attributes:
            features["attributes"] = {name: tfds.features.Text() for name in clip_list.attributes}
            metadata["attributes"] = list(clip_list.attributes)
        if clip_list.groups:
            metadata["groups"] = clip_list.groups
        if clip_list.held_out_folds:
            metadata["held_out_folds"] = list(clip_list.held_out_folds)
        if clip_list.unknown_label is not None:
            metadata["unknown_label"] = clip_list.unknown_label
        if config.pitch_variants:
            features["pitch_shifted"] = audio
            metadata["pitch_variants"] = config.pitch_variants
        if config.resampling != "soxr":
            metadata["resampling"] = config.resampling
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{self._card.title} at {config.sample_rate} Hz.",
            features=tfds.features.FeaturesDict(features),
            homepage=self._card.url,
            license=self._card.licence,
            metadata=tfds.core.MetadataDict(metadata),
        )

    def _split_generators(self, dl_manager) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
        del dl_manager
        return {f"fold{fold}": self._generate_examples(fold) for fold in self._clip_list.folds}

    def _generate_examples(self, fold: int) -> Iterator[tuple[str, dict[str, Any]]]:
        clips = [clip for clip in self._clip_list.clips if clip.fold == fold]
        good = 0
        for clip, decoded in self._decode(clips):
            good += 1
            first = self._first_with.setdefault(decoded.hash, clip)
            if first.fold != fold:
                self.twins.append((first, clip))
            yield clip.clip_id, self._example(clip, decoded)
        if good:
            return
        # TFDS cannot write a split without a record; what else is wrong is still found first.
        for _ in self._decode(clip for clip in self._clip_list.clips if clip.fold > fold):
            pass
        raise ValueError(
            f"Expected readable sound files in every fold, got none in fold {fold} and "
            f"{len(self.problems)} missing or bad in all: {'; '.join(self.problems)}. "
            f"Received: source={self._clip_list.root}"
        )

    def _example(self, clip: Clip, decoded: Decoded) -> dict[str, Any]:
        names = [label for label in self._clip_list.labels if label in clip.labels]
        example = {
            "audio": decoded.samples,
            "label": names if self._clip_list.multi_label else names[0],
            "fold": clip.fold,
            "source": clip.source,
            "clip_id": clip.clip_id,
            "hash": decoded.hash,
        }
        if decoded.pitch_shifted is not None:
            example["pitch_shifted"] = decoded.pitch_shifted
        if clip.attributes:
            example["attributes"] = dict(clip.attributes)
        return example

    def _decode(self, clips: Iterable[Clip]) -> Iterator[tuple[Clip, Decoded]]:
        """Decode the clips, move the bar, and set those aside that are missing or bad."""
        for clip, decoded in self._decoder.decode(self._clip_list.root, clips):
            self._bar.update()
            if decoded.samples is None:
                self.problems.append(f"{clip.file}: {decoded.problem}")
            else:
                yield clip, decoded

    def _download_and_prepare(self, dl_manager, download_config) -> None:
        config, total = self.builder_config, len(self._clip_list.clips)
        with (
            Decoder(
                config.sample_rate,
                config.channels,
                self._jobs,
                config.pitch_variants,
                config.resampling,
            ) as self._decoder,
            tqdm(
                total=total, desc=self.name, unit="clips", disable=not self._progress
            ) as self._bar,
        ):
            super()._download_and_prepare(dl_manager, download_config)
        # Known only now, and TFDS writes the metadata last.
        self.info.metadata["clips"] = total - len(self.problems) + len(self._clip_list.missing)
        self.info.metadata["missing"] = self.problems


def write_records(
    directory: pathlib.Path,
    dataset_name: str,
    config_name: str,
    sample_rate: int,
    channels: int,
    pitch_variants: int,
    resampling: str,
    **arguments: Any,
) -> tuple[pathlib.Path, int, tuple[str, ...], tuple[str, ...]]:
    """Write records below `directory`, in a folder of TFDS's layout.

    Args:
        directory: TFDS's data directory.
        dataset_name: What the records are called.
        config_name: What the configuration is called.
        sample_rate: Hz of the records.
        channels: Channels of the records.
        pitch_variants: How many pitch-shifted copies of each clip to make.
        resampling: How the clips get their rate.
        **arguments: Those of `SoundBuilder`.

    Returns:
        The folder, the number of clips in it, what is missing from it, and notes on it.
    """
    # TFDS imports it at the first record, which would be seconds within the progress bar.
    importlib.import_module("tensorflow")
    config = SoundConfig(
        name=config_name,
        sample_rate=sample_rate,
        channels=channels,
        pitch_variants=pitch_variants,
        resampling=resampling,
    )
    tfds.disable_progress_bar()  # Five bars of TFDS's own would run through ours.

    class Builder(SoundBuilder, skip_registration=True):
        name = dataset_name
        BUILDER_CONFIGS = [config]

    builder = Builder(data_dir=directory, config=config_name, **arguments)
    # It announces a download on standard output, which belongs to the caller.
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare()
    clips = builder.info.metadata["clips"]
    return builder.data_path, clips, tuple(builder.problems), _twin_notes(builder.twins)


def _twin_notes(twins: list[tuple[Clip, Clip]]) -> tuple[str, ...]:
    if not twins:
        return ()
    pairs = [
        f"{first.file} (fold {first.fold}) = {second.file} (fold {second.fold})"
        for first, second in twins[:_TWINS_SHOWN]
    ]
    more = ", ..." if len(twins) > _TWINS_SHOWN else ""
    return (
        f"the same samples in two folds, so that a network is tested on what it was trained on: "
        f"{len(twins)} ({', '.join(pairs)}{more})",
    )
