"""Fine-tuning: take the weights of a trained network into a new one, all layers but the last."""

import json
import os
import pathlib
import re
import zipfile
import zlib

import keras

from keras_audio.models.config_code import code_in_config

# The configuration of the largest network of the zoo is a tenth of a megabyte.
_LARGEST_CONFIG = 16 * 2**20


def load_source(path: str | os.PathLike) -> keras.Model:
    """Load the network to start from; nothing that its file brings along is run.

    Args:
        path: The folder of a run, whose `model.keras` is meant, or a `.keras` file.

    Returns:
        The model, without its optimizer.

    Raises:
        ValueError: If it is neither, is damaged, or holds code of its own (a Lambda layer).
    """
    import keras_audio.custom_objects  # noqa: F401 - makes our layers known to Keras

    file = model_file(path)
    config = _read_config(file)
    if code_in_config(config) is not None:
        raise ValueError(
            "Expected a model of layers that Keras or this package defines, got one with code of "
            f"its own (a Lambda layer), which is never run. Received: {file}"
        )
    try:
        return keras.models.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # zipfile, HDF5 and Keras raise a dozen kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ValueError(f"Expected a whole model. Received: {file} ({reason})") from error


def model_name_of(path: str | os.PathLike) -> str:
    """Read the name of the network to start from, without building it.

    Args:
        path: As for `load_source`.

    Raises:
        ValueError: If it is no Keras model with a name.

    Example:
        >>> import tempfile
        >>> import keras_audio
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.keras"
        >>> keras_audio.create_model("m3", 10).save(path)
        >>> model_name_of(path)
        'm3'
    """
    file = model_file(path)
    config = _read_config(file)
    inner = config.get("config")
    name = inner.get("name") if isinstance(inner, dict) else None
    # It is printed, and looked up as the name of a network.
    if not isinstance(name, str) or not name.isprintable() or not 1 <= len(name) <= 100:
        raise ValueError(f"Expected a model with a name. Received: {file} with name={name!r:.100}")
    return name


def transfer_weights(source: keras.Model, target: keras.Model) -> list[str]:
    """Copy the weights of every layer but those of the classifier, matched by name.

    The classifier is what is called `logits`, or `logits_` and more: it depends on the classes.

    Layers without weights (front ends, augmentation with its random state) are not compared, so a
    source may have been trained with other ones.

    Args:
        source: The trained network.
        target: The new one, changed only if all of it fits.

    Returns:
        The names of the layers copied, in the order of `target`.

    Raises:
        ValueError: If one of the two has a layer that the other has not, or with weights of other
            shapes or with other strides; the message names the first such layer.

    Example:
        >>> import keras_audio
        >>> source = keras_audio.create_model("m3", 10, first_stride=16)
        >>> target = keras_audio.create_model("m3", 2, first_stride=16)
        >>> transfer_weights(source, target)
        ['group1_1_conv', 'group1_1_bn', 'group2_1_conv', 'group2_1_bn']
        >>> transfer_weights(keras_audio.create_model("m3", 10), target)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        ValueError: Expected a source whose layers fit m3, layer group1_1_conv with weights ...
    """
    theirs = _layers_with_weights(source)
    ours = _layers_with_weights(target)
    for name in dict.fromkeys([*ours, *theirs]):
        expected, received = _describe(ours.get(name)), _describe(theirs.get(name))
        if expected != received:
            raise ValueError(
                f"Expected a source whose layers fit {target.name}, layer {name} {expected}. "
                f"Received: {source.name}, that layer {received}"
            )
    for name, layer in ours.items():
        layer.set_weights(theirs[name].get_weights())
    return list(ours)


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copy the weights of all layers, from a network that is the same but for what it is shown.

    Args:
        source: The trained network.
        target: The new one; front ends may differ.

    Example:
        >>> import keras_audio
        >>> small, large = (
        ...     keras_audio.create_model("resnet10", 2, num_filters=4, frames=n) for n in (64, 128)
        ... )
        >>> copy_weights(small, large)
        >>> ours, theirs = (model.get_layer("logits").get_weights() for model in (large, small))
        >>> bool((ours[0] == theirs[0]).all())
        True
    """
    for layer in target.layers:
        if layer.weights:
            layer.set_weights(source.get_layer(layer.name).get_weights())


def _layers_with_weights(model: keras.Model) -> dict[str, keras.layers.Layer]:
    # `weights` leaves the states of seed generators and metrics out.
    return {
        layer.name: layer
        for layer in model.layers
        if layer.weights and not re.fullmatch("logits(_.*)?", layer.name)
    }


def _describe(layer: keras.layers.Layer | None) -> str:
    """What of a layer has to agree, as part of a sentence."""
    if layer is None:
        return "not there"
    shapes = ", ".join(str(tuple(weight.shape)) for weight in layer.weights)
    # The shapes do not tell them, yet other strides are another network.
    strides = getattr(layer, "strides", None)
    return f"with weights of shapes {shapes}" + (f" and strides {strides}" if strides else "")


def model_file(path: str | os.PathLike) -> pathlib.Path:
    """Find the file of the network to start from.

    Args:
        path: As for `load_source`.

    Raises:
        ValueError: If it is neither, or a run without a model.
    """
    path = pathlib.Path(path)
    if (path / "recipe.json").is_file():
        if not (path / "model.keras").is_file():
            raise ValueError(f"Expected a run that has kept a model already. Received: {path}")
        return path / "model.keras"
    if path.suffix != ".keras" or not path.is_file():
        raise ValueError(
            f"Expected the folder of a run, with recipe.json, or a .keras file. Received: {path}"
        )
    return path


def _read_config(file: pathlib.Path) -> dict:
    """What a `.keras` file says of its model, read with nothing but the standard library."""
    try:
        with zipfile.ZipFile(file) as archive, archive.open("config.json") as stream:
            text = stream.read(_LARGEST_CONFIG + 1)
        if len(text) > _LARGEST_CONFIG:
            raise ValueError("its config.json is too large")
        config = json.loads(text)
        if not isinstance(config, dict):
            raise ValueError("its config.json is no object")
    except (
        *(OSError, EOFError, KeyError, RuntimeError, ValueError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ValueError(f"Expected a whole .keras file. Received: {file} ({reason})") from error
    return config
