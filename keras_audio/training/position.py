"""How far a training is."""

import dataclasses
import math
from typing import Any


@dataclasses.dataclass
class Position:
    """How far a training is: what a checkpoint holds beside the variables.

    Args:
        epoch: Rounds ended: epochs, or evaluations of a training that counts iterations.
        step: Steps of the present round ended.
        stage: Number of the present stage, from 0.
        stage_epoch: Rounds ended before it.
        stage_iteration: Steps ended before it.
        seconds: Time spent, over all processes that worked on it.
        best: Best value of the monitored metric, larger is better, among comparable rounds.
        best_epoch: Number of the round that reached it, from 1.
        kept_epoch: Number of the round whose weights `model.keras` holds.
        finished: Whether a callback ended the stage.
        history: A dictionary of metrics a round.
        callbacks: What each callback remembers.
    """

    epoch: int = 0
    step: int = 0
    stage: int = 0
    stage_epoch: int = 0
    stage_iteration: int = 0
    seconds: float = 0.0
    best: float = -math.inf
    best_epoch: int = 0
    kept_epoch: int = 0
    finished: bool = False
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    callbacks: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def at_stage(self, number: int, comparable: bool) -> "Position":
        """The position at the begin of the next stage; its best is the old one if comparable."""
        best = {} if comparable else {"best": -math.inf, "best_epoch": 0}
        return dataclasses.replace(
            self,
            stage=number,
            stage_epoch=self.epoch,
            stage_iteration=int(self.history[-1]["iteration"]),
            finished=False,
            callbacks=[],
            **best,
        )
