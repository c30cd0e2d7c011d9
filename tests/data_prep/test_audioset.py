"""AudioSet: the official tables, clips in folders and packs, and what is absent."""

import collections
import hashlib
import shutil

import pytest
from segments import (
    HEADER,
    class_names,
    read_segments,
    segments,
    write_pack,
    write_segments,
)
from sources import write_sound

from data_prep import audioset

SPEECH, MUSIC, DOG, SIREN = "/m/09x0r", "/m/04rlf", "/m/0bt9lr", "/m/03kmc9"
EVAL = [("--4gqARaEJE", [DOG, SPEECH]), ("YBfvyPmVMo0", [MUSIC]), ("_U7joUcTCo1", [SIREN])]
BALANCED = [("b0000000001", [SPEECH]), ("b0000000002", [MUSIC, DOG])]
UNBALANCED = [(f"u{number:010}", [SPEECH, MUSIC]) for number in range(4)]
UNOFFICIAL = "is not the table that was published (another sha256)"
PARTS = "unbalanced_train_segments/unbalanced_train_segments_part"


@pytest.fixture
def official(shared):
    return shared / "datasets" / "metadata" / "audioset"


def notes_of(clip_list):
    return [note for note in clip_list.notes if UNOFFICIAL not in note]


def test_the_official_evaluation_table(official, shared, tmp_path):
    shutil.copy(official / "eval_segments.csv", tmp_path)
    shutil.copy(official / "class_labels_indices.csv", tmp_path)
    rows, names = read_segments(tmp_path / "eval_segments.csv"), class_names(shared)
    write_pack(tmp_path / "waveforms" / "eval.h5", rows, names)
    clip_list = audioset.list_clips(tmp_path)
    # FACTS.md's counts.
    assert len(clip_list.clips) == len(rows) == 20371
    assert (clip_list.absent, clip_list.missing, clip_list.notes) == ((), (), ())
    counts = collections.Counter(len(clip.labels) for clip in clip_list.clips)
    assert (counts[1], counts[2], min(counts), max(counts)) == (4740, 7067, 1, 11)
    assert sum(number * count for number, count in counts.items()) == 51804
    classes = collections.Counter(label for clip in clip_list.clips for label in clip.labels)
    assert (classes["Music"], classes["Speech"], min(classes.values())) == (5695, 5324, 59)
    assert len(classes) == 527 and set(classes) == set(clip_list.labels)
    # The same rows as the csv module reads them.
    expected = {video: {names[mid] for mid in mids} for video, mids in rows}
    assert {clip.clip_id: set(clip.labels) for clip in clip_list.clips} == expected
    place = {video: row for row, (video, _) in enumerate(rows)}
    for clip in clip_list.clips:
        assert (clip.fold, clip.source, clip.file) == (1, clip.clip_id, "waveforms/eval.h5")
        assert clip.row == place[clip.clip_id]


def test_the_card_is_that_of_the_official_tables(shared):
    card = audioset.CARD
    assert card.clips == 20371 + 22160 + 2041789
    assert card.labels == tuple(class_names(shared).values()) and card.classes == 527
    assert (card.labels[0], card.labels[526]) == ("Speech", "Field recording")
    assert (card.sample_rate, card.channels, card.folds) == (32000, 1, 1)


def test_tables_are_folds_and_what_is_not_there_is_counted(tmp_path):
    write_segments(tmp_path, eval=EVAL, balanced=BALANCED, unbalanced=UNBALANCED)
    for file in (
        "eval_segments/Y--4gqARaEJE.wav",
        "eval_segments/YYBfvyPmVMo0.wav",
        "balanced_train_segments/Yb0000000002.wav",
        f"{PARTS}00/Yu0000000000.wav",
        f"{PARTS}40/Yu0000000003.wav",
    ):
        write_sound(tmp_path / "audios" / file)
    clip_list = audioset.list_clips(tmp_path)
    assert clip_list.multi_label and clip_list.held_out_folds == (1,)
    assert [(clip.clip_id, clip.fold, clip.labels) for clip in clip_list.clips] == [
        # In the order of the official indices, whatever the row's: Speech 0, Dog 74.
        ("--4gqARaEJE", 1, ("Speech", "Dog")),
        ("YBfvyPmVMo0", 1, ("Music",)),
        ("b0000000002", 2, ("Dog", "Music")),
        ("u0000000000", 3, ("Speech", "Music")),
        ("u0000000003", 3, ("Speech", "Music")),
    ]
    assert clip_list.clips[3].file == f"audios/{PARTS}00/Yu0000000000.wav"
    assert {clip.row for clip in clip_list.clips} == {None}
    assert clip_list.absent == ("_U7joUcTCo1", "b0000000001", "u0000000001", "u0000000002")
    assert (clip_list.missing, notes_of(clip_list)) == ((), [])
    assert len(clip_list.notes) == 3 and all(UNOFFICIAL in note for note in clip_list.notes)


