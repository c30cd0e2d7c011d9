"""Data sets into records: sound files decoded, resampled and labelled once, read many times.

`prepare` writes the records of one data set at one sample rate and channel count; `cards` says
which data sets there are. Neither needs TensorFlow until records are written.
"""

from data_prep.clips import DatasetCard
from data_prep.preparation import PrepareResult, prepare
from data_prep.registry import cards

__all__ = ["DatasetCard", "PrepareResult", "cards", "prepare"]
