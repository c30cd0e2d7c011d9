"""The data sets' layouts and tables: what is listed, and every row that is refused."""

import collections
import os
import pathlib
import shutil
import time
import urllib.parse

import numpy as np
import pytest
import soundfile
from sources import read_rows, records, tree, write_pets, write_sound, write_table

import data_prep
from data_prep import audio_folder, esc10, esc50, toy_sounds, urbansound8k
from data_prep.clips import Clip, ClipList, relative_file, whole_number

# --- a folder of one's own -----------------------------------------------------------------------


def test_folder_classes_by_name_files_at_any_depth(tmp_path):
    root = write_pets(tmp_path / "pets")
    write_sound(root / "cat" / "deep" / "er" / "x.WAV", format="WAV")
    write_sound(root / "cat" / ".hidden" / "y.wav")
    write_sound(root / ".trash" / "z.wav")
    (root / "dog" / "notes.txt").write_text("a dog")
    (root / "dog" / ".DS_Store").write_text("")
    (root / "README.md").write_text("pets")
    (root / "empty").mkdir()
    clip_list = audio_folder.list_clips(root)
    assert clip_list.labels == ("cat", "dog")
    assert {clip.clip_id for clip in clip_list.clips} == {
        "cat/deep/er/x.WAV",
        *(f"{label}/{take}.wav" for label in ("cat", "dog") for take in range(6)),
    }
    (note,) = clip_list.notes
    assert "3 (README.md, dog/notes.txt, empty/)" in note


def test_folder_folds_are_even_and_the_same_every_time(tmp_path):
    for label, count in (("a", 10), ("b", 23), ("c", 5)):
        for take in range(count):
            (tmp_path / label).mkdir(exist_ok=True)
            (tmp_path / label / f"{take}.wav").touch()
    clips = audio_folder.list_clips(tmp_path).clips
    assert clips == audio_folder.list_clips(tmp_path).clips
    counts = collections.Counter((clip.label, clip.fold) for clip in clips)
    assert {counts["a", fold] for fold in range(1, 6)} == {2}
    assert {counts["b", fold] for fold in range(1, 6)} == {4, 5}
    assert {counts["c", fold] for fold in range(1, 6)} == {1}


@pytest.mark.parametrize(("scarcest", "folds"), [(2, 2), (3, 3), (4, 4), (9, 5)])
def test_fewer_folds_when_a_class_has_fewer_clips(tmp_path, scarcest, folds):
    rows = [
        (f"{label}{i}.wav", label) for label, n in (("a", 20), ("b", scarcest)) for i in range(n)
    ]
    table = write_table(tmp_path / "t.csv", ("filename", "label"), rows)
    clip_list = audio_folder.list_clips(table)
    assert clip_list.folds == tuple(range(1, folds + 1))
    assert {clip.fold for clip in clip_list.clips if clip.label == "b"} == set(clip_list.folds)


@pytest.mark.parametrize("seed", range(5))
def test_folds_of_a_table_never_part_a_source(tmp_path, seed):
    rng = np.random.default_rng(seed)
    rows = []
    for index in range(120):
        label = "abc"[rng.integers(3)]
        rows.append((f"{index}.wav", label, f"{label}-recording{rng.integers(12)}"))
    table = write_table(tmp_path / "t.csv", ("filename", "label", "source"), rows)
    clips = audio_folder.list_clips(table).clips
    fold_of = collections.defaultdict(set)
    for clip in clips:
        fold_of[clip.source].add(clip.fold)
    assert all(len(folds) == 1 for folds in fold_of.values())
    assert {(clip.label, clip.fold) for clip in clips} >= {("a", 1), ("b", 1), ("c", 1)}


def test_links_back_up_end(tmp_path):
    root = write_pets(tmp_path / "pets")
    os.symlink(root / "cat", root / "cat" / "again")
    write_sound(tmp_path / "elsewhere" / "far.wav")
    os.symlink(tmp_path / "elsewhere", root / "cat" / "linked")
    names = {clip.clip_id for clip in audio_folder.list_clips(root).clips}
    assert "cat/linked/far.wav" in names and len(names) == 13


