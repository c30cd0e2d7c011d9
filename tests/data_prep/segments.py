"""AudioSet's tables and PANNs' packs, small ones, to test with."""

import csv

import h5py
import numpy as np
from sources import read_rows

TABLES = ("eval_segments.csv", "balanced_train_segments.csv", "unbalanced_train_segments.csv")
HEADER = """\
# Segments csv created Sun Mar  5 10:54:25 2017
# num_ytids={}, num_segs={}, num_unique_labels={}, num_positive_labels={}
# YTID, start_seconds, end_seconds, positive_labels
"""


def segments(rows):
    """The text of a table of (id, classes) rows."""
    counts = (
        len({video for video, _ in rows}),
        len(rows),
        len({mid for _, mids in rows for mid in mids}),
        sum(len(mids) for _, mids in rows),
    )
    lines = [f'{video}, 30.000, 40.000, "{",".join(mids)}"\n' for video, mids in rows]
    return HEADER.format(*counts) + "".join(lines)


def write_segments(folder, **rows):
    """Write tables by the first word of their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        if name.split("_")[0] in rows:
            (folder / name).write_text(segments(rows[name.split("_")[0]]), encoding="ascii")
    return folder


def read_segments(path):
    """An official table as the csv module reads it: (id, classes) rows."""
    with open(path, newline="") as file:
        lines = [line for line in file if not line.startswith("#")]
    return [
        (video, mids.split(","))
        for video, _, _, mids in csv.reader(lines, skipinitialspace=True, strict=True)
    ]


def class_names(shared):
    """The official names of the classes by machine id, in order."""
    rows = read_rows(shared / "datasets/metadata/audioset/class_labels_indices.csv")
    return {row["mid"]: row["display_name"] for row in rows}


def write_pack(path, rows, mids, waveforms=None, rate=32000):
    """Write a pack of (id or "", classes) rows; `mids` are the machine ids in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    column = {mid: index for index, mid in enumerate(mids)}
    targets = np.zeros((len(rows), len(column)), bool)
    for row, (_, chosen) in enumerate(rows):
        targets[row, [column[mid] for mid in chosen]] = True
    with h5py.File(path, "w") as file:
        file["audio_name"] = np.array([f"Y{v}.wav".encode() if v else b"" for v, _ in rows], "S20")
        file["waveform"] = np.zeros((len(rows), 4), np.int16) if waveforms is None else waveforms
        file["target"] = targets
        file.attrs.create("sample_rate", rate, dtype=np.int32)
    return path