@pytest.mark.parametrize("tables", ["eval", "balanced", "unbalanced", "eval unbalanced"])
def test_some_of_the_tables_are_enough(tmp_path, tables):
    rows = {"eval": EVAL, "balanced": BALANCED, "unbalanced": UNBALANCED}
    chosen = {name: rows[name] for name in tables.split()}
    write_segments(tmp_path, **chosen)
    for video, _ in EVAL + BALANCED + UNBALANCED:
        write_sound(tmp_path / f"{video}.wav")
    clip_list = audioset.list_clips(tmp_path)
    assert clip_list.folds == tuple(
        fold for fold, name in enumerate(rows, start=1) if name in chosen
    )
    aside = 9 - sum(map(len, chosen.values()))
    assert notes_of(clip_list) == [f"files of clips that no table names, left aside: {aside}"]


@pytest.mark.parametrize(
    ("table", "consequence"),
    [("eval", ", so that nothing can be held out"), ("balanced", "")],
)
def test_a_table_without_clips_is_told(tmp_path, table, consequence):
    write_segments(tmp_path, eval=EVAL, balanced=BALANCED, unbalanced=UNBALANCED)
    rows = {"eval": BALANCED, "balanced": EVAL}[table]
    for video, _ in rows + UNBALANCED:
        write_sound(tmp_path / f"{video}.wav")
    clip_list = audioset.list_clips(tmp_path)
    note = f"none of the clips of {table}_{'train_' * (table != 'eval')}segments.csv is there"
    assert notes_of(clip_list) == [note + consequence]
    assert clip_list.folds == {"eval": (2, 3), "balanced": (1, 3)}[table]


@pytest.mark.parametrize("form", ["Y{}.wav", "{}.wav", "{}.flac", "Y{}.ogg", "deep/er/{}.WAV"])
def test_forms_of_names(tmp_path, form):
    write_segments(tmp_path / "metadata", eval=EVAL)
    for video, _ in EVAL:
        path = tmp_path / form.format(video)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    # Neither other files nor hidden ones are clips.
    for name in ("README.txt", "Y--4gqARaEJE.json", "._--4gqARaEJE.wav", "mix.wav"):
        (tmp_path / name).touch()
    clip_list = audioset.list_clips(tmp_path)
    assert {clip.clip_id: clip.file for clip in clip_list.clips} == {
        video: form.format(video) for video, _ in EVAL
    }
    assert notes_of(clip_list) == []


def test_clips_that_lie_there_twice_or_cannot_be_read(tmp_path):
    write_segments(tmp_path, eval=EVAL)
    for name in (
        "a/--4gqARaEJE.flac", "b/Y--4gqARaEJE.wav", "YBfvyPmVMo0.m4a", "YBfvyPmVMo0.wav",
        "_U7joUcTCo1.webm",
    ):  # fmt: skip
        write_sound(tmp_path / f"{name}.wav").rename(tmp_path / name)
    (tmp_path / "a" / "up").symlink_to(tmp_path)  # This ends.
    clip_list = audioset.list_clips(tmp_path)
    files = {clip.clip_id: clip.file for clip in clip_list.clips}
    assert files == {"--4gqARaEJE": "a/--4gqARaEJE.flac", "YBfvyPmVMo0": "YBfvyPmVMo0.wav"}
    assert clip_list.absent == ("_U7joUcTCo1",)
    assert notes_of(clip_list) == [
        "files in formats that cannot be read (.aac, .m4a, .mka, .mkv, .mp4, .webm): 2",
        "files of clips that have another one already, left aside: 1",
    ]