def test_folders_that_cannot_be_folded(tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match=r"at least two classes, got 0 \(none\)"):
        audio_folder.list_clips(tmp_path / "none")
    write_sound(tmp_path / "one" / "cat" / "1.wav")
    with pytest.raises(ValueError, match=r"at least two classes, got 1 \(cat\)"):
        audio_folder.list_clips(tmp_path / "one")
    write_pets(tmp_path / "rare")
    write_sound(tmp_path / "rare" / "owl" / "1.wav")
    with pytest.raises(ValueError, match="two recordings of every class.*got 1 of 'owl'"):
        audio_folder.list_clips(tmp_path / "rare")


def test_a_table_with_folds_and_sources_is_recorded_as_it_says(tmp_path):
    rows = []
    for index in range(8):
        write_sound(tmp_path / "in" / f"{index}, an \u00f6 name.wav", seed=index)
        fold = index % 2 + 7
        rows.append(
            (f"in/{index}, an \u00f6 name.wav", "cow" if index < 4 else "Bee", fold, f"r{fold}")
        )
    table = write_table(tmp_path / "t.csv", ("filename", "label", "fold", "source"), rows)
    result = data_prep.prepare(
        "audio_folder", source=table, sample_rate=8000, data_dir=tmp_path / "d", progress=False
    )
    examples, metadata = records(result.path)
    assert metadata["labels"] == ["Bee", "cow"] and metadata["folds"] == [7, 8]
    assert {
        (clip_id, example["label"], int(example["fold"]), example["source"].decode())
        for clip_id, example in examples.items()
    } == set(rows)


HOSTILE = [
    ("filename,label\n../up.wav,a\n", "inside the source folder"),
    ("filename,label\nx/../../up.wav,a\n", "inside the source folder"),
    ("filename,label\n/etc/passwd,a\n", "inside the source folder"),
    ("filename,label\nC:/up.wav,a\n", "inside the source folder"),
    ("filename,label\nx\\..\\up.wav,a\n", "inside the source folder"),
    ("filename,label\n,a\n", "inside the source folder"),
    ("filename,label\n.,a\n", "inside the source folder"),
    ('filename,label\n"a\nb.wav",a\n', "inside the source folder"),
    ("filename,label\na.wav\n", "Expected 2 fields"),
    ("filename,label\na.wav,a,1\n", "Expected 2 fields"),
    ("filename,label\na.wav,\n", "Expected a class"),
    ("filename,label\na.wav,  \n", "Expected a class"),
    ("filename,label,fold\na.wav,a,\n", "fold=''"),
    ("filename,label,fold\na.wav,a,0\n", "fold='0'"),
    ("filename,label,fold\na.wav,a,-1\n", "fold='-1'"),
    ("filename,label,fold\na.wav,a,1.0\n", "fold='1.0'"),
    ("filename,label,fold\na.wav,a,\u0661\n", "fold="),
    ("filename,label,fold\na.wav,a,99999999999999999999999\n", "fold="),
    ("filename,label,source\na.wav,a,\n", "Expected a recording"),
    ('filename,label\n"a.wav,a\n', "unexpected end of data"),
    ('filename,label\n"a".wav,a\n', "expected after"),
]


@pytest.mark.parametrize(("text", "reason"), HOSTILE)
def test_hostile_rows_are_refused_with_their_line(tmp_path, text, reason):
    path = tmp_path / "t.csv"
    # A good row first, so that the line is not always the second.
    header, rest = text.split("\n", 1)
    columns = header.count(",") + 1
    good = ",".join(["ok.wav", "b", "2", "z"][:columns])
    path.write_text(f"{header}\n{good}\n{rest}", encoding="utf-8")
    with pytest.raises(ValueError) as info:
        audio_folder.list_clips(path)
    message = str(info.value)
    assert reason in message and str(path) in message
    assert "line 3" in message or "line 4" in message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "label,file\n",
        "filename\n",
        "filename,label,label\n",
        "filename,label,extra\n",
        "a.wav,b\n",
    ],
)
def test_other_headers_are_refused(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"Expected the header filename,label\[,fold\]\[,source\]"):
        audio_folder.list_clips(path)


