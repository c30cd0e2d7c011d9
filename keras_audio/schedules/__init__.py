"""Learning rates as functions of the step, inside the optimizer: they resume with it."""

from keras_audio.schedules.one_cycle import OneCycle
from keras_audio.schedules.warm_restarts import WarmRestarts

__all__ = ["OneCycle", "WarmRestarts"]
