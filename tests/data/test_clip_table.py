"""Clips as columns: nothing is lost on the way in and out, and a million stay small."""

import tracemalloc

import numpy as np
import pytest

from keras_audio.data.clip_table import Clip, ClipTable
from keras_audio.data.strings import Strings


def some_clips(count=7, seed=0, **attributes):
    rng = np.random.default_rng(seed)
    return [
        Clip(
            clip_id=f"größe/{seed}-{number}.wav",
            source=f"recording {number // 2}",
            fold=1 + number % 3,
            labels=tuple(sorted(rng.choice(527, number % 4, replace=False).tolist())),
            hash=rng.bytes(15).hex() + "00",  # a zero at the end is not to be lost
            samples=int(rng.integers(1, 2**33)),
            attributes={name: values[number % len(values)] for name, values in attributes.items()},
        )
        for number in range(count)
    ]


def test_a_table_is_a_sequence_of_the_clips_it_was_made_of():
    clips = some_clips(device=["a", "b", ""], city=["Zürich"])
    table = ClipTable.from_clips(iter(clips), shards=[3, 1, 4, 1, 5, 9, 2], offsets=range(0, 14, 2))
    assert list(table) == clips and len(table) == 7
    assert (table[-1], table[0]) == (clips[-1], clips[0])
    assert table.shards.tolist() == [3, 1, 4, 1, 5, 9, 2]
    assert table.offsets.tolist() == [0, 2, 4, 6, 8, 10, 12]
    assert list(table.sources) == [clip.source for clip in clips]
    assert [table.labels_of(row).tolist() for row in range(7)] == [list(c.labels) for c in clips]
    with pytest.raises(IndexError):
        table[7]
    with pytest.raises(IndexError):
        table[-8]


def test_parts_of_tables_and_tables_together():
    clips = some_clips(20, device=["a", "b", "c"])
    table = ClipTable.from_clips(clips, shards=2)
    assert list(table[3:17:2]) == clips[3:17:2]
    assert list(table[::-1]) == clips[::-1]
    order = np.random.default_rng(0).permutation(20)
    assert list(table.take(order)) == [clips[row] for row in order]
    empty = table[5:5]
    assert len(empty) == 0 and list(empty) == []
    # The middle part knows its devices by other numbers.
    parts = [table[:4], empty, ClipTable.from_clips(clips[4:9]), table[9:]]
    joined = ClipTable.concatenate(parts)
    assert list(joined) == clips
    assert joined.shards.tolist() == [2] * 4 + [-1] * 5 + [2] * 11
    assert list(ClipTable.concatenate([])) == list(ClipTable.concatenate([empty, empty])) == []


def test_a_file_gives_the_table_back(tmp_path):
    clips = some_clips(9, device=["x", "y"], city=["é", ""])
    ClipTable.from_clips(clips, shards=range(9), offsets=range(9, 18)).save(
        tmp_path / "fold1.index.npz"
    )
    table = ClipTable.load(tmp_path / "fold1.index.npz")
    assert list(table) == clips and table.shards.tolist() == list(range(9))
    assert table.offsets.tolist() == list(range(9, 18))
    ClipTable.from_clips([]).save(tmp_path / "none.npz")
    assert list(ClipTable.load(tmp_path / "none.npz")) == []


def test_equal_tables_are_equal_files_however_they_were_made(tmp_path):
    clips = some_clips(9, device=["x", "y", "z"])
    whole = ClipTable.from_clips(clips, shards=1)
    parts = [ClipTable.from_clips(clips[a:b], shards=1) for a, b in ((0, 2), (2, 7), (7, 9))]
    backwards = ClipTable.from_clips(clips[::-1], shards=1)[::-1]
    tables = {"whole": whole, "parts": ClipTable.concatenate(parts), "backwards": backwards}
    for name, table in tables.items():
        table.save(tmp_path / f"{name}.npz")
    assert len({(tmp_path / f"{name}.npz").read_bytes() for name in tables}) == 1


@pytest.mark.parametrize("keep", [0, 100, -100])
def test_damaged_files_are_refused(tmp_path, keep):
    path = tmp_path / "fold1.index.npz"
    ClipTable.from_clips(some_clips()).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"whole table of clips .*path=.*fold1.index.npz"):
        ClipTable.load(path)


def test_other_files_and_columns_of_other_lengths_are_refused(tmp_path):
    path = tmp_path / "fold1.index.npz"
    with pytest.raises(ValueError, match="No such file"):
        ClipTable.load(path)
    np.savez(path, folds=np.zeros(3))
    with pytest.raises(ValueError, match="labels is not a file"):
        ClipTable.load(path)
    ClipTable.from_clips(some_clips()).save(path)
    arrays = dict(np.load(path))
    np.savez(path, **arrays | {"hashes": arrays["hashes"][:-1]})
    with pytest.raises(ValueError, match="6 hashes of 7 clips"):
        ClipTable.load(path)
    np.savez(path, **arrays | {"ids": arrays["ids"][:-1]})
    with pytest.raises(ValueError, match="ids with other ends"):
        ClipTable.load(path)
    np.savez(path, **arrays | {"ids": np.array([object()])})
    with pytest.raises(ValueError, match="allow_pickle"):
        ClipTable.load(path)


def test_clips_that_fit_in_no_table_are_named():
    first, second = some_clips(2, device=["a"])[0], some_clips(2)[1]
    with pytest.raises(ValueError, match="attributes device.*none for größe/0-1.wav"):
        ClipTable.from_clips([first, second])
    with pytest.raises(ValueError, match="attributes device. Received: none"):
        ClipTable.concatenate([ClipTable.from_clips([first]), ClipTable.from_clips([second])])
    for bad in ("", "abc", "zz" * 16, "00" * 15):
        with pytest.raises(ValueError, match=r"32 hexadecimal digits.*0-1.wav"):
            ClipTable.from_clips([Clip("0-1.wav", "0", 1, (0,), bad, 5)])
    with pytest.raises(ValueError, match="shards for the first 1"):
        ClipTable.from_clips(some_clips(2), shards=[0])
    with pytest.raises(ValueError, match="offsets for the first 1"):
        ClipTable.from_clips(some_clips(2), offsets=[0])


def test_digests_tell_texts_apart():
    texts = ["", "a", "b", "ab", "ba", "a", "\0", "é"]
    digests = Strings.of(texts).digests()
    assert len(set(digests.tolist())) == len(set(texts))
    assert digests[1] == digests[5] == Strings.of(["a"]).digests()[0]


def test_a_clip_of_a_table_takes_about_a_hundred_bytes():
    clips = (
        Clip(f"Y{number:011d}", f"{number:011d}", 1, (3, 500), "ab" * 16, 320000, {"part": "40"})
        for number in range(20_000)
    )
    tracemalloc.start()
    table = ClipTable.from_clips(clips)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(table) == 20_000 and size < 120 * len(table)