def test_tables_that_are_no_text_or_not_there(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"filename,label\n\xff\xfe,a\n")
    with pytest.raises(ValueError, match="UTF-8.*t.csv"):
        audio_folder.list_clips(tmp_path / "t.csv")
    with pytest.raises(ValueError, match="No such file.*gone.csv"):
        audio_folder.list_clips(tmp_path / "gone.csv")


def test_windows_line_ends_byte_order_marks_and_empty_lines_are_fine(tmp_path):
    path = tmp_path / "t.csv"
    rows = "".join(f"{i}.wav,{'ab'[i % 2]}\r\n" for i in range(8))
    path.write_bytes(b"\xef\xbb\xbf" + f"filename,label\r\n{rows}\r\n".encode())
    assert len(audio_folder.list_clips(path).clips) == 8


def test_contradictions_between_rows(tmp_path):
    header = ("filename", "label", "fold", "source")
    rows = [("a.wav", "a", 1, "r"), ("b.wav", "b", 2, "r"), ("c.wav", "b", 1, "s")]
    with pytest.raises(ValueError, match=r"within one fold, got 'r' in folds 1 and 2 \(b\.wav\)"):
        audio_folder.list_clips(write_table(tmp_path / "1.csv", header, rows))
    rows = [("a.wav", "a", 1, "r"), ("b.wav", "b", 2, "s"), ("./a.wav", "a", 1, "r")]
    with pytest.raises(ValueError, match=r"every clip once, got 'a\.wav' 2 times"):
        audio_folder.list_clips(write_table(tmp_path / "2.csv", header, rows))
    rows = [("a.wav", "a", 1, "r"), ("b.wav", "b", 1, "s")]
    with pytest.raises(ValueError, match="at least two folds, got only 1"):
        audio_folder.list_clips(write_table(tmp_path / "3.csv", header, rows))


@pytest.mark.parametrize("label", [" a", "a\nb", "a\tb"])
def test_labels_that_cannot_stand_on_a_line(tmp_path, label):
    rows = [(f"{i}.wav", (label, "b")[i % 2]) for i in range(8)]
    with pytest.raises(ValueError, match="class names of printable characters"):
        audio_folder.list_clips(write_table(tmp_path / "t.csv", ("filename", "label"), rows))


def test_clip_lists_know_their_classes(tmp_path):
    clips = (Clip("1", "1.wav", ("a",), 1, "1"), Clip("2", "2.wav", ("z",), 2, "2"))
    with pytest.raises(ValueError, match="one of the classes a, b for 2.wav, got 'z'"):
        ClipList(root=tmp_path, labels=("a", "b"), clips=clips)


@pytest.mark.parametrize(("labels", "received"), [((), "none"), (("a", "b"), "a, b")])
def test_clips_of_single_label_sets_have_one_class(tmp_path, labels, received):
    clips = (Clip("1", "1.wav", ("a",), 1, "1"), Clip("2", "2.wav", labels, 2, "2"))
    with pytest.raises(ValueError, match=f"one class for 2.wav, got {received}"):
        ClipList(root=tmp_path, labels=("a", "b"), clips=clips)
    assert len(ClipList(tmp_path, ("a", "b"), clips, multi_label=True).clips) == 2


@pytest.mark.parametrize("seed", range(3))
def test_no_random_path_leaves_the_folder(seed):
    rng = np.random.default_rng(seed)
    parts = ["..", ".", "", "a", "b.wav", "...", "C:", "~", "\\", "/", "%2e%2e", " "]
    for _ in range(500):
        text = "/".join(rng.choice(parts, size=rng.integers(1, 5)))
        try:
            clean = relative_file(text, "line 1")
        except ValueError:
            continue
        root = pathlib.Path("/data/set")
        assert pathlib.Path(os.path.normpath(root / clean)).is_relative_to(root)
        assert clean and urllib.parse.unquote(clean) == clean or "%" in clean


