"""Copies of records whose folds are cut into other files than `prepare` makes of so few clips."""

import json
import shutil

import tensorflow as tf

from keras_audio.data import Records


def reshard(folder, copy, sizes):
    """Copy the records in `folder`, those of some folds in files of these numbers of clips.

    Args:
        folder: One version of a data set at one rate.
        copy: The folder of the copy's version, `<name>/<config>/<version>`.
        sizes: By fold, what part of its clips each file gets.
    """
    shutil.copytree(folder, copy)
    info = json.loads((copy / "dataset_info.json").read_text())
    for split in info["splits"]:
        fold = int(split["name"].removeprefix("fold"))
        if fold not in sizes:
            continue
        (copy / f"fold{fold}.index.npz").unlink(missing_ok=True)
        paths = sorted(copy.glob(f"*-fold{fold}.tfrecord*"))
        stem = paths[0].name.partition(".tfrecord")[0]
        records = list(tf.data.TFRecordDataset(paths).as_numpy_iterator())
        for path in paths:
            path.unlink()
        ends = [round(len(records) * sum(sizes[fold][:n])) for n in range(len(sizes[fold]) + 1)]
        split["shardLengths"] = [str(b - a) for a, b in zip(ends, ends[1:], strict=False)]
        for number, (start, end) in enumerate(zip(ends, ends[1:], strict=False)):
            name = f"{stem}.tfrecord-{number:05}-of-{len(sizes[fold]):05}"
            with tf.io.TFRecordWriter(str(copy / name)) as writer:
                for record in records[start:end]:
                    writer.write(record)
    (copy / "dataset_info.json").write_text(json.dumps(info))
    return Records(copy)