def test_packs(tmp_path, shared):
    write_segments(tmp_path, eval=EVAL, balanced=BALANCED, unbalanced=UNBALANCED)
    mids, gone, other = class_names(shared), ("", []), ("zzzzzzzzzzz", [SIREN])
    waveforms = tmp_path / "hdf5s" / "waveforms"
    write_pack(waveforms / "eval.h5", [EVAL[2], gone, EVAL[0]], mids)
    write_pack(waveforms / "balanced_train.h5", [gone, gone], mids)
    part = waveforms / "unbalanced_train" / "unbalanced_train_part00.h5"
    write_pack(part, [other, UNBALANCED[1]], mids)
    write_pack(part.with_name("unbalanced_train_part07.h5"), UNBALANCED[1:3], mids)
    # A file of its own is of full length, and comes first.
    write_sound(tmp_path / "audios" / "eval_segments" / "Y_U7joUcTCo1.wav")
    clip_list = audioset.list_clips(tmp_path)
    assert {clip.clip_id: (clip.file, clip.row) for clip in clip_list.clips} == {
        "--4gqARaEJE": ("hdf5s/waveforms/eval.h5", 2),
        "_U7joUcTCo1": ("audios/eval_segments/Y_U7joUcTCo1.wav", None),
        "u0000000001": (part.relative_to(tmp_path).as_posix(), 1),
        "u0000000002": ("hdf5s/waveforms/unbalanced_train/unbalanced_train_part07.h5", 1),
    }
    assert clip_list.absent == (
        *("YBfvyPmVMo0", "b0000000001", "b0000000002", "u0000000000", "u0000000003"),
    )
    assert notes_of(clip_list) == [
        "none of the clips of balanced_train_segments.csv is there",
        "rows of packs that their table does not name, left aside: 1",
        "rows of packs with clips that another row has already, left aside: 1",
    ]
    # A clip that moves to another row is another source: its samples may be others.
    before = clip_list.fingerprint()
    assert audioset.list_clips(tmp_path).fingerprint() == before
    write_pack(waveforms / "eval.h5", [EVAL[2], EVAL[0], gone], mids)
    assert audioset.list_clips(tmp_path).fingerprint() != before


def test_a_pack_of_other_classes_is_refused(tmp_path, shared):
    write_segments(tmp_path, eval=EVAL)
    path = tmp_path / "waveforms" / "eval.h5"
    write_pack(path, [EVAL[0], (EVAL[1][0], [SIREN, DOG]), EVAL[2]], class_names(shared))
    with pytest.raises(ValueError, match="1 such rows in all") as info:
        audioset.list_clips(tmp_path)
    message = str(info.value)
    assert "classes Music for YBfvyPmVMo0, got Dog | Siren in row 1" in message
    assert message.endswith(f"Received: path={path}")
    # The classes in another order, as a listing by name would give.
    write_pack(path, EVAL, sorted(class_names(shared)))
    with pytest.raises(ValueError, match="3 such rows in all"):
        audioset.list_clips(tmp_path)


def test_a_copy_that_a_spreadsheet_ruined_is_refused(official, tmp_path):
    table, ruined = tmp_path / "eval_segments.csv", official / "mangled_eval_segments.csv"
    table.write_bytes(ruined.read_bytes())
    with pytest.raises(ValueError, match=rf"spreadsheets ruin it\), in line 1 of {table}\."):
        audioset.list_clips(tmp_path)
    header = "".join((official / "eval_segments.csv").read_text().splitlines(True)[:3])
    table.write_bytes(header.encode() + ruined.read_bytes())
    with pytest.raises(ValueError, match=rf"a row like --4gqARaEJE, .* in line 4 of {table}\."):
        audioset.list_clips(tmp_path)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (1, "YTID,start_seconds,end_seconds,positive_labels"),
        (2, "# num_ytids=2, num_segs=2"),
        (3, ""),
        (4, 'b0000000001,0.000,10.000,"/m/09x0r"'),
        (4, "b0000000001, 0.000, 10.000, /m/09x0r"),
        (4, "b0000000001, 0.000, 10.000, '/m/09x0r'"),
        (4, 'b0000000001, 0.000, 10.000, ""'),
        (4, 'b0000000001, 0.000, 10.000, "/m/09x0r,"'),
        (4, 'b0000000001, 0.0, 10.0, "/m/09x0r"'),
        (4, 'b0000000001, 10.000, 9.999, "/m/09x0r"'),
        (4, 'b000000001, 0.000, 10.000, "/m/09x0r"'),
        (4, '../00000001, 0.000, 10.000, "/m/09x0r"'),
        (5, ""),
    ],
)
def test_lines_of_another_form_are_refused(tmp_path, line, value):
    lines = segments(BALANCED).splitlines()
    lines[line - 1] = value
    path = tmp_path / "balanced_train_segments.csv"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=rf"official table.* in line {line} of {path}\.") as info:
        audioset.list_clips(tmp_path)
    assert repr(value)[1:-1] in str(info.value)