@pytest.mark.parametrize("text", ["", " 1", "1 ", "+1", "1_0", "0x1", "1e0", "\u00b2", "11"])
def test_whole_numbers_are_plain(text):
    with pytest.raises(ValueError, match="from 1 to 10 in line 9"):
        whole_number(text, "line 9", "fold", 1, 10)
    assert whole_number("10", "line 9", "fold", 1, 10) == 10


# --- ESC ------------------------------------------------------------------------------------------


ESC_HEADER = ("filename", "fold", "target", "category", "esc10", "src_file", "take")


def _esc50(tmp_path, shared, keep=lambda row: True):
    """The official layout with the official rows that are here, and generated sounds."""
    root = tmp_path / "ESC-50-master"
    rows = [row for row in read_rows(shared / "datasets" / "metadata" / "esc50.csv") if keep(row)]
    write_table(root / "meta" / "esc50.csv", ESC_HEADER, [row.values() for row in rows])
    for index, row in enumerate(rows):
        write_sound(root / "audio" / row["filename"], seconds=0.05, rate=44100, seed=index)
    return root, rows


def test_esc50_official_layout(tmp_path, shared):
    root, rows = _esc50(tmp_path, shared)
    for source in (root, tmp_path):
        clip_list = esc50.list_clips(source)
        assert len(clip_list.clips) == len(rows) == 418
        assert clip_list.labels == esc50.LABELS
        assert clip_list.notes == ("meta/esc50.csv lists 418 clips, the official one 2000",)
    result = data_prep.prepare(
        "esc50", source=root, sample_rate=8000, data_dir=tmp_path / "d", progress=False
    )
    examples, metadata = records(result.path)
    assert metadata["labels"][0] == "dog" and metadata["labels"][49] == "hand_saw"
    for row in rows:
        example = examples[row["filename"].removesuffix(".wav")]
        assert example["label"] == row["category"]
        assert (int(example["fold"]), example["source"].decode()) == (
            int(row["fold"]),
            row["src_file"],
        )


def test_esc10_is_the_same_from_both_layouts(tmp_path, shared):
    old = esc10.list_clips(shared / "data" / "esc10")
    root, rows = _esc50(tmp_path, shared, keep=lambda row: row["esc10"] == "True")
    new = esc10.list_clips(root)
    assert old.labels == new.labels == esc10.LABELS
    targets = [esc50.LABELS.index(label) for label in esc10.LABELS]
    assert targets == [0, 1, 10, 11, 12, 20, 21, 38, 40, 41]
    facts = {clip.clip_id: (clip.label, clip.fold, clip.source) for clip in old.clips}
    assert len(facts) == 400 and len(new.clips) == len(rows) >= 80
    for clip in new.clips:
        assert facts[clip.clip_id] == (clip.label, clip.fold, clip.source)


def test_esc10_counts(shared):
    clips = esc10.list_clips(shared / "data" / "esc10").clips
    counts = collections.Counter((clip.label, clip.fold) for clip in clips)
    assert len(counts) == 50 and set(counts.values()) == {8}
    places = {(clip.source, clip.fold) for clip in clips}
    assert len({source for source, _ in places}) == len(places)


def test_esc10_real_clips_are_recorded(tmp_path, shared):
    result = data_prep.prepare(
        "esc10",
        source=shared / "data" / "esc10",
        sample_rate=8000,
        data_dir=tmp_path,
        progress=False,
    )
    examples, metadata = records(result.path)
    assert (len(examples), result.clips, result.missing) == (400, 400, ())
    assert metadata["labels"] == list(esc10.LABELS)
    lengths = [len(example["audio"]) for example in examples.values()]
    assert np.median(lengths) == round(220544 * 8000 / 44100)
    assert all(np.abs(example["audio"].astype(int)).max() > 50 for example in examples.values())


