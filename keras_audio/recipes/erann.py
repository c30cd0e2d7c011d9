"""Verbitskiy et al. 2022: ERANN on AudioSet, ESC-50, UrbanSound8K and RAVDESS."""

import dataclasses
import math
from typing import Any, ClassVar, Literal

from keras_audio.recipes.recipe import Recipe

# Sections 4.2 to 4.5: t_c, iterations from scratch and fine-tuned, and what else differs.
# `duration` is the data set's own longest clip, beyond which nothing is evaluated.
_DATASETS: dict[str, dict[str, Any]] = {
    "esc50": {"duration": 5.0, "crop_duration": 4.0, "iterations": (20_000, 2_000)},
    "urbansound8k": {"duration": 4.0, "crop_duration": None, "iterations": (20_000, 5_000)},
    "ravdess": {
        "duration": 6.0,
        "crop_duration": 3.0,
        "iterations": (20_000, 2_000),
        "pitch_variants": 8,
    },
    "audioset": {
        "duration": 10.0,
        "crop_duration": 8.0,
        "iterations": (500_000, 500_000),
        "evaluation_interval": 5_000,
        "task": "tagging",
        "balanced_sampling": True,
        "schedule": "one_cycle",
        "learning_rate": 1e-3,
    },
}
# Sets that the paper does not know are trained as ESC-50 is, except for the clips' length.
_OTHER = _DATASETS["esc50"] | {"duration": 10.0}
_DATASETS["esc10"] = _DATASETS["esc50"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ERANN(Recipe):
    """ERANN-s_m-W as section 4 of the paper trains it; `for_dataset` knows each data set's values.

    From the paper: 44.1 kHz, the network, Adam with batches of 32, cross-entropy, the moving
    average of the weights (eq. 6), between-class mixup of waveforms, SpecAugment, the temporal
    crop, pitch shifting for RAVDESS; the rates 2e-4 from scratch, 1e-4 fine-tuned, one cycle up to
    1e-3 for AudioSet; iterations per data set, AudioSet evaluated every 5,000; the best weights
    are kept; balanced sampling for AudioSet.

    Decided here, where the paper is silent or its section 3.3 is missing: time masks of up to 8
    frames a second of t_c and frequency masks of up to 16 mel bins, two each, filled with the
    clip's mean; binary cross-entropy for tagging; evaluation every 500 iterations from scratch
    and every 100 when fine-tuned; clips shorter than t_c are zero-padded to it, in training and
    ever after, so that what is measured and served is what was trained; held-out clips are
    measured whole, each zero-padded to its own whole seconds, up to `duration`; one share a clip,
    uniform from 0 to 1, in every kind of mixup; eight stored variants of pitch a clip; batches
    are always full, so that a pass leaves out the rest.
    Batch-norm statistics are averaged with the weights, see `WeightAverage`.

    Command:
        keras-audio train erann --dataset esc10 --fold 1 --set s_m=3 --set width=1
        --set iterations=800 --set evaluation_interval=100 --set ema_decay=0.99
        --set schedule=one_cycle --set learning_rate=0.001

    To expect of it: `results/erann_esc10.md`. The paper: 0.892 on ESC-50 for ERANN-1-3 from
    scratch, 0.961 for ERANN-2-5 fine-tuned (Table 6).

    Args:
        s_m: The decreasing temporal size parameter, 0 to 3.
        width: The widening factor W.
        task: One class a clip (softmax), or any number of tags (sigmoid).
        duration: Seconds of a clip that are evaluated at most.
        crop_duration: t_c, the seconds that a training clip is cropped to at random; None trains
            on `duration` seconds from the start.
        mixup: The kinds of Table 3: none, standard on waveforms, between-class ("modified") on
            waveforms, between-class on log-mels.
        spec_augment: Whether time and frequency masks are laid over training spectrograms.
        spec_augment_fill: What a mask holds: the clip's mean, or the log-mel's floor.
        pitch_variants: Stored pitch-shifted variants a clip, of which training draws one each
            time; 0 trains on the clips as they are.
        balanced_sampling: Whether a class is drawn at random, then one of its clips.
        iterations: Steps of training.
        evaluation_interval: Steps from an evaluation of the held-out clips to the next.
        learning_rate: The constant rate, or the highest of the cycle.
        schedule: Constant, or one cycle over all iterations.
        ema_decay: Decay of the average of the weights (eq. 6); None measures the raw weights.
        batch_norm_momentum: Share of the old value in batch norm's running statistics.
        batch_norm_epsilon: Added to the variance in batch norm.

    Example:
        >>> recipe = ERANN.for_dataset("ravdess", s_m=0, width=4)
        >>> recipe.model_name, recipe.crop_duration, recipe.pitch_variants
        ('erann_0_4', 3.0, 8)
        >>> ERANN.for_dataset("esc50", fine_tune=True, fold=2).iterations
        2000
    """

    name: ClassVar[str] = "erann"
    paper: ClassVar[str] = (
        "Verbitskiy et al. 2022, ERANNs: Efficient Residual Audio Neural Networks for Audio "
        "Pattern Recognition"
    )
    section: ClassVar[str] = "3, 4"

    dataset: str = "esc50"
    fold: int = 1
    sample_rate: int = 44100
    batch_size: int = 32
    s_m: int = 1
    width: int = 3
    task: Literal["classification", "tagging"] = "classification"
    duration: float = 5.0
    crop_duration: float | None = 4.0
    mixup: Literal["none", "standard", "between_class", "between_class_log_mel"] = "between_class"
    spec_augment: bool = True
    spec_augment_fill: Literal["mean", "floor"] = "mean"
    pitch_variants: int = 0
    balanced_sampling: bool = False
    iterations: int = 20_000
    evaluation_interval: int = 500
    learning_rate: float = 2e-4
    schedule: Literal["constant", "one_cycle"] = "constant"
    ema_decay: float | None = 0.999
    batch_norm_momentum: float = 0.9
    batch_norm_epsilon: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("sample_rate", self.sample_rate == 44100, "44100, the network's")
        self._require("s_m", 0 <= self.s_m <= 3, "from 0 to 3")
        for field in ("width", "iterations", "evaluation_interval"):
            self._require(field, getattr(self, field) >= 1, "at least 1")
        self._require("duration", 0.1 <= self.duration <= 600, "from 0.1 to 600 seconds")
        if self.crop_duration is not None:
            self._require("crop_duration", 0.1 <= self.crop_duration <= 600, "from 0.1 to 600")
        self._require("pitch_variants", self.pitch_variants >= 0, "at least 0")
        self._require("learning_rate", self.learning_rate > 0, "greater than 0")
        if self.ema_decay is not None:
            self._require("ema_decay", 0 < self.ema_decay < 1, "between 0 and 1")
        self._require("batch_norm_momentum", 0 < self.batch_norm_momentum < 1, "between 0 and 1")
        self._require("batch_norm_epsilon", self.batch_norm_epsilon > 0, "greater than 0")

    @classmethod
    def paper_settings(cls, dataset: str, *, fine_tune: bool = False) -> dict[str, Any]:
        """What sections 4.1 to 4.5 set for a data set; other sets get the values of ESC-50."""
        settings = dict(_DATASETS.get(dataset, _OTHER))
        settings["iterations"] = settings["iterations"][fine_tune]
        if fine_tune:
            settings |= {"learning_rate": 1e-4, "schedule": "constant"}
            settings.setdefault("evaluation_interval", 100)
        return settings

    @classmethod
    def fields_of_model(cls, model_name: str) -> dict[str, Any] | None:
        """The network's two parameters.

        Example:
            >>> ERANN.fields_of_model("erann_2_5")
            {'s_m': 2, 'width': 5}
        """
        from keras_audio.models.erann import parse_name

        return parse_name(model_name)

    def smoke(self) -> "ERANN":
        """Two rounds of two small batches."""
        return dataclasses.replace(
            self, iterations=4, evaluation_interval=2, batch_size=min(self.batch_size, 8)
        )

    def length(self, steps_per_pass: int) -> tuple[int, int]:
        """Iterations, whatever the number of clips (section 4)."""
        del steps_per_pass
        return self.iterations, self.evaluation_interval

    @property
    def counts_iterations(self) -> bool:
        """True: the paper counts iterations."""
        return True

    @property
    def model_name(self) -> str:
        """The registered model that this recipe trains."""
        return f"erann_{self.s_m}_{self.width}"

    @property
    def multi_label(self) -> bool:
        """Whether clips are tagged with any number of classes."""
        return self.task == "tagging"

    @property
    def averaging_decay(self) -> float | None:
        """Section 4.1, eq. (6)."""
        return self.ema_decay

    @property
    def _training_seconds(self) -> float:
        """What every training clip is cropped or padded to."""
        return self.duration if self.crop_duration is None else self.crop_duration

    @property
    def training_data(self) -> dict[str, Any]:
        """The temporal crop and balanced sampling; a pass leaves out what fills no batch."""
        return {
            "crop_samples": round(self._training_seconds * self.sample_rate),
            "random_crop": self.crop_duration is not None,
            "balanced": self.balanced_sampling,
            "whole_batches": True,
        }

    @property
    def max_samples(self) -> int | None:
        """Samples of a held-out clip that are measured at most."""
        return round(self.duration * self.sample_rate)

    @property
    def clip_boundary(self) -> str:
        """Clips are brought to whole seconds one by one (section 3.1)."""
        return "pad_seconds"

    def build_model(self, num_classes: int, statistics: dict[str, list[float]] | None = None):
        """The full model of section 3, with SpecAugment behind the log-mel while training."""
        from keras_audio.augment import SpecAugment
        from keras_audio.models import create_model
        from keras_audio.models.erann import FLOOR_DB

        del statistics
        feature_steps = []
        if self.spec_augment:
            feature_steps = [
                SpecAugment(
                    max_time_width=max(1, round(8 * self._training_seconds)),
                    max_frequency_width=16,
                    fill=self.spec_augment_fill,
                    floor=FLOOR_DB,
                    seed=self.seed,
                )
            ]
        return create_model(
            self.model_name,
            num_classes,
            channels=self.channels,
            classifier_activation="sigmoid" if self.multi_label else "softmax",
            feature_steps=feature_steps,
            least_seconds=math.ceil(self._training_seconds),
            batch_norm_momentum=self.batch_norm_momentum,
            batch_norm_epsilon=self.batch_norm_epsilon,
        )

    def build_mixing(self):
        """The kind of mixup of Table 3, and where it takes place."""
        from keras_audio.augment import BetweenClassLogMelMixup, BetweenClassMixup, StandardMixup
        from keras_audio.models.erann import FLOOR_DB, mel_frequencies

        # Not SpecAugment's: equal seeds would draw shares and masks of equal numbers.
        seed = (self.seed + 1) % 2**32
        if self.mixup == "none":
            return None
        if self.mixup == "standard":
            return StandardMixup(seed=seed), self.clip_boundary
        if self.mixup == "between_class":
            return BetweenClassMixup(self.sample_rate, seed=seed), self.clip_boundary
        return BetweenClassLogMelMixup(mel_frequencies(), floor=FLOOR_DB, seed=seed), "log_mel"

    def build_optimizer(self, steps_per_pass: int):
        """Adam (section 4.1); a schedule lives in it, so that it resumes with it."""
        import keras

        from keras_audio.schedules import OneCycle

        del steps_per_pass
        rate = self.learning_rate
        if self.schedule == "one_cycle":
            rate = OneCycle(rate, steps=self.iterations)
        return keras.optimizers.Adam(rate)
