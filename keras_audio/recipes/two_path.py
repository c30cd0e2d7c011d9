"""McDonnell and Gao 2019: two-path residual networks on acoustic scenes."""

import dataclasses
from typing import Any, ClassVar, Literal

from keras_audio.files import folder_name
from keras_audio.recipes.recipe import Recipe

# Sections 1, 3.1 and 3.5. 1b and 1c have one channel at 44.1 kHz. Sets that the report does not
# know have clips of other lengths: the crop keeps the same share, 400 of 423 frames.
_MONO = {"sample_rate": 44100, "channels": 1}
_FIVE_SECONDS = _MONO | {"duration": 5.0, "crop_frames": 197}
_DATASETS: dict[str, dict[str, Any]] = {
    "tau_urban_2019_1a": {},
    "tau_urban_2019_1b": _MONO,
    "tau_urban_2019_1c": _MONO,
    "toy_scenes_1a": {},
    "toy_scenes_1b": _MONO,
    "toy_scenes_1c": _MONO,
    "esc10": _FIVE_SECONDS,
    "esc50": _FIVE_SECONDS,
    "urbansound8k": _MONO | {"duration": 4.0, "crop_frames": 156},
}
# Frames that deltas without padding cost.
_LOST_FRAMES = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoPath(Recipe):
    """The two-path ResNet as sections 2 and 3 of the report train it, on DCASE 2019 task 1.

    From the report: log-mels with deltas, two paths parted at mel bin 64, L2 of 5e-4 (1e-3 in
    Keras), batch norms without learned scale and offset, mixup with alpha 0.2 of clips cropped
    independently to 400 frames, SGD with momentum 0.9, batches of 32, 510 epochs, warm restarts
    from 0.1 to 1e-5, full-length inference, the unknown class of task 1c weighted by 5.

    Decided here, where the report is silent: the mix of a clip is with the one before it in its
    batch, one share a clip, so that an epoch shows every clip in two mixes, as the authors' code
    does; the weights kept are those of the last epoch, where a cycle ends, since to choose by the
    held-out clips is to be measured on what was chosen by; an epoch leaves out, each time others,
    what does not fill a batch; clips of other lengths than the data
    set's are padded with zeros, and cut in training alone. The authors' code swaps left and right
    at random, which the report does not mention: `swap_channels`.

    Command:
        keras-audio train two_path --dataset esc10 --fold 1 --set num_filters=8 --set epochs=126
        --set batch_norm_momentum=0.9 --set snapshots=true

    To expect of it: 91.25 % of ESC-10's first fold, in 77 minutes on one core of an AMD EPYC with
    other work beside it (`results/two_path_esc10.md`). The report: 82.3 % of task 1a's official
    test clips (Table 1), at full size.

    Args:
        num_filters: Channels of the first of four stages; the report's network has 24.
        paths: Residual networks side by side, each on its own mel bins.
        split: The first mel bin of the upper of two paths; none parts the bins evenly.
        deltas: Whether the network sees deltas and delta-deltas (Table 1).
        frequency_downsampling: Whether frequency is downsampled too (section 3.3).
        learned_batch_norm: Whether all batch norms learn scale and offset (section 3.5).
        learned_pooling: Whether frequencies are merged by learned weights (section 3.3).
        duration: Seconds that shorter clips are padded to, and that training hears at most.
        crop_frames: Frames of a training example; none trains on all there are.
        mixup_alpha: Of the distribution of the shares; 0 mixes nothing.
        swap_channels: Whether left and right are swapped at random in training.
        epochs: Passes over the training clips. The cycles end after 2, 6, 14, 30, 62, 126, 254
            and 510.
        learning_rate: The highest, at the start of each cycle.
        min_learning_rate: The lowest, at its end.
        first_cycle: Epochs of the first cycle.
        cycle_growth: How many times longer each cycle is than the one before.
        momentum: Of SGD.
        l2: Factor of the L2 penalty on the kernels of convolutions, as Keras counts it.
        batch_norm_momentum: Share of the old value in batch norm's running statistics.
        keep: The weights kept in the run: the last ones, or those of the best epoch.
        snapshots: Whether the weights at the end of each cycle are put aside, for an ensemble.
        unknown_weight: What the probability of the class "unknown" is multiplied by to decide, in
            task 1c (section 3.7).

    Example:
        >>> recipe = TwoPath.for_dataset("tau_urban_2019/1b")
        >>> recipe.sample_rate, recipe.channels, recipe.unknown_weight
        (44100, 1, 5.0)
    """

    name: ClassVar[str] = "two_path"
    paper: ClassVar[str] = (
        "McDonnell and Gao 2019, Acoustic scene classification using deep residual networks with "
        "late fusion of separated high and low frequency paths"
    )
    section: ClassVar[str] = "2, 3"
    network_fields: ClassVar[tuple[str, ...]] = (
        *("sample_rate", "channels", "num_filters", "paths", "split", "deltas"),
        *("frequency_downsampling", "learned_batch_norm", "learned_pooling"),
    )

    dataset: str = "tau_urban_2019/1a"
    fold: int = 1
    sample_rate: int = 48000
    channels: int = 2
    batch_size: int = 32
    num_filters: int = 24
    paths: int = 2
    split: int | None = None
    deltas: bool = True
    frequency_downsampling: bool = False
    learned_batch_norm: bool = False
    learned_pooling: bool = False
    duration: float = 10.0
    crop_frames: int | None = 400
    mixup_alpha: float = 0.2
    swap_channels: bool = False
    epochs: int = 510
    learning_rate: float = 0.1
    min_learning_rate: float = 1e-5
    first_cycle: int = 2
    cycle_growth: int = 2
    momentum: float = 0.9
    l2: float = 1e-3
    batch_norm_momentum: float = 0.99
    keep: Literal["last", "best"] = "last"
    snapshots: bool = False
    unknown_weight: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("num_filters", "paths", "epochs", "first_cycle", "cycle_growth"):
            self._require(field, getattr(self, field) >= 1, "at least 1")
        if self.split is not None:
            self._require(
                "split", self.paths == 2 and 1 <= self.split <= 127, "1 to 127, of 2 paths"
            )
        self._require("paths", 128 % self.paths == 0, "a divisor of 128, the mel bins")
        possible = self.channels == 2 or not self.swap_channels
        self._require("swap_channels", possible, "false where there is one channel")
        self._require("duration", 0.1 <= self.duration <= 600, "from 0.1 to 600 seconds")
        most = self._training_frames
        self._require("duration", most >= 1, "of more samples, for at least one frame with deltas")
        if self.crop_frames is not None:
            self._require("crop_frames", 1 <= self.crop_frames <= most, f"from 1 to {most}")
        for field in ("mixup_alpha", "l2"):
            self._require(field, getattr(self, field) >= 0, "at least 0")
        rate, lowest = self.learning_rate, self.min_learning_rate
        self._require("min_learning_rate", 0 <= lowest < rate, "below learning_rate, 0 or more")
        for field in ("momentum", "batch_norm_momentum"):
            self._require(field, 0 <= getattr(self, field) < 1, "from 0 to below 1")
        self._require("unknown_weight", self.unknown_weight > 0, "greater than 0")

    @classmethod
    def paper_settings(cls, dataset: str, *, fine_tune: bool = False) -> dict[str, Any]:
        """Sample rate and channels of each task; other sets are taken as mono clips of 10 s."""
        del fine_tune
        return dict(_DATASETS.get(folder_name(dataset), _MONO))

    @classmethod
    def fields_of_model(cls, model_name: str) -> dict[str, Any] | None:
        """Nothing: the network has one name."""
        return {} if model_name == "two_path_resnet" else None

    @property
    def model_name(self) -> str:
        """The registered model that this recipe trains."""
        return "two_path_resnet"

    def smoke(self) -> "TwoPath":
        """Two epochs of small batches, each a cycle; gentle, so that a few steps end in a network.

        At a rate of 0.1, and with batch norm that looks back a hundred steps, four steps leave
        logits so large that rounding shows in the probabilities.
        """
        return dataclasses.replace(
            self,
            epochs=2,
            first_cycle=1,
            cycle_growth=1,
            batch_size=min(self.batch_size, 4),
            learning_rate=max(0.001, 2 * self.min_learning_rate),
            batch_norm_momentum=0.5,
        )

    def length(self, steps_per_pass: int) -> tuple[int, int]:
        """So many epochs, each measured."""
        return self.epochs * steps_per_pass, steps_per_pass

    @property
    def keeps_last(self) -> bool:
        """Whether the weights of the last epoch are kept."""
        return self.keep == "last"

    def snapshot_rounds(self, rounds: int) -> list[int]:
        """The ends of the cycles (section 3.6), if snapshots are asked for."""
        return self._schedule(1).cycle_ends(rounds) if self.snapshots else []

    @property
    def _training_samples(self) -> int:
        return round(self.duration * self.sample_rate)

    @property
    def _training_frames(self) -> int:
        return self._training_samples // 1024 + 1 - (_LOST_FRAMES if self.deltas else 0)

    @property
    def training_data(self) -> dict[str, Any]:
        """Training hears the first `duration` seconds of every clip; batches are always full."""
        return {
            "crop_samples": self._training_samples,
            "random_crop": False,
            # Task 1a has 287 batches and one clip: no batch statistics to end each epoch with.
            "whole_batches": True,
        }

    @property
    def clip_boundary(self) -> str:
        """The last layer that runs clip by clip: it pads short clips."""
        return "pad_or_crop"

    def build_model(self, num_classes: int, statistics: dict[str, list[float]] | None = None):
        """The full model: padding, the swap of sides, front end, random crop, network."""
        from keras_audio.augment import RandomChannelSwap, RandomCropFrames
        from keras_audio.layers import PadOrCrop
        from keras_audio.models import create_model

        del statistics
        clip_steps = [PadOrCrop(self._training_samples, crop="none", name="pad_or_crop")]
        if self.swap_channels:
            clip_steps.append(RandomChannelSwap(seed=self._seed_of(1)))
        feature_steps = []
        if self.crop_frames is not None:
            feature_steps = [RandomCropFrames(self.crop_frames, seed=self._seed_of(0))]
        return create_model(
            self.model_name,
            num_classes,
            channels=self.channels,
            clip_steps=clip_steps,
            feature_steps=feature_steps,
            sample_rate=self.sample_rate,
            deltas=self.deltas,
            num_filters=self.num_filters,
            paths=self.paths,
            split=self.split,
            frequency_downsampling=self.frequency_downsampling,
            learned_batch_norm=self.learned_batch_norm,
            learned_pooling=self.learned_pooling,
            batch_norm_momentum=self.batch_norm_momentum,
            kernel_regularizer=self.l2 or None,
        )

    def build_mixing(self):
        """Mixup of the cropped spectrograms (section 3.5)."""
        from keras_audio.augment import StandardMixup

        if not self.mixup_alpha:
            return None
        place = "random_crop_frames" if self.crop_frames is not None else self._front_end
        return StandardMixup(self.mixup_alpha, seed=self._seed_of(2)), place

    @property
    def _front_end(self) -> str:
        return "deltas" if self.deltas else "log_mel"

    def _seed_of(self, number: int) -> int:
        """A seed for each random layer: equal ones would draw equal numbers."""
        return (self.seed + number) % 2**32

    def build_optimizer(self, steps_per_pass: int):
        """SGD with momentum; the schedule lives in it, so that it resumes with it."""
        import keras

        return keras.optimizers.SGD(self._schedule(steps_per_pass), momentum=self.momentum)

    def _schedule(self, steps_per_pass: int):
        """Warm restarts (section 3.6)."""
        from keras_audio.schedules import WarmRestarts

        return WarmRestarts(
            self.learning_rate,
            steps_per_pass,
            self.min_learning_rate,
            self.first_cycle,
            self.cycle_growth,
        )