def test_esc10_folders_with_lost_or_strange_files(tmp_path, shared):
    root = tmp_path / "ESC-10-master"
    shutil.copytree(shared / "data" / "esc10", root, copy_function=lambda a, b: os.symlink(a, b))
    for folder in [root, *root.iterdir()]:
        if folder.is_dir():
            folder.chmod(0o755)
    (root / "002 - Rain" / "1-17367-A.ogg").unlink()
    clip_list = esc10.list_clips(tmp_path)
    assert len(clip_list.clips) == 399
    assert clip_list.missing == ("002 - Rain: 1 of 40 clips are not there",)
    (root / "002 - Rain" / "rain.ogg").touch()
    with pytest.raises(ValueError, match=r"1-100032-A\.ogg.*got 'rain\.ogg'"):
        esc10.list_clips(root)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("fold", "6", "from 1 to 5"),
        ("fold", "2", "agree with the file name"),
        ("target", "50", "from 0 to 49"),
        ("target", "1", "agree with the file name"),
        ("category", "cat", "Expected the category 'dog'"),
        ("esc10", "true", "True or False"),
        ("src_file", "1", "agree with the file name"),
        ("take", "B", "agree with the file name"),
        ("filename", "../../x.wav", "file name like"),
        ("filename", "1-100032-A-0.ogg", "file name like"),
    ],
)
def test_esc50_rows_that_do_not_hold_together(tmp_path, column, value, reason):
    row = dict(
        zip(ESC_HEADER, ("1-100032-A-0.wav", "1", "0", "dog", "True", "100032", "A"), strict=True)
    )
    good = ("1-110389-A-0.wav", "1", "0", "dog", "True", "110389", "A")
    rows = [good, (row | {column: value}).values()]
    write_table(tmp_path / "meta" / "esc50.csv", ESC_HEADER, rows)
    with pytest.raises(ValueError, match=rf"{reason}.*line 3 of|line 3 of.*{reason}") as info:
        esc50.list_clips(tmp_path)
    assert "esc50.csv" in str(info.value)


def test_esc_sources_that_are_neither(tmp_path):
    for module in (esc10, esc50):
        with pytest.raises(ValueError, match="Expected the folder of .*Received: source="):
            module.list_clips(tmp_path)


# --- UrbanSound8K --------------------------------------------------------------------------------


US8K_HEADER = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")


def _us8k_table(tmp_path, shared):
    root = tmp_path / "UrbanSound8K"
    (root / "metadata").mkdir(parents=True)
    shutil.copy(shared / "datasets" / "metadata" / "UrbanSound8K.csv", root / "metadata")
    (root / "metadata" / "UrbanSound8K.csv").chmod(0o644)
    return root


def test_urbansound8k_official_table(tmp_path, shared):
    root = _us8k_table(tmp_path, shared)
    clip_list = urbansound8k.list_clips(tmp_path)
    per_class = collections.Counter(clip.label for clip in clip_list.clips)
    per_fold = collections.Counter(clip.fold for clip in clip_list.clips)
    assert [per_class[label] for label in clip_list.labels] == [
        *(1000, 429, 1000, 1000, 1000, 1000, 374, 1000, 929, 1000)
    ]
    assert [per_fold[fold] for fold in range(1, 11)] == [
        *(873, 888, 925, 990, 936, 823, 838, 806, 816, 837)
    ]
    # What the published folds do with recordings, from the table itself.
    folds = collections.defaultdict(set)
    for row in read_rows(root / "metadata" / "UrbanSound8K.csv"):
        folds[row["fsID"]].add(row["fold"])
    split = sorted(recording for recording, places in folds.items() if len(places) > 1)
    assert len(split) == 5
    (note,) = clip_list.notes
    assert note.endswith(", ".join(split))


