"""What is known of each clip beside its samples: one clip, and a million as a table of columns."""

import array
import dataclasses
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from keras_audio.data.strings import Strings, StringsBuilder, joined_ends, pieces
from keras_audio.files import replacing

_HASH_BYTES = 16
# An int64 array.array is "q" on every system that TensorFlow runs on.
_WHOLE = "q"
_ARRAYS = ("folds", "labels", "label_ends", "hashes", "samples", "shards", "offsets")


@dataclasses.dataclass(frozen=True)
class Clip:
    """One clip of the records, without its samples.

    Args:
        clip_id: Unique name of the clip in its data set.
        source: The recording that the clip was cut from.
        fold: The official fold.
        labels: Indices into the class names, ascending: exactly one, unless the set is multi-label.
        hash: Digest of the int16 samples, 32 hexadecimal digits.
        samples: Samples per channel.
        attributes: What else is known of the clip by name, such as its device; often nothing.
    """

    clip_id: str
    source: str
    fold: int
    labels: tuple[int, ...]
    hash: str
    samples: int
    attributes: dict[str, str] = dataclasses.field(default_factory=dict, hash=False)

    @property
    def label(self) -> int:
        """The only class of a clip of a single-label data set."""
        return self.labels[0]


@dataclasses.dataclass(frozen=True, eq=False)
class ClipTable(Sequence[Clip]):
    """Clips as columns, so that a million take about 100 MB: a `Sequence[Clip]` otherwise.

    A number gives a `Clip`, made anew each time; a slice gives a table.

    Args:
        ids: The clips' names.
        sources: The recordings that they were cut from.
        folds: int32 (clips,).
        labels: The classes of the first clip, then those of the second and so on, int32.
        label_ends: Where those of each clip end in `labels`, int64 (clips,).
        hashes: Digests of the samples, uint8 (clips, 16).
        samples: Samples per channel, int64 (clips,).
        shards: The number of the file of its fold's records that holds the clip, from 0, int32
            (clips,); -1 where that is not known.
        offsets: The byte at which the clip's record begins in that file, int64 (clips,), likewise.
        attributes: By name, a number for each clip, int32 (clips,), and what the numbers mean.

    Example:
        >>> bark = Clip("1-100032-A-0.ogg", "100032", 1, (0,), "0f" * 16, 220500)
        >>> table = ClipTable.from_clips([bark, bark])
        >>> len(table), table[1] == bark, table.samples.tolist()
        (2, True, [220500, 220500])
    """

    ids: Strings
    sources: Strings
    folds: np.ndarray
    labels: np.ndarray
    label_ends: np.ndarray
    hashes: np.ndarray
    samples: np.ndarray
    shards: np.ndarray
    offsets: np.ndarray
    attributes: Mapping[str, tuple[np.ndarray, Strings]] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_clips(
        cls,
        clips: Iterable[Clip],
        shards: int | Iterable[int] = -1,
        offsets: int | Iterable[int] = -1,
    ) -> "ClipTable":
        """Make a table of clips, which may come one by one.

        Args:
            clips: The clips, all with the same attributes.
            shards: The number of the file that holds each, or that holds all.
            offsets: The byte at which the record of each begins in its file.

        Raises:
            ValueError: If a clip has other attributes than the first, or a hash that is none; or if
                there are fewer shards or offsets than clips.
        """
        ids, sources = StringsBuilder(), StringsBuilder()
        whole = {name: array.array(_WHOLE) for name in ("folds", "labels", "ends", "samples")}
        places = {"shards": array.array(_WHOLE), "offsets": array.array(_WHOLE)}
        given = {"shards": _for_each(shards), "offsets": _for_each(offsets)}
        hashes = bytearray()
        codes: dict[str, array.array] = {}
        values: dict[str, dict[str, int]] = {}
        for count, clip in enumerate(clips):
            if count == 0:
                codes = {name: array.array(_WHOLE) for name in clip.attributes}
                values = {name: {} for name in clip.attributes}
            if list(clip.attributes) != list(codes):
                raise ValueError(
                    f"Expected the attributes {', '.join(codes) or 'none'} for every clip. "
                    f"Received: {', '.join(clip.attributes) or 'none'} for {clip.clip_id}"
                )
            hashes += _hash_bytes(clip)
            ids.append(clip.clip_id)
            sources.append(clip.source)
            whole["folds"].append(clip.fold)
            whole["labels"].extend(clip.labels)
            whole["ends"].append(len(whole["labels"]))
            whole["samples"].append(clip.samples)
            for name, column in places.items():
                number = next(given[name], None)
                if number is None:
                    raise ValueError(
                        f"Expected {name} for every clip. Received: {name} for the first {count}"
                    )
                column.append(number)
            for name, value in clip.attributes.items():
                codes[name].append(values[name].setdefault(value, len(values[name])))
        return cls(
            ids.strings(),
            sources.strings(),
            np.array(whole["folds"], np.int32),
            np.array(whole["labels"], np.int32),
            np.array(whole["ends"], np.int64),
            np.frombuffer(bytes(hashes), np.uint8).reshape(-1, _HASH_BYTES),
            np.array(whole["samples"], np.int64),
            np.array(places["shards"], np.int32),
            np.array(places["offsets"], np.int64),
            {name: (np.array(codes[name], np.int32), Strings.of(values[name])) for name in codes},
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        clip_id = self.ids[index]  # raises IndexError, which ends an iteration
        index %= len(self)
        return Clip(
            clip_id=clip_id,
            source=self.sources[index],
            fold=int(self.folds[index]),
            labels=tuple(self.labels_of(index).tolist()),
            hash=self.hashes[index].tobytes().hex(),
            samples=int(self.samples[index]),
            attributes={
                name: values[codes[index]] for name, (codes, values) in self.attributes.items()
            },
        )

    def labels_of(self, index: int) -> np.ndarray:
        """The classes of a clip, int32; `index` from 0."""
        start = self.label_ends[index - 1] if index else 0
        return self.labels[start : self.label_ends[index]]

    def take(self, indices: np.ndarray) -> "ClipTable":
        """The table of the clips at `indices`, int (n,), in that order."""
        places, label_ends = pieces(self.label_ends, indices)
        return ClipTable(
            self.ids.take(indices),
            self.sources.take(indices),
            self.folds[indices],
            self.labels[places],
            label_ends,
            self.hashes[indices],
            self.samples[indices],
            self.shards[indices],
            self.offsets[indices],
            {name: (codes[indices], values) for name, (codes, values) in self.attributes.items()},
        )

    @staticmethod
    def concatenate(tables: Iterable["ClipTable"]) -> "ClipTable":
        """The clips of all tables, one table after the other: as if made of them at once.

        Raises:
            ValueError: If two tables have clips with different attributes.
        """
        tables = list(tables)
        tables = [table for table in tables if len(table)] or tables[:1]
        if not tables:
            return ClipTable.from_clips(())
        names = list(tables[0].attributes)
        for table in tables:
            if list(table.attributes) != names:
                raise ValueError(
                    f"Expected tables of clips with the attributes {', '.join(names) or 'none'}. "
                    f"Received: {', '.join(table.attributes) or 'none'}"
                )
        columns = {
            name: np.concatenate([getattr(table, name) for table in tables])
            for name in ("folds", "labels", "hashes", "samples", "shards", "offsets")
        }
        return ClipTable(
            ids=Strings.concatenate([table.ids for table in tables]),
            sources=Strings.concatenate([table.sources for table in tables]),
            label_ends=joined_ends([table.label_ends for table in tables]),
            attributes={
                name: _join_codes([table.attributes[name] for table in tables]) for name in names
            },
            **columns,
        )

    def digest(self, *, samples: bool = True) -> str:
        """A SHA-256, in hexadecimal, of the clips' ids and classes in order, and of the samples.

        Args:
            samples: Whether the samples count, or else a data set has one digest at all rates.
        """
        digest = hashlib.sha256()
        arrays = [self.ids.data, self.ids.ends, self.labels, self.label_ends]
        for column in arrays + [self.hashes] * samples:
            digest.update(np.int64(column.size).tobytes() + np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()

    def save(self, path: str | os.PathLike) -> None:
        """Write the table to an .npz, whole or not at all; equal tables give equal bytes."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        texts = {"ids": self.ids, "sources": self.sources}
        texts["attributes"] = Strings.of(self.attributes)
        for number, coded in enumerate(self.attributes.values()):
            # Afresh, since a part of a table may know values that none of its clips has.
            arrays[f"attribute{number}"], texts[f"values{number}"] = _join_codes([coded])
        for name, strings in texts.items():
            arrays |= {name: strings.data, f"{name}_ends": strings.ends}
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "ClipTable":
        """Read what `save` wrote.

        Raises:
            ValueError: If there is no such file, or it is another or a damaged one.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                table = cls._from_arrays(file)
            table._check()
        except Exception as error:  # NumPy and zipfile raise a dozen kinds for a damaged file
            reason = " ".join(str(error).split())
            raise ValueError(
                f"Expected a whole table of clips ({type(error).__name__}: {reason}); "
                f"`keras-audio prepare` with --force writes it anew. Received: path={path}"
            ) from error
        return table

    @classmethod
    def _from_arrays(cls, file: Mapping[str, np.ndarray]) -> "ClipTable":
        def strings(name: str) -> Strings:
            return Strings(file[name], file[f"{name}_ends"])

        columns: dict[str, Any] = {name: file[name] for name in _ARRAYS}
        attributes = {
            name: (file[f"attribute{number}"], strings(f"values{number}"))
            for number, name in enumerate(strings("attributes"))
        }
        return cls(strings("ids"), strings("sources"), attributes=attributes, **columns)

    def _check(self) -> None:
        """Refuse columns that do not go together."""
        lengths = {name: len(getattr(self, name)) for name in ("sources", *_ARRAYS)}
        del lengths["labels"]
        lengths |= {name: len(codes) for name, (codes, _) in self.attributes.items()}
        for name, length in lengths.items():
            if length != len(self):
                raise ValueError(f"{length} {name} of {len(self)} clips")
        for name, ends, whole in (
            ("ids", self.ids.ends, self.ids.data),
            ("sources", self.sources.ends, self.sources.data),
            ("labels", self.label_ends, self.labels),
        ):
            if np.any(np.diff(ends, prepend=0) < 0) or (len(ends) and ends[-1] != len(whole)):
                raise ValueError(f"{name} with other ends")


def _for_each(given: int | Iterable[int]) -> Iterator[int]:
    return itertools.repeat(given) if isinstance(given, int) else iter(given)


def _hash_bytes(clip: Clip) -> bytes:
    try:
        digest = bytes.fromhex(clip.hash)
    except ValueError:
        digest = b""
    if len(digest) != _HASH_BYTES:
        raise ValueError(
            f"Expected a hash of {2 * _HASH_BYTES} hexadecimal digits. "
            f"Received: {clip.hash!r} for {clip.clip_id}"
        )
    return digest


def _join_codes(parts: Sequence[tuple[np.ndarray, Strings]]) -> tuple[np.ndarray, Strings]:
    """The codes of several tables in terms of one list of values, in order of their appearance."""
    known: dict[str, int] = {}
    joined = []
    for codes, values in parts:
        own = list(values)
        used, first = np.unique(codes, return_index=True)
        meaning = np.zeros(len(own), np.int32)
        for code in used[np.argsort(first)]:
            meaning[code] = known.setdefault(own[code], len(known))
        joined.append(meaning[codes])
    return np.concatenate(joined), Strings.of(known)
