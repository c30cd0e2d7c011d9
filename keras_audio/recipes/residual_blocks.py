"""Naranjo-Alcazar et al. 2019: six residual blocks on raw audio and on log-mel spectrograms."""

import dataclasses
from typing import Any, ClassVar, Literal

from keras_audio.recipes.recipe import Recipe

BLOCKS = ("rb1", "rb2", "rb3", "rb4", "rb5", "rb6")
PLAIN_NETWORKS = ("m3", "m5", "m11", "m18")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResidualBlocks(Recipe):
    """M34-res with one of six residual blocks, as sections III and IV of the paper train it.

    From the paper: 8 kHz, 4 s, the network, the six blocks, the four inputs of Table II, Adam at
    1e-3, batches of 128, at most 400 epochs, the rate times 0.2 after 15 epochs without better
    validation accuracy, Glorot-uniform weights, L2 of 1e-4 on the weights, one fold held out.

    Decided here, where the paper is silent: L2 applies to the kernels of convolutions and of the
    Dense layer; clips longer than `duration` are cut at their end; the first 2D convolution has
    the stride of the 1D one; per-clip statistics come before zero-padding, log-mel statistics from
    the training clips alone, and a clip is padded after they were applied, so that padding equals
    the average frame. The weights kept are those of the best validation accuracy, which is what
    the paper reports.

    Command:
        keras-audio train residual_blocks --dataset esc10 --fold 1 --set block=rb4
        --set duration=5 --set batch_size=16 --set batch_norm_momentum=0.9 --set epochs=40
        --set plateau_patience=5 --set early_stopping_patience=12

    To expect of it: 81.25 % of ESC-10's first fold, 83.5 ± 2.6 % over the five folds, in 11 to 26
    minutes a fold on one core of an AMD EPYC with other work beside it
    (`results/residual_blocks_esc10.md`). The paper: 75.15 % of UrbanSound8K's tenth fold.

    Args:
        epochs: Passes over the training clips, at most.
        network: M34-res, or a plain network of the same family (Dai et al. 2017).
        block: The residual block of M34-res, Fig. 3.
        normalization: The row of Table II: raw audio as it is, divided by its largest magnitude,
            with mean 0 and deviation 1, or the log-mel spectrogram in place of raw audio.
        duration: Seconds to which clips are zero-padded or cut.
        first_stride: Time stride of the first convolution.
        l2: Factor of the L2 penalty.
        batch_norm_momentum: How much of the moving statistics a step keeps; 0.99 is Keras's own
            and the paper's, 0.9 suits sets of a few hundred clips.
        learning_rate: Where Adam starts.
        plateau_factor: The rate is multiplied by it when validation accuracy stands still...
        plateau_patience: ... for this many epochs.
        early_stopping_patience: End after this many epochs without better validation accuracy.

    Example:
        >>> recipe = ResidualBlocks(block="rb4", normalization="standard")
        >>> recipe.model_name, recipe.batch_size
        ('m34_res_rb4', 128)
    """

    name: ClassVar[str] = "residual_blocks"
    paper: ClassVar[str] = (
        "Naranjo-Alcazar et al. 2019, On the performance of residual block design alternatives in "
        "convolutional neural networks for end-to-end audio classification"
    )
    section: ClassVar[str] = "III, IV"
    network_fields: ClassVar[tuple[str, ...]] = ("first_stride",)

    dataset: str = "urbansound8k"
    fold: int = 10
    sample_rate: int = 8000
    batch_size: int = 128
    epochs: int = 400
    network: Literal["m34_res", "m3", "m5", "m11", "m18"] = "m34_res"
    block: Literal["rb1", "rb2", "rb3", "rb4", "rb5", "rb6"] = "rb6"
    normalization: Literal["none", "max_abs", "standard", "log_mel"] = "standard"
    duration: float = 4.0
    first_stride: int = 4
    l2: float = 1e-4
    batch_norm_momentum: float = 0.99
    learning_rate: float = 1e-3
    plateau_factor: float = 0.2
    plateau_patience: int = 15
    early_stopping_patience: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("epochs", self.epochs >= 1, "at least 1")
        self._require("duration", 0.1 <= self.duration <= 60, "from 0.1 to 60 seconds")
        self._require("first_stride", self.first_stride >= 1, "at least 1")
        self._require("l2", self.l2 >= 0, "0 or greater")
        self._require("batch_norm_momentum", 0 < self.batch_norm_momentum < 1, "between 0 and 1")
        self._require("learning_rate", self.learning_rate > 0, "greater than 0")
        self._require("plateau_factor", 0 < self.plateau_factor < 1, "between 0 and 1")
        self._require("plateau_patience", self.plateau_patience >= 1, "at least 1")
        if self.early_stopping_patience is not None:
            self._require(
                "early_stopping_patience", self.early_stopping_patience >= 1, "at least 1"
            )
        if self.uses_log_mel:
            self._require("network", self.network == "m34_res", "m34_res for log-mel input")
            self._require("sample_rate", self.sample_rate == 8000, "8000 for log-mel input")

    @property
    def uses_log_mel(self) -> bool:
        """Whether the network sees the log-mel spectrogram (last row of Table II)."""
        return self.normalization == "log_mel"

    @property
    def model_name(self) -> str:
        """The registered model that this recipe trains."""
        if self.network != "m34_res":
            return self.network
        return f"{'spectrogram' if self.uses_log_mel else 'm34'}_res_{self.block}"

    @classmethod
    def fields_of_model(cls, model_name: str) -> dict[str, Any] | None:
        """Network, block and kind of input of one of the paper's networks.

        Example:
            >>> ResidualBlocks.fields_of_model("spectrogram_res_rb5")
            {'block': 'rb5', 'normalization': 'log_mel'}
        """
        if model_name in PLAIN_NETWORKS:
            return {"network": model_name}
        kind, _, block = model_name.rpartition("_")
        if block not in BLOCKS or kind not in ("m34_res", "spectrogram_res"):
            return None
        return {"block": block} | ({} if kind == "m34_res" else {"normalization": "log_mel"})

    def smoke(self) -> "ResidualBlocks":
        """Two epochs of small batches."""
        return dataclasses.replace(self, epochs=2, batch_size=min(self.batch_size, 8))

    def length(self, steps_per_pass: int) -> tuple[int, int]:
        """Epochs: a round is a pass over the clips."""
        return self.epochs * steps_per_pass, steps_per_pass

    @property
    def statistics_layer(self) -> str | None:
        """The layer after which the features are standardised per frequency channel."""
        return "log_mel" if self.uses_log_mel else None

    @property
    def min_samples(self) -> int:
        """One window of the spectrogram; raw audio may be as short as a sample."""
        return self._window if self.uses_log_mel else 1

    @property
    def _window(self) -> int:
        """Samples of the 40 ms of section III."""
        return self.sample_rate * 40 // 1000

    @property
    def clip_boundary(self) -> str:
        """The last layer that runs clip by clip: it gives all clips one length."""
        return "pad_frames" if self.uses_log_mel else "pad_or_crop"

    def build_model(self, num_classes: int, statistics: dict[str, list[float]] | None = None):
        """The full model: clip steps of section IV, front end, and the network of section III.

        Args:
            num_classes: Size of the output.
            statistics: `mean` and `variance` of each mel bin over the training clips.
        """
        from keras_audio.layers import PadOrCrop, WaveformNormalization
        from keras_audio.models import create_model

        samples = round(self.duration * self.sample_rate)
        arguments = {
            "batch_norm_momentum": self.batch_norm_momentum,
            "kernel_regularizer": self.l2 or None,
            "first_stride": self.first_stride,
        }
        if self.uses_log_mel:
            # Section III: windows of 40 ms with half overlap; 4 s give 199 frames.
            arguments["frames"] = 1 + (samples - self._window) // (self._window // 2)
            arguments |= statistics or {}
            clip_steps = []
        else:
            clip_steps = [
                WaveformNormalization(self.normalization, name="normalize"),
                PadOrCrop(samples, name="pad_or_crop"),
            ]
        return create_model(
            self.model_name,
            num_classes,
            channels=self.channels,
            clip_steps=clip_steps,
            **arguments,
        )

    def build_optimizer(self, steps_per_pass: int):
        """Adam (section IV)."""
        import keras

        del steps_per_pass
        return keras.optimizers.Adam(self.learning_rate)

    def build_callbacks(self) -> list:
        """The rate falls when validation accuracy stands still (section IV); so may training."""
        import keras

        callbacks = [
            keras.callbacks.ReduceLROnPlateau(
                monitor=self.monitor,
                mode="max",
                factor=self.plateau_factor,
                patience=self.plateau_patience,
                min_delta=0.0,
            )
        ]
        if self.early_stopping_patience is not None:
            callbacks.append(
                keras.callbacks.EarlyStopping(
                    monitor=self.monitor, mode="max", patience=self.early_stopping_patience
                )
            )
        return callbacks
