"""Prepared records into batches: folds, the check for leaks, and the tf.data pipelines."""

from keras_audio.data.clip_table import Clip, ClipTable
from keras_audio.data.pipeline import EvaluationBatches, TrainingBatches, clip_arrays
from keras_audio.data.records import Records, open_records
from keras_audio.data.splits import Split, make_split

__all__ = [
    "Clip",
    "ClipTable",
    "EvaluationBatches",
    "Records",
    "Split",
    "TrainingBatches",
    "clip_arrays",
    "make_split",
    "open_records",
]