def test_urbansound8k_real_clips_beside_generated_ones(tmp_path, shared):
    real = sorted((shared / "data" / "urbansound8k_samples").glob("*.wav"))
    rows = read_rows(shared / "datasets" / "metadata" / "UrbanSound8K.csv")
    names = {path.name for path in real}
    chosen = [row for row in rows if row["slice_file_name"] in names] + rows[100:8000:200]
    chosen = list({row["slice_file_name"]: row for row in chosen}.values())
    root = tmp_path / "UrbanSound8K"
    write_table(root / "metadata" / "UrbanSound8K.csv", US8K_HEADER, [r.values() for r in chosen])
    for index, row in enumerate(chosen):
        path = root / "audio" / f"fold{row['fold']}" / row["slice_file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name in names:
            shutil.copy(shared / "data" / "urbansound8k_samples" / path.name, path)
        else:
            write_sound(path, seconds=0.1, rate=44100, channels=index % 2 + 1, subtype="PCM_24")
    result = data_prep.prepare(
        "urbansound8k", source=root, sample_rate=8000, data_dir=tmp_path / "d", progress=False
    )
    examples, metadata = records(result.path)
    assert metadata["labels"] == list(urbansound8k.LABELS)
    assert len(examples) == result.clips == len(chosen)
    for row in chosen:
        example = examples[row["slice_file_name"].removesuffix(".wav")]
        assert example["label"] == row["class"] and int(example["fold"]) == int(row["fold"])
        assert example["source"].decode().split("-")[0] == row["fsID"]
    for path in real:
        info = soundfile.info(path)
        length = len(examples[path.stem]["audio"])
        assert abs(length - info.frames * 8000 / info.samplerate) <= 1


@pytest.mark.parametrize("change", ["class_name", "missing", "order", "spaces"])
def test_urbansound8k_other_headers_are_refused(tmp_path, shared, change):
    root = _us8k_table(tmp_path, shared)
    table = root / "metadata" / "UrbanSound8K.csv"
    header, rest = table.read_text().split("\n", 1)
    other = {
        "class_name": header.replace("class", "class_name").replace("class_nameID", "classID")
        + "\n",
        "missing": "",
        "order": ",".join(reversed(header.split(","))) + "\n",
        "spaces": header.replace(",", ", ") + "\n",
    }[change]
    table.write_text(other + rest)
    with pytest.raises(ValueError, match=r"Expected the header slice_file_name,.*,class, got") as i:
        urbansound8k.list_clips(root)
    assert str(table) in str(i.value) and "\n" not in str(i.value)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("slice_file_name", "100032-3-0.wav", "file name like"),
        ("slice_file_name", "../100032-3-0-0.wav", "file name like"),
        ("fsID", "100033", "agree with the file name"),
        ("classID", "4", "agree with the file name"),
        ("classID", "10", "from 0 to 9"),
        ("class", "dog", "Expected the class 'dog_bark'"),
        ("fold", "11", "from 1 to 10"),
        ("salience", "3", "from 1 to 2"),
        ("start", "x", "start before end"),
        ("start", "nan", "start before end"),
        ("end", "0.0", "start before end"),
    ],
)
def test_urbansound8k_rows_that_do_not_hold_together(tmp_path, column, value, reason):
    good = ("100263-2-0-117.wav", "100263", "58.5", "62.5", "1", "5", "2", "children_playing")
    bad = dict(
        zip(
            US8K_HEADER,
            ("100032-3-0-0.wav", "100032", "0.0", "0.31", "1", "5", "3", "dog_bark"),
            strict=True,
        )
    )
    rows = [good, (bad | {column: value}).values()]
    write_table(tmp_path / "metadata" / "UrbanSound8K.csv", US8K_HEADER, rows)
    with pytest.raises(ValueError, match=rf"{reason}.*line 3 of|line 3 of.*{reason}"):
        urbansound8k.list_clips(tmp_path)


