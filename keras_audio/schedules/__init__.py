"""What steers an optimizer, inside of it, so that it saves and resumes with it."""

from keras_audio.schedules.grouped_adamw import GroupedAdamW
from keras_audio.schedules.one_cycle import OneCycle, OneCycleMomentum
from keras_audio.schedules.range_test import LossWatch, RangeTest, SuggestedRates, suggest_rates
from keras_audio.schedules.warm_restarts import WarmRestarts

__all__ = [
    "GroupedAdamW",
    "LossWatch",
    "OneCycle",
    "OneCycleMomentum",
    "RangeTest",
    "SuggestedRates",
    "WarmRestarts",
    "suggest_rates",
]
