"""Colangelo, Battisti and Neri 2021: progressive resizing of spectrograms."""

import dataclasses
from typing import Any, ClassVar, Literal

from keras_audio.files import folder_name
from keras_audio.recipes.recipe import Recipe
from keras_audio.recipes.stages import Stage, parse_stages, stages_text

# Section 3: mel bins and frames of R1, R2 and R3.
RESOLUTIONS = ((64, 128), (96, 214), (128, 300))
# Table 1: the rates of lambda_1 to lambda_3, and of lambda_1R1, lambda_2R1, ... lambda_2R3.
_RATES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "urbansound8k": ((1e-2, 5e-6, 1e-6), (1e-2, 1e-3, 5e-3, 5e-6, 5e-3, 5e-6)),
    "esc50": ((5e-3, 1e-4, 1e-6), (5e-3, 5e-4, 5e-3, 5e-6, 5e-3, 5e-6)),
}
# Section 3: epochs, and what divides the rate of all layers but the last.
_BASELINE = ((20, 1), (50, 3), (120, 3))
_PROGRESSIVE = ((20, 1), (20, 3), (20, 1), (20, 3), (20, 1), (70, 3))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProgressiveResizing(Recipe):
    """ResNet34 on log-mel images that grow as it learns, as sections 2 and 3 of the paper train it.

    From the paper: 22 kHz; silence cut off at both ends; mel spectrograms of windows of 1024 and
    hops of 256 samples, normalised to [0, 1] clip by clip, tiled or cropped to 3.5 s; ImageNet
    weights to begin with; steps of training at 64x128, 96x214 and 128x300, or the last alone, each
    a cycle of the learning rate, with the last layer's rate three times that of the others; weight
    decay of 0.1; the best weights so far are loaded before each step; no augmentation.

    Decided here, where the paper is silent: batches of 64, whole ones, and AdamW with beta_2 of
    0.99, as its library has them; decibels with a floor 80 dB below the clip's peak; silence is
    60 dB below its loudest frame; a plain ResNet34 rather than the head of its library; the best
    weights are compared among steps of one resolution; other data sets get the rates of ESC-50.
    All epochs that the paper lists are trained: 190 of the baseline, 170 of the others, though its
    text calls them equal. `combined` is what the paper leaves to others: fewer mel filters, as in
    `mel`, over all 3.5 s, which are squeezed bilinearly, as in `bilinear`.

    Command:
        keras-audio train progressive_resizing --dataset esc50 --fold 1 --set method=mel
        --init-from resnet34.pth

    Args:
        network: The paper's, or a smaller one of its kind.
        num_filters: Channels of the first stage of residual blocks.
        head: `plain` averages before the last layer; `concat_pool` averages, takes the maximum, and
            has a hidden layer, as the paper's library does unless told otherwise.
        stem: How one channel enters a network for three: `repeat`ed, or by a first layer for one,
            which a kernel given for three is the `sum` of.
        method: How the smaller images are made; `baseline` has none.
        stages: The steps, such as `64x128:20:5e-3,128x300:70:5e-6/3` (`keras_audio.recipes.Stage`);
            none for those of Table 1.
        num_mels: Mel bins at full resolution.
        frames: Frames at full resolution.
        duration: Seconds of a clip that are heard at most, before silence is cut off: those of the
            data set's longest.
        trim_db: How far below the loudest frame silence at the ends begins; none leaves it in.
        mixup: Whether clips are mixed in pairs; in the paper as a remark of section 3.1.
        mixup_alpha: Shares are drawn from Beta(alpha, alpha).
        max_momentum: At the ends of a cycle; that of steps with a constant rate.
        min_momentum: At the peak of the rate.
        warmup_fraction: Share of a cycle in which the rate rises.
        weight_decay: Decoupled, times the rate.
        beta_2: Decay of AdamW's squared gradients.
        freeze_body: Whether the steps in which all layers have one rate train the last layer and
            the batch norms alone, as the paper's library does with a network that was given.
        batch_norm_momentum: Share of the old value in batch norm's running statistics.

    Example:
        >>> recipe = ProgressiveResizing(method="mel")
        >>> [(stage.resolution, stage.epochs) for stage in recipe.plan]  # doctest: +ELLIPSIS
        [('64x128', 20), ('64x128', 20), ('96x214', 20), ... ('128x300', 70)]
    """

    name: ClassVar[str] = "progressive_resizing"
    paper: ClassVar[str] = (
        "Colangelo, Battisti and Neri 2021, Progressive training of convolutional neural networks "
        "for acoustic events classification"
    )
    section: ClassVar[str] = "2, 3"
    network_fields: ClassVar[tuple[str, ...]] = ("num_filters", "stem", "channels")

    dataset: str = "esc50"
    fold: int = 1
    sample_rate: int = 22050
    batch_size: int = 64
    network: Literal["resnet34", "resnet18", "resnet10"] = "resnet34"
    num_filters: int = 64
    head: Literal["plain", "concat_pool"] = "plain"
    stem: Literal["repeat", "sum"] = "repeat"
    method: Literal["baseline", "mel", "bilinear", "combined"] = "bilinear"
    stages: str | None = None
    num_mels: int = 128
    frames: int = 300
    duration: float = 5.0
    trim_db: float | None = 60.0
    mixup: Literal["none", "standard"] = "none"
    mixup_alpha: float = 0.4
    max_momentum: float = 0.95
    min_momentum: float = 0.85
    warmup_fraction: float = 0.3
    weight_decay: float = 0.1
    beta_2: float = 0.99
    freeze_body: bool = False
    batch_norm_momentum: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("num_filters", "num_mels", "frames"):
            self._require(field, getattr(self, field) >= 1, "at least 1")
        self._require("duration", 0.1 <= self.duration <= 600, "from 0.1 to 600 seconds")
        if self.trim_db is not None:
            self._require("trim_db", self.trim_db > 0, "greater than 0")
        self._require("mixup_alpha", self.mixup_alpha > 0, "greater than 0")
        for field in ("max_momentum", "min_momentum", "beta_2", "batch_norm_momentum"):
            self._require(field, 0 <= getattr(self, field) < 1, "from 0 to below 1")
        self._require(
            "min_momentum", self.min_momentum <= self.max_momentum, "at most max_momentum"
        )
        self._require("warmup_fraction", 0 <= self.warmup_fraction < 1, "from 0 to below 1")
        self._require("weight_decay", self.weight_decay >= 0, "at least 0")
        if self.stages is not None:
            # Stored in one form, so that runs of the same stages are the same recipe.
            object.__setattr__(self, "stages", stages_text(parse_stages(self.stages)))
        for stage in self.plan:
            fits = (stage.mels, stage.frames) == (self.num_mels, self.frames)
            if self.method == "baseline" and not fits:
                raise ValueError(
                    f"Expected stages of {self.num_mels}x{self.frames} alone with method=baseline. "
                    f"Received: {stage}"
                )
            if stage.mels > self.num_mels or stage.frames > self.frames:
                raise ValueError(
                    f"Expected stages of at most {self.num_mels}x{self.frames}, num_mels and "
                    f"frames. Received: {stage}"
                )

    @classmethod
    def paper_settings(cls, dataset: str, *, fine_tune: bool = False) -> dict[str, Any]:
        """The length of the longest clip; that of data sets that are not known is taken as 5 s."""
        del fine_tune
        return {"duration": 4.0} if folder_name(dataset) == "urbansound8k" else {}

    @classmethod
    def fields_of_model(cls, model_name: str) -> dict[str, Any] | None:
        """Which of the networks.

        Example:
            >>> ProgressiveResizing.fields_of_model("resnet18")
            {'network': 'resnet18'}
        """
        known = ("resnet34", "resnet18", "resnet10")
        return {"network": model_name} if model_name in known else None

    @property
    def model_name(self) -> str:
        """The registered model that this recipe trains."""
        return self.network

    # The stages. -------------------------------------------------------------------------------

    @property
    def plan(self) -> tuple[Stage, ...]:
        """The stages, in their order."""
        if self.stages is not None:
            return parse_stages(self.stages)
        baseline, progressive = _RATES.get(folder_name(self.dataset), _RATES["esc50"])
        full = (self.num_mels, self.frames)
        if self.method == "baseline":
            steps = zip((full,) * len(_BASELINE), _BASELINE, baseline, strict=True)
        else:
            sizes = [size for size in (*RESOLUTIONS[:2], full) for _ in range(2)]
            steps = zip(sizes, _PROGRESSIVE, progressive, strict=True)
        return tuple(
            Stage(mels=mels, frames=frames, epochs=epochs, learning_rate=rate, divisor=divisor)
            for (mels, frames), (epochs, divisor), rate in steps
        )

    def stage_recipes(self) -> list["ProgressiveResizing"]:
        """The recipe of each stage: this one with that stage alone."""
        return [dataclasses.replace(self, stages=str(stage)) for stage in self.plan]

    @property
    def resolution(self) -> str:
        """The size of the images of the last stage."""
        return self.plan[-1].resolution

    def smoke(self) -> "ProgressiveResizing":
        """A stage of one epoch at each resolution, in small batches."""
        stages = {stage.resolution: dataclasses.replace(stage, epochs=1) for stage in self.plan}
        return dataclasses.replace(
            self, stages=stages_text(tuple(stages.values())), batch_size=min(self.batch_size, 8)
        )

    # What training asks. A recipe of several stages answers for the last of them. ---------------

    def length(self, steps_per_pass: int) -> tuple[int, int]:
        """Epochs: a round is a pass over the clips."""
        return self.plan[-1].epochs * steps_per_pass, steps_per_pass

    @property
    def training_data(self) -> dict[str, Any]:
        """Whole batches, as the paper's library; images are the same each time, so made once."""
        return {"whole_batches": True, "keep_inputs": True}

    @property
    def clip_boundary(self) -> str:
        """Images are made clip by clip."""
        stage = self.plan[-1]
        return "resize" if self._front_end(self.method, stage)["resize"] else "log_mel_image"

    def _front_end(self, method: str, stage: Stage) -> dict[str, Any]:
        """How a method makes the images of a stage (section 2): arguments of the front end."""
        image = {"num_mels": stage.mels, "frames": stage.frames, "resize": None}
        image |= {"sample_rate": self.sample_rate, "trim_db": self.trim_db}
        image |= {"max_samples": round(self.duration * self.sample_rate)}
        full = {"num_mels": self.num_mels, "frames": self.frames}
        if method == "bilinear":
            image |= full
        elif method == "combined":
            image["frames"] = self.frames
        if (image["num_mels"], image["frames"]) != (stage.mels, stage.frames):
            image["resize"] = (stage.mels, stage.frames)
        return image

    def build_front_end(self, method: str | None = None):
        """From waveforms to the images of the last stage, by this or another method.

        Returns:
            A Keras model from `(batch, samples, channels)` to `(batch, mels, frames, channels)`.
        """
        import keras

        from keras_audio.models.resnet import resnet_front_end

        inputs = keras.Input((None, self.channels), name="waveform")
        image = self._front_end(method or self.method, self.plan[-1])
        return keras.Model(inputs, resnet_front_end(inputs, **image))

    def build_model(self, num_classes: int, statistics: dict[str, list[float]] | None = None):
        """The full model of the last stage: images, then the network of ImageNet."""
        from keras_audio.models import create_model

        del statistics
        return create_model(
            self.network,
            num_classes,
            channels=self.channels,
            **self._front_end(self.method, self.plan[-1]),
            num_filters=self.num_filters,
            head=self.head,
            stem_channels=3 if self.stem == "repeat" else None,
            batch_norm_momentum=self.batch_norm_momentum,
            seed=self.seed,
        )

    def load_source(self, path):
        """A network to begin with: a run, a `.keras` file, or a state dict of ImageNet weights."""
        from keras_audio.importers import is_state_dict, load_resnet_state_dict

        if not is_state_dict(path):
            return super().load_source(path)
        alone = self.channels == 1 and self.stem == "repeat"
        return load_resnet_state_dict(
            path,
            self.network,
            num_filters=self.num_filters,
            input_channels=3 if alone else self.channels,
        )

    @property
    def new_weights_note(self) -> str:
        """Section 3: the paper's networks begin with ImageNet weights."""
        return (
            f"{self.network} begins with new weights; the paper's began with those of ImageNet "
            "(--init-from resnet34.pth, a state dict of PyTorch)"
        )

    def build_mixing(self):
        """Mixup of the images, where it is asked for (section 3.1)."""
        from keras_audio.augment import StandardMixup

        if self.mixup == "none":
            return None
        # Not the dropouts' seed: equal ones would draw equal numbers.
        seed = (self.seed + 1) % 2**32
        return StandardMixup(self.mixup_alpha, seed=seed), self.clip_boundary

    def build_optimizer(self, steps_per_pass: int):
        """AdamW with two learning-rate groups, a cycle over the last stage (section 3)."""
        from keras_audio.schedules import GroupedAdamW, OneCycle, OneCycleMomentum

        stage, steps = self.plan[-1], self.length(steps_per_pass)[0]
        rate, momentum = stage.learning_rate, self.max_momentum
        if stage.schedule == "one_cycle":
            cycle = {"steps": steps, "warmup_fraction": self.warmup_fraction}
            rate = OneCycle(rate, **cycle)
            momentum = OneCycleMomentum(
                max_momentum=self.max_momentum, min_momentum=self.min_momentum, **cycle
            )
        groups = {"logits*": 1.0, "*": 1.0 / stage.divisor}
        if self.freeze_body and stage.divisor == 1:
            groups = {"logits*": 1.0, "*bn?": 1.0, "*downsample_1": 1.0, "*": 0.0}
        return GroupedAdamW(
            rate,
            momentum=momentum,
            beta_2=self.beta_2,
            weight_decay=self.weight_decay,
            groups=groups,
        )