def test_urbansound8k_files_in_another_fold_than_the_table_says(tmp_path, shared):
    root = _us8k_table(tmp_path, shared)
    write_sound(root / "audio" / "fold5" / "100032-3-0-0.wav")
    assert len(urbansound8k.list_clips(root).clips) == 8732
    write_sound(root / "audio" / "fold6" / "100032-3-0-0.wav")
    with pytest.raises(ValueError, match=r"100032-3-0-0\.wav in fold 5.*got it in fold 6"):
        urbansound8k.list_clips(root)


# --- toy sounds ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    return toy_sounds.write_toy_sounds(tmp_path_factory.mktemp("toys") / "toy_sounds")


def test_toy_sounds_are_the_same_every_time(toys, tmp_path):
    time.sleep(1.1)  # A time of day in a file would differ now.
    again = tree(toy_sounds.write_toy_sounds(tmp_path / "again"))
    assert again == tree(toys)
    assert len({data for name, data in again.items() if name.endswith(".wav")}) == 220


def test_toy_sounds_are_what_the_card_says(toys):
    clip_list = toy_sounds.list_clips(toys)
    card = toy_sounds.CARD
    assert len(clip_list.clips) == card.clips == len(list(toys.rglob("*.wav")))
    assert clip_list.labels == card.labels == urbansound8k.LABELS
    assert clip_list.folds == tuple(range(1, card.folds + 1))
    counts = collections.Counter((clip.label, clip.fold) for clip in clip_list.clips)
    assert len(counts) == 50 and min(counts.values()) >= 4
    sizes = collections.Counter(clip.source for clip in clip_list.clips)
    assert len(sizes) == 100 and set(sizes.values()) == {2, 3}


def test_toy_sounds_come_in_many_formats(toys):
    infos = [soundfile.info(path) for path in sorted(toys.rglob("*.wav"))]
    assert {info.samplerate for info in infos} == {8000, 11025, 16000, 22050, 44100, 48000}
    assert {info.channels for info in infos} == {1, 2}
    assert {(info.format, info.subtype) for info in infos} >= {
        *(("WAV", kind) for kind in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT")),
        ("WAVEX", "PCM_24"),
    }
    assert all(0.8 <= info.duration <= 2.0 for info in infos)
    assert len({info.frames for info in infos}) > 150


def test_toy_sounds_can_be_told_apart_by_their_spectrum_alone(toys):
    import scipy.signal
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from keras_audio.audio import read_audio

    clips = toy_sounds.list_clips(toys).clips
    features = []
    for clip in clips:
        waveform, _ = read_audio(toys / clip.file, 8000, 1)
        assert 0.05 < np.abs(waveform).max() < 1.0
        _, _, spectrum = scipy.signal.stft(waveform[:, 0], nperseg=256)
        bands = np.log((np.abs(spectrum[:128]) ** 2).reshape(32, 4, -1).mean(axis=1) + 1e-6)
        change = np.abs(np.diff(bands, axis=1)).mean(axis=1)
        features.append(np.concatenate([bands.mean(axis=1), bands.std(axis=1), change]))
    features, folds = np.array(features), np.array([clip.fold for clip in clips])
    labels = np.array([clip.label for clip in clips])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    model.fit(features[folds != 1], labels[folds != 1])
    assert model.score(features[folds == 1], labels[folds == 1]) > 0.85


def test_toy_sounds_need_no_source_and_can_be_read_as_a_folder_table(tmp_path):
    result = data_prep.prepare("toy_sounds", data_dir=tmp_path, progress=False)
    assert result.path == tmp_path / "toy_sounds" / "8000hz_1ch" / "1.0.0"
    examples, metadata = records(result.path)
    assert len(examples) == 220 and metadata["labels"] == list(urbansound8k.LABELS)
    table = tmp_path / "sources" / "toy_sounds" / "toy_sounds.csv"
    other = data_prep.prepare(
        "audio_folder", source=table, sample_rate=8000, data_dir=tmp_path, progress=False
    )
    again, _ = records(other.path)
    assert {key: value["hash"] for key, value in again.items()} == {
        key: value["hash"] for key, value in examples.items()
    }
