"""Finding and building networks by name.

A family of networks is one function, registered with the names it answers to:

```python
@register_model(names={"m3": {"groups": ...}, "m5": {"groups": ...}}, sample_rate=8000, ...)
def m_net(x, num_classes, *, groups, first_stride=4): ...
```

The function takes the network's input tensor and gives the tensor of logits. On its way it names
one layer `embedding` and one `logits`. What stands before (the waveform, the clip steps, the front
end) and after (the classifier's activation) is the same for all and is added by `create_model`.
"""

import dataclasses
import difflib
import fnmatch
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from keras_audio.layers.checks import at_least, one_of

# Mel bins of a network that takes any number of them.
ANY = "any"


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What is known of a network before it is built.

    Attributes:
        name: The name to give to `create_model`.
        sample_rate: Of the waveforms the paper trains on, in Hz.
        channels: Audio channels in the paper.
        min_samples: Least number of samples that a clip needs, with the default arguments.
        feature_shape: `(mels, frames, channels)` of the bare network's input, None where it takes
            waveforms. Frames are None: any number. So are mels where the network takes any.
        paper: Author, year and title.
        table: Where the paper reports this network.
        arguments: Further arguments of `create_model` with their defaults.
    """

    name: str
    sample_rate: int
    channels: int
    min_samples: int
    feature_shape: tuple[int | None, ...] | None
    paper: str
    table: str
    arguments: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class _Family:
    network: Callable
    names: Mapping[str, Mapping[str, Any]]
    parse: Callable[[str], Mapping[str, Any] | None] | None
    front_end: Callable | None
    sample_rate: int
    channels: int
    min_samples: int | Callable[..., int]
    mels: int | str | None
    features_per_channel: int | Callable[..., int]
    paper: str
    table: str

    def arguments(self, variant: Mapping[str, Any], front_end: bool = True) -> dict[str, Any]:
        """Defaults of all that a user may set: what the name does not already settle."""
        return {
            name: default
            for part in (self.network, self.front_end if front_end else self._features)
            for name, default in _keywords(part).items()
            if name not in variant
        }

    @property
    def _features(self) -> Callable[..., int] | None:
        return self.features_per_channel if callable(self.features_per_channel) else None

    def feature_shape(
        self, channels: int, variant: Mapping[str, Any], arguments: Mapping[str, Any]
    ) -> tuple[int | None, ...]:
        """Give the shape of the bare network's input, for so many audio channels."""
        per_channel = self.features_per_channel
        if self._features is not None:
            per_channel = self._features(**_chosen(self._features, variant, arguments))
        return (None if self.mels == ANY else self.mels, None, channels * per_channel)


_FAMILIES: list[_Family] = []


def register_model(
    *,
    names: Mapping[str, Mapping[str, Any]],
    sample_rate: int,
    min_samples: int | Callable[..., int],
    paper: str,
    table: str,
    channels: int = 1,
    mels: int | str | None = None,
    features_per_channel: int | Callable[..., int] = 1,
    front_end: Callable | None = None,
    parse: Callable[[str], Mapping[str, Any] | None] | None = None,
) -> Callable[[Callable], Callable]:
    """Register the decorated function as a family of networks.

    Args:
        names: Every listed name, with the keyword arguments that it stands for.
        sample_rate: The paper's, in Hz.
        min_samples: Least number of samples of a clip, or a function of the name's keywords.
        paper: Author, year and title.
        table: Where the paper reports the networks.
        channels: The paper's number of audio channels.
        mels: Mel bins of a network on features, `"any"` if it takes any number, None for one on
            waveforms.
        features_per_channel: Feature channels that the front end makes of an audio channel, or a
            function of keywords of the front end that gives them.
        front_end: `front_end(waveform, *, ...) -> features`; its keywords that the network has
            too are given to both.
        parse: For families without end, such as any width in the name: gives the keywords of a
            name that is not listed, or None if it is none of this family's.

    Raises:
        ValueError: If a name is taken, or `mels` is another word.
    """
    if isinstance(mels, str):
        one_of("mels", mels, (ANY,))

    def register(network: Callable) -> Callable:
        taken = sorted(set(names) & set(list_models()))
        if taken:
            raise ValueError(f"Expected names that are not yet registered. Received: names={taken}")
        _FAMILIES.append(
            _Family(
                network=network,
                names=names,
                parse=parse,
                front_end=front_end,
                sample_rate=sample_rate,
                channels=channels,
                min_samples=min_samples,
                mels=mels,
                features_per_channel=features_per_channel,
                paper=paper,
                table=table,
            )
        )
        return network

    return register


def list_models(pattern: str = "*") -> list[str]:
    """List the names that `create_model` knows, in alphabetical order with numbers by size.

    Args:
        pattern: Shell-style: `*` and `?` stand for any text and any character.

    Example:
        >>> list_models("m?")
        ['m3', 'm5']
    """
    names = (name for family in _FAMILIES for name in family.names)
    return sorted(fnmatch.filter(names, pattern), key=_natural)