@pytest.mark.parametrize(
    ("mids", "got"), [([SPEECH, "/m/nothing"], ", got /m/nothing"), ([SPEECH, SPEECH], "")]
)
def test_classes_that_do_not_exist_or_stand_twice(tmp_path, mids, got):
    write_segments(tmp_path, eval=[*EVAL, ("e0000000001", mids)])
    path = tmp_path / "eval_segments.csv"
    with pytest.raises(ValueError, match=f"of the 527 classes in line 7 of {path}{got}\\."):
        audioset.list_clips(tmp_path)


@pytest.mark.parametrize("change", [(-1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, -1)])
def test_a_table_that_was_cut_short_is_refused(tmp_path, change):
    counts = [count + more for count, more in zip((3, 3, 4, 4), change, strict=True)]
    text = segments(EVAL).splitlines(keepends=True)
    (tmp_path / "eval_segments.csv").write_text(HEADER.format(*counts) + "".join(text[3:]))
    name = ("num_ytids", "num_segs", "num_unique_labels", "num_positive_labels")
    (index,) = [index for index, more in enumerate(change) if more]
    with pytest.raises(ValueError, match=f"{name[index]}={counts[index]} as line 2 says, got"):
        audioset.list_clips(tmp_path)


def test_a_video_twice_is_refused(tmp_path):
    text = segments([*EVAL, EVAL[0]]).replace("num_ytids=3", "num_ytids=4")
    (tmp_path / "eval_segments.csv").write_text(text)
    with pytest.raises(ValueError, match="num_ytids=4 as line 2 says, got 3"):
        audioset.list_clips(tmp_path)
    write_segments(tmp_path, eval=EVAL, balanced=BALANCED, unbalanced=[*UNBALANCED, EVAL[1]])
    with pytest.raises(ValueError, match="got 1 in eval_segments.csv and unbalanced_") as info:
        audioset.list_clips(tmp_path)
    assert "YBfvyPmVMo0" in str(info.value)


def test_other_line_ends_are_read_and_told(official, tmp_path):
    table = tmp_path / "eval_segments.csv"
    shutil.copy(official / table.name, table)
    write_sound(tmp_path / "--4gqARaEJE.wav")
    assert audioset.list_clips(tmp_path).notes == ()
    crlf = table.read_bytes().replace(b"\n", b"\r\n")
    table.write_bytes(crlf)
    clip_list = audioset.list_clips(tmp_path)
    assert clip_list.notes == (f"eval_segments.csv {UNOFFICIAL}",)
    assert len(clip_list.absent) == 20370
    table.write_bytes("é".encode() + crlf)
    with pytest.raises(ValueError, match=rf"ASCII text .*Received: path={table}"):
        audioset.list_clips(tmp_path)


def test_other_classes_are_refused(official, tmp_path):
    write_segments(tmp_path, eval=EVAL)
    write_sound(tmp_path / "--4gqARaEJE.wav")
    path = tmp_path / "class_labels_indices.csv"
    text = (official / path.name).read_text()
    path.write_text(text)
    assert len(audioset.list_clips(tmp_path).labels) == 527
    for old, new, message in (
        ('/m/05zppz,"Male speech, man', '/m/05zppz,"Male speech, boy', "'/m/05zppz Male speech, m"),
        ('526,/m/07hvw1,"Field recording"\n', "", "Field recording' of index 526, got 'none'"),
        ("\n2,/m/02zsn", "\n3,/m/02zsn", "Expected class 2, another one than those before"),
        ("\n2,/m/02zsn", "\n2,/m/09x0r", "Expected class 2, another one than those before"),
        ("index,mid,display_name", "index,id,name", "Expected the header index,mid,display_name"),
    ):
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(ValueError, match=message) as info:
            audioset.list_clips(tmp_path)
        assert str(path) in str(info.value)


def test_the_classes_of_the_package_are_the_official_bytes(official):
    own = audioset.__file__.replace("audioset.py", "audioset_classes.csv")
    digests = []
    for path in (own, official / "class_labels_indices.csv"):
        with open(path, "rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    assert digests[0] == digests[1]


def test_folders_of_something_else_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"one of eval_segments\.csv, .*Received: source="):
        audioset.list_clips(tmp_path)
    write_segments(tmp_path, eval=EVAL)
    with pytest.raises(ValueError, match=r"clips of eval_segments\.csv, got none .*Received"):
        audioset.list_clips(tmp_path)