def model_info(name: str) -> ModelInfo:
    """Describe a network without building it.

    Args:
        name: As in `list_models`.

    Raises:
        ValueError: If there is no such network; the message gives near names.

    Example:
        >>> info = model_info("spectrogram_res_rb5")
        >>> info.sample_rate, info.feature_shape, info.arguments["frames"]
        (8000, (64, None, 1), 199)
    """
    family, variant = _find(name)
    features = None
    if family.mels is not None:
        features = family.feature_shape(family.channels, variant, {})
    least = family.min_samples
    return ModelInfo(
        name=name,
        sample_rate=family.sample_rate,
        channels=family.channels,
        min_samples=least(**variant) if callable(least) else least,
        feature_shape=features,
        paper=family.paper,
        table=family.table,
        arguments=family.arguments(variant),
    )


def create_model(
    name: str,
    num_classes: int,
    *,
    input: str = "waveform",
    classifier_activation: str | None = "softmax",
    channels: int | None = None,
    clip_steps: Sequence[keras.layers.Layer] = (),
    feature_steps: Sequence[keras.layers.Layer] = (),
    **arguments: Any,
) -> keras.Model:
    """Build a network by name: waveforms (or features) in, one value a class out.

    Args:
        name: As in `list_models`.
        num_classes: Number of outputs.
        input: `"waveform"` takes `(batch, samples, channels)` and holds the front end where the
            network has one; `"features"` is the bare network, which takes
            `(batch, mels, frames, channels)` where the paper feeds it spectrograms.
        classifier_activation: `"softmax"`, `"sigmoid"` (any number of classes at once), or None
            for logits.
        channels: Audio channels, None is the paper's number.
        clip_steps: Layers that stand right behind the waveform input, such as
            `WaveformNormalization` and `PadOrCrop`.
        feature_steps: Layers that stand right before the network, behind the front end where there
            is one, such as `SpecAugment`.
        **arguments: The network's own, see `model_info(name).arguments`.

    Returns:
        A functional model of that name, built, with layers named `embedding`, `logits` and
        `predictions`. The number of samples or frames is free (and of mel bins, where the bare
        network takes any).

    Raises:
        ValueError: If the name or an argument is unknown (the message gives near ones), or a
            value is out of its range.

    Example:
        >>> model = create_model("m3", 10, classifier_activation=None, first_stride=8)
        >>> model.name, model.output_shape, model.get_layer("embedding").output.shape
        ('m3', (None, 10), (None, 256))
    """
    family, variant = _find(name)
    num_classes = at_least("num_classes", num_classes, 1)
    one_of("input", input, ("waveform", "features"))
    one_of("classifier_activation", classifier_activation, ("softmax", "sigmoid", None))
    channels = family.channels if channels is None else at_least("channels", channels, 1)
    if clip_steps and input == "features":
        raise ValueError(
            'Expected clip_steps with input="waveform" only, since they work on waveforms. '
            f"Received: clip_steps={list(clip_steps)}"
        )
    waveforms = input == "waveform" or family.mels is None
    known = family.arguments(variant, front_end=waveforms)
    for argument in arguments:
        if argument not in known:
            raise ValueError(
                f"Expected arguments of {name!r} on {input}{_near(argument, known)}. "
                f"Received: {argument}={arguments[argument]!r}"
            )

    if waveforms:
        x = inputs = keras.Input((None, channels), name="waveform")
        for step in clip_steps:
            x = step(x)
        if family.front_end is not None:
            x = family.front_end(x, **_chosen(family.front_end, variant, arguments))
    else:
        shape = family.feature_shape(channels, variant, arguments)
        x = inputs = keras.Input(shape, name="features")
    for step in feature_steps:
        x = step(x)
    logits = family.network(x, num_classes, **_chosen(family.network, variant, arguments))
    # Probabilities stay in float32 under mixed precision: half has no 0.9999.
    activation = classifier_activation or "linear"
    outputs = keras.layers.Activation(activation, dtype="float32", name="predictions")(logits)
    return keras.Model(inputs, outputs, name=name)


def _find(name: str) -> tuple[_Family, Mapping[str, Any]]:
    for family in _FAMILIES:
        if name in family.names:
            return family, family.names[name]
    for family in _FAMILIES:
        variant = family.parse(name) if family.parse else None
        if variant is not None:
            return family, variant
    raise ValueError(f"Expected the name of a model{_near(name, list_models())}. Received: {name=}")


def _chosen(part: Callable, variant: Mapping, arguments: Mapping) -> dict[str, Any]:
    given = {**arguments, **variant}
    return {name: given[name] for name in _keywords(part) if name in given}


def _keywords(part: Callable | None) -> dict[str, Any]:
    parameters = inspect.signature(part).parameters.values() if part else ()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def _near(name: Any, known) -> str:
    near = difflib.get_close_matches(str(name), list(known), n=5, cutoff=0.5)
    listed = near or sorted(known, key=_natural)
    start = ", such as " if near else ", one of "
    return start + ", ".join(listed) if listed else " (it has none)"


def _natural(name: str) -> list:
    """Sort key that puts m5 before m11."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
